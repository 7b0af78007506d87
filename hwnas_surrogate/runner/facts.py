"""What this system shows of its processor, load, heat and power, as it shows it: small files, and some values."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any

__all__ = ["allowed_cores", "core_times", "is_clock_lowered", "listed_cores", "read_facts"]

FACT_FILES = """
.dockerenv etc/nvpmodel.conf var/lib/nvpmodel/status
proc/cpuinfo proc/loadavg proc/meminfo proc/self/cgroup proc/self/status proc/stat proc/1/cgroup
proc/device-tree/hypervisor/compatible proc/device-tree/model proc/sys/kernel/osrelease
sys/class/dmi/id/product_name sys/class/dmi/id/sys_vendor
sys/class/hwmon/hwmon*/name sys/class/hwmon/hwmon*/temp*_input
sys/class/power_supply/*/scope sys/class/power_supply/*/status sys/class/power_supply/*/type
sys/class/thermal/cooling_device*/cur_state sys/class/thermal/cooling_device*/type
sys/class/thermal/thermal_zone*/temp sys/class/thermal/thermal_zone*/type
sys/devices/platform/*/*/get_throttled
sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count
sys/devices/system/cpu/cpu[0-9]*/topology/thread_siblings_list
sys/devices/system/cpu/cpufreq/boost sys/devices/system/cpu/intel_pstate/no_turbo
sys/devices/system/cpu/online sys/devices/system/cpu/smt/active
sys/firmware/acpi/platform_profile sys/hypervisor/type
""".split()  # noqa: SIM905 - a list would be twice as long
"""The files below the root, as patterns."""
CLOCK_FILES = ("cpuinfo_max_freq", "scaling_cur_freq", "scaling_driver", "scaling_governor", "scaling_max_freq")
LONGEST_FACT = 1 << 16
"""Characters of a file that are kept; /proc/cpuinfo of a large server is longer, but repeats itself."""


def read_facts(root: str = "/", seconds: float = 0.25) -> dict[str, Any]:
    """Return what :func:`~hwnas_surrogate.runner.conditions.conditions_of` understands; plain values for JSON.

    Files that are missing or unreadable are left out: this never raises for their sake.

    Parameters
    ----------
    root : str, default="/"
        The folder that holds ``proc`` and ``sys``.
    seconds : float, default=0.25
        How long the load by other processes is observed.
    """
    patterns = [*FACT_FILES, *_cgroup_files(_fact_text(Path(root, "proc/self/cgroup")))]
    for name in CLOCK_FILES:
        patterns += [
            f"sys/devices/system/cpu/cpufreq/policy*/{name}",
            f"sys/devices/system/cpu/cpu[0-9]*/cpufreq/{name}",
        ]
    files = {str(path.relative_to(root)): _fact_text(path) for one in patterns for path in _fact_paths(root, one)}
    begin, used = time.perf_counter(), time.process_time()
    before = core_times(root)
    time.sleep(seconds if before else 0.0)
    return {
        "files": files,
        "load": [*(before or ()), *(core_times(root) or ())],
        "seconds": time.perf_counter() - begin,
        "used": time.process_time() - used,
        "processor": _told_processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }


def _cgroup_files(text: str) -> list[str]:
    """Return the files that limit the CPU time of this process's groups and of those that contain them."""
    found = []
    for line in text.split("\n"):
        _, kinds, group = [*line.split(":", 2), "", ""][:3]
        folder = Path("sys/fs/cgroup/cpu" if "cpu" in kinds.split(",") else "sys/fs/cgroup", group.strip("/"))
        for parent in (folder, *folder.parents):
            found += [f"{parent}/{name}" for name in ("cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us")]
    return found


def _fact_text(path: Path) -> str:
    """Return a file's text, without the zeros that end those of a device tree; empty if there is none."""
    try:
        with path.open("rb") as file:
            text = file.read(LONGEST_FACT + 1).decode(errors="replace").strip("\0 \t\r\n")
    except (OSError, ValueError):
        return ""
    text = text if len(text) < LONGEST_FACT else text[:LONGEST_FACT].rpartition("\n\n")[0]
    return "\n".join(re.findall(r"^cpu.*", text, re.MULTILINE)) if path.name == "stat" else text


def _fact_paths(root: str, pattern: str) -> list[Path]:
    try:
        return sorted(Path(root).glob(pattern))
    except (OSError, ValueError):
        return []


def _told_processor() -> str:
    """Return the processor's name where no file tells it."""
    if platform.system() == "Darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=5).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return platform.machine()
    return platform.processor() or platform.machine()


def listed_cores(text: str) -> list[int]:
    """Return the numbers of a list such as ``0-3,8``; of an odd one, none."""
    if not re.fullmatch(r"(\d{1,5}(-\d{1,5})?(,|$))+", text):
        return []
    ends = [part.split("-") for part in text.split(",") if part]
    return [core for part in ends for core in range(int(part[0]), int(part[-1]) + 1)]


def allowed_cores(root: str = "/") -> list[int]:
    """Return the numbers of the cores that this process may run on; empty if unknown."""
    found = re.search(r"^Cpus_allowed_list:\s*(\S+)", _fact_text(Path(root, "proc/self/status")), re.MULTILINE)
    return listed_cores(found[1]) if found else []


def core_times(root: str = "/") -> tuple[float, float] | None:
    """Return for how many seconds the allowed cores were busy so far, and how many a virtual machine's host took."""
    chosen = {f"cpu{core}" for core in allowed_cores(root)}
    tick = 1 / (os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100)
    rows = re.findall(r"^(cpu\d+)((?: \d+){7,})$", _fact_text(Path(root, "proc/stat")), re.MULTILINE)
    counts = [list(map(int, numbers.split())) for name, numbers in rows if not chosen or name in chosen]
    if not counts:
        return None
    busy = sum(sum(row[:3]) + sum(row[5:7]) for row in counts)  # without idle and waiting for a disk
    return busy * tick, sum(sum(row[7:8]) for row in counts) * tick


def is_clock_lowered(root: str = "/") -> bool:
    """Return whether heat or lack of power lowers the clock now: on a Raspberry Pi, and where Linux cools by it."""
    for path in _fact_paths(root, "sys/devices/platform/*/*/get_throttled"):
        if re.search("[1-9a-f]$", _fact_text(path)):
            return True
    coolers = _fact_paths(root, "sys/class/thermal/cooling_device*")
    kinds = {cooler: _fact_text(cooler / "type") for cooler in coolers}
    slowing = [cooler for cooler, kind in kinds.items() if re.search("cpufreq|^Processor", kind)]
    return any(_fact_text(cooler / "cur_state") not in ("", "0") for cooler in slowing)
