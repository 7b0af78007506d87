"""Configs in any form that users write them, as a dict."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Iterable, Mapping
from typing import Any

from hwnas_surrogate.errors import InvalidConfigError

__all__ = ["as_config_dict"]

_HIDDEN = (classmethod, staticmethod, types.GetSetDescriptorType)
_FORMS = "Pass a dict, or an object whose attributes are the config (a namedtuple, a namespace, a dataclass)."


def as_config_dict(config: object) -> dict[str, Any]:
    """Return a config as a dict of its names and values.

    Parameters
    ----------
    config : mapping or object
        A mapping, or an object whose public attributes are the config: a namedtuple, a
        :class:`~types.SimpleNamespace`, an :class:`~argparse.Namespace`, a dataclass, or a class of one's own.

    Returns
    -------
    dict
        A new dict. The values are not copied.

    Raises
    ------
    InvalidConfigError
        If the object has no attributes of its own, can't be read, or if a name is not a text.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> as_config_dict(SimpleNamespace(dataset="cifar", depth=20))
    {'dataset': 'cifar', 'depth': 20}
    """
    try:
        found = _read(config)
    except InvalidConfigError:
        raise
    except Exception as error:  # users' own classes may raise anything when they are read
        got = type(config).__name__
        raise InvalidConfigError(f"a config can't be read from {got}: {type(error).__name__}: {error}.") from error
    names = [name for name in found if not isinstance(name, str)]
    if names:
        raise InvalidConfigError(f"the names in a config must be texts, got {names[0]!r:.100}.")
    return found


def _read(config: object) -> dict[str, Any]:
    if isinstance(config, Mapping):
        return dict(config)
    if isinstance(config, tuple) and hasattr(config, "_asdict"):
        return dict(config._asdict())
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    if isinstance(config, Iterable) and hasattr(config, "keys") and hasattr(config, "__getitem__"):
        return {name: config[name] for name in config.keys()}  # noqa: SIM118  a mapping by its methods only
    kind = config if isinstance(config, type) else type(config)
    if kind.__module__ == "builtins" or callable(config) != isinstance(config, type):
        raise InvalidConfigError(f"a config must be a dict or an attribute object, got {config!r:.100}. {_FORMS}")
    return _attributes(config)


def _attributes(config: object) -> dict[str, Any]:
    """Return what an object holds, and what its classes define beside methods; a slot that is not set is left out."""
    kinds = config.__mro__ if isinstance(config, type) else type(config).__mro__
    raw = {name: value for kind in reversed(kinds[:-1]) for name, value in vars(kind).items()}
    defined = [name for name, value in raw.items() if not inspect.isroutine(value) and not isinstance(value, _HIDDEN)]
    names = dict.fromkeys([*defined, *getattr(config, "__dict__", {})])
    found = {name: getattr(config, name) for name in names if not name.startswith("_") and hasattr(config, name)}
    if not found:
        raise InvalidConfigError(
            f"{type(config).__name__} has no attributes that a config could be read from. {_FORMS}"
        )
    return found
