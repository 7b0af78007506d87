"""Tasks that are read when a worker is free, and know the results before them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.jobs import with_feedback
from tests.jobs.work import doubled


def test_a_task_is_read_after_the_results_before_it() -> None:
    seen: list[int] = []

    def tasks() -> Iterator[tuple[int]]:
        for number in range(6):
            assert len(seen) >= number - 1
            yield (number,)

    for number, result in with_feedback(doubled, tasks(), n_jobs=2):
        assert result == 2 * number
        seen.append(number)
    assert sorted(seen) == list(range(6))


def test_no_further_task_is_read_after_an_error() -> None:
    read = []

    def tasks() -> Iterator[tuple[float]]:
        for number in range(5):
            read.append(number)
            yield (number and 0.2,)

    with pytest.raises(ZeroDivisionError):
        list(with_feedback(lambda seconds: time.sleep(seconds) or 1 / seconds, tasks(), n_jobs=2))
    assert read == [0, 1]


def test_a_wrong_number_of_jobs_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="n_jobs must be a number of processes"):
        list(with_feedback(doubled, [(1,)], n_jobs=0))
