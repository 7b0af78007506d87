"""A short, seeded part of the crash trials, and what they would find."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from crash.tracing import Call, unsynced
from crash.writers import WRITERS
from hwnas_surrogate.cli.app import app

ROOT = Path(__file__).parents[1]
NOTHING_TRIED = 77

NAIVE = """
import json, os, random, sys
from pathlib import Path
from crash.tracing import missing
from crash.trials import Bench, faults, trials
from crash.writers import Writer

class Naive(Writer):
    def run(self, version):
        Path("out").mkdir(exist_ok=True)
        with open("out/file", "w") as file:
            for _ in range(3):
                print(version * 9, file=file, flush=True)

if missing():
    print(missing())
    sys.exit(77)
bench = Bench("naive", Naive(()), Path(sys.argv[1]))
bench.prepare()
found = [fault for kind in ("kill", "fail") for trial in trials(bench, kind, 6, 0, set()) for fault in faults(trial)]
print(json.dumps([sorted(set(found)), bench.durability()]))
"""


def run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode == NOTHING_TRIED:
        pytest.skip(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_few_kills_full_disks_and_races_cost_nothing() -> None:
    out = run("-m", "crash", "--kills", "3", "--fails", "2", "--races", "1", "import", "convert", "train")
    assert [line.split(" | ")[0] for line in out.splitlines()[2:]] == ["| import", "| convert", "| train"]


def test_a_writer_that_writes_in_place_is_found_out(tmp_path: Path) -> None:
    out = run("-c", NAIVE, str(tmp_path))
    assert '"corrupt"' in out
    assert '"unclear"' in out
    assert "is made, and its folder is not synced" in out


def calls(*lines: str) -> tuple[Call, ...]:
    return tuple(Call(line.split("(")[0], 1, line.partition("(")[2]) for line in lines)


WRITE, SYNC = 'write(5</d/.part>, ""..., 3) = 3', "fsync(5</d/.part>) = 0"
RENAME, SYNC_FOLDER = 'rename("/d/.part", "/d/out") = 0', "fsync(6</d>) = 0"
INSIDE, MOVED = 'write(5</d/.new/a>, ""..., 3) = 3', 'rename("/d/.new", "/d/.ready") = 0'


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ([WRITE, SYNC, RENAME, SYNC_FOLDER], None),
        ([WRITE, RENAME, SYNC_FOLDER], "/d/.part is renamed before it is synced"),
        ([SYNC, WRITE, RENAME, SYNC_FOLDER], "/d/.part is renamed before it is synced"),
        ([WRITE, SYNC, SYNC_FOLDER, RENAME], "/d/out is renamed, and its folder is not synced after that"),
        ([WRITE, SYNC, RENAME, "fsync(6</d>) = -1 EIO (Input/output error)"], "/d/out is renamed, and its folder is"),
        ([INSIDE, MOVED, SYNC_FOLDER], "/d/.new/a is renamed before it is synced"),
        (['mkdir("/d/new", 0777) = 0'], "/d/new is made, and its folder is not synced"),
        (['write(5</elsewhere>, ""..., 3) = 3', 'rename("/elsewhere", "/other") = 0'], None),
    ],
)
def test_what_is_not_synced_is_found(lines: list[str], wrong: str | None) -> None:
    found = unsynced(calls(*lines), Path("/d"))
    assert bool(found) == (wrong is not None)
    assert wrong is None or found[0].startswith(wrong)


def test_every_command_that_writes_is_tried() -> None:
    writing = {
        command.name or command.callback.__name__.strip("_")
        for command in app.registered_commands
        if command.callback is not None and "output" in command.callback.__annotations__
    }
    tried = {writer.arguments[0] for writer in WRITERS.values()}
    # hwnas simulate takes minutes; it writes by the journal and the table of hwnas measure, as hwnas search does. hwnas
    # convert needs a large environment of its own; it writes by a cache, and a folder as hwnas export does.
    assert writing | {"data", "export"} == tried | {"simulate", "search", "convert"}
