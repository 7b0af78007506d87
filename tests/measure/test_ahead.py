"""Converting ahead: what an interruption, a hang and a full disk cost. litert-torch is a stub here."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from hwnas_surrogate.capture import given_networks
from hwnas_surrogate.errors import DataFileError, InvalidInputError
from hwnas_surrogate.measure.ahead import convert_ahead
from hwnas_surrogate.measure.converting.environment import VARIABLE
from hwnas_surrogate.measure.subjects import GivenSubject, Subject
from tests.measure.converting.stub import stub_python

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the interpreter of these tests is a shell script")

NETWORKS = """
import torch
from torch import nn

networks = {f"net-{batch}": (nn.Linear(3, 2).eval(), (torch.zeros(batch, 3),)) for batch in (1, 3, 6)}
"""


@pytest.fixture
def subjects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Subject]:
    folder = tmp_path / "stub"
    folder.mkdir()
    monkeypatch.setenv(VARIABLE, str(stub_python(folder)))
    monkeypatch.setenv("HWNAS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mine.py").write_text(NETWORKS)
    found = given_networks([f"{tmp_path / 'mine.py'}:networks"], None)
    return {network.name: GivenSubject.of(network) for network in found}


def kept(folder: Path) -> int:
    return len(list((folder / "cache" / "tflite").glob("[0-9a-f]*")))


def test_a_hang_costs_one_network(subjects: dict[str, Subject], tmp_path: Path) -> None:
    done: list[tuple[int, int]] = []
    failures = convert_ahead(
        subjects, "tflite", timeout=8, folder=tmp_path / "out", progress=lambda *now: done.append(now)
    )
    assert failures == {"net-3": "converting it took longer than 8 s"}
    assert done[-1] == (3, 3)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["net-1.tflite", "net-6.tflite"]


def test_an_interruption_keeps_what_is_converted(subjects: dict[str, Subject], tmp_path: Path) -> None:
    def interrupt(done: int, all_: int) -> None:
        raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        convert_ahead(subjects, "tflite", jobs=2, folder=tmp_path / "out", progress=interrupt)
    assert time.monotonic() - begun < 60  # net-3 would hang for ten minutes
    assert kept(tmp_path) >= 1
    assert not list((tmp_path / "out").iterdir())


def test_a_full_disk_ends_it(subjects: dict[str, Subject], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataFileError, match="can't write what is to be converted: No space left on device"):
        convert_ahead({"net-1": subjects["net-1"]}, "tflite")
    assert kept(tmp_path) == 0


def test_wrong_arguments(subjects: dict[str, Subject], tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="unknown format 'onnx'"):
        convert_ahead(subjects, "onnx")
    with pytest.raises(InvalidInputError, match="not an empty folder"):
        convert_ahead(subjects, "tflite", folder=tmp_path)
