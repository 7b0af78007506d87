"""The recorded databases and calls, and synthetic databases of the published structure in every published container."""

from __future__ import annotations

import bz2
import json
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch

RECORDED = json.loads((Path(__file__).parent / "nas201_api.json").read_text(encoding="utf-8"))
SETS = {
    "cifar10-valid": ["x-valid", "ori-test"],
    "cifar10": ["ori-test"],
    "cifar100": ["x-valid", "x-test", "ori-test"],
    "ImageNet16-120": ["x-valid", "x-test", "ori-test"],
}
CLASSES = {"cifar10-valid": 10, "cifar10": 10, "cifar100": 100, "ImageNet16-120": 120}


def decoded(value: Any) -> Any:
    """Undo the encoding of keys, tuples and sets."""
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "__pairs__" in value:
        return {decoded(key): decoded(item) for key, item in value["__pairs__"]}
    if "__tuple__" in value:
        return tuple(decoded(item) for item in value["__tuple__"])
    if "__set__" in value:
        return {decoded(item) for item in value["__set__"]}
    return {key: decoded(item) for key, item in value.items()}


def recorded_201() -> Any:
    return decoded(RECORDED["database_201"])


def recorded_301() -> Any:
    return decoded(RECORDED["database_301"])


def trial(rng: np.random.Generator, arch: str, dataset: str, seed: int, epochs: int) -> dict[str, Any]:
    """Return the state of one training, of random figures."""

    def by_epoch() -> dict[int, float]:
        return dict(enumerate((rng.random(epochs) * 100).tolist()))

    def by_set() -> dict[str, float]:
        keys = [f"{name}@{epoch}" for name in SETS[dataset] for epoch in range(epochs)]
        return dict(zip(keys, (rng.random(len(keys)) * 100).tolist(), strict=True))

    return {
        "name": dataset,
        "net_state_dict": None,
        "train_acc1es": by_epoch(),
        "train_acc5es": by_epoch(),
        "train_losses": by_epoch(),
        "train_times": by_epoch(),
        "arch_config": {"channel": 16, "num_cells": 5, "arch_str": arch, "class_num": CLASSES[dataset]},
        "params": float(rng.random()),
        "flop": float(rng.random() * 100),
        "seed": seed,
        "epochs": epochs,
        "latency": rng.random(3).tolist(),
        "eval_names": list(SETS[dataset]),
        "eval_acc1es": by_set(),
        "eval_times": by_set(),
        "eval_losses": by_set(),
    }


def state(
    rng: np.random.Generator, index: int, arch: str, epochs: int, seeds: list[int], datasets: list[str] | None = None
) -> dict[str, Any]:
    """Return the state of an architecture's results."""
    names = datasets or list(SETS)
    return {
        "arch_index": index,
        "arch_str": arch,
        "all_results": {(name, seed): trial(rng, arch, name, seed, epochs) for name in names for seed in seeds},
        "dataset_seed": {name: list(seeds) for name in names},
        "clear_net_done": True,
    }


def database(archs: list[str], *, epochs: int = 3, seeds: tuple[int, ...] = (777, 888)) -> dict[str, Any]:
    """Return a database as NAS-Bench-201 has it: 2 epochs and one seed under `less`, more under `full`."""
    rng = np.random.default_rng(0)
    infos: dict[int, Any] = OrderedDict()
    for index, arch in enumerate(archs):
        full = state(rng, index, arch, epochs, list(seeds))
        infos[index] = OrderedDict(full=full, less=state(rng, index, arch, 2, [777]))
    return {"meta_archs": list(archs), "arch2infos": infos, "evaluated_indexes": set(infos)}


def with_numpy(content: dict[str, Any]) -> dict[str, Any]:
    """Return a database of which some figures are numpy's, as those of the published files."""
    for by_hp in content["arch2infos"].values():
        for results in by_hp.values():
            for training in results["all_results"].values():
                training["train_times"] = {key: np.float64(value) for key, value in training["train_times"].items()}
                training["flop"] = np.float64(training["flop"])
    return content


def write(content: dict[str, Any], path: Path, kind: str) -> Path:
    """Write a database in one of the published containers."""
    if kind == "zip":
        torch.save(content, path)
    elif kind == "old":
        torch.save(content, path, _use_new_zipfile_serialization=False)
    elif kind == "pbz2":
        with bz2.open(path, "wb") as file:
            pickle.dump(content, file, protocol=4)
    elif kind == "folder":
        path.mkdir()
        write({"meta_archs": content["meta_archs"]}, path / "meta.pickle.pbz2", "pbz2")
        for index, by_hp in content["arch2infos"].items():
            names = {"less": "12", "full": "200"}
            renamed = {names.get(hp, hp): results for hp, results in by_hp.items()}
            write(renamed, path / f"{index:06d}.pickle.pbz2", "pbz2")
    else:
        path.write_bytes(pickle.dumps(content, protocol=int(kind)))
    return path


CONTAINERS = ["old", "zip", "pbz2", "folder", "2", "3", "4", "5"]
