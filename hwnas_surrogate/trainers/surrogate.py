"""The surrogate: a scikit-learn estimator over networks that predicts one target."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from hwnas_surrogate.data.profiles import Profiles
from hwnas_surrogate.data.target import METRICS, Metric, Target
from hwnas_surrogate.errors import InvalidGraphError, InvalidInputError, SavedFormatError, unknown
from hwnas_surrogate.features import Combined, Encoder, LayerPhysics, PeakMemory, make_encoder
from hwnas_surrogate.graphs import GraphBatch, NetworkBatch
from hwnas_surrogate.models import (
    DEFAULT,
    AnchoredStack,
    ConstantCost,
    CostModel,
    OperatorStack,
    PhysicsGP,
    PhysicsStack,
    Posterior,
    cost_model,
    make_classifier,
    make_model,
)
from hwnas_surrogate.models.forked import limit_threads_if_forked
from hwnas_surrogate.random_states import RandomState, as_seed
from hwnas_surrogate.reals import reals
from hwnas_surrogate.spaces import ArchBatch, ConfigLike, Configs, Networks, SearchSpace, as_batch, get_space
from hwnas_surrogate.trainers.calibration import (
    Calibration,
    config_left_out,
    expensive_left_out,
    residuals_by_row,
    spreads,
)
from hwnas_surrogate.trainers.costs import checked_budget, checked_cost, checked_coverage
from hwnas_surrogate.trainers.encoded import Encoded, config_sizes, each_once, encode, stack_encoder
from hwnas_surrogate.trainers.explaining import explained
from hwnas_surrogate.trainers.explanation import Explanation
from hwnas_surrogate.trainers.extrapolation import MIN_BALANCED, MIN_CONFIGS, balanced_rows, spanning
from hwnas_surrogate.trainers.fitted import SMALLER, FittedSurrogate, operator_sources
from hwnas_surrogate.trainers.operator_costs import OperatorCosts, profiles_to_learn, with_sums
from hwnas_surrogate.trainers.posterior import CalibratedPosterior
from hwnas_surrogate.trainers.queries import asked_batch, queries
from hwnas_surrogate.trainers.saving import load, save

if TYPE_CHECKING:
    from hwnas_surrogate.trainers.differentiable import DifferentiableCost

__all__ = ["Surrogate"]

Vector = npt.NDArray[np.float64]

_MIN_GRAPHS = 10
"""With fewer networks, trees over operators can't be validated."""
_SAME = 1e-6
"""A cost whose residual is smaller than this, relative to the median cost, is no outlier."""
_SLIPS_ARE_FEW = 0.25
"""If more than this fraction of the costs has large residuals, the model does not fit, and none is an outlier."""


