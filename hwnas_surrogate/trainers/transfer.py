"""A new device in ten measurements."""

from __future__ import annotations

import warnings
from collections.abc import Sized
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import spearmanr

from hwnas_surrogate.data import CostTable, TargetLike
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import Encoder
from hwnas_surrogate.models import ConstantCost, PhysicsStack, cost_model
from hwnas_surrogate.models.robust import robust_sd
from hwnas_surrogate.reals import reals
from hwnas_surrogate.spaces import Configs, NetworkConfig, Networks, SearchSpace, get_space
from hwnas_surrogate.trainers.calibration import Calibration
from hwnas_surrogate.trainers.encoded import Encoded, each_once, stack_encoder
from hwnas_surrogate.trainers.sources import SourceCosts, Sources, fitted_sources
from hwnas_surrogate.trainers.suite import SurrogateSuite
from hwnas_surrogate.trainers.surrogate import Surrogate, Vector

__all__ = ["AdaptWarning", "TransferSurrogate", "adapt"]

MANY = 200
"""From so many measurements on, far residuals are the ordinary surrogate's outliers."""
_FEW = 8
"""With fewer measurements than this, little can be said."""
_POOR = 0.8
"""Leave-one-out errors above this part of the costs' own spread are as large as the spread."""
_REPEATS = 0.2
"""Repeats of one network that differ by more than this part are told."""
_SLIP = 0.2
"""A measurement nearer than this part of it to what the others say is no slip."""
_UNIT = 100.0
"""A measurement so many times below what the others say is a slip of the unit, however few they are."""
_REFERENCE = 1000
"""So many random networks tell how the sources' costs compare where nothing was measured."""


class AdaptWarning(UserWarning):
    """What should be known of measurements before a surrogate fitted to them is trusted."""


