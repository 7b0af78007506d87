"""The conditions of a measurement: processor, clock, temperature, load, power, virtual machine.

A board sends what its system shows (:mod:`~hwnas_surrogate.runner.facts`), and the host understands it here.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any

from hwnas_surrogate.runner.facts import listed_cores, read_facts

__all__ = ["conditions_of", "processor_name", "read_conditions"]

ARM_CORES = """
41b76 ARM1176 41c05 Cortex-A5 41c07 Cortex-A7 41c08 Cortex-A8 41c09 Cortex-A9 41c0e Cortex-A17 41c0f Cortex-A15
41d01 Cortex-A32 41d03 Cortex-A53 41d04 Cortex-A35 41d05 Cortex-A55 41d07 Cortex-A57 41d08 Cortex-A72 41d09 Cortex-A73
41d0a Cortex-A75 41d0b Cortex-A76 41d0c Neoverse-N1 41d0d Cortex-A77 41d0e Cortex-A76AE 41d40 Neoverse-V1
41d41 Cortex-A78 41d42 Cortex-A78AE 41d44 Cortex-X1 41d46 Cortex-A510 41d47 Cortex-A710 41d48 Cortex-X2
41d49 Neoverse-N2 41d4b Cortex-A78C 41d4d Cortex-A715 41d4e Cortex-X3 41d4f Neoverse-V2 41d80 Cortex-A520
41d81 Cortex-A720 41d82 Cortex-X4 41d85 Cortex-X925 41d87 Cortex-A725 4e003 Denver-2 4e004 Carmel 51001 Oryon
""".split()  # noqa: SIM905 - a list would be twice as long
"""The numbers of implementer and part of ARM cores, as in the kernel's cputype.h, each before its name."""
ARM_MAKERS = {"41": "ARM", "48": "HiSilicon", "4e": "NVIDIA", "51": "Qualcomm", "53": "Samsung", "61": "Apple"}
PI_THROTTLED = {0: "undervoltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}
"""The bits of a Raspberry Pi's get_throttled; 16 higher, the same since its start."""
CPU_SENSORS = re.compile(r"cpu|soc|core|pkg|k10temp|zenpower", re.IGNORECASE)
"""Sensors of a processor; others may be far hotter or colder."""
VIRTUAL_MACHINES = re.compile("kvm|qemu|vmware|virtual|xen|bochs|google compute|amazon ec2|openstack|parallels", re.I)
CONTAINERS = "(docker|kubepods|containerd|libpod|lxc)"
CPU_FOLDER = "sys/devices/system/cpu/"


def read_conditions(root: str = "/", seconds: float = 0.25) -> dict[str, Any]:
    """Return what could matter for times measured on this machine: :func:`conditions_of` its facts.

    Parameters
    ----------
    root : str, default="/"
        The folder that holds ``proc`` and ``sys``.
    seconds : float, default=0.25
        How long the load by other processes is observed.
    """
    return conditions_of(read_facts(root, seconds))


def processor_name() -> str:
    """Return the name of this machine's processor."""
    return str(read_conditions(seconds=0.0)["processor"])


def conditions_of(facts: dict[str, Any]) -> dict[str, Any]:
    """Return what could matter for times measured on a machine, as far as it shows it; plain values for JSON.

    Texts that are missing or odd are left out: this never raises for their sake.

    Parameters
    ----------
    facts : dict
        From :func:`~hwnas_surrogate.runner.facts.read_facts`.

    Returns
    -------
    dict
        Some of ``processor``, ``system``, ``python``, ``cores`` (those that this process may run on), ``cores_online``,
        ``quota`` (cores), ``smt``, ``governor``, ``scaling``, ``clock_mhz``, ``max_clock_mhz``, ``clock_limit_mhz``,
        ``boost``, ``temperature_c``, ``throttled`` (a text), ``load``, ``busy`` (cores that other processes keep busy),
        ``steal`` (share), ``memory_mb``, ``memory_free_mb``, ``swap_mb`` (used), ``virtual``, ``container``, ``power``,
        ``battery``.
    """
    files = _Files(facts["files"])
    found = {
        "processor": _processor(files) or facts["processor"],
        "system": facts["system"],
        "python": facts["python"],
        **_cores(files, facts["cores"]),
        "quota": _quota(files),
        **_clock(files),
        "temperature_c": _temperature(files),
        "throttled": _throttled(files),
        **_memory(files),
        **_virtual(files),
        **_power(files),
    }
    load = files.found("proc/loadavg", r"^(\d+\.\d+)")
    found["load"] = float(load) if load else None
    found.update(_observed(facts, found["cores"] or 1))
    return {name: value for name, value in found.items() if value is not None}


class _Files:
    """The texts of files, any of which may be missing or odd."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts

    def text(self, name: str) -> str:
        """Return a file's text; empty if there is none."""
        return self.texts.get(name, "")

    def number(self, name: str, base: int = 10) -> int | None:
        """Return the whole number that a file holds."""
        try:
            return int(self.text(name), base)
        except ValueError:
            return None

    def found(self, name: str, pattern: str) -> str | None:
        """Return what the group of a pattern matches first."""
        match = re.search(pattern, self.text(name), re.MULTILINE)
        return match[1] if match else None

    def names(self, pattern: str) -> list[str]:
        """Return the names of files that match a pattern."""
        return [name for name in self.texts if fnmatchcase(name, pattern)]


def _processor(files: _Files) -> str:
    """Return the processor's name; on ARM, the board's model and the cores."""
    pairs = re.findall(r"^(\S.*?)\s*:[ \t]*(.*?)\s*$", files.text("proc/cpuinfo"), re.MULTILINE)
    fields = dict(pairs)
    name = fields.get("model name", "")
    if name and "CPU implementer" not in fields:
        family, model = fields.get("cpu family"), fields.get("model")
        return f"{name} (family {family} model {model})" if family and model else name
    board = files.text("proc/device-tree/model") or fields.get("Hardware") or fields.get("Model", "")
    cores = _arm_cores(pairs)
    return f"{board} ({cores})" if board and cores else board or cores or name


def _arm_cores(pairs: list[tuple[str, str]]) -> str:
    """Return the kinds of cores and how many of each, such as ``4x Cortex-A55 + 4x Cortex-A78``."""
    names, maker, kinds = dict(zip(ARM_CORES[::2], ARM_CORES[1::2])), "", []
    for key, value in pairs:
        if key == "CPU implementer":
            maker = value[2:].lower()
        elif key == "CPU part":
            part = value[2:].lower()
            kinds.append(names.get(f"{maker}{part:0>3}", f"{ARM_MAKERS.get(maker, maker)} core {part}"))
    return " + ".join(f"{kinds.count(kind)}x {kind}" for kind in dict.fromkeys(kinds))


def _cores(files: _Files, count: int | None) -> dict[str, Any]:
    online = listed_cores(files.text(CPU_FOLDER + "online"))
    allowed = listed_cores(files.found("proc/self/status", r"^Cpus_allowed_list:\s*(\S+)") or "")
    siblings = [files.text(name) for name in files.names(CPU_FOLDER + "cpu*/topology/thread_siblings_list")]
    shared = any(len(listed_cores(group)) > 1 for group in siblings) if siblings else None
    active = files.number(CPU_FOLDER + "smt/active")
    return {
        "cores": len(allowed) or len(online) or count,
        "cores_online": len(online) or None,
        "smt": shared if active is None else active == 1,
    }


def _quota(files: _Files) -> float | None:
    """Return the least of the cgroups' limits, in cores."""
    texts = [files.text(name) for name in files.names("sys/fs/cgroup/*cpu.max")]
    for name in files.names("sys/fs/cgroup/*cpu.cfs_quota_us"):
        texts.append(f"{files.text(name)} {files.text(name.replace('quota', 'period'))}")
    limits = [re.fullmatch(r"(\d+) ([1-9]\d*)", text) for text in texts]
    return min((int(limit[1]) / int(limit[2]) for limit in limits if limit), default=None)


def _clock(files: _Files) -> dict[str, Any]:
    def names(what: str) -> list[str]:
        return files.names(f"{CPU_FOLDER}cpufreq/policy*/{what}") or files.names(f"{CPU_FOLDER}cpu*/cpufreq/{what}")

    def highest(what: str) -> float | None:
        return max((value / 1e3 for name in names(what) if (value := files.number(name))), default=None)

    def texts(what: str) -> str | None:
        return ", ".join(dict.fromkeys(text for name in names(what) if (text := files.text(name)))) or None

    now = files.found("proc/cpuinfo", r"^cpu MHz\s*: (\d+\.\d+)$")
    most, limit = highest("cpuinfo_max_freq"), highest("scaling_max_freq")
    turbo, boost = files.number(CPU_FOLDER + "intel_pstate/no_turbo"), files.number(CPU_FOLDER + "cpufreq/boost")
    return {
        "governor": texts("scaling_governor"),
        "scaling": texts("scaling_driver"),
        "clock_mhz": highest("scaling_cur_freq") or (float(now) if now else None),
        "max_clock_mhz": most,
        "clock_limit_mhz": limit if most and limit and limit < 0.99 * most else None,
        "boost": turbo == 0 if turbo is not None else boost == 1 if boost is not None else None,
    }


def _temperature(files: _Files) -> float | None:
    """Return the highest temperature of the processor; of everything if no sensor is named after it."""
    heat: dict[str, list[float]] = {}
    for pattern, label in (("thermal/thermal_zone*/temp", "type"), ("hwmon/hwmon*/temp*_input", "name")):
        for name in files.names(f"sys/class/{pattern}"):
            value = files.number(name) or 0
            if 0 < value < 150_000:
                heat.setdefault(files.text(f"{name.rpartition('/')[0]}/{label}"), []).append(value / 1e3)
    chosen = [sensor for sensor in heat if CPU_SENSORS.search(sensor)] or list(heat)
    return max((value for sensor in chosen for value in heat[sensor]), default=None)


def _throttled(files: _Files) -> str | None:
    """Return what lowers the clock for heat or lack of power, each with ``now`` or ``since the start``."""
    found = []
    for name in files.names("sys/devices/platform/*/get_throttled"):
        bits = files.number(name, 16) or 0
        found += [f"{what} now" for bit, what in PI_THROTTLED.items() if bits >> bit & 1]
        found += [f"{what} since the start" for bit, what in PI_THROTTLED.items() if bits >> bit + 16 & 1]
    for name in files.names("sys/class/thermal/cooling_device*/cur_state"):
        if files.number(name) and files.found(name.replace("cur_state", "type"), "(cpufreq|^Processor)"):
            found.append("clock lowered for heat now")
    counters = files.names(CPU_FOLDER + "cpu*/thermal_throttle/*_throttle_count")
    times = max((files.number(name) or 0 for name in counters), default=0)
    found += [f"{times} times since the start"] * (times > 0)
    return ", ".join(dict.fromkeys(found)) or None


def _memory(files: _Files) -> dict[str, Any]:
    fields = re.findall(r"^(\w+):\s+(\d{1,15}) kB$", files.text("proc/meminfo"), re.MULTILINE)
    mb = {name: int(value) // 1024 for name, value in fields}
    swap = mb["SwapTotal"] - mb.get("SwapFree", 0) if "SwapTotal" in mb else None
    return {"memory_mb": mb.get("MemTotal"), "memory_free_mb": mb.get("MemAvailable"), "swap_mb": swap}


def _virtual(files: _Files) -> dict[str, Any]:
    machine = f"{files.text('sys/class/dmi/id/sys_vendor')} {files.text('sys/class/dmi/id/product_name')}"
    named = machine if VIRTUAL_MACHINES.search(machine) and "metal" not in machine else None
    other = files.text("sys/hypervisor/type") or files.text("proc/device-tree/hypervisor/compatible")
    wsl = files.found("proc/sys/kernel/osrelease", "(WSL|microsoft)") and "WSL"
    hidden = files.found("proc/cpuinfo", r"^flags\s*:.*\b(hypervisor)\b") and "yes"
    marked = "docker" if ".dockerenv" in files.texts else None
    groups = files.found("proc/1/cgroup", CONTAINERS) or files.found("proc/self/cgroup", CONTAINERS)
    return {"virtual": wsl or named or other or hidden, "container": marked or groups}


def _power(files: _Files) -> dict[str, Any]:
    power = files.text("sys/firmware/acpi/platform_profile") or None
    mode = files.found("var/lib/nvpmodel/status", r"pmode:0*(\d+)")
    if mode:
        name = files.found("etc/nvpmodel.conf", rf"POWER_MODEL[^>]*\bID=0*{mode}\b[^>]*\bNAME=(\S+)")
        power = f"nvpmodel {name or mode}"
    supplies = [name.rpartition("/")[0] for name in files.names("sys/class/power_supply/*/type")]
    states = [
        files.text(f"{supply}/status")
        for supply in supplies
        if files.text(f"{supply}/type") == "Battery" and files.text(f"{supply}/scope") != "Device"
    ]
    return {"power": power, "battery": "Discharging" in states if states else None}


def _observed(facts: dict[str, Any], cores: int) -> dict[str, Any]:
    """Return what the cores did while they were observed, beside the process that observed them."""
    if len(facts["load"]) != 4 or facts["load"][:2] == facts["load"][2:]:
        return {}
    busy, steal = (after - before for before, after in zip(facts["load"][:2], facts["load"][2:]))
    return {
        "busy": round(min(max((busy - facts["used"]) / facts["seconds"], 0.0), float(cores)), 2),
        "steal": round(max(steal, 0.0) / facts["seconds"] / cores, 3),
    }
