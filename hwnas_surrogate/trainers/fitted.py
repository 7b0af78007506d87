"""The fitted surrogate: attributes, and predictions for encoded networks."""

from __future__ import annotations

import math
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin, clone

from hwnas_surrogate.data.target import METRICS, Target
from hwnas_surrogate.errors import InvalidInputError, SavedFormatError
from hwnas_surrogate.features import Encoder, LayerPhysics
from hwnas_surrogate.models import ConstantCost, PhysicsGP, cost_model
from hwnas_surrogate.models.forked import limit_threads_if_forked
from hwnas_surrogate.models.operator_stack import OPERATORS
from hwnas_surrogate.spaces import NetworkConfig, get_space
from hwnas_surrogate.spaces.reading import is_integer
from hwnas_surrogate.trainers.calibration import Calibration
from hwnas_surrogate.trainers.costs import checked_coverage
from hwnas_surrogate.trainers.encoded import Encoded
from hwnas_surrogate.trainers.extrapolation import growth_steps, widened
from hwnas_surrogate.trainers.operator_costs import OperatorCosts, with_sums

__all__ = ["SMALLER", "FittedSurrogate", "operator_sources"]

Vector = npt.NDArray[np.float64]

SMALLER = 100
"""Graphs are of any size: the smallest prediction is the smallest training cost over this."""
_FASTEST = 1e-3
"""Smallest time of a throughput's interval, relative to half the time of the fastest measured network."""


