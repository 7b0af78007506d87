"""The targets: each reads bytes as one of the package's readers does, and uses what it gets.

A target returns, or raises one of the package's errors. Anything else is a finding: another exception, a crash, more
than 200 MB of memory, or more than ten seconds.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import pickle
import resource
import shutil
import struct
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from hwnas_surrogate.capture.graph_store import GraphCacheWarning, GraphStore, encoded
from hwnas_surrogate.config_utils import configure2str, load_config
from hwnas_surrogate.data import load_table, read_measurements, read_tool_files
from hwnas_surrogate.data.accuracy import AccuracyTable, convert_accuracy
from hwnas_surrogate.data.official import read_official
from hwnas_surrogate.data.store import write_parquet
from hwnas_surrogate.data.unpickle import read_pickle
from hwnas_surrogate.errors import HWNASError, InvalidGraphError
from hwnas_surrogate.evaluation import Evaluation, evaluate
from hwnas_surrogate.graphs import Graph
from hwnas_surrogate.models import MLP, AdditiveExact, BoostedRidge, ConstantCost, LogRidge, PhysicsGP, TreeClassifier
from hwnas_surrogate.nas_201_api import ArchResults, ResultsCount
from hwnas_surrogate.nas_201_models.checkpoints import read_checkpoint
from hwnas_surrogate.networks import build_network, to_onnx
from hwnas_surrogate.prediction import predict_file
from hwnas_surrogate.runner.journal import Journal
from hwnas_surrogate.search.quality import read_quality
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite
from hwnas_surrogate.trainers.weights import from_bytes, to_bytes

__all__ = ["TARGETS", "Finding", "Target", "check"]

MOST_MEMORY = 200 * 2**20
MOST_SECONDS = 10.0
_SPACE = get_space("nasbench201")
_SMALLEST = "C1-N1-k2-3x8x8"
_STRING = "|avg_pool_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|nor_conv_3x3~1|none~2|"


class Finding(Exception):
    """An input took too much memory or time, or was read as something that can't be used."""


@dataclass(frozen=True, slots=True)
class Target:
    """A reader, and inputs to start from.

    Parameters
    ----------
    run : callable
        Takes bytes.
    seeds : callable
        Returns inputs that the reader accepts, or nearly, and makes what the target needs: call it first.
    """

    run: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]


def check(target: Target, data: bytes) -> bool:
    """Run a target; return whether it accepted the bytes.

    Raises
    ------
    Finding, or any other exception
        If it did neither accept nor refuse them as it should.
    """
    before, began = _peak(), time.process_time()
    try:
        with warnings.catch_warnings(action="ignore"):
            target.run(data)
        accepted = True
    except HWNASError:
        accepted = False
    more, seconds = _peak() - before, time.process_time() - began
    if more > MOST_MEMORY or seconds > MOST_SECONDS:
        raise Finding(f"{len(data)} bytes took {more >> 20} MB of memory and {seconds:.1f} s")
    return accepted


