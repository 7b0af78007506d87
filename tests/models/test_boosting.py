"""Boosting in rounds of our own gives XGBoost's trees."""

from __future__ import annotations

import numpy as np
import pytest
import xgboost

from hwnas_surrogate.models.boosting import boosted, released

SETTINGS = {"max_depth": 4, "subsample": 0.8, "colsample_bytree": 0.7, "seed": 3, "nthread": 1, "base_score": 0.0}
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(80, 6))
COSTS = ROWS[:, 0] ** 2 + RNG.normal(size=80)


def slopes(predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(predicted, np.float64) - 2 * COSTS, np.full(80, 1.5)


@pytest.mark.parametrize("own", [False, True], ids=["squared error", "own loss"])
def test_trees_are_those_of_xgboosts_training(own: bool) -> None:
    trained = xgboost.train(
        SETTINGS, xgboost.DMatrix(ROWS, COSTS), 20, obj=(lambda given, _: slopes(given)) if own else None
    )
    found = boosted(SETTINGS, xgboost.DMatrix(ROWS, COSTS), 20, slopes if own else None)
    before = found.inplace_predict(ROWS)
    kept = released(found)
    assert bytes(kept.save_raw("json")) == bytes(trained.save_raw("json"))
    np.testing.assert_array_equal(before, trained.inplace_predict(ROWS))
    np.testing.assert_array_equal(kept.inplace_predict(ROWS), before)
