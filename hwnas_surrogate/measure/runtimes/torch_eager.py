"""PyTorch, eagerly, on the CPU and on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._pytree import tree_map_only

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure.energy import EnergyMeter, Nvml
from hwnas_surrogate.measure.runnable import Runnable
from hwnas_surrogate.measure.runtimes.base import Runtime
from hwnas_surrogate.runner.engine import Operator
from hwnas_surrogate.runner.rounds import Run

__all__ = ["Cuda", "Torch", "inputs_on"]


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
        return partial(module.to("cpu"), *inputs_on(inputs, "cpu"))

    @property
    def reports_operators(self) -> bool:
        """True: PyTorch's profiler reports them."""
        return True

    def operators(self, network: Runnable, runs: int = 20) -> list[Operator]:
        """Return the time of each operator that the network calls, from PyTorch's profiler.

        The profiler makes each operator slower by some microseconds. Sizes are those that the operators read: it does
        not report what they write.
        """
        run = self.load(network)
        run()
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
            for _ in range(runs):
                run()
        calls = [event for event in profiler.events() if event.cpu_parent is None and event.name.startswith("aten::")]
        calls.sort(key=lambda event: event.time_range.start)
        if not calls or len(calls) % runs:
            raise MeasurementError("PyTorch's profiler reports another number of operators in each execution.")
        n = len(calls) // runs
        return [
            Operator(
                f"{place}:{first.name}",
                first.name,
                float(np.median([event.cpu_time_total for event in calls[place::n]])) / 1e3,
            )
            for place, first in enumerate(calls[:n])
        ]


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
    def is_serial(self) -> bool:
        """False: while the CPU waits, the GPU goes on."""
        return False

    @property
    def hardware(self) -> str:
        """The GPU's name."""
        return torch.cuda.get_device_name()

    def meter(self) -> EnergyMeter:
        """Return the GPU's energy counter."""
        return Nvml(torch.cuda.current_device())

    @property
    def host_name(self) -> str:
        """What the names of its devices begin with."""
        return "gpu"

    def device_name(self, host: str) -> str:
        """Return the name of a device under this runtime: threads mean nothing to it."""
        return f"{host}-torch{f'-b{self.batch}' if self.batch > 1 else ''}"

    @contextmanager
    def active(self) -> Iterator[None]:
        """Run without autograd."""
        with torch.inference_mode():
            yield

    def load(self, network: Runnable) -> Run:
        """Move network and inputs to the GPU; a run ends when the GPU has finished."""
        module, inputs = network.module()
        moved, there = module.to("cuda"), inputs_on(inputs, "cuda")

        def run() -> object:
            result = moved(*there)
            torch.cuda.synchronize()
            return result

        return run


def inputs_on(inputs: tuple[Any, ...], torch_device: str) -> tuple[Any, ...]:
    """Return inputs with their tensors on another device."""
    moved: tuple[Any, ...] = tree_map_only(torch.Tensor, lambda tensor: tensor.to(torch_device), inputs)
    return moved
