"""A new device in ten measurements."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sized
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import spearmanr

from hwnas_surrogate.columns import Columns
from hwnas_surrogate.data import CostTable, TargetLike
from hwnas_surrogate.data.profiles import Profiles
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import Encoder
from hwnas_surrogate.models import ConstantCost, PhysicsPrior, PhysicsStack, cost_model
from hwnas_surrogate.models.robust import robust_sd
from hwnas_surrogate.random_states import RandomState, as_seed
from hwnas_surrogate.reals import reals
from hwnas_surrogate.spaces import Configs, Networks, SearchSpace, get_space
from hwnas_surrogate.trainers.calibration import Calibration
from hwnas_surrogate.trainers.encoded import Encoded, each_once, stack_encoder
from hwnas_surrogate.trainers.sources import SourceCosts, Sources, fitted_sources
from hwnas_surrogate.trainers.speaking import speaking
from hwnas_surrogate.trainers.suite import SurrogateSuite
from hwnas_surrogate.trainers.surrogate import Surrogate, Vector

__all__ = ["AdaptWarning", "TransferSurrogate", "adapt"]

MANY = 200
"""From so many measurements on, outliers are those of :class:`Surrogate`: costs with large residuals."""
SPEAKING = 400
"""Of more sources, those with the largest evidence are kept: so many. With 200, useless ones outvoted physics more
often."""
_DOUBT = 3.0
"""Log odds that chosen sources lose for each factor of e by which there were more. At 1, the choice by chance made one
of four devices worse by .001 to .002 (Spearman's rho)."""
_FEW = 8
"""With fewer networks, the error can't be estimated well."""
_POOR = 0.8
"""Leave-one-out errors above this fraction of the costs' spread give a warning."""
_REPEATS = 0.2
"""Repeats of one network that differ by more than this fraction give a warning."""
_SLIP = 0.2
"""A measurement with a smaller relative residual is no outlier."""
_UNIT = 100.0
"""A measurement below its leave-one-out prediction by this factor has the wrong unit, whatever the other evidence."""
_REFERENCE = 1000
"""Number of random networks to normalise the sources' costs with, if nothing was measured."""


class AdaptWarning(UserWarning):
    """A property of the measurements that makes predictions unreliable."""


class TransferSurrogate(Surrogate):
    """Predicts the cost of every architecture on a device that was measured ten or twenty times.

    The model is :class:`~hwnas_surrogate.models.PhysicsStack`. With few measurements, predictions rest on layer physics
    and its prior. Predictions of other devices' surrogates (sources) are weighted by their evidence, so that useless
    sources do no harm; of many sources, those with the largest evidence are kept. With more measurements, the general
    model gets more weight. If a source is the same device under another config, three measurements recalibrate it.

    Parameters
    ----------
    space : str, SearchSpace or None, default="nasbench201"
        The search space of the new device's architectures; None for graphs.
    sources : CostTable, Surrogate or SurrogateSuite, or several, optional
        Costs or surrogates of other devices, also from another search space. Tables are fitted first; fit them once
        with :func:`fit_sources` to adapt to several devices.
    random_state : int, numpy generator or None, default=None
        Seed.
    calibrate : bool, default=True
        Whether ``fit`` estimates the distribution of prediction errors, for intervals.
    metric : str, default="latency"
        The kind of cost, as in :class:`Surrogate`.

    Attributes
    ----------
    left_out_ : DataFrame
        Leave-one-out predictions, one row per cost, indexed by measurement: ``measured, predicted`` (in the unit of the
        costs) and ``outlying``. Not saved.
    notes_ : tuple of str
        Warnings about the measurements, as given by ``fit``. Not saved.
    sources_ : tuple of Surrogate
        The fitted sources; of many, those that were kept.
    n_sources_ : int
        Number of sources that were given; not saved.

    Notes
    -----
    Fitted to no measurement at all (``fit([], [])``), it predicts the average of the normalised sources. Such
    predictions rank architectures, and have no unit.

    Examples
    --------
    >>> from hwnas_surrogate import load_table
    >>> table = load_table(space="nasbench201").select("epyc-torch-1t/latency")
    >>> new = TransferSurrogate().fit(table.archs[:10], table.costs[:10, 0])
    >>> new.score(table.archs[10:], table.costs[10:, 0]) > 0.9
    True
    """

    _wild = 8.0
    left_out_: pd.DataFrame
    notes_: tuple[str, ...]
    sources_: tuple[Surrogate, ...]
    n_sources_: int

    def __init__(
        self,
        space: str | SearchSpace | None = "nasbench201",
        sources: Sources = None,
        random_state: RandomState = None,
        calibrate: bool = True,
        metric: str = "latency",
    ) -> None:
        super().__init__(space, None, None, random_state, calibrate, metric)
        self.sources = sources

    def __sklearn_clone__(self) -> TransferSurrogate:
        """Keep the sources fitted: they are data here."""
        return type(self)(self.space, self.sources, self.random_state, self.calibrate, self.metric)

    def fit(
        self,
        networks: Networks,
        cost: npt.ArrayLike,
        configs: Configs = None,
        *,
        failed: npt.ArrayLike | None = None,
        operators: Profiles | None = None,
    ) -> Self:
        """Fit on the costs that were measured on the new device.

        Parameters
        ----------
        networks, cost, configs, failed, operators
            As in :meth:`Surrogate.fit`. If there are sources, they may be empty.

        Returns
        -------
        TransferSurrogate

        Raises
        ------
        InvalidInputError
            If there is only one cost, or none and no source, or a cost is missing, infinite or negative.

        Warns
        -----
        AdaptWarning
            If there are few measurements, repeats differ much, or some measurements are outliers.
        """
        if isinstance(networks, Sized) and not isinstance(networks, str) and not len(networks):
            self._rank(reals(cost), configs)
        else:
            super().fit(networks, cost, configs, failed=failed, operators=operators)
        for note in self.notes_:
            warnings.warn(note if self.target_ is None else f"{self.target_}: {note}", AdaptWarning, stacklevel=2)
        return self

    def _rank(self, cost: Vector, configs: Configs) -> None:
        """Fit to no measurement: predict the average of the normalised sources."""
        space = get_space(self.space)
        if space is None:
            raise InvalidInputError("nothing was measured: without a space there are no networks to rank; measure two.")
        config = space.group_configs(configs, 1)[0][0]
        if len(cost):
            raise InvalidInputError(f"cost must hold one value per architecture: got {len(cost)} for none.")
        encoder = self._encoder(space)
        if not encoder.asked_surrogates():
            raise InvalidInputError(
                "there is neither a measurement nor a source: nothing is known. Give sources, or measure two "
                "architectures at least."
            )
        features = encoder.frame(space.representatives(_REFERENCE, 0), config)
        self.sources_, self.encoder_, self.metric_ = encoder.asked_surrogates(), encoder, self.kind.name
        self.target_ = getattr(self, "target_", None)
        self.model_ = PhysicsStack(as_seed(self.random_state)).rank(features)
        self.classifier_, self.calibration_, self.configs_, self.bases_ = None, None, (config,), (config,)
        self.columns_, self.n_features_in_ = tuple(map(str, features)), features.shape[1]
        self.n_train_, self.scale_, self.floor_ = 0, 1.0, 0.0
        self.other_model_, self.general_, self.macs_range_ = None, False, (0.0, 0.0)
        self.physics_, self.operators_ = None, None
        self.outliers_ = np.empty(0, np.intp)
        self.left_out_ = pd.DataFrame({"measured": [], "predicted": [], "outlying": []})
        self.notes_ = ("nothing was measured: the predictions rank architectures as the sources do, and have no unit.",)

    def _encoder(self, space: SearchSpace | None) -> Encoder:
        sources = fitted_sources(self.sources, space, self.random_state)
        return stack_encoder(space, *([SourceCosts(space, sources)] if sources else []))

    def _learn(self, encoder: Encoder, training: Encoded, costs: Vector, operators: Profiles | None) -> Self:
        has_cost = ~np.isnan(costs)
        encoder, training = self._chosen(encoder, training, costs)
        super()._learn(encoder, training, costs, operators)
        self.sources_ = encoder.asked_surrogates()
        measured = costs[has_cost]
        _, medians, network = each_once(training.rows(has_cost), measured)
        constant = isinstance(self.model_, ConstantCost)
        residuals = measured - (medians if constant else medians - self.model_.residuals_ * self.scale_)[network]
        if not constant and self.n_train_ < MANY:
            rows = np.flatnonzero(has_cost)[self._outlying(measured, residuals, network)]
            has_precisions = self.model_.precisions_ is not None
            self.outliers_ = rows if has_precisions else np.intersect1d(self.outliers_, rows)
        outlying = np.zeros(len(costs), bool)
        outlying[self.outliers_] = True
        self.left_out_ = pd.DataFrame(
            {
                "measured": self.kind.from_cost(measured),
                "predicted": self.kind.from_cost(np.maximum(measured - residuals, self.floor_)),
                "outlying": outlying[has_cost],
            },
            index=np.flatnonzero(has_cost),
        )
        self.notes_ = tuple(self._judge(training, costs, residuals))
        return self

    def _model(self) -> Any:
        """Return the unfitted model; chosen sources are less credible a priori.

        Among many sources, some predict ten costs well by chance: the more were left out, the more likely it is.
        """
        model = super()._model()
        if self.n_sources_ > SPEAKING:
            odds = PhysicsPrior().source_log_odds - _DOUBT * math.log(self.n_sources_ / SPEAKING)
            model.set_params(prior={"source_log_odds": odds})
        return model

    def _chosen(self, encoder: Encoder, training: Encoded, costs: Vector) -> tuple[Encoder, Encoded]:
        """Keep the sources that speak for the device, if there are many: from the training networks and their costs."""
        names = np.array(training.features.columns, object)
        is_source = np.isin(np.arange(len(names)), Columns.of(training.features).where("source"))
        self.n_sources_ = int(is_source.sum())
        if self.n_sources_ <= SPEAKING:
            return encoder, training
        has_cost = ~np.isnan(costs)
        predicted = training.features.loc[has_cost, is_source].to_numpy(np.float64)
        kept = names[is_source][speaking(predicted, costs[has_cost], SPEAKING)]
        columns = encoder.columns
        of_name = dict(
            zip((columns[place].name for place in columns.where("source")), encoder.asked_surrogates(), strict=True)
        )
        few = stack_encoder(get_space(encoder.space), SourceCosts(encoder.space, tuple(of_name[name] for name in kept)))
        features = training.features[[*names[~is_source], *kept]]
        # Sources of one name are numbered, now among fewer.
        return few, replace(training, features=features.set_axis(list(few.columns.names), axis=1))

    def _outlying(self, costs: Vector, residuals: Vector, network: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Return the rows that may be outliers, given n costs, leave-one-out residuals and each row's network.

        They lie far from their predictions, and the model, if it has precisions of measurements, hardly trusted them.
        """
        predicted = costs - residuals
        outlying = np.abs(residuals) > _SLIP * np.maximum(costs, predicted)
        if self.model_.relative_errors:
            relative = np.abs(residuals) / np.maximum(predicted, self.floor_)
            outlying &= relative > self._wild * robust_sd(relative)
        elif self.model_.precisions_ is not None:
            # The precision under Student's t of a residual of so many standard deviations.
            outlying &= self.model_.precisions_[network] < 3 / (2 + self._wild**2)
        return np.flatnonzero(outlying | (costs < predicted / _UNIT))

    def _calibrated(self) -> Calibration:
        if self.n_train_ == 0:
            raise InvalidInputError(
                "nothing was measured on this device: a ranking has no intervals. Fit two costs or more."
            )
        return super()._calibrated()

    def _judge(self, training: Encoded, costs: Vector, residuals: Vector) -> list[str]:
        """Return warnings about the measurements."""
        notes: list[str] = []
        measured = costs[~np.isnan(costs)]
        values = np.asarray(training.rows(~np.isnan(costs)).features, np.float64)
        _, which = np.unique(values, axis=0, return_inverse=True)
        n = int(which.max()) + 1
        if n == 1:
            notes.append(
                f"all {len(measured)} measurements are of one network: they determine the scale, but not how other "
                "architectures compare."
            )
        elif isinstance(self.model_, ConstantCost):
            notes.append(
                f"all {len(measured)} costs are {measured[0]:g}: the timer is too coarse; the prediction is this "
                "constant."
            )
        elif n < _FEW:
            notes.append(
                f"{n} networks were measured: too few to estimate the prediction error; measure {_FEW} or more."
            )
        spread = _spread(measured, which.ravel(), n)
        if (spread > _REPEATS).any():
            notes.append(
                f"repeated measurements of one network differ by up to {min(float(spread.max()), 9.99):.0%}: "
                "predictions can't be better than that."
            )
        kept = ~self.left_out_["outlying"].to_numpy()
        if not kept.all():
            named = [
                f"{row[0]:.4g} (number {place + 1}; predicted from the others: {row[1]:.4g})"
                for place, row in zip(self.left_out_.index[~kept], self.left_out_.to_numpy()[~kept], strict=True)
            ]
            notes.append(
                f"{int((~kept).sum())} of {len(measured)} measurements lie far from their predictions: "
                f"{', '.join(named[:3])}. Check their units."
            )
        if n >= _FEW and not isinstance(self.model_, ConstantCost):
            off = float(np.median(np.abs(residuals[kept])))
            around = float(np.median(np.abs(measured[kept] - np.median(measured[kept]))))
            if off > _POOR * around:
                notes.append(
                    f"leave-one-out errors are as large as the spread of the costs ({off:.3g} and {around:.3g}, "
                    "medians): measure each network longer, or more networks."
                )
        return notes

    @property
    def loo_spearman_(self) -> float:
        """Spearman's rank correlation of measurements and leave-one-out predictions; NaN for fewer than three."""
        kept = self.left_out_[~self.left_out_["outlying"]]
        if len(kept) < 3 or kept.nunique()[["measured", "predicted"]].min() < 2:
            return float("nan")
        return float(spearmanr(kept["measured"], kept["predicted"]).statistic)

    @property
    def loo_error_(self) -> float:
        """Median relative leave-one-out error of the measurements; NaN if there are none."""
        kept = self.left_out_[(self.left_out_["measured"] > 0) & ~self.left_out_["outlying"].astype(bool)]
        return float((kept["predicted"] / kept["measured"] - 1).abs().median()) if len(kept) else float("nan")

    @property
    def source_weight_(self) -> float:
        """Posterior probability that the sources have a share in the cost, from 0 to 1; not saved."""
        return cost_model(self.model_).source_weight

    @property
    def general_weight_(self) -> float:
        """The weight of the general model, which is everything beyond physics and the sources, from 0 to 1."""
        return cost_model(self.model_).general_weight

    @classmethod
    def of_settings(
        cls, space: str | None, encoder: Encoder | None, model: object, sources: tuple[Surrogate, ...]
    ) -> Self:
        """Return an unfitted surrogate with these settings."""
        transfer = cls(space, sources or None)
        transfer.sources_ = sources
        return transfer


def _spread(costs: Vector, network: npt.NDArray[np.intp], n: int) -> Vector:
    """Return the relative excess of the largest over the smallest cost of each of n networks, shape (n,)."""
    low, high = np.full(n, np.inf), np.zeros(n)
    np.minimum.at(low, network, costs)
    np.maximum.at(high, network, costs)
    return np.where(high > 0, high / np.maximum(low, 1e-9 * high + np.finfo(float).tiny) - 1, 0.0)


def adapt(
    table: CostTable,
    sources: Sources = None,
    targets: TargetLike | None = None,
    *,
    random_state: RandomState = None,
) -> SurrogateSuite:
    """Fit a :class:`TransferSurrogate` to every target of a table of few measurements.

    Parameters
    ----------
    table : CostTable
        The measurements (``load_table("samples.csv")``), with times of operators where they were profiled.
    sources : CostTable, Surrogate or SurrogateSuite, or several, optional
        Costs or surrogates of other devices.
    targets : targets, optional
        Which of the table's targets; all if None.
    random_state : int, numpy generator or None, default=None
        Seed.

    Returns
    -------
    SurrogateSuite
        Of :class:`TransferSurrogate`.

    Raises
    ------
    InvalidInputError
        If a target has fewer than two costs; the message names it.
    """
    space = table.space
    fitted = fitted_sources(sources, space, random_state)
    suite = SurrogateSuite(space, random_state=random_state)
    members = {}
    for target in table.select(targets).targets if targets is not None else table.targets:
        column = table.targets.index(target)
        costs = table.costs[:, column]
        failed = np.zeros(len(table), bool)
        for where in table.reasons.values():
            failed |= where[:, column]
        rows = np.flatnonzero(~np.isnan(costs) | failed)
        surrogate = TransferSurrogate(space, fitted, random_state, metric=target.metric)
        surrogate.target_ = target
        operators = table.profiles(target, rows)
        try:
            members[target] = surrogate.fit(
                table.batch.take(rows), costs[rows], failed=failed[rows], operators=operators
            )
        except InvalidInputError as error:
            raise type(error)(f"{target}: {error}") from error
    suite.surrogates_, suite.info_ = members, {"table_fingerprint": table.fingerprint}
    return suite
