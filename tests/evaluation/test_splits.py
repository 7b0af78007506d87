"""Splits and protocols: what is held out is really unseen, and published figures stand beside ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation import beside_published, evaluate, laube2022
from hwnas_surrogate.evaluation.splits import SPLITS, held_out
from hwnas_surrogate.spaces import NASBench201Config, get_space
from hwnas_surrogate.trainers import Surrogate

SPACE = get_space("nasbench201")
CONFIGS = [NASBench201Config(C=4 * number, N=1) for number in range(1, 6)]


@pytest.fixture(scope="module")
def table() -> CostTable:
    rng = np.random.default_rng(0)
    archs = np.concatenate([SPACE.sample(80, number) for number in range(5)])
    costs = rng.gamma(5.0, 1.0, (400, 1))
    costs[rng.random(400) < 0.1] = np.nan
    return CostTable(SPACE, archs, costs, ["a/latency"], configs=[config for config in CONFIGS for _ in range(80)])


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("seed", range(3))
def test_sides_are_apart_and_have_costs(table: CostTable, split: str, seed: int) -> None:
    train, test = held_out(table, 0, split, None, None, seed)
    assert len(train) >= 2
    assert len(test) >= 1
    assert not set(train) & set(test)
    assert not np.isnan(table.costs[[*train, *test], 0]).any()
    again = held_out(table, 0, split, None, None, seed)
    assert np.array_equal(train, again[0])
    assert np.array_equal(test, again[1])
    fewer = held_out(table, 0, split, 10, None, seed)
    assert np.array_equal(fewer[0], train[:10])
    assert np.array_equal(fewer[1], test)


@pytest.mark.parametrize("seed", range(3))
def test_what_each_holds_out(table: CostTable, seed: int) -> None:
    train, test = held_out(table, 0, "isomorphism", None, None, seed)
    forms = np.array(SPACE.canonical(table.archs, zeros="drop"))
    assert not set(forms[train]) & set(forms[test])
    train, test = held_out(table, 0, "config", None, None, seed)
    assert not set(table.config_number[train]) & set(table.config_number[test])
    train, test = held_out(table, 0, "cost", None, 30, seed)
    assert table.costs[train, 0].max() < table.costs[test, 0].min()
    assert len(test) == 30
    train, test = held_out(table, 0, "op", None, None, seed)
    unseen = set(range(5)) - set(table.archs[train].ravel().tolist())
    assert len(unseen) == 1
    assert np.isin(table.archs[test], list(unseen)).any(axis=1).all()


def test_one_config_can_not_be_held_out_of_one(table: CostTable) -> None:
    with pytest.raises(InvalidInputError, match="the config split leaves 0 architectures for training"):
        held_out(table.select(configs=CONFIGS[0]), 0, "config", None, None, 0)


def test_an_unknown_split(table: CostTable) -> None:
    with pytest.raises(InvalidInputError, match=r"unknown split 'isomorphic'.*Did you mean 'isomorphism'"):
        evaluate(table, split="isomorphic")


@pytest.mark.parametrize("split", ["random", *SPLITS])
@pytest.mark.parametrize("wrong", [True, 2.5, "ten"])
def test_numbers_that_are_no_integers(table: CostTable, split: str, wrong: object) -> None:
    with pytest.raises(InvalidInputError, match="n_train must be an integer"):
        held_out(table, 0, split, wrong, 10, 0)  # type: ignore[arg-type]


def test_configs_that_were_never_seen_are_predicted() -> None:
    table = load_table("modified")
    assert isinstance(table, CostTable)
    (row,) = evaluate(
        table.select("epyc-torch-1t"), Surrogate(calibrate=False), seeds=[0], split="config"
    ).scores.to_dict(orient="records")
    assert row["n"] == 300
    assert row["mdape"] < 0.1
    assert row["within_10pct"] > 0.8


def test_laube2022_leaves_out_sizes_that_the_table_is_too_small_for() -> None:
    archs = SPACE.sample(800, 0)
    costs = SPACE.batch(archs).macs[:, None]
    table = CostTable(SPACE, archs, np.hstack([costs, costs + 1]), ["raspi4/latency", "mine/latency"])
    frame = beside_published(laube2022(table, Surrogate(model="linear"), seeds=range(2)))
    assert frame["n_train"].tolist() == [124, 124]
    assert frame["n"].tolist() == [625, 625]
    assert frame["seeds"].tolist() == [2, 2]
    assert frame["published XGBoost, n=15k"].iloc[0] == 0.890
    assert np.isnan(frame["published XGBoost, n=15k"].iloc[1])


def test_laube2022_needs_its_space_and_enough_costs(table: CostTable) -> None:
    with pytest.raises(InvalidInputError, match="under 5; choose one"):
        laube2022(table)
    with pytest.raises(InvalidInputError, match="needs 749 costs"):
        laube2022(table.select(configs=CONFIGS[0]))


@pytest.mark.real_data
def test_ahead_of_what_was_published(shared_data: Path) -> None:
    table = load_table(shared_data / "HW-NAS-Bench-subset.pickle", "nasbench201", "cifar10")
    assert isinstance(table, CostTable)
    small = table.select(["raspi4/latency", "pixel3/latency", "eyeriss/latency"]).rows(
        np.random.default_rng(0).permutation(15_625)[:2000]
    )
    frame = beside_published(laube2022(small, seeds=range(1)))
    published = frame[[name for name in frame if str(name).startswith("published")]]
    assert (frame["kendall_tau"].to_numpy()[:, None] > published.to_numpy()).all()