class FittedSurrogate(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Base of :class:`Surrogate`: the fitted attributes, described there, and predictions from columns."""

    encoder_: Encoder
    columns_: tuple[str, ...]
    model_: Any
    other_model_: Any
    classifier_: Any
    calibration_: Calibration | None
    configs_: tuple[NetworkConfig | None, ...]
    bases_: tuple[NetworkConfig | None, ...]
    general_: bool
    macs_range_: tuple[float, float]
    metric_: str
    target_: Target | None
    n_train_: int
    n_features_in_: int
    physics_: PhysicsGP | None
    operators_: OperatorCosts | None
    scale_: float
    floor_: float

    @property
    def physical(self) -> bool:
        """Whether the fitted model's columns mean the same under every config (layer physics)."""
        return cost_model(self.model_).extrapolates

    def _yardstick(self, features: pd.DataFrame) -> Vector:
        """Return the columns that measure the distance of rows from the training rows, (n, k).

        k is 0 where the model's standard deviation grows with the distance, as that of layer physics does.
        """
        return np.asarray(features, np.float64)[:, : self.n_yardsticks]

    @property
    def _cheapest(self) -> float:
        """The smallest training cost of a surrogate of graphs, relative to ``scale_``."""
        return SMALLER * self.floor_ / self.scale_

    @property
    def n_yardsticks(self) -> int:
        """The number of columns that measure the distance from the training rows: all, or 0."""
        return 0 if cost_model(self.model_).knows_distance else self.n_features_in_

    def predict_encoded(self, query: Encoded) -> Vector:
        """Predict encoded networks, shape (n,), in the metric's unit."""
        return METRICS[self.metric_].from_cost(self.cost_encoded(query))

    def cost_encoded(self, query: Encoded) -> Vector:
        """Predict the costs of encoded networks, shape (n,): the quantity that the surrogate is fitted to."""
        if not len(query):
            return np.empty(0)
        if query.base is not None and query.growth is not None:
            return self._extrapolated(query, self.cost_encoded(query.base), query.growth)
        limit_threads_if_forked()
        predicted = self._by_model(query, lambda model, X: np.asarray(model.predict(X), np.float64))
        return np.maximum(predicted * self.scale_, self.floor_)

    def _extrapolated(self, query: Encoded, known: Vector, factors: Vector) -> Vector:
        """Predict under other configs.

        A physical model predicts itself. Otherwise the prediction is the one under a known config, times the geometric
        mean of the smallest and largest growth of the counts. A general model's own prediction is preferred if it lies
        in the range that the growth allows.
        """
        if self.physical:
            return self.cost_encoded(query.alone())
        middle: Vector = known * np.sqrt(factors.prod(axis=1))
        if not self.general_:
            return middle
        low, high = (known[:, None] * widened(np.ones_like(factors), factors)).T
        own = self.cost_encoded(query.alone())
        return np.where((low <= own) & (own <= high), own, middle)

    def _by_model(self, query: Encoded, predict: Callable[[Any, pd.DataFrame], Vector]) -> Vector:
        """Predict by ``model_``, and by ``other_model_`` for rows under configs that were not trained on, (n,)."""
        if self.other_model_ is None or (known := query.under(self.configs_)).all():
            return predict(self.model_, self.completed(query).features)
        result = np.empty(len(query))
        for model, rows in ((self.model_, known), (self.other_model_, ~known)):
            if rows.any():
                result[rows] = predict(model, query.features[rows])
        return result

    def completed(self, query: Encoded) -> Encoded:
        """Return encoded networks with the columns that were learned with the surrogate, after the encoder's."""
        if self.operators_ is None or OPERATORS.name in query.features:
            return query
        return replace(query, features=with_sums(query.features, self.operators_.sums(query.batch), self._cheapest))

    def interval_encoded(self, query: Encoded, coverage: float) -> Vector:
        """Predict intervals of encoded networks, shape (n, 2), in the metric's unit."""
        bounds, metric = self._cost_interval(query, checked_coverage(coverage)), METRICS[self.metric_]
        if metric.cost == "reciprocal":  # a time of 0 would be an infinite throughput
            bounds = np.maximum(bounds, _FASTEST * self.floor_)
        return np.sort(metric.from_cost(bounds), axis=1)

    def _cost_interval(self, query: Encoded, coverage: float) -> Vector:
        if not len(query):
            return np.empty((0, 2))
        if query.base is not None and query.growth is not None:
            bounds = widened(self._cost_interval(query.base, coverage), query.growth)
            predicted = self.cost_encoded(query)
            return np.stack([np.minimum(bounds[:, 0], predicted), np.maximum(bounds[:, 1], predicted)], axis=1)
        try:
            bounds = self._calibrated().interval(*self._calibration_inputs(query), coverage) * self.scale_
        except InvalidInputError as error:
            raise error if self.target_ is None else InvalidInputError(f"{self.target_}: {error}") from error
        return np.maximum(bounds, 0.0)

    def within_encoded(self, query: Encoded, budget: Vector) -> Vector:
        """Predict the probability that encoded networks are within budgets, shape (n,)."""
        return self._as_good_as(query, budget) * self.has_cost_encoded(query)

    def below_encoded(self, query: Encoded, bound: Vector) -> Vector:
        """Predict the probability that the values of encoded networks are at most bounds, shape (n,).

        Bounds and values are in the metric's unit. The networks are taken to run on the device.
        """
        probability = self._as_good_as(query, bound)
        return 1.0 - probability if METRICS[self.metric_].larger_is_better else probability

    def _as_good_as(self, query: Encoded, value: Vector) -> Vector:
        """Return the probability that networks that run are at least as good as values in the metric's unit, (n,)."""
        metric, calibration = METRICS[self.metric_], self._calibrated()
        if metric.larger_is_better and (value <= 0).any():  # every network reaches 0
            probability, positive = np.ones(len(query)), np.flatnonzero(value > 0)
            probability[positive] = self._as_good_as(query.rows(positive), value[positive])
            return probability
        if not len(query):
            return np.empty(0)
        budget = metric.to_cost(value)
        known = query if query.base is None else query.base
        inputs = self._calibration_inputs(known)
        factors = np.ones((1, len(query))) if query.growth is None else growth_steps(query.growth)
        each = [calibration.probability(*inputs, budget / (factor * self.scale_)) for factor in factors]
        return np.where(budget < 0, 0.0, np.mean(each, axis=0))

    def has_cost_encoded(self, query: Encoded) -> Vector:
        """Predict the probability that the device can run encoded networks, shape (n,)."""
        if self.classifier_ is None or not len(query):
            return np.ones(len(query))
        known = query if query.base is None else query.base
        return np.asarray(self.classifier_.predict_proba(known.only(self.columns_).features)[:, 1], np.float64)

    def _calibrated(self) -> Calibration:
        if self.calibration_ is None:
            raise InvalidInputError(
                "the surrogate was fitted with calibrate=False: it knows no intervals; fit it again."
            )
        return self.calibration_

    def _calibration_inputs(self, query: Encoded) -> tuple[Vector, Vector, Vector, Vector]:
        """Return features, predictions over ``scale_``, their sds, and log2 distances from the trained configs."""
        query = self.completed(query)
        predicted, model = self.cost_encoded(query) / self.scale_, cost_model(self.model_)
        sds = model.predictive_sd(query.features) if model.heteroscedastic else np.ones(len(query))
        return self._yardstick(query.features), predicted, sds, query.distances(self.configs_)

    def to_state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Describe the fitted surrogate.

        Returns
        -------
        state : dict
            Values that JSON can hold.
        parts : dict
            The fitted ``model``; ``other_model`` and ``classifier``, and the arrays of ``calibration``, ``physics`` and
            ``operators``, or None.

        Raises
        ------
        SavedFormatError
            If a number is so large that predictions would overflow.
        """
        target, model = self.target_, self.model
        state = {
            "target": None
            if target is None
            else {"device": target.device, "metric": target.metric, "unit": target.unit},
            "metric": self.metric_,
            "own_encoder": self.encoder is not None,
            "model_name": model if isinstance(model, str) else None,
            "own_model": model is not None and not isinstance(model, str),
            "configs": [config and str(config) for config in self.configs_],
            "bases": [config and str(config) for config in self.bases_],
            "general": self.general_,
            "scale": self.scale_,
            "floor": self.floor_,
            "smallest_macs": self.macs_range_[0],
            "largest_macs": self.macs_range_[1],
            "n_train": self.n_train_,
        }
        for name in ("scale", "floor"):
            _number(state, name)
        parts = {
            "model": self.model_,
            "other_model": self.other_model_,
            "classifier": self.classifier_,
            "calibration": None if self.calibration_ is None else self.calibration_.to_arrays(),
            "physics": None if self.physics_ is None else self.physics_.to_arrays(),
            "operators": None if self.operators_ is None else self.operators_.to_arrays(),
        }
        return state, parts

    @classmethod
    def from_state(
        cls,
        state: Mapping[str, Any],
        parts: Mapping[str, Any],
        space: str | None,
        encoder: Encoder,
        sources: tuple[Any, ...] = (),
    ) -> Self:
        """Return the fitted surrogate that :meth:`to_state` described.

        Parameters
        ----------
        state, parts : mapping
        space : str or None
            The name of its search space; None of graphs.
        encoder : Encoder
            The encoder of its columns.
        sources : tuple of Surrogate, default=()
            The source surrogates whose predictions are among its columns.

        Raises
        ------
        SavedFormatError
            If a value can't be one of a fitted surrogate.
        """
        model = parts["model"]
        for name, method in (("model", "predict"), ("other_model", "predict"), ("classifier", "predict_proba")):
            part = parts[name]
            if (part is not None or name == "model") and not hasattr(part, method):
                raise SavedFormatError(f"the {name} can't be a {type(part).__name__}: it has no {method}.")
        given = clone(model) if state["own_model"] and not isinstance(model, ConstantCost) else state["model_name"]
        own = cls.of_settings(space, encoder if state["own_encoder"] else None, given, sources)
        own.encoder_, own.model_, own.other_model_ = encoder, model, parts["other_model"]
        own.classifier_ = parts["classifier"]
        own.columns_ = encoder.columns.names
        own.n_features_in_ = len(own.columns_)
        own._take_target(state)
        own.configs_, own.bases_ = (_configs(state, name, encoder, space) for name in ("configs", "bases"))
        own.general_ = state["general"] is True
        own.scale_, own.floor_ = _number(state, "scale"), _number(state, "floor")
        if not own.scale_:
            raise SavedFormatError("the scale of the costs must be above 0, got 0.")
        own.macs_range_ = smallest, largest = _number(state, "smallest_macs"), _number(state, "largest_macs")
        if smallest > largest:
            raise SavedFormatError(f"smallest_macs must not be above largest_macs, got {smallest} and {largest}.")
        own.n_train_ = state["n_train"]
        if not is_integer(own.n_train_) or own.n_train_ < 0:
            raise SavedFormatError(f"n_train must be an integer of at least 0, got {own.n_train_!r}.")
        own.calibration_ = None
        if parts["calibration"] is not None:
            try:
                own.calibration_ = Calibration().from_arrays(parts["calibration"], own.n_yardsticks)
            except (InvalidInputError, KeyError, TypeError) as error:
                raise SavedFormatError(f"the calibration can't be read: {error}.") from error
        own.physics_ = None
        if parts.get("physics") is not None:  # earlier versions saved none
            try:
                own.physics_ = PhysicsGP().from_arrays(parts["physics"], LayerPhysics(None).get_feature_names_out())
            except (InvalidInputError, KeyError, TypeError, AttributeError) as error:
                raise SavedFormatError(f"layer physics can't be read: {error}.") from error
        own.operators_ = None
        if parts.get("operators") is not None:
            try:
                own.operators_ = OperatorCosts.from_arrays(parts["operators"], operator_sources(sources))
            except (InvalidInputError, KeyError, TypeError, AttributeError) as error:
                raise SavedFormatError(f"the costs of operators can't be read: {error}.") from error
        return own

    def check_predictions(self, query: Encoded) -> None:
        """Predict a few networks, whatever their configs, by each fitted part.

        Raises
        ------
        SavedFormatError
            If a part does not answer with one finite number per network.
        """
        try:
            with np.errstate(all="ignore"):
                answers = dict(self._answers(query))
        except Exception as error:
            raise SavedFormatError(f"the surrogate loads, but can't predict: {error!r}.") from error
        for name, (given, width) in answers.items():
            if given.shape != (len(query), *width) or not np.isfinite(given).all():
                raise SavedFormatError(
                    f"the {name} of {len(query)} networks must be {(len(query), *width)} finite numbers, got "
                    f"{given!r:.100}."
                )

    def _answers(self, query: Encoded) -> Iterator[tuple[str, tuple[Vector, tuple[int, ...]]]]:
        """Yield what each fitted part says of networks, and the shape of an answer; each model predicts once."""
        query = self.completed(query)
        costs = np.asarray(self.model_.predict(query.features), np.float64)
        yield "predictions", (costs, ())
        if self.other_model_ is not None:
            yield "predictions under other configs", (np.asarray(self.other_model_.predict(query.features)), ())
        if self.classifier_ is not None:
            own = query.only(self.columns_).features
            yield "probabilities", (np.asarray(self.classifier_.predict_proba(own)), (2,))
        if self.calibration_ is not None:
            model, costs = cost_model(self.model_), np.maximum(costs, self.floor_ / self.scale_)
            ones = np.ones(len(query))
            sds = model.predictive_sd(query.features) if model.heteroscedastic else ones
            for distances in (0 * ones, ones):
                bounds = self.calibration_.interval(self._yardstick(query.features), costs, sds, distances, 0.5)
                yield f"intervals {distances[0]:g} from the configs", (bounds * self.scale_, (2,))

    def _take_target(self, state: Mapping[str, Any]) -> None:
        saved = state["target"]
        self.target_ = None if saved is None else Target(saved["device"], saved["metric"])
        if self.target_ is not None and saved["unit"] != self.target_.unit:
            raise SavedFormatError(f"{self.target_} was saved in {saved['unit']!r}, not {self.target_.unit!r}.")
        self.metric = self.metric_ = state["metric"]
        if not isinstance(self.metric, str) or self.metric not in METRICS:
            raise SavedFormatError(f"the metric must be one of {', '.join(METRICS)}, got {self.metric!r:.60}.")

    @classmethod
    def of_settings(cls, space: str | None, encoder: Encoder | None, model: Any, sources: tuple[Any, ...]) -> Self:
        """Return an unfitted surrogate with these settings; ``sources`` are the surrogates that its encoder reads."""
        return cls(space, encoder=encoder, model=model)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the models on their own: see :class:`_Pickled`."""
        state: dict[str, Any] = super().__getstate__()
        return state | {name: _Pickled(state[name]) for name in ("model_", "other_model_") if name in state}


class _Pickled:
    """A fitted model that is unpickled on one thread in a forked child, where XGBoost hangs on its own pickles."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        return _unpickled, (pickle.dumps(self.model),)


def _unpickled(data: bytes) -> Any:
    limit_threads_if_forked()
    return pickle.loads(data)


def _configs(
    state: Mapping[str, Any], name: str, encoder: Encoder, space: str | None
) -> tuple[NetworkConfig | None, ...]:
    """Return the configs that a state names: at least one, or None alone where columns are of any network."""
    texts, known = state[name], get_space(space)
    if encoder.space is None and texts == [None]:
        return (None,)
    if known is None:
        raise SavedFormatError(f"{name} of a surrogate of graphs must be [null], got {texts!r:.80}.")
    if not (isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts)):
        raise SavedFormatError(f"{name} must be a list of configs, one at least, got {texts!r:.80}.")
    return tuple(known.config(text) for text in texts)


def _number(state: Mapping[str, Any], name: str) -> float:
    """Return a number of the state, or raise if it is negative, or so large that its square overflows."""
    value, limit = state[name], math.sqrt(sys.float_info.max)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= limit:
        raise SavedFormatError(f"{name} must be a number from 0 to {limit:.0e}, got {value!r}.")
    return value


def operator_sources(surrogates: Iterable[FittedSurrogate]) -> tuple[OperatorCosts, ...]:
    """Return what those of several surrogates know of operators that have learned their costs."""
    return tuple(one.operators_ for one in surrogates if one.operators_ is not None)
