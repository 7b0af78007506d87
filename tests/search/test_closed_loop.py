"""The closed loop: ask, measure, tell, until the picks are measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.data import BlockTable, CostTable, load_table
from hwnas_surrogate.errors import InvalidInputError, NotInTableError, UnmetBudgetsError
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.search import ClosedLoop, SearchResult, search
from hwnas_surrogate.trainers import Surrogate

ORT, TORCH = "epyc-onnxruntime-1t/latency", "epyc-torch-1t/latency"


def _truth() -> CostTable:
    table = load_table(space="nasbench201").select([ORT, TORCH])
    assert isinstance(table, CostTable)
    return table.rows(np.flatnonzero(~np.isnan(table.costs).any(axis=1) & table.batch.connected)[:300])


TRUTH = _truth()
COSTS = TRUTH.costs[:, 0]
PARAMS = TRUTH.batch.total("params", "live")
QUALITY = pd.Series(
    94 - 24 * np.exp(-PARAMS / 6e5) + np.random.default_rng(0).normal(0, 0.1, len(TRUTH)), index=TRUTH.names
)


def measure(batch: NetworkBatch) -> CostTable:
    return TRUTH.rows(TRUTH.find(batch))


def loop(budget: float = 2.0, **options: Any) -> ClosedLoop:
    given: dict[str, Any] = {"measured": ORT, "quality": QUALITY, "budgets": {ORT: budget}, **options}
    return ClosedLoop(TRUTH.batch, **given)


def best(result: SearchResult) -> float:
    return float(result.frame["quality"].iloc[0])


@pytest.mark.parametrize("budget", [1.5, 2.5])
def test_it_finds_the_best_network_under_a_budget(budget: float) -> None:
    closed = loop(budget)
    result = closed.run(measure)
    assert best(result) == QUALITY[budget >= COSTS].max()
    assert closed.table is not None
    assert 10 < len(closed.table) <= 30
    assert (COSTS[TRUTH.find(result.picks)] <= budget).all()
    assert "of at most 30 measured" in repr(closed)


def test_costs_of_the_result_are_the_measured_ones() -> None:
    result = loop().run(measure)
    titles = [f"{ORT} (ms)", f"{ORT} (ms) low", f"{ORT} (ms) high"]
    expected = np.repeat(COSTS[TRUTH.find(result.picks)][:, None], 3, axis=1)
    assert np.array_equal(result.frame[titles].to_numpy(), expected)


def test_a_stopped_loop_goes_on_where_it_was() -> None:
    whole, rounds = loop(), []
    while len(batch := whole.ask()):
        rounds.append(batch.names)
        whole.tell(measure(batch))
    assert len(rounds) > 1
    table = None
    for names in rounds:  # a new process each time
        again = loop(table=table)
        assert again.ask().names == names
        again.tell(measure(again.ask()))
        table = again.table
    assert not len(loop(table=table).ask())


def test_the_first_networks_are_informative_and_no_more_than_asked_for() -> None:
    closed = loop(first=4, most=6, batch=5)
    sizes = []
    while len(batch := closed.ask()):
        sizes.append(len(batch))
        closed.tell(measure(batch))
    assert sizes == [4, 2]


def test_refused_networks_are_recorded_and_left_alone() -> None:
    refused = set(TRUTH.batch.take(np.argsort(-QUALITY.to_numpy())[:40]).keys)
    asked: list[str] = []

    def refusing(batch: NetworkBatch) -> CostTable:
        asked.extend(batch.keys)
        table = measure(batch).select(ORT)
        no = np.isin(batch.keys, list(refused))[:, None]
        return CostTable(
            "nasbench201",
            batch,
            np.where(no, np.nan, table.costs),
            [ORT],
            reasons={"no kernel": no} if no.any() else None,
        )

    closed = loop(3.0, most=20)
    result = closed.run(refusing)
    assert refused & set(asked)
    assert len(asked) == len(set(asked))
    assert closed.table is not None
    assert len(closed.table) == len(asked)
    assert not refused & set(result.picks.keys)


def test_a_budget_that_nothing_keeps_ends_with_the_nearest() -> None:
    closed = loop(0.1)
    with pytest.raises(UnmetBudgetsError, match="nearest") as error:
        closed.run(measure)
    assert closed.table is not None
    assert len(closed.table) < 30
    cheapest = float(closed.table.costs[:, 0].min())
    assert error.value.nearest in closed.table.names
    assert cheapest <= np.sort(COSTS)[3]


def test_the_nearest_are_measured_without_the_quality_function() -> None:
    called: list[str] = []

    def rated(names: list[str]) -> list[float]:
        called.extend(names)
        return [0.0] * len(names)

    closed = loop(0.1, quality=rated, most=12)
    with pytest.raises(UnmetBudgetsError, match="nearest"):
        closed.run(measure)
    assert called == []


def test_a_front_is_measured() -> None:
    closed = loop(objectives=["quality", ORT], budgets=None, most=40)
    result = closed.run(measure)
    exact = search(TRUTH.batch, ["quality", ORT], surrogates=TRUTH.select(ORT), quality=QUALITY)
    found = set(result.front.names) & set(exact.front.names)
    assert len(found) >= 0.6 * len(exact.front)


def test_other_devices_are_predicted() -> None:
    phone = Surrogate().fit(TRUTH.archs, TRUTH.costs[:, 1])
    limit = float(np.median(TRUTH.costs[:, 1]))
    result = loop(9.0, budgets={ORT: 9.0, TORCH: limit}, surrogates={TORCH: phone}).run(measure)
    assert (result.frame[f"{TORCH} (ms)"] <= limit).all()
    with pytest.raises(InvalidInputError, match="is measured: leave it out"):
        loop(surrogates=TRUTH)


def test_a_costly_quality_is_evaluated_once() -> None:
    called: list[str] = []

    def quality(names: list[str]) -> list[float]:
        called.extend(names)
        return QUALITY[names].tolist()

    result = loop(1.5, quality=quality).run(measure)
    assert best(result) == QUALITY[COSTS <= 1.5].max()
    assert len(called) == len(set(called)) < len(TRUTH)


def test_later_costs_count() -> None:
    closed = loop()
    closed.tell(TRUTH.rows([0, 1]))
    closed.tell(CostTable("nasbench201", TRUTH.batch.take([1, 2]), [[7.0, 1.0], [8.0, 1.0]], [ORT, TORCH]))
    assert closed.table is not None
    assert closed.table.select(ORT).costs[:, 0].tolist() == [COSTS[0], 7.0, 8.0]


def test_candidates_fewer_than_the_first_round_are_all_measured() -> None:
    few = TRUTH.batch.take(range(6))
    closed = ClosedLoop(few, measured=ORT, quality=QUALITY, budgets={ORT: 9.0})
    assert best(closed.run(measure)) == QUALITY.iloc[:6].max()
    assert closed.table is not None
    assert len(closed.table) == 6


def test_graphs() -> None:
    graphs = dict(zip(map(str, range(60)), TRUTH.batch.take(range(60)).graphs().graphs, strict=True))
    quality = pd.Series(QUALITY.to_numpy()[:60], index=list(graphs))

    def measured(batch: NetworkBatch) -> CostTable:
        return CostTable(None, batch, COSTS[[int(name) for name in batch.names], None], [ORT])

    result = ClosedLoop(graphs, measured=ORT, quality=quality, budgets={ORT: 2.0}, most=25).run(measured)
    assert best(result) >= np.sort(quality[COSTS[:60] <= 2.0])[-2]


def test_a_space_too_large_to_list() -> None:
    blocks = load_table("blocks")
    assert isinstance(blocks, BlockTable)
    target = str(blocks.targets[0])

    def quality(names: list[str]) -> list[float]:
        return (1 - np.exp(-blocks.space.batch(blocks.space.stack(names)).params / 1e7)).tolist()

    costs = blocks.tabulate(blocks.space.sample(200, 0)).select(target).costs[:, 0]
    budget = float(np.quantile(costs, 0.3))
    closed = ClosedLoop(
        "fbnet", measured=target, quality=quality, budgets={target: budget}, evaluations=400, first=6, most=16
    )

    def measured(batch: NetworkBatch) -> CostTable:
        return blocks.tabulate(batch.archs).select(target)  # type: ignore[attr-defined]

    result = closed.run(measured)
    assert (result.frame[f"{target} ({blocks.targets[0].unit})"] <= budget).all()
    with pytest.raises(InvalidInputError, match="too large"):
        ClosedLoop("fbnet", measured=target, quality=pd.Series({"0": 1.0}), budgets={target: budget})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"first": 1}, InvalidInputError, "first must be a number of networks, 2 or more, got 1"),
        ({"most": True}, InvalidInputError, "most must be a number"),
        ({"batch": 0}, InvalidInputError, "batch must be a number"),
        ({"measured": []}, InvalidInputError, "measured must name a target"),
        ({"quality": None}, InvalidInputError, "quality"),
        ({"budgets": {"pi/latency": 3.0}}, NotInTableError, "pi/latency"),
        ({"n_jobs": 0, "quality": lambda names: [0.0] * len(names)}, InvalidInputError, "n_jobs"),
    ],
    ids=["first", "most", "batch", "measured", "quality", "budgets", "n_jobs"],
)
def test_what_is_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        loop(**options).run(measure)


def test_measurements_of_something_else_are_refused() -> None:
    closed = loop()
    with pytest.raises(InvalidInputError, match="nothing was measured"):
        closed.result()
    with pytest.raises(InvalidInputError, match=f"lack {ORT}"):
        closed.tell(TRUTH.select(TORCH).rows([0]))
