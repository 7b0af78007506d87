"""The search: the best networks of a space or a list, by quality and costs, under budgets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeGuard

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data import TargetLike
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.random_states import RandomState, as_seed
from hwnas_surrogate.search.calling import called_qualities
from hwnas_surrogate.search.candidates import Candidates, read_candidates
from hwnas_surrogate.search.cost_sources import Costs, CostSources
from hwnas_surrogate.search.evolution import POPULATION, Evolution
from hwnas_surrogate.search.goals import Evaluated, Goals, joined
from hwnas_surrogate.search.meeting import check_met
from hwnas_surrogate.search.picking import hypervolume, scaled
from hwnas_surrogate.search.qualities import Quality, QualityFunction, QualityOf, known_qualities, predicted_qualities
from hwnas_surrogate.search.quantities import QUALITY, read_budgets, read_objectives
from hwnas_surrogate.search.result import SearchResult, result_of
from hwnas_surrogate.spaces import ConfigLike, Networks, SearchSpace
from hwnas_surrogate.spaces.base import ArchArray
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite
from hwnas_surrogate.trainers.costs import checked_coverage

__all__ = ["check_quality", "is_function", "read_goals", "search"]

Vector = npt.NDArray[np.float64]
Progress = Callable[[int, int, float], object]


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
    n_jobs: int | None = None,
    timeout: float | None = None,
    journal: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
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
        by itself, and is calibrated if the surrogates were fitted to a random sample of the candidates. If None,
        predicted costs are compared with the budgets.
    n : int, default=5
        Number of networks to pick.
    config : config, optional
        The config of architectures; the one that the surrogates were trained on if None.
    evaluations : int, optional
        The largest number of networks to evaluate. If None, all of a space of up to a million, and 50,000 of a larger
        one; of a space whose networks are counted or captured one by one, all of up to 10,000, and 2,000 of a larger
        one.
    n_jobs : int, optional
        Processes that call a quality function, as in :func:`~hwnas_surrogate.jobs.in_parallel`; on a cluster, all its
        workers do. The libraries of all processes of a machine together use one thread a core.
    timeout : float, optional
        Seconds that a call of the quality function may take.
    journal : path-like, optional
        The file in which the qualities of a function are recorded as they come. The same search continues with them
        after a kill, and other searches with this function and journal do not evaluate them again.
    progress : callable, optional
        Called after each generation with the numbers of networks evaluated, of those to evaluate, and the hypervolume.
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
    MissingExtraError
        If a space is too large to evaluate every architecture, and pymoo is not installed.

    Notes
    -----
    The front of listed candidates is exact [1]_. A larger space is searched by NSGA-II [2]_, with local search around
    the front. The picks of several objectives are chosen greedily by the hypervolume that they dominate. A quality
    function is called with networks that keep the budgets only.

    References
    ----------
    .. [1] Kung, Luccio and Preparata, "On finding the maxima of a set of vectors", Journal of the ACM 22, 1975.
    .. [2] Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE
       Transactions on Evolutionary Computation 6, 2002.

    Examples
    --------
    >>> from hwnas_surrogate import load_table
    >>> table = load_table(space="nasbench201").select(["epyc-torch-1t", "epyc-torch-2t"])
    >>> budgets = {"epyc-torch-1t/latency": 10, "epyc-torch-2t/latency": 10}
    >>> def convolutions(archs):
    ...     return [arch.count("conv_3x3") for arch in archs]
    >>> found = search("nasbench201", surrogates=table, quality=convolutions, budgets=budgets, n=2)
    >>> found.frame["quality"].tolist(), len(found.evaluated)
    ([3.0, 3.0], 15625)
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise InvalidInputError(f"n must be a number of networks, 1 or more, got {n!r:.40}.")
    if evaluations is not None and (
        isinstance(evaluations, bool) or not isinstance(evaluations, (int, np.integer)) or evaluations < 1
    ):
        raise InvalidInputError(f"evaluations must be a number of networks, 1 or more, got {evaluations!r:.40}.")
    costs = Costs(surrogates)
    with _opened(quality, n_jobs, timeout, journal) as qualities:
        goals = read_goals(objectives, costs, qualities, budgets, certainty)
        among = read_candidates(candidates, config, costs, evaluations)
        if among.listed is not None:
            return _exact(goals, among.listed, int(n))
        check_quality(quality, among)
        return _evolved(goals, among, int(n), as_seed(random_state), progress)


def is_function(quality: Quality | None) -> TypeGuard[QualityFunction]:
    """Return whether a quality is a function, which is called."""
    return callable(quality) and not isinstance(quality, (Surrogate, SurrogateSuite))


def check_quality(quality: Quality | None, among: Candidates) -> None:
    """Raise if the qualities of known networks are to go with a space of which not every architecture is evaluated."""
    predicted = isinstance(quality, (Surrogate, SurrogateSuite))
    if quality is not None and among.listed is None and not predicted and not is_function(quality):
        raise InvalidInputError(
            "the qualities of known networks do not go with a space that is too large to evaluate every "
            "architecture: fit a surrogate to them, or give these networks as the candidates."
        )


@contextmanager
def _opened(
    quality: Quality | None, n_jobs: int | None, timeout: float | None, journal: str | os.PathLike[str] | None
) -> Iterator[QualityOf | None]:
    """Return qualities by whatever they come from; a function's processes and journal are closed afterwards."""
    if is_function(quality):
        with called_qualities(quality, n_jobs=n_jobs, timeout=timeout, journal=journal) as called:
            yield called
        return
    if journal is not None or timeout is not None:
        raise InvalidInputError("a journal and a timeout belong to a quality function, which is not given.")
    if quality is None:
        yield None
    elif isinstance(quality, (Surrogate, SurrogateSuite)):
        yield predicted_qualities(quality)
    else:
        yield known_qualities(quality)


