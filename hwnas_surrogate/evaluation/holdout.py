"""Held-out evaluation: train on some architectures of a table, score on others, over several seeds."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from hwnas_surrogate.data import CostTable, Metric
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation.decisions import regret
from hwnas_surrogate.evaluation.results import BOUNDS, LEFT_OUT, Evaluation
from hwnas_surrogate.evaluation.scores import score
from hwnas_surrogate.evaluation.splits import Rows, groups_of, held_out, without_group
from hwnas_surrogate.graphs import View
from hwnas_surrogate.jobs.parallel import Progress, in_parallel
from hwnas_surrogate.jobs.pieces import Pieces
from hwnas_surrogate.reals import reals
from hwnas_surrogate.trainers import Surrogate
from hwnas_surrogate.trainers.calibration import promised
from hwnas_surrogate.trainers.encoded import config_sizes, log2_distance

__all__ = ["evaluate", "multiply_adds", "readable", "summary"]

_COVERAGES = (0.8, 0.9, 0.95)
_KEPT = ("architecture", "config", "connected", "measured", "predicted", "low", "high", "distance")


def evaluate(
    table: CostTable,
    surrogate: Surrogate | None = None,
    *,
    n_train: int | None = None,
    n_test: int | None = None,
    seeds: Sequence[int] = (0,),
    split: str = "random",
    by: str | None = None,
    quality: npt.ArrayLike | None = None,
    progress: Progress | None = None,
    n_jobs: int | None = None,
    journal: str | os.PathLike[str] | None = None,
) -> Evaluation:
    """Score a surrogate on held-out networks of a table, target by target and seed by seed.

    Parameters
    ----------
    table : CostTable
        The measured costs. Rows without a cost are left out, target by target.
    surrogate : Surrogate, optional
        What to evaluate (an unfitted estimator; it is cloned); the default surrogate if None.
    n_train, n_test : int, optional
        Numbers of training and test architectures; if None, four fifths and one fifth of all.
    seeds : sequence of int, default=(0,)
        Seeds of the splits, and of models that draw random numbers.
    split : {"random", "isomorphism", "op", "cost", "config"}, default="random"
        The held-out architectures: random ones; ones without an equivalent training architecture; all with a certain
        op; the most expensive; or all under some network configs.
    by : str, optional
        A kind of group of the table's networks (``table.labels``), such as ``"family"`` or ``"resolution"``, instead of
        a split: each group is held out in turn, and ``n_train`` of the other groups' networks are trained on. Networks
        without a label could be of any group, and are left out; so are groups without a cost of a target. Scores and
        predictions have a column ``left_out``.
    quality : array-like of float, one per row of the table, optional
        The quality of architectures for ``regret``, larger is better (accuracy). If None, live multiply-adds: those on
        a path from input to output, 0 for a network without a path.
    progress : callable, optional
        Called with (fits done, fits to do).
    n_jobs : int, optional
        Processes, as in :func:`~hwnas_surrogate.jobs.in_parallel`. Scores are the same, to the bit, for any number.
    journal : path-like, optional
        A file that finished fits are written to as they come. What it holds of the same table, settings and code is
        not fitted again; ``fit_seconds`` is then that of the first time.

    Returns
    -------
    Evaluation
        Scores and predictions.

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
    if not table.targets:
        raise InvalidInputError("evaluate needs the costs of at least one target, the table has none.")
    if by is not None and split != "random":
        raise InvalidInputError(f"by {by!r:.60} and split {split!r:.60} hold out different networks: leave one out.")
    prototype = Surrogate(table.space) if surrogate is None else surrogate
    held = _HeldOut(table, prototype, split, by, n_train, n_test, _quality(table, quality), _sizes(table))
    groups = [[None] if by is None else groups_of(table, column, by) for column in range(len(table.targets))]
    tasks = [
        (column, int(seed), group)
        for column in range(len(table.targets))
        for seed, group in itertools.product(seeds, groups[column])
    ]
    with nullcontext() if journal is None else Pieces(journal, *held.settings) as kept:
        fits = in_parallel(_fit, tasks, shared=(held,), n_jobs=n_jobs, progress=progress, kept=kept)
    about = {
        "protocol": split if by is None else f"leave one {by} out",
        "space": table.space_name,
        "table_fingerprint": table.fingerprint,
        "surrogate": repr(prototype),
        "intervals": BOUNDS,
        "quality": "live multiply-adds" if quality is None else "given",
    }
    predictions = pd.concat([pd.DataFrame(fit["predictions"]) for fit in fits], ignore_index=True)
    return Evaluation(pd.DataFrame([fit["scores"] for fit in fits]), predictions, about)


