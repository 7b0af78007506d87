"""Captured graphs on disk: nothing is lost, nothing damaged is believed."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from hwnas_surrogate.capture.graph_store import GraphCacheWarning, GraphStore, cache_dir, decoded, encoded
from hwnas_surrogate.errors import DataFileError, InvalidGraphError
from hwnas_surrogate.graphs import Graph, GraphBuilder

SOURCE = "0123456789abcdef" * 4


def graph(width: int) -> Graph:
    build = GraphBuilder()
    return build.graph(build.linear(build.input((1, 4)), width))


def key(number: int) -> str:
    return f"{number:032x}"


def content(*numbers: int) -> dict[str, bytes]:
    return {key(number): encoded(graph(number)) for number in numbers}


@pytest.fixture
def store(tmp_path: Path) -> GraphStore:
    """Return a store of the networks 1, 2 and 3."""
    made = GraphStore(tmp_path / "cache", "Space", SOURCE)
    made.add(content(1, 2, 3))
    return made


def again(store: GraphStore) -> GraphStore:
    return GraphStore(store.folder, "Space", SOURCE)


def numbers(store: GraphStore, upto: int = 9) -> list[int]:
    found = store.get(map(key, range(1, upto)))
    assert all(found[held] == graph(int(held, 16)) for held in found)
    return sorted(int(held, 16) for held in found)


def test_what_was_added_is_found(store: GraphStore) -> None:
    assert numbers(store) == numbers(again(store)) == [1, 2, 3]
    store.add(content(4))
    assert numbers(store) == [1, 2, 3, 4]
    assert store.path.read_bytes().count(b"\n") == 4


def test_graphs_are_read_back_to_the_bit() -> None:
    made = decoded(encoded(graph(5)))
    assert made.to_json() == graph(5).to_json()
    for damaged in (b"", b"***", encoded(graph(5))[:-8], b"aGVsbG8="):
        with pytest.raises(InvalidGraphError):
            decoded(damaged)


def test_nothing_is_found_before_anything_was_added(tmp_path: Path) -> None:
    assert numbers(GraphStore(tmp_path / "none", "Space", SOURCE)) == []
    assert not (tmp_path / "none").exists()


def test_two_processes_lose_nothing(store: GraphStore) -> None:
    other = again(store)
    assert numbers(other) == [1, 2, 3]
    for number in range(4, 8):
        (store, other)[number % 2].add(content(number))
    assert numbers(store) == numbers(other) == [1, 2, 3, 4, 5, 6, 7]


def test_a_line_that_a_kill_cut_short_is_captured_again(store: GraphStore) -> None:
    data = store.path.read_bytes()
    store.path.write_bytes(data[:-30])
    cut = again(store)
    assert numbers(cut) == [1, 2]
    cut.add(content(4))
    with pytest.warns(GraphCacheWarning, match=r"1 line\(s\) of .* were damaged and are removed"):
        assert numbers(again(store)) == [1, 2, 4]
    assert numbers(cut) == [1, 2, 4]


@pytest.mark.parametrize("place", [0, 5, 9, 20, 41, 60, -2])
def test_a_damaged_line_is_noticed_and_removed(store: GraphStore, place: int) -> None:
    lines = store.path.read_bytes().splitlines(keepends=True)
    damaged = bytearray(lines[1])
    damaged[place] ^= 1
    store.path.write_bytes(lines[0] + bytes(damaged) + lines[2])
    with pytest.warns(GraphCacheWarning, match="captured again"):
        assert numbers(again(store)) == [1, 3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert numbers(again(store)) == [1, 3]
    store.add(content(2))
    assert numbers(again(store)) == numbers(store) == [1, 2, 3]


def test_a_file_of_something_else_is_emptied(store: GraphStore) -> None:
    store.path.write_bytes(b"\0" * 100_000 + b"\nhello\n")
    with pytest.warns(GraphCacheWarning, match=r"2 line\(s\)"):
        assert numbers(again(store)) == []


def test_a_cleared_store_is_empty_for_all(store: GraphStore) -> None:
    other = again(store)
    assert numbers(other) == [1, 2, 3]
    store.clear()
    assert numbers(store) == numbers(other) == []
    other.add(content(2))
    assert numbers(store) == [2]


def test_files_of_a_few_earlier_sources_are_kept(tmp_path: Path) -> None:
    (tmp_path / "Space-of-others-0123456789abcdef.graphs").touch()
    for number in range(6):
        GraphStore(tmp_path, "Space", f"{number:016x}").add(content(number + 1))
    kept = {path.name for path in tmp_path.iterdir()}
    assert len(kept) == 5
    assert "Space-of-others-0123456789abcdef.graphs" in kept
    assert f"Space-{5:016x}.graphs" in kept


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = GraphStore(tmp_path / "file", "Space", SOURCE)
    for method in (lambda: store.add(content(1)), lambda: store.get([key(1)])):
        with pytest.raises(DataFileError, match="file"):
            method()


def test_the_folder_is_that_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWNAS_CACHE", str(tmp_path / "here"))
    assert cache_dir() == tmp_path / "here"
    monkeypatch.delenv("HWNAS_CACHE")
    assert cache_dir().name == "hwnas-surrogate"
