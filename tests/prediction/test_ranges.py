"""The best of ranges: those of predicting everything, for any pieces and number of jobs."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.data import Target
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.prediction import best_of_range, ranges
from hwnas_surrogate.prediction.selecting import Selection
from hwnas_surrogate.search import pareto_front
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import SurrogateSuite
from tests.graph_tables import zoo_table

FBNET = get_space("fbnet")
LATENCY, SPEED = "phone/latency (ms)", "tpu/throughput (images/s)"
TARGETS = Target("phone", "latency"), Target("tpu", "throughput")


def planted(archs: np.ndarray, seed: int) -> np.ndarray:
    effects = np.random.default_rng(seed).uniform(0.1, 1, (22, 9))
    return effects[np.arange(22), archs].sum(axis=1)


@pytest.fixture(scope="module")
def suite() -> SurrogateSuite:
    archs = FBNET.sample(260, 3)
    costs = {"phone/latency": planted(archs, 0), "tpu/throughput": 1000 / planted(archs, 1)}
    return SurrogateSuite("fbnet", model="ridge", random_state=0).fit(archs, costs)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "PIECE", 700)
    monkeypatch.setattr(ranges, "_BATCH", 256)


def everything(suite: SurrogateSuite, start: int, stop: int, seed: int) -> pd.DataFrame:
    archs = FBNET.draw(start, stop, seed)
    values = {f"{target} ({target.unit})": suite[target].predict(archs) for target in suite.targets_}
    return pd.DataFrame({"number": np.arange(start, stop), "architecture": FBNET.format_all(archs), **values})


@pytest.mark.usefixtures("small_pieces")
def test_the_best_are_those_of_predicting_everything(suite: SurrogateSuite) -> None:
    steps: list[tuple[int, int]] = []
    best = best_of_range(suite, 100, 2100, top=9, front=True, seed=5, progress=lambda *step: steps.append(step))
    frame = everything(suite, 100, 2100, 5)
    assert list(best) == ["phone/latency", "tpu/throughput", "front"]
    pd.testing.assert_frame_equal(best["phone/latency"], frame.nsmallest(9, LATENCY).reset_index(drop=True), rtol=1e-9)
    pd.testing.assert_frame_equal(best["tpu/throughput"], frame.nlargest(9, SPEED).reset_index(drop=True), rtol=1e-9)
    front = pareto_front(frame, [LATENCY, SPEED], [SPEED])
    assert best["front"]["number"].tolist() == front["number"].tolist()
    assert steps[-1] == (2000, 2000)
    assert [total for _, total in steps] == [2000] * 3


@pytest.mark.usefixtures("small_pieces")
def test_any_number_of_jobs_gives_the_same_to_the_bit(suite: SurrogateSuite) -> None:
    one, two = (best_of_range(suite, 0, 1500, top=4, front=True, n_jobs=n) for n in (1, 2))
    for name, frame in one.items():
        pd.testing.assert_frame_equal(frame, two[name], check_exact=True)


@pytest.mark.usefixtures("small_pieces")
def test_a_killed_range_is_resumed(suite: SurrogateSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, begun = tmp_path / "best.journal", []
    whole = ranges._best

    def ended(*arguments: object) -> object:
        begun.append(arguments[-3])
        if len(begun) == 3:
            raise KeyboardInterrupt
        return whole(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ranges, "_best", ended)
    with pytest.raises(KeyboardInterrupt):
        best_of_range(suite, 0, 2800, top=4, journal=journal)
    again = best_of_range(suite, 0, 2800, top=4, journal=journal)
    assert begun == [0, 700, 1400, 1400, 2100]
    expected = best_of_range(suite, 0, 2800, top=4)
    for name, frame in expected.items():
        pd.testing.assert_frame_equal(again[name], frame, check_exact=True)
    best_of_range(suite, 0, 2800, top=5, journal=journal)  # other arguments: nothing of it counts
    assert len(begun) == 5 + 4 + 4


def test_networks_without_a_path_are_left_out() -> None:
    space = get_space("nasbench201")
    archs = space.sample(200, 0)
    suite = SurrogateSuite(model="ridge").fit(archs, {"phone/latency": 1.0 + archs.sum(axis=1)})
    (best,) = best_of_range(suite, 0, 3000, top=500).values()
    assert space.connected(best["architecture"].tolist()).all()
    assert len(best) == 500


@pytest.mark.parametrize(
    ("arguments", "how", "message"),
    [
        ((5, 5), {"top": 3}, "a range is from a number of at least 0 to a larger one, got 5:5"),
        ((-1, 5), {"top": 3}, "a range is from"),
        ((0, 5), {}, "top must be a number of networks"),
        ((0, 5), {"top": -3}, "top must be a number of networks"),
        ((0, 5), {"top": 2.5}, "top must be a number of networks"),
        ((0, 5), {"front": True, "targets": "phone"}, "a front is of two or more targets, got phone/latency"),
    ],
)
def test_what_cannot_be_selected_is_refused(
    suite: SurrogateSuite, arguments: tuple[int, int], how: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        best_of_range(suite, *arguments, **how)  # type: ignore[arg-type]


def test_surrogates_of_graphs_have_no_range() -> None:
    suite = SurrogateSuite(None, model="ridge").fit_table(zoo_table())
    with pytest.raises(InvalidInputError, match="the surrogates are of graphs"):
        best_of_range(suite, 0, 5, top=1)


def test_a_selection_of_parts_is_that_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    rows = {
        "number": np.arange(3000),
        LATENCY: rng.integers(1, 40, 3000).astype(float),  # many ties
        SPEED: rng.integers(1, 40, 3000).astype(float),
    }
    selection = Selection(TARGETS, 25, True)
    whole = selection.of(rows)
    cuts = [0, 1, 900, 901, 2500, 3000]
    parts = [
        selection.of({name: values[start:stop] for name, values in rows.items()})
        for start, stop in itertools.pairwise(cuts)
    ]
    merged = selection.merged(parts)
    for name, kept in whole.items():
        assert merged[name]["number"].tolist() == kept["number"].tolist()
    front = {(row[0], row[1]) for row in zip(whole["front"][LATENCY], whole["front"][SPEED], strict=True)}
    for latency, speed in zip(rows[LATENCY], rows[SPEED], strict=True):
        beaten = any(a <= latency and b >= speed and (a, b) != (latency, speed) for a, b in front)
        assert beaten != ((latency, speed) in front)
