"""Fixtures: where the measurements by others lie, and small tables and batches that many tests use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real measurements by others, or skip with the reason."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("HWNAS_TEST_DATA", default))
    if not (folder / "HW-NAS-Bench-subset.pickle").exists():
        pytest.skip("the measurements in ../shared/data (or HWNAS_TEST_DATA) are not here")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow ones, so that no worker is left with one at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
