"""Robust estimates: against the normal distribution, and unmoved by slips."""

import numpy as np
import pytest

from hwnas_surrogate.models.robust import inliers, robust_sd


def test_of_normal_residuals_it_is_the_standard_deviation() -> None:
    residuals = np.random.default_rng(0).normal(2.0, 3.0, 100_000)
    assert robust_sd(residuals, 2.0) == pytest.approx(3.0, rel=0.02)


def test_slips_do_not_move_it() -> None:
    residuals = np.random.default_rng(1).normal(size=1000)
    slipped = residuals.copy()
    slipped[:50] = 1e9
    assert robust_sd(slipped) == pytest.approx(robust_sd(residuals), rel=0.15)
    assert not inliers(slipped, 20)[:50].any()
    assert inliers(slipped, 20)[50:].all()


def test_where_most_are_equal_all_are_inliers() -> None:
    assert inliers(np.array([1.0, 1.0, 1.0, 5.0]), 3).all()
