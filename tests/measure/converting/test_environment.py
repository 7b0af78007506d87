"""The environment of litert-torch is made once, as a whole or not at all; venv and pip are shell scripts here."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hwnas_surrogate.errors import DownloadError, HWNASError, MeasurementError, MissingExtraError
from hwnas_surrogate.measure.converting import environment
from hwnas_surrogate.measure.converting.environment import (
    VARIABLE,
    environment_folder,
    find_python,
    make_environment,
    remove_environments,
    requirements,
    versions,
)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the interpreter of these tests is a shell script")

_VENV = """#!/bin/sh
[ "$3" = venv ] || exit 9
[ -f {fake}/no-venv ] && echo "Error: ensurepip is not available" && exit 1
mkdir -p "$4/bin" && cp {fake}/inner "$4/bin/python"
"""
_INNER = """#!/bin/sh
case "$*" in
*"pip install"*)
  echo "$*" >> {fake}/calls
  echo "Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (190.5 MB)"
  echo "  Downloading fire-0.7.1-py3-none-any.whl (115 kB)"
  echo "Installing collected packages: torch, fire"
  if [ -f {fake}/slow ]; then sleep 600; fi
  if [ -f {fake}/fails ]; then cat {fake}/fails >&2; exit 1; fi ;;
*import*)
  if [ -f {fake}/broken ]; then cat {fake}/broken >&2; exit 1; fi ;;
esac
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "fake"
    folder.mkdir()
    for name, text in (("python", _VENV), ("inner", _INNER)):
        (folder / name).write_text(text.format(fake=folder))
        (folder / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("HWNAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(VARIABLE, raising=False)
    return folder


def test_it_is_made_once(fake: Path) -> None:
    lines: list[str] = []
    python = make_environment(lines.append)
    assert python == find_python()
    assert python.parent.parent == environment_folder()
    assert make_environment() == python
    (call,) = (fake / "calls").read_text().splitlines()
    assert call.split()[-len(requirements()) :] == list(requirements())
    assert lines == [
        "Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (190.5 MB)",
        "installing 2 packages",
        "checking that it can be imported",
    ]
    assert list(environment_folder().parent.iterdir()) == [environment_folder()]
    assert not (environment_folder() / "tmp").exists()


def test_a_missing_one_is_not_made_but_named_with_the_command(fake: Path) -> None:
    with pytest.raises(MissingExtraError, match=r"has not been made .* run: hwnas convert --to tflite\."):
        find_python()
    assert not (fake / "calls").exists()


@pytest.mark.parametrize(
    ("where", "said", "error", "message"),
    [
        (
            "fails",
            "WARNING: Retrying after connection broken by 'NewConnectionError(...): Failed to establish a new "
            "connection'\nERROR: No matching distribution found for litert-torch==0.10.0",
            DownloadError,
            r"index can't be reached \(No matching distribution found for litert-torch==0\.10\.0\)\. Nothing was kept",
        ),
        ("fails", "ERROR: [Errno 28] No space left on device", DownloadError, r"the disk is full\. Nothing was kept"),
        (
            "fails",
            "ERROR: ResolutionImpossible: a\nsee help",
            DownloadError,
            r"litert-torch: ResolutionImpossible: a\.",
        ),
        ("fails", "", DownloadError, r"litert-torch: Installing collected packages: torch, fire\."),
        ("broken", "ImportError: libfoo.so", MeasurementError, "can't be imported: ImportError: libfoo.so"),
        ("no-venv", "", MeasurementError, "can't make a virtual environment: Error: ensurepip.*python3-venv"),
    ],
    ids=["network", "disk", "conflict", "no-reason", "import", "venv"],
)
def test_failures_keep_nothing(fake: Path, where: str, said: str, error: type[HWNASError], message: str) -> None:
    (fake / where).write_text(said)
    with pytest.raises(error, match=message):
        make_environment()
    assert list(environment_folder().parent.iterdir()) == []
    (fake / where).unlink()
    assert make_environment().exists()


def test_too_little_space(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 10**9))  # type: ignore[attr-defined]
    with pytest.raises(MeasurementError, match=r"takes up to \d+ GB .* has 1\.0 GB left\. Free some space, or set"):
        make_environment()
    assert not (fake / "calls").exists()


def test_a_killed_process_leaves_nothing_that_counts(fake: Path) -> None:
    (fake / "slow").touch()
    code = (
        "import sys; from hwnas_surrogate.measure.converting.environment import make_environment; "
        f"sys.executable = {str(fake / 'python')!r}; make_environment()"
    )
    python = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen([python, "-c", code], env=environ, start_new_session=True)
    deadline = time.monotonic() + 60
    while not (fake / "calls").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert list(environment_folder().parent.iterdir())  # the part
    with pytest.raises(MissingExtraError):
        find_python()
    (fake / "slow").unlink()
    assert make_environment().exists()
    assert list(environment_folder().parent.iterdir()) == [environment_folder()]
    os.killpg(process.pid, signal.SIGKILL)  # the pip that it started


def test_a_second_process_waits_for_the_first(fake: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: make_environment(), range(2))
    assert first == second
    assert len((fake / "calls").read_text().splitlines()) == 1


def test_one_whose_python_is_gone_is_made_again(fake: Path) -> None:
    make_environment().unlink()
    assert make_environment().exists()
    assert len((fake / "calls").read_text().splitlines()) == 2


def test_environments_can_be_removed(fake: Path) -> None:
    assert remove_environments() == 0
    make_environment()
    assert remove_environments() == 1
    with pytest.raises(MissingExtraError):
        find_python()


def test_the_torch_is_that_of_this_process_where_it_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = set()
    for version, wanted in {
        "2.3.1": "torch", "2.4.0": "torch==2.4.0", "2.13.0+cpu": "torch==2.13.0", "2.15.0": "torch", "3.0.0": "torch"
    }.items():  # fmt: skip
        monkeypatch.setattr(environment, "version", lambda name, version=version: version)
        assert requirements()[-1] == wanted
        folders.add(environment_folder())
    assert len(folders) == 3


def test_an_interpreter_can_be_named(fake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(fake / "python"))
    assert find_python() == make_environment() == fake / "python"
    assert not (fake / "calls").exists()
    monkeypatch.setenv(VARIABLE, str(fake / "nothing"))
    with pytest.raises(MissingExtraError, match=rf"\${VARIABLE} must be the path .* which can't be run"):
        find_python()


def test_an_interpreter_without_litert_torch(fake: Path) -> None:
    python = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    with pytest.raises(MeasurementError, match=r"has no litert-torch that can be used: .*PackageNotFoundError"):
        versions(python)
