"""The conditions of a measurement on this machine: processor, clock, temperature, load, power, virtual machine."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any

__all__ = ["processor_name", "read_conditions"]

CORES = {
    0x41: {
        0xB76: "ARM1176", 0xC05: "Cortex-A5", 0xC07: "Cortex-A7", 0xC08: "Cortex-A8", 0xC09: "Cortex-A9",
        0xC0E: "Cortex-A17", 0xC0F: "Cortex-A15", 0xD01: "Cortex-A32", 0xD03: "Cortex-A53", 0xD04: "Cortex-A35",
        0xD05: "Cortex-A55", 0xD07: "Cortex-A57", 0xD08: "Cortex-A72", 0xD09: "Cortex-A73", 0xD0A: "Cortex-A75",
        0xD0B: "Cortex-A76", 0xD0C: "Neoverse-N1", 0xD0D: "Cortex-A77", 0xD0E: "Cortex-A76AE", 0xD40: "Neoverse-V1",
        0xD41: "Cortex-A78", 0xD42: "Cortex-A78AE", 0xD44: "Cortex-X1", 0xD46: "Cortex-A510", 0xD47: "Cortex-A710",
        0xD48: "Cortex-X2", 0xD49: "Neoverse-N2", 0xD4B: "Cortex-A78C", 0xD4D: "Cortex-A715", 0xD4E: "Cortex-X3",
        0xD4F: "Neoverse-V2", 0xD80: "Cortex-A520", 0xD81: "Cortex-A720", 0xD82: "Cortex-X4", 0xD85: "Cortex-X925",
        0xD87: "Cortex-A725",
    },
    0x4E: {0x003: "Denver 2", 0x004: "Carmel"},
    0x51: {0x001: "Oryon", 0x800: "Kryo 2xx Gold", 0x801: "Kryo 2xx Silver", 0x802: "Kryo 3xx Gold",
           0x803: "Kryo 3xx Silver", 0x804: "Kryo 4xx Gold", 0x805: "Kryo 4xx Silver"},
}  # fmt: skip
"""Names of ARM cores by the numbers of implementer and part, as in the kernel's cputype.h."""
MAKERS = {0x41: "ARM", 0x42: "Broadcom", 0x46: "Fujitsu", 0x48: "HiSilicon", 0x4E: "NVIDIA", 0x51: "Qualcomm",
          0x53: "Samsung", 0x61: "Apple", 0x6D: "Microsoft", 0xC0: "Ampere"}  # fmt: skip
