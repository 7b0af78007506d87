"""Few-shot protocols: a few measurements of a new device, many of other devices, scored on all other rows."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from hwnas_surrogate.data import CostTable, Target
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation.peers import HELP, NASFLAT
from hwnas_surrogate.evaluation.results import Evaluation
from hwnas_surrogate.evaluation.scores import score
from hwnas_surrogate.jobs.parallel import Progress, in_parallel
from hwnas_surrogate.jobs.pieces import Pieces
from hwnas_surrogate.trainers import AdaptWarning, TransferSurrogate, fit_sources
from hwnas_surrogate.trainers.design import most_informative
from hwnas_surrogate.trainers.sources import Sources

__all__ = ["few_shot_table", "help2021", "leave_one_device_out", "nasflat2024"]

R = TypeVar("R")
Rows = npt.NDArray[np.intp]
SIZES = (10, 20)
SOURCE_ROWS = 800
"""Measurements of each source device in NASFLAT's splits."""
_CANDIDATES = 4000
_TRIM = 0.1


class _Space:
    """A table's architectures, encoded once for all surrogates."""

    def __init__(self, table: CostTable, sources: Sources) -> None:
        self.table = table
        self.prototype = TransferSurrogate(table.space, sources, calibrate=False)
        self.encoder, self.everything = self.prototype.encode(table.batch)
        self.sources = [name for name in map(str, self.everything.features) if name.startswith("source:")]

    def costs(self, device: str) -> npt.NDArray[np.float64]:
        costs: npt.NDArray[np.float64] = self.table.costs[:, self.table.targets.index(Target(device, "latency"))]
        return costs

    def predict(self, device: str, rows: Rows, sources: Iterable[str]) -> npt.NDArray[np.float64]:
        """Fit to some rows of a device, with these source columns, and predict all rows."""
        dropped = [name for name in self.sources if name not in set(sources)]
        kept = self.everything.without(dropped)
        surrogate = clone(self.prototype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AdaptWarning)
            surrogate.fit_encoded(self.encoder, kept.rows(rows), self.costs(device)[rows])
        predicted: npt.NDArray[np.float64] = surrogate.predict_encoded(kept.only(surrogate.columns_))
        return predicted

    def suggested(self, n: int, sources: Iterable[str], rng: np.random.Generator) -> Rows:
        """Choose n rows to measure among random candidates."""
        pool = np.sort(rng.permutation(len(self.table))[:_CANDIDATES])
        dropped = [name for name in self.sources if name not in set(sources)]
        features = self.everything.features.iloc[pool].drop(columns=dropped)
        return pool[most_informative(features, n)[0]]


def _check(table: CostTable, devices: Iterable[str], rows: int, sizes: Sequence[int], seeds: Sequence[int]) -> None:
    """Raise, before anything is fitted, if a table lacks data that a protocol needs."""
    if len(table.configs) != 1:
        raise InvalidInputError(
            f"the protocol is over one config, the table has {len(table.configs)}; choose one with dataset."
        )
    there = {target.device for target in table.targets if target.metric == "latency"}
    missing = sorted(set(devices) - there)
    if missing:
        raise InvalidInputError(
            f"the protocol needs the latency of {', '.join(missing)} too; the table has {', '.join(sorted(there))}."
        )
    if len(table) < rows:
        raise InvalidInputError(f"the protocol needs {rows} architectures, the table has {len(table)}.")
    for device in devices:
        unknown = np.isnan(table.costs[:, table.targets.index(Target(device, "latency"))])
        if unknown.any():
            raise InvalidInputError(
                f"the protocol needs {device} measured on every architecture; {int(unknown.sum())} of {len(table)} are "
                "missing. Select other devices, or the rows that all have."
            )
    if not len(seeds) or not len(sizes) or min(sizes) < 2 or max(sizes) > len(table) - 3:
        raise InvalidInputError(
            f"sizes must be from 2 to {len(table) - 3} and there must be a seed, got sizes {list(sizes)} and "
            f"{len(seeds)} seeds."
        )


def _row(
    model: str, device: str, seed: int, n: int, measured: npt.NDArray[np.float64], predicted: npt.NDArray[np.float64],
    **more: Any,
) -> dict[str, Any]:  # fmt: skip
    key = {"model": model, "device": device, "metric": "latency", "unit": "ms", "seed": seed, "n_train": n}
    return {**key, **score(measured, predicted).to_dict(), **more}


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """What the pieces of a protocol have in common: the encoded space, and its settings."""

    space: _Space
    protocol: str
    settings: Any

    def done(
        self,
        score_piece: Callable[..., R],
        tasks: Sequence[tuple[Any, ...]],
        n_jobs: int | None,
        progress: Progress | None,
        journal: str | os.PathLike[str] | None,
    ) -> list[R]:
        """Score each piece."""
        table = self.space.table
        work = self.protocol, table.fingerprint, tuple(map(str, table.targets)), self.space.sources, self.settings
        with nullcontext() if journal is None else Pieces(journal, *work) as kept:
            return in_parallel(score_piece, tasks, shared=(self,), n_jobs=n_jobs, progress=progress, kept=kept)