@dataclass(frozen=True, slots=True, eq=False)
class _HeldOut:
    """What the fits of an evaluation have in common: the arguments of :func:`evaluate`."""

    table: CostTable
    prototype: Surrogate
    split: str
    by: str | None
    n_train: int | None
    n_test: int | None
    quality: npt.NDArray[np.float64]
    sizes: npt.NDArray[np.float64]

    @property
    def settings(self) -> tuple[object, ...]:
        """Everything that the results depend on."""
        costs = self.table.fingerprint, tuple(map(str, self.table.targets))
        profiles = {str(target): times for target, times in self.table.operators.items()}
        return (
            "evaluate",
            *costs,
            profiles,
            self.prototype,
            self.split,
            self.by,
            self.n_train,
            self.n_test,
            self.quality,
        )

    def rows(self, column: int, seed: int, group: str | None) -> tuple[Rows, Rows]:
        """Return the training and the held-out rows of a target."""
        if self.by is None or group is None:
            return held_out(self.table, column, self.split, self.n_train, self.n_test, seed)
        return without_group(self.table, column, self.by, group, self.n_train, self.n_test, seed)


def _fit(of: _HeldOut, column: int, seed: int, group: str | None) -> dict[str, dict[str, Any]]:
    """Fit and score once; return the scores, and the columns of the predictions as lists."""
    target, (train, test) = of.table.targets[column], of.rows(column, seed, group)
    key = {
        "model": _model_name(of.prototype),
        "device": target.device,
        "metric": target.metric,
        "unit": target.unit,
        "seed": seed,
        "n_train": len(train),
        **({} if group is None else {LEFT_OUT: group}),
    }
    surrogate = clone(of.prototype).set_params(random_state=seed, metric=target.metric)
    predicted, seconds = _predict(of.table, column, surrogate, train, test)
    known = np.unique(of.table.config_number[train])
    predicted["distance"] = log2_distance(of.sizes, of.sizes[known])[of.table.config_number[test]]
    scores = {**key, **_scores(predicted, of.quality[test], target.kind), "fit_seconds": seconds}
    return {"scores": scores, "predictions": {**key, **{name: _listed(predicted[name]) for name in _KEPT}}}


def _listed(values: Any) -> list[Any]:
    """Return a column as a list of Python's own values, which a journal holds exactly."""
    return list(values.tolist() if isinstance(values, np.ndarray) else values)


def _model_name(surrogate: Surrogate) -> str:
    model = surrogate.model
    return "default" if model is None else model if isinstance(model, str) else type(model).__name__


def _sizes(table: CostTable) -> npt.NDArray[np.float64]:
    """Return the sizes of the networks of each config, (c, 3); those of graphs are no matter of a config."""
    return np.zeros((1, 3)) if table.space is None else config_sizes(table.space, table.configs)


def _quality(table: CostTable, quality: npt.ArrayLike | None) -> npt.NDArray[np.float64]:
    if quality is not None:
        given = reals(quality, "quality must be numbers")
        if given.shape != (len(table),) or not np.isfinite(given).all():
            raise InvalidInputError(
                f"quality must hold a finite number for each of the table's {len(table)} rows, got shape {given.shape}."
            )
        return given
    return multiply_adds(table, "live")


def multiply_adds(table: CostTable, view: View) -> npt.NDArray[np.float64]:
    """Return the multiply-adds of each row's network under its config, shape (n,).

    Parameters
    ----------
    table : CostTable
        The networks.
    view : {"all", "live", "folded"}
        Which layers count: all, live ones (on a path from input to output), or those that a converter leaves.
    """
    return table.batch.total("macs", view)


