"""Held-out evaluation: splits without overlap, tables of scores, and what the surrogates reach on real costs."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, RegressorMixin

from hwnas_surrogate.data import BlockTable, CostTable, load_table
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation import Scores, evaluate, readable, score, split_rows, summary
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate

SPACE = get_space("nasbench201")
TARGETS = ["cpu/latency", "cpu/energy"]
relaxed = settings(deadline=None)


def planted(n: int = 90, targets: list[str] = TARGETS) -> CostTable:
    archs = SPACE.sample(n, random_state=1)
    macs = SPACE.batch(archs).macs / 1e6
    noise = np.random.default_rng(2).normal(1.0, 0.01, (n, len(targets)))
    return CostTable(SPACE, archs, (macs[:, None] + 5) * noise * np.arange(1, 1 + len(targets)), targets)


class Spy(Surrogate):
    """Remembers the architectures that its clones are fitted on and asked about."""

    fits: ClassVar[list[dict[str, Any]]] = []

    def fit(self, networks: Any, cost: Any, configs: Any = None, **options: Any) -> Spy:
        under = [networks.configs[number] for number in networks.config_number]
        entry = {"trained": SPACE.format_all(networks.archs), "cost": np.array(cost), "configs": under}
        self.fits.append({**entry, "random_state": self.random_state})
        return super().fit(networks, cost, configs, **options)

    def predict(self, networks: Any, configs: Any = None, *, extrapolate: bool = False) -> npt.NDArray[np.float64]:
        self.fits[-1]["tested"] = list(networks.names)
        self.fits[-1]["predicted"] = super().predict(networks, configs, extrapolate=extrapolate)
        return self.fits[-1]["predicted"]


class RandomCosts(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Draws its predictions."""

    def fit(self, X: pd.DataFrame, y: npt.NDArray[np.float64]) -> RandomCosts:
        self.high_ = float(y.max())
        return self

    def predict(self, X: pd.DataFrame) -> npt.NDArray[np.float64]:
        return np.random.default_rng(len(X)).uniform(0, self.high_, len(X))


@pytest.fixture
def spy() -> Spy:
    Spy.fits.clear()
    return Spy(encoder="counts", model="linear", calibrate=False)


# -- splits -----------------------------------------------------------------------------------------------


@relaxed
@given(st.integers(3, 400), st.integers(0, 1000), st.data())
def test_splits_are_disjoint_of_the_sizes_asked_for_and_repeatable(n: int, seed: int, data: st.DataObject) -> None:
    n_train = data.draw(st.integers(2, n - 1))
    n_test = data.draw(st.integers(1, n - n_train))
    train, test = split_rows(n, n_train, n_test, seed)
    assert (len(train), len(test)) == (n_train, n_test)
    assert len({*train.tolist(), *test.tolist()}) == n_train + n_test
    assert {*train.tolist(), *test.tolist()} <= set(range(n))
    again = split_rows(n, n_train, n_test, seed)
    assert np.array_equal(train, again[0])
    assert np.array_equal(test, again[1])


@relaxed
@given(st.integers(4, 400), st.integers(0, 1000), st.data())
def test_a_larger_training_set_keeps_the_test_rows_and_the_training_rows(
    n: int, seed: int, data: st.DataObject
) -> None:
    n_test = data.draw(st.integers(1, n - 3))
    n_train = data.draw(st.integers(2, n - n_test - 1))
    train, test = split_rows(n, n_train, n_test, seed)
    more, same = split_rows(n, n_train + 1, n_test, seed)
    assert np.array_equal(test, same)
    assert np.array_equal(train, more[:n_train])


def test_seeds_differ_and_leave_the_global_generator_alone() -> None:
    np.random.seed(7)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    first, second = split_rows(100, 50, 20, 0), split_rows(100, 50, 20, 1)
    assert not np.array_equal(first[1], second[1])
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@pytest.mark.parametrize(
    ("n", "n_train", "n_test", "sizes"),
    [
        (100, None, None, (80, 20)),
        (100, 30, None, (30, 20)),
        (100, 95, None, (95, 5)),
        (100, None, 30, (70, 30)),
        (3, None, None, (2, 1)),
    ],
)
def test_sizes_that_are_left_out(n: int, n_train: int | None, n_test: int | None, sizes: tuple[int, int]) -> None:
    train, test = split_rows(n, n_train, n_test, 0)
    assert (len(train), len(test)) == sizes


@pytest.mark.parametrize(
    ("n", "n_train", "n_test"),
    [
        (2, None, None),
        (0, None, None),
        (10, 8, 3),
        (10, 10, None),
        (10, 11, None),
        (10, None, 10),
        (10, None, 9),
        (10, None, 12),
        (10, 1, 3),
        (10, 5, 0),
        (10, 5, -1),
    ],
)
def test_impossible_splits_are_refused_in_numbers_that_make_sense(
    n: int, n_train: int | None, n_test: int | None
) -> None:
    with pytest.raises(InvalidInputError, match=f"^{n} architectures can't be split into") as caught:
        split_rows(n, n_train, n_test, 0)
    if n_test != -1:
        assert "-" not in str(caught.value)


