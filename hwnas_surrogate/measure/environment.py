"""The environment of a measurement, which is recorded with it."""

from __future__ import annotations

from typing import Any

import numpy as np

import hwnas_surrogate
from hwnas_surrogate.runner.conditions import read_conditions

__all__ = ["environment"]


def environment() -> dict[str, Any]:
    """Return the processor, the conditions that it runs under, and versions, as plain values."""
    import torch  # loading takes a second, so only when needed

    conditions = read_conditions()
    return {
        "cpu": conditions.pop("processor"),
        "cores": conditions.pop("cores"),
        "system": conditions.pop("system"),
        "python": conditions.pop("python"),
        "conditions": conditions,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "hwnas_surrogate": hwnas_surrogate.__version__,
    }
