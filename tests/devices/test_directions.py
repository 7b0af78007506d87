"""As many principal directions as were planted."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import pytest

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.devices import principal_directions
from hwnas_surrogate.errors import InvalidInputError
from tests.tables import FIVE, noisy, table_of

Vector = npt.NDArray[np.float64]


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


def planted(n: int, known: float, seed: int = 0) -> tuple[CostTable, Vector]:
    """Return costs of thirty devices that differ in three directions and noise, most of them missing; the spectrum."""
    rng = np.random.default_rng(seed)
    loadings = rng.normal(size=(30, 3)) / np.sqrt([1, 2, 3])
    logs = rng.normal(size=(n, 3)) @ loadings.T + 0.1 * rng.normal(size=(n, 30)) + rng.normal(size=30)
    logs[rng.random(logs.shape) > known] = np.nan
    eigenvalues = np.linalg.eigvalsh(loadings @ loadings.T + 0.01 * np.eye(30))[::-1]
    targets = [f"device{number}/latency" for number in range(30)]
    return table_of(np.exp(logs), targets), eigenvalues / eigenvalues.sum()


@pytest.mark.parametrize("known", [0.4, 0.15])
def test_directions_are_found_where_most_costs_are_missing(known: float) -> None:
    table, expected = planted(300, known)
    assert not (table.costs > 0).all(axis=1).any()
    found = principal_directions(table)
    assert found.n_for(0.99) == 3
    np.testing.assert_allclose(found.explained_variance_ratio, expected, atol=0.03)
    assert found.explained_variance_ratio.sum() == pytest.approx(1)
    assert (np.diff(found.explained_variance_ratio) <= 0).all()
    np.testing.assert_allclose(found.loadings.T @ found.loadings, np.eye(found.loadings.shape[1]), atol=1e-9)
    complete = principal_directions(planted(300, 1.0)[0])
    overlap = np.linalg.svd(found.loadings.iloc[:, :3].T.to_numpy() @ complete.loadings.iloc[:, :3].to_numpy())[1]
    assert overlap.min() > 0.97


def test_missing_costs_hardly_change_the_directions() -> None:
    """A few complete rows among many others say less than all rows together."""
    table, expected = planted(300, 0.3)
    costs = table.costs.copy()
    costs[:4] = planted(300, 1.0)[0].costs[:4]
    found = principal_directions(table_of(costs, list(map(str, table.targets))))
    assert found.n == 300
    np.testing.assert_allclose(found.explained_variance_ratio[:3], expected[:3], atol=0.03)


def test_devices_of_constant_cost_add_no_direction() -> None:
    table, _ = planted(60, 0.4)
    costs = table.costs.copy()
    costs[:, 1:] = np.where(np.isnan(costs[:, 1:]), np.nan, 2.0)
    found = principal_directions(table_of(costs, list(map(str, table.targets))))
    assert found.n_for(0.999) == 1
    assert abs(found.loadings.iloc[0, 0]) == pytest.approx(1)


def test_rows_with_one_cost_say_nothing() -> None:
    costs = noisy(60)
    costs[np.arange(60) % 3 == 0, 0] = costs[np.arange(60) % 3 == 1, 1] = np.nan
    costs[np.arange(60) % 3 == 2, 2] = np.nan
    alone = np.full((30, 3), np.nan)
    alone[:, 0] = 1.0
    found, same = principal_directions(table_of(np.vstack([costs, alone]))), principal_directions(table_of(costs))
    assert found.n == same.n == 60
    assert found.explained_variance_ratio.tolist() == same.explained_variance_ratio.tolist()


def test_two_thousand_devices_with_most_costs_missing_take_seconds() -> None:
    rng = np.random.default_rng(0)
    logs = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 2000)) + 0.1 * rng.normal(size=(200, 2000))
    logs[rng.random(logs.shape) > 0.1] = np.nan
    table = table_of(np.exp(logs), [f"device{number}/latency" for number in range(2000)])
    begin = time.process_time()
    found = principal_directions(table)
    assert time.process_time() - begin < 10
    assert found.n_for(0.95) == 2


def test_principal_directions_of_nothing_are_refused() -> None:
    nan = np.nan
    with pytest.raises(InvalidInputError, match=r"2 group\(s\) .* 2 targets; a/latency has the fewest costs, 1 of 3"):
        principal_directions(table_of([[1, nan], [nan, 2], [nan, 3]]))
    apart = np.full((6, 4), nan)
    apart[:3, :2], apart[3:, 2:] = noisy(3, 2), noisy(3, 2)
    with pytest.raises(InvalidInputError, match=r"got 2 group\(s\) without a link among 4 targets"):
        principal_directions(table_of(apart))
    with pytest.raises(InvalidInputError, match="a/latency has the fewest costs, 1 of 3"):
        principal_directions(table_of([[1], [nan], [nan]]))
    with pytest.raises(InvalidInputError, match="the same in all 3 rows"):
        principal_directions(table_of([[1, 2]] * 3))
    with pytest.raises(InvalidInputError, match="the same in all 6 rows"):
        principal_directions(table_of([[1, 2, nan], [nan, 2, 3], [1, nan, 3]] * 2))
    with pytest.raises(InvalidInputError, match="at least 2 rows"):
        principal_directions(table_of(noisy()), [])
    for part in (0, 1.1, 99, True):
        with pytest.raises(InvalidInputError, match="the part must be above 0 and at most 1"):
            principal_directions(table_of(noisy())).n_for(part)
