"""A dask cluster of real processes: the same results, workers that die, and one clear error for what is wrong."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest

from hwnas_surrogate.errors import InvalidInputError, MissingExtraError
from hwnas_surrogate.jobs import Pieces, cluster, in_parallel, on_cluster
from tests.jobs.test_parallel import VALUES
from tests.jobs.work import fails_at, power, slow, summed, warns, where

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:.*event loop.*:DeprecationWarning")


def started(n_workers: int, **how: Any) -> Any:
    return distributed.LocalCluster(n_workers=n_workers, dashboard_address="127.0.0.1:0", silence_logs=50, **how)


@pytest.fixture(scope="module")
def workers() -> Iterator[str]:
    """Return the address of two workers."""
    with started(2, threads_per_worker=1) as running:
        yield running.scheduler_address


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_PATIENCE", 1)


def test_results_are_those_of_one_process(workers: str) -> None:
    tasks, steps = [(seed,) for seed in range(6)], list[tuple[int, int]]()
    with on_cluster(workers):
        found = in_parallel(summed, tasks, shared=(VALUES,), progress=lambda *step: steps.append(step))
        places = in_parallel(where, tasks)
    assert found == in_parallel(summed, tasks, shared=(VALUES,), n_jobs=1)
    assert steps == [(done, 6) for done in range(1, 7)]
    assert os.getpid() not in {process for process, *_ in places}
    assert {(threads, jobs) for _, threads, jobs in places} == {(1, 1)}
    assert {process for process, *_ in in_parallel(where, tasks)} == {os.getpid()}  # as before, once it has ended


def test_errors_and_warnings_of_the_work_arrive(workers: str) -> None:
    with on_cluster(workers):
        with pytest.raises(ZeroDivisionError, match="number 1"):
            in_parallel(fails_at, [(number,) for number in range(3)], shared=(1,))
        with pytest.warns(UserWarning, match="number"):
            in_parallel(warns, [(0,), (1,)])


def test_a_piece_whose_worker_dies_is_done_by_another(workers: str, tmp_path: Path) -> None:
    def kill() -> None:
        while not (begun := list(tmp_path.iterdir())):
            time.sleep(0.02)
        os.kill(int(begun[0].name.partition("-")[2]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    tasks = [(number,) for number in range(8)]
    with on_cluster(workers):
        killer.start()
        assert in_parallel(slow, tasks, shared=(str(tmp_path),)) == list(range(8))
    killer.join()
    assert len(list(tmp_path.iterdir())) > 8  # the piece that was begun twice


def test_a_scheduler_that_goes_away_is_one_clear_error_and_pieces_are_kept(tmp_path: Path) -> None:
    tasks, calls = [(number,) for number in range(40)], tmp_path / "calls"
    calls.mkdir()
    with started(1, threads_per_worker=1) as running:

        def close() -> None:
            while len(list(calls.iterdir())) < 3:
                time.sleep(0.02)
            running.close()

        closer = threading.Thread(target=close)
        closer.start()
        with (
            Pieces(tmp_path / "pieces.jsonl") as kept,
            pytest.raises(InvalidInputError, match=r"the cluster was lost: .* What was finished before is kept"),
            on_cluster(running.scheduler_address),
        ):
            in_parallel(slow, tasks, shared=(str(calls),), kept=kept)
        closer.join()
    with Pieces(tmp_path / "pieces.jsonl") as kept:
        assert (0,) in kept


def test_backends_of_joblib_are_used_too(workers: str) -> None:
    with distributed.Client(workers), joblib.parallel_config("dask"):
        places = in_parallel(where, [(number,) for number in range(4)])
        assert in_parallel(power, [(1,), (2,)], shared=(3.0,)) == [3.0, 9.0]
    assert os.getpid() not in {process for process, *_ in places}


def test_workers_of_another_version_are_refused(workers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "source_version", lambda: "0.0.9+abcdef")
    with (
        pytest.raises(
            InvalidInputError, match=r"worker tcp://\S+ runs another version .*; here it is 0.0.9\+abcdef on"
        ),
        on_cluster(workers),
    ):
        pass


def test_workers_with_several_threads_are_refused() -> None:
    with (
        started(1, threads_per_worker=2, processes=False, protocol="tcp") as running,
        pytest.raises(InvalidInputError, match=r"has 2 threads, and a piece of work takes one process: start it with"),
        on_cluster(running.scheduler_address),
    ):
        pass


@pytest.mark.usefixtures("impatient")
def test_a_scheduler_without_workers_is_refused() -> None:
    with (
        started(0) as running,
        pytest.raises(InvalidInputError, match=r"the scheduler has no worker after 1 s: start some, `dask worker tcp"),
        on_cluster(running.scheduler_address),
    ):
        pass


@pytest.mark.usefixtures("impatient")
def test_a_scheduler_that_does_not_answer_is_refused() -> None:
    with (
        pytest.raises(InvalidInputError, match=r"no scheduler answers at tcp://127.0.0.1:9: start one"),
        on_cluster("tcp://127.0.0.1:9"),
    ):
        pass


@pytest.mark.parametrize(
    "address", ["", "local", "local:0", "local:-1", "local:two", "8786", "10.0.0.5:8786", "tcp://"]
)
def test_another_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidInputError, match=r"a cluster reads tcp://HOST:PORT, .* or local:N"), on_cluster(address):
        pass


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(MissingExtraError, match="the extra 'cluster'"), on_cluster("local:2"):
        pass