def _peak() -> int:
    """Return the most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@cache
def _folder() -> Path:
    """Return a folder for the files to read, in memory where there is one; it goes with the process."""
    shared = Path("/dev/shm")
    holder = tempfile.TemporaryDirectory(prefix="fuzz-", dir=shared if shared.is_dir() else None)
    _held.append(holder)
    return Path(holder.name)


_held: list[tempfile.TemporaryDirectory[str]] = []


@contextmanager
def _file(data: bytes, suffix: str) -> Iterator[Path]:
    path = _folder() / f"input{suffix}"
    path.write_bytes(data)
    yield path


def _reading(read: Callable[[Path], object], suffix: str) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        with _file(data, suffix) as path:
            read(path)

    return run


# -- saved surrogates -------------------------------------------------------------------------------------


@cache
def _fitted() -> dict[str, Any]:
    """Return fitted models whose weights are read, by name; small ones."""
    from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor, RandomForestRegressor
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVR
    from xgboost import XGBRegressor

    rows, costs = _rows(), _costs()
    models: list[Any] = [
        AdditiveExact(), BoostedRidge(n_trees=4), LogRidge(n_trees=0), MLP(hidden=(3,), steps=5), PhysicsGP(),
        XGBRegressor(n_estimators=2, max_depth=3), RandomForestRegressor(2, max_depth=2, random_state=0),
        GradientBoostingRegressor(n_estimators=2, max_depth=2, random_state=0),
        HistGradientBoostingRegressor(max_iter=2, max_leaf_nodes=4), SVR(), make_pipeline(StandardScaler(), Ridge()),
    ]  # fmt: skip
    found = {type(model).__name__: model.fit(rows, costs) for model in models}
    found["ConstantCost"] = ConstantCost().fit(rows, np.full(len(costs), 2.0))
    found["TreeClassifier"] = TreeClassifier(n_trees=3, max_depth=2).fit(rows, costs > np.median(costs))
    return found


@cache
def _rows() -> pd.DataFrame:
    values = np.random.default_rng(0).integers(0, 3, (80, 5)).astype(float)
    return pd.DataFrame(values, columns=["onehot:a", "onehot:b", "physics_all:macs", "physics_all:layers", "x:c"])


@cache
def _costs() -> Any:
    values = _rows().to_numpy()
    noise = np.random.default_rng(1).uniform(size=len(values))
    return 1 + 3 * (values[:, 0] * values[:, 1] > 1) + values[:, 2] + 0.1 * noise


def _described(which: bool) -> list[tuple[dict[str, Any], bytes]]:
    """Return the descriptions and weights of models saved by skops, or of the others."""
    saved = [to_bytes(model, np.asarray(_rows().columns, object)) for model in _fitted().values()]
    return [(said, data) for said, data in saved if (said["format"] == "skops") == which]


def _weights(is_skops: bool) -> Target:
    """Return the target of weights: the first byte chooses the model whose weights the others are."""

    @cache
    def described() -> list[tuple[dict[str, Any], bytes]]:
        return _described(is_skops)

    def run(data: bytes) -> None:
        said, _ = described()[data[0] % len(described())] if data else described()[0]
        content = _with_right_sums(data[1:]) if is_skops else data[1:]
        model = from_bytes(said, content, np.asarray(_rows().columns, object))
        predict = getattr(model, "predict_proba", model.predict)
        predicted = np.asarray(predict(_rows()))
        if len(predicted) != len(_rows()) or not np.isfinite(predicted).all():
            raise Finding(f"the weights of a {said['class']} predict {predicted!r:.100}")

    return Target(run, lambda: [bytes([place]) + data for place, (_, data) in enumerate(described())])


def _with_right_sums(data: bytes) -> bytes:
    """Return a zip file of members as they are, with the right checksums: else every change would be noticed."""
    changed = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(changed, "w") as new:
            for member in old.infolist():
                name, more = struct.unpack_from("<HH", data, member.header_offset + 26)
                start = member.header_offset + 30 + name + more
                new.writestr(member.filename, data[start : start + member.file_size])
    except (zipfile.BadZipFile, LookupError, NotImplementedError, OverflowError, ValueError, struct.error):
        return data
    return changed.getvalue()


@cache
def _saved() -> Path:
    """Return a folder of a small suite."""
    archs = _SPACE.sample(40, 0)
    costs = 2 + (archs == 4).sum(axis=1) + np.random.default_rng(0).uniform(size=40)
    suite = SurrogateSuite(encoder="counts", model="ridge", random_state=0)
    return suite.fit(archs, {"a/latency": costs, "b/energy": costs**2}).save(_folder() / "suite")


def _manifest(data: bytes) -> None:
    """Read bytes as the manifest of a suite, with the right hash if they are JSON."""
    folder = _folder() / "changed"
    if not folder.exists():
        shutil.copytree(_saved(), folder)
    try:
        said = json.loads(data)
        said.pop("sha256", None)
        said["sha256"] = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
        data = json.dumps(said).encode()
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass  # read as it is
    (folder / "manifest.json").write_bytes(data)
    suite = SurrogateSuite.load(folder)
    for target in suite:
        surrogate = suite[target]
        predicted = surrogate.predict(_SPACE.sample(3, 0), surrogate.configs_[0])
        if predicted.shape != (3,) or not np.isfinite(predicted).all():
            raise Finding(f"the manifest's surrogate predicts {predicted!r:.100}")


def _manifest_seeds() -> list[bytes]:
    said = json.loads((_saved() / "manifest.json").read_bytes())
    return [json.dumps(said, separators=(",", ":")).encode()]


# -- tables and measurements ------------------------------------------------------------------------------


def _csv_seeds() -> list[bytes]:
    texts = [
        "architecture,device,value\n0,pi,1.5\n1,pi,2\n",
        f"architecture,device,value,metric,unit,config\n{_STRING},pi,1.5,latency,ms,cifar10\n1,pi,2,energy,mJ,cifar100\n",
        f"arch_str,raspi4_latency_ms,fpga energy (mJ)\n{_STRING},1,\n{_STRING.replace('none', 'skip_connect')},nan,2\n",
        'op_index,a_latency_us\n0 1 2 3 4 0,1500\n"[1, 1, 2, 3, 4, 0]",3\n',
        'architecture,pi/latency\n"0,1,2,3,4,0",2\n',
        "\ufeffarchitecture;device;value\n0;pi;1,5\n",
        "architecture,accuracy\n0,93.1\n17,91\n",
        "architecture,config\n0,cifar10\n1,C8-N2-k10-3x32x32\n",
        f"{_STRING}\n0\n1 2 3 4 0 1\n",
    ]
    return [text.encode() for text in texts]


def _csv(data: bytes) -> None:
    """Read bytes as measurements and as qualities; what is wrong for the one may be right for the other."""
    with _file(data, ".csv") as path:
        refused: list[HWNASError] = []
        for read in (read_measurements, read_quality):
            try:
                read(path)
            except HWNASError as error:
                refused.append(error)
        if len(refused) == 2:
            raise refused[0]


@cache
def _small() -> SurrogateSuite:
    return SurrogateSuite.load(_saved())


def _predicted(data: bytes) -> None:
    """Predict the architectures of a file, whose suffix the first byte chooses."""
    suffix = (".csv", ".txt", ".parquet")[data[0] % 3] if data else ".csv"
    with _file(data[1:], suffix) as path:
        predict_file(_small(), path, _folder() / "predicted.csv", extrapolate=True)


def _tables() -> list[bytes]:
    path = _folder() / "table.parquet"
    table = load_table(space="nasbench201")
    found = []
    for part in (table.rows(range(3)), load_table(space="fbnet")):
        write_parquet(part, path)
        found.append(path.read_bytes())
    frame = pd.DataFrame({"arch_str": [_STRING, _STRING], "pi_latency_ms": [1.0, 2.0], "config": ["cifar10", None]})
    frame.to_parquet(path)
    return [*found[:1], path.read_bytes(), *(data for data in found[1:] if len(data) < 50_000)]


def _metadata(data: bytes) -> None:
    """Read a table whose metadata these bytes are."""
    columns: dict[str, Any] = {f"op_{place:02d}": np.array([0, 1], np.int8) for place in range(6)}
    columns |= {"config": np.array([0, 0], np.int32), "a/latency": np.array([1.5, np.nan])}
    table = pa.table(columns).replace_schema_metadata({b"hwnas_surrogate": data})
    path = _folder() / "metadata.parquet"
    pq.write_table(table, path)
    load_table(path)


def _metadata_seeds() -> list[bytes]:
    header = {
        "version": 2, "kind": "costs", "space": "nasbench201", "configs": ["cifar10"], "reasons": ["crashed"],
        "targets": [{"device": "a", "metric": "latency", "unit": "ms"}], "meta": {"source": "here", "runs": 3},
        "devices": [{"name": "a", "hardware": "CPU", "runtime": "torch", "batch": 1, "source": "measured"}],
    }  # fmt: skip
    return [json.dumps(header).encode()]


def _npz_seeds() -> list[bytes]:
    path, found = _folder() / "seed.npz", []
    for write in (np.savez, np.savez_compressed):
        write(path, op_index=np.array([[0, 1, 2, 3, 4, 0], [1] * 6]), pi_latency=np.array([1.0, 2.0]))
        found.append(path.read_bytes())
    return found


def _pickles() -> list[bytes]:
    blocks = {"1_conv1_0": 0.5, "2_conv1_1": 2}
    values: list[Any] = [
        {"fbnet": {"raspi4_latency": blocks, "fpga_energy": blocks}},
        {"nasbench201": {"cifar10": {"raspi4_latency": np.arange(3.0), "config": [{"arch_str": _STRING}]}}},
        [1, "text", b"bytes", None, True, {"a": (1, 2), 3: [np.float64(2), np.arange(4, dtype=">i2")]}],
        np.array([[{"a": 1}, None], ["b", 2.5]], object),
    ]
    return [pickle.dumps(value, protocol) for value in values for protocol in (2, 4, 5)]


def _pickle(data: bytes) -> None:
    with _file(data, ".pickle") as path:
        read_pickle(path)
        read_official(path)


# -- result files of tools --------------------------------------------------------------------------------


_SAMPLES = Path(__file__).resolve().parents[1] / "tests" / "data" / "tool_files" / "samples"
_EXPORTED: dict[str, Any] = {
    "version": 1, "space": "nasbench201",
    "networks": [
        {"file": f"network-{row:05d}.onnx", "architecture": str(row), "config": _SMALLEST} for row in range(3)
    ],
}  # fmt: skip


def _tool(data: bytes) -> None:
    """Read bytes as what a tool wrote about a network that was exported."""
    manifest = _folder() / "exported.json"
    manifest.write_text(json.dumps(_EXPORTED))
    (_folder() / "network-00000").mkdir(exist_ok=True)
    path = _folder() / "network-00000" / "result"
    path.write_bytes(data)
    table = read_tool_files(path, "board", manifest=manifest)
    write_parquet(table, _folder() / "of_tool.parquet")


def _tool_seeds() -> list[bytes]:
    """Return the samples of the tests, one of each form, and one that is compressed."""
    found = [path.read_bytes() for path in sorted(_SAMPLES.iterdir())]
    return [*found, gzip.compress((_SAMPLES / "torch-trace.json").read_bytes(), mtime=0)]


def _exported(data: bytes) -> None:
    """Read bytes as the manifest of exported networks, or as a CSV file in its place, as the first byte says."""
    manifest = _folder() / ("exported.csv" if data[:1] == b"c" else "exported.json")
    manifest.write_bytes(data[1:])
    path = _folder() / "trtexec.log"
    path.write_bytes((_SAMPLES / "trtexec.log").read_bytes())
    read_tool_files(path, "board", manifest=manifest)


def _exported_seeds() -> list[bytes]:
    lines = f"file,architecture,config\nnetwork-00000.onnx,5,{_SMALLEST}\nother.onnx,{_STRING},\n"
    return [b"j" + json.dumps(_EXPORTED).encode(), b"c" + lines.encode(), b"cfile,model\nnetwork-00000.onnx,a.onnx\n"]


# -- journals, evaluations, graphs ------------------------------------------------------------------------


_SETTINGS = {"space": "nasbench201", "archs": ["0", "1"]}


def _journal(data: bytes) -> None:
    with _file(data, ".journal") as path, Journal(path, _SETTINGS, {"host": "here"}) as journal:
        journal.append(number=len(journal.entries))


def _journal_seeds() -> list[bytes]:
    path = _folder() / "seed.journal"
    path.unlink(missing_ok=True)
    with Journal(path, _SETTINGS, {"host": "here"}) as journal:
        journal.append(event="measured", number=0, times=[1.5, 2.5])
        journal.append(event="failed", number=1, reason="crashed")
    return [path.read_bytes()]


_KEY = "0" * 32


def _captured(data: bytes) -> None:
    store = GraphStore(_folder(), "Fuzzed", "0" * 16)
    store.path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphCacheWarning)
        if not store.get([_KEY]):
            raise InvalidGraphError("no graph is stored.")
    store.add({_KEY: b""})


def _captured_seeds() -> list[bytes]:
    store = GraphStore(_folder(), "Fuzzed", "0" * 16)
    store.add({_KEY: encoded(_SPACE.graph(_STRING, _SMALLEST))})
    return [store.path.read_bytes()]


def _evaluations() -> list[bytes]:
    table = load_table(space="nasbench201").select("eyeriss-like/latency", "cifar10").rows(range(30))
    path = _folder() / "evaluation.json"
    evaluate(table, Surrogate(encoder="counts", model="ridge"), n_train=4, n_test=3).write(path)
    return [path.read_bytes()]


def _models() -> list[bytes]:
    """Return models of a search space, and one whose shapes are computed."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Shape", ["x"], ["size"]),
        helper.make_node("Slice", ["size", "zero", "two"], ["some"]),
        helper.make_node("Concat", ["some", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["flat"]),
        helper.make_node("Relu", ["flat"], ["y"]),
    ]
    numbers = {"zero": [0], "two": [2], "rest": [-1]}
    stored = [helper.make_tensor(name, TensorProto.INT64, [1], value) for name, value in numbers.items()]
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 3, 4])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 12])
    computed = helper.make_model(helper.make_graph(nodes, "computed", [image], [result], stored))
    network = build_network(_STRING, _SMALLEST, random_state=0)
    return [to_onnx(network, (3, 8, 8)).SerializeToString(), computed.SerializeToString()]


