"""What measuring costs beside the timed runs, how fast networks are exported, and measurements imported."""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from benchmarks.figure import Figure
from hwnas_surrogate.data import CostTable, load_table, read_measurements
from hwnas_surrogate.errors import MeasurementError, MissingExtraError
from hwnas_surrogate.measure import RUNTIMES, export_networks, make_runtime, measure
from hwnas_surrogate.networks import build_network
from hwnas_surrogate.spaces import SearchSpace, get_space

N_EXPORTED = 20
N_LINES = 1_000_000


def run() -> Iterator[Figure]:
    """Yield the figures."""
    for name in ("nasbench201", "fbnet"):
        yield _export(get_space(name))
    for name in RUNTIMES:
        try:
            make_runtime(name).describe()
        except (MissingExtraError, MeasurementError) as error:
            yield Figure(f"measuring 32 networks with {name}", f"not here: {error}", "<= 1.3")
        else:
            yield _overhead(name)
    yield from _bundled_overhead()
    yield _import()


def _export(space: SearchSpace) -> Figure:
    """Time the export of networks, and compare each file's outputs with torch's."""
    archs = space.sample(N_EXPORTED, 1)
    shape = space.config(None).input_shape
    image = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    seconds, worst = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number, arch in enumerate(archs):
            start = time.perf_counter()
            export_networks(space, arch, Path(folder, str(number)), random_state=0)
            seconds.append(time.perf_counter() - start)
            session = onnxruntime.InferenceSession(Path(folder, str(number), "network-00000.onnx"))
            got = session.run(None, {"image": image.numpy()})[-1]
            with torch.inference_mode():
                result = build_network(arch, None, space, random_state=0)(image)
            wanted = (result[-1] if isinstance(result, tuple) else result).numpy()
            worst = max(worst, float(np.abs(got - wanted).max() / np.abs(wanted).max()))
    return Figure(
        f"export a {space.title} network as ONNX, checked against torch",
        f"{np.median(seconds):.2f} s (median of {N_EXPORTED}); outputs differ by {worst:.0e} at most",
        "<= 0.3 s, equal",
    )


def _overhead(name: str) -> Figure:
    space = get_space("nasbench201")
    with tempfile.TemporaryDirectory() as folder:
        table = measure(space, space.sample(32, 5), Path(folder, "t.parquet"), runtime=make_runtime(name))
    seconds = table.meta["seconds"]
    return Figure(
        f"measuring 32 networks with {name}: time beyond loading, over the timed runs",
        f"{seconds['run'] / seconds['timed']:.2f} (loading {seconds['load'] / 64:.2f} s a network)",
        "<= 1.3",
    )


def _bundled_overhead() -> Iterator[Figure]:
    for source, space in (("bundled", "nasbench201"), ("modified", "nasbench201"), ("bundled", "fbnet")):
        table = load_table(source, space)
        assert isinstance(table, CostTable)
        for part in table.meta["tables"]:
            seconds = part.get("seconds", {})
            if seconds.get("run"):
                yield Figure(
                    f"the same of the bundled measurement: {source}, {space}, {', '.join(part['targets'])}",
                    f"{seconds['run'] / seconds['timed']:.2f} over {seconds['timed'] / 60:.0f} minutes of timed runs",
                    "<= 1.3",
                )


def _import() -> Figure:
    space = get_space("nasbench201")
    texts = space.format_all(space.sample(5000, 0))
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "million.csv")
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["architecture", "config", "device", "metric", "value", "unit"])
            for number, value in enumerate(rng.uniform(1, 2, N_LINES).round(4).tolist()):
                writer.writerow([texts[number % 5000], "cifar10", f"board{number % 7}", "latency", value, "ms"])
        start = time.perf_counter()
        table = read_measurements(path)
        seconds = time.perf_counter() - start
    return Figure(f"import {N_LINES:,} lines of CSV into {table.costs.size:,} costs", f"{seconds:.1f} s", "< 10 s")