class Surrogate(FittedSurrogate):
    """Predicts the cost of networks on one device.

    Trained on architectures of a search space, it predicts architectures of that space. Trained on graphs, it predicts
    networks of any kind, less accurately.

    Parameters
    ----------
    space : str, SearchSpace or None, default="nasbench201"
        The search space, which parses architectures. Graphs need none: None.
    encoder : Encoder or str, optional
        How networks are encoded. If None, all encodings are used together; for peak memory, that of activations too.
    model : scikit-learn regressor or str, optional
        The regressor of the cost. If None or ``"default"``, it is a stack of layer physics and a boosted ridge
        (:class:`~hwnas_surrogate.models.PhysicsStack`). With few costs physics has all the weight. If the boosted ridge
        has all the weight, only the ridge is kept. For graphs, the ridge counts near the training networks only
        (:class:`~hwnas_surrogate.models.AnchoredStack`). If an encoder is given, the default is the boosted ridge: a
        ridge on columns selected by leave-one-out error, and trees on its residuals where cross-validation prefers
        them.
    random_state : int, numpy generator or None, default=None
        Seed of models that draw random numbers and have no seed of their own.
    calibrate : bool, default=True
        Whether ``fit`` estimates the distribution of prediction errors, for intervals. The default model and the ridge
        have leave-one-out residuals; other models are fitted five times more, on folds. With three configs or more, any
        model is also fitted on folds of configs.
    metric : str, default="latency"
        The kind of cost, one of :data:`~hwnas_surrogate.data.METRICS`. A throughput is fitted as time per image, an
        accuracy as the error rate in %. If ``target_`` is known, its metric is used.

    Attributes
    ----------
    encoder_ : Encoder
    columns_ : tuple of str
        The columns that the model reads.
    model_ : scikit-learn regressor
        Fitted on costs divided by ``scale_``, a power of two, so that its settings do not depend on the unit.
    other_model_ : scikit-learn regressor or None
        Predicts for configs that were not trained on, if one config has many more training costs than the others: it is
        fitted to a sample that is balanced over configs. If None, ``model_`` predicts for them.
    configs_ : tuple of NetworkConfig
        The distinct configs trained on; ``(None,)`` of graphs.
    bases_ : tuple of NetworkConfig
        Configs with five costs or more, if any: extrapolations start from predictions under them.
    general_ : bool
        Whether the surrogate predicts for other configs: it was trained on five costs or more of three configs or more.
    macs_range_ : tuple of float
        The smallest and the largest number of multiply-adds of a training network (of all its layers).
    metric_ : str
        The metric of the training costs.
    target_ : Target or None
        The predicted target, if known; its metric is then used instead of ``metric``.
    n_train_ : int
        Number of training networks with a cost; repeats count once.
    physics_ : PhysicsGP or None
        Layer physics of training graphs, where the model has none: for :meth:`explain`. Of architectures, it is fitted
        when it is needed.
    floor_ : float
        Smallest prediction: half the smallest training cost, so that positive costs are predicted positive. Trained on
        graphs, which are of any size, a hundredth.
    calibration_ : Calibration or None
        Distribution of prediction errors.
    classifier_ : scikit-learn classifier or None
        Predicts whether the device can run a network; None if it ran all training networks.
    outliers_ : ndarray of int
        Training rows whose leave-one-out residual exceeds 20 robust standard deviations: typos, or wrong units. They
        are kept; the default model is robust to them. Not saved.

    Examples
    --------
    >>> from hwnas_surrogate.spaces import get_space
    >>> space = get_space("nasbench201")
    >>> archs = space.sample(200, random_state=0)
    >>> megamacs = space.batch(archs).macs / 1e6
    >>> surrogate = Surrogate().fit(archs[:100], megamacs[:100])
    >>> round(surrogate.score(archs[100:], megamacs[100:]), 3)
    1.0
    """

    _wild = 20.0
    """A cost is an outlier if its residual exceeds so many robust standard deviations."""

    def __init__(
        self,
        space: str | SearchSpace | None = "nasbench201",
        encoder: Encoder | str | None = None,
        model: Any = None,
        random_state: RandomState = None,
        calibrate: bool = True,
        metric: str = "latency",
    ) -> None:
        self.space = space
        self.encoder = encoder
        self.model = model
        self.random_state = random_state
        self.calibrate = calibrate
        self.metric = metric

    def fit(
        self,
        networks: Networks,
        cost: npt.ArrayLike,
        configs: Configs = None,
        *,
        failed: npt.ArrayLike | None = None,
        operators: Profiles | None = None,
    ) -> Self:
        """Fit on measured costs.

        Parameters
        ----------
        networks : architectures, batch or graphs
            n of them: architectures in any form that the space accepts, or graphs. Of a network that occurs several
            times, the median cost is used. Otherwise leave-one-out errors would be too small, since repeats of the
            network would stay in the fit.
        cost : array-like of float, shape (n,)
            Their costs: finite, not negative, all in one unit. A throughput is above 0, an accuracy at most 100.
        configs : config or sequence of n configs, optional
            The configs of architectures; the space's first published one if None.
        failed : array-like of bool, shape (n,), optional
            Which networks the device can't run. Their costs are ignored, and a classifier is fitted to predict such
            failures (:meth:`predict_has_cost`).
        operators : sequence of n arrays or None, optional
            Profiles: times of the operators of each graph, one for each of its nodes, and None where there is no
            profile. ``CostTable.operators`` holds those of a target. Their unit does not matter: each network's are
            scaled to its cost. The default model of graphs learns from them; others don't use them.

        Returns
        -------
        Surrogate

        Raises
        ------
        InvalidInputError
            If there are fewer than two costs, their number is not that of the networks, one is missing, infinite or
            negative, or a profile is one of another graph, or its sum, relative to the cost, is far from that of the
            other profiles: less than a hundredth of it, or more than a hundred times as much.
        """
        batch = as_batch(get_space(self.space), networks, configs)
        costs = checked_cost(cost, len(batch), failed, self.kind)
        profiles = profiles_to_learn(batch, operators, costs)
        return self.fit_encoded(*self.encode(batch), costs, profiles)

    def predict(self, networks: Networks, configs: Configs = None, *, extrapolate: bool = False) -> Vector:
        """Predict costs.

        Parameters
        ----------
        networks : architectures, batch or graphs
            n of them. A surrogate trained on graphs predicts architectures too.
        configs : config or sequence of n configs, optional
            The configs of architectures. If None, the one trained on; of several, the space's first published one.
        extrapolate : bool, default=False
            A surrogate trained under fewer than three configs (with five costs or more each) has no data on how the
            cost depends on the config, and refuses other configs. If True, it extrapolates: costs grow with the
            network's layers, activations and multiply-adds (by layer physics, if that has weight). Errors of a third
            are common; the intervals span the range that these counts allow.

        Returns
        -------
        ndarray of float64, shape (n,)
            In the unit of the training costs.

        Raises
        ------
        InvalidConfigError
            If a config was not trained on and fewer than three were, or if none is given, several were trained on and
            the space's first published one is not among them.
        InvalidInputError
            If graphs are given to a surrogate that was trained on architectures.

        Warns
        -----
        ExtrapolationWarning
            If networks under another config, or graphs, have more than twice as many multiply-adds as any trained on,
            or fewer than half as many; or if a surrogate trained on graphs predicts networks of other kinds.
        """
        return np.concatenate([self.predict_encoded(query) for query in self._queries(networks, configs, extrapolate)])

    def predict_interval(
        self, networks: Networks, configs: Configs = None, *, coverage: float = 0.9, extrapolate: bool = False
    ) -> Vector:
        """Predict intervals that contain the measured costs with a given coverage (of networks that run).

        Parameters
        ----------
        networks, configs, extrapolate
            As in :meth:`predict`.
        coverage : float, default=0.9
            Fraction of the measured costs inside the intervals, between 0 and 1.

        Returns
        -------
        ndarray of float64, shape (n, 2)
            Lower and upper bounds, in the unit of the training costs. With few costs the lower bound may be 0; the
            upper bound of a throughput is then 2,000 times the fastest measured one.

        Raises
        ------
        InvalidInputError
            If the coverage is not between 0 and 1, is larger than n training costs support (1 - 1/(5 n), and never more
            than 99.9 %), or the surrogate was fitted with ``calibrate=False``.

        Examples
        --------
        >>> from hwnas_surrogate import load_table
        >>> table = load_table(space="nasbench201").select("epyc-torch-1t/latency")
        >>> surrogate = Surrogate().fit(table.archs[:100], table.costs[:100, 0])
        >>> low, high = surrogate.predict_interval(8000)[0]
        >>> bool(low < surrogate.predict(8000)[0] < high)
        True
        """
        encoded = self._queries(networks, configs, extrapolate)
        return np.concatenate([self.interval_encoded(query, coverage) for query in encoded])

    def predict_within(
        self, networks: Networks, budget: npt.ArrayLike, configs: Configs = None, *, extrapolate: bool = False
    ) -> Vector:
        """Predict the probability that each cost is at most a budget, as the constraint of a search.

        For a metric of which more is better, such as a throughput: that the value is at least the budget.

        Parameters
        ----------
        networks, configs, extrapolate
            As in :meth:`predict`.
        budget : float, or array-like of shape (n,)
            In the unit of the training costs.

        Returns
        -------
        ndarray of float64, shape (n,)
            Probabilities. They include the probability that the device can run the network.

        Raises
        ------
        InvalidInputError
            If a budget is no number, or the surrogate was fitted with ``calibrate=False``.
        """
        check_is_fitted(self, "model_")
        batch = asked_batch({None: self}, get_space(self.space), networks, configs)
        budgets = checked_budget(budget, len(batch))
        probabilities, start = [], 0
        for query in self._queries(batch, None, extrapolate):
            probabilities.append(self.within_encoded(query, budgets[start : start + len(query)]))
            start += len(query)
        return np.concatenate(probabilities)

    def posterior(self, networks: Networks, configs: Configs = None, *, extrapolate: bool = False) -> Posterior:
        """Return the distribution of each cost: mean, standard deviation, quantiles and the probability of a bound.

        Parameters
        ----------
        networks, configs, extrapolate
            As in :meth:`predict`.

        Returns
        -------
        Posterior
            Of n costs, in the unit of the training costs, of networks that the device can run.

        Raises
        ------
        InvalidInputError
            If the surrogate was fitted with ``calibrate=False``.

        Examples
        --------
        >>> from hwnas_surrogate import load_table
        >>> table = load_table(space="nasbench201").select("epyc-torch-1t/latency")
        >>> posterior = Surrogate().fit(table.archs[:100], table.costs[:100, 0]).posterior([8000, 9000])
        >>> bool((posterior.quantile(0.05) < posterior.mean).all())
        True
        >>> posterior.below(1e6).tolist()
        [1.0, 1.0]
        """
        encoded = list(self._queries(networks, configs, extrapolate))
        self._calibrated()
        return CalibratedPosterior(self, encoded)

    def predict_has_cost(self, networks: Networks, configs: Configs = None, *, extrapolate: bool = False) -> Vector:
        """Predict the probability that the device can run each network; 1 if no training network failed.

        Parameters
        ----------
        networks, configs, extrapolate
            As in :meth:`predict`. Where predictions are extrapolated, the probability is that of the same architecture
            under the nearest config trained on.

        Returns
        -------
        ndarray of float64, shape (n,)
            Probabilities.
        """
        encoded = self._queries(networks, configs, extrapolate)
        return np.concatenate([self.has_cost_encoded(query) for query in encoded])

    def explain(self, network: Networks, config: ConfigLike = None, *, coverage: float = 0.9) -> Explanation:
        """Split the predicted cost of one network among its operators.

        Layer physics estimates the cost of each operator: the model's coefficients of multiply-adds, calls, bytes and
        corrections, times the operator's own values of these (an additive Gaussian process [1]_). It averages over
        views of the network, that is, over which operators run and which are fused. The rows of the result are the
        operators of the view with the largest part of the prediction, and their costs are averages over all views. An
        operator includes what is fused into it. An operator that the device does not run costs 0.

        A surrogate that learned what operators cost (``operators_``; the default of graphs) splits the part of the
        prediction that these account for in proportion to the learned costs, and the others by layer physics.

        The rest of the prediction is spread in proportion to these costs: a constant, predictions of other devices'
        surrogates (in proportion to those devices' costs of the operators), and models that are no sums over operators.
        ``additive_share`` of the result is the part of the prediction that is not spread. It is 0 for a model without
        layer physics: the boosted ridge that the default becomes with many costs, a forest. Then the whole prediction
        is spread in proportion to layer physics that is fitted apart: to the model's own predictions of 48 random
        architectures, or, of a surrogate trained on graphs, to the training costs.

        Parameters
        ----------
        network : architecture or Graph
            One, in any form that :meth:`predict` takes.
        config : config, optional
            The config of an architecture, as in :meth:`predict`.
        coverage : float, default=0.9
            Coverage of the intervals, between 0 and 1.

        Returns
        -------
        Explanation
            The costs add up to the prediction. ``low`` and ``high`` are the bounds of an operator's own cost under the
            posterior of the coefficients, assuming that layer physics holds. They are widened by the factor by which
            the calibrated interval of the whole network (:meth:`predict_interval`) is wider than that of physics. Where
            costs of operators were learned, half the difference between the two splits and a quarter of the learned
            cost are standard deviations too.
            Errors of operators compensate each other, so the bounds don't add up to those of the network. For a ranking
            from no measurement they are NaN.

        Raises
        ------
        InvalidInputError
            If there are several networks, the metric is no sum over operators (peak memory, accuracy), the coverage is
            not between 0 and 1 or more than the training costs support, the surrogate predicts one cost for all
            networks, or graphs are given to a surrogate that was trained on architectures.
        InvalidConfigError
            As in :meth:`predict`.

        References
        ----------
        .. [1] Duvenaud, Nickisch and Rasmussen, "Additive Gaussian processes", NIPS 2011.

        Examples
        --------
        >>> from hwnas_surrogate import load_table
        >>> table = load_table(space="nasbench201").select("epyc-torch-1t/latency")
        >>> surrogate = Surrogate().fit(table.archs[:40], table.costs[:40, 0])
        >>> explanation = surrogate.explain(8000)
        >>> bool(np.isclose(explanation.total, surrogate.predict(8000)[0]))
        True
        >>> explanation.frame.nlargest(1, "cost")[["operator", "output"]].iloc[0].tolist()
        ['conv 3x3', '1x64x8x8']
        """
        check_is_fitted(self, "model_")
        batch = asked_batch({None: self}, get_space(self.space), network, config)
        if len(batch) != 1:
            raise InvalidInputError(f"explain takes one network at a time, got {len(batch)}.")
        (query,) = self._queries(batch, None)
        return explained(self, query, checked_coverage(coverage))

    def score(
        self, networks: Networks, cost: npt.ArrayLike, configs: Configs = None, *, extrapolate: bool = False
    ) -> float:
        """Return Spearman's rank correlation of predicted and measured costs."""
        return float(spearmanr(reals(cost), self.predict(networks, configs, extrapolate=extrapolate)).statistic)

    def to_torch(
        self, config: ConfigLike = None, *, space: str | SearchSpace | None = None, extrapolate: bool = False
    ) -> DifferentiableCost:
        """Return a torch module that gives the expected cost of architecture probabilities, with its gradient.

        Parameters
        ----------
        config : config, optional
            The network config to predict for, as in :meth:`predict`.
        space : str or SearchSpace, optional
            The space whose architectures are predicted, of a surrogate that was trained on graphs.
        extrapolate : bool, default=False
            As in :meth:`predict`.

        Returns
        -------
        DifferentiableCost
            It takes (n, positions, ops) probabilities, or a super-net's parameters (``of_alphas``), and equals
            :meth:`predict` at one-hot inputs. ``exact`` says whether it is the mean of the predictions.

        Raises
        ------
        InvalidConfigError
            As in :meth:`predict`.
        InvalidInputError
            If the surrogate was trained on graphs and no space is given, or the space is not the surrogate's.

        Examples
        --------
        >>> import torch
        >>> from hwnas_surrogate import load_table
        >>> table = load_table(space="fbnet").select("epyc-torch-1t/latency")
        >>> cost = Surrogate("fbnet", model="ridge").fit(table.archs[:100], table.costs[:100, 0]).to_torch()
        >>> cost(torch.full((1000, 22, 9), 1 / 9)).shape, cost.exact
        (torch.Size([1000]), True)
        """
        from hwnas_surrogate.trainers.differentiable import DifferentiableCost

        check_is_fitted(self, "model_")
        return DifferentiableCost(self, config, space, extrapolate)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Save to a folder: ``manifest.json`` and weights, no pickle; see :meth:`load`."""
        check_is_fitted(self, "model_")
        return save(self, [self], folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Load what :meth:`save` wrote.

        Raises
        ------
        SavedFormatError
            If the folder holds no surrogate, is damaged, or is of another format version.
        """
        members, _ = load(folder, cls.__name__, Surrogate.kinds())
        if len(members) != 1 or not isinstance(members[0], cls):
            raise SavedFormatError(f"{folder}: the manifest of a {cls.__name__} must hold one, and nothing else.")
        return members[0]

    @staticmethod
    def kinds() -> dict[str, type[Surrogate]]:
        """Return the classes of surrogates that can be loaded, by name: this one and its subclasses."""
        return {kind.__name__: kind for kind in (Surrogate, *Surrogate.__subclasses__())}

    @property
    def kind(self) -> Metric:
        """The kind of cost: the target's metric, or ``metric``.

        Raises
        ------
        InvalidInputError
            If there is no such metric.
        """
        target: Target | None = getattr(self, "target_", None)
        if target is None and (not isinstance(self.metric, str) or self.metric not in METRICS):
            raise unknown(InvalidInputError, "metric", str(self.metric), METRICS)
        return METRICS[self.metric] if target is None else target.kind

    @property
    def is_default(self) -> bool:
        """Whether model and encoder are the defaults, and layer physics applies."""
        return self.model in (None, DEFAULT) and self.encoder is None and self.kind.adds == "sum"

    def _encoder(self, space: SearchSpace | None) -> Encoder:
        """Return the encoder for training, of architectures of a space, or of graphs for None."""
        if self.is_default:
            return stack_encoder(space)
        if self.encoder is None and self.kind.adds == "maximum":
            return Combined(space, [*Combined(space).parts(), PeakMemory(space)])
        if self.encoder is None or isinstance(self.encoder, str):
            return make_encoder(self.encoder or "combined", space)
        if not isinstance(self.encoder, Encoder):
            raise InvalidInputError(f"encoder must be an Encoder, its name or None, got {type(self.encoder).__name__}.")
        of_encoder = None if self.encoder.space is None else get_space(self.encoder.space)
        if of_encoder not in (None, space):
            own = "graphs" if space is None else repr(space.name)
            raise InvalidInputError(f"the surrogate is over {own}, its encoder over {of_encoder.name!r}.")
        return clone(self.encoder)  # type: ignore[no-any-return]

    def _model(self) -> Any:
        """Return the unfitted model."""
        if self.is_default:
            of_graphs = AnchoredStack if self.operators_ is None else OperatorStack
            kind = PhysicsStack if self.encoder_.space is not None else of_graphs
            return kind(as_seed(self.random_state))
        if self.model is None or isinstance(self.model, str):
            return make_model(self.model or DEFAULT, as_seed(self.random_state))
        if isinstance(self.model, type) or not (hasattr(self.model, "fit") and hasattr(self.model, "predict")):
            raise InvalidInputError(
                f"model must be a scikit-learn regressor, a model's name or None, got {self.model!r:.80}."
            )
        model = clone(self.model)
        if self.random_state is not None and model.get_params(deep=False).get("random_state", 0) is None:
            model.set_params(random_state=as_seed(self.random_state))
        return model

    def encode(self, batch: NetworkBatch) -> tuple[Encoder, Encoded]:
        """Return the encoder for training and the encoded training networks, for :meth:`fit_encoded`."""
        encoder = self._encoder(None if isinstance(batch, GraphBatch) else get_space(self.space))
        return encoder, encode(encoder, batch)

    def _queries(self, networks: Networks, configs: Configs, extrapolate: bool = False) -> Iterator[Encoded]:
        """Encode the networks to predict, batch by batch."""
        check_is_fitted(self, "model_")
        encoded = queries({None: self}, get_space(self.space), networks, configs, extrapolate=extrapolate)
        return (query[None] for query in encoded)

    def fit_encoded(
        self, encoder: Encoder, training: Encoded, costs: Vector, operators: Profiles | None = None
    ) -> Self:
        """Fit on encoded networks and the costs of :func:`checked_cost`, NaN where the device can't run the network.

        ``operators`` are those of :func:`profiles_to_learn`. If it raises, the surrogate is unchanged.
        """
        limit_threads_if_forked()
        before = dict(self.__dict__)
        try:
            return self._learn(encoder, training, costs, operators)
        except BaseException:
            self.__dict__ = before
            raise

    def _learn(self, encoder: Encoder, training: Encoded, costs: Vector, operators: Profiles | None) -> Self:
        self.metric_ = self.kind.name
        has_cost = ~np.isnan(costs)
        everything = training
        if not has_cost.all():
            training, costs = training.rows(has_cost), costs[has_cost]
        measured, every = costs, training
        training, costs, network = each_once(training, measured)
        self.encoder_, self.target_ = encoder, getattr(self, "target_", None)
        used = np.unique(training.number)
        self.configs_ = tuple(training.configs[number] for number in used)
        self.n_train_ = len(costs)
        macs = training.batch.macs
        self.macs_range_ = float(macs.min()), float(macs.max())
        largest = float(costs.max())
        mean = float((costs / largest).mean()) * largest if largest else 0.0
        self.scale_ = 2.0 ** min(round(math.log2(mean)), 1023) if mean > 0 else 1.0
        self.floor_ = float(costs.min()) / (2 if encoder.space is not None else SMALLER)
        self.operators_: OperatorCosts | None = None
        if costs.min() == costs.max():
            self.model_ = ConstantCost()
        else:
            if self._learns_operators(encoder, costs):
                profiles = _of_networks(operators, has_cost, network)
                training = self._with_operators(training, costs, profiles)
            self.model_ = self._model()
        self.model_.fit(training.features, costs / self.scale_)
        balanced = balanced_rows(training.number, as_seed(self.random_state) or 0)
        bases = spanning(training.number)
        enough = self.physical or balanced is None or len(balanced) >= MIN_BALANCED
        self.general_ = enough and len(bases) >= MIN_CONFIGS
        self.bases_ = tuple(training.configs[number] for number in bases) or self.configs_
        self.other_model_: Any = None
        if balanced is not None and self.general_:
            balanced_features = training.features.iloc[balanced]
            self.other_model_ = clone(self.model_).fit(balanced_features, costs[balanced] / self.scale_)
            _predict_on_one_thread(self.other_model_)
        self.physics_ = self._apart(training.batch, costs)
        if self._without_physics():
            training = training.only(list(self.model_.feature_names_in_))
        self.columns_ = tuple(map(str, every.features if self.operators_ is not None else training.features))
        self.n_features_in_ = len(self.columns_)
        self.classifier_ = None
        if not has_cost.all():
            self.classifier_ = make_classifier(self.random_state).fit(everything.only(self.columns_).features, has_cost)
        self.calibration_: Calibration | None = None
        self.outliers_ = np.empty(0, np.intp)
        if self.calibrate:
            predicted, limit = self._calibrate(training, costs / self.scale_, balanced)
            far = np.abs(measured / self.scale_ - predicted[network]) > limit[network]
            if far.mean() <= _SLIPS_ARE_FEW:
                self.outliers_ = np.flatnonzero(has_cost)[far]
        _predict_on_one_thread(self.model_)
        return self

    def _learns_operators(self, encoder: Encoder, costs: Vector) -> bool:
        """Return whether the costs are of enough graphs to learn from what operators cost."""
        of_graphs = self.is_default and encoder.space is None
        return of_graphs and len(costs) >= _MIN_GRAPHS and bool(costs.min() > 0)

    def _with_operators(self, training: Encoded, costs: Vector, profiles: Profiles | None) -> Encoded:
        """Learn the costs of operators; return the training networks with the column of their sums."""
        seed = as_seed(self.random_state) or 0
        sources = operator_sources(self.encoder_.asked_surrogates())
        try:
            self.operators_, held_out = OperatorCosts.learn(
                training.batch, costs / self.scale_, profiles, seed, sources
            )
        except InvalidGraphError:  # an inference engine does not run one of the networks, or they do nothing
            return training
        return replace(training, features=with_sums(training.features, held_out, self._cheapest))

    def _apart(self, batch: NetworkBatch, costs: Vector) -> PhysicsGP | None:
        """Return layer physics of graphs, for :meth:`explain`, if the model has none."""
        with_physics = isinstance(self.model_, PhysicsGP) or (
            isinstance(self.model_, PhysicsStack) and self.model_.reduced() is self.model_
        )
        constant = isinstance(self.model_, ConstantCost)
        if self.encoder_.space is not None or self.kind.adds != "sum" or with_physics or constant:
            return None
        known = cost_model(self.model_).layer_physics
        if isinstance(known, PhysicsGP):
            return known
        physics = PhysicsGP()
        rows = np.random.default_rng(as_seed(self.random_state) or 0).permutation(len(batch))[: physics.max_rows]
        try:
            return physics.fit(LayerPhysics(None).frame(batch.take(rows)), costs[rows] / self.scale_)
        except InvalidGraphError:  # a network that the model's own encoder takes, but an inference engine does not
            return None

    def _without_physics(self) -> bool:
        """Replace the stack by its boosted ridge if that has all the weight; return whether it has."""
        fitted = [model for model in (self.model_, self.other_model_) if model is not None]
        kept: list[CostModel] = [model.reduced() for model in fitted] if self.is_default else []
        if not kept or any(part is whole for part, whole in zip(kept, fitted, strict=True)):
            return False
        self.encoder_ = make_encoder("combined", self.encoder_.space)
        self.model_, self.other_model_ = kept if len(kept) > 1 else (kept[0], None)
        return True

    def _calibrate(
        self, training: Encoded, costs: Vector, balanced: npt.NDArray[np.intp] | None
    ) -> tuple[Vector, Vector]:
        """Fit the calibration; return leave-one-out predictions and the smallest residual of an outlier, (n,) each."""
        features = training.features
        seed, model = as_seed(self.random_state) or 0, cost_model(self.model_)
        residuals = residuals_by_row(model, features, costs, seed)
        other = None
        if self.general_:
            assert isinstance(training.batch, ArchBatch)  # graphs have no config
            sizes = config_sizes(training.batch.space, [config for config in training.configs if config])
            rows = np.arange(len(costs)) if balanced is None else balanced
            other = config_left_out(model, features, costs, training.number, sizes, rows)
        predicted = np.maximum(costs - residuals, self.floor_ / self.scale_)
        self.calibration_ = Calibration().fit(
            self._yardstick(features),
            predicted,
            costs - predicted,
            model.sds_,
            other=other,
            expensive=expensive_left_out(model, features, costs, seed),
        )
        size = predicted if model.relative_errors else np.ones(len(costs))
        limit = self._wild * spreads(residuals / size, training.number) * size
        return costs - residuals, np.maximum(limit, _SAME * float(np.median(costs)))


def _of_networks(
    operators: Profiles | None, has_cost: npt.NDArray[np.bool_], network: npt.NDArray[np.intp]
) -> Profiles | None:
    """Return the profile of each distinct network with a cost: the first that it has."""
    if operators is None:
        return None
    found: list[Any] = [None] * (int(network.max()) + 1)
    for row, place in zip(np.flatnonzero(has_cost).tolist(), network.tolist(), strict=True):
        if found[place] is None:
            found[place] = operators[row]
    return None if all(each is None for each in found) else found


def _predict_on_one_thread(model: Any) -> None:
    """Make predictions repeatable to the bit: with several threads, forests add up trees in random order."""
    threads = [name for name in model.get_params() if name.rpartition("__")[2] == "n_jobs"]
    model.set_params(**dict.fromkeys(threads, 1))
