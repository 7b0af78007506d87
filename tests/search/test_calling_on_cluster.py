"""Quality functions on a dask cluster of real processes: the same values, and one clear error for what goes wrong."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import numpy as np
import pytest

from hwnas_surrogate.capture.user_file import UserFunction
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.jobs import on_cluster
from hwnas_surrogate.search import search
from hwnas_surrogate.search.calling import called_qualities
from tests.search.planted import SPACE
from tests.search.rated import bound, convs, hangs_at, noted, raises_at

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:.*event loop.*:DeprecationWarning")

BATCH = SPACE.batch(SPACE.sample(12, 0))
QUALITY = """
import os

def rated(names):
    return [float(name.count("conv")) for name in names]

def placed(names):
    return [float(os.getppid())] * len(names)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[distributed.LocalCluster]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50
    ) as running:
        yield running


@pytest.fixture(scope="module")
def workers(cluster: distributed.LocalCluster) -> str:
    """Return the address of two workers."""
    return str(cluster.scheduler_address)


def test_values_are_those_of_one_process(workers: str, tmp_path: Path) -> None:
    with on_cluster(workers), called_qualities(convs, journal=tmp_path / "journal") as called:
        found = called(BATCH)
    np.testing.assert_array_equal(found, convs(list(BATCH.names)))
    with called_qualities(convs, journal=tmp_path / "journal") as called:
        np.testing.assert_array_equal(called(BATCH), found)
    (tmp_path / "own.py").write_text(QUALITY)
    placed = UserFunction(f"{tmp_path / 'own.py'}:placed")
    with distributed.Client(workers) as client, joblib.parallel_config("dask"), called_qualities(placed) as called:
        processes = set(client.run(os.getpid).values())
        assert set(called(BATCH)) <= processes


def test_a_search_is_the_same_on_a_cluster(workers: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(QUALITY)
    rated = UserFunction(f"{tmp_path / 'own.py'}:rated")
    here = search(BATCH, quality=rated, n=3)
    with on_cluster(workers):
        there = search(BATCH, quality=rated, n=3)
    assert there.to_dict() == here.to_dict()


@pytest.mark.parametrize(
    ("function", "message"),
    [(hangs_at, "took more than 2 s for "), (raises_at, "raised ValueError: out of memory; for ")],
)
def test_a_call_that_raises_or_hangs_is_one_clear_error(
    workers: str, tmp_path: Path, function: Callable[..., list[float]], message: str
) -> None:
    with (
        on_cluster(workers),
        called_qualities(bound(function, BATCH.names[1]), timeout=2, journal=tmp_path / "journal") as called,
        pytest.raises(InvalidInputError) as raised,
    ):
        called(BATCH.take([0, 1]))
    assert f"the quality function {message}{BATCH.names[1]}." in str(raised.value)
    assert "from which the same search continues: 1 quality." in str(raised.value)
    _, line = (tmp_path / "journal").read_text().splitlines()
    assert json.loads(line)["qualities"] == dict(zip(BATCH.keys[:1], convs(list(BATCH.names[:1])), strict=True))
    with on_cluster(workers), called_qualities(convs) as called:  # the workers are free
        assert len(called(BATCH)) == len(BATCH)


def test_a_killed_worker_costs_the_calls_in_hand_only(workers: str, tmp_path: Path) -> None:
    folder, n = tmp_path / "calls", 6
    folder.mkdir()

    def kill() -> None:
        while len(begun := sorted(folder.iterdir())) < 4:
            time.sleep(0.02)
        os.kill(int(begun[-1].name.partition("-")[2]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    with on_cluster(workers), called_qualities(bound(noted, str(folder)), journal=tmp_path / "journal") as called:
        killer.start()
        found = called(BATCH.take(range(n)))
    killer.join()
    np.testing.assert_array_equal(found, convs(list(BATCH.names[:n])))
    assert len(list(folder.iterdir())) == n + 1  # one call was begun twice
