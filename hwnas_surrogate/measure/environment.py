"""The environment of a measurement, which is recorded with it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

import hwnas_surrogate
from hwnas_surrogate.runner.conditions import read_conditions
from hwnas_surrogate.runner.disturbance import crowding

__all__ = ["FewCoresWarning", "check_cores", "environment"]


class FewCoresWarning(UserWarning):
    """A machine has fewer cores than a measurement uses threads."""


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


def check_cores(threads: int, found: Mapping[str, Any], where: str) -> None:
    """Warn with `FewCoresWarning` if a machine has fewer cores than threads.

    Parameters
    ----------
    threads : int
        Threads that one run may use.
    found : mapping
        From :func:`environment`, or the conditions of a board; nothing is said if they name no cores.
    where : str
        The machine, in the text.
    """
    cores, quota = found.get("cores"), found.get("conditions", found).get("quota")
    known = [number for number in (cores, quota) if number is not None]
    why = crowding(threads, min(known), where) if known else None
    if why is not None:
        warnings.warn(why, FewCoresWarning, stacklevel=2)
