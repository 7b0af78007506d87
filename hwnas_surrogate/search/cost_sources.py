"""Costs of candidates: predicted by surrogates, or looked up in tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from hwnas_surrogate.data import BlockTable, CostTable, Target
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.spaces import ArchBatch, ConfigLike, NetworkConfig, SearchSpace, get_space
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite
from hwnas_surrogate.trainers.encoded import Encoded, asked_config
from hwnas_surrogate.trainers.posterior import CalibratedPosterior
from hwnas_surrogate.trainers.queries import queries

__all__ = ["CostSource", "CostSources", "Costs"]

Vector = npt.NDArray[np.float64]
ByTarget = dict[Target, Vector]

CostSource: TypeAlias = Surrogate | SurrogateSuite | CostTable | BlockTable
"""Fitted surrogates, or a table that covers the candidates."""
CostSources: TypeAlias = CostSource | Iterable[CostSource] | Mapping[str, Surrogate] | None
"""One source, several, or a mapping of targets to fitted surrogates."""

_RUNS = 0.5
"""Probability of a cost below which a device is taken not to run a network."""


class Costs:
    """The costs of networks by target, whichever source has them.

    Parameters
    ----------
    sources : surrogates, tables, or several
        A target has one source.

    Raises
    ------
    InvalidInputError
        If a source is something else, a surrogate has no target, or a target two sources.
    """

    def __init__(self, sources: CostSources) -> None:
        self._fitted: dict[Target, Surrogate] = {}
        self._tables: dict[Target, CostTable | BlockTable] = {}
        for target, source in _each(sources):
            if target in self._fitted or target in self._tables:
                raise InvalidInputError(f"a target has one source of costs, got two for {target}.")
            if isinstance(source, Surrogate):
                self._fitted[target] = source
            else:
                self._tables[target] = source

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets, those of surrogates first."""
        return (*self._fitted, *self._tables)

    @property
    def space(self) -> SearchSpace | None:
        """The space of the surrogates and tables; None if they are of graphs, or there is none."""
        spaces = [get_space(one.encoder_.space) for one in self._fitted.values()]
        spaces += [table.space for table in self._tables.values()]
        return next((space for space in spaces if space is not None), None)

    def config(self, space: SearchSpace, config: ConfigLike = None) -> NetworkConfig:
        """Return the config to search a space under: the one given, or that of the surrogates and tables.

        Raises
        ------
        InvalidInputError
            If they are over another space.
        InvalidConfigError
            If it is no config of the space; or none is given, and surrogates or tables are of several configs, none of
            which is the space's first published one.
        """
        if self.space is not None and self.space is not space:
            raise InvalidInputError(
                f"the costs are over {self.space.name}, the candidates are architectures of {space.name}."
            )
        if config is not None:
            return space.config(config)
        known = [config for one in self._fitted.values() if one.encoder_.space is not None for config in one.configs_]
        for table in self._tables.values():
            own = table.config if isinstance(table, BlockTable) else None
            known += table.configs if own is None else [own]
        distinct = [config for config in dict.fromkeys(known) if config is not None]
        return asked_config(space, distinct) if distinct else space.default_config

    def predict(self, batch: NetworkBatch, targets: Iterable[Target]) -> ByTarget:
        """Return costs, (n,) for each target; NaN where the device has none, or probably can't run the network."""

        def cost(surrogate: Surrogate, query: Encoded, _: Target) -> Vector:
            runs = surrogate.has_cost_encoded(query) >= _RUNS
            return np.where(runs, surrogate.predict_encoded(query), np.nan)

        return self._by_target(batch, targets, cost, lambda costs, _: costs)

    def within(self, batch: NetworkBatch, limits: Mapping[Target, float]) -> ByTarget:
        """Return the probability that each cost keeps a limit, (n,) for each target; 0 or 1 of looked-up costs.

        NaN of surrogates that were fitted with ``calibrate=False``.
        """

        def probability(surrogate: Surrogate, query: Encoded, target: Target) -> Vector:
            if not surrogate.calibrate:
                return np.full(len(query), np.nan)
            return surrogate.within_encoded(query, np.full(len(query), limits[target]))

        def known(costs: Vector, target: Target) -> Vector:
            kept = costs >= limits[target] if target.kind.larger_is_better else costs <= limits[target]
            return kept.astype(np.float64)

        return self._by_target(batch, limits, probability, known)

    def intervals(self, batch: NetworkBatch, targets: Iterable[Target], coverage: float) -> ByTarget:
        """Return intervals of costs, (n, 2) for each target; both bounds are the cost if it is looked up.

        NaN of surrogates that were fitted with ``calibrate=False``.
        """

        def interval(surrogate: Surrogate, query: Encoded, _: Target) -> Vector:
            return (
                surrogate.interval_encoded(query, coverage) if surrogate.calibrate else np.full((len(query), 2), np.nan)
            )

        return self._by_target(batch, targets, interval, lambda costs, _: np.stack([costs, costs], axis=1))

    def check_calibrated(self, targets: Iterable[Target]) -> None:
        """Raise if the probabilities of some targets are unknown.

        Raises
        ------
        InvalidInputError
            If a surrogate was fitted with ``calibrate=False``.
        """
        for target in targets:
            if target in self._fitted and not self._fitted[target].calibrate:
                raise InvalidInputError(
                    f"the surrogate of {target} was fitted with calibrate=False, and knows no probabilities: fit it "
                    "again, or leave certainty out."
                )

    def reachable(self, batch: NetworkBatch, targets: Iterable[Target], certainty: float) -> ByTarget:
        """Return the tightest budget that each network keeps with a certainty, (n,) for each target."""

        def quantile(surrogate: Surrogate, query: Encoded, target: Target) -> Vector:
            part = 1 - certainty if target.kind.larger_is_better else certainty
            return CalibratedPosterior(surrogate, [query]).quantile(part)

        return self._by_target(batch, targets, quantile, lambda costs, _: costs)

    def _by_target(
        self,
        batch: NetworkBatch,
        targets: Iterable[Target],
        of_surrogate: Callable[[Surrogate, Encoded, Target], Vector],
        of_table: Callable[[Vector, Target], Vector],
    ) -> ByTarget:
        asked = list(targets)
        fitted = {target: self._fitted[target] for target in asked if target in self._fitted}
        found: dict[Target, list[Vector]] = {target: [] for target in fitted}
        if fitted:
            _check_space(fitted, batch)
            for by_target in queries(fitted, None, batch, None):
                for target, query in by_target.items():
                    found[target].append(of_surrogate(fitted[target], query, target))
        result = {target: np.concatenate(parts) for target, parts in found.items()}
        for target in asked:
            if target in self._tables:
                result[target] = of_table(_looked_up(self._tables[target], batch, target), target)
        return {target: result[target] for target in asked}


