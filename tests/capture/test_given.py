"""Networks that a user names: which there are, what is refused, and that a user's file is run and explained."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from hwnas_surrogate.capture import OnnxFile, UserModule, given_networks, is_model, parse_input_shape
from hwnas_surrogate.errors import DataFileError, InvalidGraphError, InvalidInputError
from hwnas_surrogate.graphs import Graph

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT

MODELS = """
import torch
from torch import nn
import parts

print("a file that prints")

class Wrong(nn.Module):
    def forward(self, x):
        y = x + 1
        return y @ torch.zeros(3, 3)

class Prints(nn.Module):
    def forward(self, x):
        print("a module that prints")
        return x + parts.ONE

conv = nn.Conv2d(3, 4, 3).eval()
image = torch.zeros(1, 3, 8, 8)
networks = {"conv": (conv, image), "prints": (Prints().eval(), [image])}

def two(size=6):
    return {"small": (conv, torch.zeros(1, 3, size, size)), "add": (Sum().eval(), (image, image))}

class Sum(nn.Module):
    def forward(self, x, y):
        return x + y

wrong = {"wrong": (Wrong().eval(), torch.zeros(1, 4))}
training = {"training": (nn.Conv2d(3, 4, 3), image)}
no_pair = {"conv": conv}
no_module = {"conv": (image, conv)}
no_inputs = {"conv": (conv, 7)}
no_tensor = {"conv": (conv, (7,))}
no_name = {3: (conv, image)}
line_break = {"a\\nb": (conv, image)}
empty = {}
number = 3

def fails():
    raise ValueError("no network\\ntoday")

def takes(n):
    return networks

def stops():
    raise SystemExit(3)
"""


def model(path: Path, shape: Any = (1, 4), kind: str = "Relu", opset: int = 17, **other: Any) -> Path:
    """Write an ONNX file with one operator."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node(kind, ["x"], ["y"], **other)], "g", [value("x", FLOAT, shape)], [value("y", FLOAT, None)]
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("my.own", 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path.write_bytes(made.SerializeToString())
    return path


def two_inputs(path: Path) -> Path:
    """Write an ONNX file with two inputs of symbolic sizes."""
    value = helper.make_tensor_value_info
    inputs = [value("x", FLOAT, ("n", 4)), value("mask", FLOAT, ("n", "m"))]
    node = helper.make_node("Mul", ["x", "mask"], ["y"])
    graph = helper.make_graph([node], "g", inputs, [value("y", FLOAT, None)])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(made.SerializeToString())
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    Path("models.py").write_text(MODELS)
    Path("parts.py").write_text("ONE = 1")
    yield tmp_path
    sys.modules.pop("parts", None)


def of(*sources: str, shape: str | None = None) -> list[tuple[str, str]]:
    return [(network.name, network.source) for network in given_networks(sources, shape)]


class TestOnnxFiles:
    def test_a_file_and_a_folder(self, here: Path) -> None:
        folder = here / "board"
        folder.mkdir()
        model(folder / "b.onnx", (1, 5))
        model(folder / "a.ONNX", (1, 6))
        (folder / "notes.txt").write_text("")
        (folder / "inside.onnx").mkdir()
        model(here / "c.onnx")
        assert of("c.onnx", "board") == [("c", "c.onnx"), ("a", "board/a.ONNX"), ("b", "board/b.onnx")]
        graph = given_networks([here / "c.onnx"])[0].graph()
        assert graph == Graph.from_onnx(here / "c.onnx")
        assert graph.inputs[0].shape == (1, 4)

    def test_one_that_is_named_twice_is_there_once(self, here: Path) -> None:
        model(here / "a.onnx")
        (here / "copy").mkdir()
        model(here / "copy" / "a.onnx")
        assert of("a.onnx", "./a.onnx", "copy") == [("a", "a.onnx")]

    def test_two_of_one_name(self, here: Path) -> None:
        model(here / "a.onnx")
        (here / "other").mkdir()
        model(here / "other" / "a.onnx", (1, 5))
        with pytest.raises(InvalidInputError, match=r"two networks are called 'a': a\.onnx and other/a\.onnx\. Rename"):
            given_networks(["a.onnx", "other"])

    def test_a_fingerprint_changes_with_the_file_and_the_shapes(self, here: Path) -> None:
        model(here / "a.onnx", ("n", 4))
        (one,) = given_networks(["a.onnx"], "1x4")
        (two,) = given_networks(["a.onnx"], "2x4")
        assert one.fingerprint() == given_networks(["./a.onnx"], " 1x4 ")[0].fingerprint()
        assert one.fingerprint() != two.fingerprint()
        before = one.fingerprint()
        model(here / "a.onnx", ("batch", 4))
        assert one.fingerprint() != before

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("missing.onnx", r"can't read missing\.onnx: No such file"),
            ("missing.py:networks", r"can't read missing\.py: No such file"),
            ("pipe.onnx", r"can't read pipe\.onnx: it is a pipe"),
        ],
    )
    def test_files_that_cannot_be_read(self, here: Path, source: str, message: str) -> None:
        os.mkfifo(here / "pipe.onnx")
        with pytest.raises(DataFileError, match=message):
            given_networks([source])

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("empty", r"the folder empty has no \.onnx files"),
            ("notes.txt", r"FILE\.py:NAME; got 'notes\.txt'\.$"),
            ("nothing", r"FILE\.py:NAME; got 'nothing', which does not exist"),
            (
                "models.py",
                r"models\.py is a Python file: name what in it holds the networks, such as models\.py:networks",
            ),
            ("a\tb.onnx", "printable name"),
        ],
    )
    def test_what_names_no_networks(self, here: Path, source: str, message: str) -> None:
        (here / "empty").mkdir()
        (here / "notes.txt").write_text("")
        model(here / "a\tb.onnx")
        with pytest.raises(InvalidInputError, match=message):
            given_networks([source])

    def test_a_text_is_no_list(self) -> None:
        with pytest.raises(InvalidInputError, match=r"sources are a list of texts, got 'a\.onnx'"):
            given_networks("a.onnx")


