"""Protocols of the literature, with their published figures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation.holdout import evaluate, summary
from hwnas_surrogate.evaluation.peers import LAUBE
from hwnas_surrogate.evaluation.results import Evaluation
from hwnas_surrogate.jobs.parallel import Progress
from hwnas_surrogate.trainers import Surrogate

__all__ = ["beside_published", "laube2022", "learning_curve"]

_STEPS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
HELD_OUT = 625
SIZES = (124, 900, 14_000)


def laube2022(
    table: CostTable,
    surrogate: Surrogate | None = None,
    *,
    seeds: Sequence[int] = range(20),
    progress: Progress | None = None,
    n_jobs: int | None = None,
    journal: str | os.PathLike[str] | None = None,
) -> Evaluation:
    """Score a surrogate by the protocol of Laube, Mutschler and Zell [1]_.

    625 random architectures of NAS-Bench-201 are held out. The training sizes are 124, 900 and 14,000; sizes that are
    too large for the table are skipped.

    Parameters
    ----------
    table : CostTable
        Costs of NAS-Bench-201 under one config.
    surrogate : Surrogate, optional
        What to evaluate; the default surrogate if None.
    seeds : sequence of int, default=range(20)
        Seeds of the splits.
    progress : callable, optional
        Called with (fits done, fits to do) for each size.
    n_jobs, journal
        As in :func:`evaluate`.

    Returns
    -------
    Evaluation
        For all targets and sizes; :func:`beside_published` adds the published figures to its summary.

    Raises
    ------
    InvalidInputError
        If the table is over another space or several configs, or too small for the smallest size.

    References
    ----------
    .. [1] Laube, Mutschler and Zell, "What to expect of hardware metric predictors in neural architecture search",
       2022, table 3.
    """
    if table.space_name != "nasbench201" or len(table.configs) != 1:
        raise InvalidInputError(
            f"laube2022 is over nasbench201 under one config, got {table.space_name} under {len(table.configs)}; "
            "choose one with dataset."
        )
    parts = []
    for column, target in enumerate(table.targets):
        n = int((~np.isnan(table.costs[:, column])).sum())
        sizes = [size for size in SIZES if size + HELD_OUT <= n]
        if not sizes:
            raise InvalidInputError(f"{target}: laube2022 needs {SIZES[0] + HELD_OUT} costs, the table has {n}.")
        part = table.select(target)
        for size in sizes:
            how: dict[str, Any] = {"n_train": size, "n_test": HELD_OUT, "seeds": seeds, "progress": progress}
            parts.append(evaluate(part, surrogate, **how, n_jobs=n_jobs, journal=journal))
    return _under("laube2022", table, parts)


def beside_published(evaluation: Evaluation) -> pd.DataFrame:
    """Return the summary of a :func:`laube2022` evaluation with the published taus of each target (NaN: none)."""
    frame = summary(evaluation.scores)
    names = frame["device"] + "/" + frame["metric"]
    for name, taus in LAUBE.items():
        frame[name] = names.map(dict(taus))
    return frame


def learning_curve(
    table: CostTable,
    surrogate: Surrogate | None = None,
    *,
    sizes: Sequence[int] | None = None,
    n_test: int | None = None,
    seeds: Sequence[int] = range(5),
    progress: Progress | None = None,
    n_jobs: int | None = None,
    journal: str | os.PathLike[str] | None = None,
) -> Evaluation:
    """Score a surrogate at growing numbers of training architectures, with the same held-out ones for each seed.

    Parameters
    ----------
    table : CostTable
        The measured costs.
    surrogate : Surrogate, optional
        What to evaluate; the default surrogate if None.
    sizes : sequence of int, optional
        Training architectures; if None, 10, 20, 50, 100, 200, 500, ... as far as the target's costs go.
    n_test : int, optional
        Number of held-out architectures; a fifth of all if None.
    seeds : sequence of int, default=range(5)
        Seeds of the splits.
    progress : callable, optional
        Called with (fits done, fits to do) for each target and size.
    n_jobs, journal
        As in :func:`evaluate`.

    Returns
    -------
    Evaluation
        :func:`plot_learning_curve` draws its ``scores``.

    Raises
    ------
    InvalidInputError
        If a target has too few costs, or a size is too large; the message names the target.

    Examples
    --------
    >>> from hwnas_surrogate import load_table
    >>> table = load_table(space="nasbench201").select("epyc-torch-1t/latency")
    >>> curve = learning_curve(table, sizes=[20, 80], n_test=500, seeds=range(2))
    >>> curve.scores.groupby("n_train")["kendall_tau"].mean().is_monotonic_increasing
    True
    """
    parts = []
    for column, target in enumerate(table.targets):
        n = int((~np.isnan(table.costs[:, column])).sum())
        tested = n // 5 if n_test is None else n_test
        steps = [step for step in _STEPS if step <= n - tested] if sizes is None else list(sizes)
        if not steps:
            raise InvalidInputError(
                f"{target}: a learning curve needs {_STEPS[0]} costs beside the {tested} held out; the table has {n}."
            )
        part = table.select(target)
        for size in steps:
            how: dict[str, Any] = {"n_train": size, "n_test": tested, "seeds": seeds, "progress": progress}
            parts.append(evaluate(part, surrogate, **how, n_jobs=n_jobs, journal=journal))
    return _under("learning-curve", table, parts)


def _under(protocol: str, table: CostTable, parts: Sequence[Evaluation]) -> Evaluation:
    joined = Evaluation.joined(parts)
    about = {**joined.about, "protocol": protocol, "table_fingerprint": table.fingerprint}
    return Evaluation(joined.scores, joined.predictions, about)
