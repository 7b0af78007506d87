"""The closed loop: measure the networks that promise most, adapt the surrogates, and search again."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data import CostTable, Target, TargetLike, merge
from hwnas_surrogate.errors import InvalidInputError, UnmetBudgetsError
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.random_states import RandomState, as_seed
from hwnas_surrogate.search.candidates import read_candidates
from hwnas_surrogate.search.cost_sources import Costs, CostSource, CostSources
from hwnas_surrogate.search.goals import Goals
from hwnas_surrogate.search.promise import most_promising
from hwnas_surrogate.search.qualities import Quality
from hwnas_surrogate.search.quantities import QUALITY, Quantity, read_budgets, read_objectives
from hwnas_surrogate.search.result import SearchResult
from hwnas_surrogate.search.searching import check_quality, is_function, search
from hwnas_surrogate.search.suggestions import suggest
from hwnas_surrogate.spaces import ConfigLike, Networks, SearchSpace
from hwnas_surrogate.trainers import AdaptWarning, SurrogateSuite, adapt
from hwnas_surrogate.trainers.sources import Sources, fitted_sources

__all__ = ["ClosedLoop"]

MAY = 0.05
"""A network is worth a measurement if it keeps the budgets with this probability."""
GAIN = 1e-4
"""Smallest expected gain of a round that is worth measuring, relative to the range of the objective."""
_FITTED = 2
"""A surrogate needs the costs of so many networks."""


class ClosedLoop:
    """A search whose picks are measured, so that they keep the budgets by measurement and not by prediction.

    Picks of a search are where its surrogates err most, and predictions alone choose networks that break the budget.
    The loop measures a few informative networks (:func:`suggest`), adapts surrogates to all measurements, measures the
    networks that promise the largest gain (:func:`~hwnas_surrogate.search.promise.most_promising`), and so on. It ends
    when no round promises a gain that is worth it, or after a number of measurements. Its result is the best of what
    was measured.

    :meth:`run` calls a function that measures. Where somebody else measures, :meth:`ask` returns the networks, and
    :meth:`tell` takes their costs.

    Parameters
    ----------
    candidates : str, SearchSpace, batch or graphs
        As of :func:`search`.
    objectives : str, Target or several, default="quality"
        As of :func:`search`. Targets are measured ones, or those of ``surrogates``.
    measured : sequence of Target or str
        The targets that are measured.
    budgets, quality, n, config, evaluations, n_jobs, timeout, journal, random_state
        As of :func:`search`.
    surrogates : surrogates or tables, optional
        Costs of targets that are not measured.
    sources : CostTable, Surrogate or SurrogateSuite, or several, optional
        Costs or surrogates of other devices, as of :func:`~hwnas_surrogate.trainers.adapt`.
    table : CostTable, optional
        What was measured before.
    first : int, default=10
        Number of informative networks to measure before the first search.
    most : int, default=30
        Number of networks to measure altogether.
    batch : int, default=5
        Number of networks in each later round.

    Attributes
    ----------
    table : CostTable or None
        Every measurement, also of networks that the device refused.
    suite : SurrogateSuite or None
        The surrogates of the last search.
    promise : float
        The expected gain of the networks that :meth:`ask` returned last, relative to the range of the objective (of
        several: to the volume of their range). NaN before the first search, and where no budget can be met.

    Raises
    ------
    InvalidInputError
        If an argument is not allowed.
    NotInTableError
        If an objective or a budget is of a target that is neither measured nor predicted.

    Examples
    --------
    >>> import pandas as pd
    >>> from hwnas_surrogate import load_table
    >>> truth = load_table(space="nasbench201").select("epyc-torch-1t/latency").rows(range(300))
    >>> loop = ClosedLoop(
    ...     truth.batch,
    ...     measured="epyc-torch-1t/latency",
    ...     quality=pd.Series(np.sqrt(truth.batch.params), index=truth.names),
    ...     budgets={"epyc-torch-1t/latency": 8.0},
    ... )
    >>> result = loop.run(lambda batch: truth.rows(truth.find(batch)))
    >>> bool((result.frame["epyc-torch-1t/latency (ms)"] <= 8).all()), len(loop.table) <= 30
    (True, True)
    """

    def __init__(
        self,
        candidates: str | SearchSpace | Networks,
        objectives: TargetLike | Iterable[TargetLike] = QUALITY,
        *,
        measured: TargetLike | Iterable[TargetLike],
        budgets: Mapping[TargetLike, float] | None = None,
        quality: Quality | None = None,
        surrogates: CostSources = None,
        sources: Sources = None,
        table: CostTable | None = None,
        first: int = 10,
        most: int = 30,
        batch: int = 5,
        n: int = 5,
        config: ConfigLike = None,
        evaluations: int | None = None,
        n_jobs: int | None = None,
        timeout: float | None = None,
        journal: str | os.PathLike[str] | None = None,
        random_state: RandomState = 0,
    ) -> None:
        self._first, self._most, self._batch = (
            _checked_number(name, value, least)
            for name, value, least in (("first", first, 2), ("most", most, 2), ("batch", batch, 1))
        )
        self._n = n
        self.table = table
        self.suite: SurrogateSuite | None = None
        self.promise = float("nan")
        self._seed = as_seed(random_state)
        given = Costs(surrogates)
        self._given = _listed_sources(surrogates)
        self._measured = _targets(measured)
        if both := [str(target) for target in self._measured if target in given.targets]:
            raise InvalidInputError(f"{both[0]} is measured: leave it out of surrogates.")
        known = (*self._measured, *given.targets)
        self._objectives, self._budgets = read_objectives(objectives, known), read_budgets(budgets, known)
        self._quantities = tuple(dict.fromkeys([*self._objectives, *(budget.quantity for budget in self._budgets)]))
        self._by_name = isinstance(candidates, (str, SearchSpace))
        if config is None and table is not None and self._by_name:
            config = table.configs[0]
        self._among = read_candidates(candidates, config, given, evaluations)
        Goals(self._objectives, self._budgets, None, given, None if quality is None else _not_called)
        check_quality(quality, self._among)
        if is_function(quality) and journal is None:  # every round searches again: a network is evaluated once
            folder = tempfile.mkdtemp(prefix="hwnas-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            journal = os.path.join(folder, "qualities")
        self._evaluations = evaluations
        self._calls: dict[str, Any] = {
            "quality": quality,
            "n_jobs": n_jobs,
            "timeout": timeout,
            "journal": journal,
        }
        self._sources = fitted_sources(sources, self._among.space, self._seed)

    def __repr__(self) -> str:
        """Return what is sought, and how many networks were measured."""
        wanted = ", ".join([quantity.name for quantity in self._objectives] + [str(budget) for budget in self._budgets])
        return f"{type(self).__name__}({wanted}; {self._n_measured} of at most {self._most} measured)"

    @property
    def _n_measured(self) -> int:
        return 0 if self.table is None else len(self.table)

    def run(self, measure: Callable[[NetworkBatch], CostTable]) -> SearchResult:
        """Measure until the loop ends.

        Parameters
        ----------
        measure : callable
            Measures networks, and returns a table that holds them, as :meth:`tell` takes it.

        Returns
        -------
        SearchResult
            As :meth:`result`.

        Raises
        ------
        UnmetBudgetsError
            If no measured network keeps the budgets. ``table`` holds what was measured.
        """
        while len(batch := self.ask()):
            self.tell(measure(batch))
        return self.result()

    def ask(self) -> NetworkBatch:
        """Return the networks to measure next; none if the loop is at its end.

        The same measurements and seed give the same networks, so that a loop that was stopped goes on where it was.
        """
        room = self._most - self._n_measured
        self.promise = float("nan")
        missing = self._first - self._n_measured if self._surrogates() else self._first
        if room > 0 and missing > 0:
            return self._informative(min(missing, room))
        if room <= 0 or self.suite is None:
            return self._nothing()
        found = self._find(MAY)
        if found is None:
            return self._nearest(min(self._batch, room))
        rows = np.flatnonzero(~self._tried(found.evaluated.batch) & (found.evaluated.violation == 0))
        batch = found.evaluated.batch.take(rows)
        losses = found.goals.losses(found.evaluated.values[rows])
        probability = np.prod([np.ones(len(rows)), *found.goals.probabilities(batch).values()], axis=0)
        chosen, self.promise = most_promising(losses, probability, self._known_losses(), min(self._batch, room))
        return batch.take(chosen) if self.promise >= GAIN else self._nothing()

    def tell(self, table: CostTable) -> None:
        """Take measurements.

        Parameters
        ----------
        table : CostTable
            Costs of the measured targets, and reasons where the device could not run a network. Of a network that was
            measured before, the later costs count.

        Raises
        ------
        InvalidInputError
            If the table lacks a measured target, or is of other networks than the candidates.
        """
        lacking = [str(target) for target in self._measured if target not in table.targets]
        if lacking:
            raise InvalidInputError(
                f"the measurements lack {lacking[0]}, which the search needs; they hold "
                f"{', '.join(map(str, table.targets)) or 'no target'}."
            )
        if self.table is None:
            self.table = table
            return
        earlier = self.table.rows(np.flatnonzero(~np.isin(self.table.batch.keys, table.batch.keys)))
        self.table = merge([earlier, table]) if len(earlier) else table

    def result(self) -> SearchResult:
        """Return the best of the measured networks; their costs are the measured ones.

        Raises
        ------
        UnmetBudgetsError
            If no measured network keeps the budgets; the message names the nearest.
        InvalidInputError
            If nothing was measured.
        """
        own = None if self.table is None else self._own(self.table)
        if self.table is None or own is None or not len(own):
            raise InvalidInputError("nothing was measured: measure what ask returns, and tell the costs.")
        return self._search(own.batch, [own.select(list(self._measured)), *self._given], n=self._n)

    def _own(self, table: CostTable) -> CostTable:
        """Return the measurements of candidates, under their config."""
        rows = np.ones(len(table), bool)
        if self._among.listed is not None:
            rows = np.isin(table.batch.keys, self._among.listed.keys)
        elif self._among.config is not None:
            rows = np.array([config == self._among.config for config in table.row_configs], bool)
        return table.rows(np.flatnonzero(rows))

    def _surrogates(self) -> bool:
        """Adapt surrogates to the measurements; return whether there are enough of each target."""
        self.suite = None
        needed = [quantity.target for quantity in self._quantities if quantity.target in self._measured]
        if self.table is None:
            return False
        costs = self.table.select(needed).costs if needed else np.empty((0, 0))
        if ((~np.isnan(costs)).sum(axis=0) < _FITTED).any():
            return False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AdaptWarning)
            self.suite = adapt(self.table.select(needed), self._sources, random_state=self._seed)
        return True

    def _informative(self, n: int) -> NetworkBatch:
        """Return networks that teach the surrogates most."""
        listed = None if self._by_name else self._among.listed
        given = None if self.table is None else self.table.batch
        if listed is not None:
            left = len(np.unique(listed.repeats[~self._tried(listed)]))
            if left < n:
                n = left
            if not n:
                return self._nothing()
        pool = self._among.space if listed is None else listed
        assert pool is not None
        config = self._among.config if listed is None else None
        return suggest(pool, n, config, sources=self._sources, given=given, random_state=self._seed).networks

    def _find(self, certainty: float | None) -> SearchResult | None:
        """Search by the surrogates; None if no candidate keeps the budgets with the certainty."""
        of_targets = any(budget.quantity.target is not None for budget in self._budgets)
        among = self._among.listed if self._among.listed is not None else self._among.space
        try:
            return self._search(among, [self.suite, *self._given], certainty=certainty if of_targets else None)
        except UnmetBudgetsError:
            return None

    def _nearest(self, n: int) -> NetworkBatch:
        """Return those of the n networks nearest to the budgets, by prediction, that were not measured."""
        quantities = [budget.quantity for budget in self._budgets]
        among = self._among.listed if self._among.listed is not None else self._among.space
        found = self._search(among, [self.suite, *self._given], quantities).evaluated
        excess = np.max([budget.excess(found.values[:, place]) for place, budget in enumerate(self._budgets)], axis=0)
        rows = np.argsort(np.where(found.violation == 0, excess, np.inf), kind="stable")[:n]
        return found.batch.take(rows[~self._tried(found.batch.take(rows))])

    def _known_losses(self) -> npt.NDArray[np.float64]:
        """Return the objectives of the measured networks that keep the budgets, (n, k)."""
        try:
            known = self.result()
        except UnmetBudgetsError:
            return np.empty((0, len(self._objectives)))
        return known.goals.losses(known.evaluated.values[known.evaluated.choosable])

    def _search(
        self,
        among: Any,
        costs: list[Any],
        objectives: Iterable[Quantity] | None = None,
        *,
        certainty: float | None = None,
        n: int = 1,
    ) -> SearchResult:
        """Search with the loop's options; under its budgets, unless other objectives are given."""
        wanted = self._objectives if objectives is None else tuple(objectives)
        budgets = self._budgets if objectives is None else ()
        needed = {quantity.name for quantity in (*wanted, *(budget.quantity for budget in budgets))}
        return search(
            among,
            [quantity.target or quantity.name for quantity in wanted],
            surrogates=costs,
            budgets={budget.quantity.target or budget.quantity.name: budget.limit for budget in budgets},
            certainty=certainty,
            n=n,
            config=self._among.config if isinstance(among, SearchSpace) else None,
            random_state=self._seed,
            evaluations=self._evaluations,
            **(self._calls if QUALITY in needed else {}),
        )

    def _tried(self, batch: NetworkBatch) -> npt.NDArray[np.bool_]:
        """Return which networks were measured, or refused by the device, (n,)."""
        return np.isin(batch.keys, [] if self.table is None else self.table.batch.keys)

    def _nothing(self) -> NetworkBatch:
        if self.table is not None:
            return self.table.batch.take([])
        assert self._among.listed is not None
        return self._among.listed.take([])


def _not_called(batch: NetworkBatch) -> npt.NDArray[np.float64]:
    """Stand for the quality, to check what is sought before anything is measured."""
    raise AssertionError(batch)


def _targets(asked: TargetLike | Iterable[TargetLike]) -> tuple[Target, ...]:
    """Return the targets that are measured, each once."""
    items = [asked] if isinstance(asked, (str, Target)) else list(asked)
    if not items:
        raise InvalidInputError("measured must name a target at least, as in 'pi/latency', got none.")
    return tuple(dict.fromkeys(item if isinstance(item, Target) else Target.parse(item) for item in items))


def _listed_sources(sources: CostSources) -> list[Any]:
    """Return sources of costs as a list."""
    if isinstance(sources, Mapping):
        suite = SurrogateSuite(next(iter(sources.values())).space) if sources else SurrogateSuite()
        suite.surrogates_ = {Target.parse(str(name)): one for name, one in sources.items()}
        return [suite]
    if sources is None:
        return []
    return [sources] if isinstance(sources, CostSource) else list(sources)


def _checked_number(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InvalidInputError(f"{name} must be a number of networks, {least} or more, got {value!r:.40}.")
    return int(value)