# -- accuracies, checkpoints and configs of the benchmark -------------------------------------------------


def _accuracies(data: bytes) -> None:
    """Convert bytes as a published file of accuracies, and read the table."""
    with _file(data, ".pth") as path:
        found = convert_accuracy(path, _folder() / "accuracy.parquet")
    _ask(found)


def _ask(path: Path) -> None:
    table = AccuracyTable(path)
    for hp in table.hps:
        for dataset in table.datasets(hp):
            table.frame(dataset, hp)
            table.infos(hp, dataset)


@cache
def _accuracy_seeds() -> list[bytes]:
    """Return the smallest files of PyTorch's two containers: one architecture, one dataset, two epochs."""
    (arch,) = _SPACE.format_all([0])
    sets = ("x-valid", "ori-test")
    config = {"channel": 16, "num_cells": 5, "arch_str": arch, "class_num": 10}
    trained = ResultsCount("cifar10-valid", None, None, None, 0.5, 20.0, config, 777, 2, [0.01])
    trained.update_train_info(*({epoch: 50.0 + epoch for epoch in range(2)} for _ in range(4)))
    trained.update_eval(*({f"{name}@{epoch}": 40.0 for name in sets for epoch in range(2)} for _ in range(3)))
    results = ArchResults(0, arch)
    results.update("cifar10-valid", 777, trained)
    infos = {0: {"less": results.state_dict(), "full": results.state_dict()}}
    benchmark = {"meta_archs": [arch], "arch2infos": infos, "evaluated_indexes": {0}}
    files = []
    for is_zip in (True, False):
        held = io.BytesIO()
        torch.save(benchmark, held, _use_new_zipfile_serialization=is_zip)
        files.append(held.getvalue())
    return files


