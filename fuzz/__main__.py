"""Fuzz a reader: ``python -m fuzz csv --runs 100000``; without a reader, each in turn.

With atheris, coverage guides the changes. The inputs that reach new code are kept in ``.fuzz/``, where another run goes
on. ``--plain`` needs no atheris: the changes are random. Put a finding's bytes into ``fuzz/corpus/READER``: the tests
replay them.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

WORK = Path(".fuzz")
CORPUS = Path(__file__).parent / "corpus"
LARGEST = 8192
"""Bytes of an input, unless the seeds are larger."""


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("readers", nargs="*")
    parser.add_argument("--runs", type=int, default=100_000, help="inputs for each reader")
    parser.add_argument("--seconds", type=int, default=10**6, help="time for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="without atheris")
    options = parser.parse_args()
    if len(options.readers) != 1:
        from fuzz.targets import TARGETS

        given = [argument for argument in sys.argv[1:] if argument not in options.readers]
        each = [sys.executable, "-m", "fuzz", *given]
        return max(subprocess.run([*each, name], check=False).returncode for name in options.readers or TARGETS)
    return (_plain if options.plain else _guided)(*options.readers, options.runs, options.seconds, options.seed)


def _plain(reader: str, runs: int, seconds: int, seed: int) -> int:
    from fuzz.mutate import mutated
    from fuzz.targets import TARGETS, check

    target, rng, counts = TARGETS[reader], np.random.default_rng(seed), Counter[str]()
    known = [*target.seeds(), *(path.read_bytes() for path in sorted((CORPUS / reader).glob("*")))]
    found, began, last = WORK / f"findings-{reader}", time.monotonic(), WORK / f"{reader}.last"
    found.mkdir(parents=True, exist_ok=True)
    for number in range(runs):
        if time.monotonic() - began > seconds:
            break
        data = mutated(known[rng.integers(len(known))], known, rng)
        last.write_bytes(data)  # a crash of the process leaves it
        try:
            counts["accepted" if check(target, data) else "refused"] += 1
        except Exception as error:  # noqa: BLE001 -- what is looked for
            counts["findings"] += 1
            path = found / hashlib.sha256(data).hexdigest()[:16]
            path.write_bytes(data)
            print(f"{reader}: input {number}: {type(error).__name__}: {error!s:.200} ({path})", flush=True)
    print(f"{reader}: {counts.total():,} inputs in {time.monotonic() - began:.0f} s: {dict(counts)}", flush=True)
    return int(counts["findings"] > 0)


def _guided(reader: str, runs: int, seconds: int, seed: int) -> int:
    import atheris

    with atheris.instrument_imports(include=["hwnas_surrogate"]):
        from fuzz.targets import TARGETS, check

    target, kept = TARGETS[reader], WORK / reader
    kept.mkdir(parents=True, exist_ok=True)
    seeds = target.seeds()
    for data in seeds:
        (kept / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    (CORPUS / reader).mkdir(parents=True, exist_ok=True)
    limits = [
        f"-runs={runs}",
        f"-max_total_time={seconds}",
        f"-seed={seed + 1}",
        f"-max_len={max(LARGEST, *map(len, seeds))}",
    ]
    limits += ["-timeout=60", "-rss_limit_mb=4096", f"-artifact_prefix={kept}-", "-print_final_stats=1"]
    atheris.Setup([reader, *limits, str(kept), str(CORPUS / reader)], lambda data: check(target, data) and None)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
