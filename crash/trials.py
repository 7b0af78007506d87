"""Trials: a command is disturbed at a random system call, and its output and the next run are judged."""

from __future__ import annotations

import errno
import importlib
import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crash.tracing import RENAMES, SYNCS, WRITES, Call, Run, forked, traced, unsynced
from crash.writers import State, Writer, surrogates

CHANGES = (*WRITES, *SYNCS, *RENAMES, "mkdir", "rmdir", "unlink", "chmod", "fchmod")
FAILING = (*WRITES, *SYNCS, *RENAMES, "mkdir", "openat")
DELAY = 5000
"""Microseconds that a slow disk takes more for each change."""

Found = dict[str, Any]


@dataclass(slots=True)
class Bench:
    """A writer with its inputs in a folder, and its undisturbed outputs of both versions of the inputs."""

    name: str
    writer: Writer
    folder: Path
    states: dict[str, State] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=dict)
    runs: dict[bool, Run] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        """The output's folder."""
        return self.folder / "out"

    def prepare(self) -> None:
        """Run the command undisturbed: version a, version b, and b over a, traced."""
        self._preload()
        for version in "ab":
            self._start(None)
            _done(self.name, forked(lambda version=version: self.writer.run(version), self.folder))
            self.states[version] = self.writer.state(self.out)
            self.names[version] = _names(self.out)
            kept = self.folder / f"kept-{version}"
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(self.out, kept)
        for over in (False, True) if self.writer.repeats else (False,):
            self._start("a" if over else None)
            self.runs[over] = traced(lambda: self.writer.run("b"), self.folder)
            _done(self.name, self.runs[over])

    def _preload(self) -> None:
        """Import what the command imports, so that the forked runs need not. Nothing is computed: no thread starts."""
        modules = self.folder / "modules"

        def work() -> None:
            try:
                self.writer.run("a")
            finally:
                modules.write_text("\n".join(sys.modules))

        self._start(None)
        _done(self.name, forked(work, self.folder))
        for name in modules.read_text().splitlines():
            with suppress(ImportError):
                importlib.import_module(name)

    def durability(self) -> list[str]:
        """Return what the traced runs did not sync."""
        return [
            line
            for run in self.runs.values()
            for line in unsynced(run.calls, self.folder)
            if not self.writer.is_journal(os.path.relpath(line.split(" is ")[0], self.out))
        ]

    def kill(self, rng: random.Random) -> Found:
        """Kill version b at a random call, over version a or nothing."""
        over, call = self._choose(rng, lambda call: True)
        run = self._disturbed(over, f"{call.name}:signal=KILL:when={call.number}")
        found = {"over": over, "call": f"{call.name} {call.number}", "status": run.status}
        return found | self._judge(over, "b") | self._next()

    def fail(self, rng: random.Random) -> Found:
        """Fail a random call of version b with the error of a full disk."""
        over, call = self._choose(
            rng, lambda call: call.name in FAILING and (call.name != "openat" or "O_CREAT" in call.arguments)
        )
        run = self._disturbed(over, f"{call.name}:error=ENOSPC:when={call.number}")
        found: Found = {"over": over, "call": f"{call.name} {call.number}", "status": run.status}
        told = [line for line in run.stderr.splitlines() if line.startswith("error: ")]
        clear = run.status == 0 or (run.status == 1 and len(told) == 1 and os.strerror(errno.ENOSPC) in run.stderr)
        if not clear or "Traceback" in run.stderr or "Exception ignored" in run.stderr:
            found["unclear"] = run.stderr[-500:]
        hidden = [name for name in _names(self.out) if any(part.startswith(".") for part in Path(name).parts)]
        if hidden and self.writer.state(self.out) != self.states["b"]:
            found["left"] = hidden
        return found | self._judge(over, "b") | self._next()

    def race(self, rng: random.Random) -> Found:
        """Let both versions write one output at the same time, on a slow disk."""
        over = self.writer.repeats and rng.random() < 0.5
        delay = rng.randrange(DELAY)

        self._start("a" if over else None)
        run = traced(lambda: _both(self.writer), self.folder, f"{','.join(CHANGES)}:delay_enter={delay}")
        found: Found = {"over": over, "call": f"delay {delay}", "status": run.status}
        if "Traceback" in run.stderr or run.status is None:
            found["unclear"] = run.stderr[-500:]
        return found | self._judge(over, "a", "b") | self._next()

    def _choose(self, rng: random.Random, suits: Callable[[Call], bool]) -> tuple[bool, Call]:
        over = rng.choice(list(self.runs))
        out = str(self.out)
        calls = [
            call
            for call in self.runs[over].calls
            if suits(call) and any(os.path.join(self.folder, path).startswith(out) for path in call.paths)
        ]
        return over, rng.choice(calls)

    def _start(self, version: str | None) -> None:
        shutil.rmtree(self.out, ignore_errors=True)
        if version is not None:
            shutil.copytree(self.folder / f"kept-{version}", self.out)

    def _disturbed(self, over: bool, inject: str) -> Run:
        self._start("a" if over else None)
        return traced(lambda: self.writer.run("b"), self.folder, inject)

    def _judge(self, over: bool, *allowed: str) -> Found:
        """Compare each step of the output with the earlier one and the new ones."""
        state, old = self.writer.state(self.out), self.states["a"] if over else {}
        right = [old, *(self.states[version] for version in allowed)]
        found: Found = {}
        lost = sorted(set(old) - set(state))
        if lost:
            found["lost"] = lost
        other = [step for step, seen in state.items() if seen not in [one.get(step) for one in right]]
        other = [step for step in other if not self.writer.is_journal(step)]
        if not self.writer.exact:
            other = [step for step in other if not self._readable()]
        if other:
            found["corrupt"] = other
        return found

    def _readable(self) -> bool:
        from hwnas_surrogate.cli import main

        return forked(lambda: main(list(self.writer.reader)), self.folder).status == 0

    def _next(self) -> Found:
        """Run version b undisturbed; it must finish the output and leave nothing else."""
        before = self.writer.state(self.out)
        run = forked(lambda: self.writer.run("b"), self.folder)
        found: Found = {}
        refused = run.status == 2 and not self.writer.repeats and bool(before)
        if run.status != 0 and not refused:
            found["next"] = run.stderr[-500:]
        elif self.writer.exact and not refused and self.writer.state(self.out) != self.states["b"]:
            found["next"] = "the output differs from an undisturbed one"
        stale = _names(self.out) - self._expected()
        if stale:
            found["stale"] = sorted(stale)
        return found

    def _expected(self) -> set[str]:
        names = _names(self.out)
        if self.writer.state is surrogates:
            text = (self.out / "manifest.json").read_text() if "manifest.json" in names else ""
            known = {name for name in names if name in text} | {"manifest.json"}
        else:
            known = self.names["a"] | self.names["b"]
        return known | {name for name in names if self.writer.is_journal(name)}


def _both(writer: Writer) -> None:
    """Run both versions at once, in two processes."""
    children = []
    for version in "ab":
        child = os.fork()
        if child == 0:
            status = 70
            try:
                writer.run(version)
                status = 0
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 0
            finally:
                os._exit(status)
        children.append(child)
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    raise SystemExit(max(ended))


def _names(folder: Path) -> set[str]:
    """Return every file of a folder, and every hidden folder."""
    return {
        str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.name.startswith(".")
    }


def _done(name: str, run: Run) -> None:
    if run.status != 0:
        raise SystemExit(f"{name} fails undisturbed, status {run.status}: {run.stderr[-2000:]}")


def trials(bench: Bench, kind: str, count: int, seed: int, skip: set[int]) -> Iterator[Found]:
    """Yield what each trial found; trials of one seed and number are the same."""
    for number in range(count):
        if number not in skip:
            rng = random.Random(f"{seed} {bench.name} {kind} {number}")
            found = getattr(bench, kind)(rng)
            yield {"writer": bench.name, "kind": kind, "seed": seed, "number": number} | found


def faults(found: Found) -> list[str]:
    """Return which faults a trial found."""
    return [name for name in ("lost", "corrupt", "stale", "next", "unclear", "left") if name in found]
