"""Runtimes, which execute networks: one small interface, implemented with torch, ONNX Runtime and OpenVINO."""

from __future__ import annotations

import importlib
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch.utils._pytree import tree_map_only

from hwnas_surrogate.data import Device
from hwnas_surrogate.errors import InvalidInputError, MeasurementError, missing_extra, unknown
from hwnas_surrogate.measure.energy import EnergyMeter, Nvml, Rapl
from hwnas_surrogate.measure.environment import cpu_model
from hwnas_surrogate.measure.runnable import Feed, Runnable

__all__ = ["RUNTIMES", "Cuda", "OnnxRuntime", "OnnxRuntimeInt8", "OpenVINO", "Run", "Runtime", "Torch", "make_runtime"]

Run = Callable[[], object]
"""Executes a network once and waits until it has finished."""


@dataclass(frozen=True)
class Runtime(ABC):
    """A runtime, which executes networks on this host: those of search spaces at batch 1.

    A custom runtime is a frozen dataclass in an importable module; it must define :meth:`describe` and :meth:`load`.
    Networks are loaded and timed in a separate process, so that a crash or a hang costs one network.

    Parameters
    ----------
    threads : int, default=1
        Threads that one execution may use.
    """

    threads: int = 1
    name: ClassVar[str]
    runs_onnx: ClassVar[bool] = True
    """Whether it runs ONNX files; False if it runs PyTorch modules only."""

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
    def load(self, network: Runnable) -> Run:
        """Make a network ready to run, as the module or as the ONNX model that it gives."""

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
    runs_onnx: ClassVar[bool] = False

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

    def load(self, network: Runnable) -> Run:
        """Run the network as it is."""
        module, inputs = network.module()
        return partial(module.to("cpu"), *_moved(inputs, "cpu"))


@dataclass(frozen=True)
class Cuda(Runtime):
    """PyTorch, eagerly, float32 (TF32 as torch sets it), on the current CUDA device."""

    name: ClassVar[str] = "torch-cuda"
    runs_onnx: ClassVar[bool] = False

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

    def load(self, network: Runnable) -> Run:
        """Move network and inputs to the GPU; a run ends when the GPU has finished."""
        module, inputs = network.module()
        moved, there = module.to("cuda"), _moved(inputs, "cuda")

        def run() -> object:
            result = moved(*there)
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

    def load(self, network: Runnable) -> Run:
        """Open a session on the network's ONNX form."""
        return self._open(*network.onnx())

    def _open(self, model: bytes | str, feed: Feed) -> Run:
        onnxruntime = _import("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return partial(session.run, None, feed)


@dataclass(frozen=True)
class OnnxRuntimeInt8(OnnxRuntime):
    """ONNX Runtime on the CPU, statically quantized to int8 (QDQ, per tensor, int8 activations and weights)."""

    name: ClassVar[str] = "onnxruntime-int8"

    @property
    def _number_format(self) -> str:
        return "int8 static QDQ"

    def load(self, network: Runnable) -> Run:
        """Fuse the batch norms, calibrate on one input of noise, quantize and open a session.

        Where the weights are random only the operators count, so that the costs don't depend on the calibration.
        """
        onnxruntime = _import("onnxruntime")
        quantization = _import("onnxruntime.quantization")
        model, feed = network.onnx()
        rng = np.random.default_rng(0)
        noise = {name: _noise(array, rng) for name, array in feed.items()}

        class OneInput(quantization.CalibrationDataReader):  # type: ignore[misc,name-defined]
            inputs: ClassVar[Iterator[Any]] = iter([noise])

            def get_next(self) -> Any:
                return next(self.inputs, None)

        with tempfile.TemporaryDirectory() as folder:
            fused, quantized = str(Path(folder, "fused.onnx")), str(Path(folder, "quantized.onnx"))
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
            options.optimized_model_filepath = fused
            onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            quantization.quantize_static(fused, quantized, OneInput(), quant_format=quantization.QuantFormat.QDQ)
            return self._open(quantized, feed)


@dataclass(frozen=True)
class OpenVINO(Runtime):
    """OpenVINO on the CPU, float32, tuned for latency."""

    name: ClassVar[str] = "openvino"

    def describe(self) -> str:
        """Return the version."""
        return f"openvino {_import('openvino').__version__.split('-')[0]} CPU float32"

    def load(self, network: Runnable) -> Run:
        """Compile the network's ONNX form."""
        source, feed = network.onnx()
        openvino = _import("openvino")
        core = openvino.Core()
        settings = {
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        request = core.compile_model(core.read_model(source), "CPU", settings).create_infer_request()
        for name, array in feed.items():
            request.set_tensor(name, openvino.Tensor(array))
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


def _moved(inputs: tuple[Any, ...], torch_device: str) -> tuple[Any, ...]:
    """Return inputs with their tensors on another device."""
    moved: tuple[Any, ...] = tree_map_only(torch.Tensor, lambda tensor: tensor.to(torch_device), inputs)
    return moved


def _noise(array: npt.NDArray[Any], rng: np.random.Generator) -> npt.NDArray[Any]:
    """Return normal noise in the form of an input; whole numbers stay, since not all of them are allowed."""
    is_real = np.issubdtype(array.dtype, np.floating)
    return rng.standard_normal(array.shape).astype(array.dtype) if is_real else array


def _import(module: str) -> Any:
    """Import an optional library; the error states how to install it."""
    library = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise missing_extra(f"runtime {library}", library) from error
