"""ncnn, whose files pnnx writes."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy.typing as npt
import torch

from hwnas_surrogate.errors import InvalidInputError, MeasurementError, MissingExtraError, missing_extra
from hwnas_surrogate.measure.runnable import Feed, Runnable
from hwnas_surrogate.measure.runtimes.base import Converted, FileRuntime
from hwnas_surrogate.runner.ncnn_engine import NcnnEngine

__all__ = ["Ncnn"]

TIMEOUT = 45.0
"""Seconds that pnnx may take: less than loading a network may."""
TYPES = {
    "float32": "f32",
    "float64": "f64",
    "float16": "f16",
    "int8": "i8",
    "uint8": "u8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
}
"""pnnx's names of number formats."""


@dataclass(frozen=True)
class Ncnn(FileRuntime):
    """ncnn on the CPU, float32: storage and arithmetic of half precision, which it uses by default, are off.

    pnnx converts the network's ONNX form. If it can't, it converts the TorchScript trace of a PyTorch module: each of
    the two has operators that the other lacks. ncnn has no batch dimension, so that networks run at batch 1 only.
    """

    name: ClassVar[str] = "ncnn"
    extra: ClassVar[str] = "ncnn"
    format: ClassVar[str] = "ncnn"
    engine: ClassVar = NcnnEngine

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch != 1:
            raise InvalidInputError(f"ncnn has no batch dimension, so that batch must be 1, got {self.batch}.")

    def convert(self, network: Runnable, folder: Path) -> Converted:
        """Write the network as ``model.param`` and ``model.bin``.

        Raises
        ------
        MeasurementError
            If the batch is not 1, or pnnx or ncnn lacks an operator of the network.
        """
        try:
            return _from_onnx(network, folder)
        except MissingExtraError:
            raise
        except Exception as error:  # noqa: BLE001 - PyTorch raises errors of many kinds
            first = error
        try:
            return _from_trace(network, folder)
        except Exception as error:
            # What the ONNX form lacks says more: ONNX is better known than TorchScript.
            raise MeasurementError(" ".join(str(first).split())[:300]) from error


def _from_onnx(network: Runnable, folder: Path) -> Converted:
    model, feed = network.onnx()
    with tempfile.TemporaryDirectory(dir=folder) as inner:
        # pnnx writes beside what it reads, and a model's data files stand beside the model.
        path = Path(inner, "model.onnx")
        path.write_bytes(_whole(model))
        return _converted(path, feed, folder)


def _whole(model: bytes | str) -> bytes:
    """Return a model with the data that is stored beside it."""
    if isinstance(model, bytes):
        return model
    import onnx

    whole: bytes = onnx.load(model).SerializeToString()
    return whole


def _from_trace(network: Runnable, folder: Path) -> Converted:
    module, inputs = network.module()
    if not all(isinstance(value, torch.Tensor) for value in inputs):
        raise MeasurementError("ncnn runs networks whose inputs are tensors.")
    feed = {f"input_{number}": value.detach().cpu().numpy() for number, value in enumerate(inputs)}
    with tempfile.TemporaryDirectory(dir=folder) as inner, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # about values that tracing fixes: inputs are fixed too
        path = Path(inner, "model.pt")
        trace: Any = torch.jit.trace
        trace(module, inputs, check_trace=False, strict=False).save(str(path))
        return _converted(path, feed, folder)


def _converted(path: Path, feed: Feed, folder: Path) -> Converted:
    """Convert a file with pnnx, and check that ncnn has every operator of the result."""
    try:
        import ncnn
        from pnnx import EXEC_PATH
    except ImportError as error:
        raise missing_extra("runtime ncnn", "ncnn") from error
    for array in feed.values():
        if array.ndim and array.shape[0] != 1:
            raise MeasurementError(f"ncnn runs batch 1 only, and an input has the shape {array.shape}.")
    shapes = ",".join(f"{list(array.shape)}{_type_name(array)}".replace(" ", "") for array in feed.values())
    printed = _run([EXEC_PATH, path.name, f"inputshape={shapes}", "fp16=0"], path.parent)
    structure, weights = path.with_suffix(".ncnn.param"), path.with_suffix(".ncnn.bin")
    if not (structure.is_file() and weights.is_file()):
        raise MeasurementError(f"pnnx can't convert the network for ncnn: {_last_line(printed)}")
    kinds = [line.split()[0] for line in structure.read_text().splitlines()[2:]]
    unknown = sorted({kind for kind in kinds if ncnn.layer_to_index(kind) < 0})
    if unknown:
        raise MeasurementError(f"ncnn has no operator for {', '.join(unknown)} of the network.")
    names = [line.split()[1] for line in structure.read_text().splitlines()[2:] if line.startswith("Input ")]
    files = [folder / "model.param", folder / "model.bin"]
    shutil.move(structure, files[0])
    shutil.move(weights, files[1])
    inputs = {f"in{number}": array for number, array in enumerate(feed.values())}
    return Converted(files, {name: array for name, array in inputs.items() if name in names})


def _type_name(array: npt.NDArray[Any]) -> str:
    name = str(array.dtype)
    if name not in TYPES:
        raise MeasurementError(f"pnnx converts networks whose inputs are numbers, and one has the type {name}.")
    return TYPES[name]


def _run(command: list[str], folder: Path) -> str:
    """Run a program in a folder, and return what it prints."""
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(f"pnnx took more than {TIMEOUT:.0f} s to convert the network.") from error
    except OSError as error:
        raise MeasurementError(f"can't run pnnx: {error.strerror or error}.") from error
    return (done.stdout + done.stderr).decode(errors="replace")


def _last_line(printed: str) -> str:
    lines = [line.strip() for line in printed.splitlines() if line.strip(" #\t")]
    return f"{lines[-1]:.200}" if lines else "it prints nothing."
