"""A table of few measurements becomes a suite of adapted surrogates."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable, Target, load_table
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import AdaptWarning, SurrogateSuite, TransferSurrogate, adapt, fit_sources

SPACE = get_space("nasbench201")
TORCH, RUNTIME = Target.parse("epyc-torch-1t/latency"), Target.parse("epyc-onnxruntime-1t/latency")
OTHER = "C8-N2-k10-3x32x32"


def bundled(space: str = "nasbench201") -> CostTable:
    table = load_table(space=space)
    assert isinstance(table, CostTable)
    return table


@pytest.fixture(scope="module")
def sources() -> SurrogateSuite:
    return fit_sources(bundled().select(TORCH).rows(range(40)))


def few(reasons: bool = False, rows: int = 16) -> CostTable:
    """Return measurements of two devices, of which each lacks others."""
    table = bundled().select([TORCH, RUNTIME])
    table = table.rows(np.flatnonzero(~np.isnan(table.costs).any(axis=1))[:rows])
    costs = table.costs.copy()
    costs[::5, 0] = costs[1::4, 1] = np.nan
    why = {"the compiler failed": np.isnan(costs) & [[False, True]]} if reasons else None
    return CostTable(SPACE, table.archs, costs, table.targets, reasons=why)


def quietly(table: CostTable, *arguments: Any, **options: Any) -> SurrogateSuite:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AdaptWarning)
        return adapt(table, *arguments, **options)


@pytest.mark.parametrize("with_sources", [False, True])
def test_every_device_of_a_table_is_adapted_to(with_sources: bool, sources: SurrogateSuite) -> None:
    table, queries = few(), SPACE.sample(40, 1)
    given = sources if with_sources else None
    suite = quietly(table, given)
    assert suite.targets_ == (TORCH, RUNTIME)
    assert suite.info_ == {"table_fingerprint": table.fingerprint}
    for column, target in enumerate(table.targets):
        known = ~np.isnan(table.costs[:, column])
        alone = TransferSurrogate(sources=given).fit(table.archs[known], table.costs[known, column])
        one = suite[target]
        assert isinstance(one, TransferSurrogate)
        assert one.target_ == target
        assert one.n_train_ == known.sum() == (12, 12)[column]
        assert one.classifier_ is None
        assert np.array_equal(one.predict(queries), alone.predict(queries))
        assert np.array_equal(one.predict_interval(queries), alone.predict_interval(queries))
        assert np.array_equal(suite.predict(queries, targets=target).iloc[:, 0], alone.predict(queries))
        assert one.left_out_["measured"].tolist() == table.costs[known, column].tolist()
    assert suite.predict_interval(queries).shape == (40, 4)


def test_reasons_are_failures() -> None:
    table, queries = few(reasons=True), SPACE.sample(40, 1)
    suite = quietly(table)
    assert suite[TORCH].classifier_ is None
    failed = np.isnan(table.costs[:, 1])
    alone = TransferSurrogate().fit(table.archs, table.costs[:, 1], failed=failed)
    assert np.array_equal(suite[RUNTIME].predict_has_cost(queries), alone.predict_has_cost(queries))
    assert alone.predict_has_cost(queries).min() < 1
    assert np.array_equal(suite[RUNTIME].predict(queries), alone.predict(queries))


def test_some_of_the_targets() -> None:
    table = few()
    assert quietly(table, targets=RUNTIME).targets_ == (RUNTIME,)
    assert quietly(table, targets="epyc-torch-1t").targets_ == (TORCH,)


def test_the_configs_of_the_rows_count(sources: SurrogateSuite) -> None:
    archs, configs = SPACE.sample(12, 3), ["C16-N5-k10-3x32x32", OTHER] * 6
    macs = [SPACE.batch(arch, config).macs[0] / 1e6 for arch, config in zip(archs, configs, strict=True)]
    table = CostTable(SPACE, archs, np.array(macs)[:, None] + 5, ["board/latency"], configs=configs)
    suite = quietly(table, sources)
    assert [str(config) for config in suite["board"].configs_] == configs[:2]
    queries = SPACE.sample(100, 4)
    assert (suite["board"].predict(queries, OTHER) < suite["board"].predict(queries, configs[0])).all()
    assert suite["board"].score(queries, SPACE.batch(queries, OTHER).macs, OTHER) > 0.95


@pytest.mark.parametrize("left", [0, 1])
def test_a_target_with_too_few_costs_is_named(left: int) -> None:
    table = few()
    costs = table.costs.copy()
    costs[np.flatnonzero(~np.isnan(costs[:, 1]))[left:], 1] = np.nan
    table = CostTable(SPACE, table.archs, costs, table.targets)
    with pytest.raises(InvalidInputError, match=rf"^{RUNTIME}: "):
        quietly(table)
    assert quietly(table, targets=TORCH).targets_ == (TORCH,)


def test_what_is_to_be_said_is_warned_of() -> None:
    with pytest.warns(AdaptWarning, match="networks were measured: too few"):
        adapt(few(rows=6), targets=TORCH)


@pytest.mark.parametrize("kind", ["no source", "sources", "a source of the other space", "failures"])
def test_an_adapted_suite_comes_back_to_the_bit(kind: str, sources: SurrogateSuite, tmp_path: Path) -> None:
    queries = SPACE.sample(40, 1)
    given: Any = {"sources": sources, "a source of the other space": bundled("fbnet").select(TORCH).rows(range(30))}
    suite = quietly(few(reasons=kind == "failures"), given.get(kind), random_state=2)
    once = SurrogateSuite.load(suite.save(tmp_path / "once"))
    for loaded in (once, SurrogateSuite.load(once.save(tmp_path / "twice"))):
        assert loaded.targets_ == suite.targets_
        assert loaded.info_ == suite.info_
        assert {type(one) for one in loaded.surrogates_.values()} == {TransferSurrogate}
        assert [one.random_state for one in loaded.surrogates_.values()] == [2, 2]
        for ask in ("predict", "predict_interval", "predict_has_cost"):
            assert getattr(loaded, ask)(queries).equals(getattr(suite, ask)(queries))
            elsewhere = getattr(suite, ask)(queries, OTHER, extrapolate=True)
            assert getattr(loaded, ask)(queries, OTHER, extrapolate=True).equals(elsewhere)
    assert len(list((tmp_path / "once").glob("source*"))) == (kind in given)
