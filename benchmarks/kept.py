"""Results of long benchmarks, kept line by line, so that a benchmark that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hwnas_surrogate.jobs import in_parallel

__all__ = ["FOLDER", "each_once", "known", "once"]

FOLDER = Path("build/benchmarks")


def known(file: Path) -> dict[str, dict[str, Any]]:
    """Return the results in a file, by what they are of."""
    lines = file.read_text().splitlines() if file.exists() else []
    return {line["what"]: line for line in map(json.loads, lines)}


def once(file: Path, what: str, measure: Callable[..., dict[str, Any]], *given: Any) -> dict[str, Any]:
    """Return a result: the kept one, or what ``measure(*given)`` returns, which is then kept."""
    found = known(file).get(what)
    if found is None:
        found = {"what": what, **measure(*given)}
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as lines:
            lines.write(json.dumps(found) + "\n")
    return found


def each_once(
    file: Path, what: str, measure: Callable[..., dict[str, Any]], seeds: Iterable[int], *shared: Any
) -> list[dict[str, Any]]:
    """Return the results of ``measure(*shared, seed)`` for seeds, in parallel; ``what`` and the seed name each."""
    return in_parallel(_of_seed, [(seed,) for seed in seeds], shared=(file, what, measure, shared))


def _of_seed(
    file: Path, what: str, measure: Callable[..., dict[str, Any]], shared: tuple[Any, ...], seed: int
) -> dict[str, Any]:
    return once(file, f"{what}, {seed}", measure, *shared, seed)
