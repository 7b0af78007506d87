"""NSGA-II over the positions of a search space: what to evaluate next."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import missing_extra
from hwnas_surrogate.search.pareto import nondominated
from hwnas_surrogate.spaces import SearchSpace
from hwnas_surrogate.spaces.base import ArchArray

__all__ = ["Evolution"]

Vector = npt.NDArray[np.float64]

POPULATION = 100
"""Number of networks that survive a generation, and of its offspring."""
_NEIGHBOURS = 0.5
"""The part of the offspring that are neighbours of the front: one position changed."""
_COMPROMISES = 100
"""Number of starting networks between the corners, if all neighbours of one network could be evaluated."""
_TRIES = 20
"""Number of times that new networks are drawn, if all drawn ones have been evaluated."""


class Evolution:
    """NSGA-II [1]_ (by pymoo) with uniform crossover, random changes, and local search around the front.

    It starts with the uniform architectures (one op at every position), random ones, and all neighbours of one. From
    these follow the corners: per position, the op with the smallest or largest objective; and compromises, per position
    the op with the smallest weighted sum. Every later generation has as many offspring of the population as
    neighbours of the front, which differ from one of its networks in one position. No network is evaluated twice.

    Parameters
    ----------
    space : SearchSpace
    n_objectives : int
    seed : int
    population : int, default=100

    References
    ----------
    .. [1] Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE
       Transactions on Evolutionary Computation 6, 2002.
    """

    def __init__(self, space: SearchSpace, n_objectives: int, seed: int | None, population: int = POPULATION) -> None:
        self.space = space
        self.rng = np.random.default_rng(seed)
        self.seen: set[bytes] = set()
        self.front = np.empty((0, space.n_positions), np.int8)
        self.front_losses = np.empty((0, n_objectives))
        self._centre = space.sample(1, self.rng)[0]
        self._population = population
        self._algorithm = _nsga2(space.n_ops_at, n_objectives, population, self.seen, int(self.rng.integers(2**31)))
        self._size = int((space.n_ops_at - 1).sum())

    def start(self, n: int) -> ArchArray:
        """Return the architectures to begin with, n at most."""
        most = int(self.space.n_ops_at.max())
        uniform = np.minimum(np.arange(most)[:, None], self.space.n_ops_at - 1).astype(np.int8)
        around = self._centre[None]
        if n >= 5 * self._size:
            around = np.concatenate([around, self.space.neighbours(self._centre)])
        random = self.space.sample(min(n, self._population), self.rng)
        return self._unseen(np.concatenate([uniform, around, random]), n)

    def corners(self, archs: ArchArray, losses: Vector) -> ArchArray:
        """Return corners and compromises that follow from the neighbours of one network; none if it has no values.

        Parameters
        ----------
        archs : ndarray of int8, shape (n, positions)
            Evaluated architectures.
        losses : ndarray of float, shape (n, k)
            Their objectives, the smaller the better.
        """
        effects = self._effects(archs, losses)
        if effects is None:
            return np.empty((0, self.space.n_positions), np.int8)
        k = losses.shape[1]
        weights = np.concatenate([np.eye(k), -np.eye(k), self.rng.dirichlet(np.ones(k), _COMPROMISES)])
        spread = np.abs(effects).sum(axis=(0, 1))
        sums = (effects / np.where(spread > 0, spread, 1.0)) @ weights.T  # (positions, ops, weights)
        for position, n_ops in enumerate(self.space.n_ops_at):
            sums[position, n_ops:] = np.inf
        return self._unseen(sums.argmin(axis=1).T.astype(np.int8))

    def _effects(self, archs: ArchArray, losses: Vector) -> Vector | None:
        """Return the change of each objective by each op, in place of that of one network: (positions, ops, k)."""
        rows = {arch.tobytes(): row for row, arch in enumerate(archs)}
        if self._centre.tobytes() not in rows:
            return None
        own = losses[rows[self._centre.tobytes()]]
        effects = np.zeros((self.space.n_positions, int(self.space.n_ops_at.max()), losses.shape[1]))
        for neighbour in self.space.neighbours(self._centre):
            row = rows.get(neighbour.tobytes())
            if row is None:
                return None
            (position,) = np.flatnonzero(neighbour != self._centre)
            effects[position, neighbour[position]] = losses[row] - own
        return effects if np.isfinite(effects).all() else None

    def ask(self, n: int) -> ArchArray:
        """Return up to n architectures that were not evaluated; none if no new one is found."""
        drawn = [np.empty((0, self.space.n_positions), np.int8)]
        if len(self.front):
            drawn.append(self._neighbours(int(n * _NEIGHBOURS)))
        left = n - sum(map(len, drawn))
        if self._algorithm.is_initialized:
            self._algorithm.n_offsprings = left
            offspring = self._algorithm.infill()
            self._algorithm.termination.force_termination = False  # set if no offspring is new: others may come
            if offspring is not None and len(offspring):
                drawn.append(self._unseen(offspring.get("X").astype(np.int8)))
        for _ in range(_TRIES):
            if (left := n - sum(map(len, drawn))) <= 0:
                break
            drawn.append(self._unseen(self.rng.integers(0, self.space.n_ops_at, (left, len(self.space.n_ops_at)))))
        return np.concatenate(drawn)[:n]

    def tell(self, archs: ArchArray, losses: Vector, violation: Vector) -> None:
        """Learn the objectives and violations of evaluated architectures.

        Parameters
        ----------
        archs : ndarray of int8, shape (n, positions)
        losses : ndarray of float, shape (n, k)
            The smaller the better; those of networks that can't be chosen do not count.
        violation : ndarray of float, shape (n,)
            0 for networks that can be chosen.
        """
        from pymoo.core.population import Population

        self._unseen(archs)  # networks that were given from outside count as evaluated too
        chosen = violation == 0
        known = np.where(chosen[:, None], losses, 0.0)
        told = Population.new(X=archs.astype(int), F=known, G=violation[:, None])
        for one in told:
            one.evaluated.update(("F", "G"))
        self._algorithm.advance(infills=told)
        front, values = np.concatenate([self.front, archs[chosen]]), np.concatenate([self.front_losses, known[chosen]])
        best = nondominated(values, [False] * values.shape[1])
        self.front, self.front_losses = front[best], values[best]

    def _neighbours(self, n: int) -> ArchArray:
        """Return up to n new neighbours of the front."""
        drawn = [np.empty((0, self.space.n_positions), np.int8)]
        for _ in range(_TRIES):
            left = n - sum(map(len, drawn))
            if left <= 0:
                break
            changed = self.front[self.rng.integers(len(self.front), size=left)].copy()
            rows, position = np.arange(left), self.rng.integers(self.space.n_positions, size=left)
            n_ops = self.space.n_ops_at[position]
            shift = self.rng.integers(1, np.maximum(n_ops, 2))
            changed[rows, position] = (changed[rows, position] + shift) % n_ops
            drawn.append(self._unseen(changed))
        return np.concatenate(drawn)

    def _unseen(self, archs: npt.NDArray[Any], most: float = math.inf) -> ArchArray:
        """Return architectures that were not seen yet, each once, and remember them."""
        new: list[int] = []
        for row, arch in enumerate(archs.astype(np.int8)):
            if len(new) < most and (key := arch.tobytes()) not in self.seen:
                self.seen.add(key)
                new.append(row)
        return np.asarray(archs[new], np.int8)


def _nsga2(n_ops: npt.NDArray[np.intp], n_objectives: int, population: int, seen: set[bytes], seed: int) -> Any:
    """Return pymoo's algorithm, which makes offspring that were not evaluated."""
    try:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.config import Config
        from pymoo.core.duplicate import DuplicateElimination
        from pymoo.core.mutation import Mutation
        from pymoo.core.problem import Problem
        from pymoo.core.termination import NoTermination
        from pymoo.operators.crossover.ux import UniformCrossover
    except ImportError as error:
        raise missing_extra("the search of spaces too large to evaluate them all", "search") from error
    Config.warnings["not_compiled"] = False

    class NeverTwice(DuplicateElimination):  # type: ignore[misc]
        def _do(self, pop: Any, other: Any, is_duplicate: Any) -> Any:
            if other is not None:
                return is_duplicate  # everything else was seen already
            drawn: set[bytes] = set()
            for row, arch in enumerate(pop.get("X").astype(np.int8)):
                key = arch.tobytes()
                is_duplicate[row] = key in seen or key in drawn
                drawn.add(key)
            return is_duplicate

    class OtherOp(Mutation):  # type: ignore[misc]
        def _do(self, problem: Any, X: Any, *args: Any, random_state: Any = None, **kwargs: Any) -> Any:
            changed = random_state.random(X.shape) < 1 / len(n_ops)
            return np.where(changed, random_state.integers(0, n_ops, X.shape), X)

    problem = Problem(n_var=len(n_ops), n_obj=n_objectives, n_ieq_constr=1, xl=0, xu=n_ops - 1, vtype=int)
    algorithm = NSGA2(
        pop_size=population,
        crossover=UniformCrossover(),
        mutation=OtherOp(),
        eliminate_duplicates=NeverTwice(),
    )
    algorithm.mating.n_max_iterations = _TRIES
    return algorithm.setup(problem, termination=NoTermination(), seed=seed, verbose=False)
