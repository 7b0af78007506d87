"""Fixtures of all tests, those in docstrings too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

LONGEST = ("test_readme.py", "test_notebooks.py", "test_docs.py")
"""Files with tests of a minute each: begun at the end, one would keep a single process busy."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(autouse=True)
def only_built_in_spaces() -> Iterator[None]:
    """Begin each test with the package's own spaces: making the object of another one registers it."""
    from hwnas_surrogate.spaces import registry

    before = dict(registry._spaces)
    for name, space in before.items():
        if not type(space).__module__.startswith("hwnas_surrogate."):
            del registry._spaces[name]
    kept = dict(registry._spaces)
    yield
    registry._spaces.clear()
    registry._spaces.update(kept)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep captured graphs out of the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("HWNAS_CACHE")
    os.environ["HWNAS_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["HWNAS_CACHE"]
    else:
        os.environ["HWNAS_CACHE"] = before
