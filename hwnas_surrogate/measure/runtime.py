"""Runtimes, which execute networks: one small interface, implemented with torch, ONNX Runtime and OpenVINO."""

from __future__ import annotations

import importlib
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from hwnas_surrogate.data import Device
from hwnas_surrogate.errors import InvalidInputError, MeasurementError, missing_extra, unknown
from hwnas_surrogate.measure.energy import EnergyMeter, Nvml, Rapl
from hwnas_surrogate.measure.environment import cpu_model
from hwnas_surrogate.networks import to_onnx

__all__ = ["RUNTIMES", "Cuda", "OnnxRuntime", "OnnxRuntimeInt8", "OpenVINO", "Run", "Runtime", "Torch", "make_runtime"]

Run = Callable[[], object]
"""Executes a network once and waits until it has finished."""


@dataclass(frozen=True)
class Runtime(ABC):
    """A runtime, which executes networks on this host at batch 1.

    A custom runtime is a frozen dataclass in an importable module; it must define :meth:`describe` and :meth:`load`.
    Networks are loaded and timed in a separate process, so that a crash or a hang costs one network.

    Parameters
    ----------
    threads : int, default=1
        Threads that one execution may use.
    """

    threads: int = 1
    name: ClassVar[str]

    def __post_init__(self) -> None:
        if isinstance(self.threads, bool) or not isinstance(self.threads, int) or self.threads < 1:
            raise InvalidInputError(f"threads must be an integer of at least 1, got {self.threads!r}.")

    @abstractmethod
    def describe(self) -> str:
        """Return the runtime's name, version and number format.

        Raises
        ------
        MissingExtraError
            If it is not installed.
        """

    @abstractmethod
    def load(self, network: nn.Module, input_shape: Sequence[int]) -> Run:
        """Make a network in eval mode ready to run; ``input_shape`` comes without the batch."""

    @contextmanager
    def active(self) -> Iterator[None]:
        """Apply settings while networks run, such as the number of threads."""
        yield

    def meter(self) -> EnergyMeter:
        """Return the energy counter of the hardware that the networks run on.

        Raises
        ------
        MeasurementError
            If the host has no counter that can be read; the message states why.
        """
        return Rapl()

    @property
    def hardware(self) -> str:
        """The hardware that the networks run on."""
        return cpu_model()

    @property
    def default_name(self) -> str:
        """A device name for this host under this runtime."""
        return f"cpu-{self.name}-{self.threads}t"

    def device(self, name: str) -> Device:
        """Describe this host under this runtime as a device."""
        runtime = f"{self.describe()}, {self.threads} thread{'s' if self.threads > 1 else ''}"
        return Device(name, self.hardware, runtime, batch=1)


@dataclass(frozen=True)
class Torch(Runtime):
    """PyTorch, eagerly, float32, on the CPU."""

    name: ClassVar[str] = "torch"

    def describe(self) -> str:
        """Return the version."""
        return f"torch {torch.__version__} eager float32"

    @contextmanager
    def active(self) -> Iterator[None]:
        """Set the number of threads, and restore it afterwards."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with torch.inference_mode():
                yield
        finally:
            torch.set_num_threads(before)

    def load(self, network: nn.Module, input_shape: Sequence[int]) -> Run:
        """Run the network as it is."""
        return partial(network, torch.zeros(1, *input_shape))


@dataclass(frozen=True)
class Cuda(Runtime):
    """PyTorch, eagerly, float32 (TF32 as torch sets it), on the current CUDA device."""

    name: ClassVar[str] = "torch-cuda"

    def describe(self) -> str:
        """Return the versions; a host without a CUDA device can't be measured."""
        if not torch.cuda.is_available():
            raise MeasurementError(
                f"runtime torch-cuda needs a CUDA device and a torch built for it; torch {torch.__version__} sees none."
            )
        return f"torch {torch.__version__} eager float32, CUDA {torch.version.cuda}"

    @property
    def hardware(self) -> str:
        """The GPU's name."""
        return torch.cuda.get_device_name()

    def meter(self) -> EnergyMeter:
        """Return the GPU's energy counter."""
        return Nvml(torch.cuda.current_device())

    @property
    def default_name(self) -> str:
        """A device name for the GPU."""
        return "gpu-torch"

    @contextmanager
    def active(self) -> Iterator[None]:
        """Run without autograd."""
        with torch.inference_mode():
            yield

    def load(self, network: nn.Module, input_shape: Sequence[int]) -> Run:
        """Move network and input to the GPU; a run ends when the GPU has finished."""
        moved = network.to("cuda")
        image = torch.zeros(1, *input_shape, device="cuda")

        def run() -> object:
            result = moved(image)
            torch.cuda.synchronize()
            return result

        return run


