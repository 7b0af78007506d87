"""What is written to Python on a board."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure.boards.calls import BOOT, call_line, files_in, stream


def test_a_call_is_one_line(tmp_path):
    absent = str(tmp_path / "it's\n\\ü")
    line = call_line("remove", absent)
    assert line.count(b"\n") == 1
    done = subprocess.run([sys.executable, "-c", BOOT], input=line, capture_output=True)
    assert (done.stdout, done.stderr) == (b'{"answer": null}\n', b"")


def test_a_folder_above_keeps_its_name(tmp_path, monkeypatch):
    (tmp_path / "net/inner").mkdir(parents=True)
    (tmp_path / "net/x").touch()
    monkeypatch.chdir(tmp_path / "net/inner")
    assert [name for name, _ in files_in([tmp_path.joinpath("net/inner/..")])] == ["net/x"]


def test_a_file_that_becomes_shorter(tmp_path):
    file = tmp_path / "x"
    file.write_bytes(b"12345")
    pieces = stream(files_in([file]))
    assert next(pieces) == b'["x", 5]\n'
    os.truncate(file, 0)
    with pytest.raises(MeasurementError, match="x became shorter while it was copied"):
        next(pieces)


def test_names_that_are_no_text(tmp_path):
    file = os.fsencode(tmp_path) + b"/\xff"
    try:
        with open(file, "wb"):
            pass
    except OSError:
        pytest.skip("file names are text here")
    assert next(stream(files_in([tmp_path]))) == f'["{tmp_path.name}/\\udcff", 0]\n'.encode()
