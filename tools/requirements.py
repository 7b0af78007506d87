"""Print what the Makefile installs: ``python -m tools.requirements [EXTRA]``, one requirement a line.

Without an extra these are the package's own dependencies, all that training needs. XGBoost's ordinary wheel holds code
for GPUs and requires NCCL: 700 MB that a CPU never uses. Its authors publish the same module as xgboost-cpu (18 MB).
The package itself can't require that one, because it overwrites the files of an xgboost that is already installed; a
virtual environment of the Makefile's own has none. On macOS the ordinary wheel is small, and there is no other.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def requirements(extra: str | None = None, platform: str = sys.platform) -> list[str]:
    """Return the requirements of the package, and those of an extra and of the extras in it."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    found: list[str] = list(project["dependencies"])
    waiting = [] if extra is None else [extra]
    for name in waiting:
        for requirement in project["optional-dependencies"][name]:
            own = re.fullmatch(rf"{project['name']}\[(.+)\]", requirement)
            if own is None:
                found.append(requirement)
            else:
                waiting += own[1].split(",")
    if platform != "darwin":
        found = [re.sub(r"^xgboost\b", "xgboost-cpu", requirement) for requirement in found]
    return sorted(set(found))


if __name__ == "__main__":
    sys.stdout.write("".join(f"{requirement}\n" for requirement in requirements(*sys.argv[1:2])))
