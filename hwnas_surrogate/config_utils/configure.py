"""Config files and config objects of the benchmark's training scripts.

A file is JSON: every name has a pair of a type (``str``, ``int``, ``bool``, ``float`` or ``none``) and a text, or a
list of texts. In Python a config is a namedtuple.
"""

from __future__ import annotations

import json
import logging
import os
from collections import namedtuple
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from hwnas_surrogate.config_utils.attributes import as_config_dict
from hwnas_surrogate.errors import DataFileError, InvalidConfigError, InvalidInputError, unknown
from hwnas_surrogate.files import replacing
from hwnas_surrogate.inputs import input_path, read_bytes, read_json

__all__ = ["configure2str", "dict2config", "load_config"]

_LARGEST = 2**20
"""Bytes of a config file: a thousand times more than one has."""
_NAME_WIDTH, _TYPE_WIDTH = 20, 8


def dict2config(xdict: Mapping[str, Any], logger: object = None) -> Any:
    """Return a config object that has a dict's names as attributes.

    Parameters
    ----------
    xdict : mapping of str
        Names and values. The names must be Python names without a leading underscore.
    logger : object or None, default=None
        An object whose ``log`` method is called with the config as a text, or a :class:`logging.Logger`.

    Returns
    -------
    namedtuple
        Of the type ``Configure``: equal to another one of the same names and values, and picklable.

    Raises
    ------
    InvalidConfigError
        If ``xdict`` is not a mapping, or a name can't be an attribute.

    Examples
    --------
    >>> dict2config({"name": "infer.tiny", "C": 16})
    Configure(name='infer.tiny', C=16)
    """
    if not isinstance(xdict, Mapping):
        raise InvalidConfigError(f"a config is made from a dict, got {type(xdict).__name__}.")
    values = as_config_dict(xdict)
    config = _config_class(tuple(values))(**values)
    _log(logger, str(config))
    return config


@lru_cache(maxsize=256)
def _config_class(names: tuple[str, ...]) -> type[Any]:
    """Return the type of all configs of these names; one type each, so that equal configs are equal."""
    try:
        fields: type[Any] = namedtuple("Configure", names)  # type: ignore[misc]
    except ValueError as error:
        raise InvalidConfigError(
            f"a config's names become attributes, and one can't: {error}. Use Python names without a leading '_'."
        ) from error
    return type("Configure", (fields,), {"__slots__": (), "__reduce__": _reduce, "__doc__": "A config."})


def _reduce(config: Any) -> tuple[Callable[..., Any], tuple[dict[str, Any]]]:
    return dict2config, (config._asdict(),)


def load_config(path: str | os.PathLike[str], extra: Mapping[str, Any] | None = None, logger: object = None) -> Any:
    """Read a config file.

    Parameters
    ----------
    path : path-like
        A JSON file of ``"name": ["type", "text"]`` or ``"name": ["type", ["text", ...]]``.
    extra : mapping of str or None, default=None
        Names and values to add. They replace those of the file.
    logger : object or None, default=None
        An object whose ``log`` method is called with the path and with the config, or a :class:`logging.Logger`.

    Returns
    -------
    namedtuple
        As :func:`dict2config` makes it.

    Raises
    ------
    DataFileError
        If the file can't be read, or is no config file.
    InvalidConfigError
        If ``extra`` is no mapping, or a name can't be an attribute.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "CIFAR.config")
    >>> _ = path.write_text('{"arch": ["str", "resnet"], "xblocks": ["int", ["1", "2", "3"]]}')
    >>> load_config(path, {"class_num": 10})
    Configure(arch='resnet', xblocks=[1, 2, 3], class_num=10)
    """
    if extra is not None and not isinstance(extra, Mapping):
        raise InvalidConfigError(f"extra must be a dict or None, got {type(extra).__name__}.")
    found = input_path(path)
    _log(logger, str(found))
    try:
        content = read_json(read_bytes(found, _LARGEST))
    except OSError as error:
        raise DataFileError(f"can't read the config file {found}: {error.strerror or error}.") from error
    except ValueError as error:
        raise DataFileError(f"{found} is no config file: it is not JSON ({error}).") from error
    if not isinstance(content, dict):
        raise DataFileError(f"{found} is no config file: it holds a JSON {type(content).__name__}, expected an object.")
    try:
        values = {name: _value(name, entry) for name, entry in content.items()}
    except InvalidInputError as error:
        raise DataFileError(f"{found} is no config file: {error}") from error
    return dict2config(values | dict(extra or {}), logger)


