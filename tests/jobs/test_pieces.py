"""Finished pieces: of the same work and code only, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwnas_surrogate.errors import DataFileError, InvalidInputError
from hwnas_surrogate.jobs import Pieces, pieces


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Pieces(tmp_path / "deep" / "pieces.jsonl", "a table", 3) as kept:
        kept.keep(("device", 1), 0.1)
        kept.keep(("device", 2), None)
    return tmp_path / "deep" / "pieces.jsonl"


def test_pieces_are_read_again(path: Path) -> None:
    with Pieces(path, "a table", 3) as kept:
        assert kept["device", 1] == 0.1
        assert ("device", 2) in kept
        assert kept["device", 2] is None
        assert ("device", 3) not in kept


@pytest.mark.parametrize("work", [("a table", 4), ("another table", 3), ()])
def test_pieces_of_other_work_do_not_count(path: Path, work: tuple[object, ...]) -> None:
    with Pieces(path, *work) as kept:
        assert ("device", 1) not in kept
        kept.keep(("device", 1), 0.2)
    with Pieces(path, "a table", 3) as kept:
        assert kept["device", 1] == 0.1


def test_pieces_of_other_code_do_not_count(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "source_version", lambda: "0.0.9+abcdef")
    with Pieces(path, "a table", 3) as kept:
        assert ("device", 1) not in kept


def test_a_piece_that_was_cut_short_is_done_again(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])
    with Pieces(path, "a table", 3) as kept:
        assert ("device", 1) in kept
        assert ("device", 2) not in kept


def test_a_changed_file_is_refused_and_kept(path: Path) -> None:
    before = path.read_bytes().replace(b"0.1", b"0.9")
    path.write_bytes(before)
    with pytest.raises(DataFileError, match=r"line 2 of .*pieces.jsonl is not as it was written"):
        Pieces(path, "a table", 3)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"latency\n5.0\n", b'{"settings":{},"info":{}}\n'])
def test_another_file_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "costs.csv"
    path.write_bytes(content)
    with pytest.raises(DataFileError, match="choose another"):
        Pieces(path)
    assert path.read_bytes() == content


def test_two_runs_do_not_write_one_file(path: Path) -> None:
    with Pieces(path), pytest.raises(InvalidInputError, match=r"another process works into .*: wait for it"):
        Pieces(path)


def test_the_version_names_the_code() -> None:
    version, _, digest = pieces.source_version().partition("+")
    assert version.count(".") == 2
    assert len(digest) == 12
