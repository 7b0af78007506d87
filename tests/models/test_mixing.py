"""The weight of the second of two models: by their errors, shrunk where rows are few."""

from __future__ import annotations

import numpy as np

from hwnas_surrogate.models.mixing import mixing_weight


def test_the_better_model_gets_the_weight() -> None:
    rng = np.random.default_rng(0)
    poor, good = rng.normal(0, 1.0, 400), rng.normal(0, 0.1, 400)
    assert mixing_weight(poor, good, 0.0) > 0.97
    assert mixing_weight(good, poor, 0.0) == 0.0


def test_few_rows_leave_the_first_model_its_weight() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(0, 1.0, 12), rng.normal(0, 1.0, 12)
    weights = [mixing_weight(first, second, pseudo) for pseudo in (0.0, 10.0, 100.0)]
    assert weights[0] > weights[1] > weights[2] == 0.0


def test_slips_in_both_do_not_count() -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(0, 1.0, 200), rng.normal(0, 0.5, 200)
    before = mixing_weight(first, second, 0.0)
    first[0], second[0] = 1e6, -1e6
    assert abs(mixing_weight(first, second, 0.0) - before) < 0.05
