"""Exact lookup: tables, the drop-in API, and how fast the package starts."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import numpy as np

from benchmarks.figure import Figure, median_seconds, shared_data
from hwnas_surrogate.data import HWNASBenchAPI, convert, load_bundled, load_table
from hwnas_surrogate.trainers import SurrogateSuite

COMMAND = "from hwnas_surrogate.cli import main; main({})"


def run() -> list[Figure]:
    """Time lookups on a file of the official one's whole layout."""
    figures = [
        Figure(
            "import hwnas_surrogate",
            f"{1e3 * (_process('import hwnas_surrogate') - _process('pass')):.0f} ms",
            "< 100 ms",
        ),
        Figure(
            "hwnas --help, whole process",
            f"{_process(COMMAND.format(['--help'])):.2f} s",
            "< 0.5 s",
        ),
        *_commands(),
    ]
    folder = shared_data()
    if folder is None:
        return [*figures, Figure("lookup", "skipped: ../shared/data is absent")]
    official = folder / "full-structure-old-numpy.pickle"
    with tempfile.TemporaryDirectory() as converted:
        convert(official, converted)
        opened = median_seconds(lambda: load_table(converted, "nasbench201"))
        table = load_table(converted, "nasbench201", "cifar10")
        blocks = load_table(converted, "fbnet", "cifar100")
    archs, indices = table.space.enumerate(), np.arange(15625)
    sampled = blocks.space.sample(2000, 0)
    api, fbnet_api = HWNASBenchAPI(official), HWNASBenchAPI(official, "fbnet")
    ops = sampled[0].tolist()
    return [
        *figures,
        Figure("open a converted table (3 datasets, 10 targets)", f"{1e3 * opened:.1f} ms", "< 50 ms"),
        Figure(
            "15,625 x 10 targets, int8",
            f"{1e3 * median_seconds(lambda: table.lookup(archs), 15):.2f} ms",
            "< 5 ms",
        ),
        Figure(
            "15,625 x 10 targets, indices",
            f"{1e3 * median_seconds(lambda: table.lookup(indices), 15):.2f} ms",
            "< 5 ms",
        ),
        Figure(
            "FBNet, 2,000 x 8 targets",
            f"{1e3 * median_seconds(lambda: blocks.lookup(sampled), 15):.2f} ms",
            "< 5 ms",
        ),
        Figure(
            "query_by_index, NAS-Bench-201",
            f"{1e6 * median_seconds(lambda: api.query_by_index(5, 'cifar10'), 7, 5000):.1f} us",
            "< 10 us",
        ),
        Figure(
            "query_by_index, FBNet",
            f"{1e6 * median_seconds(lambda: fbnet_api.query_by_index(ops, 'cifar100'), 7, 1000):.1f} us",
            "< 100 us",
        ),
    ]


def _commands() -> list[Figure]:
    """Time commands from their start to their end, on what training on everything bundled saves."""
    with tempfile.TemporaryDirectory() as folder:
        SurrogateSuite(random_state=0).fit_table(load_bundled("nasbench201")).save(folder)
        predict = _process(COMMAND.format(["predict", "0", "-s", folder]))
    return [
        Figure("hwnas query 0, whole process", f"{_process(COMMAND.format(['query', '0'])):.2f} s", "< 1.0 s"),
        Figure("hwnas predict 0, whole process", f"{predict:.2f} s", "< 2.0 s"),
    ]


def _process(code: str) -> float:
    return median_seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL))
