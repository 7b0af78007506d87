"""Files are replaced at once or not at all."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hwnas_surrogate.errors import DataFileError
from hwnas_surrogate.files import file_stem, replacing


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "table.parquet"
    path.write_text("old")
    return path


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def alone(path: Path) -> bool:
    return [entry.name for entry in path.parent.iterdir()] == [path.name]


def fail_half_way(path: Path, error: BaseException) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise error


def test_the_new_file_takes_the_place_of_the_old_at_the_end(old: Path) -> None:
    with replacing(old) as temporary:
        temporary.write_text("new")
        assert temporary.parent == old.parent  # on the same disk, or the rename would copy
        assert old.read_text() == "old"
    assert old.read_text() == "new"
    assert alone(old)


def test_a_first_file_makes_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "new.bin"
    with replacing(str(path)) as temporary:
        temporary.write_bytes(b"\x00\xff")
        assert not path.exists()
    assert path.read_bytes() == b"\x00\xff"
    assert alone(path)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_in_the_block_keeps_the_old_file(old: Path, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        fail_half_way(old, error)
    assert caught.value is error
    assert old.read_text() == "old"
    assert alone(old)


def test_an_exception_in_the_block_leaves_no_first_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "new"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_decides_who_may_read(tmp_path: Path, umask: None, mask: int, mode: int) -> None:
    os.umask(mask)
    path = tmp_path / "new"
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert os.umask(mask) == mask


def test_an_os_error_says_what_to_check(old: Path) -> None:
    with pytest.raises(DataFileError, match=r"can't write .*table\.parquet: No space left.*untouched.*free space"):
        fail_half_way(old, OSError(28, "No space left on device"))
    assert old.read_text() == "old"
    assert alone(old)


def test_a_full_disk_keeps_the_old_file(old: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(DataFileError, match="can't write"), replacing(old) as temporary:
            temporary.write_bytes(bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert old.read_text() == "old"
    assert alone(old)


def test_a_folder_that_cannot_be_made(old: Path) -> None:
    with pytest.raises(DataFileError, match="can't write"), replacing(old / "below"):
        pytest.fail("there is nothing to write to")
    assert old.read_text() == "old"


def test_a_folder_of_that_name_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(DataFileError, match="can't write"), replacing(tmp_path / "taken") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "taken" / "inside").is_dir()
    assert alone(tmp_path / "taken")


def test_a_temporary_file_that_vanished_is_an_error(old: Path) -> None:
    with pytest.raises(DataFileError, match="can't write"), replacing(old) as temporary:
        temporary.unlink()
    assert old.read_text() == "old"


KILLED = """
import os, signal, sys
from hwnas_surrogate.files import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_leaves_the_old_file(old: Path) -> None:
    child = subprocess.run([sys.executable, "-c", KILLED, str(old)], check=False)
    assert child.returncode == -signal.SIGKILL
    assert old.read_text() == "old"
    # What a kill leaves beside it is hidden and does not stand in the way of the next one.
    assert all(entry.name.startswith(".") for entry in old.parent.iterdir() if entry != old)
    with replacing(old) as temporary:
        temporary.write_text("new")
    assert old.read_text() == "new"


@pytest.mark.parametrize("name", ["raspi4-latency", "a.b_c-1", "ü-latency", "a" * 120])
def test_plain_names_are_kept(name: str) -> None:
    assert file_stem(name) == name


def test_other_names_are_made_fit_for_files_and_stay_apart() -> None:
    names = ["my board", "my_board!", "my/board", "..\\board", "a\nb", "\ud800", *("a" * n for n in (121, 300, 301))]
    names += ["中" * 100, "中" * 101, "🙂" * 90]
    stems = [file_stem(name) for name in names]
    assert len(set(stems)) == len(stems)
    for stem in stems:
        assert len(stem.encode()) <= 120
        assert not set(stem) & set("/\\\n !")
