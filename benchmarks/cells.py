"""Find what NAS-Bench-201's networks run, by the passes: ``python -m benchmarks cells`` writes the package's table.

Seven minutes on two cores. To be done again when a pass changes; a test compares a sample with the passes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import hwnas_surrogate.spaces.cells
from benchmarks.figure import Figure
from hwnas_surrogate.graphs import VIEWS, Op, TensorSpec
from hwnas_surrogate.graphs.flat import Flat, flattened
from hwnas_surrogate.graphs.memory import in_memory
from hwnas_surrogate.graphs.views import PASSES, in_turn
from hwnas_surrogate.jobs import in_parallel
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.spaces.cells import COUNTED, KEPT

FILE = Path(hwnas_surrogate.spaces.cells.__file__).with_name(KEPT)
CELLS = (1, 2, 3)
Counts = dict[Op, int]
Moments = tuple[tuple[tuple[TensorSpec, int], ...], ...]


def run() -> Iterator[Figure]:
    """Write the table; tell its size."""
    space = get_space("nasbench201")
    archs = space.enumerate()
    archs = archs[np.argsort(space.codes(archs))]
    parts = in_parallel(_counted, [(part,) for part in np.array_split(archs, 200)])
    networks = [network for part in parts for network in part]
    arrays, ops = _kept_moments(archs), {}
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
    yield Figure("operators and memory of 15,625 networks in five views, bytes", f"{FILE.stat().st_size:,}")


def _kept_moments(archs: np.ndarray) -> dict[str, np.ndarray]:
    """Return the arrays of what is in memory where the peak may be, of n architectures."""
    parts = in_parallel(_in_memory, [(part,) for part in np.array_split(archs, 50)])
    arrays, texts = {}, {}
    for view in VIEWS:
        sets = [found for part in parts for found in part[view]]
        tensors = list(dict.fromkeys(spec for own in sets for moment in own for spec, _ in moment))
        number = {own: place for place, own in enumerate(dict.fromkeys(sets))}
        arrays[f"{view}_moments"] = np.array([number[own] for own in sets], np.uint8).reshape(len(archs), -1)
        counts = [[[dict(moment).get(spec, 0) for spec in tensors] for moment in own] for own in number]
        texts[view] = {"tensors": [spec.to_list() for spec in tensors], "moments": counts}
    return arrays | {"moments": np.array(json.dumps(texts, separators=(",", ":")))}


def _in_memory(archs: np.ndarray) -> dict[str, list[Moments]]:
    """Return the moments at which the peak may be, by view: of each network with one, then with two cells a stage."""
    space = get_space("nasbench201")
    flat = flattened([space.graph(arch, replace(COUNTED, N=n)) for arch in archs for n in CELLS[:2]])
    return {view: _moments(in_turn(PASSES[view], flat)) for view in VIEWS}


def _moments(flat: Flat) -> list[Moments]:
    """Return the numbers of tensors that are in memory at once, of each graph; those with fewer of each left out."""
    known, n_inputs = flat.numbers.specs, len(flat.inputs)
    numbers = sorted(np.unique(flat.spec).tolist(), key=lambda number: known[number].to_list())
    is_of = [(flat.spec == number).astype(np.intp) for number in numbers]
    during = np.stack([in_memory(flat, of_spec) for of_spec in is_of], axis=1)
    before = np.stack([np.bincount(flat.input_graph, of_spec[:n_inputs], flat.n) for of_spec in is_of], axis=1)
    first_node = np.searchsorted(flat.graph, np.arange(flat.n))
    found = []
    for start, own in zip(before.astype(np.intp), np.split(during, first_node[1:]), strict=True):
        rows = np.unique(np.vstack([start, own]), axis=0)
        largest = rows[(rows[:, None] <= rows).all(axis=2).sum(axis=1) == 1]
        moments = [zip(numbers, row, strict=True) for row in largest.tolist()]
        found.append(tuple(tuple((known[number], count) for number, count in one if count) for one in moments))
    return found


def _counted(archs: np.ndarray) -> list[dict[str, list[Counts]]]:
    """Return the operators of some architectures' networks, by view, of one, two and three cells a stage."""
    space, found = get_space("nasbench201"), []
    for arch in archs:
        graphs = [space.graph(arch, replace(COUNTED, N=n)) for n in CELLS]
        found.append({view: [dict(run(graph).counts) for graph in graphs] for view, run in VIEWS.items()})
    return found
