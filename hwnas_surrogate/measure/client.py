"""The measuring process of this host."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import asdict
from typing import Any

from hwnas_surrogate.data import Device
from hwnas_surrogate.measure.environment import environment
from hwnas_surrogate.measure.runtimes.base import Runtime
from hwnas_surrogate.runner.watching import MeasuringProcess
from hwnas_surrogate.spaces import get_space, space_names

__all__ = ["Worker"]

MODULE = "hwnas_surrogate.measure.worker"
"""The module that the process runs."""


class Worker(MeasuringProcess):
    """A process that times networks with one runtime.

    Parameters
    ----------
    runtime : Runtime
        The runtime that runs the networks.
    timeout : float
        As of :class:`~hwnas_surrogate.runner.watching.MeasuringProcess`.
    """

    def __init__(self, runtime: Runtime, timeout: float) -> None:
        kind = type(runtime)
        spaces = [type(get_space(name)) for name in space_names()]
        hello = {
            "module": kind.__module__,
            "runtime": kind.__qualname__,
            "options": asdict(runtime),
            "spaces": [[space.__module__, space.__qualname__] for space in spaces],
        }
        self._folder = tempfile.TemporaryDirectory(prefix="hwnas-", ignore_cleanup_errors=True)
        hello["folder"] = self._folder.name
        super().__init__([sys.executable, "-m", MODULE], hello, timeout, [self._folder.name])
        self._runtime = runtime

    def device(self, name: str | None) -> Device:
        """Describe this host under the runtime as a device."""
        return self._runtime.device(name)

    def environment(self) -> dict[str, Any]:
        """Return hardware and versions as plain values."""
        return environment()

    def __enter__(self) -> Worker:
        """Start the process."""
        try:
            super().__enter__()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """End the process, and remove the converted networks."""
        super().__exit__(*error)
        self.close()

    def close(self) -> None:
        """Remove the converted networks of a process that has ended, or was never started."""
        self._folder.cleanup()
