"""Numpy's scalars by epoch are read many at once, wherever they stand in the memo."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.data.accuracy.scalars import read_scalars
from hwnas_surrogate.data.accuracy.stand_ins import Refused
from hwnas_surrogate.data.accuracy.stream import PickleMachine
from hwnas_surrogate.data.accuracy.window import Window


def load(raw: bytes) -> Any:
    return PickleMachine(Window(io.BytesIO(raw).read)).load()


def figures(keys: list[Any], seed: int) -> dict[Any, np.float64]:
    return dict(zip(keys, np.random.default_rng(seed).standard_normal(len(keys)), strict=True))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_scalars_are_read_behind_any_number_of_values(protocol: int) -> None:
    keys = [f"x-valid@{epoch}" for epoch in range(12)]
    for before in [*range(0, 130), 250, 300, 70_000]:
        value = [
            [f"{number}" for number in range(before)],
            figures(list(range(8)), before),
            figures(list(range(300, 308)), before + 1),
            figures(keys, before + 2),
            figures(keys, before + 3),
        ]
        found = load(pickle.dumps(value, protocol))
        assert found == value
        assert {type(number) for part in found[1:] for number in part.values()} == {float}


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_scalars_that_are_shared_stay_so(protocol: int) -> None:
    first = figures(list(range(300)), 0)
    value = [list(range(300)), first, {key: first[key] for key in reversed(first)}, [*first.values()]]
    assert load(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", [2, 4])
def test_most_scalars_are_read_in_runs(protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    n_read = 0

    def counting(*arguments: Any) -> Any:
        nonlocal n_read
        found = read_scalars(*arguments)
        n_read += 0 if found is None else len(found.values)
        return found

    monkeypatch.setattr("hwnas_surrogate.data.accuracy.stream.read_scalars", counting)
    load(pickle.dumps([figures(list(range(200)), seed) for seed in range(20)], protocol))
    assert n_read > 3900


def test_runs_that_are_damaged_are_refused_or_read_one_by_one() -> None:
    raw = pickle.dumps([figures([f"x@{epoch}" for epoch in range(20)], seed) for seed in range(3)], 2)
    rng = np.random.default_rng(0)
    n_refused = 0
    for at in rng.integers(2, len(raw) - 1, 300).tolist():
        changed = bytearray(raw)
        changed[at] = int(rng.integers(256))
        try:
            found = load(bytes(changed))
        except Refused:
            n_refused += 1
            continue
        assert isinstance(found, list)
    assert n_refused > 100


@pytest.mark.parametrize("dtype", [np.float32, np.int64, ">f8"])
def test_other_dtypes_are_read_one_by_one(dtype: Any) -> None:
    value = [{epoch: np.array(epoch / 2).astype(dtype)[()] for epoch in range(9)} for _ in range(3)]
    for protocol in (2, 4):
        assert load(pickle.dumps(value, protocol)) == value
