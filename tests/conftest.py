"""Fixtures: where the measurements by others lie, and small tables and batches that many tests use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real measurements by others, or skip with the reason."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("HWNAS_TEST_DATA", default))
    if not (folder / "HW-NAS-Bench-subset.pickle").exists():
        pytest.skip("the measurements in ../shared/data (or HWNAS_TEST_DATA) are not here")
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
