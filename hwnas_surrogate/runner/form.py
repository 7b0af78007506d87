"""Filling in the form of an exported folder, on the board itself."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import platform
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np

from hwnas_surrogate.errors import DataFileError, MeasurementError
from hwnas_surrogate.runner.disturbance import crowding
from hwnas_surrogate.runner.engines import ENGINES
from hwnas_surrogate.runner.facts import allowed_cores
from hwnas_surrogate.runner.journal import Journal
from hwnas_surrogate.runner.protocol import Key, Protocol, Readings
from hwnas_surrogate.runner.serving import find_engine, prepared_process
from hwnas_surrogate.runner.timing import time_networks
from hwnas_surrogate.runner.watching import MeasuringProcess

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

    Lines that hold another device's values are kept; the device gets lines of its own then. Every run is kept in a
    journal beside the form: if this is stopped, the same call goes on.

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
    files = list(dict.fromkeys(line["file"] for line in lines))
    items = [_FormItem(file, _checked(described, place, file)) for file in files]
    name, engine = _chosen(runtime, threads, Path(files[0]).suffix)
    crowded = crowding(threads, len(allowed_cores()) or os.cpu_count() or 1, "this machine")
    if crowded:
        _say(f"WARNING: {crowded}")
    device = device or f"{platform.node() or 'board'}-{name}-{threads}t"
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
    with Journal(_journal_path(place, device), settings, {"anchor": _runnable(items, process)}) as journal:
        [anchor] = [item for item in items if item.file == journal.info["anchor"]]
        readings = time_networks(items, anchor, process, protocol, journal, progress=_progress)
    found = {item.file: _costed(readings, item.key) for item in items}
    trouble = readings.untrusted(threads) or ""
    for line in _lines_of(device, lines):
        line.update(found[line["file"]], device=device, metric="latency", unit="ms", comment=trouble)
    _write_form(place / FORM, lines, names if not trouble or "comment" in names else [*names, "comment"])
    failed = sum(cost["value"] == "failed" for cost in found.values())
    _say(f"{len(items) - failed} networks measured, {failed} failed, written to {place / FORM} as {device} ({engine})")
    if trouble:
        _say(f"WARNING: {trouble}")


def _journal_path(folder: Path, device: str) -> Path:
    return folder / f"{FORM}.{re.sub('[^a-zA-Z0-9_.-]', '_', device)}.journal"


def _settings(protocol: Protocol) -> dict[str, Any]:
    """Return what decides the times; more passes may follow, and the timeout changes none."""
    return {name: value for name, value in asdict(protocol).items() if name not in ("passes", "timeout")}


def _runnable(items: list[_FormItem], process: MeasuringProcess) -> str:
    """Return the first network that the runtime runs several times: all others are compared with it."""
    why = ""
    stop = {"least": 3, "most": 3, "half_width": 1.0}
    with process:
        for item in items:
            both = [item.message(), item.message()]
            [*_, last] = process.time({"items": both, "stop": stop, "seed": [0], "energy": False})
            if last["event"] == "end":
                return item.file
            why = why or last["why"].rstrip(".")
    raise MeasurementError(f"no network of the form can be run here; {items[0].file}: {why}.")


def _lines_of(device: str, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines for a device: its own and empty ones, and a new one of each network that has neither."""
    latencies = [line for line in lines if line.get("metric") in (None, "", "latency")]
    mine = [line for line in latencies if line.get("device") == device or not line.get("value")]
    known = {line["file"] for line in mine}
    more = [dict(line) for line in {line["file"]: line for line in lines}.values() if line["file"] not in known]
    lines += more
    return mine + more


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
            # Spreadsheets add empty lines.
            names, *rows = [row for row in csv.reader(file) if any(map(str.strip, row))] or [[]]
    except (OSError, ValueError, csv.Error) as error:
        raise DataFileError(f"can't read the form {path}: {getattr(error, 'strerror', None) or error}.") from error
    lines = [dict(zip(names, [*row, *[""] * len(names)])) for row in rows]
    if not lines or not {"file", "value"} <= set(names):
        raise DataFileError(f"{path} is no form of hwnas export: it needs lines with the columns file and value.")
    return lines, names


def _read_manifest(path: Path) -> dict[str, dict[str, Any]]:
    """Return the description of each file."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        runs = {entry["file"]: entry["run"] for entry in manifest["networks"] if "run" in entry}
        return {file: {**run, "hashes": dict(zip(run["files"], run["sha256"]))} for file, run in runs.items()}
    except OSError as error:
        raise DataFileError(f"can't read the manifest {path}: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataFileError(f"{path} is no manifest of hwnas export of this version.") from error


def _checked(described: dict[str, dict[str, Any]], folder: Path, file: str) -> dict[str, Any]:
    """Return the description of a file; raise unless the files of its network are those that were exported."""
    if file not in described:
        raise DataFileError(f"the manifest does not know {file!r}: export the networks again.")
    known = described[file]
    for name, expected in known["hashes"].items():
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            raise DataFileError(
                f"can't read {folder / name}: {error.strerror or error}. Copy the folder again."
            ) from error
        if hashlib.sha256(content).hexdigest() != expected:
            raise DataFileError(f"{folder / name} is not the file that was exported. Copy the folder again.")
    return known


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
