"""Parallel work: the same results for any number of jobs, on one thread each, and finished pieces are kept."""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path

import joblib
import numpy as np
import pytest

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.jobs import Pieces, as_finished, in_parallel
from tests.jobs.work import ends, fails_at, noted, power, summed, warns, where

VALUES = np.random.default_rng(0).lognormal(size=200_000)
"""Large enough for joblib to map into the memory of its processes."""


def test_results_are_in_the_order_of_the_tasks() -> None:
    tasks = [(number,) for number in range(9)]
    steps: list[tuple[int, int]] = []
    done = in_parallel(power, tasks, shared=(2.0,), n_jobs=2, progress=lambda *step: steps.append(step))
    assert done == [2.0**number for number in range(9)]
    assert steps == [(number, 9) for number in range(1, 10)]


def test_results_are_equal_to_the_bit_for_any_number_of_jobs() -> None:
    tasks = [(seed,) for seed in range(6)]
    one, two, three = (in_parallel(summed, tasks, shared=(VALUES,), n_jobs=n) for n in (1, 2, 3))
    assert one == two == three
    assert len(set(one)) > 1  # the order of the terms matters


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_piece_has_one_thread_and_starts_no_processes(n_jobs: int) -> None:
    found = in_parallel(where, [(number,) for number in range(4)], n_jobs=n_jobs)
    assert {(threads, jobs) for _, threads, jobs in found} == {(1, 1)}
    assert ({process for process, _, _ in found} == {os.getpid()}) == (n_jobs == 1)


def test_none_is_one_job_or_what_joblib_is_set_to() -> None:
    tasks = [(number,) for number in range(4)]
    assert {process for process, *_ in in_parallel(where, tasks)} == {os.getpid()}
    with joblib.parallel_config(n_jobs=2):
        assert os.getpid() not in {process for process, *_ in in_parallel(where, tasks)}


def test_threads_are_replaced_by_processes() -> None:
    with joblib.parallel_config("threading", n_jobs=2):
        assert os.getpid() not in {process for process, *_ in in_parallel(where, [(1,), (2,)])}


def test_no_task_gives_no_result() -> None:
    assert in_parallel(power, [], shared=(2.0,), n_jobs=2) == []


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_of_the_work_is_raised_as_it_is(n_jobs: int) -> None:
    with pytest.raises(ZeroDivisionError, match="number 3"):
        in_parallel(fails_at, [(number,) for number in range(6)], shared=(3,), n_jobs=n_jobs)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_warnings_of_workers_are_seen(n_jobs: int) -> None:
    with pytest.warns(UserWarning, match="number") as caught:
        in_parallel(warns, [(number,) for number in range(3)], n_jobs=n_jobs)
    assert sorted(str(warning.message) for warning in caught) == [f"number {number}" for number in range(3)]


def test_a_process_that_ends_is_one_clear_error() -> None:
    with pytest.raises(InvalidInputError, match=r"a process was ended, perhaps since memory ran out: use fewer"):
        in_parallel(ends, [(0,), (1,)], n_jobs=2)


def test_what_cannot_be_sent_is_one_clear_error() -> None:
    with pytest.raises(InvalidInputError, match=r"can't be sent to other processes \(.*lock.*\). Define"):
        in_parallel(power, [(1,), (2,)], shared=(threading.Lock(),), n_jobs=2)


@pytest.mark.parametrize("wrong", [0, -2, 1.5, True, "two"])
def test_a_wrong_number_of_jobs_is_refused(wrong: object) -> None:
    with pytest.raises(InvalidInputError, match=r"n_jobs must be a number of processes, .* got"):
        in_parallel(power, [(1,)], shared=(2.0,), n_jobs=wrong)  # type: ignore[arg-type]


def test_finished_pieces_are_not_done_again(tmp_path: Path) -> None:
    path, calls = tmp_path / "pieces.jsonl", tmp_path / "calls"
    calls.mkdir()
    tasks = [(number,) for number in range(5)]
    with Pieces(path, "work") as kept:
        first = in_parallel(noted, tasks[:3], shared=(str(calls),), n_jobs=2, kept=kept)
    steps: list[tuple[int, int]] = []
    with Pieces(path, "work") as kept:
        again = in_parallel(noted, tasks, shared=(str(calls),), kept=kept, progress=lambda *step: steps.append(step))
    assert len(list(calls.iterdir())) == 5
    assert steps == [(3, 5), (4, 5), (5, 5)]
    for number, result in enumerate(again):
        assert result["third"] == number / 3
        assert math.isnan(result["nan"])
    assert [result["texts"] for result in again[:3]] == [result["texts"] for result in first]


def test_pieces_finished_before_an_error_are_kept(tmp_path: Path) -> None:
    tasks = [(number,) for number in range(4)]
    with Pieces(tmp_path / "pieces.jsonl") as kept, pytest.raises(ZeroDivisionError):
        in_parallel(fails_at, tasks, shared=(2,), kept=kept)
    with Pieces(tmp_path / "pieces.jsonl") as kept:
        assert [task in kept for task in tasks] == [True, True, False, False]


def test_results_come_as_they_are_finished() -> None:
    assert sorted(as_finished(power, [(1,), (2,), (3,)], shared=(3.0,), n_jobs=2)) == [(0, 3.0), (1, 9.0), (2, 27.0)]
