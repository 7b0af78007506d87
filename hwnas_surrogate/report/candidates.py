"""The networks of the report's explorer: those of the table, others of its space, and their predicted costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.data import CostTable, Target, load_quality
from hwnas_surrogate.data.accuracy import is_accuracy_table
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation.holdout import multiply_adds
from hwnas_surrogate.search import pareto_front
from hwnas_surrogate.search.quality import Accuracy, quality_by_row, read_quality
from hwnas_surrogate.spaces import SearchSpace, get_space
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite

__all__ = ["COVERAGE", "Candidates", "candidates"]

COVERAGE = 0.9
"""Coverage of the intervals."""
_WHOLE = 40_000
"""A space of at most this many architectures is shown as a whole."""
_BUILT = 1000
"""Networks that must be built to be counted: at most this many are."""
_DRAWN = 50_000
"""Of a larger space, so many random architectures are predicted."""
_KEPT = 10_000
"""Of those, so many are shown, and the front of all."""
_FITTED = 4000
"""Surrogates are fitted to at most this many costs: more would take long, and improve little."""
_RUNS = 0.5
"""A network that the device runs with a lower probability has no predicted cost."""

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Networks to choose among.

    Parameters
    ----------
    table : CostTable
        Those of the report's table first, in its order, then n others of the space, without costs.
    n_measured : int
        The number of rows of the report's table.
    quality : Series or None
        The quality of each row, NaN where it is unknown; its name is its label.
    surrogates : mapping of Target to Surrogate
        What predicts the costs. Targets whose costs are all known (of architectures), or too few, have none.
    predicted : mapping of Target to ndarray of float64, shape (k, 3)
        Prediction and bounds of the interval, in the target's unit, of the k rows for which :meth:`to_predict` is true.
        NaN where the device is not expected to run the network; NaN bounds of a surrogate without intervals.
    why_not : mapping of Target to str
        Why a target that lacks costs has no predictions.
    whole : bool
        Whether every architecture of the space is among them.
    about : str
        A sentence about the networks that are not in the table; empty if there are none.
    """

    table: CostTable
    n_measured: int
    quality: pd.Series[float] | None
    surrogates: Mapping[Target, Surrogate]
    predicted: Mapping[Target, Vector]
    why_not: Mapping[Target, str]
    whole: bool
    about: str

    def to_predict(self, target: Target) -> npt.NDArray[np.bool_]:
        """Return which rows need a prediction, shape (n,): without a cost, and not known to fail."""
        return _to_predict(self.table, target)

    def values(self, target: Target) -> Vector:
        """Return the cost of each row, shape (n,): measured, or else predicted; NaN where neither is known."""
        values = np.array(self.table.costs[:, self.table.targets.index(target)])
        if target in self.predicted:
            values[self.to_predict(target)] = self.predicted[target][:, 0]
        return values


def candidates(
    table: CostTable,
    targets: Sequence[Target],
    quality: Accuracy | None,
    surrogates: SurrogateSuite | None,
    model: str | None,
    seed: int,
    wanted: npt.NDArray[np.int8] | None = None,
) -> Candidates:
    """Return the networks to choose among.

    They are the whole space if it has at most 40,000 architectures. Of a larger one, they are the table's, those of
    known quality, 10,000 random ones, and those on a front of a target and the quality (or the multiply-adds) among
    50,000 random ones. Networks that must be built to be counted are 1,000 at most. They are the table's alone if it
    holds graphs or several configs, or if the space is one of modules, which take long to capture.

    Parameters
    ----------
    table : CostTable
        The measured costs.
    targets : sequence of Target
        Which targets to predict.
    quality : Series, CostTable or path-like, optional
        As in :func:`quality_by_row`.
    surrogates : SurrogateSuite, optional
        Predicts its targets. The others are predicted by surrogates fitted to at most 4,000 of the table's costs.
    model : str or None
        The model of these.
    seed : int
        Of random architectures and of the costs fitted to.
    wanted : ndarray of int8, shape (n, positions), optional
        Architectures that are shown in any case, unless the table is of several configs.

    Raises
    ------
    InvalidInputError
        If the surrogates are of another space, or no network has a known quality.
    """
    _check_space(table, surrogates)
    if quality is not None:
        quality_by_row(table, quality)  # what is wrong with it is told before anything is fitted
    others, whole, sampled = _others(table, quality, seed, wanted)
    extended = _extended(table, others)
    rated = None if quality is None else _rated(extended, quality)
    found, why_not = _surrogates(table, extended, targets, surrogates, model, seed)
    predicted = {
        target: _predicted(surrogate, extended, target)
        for target, surrogate in found.items()
        if _to_predict(extended, target).any()
    }
    made = Candidates(extended, len(table), rated, found, predicted, why_not, whole, _about(len(others), whole))
    return _fewer(made, targets, 0 if wanted is None else len(wanted)) if sampled else made


