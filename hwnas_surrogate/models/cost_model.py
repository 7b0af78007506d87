"""What a surrogate asks of the model that regresses its costs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from hwnas_surrogate.columns import Columns
from hwnas_surrogate.errors import InvalidInputError, SavedFormatError
from hwnas_surrogate.models.posterior import NormalPosterior, Posterior

__all__ = ["Arrays", "ConstantCost", "CostModel", "Vector", "checked_array", "cost_model"]

Vector = npt.NDArray[np.float64]
Arrays = dict[str, npt.NDArray[Any]]


class CostModel(RegressorMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """Base of our models: a scikit-learn regressor that also says how far off its predictions may be.

    A new model writes :meth:`fit` and :meth:`predict`; all else has an answer here. Any scikit-learn regressor does as
    well (:func:`cost_model` gives it these answers). Columns come as a DataFrame, whose names say what they mean
    (:class:`~hwnas_surrogate.columns.Columns`).

    Attributes
    ----------
    residuals_ : ndarray of float64, shape (n,), or None
        Each training cost minus what is predicted without it; None where the model does not know. Not saved.
    sds_ : ndarray of float64, shape (n,), or None
        The predictive standard deviations of these predictions, where they differ from network to network. Not saved.
    precisions_ : ndarray of float64, shape (n,), or None
        How far each training cost was trusted: about 1, and near 0 for slips. Not saved.
    sd_ : float or None
        The predictive standard deviation, where it is the same for all networks.
    """

    residuals_: Vector | None = None
    sds_: Vector | None = None
    precisions_: Vector | None = None
    sd_: float | None = None

    @abstractmethod
    def fit(self, X: pd.DataFrame, y: npt.ArrayLike) -> Self:
        """Fit on (n, k) named columns and n costs."""

    @abstractmethod
    def predict(self, X: pd.DataFrame) -> Vector:
        """Predict costs: (n, k) named columns as in ``fit`` -> (n,)."""

    def posterior(self, X: pd.DataFrame) -> Posterior:
        """Return what is known of the costs of n networks: (n, k) named columns as in ``fit``.

        Raises
        ------
        InvalidInputError
            If the model does not know how far off it is.
        """
        mean = self.predict(X)
        return NormalPosterior(mean, self._predictive_sd(X, mean))

    def _predictive_sd(self, X: pd.DataFrame, mean: Vector) -> Vector:
        """Return how far predictions are expected to be off, (n, k) columns and (n,) predictions -> (n,)."""
        if self.sd_ is None:
            raise InvalidInputError(
                f"a {type(self).__name__} does not know how far off it is. A surrogate with this model does "
                "(Surrogate.posterior): it measures that on rows left out."
            )
        return np.full(len(mean), self.sd_)

    @property
    def heteroscedastic(self) -> bool:
        """Whether the predictive standard deviation differs from network to network."""
        return False

    @property
    def knows_distance(self) -> bool:
        """Whether the standard deviation grows as networks differ from the training ones."""
        return False

    @property
    def relative_errors(self) -> bool:
        """Whether predictions are off by a part of the cost rather than by the same amount everywhere."""
        return False

    @property
    def extrapolates(self) -> bool:
        """Whether the columns mean the same under every config and in every space, as those of layer physics do."""
        return False

    @property
    def general_weight(self) -> float:
        """The weight of what was learned beyond physics and sources, from 0 to 1."""
        return 1.0

    @property
    def source_weight(self) -> float:
        """How much the measurements speak for other devices having a share in the cost, from 0 to 1; not saved."""
        return 0.0

    @property
    def layer_physics(self) -> CostModel | None:
        """The part that reads nothing but the columns of layer physics, which any network has; None without one."""
        return None

    def reduced(self) -> CostModel:
        """Return the part that has all the weight; the model itself where no part does."""
        return self

    def to_arrays(self) -> Arrays:
        """Return what was learned as arrays: all that is saved.

        Raises
        ------
        SavedFormatError
            If the model can't be saved.
        """
        raise SavedFormatError(f"a {type(self).__name__} can't be saved: it has no to_arrays and from_arrays.")

    def from_arrays(self, arrays: Arrays, feature_names: npt.NDArray[np.object_]) -> Self:
        """Take back what :meth:`to_arrays` returned, for columns of these names, shape (k,)."""
        raise SavedFormatError(f"a {type(self).__name__} can't be loaded: it has no to_arrays and from_arrays.")

    def _checked(self, X: pd.DataFrame | Vector, y: npt.ArrayLike) -> tuple[Vector, Vector, Columns]:
        """Take note of the columns' names, and return values, costs and columns; those of an array are one group."""
        validate_data(self, X, skip_check_array=True)
        return np.asarray(X, np.float64), np.asarray(y, np.float64), Columns.of(X)

    def _values(self, X: pd.DataFrame | Vector) -> Vector:
        """Return the values to predict for, or raise unless the columns are those of ``fit``, in the same order."""
        validate_data(self, X, reset=False, skip_check_array=True)
        return np.asarray(X, np.float64)

    def _columns_are(self, feature_names: npt.NDArray[np.object_]) -> None:
        self.feature_names_in_, self.n_features_in_ = feature_names, len(feature_names)


