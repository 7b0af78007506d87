"""Checkpoints: what training scripts store is read, and nothing else is looked up or called."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import pickle
import sys
import zipfile
from collections import OrderedDict, namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from hwnas_surrogate.config_utils import as_config_dict, dict2config
from hwnas_surrogate.errors import DataFileError, HWNASError
from hwnas_surrogate.nas_201_models.checkpoints import read_checkpoint

CONFIG = {"dataset": "cifar", "depth": 20, "xblocks": [1, 2, 3]}
Plain = namedtuple("Plain", CONFIG)  # type: ignore[misc]


class Typed(NamedTuple):
    dataset: str
    depth: int
    xblocks: list[int]


class Child(Plain):
    __slots__ = ()


class Making(Plain):
    __slots__ = ()

    def __new__(cls, *values: Any) -> Any:
        raise AssertionError("it was executed")


class Restoring(Plain):
    def __setstate__(self, state: object) -> None:
        raise AssertionError("it was executed")


class Runs:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


FORMS: dict[str, Any] = {
    "dict": dict(CONFIG),
    "ordered dict": OrderedDict(CONFIG),
    "config": dict2config(CONFIG),
    "namedtuple": Plain(**CONFIG),
    "typed namedtuple": Typed("cifar", 20, [1, 2, 3]),
    "child of a namedtuple": Child(**CONFIG),
    "simple namespace": SimpleNamespace(**CONFIG),
    "argparse namespace": argparse.Namespace(**CONFIG),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_config(form: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"model-config": FORMS[form], "weight": torch.arange(3.0)}, path)
    found = read_checkpoint(path)
    assert as_config_dict(found["model-config"]) == CONFIG
    assert torch.equal(found["weight"], torch.arange(3.0))


def test_numbers_of_numpy(tmp_path: Path) -> None:
    numbers: list[np.generic] = [
        np.float64(0.1),
        np.float32(2.5),
        np.int64(-3),
        np.int32(7),
        np.bool_(True),
        np.uint8(9),
    ]
    torch.save({"valid": dict(enumerate(numbers))}, tmp_path / "a.pth")
    found = read_checkpoint(tmp_path / "a.pth")["valid"]
    assert list(found.values()) == numbers
    assert [value.dtype for value in found.values()] == [value.dtype for value in numbers]


def test_the_format_before_pytorch_1_6(tmp_path: Path) -> None:
    torch.save({"model-config": CONFIG}, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    assert read_checkpoint(tmp_path / "a.pth") == {"model-config": CONFIG}


def test_the_allow_list_of_the_process_stays_as_it_was(tmp_path: Path) -> None:
    torch.save({"config": SimpleNamespace(a=1), "b": argparse.Namespace(b=np.float64(2))}, tmp_path / "a.pth")
    with torch.serialization.safe_globals([SimpleNamespace]):
        before = set(torch.serialization.get_safe_globals())
        assert read_checkpoint(tmp_path / "a.pth")["config"] == SimpleNamespace(a=1)
        assert set(torch.serialization.get_safe_globals()) == before


REFUSED: dict[str, Any] = {
    "a class": Path("x"),
    "a class made by code": tuple.__new__(Making, tuple(CONFIG.values())),
    "a class restored by code": tuple.__new__(Restoring, tuple(CONFIG.values())),
    "a function": os.path.join,
    "a function of the system": os.system,
    "a network": torch.nn.Linear(1, 1),
    "an array": np.zeros(3),
    "a text of numpy": np.str_("x"),
    "a structured number": np.zeros(1, [("a", "f8")])[0],
    "an object array's element": np.array([None], object)[0:1],
}


@pytest.mark.parametrize("what", REFUSED)
def test_anything_else_is_refused(what: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"model-config": REFUSED[what]}, path)
    with pytest.raises(DataFileError, match="Nothing was executed") as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert "weights_only" not in str(caught.value)
    assert "add_safe_globals" not in str(caught.value)


def test_code_is_not_run(tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "a.pth"
    torch.save({"model-config": Runs(mark)}, path)
    with pytest.raises(DataFileError):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps({"model-config": Runs(mark)}))
    with pytest.raises(DataFileError):
        read_checkpoint(path)
    assert not mark.exists()


def zipped(data: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("a/data.pkl", data)
        archive.writestr("a/version", "3\n")
        archive.writestr("a/byteorder", "little")
    return held.getvalue()


def test_a_module_that_is_not_loaded_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_configs.py").write_text("import collections\nC = collections.namedtuple('C', 'a')\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "a.pth"
    path.write_bytes(zipped(b"\x80\x02}X\x01\x00\x00\x00ccown_configs\nC\nK\x01\x85\x81s."))
    with pytest.raises(DataFileError, match=r"own_configs\.C .*_asdict"):
        read_checkpoint(path)
    assert "own_configs" not in sys.modules
    importlib.import_module("own_configs")
    assert read_checkpoint(path)["c"].a == 1
    monkeypatch.delitem(sys.modules, "own_configs")


DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "text": b"not a checkpoint\n" * 10,
    "a pickle": pickle.dumps({"a": 1}, 4),
    "a zip": zipped(b""),
    "another zip": zipped(b"\x80\x02}q\x00."[:-1]),
    "a number too long": zipped(b"\x80\x02X\xff\xff\xff\x7fabc."),
    "nothing on the stack": zipped(b"\x80\x02."),
    "a list": zipped(b"\x80\x02]q\x00."),
    "a number of 16 bytes": zipped(
        b"\x80\x02cnumpy.core.multiarray\nscalar\nq\x00cnumpy\ndtype\nq\x01X\x02\x00\x00\x00f8K\x00K\x01\x87R"
        b"c_codecs\nencode\nX\x10\x00\x00\x00" + b"a" * 16 + b"X\x06\x00\x00\x00latin1\x86R\x86R."
    ),
    "a dtype of objects": zipped(b"\x80\x02cnumpy\ndtype\nX\x01\x00\x00\x00OK\x00K\x01\x87R."),
    "a dtype with fields": zipped(b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00f8K\x00K\x01\x87RK\x03\x85b."),
    "a config of a number": zipped(b"\x80\x02chwnas_surrogate.config_utils.configure\ndict2config\nK\x01\x85R."),
    "a namespace of a number": zipped(b"\x80\x02ctypes\nSimpleNamespace\n)RK\x01b."),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(DAMAGED[name])
    with pytest.raises(DataFileError) as caught:
        read_checkpoint(path)
    assert len(str(caught.value)) < 1000


def test_a_file_cut_off_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"model-config": dict2config(CONFIG), "w": torch.zeros(3)}, path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(DataFileError):
            read_checkpoint(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "pipe", "a\0b", None, 3):
        with pytest.raises(HWNASError):
            read_checkpoint(path)  # type: ignore[arg-type]
