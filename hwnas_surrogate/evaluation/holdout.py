"""Held-out evaluation: train on some architectures of a table, score on others, over several seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation.scores import score
from hwnas_surrogate.evaluation.splits import held_out
from hwnas_surrogate.trainers import Surrogate

__all__ = ["evaluate", "readable", "summary"]


def evaluate(
    table: CostTable,
    surrogate: Surrogate | None = None,
    *,
    n_train: int | None = None,
    n_test: int | None = None,
    seeds: Sequence[int] = (0,),
    split: str = "random",
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Score a surrogate on held-out architectures of a table, target by target and seed by seed.

    Parameters
    ----------
    table : CostTable
        The measured costs. Rows without a cost are left out, target by target.
    surrogate : Surrogate, optional
        What to evaluate (an unfitted estimator; it is cloned); the default surrogate if None.
    n_train, n_test : int, optional
        Architectures to train and to test on; four fifths and one fifth of those there are if None.
    seeds : sequence of int, default=(0,)
        Seeds of the splits, and of models that draw numbers.
    split : {"random", "isomorphism", "op", "cost", "config"}, default="random"
        What is held out: architectures at random; those equivalent to none that was trained on; those that hold one
        op; the dearest; or whole network configs.
    progress : callable, optional
        Called with (fits done, fits to do).

    Returns
    -------
    DataFrame
        One row per target and seed: ``device, metric, unit, seed, n_train``, the fields of :class:`Scores` and
        ``fit_seconds`` (encoding included).

    Raises
    ------
    InvalidInputError
        If a target has too few costs for the split; the message names it. If there is no seed, or the table is no cost
        table.
    """
    if not isinstance(table, CostTable):
        raise InvalidInputError(
            f"evaluate needs a cost table, got {type(table).__name__}. "
            "For FBNet's block table: evaluate(table.tabulate(table.space.sample(2000, random_state=0)))."
        )
    if not isinstance(seeds, Iterable) or not len(seeds):
        raise InvalidInputError(f"seeds must be a sequence of at least one integer, got {seeds!r}.")
    prototype = Surrogate(table.space.name) if surrogate is None else surrogate
    rows: list[dict[str, Any]] = []
    configs = np.array(table.row_configs, object)
    for column, target in enumerate(table.targets):
        for seed in seeds:
            train, test = held_out(table, column, split, n_train, n_test, seed)
            fresh = clone(prototype).set_params(random_state=seed)
            costs = table.costs[:, column]
            start = time.perf_counter()
            fresh.fit(table.archs[train], costs[train], configs[train])
            seconds = time.perf_counter() - start
            scores = score(costs[test], fresh.predict(table.archs[test], configs[test]))
            rows.append(
                {
                    "device": target.device,
                    "metric": target.metric,
                    "unit": target.unit,
                    "seed": seed,
                    "n_train": len(train),
                    **scores.to_dict(),
                    "fit_seconds": seconds,
                }
            )
            if progress is not None:
                progress(len(rows), len(table.targets) * len(seeds))
    return pd.DataFrame(rows)


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Summarise :func:`evaluate`'s rows over the seeds.

    Returns
    -------
    DataFrame
        One row per target, in their order: the means, ``seeds``, and ``kendall_tau_sd`` (standard deviation over the
        seeds, NaN for one).
    """
    keys = ["device", "metric", "unit"]
    groups = results.groupby(keys, sort=False)
    means = groups.mean(numeric_only=True).drop(columns="seed")
    means.insert(0, "seeds", groups.size())
    means.insert(list(means.columns).index("kendall_tau") + 1, "kendall_tau_sd", groups["kendall_tau"].std())
    return means.reset_index()


def readable(results: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of :func:`evaluate` or :func:`summary` that people look at first, as text with units."""

    def decimals(name: str) -> list[str]:
        return [f"{value:.4f}" for value in results[name]]

    columns: dict[str, Any] = {"target": results["device"] + "/" + results["metric"]}
    columns |= {name: results[name] for name in ("space", "model", "seeds") if name in results}
    columns |= {
        "trained on": results["n_train"].astype(int),
        "held out": results["n"].astype(int),
        "kendall tau": decimals("kendall_tau"),
    }
    if "kendall_tau_sd" in results:
        columns["sd"] = decimals("kendall_tau_sd")
    columns |= {
        "raw tau": decimals("kendall_tau_raw"),
        "spearman rho": decimals("spearman_rho"),
        "within 10 %": [f"{100 * part:.1f} %" for part in results["within_10pct"]],
        "rmse": [f"{rmse:.3g} {unit}" for rmse, unit in zip(results["rmse"], results["unit"], strict=True)],
        "fit time": [f"{seconds:.3f} s" for seconds in results["fit_seconds"]],
        **{name: results[name] for name in map(str, results) if name.startswith("published")},
    }
    return pd.DataFrame(columns)
