"""What a call of a user's quality function comes to. Processes that only call it import little else."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.jobs import Apart
from hwnas_surrogate.jobs.apart import CallTimeout, ProcessEnded
from hwnas_surrogate.reals import reals

__all__ = ["Outcome", "called", "called_apart", "called_to_send"]

_SHOWN = (list, tuple, np.ndarray, str, float, int, type(None))
"""What a message can show; other values by their type, since the text of some holds an address."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call of the function came to: qualities, or a problem and the error that caused it."""

    seconds: float = 0.0
    qualities: Sequence[float] = ()
    problem: str = ""
    cause: BaseException | None = None

    def as_error(self) -> InvalidInputError:
        """Return the problem as an error."""
        error = InvalidInputError(self.problem)
        error.__cause__ = self.cause
        return error


def called(function: Callable[[list[Any]], Any], named: str, networks: list[Any]) -> Outcome:
    """Call the function in this process."""
    start = time.monotonic()
    try:
        values = function(networks)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - becomes one clear error of the search
        raised = f"{type(error).__name__}: {' '.join(str(error).split()):.300}"
        return Outcome(problem=f"the quality function raised {raised}; for {named}.", cause=error)
    seconds = time.monotonic() - start
    got = f"{values!r:.60}" if isinstance(values, _SHOWN) else type(values).__name__
    must = f"the quality function must return a list or array, with a number for {named}"
    try:
        qualities = reals(values, must)
    except InvalidInputError as error:
        return Outcome(problem=str(error))
    if qualities.shape != (len(networks),) or np.isinf(qualities).any():
        return Outcome(problem=f"{must}, got {got}; numbers are finite, or NaN for a network without.")
    return Outcome(seconds, qualities.tolist())


def called_to_send(function: Callable[[list[Any]], Any], named: str, networks: list[Any]) -> Outcome:
    """Call the function in this process; the outcome can be sent to another one."""
    outcome = called(function, named, networks)
    try:
        pickle.loads(pickle.dumps(outcome.cause))
    except Exception:  # noqa: BLE001 - an error of the user's class: the problem names it
        return replace(outcome, cause=None)
    return outcome


def called_apart(apart: Apart, timeout: float | None, named: str, networks: list[Any]) -> Outcome:
    """Call the function in a process of its own."""
    try:
        outcome: Outcome = apart(named, networks)
    except CallTimeout:
        return Outcome(problem=f"the quality function took more than {timeout:g} s for {named}.")
    except ProcessEnded as error:
        return Outcome(problem=f"the process of the quality function ended by {error}; for {named}.")
    return outcome