THROTTLED = {0: "undervoltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}
"""The bits of a Raspberry Pi's get_throttled; 16 higher, the same since its start."""
HOT = re.compile(r"cpu|soc|core|pkg|k10temp|zenpower", re.IGNORECASE)
"""Sensors of a processor; others may be far hotter or colder."""
VIRTUAL = re.compile(r"kvm|qemu|vmware|virtual|xen|bochs|google compute|amazon ec2|openstack|parallels|bhyve", re.I)
CONTAINERS = re.compile(r"docker|kubepods|containerd|libpod|lxc|garden")
CPUS = "sys/devices/system/cpu/"


def read_conditions(root: str = "/", seconds: float = 0.25) -> dict[str, Any]:
    """Return what could matter for times measured here, as far as this system shows it; plain values for JSON.

    Files that are missing, unreadable or odd are left out: this never raises for their sake.

    Parameters
    ----------
    root : str, default="/"
        The folder that holds ``proc`` and ``sys``.
    seconds : float, default=0.25
        How long the load by other processes is observed.

    Returns
    -------
    dict
        Some of ``processor``, ``system``, ``python``, ``cores`` (those that this process may run on), ``cores_online``,
        ``quota`` (cores), ``smt``, ``governor``, ``scaling``, ``clock_mhz``, ``max_clock_mhz``, ``clock_limit_mhz``,
        ``boost``, ``temperature_c``, ``throttled`` (a text), ``load``, ``busy`` (cores that other processes keep busy),
        ``steal`` (share), ``memory_mb``, ``memory_free_mb``, ``swap_mb`` (used), ``virtual``, ``container``, ``power``,
        ``battery``.
    """
    files = _Files(Path(root))
    found: dict[str, Any] = {
        "processor": processor_name(root),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    for part in (_cores, _clock, _heat, _load, _memory, _virtual, _power):
        found.update(part(files))
    found.update(_observed(files, seconds, found["cores"] or 1))
    return {name: value for name, value in found.items() if value is not None}


def processor_name(root: str = "/") -> str:
    """Return the processor's name as the operating system reports it; on ARM, the cores and the board's model."""
    files = _Files(Path(root))
    text = files.text("proc/cpuinfo")
    pairs = re.findall(r"^(\S.*?)\s*:[ \t]*(.*?)\s*$", text, re.MULTILINE)
    fields = dict(pairs)
    name = fields.get("model name", "")
    if name and "CPU implementer" not in fields:
        family, model = fields.get("cpu family"), fields.get("model")
        return f"{name} (family {family} model {model})" if family and model else name
    board = files.text("proc/device-tree/model") or fields.get("Hardware") or fields.get("Model", "")
    cores = _arm_cores(pairs)
    if cores or board:
        return f"{board} ({cores})" if board and cores else board or cores
    return _told_name() or name or platform.processor() or platform.machine()


def _arm_cores(pairs: list[tuple[str, str]]) -> str:
    """Return the kinds of cores and how many of each, such as ``4x Cortex-A55 + 4x Cortex-A78``."""
    maker, kinds = 0, []
    for key, value in pairs:
        if key == "CPU implementer":
            maker = _whole(value, 0) or 0
        elif key == "CPU part":
            part = _whole(value, 0) or 0
            kinds.append(CORES.get(maker, {}).get(part, f"{MAKERS.get(maker, hex(maker))} core {part:#x}"))
    return " + ".join(f"{kinds.count(kind)}x {kind}" for kind in dict.fromkeys(kinds))


def _told_name() -> str:
    """Return the processor's name where a command prints it: on a Mac."""
    if platform.system() != "Darwin":
        return ""
    command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


class _Files:
    """Small files below a folder, any of which may be missing, unreadable or odd."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def text(self, name: str) -> str:
        """Return a file's text, without the zeros that end those of a device tree; empty if there is none."""
        try:
            return (self.root / name).read_bytes().decode(errors="replace").strip("\0 \t\r\n")
        except (OSError, ValueError):
            return ""

    def number(self, name: str) -> int | None:
        """Return the whole number that a file begins with."""
        return _whole((self.text(name).split() or [""])[0])

    def paths(self, pattern: str) -> list[str]:
        """Return the names that match a pattern, in order."""
        try:
            return sorted(str(path.relative_to(self.root)) for path in self.root.glob(pattern))
        except OSError:
            return []

    def exists(self, name: str) -> bool:
        """Return whether there is such a file."""
        return os.path.exists(self.root / name)


def _whole(text: str, base: int = 10) -> int | None:
    try:
        return int(text, base)
    except ValueError:
        return None


def _cores(files: _Files) -> dict[str, Any]:
    online = _listed(files.text(CPUS + "online"))
    active = files.text(CPUS + "smt/active")
    siblings = [_listed(files.text(name)) for name in files.paths(CPUS + "cpu[0-9]*/topology/thread_siblings_list")]
    return {
        "cores": len(allowed_cores(str(files.root))) or len(online) or os.cpu_count(),
        "cores_online": len(online) or None,
        "quota": _quota(files),
        "smt": active == "1" if active else any(len(group) > 1 for group in siblings) if siblings else None,
    }


def allowed_cores(root: str = "/") -> list[int]:
    """Return the numbers of the cores that this process may run on; empty if unknown."""
    found = re.search(r"^Cpus_allowed_list:\s*(\S+)", _Files(Path(root)).text("proc/self/status"), re.MULTILINE)
    return _listed(found[1]) if found else []


def _listed(text: str) -> list[int]:
    """Return the numbers of a list such as ``0-3,8``; of an odd one, none."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        begin, end = _whole(first), _whole(last or first)
        if begin is None or end is None or not 0 <= begin <= end < 1 << 16:
            return []
        numbers += range(begin, end + 1)
    return numbers


def _quota(files: _Files) -> float | None:
    """Return the least of the cgroups' limits, in cores."""
    limits = []
    for line in files.text("proc/self/cgroup").split("\n"):
        _, kinds, path = [*line.split(":", 2), "", ""][:3]
        if kinds and "cpu" not in kinds.split(","):
            continue
        group = Path("sys/fs/cgroup" if not kinds else "sys/fs/cgroup/cpu") / path.strip("/")
        for folder in (group, *group.parents):
            old = f"{files.text(f'{folder}/cpu.cfs_quota_us')} {files.text(f'{folder}/cpu.cfs_period_us')}"
            limit = re.fullmatch(r"(\d+) ([1-9]\d*)", files.text(f"{folder}/cpu.max") or old)
            if limit:
                limits.append(int(limit[1]) / int(limit[2]))
    return min(limits, default=None)


def _clock(files: _Files) -> dict[str, Any]:
    policies = files.paths(CPUS + "cpufreq/policy*") or files.paths(CPUS + "cpu[0-9]*/cpufreq")

    def highest(name: str) -> float | None:
        found = [value for policy in policies if (value := files.number(f"{policy}/{name}"))]
        return max(found) / 1e3 if found else None

    def names(name: str) -> str | None:
        found = dict.fromkeys(text for policy in policies if (text := files.text(f"{policy}/{name}")))
        return ", ".join(found) or None

    now = re.findall(r"^cpu MHz\s*: ([\d.]+)$", files.text("proc/cpuinfo"), re.MULTILINE)
    most, limit = highest("cpuinfo_max_freq"), highest("scaling_max_freq")
    turbo, boost = files.number(CPUS + "intel_pstate/no_turbo"), files.number(CPUS + "cpufreq/boost")
    return {
        "governor": names("scaling_governor"),
        "scaling": names("scaling_driver"),
        "clock_mhz": highest("scaling_cur_freq") or max(map(float, now), default=None),
        "max_clock_mhz": most,
        "clock_limit_mhz": limit if most and limit and limit < 0.99 * most else None,
        "boost": turbo == 0 if turbo is not None else boost == 1 if boost is not None else None,
    }


def _heat(files: _Files) -> dict[str, Any]:
    sensors = {f"{zone}/temp": files.text(f"{zone}/type") for zone in files.paths("sys/class/thermal/thermal_zone*")}
    for name in files.paths("sys/class/hwmon/hwmon*/temp*_input"):
        sensors[name] = files.text(f"{os.path.dirname(name)}/name")
    heat = {name: value / 1e3 for name in sensors if 0 < (value := files.number(name) or 0) < 150_000}
    chosen = [value for name, value in heat.items() if HOT.search(sensors[name])] or list(heat.values())
    return {"temperature_c": max(chosen, default=None), "throttled": _throttled(files)}


def _throttled(files: _Files) -> str | None:
    """Return what slows the clock down for heat or lack of power, now or since the start."""
    found = []
    for name in files.paths("sys/devices/platform/*/*/get_throttled"):
        bits = _whole(files.text(name), 16) or 0
        found += [f"{what} now" for bit, what in THROTTLED.items() if bits >> bit & 1]
        found += [f"{what} since the start" for bit, what in THROTTLED.items() if bits >> bit + 16 & 1]
    for name in files.paths("sys/class/hwmon/hwmon*/in0_lcrit_alarm"):
        found += ["undervoltage now"] * (files.number(name) == 1)
    for cooler in files.paths("sys/class/thermal/cooling_device*"):
        kind = files.text(f"{cooler}/type")
        if re.search("cpufreq|^Processor", kind) and (files.number(f"{cooler}/cur_state") or 0) > 0:
            found.append("clock lowered for heat now")
    counters = files.paths(CPUS + "cpu[0-9]*/thermal_throttle/*_throttle_count")
    times = max((files.number(name) or 0 for name in counters), default=0)
    found += [f"{times} times since the start"] * (times > 0)
    return ", ".join(dict.fromkeys(found)) or None


def _load(files: _Files) -> dict[str, Any]:
    try:
        return {"load": float(files.text("proc/loadavg").split()[0])}
    except (IndexError, ValueError):
        return {}


def _memory(files: _Files) -> dict[str, Any]:
    fields = dict(re.findall(r"^(\w+):\s+(\d+) kB$", files.text("proc/meminfo"), re.MULTILINE))
    kilobytes = {name: int(value) for name, value in fields.items()}
    swap = kilobytes.get("SwapTotal", 0) - kilobytes.get("SwapFree", 0)
    free = kilobytes.get("MemAvailable", kilobytes.get("MemFree"))
    return {
        "memory_mb": kilobytes["MemTotal"] // 1024 if "MemTotal" in kilobytes else None,
        "memory_free_mb": None if free is None else free // 1024,
        "swap_mb": swap // 1024 if "SwapTotal" in kilobytes else None,
    }


def _virtual(files: _Files) -> dict[str, Any]:
    machine = " ".join(files.text(f"sys/class/dmi/id/{name}") for name in ("sys_vendor", "product_name")).strip()
    flags = re.search(r"^flags\s*:.*\bhypervisor\b", files.text("proc/cpuinfo"), re.MULTILINE)
    named = machine if VIRTUAL.search(machine) and "metal" not in machine else ""
    other = files.text("sys/hypervisor/type") or files.text("proc/device-tree/hypervisor/compatible")
    wsl = "WSL" if "microsoft" in files.text("proc/sys/kernel/osrelease").lower() else ""
    groups = CONTAINERS.search(files.text("proc/1/cgroup") + files.text("proc/self/cgroup"))
    marked = {".dockerenv": "docker", "run/.containerenv": "podman"}
    container = next((kind for name, kind in marked.items() if files.exists(name)), groups[0] if groups else None)
    return {"virtual": wsl or named or other or ("yes" if flags else None), "container": container}


def _power(files: _Files) -> dict[str, Any]:
    mode = re.search(r"pmode:0*(\d+)", files.text("var/lib/nvpmodel/status"))
    power = files.text("sys/firmware/acpi/platform_profile") or None
    if mode:
        names = re.findall(r"POWER_MODEL[^>]*\bID=0*(\d+)[^>]*\bNAME=(\S+)", files.text("etc/nvpmodel.conf"))
        power = f"nvpmodel {dict(names).get(mode[1], mode[1])}"
    states = [
        files.text(f"{supply}/status")
        for supply in files.paths("sys/class/power_supply/*")
        if files.text(f"{supply}/type") == "Battery" and files.text(f"{supply}/scope") != "Device"
    ]
    return {"power": power, "battery": "Discharging" in states if states else None}


def _observed(files: _Files, seconds: float, cores: int) -> dict[str, Any]:
    """Return what the cores do during some time, beside this process."""
    chosen = allowed_cores(str(files.root))
    before, begin, own = core_times(str(files.root), chosen), time.perf_counter(), time.process_time()
    if before is None:
        return {}
    time.sleep(seconds)
    after, wall, used = core_times(str(files.root), chosen), time.perf_counter() - begin, time.process_time() - own
    if after is None or after == before:
        return {}
    busy = (after[0] - before[0] - used) / wall
    return {
        "busy": round(min(max(busy, 0.0), float(cores)), 2),
        "steal": round(max(after[1] - before[1], 0.0) / wall / cores, 3),
    }


def core_times(root: str = "/", cores: list[int] | None = None) -> tuple[float, float] | None:
    """Return for how many seconds these cores were busy so far, and how many the host of a virtual machine took.

    Parameters
    ----------
    root : str, default="/"
        The folder that holds ``proc``.
    cores : list of int, optional
        The numbers of the cores; all if None or empty.
    """
    chosen = {f"cpu{core}" for core in cores or []}
    tick = 1 / (os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100)
    busy = steal = 0.0
    seen = False
    for line in _Files(Path(root)).text("proc/stat").split("\n"):
        name, *times = line.split() or [""]
        counts = [_whole(count) or 0 for count in times]
        if re.fullmatch(r"cpu\d+", name) and len(counts) >= 7 and (not chosen or name in chosen):
            seen = True
            busy += (sum(counts[:3]) + sum(counts[5:7])) * tick  # without idle and waiting for a disk
            steal += counts[7] * tick if len(counts) > 7 else 0.0
    return (busy, steal) if seen else None
