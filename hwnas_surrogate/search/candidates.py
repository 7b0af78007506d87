"""The networks to choose among: given ones, or those of a space, listed if they are not too many."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.search.cost_sources import Costs
from hwnas_surrogate.spaces import ArchBatch, ConfigLike, NetworkConfig, Networks, SearchSpace, as_batch, get_space
from hwnas_surrogate.spaces.base import ArchArray
from hwnas_surrogate.spaces.registry import NamedSpace

__all__ = ["Candidates", "read_candidates"]

LISTED = 1_000_000
"""Largest space of which every architecture is evaluated."""
LISTED_ONE_BY_ONE = 10_000
"""The same for a space without a table of operators, whose networks take milliseconds each."""
EVALUATIONS = 50_000
"""Number of networks of a larger space that are evaluated."""
EVALUATIONS_ONE_BY_ONE = 2_000
"""The same for a space without a table of operators."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Networks to choose among.

    Parameters
    ----------
    listed : NetworkBatch or None
        All of them, each once; None if they are too many.
    space : SearchSpace or None
        Their space; None of graphs.
    config : NetworkConfig or None
        The config of architectures; None of graphs.
    evaluations : int
        The largest number of networks to evaluate.
    """

    listed: NetworkBatch | None
    space: SearchSpace | None
    config: NetworkConfig | None
    evaluations: int

    def batch(self, archs: ArchArray) -> ArchBatch:
        """Return architectures of the space as a batch."""
        assert self.space is not None
        return self.space.batch(archs, self.config)


def read_candidates(
    asked: str | SearchSpace | Networks, config: ConfigLike, costs: Costs, evaluations: int | None
) -> Candidates:
    """Return the candidates of a search.

    Parameters
    ----------
    asked : str, SearchSpace, architectures, batch or graphs
        A space, or the networks themselves. Architectures are of the space of the costs.
    config : config or None
        The config of architectures; that of the costs if None.
    costs : Costs
    evaluations : int or None
        The largest number of networks to evaluate: a larger space is not listed.

    Raises
    ------
    InvalidInputError
        If there are no candidates, or more given ones than may be evaluated.
    """
    if isinstance(asked, (str, NamedSpace)):
        space = get_space(asked)
        under = costs.config(space, config)
        size = math.prod(space.n_ops_at.tolist())
        one_by_one = space.op_table(under, "all") is None
        if size > (min(evaluations, LISTED) if evaluations else LISTED_ONE_BY_ONE if one_by_one else LISTED):
            most = evaluations or (EVALUATIONS_ONE_BY_ONE if one_by_one else EVALUATIONS)
            return Candidates(None, space, under, most)
        return Candidates(space.batch(space.enumerate(), under), space, under, size)
    of = None if isinstance(asked, NetworkBatch) else costs.space
    batch = as_batch(of, asked, config)
    if config is None and isinstance(batch, ArchBatch) and not isinstance(asked, NetworkBatch):
        batch = batch.under([costs.config(batch.space)])
    if not len(batch):
        raise InvalidInputError("there is no candidate to choose among: give a search space, or networks.")
    once = batch.take(np.unique(batch.repeats, return_index=True)[1])
    if evaluations is not None and len(once) > evaluations:
        raise InvalidInputError(
            f"all {len(once):,} given candidates are evaluated, but evaluations is {evaluations:,}: raise it, or give "
            "fewer."
        )
    configs = batch.configs
    return Candidates(
        once,
        batch.space if isinstance(batch, ArchBatch) else None,
        configs[0] if len(configs) == 1 else None,
        len(once),
    )
