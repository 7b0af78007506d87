"""Checks of a model's numbers: no NaN, no infinity, and none so large that it would overflow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.errors import SavedFormatError
from hwnas_surrogate.trainers.sound_rows import check_rows
from hwnas_surrogate.trainers.sound_trees import checked_columns, checked_tree

__all__ = ["check_arrays", "check_regressor"]

LARGEST = 1e30
"""Models are fitted to scaled costs: their numbers are far smaller."""


def check_arrays(what: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Raise if an array of floats holds NaN, or a number above 1e30 or whose square overflows.

    Models are fitted to scaled costs: their weights are far below these limits.

    Raises
    ------
    SavedFormatError
        The message names the array and the number.
    """
    for name, array in arrays.items():
        _check(f"{what}: {name}", array)


def check_regressor(what: str, model: Any, feature_names: npt.NDArray[np.object_]) -> None:
    """Check a scikit-learn regressor: its arrays, and that its predictions are numbers.

    The nodes of its trees are checked first, since scikit-learn follows them without bounds checks. NaN is allowed in
    arrays other than trees (an imputer's statistics, for example), and infinite predictions far from the training rows.
    Its numbers may be larger than those of this package's models (squares of a column, for example).
    """
    for name, array, missing in _held(model, "", set()):
        _check(f"{what}: {name}", array, missing, math.inf)
    if hasattr(model, "predict"):
        rows = pd.DataFrame(np.array([[0.0], [1.0]]) * np.ones(len(feature_names)), columns=feature_names)
        with np.errstate(all="ignore"):
            predicted = np.asarray(model.predict(rows))
        if predicted.shape != (len(rows),) or predicted.dtype.kind != "f":
            raise SavedFormatError(
                f"{what} must predict a number for each of {len(rows)} networks, got {predicted.dtype} of "
                f"{predicted.shape}. Train again."
            )
        _check(f"{what}: its prediction", np.nan_to_num(predicted, nan=np.nan, posinf=0, neginf=0), largest=math.inf)


def _check(what: str, array: npt.NDArray[Any], missing: bool = False, largest: float = LARGEST) -> None:
    if array.dtype.kind != "f" or not array.size:
        return
    limit = min(float(np.sqrt(np.finfo(array.dtype).max)), largest)
    wrong = ~(np.abs(array) <= limit) & ~(missing & np.isnan(array))
    if wrong.any():
        raise SavedFormatError(
            f"{what} must hold finite numbers of up to {limit:.0e}, got {array[wrong].flat[0]:g} ({int(wrong.sum())} "
            "such in all). Copy the saved folder again, or train again."
        )


def _held(
    thing: Any, name: str, seen: set[int], n_columns: int | None = None
) -> Iterator[tuple[str, npt.NDArray[Any], bool]]:
    """Yield the arrays of a scikit-learn object by name, and whether they may hold NaN.

    Trees are checked too. The columns they read must exist in every forest around them.
    """
    if id(thing) in seen:
        return
    seen.add(id(thing))
    check_rows(name, thing)
    if (numbers := checked_tree(name, thing, n_columns)) is not None:
        for key, array in numbers.items():
            yield f"{name}.{key}", array, False
    elif isinstance(thing, (np.ndarray, float)) and np.asarray(thing).dtype.kind == "f":
        yield name, np.asarray(thing), True
    else:
        if not isinstance(thing, (Mapping, list, tuple, np.ndarray)):
            n_columns = checked_columns(name, thing, n_columns)
        for key, part in _parts(thing):
            yield from _held(part, f"{name}.{key}" if name else key, seen, n_columns)


def _parts(thing: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(thing, Mapping):
        return [(str(key), part) for key, part in thing.items()]
    if isinstance(thing, (list, tuple)) or (isinstance(thing, np.ndarray) and thing.dtype.kind == "O"):
        items = thing.ravel() if isinstance(thing, np.ndarray) else thing
        return [(str(key), part) for key, part in enumerate(items)]
    module = type(thing).__module__
    if not module.startswith("sklearn.") or module.startswith("sklearn._loss") or not hasattr(thing, "__dict__"):
        return ()  # a loss has an interval without ends
    # Attributes without an underscore are parameters, which may be infinite.
    fitted = [key for key in vars(thing) if key.startswith("_") or key.endswith("_")]
    return [
        (key, part) for key, part in vars(thing).items() if key in fitted or not isinstance(part, (float, np.ndarray))
    ]
