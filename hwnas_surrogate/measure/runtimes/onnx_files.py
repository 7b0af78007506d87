"""Runtimes that execute ONNX files: ONNX Runtime and OpenVINO."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import missing_extra
from hwnas_surrogate.measure.runnable import Runnable
from hwnas_surrogate.measure.runtimes.base import Converted, FileRuntime
from hwnas_surrogate.measure.runtimes.quiet import quiet
from hwnas_surrogate.runner.onnx_engines import OnnxRuntimeEngine, OpenVINOEngine, import_onnxruntime

__all__ = ["OnnxRuntime", "OnnxRuntimeInt8", "OpenVINO", "write_onnx"]


def write_onnx(network: Runnable, folder: Path) -> Converted:
    """Write a network as ONNX; an ONNX file stays where it is."""
    model, feed = network.onnx()
    if isinstance(model, str):
        return Converted([Path(model), *_data_beside(Path(model))], feed)
    path = folder / "model.onnx"
    path.write_bytes(model)
    return Converted([path], feed)


def _data_beside(path: Path) -> list[Path]:
    """Return the files that hold a model's weights, in the order of their names."""
    import onnx
    from onnx.external_data_helper import _get_all_tensors, uses_external_data

    model = onnx.load(path, load_external_data=False)
    tensors = [tensor for tensor in _get_all_tensors(model) if uses_external_data(tensor)]
    names = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
    return [path.parent / name for name in sorted(names)]


@dataclass(frozen=True)
class OnnxRuntime(FileRuntime):
    """ONNX Runtime on the CPU, float32, every graph optimisation."""

    name: ClassVar[str] = "onnxruntime"
    extra: ClassVar[str] = "onnxruntime"
    format: ClassVar[str] = "onnx"
    engine: ClassVar = OnnxRuntimeEngine

    def convert(self, network: Runnable, folder: Path) -> Converted:
        """Write the network as ONNX."""
        return write_onnx(network, folder)


@dataclass(frozen=True)
class OnnxRuntimeInt8(OnnxRuntime):
    """ONNX Runtime on the CPU, statically quantized to int8 (QDQ, per tensor, int8 activations and weights)."""

    name: ClassVar[str] = "onnxruntime-int8"
    format: ClassVar[str] = "onnx-int8"
    number_format: ClassVar[str] = "int8 static QDQ"
    tolerance: ClassVar[float | None] = None

    def convert(self, network: Runnable, folder: Path) -> Converted:
        """Fuse the batch norms, calibrate on one input of noise, and quantize.

        Where the weights are random only the operators count, so that the costs don't depend on the calibration.
        """
        try:
            onnxruntime = import_onnxruntime()
            from onnxruntime import quantization
        except ImportError as error:
            raise missing_extra(f"runtime {self.name}", self.extra) from error
        model, feed = network.onnx()
        rng = np.random.default_rng(0)
        noise = {name: _noise(array, rng) for name, array in feed.items()}

        class OneInput(quantization.CalibrationDataReader):  # type: ignore[misc]
            inputs: ClassVar[Iterator[Any]] = iter([noise])

            def get_next(self) -> Any:
                return next(self.inputs, None)

        fused, quantized = folder / "fused.onnx", folder / "model.onnx"
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(fused)
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        form = quantization.QuantFormat.QDQ
        with quiet():
            quantization.quantize_static(str(fused), str(quantized), OneInput(), quant_format=form)
        return Converted([quantized], feed)


@dataclass(frozen=True)
class OpenVINO(FileRuntime):
    """OpenVINO on the CPU, float32, tuned for latency."""

    name: ClassVar[str] = "openvino"
    extra: ClassVar[str] = "openvino"
    format: ClassVar[str] = "onnx"
    engine: ClassVar = OpenVINOEngine

    def convert(self, network: Runnable, folder: Path) -> Converted:
        """Write the network as ONNX."""
        return write_onnx(network, folder)


def _noise(array: npt.NDArray[Any], rng: np.random.Generator) -> npt.NDArray[Any]:
    """Return normal noise in the form of an input; whole numbers stay, since not all of them are allowed."""
    is_real = np.issubdtype(array.dtype, np.floating)
    return rng.standard_normal(array.shape).astype(array.dtype) if is_real else array