def _accuracy_tables() -> list[bytes]:
    with _file(_accuracy_seeds()[0], ".pth") as path:
        return [convert_accuracy(path, _folder() / "seed-accuracy.parquet").read_bytes()]


def _checkpoints() -> list[bytes]:
    content = {
        "model-config": {"name": "infer.tiny", "C": 4, "arch_str": _STRING},
        "base-model": {"stem.0.weight": torch.zeros(2, 3)},
        "args": argparse.Namespace(seed=1),
        "accuracy": np.float64(93.5),
    }
    held = io.BytesIO()
    torch.save(content, held)
    return [held.getvalue()]


def _config(data: bytes) -> None:
    with _file(data, ".config") as path:
        configure2str(load_config(path, {"extra": 1}, None), None)


_CONFIG = b'{"scheduler": ["str", "cos"], "lr": ["float", "0.1"], "epochs": ["int", "12"], "nesterov": ["bool", "1"]}'


TARGETS: dict[str, Target] = {
    "accuracies": Target(_accuracies, _accuracy_seeds),
    "accuracy": Target(_reading(_ask, ".parquet"), _accuracy_tables),
    "checkpoint": Target(_reading(read_checkpoint, ".pth"), _checkpoints),
    "config": Target(_config, lambda: [_CONFIG]),
    "pickle": Target(_pickle, _pickles),
    "manifest": Target(_manifest, _manifest_seeds),
    "arrays": _weights(is_skops=False),
    "skops": _weights(is_skops=True),
    "tool": Target(_tool, _tool_seeds),
    "exported": Target(_exported, _exported_seeds),
    "csv": Target(_csv, _csv_seeds),
    "predict": Target(_predicted, lambda: [bytes([place]) + data for data in _csv_seeds() for place in (0, 1)]),
    "parquet": Target(_reading(load_table, ".parquet"), _tables),
    "metadata": Target(_metadata, _metadata_seeds),
    "npz": Target(_reading(load_table, ".npz"), _npz_seeds),
    "journal": Target(_journal, _journal_seeds),
    "captured": Target(_captured, _captured_seeds),
    "evaluation": Target(_reading(Evaluation.read, ".json"), _evaluations),
    "onnx": Target(_reading(Graph.from_onnx, ".onnx"), _models),
    "graph": Target(
        lambda data: Graph.from_json(data.decode(errors="surrogateescape")),
        lambda: [_SPACE.graph(_STRING, _SMALLEST).to_json().encode()],
    ),
}
