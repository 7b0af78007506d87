"""A made-up benchmark in the official file's layout: as content, as a pickle, converted to a folder."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.data import convert
from tests.data.reference import CLASSES, FBNET, FBNET_METRICS, METRICS, SIZE, all_keys, published_strings


def configs_of(dataset: str) -> list[dict[str, Any]]:
    classes = CLASSES[dataset]
    return [
        {"name": "infer.tiny", "C": 16, "N": 5, "arch_str": text, "num_classes": classes}
        for text in published_strings()
    ]


@pytest.fixture(scope="session")
def content() -> dict[str, Any]:
    """Return random values for all datasets, metrics and blocks; every fifth edgetpu latency is -1."""
    rng = np.random.default_rng(20)
    datasets: dict[str, Any] = {}
    for dataset in CLASSES:
        datasets[dataset] = {metric: rng.gamma(2.0, 3.0, SIZE) for metric in METRICS}
        datasets[dataset]["edgetpu_latency"][len(dataset) % 5 :: 5] = -1.0
        datasets[dataset]["config"] = configs_of(dataset)
    keys = [key for dataset in FBNET for key in all_keys(dataset)]
    blocks = {metric: {key: float(rng.gamma(2.0, 0.1)) for key in keys} for metric in FBNET_METRICS}
    return {"nasbench201": datasets, "fbnet": blocks}


@pytest.fixture(scope="session")
def pickle_file(content, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("official") / "benchmark.pickle"
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


@pytest.fixture(scope="session")
def folder(pickle_file, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    convert(pickle_file, folder)
    return folder
