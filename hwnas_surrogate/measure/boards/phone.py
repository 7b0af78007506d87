"""What a phone is, and the state that it is in: what Android answers, and the files that ``adb shell`` may read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hwnas_surrogate.measure.boards.board import Board
from hwnas_surrogate.runner.conditions import conditions_of

__all__ = ["phone_conditions", "printed"]

ANSWER = 30.0
"""Maximum seconds for an answer."""

FILES = """
proc/cpuinfo proc/loadavg proc/meminfo sys/devices/system/cpu/online
sys/class/thermal/cooling_device*/cur_state sys/class/thermal/cooling_device*/type
sys/class/thermal/thermal_zone*/temp sys/class/thermal/thermal_zone*/type
sys/devices/system/cpu/cpufreq/policy*/cpuinfo_max_freq sys/devices/system/cpu/cpufreq/policy*/scaling_cur_freq
sys/devices/system/cpu/cpufreq/policy*/scaling_governor sys/devices/system/cpu/cpufreq/policy*/scaling_max_freq
""".split()  # noqa: SIM905 - a list would be twice as long
"""The files below the root, as patterns; which of them can be read depends on the phone."""

PROPERTY = re.compile(r"^\[([\w.-]+)\]: \[([^\]]*)\]", re.MULTILINE)


def phone_conditions(board: Board) -> dict[str, Any]:
    """Return what could matter for times measured on a phone, as far as it shows it; plain values for JSON.

    Beside what :func:`~hwnas_surrogate.runner.conditions.conditions_of` understands, there are ``battery_percent`` and
    ``battery_c``. ``processor`` names the phone, its chip, its cores and its Android.

    Raises
    ------
    MeasurementError
        If the connection is lost, or the phone does not answer.
    """
    properties = dict(PROPERTY.findall(printed(board, ["getprop"])))
    files: dict[str, list[str]] = {}
    for line in printed(board, ["sh", "-c", f"cd /; grep -sH . {' '.join(FILES)}"]).splitlines():
        name, _, text = line.partition(":")
        files.setdefault(name, []).append(text)
    android = f"Android {properties['ro.build.version.release']}" if "ro.build.version.release" in properties else ""
    found = conditions_of(
        {
            "files": {name: "\n".join(lines) for name, lines in files.items()},
            **{"processor": "", "system": android or "Android", "python": None, "cores": None, "load": []},
        }
    )
    found["processor"] = _hardware(properties, found["processor"], android)
    if "clock_limit_mhz" in found:  # no lasting condition: a warm phone lowers it, and a cool one raises it again
        found["clock_limit_now_mhz"] = found.pop("clock_limit_mhz")
    if printed(board, ["settings", "get", "global", "low_power"]).strip() == "1":
        found["power"] = "battery saver"
    return {**found, **_battery(printed(board, ["dumpsys", "battery"]))}


def printed(board: Board, command: Sequence[str]) -> str:
    """Return what a command on a phone prints; empty if the phone has no such program."""
    return board.run(command, ANSWER).stdout.decode(errors="replace")


def _hardware(properties: dict[str, str], cores: str, android: str) -> str:
    maker, model = properties.get("ro.product.manufacturer", ""), properties.get("ro.product.model", "")
    phone = model if model.lower().startswith(maker.lower()) else f"{maker} {model}".strip()
    chips = (properties.get(name) for name in ("ro.soc.model", "ro.board.platform", "ro.hardware"))
    told = ", ".join(filter(None, [next(filter(None, chips), ""), cores, android]))
    return f"{phone} ({told})" if phone and told else phone or told


def _battery(text: str) -> dict[str, Any]:
    fields = dict(re.findall(r"^\s*(\w[\w ]*): (\w+)\s*$", text, re.MULTILINE))
    found: dict[str, Any] = {}
    powered = [value for name, value in fields.items() if name.endswith(" powered")]
    if powered:
        found["battery"] = "true" not in powered
    if fields.get("level", "").isdecimal():
        found["battery_percent"] = int(fields["level"])
    if fields.get("temperature", "").isdecimal():
        found["battery_c"] = int(fields["temperature"]) / 10
    return found
