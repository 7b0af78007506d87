"""The runner as one file: what boards need of it."""

from __future__ import annotations

import ast
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import hwnas_surrogate
from hwnas_surrogate.measure.export import FORMATS
from hwnas_surrogate.measure.runner_file import runner_source
from hwnas_surrogate.runner import ENGINES

LARGEST = 60_000
SUFFIXES = sorted({engine.suffix for engine in ENGINES.values()})
ROOM = Path(hwnas_surrogate.__file__).parent / "runner"


@pytest.fixture(scope="module", params=[*SUFFIXES, None])
def source(request: pytest.FixtureRequest) -> str:
    return runner_source(request.param)


def test_there_is_one_for_every_format() -> None:
    assert {kind.engine.suffix for kind in FORMATS.values() if kind is not None} <= set(SUFFIXES)
    assert {".onnx", ".tflite"} <= set(SUFFIXES)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_it_is_small(suffix: str) -> None:
    assert len(runner_source(suffix).encode()) <= LARGEST


def test_it_parses_as_python_3_9(source: str) -> None:
    ast.parse(source, feature_version=(3, 9))
    assert max(map(len, source.splitlines())) <= 120
    assert "\t" not in source


def test_it_imports_nothing_of_the_package(source: str) -> None:
    tree = ast.parse(source)
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    names = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    own = {str(module).partition(".")[0] for module in modules | names} - set(sys.stdlib_module_names)
    libraries = {engine.library.partition(".")[0] for engine in ENGINES.values()} | {"torch"}  # ExecuTorch needs it
    assert own <= {"numpy", *libraries}
    at_once = {name.name for node in tree.body if isinstance(node, ast.Import) for name in node.names}
    assert not {name.partition(".")[0] for name in at_once} & libraries  # those that a board lacks


def test_no_name_is_undefined_unused_or_defined_twice(source: str, tmp_path: Path) -> None:
    path = tmp_path / "run.py"
    path.write_text(source)
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--target-version", "py39", "--select", "F", path]
    done = subprocess.run(command, capture_output=True, text=True)
    if "No module named ruff" in done.stderr:
        pytest.skip("ruff is not installed")
    assert done.stdout.strip() == "All checks passed!"


def test_names_are_unique_in_the_whole_room() -> None:
    names = Counter(
        name
        for module in ROOM.glob("*.py")
        for node in ast.parse(module.read_text()).body
        for name in _defined(node)
        if name != "__all__"
    )
    assert [name for name, count in names.items() if count > 1] == []


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [inner.id for target in targets for inner in ast.walk(target) if isinstance(inner, ast.Name)]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_engine_for_these_files_is_in_it(suffix: str) -> None:
    defined = {node.name for node in ast.parse(runner_source(suffix)).body if isinstance(node, ast.ClassDef)}
    for engine in ENGINES.values():
        assert (engine.__name__ in defined) == (engine.suffix == suffix)


def test_it_runs_where_the_package_is_not(source: str, tmp_path: Path) -> None:
    import numpy as np

    (tmp_path / "run.py").write_text(source)
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in ("numpy", "numpy.libs"):
        if (found := Path(np.__file__).parents[1] / name).exists():
            (packages / name).symlink_to(found)
    start = (
        f"import runpy, sys; sys.path.append({str(packages)!r}); sys.argv = ['run.py', 'facts']; "
        f"runpy.run_path({str(tmp_path / 'run.py')!r}, run_name='__main__'); "
        "assert not [name for name in sys.modules if name.startswith('hwnas')]"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", start], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


def test_it_starts_quickly(tmp_path: Path) -> None:
    """It adds less than a second to the start of numpy, with which each runtime starts."""
    path = tmp_path / "run.py"
    path.write_text(runner_source(".onnx"))

    def seconds(*command: object) -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-I", *map(str, command)], check=True, capture_output=True)
        return time.perf_counter() - begin

    added = [seconds(path, "--help") - seconds("-c", "import numpy") for _ in range(5)]
    assert statistics.median(added) < 1.0
