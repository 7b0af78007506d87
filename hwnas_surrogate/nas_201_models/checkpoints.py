"""Checkpoints of the benchmark's training scripts, read through an allow-list.

PyTorch's own reader accepts tensors and plain data. Training scripts also store their options (a namespace), configs
(namespaces, namedtuples) and accuracies (NumPy's numbers), so these are accepted here; numbers through stand-ins, since
NumPy's own functions can be made to treat raw bytes as pointers. Nothing else in a file is looked up or called.
"""

from __future__ import annotations

import argparse
import os
import pickle
import sys
import threading
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from hwnas_surrogate.config_utils import dict2config
from hwnas_surrogate.errors import DataFileError
from hwnas_surrogate.inputs import input_path, open_regular

__all__ = ["read_checkpoint"]

_LOCK = threading.Lock()
"""PyTorch's allow-list is one for the whole process; the names that this module adds are there during a read only."""
_NUMBERS = frozenset(["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"])


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint through the allow-list.

    Parameters
    ----------
    path : path-like
        A file that :func:`torch.save` wrote. Tensors are read onto the CPU.

    Returns
    -------
    dict
        Its content.

    Raises
    ------
    DataFileError
        If the file can't be read, is no checkpoint, or holds anything that is not on the allow-list.
    """
    found = input_path(path)
    try:
        with open_regular(found) as file, _LOCK, _allowed(file):
            content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataFileError(f"can't read the checkpoint {found}: {error.strerror or error}.") from error
    except pickle.UnpicklingError as error:
        raise DataFileError(f"{found} is refused: {_reason(error)} Nothing was executed.") from error
    except DataFileError:
        raise
    except Exception as error:  # damaged files end in errors of every kind, deep inside PyTorch
        raise DataFileError(f"{found} is no checkpoint, or damaged: {type(error).__name__}: {error!s:.300}") from error
    if not isinstance(content, dict):
        raise DataFileError(f"{found} holds a {type(content).__name__}, expected a dict: a checkpoint of a network.")
    return content


def _reason(error: pickle.UnpicklingError) -> str:
    """Return the fact from an error of PyTorch, without its advice to switch the checks off."""
    text = str(error)
    stated = text.partition("WeightsUnpickler error: ")[2] or text
    lines = [line.strip() for line in stated.splitlines() if line.strip() and not line.startswith("Weights only load")]
    fact = (lines or ["it is not what PyTorch's reader accepts"])[0].partition(" Please use ")[0][:300].rstrip(". ")
    hint = "Save a config as a plain dict (of a namedtuple, config._asdict())."
    return f"{fact}. Allowed: tensors, plain data, numbers of NumPy, namespaces, and loaded namedtuples. {hint}"


@contextmanager
def _allowed(file: Any) -> Iterator[None]:
    """Add this module's names to PyTorch's allow-list; the user's own entries stay."""
    serialization: Any = torch.serialization
    if not hasattr(
        serialization, "get_unsafe_globals_in_checkpoint"
    ):  # before PyTorch 2.6: tensors and plain data only
        yield
        return
    names = _asked(serialization, file)
    entries = [(value, name) for name in names if (value := _value_of(name)) is not None]
    with serialization.safe_globals(entries):
        yield


def _asked(serialization: Any, file: Any) -> Sequence[str]:
    """Return the names that a file asks for beyond PyTorch's own list; none if it is no zip file."""
    try:
        return list(serialization.get_unsafe_globals_in_checkpoint(file))
    except ValueError:  # the format before PyTorch 1.6
        return []
    finally:
        file.seek(0)


def _value_of(name: str) -> Any:
    """Return what a name in a file stands for, or None if it is not allowed."""
    if name in _STAND_INS:
        return _STAND_INS[name]
    module, _, kind = name.rpartition(".")
    found = getattr(sys.modules.get(module), "__dict__", {}).get(kind)  # nothing is imported
    return found if _is_namedtuple(found) else None


def _is_namedtuple(kind: object) -> bool:
    """Tell whether a class is a namedtuple, or a child of one, whose making executes nothing else."""
    if (
        not isinstance(kind, type)
        or not issubclass(kind, tuple)
        or not isinstance(getattr(kind, "_fields", None), tuple)
    ):
        return False
    *children, base = kind.__mro__[: kind.__mro__.index(tuple)]
    is_made_by_it = getattr(base.__new__, "__module__", None) == f"namedtuple_{base.__name__}"
    return is_made_by_it and not any({"__new__", "__setstate__"} & vars(child).keys() for child in children)


class _DType:
    """A number's type in a file: its state may set the byte order only."""

    __slots__ = ("dtype",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, code: object, *flags: object) -> None:
        if code not in _NUMBERS:
            raise pickle.UnpicklingError(f"It asks for the NumPy type {code!r:.100}; only numbers are read.")
        self.dtype: np.dtype[Any] = np.dtype(code)

    def __setstate__(self, state: object) -> None:
        match state:
            case (3, "<" | ">" | "=" | "|" as order, None, None, None, int(), int(), int()):
                self.dtype = self.dtype.newbyteorder(order)
            case _:
                raise pickle.UnpicklingError("It describes a NumPy type that is not a plain number's.")


def _scalar(dtype: object, raw: object) -> Any:
    if not isinstance(dtype, _DType) or not isinstance(raw, bytes) or len(raw) != dtype.dtype.itemsize:
        raise pickle.UnpicklingError("It describes a NumPy number in an unknown way.")
    return np.frombuffer(raw, dtype.dtype)[0]


def _config(values: object) -> Any:
    if not isinstance(values, dict):
        raise pickle.UnpicklingError("It makes a config from something else than a dict.")
    return dict2config(values)


_STAND_INS: Mapping[str, Any] = types.MappingProxyType(
    {
        "types.SimpleNamespace": types.SimpleNamespace,
        "argparse.Namespace": argparse.Namespace,
        f"{dict2config.__module__}.{dict2config.__name__}": _config,
        "numpy.dtype": _DType,
        "numpy.core.multiarray.scalar": _scalar,
        "numpy._core.multiarray.scalar": _scalar,
    }
)
