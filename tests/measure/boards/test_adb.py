"""Phones over adb, with a stand-in for adb that runs everything on this host."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure.boards import adb, parse_board
from hwnas_surrogate.measure.boards.adb import AdbBoard
from tests.measure.boards.fake_adb import install, refuse


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the stand-in for adb, which is found first."""
    return install(tmp_path / "bin", monkeypatch, tool="#!/bin/sh\n")


@pytest.fixture
def phone(bin_folder: Path, tmp_path: Path) -> Iterator[AdbBoard]:
    with parse_board(f"adb://phone?folder={tmp_path}/data&benchmark_model={bin_folder}/tool") as board:
        assert isinstance(board, AdbBoard)
        board.check()
        yield board


def test_the_facts(phone, tmp_path):
    facts = phone.check()
    assert (facts.machine, facts.system, facts.python) == (os.uname().machine, os.uname().sysname, "")
    assert abs(facts.free - shutil.disk_usage(tmp_path).free) < 1 << 30
    assert phone.folder.startswith(f"{tmp_path}/data/hwnas-runner/")
    assert Path(phone.folder).is_dir()


def test_the_work_folder_is_removed(phone):
    folder = Path(phone.folder)
    phone.close()
    phone.close()
    assert not folder.exists()


def test_a_command_is_quoted(phone):
    done = phone.run(["sh", "-c", 'cat; echo "$0" >&2; exit 3', "a $(id) 'b'"], 10, b"input")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"input", b"a $(id) 'b'\n")


def test_a_command_that_takes_too_long(phone):
    with pytest.raises(MeasurementError, match=r"can't use board adb://phone: a command took longer than 0.1 s"):
        phone.run(["sleep", "30"], 0.1)


def test_files_and_folders_are_copied(phone, tmp_path):
    net = tmp_path / "a net"
    net.mkdir()
    (net / "x").write_text("1")
    (tmp_path / "-y").write_text("2")
    to = f"{phone.folder}/batch"
    phone.push([net, tmp_path / "-y"], to)
    assert (Path(to, "a net/x").read_text(), Path(to, "-y").read_text()) == ("1", "2")
    with pytest.raises(MeasurementError, match=r"it has .*/batch already"):
        phone.push([net], to)
    phone.remove(to)
    assert list(Path(phone.folder).iterdir()) == []


def test_a_full_disk_keeps_nothing_of_a_copy(phone, bin_folder, tmp_path):
    (bin_folder / "full").touch()
    with pytest.raises(MeasurementError, match=r"can't use board adb://phone: it has no space left; free some"):
        phone.push([bin_folder], f"{phone.folder}/batch")
    assert list(Path(phone.folder).iterdir()) == []


def test_a_phone_has_no_python(phone, tmp_path):
    with (tmp_path / "messages").open("wb") as messages, pytest.raises(MeasurementError, match="it has no Python"):
        phone.start(["python3"], messages)


def test_a_python_on_the_phone(bin_folder, tmp_path):
    (bin_folder / "python").write_text("#!/bin/sh\nif [ $1 = -c ]; then echo 3.11.9 1.26.4; else cat; fi\n")
    (bin_folder / "python").chmod(0o755)
    url = f"adb://phone?folder={tmp_path}&python={bin_folder}/python"
    with parse_board(url) as board, (tmp_path / "messages").open("wb") as messages:
        facts = board.check()
        assert (facts.python, facts.numpy) == ("3.11.9", "1.26.4")
        process = board.start([board.python, "run.py"], messages)
        assert process.communicate(b"line\n", 10)[0] == b"line\n"


def test_no_adb_here(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with parse_board("adb://phone") as board, pytest.raises(MeasurementError, match="there is no adb here; install"):
        board.check()


def test_an_unknown_phone(bin_folder):
    with (
        parse_board("adb://other") as board,
        pytest.raises(MeasurementError, match="adb does not see it: `adb devices`"),
    ):
        board.check()


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("error: device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set", "it does not trust this host"),
        ("error: device offline", "it is offline"),
        ("error: insufficient permissions for device: no permissions", "this user may not open the USB device"),
        ("error: protocol fault", "error: protocol fault"),
        ("", "no message"),
    ],
    ids=["unauthorized", "offline", "permissions", "other", "silent"],
)
def test_a_phone_that_refuses(bin_folder, message, why):
    refuse(bin_folder, message)
    with (
        parse_board("adb://phone") as board,
        pytest.raises(MeasurementError, match=f"can't use board adb://phone: {why}"),
    ):
        board.check()


def test_a_tool_that_is_absent(bin_folder, tmp_path):
    url = f"adb://phone?folder={tmp_path}&benchmark_model=/absent"
    with parse_board(url) as board, pytest.raises(MeasurementError, match=r"it has no program /absent"):
        board.check()


def test_too_little_space(bin_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(adb, "LEAST_FREE", 1 << 60)
    with parse_board(f"adb://phone?folder={tmp_path}") as board, pytest.raises(MeasurementError, match="no space left"):
        board.check()
    assert list((tmp_path / "hwnas-runner").iterdir()) == []


def test_a_phone_that_is_unplugged(phone, bin_folder):
    assert phone.lost(1) is None
    refuse(bin_folder, "error: device offline")
    assert (phone.lost(1) or "").startswith("lost the connection to board adb://phone: ")
    with pytest.raises(MeasurementError, match=r"lost the connection to board adb://phone: it is offline"):
        phone.run(["true"], 10)
    phone.close()


def test_a_lost_connection_stays_lost_until_another_one_is_made_with_an_empty_folder(phone, bin_folder):
    first = Path(phone.folder)
    (first / "file").touch()
    refuse(bin_folder, "error: device offline")
    assert phone.lost(1)
    (bin_folder / "refuses").unlink()
    with pytest.raises(MeasurementError, match=r"lost the connection"):
        phone.run(["true"], 10)
    phone.check()
    assert phone.run(["true"], 10).returncode == 0
    assert Path(phone.folder) != first
    assert not first.exists()
    assert list(Path(phone.folder).iterdir()) == []


def test_a_connection_that_was_lost_for_a_moment_only(phone):
    with pytest.raises(MeasurementError, match=r"lost the connection to board adb://phone: error: closed\.$"):
        phone.run(["sh", "-c", "echo 'error: closed' >&2; exit 1"], 10)
    assert phone.lost(1)
    with pytest.raises(MeasurementError, match="lost the connection"):
        _ = phone.folder
    phone.check()
    assert phone.lost(1) is None


def test_a_phone_that_is_back_at_the_end_keeps_nothing(phone, bin_folder):
    folder = Path(phone.folder)
    refuse(bin_folder, "error: device offline")
    assert phone.lost(1)
    (bin_folder / "refuses").unlink()
    phone.close()
    assert not folder.exists()


def test_a_board_that_was_closed_for_good(phone):
    phone.retire()
    with pytest.raises(MeasurementError, match="it was closed"):
        phone.check()