class ConstantCost(CostModel):
    """Predicts one number: what is left to say where all training costs are equal.

    Attributes
    ----------
    constant_ : float
        The number.
    """

    constant_: float

    def fit(self, X: pd.DataFrame | Vector, y: npt.ArrayLike) -> Self:
        """Fit on (n, k) named columns and n equal costs.

        Equal costs don't tell how far the next may be off: the fewer they are, the farther.
        """
        _, costs, _ = self._checked(X, y)
        self.constant_ = float(costs[0])
        self.residuals_ = costs / (len(costs) + 1) * (-1.0) ** np.arange(len(costs))
        self.sd_ = float(np.abs(self.residuals_).max())
        return self

    def predict(self, X: pd.DataFrame | Vector) -> Vector:
        """Predict costs: (n, k) named columns as in ``fit`` -> (n,)."""
        check_is_fitted(self, "constant_")
        return np.full(len(self._values(X)), self.constant_)

    @property
    def general_weight(self) -> float:
        """0: nothing was learned of networks."""
        return 0.0

    def to_arrays(self) -> Arrays:
        """Return what was learned as arrays."""
        check_is_fitted(self, "constant_")
        return {"constant": np.array([self.constant_]), "sd": np.array([self.sd_], np.float64)}

    def from_arrays(self, arrays: Arrays, feature_names: npt.NDArray[np.object_]) -> Self:
        """Take back what :meth:`to_arrays` returned, for columns of these names, shape (k,)."""
        self._columns_are(feature_names)
        self.constant_ = float(checked_array(arrays, "constant", (1,))[0])
        self.sd_ = float(checked_array(arrays, "sd", (1,), 0.0)[0])
        return self


class _Foreign(CostModel):
    """A scikit-learn regressor of somebody else's, with the answers that it can't give."""

    def __init__(self, regressor: Any = None) -> None:
        self.regressor = regressor

    def fit(self, X: pd.DataFrame | Vector, y: npt.ArrayLike) -> Self:
        self.regressor.fit(X, y)
        return self

    def predict(self, X: pd.DataFrame | Vector) -> Vector:
        return np.asarray(self.regressor.predict(X), np.float64)


def cost_model(regressor: Any) -> CostModel:
    """Return a regressor as a :class:`CostModel`: itself if it is one, else wrapped, knowing nothing of its errors."""
    return regressor if isinstance(regressor, CostModel) else _Foreign(regressor)


def checked_array(arrays: Arrays, name: str, shape: tuple[int, ...], least: float = -np.inf) -> Vector:
    """Return one of the arrays that a model is loaded from.

    Raises
    ------
    InvalidInputError
        If it is missing, not of float64 and this shape, or holds a number below the least.
    """
    if name not in arrays:
        raise InvalidInputError(f"the array {name} is missing.")
    array = arrays[name]
    if array.shape != shape or array.dtype != np.float64:
        raise InvalidInputError(f"{name} must be float64 of shape {shape}, got {array.dtype} of {array.shape}.")
    if not (array >= least).all():
        raise InvalidInputError(f"{name} must be at least {least:g}, got {array.min():g}.")
    return array
