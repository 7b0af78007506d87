"""Runtimes for the tests: what they do can be told from outside, also in the measuring process."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
from torch import nn
from torch.utils._pytree import tree_flatten

from hwnas_surrogate.measure import Runnable, Runtime
from hwnas_surrogate.measure.runtimes import FileRuntime
from hwnas_surrogate.networks.cells.operations import ReLUConvBN, Zero
from hwnas_surrogate.networks.nasbench201 import NASBench201Network


def ops_of(network: nn.Module) -> list[int]:
    """Return the ops of a NAS-Bench-201 network."""
    assert isinstance(network, NASBench201Network)
    ops = []
    for layer in network.cells[0].layers:  # type: ignore[union-attr]
        match layer:
            case Zero():
                ops.append(0)
            case nn.Identity():
                ops.append(1)
            case ReLUConvBN():
                ops.append({1: 2, 3: 3}[layer.op[1].kernel_size[0]])  # type: ignore[union-attr, index]
            case _:
                ops.append(4)
    return ops


def outputs_of(runtime: Runtime, network: Runnable) -> list[np.ndarray]:
    """Return what a runtime computes."""
    if not isinstance(runtime, FileRuntime):
        leaves, _ = tree_flatten(runtime.load(network)())
        return [np.asarray(leaf) for leaf in leaves]
    with TemporaryDirectory() as folder:
        return runtime.make_engine().open(runtime.prepare(network, Path(folder))).outputs()


class Meter:
    """Counts a millijoule whenever a fake network runs."""

    source = "fake meter"
    runs = 0

    def millijoules(self) -> float:
        return float(self.runs)


METER = Meter()


@dataclass(frozen=True)
class Fake(Runtime):
    """A runtime that spins 20 us x (1 + the sum of the ops), writes down what it does, and fails as it is told.

    ``fail``, ``crash`` and ``hang`` are ops of networks, as text such as ``"012340"``.
    """

    log: str = ""
    fail: tuple[str, ...] = ()
    crash: tuple[str, ...] = ()
    crash_later: tuple[str, ...] = ()
    hang: tuple[str, ...] = ()
    name: ClassVar[str] = "fake"

    def describe(self) -> str:
        return "fake 1.0"

    def meter(self) -> Meter:
        return METER

    def load(self, network: Runnable) -> Any:
        text = "".join(map(str, ops_of(network.module()[0])))
        self.write(f"load {text} {os.getpid()}")
        print("a library that prints")
        if text in self.fail:
            raise RuntimeError(f"no kernel for {text}")
        if text in self.crash:
            os.kill(os.getpid(), signal.SIGSEGV)
        seconds = 2e-5 * (1 + sum(map(int, text)))
        count = 0

        def run() -> None:
            nonlocal count
            count += 1
            METER.runs += 1
            if text in self.crash_later and count > 3:
                raise MemoryError("not enough of it")
            if text in self.hang and count > 3:
                self.write(f"hang {text}")
                time.sleep(1000)
            self.write(f"run {text}")
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                pass

        return run

    def write(self, line: str) -> None:
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(line + "\n")

    def lines(self, what: str) -> list[str]:
        """Return the networks that were loaded or run, in order."""
        lines = [line.split() for line in Path(self.log).read_text().splitlines()]
        return [line[1] for line in lines if line[0] == what]


@dataclass(frozen=True)
class Refusing(Fake):
    """A runtime that does not load in the measuring process."""

    def describe(self) -> str:
        if os.environ.get("HWNAS_TEST_PARENT") == str(os.getpid()):
            return "refusing 1.0"
        raise ImportError("libsomething.so is missing")
