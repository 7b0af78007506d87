"""The most informative networks to measure on a new device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import Combined, LayerPhysics
from hwnas_surrogate.graphs import GraphBatch, NetworkBatch
from hwnas_surrogate.random_states import RandomState, as_generator
from hwnas_surrogate.spaces import ArchBatch, ConfigLike, NetworkConfig, Networks, SearchSpace, as_batch, get_space
from hwnas_surrogate.spaces.base import ArchArray
from hwnas_surrogate.spaces.registry import NamedSpace
from hwnas_surrogate.trainers.design import least_uncertain, most_informative
from hwnas_surrogate.trainers.operator_estimates import prior_design
from hwnas_surrogate.trainers.sources import SourceCosts, Sources, fitted_sources

__all__ = ["Suggestion", "suggest"]

Vector = npt.NDArray[np.float64]

CANDIDATES = 4000
"""Number of random candidates of a space."""


@dataclass(frozen=True, slots=True, eq=False)
class Suggestion:
    """Networks to measure, the most informative first.

    Parameters
    ----------
    networks : NetworkBatch
        n architectures under one config, or n graphs.
    uncertainty : ndarray of float64, shape (n + 1,)
        Standard deviation of the cost of a random candidate, before and after each measurement, relative to the cost
        of a typical network, and for graphs of the logarithm of the cost. It follows from the prior, and does not
        depend on measured costs.
    """

    networks: NetworkBatch
    uncertainty: Vector

    def __repr__(self) -> str:
        """Return the number of networks and the uncertainty, without the arrays."""
        cut_off = np.count_nonzero(~self.connected)
        some = f", {cut_off} of them without a path from input to output" * bool(cut_off)
        under = "" if self.config is None else f" under {self.config}"
        before, after = self.uncertainty[[0, -1]]
        return f"Suggestion({len(self)}{under}{some}; uncertainty: {before:.4g}, then {after:.4g})"

    def __len__(self) -> int:
        """Return the number of networks."""
        return len(self.networks)

    @property
    def names(self) -> tuple[str, ...]:
        """The architectures' strings, or the graphs' names."""
        return self.networks.names

    @property
    def archs(self) -> ArchArray:
        """The architectures, int8 of shape (n, positions).

        Raises
        ------
        InvalidInputError
            If the networks are graphs.
        """
        if not isinstance(self.networks, ArchBatch):
            raise InvalidInputError("graphs were suggested, which are no architectures: use networks, names.")
        return self.networks.archs

    @property
    def config(self) -> NetworkConfig | None:
        """The config to measure architectures under; None of graphs."""
        return self.networks.configs[0]  # type: ignore[no-any-return]

    @property
    def connected(self) -> npt.NDArray[np.bool_]:
        """Whether each has a path from input to output, shape (n,).

        Without one, layers still cost time on devices that execute them, but a converter may remove them all.
        """
        return self.networks.connected


def suggest(
    candidates: str | SearchSpace | Networks,
    n: int,
    config: ConfigLike = None,
    *,
    sources: Sources = None,
    given: Networks | None = None,
    random_state: RandomState = 0,
) -> Suggestion:
    """Choose networks to measure on a new device: architectures of a space, or some of given graphs.

    Architectures are chosen by sequential D-optimal design [1]_ under the prior of :class:`PhysicsGP`. Greedily, each
    is the one with the largest predictive variance given those before it. The design has the physical sums (of all
    layers, of those that a converter leaves, of the operators that an inference engine runs) and the predictions of the
    sources. The candidates are 4,000 random architectures of the space (500 of a
    :class:`~hwnas_surrogate.capture.ModuleSpace`, whose networks are captured), without the most extreme twentieth: on
    no device are costs exact sums, and extreme networks would bias the other predictions.

    Graphs are chosen by sequential V-optimal design [1]_ under the prior of :class:`OperatorRegression`. Greedily, each
    is the one whose measurement leaves the smallest mean variance of the logarithms of all graphs' costs. Networks of
    any kind differ too much for the most extreme ones to say what others cost.

    Parameters
    ----------
    candidates : str, SearchSpace, or graphs
        The search space, or the graphs to choose among: a batch, a list, or a mapping of names to graphs. Of equal
        graphs the first one counts.
    n : int
        Number of networks.
    config : config, optional
        The config to measure architectures under; the space's first published one if None.
    sources : CostTable, Surrogate or SurrogateSuite, or several, optional
        Costs or surrogates of other devices, for architectures. Graphs are chosen without them: with them, the chosen
        ones were no better.
    given : architectures or graphs, optional
        Networks measured already: they are not suggested again, and reduce the uncertainty.
    random_state : int, numpy generator or None, default=0
        Seed of the candidates.

    Returns
    -------
    Suggestion

    Raises
    ------
    InvalidInputError
        If n is not between 1 and 1,000, or there are fewer different graphs that are not measured, or a config is given
        for graphs.

    References
    ----------
    .. [1] Fedorov, "Theory of optimal experiments", 1972.

    Examples
    --------
    >>> suggest("nasbench201", 3).archs.tolist()
    [[3, 3, 2, 3, 4, 2], [4, 4, 0, 4, 2, 4], [2, 1, 2, 1, 2, 1]]
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 0 < n <= 1000:
        raise InvalidInputError(f"n must be a whole number from 1 to 1,000, got {n!r}.")
    if isinstance(candidates, (str, NamedSpace)):
        space = get_space(candidates)
        rng = as_generator(random_state)
        pool: NetworkBatch = space.batch(space.representatives(CANDIDATES, rng), config)
        known = given if isinstance(given, NetworkBatch) else as_batch(space, [] if given is None else given, config)
    else:
        space, pool = None, as_batch(None, candidates, config)
        known = GraphBatch([]) if given is None else as_batch(None, given)
        pool = pool.take(np.unique(pool.repeats, return_index=True)[1])
    pool = pool.take(~np.isin(pool.keys, known.keys))
    if n > len(pool):
        raise InvalidInputError(
            f"n must be at most the number of different networks to choose among, {len(pool)} without those measured; "
            f"got {n}."
        )
    fitted = fitted_sources(sources, space, random_state)
    if isinstance(pool, GraphBatch):
        picked, uncertainty = least_uncertain(np.concatenate(list(map(prior_design, (pool, known)))), n, len(known))
    else:
        encoder = Combined(space, [LayerPhysics(space), SourceCosts(space, fitted)])
        features = pd.concat([encoder.frame(batch) for batch in (pool, known)], ignore_index=True)
        picked, uncertainty = most_informative(features, n, len(known))
    return Suggestion(pool.take(picked), uncertainty)
