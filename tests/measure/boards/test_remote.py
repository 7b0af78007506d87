"""What a board does: its source is Python 3.9, whatever this Python is."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from hwnas_surrogate.measure.boards import remote

TREE = ast.parse(Path(remote.__file__).read_text(), feature_version=(3, 9))


def test_it_needs_the_standard_library_and_numpy_only():
    imports = [node for node in ast.walk(TREE) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in imports if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names | {"numpy"}


def test_annotations_are_not_evaluated():
    first = TREE.body[1]
    assert isinstance(first, ast.ImportFrom)
    assert first.module == "__future__"


def test_the_system_s_refusal_is_the_answer(capsys, tmp_path):
    remote.answer(remote.facts, str(tmp_path / "absent"))
    assert '"kind": "ENOENT"' in capsys.readouterr().out


def test_a_folder_that_is_not_there_is_removed_already(capsys, tmp_path):
    remote.answer(remote.remove, str(tmp_path / "absent"))
    assert capsys.readouterr().out == '{"answer": null}\n'
