"""The surrogate: a scikit-learn estimator over architectures that predicts one target."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.dummy import DummyRegressor
from sklearn.utils.validation import check_is_fitted

from hwnas_surrogate.errors import InvalidConfigError, InvalidInputError
from hwnas_surrogate.features import Encoder, make_encoder
from hwnas_surrogate.models import make_model
from hwnas_surrogate.spaces import Archs, ConfigLike, NetworkConfig, SearchSpace, get_space

__all__ = ["Surrogate"]

Configs = ConfigLike | Sequence[ConfigLike] | npt.NDArray[Any]
Vector = npt.NDArray[np.float64]

MIN_ROWS = 2


class Surrogate(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Predicts the cost of architectures on one device.

    Parameters
    ----------
    space : str or SearchSpace, default="nasbench201"
        The search space.
    encoder : Encoder or str, optional
        How architectures become numbers; all encodings side by side if None.
    model : scikit-learn regressor or str, optional
        What regresses the cost; if None, a ridge on the columns that leave-one-out asks for, and boosted trees on what
        it leaves where cross-validation asks for them.
    random_state : int or None, default=None
        Seed of models that draw numbers and have no seed of their own.

    Attributes
    ----------
    encoder_ : Encoder
    model_ : scikit-learn regressor
        Fitted on costs divided by ``scale_``, a power of two, so that its settings do not depend on the unit.
    configs_ : tuple of NetworkConfig
        The distinct configs trained on.
    target_ : Target or None
        What is predicted, where that is known.
    n_train_ : int
        Training rows.
    floor_ : float
        Smallest prediction: half the smallest training cost, so that positive costs are predicted positive.

    Examples
    --------
    >>> from hwnas_surrogate.spaces import get_space
    >>> space = get_space("nasbench201")
    >>> archs = space.sample(200, random_state=0)
    >>> megamacs = space.layers(archs).macs / 1e6
    >>> surrogate = Surrogate().fit(archs[:100], megamacs[:100])
    >>> round(surrogate.score(archs[100:], megamacs[100:]), 3)
    1.0
    """

    def __init__(
        self,
        space: str | SearchSpace = "nasbench201",
        encoder: Encoder | str | None = None,
        model: Any = None,
        random_state: int | None = None,
    ) -> None:
        self.space = space
        self.encoder = encoder
        self.model = model
        self.random_state = random_state

    def fit(self, archs: Archs, cost: npt.ArrayLike, configs: Configs = None) -> Self:
        """Fit on measured costs.

        Parameters
        ----------
        archs : architectures
            n of them, in any form that the space accepts.
        cost : array-like of float, shape (n,)
            Their costs: finite, not negative, all in one unit.
        configs : config or sequence of n configs, optional
            The network configs; the space's first published one if None.

        Returns
        -------
        Surrogate

        Raises
        ------
        InvalidInputError
            If there are fewer than two costs, their number is not that of the architectures, or one is missing,
            infinite or negative.
        """
        encoder, features, self.configs_ = self._training(archs, configs)
        return self._fit_encoded(encoder, features, cost)

    def predict(self, archs: Archs, configs: Configs = None) -> Vector:
        """Predict costs.

        Parameters
        ----------
        archs : architectures
            n of them.
        configs : config or sequence of n configs, optional
            The network configs; the one trained on if None.

        Returns
        -------
        ndarray of float64, shape (n,)
            In the unit of the training costs.

        Raises
        ------
        InvalidConfigError
            If no config is given and there were several in training.
        """
        return self._predict_encoded(self._frame(archs, configs))

    def score(self, archs: Archs, cost: npt.ArrayLike, configs: Configs = None) -> float:
        """Return Spearman's rank correlation of predicted and measured costs."""
        return float(spearmanr(np.asarray(cost, np.float64), self.predict(archs, configs)).statistic)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Save to a folder: ``manifest.json`` and weights, no pickle; see :meth:`load`."""
        from hwnas_surrogate.trainers.saving import save

        return save(self, folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Load what :meth:`save` wrote.

        Raises
        ------
        SavedFormatError
            If the folder holds no surrogate, is damaged, or is of another format version.
        """
        from hwnas_surrogate.trainers.saving import load

        return load(folder, cls)

    def _encoder(self) -> Encoder:
        space = get_space(self.space)
        if self.encoder is None or isinstance(self.encoder, str):
            return make_encoder(self.encoder or "combined", space)
        if not isinstance(self.encoder, Encoder):
            raise InvalidInputError(f"encoder must be an Encoder, its name or None, got {type(self.encoder).__name__}.")
        if get_space(self.encoder.space) is not space:
            raise InvalidInputError(
                f"the surrogate is over {space.name!r}, its encoder over {get_space(self.encoder.space).name!r}."
            )
        return clone(self.encoder)  # type: ignore[no-any-return]

    def _model(self) -> Any:
        if self.model is None or isinstance(self.model, str):
            return make_model(self.model or "boosted", self.random_state)
        if isinstance(self.model, type) or not (hasattr(self.model, "fit") and hasattr(self.model, "predict")):
            raise InvalidInputError(
                f"model must be a scikit-learn regressor, a model's name or None, got {self.model!r:.80}."
            )
        model = clone(self.model)
        if self.random_state is not None and model.get_params(deep=False).get("random_state", 0) is None:
            model.set_params(random_state=self.random_state)
        return model

    def _training(self, archs: Archs, configs: Configs) -> tuple[Encoder, pd.DataFrame, tuple[NetworkConfig, ...]]:
        """Return the encoder, what it makes of the training architectures, and their distinct configs."""
        encoder, space = self._encoder(), get_space(self.space)
        batch = space.as_array(archs)
        distinct, _ = space.group_configs(configs, len(batch))
        return encoder, encoder.frame(batch, configs), distinct

    def _frame(self, archs: Archs, configs: Configs) -> pd.DataFrame:
        """Encode what is to be predicted, under the training config if none is given."""
        check_is_fitted(self, "model_")
        if configs is None and len(self.configs_) > 1:
            raise InvalidConfigError(
                f"the surrogate was trained under {len(self.configs_)} configs "
                f"({', '.join(map(str, self.configs_[:3]))}, ...): say which one to predict for."
            )
        return self.encoder_.frame(archs, self.configs_[0] if configs is None else configs)

    def _fit_encoded(self, encoder: Encoder, features: pd.DataFrame, cost: npt.ArrayLike) -> Self:
        costs = _checked_cost(cost, len(features))
        self.encoder_, self.target_ = encoder, getattr(self, "target_", None)
        self.n_train_, self.n_features_in_ = len(costs), features.shape[1]
        mean = float(costs.mean())
        self.scale_ = 2.0 ** round(math.log2(mean)) if mean > 0 else 1.0
        self.floor_ = float(costs.min()) / 2
        if costs.min() == costs.max():
            self.model_ = DummyRegressor(strategy="constant", constant=costs[0] / self.scale_)
        else:
            self.model_ = self._model()
        self.model_.fit(features, costs / self.scale_)
        _predict_on_one_thread(self.model_)
        return self

    def _predict_encoded(self, features: pd.DataFrame) -> Vector:
        if not len(features):
            return np.empty(0)
        predicted = np.asarray(self.model_.predict(features), np.float64) * self.scale_
        return np.maximum(predicted, self.floor_)


