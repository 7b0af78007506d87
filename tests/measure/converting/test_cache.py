"""The cache of converted networks: what it returns is what was kept, whatever happened to its files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hwnas_surrogate.errors import DataFileError
from hwnas_surrogate.measure.converting.cache import ConversionCache, conversion_key


@pytest.fixture
def cache(tmp_path: Path) -> ConversionCache:
    return ConversionCache(tmp_path / "cache", most_bytes=250)


def key(number: int) -> str:
    return conversion_key(b"program %d" % number, "tflite", {})


def kept(cache: ConversionCache, number: int, content: bytes, when: int = 0) -> Path:
    source = cache.folder.parent / "source"
    source.write_bytes(content)
    before = set(cache.folder.glob("*"))
    cache.keep(key(number), source)
    (path,) = set(cache.folder.glob("*")) - before
    os.utime(path, (when, when))
    return path


def test_what_is_kept_is_returned(cache: ConversionCache, tmp_path: Path) -> None:
    got = tmp_path / "got"
    assert not cache.fetch(key(1), got)
    kept(cache, 1, b"one")
    kept(cache, 2, b"two")
    assert cache.fetch(key(1), got)
    assert got.read_bytes() == b"one"
    assert not cache.fetch(key(3), got)


def test_everything_that_decides_is_in_the_key() -> None:
    of = (b"program", "tflite", {"torch": "2", "litert-torch": "1"})
    same = conversion_key(*of[:2], dict(reversed(of[2].items())))
    others = [(b"program2", *of[1:]), (of[0], "tflite-int8", of[2]), (*of[:2], {**of[2], "torch": "3"})]
    keys = {conversion_key(*of), same, *(conversion_key(*other) for other in others)}
    assert len(keys) == 4


@pytest.mark.parametrize("content", [b"onE", b"", b"one and more"], ids=["changed", "empty", "longer"])
def test_damaged_files_do_not_count(cache: ConversionCache, tmp_path: Path, content: bytes) -> None:
    kept(cache, 1, b"one").write_bytes(content)
    assert not cache.fetch(key(1), tmp_path / "got")
    assert not (tmp_path / "got").exists()
    assert not list(cache.folder.iterdir())


def test_it_is_bounded_and_the_longest_unused_go_first(cache: ConversionCache, tmp_path: Path) -> None:
    for number in (1, 2):
        kept(cache, number, b"x" * 100, when=number)
    assert cache.fetch(key(1), tmp_path / "got")  # used now
    kept(cache, 3, b"x" * 100, when=3)
    assert [cache.fetch(key(number), tmp_path / "got") for number in (1, 2, 3)] == [True, False, True]


def test_other_files_are_left_alone(cache: ConversionCache) -> None:
    assert cache.clear() == 0
    kept(cache, 1, b"one")
    (cache.folder / "notes.txt").write_text("mine")
    assert cache.clear() == 3
    assert [path.name for path in cache.folder.iterdir()] == ["notes.txt"]


def test_a_folder_that_can_not_be_written(cache: ConversionCache, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    (tmp_path / "source").write_text("one")
    with pytest.raises(DataFileError, match="can't write"):
        cache.keep(key(1), tmp_path / "source")
