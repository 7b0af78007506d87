"""The same goals for other optimisers: a pymoo problem, and ask and tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data import TargetLike
from hwnas_surrogate.errors import InvalidInputError, missing_extra
from hwnas_surrogate.random_states import RandomState, as_seed
from hwnas_surrogate.reals import reals
from hwnas_surrogate.search.candidates import Candidates
from hwnas_surrogate.search.cost_sources import Costs, CostSources
from hwnas_surrogate.search.evolution import Evolution
from hwnas_surrogate.search.goals import Evaluated, joined
from hwnas_surrogate.search.meeting import check_met
from hwnas_surrogate.search.qualities import QualityOf
from hwnas_surrogate.search.quantities import QUALITY
from hwnas_surrogate.search.result import SearchResult, result_of
from hwnas_surrogate.search.searching import read_goals
from hwnas_surrogate.spaces import Archs, ConfigLike, SearchSpace, get_space

__all__ = ["AskTell", "cost_problem"]

Vector = npt.NDArray[np.float64]

_TRIES = 50
"""Number of generations that are drawn to find architectures within the budgets."""
_NO_VALUE = 1e12
"""What an objective without a value is to pymoo, which knows no NaN. Such networks break a constraint too."""


class AskTell:
    """A search whose qualities come from elsewhere: ask for architectures, train them, tell their qualities.

    It proposes what :func:`search` would evaluate, and only architectures that keep the budgets. Several workers may
    ask before others have told.

    Parameters
    ----------
    space : str or SearchSpace
    objectives, surrogates, budgets, certainty, config
        As in :func:`search`; ``"quality"`` must be an objective.
    population : int, default=20
        Number of architectures to begin with, and of those that survive a generation: less than that of
        :func:`search`, since qualities are costly.
    random_state : int, numpy generator or None, default=0
        Seed.

    Raises
    ------
    InvalidInputError
        If an argument is not allowed, or the quality is no objective.

    Examples
    --------
    >>> from hwnas_surrogate import load_table
    >>> loop = AskTell("nasbench201", surrogates=load_table(space="nasbench201"), budgets={"epyc-torch-1t": 10.0})
    >>> for _ in range(5):
    ...     archs = loop.ask(4)
    ...     loop.tell(archs, [arch.count("conv") for arch in archs])  # the accuracy, in earnest
    >>> loop.result(n=1).frame["quality"].tolist()
    [6.0]
    """

    def __init__(
        self,
        space: str | SearchSpace,
        objectives: TargetLike | Iterable[TargetLike] = QUALITY,
        *,
        surrogates: CostSources = None,
        budgets: Mapping[TargetLike, float] | None = None,
        certainty: float | None = None,
        config: ConfigLike = None,
        population: int = 20,
        random_state: RandomState = 0,
    ) -> None:
        costs, of = Costs(surrogates), get_space(space)
        self.goals = read_goals(objectives, costs, _told_later, budgets, certainty)
        if QUALITY not in [quantity.name for quantity in self.goals.objectives]:
            raise InvalidInputError(f"ask and tell is for qualities: {QUALITY!r} must be an objective.")
        self._candidates = Candidates(None, of, costs.config(of, config), 0)
        self._evolution = Evolution(of, len(self.goals.objectives), as_seed(random_state), population)
        self._population = population
        self._waiting: list[str] = []
        self._told: list[Evaluated] = []
        self._first = True

    def ask(self, n: int = 1) -> list[str]:
        """Return up to n architectures to evaluate, each once: fewer if no other is found.

        Returns
        -------
        list of str
            Predicted to keep the budgets.
        """
        for _ in range(_TRIES):
            if len(self._waiting) >= n:
                break
            archs = self._evolution.start(self._population) if self._first else self._evolution.ask(max(n, 4))
            self._first = False
            if len(archs):
                self._sort(archs)
        proposed, self._waiting = self._waiting[:n], self._waiting[n:]
        return proposed

    def tell(self, archs: Sequence[str] | Archs, qualities: npt.ArrayLike) -> None:
        """Take the qualities of architectures; also of others than those asked for.

        Parameters
        ----------
        archs : architectures
            n of them.
        qualities : array-like of float, shape (n,)
            NaN for an evaluation that failed.

        Raises
        ------
        InvalidInputError
            If there is not one finite number, or NaN, for each.
        """
        space = self._space
        batch = space.as_array(archs)
        values = reals(qualities, "qualities must be numbers")
        if values.shape != (len(batch),) or np.isinf(values).any():
            raise InvalidInputError(
                f"qualities must be finite, one for each of {len(batch)} architectures, NaN for one that failed; got "
                f"{qualities!r:.80}."
            )
        predicted = self.goals.predict(self._candidates.batch(batch))
        rows = np.arange(len(batch))
        found = self.goals.with_quality(predicted, rows, values)
        self._evolution.tell(batch, self.goals.losses(found.values), found.violation)
        self._told.append(found)
        for name in space.format_all(batch):
            if name in self._waiting:
                self._waiting.remove(name)

    def result(self, n: int = 5) -> SearchResult:
        """Return the best n architectures so far, as :func:`search` does.

        Raises
        ------
        UnmetBudgetsError
            If none of those told keeps the budgets.
        InvalidInputError
            If none was told.
        """
        if not self._told:
            raise InvalidInputError("no quality was told yet: ask for architectures, and tell their qualities.")
        archs = np.concatenate([part.batch.archs for part in self._told])  # type: ignore[attr-defined]
        last = np.unique(archs[::-1], axis=0, return_index=True)[1]
        rows = np.sort(len(archs) - 1 - last)  # what was told last counts
        found = joined(self._told, self._candidates.batch(archs)).take(rows)
        check_met(self.goals, found)
        return result_of(self.goals, found, n, history=[], exact=False)

    @property
    def _space(self) -> SearchSpace:
        assert self._candidates.space is not None
        return self._candidates.space

    def _sort(self, archs: npt.NDArray[np.int8]) -> None:
        """Keep architectures within the budgets to propose them; the others are told to the evolution at once."""
        found = self.goals.predict(self._candidates.batch(archs))
        good = found.violation == 0
        self._waiting += self._space.format_all(archs[good])
        if not good.all():
            losses = np.zeros((int((~good).sum()), len(self.goals.objectives)))
            self._evolution.tell(archs[~good], losses, found.violation[~good])


def _told_later(batch: Any) -> Vector:
    raise AssertionError("qualities are told")


def cost_problem(
    space: str | SearchSpace,
    objectives: TargetLike | Iterable[TargetLike],
    *,
    surrogates: CostSources = None,
    quality: QualityOf | None = None,
    budgets: Mapping[TargetLike, float] | None = None,
    certainty: float | None = None,
    config: ConfigLike = None,
) -> Any:
    """Return the goals of a search as a problem of pymoo, for its algorithms.

    Variables are the numbers of the ops, one for each position. Objectives are minimised: those of which more is better
    are negative. Each budget is an inequality constraint, its relative excess; the last constraint is a path from input
    to output. A population is predicted as one batch.

    Parameters
    ----------
    space : str or SearchSpace
    objectives, surrogates, budgets, certainty, config
        As in :func:`search`.
    quality : callable, optional
        Takes a batch of architectures (``batch.names`` are their strings), and returns n qualities.

    Returns
    -------
    pymoo.core.problem.Problem
        With a method ``archs(X)`` that returns architectures' strings.

    Raises
    ------
    MissingExtraError
        If pymoo is not installed.

    Examples
    --------
    >>> from hwnas_surrogate import load_table
    >>> problem = cost_problem("fbnet", ["macs", "epyc-torch-1t"], surrogates=load_table(space="fbnet"))
    >>> problem.n_var, problem.n_obj, problem.n_ieq_constr
    (22, 2, 1)
    """
    try:
        from pymoo.core.problem import Problem
    except ImportError as error:
        raise missing_extra("problems of pymoo", "search") from error
    costs, of = Costs(surrogates), get_space(space)
    goals = read_goals(objectives, costs, quality, budgets, certainty)
    candidates = Candidates(None, of, costs.config(of, config), 0)

    class CostProblem(Problem):  # type: ignore[misc]
        """Objectives and budgets of architectures."""

        def __init__(self) -> None:
            super().__init__(
                n_var=of.n_positions,
                n_obj=len(goals.objectives),
                n_ieq_constr=len(goals.budgets) + 1,
                xl=0,
                xu=of.n_ops_at - 1,
                vtype=int,
            )

        def archs(self, X: npt.ArrayLike) -> list[str]:
            """Return the strings of architectures, (n, positions) -> n."""
            return of.format_all(np.atleast_2d(np.asarray(X)).round().astype(np.int8))

        def _evaluate(self, X: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            found = goals.evaluate(candidates.batch(np.asarray(X).round().astype(np.int8)))
            losses = goals.losses(found.values)
            out["F"] = np.where(np.isnan(losses), _NO_VALUE, losses)
            unusable = ~found.connected | ((found.excess == 0).all(axis=1) & (found.violation > 0))
            out["G"] = np.column_stack([np.minimum(found.excess, _NO_VALUE), unusable.astype(float)])

    return CostProblem()