class TestBadModels:
    """What is wrong with a model comes through, with the file's name."""

    def message(self, path: Path, shape: str | None = None) -> str:
        (network,) = given_networks([path], shape)
        with pytest.raises((InvalidGraphError, InvalidInputError)) as error:
            network.graph()
        return str(error.value)

    def test_a_cut_file(self, here: Path) -> None:
        path = model(here / "cut.onnx")
        path.write_bytes(path.read_bytes()[:-9])
        assert self.message(path).startswith("cut.onnx is no ONNX model, or a damaged one")

    def test_an_unknown_opset(self, here: Path) -> None:
        assert self.message(model(here / "new.onnx", opset=999)).startswith("new.onnx uses opset 999")

    def test_an_operator_of_nobody(self, here: Path) -> None:
        message = self.message(model(here / "own.onnx", kind="Mine", domain="my.own"))
        assert message.startswith("own.onnx: node 0 (Mine): the shape of 'y' is not known")

    def test_a_negative_size(self, here: Path) -> None:
        path = model(here / "minus.onnx", (-1, 4))  # how some exporters write a symbolic one
        assert self.message(path).startswith("minus.onnx: the input 'x' has the shape (?, 4): give it sizes")
        assert given_networks([path], "3x4")[0].graph().inputs[0].shape == (3, 4)

    def test_a_cycle(self, here: Path) -> None:
        value = helper.make_tensor_value_info
        nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
        graph = helper.make_graph(nodes, "g", [value("x", FLOAT, (1, 4))], [value("b", FLOAT, (1, 4))])
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        (here / "cycle.onnx").write_bytes(made.SerializeToString())
        message = self.message(here / "cycle.onnx")
        assert message.startswith("cycle.onnx")
        assert "a cycle" in message or "shapes don't fit" in message

    def test_symbolic_sizes_need_a_shape(self, here: Path) -> None:
        message = self.message(model(here / "free.onnx", ("n", 4)))
        assert message.startswith("free.onnx: the input 'x' has the shape (n, 4)")
        assert "--input-shape x=1x3x224x224" in message

    @pytest.mark.parametrize("shape", ["1x5", "1x2x4", "z=1x4"])
    def test_shapes_that_the_model_does_not_have(self, here: Path, shape: str) -> None:
        message = self.message(model(here / "free.onnx", ("n", 4)), shape)
        assert message.startswith("free.onnx")
        assert ("no input 'z'" if "z" in shape else f"got {tuple(map(int, shape.split('x')))}") in message


