"""Filling in the form of an exported folder, on the board itself."""

from __future__ import annotations

import csv
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from hwnas_surrogate.errors import DataFileError, MeasurementError
from hwnas_surrogate.runner.disturbance import verdict
from hwnas_surrogate.runner.engines import ENGINES
from hwnas_surrogate.runner.journal import Journal
from hwnas_surrogate.runner.protocol import Key, Protocol, Readings
from hwnas_surrogate.runner.serving import find_engine, prepared_process
from hwnas_surrogate.runner.timing import time_networks

__all__ = ["fill_form"]

FORM = "results.csv"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class _FormItem:
    """A network of the form."""

    file: str
    described: dict[str, Any]

    @property
    def key(self) -> Key:
        """Its file."""
        return self.file, "", ""

    def message(self) -> dict[str, Any]:
        """Return its description."""
        return self.described


def fill_form(folder: str, runtime: Optional[str], threads: int, device: Optional[str], protocol: Protocol) -> None:
    """Measure the networks of a folder that ``hwnas export`` wrote, and fill in its form.

    Lines that hold another device's values are kept. Every run is kept in a journal beside the form: if this is
    stopped, the same call goes on.

    Parameters
    ----------
    folder : str
        The folder, with manifest.json and results.csv.
    runtime : str or None
        One of :data:`ENGINES`; the first for these files that is installed if None.
    threads : int
        Threads that one execution may use.
    device : str or None
        The device's name in the form; that of this machine, the runtime and the threads if None.
    protocol : Protocol
        The timing protocol.

    Raises
    ------
    DataFileError
        If the folder lacks a file, or holds another one than was exported.
    MeasurementError
        If the runtime is not installed or runs nothing, or the journal is that of other settings.
    """
    place = Path(folder)
    lines, names = _read_form(place / FORM)
    described = _read_manifest(place / MANIFEST)
    name, engine = _chosen(runtime, threads, Path(lines[0]["file"]).suffix)
    device = device or f"{platform.node() or 'board'}-{name}-{threads}t"
    mine = [line for line in lines if not line.get("value") or line.get("device") == device]
    items = [_FormItem(file, _known(described, file)) for file in dict.fromkeys(line["file"] for line in mine)]
    if not items:
        raise DataFileError(f"{place / FORM} is filled in already, by other devices than {device}.")
    hello = {
        "runtime": name,
        "threads": threads,
        "options": {},
        "folder": str(place),
        "timeout": protocol.timeout,
        "cold": False,
    }
    process = prepared_process(os.path.abspath(sys.argv[0]), hello)
    settings = {"device": device, "runtime": engine, "threads": threads, "protocol": _settings(protocol)}
    with Journal(place / f"{FORM}.journal", settings, {}) as journal:
        readings = time_networks(items, items[0], process, protocol, journal, progress=_progress)
    found = {item.file: _costed(readings, item.key) for item in items}
    trouble = verdict(readings.disturbances, threads) or ""
    for line in mine:
        line.update(found[line["file"]], device=device, metric="latency", unit="ms", comment=trouble)
    _write_form(place / FORM, lines, names if not trouble or "comment" in names else [*names, "comment"])
    failed = sum(cost["value"] == "failed" for cost in found.values())
    _say(f"{len(items) - failed} networks measured, {failed} failed, written to {place / FORM} as {device} ({engine})")
    if trouble:
        _say(f"WARNING: {trouble}")


def _settings(protocol: Protocol) -> dict[str, Any]:
    """Return what decides the times; more passes may follow, and the timeout changes none."""
    return {name: value for name, value in asdict(protocol).items() if name not in ("passes", "timeout")}


def _chosen(runtime: Optional[str], threads: int, suffix: str) -> tuple[str, str]:
    """Return an installed runtime for these files, and its description."""
    able = [name for name, engine in ENGINES.items() if engine.suffix == suffix]
    if runtime is not None and runtime not in able:
        raise MeasurementError(f"runtime {runtime} does not run {suffix} files; these do: {', '.join(able) or 'none'}.")
    problems = []
    for name in able if runtime is None else [runtime]:
        try:
            return name, find_engine(name, threads, {}).describe()
        except MeasurementError as error:
            problems.append(str(error))
    raise MeasurementError(" ".join(problems) or f"no runtime here runs {suffix!r} files.")


def _read_form(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            lines = list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise DataFileError(f"can't read the form {path}: {error}.") from error
    names = list(reader.fieldnames or [])
    if not lines or not {"file", "value"} <= set(names):
        raise DataFileError(f"{path} is no form of hwnas export: it needs lines with the columns file and value.")
    return lines, names


def _read_manifest(path: Path) -> dict[str, dict[str, Any]]:
    """Return the description of each file."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        return {entry["file"]: entry["run"] for entry in manifest["networks"] if "run" in entry}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataFileError(f"{path} is no manifest of hwnas export: {error!r}.") from error


def _known(described: dict[str, dict[str, Any]], file: str) -> dict[str, Any]:
    if file not in described:
        raise DataFileError(f"the manifest does not know {file!r}: export the networks again.")
    return described[file]


def _costed(readings: Readings, key: Key) -> dict[str, Any]:
    """Return the cells of a network."""
    failure = readings.reading(key).failure
    if failure:
        return {"value": "failed", "note": failure}
    return {"value": f"{np.mean(readings.quartiles(key)):.6g}", "note": ""}


def _write_form(path: Path, lines: list[dict[str, str]], names: list[str]) -> None:
    temporary = path.with_name(f"{path.name}.part")
    try:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(lines)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise DataFileError(f"can't write {path}: {error.strerror or error}. What was measured is kept.") from error


def _progress(done: int, total: int) -> None:
    _say(f"{done} of {total} networks and passes")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
