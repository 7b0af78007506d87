"""Networks of any kind: graphs against architectures, networks unlike those trained on, two spaces of one's own."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.figure import Figure, median_seconds
from hwnas_surrogate import Surrogate
from hwnas_surrogate.data import CostTable, as_graphs, load_bundled, load_table
from hwnas_surrogate.evaluation import score, split_rows
from hwnas_surrogate.graphs import Graph, GraphBatch, NetworkBatch
from hwnas_surrogate.jobs import in_parallel
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import AdaptWarning, ExtrapolationWarning, TransferSurrogate

SEEDS = range(10)
"""Splits that are reported; settings were chosen on seeds from 100 on."""
N = 100
SHOTS = 20
OWN = ("MobileLike", "SmallTransformer")
"""The spaces of examples/own_spaces.py."""
OWN_NETWORKS = 60
CACHE = Path(os.environ.get("HWNAS_BENCHMARK_CACHE", ".cache/benchmarks"))

Vector = npt.NDArray[np.float64]


def run() -> Iterator[Figure]:
    """Yield the figures."""
    warnings.simplefilter("ignore", ExtrapolationWarning)
    warnings.simplefilter("ignore", AdaptWarning)
    yield from _ranks()
    yield from _strange()
    yield from _own()
    yield from _speed()


def _mean(values: list[float], digits: int = 3) -> str:
    return f"{np.mean(values):.{digits}f} ({np.std(values, ddof=1):.{digits}f})"


def _ranks() -> Iterator[Figure]:
    """Compare surrogates of graphs with those of the same networks' architectures."""
    for name in ("nasbench201", "fbnet"):
        table = load_table(space=name)
        assert isinstance(table, CostTable)
        for target in table.targets:
            if table.devices[target.device].source != "measured":
                continue
            tasks = [(of_graphs, seed) for of_graphs in (False, True) for seed in SEEDS]
            found = in_parallel(_tau, tasks, shared=(table.select(target),))
            taus = found[: len(SEEDS)], found[len(SEEDS) :]
            yield Figure(
                f"{target}, {name}, n={N}, {len(SEEDS)} splits: kendall tau of architectures; of graphs; difference",
                f"{_mean(taus[False])}; {_mean(taus[True])}; {np.mean(taus[True]) - np.mean(taus[False]):+.4f}",
                "-.002 at most",
            )


def _tau(table: CostTable, of_graphs: bool, seed: int) -> float:
    """Return Kendall's tau of a surrogate of graphs or architectures, on networks that are held out."""
    costs = table.costs[:, 0]
    known = np.flatnonzero(~np.isnan(costs))
    train, test = (known[rows] for rows in split_rows(len(known), N, min(400, len(known) - N), seed))
    batch = table.batch.take(np.concatenate([train, test]))
    networks: NetworkBatch = batch.graphs() if of_graphs else batch  # type: ignore[attr-defined]
    surrogate = Surrogate(None if of_graphs else table.space.name, random_state=seed, calibrate=False)
    surrogate.fit(networks.take(np.arange(N)), costs[train])
    predicted = surrogate.predict(networks.take(np.arange(N, len(networks))), extrapolate=True)
    return score(costs[test], predicted).kendall_tau


def _strange() -> Iterator[Figure]:
    """Train on one space, and predict another."""
    tables = {name: load_bundled(name) for name in ("nasbench201", "fbnet")}
    for target in ("epyc-torch-1t/latency", "epyc-onnxruntime-1t/latency"):
        for source, other in (("nasbench201", "fbnet"), ("fbnet", "nasbench201")):
            shared = (tables[source].select(target), tables[other].select(target))
            found = in_parallel(_of_strange, [(seed,) for seed in SEEDS], shared=shared)
            errors, coverages, widths = zip(*found, strict=True)
            yield Figure(
                f"{target}: trained on 300 graphs of {source}, asked about {other}, {len(SEEDS)} draws: median error; "
                "coverage of 90 % intervals; their width",
                f"{100 * np.mean(errors):.0f} % (sd {100 * np.std(errors, ddof=1):.0f}); "
                f"{100 * np.mean(coverages):.0f} % (lowest {100 * min(coverages):.0f}); {100 * np.mean(widths):.0f} %",
                "intervals that hold",
            )