def _each(sources: CostSources) -> Iterator[tuple[Target, Any]]:
    """Yield the targets with their surrogate or table."""
    if isinstance(sources, Mapping):
        for name, one in sources.items():
            if not isinstance(one, Surrogate):
                raise InvalidInputError(f"the surrogate of {name!r:.80} must be a Surrogate, got {type(one).__name__}.")
            check_is_fitted(one, "model_")
            target = name if isinstance(name, Target) else Target.parse(name)
            if one.kind != target.kind:
                raise InvalidInputError(
                    f"{target} needs a surrogate of {target.kind.name}, got one of {one.kind.name}: name it so, or fit "
                    f"Surrogate(metric={target.kind.name!r})."
                )
            yield target, one
        return
    single = isinstance(sources, CostSource) or not isinstance(sources, Iterable)
    items: list[Any] = [] if sources is None else [sources] if single else list(sources)  # type: ignore[arg-type]
    for source in items:
        if isinstance(source, SurrogateSuite):
            check_is_fitted(source, "surrogates_")
            yield from source.surrogates_.items()
        elif isinstance(source, (CostTable, BlockTable)):
            yield from ((target, source) for target in source.targets)
        elif isinstance(source, Surrogate):
            check_is_fitted(source, "model_")
            if source.target_ is None:
                raise InvalidInputError(
                    "a surrogate without a target was given: name it, as in {'pi/latency': surrogate}."
                )
            yield source.target_, source
        else:
            raise InvalidInputError(
                "costs come from a fitted Surrogate or SurrogateSuite, or from a table, several of them, or a mapping "
                f"of targets to surrogates; got {type(source).__name__}."
            )


def _check_space(fitted: Mapping[Target, Surrogate], batch: NetworkBatch) -> None:
    for target, one in fitted.items():
        own = get_space(one.encoder_.space)
        if own is not None and isinstance(batch, ArchBatch) and batch.space is not own:
            raise InvalidInputError(
                f"the surrogate of {target} is over {own.name}, the candidates are architectures of {batch.space.name}."
            )


def _looked_up(table: CostTable | BlockTable, batch: NetworkBatch, target: Target) -> Vector:
    if isinstance(table, CostTable):
        costs = table.lookup(batch, targets=target)
    elif isinstance(batch, ArchBatch) and batch.space is table.space:
        each = [batch.configs[number] for number in batch.config_number] if len(batch.configs) > 1 else batch.configs[0]
        costs = table.lookup(batch.archs, each, target)
    else:
        raise InvalidInputError(f"the costs of {target} are of FBNet's blocks, the candidates are other networks.")
    return np.ascontiguousarray(costs.to_numpy()[:, 0])
