"""Hypotheses: each has the covariance of its own belief and noise, though equal ones are inverted once."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas_surrogate.columns import Columns
from hwnas_surrogate.features import LayerPhysics
from hwnas_surrogate.models.evidence import Hypotheses
from hwnas_surrogate.models.prior import PhysicsPrior, beliefs, columns_by_view
from hwnas_surrogate.spaces import get_space

SPACE = get_space("nasbench201")


@pytest.mark.parametrize("n", [3, 12])
@pytest.mark.parametrize("n_sources", [0, 2])
def test_each_inverse_is_that_of_its_own_covariance(n: int, n_sources: int) -> None:
    archs = SPACE.sample(n, 0)
    X, macs = LayerPhysics().frame(archs), SPACE.batch(archs).macs
    for source in range(n_sources):
        X[f"source:board-{source}"] = macs / 1e6 + source * np.arange(n)
    values, columns, prior = X.to_numpy(np.float64), Columns.of(X), PhysicsPrior()
    costs = macs / macs.mean()
    costs[1] *= 5
    believed = list(beliefs(prior, columns, values, columns_by_view(columns, values)))
    assert len({belief.spread for belief in believed}) < len(believed)
    found = Hypotheses(values, costs, believed, prior)
    assert (found.precisions < 0.5).any()
    for number, belief in enumerate(found.belief):
        shares, corrections = believed[belief].design(values)
        kernel = believed[belief].share_sd ** 2 * shares @ shares.T + corrections @ corrections.T
        covariance = kernel + prior.constant_sd**2 + np.diag(found.noise[number])
        assert np.array_equal(found.inverse[number], np.linalg.inv(covariance))
        off = costs - shares @ believed[belief].expected
        np.testing.assert_allclose(found.pull[number], np.linalg.solve(covariance, off), rtol=1e-6, atol=1e-6)
    assert found.weights.sum() == pytest.approx(1)