def _evaluation(rows: list[dict[str, Any]], table: CostTable, protocol: str) -> Evaluation:
    about = {"protocol": protocol, "space": table.space_name, "table_fingerprint": table.fingerprint}
    return Evaluation(pd.DataFrame(rows), pd.DataFrame(), about)


def help2021(
    table: CostTable,
    *,
    sizes: Sequence[int] = SIZES,
    seeds: Sequence[int] = range(10),
    progress: Progress | None = None,
    n_jobs: int | None = None,
    journal: str | os.PathLike[str] | None = None,
) -> Evaluation:
    """Score few-shot surrogates on the devices of HELP [1]_.

    There are two settings for every target device and number of measurements n:

    - "full": with HELP's nine source devices and without sources, n random or n suggested architectures are measured,
      and all others are scored.
    - "trimmed": with the sources, n random architectures of HELP's pool are measured, and its query set is scored. As
      in HELP, the fastest and slowest tenths of both sets are removed first, which uses the target's other costs.

    Parameters
    ----------
    table : CostTable
        Latencies of HELP's devices, in the order of its files: NAS-Bench-201 (15,625 rows) or FBNet (5,000).
    sizes : sequence of int, default=(10, 20)
        Measurements of the target.
    seeds : sequence of int, default=range(10)
        Seeds of the random draws.
    progress : callable, optional
        Called with (pieces done, pieces to do): one for each target and seed.
    n_jobs, journal
        As in :func:`~hwnas_surrogate.evaluation.evaluate`.

    Returns
    -------
    Evaluation
        Scores only; ``model`` is a text such as ``"9 sources, random, full"``. :func:`few_shot_table` adds the
        published figures.

    Raises
    ------
    InvalidInputError
        If a device is missing, or the table is not HELP's.

    References
    ----------
    .. [1] Lee, Lee, Chong and Hwang, "Hardware-adaptive efficient latency prediction for NAS via meta-learning",
       NeurIPS 2021, tables 3 and 5.
    """
    if table.space_name not in HELP:
        raise InvalidInputError(f"help2021 is over {' and '.join(HELP)}, got {table.space_name}.")
    task = HELP[table.space_name]
    _check(table, (*task.sources, *task.targets), task.query.stop, sizes, seeds)
    fitted = fit_sources(table.rows(task.pool), [Target(device, "latency") for device in task.sources], n_jobs=n_jobs)
    space = _Space(table, fitted)
    settings: list[tuple[list[str], str]] = [(space.sources, f"{len(space.sources)} sources"), ([], "no source")]
    tasks = [(device, int(seed)) for device in task.targets for seed in seeds]
    work = _Work(space, "help", (tuple(map(int, sizes)), settings))
    parts = work.done(_help_rows, tasks, n_jobs, progress, journal)
    return _evaluation([row for part in parts for row in part], table, "help")


def _help_rows(work: _Work, device: str, seed: int) -> list[dict[str, Any]]:
    """Score one device of HELP in all settings."""
    space, (sizes, settings) = work.space, work.settings
    table, task = space.table, HELP[space.table.space_name]
    costs, order = space.costs(device), np.random.default_rng(seed).permutation(len(table))
    rows = []
    for n in sizes:
        for columns, name in settings:
            for how in ("random", "suggested"):
                shots = order[:n]
                if how == "suggested":
                    shots = space.suggested(n, columns, np.random.default_rng(seed))
                rest = np.setdiff1d(np.arange(len(table)), shots)
                predicted = space.predict(device, shots, columns)
                label = f"{name}, {how}, full"
                rows.append(_row(label, device, seed, n, costs[rest], predicted[rest]))
        pool, query = (_trimmed(costs, part) for part in (task.pool, task.query))
        shots = np.random.default_rng(seed).permutation(pool)[:n]
        predicted = space.predict(device, shots, space.sources)
        label = f"{settings[0][1]}, random, trimmed"
        rows.append(_row(label, device, seed, len(shots), costs[query], predicted[query]))
    return rows


def _trimmed(costs: npt.NDArray[np.float64], rows: range) -> Rows:
    """Leave out the fastest and slowest tenths."""
    ordered = np.array(rows)[np.argsort(costs[rows.start : rows.stop], kind="stable")]
    cut = round(_TRIM * len(ordered))
    return ordered[cut : len(ordered) - cut]


