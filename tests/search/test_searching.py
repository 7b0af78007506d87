"""The search: exact fronts and picks under budgets, evolution of large spaces, and what is refused."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.data import BlockTable, CostTable, load_table
from hwnas_surrogate.errors import HWNASError, InvalidInputError, NotInTableError, UnmetBudgetsError
from hwnas_surrogate.search import ClosedLoop, search
from hwnas_surrogate.spaces import ChoiceSpace, get_space
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite
from tests.search.planted import FBNET, NPU, PI, SPACE, dominated, quality, table

BLOCK = "epyc-torch-1t-blocks/latency"


@pytest.fixture(scope="module")
def costs() -> CostTable:
    return table()


@pytest.fixture(scope="module")
def suite(costs: CostTable) -> SurrogateSuite:
    return SurrogateSuite(random_state=0).fit_table(costs.rows(range(40)))


def count_wide(names: list[str]) -> list[float]:
    return [float(sum(part.startswith(("k5_e6", "k3_e6")) for part in name.split("|"))) for name in names]


@pytest.mark.parametrize("objectives", [["quality", PI], [PI, NPU], ["quality", PI, NPU, "params"]])
def test_the_front_of_listed_candidates_is_exact(costs: CostTable, objectives: list[str]) -> None:
    known = quality(costs)
    found = search(costs.batch, objectives, surrogates=costs, quality=known if "quality" in objectives else None)
    connected = SPACE.connected(costs.archs)
    columns = {
        "quality": -known.to_numpy(),
        PI: costs.costs[:, 0],
        NPU: -costs.costs[:, 1],
        "params": costs.batch.total("params", "live"),
    }
    losses = np.column_stack([columns[name] for name in objectives])[connected]
    names = np.array(costs.names)[connected]
    assert sorted(found.front.names) == sorted(names[~dominated(losses)])
    assert found.exact
    assert len(found.evaluated) == len(costs)


def test_under_budgets_the_best_by_one_objective_are_picked(costs: CostTable) -> None:
    known = quality(costs)
    found = search(costs.batch, surrogates=costs, quality=known, budgets={PI: 10.0, NPU: 120.0, "params": 7e5}, n=4)
    fits = (costs.costs[:, 0] <= 10) & (costs.costs[:, 1] >= 120) & (costs.batch.total("params", "live") <= 7e5)
    best = known[fits & SPACE.connected(costs.archs)].nlargest(4)
    assert 4 < fits.sum() < len(costs) - 4
    assert list(found.picks.names) == list(best.index)
    assert found.frame["quality"].tolist() == best.tolist()
    assert (found.frame[f"P({PI} <= 10 ms)"] == 1).all()


def test_a_whole_space_is_enumerated_and_predicted(suite: SurrogateSuite) -> None:
    found = search("nasbench201", [PI, "macs"], surrogates=suite)
    assert found.exact
    assert len(found.evaluated) == 15_625
    predicted = suite.predict(list(found.front.names), targets=PI).to_numpy()[:, 0]
    np.testing.assert_allclose(found.front_frame[f"{PI} (ms)"], predicted)
    low, high = suite[PI].predict_interval(list(found.picks.names)).T
    np.testing.assert_allclose(found.frame[f"{PI} (ms) low"], low)
    np.testing.assert_allclose(found.frame[f"{PI} (ms) high"], high)


def test_certainty_is_the_least_probability_of_each_budget(costs: CostTable, suite: SurrogateSuite) -> None:
    budgets = {PI: 7.0, NPU: 140.0}
    known = quality(costs)
    found = search(costs.batch, surrogates=suite, quality=known, budgets=budgets, certainty=0.9, n=400)
    sure = np.column_stack([suite[name].predict_within(costs.archs, limit) for name, limit in budgets.items()])
    expected = np.array(costs.names)[(sure >= 0.9).all(axis=1) & SPACE.connected(costs.archs)]
    assert sorted(found.picks.names) == sorted(expected)
    bold = search(costs.batch, surrogates=suite, quality=known, budgets=budgets, certainty=0.5, n=400)
    assert set(found.picks.names) < set(bold.picks.names)


def test_predicted_costs_are_compared_without_certainty(costs: CostTable, suite: SurrogateSuite) -> None:
    found = search(costs.batch, "params", surrogates=suite, budgets={PI: 9.0}, n=400)
    predicted = suite[PI].predict(costs.archs)
    assert len(found) == ((predicted <= 9) & SPACE.connected(costs.archs)).sum()


@pytest.mark.parametrize(
    ("budgets", "certainty", "says"),
    [
        ({PI: 0.5}, None, rf"no network keeps {PI} <= 0.5 ms. The nearest budgets that can be met: {PI} <= "),
        ({PI: 0.5, "params": 1e5}, None, rf"None keeps {PI} <= 0.5 ms, even by itself"),
        ({PI: 3.0, NPU: 100.0, "quality": 150.0}, None, "quality >= "),
        ({PI: 0.5}, 0.9, r"with a probability of 0.9"),
    ],
)
def test_unmet_budgets_name_the_nearest(
    costs: CostTable, suite: SurrogateSuite, budgets: dict[Any, float], certainty: float | None, says: str
) -> None:
    with pytest.raises(UnmetBudgetsError, match=says) as raised:
        search(costs.batch, surrogates=suite, quality=quality(costs), budgets=budgets, certainty=certainty)
    assert raised.value.nearest in costs.names


def test_the_nearest_budgets_can_be_met(costs: CostTable, suite: SurrogateSuite) -> None:
    for certainty in (None, 0.9):
        with pytest.raises(UnmetBudgetsError) as raised:
            search(costs.batch, "params", surrogates=suite, budgets={PI: 0.5}, certainty=certainty)
        nearest = float(str(raised.value).split(f"{PI} <= ")[-1].split(" ms")[0])
        found = search(costs.batch, "params", surrogates=suite, budgets={PI: nearest}, certainty=certainty)
        assert raised.value.nearest in found.picks.names
        with pytest.raises(UnmetBudgetsError):
            search(costs.batch, "params", surrogates=suite, budgets={PI: 0.97 * nearest}, certainty=certainty)


def test_contradicting_budgets_are_said_to_be_met_one_by_one(costs: CostTable) -> None:
    two = costs.rows(np.flatnonzero(SPACE.connected(costs.archs))[:2])
    both = CostTable(SPACE, two.archs, [[1.0, 2.0], [2.0, 1.0]], ["a/latency", "b/latency"])
    says = "a/latency <= 1.5 ms and b/latency <= 1.2 ms can be kept each by itself, but not by one network."
    with pytest.raises(UnmetBudgetsError, match=says) as raised:
        search(both.batch, "params", surrogates=both, budgets={"a": 1.5, "b": 1.2})
    assert f"can be met: a/latency <= 2 ms, b/latency <= 1.2 ms; by {both.names[1]}" in str(raised.value)


def test_networks_without_quality_are_left_out_and_counted(costs: CostTable) -> None:
    known = quality(costs)
    known.iloc[::2] = np.nan
    found = search(costs.batch, surrogates=costs, quality=known, n=400)
    connected = SPACE.connected(costs.archs)
    assert len(found) == connected[1::2].sum()
    assert f"{connected[::2].sum():,} networks without a quality or a cost are left out" in found.notes
    known[:] = np.nan
    with pytest.raises(InvalidInputError, match="no candidate has a quality or all costs: give the qualities of more"):
        search(costs.batch, quality=known)
    with pytest.raises(InvalidInputError, match=r"^\d+ networks keep the budgets, but none of them has a quality"):
        search(costs.batch, surrogates=costs, quality=known, budgets={PI: 9.0})
    with pytest.raises(InvalidInputError, match="no candidate has a quality"):
        search(costs.batch, quality=lambda names: [math.nan] * len(names))


def test_missing_costs_are_left_out(costs: CostTable) -> None:
    values = costs.costs.copy()
    values[::2, 0] = np.nan
    some = CostTable(SPACE, costs.archs, values, costs.targets)
    assert len(search(costs.batch, PI, surrogates=some, n=400)) == SPACE.connected(costs.archs)[1::2].sum()


def test_a_constant_objective_is_noted(costs: CostTable) -> None:
    found = search(costs.batch, ["quality", PI], surrogates=costs, quality=lambda names: [1.0] * len(names))
    assert "quality is the same for all networks within the budgets, and decides nothing" in found.notes
    assert len(found) == 1


def test_graphs_are_searched() -> None:
    graphs = {f"net {number}": SPACE.graph(arch) for number, arch in enumerate(SPACE.sample(30, 3))}
    found = search(graphs, "quality", quality=lambda given: [len(graph) for graph in given], budgets={"params": 1e6})
    allowed = {name: len(graph) for name, graph in graphs.items() if graph in found.evaluated.batch.graphs}  # type: ignore[attr-defined]
    assert found.frame["quality"].iloc[0] <= max(allowed.values())
    assert found.frame.columns[0] == "model"
    assert (found.frame["params"] <= 1e6).all()


def test_equal_graphs_are_candidates_once() -> None:
    graph = SPACE.graph(1462)
    found = search({"one": graph, "same": graph, "other": SPACE.graph(4)}, "params", n=5)
    assert len(found.evaluated) == 2


def test_the_size_space_is_enumerated() -> None:
    found = search("natsbench-size", ["params", "macs"], budgets={"params": 5e5})
    assert found.exact
    assert len(found.evaluated) == 32_768
    assert len(search("natsbench-size", "params", evaluations=400).evaluated) == 400


def test_a_space_of_choices_is_enumerated() -> None:
    class Stack(ChoiceSpace):
        name = "searched-stack"
        choices = {"depth": (1, 2, 3), "width": (8, 16, 32)}  # noqa: RUF012
        input_shape = (3, 16, 16)

        def layers(self, build: Any, x: Any, arch: Any, config: Any) -> Any:
            for _ in range(arch["depth"]):
                x = build.relu(build.conv(x, arch["width"], 3))
            return build.linear(build.flatten(build.global_pool(x)), 10)

    found = search(Stack(), ["quality", "macs"], quality=lambda names: [float(len(name)) for name in names])
    assert found.exact
    assert len(found.evaluated) == 9


@pytest.fixture(scope="module")
def blocks() -> BlockTable:
    found = load_table("blocks")
    assert isinstance(found, BlockTable)
    return found


def test_evolution_is_the_same_for_a_seed_and_evaluates_nothing_twice(blocks: BlockTable) -> None:
    def once(seed: int) -> Any:
        np.random.seed(seed + 17)  # noqa: NPY002  # the global state must not matter
        arguments: dict[str, Any] = {"surrogates": blocks, "quality": count_wide, "evaluations": 1500}
        return search("fbnet", ["quality", BLOCK], **arguments, random_state=3)

    first, second = once(0), once(1)
    pd.testing.assert_frame_equal(first.front_frame, second.front_frame)
    pd.testing.assert_frame_equal(first.history, second.history)
    archs = first.evaluated.batch.archs
    assert len(np.unique(archs, axis=0)) == len(archs) == 1500
    assert first.history["hypervolume"].is_monotonic_increasing
    other = search("fbnet", ["quality", BLOCK], surrogates=blocks, quality=count_wide, evaluations=1500, random_state=4)
    assert not np.array_equal(other.evaluated.batch.archs, archs)  # type: ignore[attr-defined]


def test_evolution_finds_the_optimum_of_a_sum(blocks: BlockTable) -> None:
    found = search("fbnet", BLOCK, surrogates=blocks, evaluations=1500, n=1)
    best = np.full((1, 22), FBNET.ops.index("skip"))
    neighbours = FBNET.neighbours(best[0])
    costs = blocks.lookup(np.concatenate([best, neighbours])).to_numpy()[:, 0]
    assert found.frame.iloc[0, 1] == pytest.approx(costs.min())


def test_evolution_keeps_budgets(blocks: BlockTable) -> None:
    found = search("fbnet", surrogates=blocks, quality=count_wide, budgets={BLOCK: 8.0}, evaluations=3000)
    assert (found.frame[f"{BLOCK} (ms)"] <= 8).all()
    random = FBNET.sample(3000, 5)
    fits = blocks.lookup(random).to_numpy()[:, 0] <= 8
    assert found.frame["quality"].iloc[0] > max(count_wide(FBNET.format_all(random[fits])))
    with pytest.raises(UnmetBudgetsError, match="skip"):
        search("fbnet", surrogates=blocks, quality=count_wide, budgets={BLOCK: 0.5}, evaluations=600)


def test_progress_ends_with_all_evaluations(blocks: BlockTable) -> None:
    seen: list[tuple[int, int, float]] = []
    search("fbnet", BLOCK, surrogates=blocks, evaluations=500, progress=lambda *told: seen.append(told))
    assert seen[-1][:2] == (500, 500)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)


def test_an_interrupted_search_continues_from_its_journal(blocks: BlockTable, tmp_path: Path) -> None:
    calls: list[str] = []

    def rated(names: list[str]) -> list[float]:
        calls.extend(names)
        if len(calls) > limit:
            raise KeyboardInterrupt
        return count_wide(names)

    def run(journal: Path) -> Any:
        return search(
            "fbnet", ["quality", BLOCK], surrogates=blocks, quality=rated, evaluations=600, journal=journal
        )  # fmt: skip

    limit = 10_000
    whole = run(tmp_path / "whole")
    assert len(calls) == 600
    calls.clear()
    limit = 300
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut")
    calls.clear()
    limit = 10_000
    again = run(tmp_path / "cut")
    assert 300 <= len(calls) < 600
    pd.testing.assert_frame_equal(again.front_frame, whole.front_frame)


def test_a_surrogate_of_accuracies_is_a_quality(costs: CostTable) -> None:
    known = np.clip(quality(costs).to_numpy(), 1, 99)
    fitted = Surrogate(metric="accuracy", random_state=0).fit(costs.archs[:60], known[:60])
    found = search(costs.batch, quality=fitted, n=1)
    predicted = fitted.predict(costs.archs)[SPACE.connected(costs.archs)]
    assert found.frame["quality"].iloc[0] == pytest.approx(predicted.max())
    latency = Surrogate(random_state=0).fit(costs.archs[:60], costs.costs[:60, 0])
    with pytest.raises(InvalidInputError, match=r"Surrogate\(metric='accuracy'\)"):
        search(costs.batch, quality=latency)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"objectives": []}, "needs an objective"),
        ({"objectives": ["params", "params"]}, "named once"),
        ({"objectives": "speed"}, "unknown objective 'speed'; allowed: 'quality', 'pi/latency'"),
        ({"objectives": "quality"}, "is not given"),
        (
            {"budgets": {"phone/latency": 3}},
            "unknown budget 'phone/latency'; .* Other targets need a surrogate",
        ),
        ({"objectives": "phone/latency", "surrogates": None}, "unknown objective 'phone/latency'; .*need a surrogate"),
        ({"budgets": {PI: 0}}, "a number above 0, got 0"),
        ({"budgets": {PI: float("nan")}}, "a number above 0"),
        ({"budgets": {"quality": float("inf")}}, "budget of quality must be a number, got inf"),
        ({"budgets": {PI: 3, "pi": 4}}, "one budget"),
        ({"budgets": [3]}, "must be a mapping"),
        ({"certainty": 0.9}, "give budgets too"),
        ({"budgets": {PI: 3}, "certainty": 90}, "between 0 and 1"),
        ({"n": 0}, "n must be a number of networks"),
        ({"n": True}, "n must be a number of networks"),
        ({"evaluations": 0}, "evaluations must be a number"),
        ({"evaluations": 10}, "all 400 given candidates are evaluated, but evaluations is 10"),
        ({"journal": "here"}, "belong to a quality function"),
        ({"quality": lambda names: names}, "neither an objective"),
        ({"surrogates": "pi"}, "costs come from a fitted Surrogate"),
        ({"surrogates": Surrogate()}, "not fitted"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_what_is_refused(costs: CostTable, arguments: dict[str, Any], says: str) -> None:
    given: dict[str, Any] = {"objectives": "params", "surrogates": costs} | arguments
    with pytest.raises((HWNASError, ValueError), match=says):
        search(costs.batch, **given)


def test_a_target_with_two_sources_and_other_spaces_are_refused(costs: CostTable, suite: SurrogateSuite) -> None:
    with pytest.raises(InvalidInputError, match="one source of costs"):
        search(costs.batch, PI, surrogates=[costs, suite])
    with pytest.raises(InvalidInputError, match="the costs are over nasbench201"):
        search("fbnet", PI, surrogates=suite, evaluations=300)
    with pytest.raises(NotInTableError):
        search("nasbench201", PI, surrogates=costs)
    with pytest.raises(InvalidInputError, match="no candidate"):
        search([], PI, surrogates=costs)


def test_known_qualities_do_not_go_with_large_spaces(blocks: BlockTable) -> None:
    archs = FBNET.sample(10, 0)
    known = pd.Series(range(10), index=FBNET.format_all(archs), dtype=float)
    with pytest.raises(InvalidInputError, match="fit a surrogate to them, or give these networks"):
        search("fbnet", surrogates=blocks, quality=known)
    assert search(FBNET.batch(archs), surrogates=blocks, quality=known).frame["quality"].iloc[0] == 9


def test_a_surrogate_without_intervals_searches_without_them(costs: CostTable) -> None:
    plain = Surrogate(calibrate=False, random_state=0).fit(costs.archs[:40], costs.costs[:40, 0])
    found = search(costs.batch, PI, surrogates={PI: plain}, budgets={PI: 9.0})
    assert found.frame[f"{PI} (ms) low"].isna().all()
    with pytest.raises(InvalidInputError, match="knows no probabilities"):
        search(costs.batch, PI, surrogates={PI: plain}, budgets={PI: 9.0}, certainty=0.9)
    with pytest.raises(InvalidInputError, match="a surrogate without a target"):
        search(costs.batch, PI, surrogates=plain)


def test_the_pick_of_a_larger_space_needs_its_own_config(costs: CostTable) -> None:
    found = search("nasbench201", ["macs", "params"], config="cifar100")
    assert found.picks.configs == (get_space("nasbench201").config("cifar100"),)


@pytest.mark.parametrize("limit", [-2.5, 0.0])
def test_a_quality_and_its_budget_may_be_negative(limit: float) -> None:
    costs = table(60)
    below = pd.Series(np.arange(-30, 30) / 4, index=list(costs.names))
    found = search(costs.batch, PI, surrogates=costs, quality=below, budgets={"quality": limit}, n=60)
    kept = costs.batch.connected & (below.to_numpy() >= limit)
    assert len(found) == kept.sum() > 20
    assert found.frame["quality"].min() == below[kept].min()


@pytest.mark.parametrize("best", [94.0, -98.0, 0.0])
def test_the_nearest_quality_is_named_as_it_is(best: float) -> None:
    costs = table(20)
    known = pd.Series(best - np.arange(20.0), index=list(costs.names))
    known[list(costs.names)[int(np.flatnonzero(costs.batch.connected)[0])]] = best
    known[~costs.batch.connected] = best - 30
    with pytest.raises(UnmetBudgetsError, match=rf"can be met: quality >= {best:g}; by"):
        search(costs.batch, PI, surrogates=costs, quality=known, budgets={"quality": best + 1})


def test_a_surrogate_is_not_taken_for_one_of_another_metric() -> None:
    costs = table(20)
    fitted = Surrogate(model="ridge").fit(costs.archs, costs.costs[:, 0])
    for make in (search, partial(ClosedLoop, measured="npu/latency")):
        with pytest.raises(InvalidInputError, match="pi/energy needs a surrogate of energy, got one of latency"):
            make(costs.batch, "params", surrogates={"pi/energy": fitted})
