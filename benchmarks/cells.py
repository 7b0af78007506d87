"""Count what NAS-Bench-201's networks run, by the passes: ``python -m benchmarks cells`` writes the package's table.

Six minutes on two cores. To be done again when a pass changes; a test compares a sample with the passes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import hwnas_surrogate.spaces.cells
from benchmarks.figure import Figure
from hwnas_surrogate.graphs import VIEWS, Op
from hwnas_surrogate.jobs import in_parallel
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.spaces.cells import COUNTED, KEPT

FILE = Path(hwnas_surrogate.spaces.cells.__file__).with_name(KEPT)
CELLS = (1, 2, 3)
Counts = dict[Op, int]


def run() -> Iterator[Figure]:
    """Write the table; tell its size."""
    space = get_space("nasbench201")
    archs = space.enumerate()
    archs = archs[np.argsort(space.codes(archs))]
    parts = in_parallel(_counted, [(part,) for part in np.array_split(archs, 200)])
    networks = [network for part in parts for network in part]
    arrays, ops = {}, {}
    for view in VIEWS:
        number: dict[Op, int] = {}
        for network in networks:
            for counts in network[view]:
                for op in counts:
                    number.setdefault(op, len(number))
        table = np.zeros((len(archs), len(CELLS), len(number)), np.int8)
        for row, network in enumerate(networks):
            for place, counts in enumerate(network[view]):
                for op, times in counts.items():
                    table[row, place, number[op]] = times
        unique, column = np.unique(table.reshape(-1, len(number)), axis=1, return_inverse=True)
        arrays[f"{view}_counts"] = unique.reshape(len(archs), len(CELLS), -1).transpose(0, 2, 1)
        arrays[f"{view}_column"] = column.reshape(-1).astype(np.uint8)
        ops[view] = [op.to_dict() for op in number]
    np.savez_compressed(FILE, ops=np.array(json.dumps(ops, separators=(",", ":"))), **arrays)
    yield Figure("operators of 15,625 networks in five views, bytes", f"{FILE.stat().st_size:,}")


def _counted(archs: np.ndarray) -> list[dict[str, list[Counts]]]:
    """Return the operators of some architectures' networks, by view, of one, two and three cells a stage."""
    space, found = get_space("nasbench201"), []
    for arch in archs:
        graphs = [space.graph(arch, replace(COUNTED, N=n)) for n in CELLS]
        found.append({view: [dict(run(graph).counts) for graph in graphs] for view, run in VIEWS.items()})
    return found
