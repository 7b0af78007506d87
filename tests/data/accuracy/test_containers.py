"""Published containers: all of them are read alike; damaged, cut off and foreign ones are refused."""

from __future__ import annotations

import bz2
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas_surrogate.data.accuracy.containers import Heading, architecture_file, read_benchmark, read_whole
from hwnas_surrogate.errors import DataFileError
from tests.data.accuracy.databases import CONTAINERS, database, with_numpy, write

ARCHS = [f"|none~0|+|none~0|none~1|+|none~0|none~1|{op}~2|" for op in "abcdefgh"]


def read(path: Path) -> tuple[Heading, dict[int, Any]]:
    taken: dict[int, Any] = {}

    def begin() -> Callable[[int, Any], None]:
        taken.clear()
        return taken.__setitem__

    return read_benchmark(path, begin), taken


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    return with_numpy(database(ARCHS[:3], epochs=5))


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_container_holds_the_same(kind: str, content: dict[str, Any], tmp_path: Path) -> None:
    heading, taken = read(write(content, tmp_path / "benchmark", kind))
    assert heading == Heading(ARCHS[:3], frozenset({0, 1, 2}))
    assert [type(by_hp) for by_hp in taken.values()] == [dict] * 3
    names = {"less": "12", "full": "200"}
    for index, by_hp in content["arch2infos"].items():
        renamed = {names[hp]: results for hp, results in by_hp.items()} if kind == "folder" else by_hp
        assert taken[index] == renamed


def test_architectures_may_share_values(tmp_path: Path) -> None:
    content = database(ARCHS, epochs=2, seeds=(777,))
    shared = {0: 1.0, 1: 2.0}
    for index in (5, 6, 7):
        content["arch2infos"][index]["full"]["all_results"]["cifar10", 777]["train_times"] = shared
    _, taken = read(write(content, tmp_path / "shared.pth", "old"))
    assert taken == content["arch2infos"]


def test_what_was_not_evaluated_is_left_out(content: dict[str, Any], tmp_path: Path) -> None:
    heading, taken = read(write({**content, "evaluated_indexes": [0, 2, 9]}, tmp_path / "file", "zip"))
    assert heading.evaluated == {0, 2}
    assert sorted(taken) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["old", "zip", "pbz2", "4"])
def test_a_file_that_is_cut_off_is_refused(kind: str, content: dict[str, Any], tmp_path: Path) -> None:
    path = write(content, tmp_path / "file", kind)
    raw = path.read_bytes()
    for end in (1, 4, 30, len(raw) // 2, len(raw) - 200, len(raw) - 1):
        path.write_bytes(raw[:end])
        with pytest.raises(DataFileError, match=r"Nothing in it was executed") as raised:
            read(path)
        if end >= len(raw) // 2:
            assert "cut off" in str(raised.value)


def test_a_changed_byte_of_a_zip_is_found(content: dict[str, Any], tmp_path: Path) -> None:
    path = write(content, tmp_path / "file", "zip")
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"\x47", len(raw) // 2) + 3] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DataFileError, match=r"damaged \(Bad CRC"):
        read(path)


def test_code_is_never_run(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "run",)

    for place in ("meta_archs", "arch2infos"):
        hostile = {"meta_archs": ARCHS, "arch2infos": {}, "evaluated_indexes": set(), place: Attack()}
        for kind in ("zip", "old", "pbz2", "2"):
            with pytest.raises(DataFileError, match=r"'pathlib.Path.touch'|'builtins.getattr'|which is refused"):
                read(write(hostile, tmp_path / "file", kind))
    assert not (tmp_path / "run").exists()


WRONG: dict[str, tuple[Any, str]] = {
    "another root": ([1], "it must hold meta_archs"),
    "other keys": ({"a": 1}, "it holds a"),
    "no archs": ({"meta_archs": [], "arch2infos": {}}, "meta_archs are not a list of different architectures"),
    "archs twice": ({"meta_archs": ["a", "a"], "arch2infos": {}}, "different architectures"),
    "infos are a list": ({"meta_archs": ["a"], "arch2infos": [1]}, "its arch2infos are no dict"),
    "an index is a text": ({"meta_archs": ["a"], "arch2infos": {"a": {}}}, "architecture 'a', which is no index"),
    "indices are texts": ({"meta_archs": ["a"], "arch2infos": {"a": {}, "b": {}}}, "is no index"),
    "no hp": ({"meta_archs": ["a"], "arch2infos": {0: {}}}, "results of architecture 0 are not by hyper-parameter"),
    "an index too large": ({"meta_archs": ["a"], "arch2infos": {1: {"12": {}}}}, "architecture 1, and 1 architectures"),
    "evaluated": (
        {"meta_archs": ["a"], "arch2infos": {0: {"12": {}}}, "evaluated_indexes": ["x"]},
        "evaluated_indexes are no indices",
    ),
}


@pytest.mark.parametrize(("value", "message"), WRONG.values(), ids=WRONG.keys())
def test_other_layouts_are_refused(value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=message):
        read(write(value, tmp_path / "file", "2"))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="there is no file"):
        read(tmp_path / "none.pth")
    (tmp_path / "empty").touch()
    with pytest.raises(DataFileError, match="it is empty or of another kind"):
        read(tmp_path / "empty")
    (tmp_path / "text").write_text("architecture,accuracy\n", encoding="utf-8")
    with pytest.raises(DataFileError, match=r"begins with b'arch'. .* Expected NAS-Bench-201's"):
        read(tmp_path / "text")
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("a.txt", "b")
    with pytest.raises(DataFileError, match="not one that PyTorch's save wrote"):
        read(tmp_path / "zip")
    with zipfile.ZipFile(tmp_path / "deflated", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1000))
    with pytest.raises(DataFileError, match=r"has no stored data\.pkl"):
        read(tmp_path / "deflated")


