"""What a user's code prints is kept off the results, whoever prints it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hwnas_surrogate.capture.user_file import UserFunction, beside_user_file
from hwnas_surrogate.search.calling import called_qualities
from tests.search.planted import SPACE

SAYS = """import os
os.system("echo file")
def rated(names):
    os.system("echo child")
    print("own")
    return [1.0 for name in names]
"""


def test_child_processes_of_a_function_print_to_standard_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(SAYS)
    assert UserFunction(f"{tmp_path / 'mine.py'}:rated")(["a"]) == [1.0]
    print("result")  # standard output is as it was
    out, err = capfd.readouterr()
    assert out == "result\n"
    assert sorted(err.split()) == ["child", "file", "own"]


def test_child_processes_of_workers_print_to_standard_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(SAYS)
    function = UserFunction(f"{tmp_path / 'mine.py'}:rated")
    with called_qualities(function, timeout=90) as called:
        called(SPACE.batch([0]))
    out, err = capfd.readouterr()
    assert out == ""
    assert sorted(err.split()) == ["child", "file", "file", "own"]


def test_an_error_restores_standard_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="wrong"), beside_user_file(str(tmp_path / "mine.py")):
        raise ValueError("wrong")
    os.write(1, b"result")
    assert capfd.readouterr() == ("result", "")


def test_a_process_without_standard_output_runs_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(handle: int) -> int:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(os, "dup", closed)
    monkeypatch.setattr(sys, "stdout", None)
    with beside_user_file(str(tmp_path / "mine.py")):
        pass
    assert sys.stdout is None
