"""The journal: what is written stays, what was cut goes, what belongs to another measurement is refused."""

from __future__ import annotations

import json
import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hwnas_surrogate.errors import DataFileError, InvalidInputError, MeasurementError
from hwnas_surrogate.measure.journals import journal_path
from hwnas_surrogate.runner.journal import Journal

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
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(len(line.pop("check")) == 8 for line in lines)
    return lines


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
        b'{"settings": {}, "info": {}}\n{"seconds": {}}\n',  # of a version without checksums
        b"[" * 10**6 + b"\n",
        b"no newline at all",
    ],
)
def test_a_foreign_file_is_refused_and_kept(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=f"line 1 of {path} is not the header of a journal.*Move the file away"):
        Journal(path, SETTINGS, INFO)
    assert path.read_bytes() == content


def damages(lines: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the number of the line that must be named, and damaged lines."""
    for number in range(1, len(lines) + 1):
        before, line, after = lines[: number - 1], lines[number - 1], lines[number:]
        if after:  # lines lost at the end are no damage
            yield number, [*before, *after]
            yield number, [*before, after[0], line, *after[1:]]
        yield number + 1, [*before, line, line, *after]
        changed = json.loads(line)
        for key in changed:
            yield number, [*before, json.dumps({**changed, key: "x"}).encode(), *after]
            yield number, [*before, json.dumps({k: v for k, v in changed.items() if k != key}).encode(), *after]
        yield number, [*before, line.replace(b"{", b'{"pass":1,', 1), *after]
        yield number, [*before, re.sub(rb"\d+", b"9" * 5000, line, count=1), *after]
        yield number, [*before, line[: len(line) // 2], *after]
        yield number, [*before, b"", *after]
        yield number, [*before, b"\0" * len(line), *after]
        for place in range(0, len(line), 7):
            yield number, [*before, line[:place] + bytes([line[place] ^ 1]) + line[place + 1 :], *after]


def test_every_damaged_line_is_noticed_and_the_lines_before_it_can_be_kept(path: Path) -> None:
    write(path, *ENTRIES)
    lines = path.read_bytes().splitlines()
    count = 0
    for number, damaged in damages(lines):
        content = b"\n".join(damaged) + b"\n"
        path.write_bytes(content)
        with pytest.raises(DataFileError, match=f"^line {number} of {path} is not "):
            Journal(path, SETTINGS, INFO)
        assert path.read_bytes() == content
        count += 1
        if number > 1:  # what the message advises
            path.write_bytes(b"\n".join(damaged[: number - 1]) + b"\n")
            with Journal(path, SETTINGS, INFO) as journal:
                assert journal.entries == ENTRIES[: number - 2]
                append(journal, *ENTRIES[number - 2 :])
            assert path.read_bytes().splitlines() == lines
    assert count > 100


def test_lines_lost_at_the_end_are_written_again(path: Path) -> None:
    write(path, *ENTRIES)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for kept in range(1, len(lines)):
        path.write_bytes(b"".join(lines[:kept]))
        write(path, *ENTRIES[kept - 1 :])
        assert path.read_bytes() == whole


def test_a_cut_header_is_written_again(path: Path) -> None:
    write(path)
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        write(path)
        assert path.read_bytes() == whole


def test_a_line_without_end_is_not_read_into_memory(path: Path) -> None:
    write(path, ENTRIES[0])
    with path.open("ab") as file:
        file.truncate(1 << 34)
    with pytest.raises(DataFileError, match=f"line 3 of {path} is not as it was written"):
        Journal(path, SETTINGS, INFO)


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
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
    try:
        with pytest.raises(DataFileError, match="can't write"):
            Journal(path, SETTINGS, INFO)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.stat().st_size == 20
    write(path, ENTRIES[0])
    assert written(path)[1:] == ENTRIES[:1]


def test_a_pipe_of_that_name_is_refused(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(DataFileError, match="it is a device or a pipe"):
        Journal(path, SETTINGS, INFO)


class TestPath:
    def test_beside_the_table(self, tmp_path: Path) -> None:
        (tmp_path / "link.parquet").symlink_to("folder/mine.parquet")
        assert journal_path(tmp_path / "mine.parquet") == tmp_path / "mine.parquet.journal"
        assert journal_path(tmp_path / "link.parquet") == tmp_path / "folder" / "mine.parquet.journal"

    @pytest.mark.parametrize("kind", ["device", "pipe", "link"])
    def test_what_can_not_be_resumed(self, tmp_path: Path, kind: str) -> None:
        path = Path("/dev/null") if kind == "device" else tmp_path / "mine.parquet"
        if kind == "pipe":
            os.mkfifo(path)
        if kind == "link":
            path.symlink_to("/dev/null")
        with pytest.raises(InvalidInputError, match=f"{path} is a pipe or a device.*choose a file"):
            journal_path(path)

    def test_another_format(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInputError, match=r"must end in .parquet"):
            journal_path(tmp_path / "mine.csv")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataFileError, match="can't write"):
        Journal(tmp_path / "file" / "journal", SETTINGS, INFO)