class TestInputShapes:
    def test_of_several_files(self, here: Path) -> None:
        model(here / "one.onnx", ("n", 4))
        two_inputs(here / "two.onnx")
        model(here / "fixed.onnx", (3, 4))
        one, two, fixed = given_networks(["one.onnx", "two.onnx", "fixed.onnx"], "mask=3x1,x=3x4")
        assert isinstance(one, OnnxFile)
        assert one.input_shapes == {"x": (3, 4)}
        assert [spec.shape for spec in two.graph().inputs] == [(3, 4), (3, 1)]
        assert fixed.graph().inputs[0].shape == (3, 4)
        with pytest.raises(InvalidInputError, match=r"unknown input of the \.onnx files 'maks'.*Did you mean 'mask'"):
            given_networks(["one.onnx", "two.onnx"], "maks=3x1")

    def test_modules_have_their_own(self, here: Path) -> None:
        with pytest.raises(
            InvalidInputError, match=r"an input shape is for \.onnx files, of which there are none; got 1x4"
        ):
            given_networks(["models.py:networks"], "1x4")

    @pytest.mark.parametrize(
        ("text", "shape"),
        [
            ("1x3x224x224", (1, 3, 224, 224)),
            (" 7 ", (7,)),
            ("a=1x2,b:0=3", {"a": (1, 2), "b:0": (3,)}),
            ("x=y=1x2", {"x=y": (1, 2)}),
        ],
    )
    def test_what_is_read(self, text: str, shape: Any) -> None:
        assert parse_input_shape(text) == shape

    @pytest.mark.parametrize(
        "text", ["", "1x", "x1", "1X3", "1x-3", "1x0", "1x3.5", "a=", "=1x3", "1x3,", "²x1", "1x99999999999", "axb"]
    )
    def test_what_is_no_shape(self, text: str) -> None:
        with pytest.raises(InvalidInputError, match="an input shape reads 1x3x224x224, or image=1x3x224x224,mask=1x16"):
            parse_input_shape(text)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a=1,a=2", "got two for 'a'"),
            ("1x3,1x4", "got two without a name"),
            ("1x3,a=1", "each needs its input's name"),
        ],
    )
    def test_shapes_that_contradict(self, text: str, message: str) -> None:
        with pytest.raises(InvalidInputError, match=message):
            parse_input_shape(text)