def test_other_folders_are_refused(content: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"holds no meta\.pickle\.pbz2"):
        read(tmp_path)
    folder = write(content, tmp_path / "folder", "folder")
    file = folder / "000001.pickle.pbz2"
    raw = file.read_bytes()
    file.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(DataFileError, match=r"000001\.pickle\.pbz2: it is cut off"):
        read(folder)
    file.write_bytes(bz2.compress(pickle.dumps([1])))
    with pytest.raises(DataFileError, match="architecture 1 are not by hyper-parameter"):
        read(folder)


@pytest.mark.parametrize("kind", ["old", "zip"])
def test_weights_are_read_as_tensors(kind: str, tmp_path: Path) -> None:
    base = torch.arange(24, dtype=torch.float32)
    weights = {
        "whole": base.reshape(4, 6),
        "transposed": base.reshape(4, 6).T,
        "part": base[3:7],
        "half": torch.ones(3, dtype=torch.float16),
        "count": torch.tensor(5),
        "empty": torch.empty(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2, dtype=torch.float64)),
    }
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    value = {"weights": weights, "state": network.state_dict(), "figure": np.float64(2.5)}
    found = read_whole(write(value, tmp_path / "file.pth", kind))
    assert found["figure"] == 2.5
    for name, tensor in weights.items():
        assert found["weights"][name].dtype == tensor.dtype
        assert torch.equal(found["weights"][name], tensor)
    assert list(found["state"]) == list(network.state_dict())
    network.load_state_dict(found["state"])


@pytest.mark.parametrize("kind", ["old", "zip"])
def test_weights_that_are_cut_off_are_refused(kind: str, tmp_path: Path) -> None:
    path = write({"weights": {"w": torch.ones(1000)}}, tmp_path / "file.pth", kind)
    raw = path.read_bytes()
    for end in (len(raw) - 1, len(raw) - 1000, len(raw) // 2):
        path.write_bytes(raw[:end])
        with pytest.raises(DataFileError, match="cut off"):
            read_whole(path)


def test_weights_beyond_their_storage_are_refused(tmp_path: Path) -> None:
    path = write({"w": torch.ones(6)}, tmp_path / "file.pth", "old")
    raw = path.read_bytes()
    assert raw.count(b"K\x00K\x06\x85") == 1  # offset 0, shape (6,)
    path.write_bytes(raw.replace(b"K\x00K\x06\x85", b"K\x00K\x07\x85"))
    with pytest.raises(DataFileError, match="a tensor that does not fit into its storage"):
        read_whole(path)


def test_the_file_of_an_architecture_has_one_of_the_published_names(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"no results of architecture 7: none of 000007-FULL\.pth, 7-FULL\.pth"):
        architecture_file(tmp_path, 7)
    (tmp_path / "7-FULL.pth").touch()
    assert architecture_file(tmp_path, 7).name == "7-FULL.pth"
    (tmp_path / "000008.pickle.pbz2").touch()
    assert architecture_file(str(tmp_path), 8).name == "000008.pickle.pbz2"
