"""What would spoil a measurement under given conditions, and what to do about it."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Finding", "findings"]

MUCH_BUSY = 0.1
"""Share of the cores, or a whole core, that others may keep busy."""
LITTLE_MEMORY = 512
"""Free memory in MB, below which networks may not fit."""
WARM_CELSIUS, HOT_CELSIUS = 70.0, 80.0
"""Degrees Celsius of a processor. At 80 to 85, phones and boards lower their clock."""
MUCH_SWAP = 64
"""Swapped MB that are no remains of the start."""
CPU_SETTINGS = "/sys/devices/system/cpu/"


class Finding(NamedTuple):
    """Something that would spoil a measurement: ``bad`` changes the costs, ``mild`` makes them noisier or special."""

    what: str
    found: str
    advice: str
    severity: str
    command: str = ""


def findings(conditions: dict[str, Any], threads: int = 1) -> list[Finding]:
    """Return what would spoil a measurement, the worst first.

    Parameters
    ----------
    conditions : dict
        From :func:`~hwnas_surrogate.runner.conditions.read_conditions`; what is missing is taken to be fine.
    threads : int, default=1
        Threads that one run may use.
    """
    found = [check(conditions, threads) for check in FINDERS]
    return sorted((one for one in found if one is not None), key=lambda one: one.severity != "bad")


def _find_load(has: dict[str, Any], threads: int) -> Finding | None:
    cores, busy = has.get("cores") or 1, has.get("busy", 0.0)
    if busy <= MUCH_BUSY * cores:
        return None
    crowded = busy + threads > (cores / 2 if has.get("smt") else cores)
    found = f"other processes keep {busy:.1f} of {cores} cores busy"
    return Finding("other load", found, "end them, or wait", "bad" if crowded else "mild", "top")


def _find_steal(has: dict[str, Any], _: int) -> Finding | None:
    steal = has.get("steal", 0.0)
    if steal <= 0.02:
        return None
    found = f"the virtual machine's host takes {steal:.0%} of the cores' time"
    return Finding("host's load", found, "use a dedicated or a metal instance", "bad")


def _find_quota(has: dict[str, Any], threads: int) -> Finding | None:
    quota, cores = has.get("quota"), has.get("cores") or 1
    if quota is None or quota >= cores:
        return None
    found = f"{quota:g} of {cores} cores: what uses more is paused"
    advice = "give the container whole cores: --cpuset-cpus, not --cpus"
    return Finding("CPU quota", found, advice, "bad" if quota < threads + 0.5 else "mild")


def _find_threads(has: dict[str, Any], threads: int) -> Finding | None:
    cores = has.get("cores") or 0
    if not cores or threads < cores:
        return None
    found = f"{threads} thread{'s' * (threads > 1)} on {cores} core{'s' * (cores > 1)}: none is left for others"
    advice = f"use at most {cores - 1}: --threads" if cores > 1 else "run nothing else here"
    return Finding("too few cores", found, advice, "bad" if threads > cores else "mild")


def _find_throttled(has: dict[str, Any], _: int) -> Finding | None:
    text = has.get("throttled")
    if not text:
        return None
    advice = "use a stronger power supply" if "undervoltage" in text else "cool it with a fan; let it rest"
    return Finding("lowered clock", text, advice, "bad" if " now" in text else "mild")


def _find_heat(has: dict[str, Any], _: int) -> Finding | None:
    heat = has.get("temperature_c", 0.0)
    if heat < WARM_CELSIUS:
        return None
    severity = "bad" if heat >= HOT_CELSIUS else "mild"
    return Finding("temperature", f"{heat:.0f} °C", "cool it with a fan; let it rest", severity)


def _find_governor(has: dict[str, Any], _: int) -> Finding | None:
    governor = has.get("governor")
    if not governor or governor == "performance":
        return None
    # Drivers of processors that choose their clock themselves call that powersave; elsewhere, it is the lowest clock.
    slow = "powersave" in governor and has.get("scaling") not in ("intel_pstate", "amd-pstate-epp")
    found = f"governor {governor}: the clock {'stays low' if slow else 'follows the load'}"
    if str(has.get("power", "")).startswith("nvpmodel"):
        advice, command = "fix the clocks", "sudo jetson_clocks"
    else:
        advice, command = "choose performance", "sudo cpupower frequency-set -g performance"
    return Finding("frequency scaling", found, advice, "bad" if slow else "mild", command)


def _find_limit(has: dict[str, Any], _: int) -> Finding | None:
    limit, most = has.get("clock_limit_mhz"), has.get("max_clock_mhz")
    if not limit or not most:
        return None
    found = f"at most {limit:.0f} of {most:.0f} MHz"
    return Finding("limited clock", found, "raise the limit", "mild", f"sudo cpupower frequency-set -u {most:.0f}MHz")


def _find_boost(has: dict[str, Any], _: int) -> Finding | None:
    if not has.get("boost"):
        return None
    is_intel = has.get("scaling") in ("intel_pstate", "intel_cpufreq")
    file, value = ("intel_pstate/no_turbo", 1) if is_intel else ("cpufreq/boost", 0)
    found = "the clock depends on heat and on other cores"
    return Finding("boost", found, "switch it off", "mild", f"echo {value} | sudo tee {CPU_SETTINGS}{file}")


def _find_battery(has: dict[str, Any], _: int) -> Finding | None:
    return Finding("battery", "no power is connected", "plug it in", "bad") if has.get("battery") else None


def _find_power(has: dict[str, Any], _: int) -> Finding | None:
    mode = str(has.get("power", ""))
    if mode in ("low-power", "quiet", "cool", "balanced"):
        severity = "mild" if mode == "balanced" else "bad"
        return Finding("power mode", mode, "choose performance", severity, "powerprofilesctl set performance")
    if mode.startswith("nvpmodel") and "MAXN" not in mode and mode != "nvpmodel 0":
        advice = "choose the strongest, or name the device by it"
        return Finding("power mode", mode, advice, "mild", "sudo nvpmodel -m 0")
    return None


def _find_smt(has: dict[str, Any], threads: int) -> Finding | None:
    if not has.get("smt"):
        return None
    found = "two threads share a core: load on one slows the other"
    severity = "bad" if threads * 2 > (has.get("cores") or 2) else "mild"
    return Finding("SMT siblings", found, "switch them off", severity, f"echo off | sudo tee {CPU_SETTINGS}smt/control")


def _find_free_memory(has: dict[str, Any], _: int) -> Finding | None:
    free = has.get("memory_free_mb", LITTLE_MEMORY)
    if free >= LITTLE_MEMORY:
        return None
    return Finding("memory", f"{free} MB free", "end other programs", "bad" if free < LITTLE_MEMORY / 4 else "mild")


def _find_swap(has: dict[str, Any], _: int) -> Finding | None:
    swap = has.get("swap_mb", 0)
    if swap < MUCH_SWAP:
        return None
    found = f"{swap} MB are swapped out: a run may wait for the disk"
    return Finding("swap", found, "end other programs, switch it off", "mild", "sudo swapoff -a")


def _find_virtual_machine(has: dict[str, Any], _: int) -> Finding | None:
    machine = has.get("virtual")
    if not machine:
        return None
    found = f"{'' if machine == 'yes' else machine + ': '}the host's load and clock are hidden"
    return Finding("virtual machine", found, "measure twice and compare", "mild")


FINDERS = (
    _find_load,
    _find_steal,
    _find_quota,
    _find_threads,
    _find_throttled,
    _find_heat,
    _find_governor,
    _find_limit,
    _find_boost,
    _find_battery,
    _find_power,
    _find_smt,
    _find_free_memory,
    _find_swap,
    _find_virtual_machine,
)
"""Each looks at one condition."""