def _check_space(table: CostTable, surrogates: SurrogateSuite | None) -> None:
    if surrogates is None:
        return
    if not isinstance(surrogates, SurrogateSuite):
        raise InvalidInputError(
            f"surrogates must be a SurrogateSuite, got {type(surrogates).__name__}: SurrogateSuite.load reads a saved "
            "one."
        )
    spaces = {get_space(surrogates[target].space) for target in surrogates}
    if spaces - {table.space}:
        names = ", ".join("graphs" if space is None else space.name for space in spaces)
        raise InvalidInputError(f"the surrogates are of {names}, the table holds networks of {table.space_name}.")


# -- networks -------------------------------------------------------------------------------------------------


def _others(
    table: CostTable, quality: Accuracy | None, seed: int, wanted: npt.NDArray[np.int8] | None
) -> tuple[npt.NDArray[np.int8], bool, bool]:
    """Return architectures that are not in the table, whether they complete the space, and whether some are random."""
    space = table.space
    if space is None:
        return np.empty((0, 0), np.int8), False, False
    if len(table.configs) != 1:
        return np.empty((0, space.n_positions), np.int8), False, False
    first = np.empty((0, space.n_positions), np.int8) if wanted is None else wanted
    tabulated = space.op_table(table.configs[0], "all") is not None
    size = math.prod(space.n_ops_at.tolist())
    if size <= (_WHOLE if tabulated else _BUILT):
        n_drawn, whole = size, True
    else:
        n_drawn, whole = _DRAWN if tabulated else _BUILT, False
    drawn = space.representatives(n_drawn, seed)
    if len(drawn) < n_drawn:  # networks of modules, whose capture takes long
        others = _new(space, first, table.archs)
        return others, len(table) + len(others) == size, False
    if whole:
        return _new(space, space.enumerate(), table.archs), True, False
    known = [] if quality is None else [_rated_archs(quality, space)]
    return _new(space, np.concatenate([first, *known, drawn]), table.archs), False, True


def _rated_archs(quality: Accuracy, space: SearchSpace) -> npt.NDArray[np.int8]:
    """Return the architectures of known quality."""
    if isinstance(quality, pd.Series):
        return space.stack(quality.index)
    if isinstance(quality, CostTable):
        return quality.archs
    return load_quality(quality).archs if is_accuracy_table(quality) else read_quality(quality, space)[0]


