"""Pickles are executed by a machine that knows plain data only, one architecture at a time."""

from __future__ import annotations

import io
import pickle
import struct
import tracemalloc
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.data.accuracy.memo import Forgotten
from hwnas_surrogate.data.accuracy.stand_ins import Refused
from hwnas_surrogate.data.accuracy.stream import PickleMachine
from hwnas_surrogate.data.accuracy.window import Window
from tests.data.accuracy.databases import database

ARCHS = [f"|none~0|+|none~0|none~1|+|none~0|none~1|{op}~2|" for op in "abcdefgh"]
BY_EPOCH = {epoch: epoch / 7 for epoch in range(300)}


def load(raw: bytes, **options: Any) -> Any:
    return PickleMachine(Window(io.BytesIO(raw).read), **options).load()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, -2, 2**40, -(2**62), 1.5, True, False, None, "text", "\xe9\u20ac", ()]},
        {("cifar10", 777): (1, (2.5, "b"), [3])},
        [BY_EPOCH, {f"x-valid@{epoch}": value for epoch, value in BY_EPOCH.items()}],
        {"ends with NUL \0": 1.0, "b\0": 2.0, "c\0": 3.0, "d\0": 4.0, "e\0": 5.0, "f\0": 6.0},
        OrderedDict(a=1.0, b=2.0, c=3.0, d=4.0, e=5.0),
        {1, 2, 3},
        {"figures": [np.float64(2.5), np.float32(0.5), np.int64(3)]},
        [float("nan"), float("inf")],
        {},
        "x" * 70_000,
    ],
    ids=["leaves", "tuples", "runs", "nul", "ordered", "set", "numpy", "not-finite", "empty", "long"],
)
def test_plain_data_is_what_python_reads(value: Any, protocol: int) -> None:
    raw = pickle.dumps(value, protocol)
    assert repr(load(raw)) == repr(_plain(pickle.loads(raw)))


