"""Evaluations are the same, to the bit, for any number of jobs, and resume where they were killed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.evaluation import adaptation_curve, evaluate, holdout, learning_curve, leave_one_device_out
from hwnas_surrogate.models import MODELS
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite, fit_sources


@pytest.fixture(scope="module")
def table() -> CostTable:
    whole = load_table(space="nasbench201")
    assert isinstance(whole, CostTable)
    picked = whole.select(["epyc-torch-1t/latency", "epyc-onnxruntime-1t/latency"])
    known = ~np.isnan(picked.costs).any(axis=1) & (picked.config_number == picked.config_number[0])
    return picked.rows(np.flatnonzero(known)[:260])


def scores_of(found: Any) -> pd.DataFrame:
    return found.scores.drop(columns="fit_seconds", errors="ignore")


@pytest.mark.parametrize("model", ["default", "ridge", "forest"])
def test_held_out_scores_are_equal_to_the_bit(table: CostTable, model: str) -> None:
    assert model == "default" or model in MODELS
    surrogate = Surrogate(model=model, calibrate=model != "forest")
    how = {"n_train": 30, "n_test": 50, "seeds": range(2)}
    one, two = (evaluate(table, surrogate, **how, n_jobs=n) for n in (1, 2))
    pd.testing.assert_frame_equal(scores_of(one), scores_of(two), check_exact=True)
    pd.testing.assert_frame_equal(one.predictions, two.predictions, check_exact=True)
    assert one.about == two.about


def test_protocols_of_new_devices_are_equal_to_the_bit(table: CostTable) -> None:
    how = {"sizes": [5], "n_source": 60, "seeds": range(2)}
    one, two = (leave_one_device_out(table, **how, n_jobs=n) for n in (1, 2))
    pd.testing.assert_frame_equal(one.scores, two.scores, check_exact=True)


def test_suites_and_curves_are_equal_to_the_bit(table: CostTable) -> None:
    small = table.rows(range(40))
    one, two = (fit_sources(small, random_state=0, n_jobs=n) for n in (1, 2))
    archs = table.archs[100:]
    np.testing.assert_array_equal(one.predict(archs), two.predict(archs))
    curves = [adaptation_curve(table.rows(range(12)), sizes=[4, 8], draws=2, n_jobs=n) for n in (1, 2)]
    pd.testing.assert_frame_equal(*curves, check_exact=True)


def test_a_suite_of_a_generator_draws_in_order(table: CostTable) -> None:
    fits = []
    for n_jobs in (1, 2):
        suite = SurrogateSuite(model="forest", random_state=np.random.default_rng(0), calibrate=False)
        fits.append(suite.fit_table(table.rows(range(30)), n_jobs=n_jobs).predict(table.archs[:50]))
    np.testing.assert_allclose(*fits, rtol=1e-12)


def test_a_killed_evaluation_is_resumed(table: CostTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, fit = [], holdout._fit

    def ended(of: Any, *task: Any) -> Any:
        begun.append(task)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return fit(of, *task)

    monkeypatch.setattr(holdout, "_fit", ended)
    how: dict[str, Any] = {"n_train": 40, "n_test": 30, "seeds": range(2)}
    journal, surrogate = tmp_path / "evaluation.journal", Surrogate(model="ridge")
    with pytest.raises(KeyboardInterrupt):
        evaluate(table, surrogate, **how, journal=journal)
    again = evaluate(table, surrogate, **how, journal=journal)
    assert begun == [(0, 0, None), (0, 1, None), (1, 0, None), (1, 0, None), (1, 1, None)]
    expected = evaluate(table, surrogate, **how)
    pd.testing.assert_frame_equal(scores_of(again), scores_of(expected), check_exact=True)
    pd.testing.assert_frame_equal(again.predictions, expected.predictions, check_exact=True)
    before = len(begun)
    evaluate(table, Surrogate(model="ridge", calibrate=False), **how, journal=journal)
    assert len(begun) == before + 4  # of other settings, nothing counts


def test_what_was_fitted_to_other_profiles_does_not_count(table: CostTable, tmp_path: Path) -> None:
    journal, part = tmp_path / "evaluation.journal", table.select(table.targets[0]).rows(range(40))
    how: dict[str, Any] = {"n_train": 30, "n_test": 10, "journal": journal}
    sizes = [journal.stat().st_size for scale in (None, 1.0, 0.5, 1.0) if evaluate_with(part, scale, how)]
    assert sizes[0] < sizes[1] < sizes[2] == sizes[3]


def evaluate_with(table: CostTable, scale: float | None, how: dict[str, Any]) -> bool:
    """Evaluate on a table with one profile, or none."""
    (target,), n_nodes = table.targets, len(table.batch.take([0]).graphs().graphs[0])  # type: ignore[attr-defined]
    times = None if scale is None else np.full(n_nodes, scale * table.costs[0, 0] / n_nodes)
    operators = {target: [times, *[None] * (len(table) - 1)]}
    profiled = CostTable(table.space, table.archs, table.costs, [target], operators=operators)
    return len(evaluate(profiled, Surrogate(model="ridge", calibrate=False), **how).scores) == 1


def test_one_journal_holds_the_sizes_of_a_curve(table: CostTable, tmp_path: Path) -> None:
    how: dict[str, Any] = {"sizes": [20, 40], "n_test": 30, "seeds": [0], "journal": tmp_path / "curve.journal"}
    first, second = (learning_curve(table, Surrogate(model="ridge"), **how) for _ in range(2))
    pd.testing.assert_frame_equal(first.scores, second.scores, check_exact=True)  # the seconds of fitting included
