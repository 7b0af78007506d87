"""A sub-command whose options are given once, unless they are repeatable."""

from __future__ import annotations

from collections import Counter
from typing import Any

from typer.core import TyperCommand

from hwnas_surrogate.errors import InvalidInputError

__all__ = ["Command"]


class Command(TyperCommand):
    """A sub-command; an option that takes one value is refused where it is given two, of which one would be ignored."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments.

        Raises
        ------
        InvalidInputError
            If an option that is not repeatable is given more than once.
        """
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        options: list[Any] = [param for param in given if param.param_type_name == "option"]
        single = [option for option in options if not (option.multiple or option.is_flag or option.count)]
        for name, number in Counter(max(option.opts, key=len) for option in single).items():
            if number > 1:
                raise InvalidInputError(f"{name} takes one value, and was given {number} times: leave all but one out.")
        return super().parse_args(ctx, args)
