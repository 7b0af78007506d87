"""Boosted trees that predict the probability that a device can run a network."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from hwnas_surrogate.models.forked import limit_threads_if_forked
from hwnas_surrogate.models.trees import Trees
from hwnas_surrogate.random_states import RandomState, as_seed

__all__ = ["TreeClassifier"]


class TreeClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Boosted trees for two classes, False and True: whether a device can run a network.

    Compilers reject networks by rules (an op at a position, too many of one kind), which trees can represent.

    Parameters
    ----------
    n_trees, max_depth, learning_rate : int, int, float
        Settings of the trees (XGBoost).
    random_state : int, numpy generator or None, default=None
        Seed of the trees; None is 0.

    Attributes
    ----------
    trees_ : Trees
        Their sum is the log odds of True.
    """

    trees_: Trees

    def __init__(
        self, n_trees: int = 200, max_depth: int = 4, learning_rate: float = 0.1, random_state: RandomState = None
    ) -> None:
        self.n_trees = n_trees
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.random_state = random_state

    @property
    def classes_(self) -> npt.NDArray[np.bool_]:
        """False and True: the classes of the columns of :meth:`predict_proba`."""
        return np.array([False, True])

    def fit(self, X: pd.DataFrame, y: npt.ArrayLike) -> Self:
        """Fit on (n, k) named columns and n booleans."""
        from xgboost import XGBClassifier

        limit_threads_if_forked()
        validate_data(self, X, skip_check_array=True)
        model = XGBClassifier(
            n_estimators=self.n_trees,
            learning_rate=self.learning_rate,
            max_depth=self.max_depth,
            subsample=0.8,
            colsample_bytree=0.5,
            n_jobs=1,  # small fits: more threads only wait for one another
            random_state=as_seed(self.random_state),
        )
        self.trees_ = Trees.from_booster(model.fit(X, np.asarray(y, bool)).get_booster())
        return self

    def predict_proba(self, X: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Predict probabilities of False and True: (n, k) named columns as in ``fit`` -> (n, 2)."""
        check_is_fitted(self, "trees_")
        validate_data(self, X, reset=False, skip_check_array=True)
        odds = self.trees_.predict(np.asarray(X, np.float64)).astype(np.float64)
        return np.column_stack([expit(-odds), expit(odds)])

    def predict(self, X: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Predict the more probable class: (n, k) named columns as in ``fit`` -> (n,)."""
        return np.asarray(self.predict_proba(X)[:, 1] > 0.5)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the fitted parameters as arrays."""
        check_is_fitted(self, "trees_")
        return self.trees_.to_arrays()

    def from_arrays(self, arrays: dict[str, npt.NDArray[Any]], feature_names: npt.NDArray[np.object_]) -> Self:
        """Restore from the arrays of :meth:`to_arrays`, for columns of these names, shape (k,)."""
        self.feature_names_in_, self.n_features_in_ = feature_names, len(feature_names)
        self.trees_ = Trees.from_arrays(arrays, len(feature_names))
        return self
