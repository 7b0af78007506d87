"""The commands that write, their inputs, and what their outputs are to a reader."""

from __future__ import annotations

import hashlib
import json
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from hwnas_surrogate.cli import main
from hwnas_surrogate.data import CostTable, write_parquet
from hwnas_surrogate.data.blocks import block_keys
from hwnas_surrogate.spaces import FBNetConfig, get_space

SPACE = get_space("nasbench201")
CONFIG = "C4-N1-k10-3x8x8"

State = dict[str, str]
"""The steps of an output, such as its files, and a hash of each one's content."""


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files(output: Path) -> State:
    """Return the state of files that are written one after the other: each one is a step."""
    names = sorted(str(path.relative_to(output)) for path in output.rglob("*") if path.is_file())
    return {name: _hash(output / name) for name in names if not name.startswith(".") and "/." not in name}


def together(output: Path) -> State:
    """Return the state of files that are written in one step; those still to be moved count as moved."""
    ready = output / ".together.ready"
    found = files(output) | (files(ready) if ready.is_dir() else {})
    return {"all": json.dumps(found)} if found else {}


def surrogates(output: Path) -> State:
    """Return the state of saved surrogates: the manifest, and the weights that it names."""
    manifest = output / "manifest.json"
    if not manifest.exists():
        return {}
    text = manifest.read_text()
    names = [name for name in files(output) if name != manifest.name and name in text]
    return {"all": json.dumps([_hash(manifest), *(_hash(output / name) for name in names)])}


@dataclass(frozen=True, slots=True)
class Writer:
    """A command that writes.

    Parameters
    ----------
    arguments : tuple of str
        Of the command; ``{v}`` is the version of the inputs, a or b, and the output is written to the folder ``out``.
    state : callable
        Returns the output's state.
    repeats : bool, default=True
        Whether the command may be run again over its own output.
    exact : bool, default=True
        Whether equal inputs give equal bytes. If not, ``reader`` says whether an output is whole.
    journals : tuple of str, default=()
        The patterns of files that hold work to resume, which may differ.
    reader : tuple of str, default=()
        A command that reads the output.
    """

    arguments: tuple[str, ...]
    state: Callable[[Path], State] = files
    repeats: bool = True
    exact: bool = True
    journals: tuple[str, ...] = ()
    reader: tuple[str, ...] = ()

    def is_journal(self, name: str) -> bool:
        """Whether a file of the output holds work to resume."""
        return any(fnmatch(name, pattern) for pattern in self.journals)

    def run(self, version: str) -> None:
        """Run the command; scores tell how long a fit took, which would differ from run to run."""
        if self.exact:
            time.perf_counter = lambda: 0.0
        main([argument.format(v=version) for argument in self.arguments])


def _writer(text: str, **how: object) -> Writer:
    return Writer(tuple(text.split()), **how)  # type: ignore[arg-type]


WRITERS = {
    "import": _writer("import {v}.csv -o out/table.parquet"),
    "convert": _writer("data convert {v}.pickle out", state=together),
    "predict-csv": _writer("predict --input {v}.csv -s suite -o out/predicted.csv"),
    "predict-parquet": _writer("predict --input {v}.csv -s suite -o out/predicted.parquet"),
    "train": _writer(
        "train --data {v}.parquet --model ridge --n-test 5 -o out", state=surrogates, journals=("unfinished/*",)
    ),
    "adapt": _writer("adapt {v}.csv -o out", state=surrogates),
    "evaluate": _writer(
        "evaluate --data {v}.parquet --model ridge --n-train 20 --seeds 1 --no-intervals -o out",
        journals=("*.journal",),
    ),
    "learning-curve": _writer(
        "evaluate --data {v}.parquet --model ridge --protocol learning-curve --sizes 10,20 --seeds 1 --no-intervals "
        "-o out",
        journals=("*.journal",),
    ),
    "layers": _writer("layers 0 -s suite -o out/layers.png", repeats=False),
    "report": _writer("report --data {v}.parquet -o out/report.html"),
    "suggest": _writer("suggest -n 2 --given {v}.csv -o out/form.csv", repeats=False),
    "export": _writer(f"export 0 1 --dataset {CONFIG} -o out", state=together, repeats=False),
    "tune": _writer(
        "train --data {v}.parquet --model boosted --n-test 5 --tune 1s -o out",
        state=surrogates, repeats=False, exact=False, journals=("tuning/*.jsonl", "unfinished/*"),
        reader=("predict", "0", "-s", "out"),
    ),
    "measure": _writer(
        f"measure 0 --dataset {CONFIG} --passes 1 --repeats 2 --max-repeats 2 -o out/table.parquet",
        exact=False, journals=("*.journal",), reader=("data", "info", "out/table.parquet"),
    ),
}  # fmt: skip


def make_inputs(folder: Path) -> None:
    """Write two versions of every input, and surrogates to predict with."""
    for seed, version in enumerate("ab"):
        rng = np.random.default_rng(seed)
        archs = SPACE.sample(60, seed)
        table = CostTable(SPACE, archs, rng.uniform(1, 2, (60, 1)), ["board/latency"])
        write_parquet(table, folder / f"{version}.parquet")
        lines = zip(SPACE.format_all(archs[:8]), table.costs[:8, 0].tolist(), strict=True)
        text = "".join(f"{arch},{cost!r}\n" for arch, cost in lines)
        (folder / f"{version}.csv").write_text(f"architecture,board_latency_ms\n{text}")
        stem, blocks, head = block_keys(FBNetConfig())
        costs = {key: float(rng.uniform(1, 2)) for key in (stem, *head, *(key for row in blocks for key in row))}
        content = {
            "nasbench201": {"cifar10": {"raspi4_latency": rng.uniform(1, 2, len(SPACE.enumerate()))}},
            "fbnet": {"raspi4_latency": costs},
        }
        (folder / f"{version}.pickle").write_bytes(pickle.dumps(content, protocol=2))
    main(["train", "--data", str(folder / "a.parquet"), "--model", "ridge", "-o", str(folder / "suite")])
