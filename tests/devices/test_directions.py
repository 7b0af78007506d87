"""As many principal directions as were planted."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas_surrogate.devices import principal_directions
from hwnas_surrogate.errors import InvalidInputError
from tests.tables import FIVE, noisy, table_of


def test_as_many_directions_as_were_planted() -> None:
    rng = np.random.default_rng(0)
    logs = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 5)) + rng.normal(size=5)
    found = principal_directions(table_of(np.exp(logs)))
    assert found.n_for(0.99) <= 2
    assert found.n_for(1.0) == 2
    assert found.n == 200
    # The same by the eigenvalues of the covariance.
    eigenvalues = np.linalg.eigvalsh(np.cov(logs.T))[::-1]
    np.testing.assert_allclose(found.explained_variance_ratio, eigenvalues / eigenvalues.sum(), atol=1e-12)
    assert list(found.loadings.index) == FIVE
    assert list(found.loadings.columns) == [1, 2, 3, 4, 5]
    np.testing.assert_allclose((found.loadings**2).sum(), 1)
    assert (found.loadings.max() == found.loadings.abs().max()).all()


def test_a_faster_device_is_no_new_direction() -> None:
    base = noisy(50, 2)[:, :1]
    found = principal_directions(table_of(np.hstack([base, 7 * base, 0.1 * base])))
    assert found.n_for(0.999999) == 1
    np.testing.assert_allclose(found.loadings[1], 3**-0.5)


def test_only_rows_that_all_have_count() -> None:
    costs = noisy(60)
    missing = costs.copy()
    missing[:10, 0], missing[20:25, 2], missing[30, 1] = np.nan, np.nan, 0.0
    kept = np.r_[10:20, 25:30, 31:60]
    found, same = principal_directions(table_of(missing)), principal_directions(table_of(costs[kept]))
    assert found.n == len(kept)
    np.testing.assert_allclose(found.explained_variance_ratio, same.explained_variance_ratio)


def test_one_device_is_one_direction() -> None:
    assert principal_directions(table_of(noisy(10)), "a/latency").n_for() == 1


def test_principal_directions_of_nothing_are_refused() -> None:
    nan = np.nan
    with pytest.raises(InvalidInputError, match=r"got 0; a/latency has the fewest, 1 of 3"):
        principal_directions(table_of([[1, nan], [nan, 2], [nan, 3]]))
    with pytest.raises(InvalidInputError, match="the same in all 3 rows"):
        principal_directions(table_of([[1, 2]] * 3))
    with pytest.raises(InvalidInputError, match="at least 2 rows"):
        principal_directions(table_of(noisy()), [])
    for part in (0, 1.1, 99, True):
        with pytest.raises(InvalidInputError, match="the part must be above 0 and at most 1"):
            principal_directions(table_of(noisy())).n_for(part)
