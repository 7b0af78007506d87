"""Source devices: costs and surrogates of other devices that help to predict a new one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, TypeAlias

import numpy as np
from sklearn.utils.validation import check_is_fitted

from hwnas_surrogate.columns import Column
from hwnas_surrogate.data import CostTable, TargetLike
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import Encoder, LayerPhysics
from hwnas_surrogate.features.encoder import Features
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.jobs.parallel import Progress
from hwnas_surrogate.models import PhysicsStack
from hwnas_surrogate.random_states import RandomState, as_seed
from hwnas_surrogate.spaces import SearchSpace, get_space
from hwnas_surrogate.trainers.distilled import physics_of, predicts_by_physics
from hwnas_surrogate.trainers.encoded import stack_encoder
from hwnas_surrogate.trainers.queries import queries
from hwnas_surrogate.trainers.suite import SurrogateSuite
from hwnas_surrogate.trainers.surrogate import Surrogate

__all__ = ["SourceCosts", "Sources", "fit_sources", "fitted_sources", "surrogates_of"]

Source: TypeAlias = CostTable | Surrogate | SurrogateSuite
Sources: TypeAlias = Source | Iterable[Source] | None
"""Tables, fitted surrogates or suites of other devices, one or several; None for no source."""


def fit_sources(
    table: CostTable,
    targets: TargetLike | Iterable[TargetLike] | None = None,
    *,
    random_state: RandomState = None,
    progress: Progress | None = None,
    n_jobs: int | None = None,
    journal: str | os.PathLike[str] | None = None,
) -> SurrogateSuite:
    """Fit the surrogates of source devices once, to adapt to any number of new devices with them.

    Parameters
    ----------
    table : CostTable
        Costs of the source devices; missing ones are left out.
    targets : targets, optional
        Which of its targets; all if None.
    random_state : int, numpy generator or None, default=None
        Seed.
    progress : callable, optional
        Called with (done, total) after each target.
    n_jobs : int, optional
        Processes, as in :func:`~hwnas_surrogate.jobs.in_parallel`.
    journal : path-like, optional
        A folder that fitted surrogates are saved to as they come, as in :meth:`SurrogateSuite.fit`.

    Returns
    -------
    SurrogateSuite
        For ``TransferSurrogate(sources=...)``. Each surrogate keeps its model of layer physics, which predicts for
        other spaces and configs. Trained on graphs, it is the default one, which knows what operators cost.

    Examples
    --------
    >>> from hwnas_surrogate import load_table
    >>> table = load_table(space="fbnet")
    >>> [str(target) for target in fit_sources(table.rows(range(100))).targets_]
    ['epyc-torch-1t/latency', 'epyc-onnxruntime-1t/latency']
    """
    seed = as_seed(random_state)
    encoder, model = (None, None) if table.space is None else (stack_encoder(table.space), PhysicsStack(seed))
    suite = SurrogateSuite(table.space, encoder, model, seed, calibrate=False)
    return suite.fit_table(table, targets, progress=progress, n_jobs=n_jobs, journal=journal)


def surrogates_of(sources: Sources, random_state: RandomState = None) -> tuple[Surrogate, ...]:
    """Return the fitted surrogates of sources; tables are fitted."""
    alone = isinstance(sources, Source) or not isinstance(sources, Iterable)
    items: list[Any] = [] if sources is None else [sources] if alone else list(sources)  # type: ignore[arg-type]
    surrogates: list[Surrogate] = []
    for item in items:
        if isinstance(item, CostTable):
            item = fit_sources(item, random_state=random_state)
        if isinstance(item, SurrogateSuite):
            check_is_fitted(item, "surrogates_")
            surrogates += item.surrogates_.values()
        elif isinstance(item, Surrogate):
            check_is_fitted(item, "model_")
            surrogates.append(item)
        else:
            raise InvalidInputError(
                f"a source must be a CostTable, a Surrogate or a SurrogateSuite, got {type(item).__name__}."
            )
    return tuple(surrogates)


def fitted_sources(
    sources: Sources, space: SearchSpace | None, random_state: RandomState = None
) -> tuple[Surrogate, ...]:
    """Return the fitted surrogates of sources; tables are fitted. Raise if one can't predict in the space.

    ``space`` is None for networks of any kind.
    """
    surrogates = surrogates_of(sources, random_state)
    for surrogate in surrogates:
        own = get_space(surrogate.encoder_.space)  # None of graphs, which predicts networks of any kind
        if own is not None and own is not space and physics_of(surrogate) is None:
            raise InvalidInputError(
                f"the source {surrogate.target_ or 'without a name'} is a surrogate over {own.name}, which can't "
                f"predict {'graphs' if space is None else space.name}: give its cost table instead, or what "
                "fit_sources makes of it."
            )
    return surrogates


class SourceCosts(Encoder):
    """Predictions of the surrogates of source devices, one column each.

    A source that was trained in another space predicts by its layer physics. If it has none, layer physics is fitted
    to its predictions of architectures of its own space. A source that was trained under one or two other configs
    predicts by layer physics too, if it has a model of it; otherwise its predictions are extrapolated.

    Parameters
    ----------
    space : str, SearchSpace or None, default="nasbench201"
        The search space of the architectures; None for networks of any kind.
    surrogates : tuple of Surrogate
        Fitted surrogates.
    """

    asks_surrogates: ClassVar[bool] = True

    def __init__(self, space: str | SearchSpace | None = "nasbench201", surrogates: tuple[Surrogate, ...] = ()) -> None:
        super().__init__(space)
        self.surrogates = surrogates

    def __sklearn_clone__(self) -> SourceCosts:
        """Keep the surrogates fitted: they are data here."""
        return SourceCosts(self.space, self.surrogates)

    def asked_surrogates(self) -> tuple[Surrogate, ...]:
        """Return the surrogates."""
        return self.surrogates

    def to_state(self) -> dict[str, Any]:
        """Return the class alone: the surrogates are saved beside the encoder."""
        return {"class": type(self).__name__, "params": {}}

    def _columns(self) -> Iterator[Column]:
        seen: set[str] = set()
        for number, surrogate in enumerate(self.surrogates):
            name = str(surrogate.target_ or number)
            yield Column.source(f"{name}#{number}" if name in seen else name)
            seen.add(name)

    def _encode(self, batch: NetworkBatch, out: Features) -> None:
        for number in range(len(batch.configs)):
            rows = np.flatnonzero(batch.config_number == number)
            if len(rows):
                out[rows] = self._predicted(batch if len(rows) == len(batch) else batch.take(rows))

    def _predicted(self, batch: NetworkBatch) -> Features:
        """Return the predictions of each source for networks under one config, (n, sources)."""
        result = np.zeros((len(batch), len(self.surrogates)))
        by_physics = {n: one for n, one in enumerate(self.surrogates) if predicts_by_physics(one, batch)}
        others = {n: one for n, one in enumerate(self.surrogates) if n not in by_physics}
        if by_physics:
            frame = LayerPhysics(None).frame(batch)
            for number, surrogate in by_physics.items():
                physics = physics_of(surrogate)
                assert physics is not None
                predicted = physics.predict(frame) * surrogate.scale_
                result[:, number] = np.maximum(predicted, surrogate.floor_)
        if others:
            space, start = get_space(next(iter(others.values())).space), 0
            for encoded in queries(others, space, batch, None, extrapolate=True):
                for number, query in encoded.items():
                    rows = slice(start, start + len(query))
                    result[rows, number] = self.surrogates[number].cost_encoded(query)
                start += len(query)
        return result
