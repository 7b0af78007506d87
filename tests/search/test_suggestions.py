"""Suggested architectures tell more than random ones, and a table of few measurements becomes a suite."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable, Target, load_table
from hwnas_surrogate.errors import HWNASError, InvalidArchitectureError, InvalidConfigError, InvalidInputError
from hwnas_surrogate.features import LayerPhysics
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import (
    AdaptWarning,
    Suggestion,
    SurrogateSuite,
    TransferSurrogate,
    adapt,
    fit_sources,
    suggest,
)

SPACE, FBNET = get_space("nasbench201"), get_space("fbnet")
TORCH, RUNTIME = Target.parse("epyc-torch-1t/latency"), Target.parse("epyc-onnxruntime-1t/latency")
OTHER = "C8-N2-k10-3x32x32"


def bundled(space: str = "nasbench201") -> CostTable:
    table = load_table(space=space)
    assert isinstance(table, CostTable)
    return table


@pytest.fixture(scope="module")
def sources() -> SurrogateSuite:
    return fit_sources(bundled().select(TORCH).rows(range(40)))


def test_networks_without_a_path_are_told() -> None:
    found = suggest(SPACE, 50)
    assert found.connected.tolist() == SPACE.connected(found.archs).tolist()
    cut_off = np.count_nonzero(~found.connected)
    assert 0 < cut_off < 50
    assert repr(found).startswith(f"Suggestion(50 under {found.config}, {cut_off} of them without a path ")
    assert len(repr(found)) < 160
    assert "without" not in repr(suggest(FBNET, 5))


# -- the contract -----------------------------------------------------------------------------------------


CASES: dict[str, tuple[Any, ...]] = {
    "nasbench201": ("nasbench201", 12, None, False),
    "fbnet": ("fbnet", 12, None, False),
    "another config": ("nasbench201", 12, OTHER, False),
    "with a source": ("nasbench201", 12, None, True),
    "with a source of the other space": ("fbnet", 12, None, True),
    "with a source of another config": ("nasbench201", 12, OTHER, True),
    "one": ("nasbench201", 1, None, False),
    "one of a space object": (FBNET, 1, "ImageNet", False),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_suggested(case: str, sources: SurrogateSuite) -> None:
    name, n, config, with_sources = CASES[case]
    space = get_space(name)
    told = suggest(name, n, config, sources=sources if with_sources else None)
    assert isinstance(told, Suggestion)
    assert len(told) == n
    assert told.archs.shape == (n, space.n_positions)
    assert told.archs.dtype == np.int8
    assert np.array_equal(space.as_array(told.archs), told.archs)
    assert len(np.unique(told.archs, axis=0)) == n
    assert told.config == space.config(config)
    assert told.uncertainty.shape == (n + 1,)
    assert (np.diff(told.uncertainty) < 0).all()
    assert told.uncertainty[-1] > 0


def test_the_same_seed_suggests_the_same(sources: SurrogateSuite) -> None:
    for given in (None, sources):
        one, again, other = (suggest("nasbench201", 6, sources=given, random_state=seed) for seed in (4, 4, 5))
        assert np.array_equal(one.archs, again.archs)
        assert np.array_equal(one.uncertainty, again.uncertainty)
        assert not np.array_equal(one.archs, other.archs)
    default = suggest("nasbench201", 6)
    assert np.array_equal(default.archs, suggest("nasbench201", 6, random_state=0).archs)


def test_global_generators_stay_as_they_are() -> None:
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    suggest("nasbench201", 2)
    assert np.random.random() == expected  # noqa: NPY002


def test_asking_for_more_only_adds() -> None:
    few, many = suggest("fbnet", 4, random_state=1), suggest("fbnet", 9, random_state=1)
    assert np.array_equal(many.archs[:4], few.archs)
    assert np.array_equal(many.uncertainty[:5], few.uncertainty)


@pytest.mark.parametrize("space", ["nasbench201", "fbnet"])
def test_what_was_measured_is_not_suggested_again(space: str) -> None:
    first = suggest(space, 8)
    more = suggest(space, 8, given=first.archs)
    both = np.concatenate([first.archs, more.archs])
    assert len(np.unique(both, axis=0)) == 16
    assert more.uncertainty[0] < 0.7 * first.uncertainty[0]
    assert more.uncertainty[0] == pytest.approx(first.uncertainty[-1], rel=0.02)
    texts = suggest(space, 8, given=get_space(space).format_all(first.archs))
    assert np.array_equal(texts.archs, more.archs)


def test_nothing_measured_is_no_difference() -> None:
    none = suggest("nasbench201", 3, given=[])
    assert np.array_equal(none.archs, suggest("nasbench201", 3).archs)


@pytest.mark.parametrize("n", [0, -1, 1001, 2.0, "5", None, True])
def test_a_wrong_number_is_refused(n: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"n must be a whole number from 1 to 1,000, got"):
        suggest("nasbench201", n)


def test_wrong_arguments_are_refused(sources: SurrogateSuite) -> None:
    wrong: list[tuple[type[HWNASError], str, dict[str, Any]]] = [
        (InvalidInputError, "unknown search space 'nasbench101'", {"space": "nasbench101"}),
        (InvalidConfigError, "'cifar11'", {"config": "cifar11"}),
        (InvalidArchitectureError, "NAS-Bench-201 architecture has 6 ops", {"given": FBNET.sample(3, 0)}),
        (InvalidInputError, "must be a CostTable, a Surrogate or a SurrogateSuite", {"sources": ["nobody"]}),
    ]
    for error, text, arguments in wrong:
        with pytest.raises(error, match=text):
            suggest(**{"space": "nasbench201", "n": 2, **arguments})


def test_numpys_integers_are_numbers() -> None:
    assert len(suggest("nasbench201", np.int64(2))) == 2


# -- what it is good for ----------------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["nasbench201", "fbnet"])
def test_suggestions_leave_less_uncertain_than_random_ones(space: str) -> None:
    chosen = suggest(space, 8).uncertainty[-1]
    at_random = [suggest(space, 1, given=get_space(space).sample(8, seed)).uncertainty[0] for seed in range(6)]
    assert chosen < 0.9 * min(at_random)


def planted(archs: np.ndarray, seed: int) -> np.ndarray:
    """Return costs on a device that prices what layers need at random, with 1 % of noise."""
    rng = np.random.default_rng(seed)
    frame = LayerPhysics("nasbench201", ("all",)).frame(archs)
    physics = frame[[name for name in frame if name.startswith("physics")]].to_numpy()
    means = LayerPhysics("nasbench201", ("all",)).frame(SPACE.sample(500, 0)).mean()[: physics.shape[1]].to_numpy()
    shares = rng.lognormal(0, 1.5, physics.shape[1]) * (means > 0)
    costs = (physics / np.maximum(means, 1e-9)) @ shares
    return costs * np.exp(0.01 * rng.normal(size=len(archs)))


def test_suggestions_teach_more_than_random_ones() -> None:
    queries = SPACE.sample(400, 99)
    errors = []
    for seed in range(8):
        truth = planted(queries, seed)
        designs = suggest("nasbench201", 8, random_state=seed).archs, SPACE.sample(8, seed)
        errors.append([])
        for archs in designs:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", AdaptWarning)
                surrogate = TransferSurrogate().fit(archs, planted(archs, seed))
            errors[-1].append(np.sqrt(np.mean((surrogate.predict(queries) / truth - 1) ** 2)))
    chosen, at_random = np.mean(errors, axis=0)
    assert chosen < 0.85 * at_random


# -- a table of few measurements --------------------------------------------------------------------------


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
    with pytest.warns(AdaptWarning, match="networks were measured: few to tell"):
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
