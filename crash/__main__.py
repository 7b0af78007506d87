"""``python -m crash [WRITER]... [--kills N] [--fails N] [--races N] [--seed N] [--results FILE]``.

Trials that the results file holds are not repeated, so that an interrupted run resumes. The exit status is 1 if a
trial found a fault.
"""

from __future__ import annotations

import os

# Threads do not survive a fork. These must be set before NumPy is imported.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import argparse
import json
import sys
import tempfile
from pathlib import Path

from crash.tracing import forked, missing
from crash.trials import Bench, Found, faults, trials
from crash.writers import WRITERS, make_inputs

KINDS = {"kill": 200, "fail": 50, "race": 20}


def main() -> int:
    """Run the trials, and print a line per writer."""
    parser = argparse.ArgumentParser(prog="python -m crash", description=__doc__)
    parser.add_argument("writers", nargs="*", metavar="WRITER", help=f"{', '.join(WRITERS)}; all if left out")
    for kind, count in KINDS.items():
        parser.add_argument(f"--{kind}s", type=int, default=count, metavar="N", help=f"trials of this kind: {count}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, help="a file of JSON lines, which is continued")
    asked = parser.parse_args()
    unknown = [name for name in asked.writers if name not in WRITERS]
    if unknown:
        parser.error(f"unknown writer {unknown[0]!r}; allowed: {', '.join(WRITERS)}")
    reason = missing()
    if reason:
        print(f"nothing was tried: {reason}")
        return 77
    results = _read(asked.results)
    print("| command | kills | lost | corrupt | stale | full disk | wrong | two writers | wrong | not synced |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    wrong = False
    with tempfile.TemporaryDirectory() as folder:
        run = forked(lambda: make_inputs(Path(folder)), Path(folder))
        if run.status != 0:
            sys.exit(f"the inputs can't be made: {run.stderr}")
        for name in asked.writers or WRITERS:
            wrong |= _try(name, Path(folder), asked, results)
    return int(wrong)


def _try(name: str, folder: Path, asked: argparse.Namespace, results: list[Found]) -> bool:
    bench = Bench(name, WRITERS[name], folder)
    bench.prepare()
    unsynced = bench.durability()
    for kind in KINDS:
        skip = {
            one["number"] for one in results if (one["writer"], one["kind"], one["seed"]) == (name, kind, asked.seed)
        }
        for found in trials(bench, kind, getattr(asked, f"{kind}s"), asked.seed, skip):
            results.append(found)
            if asked.results is not None:
                with asked.results.open("a") as file:
                    file.write(json.dumps(found) + "\n")
            if faults(found):
                print(json.dumps(found), file=sys.stderr, flush=True)
    mine = {kind: [one for one in results if (one["writer"], one["kind"]) == (name, kind)] for kind in KINDS}
    cells = [len(mine["kill"]), *(sum(what in one for one in mine["kill"]) for what in ("lost", "corrupt"))]
    cells.append(sum("stale" in one or "next" in one for one in mine["kill"]))
    for kind in ("fail", "race"):
        cells += [len(mine[kind]), sum(bool(faults(one)) for one in mine[kind])]
    print(f"| {name} | {' | '.join(map(str, cells))} | {len(unsynced)} |", flush=True)
    for line in unsynced:
        print(f"not synced: {line}", file=sys.stderr)
    return bool(unsynced) or any(faults(one) for kind in mine.values() for one in kind)


def _read(path: Path | None) -> list[Found]:
    if path is None:
        return []
    path.parent.mkdir(parents=True, exist_ok=True)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
