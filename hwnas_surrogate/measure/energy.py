"""Energy counters of this host: RAPL for the processor, NVML for an NVIDIA GPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

from hwnas_surrogate.errors import MeasurementError, missing_extra

__all__ = ["EnergyMeter", "Nvml", "Rapl"]

POWERCAP = "/sys/class/powercap"


class EnergyMeter(Protocol):
    """A counter of energy, which only increases."""

    source: str

    def millijoules(self) -> float:
        """Return the energy used since an arbitrary moment, in mJ."""


class Rapl:
    """The energy of the processor packages, from Linux' powercap interface (Intel and AMD).

    The count includes the energy of other processes and of idling.

    Parameters
    ----------
    folder : path-like, default="/sys/class/powercap"
        The folder of the kernel's interface.

    Raises
    ------
    MeasurementError
        If there is no counter, or it may not be read.
    """

    source = "RAPL, all packages, idle power included"

    def __init__(self, folder: str | os.PathLike[str] = POWERCAP) -> None:
        zones = sorted(Path(folder).glob("intel-rapl:*/energy_uj"))
        # intel-rapl:0 is a package, intel-rapl:0:1 a part of it.
        self._zones = [zone for zone in zones if zone.parent.name.count(":") == 1]
        if not self._zones:
            raise MeasurementError(
                f"this host has no RAPL energy counter in {folder}; virtual machines seldom have one."
            )
        try:
            self._before = [self._read(zone) for zone in self._zones]
            self._ranges = [self._read(zone.with_name("max_energy_range_uj")) for zone in self._zones]
        except (OSError, ValueError) as error:
            raise MeasurementError(
                f"the RAPL energy counter can't be read ({error}); by default, the kernel lets only root read it."
            ) from error
        self._total = 0

    def millijoules(self) -> float:
        """Return the energy since this object was made, in mJ."""
        now = [self._read(zone) for zone in self._zones]
        for at, before, top in zip(now, self._before, self._ranges, strict=True):
            self._total += at - before + (top if at < before else 0)
        self._before = now
        return self._total / 1e3

    @staticmethod
    def _read(path: Path) -> int:
        return int(path.read_text())


class Nvml:
    """The energy of an NVIDIA GPU, counted by its driver.

    Parameters
    ----------
    index : int, default=0
        The GPU.

    Raises
    ------
    MissingExtraError
        If nvidia-ml-py is not installed.
    MeasurementError
        If there is no driver, no such GPU, or one that does not count energy.
    """

    source = "NVML, whole GPU, idle power included"

    def __init__(self, index: int = 0) -> None:
        try:
            import pynvml
        except ImportError as error:
            raise missing_extra("the energy of a GPU", "nvml") from error
        self._nvml: Any = pynvml
        try:
            pynvml.nvmlInit()
            self._gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
            self.millijoules()
        except pynvml.NVMLError as error:
            raise MeasurementError(f"NVML reports no energy of GPU {index}: {error}.") from error

    def millijoules(self) -> float:
        """Return the energy since the driver was loaded, in mJ."""
        return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._gpu))