def _predict(
    table: CostTable, column: int, surrogate: Surrogate, train: Rows, test: Rows
) -> tuple[dict[str, Any], float]:
    """Fit on the training rows; return columns of predictions for the test rows, and the seconds of fitting."""
    costs, operators = table.costs[:, column], table.profiles(table.targets[column], train)
    start = time.perf_counter()
    surrogate.fit(table.batch.take(train), costs[train], operators=operators)
    seconds = time.perf_counter() - start
    asked = table.batch.take(test)
    # A posterior encodes the networks once for the predictions and all intervals.
    posterior = surrogate.posterior(asked, extrapolate=True) if surrogate.calibrate else None
    columns: dict[str, Any] = {
        "architecture": asked.names,
        "config": [str(asked.configs[number] or "") for number in asked.config_number],
        "connected": asked.connected,
        "measured": costs[test],
        "predicted": surrogate.predict(asked, extrapolate=True) if posterior is None else posterior.mean,
    }
    for part in _COVERAGES:
        bounds = np.full((len(test), 2), np.nan)
        if posterior is not None and part <= promised(surrogate.n_train_):
            bounds = posterior.interval(part)
        columns[f"low_{part}"], columns[f"high_{part}"] = bounds.T
    columns["low"], columns["high"] = columns[f"low_{BOUNDS}"], columns[f"high_{BOUNDS}"]
    return columns, seconds


def _scores(columns: dict[str, Any], quality: npt.NDArray[np.float64], metric: Metric) -> dict[str, float]:
    measured, predicted = columns["measured"], columns["predicted"]
    scores: dict[str, float] = score(measured, predicted).to_dict()
    costs = metric.to_cost(measured), metric.to_cost(predicted)
    if metric.larger_is_better:
        scores["top_10pct_recall"] = score(*costs).top_10pct_recall
    for part in _COVERAGES:
        low, high = columns[f"low_{part}"], columns[f"high_{part}"]
        coverage = float(((measured >= low) & (measured <= high)).mean())
        scores[f"coverage_{100 * part:.0f}"] = float("nan") if np.isnan(low).any() else coverage
    width = columns["high"] - columns["low"]
    positive = predicted > 0
    relative = np.median(width[positive] / predicted[positive]) if positive.any() else float("nan")
    scores[f"width_{100 * BOUNDS:.0f}"] = float(relative)
    (choice,) = regret(*costs, quality, budgets=[0.5]).to_dict(orient="records")
    best = abs(float(quality[choice["best"]]))
    scores["regret"] = choice["regret"] / best if best > 0 else choice["regret"]
    scores["overrun"] = choice["overrun"]
    return scores


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Summarise an evaluation's ``scores`` over the seeds.

    Returns
    -------
    DataFrame
        One row per model, target, number of training networks and group left out, in this order: the means, ``seeds``,
        and ``kendall_tau_sd`` (standard deviation over the seeds, NaN for one).
    """
    keys = ["model", "device", "metric", "unit", *([LEFT_OUT] if LEFT_OUT in results else [])]
    # The size of group splits varies with the seed: they are one row nevertheless.
    sizes = results.groupby([*keys, "seed"], sort=False).cumcount()
    groups = results.assign(size=sizes).groupby([*keys, "size"], sort=False)
    means = groups.mean(numeric_only=True).drop(columns="seed")
    means.insert(0, "seeds", groups.size())
    means.insert(list(means.columns).index("kendall_tau") + 1, "kendall_tau_sd", groups["kendall_tau"].std())
    return means.reset_index().drop(columns="size")


def readable(results: pd.DataFrame) -> pd.DataFrame:
    """Return the main columns of ``scores`` or :func:`summary`, as text with units."""

    def decimals(name: str) -> list[str]:
        return ["-" if np.isnan(value) else f"{value:.4f}" for value in results[name]]

    columns: dict[str, Any] = {"target": results["device"] + "/" + results["metric"]}
    columns |= {name: results[name] for name in ("space", "model", "seeds") if name in results}
    columns |= {"left out": results[LEFT_OUT]} if LEFT_OUT in results else {}
    columns |= {
        "trained on": results["n_train"].astype(int),
        "held out": results["n"].astype(int),
        "kendall tau": decimals("kendall_tau"),
    }
    if "kendall_tau_sd" in results:
        columns["sd"] = decimals("kendall_tau_sd")
    columns |= {
        "spearman rho": decimals("spearman_rho"),
        "median error": [f"{100 * part:.1f} %" for part in results["mdape"]],
        "within 10 %": [f"{100 * part:.1f} %" for part in results["within_10pct"]],
        "rmse": [f"{rmse:.3g} {unit}" for rmse, unit in zip(results["rmse"], results["unit"], strict=True)],
    }
    if "coverage_90" in results:
        columns["in 90 % interval"] = [f"{100 * part:.1f} %" for part in results["coverage_90"]]
    if "fit_seconds" in results:
        columns["fit time"] = [f"{seconds:.3f} s" for seconds in results["fit_seconds"]]
    columns |= {name: results[name] for name in map(str, results) if name.startswith("published")}
    return pd.DataFrame(columns)
