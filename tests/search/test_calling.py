"""Quality functions: called in batches and processes, recorded as they come, and wrong in every way."""

from __future__ import annotations

import json
import math
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

from hwnas_surrogate.capture.user_file import UserFunction
from hwnas_surrogate.errors import DataFileError, InvalidInputError
from hwnas_surrogate.search import QualityWarning
from hwnas_surrogate.search.calling import called_qualities
from tests.search.planted import SPACE
from tests.search.rated import bound, convs, killed_at, limits, raises_at, sleeps

BATCH = SPACE.batch(SPACE.sample(40, 0))


def test_each_network_is_evaluated_once_in_growing_batches() -> None:
    sizes = []

    def rated(names: list[str]) -> list[float]:
        sizes.append(len(names))
        return convs(names)

    with called_qualities(rated) as called:
        np.testing.assert_array_equal(called(BATCH), convs(list(BATCH.names)))
        called(BATCH.take([3, 2, 1]))
    assert sizes == [1, 2, 4, 8, 16, 9]


def test_slow_calls_get_one_network_each(monkeypatch: pytest.MonkeyPatch) -> None:
    now, sizes = [0.0], []

    def rated(names: list[str]) -> list[float]:
        now[0] += 3600.0 * len(names)
        sizes.append(len(names))
        return convs(names)

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with called_qualities(rated) as called:
        called(BATCH.take(range(5)))
    assert sizes == [1] * 5


def test_graphs_are_given_as_graphs() -> None:
    graphs = SPACE.graphs(BATCH.archs[:3])
    with called_qualities(lambda given: [len(graph) for graph in given]) as called:
        assert called(graphs).tolist() == [len(graph) for graph in graphs.graphs]


def test_processes_give_the_same(tmp_path: Path) -> None:
    with called_qualities(convs, n_jobs=2, timeout=120, journal=tmp_path / "journal") as called:
        np.testing.assert_array_equal(called(BATCH), convs(list(BATCH.names)))
    with called_qualities(convs, journal=tmp_path / "journal") as called:
        np.testing.assert_array_equal(called(BATCH), convs(list(BATCH.names)))


def test_processes_share_the_cores_among_their_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")  # the user's own
    monkeypatch.setattr(joblib, "cpu_count", lambda: 7)
    with called_qualities(limits, n_jobs=2) as called:
        assert called(BATCH.take([0])).tolist() == [3.2]


def test_a_function_that_hangs_is_stopped(tmp_path: Path) -> None:
    start = time.monotonic()
    with (
        called_qualities(sleeps, timeout=0.2, journal=tmp_path / "journal") as called,
        pytest.raises(InvalidInputError, match=r"took more than 0.2 s for \|") as raised,
    ):
        called(BATCH)
    assert "No quality was evaluated before." in str(raised.value)
    assert time.monotonic() - start < 50