@dataclass(frozen=True)
class OnnxRuntime(Runtime):
    """ONNX Runtime on the CPU, float32, every graph optimisation."""

    name: ClassVar[str] = "onnxruntime"

    def describe(self) -> str:
        """Return the version."""
        return f"onnxruntime {_import('onnxruntime').__version__} CPU {self._number_format}"

    @property
    def _number_format(self) -> str:
        return "float32"

    def load(self, network: nn.Module, input_shape: Sequence[int]) -> Run:
        """Open a session on the network's ONNX form."""
        return self._open(to_onnx(network, input_shape).SerializeToString(), input_shape)

    def _open(self, model: bytes | str, input_shape: Sequence[int]) -> Run:
        onnxruntime = _import("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return partial(session.run, None, {"image": np.zeros((1, *input_shape), np.float32)})


@dataclass(frozen=True)
class OnnxRuntimeInt8(OnnxRuntime):
    """ONNX Runtime on the CPU, statically quantized to int8 (QDQ, per tensor, int8 activations and weights)."""

    name: ClassVar[str] = "onnxruntime-int8"

    @property
    def _number_format(self) -> str:
        return "int8 static QDQ"

    def load(self, network: nn.Module, input_shape: Sequence[int]) -> Run:
        """Fuse the batch norms, calibrate on one image of noise, quantize and open a session.

        The costs don't depend on the calibration: weights are random here, only the operators count.
        """
        onnxruntime = _import("onnxruntime")
        quantization = _import("onnxruntime.quantization")
        image = np.random.default_rng(0).standard_normal((1, *input_shape)).astype(np.float32)

        class OneImage(quantization.CalibrationDataReader):  # type: ignore[misc,name-defined]
            images: ClassVar[Iterator[Any]] = iter([{"image": image}])

            def get_next(self) -> Any:
                return next(self.images, None)

        with tempfile.TemporaryDirectory() as folder:
            fused, quantized = str(Path(folder, "fused.onnx")), str(Path(folder, "quantized.onnx"))
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
            options.optimized_model_filepath = fused
            model = to_onnx(network, input_shape).SerializeToString()
            onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            quantization.quantize_static(fused, quantized, OneImage(), quant_format=quantization.QuantFormat.QDQ)
            return self._open(quantized, input_shape)


@dataclass(frozen=True)
class OpenVINO(Runtime):
    """OpenVINO on the CPU, float32, tuned for latency."""

    name: ClassVar[str] = "openvino"

    def describe(self) -> str:
        """Return the version."""
        return f"openvino {_import('openvino').__version__.split('-')[0]} CPU float32"

    def load(self, network: nn.Module, input_shape: Sequence[int]) -> Run:
        """Compile the network's ONNX form."""
        openvino = _import("openvino")
        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        model = core.read_model(to_onnx(network, input_shape).SerializeToString())
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        request.set_input_tensor(openvino.Tensor(np.zeros((1, *input_shape), np.float32)))
        run: Run = request.infer
        return run


RUNTIMES: dict[str, type[Runtime]] = {
    runtime.name: runtime for runtime in (Torch, Cuda, OnnxRuntime, OnnxRuntimeInt8, OpenVINO)
}
"""The runtimes by their name in ``hwnas measure --runtime``."""


def make_runtime(name: str, threads: int | None = 1) -> Runtime:
    """Make one of :data:`RUNTIMES`.

    Parameters
    ----------
    name : {"torch", "torch-cuda", "onnxruntime", "onnxruntime-int8", "openvino"}
        The runtime.
    threads : int or None, default=1
        Threads that one execution may use; None for all that this process may run on.
    """
    if name not in RUNTIMES:
        raise unknown(InvalidInputError, "runtime", name, RUNTIMES)
    return RUNTIMES[name](_all_threads() if threads is None else threads)


def _all_threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _import(module: str) -> Any:
    """Import an optional library; the error states how to install it."""
    library = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise missing_extra(f"runtime {library}", library) from error
