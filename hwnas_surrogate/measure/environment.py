"""The environment of a measurement, which is recorded with it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

import hwnas_surrogate

__all__ = ["cpu_model", "environment"]


def cpu_model() -> str:
    """Return the processor's name as the operating system reports it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = (line.partition(":") for line in info.read_text().splitlines())
        fields = {key.strip(): value.strip() for key, separator, value in lines if separator}
        name = fields.get("model name")
        if name:
            family, model = fields.get("cpu family"), fields.get("model")
            return f"{name} (family {family} model {model})" if family and model else name
    return platform.processor() or platform.machine()


def environment() -> dict[str, Any]:
    """Return hardware, operating system and versions as plain values."""
    import torch  # loading takes a second, so only when needed

    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "hwnas_surrogate": hwnas_surrogate.__version__,
    }