def _exact(goals: Goals, listed: NetworkBatch, n: int) -> SearchResult:
    """Evaluate every candidate."""
    found = goals.evaluate(listed)
    check_met(goals, found)
    volume = hypervolume(scaled(goals.losses(found.values[found.choosable])))
    return result_of(goals, found, n, history=[(len(found), volume)], exact=True)


def _evolved(goals: Goals, among: Candidates, n: int, seed: int | None, progress: Progress | None) -> SearchResult:
    """Evaluate generation after generation of a large space."""
    assert among.space is not None
    evaluations = among.evaluations
    evolution = Evolution(among.space, len(goals.objectives), seed)
    archs: list[ArchArray] = []
    parts: list[Evaluated] = []
    history: list[tuple[int, float]] = []
    box: Vector | None = None
    done = 0

    def evaluate(drawn: ArchArray) -> None:
        nonlocal done
        found = goals.evaluate(among.batch(drawn))
        evolution.tell(drawn, goals.losses(found.values), found.violation)
        archs.append(drawn)
        parts.append(found)
        done += len(drawn)

    drawn = evolution.start(evaluations)
    while len(drawn):
        evaluate(drawn)
        if len(parts) == 1:
            corners = evolution.corners(drawn, goals.losses(parts[0].values))[: evaluations - done]
            if len(corners):
                evaluate(corners)
        if box is None and len(evolution.front):
            box = np.concatenate([goals.losses(part.values[part.choosable]) for part in parts])
        volume = 0.0 if box is None else hypervolume(scaled(evolution.front_losses, box))
        history.append((done, volume))
        if progress is not None:
            progress(done, evaluations, volume)
        drawn = evolution.ask(min(POPULATION, evaluations - done))
    found = joined(parts, among.batch(np.concatenate(archs)))
    check_met(goals, found)
    return result_of(goals, found, n, history=history, exact=False)


def read_goals(
    objectives: TargetLike | Iterable[TargetLike],
    costs: Costs,
    quality: QualityOf | None,
    budgets: Mapping[TargetLike, float] | None,
    certainty: float | None,
) -> Goals:
    """Read what a search wants."""
    asked = read_objectives(objectives, costs.targets)
    limits = read_budgets(budgets, costs.targets)
    part = None if certainty is None else checked_coverage(certainty)
    return Goals(asked, limits, part, costs, quality)
