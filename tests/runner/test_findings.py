"""What would spoil a measurement on made-up machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwnas_surrogate.runner.conditions import read_conditions
from hwnas_surrogate.runner.findings import findings
from tests.runner import machines
from tests.runner.machines import machine


@pytest.mark.parametrize(
    ("name", "bad", "mild"),
    [
        ("PI", ["lowered clock", "temperature"], ["frequency scaling"]),
        ("JETSON", [], ["frequency scaling", "limited clock", "power mode"]),
        ("PHONE", ["lowered clock", "battery"], ["frequency scaling"]),
        (
            "LAPTOP",
            ["battery"],
            [
                "lowered clock",
                "temperature",
                "frequency scaling",
                "boost",
                "power mode",
                "SMT siblings",
                "memory",
                "swap",
            ],
        ),
        ("SERVER", [], []),
        ("VM", [], ["SMT siblings", "virtual machine"]),
        ("CONTAINER", [], ["CPU quota"]),
    ],
)
def test_made_up_machines(tmp_path: Path, name: str, bad: list[str], mild: list[str]) -> None:
    got = findings(read_conditions(machine(tmp_path, getattr(machines, name)), seconds=0.0))
    assert [one.what for one in got if one.severity == "bad"] == bad
    assert [one.what for one in got if one.severity == "mild"] == mild
    assert [one.severity for one in got] == ["bad"] * len(bad) + ["mild"] * len(mild)
    assert all(one.found and one.advice for one in got)


@pytest.mark.parametrize(
    ("conditions", "threads", "what", "severity", "command"),
    [
        ({"cores": 4, "busy": 3.5}, 1, "other load", "bad", "top"),
        ({"cores": 16, "busy": 3.5}, 1, "other load", "mild", "top"),
        ({"cores": 4, "smt": True, "busy": 1.5}, 1, "other load", "bad", "top"),
        ({"cores": 4, "steal": 0.1}, 1, "host's load", "bad", ""),
        ({"cores": 8, "quota": 1.0}, 1, "CPU quota", "bad", ""),
        ({"cores": 8, "quota": 4.0}, 1, "CPU quota", "mild", ""),
        ({"cores": 2}, 2, "too few cores", "mild", ""),
        ({"cores": 2}, 3, "too few cores", "bad", ""),
        ({"cores": 1}, 1, "too few cores", "mild", ""),
        ({"governor": "powersave", "scaling": "acpi-cpufreq"}, 1, "frequency scaling", "bad", "performance"),
        ({"governor": "powersave", "scaling": "amd-pstate-epp"}, 1, "frequency scaling", "mild", "performance"),
        ({"governor": "schedutil", "power": "nvpmodel 0"}, 1, "frequency scaling", "mild", "sudo jetson_clocks"),
        ({"boost": True, "scaling": "acpi-cpufreq"}, 1, "boost", "mild", "echo 0 | sudo tee /sys/devices/system/cpu/c"),
        ({"boost": True, "scaling": "intel_pstate"}, 1, "boost", "mild", "/intel_pstate/no_turbo"),
        ({"power": "low-power"}, 1, "power mode", "bad", "powerprofilesctl"),
        ({"virtual": "WSL"}, 1, "virtual machine", "mild", ""),
        ({"memory_free_mb": 100}, 1, "memory", "bad", ""),
        ({"throttled": "12 times since the start"}, 1, "lowered clock", "mild", ""),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_each_condition(conditions: dict[str, Any], threads: int, what: str, severity: str, command: str) -> None:
    found = {one.what: one for one in findings(conditions, threads)}
    assert found[what].severity == severity
    assert command in found[what].command


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"cores": 16, "busy": 1.0, "steal": 0.01, "smt": False, "governor": "performance", "boost": False},
        {"cores": 4, "busy": 0.3, "temperature_c": 55.0, "battery": False, "power": "performance", "swap_mb": 10},
        {"power": "nvpmodel MAXN", "quota": 4.0, "cores": 4},
    ],
    ids=["nothing known", "server", "desktop", "jetson"],
)
def test_nothing_is_wrong(conditions: dict[str, Any]) -> None:
    assert findings(conditions) == []