def _of_strange(source: CostTable, other: CostTable, seed: int) -> tuple[float, float, float]:
    """Train on networks of one table, predict those of another; return error, coverage and width of intervals."""
    rng = np.random.default_rng(seed)
    parts = []
    for one, n in ((source, 300), (other, 200)):
        measured = rng.permutation(np.flatnonzero(~np.isnan(one.costs[:, 0])))[:n]
        parts.append(as_graphs(one.rows(measured)))
    known, strange = parts
    surrogate = Surrogate(None, random_state=seed).fit(known.batch, known.costs[:, 0])
    predicted = surrogate.predict(strange.batch, extrapolate=True)
    low, high = surrogate.predict_interval(strange.batch, extrapolate=True).T
    costs = strange.costs[:, 0]
    coverage = float(((costs >= low) & (costs <= high)).mean())
    return score(costs, predicted).mdape, coverage, float(np.median((high - low) / predicted))


def _own_tables() -> Iterator[tuple[str, CostTable]]:
    """Measure networks of two spaces of one's own on this host, once."""
    from examples import own_spaces
    from hwnas_surrogate.measure import OnnxRuntime, measure

    for name in OWN:
        space = getattr(own_spaces, name)()
        archs = space.sample(OWN_NETWORKS, random_state=0)
        yield name, measure(space, archs, CACHE / f"{name}.parquet", runtime=OnnxRuntime())


def _own() -> Iterator[Figure]:
    for name, table in _own_tables():
        graphs = as_graphs(table)
        costs = graphs.costs[:, 0]
        found = in_parallel(_of_own, [(seed,) for seed in range(20)], shared=(graphs,))
        errors, rhos, coverages, widths = zip(*found, strict=True)
        floor = table.noise_floor()[table.targets[0]]["median_relative_difference"]
        yield Figure(
            f"{name}, {len(graphs)} networks measured with ONNX Runtime ({costs.min():.2g} to {costs.max():.2g} ms; "
            f"halves of the runs differ by {100 * floor:.1f} %), n={SHOTS}, 20 splits: median error; spearman; "
            "coverage of 90 % intervals; their width",
            f"{100 * np.mean(errors):.1f} % (sd {100 * np.std(errors, ddof=1):.1f}); {np.mean(rhos):.3f}; "
            f"{100 * np.mean(coverages):.0f} %; {100 * np.mean(widths):.0f} %",
            "<= 8 %",
        )


def _of_own(graphs: CostTable, seed: int) -> tuple[float, float, float, float]:
    """Learn a device from a few graphs; return error, correlation, coverage and width of intervals for the others."""
    costs = graphs.costs[:, 0]
    train, test = split_rows(len(graphs), SHOTS, len(graphs) - SHOTS, seed)
    surrogate = TransferSurrogate(None, random_state=seed).fit(graphs.batch.take(train), costs[train])
    asked = graphs.batch.take(test)
    found = score(costs[test], surrogate.predict(asked, extrapolate=True))
    low, high = surrogate.predict_interval(asked, extrapolate=True).T
    coverage = float(((costs[test] >= low) & (costs[test] <= high)).mean())
    return found.mdape, found.spearman_rho, coverage, float(np.median((high - low) / costs[test]))


def _speed() -> Iterator[Figure]:
    for name in ("nasbench201", "fbnet"):
        space = get_space(name)
        batch = space.batch(space.sample(2000, random_state=0))
        graphs = batch.graphs()
        surrogate = Surrogate(None, random_state=0, calibrate=False).fit(graphs.take(range(60)), batch.macs[:60])
        some = list(graphs.graphs)
        seconds = median_seconds(partial(_predict, surrogate, some))
        explained = median_seconds(partial(surrogate.explain, some[0]))
        n_ops = np.mean([len(graph) for graph in some])
        yield Figure(
            f"{name}: {len(some):,} captured graphs of {n_ops:.0f} operators predicted a second; explain one",
            f"{len(some) / seconds:,.0f}; {1e3 * explained:.0f} ms",
            ">= 5,000; <= 50 ms",
        )


def _predict(surrogate: Surrogate, graphs: list[Graph]) -> Vector:
    """Predict graphs that nothing is known of yet."""
    return surrogate.predict(GraphBatch(graphs), extrapolate=True)