def nasflat2024(
    table: CostTable,
    *,
    n: int = 20,
    seeds: Sequence[int] = range(10),
    progress: Progress | None = None,
    n_jobs: int | None = None,
    journal: str | os.PathLike[str] | None = None,
) -> Evaluation:
    """Score few-shot surrogates on the device splits of NASFLAT [1]_ that the table's space has.

    800 architectures of each source device and n random ones of the target are measured. All others are scored, for
    each target separately, with the sources and without.

    Parameters
    ----------
    table : CostTable
        Latencies of HELP's devices, in the order of its files.
    n : int, default=20
        Measurements of the target.
    seeds : sequence of int, default=range(10)
        Seeds of the random draws.
    progress : callable, optional
        Called with (pieces done, pieces to do): one for each target and seed.
    n_jobs, journal
        As in :func:`~hwnas_surrogate.evaluation.evaluate`.

    Returns
    -------
    Evaluation
        Scores only, with a column ``task`` (``"F0"``, ...).

    Raises
    ------
    InvalidInputError
        If a device is missing.

    References
    ----------
    .. [1] Akhauri and Abdelfattah, "On latency predictors for neural architecture search", MLSys 2024.
    """
    tasks = {name: task for name, task in NASFLAT.items() if task.space == table.space_name}
    devices = {device for task in tasks.values() for device in (*task.sources, *task.targets)}
    _check(table, sorted(devices), SOURCE_ROWS, [n], seeds)
    needed = [Target(name, "latency") for name in dict.fromkeys(d for task in tasks.values() for d in task.sources)]
    fitted = fit_sources(table.rows(range(SOURCE_ROWS)), needed, n_jobs=n_jobs)
    space = _Space(table, fitted)
    triples = [(name, device, int(seed)) for name, task in tasks.items() for device in task.targets for seed in seeds]
    first = {(device, seed): name for name, device, seed in reversed(triples)}
    pieces = [(name, device, seed, first[device, seed] == name) for name, device, seed in triples]
    parts = _Work(space, "nasflat", n).done(_nasflat_rows, pieces, n_jobs, progress, journal)
    bare = {piece[1:3]: part[1] for piece, part in zip(pieces, parts, strict=True) if piece[3]}
    rows = []
    for (name, device, seed, _), (with_sources, *_) in zip(pieces, parts, strict=True):
        rows += [{**row, "task": name} for row in (with_sources, bare[device, seed])]
    return _evaluation(rows, table, "nasflat")


def _nasflat_rows(work: _Work, task: str, device: str, seed: int, is_first: bool) -> list[dict[str, Any]]:
    """Score one target with the sources of a task of NASFLAT, and in its first task without any."""
    space, n = work.space, work.settings
    costs, rows = space.costs(device), np.arange(len(space.table))
    shots = np.random.default_rng(seed).permutation(len(rows))[:n]
    rest = np.setdiff1d(rows, shots)
    settings = [("with the sources", [f"source:{source}/latency" for source in NASFLAT[task].sources])]
    settings += [("no source", [])] if is_first else []
    return [
        _row(model, device, seed, n, costs[rest], space.predict(device, shots, sources)[rest])
        for model, sources in settings
    ]


def leave_one_device_out(
    table: CostTable,
    *,
    sizes: Sequence[int] = SIZES,
    n_source: int = SOURCE_ROWS,
    seeds: Sequence[int] = range(10),
    progress: Progress | None = None,
    n_jobs: int | None = None,
    journal: str | os.PathLike[str] | None = None,
) -> Evaluation:
    """Score few-shot surrogates on every device in turn, with all other devices as sources.

    Parameters
    ----------
    table : CostTable
        Latencies of at least two devices under one config; architectures not measured on all devices are left out.
    sizes : sequence of int, default=(10, 20)
        Numbers of random measurements of the held-out device; it is also ranked by the sources alone (0).
    n_source : int, default=800
        Number of architectures on which the sources were measured: the first rows of the table.
    seeds : sequence of int, default=range(10)
        Seeds of the random draws.
    progress : callable, optional
        Called with (pieces done, pieces to do): one for each device and seed.
    n_jobs, journal
        As in :func:`~hwnas_surrogate.evaluation.evaluate`.

    Returns
    -------
    Evaluation
        Scores only, with and without the sources, and without them on suggested architectures; ``scores.pivot_table(
        index="device", columns=["model", "n_train"], values="spearman_rho")`` is the matrix.

    Raises
    ------
    InvalidInputError
        If there is only one device, or too few architectures were measured on all devices.
    """
    targets = [target for target in table.targets if target.metric == "latency"]
    if len(targets) < 2:
        raise InvalidInputError(f"leaving one device out takes two or more, the table has {len(targets)}.")
    known = ~np.isnan(table.select(targets).costs)
    fewest = int(known.sum(axis=0).argmin())
    if known.all(axis=1).sum() <= n_source:
        raise InvalidInputError(
            f"the protocol needs more than {n_source} architectures that were measured on all {len(targets)} devices: "
            f"the table has {known.all(axis=1).sum()}; {targets[fewest]} on {known[:, fewest].sum()} only. "
            "Select other targets."
        )
    table = table.rows(np.flatnonzero(known.all(axis=1)))
    _check(table, [target.device for target in targets], n_source, sizes, seeds)
    space = _Space(table, fit_sources(table.rows(range(n_source)), targets, n_jobs=n_jobs))
    draws = [(int(seed), int(n)) for seed in seeds for n in sizes]
    suggested = {(seed, n): space.suggested(n, [], np.random.default_rng(seed)) for seed, n in draws}
    tasks = [(target.device, int(seed), not number) for target in targets for number, seed in enumerate(seeds)]
    work = _Work(space, "devices", (tuple(map(int, sizes)), suggested))
    parts = work.done(_left_out_rows, tasks, n_jobs, progress, journal)
    return _evaluation([row for part in parts for row in part], table, "devices")