def test_what_was_evaluated_before_an_error_is_kept(tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    def raises_late(names: list[str]) -> list[float]:
        if BATCH.names[20] in names:
            raise ValueError("out of\nmemory")
        return convs(names)

    with (
        called_qualities(raises_late, journal=journal) as called,
        pytest.raises(InvalidInputError, match="ValueError: out of memory; for one of 16 networks") as raised,
    ):
        called(BATCH)
    assert f"Kept in {journal}, from which the same search continues: 15 qualities." in str(raised.value)
    seen = []

    def counted(names: list[str]) -> list[float]:
        seen.extend(names)
        return convs(names)

    counted.__name__ = "raises_late"  # it was mended
    with (
        pytest.warns(QualityWarning, match="code of raises_late changed"),
        called_qualities(counted, journal=journal) as called,
    ):
        np.testing.assert_array_equal(called(BATCH), convs(list(BATCH.names)))
    assert seen == list(BATCH.names[15:])


def test_calls_of_other_processes_are_recorded_before_an_error_ends_the_search(tmp_path: Path) -> None:
    with (
        called_qualities(bound(raises_at, BATCH.names[0]), n_jobs=2, journal=tmp_path / "journal") as called,
        pytest.raises(
            InvalidInputError, match=r"raised ValueError: out of memory; .* continues: 1 quality\."
        ) as raised,
    ):
        called(BATCH.take([0, 1]))
    assert isinstance(raised.value.__cause__, ValueError)
    _, line = (tmp_path / "journal").read_text().splitlines()
    assert json.loads(line)["qualities"] == {BATCH.keys[1]: convs([BATCH.names[1]])[0]}


def test_a_process_that_is_killed_costs_its_call_only(tmp_path: Path) -> None:
    with (
        called_qualities(bound(killed_at, BATCH.names[0]), n_jobs=2, journal=tmp_path / "journal") as called,
        pytest.raises(
            InvalidInputError,
            match=r"the process of the quality function ended by signal SIGKILL; for \|.* continues: 1 quality\.",
        ),
    ):
        called(BATCH.take([0, 1]))  # with more, the other process may have gone on before the end is noticed


def test_nan_is_recorded_as_no_quality(tmp_path: Path) -> None:
    def unknown(names: list[str]) -> list[float]:
        return [math.nan] * len(names)

    with called_qualities(unknown, journal=tmp_path / "journal") as called:
        assert np.isnan(called(BATCH)).all()
    lines = (tmp_path / "journal").read_text().splitlines()
    assert list(json.loads(lines[1])["qualities"].values()) == [None]
    with called_qualities(unknown, journal=tmp_path / "journal") as called:
        assert np.isnan(called(BATCH)).all()


@pytest.mark.parametrize(
    "returned",
    [None, 1.0, [1.0, 2.0], ["high"], [math.inf], [True], iter([1.0])],
    ids=["none", "number", "two", "text", "infinite", "boolean", "iterator"],
)
def test_what_is_no_quality_is_refused(returned: Any) -> None:
    with (
        called_qualities(lambda names: returned) as called,
        pytest.raises(InvalidInputError, match=r"must return a list or array, .*, got .*No quality was"),
    ):
        called(BATCH)


def test_a_journal_belongs_to_one_function(tmp_path: Path) -> None:
    with called_qualities(convs, journal=tmp_path / "journal") as called:
        called(BATCH.take([0]))
    with (
        pytest.raises(InvalidInputError, match="another function's qualities are in it"),
        called_qualities(sleeps, journal=tmp_path / "journal"),
    ):
        pass
    for file in ("one.py", "two.py"):
        (tmp_path / file).write_text("def rated(names):\n    return [1.0] * len(names)\n")
    with called_qualities(UserFunction(f"{tmp_path / 'one.py'}:rated"), journal=tmp_path / "files") as called:
        called(BATCH.take([0]))
    with (
        pytest.raises(InvalidInputError, match="another function's qualities are in it"),
        called_qualities(UserFunction(f"{tmp_path / 'two.py'}:rated"), journal=tmp_path / "files"),
    ):
        pass
    (tmp_path / "other").write_text("architecture,accuracy\n")
    with pytest.raises(DataFileError, match="not the header"), called_qualities(convs, journal=tmp_path / "other"):
        pass


def test_changed_code_is_told(tmp_path: Path) -> None:
    file, journal = tmp_path / "mine.py", tmp_path / "journal"
    for value, expected in ((1.0, 1.0), (2.0, 1.0)):
        file.write_text(f"def rated(names):\n    return [{value}] * len(names)\n")
        told = pytest.warns(QualityWarning, match=r"code of mine\.py:rated changed") if value > 1 else nullcontext()
        with told, called_qualities(UserFunction(f"{file}:rated"), journal=journal) as called:
            assert called(BATCH.take([0])).tolist() == [expected]
    with called_qualities(lambda names: [1.0] * len(names), journal=tmp_path / "lambda") as called:
        called(BATCH.take([0]))
    with (
        pytest.warns(QualityWarning, match="code of <lambda> changed"),
        called_qualities(lambda names: [3.0] * len(names), journal=tmp_path / "lambda"),
    ):
        pass


@pytest.mark.parametrize("arguments", [{"n_jobs": 0}, {"n_jobs": True}, {"timeout": 0}, {"timeout": math.nan}], ids=str)
def test_wrong_settings_are_refused(arguments: dict[str, Any]) -> None:
    (name,) = arguments
    with pytest.raises(InvalidInputError, match=f"{name} must be"), called_qualities(convs, **arguments):
        pass
