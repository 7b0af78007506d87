"""What values hold, how people type architectures, and what is no architecture at all."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas_surrogate import build_network
from hwnas_surrogate.errors import InvalidArchitectureError
from hwnas_surrogate.spaces import SearchSpace, arch_from_text, get_space, space_names
from hwnas_surrogate.spaces.reading import contents, is_integer

every_space = pytest.mark.parametrize("space", [get_space(name) for name in space_names()], ids=space_names())

FOREIGN: dict[str, Any] = {
    "the module Linear": torch.nn.Linear(1, 1),
    "the module Sequential": torch.nn.Sequential(torch.nn.Linear(1, 1)),
    "the file 'net.pt'": Path("net.pt"),
    "'model.onnx'": "model.onnx",
    "'../models/net.pt'": "../models/net.pt",
    "'mobilenet_v2'": "mobilenet_v2",
    "'vit_base_patch16_224.augreg_in21k'": "vit_base_patch16_224.augreg_in21k",
    "'~/model.onnx'": "~/model.onnx",
    "'a+b.onnx'": "a+b.onnx",
    "'resnet50|v2'": "resnet50|v2",
    "the state_dict of 2 tensors": torch.nn.Linear(1, 1).state_dict(),
    "the opened file 'BytesIO'": io.BytesIO(b"onnx"),
    "the opened file 'StringIO'": io.StringIO("import torch"),
}


@every_space
@pytest.mark.parametrize("name", FOREIGN)
def test_other_networks_are_refused_by_what_is_supported(space: SearchSpace, name: str) -> None:
    network = FOREIGN[name]
    for call in (
        space.parse,
        space.as_array,
        space.format,
        lambda value: space.as_array([value]),
        lambda value: space.as_array([value, value]),
        lambda value: build_network(value, space=space),
    ):
        with pytest.raises(InvalidArchitectureError) as caught:
            call(network)
        message = str(caught.value)
        assert f"{name} is no {space.title} architecture" in message
        assert "Other networks are given as graphs" in message
        assert "read .onnx files, and modules of --networks FILE.py:NAME" in message
        assert f"Give {'a string' if space.name == 'fbnet' else 'an index'}" in message
        assert f"a string reads {space.form}" in message


def test_other_networks_are_not_blamed_on_a_missing_space() -> None:
    for network in FOREIGN.values():
        with pytest.raises(InvalidArchitectureError) as caught:
            build_network(network)
        assert "no space was given" not in str(caught.value)


def test_an_opened_file_is_named_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\xff\x00onnx")
    for mode in ("rb", "r"):
        with path.open(mode) as file, pytest.raises(InvalidArchitectureError, match=re.escape(f"file {str(path)!r}")):
            get_space("fbnet").as_array(file)


@pytest.mark.parametrize(("own", "other"), [("nasbench201", "fbnet"), ("fbnet", "nasbench201")])
def test_a_string_of_another_space_is_told_as_such(own: str, other: str) -> None:
    space, theirs = get_space(own), get_space(other)
    n = theirs.n_positions
    archs = [theirs.sample(1, 0)[0], np.zeros(n, np.int8), np.full(n, len(theirs.ops) - 1, np.int8)]
    for text in theirs.format_all(np.array(archs)):
        for call in (
            space.parse,
            space.as_array,
            lambda value: space.as_array([value] * 2),
            lambda value: space.as_array(arch_from_text(value)),
        ):
            with pytest.raises(InvalidArchitectureError, match=f"but one of {theirs.title}: give space='{other}'"):
                call(text)


@every_space
@pytest.mark.parametrize("form", [lambda t: t, lambda t: [t, t]], ids=["one", "several"])
@pytest.mark.parametrize("shape", [(), (6,), (22,), (2, 6)])
def test_tensors_that_numpy_cant_read_are_refused(space: SearchSpace, form: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArchitectureError, match=r"Tensor that numpy can't read .*meta"):
        space.as_array(form(torch.zeros(shape, dtype=torch.int64, device="meta")))


@pytest.mark.parametrize("text", ["012340", " 012340 ", "(012340)", "00", "-01", "0" * 22])
def test_a_number_with_a_leading_zero_is_no_index(text: str) -> None:
    ops = ",".join(text.strip(" ()-"))
    with pytest.raises(InvalidArchitectureError, match=rf"is no index.*separated by commas: '{ops}'"):
        arch_from_text(text)


@every_space
@pytest.mark.parametrize("text", ["", " ", "42", "x", "|", "none~0", "a|b", "0+1"])
def test_what_is_meant_as_a_string_gets_its_syntax(space: SearchSpace, text: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=re.escape(space.form)):
        space.parse(text)


@pytest.mark.parametrize(
    ("text", "arch"),
    [
        ("42", 42),
        ("0", 0),
        ("10", 10),
        (" -1 ", -1),
        ("(42)", 42),
        ("0,1,2,3,4,0", [[0, 1, 2, 3, 4, 0]]),
        ("(4, 0, 3, 1, 4, 3)", [[4, 0, 3, 1, 4, 3]]),
        ("[4, 0, 3, 1, 4, 3]", [[4, 0, 3, 1, 4, 3]]),
        ("none,none", [["none", "none"]]),
        ("|none~0|", "|none~0|"),
        ("(", "("),
    ],
)
def test_texts_are_read_as_people_type_them(text: str, arch: Any) -> None:
    assert arch_from_text(text) == arch


@pytest.mark.parametrize("value", [3, np.int8(3), np.uint64(2**63), np.array(3), torch.tensor(3), -1, 10**30])
def test_one_integer(value: Any) -> None:
    assert is_integer(value)
    held = contents(value)
    assert isinstance(held, np.ndarray)
    assert held.shape == ()
    assert held == int(value)


@pytest.mark.parametrize(
    "value",
    [True, np.True_, np.array(True), 1.0, np.float32(1), np.array(1.0), torch.tensor(True), None, b"1", {1: 2},
     np.ma.masked, np.ma.array(3, mask=True), np.ma.array([1, 2], mask=[0, 1]), np.array([1.0]), torch.nn.ReLU()],
    ids=repr,
)  # fmt: skip
def test_what_is_no_integer_and_holds_none(value: Any) -> None:
    assert not is_integer(value)
    assert contents(value) is None
