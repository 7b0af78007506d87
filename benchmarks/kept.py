"""Results of long benchmarks, kept line by line, so that a benchmark that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["FOLDER", "known", "once"]

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
