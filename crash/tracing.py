"""Run a function in a forked process under strace: list its system calls, and kill it, fail it or slow it at one."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

WRITES = ("write", "pwrite64", "writev", "ftruncate")
SYNCS = ("fsync", "fdatasync")
RENAMES = ("rename", "renameat", "renameat2")
OTHERS = ("openat", "mkdir", "rmdir", "unlink", "unlinkat", "chmod", "fchmod", "chown", "close", "flock")
CALLS = (*WRITES, *SYNCS, *RENAMES, *OTHERS)

LONGEST = 120.0
"""Seconds after which a run counts as hung."""

_PR_SET_PTRACER, _ANY = 0x59616D61, ctypes.c_ulong(-1)


@dataclass(frozen=True, slots=True)
class Call:
    """One system call: its name, its number among those of that name, and its arguments as strace prints them."""

    name: str
    number: int
    arguments: str

    @property
    def paths(self) -> list[str]:
        """The paths among its arguments: of file descriptors, and quoted ones."""
        return [a or b for a, b in re.findall(r'\d+<([^>]*)>|"([^"]*)"', self.arguments)]

    @property
    def failed(self) -> bool:
        """Whether it returned an error."""
        return bool(re.search(r"\) += -1 ", self.arguments))


@dataclass(frozen=True, slots=True)
class Run:
    """A run's exit status (negative: a signal; None: it hung), its stderr, and its main thread's calls."""

    status: int | None
    stderr: str
    calls: tuple[Call, ...] = ()


def missing() -> str:
    """Return why processes can't be traced here; nothing if they can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    run = traced(lambda: os.close(os.open(os.devnull, os.O_RDONLY)), Path.cwd())
    return "" if any(os.devnull in call.paths for call in run.calls) else f"strace can't trace here: {run.stderr}"


def traced(work: Callable[[], object], folder: Path, inject: str = "") -> Run:
    """Run a function in a forked process, in a folder; strace lists its calls, and injects a fault."""
    with tempfile.TemporaryDirectory() as scratch:
        log, said, errors = (Path(scratch, name) for name in ("log", "strace", "stderr"))
        here, there = socket.socketpair()
        child = os.fork()
        if child == 0:
            here.close()
            _child(work, folder, errors, there)
        there.close()
        here.recv(1)  # its preparations are over, so that strace counts calls of the work alone
        command = ["strace", "-f", "-y", "-s", "0", "-o", str(log), "-p", str(child), "-e", f"trace={','.join(CALLS)}"]
        with said.open("wb") as sink:
            command += ["-e", f"inject={inject}"] if inject else []
            tracer = subprocess.Popen(command, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL)
        _wait_until(lambda: "attached" in said.read_text() or tracer.poll() is not None)
        here.close()
        status = _ended(child)
        tracer.wait(timeout=LONGEST)
        stderr = errors.read_text(errors="replace") if errors.exists() else said.read_text()
        return Run(status, stderr, tuple(_calls(log, child)))


def forked(work: Callable[[], object], folder: Path) -> Run:
    """Run a function in a forked process, in a folder, without strace."""
    with tempfile.TemporaryDirectory() as scratch:
        errors = Path(scratch, "stderr")
        child = os.fork()
        if child == 0:
            _child(work, folder, errors, None)
        return Run(_ended(child), errors.read_text(errors="replace") if errors.exists() else "")


def _child(work: Callable[[], object], folder: Path, errors: Path, tracer: socket.socket | None) -> None:
    """Do the work and leave, without what Python does at its end: that belongs to the process that was forked."""
    status = 70
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANY, 0, 0, 0)  # else only a parent may trace
        os.chdir(folder)
        sink = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(sink, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if tracer is not None:
            tracer.send(b"r")
            tracer.recv(1)  # until it is closed: strace is attached
        work()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # noqa: BLE001 - whatever it is, the driver reports it
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _ended(child: int) -> int | None:
    """Wait for a process, and return its exit status; None if it had to be killed."""
    status: list[int] = []

    def ended() -> bool:
        found, code = os.waitpid(child, os.WNOHANG)
        if found:
            status.append(os.waitstatus_to_exitcode(code))
        return bool(found)

    if not _wait_until(ended):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return None
    return status[0]


def _wait_until(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + LONGEST
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def _calls(log: Path, process: int) -> list[Call]:
    """Return the calls of a process's main thread; faults are injected by its own count of calls of a name."""
    calls, numbers = [], Counter[str]()
    for line in log.read_text(errors="replace").splitlines() if log.exists() else []:
        match = re.match(rf"{process} +(\w+)\((.*)", line)
        if match:
            numbers[match[1]] += 1
            calls.append(Call(match[1], numbers[match[1]], match[2]))
    return calls


def unsynced(calls: tuple[Call, ...], folder: Path) -> list[str]:
    """Return what a power cut could undo or halve, although the command said that it was done.

    A file must be synced after its last write and before it is renamed, all files of a folder before that is renamed,
    and the folder after the last renaming in it.
    """
    dirty: set[str] = set()
    moved: dict[str, str] = {}
    wrong: list[str] = []
    for call in calls:
        paths = [os.path.join(folder, path) for path in call.paths]
        if call.failed or not any(path.startswith(f"{folder}/") or path == str(folder) for path in paths):
            continue
        if call.name in WRITES:
            dirty.add(paths[0])
        elif call.name in SYNCS:
            dirty.discard(paths[0])
            moved = {place: name for place, name in moved.items() if os.path.dirname(place) != paths[0]}
        elif call.name in ("unlink", "unlinkat"):
            dirty.discard(paths[-1])
        elif call.name == "mkdir":
            moved[paths[0]] = "made"
        elif call.name == "rmdir":
            moved.pop(paths[0], None)
        elif call.name in RENAMES:
            source, place = paths[0], paths[-1]
            wrong += [
                f"{path} is renamed before it is synced" for path in dirty if (path + "/").startswith(source + "/")
            ]
            moved.pop(source, None)
            moved[place] = "renamed"
    wrong += [f"{place} is {what}, and its folder is not synced after that" for place, what in moved.items()]
    return wrong
