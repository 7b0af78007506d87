"""The subset of the official file, as the space tests need it."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def official(shared_data: Path) -> dict[str, Any]:
    """Return the subset, by plain pickle: the file is trusted here, and the package's reader has its own tests."""
    with (shared_data / "HW-NAS-Bench-subset.pickle").open("rb") as file, warnings.catch_warnings():
        # NumPy 2.4 and later warn on dtypes that an old one pickled.
        warnings.simplefilter("ignore", category=np.exceptions.VisibleDeprecationWarning)
        loaded: dict[str, Any] = pickle.load(file)
    return loaded
