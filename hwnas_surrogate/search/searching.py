"""The search: the best networks of a space or a list, by quality and costs, under budgets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from hwnas_surrogate.data import TargetLike
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.random_states import RandomState
from hwnas_surrogate.search.candidates import read_candidates
from hwnas_surrogate.search.cost_sources import Costs, CostSources
from hwnas_surrogate.search.goals import Goals
from hwnas_surrogate.search.meeting import check_met
from hwnas_surrogate.search.picking import hypervolume, scaled
from hwnas_surrogate.search.qualities import Quality, QualityOf, known_qualities, predicted_qualities
from hwnas_surrogate.search.quantities import QUALITY, read_budgets, read_objectives
from hwnas_surrogate.search.result import SearchResult, result_of
from hwnas_surrogate.spaces import ConfigLike, Networks, SearchSpace
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite
from hwnas_surrogate.trainers.costs import checked_coverage

__all__ = ["search"]


def search(
    candidates: str | SearchSpace | Networks,
    objectives: TargetLike | Iterable[TargetLike] = QUALITY,
    *,
    surrogates: CostSources = None,
    quality: Quality | None = None,
    budgets: Mapping[TargetLike, float] | None = None,
    certainty: float | None = None,
    n: int = 5,
    config: ConfigLike = None,
    evaluations: int | None = None,
    random_state: RandomState = 0,
) -> SearchResult:
    """Find the best networks of a space or a list, by quality and costs, under budgets.

    Parameters
    ----------
    candidates : str, SearchSpace, architectures, batch or graphs
        A search space, or the networks to choose among: architectures of the surrogates' space, a batch, a list of
        graphs, or a mapping of names to graphs.
    objectives : str, Target or several, default="quality"
        ``"quality"`` is maximised; targets (``"device/metric"``) are minimised, or maximised if more of the metric is
        better; ``"params"``, ``"macs"`` and ``"peak_memory"`` (MiB) are minimised.
    surrogates : Surrogate, SurrogateSuite, CostTable, BlockTable, or several, optional
        The costs of the targets: predicted, or looked up in a table that holds every candidate. Or a mapping of
        targets to surrogates.
    quality : Series, CostTable, path-like, Surrogate or callable, optional
        Qualities of known networks as in :func:`pareto_front`; a surrogate fitted to some; or a function that takes a
        list of networks (strings of architectures, or graphs), and returns a number for each, NaN if it has none.
    budgets : mapping of target to float, optional
        The largest allowed cost (the smallest, if more is better) of targets, in the metric's unit, also of several
        devices; and of ``"quality"``, ``"params"``, ``"macs"`` and ``"peak_memory"``. A device's name is enough if it
        has one target.
    certainty : float, optional
        The least probability that each target's budget is kept, by the surrogates' intervals. It holds for each budget
        by itself. If None, predicted costs are compared with the budgets.
    n : int, default=5
        Number of networks to pick.
    config : config, optional
        The config of architectures; the one that the surrogates were trained on if None.
    evaluations : int, optional
        The largest number of networks to evaluate. If None, all of a space of up to a million, and 50,000 of a larger
        one.
    random_state : int, numpy generator or None, default=0
        Seed of the evolution.

    Returns
    -------
    SearchResult

    Raises
    ------
    InvalidInputError
        If an argument is not allowed, or a quantity has no source.
    UnmetBudgetsError
        If no candidate keeps the budgets; the message names the nearest that can be met.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise InvalidInputError(f"n must be a number of networks, 1 or more, got {n!r:.40}.")
    costs = Costs(surrogates)
    goals = read_goals(objectives, costs, quality, budgets, certainty)
    among = read_candidates(candidates, config, costs, evaluations)
    if among.listed is None:
        raise InvalidInputError("evolution is to come")
    found = goals.evaluate(among.listed)
    check_met(goals, found)
    volume = hypervolume(scaled(goals.losses(found.values[found.choosable])))
    return result_of(goals, found, n, history=[(len(found), volume)], exact=True)


def read_goals(
    objectives: TargetLike | Iterable[TargetLike],
    costs: Costs,
    quality: Quality | None,
    budgets: Mapping[TargetLike, float] | None,
    certainty: float | None,
) -> Goals:
    """Read what a search wants."""
    asked = read_objectives(objectives, costs.targets)
    limits = read_budgets(budgets, costs.targets)
    part = None if certainty is None else checked_coverage(certainty)
    return Goals(asked, limits, part, costs, _quality_of(quality))


def _quality_of(quality: Quality | None) -> QualityOf | None:
    if quality is None:
        return None
    if isinstance(quality, (Surrogate, SurrogateSuite)):
        return predicted_qualities(quality)
    return known_qualities(quality)
