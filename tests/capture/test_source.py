"""The hash of a space's code changes with what determines its networks."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hwnas_surrogate.capture.source import source_hash

SPACE = """
from hwnas_surrogate import ModuleSpace
from {module} import block

class Mine(ModuleSpace):
    name = "mine"
    choices = {{"width": (1, 2)}}
    input_shape = (3,)

    def build(self, arch, config):
        return block(arch["width"])
"""
BLOCKS = "from torch import nn\n\ndef block(width):\n    return nn.Linear(3, {width})\n"

Hashes = Callable[..., str | None]


@pytest.fixture
def hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hashes]:
    """Write a space and the module that it imports, import them anew, and return the hash."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(space: str = SPACE, blocks: str = BLOCKS.format(width="width")) -> str | None:
        for name in ("own_space_of_test", "own_blocks_of_test"):
            sys.modules.pop(name, None)
        (tmp_path / "own_blocks_of_test.py").write_text(blocks)
        (tmp_path / "own_space_of_test.py").write_text(space.format(module="own_blocks_of_test"))
        importlib.invalidate_caches()
        found: type = importlib.import_module("own_space_of_test").Mine
        return source_hash(found)

    yield write
    for name in ("own_space_of_test", "own_blocks_of_test"):
        sys.modules.pop(name, None)


def test_the_same_code_has_the_same_hash(hashed: Hashes) -> None:
    first = hashed()
    assert first is not None
    assert len(first) == 64
    assert hashed() == first


@pytest.mark.parametrize(
    "changed",
    [
        {"space": SPACE.replace("(1, 2)", "(1, 2, 3)")},
        {"space": SPACE + "# a comment\n"},
        {"space": SPACE.replace('"mine"', '"mine"\n    version = 2')},
        {"blocks": BLOCKS.format(width="2 * width")},
    ],
    ids=["choices", "comment", "version", "imported"],
)
def test_a_change_changes_it(hashed: Hashes, changed: dict[str, str]) -> None:
    assert hashed(**changed) != hashed()


def test_an_installed_package_counts_by_its_version(hashed: Hashes, monkeypatch: pytest.MonkeyPatch) -> None:
    first = hashed()
    monkeypatch.setattr("torch.__version__", "999.0")
    assert hashed() != first


def test_classes_of_one_source_differ_by_their_variables() -> None:
    def make(width: int, scale: float) -> type:
        def build(self: object) -> int:
            return width

        return type("Made", (), {"build": build, "scale": scale})

    assert source_hash(make(1, 0.5)) == source_hash(make(1, 0.5)) is not None
    assert len({source_hash(make(width, scale)) for width in (1, 2) for scale in (0.5, 1.0)}) == 4


def test_a_class_of_a_notebook_needs_a_version() -> None:
    def define(more: str) -> type:
        names: dict[str, type] = {}
        exec(compile(f"class Cell:\n    def build(self): pass\n    {more}", "<cell 3>", "exec"), names)
        return names["Cell"]

    assert source_hash(define("")) is None
    first, again, other = (source_hash(define(f"version = {version}")) for version in (1, 1, 2))
    assert first == again is not None
    assert first != other
