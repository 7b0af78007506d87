"""The notebooks are committed without results, and run from top to bottom."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="notebooks need the extra hwnas-surrogate[notebooks]")
nbclient = pytest.importorskip("nbclient", reason="notebooks need the extra hwnas-surrogate[notebooks]")

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
MOST_SECONDS = 60.0
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    notebook = nbformat.read(path, as_version=4)
    return notebook, [cell for cell in notebook.cells if cell.cell_type == "code"]


def seconds_of_children() -> float:
    """Return the processor time of the processes that ended; unlike the clock's, it is not other programs' fault."""
    times = os.times()
    return times.children_user + times.children_system


def test_the_notebooks_are_numbered_from_1() -> None:
    assert NOTEBOOKS
    assert [path.name.split("_")[0] for path in NOTEBOOKS] == [str(n + 1) for n in range(len(NOTEBOOKS))]


@every_notebook
def test_notebook_is_committed_without_results(path: Path) -> None:
    notebook, code = read(path)
    nbformat.validate(notebook)
    assert code
    assert [cell.execution_count for cell in code] == [None] * len(code)
    assert not [output for cell in code for output in cell.outputs]
    ids = [cell.get("id") for cell in notebook.cells]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert not any(cell.metadata for cell in notebook.cells)


@every_notebook
def test_notebook_links_to_what_is_there(path: Path) -> None:
    notebook, _ = read(path)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    linked = [part.split(")")[0] for part in prose.split("](")[1:]]
    assert [name for name in linked if "://" not in name and not (path.parent / name).exists()] == []


@pytest.mark.slow
@every_notebook
# The kernel runs in a process of its own; what its client warns of is not ours.
@pytest.mark.filterwarnings("default")
def test_notebook_runs_and_shows_a_picture(path: Path, tmp_path: Path) -> None:
    notebook, code = read(path)
    before = seconds_of_children()
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    assert seconds_of_children() - before <= MOST_SECONDS
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not list(tmp_path.iterdir())  # what a notebook writes, it puts away