def _others(space: _Space, device: str) -> list[str]:
    return [name for name in space.sources if name != f"source:{Target(device, 'latency')}"]


def _ranked_row(space: _Space, device: str) -> dict[str, Any]:
    """Score the ranking by the other devices alone."""
    others = _others(space, device)
    means = space.everything.features[others].mean()
    ranked = (space.everything.features[others] / means).mean(axis=1).to_numpy()
    return _row("the others", device, 0, 0, space.costs(device), ranked)


def _left_out_rows(work: _Work, device: str, seed: int, is_first: bool) -> list[dict[str, Any]]:
    """Score one device with and without the others, and with the first seed their ranking."""
    space, (sizes, suggested) = work.space, work.settings
    costs, order = space.costs(device), np.random.default_rng(seed).permutation(len(space.table))
    rows = [_ranked_row(space, device)] if is_first else []
    for n in sizes:
        settings: list[tuple[str, list[str], Rows]] = [
            ("the others", _others(space, device), order[:n]),
            ("no source", [], order[:n]),
            ("no source, suggested", [], suggested[seed, n]),
        ]
        for model, columns, shots in settings:
            rest = np.setdiff1d(np.arange(len(costs)), shots)
            predicted = space.predict(device, shots, columns)[rest]
            rows.append(_row(model, device, seed, n, costs[rest], predicted))
    return rows


def few_shot_table(evaluation: Evaluation) -> pd.DataFrame:
    """Return mean Spearman correlations, one row per setting, with the published rows.

    Parameters
    ----------
    evaluation : Evaluation
        From :func:`help2021`, :func:`nasflat2024` or :func:`leave_one_device_out`.

    Returns
    -------
    DataFrame
        ``setting``, ``measurements``, a column per device (or task), and ``mean``; published settings are named
        ``"published: ..."``.
    """
    scores, protocol = evaluation.scores, evaluation.about["protocol"]
    if protocol not in ("help", "nasflat", "devices"):
        raise InvalidInputError(f"few_shot_table reads help, nasflat and devices evaluations, got {protocol!r}.")
    by = "task" if protocol == "nasflat" else "device"
    # Within a task all targets have the same weight, and within a target all draws.
    keys = ["model", "n_train", *dict.fromkeys([by, "device"])]
    means = scores.groupby(keys, sort=False)["spearman_rho"].agg(lambda values: values.mean(skipna=False))
    means = means.groupby(level=keys[:3], sort=False).agg(lambda values: values.mean(skipna=False))
    columns = list(dict.fromkeys(scores[by]))
    ours: list[dict[str, Any]] = []
    for model, n in dict.fromkeys(zip(scores["model"], scores["n_train"], strict=True)):
        values = {column: float(means.get((model, n, column), np.nan)) for column in columns}
        ours.append({"setting": model, "measurements": n, **values, "mean": float(np.nanmean([*values.values()]))})
    if protocol == "devices":
        settings = [f"{row['setting']}, n={row['measurements']}" for row in ours]
        return pd.DataFrame(
            [{"device": column, **{name: row[column] for name, row in zip(settings, ours, strict=True)}}
             for column in [*columns, "mean"]]
        )  # fmt: skip
    return pd.DataFrame([*ours, *_published(protocol, evaluation.about["space"], columns)])


def _published(protocol: str, space: str, columns: list[str]) -> Iterator[dict[str, Any]]:
    if protocol == "help":
        for name, values in HELP[space].published.items():
            method, _, n = name.rpartition(", ")
            mean = float(np.mean([values[column] for column in columns]))
            yield {"setting": f"published: {method}", "measurements": int(n), **values, "mean": mean}
        return
    for method in NASFLAT[columns[0]].published:
        figures = {column: NASFLAT[column].published[method] for column in columns}
        mean = float(np.mean([*figures.values()]))
        yield {"setting": f"published: {method}", "measurements": 20, **figures, "mean": mean}
