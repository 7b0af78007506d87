"""What each command may import: a lookup must not wait for the libraries that training needs."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable, write_parquet
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import SurrogateSuite

HEAVY = {"joblib", "matplotlib", "moocore", "numpy", "onnx", "onnxruntime", "openvino", "optuna", "pandas"}
HEAVY |= {"plotly", "pyarrow", "safetensors", "scipy", "skops", "sklearn", "torch", "xgboost", "zigzag"}
HEAVY |= {"sklearn.model_selection"}
TABLES = frozenset({"numpy", "pandas", "pyarrow"})
RANKS = TABLES | {"scipy"}
MODELS = RANKS | {"joblib", "safetensors", "sklearn"}
FITTED = MODELS | {"sklearn.model_selection"}
NETWORKS = TABLES | {"torch"}

ALLOWED = {
    "--help": frozenset[str](),
    "--version": frozenset[str](),
    "train --help": frozenset[str](),
    "data info --help": frozenset[str](),
    "query 0": TABLES,
    "query --all --csv": TABLES,
    "query 0 --data table.parquet --json": TABLES,
    f"query {','.join('8' * 22)} --data blocks": TABLES,
    "data info table.parquet": TABLES,
    "data info": TABLES | {"scipy"},  # kendall tau of repeated runs
    "import lines.csv --unit ms -o imported.parquet": TABLES,
    "correlate --data table.parquet": RANKS | {"joblib"},  # networks of a table may be captured in processes
    "correlate --data table.parquet --intervals": RANKS | {"joblib"},
    "predict 0 -s ridge": MODELS,
    "predict 0 -s ridge --interval 90": FITTED,
    "predict 0 -s trees": MODELS | {"sklearn.model_selection", "xgboost"},
    "adapt table.parquet --target a -o adapted": FITTED,
    "train --data table.parquet --model ridge -o trained": FITTED,
    "evaluate --data table.parquet --model ridge -o evaluated": FITTED,
    "suggest -n 2 -o suggested.csv": FITTED,
    "report --data table.parquet -o page.html": FITTED | {"plotly", "xgboost"},
    "export 0 -o exported --format torch": NETWORKS,
    "measure --help": frozenset[str](),
    "measure 0 --passes 1 --repeats 2 --max-repeats 2 -o measured.parquet": NETWORKS | {"scipy"},
    "simulate --help": frozenset[str](),
    "simulate 0 --dataset nowhere -o simulated.parquet": NETWORKS,
    "data convert official.pickle converted": TABLES,
    "data download --folder downloaded --url http://127.0.0.1:9/none": TABLES,
}


FAILING = {"simulate 0 --dataset nowhere -o simulated.parquet": "unknown NAS-Bench-201 dataset or config 'nowhere'"}
FAILING |= {"data download --folder downloaded --url http://127.0.0.1:9/none": "no answer from http://127.0.0.1:9"}
"""Commands that would take minutes, or a network, and how they end instead."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imports")
    space = get_space("nasbench201")
    archs = space.at(np.arange(60))
    macs = space.batch(archs).macs / 1e6
    table = CostTable(space, archs, np.column_stack([macs, macs[::-1]]), ["a/latency", "b/latency"])
    write_parquet(table, folder / "table.parquet")
    SurrogateSuite(model="ridge").fit_table(table).save(folder / "ridge")
    SurrogateSuite(model="xgboost", calibrate=False).fit_table(table).save(folder / "trees")
    lines = [f"{text},{cost}" for text, cost in zip(space.format_all(archs), macs, strict=True)]
    (folder / "lines.csv").write_text("\n".join(["arch_str,board", *lines, ""]))
    configs = {"name": "infer.tiny", "C": 16, "N": 5, "num_classes": 10}
    cells = [{**configs, "arch_str": text} for text in space.format_all(space.enumerate())]
    costs = {"edgegpu_latency": np.arange(1.0, len(cells) + 1), "config": cells}
    (folder / "official.pickle").write_bytes(pickle.dumps({"nasbench201": {"cifar10": costs}}, protocol=2))
    return folder


RUN = """
import importlib, json, os, sys, tempfile
from hwnas_surrogate.cli import main

for command, allowed in json.loads(sys.argv[1]):
    for name in allowed:
        importlib.import_module(name)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if not child:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            try:
                main(command.split())
            finally:
                print("\\n", *sys.modules, file=sys.stderr, flush=True)
                os._exit(bool(sys.exc_info()[1].code))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        err.seek(0)
        print(json.dumps([command, code, err.read()]), flush=True)
"""
"""Run each command in a child that begins with the libraries that it may load: loading them takes longest."""

WITH_TORCH = [command for command, allowed in ALLOWED.items() if "torch" in allowed]
WITHOUT = [command for command in ALLOWED if command not in WITH_TORCH]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.parametrize("commands", [WITHOUT, WITH_TORCH], ids=["without torch", "with torch"])
def test_a_command_loads_what_it_needs_alone(commands: list[str], folder: Path) -> None:
    commands = sorted(commands, key=lambda command: len(ALLOWED[command]))
    sets = [ALLOWED[command] for command in commands]
    assert all(fewer <= more for fewer, more in pairwise(sets)), "what one command may load, all later ones may too"
    arguments = json.dumps([(command, sorted(ALLOWED[command])) for command in commands])
    parent = subprocess.run(
        [sys.executable, "-c", RUN, arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert parent.returncode == 0, parent.stderr
    told = {command: (code, text) for command, code, text in map(json.loads, parent.stdout.splitlines())}
    assert list(told) == commands
    for command, (code, text) in told.items():
        assert bool(code) == (command in FAILING), (command, text)
        assert FAILING.get(command, "") in text
    loaded = {command: set(text.splitlines()[-1].split()) for command, (_, text) in told.items()}
    assert all("hwnas_surrogate" in modules for modules in loaded.values())
    beyond = {command: modules & HEAVY - ALLOWED[command] for command, modules in loaded.items()}
    assert {command: modules for command, modules in beyond.items() if modules} == {}