def _predict_on_one_thread(model: Any) -> None:
    """Make predictions repeatable to the bit: forests sum their trees in the order that threads finish."""
    threads = [name for name in model.get_params() if name.rpartition("__")[2] == "n_jobs"]
    model.set_params(**dict.fromkeys(threads, 1))


def _checked_cost(cost: npt.ArrayLike, n: int) -> Vector:
    try:
        costs = np.asarray(cost, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"costs must be numbers: {error}.") from error
    if costs.ndim == 2 and costs.shape[1] == 1:
        costs = costs[:, 0]
    if costs.shape != (n,):
        raise InvalidInputError(f"cost must hold one value per architecture, ({n},), got shape {costs.shape}.")
    if n < MIN_ROWS:
        raise InvalidInputError(f"a surrogate needs at least {MIN_ROWS} measured architectures, got {n}.")
    refuse_costs(costs, ~np.isfinite(costs) | (costs < 0))
    return costs


def refuse_costs(costs: Vector, wrong: npt.NDArray[np.bool_]) -> None:
    """Raise if any cost is wrong, naming the first."""
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InvalidInputError(
            f"costs must be finite and not negative, got {costs[row]} in row {row} ({int(wrong.sum())} such values in "
            "all). Leave rows without a measured cost out (a SurrogateSuite does so by itself)."
        )
