"""Qualities of candidates, batch by batch: of known networks, predicted, or by a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.search.quality import Accuracy, quality_by_row
from hwnas_surrogate.spaces import ArchBatch
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite

__all__ = ["Quality", "QualityFunction", "QualityOf", "known_qualities", "predicted_qualities"]

Vector = npt.NDArray[np.float64]

QualityFunction: TypeAlias = Callable[[list[Any]], npt.ArrayLike]
"""Takes n networks, as strings of architectures or as graphs, and returns n qualities; NaN for a network without."""
Quality: TypeAlias = Accuracy | Surrogate | SurrogateSuite | QualityFunction
"""Known qualities, a surrogate fitted to some of them, or a function."""
QualityOf: TypeAlias = Callable[[NetworkBatch], Vector]
"""Returns the qualities of a batch, (n,); NaN where there is none."""


def known_qualities(quality: pd.Series[float] | CostTable | Any) -> QualityOf:
    """Return the function that looks qualities up, in what :func:`quality_by_row` accepts."""

    def look_up(batch: NetworkBatch) -> Vector:
        rows: CostTable
        if isinstance(batch, ArchBatch):
            rows = CostTable(batch.space, batch, np.empty((len(batch), 0)), [])
        else:
            rows = CostTable(None, batch, np.empty((len(batch), 0)), [])
        return np.asarray(quality_by_row(rows, quality), np.float64)

    return look_up


def predicted_qualities(quality: Surrogate | SurrogateSuite) -> QualityOf:
    """Return the function that predicts qualities by a surrogate fitted to some.

    Raises
    ------
    InvalidInputError
        If it is not the surrogate of one metric of which more is better.
    """
    one = quality
    if isinstance(quality, SurrogateSuite):
        if len(quality) != 1:
            names = ", ".join(map(str, quality.targets_)) if len(quality) else "none"
            raise InvalidInputError(f"quality is one surrogate, got a suite of {names}: take one, suite['...'].")
        (one,) = quality.surrogates_.values()
    assert isinstance(one, Surrogate)
    if not one.kind.larger_is_better:
        raise InvalidInputError(
            f"quality is what is to be large, got a surrogate of {one.kind.name}: fit Surrogate(metric='accuracy')."
        )
    surrogate = one
    return lambda batch: np.asarray(surrogate.predict(batch), np.float64)
