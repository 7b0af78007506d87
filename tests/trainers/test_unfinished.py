"""Fits of a suite that was killed: what was finished counts, and nothing that was fitted to something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.trainers import SurrogateSuite, fit_sources, suite, unfinished

Fits = list[str]


@pytest.fixture(scope="module")
def table() -> CostTable:
    whole = load_table(space="fbnet")
    assert isinstance(whole, CostTable)
    return whole.rows(range(60))


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Fits:
    """Return the targets that are fitted, as they come."""
    done, fit = Fits(), suite._fitted

    def noted(encoded: Any, surrogate: Any, *given: Any) -> Any:
        done.append(str(surrogate.target_))
        return fit(encoded, surrogate, *given)

    monkeypatch.setattr(suite, "_fitted", noted)
    return done


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", ["sources", "default", "ridge"])
def test_a_killed_fit_goes_on_and_gives_the_same(table: CostTable, fits: Fits, tmp_path: Path, kind: str) -> None:

    def fit(**how: Any) -> SurrogateSuite:
        if kind == "sources":
            return fit_sources(table, random_state=0, **how)
        made = SurrogateSuite(
            table.space, model="ridge" if kind == "ridge" else None, random_state=0, calibrate=kind == "ridge"
        )
        return made.fit_table(table, **how)

    def killed(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(journal=tmp_path / "kept", progress=killed)
    again = fit(journal=tmp_path / "kept")
    first, *others = map(str, table.targets)
    assert fits == [first, *others]
    expected = fit()
    for place, fitted in {"again": again, "expected": expected}.items():
        fitted.save(tmp_path / place)
    assert content(tmp_path / "again") == content(tmp_path / "expected")
    for target, surrogate in expected.surrogates_.items():
        np.testing.assert_array_equal(again[target].outliers_, surrogate.outliers_)


def test_nothing_counts_that_was_fitted_to_something_else(
    table: CostTable, fits: Fits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = table.targets[0]
    costs = table.costs[:, 0]

    def fit(costs: Any, networks: Any = table.batch, **settings: Any) -> int:
        before = len(fits)
        made = SurrogateSuite("fbnet", **{"model": "ridge", "random_state": 0, **settings})
        made.fit(networks, {target: costs}, journal=tmp_path)
        return len(fits) - before

    assert fit(costs) == 1
    assert fit(costs) == 0
    assert fit(np.where(np.arange(len(costs)) == 3, costs * 1.01, costs)) == 1
    assert fit(costs, table.batch.take(np.arange(len(costs))[::-1])) == 1
    assert fit(costs, random_state=1) == 1
    assert fit(costs, model=None) == 1
    assert fit(costs, calibrate=False) == 1
    assert fit(costs, encoder="onehot") == 1
    assert fit(costs) == 0
    monkeypatch.setattr(unfinished, "source_version", lambda: "0.0.9+abcdef")
    assert fit(costs) == 1


def test_what_is_damaged_is_fitted_again(table: CostTable, fits: Fits, tmp_path: Path) -> None:
    made = SurrogateSuite("fbnet", model="ridge", random_state=0)
    made.fit_table(table, journal=tmp_path)
    first, second = sorted(tmp_path.iterdir())
    (first / "manifest.json").unlink()
    weights = next(path for path in second.iterdir() if path.suffix != ".json")
    weights.write_bytes(weights.read_bytes()[:-1])
    made.fit_table(table, journal=tmp_path)
    assert len(fits) == 4
    made.fit_table(table, journal=tmp_path, n_jobs=2)
    assert len(fits) == 4


def test_draws_that_depend_on_those_before_are_not_kept(table: CostTable, tmp_path: Path) -> None:
    made = SurrogateSuite("fbnet", model="ridge", random_state=np.random.default_rng(0))
    with pytest.raises(InvalidInputError, match="a journal needs a seed as random_state, got a Generator"):
        made.fit_table(table, journal=tmp_path)