def _new(space: SearchSpace, archs: npt.NDArray[np.int8], there: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Return the architectures that are not there yet, each once, in their order."""
    codes = space.codes(archs)
    first = np.sort(np.unique(codes, return_index=True)[1])
    return archs[first[~np.isin(codes[first], space.codes(there))]]


def _extended(table: CostTable, others: npt.NDArray[np.int8]) -> CostTable:
    if not len(others):
        return table
    empty = np.full((len(others), len(table.targets)), np.nan)
    nowhere = np.zeros(empty.shape, bool)
    return CostTable(
        table.space,
        np.concatenate([table.archs, others]),
        np.concatenate([table.costs, empty]),
        table.targets,
        configs=table.configs[0],
        reasons={reason: np.concatenate([where, nowhere]) for reason, where in table.reasons.items()},
    )


def _rated(table: CostTable, quality: Accuracy) -> pd.Series[float]:
    """Return the quality of each row, named."""
    rated = quality_by_row(table, quality)
    if rated.isna().all():
        raise InvalidInputError("quality has no value for any of the architectures to be shown.")
    return rated.rename("quality" if rated.name is None else str(rated.name))


def _fewer(made: Candidates, targets: Sequence[Target], n_wanted: int) -> Candidates:
    """Leave out most of the random architectures, but none of a front, nor the first ones, which are wanted."""
    table, quality = made.table, made.quality
    frame = pd.DataFrame({str(target): made.values(target) for target in targets})
    frame["up"] = multiply_adds(table, "live") if quality is None else quality.to_numpy()
    frame["connected"] = table.batch.connected
    kept = np.arange(len(table)) < made.n_measured + n_wanted + _KEPT
    if quality is not None:
        kept |= quality.notna().to_numpy()
    for target in targets:
        if frame[str(target)].notna().any():
            larger = ["up", str(target)] if target.kind.larger_is_better else ["up"]
            kept[pareto_front(frame, [str(target), "up"], larger).index] = True
    predicted = {target: values[kept[made.to_predict(target)]] for target, values in made.predicted.items()}
    rows = np.flatnonzero(kept)
    rated = None if quality is None else quality.iloc[rows].reset_index(drop=True)
    known = ["random ones", *([] if quality is None else ["those of known quality"])]
    known += ["those that the search found"] if n_wanted else []
    about = f"{len(rows) - made.n_measured:,} others of the space are shown: {', '.join(known)}, and the front of "
    about += f"{len(table) - made.n_measured:,} for each target."
    return Candidates(
        table.rows(rows), made.n_measured, rated, made.surrogates, predicted, made.why_not, made.whole, about
    )


def _about(n_others: int, whole: bool) -> str:
    if not n_others:
        return ""
    if whole:
        return f"All {n_others:,} others of the space are shown by their predictions."
    return f"Others that the search found, shown by their predictions: {n_others:,}."


# -- predictions ----------------------------------------------------------------------------------------------


def _to_predict(table: CostTable, target: Target) -> npt.NDArray[np.bool_]:
    column = table.targets.index(target)
    missing: npt.NDArray[np.bool_] = np.isnan(table.costs[:, column])
    for where in table.reasons.values():
        missing &= ~where[:, column]
    return missing


def _surrogates(
    table: CostTable,
    extended: CostTable,
    targets: Sequence[Target],
    given: SurrogateSuite | None,
    model: str | None,
    seed: int,
) -> tuple[dict[Target, Surrogate], dict[Target, str]]:
    """Return a surrogate for each target that lacks costs, or the reason why there is none.

    Of graphs, all targets have one: it explains where costs come from.
    """
    found: dict[Target, Surrogate] = {}
    why_not: dict[Target, str] = {}
    for target in targets:
        if table.space is not None and not _to_predict(extended, target).any():
            continue
        if given is not None and str(target) in given and given[target].n_train_:  # others only rank
            found[target] = given[target]
            continue
        column = table.targets.index(target)
        tried = np.flatnonzero(~_to_predict(table, target))
        if len(tried) > _FITTED:
            tried = np.sort(np.random.default_rng(seed).choice(tried, _FITTED, replace=False))
        suite = SurrogateSuite(table.space, model=model)
        try:
            found[target] = suite.fit_table(table.rows(tried).select(target))[target]
        except InvalidInputError as error:
            known = int((~np.isnan(table.costs[:, column])).sum())
            why_not[target] = f"{known} cost{'s' * (known != 1)}, 2 are needed." if known < 2 else str(error)
    return found, why_not


def _predicted(surrogate: Surrogate, table: CostTable, target: Target) -> Vector:
    """Return prediction and bounds of the rows without a cost, shape (k, 3)."""
    batch = table.batch.take(_to_predict(table, target))
    try:
        posterior = surrogate.posterior(batch)
        made = np.column_stack([posterior.mean, posterior.interval(COVERAGE)])
    except InvalidInputError:  # fitted without calibration, or to too few costs
        made = np.column_stack([surrogate.predict(batch), np.full((len(batch), 2), np.nan)])
    if surrogate.classifier_ is not None:
        made[surrogate.predict_has_cost(batch) < _RUNS] = np.nan
    return made
