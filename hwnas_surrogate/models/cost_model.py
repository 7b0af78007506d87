"""The interface of the models that regress costs."""

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
    """Base of our models: a scikit-learn regressor with a predictive distribution.

    A new model implements :meth:`fit` and :meth:`predict`; everything else has a default. Any scikit-learn regressor
    works too (:func:`cost_model` adds the defaults). Columns come as a DataFrame; their names hold their meaning
    (:class:`~hwnas_surrogate.columns.Columns`).

    Attributes
    ----------
    residuals_ : ndarray of float64, shape (n,), or None
        Leave-one-out residuals of the training costs (measured minus predicted); None if not computed. Not saved.
    sds_ : ndarray of float64, shape (n,), or None
        Predictive standard deviations of the leave-one-out predictions, where they differ by network. Not saved.
    precisions_ : ndarray of float64, shape (n,), or None
        Relative precision of each training cost: about 1, and near 0 for outliers. Not saved.
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
        """Return the predictive distribution of the costs of n networks: (n, k) named columns as in ``fit``.

        Raises
        ------
        InvalidInputError
            If the model has no predictive standard deviation.
        """
        return NormalPosterior(self.predict(X), self.predictive_sd(X))

    def predictive_sd(self, X: pd.DataFrame) -> Vector:
        """Return the predictive standard deviation of each cost: (n, k) named columns as in ``fit`` -> (n,).

        Raises
        ------
        InvalidInputError
            If the model does not know how far off it is.
        """
        if self.sd_ is None:
            raise InvalidInputError(
                f"a {type(self).__name__} does not know how far off it is. A surrogate with this model does "
                "(Surrogate.posterior): it measures that on rows left out."
            )
        return np.full(len(X), self.sd_)

    @property
    def heteroscedastic(self) -> bool:
        """Whether the predictive standard deviation differs from network to network."""
        return False

    @property
    def knows_distance(self) -> bool:
        """Whether the standard deviation grows with the distance from the training networks."""
        return False

    @property
    def relative_errors(self) -> bool:
        """Whether errors are proportional to the cost rather than of the same size everywhere."""
        return False

    @property
    def extrapolates(self) -> bool:
        """Whether the model extrapolates to other configs and spaces, as layer physics does."""
        return False

    @property
    def general_weight(self) -> float:
        """The weight of everything beyond physics and sources in the prediction, from 0 to 1."""
        return 1.0

    @property
    def source_weight(self) -> float:
        """Posterior probability that other devices have a share in the cost, from 0 to 1; not saved."""
        return 0.0

    @property
    def layer_physics(self) -> CostModel | None:
        """The part that reads only the columns of layer physics, which any network has; None if there is none."""
        return None

    def reduced(self) -> CostModel:
        """Return the part that has all the weight, or the model itself if no part does."""
        return self

    def to_arrays(self) -> Arrays:
        """Return the fitted parameters as arrays: everything that is saved.

        Raises
        ------
        SavedFormatError
            If the model can't be saved.
        """
        raise SavedFormatError(f"a {type(self).__name__} can't be saved: it has no to_arrays and from_arrays.")

    def from_arrays(self, arrays: Arrays, feature_names: npt.NDArray[np.object_]) -> Self:
        """Restore from the arrays of :meth:`to_arrays`, for columns of these names, shape (k,)."""
        raise SavedFormatError(f"a {type(self).__name__} can't be loaded: it has no to_arrays and from_arrays.")

    def _checked(self, X: pd.DataFrame | Vector, y: npt.ArrayLike) -> tuple[Vector, Vector, Columns]:
        """Store the columns' names; return values, costs and columns. Columns of an array are one group."""
        validate_data(self, X, skip_check_array=True)
        return _floats(X), _floats(y), Columns.of(X)

    def _values(self, X: pd.DataFrame | Vector) -> Vector:
        """Return the values of the columns, or raise unless they are those of ``fit`` in the same order."""
        # scikit-learn's check takes a millisecond, and finds nothing where the names are equal.
        if not (isinstance(X, pd.DataFrame) and np.array_equal(X.columns, getattr(self, "feature_names_in_", ()))):
            validate_data(self, X, reset=False, skip_check_array=True)
        return _floats(X)

    def _columns_are(self, feature_names: npt.NDArray[np.object_]) -> None:
        self.feature_names_in_, self.n_features_in_ = feature_names, len(feature_names)


class ConstantCost(CostModel):
    """Predicts a constant, for training costs that are all equal.

    Attributes
    ----------
    constant_ : float
        The number.
    """

    constant_: float

    def fit(self, X: pd.DataFrame | Vector, y: npt.ArrayLike) -> Self:
        """Fit on (n, k) named columns and n equal costs.

        Equal costs hold no information about the error. It is taken to be ``cost / (n + 1)``.
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
        """0: the prediction does not depend on the network."""
        return 0.0

    def to_arrays(self) -> Arrays:
        """Return the fitted parameters as arrays."""
        check_is_fitted(self, "constant_")
        return {"constant": np.array([self.constant_]), "sd": np.array([self.sd_], np.float64)}

    def from_arrays(self, arrays: Arrays, feature_names: npt.NDArray[np.object_]) -> Self:
        """Restore from the arrays of :meth:`to_arrays`, for columns of these names, shape (k,)."""
        self._columns_are(feature_names)
        self.constant_ = float(checked_array(arrays, "constant", (1,))[0])
        self.sd_ = float(checked_array(arrays, "sd", (1,), 0.0)[0])
        return self


class _Foreign(CostModel):
    """Adapter that gives any scikit-learn regressor the defaults of :class:`CostModel`."""

    def __init__(self, regressor: Any = None) -> None:
        self.regressor = regressor

    def fit(self, X: pd.DataFrame | Vector, y: npt.ArrayLike) -> Self:
        self.regressor.fit(X, y)
        return self

    def predict(self, X: pd.DataFrame | Vector) -> Vector:
        return np.asarray(self.regressor.predict(X), np.float64)


def cost_model(regressor: Any) -> CostModel:
    """Return a regressor as a :class:`CostModel`: itself if it is one, else wrapped, without a standard deviation."""
    return regressor if isinstance(regressor, CostModel) else _Foreign(regressor)


def checked_array(arrays: Arrays, name: str, shape: tuple[int, ...], least: float = -np.inf) -> Vector:
    """Return one of the arrays of a saved model, checked.

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


def _floats(values: Any) -> Vector:
    """Return columns or costs as float64, or raise if numpy can't."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInputError(f"columns and costs must be numbers: {str(error).rstrip('.')}.") from error
