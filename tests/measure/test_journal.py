"""The journal: what is written stays, what was cut goes, what belongs to another measurement is refused."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import Any

import pytest

from hwnas_surrogate.errors import DataFileError, MeasurementError
from hwnas_surrogate.measure.journal import Journal

SETTINGS: dict[str, Any] = {"space": "nasbench201", "repeats": 6, "device": {"name": "cpu", "batch": 1}}
INFO = {"environment": {"cpu": "a"}}
ENTRIES = [{"pass": 0, "arch": f"arch {number}", "ns": [number, 2]} for number in range(4)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.parquet.journal"


def append(journal: Journal, *entries: dict[str, Any]) -> None:
    for entry in entries:
        journal.append(**entry)


def write(path: Path, *entries: dict[str, Any]) -> None:
    with Journal(path, SETTINGS, INFO) as journal:
        append(journal, *entries)


def written(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_new_journal_holds_its_header_then_its_entries(path: Path) -> None:
    with Journal(path, SETTINGS, INFO) as journal:
        assert written(path) == [{"settings": SETTINGS, "info": INFO}]
        append(journal, *ENTRIES[:2])
        append(journal, ENTRIES[2])
        assert written(path)[1:] == journal.entries == ENTRIES[:3]  # on the disk before it is closed
        assert journal.info == INFO


def test_it_makes_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "journal"
    write(path)
    assert len(written(path)) == 1


def test_an_empty_file_is_a_new_journal(path: Path) -> None:
    path.touch()
    write(path)
    assert len(written(path)) == 1


def test_it_resumes_with_what_was_written_and_the_first_info(path: Path) -> None:
    write(path, *ENTRIES[:2])
    before = path.read_bytes()
    with Journal(path, {**SETTINGS}, {"environment": {"cpu": "b"}}) as again:
        assert again.entries == ENTRIES[:2]
        assert again.info == INFO
        assert path.read_bytes() == before
        append(again, ENTRIES[2])
    with Journal(path, SETTINGS, INFO) as last:
        assert last.entries == ENTRIES[:3]


def test_a_cut_last_line_is_dropped_wherever_it_was_cut(path: Path) -> None:
    write(path, *ENTRIES[:2])
    raw = path.read_bytes()
    last = raw.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(last, len(raw)):
        path.write_bytes(raw[:end])
        with Journal(path, SETTINGS, INFO) as journal:
            assert journal.entries == ENTRIES[:1]
            append(journal, ENTRIES[3])
        assert written(path)[1:] == [ENTRIES[0], ENTRIES[3]]


def test_one_writer_at_a_time(path: Path) -> None:
    with Journal(path, SETTINGS, INFO) as journal:
        with pytest.raises(MeasurementError, match="another process is measuring into"):
            Journal(path, SETTINGS, INFO)
        append(journal, ENTRIES[0])
    with Journal(path, SETTINGS, INFO) as again:
        assert again.entries == ENTRIES[:1]


@pytest.mark.parametrize(
    ("settings", "different"),
    [
        ({**SETTINGS, "repeats": 7}, "repeats"),
        ({**SETTINGS, "repeats": 7, "space": "fbnet"}, "repeats, space"),
        ({**SETTINGS, "device": {"name": "cpu", "batch": 2}}, "device"),
        ({**SETTINGS, "added": 1}, "added"),
        ({"space": "nasbench201", "device": SETTINGS["device"]}, "repeats"),
    ],
)
def test_other_settings_are_refused_and_named(path: Path, settings: dict[str, Any], different: str) -> None:
    write(path, ENTRIES[0])
    before = path.read_bytes()
    with pytest.raises(MeasurementError, match=rf"\(different: {different}\)"):
        Journal(path, settings, INFO)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        b"PAR1\x00\x01\n\xff",
        b"some notes\n",
        b'{"other": 1}\n',
        b"[1, 2]\n",
        b"3\n",
        b'{"settings": {}}\n',
        b'{"settings": [1], "info": {}}\n',
        b'{"settings": {}, "info": {}}\nbroken {\n{}\n',
        b"no newline at all",
    ],
)
def test_a_foreign_file_is_refused_and_kept(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DataFileError, match="is not the journal of a measurement"):
        Journal(path, SETTINGS, INFO)
    assert path.read_bytes() == content


def test_a_folder_of_that_name_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(DataFileError, match=r"can't write .*directory"):
        Journal(path, SETTINGS, INFO)


def test_a_full_disk_is_told_and_keeps_the_earlier_lines(path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(path, SETTINGS, INFO) as journal:
        append(journal, *ENTRIES[:2])
        # No file may grow past half of the next line.
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, hard))
        try:
            with pytest.raises(DataFileError, match=r"can't write .* What was measured before is kept"):
                append(journal, ENTRIES[2])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert journal.entries == ENTRIES[:2]
        assert b"arch 2" not in path.read_bytes()[: path.read_bytes().rfind(b"\n")]
    with Journal(path, SETTINGS, INFO) as again:
        assert again.entries == ENTRIES[:2]
        append(again, ENTRIES[2])
    assert written(path)[1:] == ENTRIES[:3]


def test_a_full_disk_at_the_first_line(path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    path.symlink_to(full)
    with pytest.raises(DataFileError, match="No space left"):
        Journal(path, SETTINGS, INFO)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataFileError, match="can't write"):
        Journal(tmp_path / "file" / "journal", SETTINGS, INFO)