class TestUserFiles:
    def test_a_mapping_and_a_function(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = list(sys.path)
        conv, prints, small, add = given_networks(["models.py:networks", "models.py:two"])
        assert [network.name for network in (conv, prints, small, add)] == ["conv", "prints", "small", "add"]
        assert small.source == "models.py:two"
        assert (conv.graph().inputs[0].shape, small.graph().inputs[0].shape) == ((1, 3, 8, 8), (1, 3, 6, 6))
        assert len(add.graph().inputs) == 2
        assert prints.fingerprint() == prints.graph().digest
        assert isinstance(conv, UserModule)
        with torch.no_grad():
            assert conv.entry[0](*conv.entry[1]).shape == (1, 4, 6, 6)
        out, err = capsys.readouterr()
        assert out == ""  # results are printed there
        assert "a file that prints" in err
        assert "a module that prints" in err
        assert sys.path == path

    def test_the_file_is_read_anew_and_leaves_nothing_beside_it(self, here: Path) -> None:
        before = given_networks(["models.py:two"])[0].fingerprint()
        Path("models.py").write_text(MODELS.replace("size=6", "size=7"))  # the same time and length as before
        assert given_networks(["models.py:two"])[0].fingerprint() != before
        assert [path.name for path in here.glob("__pycache__/models*")] == []

    def test_a_module_of_its_own_can_be_pickled_by_name(self, here: Path) -> None:
        _, add = given_networks(["models.py:two"])
        assert isinstance(add, UserModule)
        kind = type(add.entry[0])
        assert getattr(sys.modules[kind.__module__], kind.__qualname__) is kind

    def test_the_file_is_compiled_as_it_is(self, here: Path) -> None:
        """Annotations are values, unless the file itself says otherwise."""
        text = "import torch\ndef of(n: 1 + 1):\n    pass\nassert of.__annotations__['n'] == 2\n"
        Path("plain.py").write_text(text + "networks = {'a': (torch.nn.Linear(2, 2).eval(), torch.zeros(1, 2))}")
        assert of("plain.py:networks") == [("a", "plain.py:networks")]

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("netwroks", r"unknown name in models\.py 'netwroks'.*Did you mean 'networks'"),
            ("number", r"models\.py:number must be a mapping of names .* got a value of type int"),
            ("conv", r"models\.py:conv must be a mapping of names .* got a value of type Conv2d"),
            ("Sum", r"models\.py:Sum must be a mapping of names .* got a value of type Sum"),
            ("empty", r"models\.py:empty names no networks"),
            ("no_pair", r"models\.py:no_pair\['conv'\] must be \(module, example inputs\).*got a value of type Conv2d"),
            ("no_module", r"models\.py:no_module\['conv'\] must be .* got \(Tensor, Conv2d\)"),
            ("no_inputs", r"\['conv'\]: example inputs are a tensor, or a tuple .* got a value of type int"),
            ("no_name", r"models\.py:no_name: a network's name is a printable text, got 3"),
            ("line_break", r"a network's name is a printable text"),
            ("fails", r"models\.py, line 41: ValueError: no network today"),
            ("takes", r"models\.py: TypeError: takes\(\) missing 1 required positional argument"),
            ("stops", r"models\.py, line 47: SystemExit: 3"),
        ],
    )
    def test_names_that_hold_no_networks(self, here: Path, name: str, message: str) -> None:
        with pytest.raises(InvalidInputError, match=message):
            given_networks([f"models.py:{name}"])

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("import torch\nx = 1 / 0\n", r"broken\.py, line 2: ZeroDivisionError: division by zero"),
            ("def (\n", r"broken\.py, line 1: SyntaxError"),
            ("\n\nimport not_installed\n", r"broken\.py, line 3: ModuleNotFoundError: No module named 'not_installed'"),
            ("import inner\n", r"broken\.py, line 1: KeyError: 'x'"),
            ("x = '\0'", r"broken\.py: (SyntaxError|ValueError): "),
        ],
    )
    def test_files_that_fail(self, here: Path, text: str, message: str) -> None:
        Path("broken.py").write_text(text)
        Path("inner.py").write_text("{}['x']")
        with pytest.raises(InvalidInputError, match=message):
            given_networks(["broken.py:networks"])
        assert not [
            name for name in sys.modules if name.startswith("hwnas_networks") and "broken" in str(sys.modules[name])
        ]

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("wrong", r"models\.py:wrong\['wrong'\], line 11: Wrong fails on the example inputs: RuntimeError"),
            ("training", r"models\.py:training\['training'\]: Conv2d is in training mode .* call its eval\(\) first"),
        ],
    )
    def test_modules_that_cannot_be_captured(self, here: Path, name: str, message: str, caplog: Any) -> None:
        (network,) = given_networks([f"models.py:{name}"])
        with caplog.at_level(logging.ERROR), pytest.raises(InvalidGraphError, match=message):
            network.graph()
        assert caplog.records == []  # the error says it all

    def test_inputs_without_a_tensor(self, here: Path) -> None:
        with pytest.raises(InvalidInputError, match=r"models\.py:no_tensor\['conv'\]: give an example"):
            given_networks(["models.py:no_tensor"])[0].graph()

    def test_a_model_and_a_module_of_one_name(self, here: Path) -> None:
        model(here / "conv.onnx")
        with pytest.raises(InvalidInputError, match=r"called 'conv': conv\.onnx and models\.py:networks"):
            given_networks(["conv.onnx", "models.py:networks"])


def test_what_is_a_model(here: Path) -> None:
    for folder in ("with", "without", "7"):
        (here / folder).mkdir()
    model(here / "with" / "a.onnx")
    model(here / "7" / "a.onnx")
    texts = ["a.onnx", "A.ONNX", "with", "./7", "without", "7", "|none~0|", "0,1,2", "-", "x" * 5000, "a\0b"]
    assert [text for text in texts if is_model(text)] == ["a.onnx", "A.ONNX", "with", "./7"]