@pytest.mark.parametrize("wrong", [0.5, 4.0, "4", True])
def test_numbers_that_are_no_integers_are_refused(wrong: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"n_train must be an integer or None, got"):
        split_rows(10, wrong, 3, 0)
    with pytest.raises(InvalidInputError, match=r"n_test must be an integer or None, got"):
        split_rows(10, 3, wrong, 0)
    with pytest.raises(InvalidInputError, match="non-negative integer"):
        split_rows(10, 3, 3, -1)


# -- evaluate ---------------------------------------------------------------------------------------------


def test_one_row_for_each_target_and_seed(spy: Spy) -> None:
    results = evaluate(planted(), spy, n_train=40, n_test=30, seeds=[0, 3, 5]).scores
    names = [field.name for field in fields(Scores)]
    more = ["coverage_80", "coverage_90", "coverage_95", "width_90", "regret", "overrun", "fit_seconds"]
    assert list(results.columns) == ["model", "device", "metric", "unit", "seed", "n_train", *names, *more]
    assert results[["device", "metric", "unit", "seed"]].to_numpy().tolist() == [
        ["cpu", "latency", "ms", 0],
        ["cpu", "latency", "ms", 3],
        ["cpu", "latency", "ms", 5],
        ["cpu", "energy", "mJ", 0],
        ["cpu", "energy", "mJ", 3],
        ["cpu", "energy", "mJ", 5],
    ]
    assert (results["n_train"] == 40).all()
    assert (results["n"] == 30).all()
    assert (results["fit_seconds"] > 0).all()
    assert (results["kendall_tau"] > 0.9).all()


def test_test_rows_are_never_trained_on_and_scored_against_their_costs(spy: Spy) -> None:
    table = planted()
    results = evaluate(table, spy, n_train=40, n_test=30, seeds=[0, 1]).scores
    assert len(spy.fits) == 4
    for number, fit in enumerate(spy.fits):
        assert len(set(fit["trained"])) == 40
        assert len(set(fit["tested"])) == 30
        assert not set(fit["trained"]) & set(fit["tested"])
        column = number // 2
        assert fit["cost"].tolist() == table.lookup(fit["trained"]).iloc[:, column].tolist()
        expected = score(table.lookup(fit["tested"]).iloc[:, column], fit["predicted"]).to_dict()
        assert results.loc[number, list(expected)].to_dict() == expected
    assert spy.fits[0]["tested"] != spy.fits[1]["tested"]
    assert spy.fits[0]["tested"] == spy.fits[2]["tested"]
    assert [fit["random_state"] for fit in spy.fits] == [0, 1, 0, 1]


def test_a_useless_model_gets_useless_scores() -> None:
    results = evaluate(
        planted(200, ["cpu/latency"]), Surrogate(encoder="counts", model=RandomCosts()), seeds=[0]
    ).scores
    assert abs(results.loc[0, "kendall_tau"]) < 0.4
    assert results.loc[0, "r2"] < 0


def test_rows_without_a_cost_are_left_out_target_by_target(spy: Spy) -> None:
    full = planted()
    costs = full.costs.copy()
    costs[:30, 0] = np.nan
    table = CostTable(SPACE, full.archs, costs, TARGETS)
    results = evaluate(table, spy, seeds=[0]).scores
    assert results["n_train"].tolist() == [48, 72]
    assert results["n"].tolist() == [12, 18]
    absent = set(SPACE.format_all(full.archs[:30]))
    assert not absent & {*spy.fits[0]["trained"], *spy.fits[0]["tested"]}
    assert absent <= {*spy.fits[1]["trained"], *spy.fits[1]["tested"]}


def test_each_row_keeps_its_config(spy: Spy) -> None:
    small = planted(40)
    archs = np.concatenate([small.archs, small.archs])
    costs = np.concatenate([small.costs, 10 * small.costs])
    table = CostTable(SPACE, archs, costs, TARGETS, configs=["cifar10"] * 40 + ["ImageNet16-120"] * 40)
    evaluate(table, spy, seeds=[0])
    fit = spy.fits[0]
    assert fit["cost"].tolist() == table.lookup(fit["trained"], fit["configs"]).iloc[:, 0].tolist()
    assert len(set(fit["configs"])) == 2


def test_too_few_costs_name_the_target(spy: Spy) -> None:
    full = planted()
    costs = full.costs.copy()
    costs[2:, 1] = np.nan
    with pytest.raises(InvalidInputError, match=r"^cpu/energy: 2 architectures can't be split"):
        evaluate(CostTable(SPACE, full.archs, costs, TARGETS), spy)


def test_the_surrogate_given_is_neither_fitted_nor_changed(spy: Spy) -> None:
    before = {**vars(spy)}
    evaluate(planted(), spy, seeds=[4])
    assert vars(spy) == before


