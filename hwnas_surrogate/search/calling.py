"""Qualities by a user's function: in batches, in processes or on a cluster, each recorded at once."""

from __future__ import annotations

import hashlib
import inspect
import math
import os
import tokenize
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from joblib import effective_n_jobs

from hwnas_surrogate.capture.user_file import UserFunction
from hwnas_surrogate.errors import InvalidInputError, MeasurementError
from hwnas_surrogate.graphs import GraphBatch, NetworkBatch
from hwnas_surrogate.jobs import Apart, with_feedback
from hwnas_surrogate.jobs.parallel import checked_jobs
from hwnas_surrogate.runner.journal import Journal
from hwnas_surrogate.search.outcomes import Outcome, called, called_apart, called_to_send
from hwnas_surrogate.search.qualities import QualityFunction

__all__ = ["CalledQuality", "QualityWarning", "called_qualities"]

Vector = npt.NDArray[np.float64]

_AT_ONCE = 1.0
"""Seconds of work that may be lost: batches grow while a call takes less."""
_LARGEST = 4096
"""Maximum number of networks of a call."""


class QualityWarning(UserWarning):
    """Qualities of a journal come from other code than the function has now."""


@contextmanager
def called_qualities(
    function: QualityFunction,
    *,
    n_jobs: int | None = None,
    timeout: float | None = None,
    journal: str | os.PathLike[str] | None = None,
) -> Iterator[CalledQuality]:
    """Open the journal and the processes of a quality function, and close them afterwards.

    Parameters
    ----------
    function : callable
        Takes a list of networks (strings of architectures, or graphs), and returns a quality for each.
    n_jobs : int, optional
        Processes that call it, as in :func:`~hwnas_surrogate.jobs.in_parallel`; but they share the cores among the
        threads of their libraries. Of 1, this one calls it, unless there is a timeout.
    timeout : float, optional
        Seconds that a call may take.
    journal : path-like, optional
        The file that records qualities. If it exists, they are not evaluated again.

    Raises
    ------
    InvalidInputError
        If an argument is not allowed, or the journal is of another function.
    DataFileError
        If the journal is no journal, or can't be written.
    """
    checked_jobs(n_jobs)
    if timeout is not None and not 0 < timeout < math.inf:
        raise InvalidInputError(f"timeout must be a number of seconds above 0, or None, got {timeout!r:.40}.")
    opened = None if journal is None else _open(Path(journal), function)
    called = CalledQuality(function, n_jobs, timeout, opened)
    try:
        yield called
    finally:
        called.close()
        if opened is not None:
            opened.__exit__()


def _open(path: Path, function: QualityFunction) -> Journal:
    name, source = getattr(function, "__name__", type(function).__name__), _source(function)
    try:
        journal = Journal(path, {"quality": name}, {"source": source})
    except MeasurementError as error:
        raise InvalidInputError(
            f"the journal {path} can't continue this search: another function's qualities are in it, or another "
            f"process writes it. Choose another one. ({error})"
        ) from error
    if source and journal.info.get("source") not in (None, source):
        message = (
            f"the code of {name} changed since qualities were written to {path}; they are taken as they are. Choose "
            "another journal to call it again."
        )
        warnings.warn(message, QualityWarning, stacklevel=4)
    return journal


def _source(function: QualityFunction) -> str | None:
    """Return a hash of the function's text, of its whole file for a user's; None where there is none."""
    try:
        if isinstance(function, UserFunction):
            text = Path(function.path).read_bytes()
        else:
            text = inspect.getsource(inspect.unwrap(getattr(function, "func", function))).encode()
    except (OSError, TypeError, SyntaxError, tokenize.TokenError):  # made by exec: lines of its file are no function
        return None
    return hashlib.sha256(text).hexdigest()


class _Network(NamedTuple):
    """A network to call the function with."""

    key: str
    name: str
    network: Any


class CalledQuality:
    """A quality function, and all that it returned.

    Each network is evaluated once. The first call is for one network, and calls grow while they take less than a
    second, so that a kill loses little work.
    """

    def __init__(
        self, function: QualityFunction, n_jobs: int | None, timeout: float | None, journal: Journal | None
    ) -> None:
        self._function, self._n_jobs, self._timeout, self._journal = function, n_jobs, timeout, journal
        self._known: dict[str, float] = {}
        for entry in [] if journal is None else journal.entries:
            self._known |= {key: math.nan if value is None else value for key, value in entry["qualities"].items()}
        self._size = 1
        self._apart: Apart | None = None

    def __call__(self, batch: NetworkBatch) -> Vector:
        """Return the qualities of n networks, (n,); NaN where the function returned NaN."""
        keys = batch.keys
        new = [row for row, key in enumerate(keys) if key not in self._known]
        if new:
            networks: Sequence[Any] = batch.graphs if isinstance(batch, GraphBatch) else batch.names
            names = batch.names
            self._evaluate([_Network(keys[row], names[row], networks[row]) for row in new])
        return np.array([self._known[key] for key in keys])

    def close(self) -> None:
        """End the processes."""
        if self._apart is not None:
            self._apart.end()
            self._apart = None

    def _evaluate(self, networks: list[_Network]) -> None:
        """Evaluate networks. After an error, calls that run are recorded: they may have taken hours."""
        left, parts = networks, list[list[_Network]]()
        error: InvalidInputError | None = None

        def calls() -> Iterator[tuple[str, list[Any]]]:
            nonlocal left
            while left and error is None:
                part, left = left[: self._size], left[self._size :]
                parts.append(part)
                yield _named(part), [one.network for one in part]

        with closing(self._outcomes(calls())) as outcomes:
            for number, outcome in outcomes:
                if outcome.problem:
                    error = error or outcome.as_error()
                else:
                    self._record(parts[number], outcome)
        if error is not None:
            raise InvalidInputError(f"{error} {self._kept()}") from error.__cause__

    def _outcomes(self, calls: Iterator[tuple[str, list[Any]]]) -> Generator[tuple[int, Outcome], None, None]:
        """Call the function: here, in processes of this machine, or in such of a cluster's workers."""
        jobs = effective_n_jobs(self._n_jobs)
        if jobs == 1 and self._timeout is None:
            yield from ((number, called(self._function, *call)) for number, call in enumerate(calls))
            return
        if self._apart is None:
            self._apart = Apart(partial(called_to_send, self._function), self._timeout, jobs)
        yield from with_feedback(partial(called_apart, self._apart, self._timeout), calls, n_jobs=self._n_jobs)

    def _record(self, part: list[_Network], outcome: Outcome) -> None:
        found = {one.key: value for one, value in zip(part, outcome.qualities, strict=True)}
        if self._journal is not None:
            self._journal.append(qualities={key: None if math.isnan(value) else value for key, value in found.items()})
        self._known |= found
        if outcome.seconds < _AT_ONCE / 2:
            self._size = min(2 * self._size, _LARGEST)
        elif outcome.seconds > 2 * _AT_ONCE:
            self._size = max(1, self._size // 2)

    def _kept(self) -> str:
        if not self._known:
            return "No quality was evaluated before."
        count = f"{len(self._known):,} qualities" if len(self._known) > 1 else "1 quality"
        if self._journal is None:
            return f"Evaluated before: {count}; a journal would keep them."
        return f"Kept in {self._journal.path}, from which the same search continues: {count}."


def _named(part: list[_Network]) -> str:
    return part[0].name if len(part) == 1 else f"one of {len(part)} networks, the first is {part[0].name}"
