"""What the Makefile installs: training gets the package's own dependencies, everything else the extra `dev` on top."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tools.requirements import requirements

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8")


def names(found: list[str]) -> set[str]:
    return {re.split(r"[<>=\[; ]", requirement)[0] for requirement in found}


def test_training_needs_the_packages_own_dependencies_alone() -> None:
    assert requirements(platform="darwin") == sorted(PROJECT["dependencies"])


@pytest.mark.parametrize("extra", [None, "dev"])
@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_the_xgboost_for_cpus_takes_the_place_of_the_one_for_gpus(platform: str, extra: str | None) -> None:
    ordinary, lean = requirements(extra, "darwin"), requirements(extra, platform)
    assert names(ordinary) - names(lean) == {"xgboost"}
    assert names(lean) - names(ordinary) == {"xgboost-cpu"}
    assert len(lean) == len(ordinary)


def test_both_are_pinned_to_one_version() -> None:
    pins = dict(line.split("==") for line in CONSTRAINTS.splitlines() if "==" in line)
    assert pins["xgboost"] == pins["xgboost-cpu"]


def test_dev_holds_the_extras_that_it_names() -> None:
    found = requirements("dev", "darwin")
    assert set(requirements(platform="darwin")) < set(found)
    assert not any(requirement.startswith(PROJECT["name"]) for requirement in found)
    for extra in ("docs", "notebooks", "onnxruntime", "openvino", "report", "simulator", "tuning"):
        assert set(requirements(extra, "darwin")) <= set(found)
    assert {"pytest", "onnx", "openvino", "matplotlib", "zensical"} <= names(found)


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(("target", "dev"), [("train", False), ("test", True), ("check", True)])
def test_only_training_does_without_the_dev_extra(target: str, dev: bool, tmp_path: Path) -> None:
    command = ["make", "--dry-run", target, f"VENV={tmp_path / 'venv'}"]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "tools.requirements >" in child.stdout
    assert ("tools.requirements dev" in child.stdout) == dev
    assert "--quiet" not in child.stdout  # the installation takes minutes
