"""What is read of a machine: of made-up ones, of odd ones, and of this one."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hwnas_surrogate.runner.conditions import conditions_of, processor_name, read_conditions
from hwnas_surrogate.runner.facts import allowed_cores, core_times, is_clock_lowered, read_facts
from tests.runner import machines
from tests.runner.machines import CPU, machine

WANTED: list[tuple[str, dict[str, Any]]] = [
    (
        "PI",
        {
            "processor": "Raspberry Pi 5 Model B Rev 1.0 (4x Cortex-A76)",
            "cores": 4,
            "governor": "ondemand",
            "clock_mhz": 1500.0,
            "max_clock_mhz": 2400.0,
            "clock_limit_mhz": None,
            "temperature_c": 81.5,
            "throttled": "undervoltage now, throttled now, undervoltage since the start, throttled since the start",
            "load": 0.1,
            "memory_mb": 8056,
            "memory_free_mb": 6835,
            "swap_mb": 0,
            "virtual": None,
            "container": None,
            "battery": None,
        },
    ),
    (
        "JETSON",
        {
            "processor": "NVIDIA Jetson Orin Nano Developer Kit (6x Cortex-A78AE)",
            "governor": "schedutil",
            "clock_limit_mhz": 1510.4,
            "temperature_c": 49.25,
            "throttled": None,
            "power": "nvpmodel 7W",
        },
    ),
    (
        "PHONE",
        {
            "processor": "Qualcomm Technologies, Inc SM8550 (3x Cortex-A510 + 4x Cortex-A715 + 1x Cortex-X3)",
            "governor": "walt, performance",
            "throttled": "clock lowered for heat now",
            "battery": True,
            "quota": None,
        },
    ),
    (
        "LAPTOP",
        {
            "processor": "12th Gen Intel(R) Core(TM) i7-1260P (family 6 model 154)",
            "cores": 16,
            "smt": True,
            "boost": True,
            "scaling": "intel_pstate",
            "temperature_c": 74.0,
            "throttled": "31 times since the start",
            "swap_mb": 1953,
            "battery": True,
            "power": "balanced",
            "virtual": None,
        },
    ),
    (
        "SERVER",
        {
            "cores": 64,
            "smt": False,
            "boost": False,
            "clock_mhz": 2100.0,
            "battery": None,
            "virtual": None,
            "container": None,
        },
    ),
    ("VM", {"cores": 2, "smt": True, "virtual": "Amazon EC2 m6i.large"}),
    ("CONTAINER", {"cores": 4, "cores_online": 40, "quota": 1.5, "container": "docker", "virtual": None}),
    ("POD", {"quota": 2.5, "container": "kubepods"}),
]


@pytest.mark.parametrize(("name", "wanted"), WANTED, ids=[name for name, _ in WANTED])
def test_made_up_machines(tmp_path: Path, name: str, wanted: dict[str, Any]) -> None:
    got = read_conditions(machine(tmp_path, getattr(machines, name)), seconds=0.0)
    assert {key: got.get(key) for key in wanted} == wanted
    assert json.loads(json.dumps(got)) == got


@pytest.mark.parametrize("name", [name for name, _ in WANTED])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0", b"-1", b"7" * 5000, b"a b: c\n\n:::\n-\n1-0,,9"], ids=range(5))
def test_odd_files_are_left_out(tmp_path: Path, name: str, content: bytes) -> None:
    files: dict[str, str] = getattr(machines, name)
    root = machine(tmp_path, files)
    for file in files:
        (tmp_path / file).write_bytes(content)
    json.dumps(read_conditions(root, seconds=0.0))


@pytest.mark.parametrize("name", [name for name, _ in WANTED])
def test_folders_instead_of_files_are_left_out(tmp_path: Path, name: str) -> None:
    for file in getattr(machines, name):
        (tmp_path / file).mkdir(parents=True)
    json.dumps(read_conditions(str(tmp_path), seconds=0.0))


def test_a_system_without_these_files(tmp_path: Path) -> None:
    got = read_conditions(str(tmp_path), seconds=0.0)
    assert got["cores"] == os.cpu_count()
    assert got["processor"]
    assert got["python"] == platform.python_version()
    assert set(got) == {"processor", "system", "python", "cores"}


def test_a_mac_is_asked_for_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    asked: list[list[str]] = []

    def run(command: list[str], **_: Any) -> Any:
        asked.append(command)
        return type("Done", (), {"stdout": "Apple M2\n"})

    monkeypatch.setattr("hwnas_surrogate.runner.facts.subprocess.run", run)
    assert read_conditions(str(tmp_path))["processor"] == "Apple M2"
    assert asked == [["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]]


@pytest.mark.parametrize(
    ("cores", "name"),
    [
        ([(0x41, 0xD03)], "1x Cortex-A53"),
        ([(0x61, 0x32)], "1x Apple core 32"),
        ([(0x51, 0x1)] * 12, "12x Oryon"),
        ([(0x99, 0x7)], "1x 99 core 7"),
    ],
    ids=str,
)
def test_arm_cores_have_names(tmp_path: Path, cores: list[tuple[int, int]], name: str) -> None:
    root = machine(tmp_path, {"proc/cpuinfo": machines.arm(*cores)})
    assert read_conditions(root, seconds=0.0)["processor"] == name


def test_a_mode_of_a_jetson_without_a_name(tmp_path: Path) -> None:
    files = {name: text for name, text in machines.JETSON.items() if name != "etc/nvpmodel.conf"}
    assert read_conditions(machine(tmp_path, files), seconds=0.0)["power"] == "nvpmodel 1"


def test_load_by_others_is_observed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tick = 1 / os.sysconf("SC_CLK_TCK")

    def stat(seconds: float) -> str:
        busy, steal = round(seconds / tick), round(0.1 * seconds / tick)
        cores = [f"cpu{core} {busy} 0 0 500 300 0 0 {steal if core else 0} 0 0\n" for core in range(3)]
        return f"cpu  {busy} 0 0 0 0 0 0 0 0 0\n{''.join(cores)}intr 1 2 3\n"

    root = machine(tmp_path, {**machines.PI, "proc/self/status": "Cpus_allowed_list:\t1-2\n", "proc/stat": stat(0.0)})
    monkeypatch.setattr(time, "process_time", lambda: 0.0)
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def sleep(seconds: float) -> None:
        clock[0] += 2.0
        (tmp_path / "proc/stat").write_text(stat(1.0))

    monkeypatch.setattr(time, "sleep", sleep)
    got = read_conditions(root)
    assert got["busy"] == pytest.approx(1.0)  # two cores, each busy for half of the time; the third may not be used
    assert got["steal"] == pytest.approx(0.05)


def test_core_times_leave_idle_and_disk_out(tmp_path: Path) -> None:
    tick = 1 / os.sysconf("SC_CLK_TCK")
    stat = "cpu  9 9 9 9 9 9 9 9\ncpu0 1 2 3 4 5 6 7 8 9 10\ncpu1 0 0 0 0 0 0 0\nintr 1 2\n"
    root = machine(tmp_path, {"proc/stat": stat})
    assert core_times(root) == pytest.approx(((1 + 2 + 3 + 6 + 7) * tick, 8 * tick))
    machine(tmp_path, {"proc/self/status": "Cpus_allowed_list:\t1\n"})
    assert core_times(root) == (0.0, 0.0)
    machine(tmp_path, {"proc/self/status": "Cpus_allowed_list:\t5\n"})
    assert core_times(root) is None


@pytest.mark.parametrize(
    ("name", "lowered"), [("PI", True), ("PHONE", True), ("JETSON", False), ("LAPTOP", False), ("SERVER", False)]
)
def test_a_clock_that_is_lowered_now(tmp_path: Path, name: str, lowered: bool) -> None:
    assert is_clock_lowered(machine(tmp_path, getattr(machines, name))) is lowered


def test_a_clock_that_was_lowered_before(tmp_path: Path) -> None:
    file = "sys/devices/platform/soc/soc:firmware/get_throttled"
    assert not is_clock_lowered(machine(tmp_path, {file: "50000\n"}))
    assert not is_clock_lowered(machine(tmp_path, {file: "0\n"}))
    assert is_clock_lowered(machine(tmp_path, {file: "e0008\n"}))


def test_facts_travel_as_json(tmp_path: Path) -> None:
    facts = read_facts(machine(tmp_path, machines.LAPTOP), seconds=0.0)
    assert facts["files"] == {name: text.strip() for name, text in machines.LAPTOP.items() if "/AC/online" not in name}
    assert conditions_of(json.loads(json.dumps(facts))) == read_conditions(str(tmp_path), seconds=0.0)


def test_large_files_are_cut(tmp_path: Path) -> None:
    facts = read_facts(machine(tmp_path, {"proc/cpuinfo": machines.x86("CPU X") * 5000}), seconds=0.0)
    assert len(facts["files"]["proc/cpuinfo"]) <= 1 << 16
    assert conditions_of(facts)["processor"] == "CPU X (family 6 model 154)"


@pytest.mark.parametrize(
    ("text", "cores"),
    [("0-2,7", [0, 1, 2, 7]), ("3", [3]), ("0-99999999999", []), ("2-", []), ("a", []), ("5-4", []), (",", [])],
)
def test_lists_of_cores(tmp_path: Path, text: str, cores: list[int]) -> None:
    assert allowed_cores(machine(tmp_path, {"proc/self/status": f"Cpus_allowed_list:\t{text}\n"})) == cores


def test_smt_needs_siblings(tmp_path: Path) -> None:
    root = machine(tmp_path, {CPU + "cpu0/topology/thread_siblings_list": "0\n"})
    assert read_conditions(root, seconds=0.0)["smt"] is False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_this_machine() -> None:
    begin = time.perf_counter()
    got = read_conditions()
    assert time.perf_counter() - begin < 2.0
    assert 1 <= got["cores"] == len(os.sched_getaffinity(0))
    assert 0 <= got["busy"] <= got["cores"]
    assert got["memory_mb"] > 100
    assert processor_name() == got["processor"]
