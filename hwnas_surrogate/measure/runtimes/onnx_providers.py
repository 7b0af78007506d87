"""ONNX Runtime with its other execution providers: those that the installed wheel has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hwnas_surrogate.errors import MeasurementError, missing_extra
from hwnas_surrogate.measure.runtimes.onnx_files import OnnxRuntime

__all__ = [
    "PROVIDER_RUNTIMES",
    "OnnxRuntimeCoreML",
    "OnnxRuntimeCuda",
    "OnnxRuntimeDirectML",
    "OnnxRuntimeDnnl",
    "OnnxRuntimeMIGraphX",
    "OnnxRuntimeOpenVINO",
    "OnnxRuntimeProvider",
    "OnnxRuntimeQnn",
    "OnnxRuntimeTensorRT",
    "OnnxRuntimeXnnpack",
]


@dataclass(frozen=True)
class OnnxRuntimeProvider(OnnxRuntime):
    """ONNX Runtime with an execution provider, float32.

    The provider may leave operators that it lacks to the CPU, but not all of them. The device's hardware is described
    by the host's processor and the provider.
    """

    provider: ClassVar[str]
    """ONNX Runtime's name of it."""
    wheel: ClassVar[str]
    """How to get a wheel that has it."""

    def describe(self) -> str:
        """Return the version and the provider; a wheel without it can't be measured."""
        try:
            import onnxruntime
        except ImportError as error:
            raise missing_extra(f"runtime {self.name}", self.extra) from error
        available = onnxruntime.get_available_providers()
        if self.provider not in available:
            raise MeasurementError(
                f"the installed onnxruntime {onnxruntime.__version__} lacks {self.provider}, it has "
                f"{', '.join(available)}: {self.wheel}."
            )
        return super().describe()

    def engine_options(self) -> dict[str, str]:
        """Return the provider."""
        return {"provider": self.provider}

    @property
    def hardware(self) -> str:
        """The host's processor, and the provider, which knows its hardware."""
        return f"{super().hardware}, {self.provider}"


class OnnxRuntimeCuda(OnnxRuntimeProvider):
    """ONNX Runtime with CUDA, for NVIDIA's GPUs; TF32 has 10 bits, so that outputs are compared to 1e-2."""

    name = "onnxruntime-cuda"
    provider = "CUDAExecutionProvider"
    wheel = "install onnxruntime-gpu in its place"
    tolerance = 1e-2


class OnnxRuntimeTensorRT(OnnxRuntimeProvider):
    """ONNX Runtime with TensorRT, for NVIDIA's GPUs; outputs are compared to 1e-2, as those of CUDA."""

    name = "onnxruntime-tensorrt"
    provider = "TensorrtExecutionProvider"
    wheel = "install onnxruntime-gpu in its place, and TensorRT"
    tolerance = 1e-2


class OnnxRuntimeMIGraphX(OnnxRuntimeProvider):
    """ONNX Runtime with MIGraphX, for AMD's GPUs."""

    name = "onnxruntime-migraphx"
    provider = "MIGraphXExecutionProvider"
    wheel = "install AMD's build of it, onnxruntime-migraphx"


class OnnxRuntimeOpenVINO(OnnxRuntimeProvider):
    """ONNX Runtime with OpenVINO, for Intel's hardware."""

    name = "onnxruntime-openvino"
    provider = "OpenVINOExecutionProvider"
    wheel = "install onnxruntime-openvino in its place"


class OnnxRuntimeDirectML(OnnxRuntimeProvider):
    """ONNX Runtime with DirectML, for GPUs under Windows."""

    name = "onnxruntime-dml"
    provider = "DmlExecutionProvider"
    wheel = "install onnxruntime-directml in its place"


class OnnxRuntimeCoreML(OnnxRuntimeProvider):
    """ONNX Runtime with Core ML, for Apple's hardware."""

    name = "onnxruntime-coreml"
    provider = "CoreMLExecutionProvider"
    wheel = "the wheel for macOS has it"


class OnnxRuntimeQnn(OnnxRuntimeProvider):
    """ONNX Runtime with QNN, for Qualcomm's accelerators."""

    name = "onnxruntime-qnn"
    provider = "QNNExecutionProvider"
    wheel = "install onnxruntime-qnn in its place"


class OnnxRuntimeXnnpack(OnnxRuntimeProvider):
    """ONNX Runtime with XNNPACK, for CPUs."""

    name = "onnxruntime-xnnpack"
    provider = "XnnpackExecutionProvider"
    wheel = "build it with --use_xnnpack"


class OnnxRuntimeDnnl(OnnxRuntimeProvider):
    """ONNX Runtime with oneDNN, for CPUs."""

    name = "onnxruntime-dnnl"
    provider = "DnnlExecutionProvider"
    wheel = "build it with --use_dnnl"


PROVIDER_RUNTIMES: dict[str, type[OnnxRuntimeProvider]] = {
    runtime.name: runtime
    for runtime in (
        OnnxRuntimeCuda,
        OnnxRuntimeTensorRT,
        OnnxRuntimeMIGraphX,
        OnnxRuntimeOpenVINO,
        OnnxRuntimeDirectML,
        OnnxRuntimeCoreML,
        OnnxRuntimeQnn,
        OnnxRuntimeXnnpack,
        OnnxRuntimeDnnl,
    )
}
"""The runtimes by their name in ``hwnas measure --runtime``."""
