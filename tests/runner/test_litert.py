"""The LiteRT engine, on a small network whose files lie beside: ``litert_models``.

They were made by the converters, from a convolution, a linear layer and an embedding: two inputs (float32; int64, which
LiteRT holds as int32) and three outputs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.runner.litert import LiteRTEngine
from hwnas_surrogate.runner.prepared import Prepared, check_outputs

MODELS = Path(__file__).parent / "litert_models"


@pytest.fixture(autouse=True)
def _installed() -> None:
    pytest.importorskip("ai_edge_litert", reason="the extra litert is not installed")


def prepared(form: str, tolerance: float | None = 1e-3) -> Prepared:
    inputs = [["args_0", "float32", [1, 3, 9, 9]], ["args_1", "int64", [1]]]
    described = {"files": [f"{form}.tflite"], "arrays": "arrays.npz", "inputs": inputs, "outputs": 3}
    return Prepared.read(MODELS, {**described, "tolerance": tolerance})


@pytest.mark.parametrize(("form", "tolerance"), [("float32", 1e-5), ("int8", 0.05)])
def test_it_computes_what_pytorch_computes(form: str, tolerance: float) -> None:
    network = prepared(form, tolerance)
    session = LiteRTEngine().open(network)
    session.run()
    first, again = session.outputs(), session.outputs()
    check_outputs(first, network)
    assert [array.shape for array in first] == [(1, 4, 4, 4), (1, 5), (1,)]  # in PyTorch's order
    assert all(np.array_equal(got, same) for got, same in zip(first, again, strict=True))
    assert first[0].dtype == np.float32  # what int8 stands for


def test_int8_is_not_float32() -> None:
    outputs = [LiteRTEngine().open(prepared(form)).outputs()[0] for form in ("float32", "int8")]
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3
    assert len(np.unique(outputs[1])) < len(np.unique(outputs[0]))


def test_names_decide_which_input_is_which() -> None:
    network = prepared("float32", 1e-5)
    network.inputs = dict(reversed(network.inputs.items()))
    check_outputs(LiteRTEngine().open(network).outputs(), network)


def test_another_model_is_noticed() -> None:
    network = prepared("float32")
    network.inputs["args_0"] = network.inputs["args_0"] + 1
    with pytest.raises(MeasurementError, match="differs from PyTorch's"):
        check_outputs(LiteRTEngine().open(network).outputs(), network)


@pytest.mark.parametrize("content", [b"", b"nothing", (MODELS / "float32.tflite").read_bytes()[:900]],
                         ids=["empty", "text", "cut"])  # fmt: skip
def test_files_that_can_not_be_loaded(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    network = prepared("float32")
    network.files = [str(path)]
    with pytest.raises(MeasurementError, match="LiteRT can't load the network: "):
        LiteRTEngine().open(network)


def test_it_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    name, version, *rest = LiteRTEngine().describe().split()
    assert name == "LiteRT"
    assert version[0].isdigit()
    assert rest == ["CPU", "XNNPACK"]
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ImportError):
        LiteRTEngine().describe()


def test_it_reports_no_operators() -> None:
    assert LiteRTEngine().open(prepared("float32")).operators(2) is None


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts the threads of a process as Linux shows them")
@pytest.mark.parametrize("threads", [1, 3])
def test_threads_are_set(threads: int) -> None:
    code = (
        "import os; from tests.runner.test_litert import LiteRTEngine, prepared\n"
        "count = lambda: len(os.listdir('/proc/self/task'))\n"
        f"LiteRTEngine(1).open(prepared('float32')).run(); before = count(); session = LiteRTEngine({threads})"
        ".open(prepared('float32')); session.run(); print(count() - before)"
    )
    environ: dict[str, Any] = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    result = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert int(result.stdout.splitlines()[-1]) == threads - 1


def test_threads_of_python_do_not_matter() -> None:
    session = LiteRTEngine().open(prepared("float32"))
    thread = threading.Thread(target=session.run)
    thread.start()
    thread.join()
    assert len(session.outputs()) == 3
