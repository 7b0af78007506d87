"""PyTorch eager execution on this host's CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch

from hwnas_surrogate.data import Device
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.measure.environment import cpu_model
from hwnas_surrogate.networks import build_network
from hwnas_surrogate.spaces import NetworkConfig, SearchSpace

__all__ = ["TorchEager"]


class TorchEager:
    """Runs networks with torch, eagerly, in float32 at batch 1.

    Parameters
    ----------
    threads : int, default=1
        Threads within an operation.
    """

    def __init__(self, threads: int = 1) -> None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise InvalidInputError(f"threads must be an integer of at least 1, got {threads!r}.")
        self.threads = threads

    @property
    def default_name(self) -> str:
        """A device name for this host under this runtime."""
        return f"cpu-torch-{self.threads}t"

    def device(self, name: str) -> Device:
        """Describe this host under this runtime as a device."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return Device(name, cpu_model(), f"torch {torch.__version__} eager float32, {threads}")

    @contextmanager
    def active(self) -> Iterator[None]:
        """Set the number of threads, and put it back."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with torch.inference_mode():
                yield
        finally:
            torch.set_num_threads(before)

    def prepare(self, space: SearchSpace, arch: npt.NDArray[np.int8], config: NetworkConfig) -> Callable[[], object]:
        """Build one network and its input; the result runs it once."""
        network = build_network(arch, config, space, random_state=0)
        image = torch.zeros(1, *config.input_shape)

        def run() -> object:
            return network(image)

        return run
