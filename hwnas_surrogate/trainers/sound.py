"""Numbers that no fitted model holds: NaN, infinity, and what would overflow as soon as it is used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.errors import SavedFormatError
from hwnas_surrogate.trainers.sound_trees import checked_columns, checked_tree

__all__ = ["check_arrays", "check_regressor"]

LARGEST = 1e30
"""Numbers of models that are fitted to costs over their scale are far smaller."""


def check_arrays(what: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Raise if an array of floats holds NaN, or a number above 1e30 or whose square overflows.

    Models are fitted to costs over their scale: their weights are nowhere near.

    Raises
    ------
    SavedFormatError
        Naming the array and the number.
    """
    for name, array in arrays.items():
        _check(f"{what}: {name}", array)


def check_regressor(what: str, model: Any, feature_names: npt.NDArray[np.object_]) -> None:
    """Check a regressor of scikit-learn's: what it holds, and that it predicts numbers.

    The nodes of its trees are checked first: scikit-learn follows them wherever they lead.

    NaN is allowed in what it holds (an imputer's statistics, say) but for trees, and infinity in what it predicts far
    from the training rows. Its own numbers may be larger than those of our models: squares of a column, say.
    """
    for name, array, missing in _held(model, "", set()):
        _check(f"{what}: {name}", array, missing, math.inf)
    if hasattr(model, "predict"):
        rows = pd.DataFrame(np.array([[0.0], [1.0]]) * np.ones(len(feature_names)), columns=feature_names)
        with np.errstate(all="ignore"):
            _check(
                f"{what}: its prediction",
                np.nan_to_num(np.asarray(model.predict(rows)), nan=np.nan, posinf=0, neginf=0),
                largest=math.inf,
            )


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
    """Yield the arrays that an object of scikit-learn's holds, by name, and whether NaN is allowed in them.

    Trees are checked on the way: they may read as many columns as the narrowest forest around them has.
    """
    if id(thing) in seen:
        return
    seen.add(id(thing))
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
        return [(str(key), part) for key, part in enumerate(np.ravel(np.asarray(thing, object)))]
    module = type(thing).__module__
    if not module.startswith("sklearn.") or module.startswith("sklearn._loss") or not hasattr(thing, "__dict__"):
        return ()  # a loss has an interval without ends
    # Numbers without an underscore are parameters, where infinity may be meant.
    fitted = [key for key in vars(thing) if key.startswith("_") or key.endswith("_")]
    return [
        (key, part) for key, part in vars(thing).items() if key in fitted or not isinstance(part, (float, np.ndarray))
    ]
