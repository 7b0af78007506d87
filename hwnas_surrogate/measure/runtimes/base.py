"""Runtimes, which execute networks: one small interface."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy.typing as npt

from hwnas_surrogate.data import Device
from hwnas_surrogate.errors import InvalidInputError, MeasurementError, missing_extra
from hwnas_surrogate.measure.energy import EnergyMeter, Rapl
from hwnas_surrogate.measure.runnable import Runnable
from hwnas_surrogate.runner.conditions import processor_name, read_conditions
from hwnas_surrogate.runner.engine import Engine, Operator
from hwnas_surrogate.runner.prepared import Prepared
from hwnas_surrogate.runner.rounds import Run

__all__ = ["Converted", "FileRuntime", "Run", "Runtime"]


_CONDITIONS = {
    "governor": "governor {}",
    "max_clock_mhz": "clock of at most {} MHz",
    "clock_limit_mhz": "clock limited to {} MHz",
    "power": "power mode {}",
    "quota": "quota of {} cores",
}
"""The lasting conditions that a device is described by."""


@dataclass(frozen=True)
class Runtime(ABC):
    """A runtime, which executes networks on this host.

    A custom runtime is a frozen dataclass in an importable module; it must define :meth:`describe` and :meth:`load`.
    Networks are loaded and timed in a separate process, so that a crash or a hang costs one network.

    Parameters
    ----------
    threads : int, default=1
        Threads that one execution may use.
    batch : int, default=1
        Images of one execution, of networks of search spaces; others run at the size of their own inputs.
    """

    threads: int = 1
    batch: int = 1
    name: ClassVar[str]
    patience: ClassVar[float] = 60.0
    """Seconds that loading a network, or running it once, usually takes at most."""
    runs_onnx: ClassVar[bool] = True
    """Whether it runs ONNX files; False if it runs PyTorch modules only."""

    def __post_init__(self) -> None:
        for what in ("threads", "batch"):
            value = getattr(self, what)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidInputError(f"{what} must be an integer of at least 1, got {value!r}.")

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

    @property
    def reports_operators(self) -> bool:
        """Whether it reports the times of operators."""
        return False

    def operators(self, network: Runnable, runs: int = 20) -> list[Operator]:
        """Return the time of each operator of a network, as the runtime reports it.

        Parameters
        ----------
        network : Runnable
        runs : int, default=20
            Executions to average.

        Returns
        -------
        list of Operator
            In the order in which they run, each with the runtime's name and kind, and the typical time in ms.

        Raises
        ------
        MeasurementError
            If the runtime reports none.
        """
        raise MeasurementError(f"runtime {self.name} does not report the times of operators.")

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
    def is_serial(self) -> bool:
        """Whether each run is the work of one thread of the CPU, so that its waiting for a core adds to its time."""
        return self.threads == 1

    @property
    def hardware(self) -> str:
        """The hardware that the networks run on."""
        return processor_name()

    @property
    def host_name(self) -> str:
        """What the names of its devices on this host begin with."""
        return "cpu"

    @property
    def is_cold(self) -> bool:
        """Whether a timed run opens the network as well."""
        return False

    def device_name(self, host: str) -> str:
        """Return the name of a device under this runtime, on a host or a board of this name."""
        batch = f"-b{self.batch}" if self.batch > 1 else ""
        return f"{host}-{self.name}-{self.threads}t{batch}{'-cold' if self.is_cold else ''}"

    def device(self, name: str | None = None) -> Device:
        """Describe this host under this runtime as a device."""
        described = self.describe()  # first: it raises where the runtime can't run here
        name = self.device_name(self.host_name) if name is None else name
        return self.device_on(name, self.hardware, described, read_conditions(seconds=0.0))

    def device_on(self, name: str, hardware: str, described: str, conditions: Mapping[str, Any]) -> Device:
        """Describe a device under this runtime.

        Parameters
        ----------
        name, hardware : str
            Of the device.
        described : str
            The runtime's name, version and number format there.
        conditions : mapping
            From :func:`~hwnas_surrogate.runner.conditions.read_conditions` there.
        """
        runtime = f"{described}, {self.threads} thread{'s' if self.threads > 1 else ''}"
        told = ["cold: each run opens the network" if self.is_cold else "warm"]
        told += [form.format(conditions[what]) for what, form in _CONDITIONS.items() if what in conditions]
        return Device(name, hardware, runtime, self.batch, conditions=", ".join(told))


class Converted(NamedTuple):
    """A network as files of a runtime's format: the model first, then what belongs to it."""

    files: list[Path]
    inputs: dict[str, npt.NDArray[Any]]
    """An array for each input of the model, by the name that it has there."""


@dataclass(frozen=True)
class FileRuntime(Runtime):
    """A runtime that executes files, on this host or on a board.

    The outputs of each network are compared with those of PyTorch when it is loaded.

    Parameters
    ----------
    threads, batch
        As of :class:`Runtime`.
    cold : bool, default=False
        Whether a timed run opens the network and executes it once, as an application does at its start.
    """

    cold: bool = False
    engine: ClassVar[type[Engine]]
    """What opens and executes the files."""
    extra: ClassVar[str]
    """The extra of this package that installs it."""
    format: ClassVar[str]
    """The name of its files' format in ``hwnas export`` and ``hwnas convert``."""
    number_format: ClassVar[str] = "float32"
    tolerance: ClassVar[float | None] = 1e-3
    """The largest difference from PyTorch's outputs, relative to the largest value; None where it says little."""

    @property
    def is_cold(self) -> bool:
        """Whether a timed run opens the network as well."""
        return self.cold

    @abstractmethod
    def convert(self, network: Runnable, folder: Path) -> Converted:
        """Write a network into a folder, in the format that the runtime executes."""

    def engine_options(self) -> dict[str, str]:
        """Return further arguments of the engine."""
        return {}

    def describe(self) -> str:
        """Return the version and the number format."""
        try:
            return f"{self.make_engine().describe()} {self.number_format}"
        except ImportError as error:
            raise missing_extra(f"runtime {self.name}", self.extra) from error

    @property
    def is_serial(self) -> bool:
        """Whether each run is the work of one thread of the CPU only; one that opens the network uses the disk too."""
        return not self.cold and self.make_engine().is_serial

    def make_engine(self) -> Engine:
        """Make the engine for this host."""
        return self.engine(self.threads, **self.engine_options())

    def prepare(self, network: Runnable, folder: Path) -> Prepared:
        """Convert a network into a folder, with its inputs and the outputs that are expected."""
        files, inputs = self.convert(network, folder)
        return Prepared(list(map(str, files)), inputs, network.expected(), self.tolerance)

    def load(self, network: Runnable) -> Run:
        """Convert a network, open it and check its outputs."""
        folder = Path(tempfile.mkdtemp(prefix="hwnas-"))
        remove = partial(shutil.rmtree, folder, ignore_errors=True)
        try:
            run = self.make_engine().load(self.prepare(network, folder), self.cold)
        except BaseException:
            remove()
            raise
        if self.cold:
            weakref.finalize(run, remove)  # each run needs the files
        else:
            remove()
        return run

    @property
    def reports_operators(self) -> bool:
        """Whether it reports the times of operators."""
        return self.engine.reports_operators

    def operators(self, network: Runnable, runs: int = 20) -> list[Operator]:
        """Return the time of each operator of a network; see :meth:`Runtime.operators`."""
        with tempfile.TemporaryDirectory(prefix="hwnas-", ignore_cleanup_errors=True) as folder:
            return self.make_engine().operators(self.prepare(network, Path(folder)), runs)