def configure2str(config: object, xpath: str | os.PathLike[str] | None = None) -> str:
    """Return a config as the text of a config file, which :func:`load_config` reads.

    Parameters
    ----------
    config : mapping or object
        A dict or an attribute object. Its values are texts, integers, floats, booleans or None, or lists of one of
        these.
    xpath : path-like or None, default=None
        The file to write; one that exists is replaced.

    Returns
    -------
    str
        The text, which is also what the file holds.

    Raises
    ------
    InvalidConfigError
        If a value is anything else, such as a tuple.
    DataFileError
        If the file can't be written.

    Examples
    --------
    >>> print(configure2str({"arch": "resnet", "xblocks": [1, 2, 3]}))
    {
      "arch"               : ["str"   , "resnet"],
      "xblocks"            : ["int"   , ["1", "2", "3"]]
    }
    """
    lines = [
        f"  {json.dumps(name):{_NAME_WIDTH}s} : {_text_of(name, value)}"
        for name, value in as_config_dict(config).items()
    ]
    text = "{\n" + ",\n".join(lines) + "\n}"
    if xpath is not None:
        with replacing(xpath) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return text


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("a bool is written '1' or '0'")
    return text == "1"


def _nothing(text: str) -> None:
    if text.lower() != "none":
        raise ValueError("the type none has the text 'None' only")


_READERS: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {"str": str, "int": int, "bool": _flag, "float": float, "none": _nothing}
)
_NAMES: Mapping[type, str] = MappingProxyType(
    {str: "str", int: "int", bool: "bool", float: "float", type(None): "none"}
)


def _value(name: str, entry: object) -> Any:
    """Return the value of one name in a file."""
    match entry:
        case [str() as kind, (str() | int() | float() | list()) as given]:
            pass
        case _:
            raise InvalidInputError(f"{name!r} must have a pair of a type and a value, got {entry!r:.100}.")
    if kind not in _READERS:
        raise unknown(InvalidInputError, f"type of {name!r}", kind, _READERS)
    values = [_read_one(name, kind, text) for text in (given if isinstance(given, list) else [given])]
    return values if isinstance(given, list) else values[0]


def _read_one(name: str, kind: str, given: object) -> Any:
    if not isinstance(given, (str, int, float)):
        raise InvalidInputError(f"{name!r} has the value {given!r:.100}; expected a text such as '1'.")
    text = str(int(given)) if isinstance(given, bool) else str(given)
    try:
        return _READERS[kind](text)
    except ValueError as error:
        raise InvalidInputError(
            f"{name!r} is of type {kind!r}, and its value {given!r:.100} is not: {error}."
        ) from None


def _text_of(name: str, value: object) -> str:
    """Return one value as a file holds it: the type and the text or the texts."""
    values = value if type(value) is list else [value]
    kinds = list(dict.fromkeys(_NAMES.get(type(item)) for item in values))
    if None in kinds:
        wrong = next(item for item in values if type(item) not in _NAMES)
        raise InvalidConfigError(
            f"a config file can't hold {name} = {value!r:.100}: {type(wrong).__name__} is not allowed; allowed: str, "
            "int, float, bool, None, and lists of one of these. Convert a tuple or an array into a list."
        )
    if len(kinds) > 1:
        raise InvalidConfigError(
            f"a config file can't hold {name} = {value!r:.100}: all values of a list must have one type, "
            f"got {', '.join(map(str, kinds))}."
        )
    kind = kinds[0] if kinds else "str"
    texts = [json.dumps(str(int(item)) if isinstance(item, bool) else str(item)) for item in values]
    quoted = json.dumps(kind)
    return f"[{quoted:{_TYPE_WIDTH}s}, {'[' + ', '.join(texts) + ']' if type(value) is list else texts[0]}]"


def _log(logger: object, text: str) -> None:
    """Tell a logger: the original's have ``log(text)``, the standard library's need a level."""
    if isinstance(logger, (logging.Logger, logging.LoggerAdapter)):
        logger.info("%s", text)
    elif logger is not None and callable(log := getattr(logger, "log", None)):
        log(text)