class TransferSurrogate(Surrogate):
    """Predicts the cost of every architecture on a device that was measured ten or twenty times.

    Without sources, layer physics and a prior carry it; what the surrogates of other devices predict joins in by its
    evidence, so that useless sources do no harm; as the measurements grow it turns into the ordinary model
    (:class:`~hwnas_surrogate.models.PhysicsStack`). With a source that is the same device under another config, three
    measurements recalibrate it.

    Parameters
    ----------
    space : str or SearchSpace, default="nasbench201"
        The search space of the new device's architectures.
    sources : CostTable, Surrogate or SurrogateSuite, or several, optional
        What is known of other devices, also from the other search space. Tables are fitted first; fit them once with
        :func:`fit_sources` to adapt to several devices.
    random_state : int or None, default=None
        Seed.
    calibrate : bool, default=True
        Whether ``fit`` learns how far predictions are off, for intervals.
    metric : str, default="latency"
        What the costs are, as :class:`Surrogate` takes it.

    Attributes
    ----------
    left_out_ : DataFrame
        One row per cost, at its place among the measurements: ``measured, predicted`` (without it; in the unit of the
        costs) and ``outlying``. Not saved.
    notes_ : tuple of str
        What should be known before the surrogate is trusted; each was warned of when it was fitted. Not saved.
    sources_ : tuple of Surrogate
        The fitted sources.

    Notes
    -----
    Fitted to no measurement at all (``fit([], [])``), it ranks architectures as the sources do on average; the
    predictions have no unit then.

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

    def __init__(
        self,
        space: str | SearchSpace = "nasbench201",
        sources: Sources = None,
        random_state: int | None = None,
        calibrate: bool = True,
        metric: str = "latency",
    ) -> None:
        super().__init__(space, None, None, random_state, calibrate, metric)
        self.sources = sources

    def __sklearn_clone__(self) -> TransferSurrogate:
        """Keep the sources fitted: they are data here."""
        return type(self)(self.space, self.sources, self.random_state, self.calibrate, self.metric)

    def fit(
        self, networks: Networks, cost: npt.ArrayLike, configs: Configs = None, *, failed: npt.ArrayLike | None = None
    ) -> Self:
        """Fit on the costs that were measured on the new device.

        Parameters
        ----------
        networks, cost, configs, failed
            As :meth:`Surrogate.fit` takes them. None at all, if there are sources.

        Returns
        -------
        TransferSurrogate

        Raises
        ------
        InvalidInputError
            If there is one cost only, or none and no source; if one is missing, infinite or negative.

        Warns
        -----
        AdaptWarning
            If the measurements are too few, contradict one another, or some lie far from what the others say.
        """
        if isinstance(networks, Sized) and not isinstance(networks, str) and not len(networks):
            self._rank(reals(cost), get_space(self.space).group_configs(configs, 1)[0][0])
        else:
            super().fit(networks, cost, configs, failed=failed)
        for note in self.notes_:
            warnings.warn(note if self.target_ is None else f"{self.target_}: {note}", AdaptWarning, stacklevel=2)
        return self

    def _rank(self, cost: Vector, config: NetworkConfig) -> None:
        """Rank as the sources do on average."""
        space = get_space(self.space)
        if len(cost):
            raise InvalidInputError(f"cost must hold one value per architecture: got {len(cost)} for none.")
        encoder = self._encoder(space)
        if not encoder.asked_surrogates():
            raise InvalidInputError(
                "there is neither a measurement nor a source: nothing is known. Give sources, or measure two "
                "architectures at least."
            )
        features = encoder.frame(space.sample(_REFERENCE, 0), config)
        self.sources_, self.encoder_, self.metric_ = encoder.asked_surrogates(), encoder, self.kind.name
        self.target_ = getattr(self, "target_", None)
        self.model_ = PhysicsStack(self.random_state).rank(features)
        self.classifier_, self.calibration_, self.configs_, self.bases_ = None, None, (config,), (config,)
        self.columns_, self.n_features_in_ = tuple(map(str, features)), features.shape[1]
        self.n_train_, self.scale_, self.floor_ = 0, 1.0, 0.0
        self.other_model_, self.general_, self.macs_range_ = None, False, (0.0, 0.0)
        self.outliers_ = np.empty(0, np.intp)
        self.left_out_ = pd.DataFrame({"measured": [], "predicted": [], "outlying": []})
        self.notes_ = ("nothing was measured: the predictions rank architectures as the sources do, and have no unit.",)

    def _encoder(self, space: SearchSpace | None) -> Encoder:
        sources = fitted_sources(self.sources, space, self.random_state)
        return stack_encoder(space, *([SourceCosts(space, sources)] if sources else []))

    def _learn(self, encoder: Encoder, training: Encoded, costs: Vector) -> Self:
        super()._learn(encoder, training, costs)
        self.sources_ = encoder.asked_surrogates()
        has_cost = ~np.isnan(costs)
        measured = costs[has_cost]
        _, typical, network = each_once(training.rows(has_cost), measured)
        constant = isinstance(self.model_, ConstantCost)
        residuals = measured - (typical if constant else typical - self.model_.residuals_ * self.scale_)[network]
        if self._knows_slips:
            self.outliers_ = np.flatnonzero(has_cost)[self._slipped(measured, residuals, network)]
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

    @property
    def _knows_slips(self) -> bool:
        """Whether the model says how far it trusts each measurement; else far residuals are outliers, as everywhere."""
        return self.model_.precisions_ is not None and self.n_train_ < MANY

    def _slipped(self, costs: Vector, residuals: Vector, network: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Return the rows that lie far from what the others say."""
        told = costs - residuals
        slipped = np.abs(residuals) > _SLIP * np.maximum(costs, told)
        if self.model_.relative_errors:
            parts = np.abs(residuals) / np.maximum(told, self.floor_)
            slipped &= parts > self._wild * robust_sd(parts)
        else:
            # What Student's t makes of a residual that many deviations from what is expected.
            slipped &= self.model_.precisions_[network] < 3 / (2 + self._wild**2)
        return np.flatnonzero(slipped | (costs * _UNIT < told))

    def _calibrated(self) -> Calibration:
        if self.n_train_ == 0:
            raise InvalidInputError(
                "nothing was measured on this device: a ranking has no intervals. Fit two costs or more."
            )
        return super()._calibrated()

    def _judge(self, training: Encoded, costs: Vector, residuals: Vector) -> list[str]:
        """Say what should be known of the measurements."""
        notes: list[str] = []
        measured = costs[~np.isnan(costs)]
        values = np.asarray(training.rows(~np.isnan(costs)).features, np.float64)
        _, which = np.unique(values, axis=0, return_inverse=True)
        n = int(which.max()) + 1
        if n == 1:
            notes.append(
                f"all {len(measured)} measurements are of one network: they tell the scale, and nothing about how "
                "other architectures compare."
            )
        elif isinstance(self.model_, ConstantCost):
            notes.append(
                f"all {len(measured)} costs are {measured[0]:g}: a timer that coarse tells nothing; the prediction is "
                "this constant."
            )
        elif n < _FEW:
            notes.append(
                f"{n} networks were measured: few to tell how far predictions are off; measure {_FEW} or more."
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
                f"{told[0]:.4g} (number {place + 1}; the others say {told[1]:.4g})"
                for place, told in zip(self.left_out_.index[~kept], self.left_out_.to_numpy()[~kept], strict=True)
            ]
            notes.append(
                f"{int((~kept).sum())} of {len(measured)} measurements lie far from what the others say: "
                f"{', '.join(named[:3])}. Check them for slips of the unit."
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
        """Spearman's rank correlation of the measurements and what the others say of each; NaN for fewer than three."""
        told = self.left_out_[~self.left_out_["outlying"]]
        if len(told) < 3 or told.nunique()[["measured", "predicted"]].min() < 2:
            return float("nan")
        return float(spearmanr(told["measured"], told["predicted"]).statistic)

    @property
    def loo_error_(self) -> float:
        """Median relative error of the measurements, each predicted from the others; NaN where there are none."""
        told = self.left_out_[(self.left_out_["measured"] > 0) & ~self.left_out_["outlying"].astype(bool)]
        return float((told["predicted"] / told["measured"] - 1).abs().median()) if len(told) else float("nan")

    @property
    def source_weight_(self) -> float:
        """How much the measurements speak for the sources having a share in the cost, from 0 to 1; not saved."""
        return cost_model(self.model_).source_weight

    @property
    def general_weight_(self) -> float:
        """How much of the prediction is learned beyond physics and the sources, from 0 to 1."""
        return cost_model(self.model_).general_weight

    @classmethod
    def of_settings(cls, space: str, encoder: Encoder | None, model: object, sources: tuple[Surrogate, ...]) -> Self:
        """Return a surrogate with these settings, not fitted."""
        transfer = cls(space, sources or None)
        transfer.sources_ = sources
        return transfer


def _spread(costs: Vector, network: npt.NDArray[np.intp], n: int) -> Vector:
    """Return by what part the dearest cost of each of n networks is above its cheapest one."""
    low, high = np.full(n, np.inf), np.zeros(n)
    np.minimum.at(low, network, costs)
    np.maximum.at(high, network, costs)
    return np.where(high > 0, high / np.maximum(low, 1e-9 * high + np.finfo(float).tiny) - 1, 0.0)


def adapt(
    table: CostTable,
    sources: Sources = None,
    targets: TargetLike | None = None,
    *,
    random_state: int | None = None,
) -> SurrogateSuite:
    """Adapt to every device of a table of few measurements.

    Parameters
    ----------
    table : CostTable
        What was measured (``load_table("samples.csv")``).
    sources : CostTable, Surrogate or SurrogateSuite, or several, optional
        What is known of other devices.
    targets : targets, optional
        Which of the table's targets; all if None.
    random_state : int or None, default=None
        Seed.

    Returns
    -------
    SurrogateSuite
        Of :class:`TransferSurrogate`.

    Raises
    ------
    InvalidInputError
        If a target has fewer than two costs: the message names it.
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
        try:
            members[target] = surrogate.fit(table.batch.take(rows), costs[rows], failed=failed[rows])
        except InvalidInputError as error:
            raise InvalidInputError(f"{target}: {error}") from error
    suite.surrogates_, suite.info_ = members, {"table_fingerprint": table.fingerprint}
    return suite
