"""The environment of a measurement, which is recorded with it."""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np

import hwnas_surrogate
from hwnas_surrogate.runner.conditions import processor_name

__all__ = ["environment"]


def environment() -> dict[str, Any]:
    """Return hardware, operating system and versions as plain values."""
    import torch  # loading takes a second, so only when needed

    return {
        "cpu": processor_name(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "hwnas_surrogate": hwnas_surrogate.__version__,
    }
