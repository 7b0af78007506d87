"""The most informative architectures to measure on a new device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import Combined, LayerPhysics
from hwnas_surrogate.random_states import RandomState, as_generator
from hwnas_surrogate.spaces import Archs, ConfigLike, NetworkConfig, SearchSpace, get_space
from hwnas_surrogate.spaces.base import ArchArray
from hwnas_surrogate.trainers.design import most_informative
from hwnas_surrogate.trainers.sources import SourceCosts, Sources, fitted_sources

__all__ = ["Suggestion", "suggest"]

Vector = npt.NDArray[np.float64]

CANDIDATES = 4000
"""Number of random candidates."""


@dataclass(frozen=True, slots=True, eq=False)
class Suggestion:
    """Architectures to measure, the most informative first.

    Parameters
    ----------
    archs : ndarray of int8, shape (n, positions)
    config : NetworkConfig
        The config to measure them under.
    uncertainty : ndarray of float64, shape (n + 1,)
        Standard deviation of the cost of a random architecture, before and after each measurement, relative to the cost
        of a typical network. It follows from the prior of :class:`PhysicsGP`, and does not depend on measured costs.
    connected : ndarray of bool, shape (n,)
        Whether each has a path from input to output. Without one, layers still cost time on devices that execute them,
        but a converter may remove them all.
    """

    archs: ArchArray
    config: NetworkConfig
    uncertainty: Vector
    connected: npt.NDArray[np.bool_]

    def __repr__(self) -> str:
        """Return the number of architectures and the uncertainty, without the arrays."""
        cut_off = np.count_nonzero(~self.connected)
        some = f", {cut_off} of them without a path from input to output" * bool(cut_off)
        before, after = self.uncertainty[[0, -1]]
        return f"Suggestion({len(self)} under {self.config}{some}; uncertainty: {before:.4g}, then {after:.4g})"

    def __len__(self) -> int:
        """Return the number of architectures."""
        return len(self.archs)


def suggest(
    space: str | SearchSpace,
    n: int,
    config: ConfigLike = None,
    *,
    sources: Sources = None,
    given: Archs | None = None,
    random_state: RandomState = 0,
) -> Suggestion:
    """Choose architectures to measure on a new device.

    This is sequential D-optimal design [1]_ under the prior of :class:`PhysicsGP`. Greedily, each architecture is the
    one with the largest predictive variance given those before it. The design has the physical sums (of all layers, of
    those that a converter leaves, of the operators that an inference engine runs) and the predictions of the sources.
    The candidates are 4,000 random architectures without the most extreme twentieth: on no device are costs exact sums,
    and extreme architectures would bias the other predictions.

    Parameters
    ----------
    space : str or SearchSpace
        The search space.
    n : int
        Number of architectures.
    config : config, optional
        The network config to measure under; the space's first published one if None.
    sources : CostTable, Surrogate or SurrogateSuite, or several, optional
        Costs or surrogates of other devices.
    given : architectures, optional
        Architectures measured already: they are not suggested again, and reduce the uncertainty.
    random_state : int, numpy generator or None, default=0
        Seed of the candidates.

    Returns
    -------
    Suggestion

    Raises
    ------
    InvalidInputError
        If n is not between 1 and 1,000.

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
    found = get_space(space)
    known = np.empty((0, found.n_positions), np.int8) if given is None else found.as_array(given)
    candidates = _candidates(found, found.config(config), known, random_state)
    encoder = Combined(found, [LayerPhysics(found), SourceCosts(found, fitted_sources(sources, found, random_state))])
    features = encoder.frame(np.concatenate([candidates, known]), config)
    picked, uncertainty = most_informative(features, n, len(known))
    chosen = candidates[picked]
    return Suggestion(chosen, found.config(config), uncertainty, found.connected(chosen))


def _candidates(space: SearchSpace, config: NetworkConfig, known: ArchArray, random_state: RandomState) -> ArchArray:
    rng = as_generator(random_state)
    candidates = space.sample(CANDIDATES, rng)
    return candidates[~np.isin(space.codes(candidates), space.codes(known))]
