"""Fixtures: where the measurements by others lie, and small tables and batches that many tests use."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from hwnas_surrogate.files import locked

MadeOnce: TypeAlias = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real measurements by others, or skip with the reason."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("HWNAS_TEST_DATA", default))
    if not (folder / "HW-NAS-Bench-subset.pickle").exists():
        pytest.skip("the measurements in ../shared/data (or HWNAS_TEST_DATA) are not here")
    return folder


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> MadeOnce:
    """Return a function that makes a folder of a name once for all test workers, and gives each a copy of its own."""

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        base = tmp_path_factory.getbasetemp()
        shared = (base.parent if hasattr(request.config, "workerinput") else base) / name
        with locked(shared.parent):
            if not shared.exists():
                partial = tmp_path_factory.mktemp(name)
                make(partial)
                partial.rename(shared)
        return Path(shutil.copytree(shared, tmp_path_factory.mktemp(name) / "copy"))

    return folder


@pytest.fixture
def registers() -> Iterator[None]:
    """Forget afterwards what a test registers: metrics, encoders, models, search spaces."""
    from hwnas_surrogate import features, models
    from hwnas_surrogate.data import target
    from hwnas_surrogate.features import encoder
    from hwnas_surrogate.spaces import registry

    held: list[dict[str, Any]] = [
        target._metrics, encoder._registered, features._encoders,
        models._models, models._saved, models._given, registry._spaces,
    ]  # fmt: skip
    before = [dict(register) for register in held]
    yield
    for register, kept in zip(held, before, strict=True):
        register.clear()
        register.update(kept)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow ones, so that no worker is left with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
