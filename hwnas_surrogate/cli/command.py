"""A sub-command whose options have one value each, unless they are repeatable."""

from __future__ import annotations

import shlex
from typing import Any

from typer.core import TyperCommand

from hwnas_surrogate.errors import InvalidInputError

__all__ = ["Command"]

LIST = ",..."
"""The end of the ``metavar`` of options whose value is a list."""


class Command(TyperCommand):
    """A sub-command; an option that takes one value is refused where it is given two, of which one would be ignored."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments.

        Raises
        ------
        InvalidInputError
            If an option that is not repeatable has different values.
        """
        for option, values in self._single(ctx, args):
            if len(set(values)) > 1:
                name, told = max(option.opts, key=len), " and ".join(map(repr, values))
                remedy = "leave out all but one"
                if (option.metavar or "").endswith(LIST):
                    remedy = f"separate several by commas, {name} {shlex.quote(','.join(dict.fromkeys(values)))}"
                raise InvalidInputError(f"{name} takes one value, got {told}: {remedy}.")
        return super().parse_args(ctx, args)

    def _single(self, ctx: Any, args: list[str]) -> list[tuple[Any, list[Any]]]:
        """Return the options that take one value and are given, with all their values."""
        options: list[Any] = [option for option in self.params if option.param_type_name == "option"]
        single = [option for option in options if not (option.multiple or option.is_flag or option.count)]
        for option in single:
            option.multiple = True  # so that the parser keeps every value
        try:
            given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        finally:
            for option in single:
                option.multiple = False
        return [(option, given[option.name]) for option in single if option.name in given]
