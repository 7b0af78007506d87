"""XGBoost's rounds without what it repeats in each: a tenth of the time of a fit to some hundred networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost

__all__ = ["boosted", "released"]

Vector = npt.NDArray[np.float64]
Gradient = Callable[[Vector], tuple[Vector, Vector]]
"""Predictions of n rows -> first and second derivatives of the loss, (n,) each."""


class _Unnamed(xgboost.Booster):
    """A booster of columns without names, which XGBoost asks for several times in each round."""

    feature_names = None
    feature_types = None


def boosted(settings: Mapping[str, Any], data: xgboost.DMatrix, rounds: int, gradient: Gradient | None = None) -> Any:
    """Return the trees of ``xgboost.train``, to the bit; it has no callbacks, and keeps the caches of training.

    Parameters
    ----------
    settings : mapping
        XGBoost's parameters.
    data : xgboost.DMatrix
        The rows to fit, n of them; columns have no names.
    rounds : int
        The number of trees.
    gradient : callable, optional
        Derivatives of a loss that is none of XGBoost's.

    Returns
    -------
    xgboost.Booster
    """
    booster = _Unnamed(dict(settings), [data])

    def derivatives(predicted: npt.NDArray[np.float32], _: object) -> tuple[Vector, Vector]:
        assert gradient is not None
        return gradient(np.asarray(predicted, np.float64))

    for number in range(rounds):
        booster.update(data, number, None if gradient is None else derivatives)
    return booster


def released(booster: Any) -> Any:
    """Return a booster to keep, without the caches of training and their rows."""
    return booster.reset() if hasattr(booster, "reset") else booster.copy()  # before XGBoost 3
