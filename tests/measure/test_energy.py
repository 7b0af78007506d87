"""Energy counters: read, added up over their overflow, or honestly absent."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from hwnas_surrogate.errors import MeasurementError, MissingExtraError
from hwnas_surrogate.measure import Cuda, Nvml, Rapl, Torch


def zone(folder: Path, name: str, microjoules: int, top: int = 1_000_000) -> Path:
    path = folder / name
    path.mkdir(parents=True)
    (path / "max_energy_range_uj").write_text(f"{top}\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    return path / "energy_uj"


def test_packages_are_added_and_their_parts_are_not(tmp_path: Path) -> None:
    first, second = zone(tmp_path, "intel-rapl:0", 5_000), zone(tmp_path, "intel-rapl:1", 7_000)
    part = zone(tmp_path, "intel-rapl:0:0", 1_000)
    meter = Rapl(tmp_path)
    assert meter.millijoules() == 0.0
    first.write_text("9000\n")
    second.write_text("8500\n")
    part.write_text("900000\n")
    assert meter.millijoules() == 5.5
    assert meter.millijoules() == 5.5


def test_a_counter_that_starts_again(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", 990_000)
    meter = Rapl(tmp_path)
    counter.write_text("15000\n")
    assert meter.millijoules() == 25.0
    counter.write_text("16000\n")
    assert meter.millijoules() == 26.0


def test_a_host_without_counters(tmp_path: Path) -> None:
    with pytest.raises(MeasurementError, match="has no RAPL energy counter"):
        Rapl(tmp_path)


def test_a_counter_that_may_not_be_read(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", 1)
    counter.unlink()
    counter.mkdir()  # root reads whatever there is but a folder
    with pytest.raises(MeasurementError, match="can't be read"):
        Rapl(tmp_path)


class FakeNvml(SimpleNamespace):
    """What is used of pynvml: one GPU, whose counter moves when it is read."""

    class NVMLError(Exception):
        pass

    def nvmlInit(self) -> None:
        if self.broken:
            raise self.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        if index:
            raise self.NVMLError("Invalid Argument")
        return "gpu"

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: str) -> int:
        assert gpu == "gpu"
        self.count += 250
        return self.count


def test_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(broken=False, count=0))
    meter = Nvml()
    before = meter.millijoules()
    assert meter.millijoules() - before == 250.0
    with pytest.raises(MeasurementError, match="NVML reports no energy of GPU 1: Invalid Argument"):
        Nvml(1)


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(broken=True, count=0))
    with pytest.raises(MeasurementError, match="Driver Not Loaded"):
        Nvml()


def test_no_pynvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(MissingExtraError, match=r"the extra 'nvml', for .* is not installed: pip install"):
        Nvml()


def test_each_runtime_asks_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas_surrogate.measure.runtimes.base.Rapl", lambda: "the processor's")
    monkeypatch.setattr("hwnas_surrogate.measure.runtimes.torch_eager.Nvml", lambda index: f"GPU {index}'s")
    monkeypatch.setattr("torch.cuda.current_device", lambda: 1)
    assert Torch().meter() == "the processor's"
    assert Cuda().meter() == "GPU 1's"
