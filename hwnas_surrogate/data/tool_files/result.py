"""What a tool measured: one network, once."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "ESTIMATORS",
    "Cost",
    "Operator",
    "ToolResult",
    "WrongContent",
    "above_zero",
    "fine_enough",
    "first_fields",
    "not_below_zero",
    "sections",
    "whole",
]

ESTIMATORS = ("lower quartile of the runs", "median that the tool states", "mean that the tool states")
"""How a latency follows from a result, best first; the first is that of this package's own protocol."""
_LONGEST_FAILURE = 200
_COARSEST = 0.1
"""Milliseconds: a smaller time in steps of 0.01 ms may be wrong by more than 5 %."""


class WrongContent(ValueError):
    """What is wrong with a file, as the end of a sentence that begins with its path."""


class Operator(NamedTuple):
    """One operator's time in one execution of the network; the kind is empty if the tool tells none."""

    name: str
    kind: str
    ms: float


class Cost(NamedTuple):
    """A result as a cost of one metric, and how it was estimated."""

    metric: str
    value: float
    estimator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """One result of a tool. It has a latency, a throughput, operators, or the reason why the network failed.

    Parameters
    ----------
    tool : str
        The tool's name.
    runtime : str
        The runtime that executed the network.
    network : str, default=""
        The model as the file states it, a path usually; empty if it does not.
    folder : str, default=""
        The name of the model's folder, if the file states that instead.
    version : str, default=""
        The runtime's version, if the file states it.
    runs_ms : tuple of float, default=()
        The time of each run, without warm-up runs if the tool marks them.
    median_ms, mean_ms : float, optional
        What the tool states instead.
    throughput : float, optional
        Images per second, of several requests at once. Such a result has no latency.
    operators : tuple of Operator, default=()
        In the order in which they ran, if the tool states one.
    conditions : mapping of str to str
        What the file states of the measurement: precision, threads, streams, provider.
    batch : int, optional
        Images per execution; None if the file does not state it.
    hardware : str, default=""
        The processor, if the file states it.
    profiled : bool, default=False
        Whether the operators were timed in the same runs, which takes time of its own.
    failure : str, default=""
        Why there is no result.
    """

    tool: str
    runtime: str
    network: str = ""
    folder: str = ""
    version: str = ""
    runs_ms: tuple[float, ...] = ()
    median_ms: float | None = None
    mean_ms: float | None = None
    throughput: float | None = None
    operators: tuple[Operator, ...] = ()
    conditions: Mapping[str, str] = field(default_factory=dict)
    batch: int | None = None
    hardware: str = ""
    profiled: bool = False
    failure: str = ""

    def __post_init__(self) -> None:
        # One short line: failures are kept in a table, where equal ones count together.
        short = " ".join("".join(char if char.isprintable() else " " for char in self.failure).split())
        object.__setattr__(self, "failure", short[:_LONGEST_FAILURE])

    @property
    def cost(self) -> Cost | None:
        """The throughput of several requests at once, or the latency in ms; None if there is neither."""
        if self.throughput is not None:
            return Cost("throughput", self.throughput, "as the tool states it")
        quartile = float(np.percentile(self.runs_ms, 25)) if self.runs_ms else None
        for value, estimator in zip((quartile, self.median_ms, self.mean_ms), ESTIMATORS, strict=True):
            if value is not None:
                return Cost("latency", value, estimator)
        return None


def above_zero(value: object, what: str) -> float:
    """Return a number above 0: of JSON, or as text."""
    number = _number(value)
    if not 0 < number < math.inf:
        raise WrongContent(f"{what} must be a number above 0, got {value!r:.60}")
    return number


def not_below_zero(value: object, what: str) -> float:
    """Return a number of at least 0: of JSON, or as text."""
    number = _number(value)
    if not 0 <= number < math.inf:
        raise WrongContent(f"{what} must be a number of at least 0, got {value!r:.60}")
    return number


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) or (isinstance(value, str) and "_" in value):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def fine_enough(text: object, what: str, finer: str) -> float:
    """Return a time in ms that may be rounded to 0.01 ms; refuse one that is too small for that.

    ``finer`` says which other output of the tool has more digits.
    """
    value = not_below_zero(text, what)
    _, _, decimals = str(text).partition(".")
    if value < _COARSEST and len(decimals) <= 2:
        raise WrongContent(f"{what} is {text} ms, rounded to 0.01 ms, which is too coarse: {finer}")
    return above_zero(text, what)


def whole(text: object) -> int | None:
    """Return the first whole number from 1 to 999,999 in a text (``[8]``, ``8``, ``8x3x32x32``); None without one."""
    found = re.search(r"[0-9]+", str(text)[:200])
    number = int(found[0]) if found and len(found[0]) < 7 else 0
    return number or None


def sections(lines: Sequence[str], starts: Callable[[str], Any]) -> Iterator[list[str]]:
    """Split a log at the lines with which the tool begins; lines before the first belong to it."""
    first = [number for number, line in enumerate(lines) if starts(line)][1:]
    for begin, end in zip([0, *first], [*first, len(lines)], strict=True):
        yield list(lines[begin:end])


def first_fields(lines: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Return the values of the first lines ``NAME: VALUE`` that have a value."""
    wanted = dict.fromkeys(names)
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon and name.strip() in wanted and value.strip():
            found.setdefault(name.strip(), value.strip())
    return found