def test_progress_counts_the_fits(spy: Spy) -> None:
    calls: list[tuple[int, int]] = []
    evaluate(planted(), spy, seeds=range(2), progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("model", ["linear", "xgboost"])
def test_the_same_seeds_give_the_same_scores(model: str) -> None:
    table = planted(60, ["cpu/latency"])
    first, second = (
        evaluate(table, Surrogate(encoder="counts", model=model), n_train=30, n_test=20, seeds=np.array([0, 1])).scores
        for _ in range(2)
    )
    assert first.drop(columns="fit_seconds").equals(second.drop(columns="fit_seconds"))


@pytest.mark.parametrize("seeds", [[], 5, None])
def test_seeds_must_be_some(seeds: Any) -> None:
    with pytest.raises(InvalidInputError, match="seeds must be a sequence of at least one integer"):
        evaluate(planted(), seeds=seeds)


def test_a_block_table_is_refused_with_the_way_out() -> None:
    with pytest.raises(InvalidInputError, match=r"needs a cost table, got BlockTable.*tabulate"):
        evaluate(BlockTable({}))  # type: ignore[arg-type]


# -- summaries --------------------------------------------------------------------------------------------


def test_summary_holds_means_and_the_standard_deviation_of_tau(spy: Spy) -> None:
    results = evaluate(planted(), spy, n_train=12, n_test=30, seeds=[0, 1, 2]).scores
    told = summary(results)
    assert told[["device", "metric", "unit"]].to_numpy().tolist() == [["cpu", "latency", "ms"], ["cpu", "energy", "mJ"]]
    assert told["seeds"].tolist() == [3, 3]
    assert "seed" not in told
    for row, part in ((0, results[:3]), (1, results[3:])):
        taus = part["kendall_tau"].tolist()
        mean = sum(taus) / 3
        assert told.loc[row, "kendall_tau"] == pytest.approx(mean)
        assert told.loc[row, "kendall_tau_sd"] == pytest.approx((sum((t - mean) ** 2 for t in taus) / 2) ** 0.5)
        assert told.loc[row, "kendall_tau_sd"] > 0
        assert told.loc[row, "rmse"] == pytest.approx(sum(part["rmse"]) / 3)


def test_summary_of_one_seed_has_no_deviation(spy: Spy) -> None:
    told = summary(evaluate(planted(), spy, seeds=[0]).scores)
    assert told["seeds"].tolist() == [1, 1]
    assert told["kendall_tau_sd"].isna().all()


def test_scores_without_intervals_and_times_are_readable_too(spy: Spy) -> None:
    scores = evaluate(planted(), spy, seeds=[0]).scores
    everything, part = readable(summary(scores)), readable(scores.drop(columns=["coverage_90", "fit_seconds"]))
    assert {"in 90 % interval", "fit time"} == set(everything) - set(part) - {"seeds", "sd"}


# -- what surrogates reach on real costs ------------------------------------------------------------------


@pytest.mark.real_data
def test_the_default_surrogate_ranks_measured_latency(shared_data: Path) -> None:
    table = load_table(shared_data / "HW-NAS-Bench-subset.pickle", dataset="cifar10")
    assert isinstance(table, CostTable)
    results = evaluate(table.select(["raspi4", "pixel3"]), n_train=124, n_test=625, seeds=range(3)).scores
    told = summary(results).set_index("device")["kendall_tau"]
    assert told["raspi4"] >= 0.89
    assert told["pixel3"] >= 0.89


@pytest.mark.real_data
def test_additive_devices_are_predicted_exactly(shared_data: Path) -> None:
    table = load_table(shared_data / "HW-NAS-Bench-subset.pickle", dataset="cifar10")
    assert isinstance(table, CostTable)
    surrogate = Surrogate(encoder="onehot", model="additive")
    results = evaluate(table.select(["eyeriss", "fpga"]), surrogate, n_train=124, n_test=625, seeds=range(5)).scores
    assert set(results["device"]) == {"eyeriss", "fpga"}
    assert results.groupby(["device", "metric"])["kendall_tau"].mean().min() >= 0.999


@pytest.mark.real_data
def test_fbnet_costs_are_predicted_exactly(shared_data: Path) -> None:
    blocks = load_table(shared_data / "HW-NAS-Bench-subset.pickle", space="fbnet", dataset="cifar100")
    assert isinstance(blocks, BlockTable)
    table = blocks.tabulate(blocks.space.sample(1000, random_state=0))
    surrogate = Surrogate("fbnet", model="additive")
    for column in range(len(table.targets)):
        costs = table.costs[:, column]
        predicted = surrogate.fit(table.archs[:400], costs[:400], table.configs[0]).predict(
            table.archs[400:], table.configs[0]
        )
        assert np.abs(predicted / costs[400:] - 1).max() < 1e-9
    assert evaluate(table, surrogate, n_train=400).scores["mape"].max() < 1e-9


def test_a_coverage_that_so_few_costs_cant_promise_is_no_score() -> None:
    scores = evaluate(planted(), Surrogate(), n_train=3, n_test=30, seeds=[0]).scores
    assert scores[["coverage_80", "coverage_90"]].notna().all(axis=None)
    assert scores["coverage_95"].isna().all()
    assert evaluate(planted(), Surrogate(), n_train=4, n_test=30, seeds=[0]).scores["coverage_95"].notna().all()
