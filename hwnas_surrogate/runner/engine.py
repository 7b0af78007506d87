"""Engines: runtimes that execute files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Optional

import numpy.typing as npt

from hwnas_surrogate.errors import InvalidInputError, MeasurementError
from hwnas_surrogate.runner.prepared import Prepared, check_outputs
from hwnas_surrogate.runner.rounds import Run

__all__ = ["Engine", "Operator", "Session"]


class Operator(NamedTuple):
    """The time of one operator as a runtime reports it."""

    name: str
    kind: str
    ms: float
    written: int = 0
    """How many numbers it writes; 0 if that is not known."""
    stored: int = 0
    """How many stored numbers (weights and biases) it reads; 0 if that is not known."""


class Session(ABC):
    """A network in memory."""

    @abstractmethod
    def run(self) -> None:
        """Execute the network once on its inputs, and wait until it has finished: what is timed."""

    @abstractmethod
    def outputs(self) -> list[npt.NDArray[Any]]:
        """Execute the network once, and return its outputs in the network's order."""

    def operators(self, runs: int) -> Optional[list[Operator]]:
        """Return the median time of each operator over some executions; None if the runtime reports none."""
        return None


class Engine(ABC):
    """A runtime that executes files.

    Parameters
    ----------
    threads : int, default=1
        Threads that one execution may use.
    """

    name = ""
    library = ""
    """The module that it imports."""
    suffix = ""
    """That of the model files that it executes."""
    reports_operators = False
    """Whether it reports the times of operators."""

    def __init__(self, threads: int = 1) -> None:
        if threads < 1:
            raise InvalidInputError(f"threads must be at least 1, got {threads}.")
        self.threads = threads

    @property
    def is_serial(self) -> bool:
        """Whether each run is the work of one thread of the CPU, so that its waiting for a core adds to its time."""
        return self.threads == 1

    @abstractmethod
    def describe(self) -> str:
        """Return the runtime's name and version, and what it runs on.

        Raises
        ------
        ImportError
            If it is not installed.
        """

    @abstractmethod
    def open(self, prepared: Prepared) -> Session:
        """Load a network.

        Raises
        ------
        MeasurementError
            If the runtime does not run it as it was told to.
        """

    def operators(self, prepared: Prepared, runs: int) -> list[Operator]:
        """Return the time of each operator of a network over some executions.

        Raises
        ------
        MeasurementError
            As :meth:`open`, or if the runtime reports none.
        """
        found = self.open(prepared).operators(runs)
        if found is None:
            raise MeasurementError(f"runtime {self.name} does not report the times of operators.")
        return found

    def load(self, prepared: Prepared, cold: bool) -> Run:
        """Load a network, check its outputs, and return its run, which opens it anew each time if it is cold.

        Raises
        ------
        MeasurementError
            As :meth:`open`, or if its outputs are not the expected ones.
        """
        session = self.open(prepared)
        check_outputs(session.outputs(), prepared)
        return (lambda: self.open(prepared).run()) if cold else session.run