def _plain(value: Any) -> Any:
    if isinstance(value, OrderedDict):
        return dict(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def test_shared_values_stay_shared_within_an_architecture() -> None:
    keys = [f"x-valid@{epoch}" for epoch in range(250)]
    value = [dict.fromkeys(keys, 1.5), dict.fromkeys(keys, 2.5)]
    found = load(pickle.dumps([*value, value[0]], 2))
    assert found[:2] == value
    assert found[0] is found[2]


def test_architectures_are_handed_out_one_by_one() -> None:
    content = database(ARCHS)
    taken: dict[int, Any] = {}
    for protocol in (2, 4):
        root = load(pickle.dumps(content, protocol), on_item=taken.__setitem__)
        assert root == {**content, "arch2infos": {}}
        assert taken == content["arch2infos"]
        taken.clear()


def test_values_that_architectures_share_are_found() -> None:
    content = database(ARCHS)
    shared: dict[int, float] = {epoch: float(epoch) for epoch in range(3)}
    for index in (5, 7):  # not in the first ones, of which everything is kept
        for training in content["arch2infos"][index]["full"]["all_results"].values():
            training["train_times"] = shared
    raw = pickle.dumps(content, 2)
    taken: dict[int, Any] = {}
    with pytest.raises(Forgotten):
        load(raw, on_item=taken.__setitem__)
    collecting = PickleMachine(Window(io.BytesIO(raw).read), on_item=lambda index, value: None, collect=True)
    collecting.load()
    assert len(collecting.wanted) >= 1
    taken.clear()
    load(raw, on_item=taken.__setitem__, staying=frozenset(collecting.wanted))
    assert taken == content["arch2infos"]


def test_memory_does_not_grow_with_the_number_of_architectures(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("window._CHUNK", "window.MARGIN", "stream.MARGIN"):
        monkeypatch.setattr(f"hwnas_surrogate.data.accuracy.{name}", 2**16)
    one = pickle.dumps(database(ARCHS[:1], epochs=20, seeds=(777,))["arch2infos"][0])
    peaks = []
    for count in (10, 30):
        infos = {number: pickle.loads(one) for number in range(count)}
        read = io.BytesIO(pickle.dumps({"meta_archs": [], "arch2infos": infos}, 2)).read
        del infos
        tracemalloc.start()
        PickleMachine(Window(read), on_item=lambda index, value: None).load()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]  # the texts that stay are few bytes


HOSTILE = {
    "a call of os.system": b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.",
    "by stack": b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    "an object": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
    "a global that is called as data": b"\x80\x02K\x01K\x02\x85R.",
    "an extension": b"\x80\x02\x82\x01.",
    "a text pickle": b"(lp0\nI1\na.",
    "an old protocol": b"\x80\x01].",
    "a long integer": b"\x80\x02\x8a\xff" + b"\x01" * 255 + b".",
    "integers of one hash": b"\x80\x02}\x8a\x09" + (8 * (2**61 - 1) + 2**64).to_bytes(9, "little") + b"Ns.",
    "a long text that is claimed": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "nested tuples as keys": b"\x80\x02}" + b")" + b"\x85" * 1000 + b"K\x01s.",
    "a list as a key": b"\x80\x02}]K\x01s.",
    "values remembered out of order": b"\x80\x02]q\x05h\x05.",
    "a value that is remembered twice": b"\x80\x02]q\x00]q\x00.",
    "a value that is not there": b"\x80\x02h\x05.",
    "no mark": b"\x80\x02}u.",
    "items of a number": b"\x80\x02K\x01K\x02a.",
    "an odd number of items": b"\x80\x02}(K\x01u.",
    "a mark that is left": b"\x80\x02(K\x01.",
    "two values": b"\x80\x02K\x01K\x02.",
    "a dtype of objects": b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00O8K\x00K\x01\x87R.",
    "a set of lists": b"\x80\x04\x8f(]\x90.",
    "a persistent text": b"\x80\x02X\x01\x00\x00\x00aQ.",
    "an unknown storage": b"\x80\x02(X\x07\x00\x00\x00storagecos\nsystem\nX\x01\x00\x00\x000K\x01tQ.",
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_pickles_are_refused(raw: bytes) -> None:
    with pytest.raises(Refused):
        load(raw)


@pytest.mark.parametrize("content", [b"}", b"]", b"K\x01", b"\x8f"], ids=["dicts", "lists", "numbers", "sets"])
def test_values_without_end_are_refused_in_bounded_memory(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas_surrogate.data.accuracy.window._CHUNK", 2**16)
    monkeypatch.setattr("hwnas_surrogate.data.accuracy.stream._LARGEST_PART", 2**20)
    chunk = content * 2**14
    begun = iter([b"\x80\x04"])
    with pytest.raises(Refused, match="takes more than 1,048,576 bytes"):
        PickleMachine(Window(lambda size: next(begun, chunk))).load()


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_is_cut_off_is_refused_wherever_it_ends(protocol: int) -> None:
    raw = pickle.dumps({"a": [1.5, 300, "text", ("b", 7)], "runs": {i: i / 3 for i in range(9)}}, protocol)
    for end in range(2, len(raw) - 1):
        with pytest.raises(Refused):
            load(raw[:end])
    with pytest.raises(Refused, match="cut off: it ends within the pickle, after"):
        load(raw[:-1])


def test_changed_bytes_give_data_or_are_refused() -> None:
    raw = pickle.dumps(database(ARCHS[:1], epochs=2, seeds=(777,)), 2)
    rng = np.random.default_rng(1)
    refused = 0
    for at in rng.integers(2, len(raw), 200).tolist():
        changed = bytearray(raw)
        changed[at] = int(rng.integers(256))
        try:
            load(bytes(changed), on_item=lambda index, value: None)
        except Refused:
            refused += 1
    assert refused > 50


def test_runs_across_the_windows_borders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas_surrogate.data.accuracy.window._CHUNK", 1000)
    value = [{epoch: struct.unpack(">d", b"G" * 8)[0] for epoch in range(200)} for _ in range(300)]
    assert load(pickle.dumps(value, 2)) == value
