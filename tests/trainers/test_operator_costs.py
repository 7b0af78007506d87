"""Surrogates of graphs learn what operators cost: profiles help, are checked, and what was learned is saved."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate import Surrogate, SurrogateSuite
from hwnas_surrogate.data import CostTable, Target, as_graphs, load_table
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.graphs import Graph, GraphBatch, GraphBuilder, Op, TensorSpec, View, traced
from hwnas_surrogate.models import AnchoredStack, OperatorStack, PhysicsStack
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import TransferSurrogate, adapt, fit_sources, operators_of
from hwnas_surrogate.trainers.operator_costs import OperatorCosts

TARGET = Target("board", "latency")
pytestmark = pytest.mark.filterwarnings("ignore::hwnas_surrogate.trainers.extrapolation.ExtrapolationWarning")


def network(seed: int) -> Graph:
    """Return a small network of random convolutions, whose channels are often no multiple of 8."""
    rng = np.random.default_rng(seed)
    build = GraphBuilder()
    x = build.input((1, 3, 32, 32))
    for _ in range(int(rng.integers(3, 8))):
        x = build.relu(build.batch_norm(build.conv(x, int(rng.integers(4, 65)), int(rng.choice([1, 3, 5])))))
    return build.graph(x)


def node_times(graph: Graph) -> np.ndarray:
    """Return the times of a device that is slow where channels are no multiple of 8, and free otherwise."""
    times = np.zeros(len(graph))
    for place, node in enumerate(graph.nodes):
        if node.op.kind == "conv":
            times[place] = 0.01 + 1e-7 * node.op.macs * (3.0 if node.op.outputs[0].shape[1] % 8 else 1.0)
    return times


GRAPHS = [network(seed) for seed in range(60)]
TIMES = [node_times(graph) for graph in GRAPHS]
COSTS = np.array([times.sum() for times in TIMES])


def error(operators: list[np.ndarray] | None) -> float:
    fitted = Surrogate(None, random_state=0, calibrate=False).fit(GRAPHS[:15], COSTS[:15], operators=operators)
    return float(np.median(np.abs(fitted.predict(GRAPHS[15:]) / COSTS[15:] - 1)))


def test_profiles_help() -> None:
    assert error([3 * times for times in TIMES[:15]]) < 0.7 * error(None)


@pytest.fixture(scope="module")
def fitted() -> Surrogate:
    operators = [times if place % 2 else None for place, times in enumerate(TIMES[:30])]
    return Surrogate(None, random_state=0).fit(GRAPHS[:30], COSTS[:30], operators=operators)


def test_intervals_and_explanations(fitted: Surrogate) -> None:
    assert isinstance(fitted.model_, OperatorStack)
    bounds = fitted.predict_interval(GRAPHS[30:])
    assert np.mean((bounds[:, 0] <= COSTS[30:]) & (COSTS[30:] <= bounds[:, 1])) > 0.7
    explanation = fitted.explain(GRAPHS[30])
    assert explanation.total == pytest.approx(fitted.predict(GRAPHS[30])[0])


def test_predictions_are_split_by_learned_costs(fitted: Surrogate) -> None:
    """Layer physics knows nothing of channels that are no multiple of 8; profiles tell."""

    def error(surrogate: Surrogate) -> float:
        wrong = []
        for graph, times in zip(GRAPHS[30:40], TIMES[30:40], strict=True):
            explanation = surrogate.explain(graph)
            assert explanation.total == pytest.approx(surrogate.predict([graph])[0], rel=1e-9)
            true = np.bincount(operators_of(graph, explanation.view).row, times / times.sum(), len(explanation))
            wrong.append(np.abs(explanation.frame["share"] / 100 - true).sum() / 2)
        return float(np.mean(wrong))

    by_physics, by_learned = copy.deepcopy(fitted), copy.deepcopy(fitted)
    by_physics.model_.operators_weight_, by_learned.model_.operators_weight_ = 0.0, 1.0
    assert error(by_learned) < 0.8 * error(by_physics)
    assert error(fitted) < error(by_physics)


def test_the_weight_of_learned_costs_is_that_of_the_prediction(fitted: Surrogate) -> None:
    by_physics, graph = copy.deepcopy(fitted), GRAPHS[31]
    by_physics.model_.operators_weight_ = 0.0
    learned = fitted.operators_.of_nodes(graph)
    assert learned.sum() == pytest.approx(fitted.operators_.sums(GraphBatch([graph]))[0], rel=1e-6)
    weight = fitted.model_.weight_of_operators(fitted.encode(GraphBatch([graph]))[1].features)[0]
    assert 0.1 < weight < 1
    first, alone = (surrogate.explain(graph).frame["share"][0] / 100 for surrogate in (fitted, by_physics))
    assert first == pytest.approx((1 - weight) * alone + weight * learned[0] / learned.sum(), rel=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_learned_costs_split_a_prediction_where_physics_has_none(fitted: Surrogate, weight: float) -> None:
    """Corrections may make every physical cost negative; before, the explanation was refused."""
    blind, graph = copy.deepcopy(fitted), GRAPHS[31]
    blind.model_.operators_weight_ = weight
    blind.model_.physics_.coef_ = np.zeros_like(blind.model_.physics_.coef_)
    explanation = blind.explain(graph)
    learned = fitted.operators_.of_nodes(graph)
    expected = np.bincount(operators_of(graph, explanation.view).row, learned / learned.sum(), len(explanation))
    assert explanation.frame["share"].to_numpy() / 100 == pytest.approx(expected)
    assert explanation.total == pytest.approx(blind.predict(graph)[0])
    assert 0 <= explanation.additive_share <= 1
    assert np.isfinite(explanation.frame[["low", "high"]]).all(axis=None)


def test_one_network_is_predicted_as_among_others(fitted: Surrogate) -> None:
    together = fitted.predict(GRAPHS[30:])
    np.testing.assert_allclose([fitted.predict([graph])[0] for graph in GRAPHS[30:]], together, rtol=1e-9)


def test_architectures_are_predicted_as_their_graphs(fitted: Surrogate) -> None:
    space = get_space("nasbench201")
    archs = space.sample(5, 0)
    with pytest.warns(UserWarning, match=r"multiply-adds|unlike"):
        as_archs, as_graphs = fitted.predict(space.batch(archs)), fitted.predict([space.graph(arch) for arch in archs])
    np.testing.assert_allclose(as_archs, as_graphs, rtol=1e-6)


def test_what_was_learned_is_saved(fitted: Surrogate, tmp_path: Path) -> None:
    fitted.save(tmp_path / "saved")
    again = Surrogate.load(tmp_path / "saved")
    assert again.predict(GRAPHS).tobytes() == fitted.predict(GRAPHS).tobytes()
    assert again.predict_interval(GRAPHS).tobytes() == fitted.predict_interval(GRAPHS).tobytes()


def test_a_table_brings_its_profiles() -> None:
    table = CostTable(None, GraphBatch(GRAPHS[:25]), COSTS[:25, None], [TARGET], operators={TARGET: TIMES[:25]})
    suite = SurrogateSuite(None, random_state=0, calibrate=False).fit_table(table)
    rounded = [times.astype(np.float32) for times in TIMES[:25]]
    alone = Surrogate(None, random_state=0, calibrate=False).fit(GRAPHS[:25], COSTS[:25], operators=rounded)
    assert suite[TARGET].predict(GRAPHS).tobytes() == alone.predict(GRAPHS).tobytes()


def test_profiles_follow_their_networks() -> None:
    """Networks that fail, and repeats, are left out of the fit with their profiles."""
    failed = np.zeros(27, bool)
    failed[3] = True
    costs = np.append(COSTS[:25], COSTS[:2])
    graphs, operators = [*GRAPHS[:25], *GRAPHS[:2]], [*TIMES[:25], *TIMES[:2]]
    one = Surrogate(None, random_state=0, calibrate=False).fit(graphs, costs, failed=failed, operators=operators)
    kept = [place for place in range(25) if place != 3]
    other = Surrogate(None, random_state=0, calibrate=False).fit(
        [GRAPHS[place] for place in kept], COSTS[kept], operators=[TIMES[place] for place in kept]
    )
    np.testing.assert_array_equal(one.predict(GRAPHS), other.predict(GRAPHS))


def test_few_graphs_and_architectures_learn_none() -> None:
    few = Surrogate(None, calibrate=False).fit(GRAPHS[:8], COSTS[:8], operators=TIMES[:8])
    assert isinstance(few.model_, AnchoredStack)
    assert few.operators_ is None
    space = get_space("nasbench201")
    archs = space.sample(12, 0)
    of_archs = Surrogate(calibrate=False).fit(archs, space.batch(archs).macs)
    assert isinstance(of_archs.model_, PhysicsStack)
    assert of_archs.operators_ is None


@pytest.mark.parametrize(
    ("operators", "message"),
    [
        (TIMES[:3], r"for each of 25 networks, got those of 3"),
        (7, r"for each of 25 networks, got int"),
        ([TIMES[0][:-1], *TIMES[1:25]], r"network 0 .* one for each of its \d+ operators, got shape"),
        ([TIMES[0] * np.nan, *TIMES[1:25]], r"finite and not negative, and not all 0, got nan"),
        ([TIMES[0] + np.inf, *TIMES[1:25]], r"finite and not negative, and not all 0, got inf"),
        ([TIMES[0] * 0, *TIMES[1:25]], r"finite and not negative, and not all 0, got zeros only"),
        ([-TIMES[0], *TIMES[1:25]], r"finite and not negative, and not all 0, got -"),
        (["abc", *TIMES[1:25]], r"times of operators must be numbers, got texts"),
        (
            [1e3 * TIMES[0], *TIMES[1:25]],
            r"operators of network 0 \(.*\), relative to its cost, must add up to about as much as those of other "
            r"networks, between 0\.01 and 100 times the median, got [0-9.e+]+ times: they are in another unit than the",
        ),
        ([*TIMES[:24], TIMES[24] / 1e3], r"operators of network 24 .* the median, got 0\.0[0-9]+ times: they"),
        ([TIMES[0] * 1e-60, *TIMES[1:25]], r"finite and not negative, and not all 0, got zeros only"),
        ([TIMES[0] * 1e300, *TIMES[1:25]], r"finite and not negative, and not all 0, got inf"),
    ],
    ids=["number", "no-list", "another-graph", "nan", "infinite", "zeros", "negative", "texts", "ms-for-s", "s-for-ms",
         "tiny", "huge"],
)  # fmt: skip
def test_profiles_that_are_none(operators: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Surrogate(None).fit(GRAPHS[:25], COSTS[:25], operators=operators)
    with pytest.raises(InvalidInputError, match=f"board/latency: .*{message}"):
        SurrogateSuite(None).fit(GRAPHS[:25], {TARGET: COSTS[:25]}, operators={"board/latency": operators})


def test_profiles_of_a_target_without_costs() -> None:
    with pytest.raises(InvalidInputError, match=r"target in operators 'other/latency'.*board/latency"):
        SurrogateSuite(None).fit(GRAPHS[:25], {TARGET: COSTS[:25]}, operators={"other/latency": TIMES[:25]})


@pytest.fixture
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas_surrogate.models.operator_trees._ROUNDS", 20)


@pytest.mark.usefixtures("few_trees")
def test_a_profile_of_what_no_engine_runs_counts_as_none() -> None:
    """The network's whole time is at a node that the view of an inference engine removes."""
    build = GraphBuilder()
    x = build.input((1, 3, 32, 32))
    table = build.relu(build.add_op(Op.of("arange", (), (TensorSpec.of((1, 16, 32, 32), "float32"),)), ()))
    graph = build.graph(build.add(build.conv(x, 16, 3), table))
    assert traced(graph, "fused").became.tolist()[0] == -1, "computed beforehand"
    batch, costs = GraphBatch([*GRAPHS[:5], graph]), np.append(COSTS[:5], 0.5)
    found = [
        OperatorCosts.learn(batch, costs, [*TIMES[:5], last], 0)[1]
        for last in (np.array([0.5, 0.0, 0.0, 0.0]), None, np.array([0.0, 0.0, 0.5, 0.0]))
    ]
    assert found[0].tolist() == found[1].tolist()
    assert found[2].tolist() != found[1].tolist()


@pytest.mark.usefixtures("few_trees")
def test_a_new_device_learns_from_profiles() -> None:
    batch, operators = GraphBatch(GRAPHS[:12]), {TARGET: TIMES[:12]}
    profiled, bare = (
        adapt(CostTable(None, batch, COSTS[:12, None], [TARGET], operators=each), random_state=0)[TARGET]
        for each in (operators, None)
    )
    alone = TransferSurrogate(None, random_state=0).fit(batch, COSTS[:12], operators=TIMES[:12])
    predicted = [surrogate.predict(GRAPHS[12:20]).tolist() for surrogate in (profiled, alone, bare)]
    assert predicted[0] == predicted[1] != predicted[2]


@pytest.fixture(scope="module")
def source() -> Surrogate:
    """Return a surrogate of a device like the one of these tests, but three times as fast."""
    return Surrogate(None, random_state=1, calibrate=False).fit(GRAPHS[10:], COSTS[10:] / 3, operators=TIMES[10:])


def test_what_operators_cost_on_another_device_helps(source: Surrogate, tmp_path: Path) -> None:
    """Ten networks do not show which channels are slow; the other device's operators do."""
    test = [network(seed) for seed in range(60, 100)]
    costs = np.array([node_times(graph).sum() for graph in test])
    errors = []
    for sources in (None, source):
        adapted = TransferSurrogate(None, sources, 0).fit(GRAPHS[:10], COSTS[:10])
        errors.append(np.median(np.abs(adapted.predict(test) / costs - 1)))
    assert errors[1] < 0.5 * errors[0]
    adapted.save(tmp_path / "adapted")
    again = TransferSurrogate.load(tmp_path / "adapted")
    assert again.predict(test).tobytes() == adapted.predict(test).tobytes()


def test_another_device_that_is_unlike_does_little_harm(source: Surrogate) -> None:
    """Costs of the other device's operators are shuffled among networks: the evidence is against them."""
    shuffled = np.random.default_rng(0).permutation(COSTS[10:])
    wrong = Surrogate(None, random_state=1, calibrate=False).fit(GRAPHS[10:], shuffled)
    batch = GraphBatch(GRAPHS[:25])
    assert wrong.operators_ is not None
    assert source.operators_ is not None
    learned, _ = OperatorCosts.learn(batch, COSTS[:25], None, 0, (wrong.operators_,))
    assert learned.estimates.weights_[0] > 0.5
    learned, _ = OperatorCosts.learn(batch, COSTS[:25], None, 0, (wrong.operators_, source.operators_))
    assert learned.estimates.weights_[[1, 3]].sum() > 0.9  # both together, or the one like it


@pytest.mark.usefixtures("few_trees")
def test_a_table_of_graphs_as_a_source_teaches_operators() -> None:
    table = CostTable(None, GraphBatch(GRAPHS[:12]), COSTS[:12, None], [TARGET])
    assert fit_sources(table, random_state=0)[TARGET].operators_ is not None


@pytest.mark.usefixtures("few_trees")
@pytest.mark.parametrize("view", ["fused", "quantized"])
def test_the_operators_that_run_are_told_from_costs(view: View) -> None:
    """Convolutions take a third in int8, and conversions take time."""
    batch = GraphBatch(GRAPHS[:30])
    of_ops = np.array(
        [
            1e-9 * op.macs / (3 if op.inputs[0].dtype == "int8" else 1) + 2e-8 * op.activation_bytes + 1e-3
            for op in batch.distinct(view)
        ]
    )
    learned, _ = OperatorCosts.learn(batch, batch.sums(of_ops, view), None, 0)
    assert learned.view == view
    again = OperatorCosts.from_arrays(learned.to_arrays())
    assert again.sums(batch).tobytes() == learned.sums(batch).tobytes()
    assert again.of_nodes(GRAPHS[0]).sum() == pytest.approx(learned.sums(batch.take([0]))[0], rel=1e-6)
    with pytest.raises(InvalidInputError, match=r"view must be one of \[0, 1\], got 2"):
        OperatorCosts.from_arrays({**learned.to_arrays(), "view": np.array([2.0])})


@pytest.mark.parametrize("array", ["weights", "coef", "trees_feature", "view"])
def test_a_missing_array_is_an_error(source: Surrogate, array: str) -> None:
    assert source.operators_ is not None
    arrays = source.operators_.to_arrays()
    del arrays[array]
    with pytest.raises(InvalidInputError, match="missing"):
        OperatorCosts.from_arrays(arrays)


def test_weights_of_hypotheses_add_up_to_1(source: Surrogate) -> None:
    assert source.operators_ is not None
    with pytest.raises(InvalidInputError, match="add up to 1"):
        OperatorCosts.from_arrays({**source.operators_.to_arrays(), "weights": np.array([0.4])})


def test_held_out_sums_are_predicted_without_the_network() -> None:
    batch = GraphBatch(GRAPHS)
    learned, held_out = OperatorCosts.learn(batch, COSTS, TIMES, 0)
    of_all = np.abs(np.log(learned.sums(batch) / COSTS))
    assert np.median(np.abs(np.log(held_out / COSTS))) > 2 * np.median(of_all)


def test_networks_of_another_kind_are_predicted_by_physics() -> None:
    """Hardly any network of FBNet has a dense 3x3 convolution; those of NAS-Bench-201 consist of them."""
    target = "epyc-onnxruntime-1t/latency"
    known, strange = (load_table(space=name).select(target) for name in ("fbnet", "nasbench201"))
    known, strange = as_graphs(known.rows(range(100))), as_graphs(strange.rows(range(0, 15_625, 200)))
    costs = strange.costs[:, 0]
    measured = np.flatnonzero(~np.isnan(costs))
    batch, costs = strange.batch.take(measured), costs[measured]
    fitted = Surrogate(None, random_state=0).fit(known.batch, known.costs[:, 0])
    error = np.median(np.abs(fitted.predict(batch, extrapolate=True) / costs - 1))
    assert error < 0.6
    assert np.median(np.abs(fitted.operators_.sums(batch) * fitted.scale_ / costs - 1)) > error
    bounds = fitted.predict_interval(batch, extrapolate=True)
    assert np.mean((bounds[:, 0] <= costs) & (costs <= bounds[:, 1])) > 0.8


def idle(width: int) -> Graph:
    """Return a network whose only operator takes no time."""
    build = GraphBuilder()
    return build.graph(build.view(build.input((1, width)), (1, 1, width)))


def test_a_network_whose_operators_do_nothing_costs_no_more_than_the_cheapest() -> None:
    cheapest = COSTS[:20].min() / 4
    fitted = Surrogate(None, random_state=0).fit([idle(8), *GRAPHS[:20]], [cheapest, *COSTS[:20]])
    assert fitted.operators_ is not None
    assert 0.099 * cheapest < fitted.predict([idle(16)])[0] < 2 * cheapest  # by the stack, within ten times
    low, high = fitted.predict_interval([idle(16)])[0]
    assert 0 <= low < fitted.predict([idle(16)])[0] < high < np.inf
    assert np.median(np.abs(fitted.predict(GRAPHS[:20]) / COSTS[:20] - 1)) < 0.1
    of_others = Surrogate(None, random_state=0).fit(GRAPHS[:20], COSTS[:20])
    assert 0 < of_others.predict([idle(16)])[0] <= COSTS[:20].min()


def test_nothing_is_learned_of_operators_that_do_nothing() -> None:
    widths = range(8, 20)
    fitted = Surrogate(None, random_state=0).fit([idle(width) for width in widths], [0.001 * width for width in widths])
    assert fitted.operators_ is None
    assert fitted.predict([idle(30)])[0] > 0


def test_predictions_from_sources_of_graphs_are_explained(fitted: Surrogate) -> None:
    new = TransferSurrogate(None, [fitted], 0).fit(GRAPHS[:12], 2 * COSTS[:12])
    of_new = TransferSurrogate(None, [new], 0, calibrate=False).fit(GRAPHS[:12], 5 * COSTS[:12])
    for surrogate in (new, of_new):
        frame = surrogate.explain(GRAPHS[40]).frame
        assert frame["cost"].sum() == pytest.approx(surrogate.predict([GRAPHS[40]])[0])
        true = TIMES[40][frame["node"].to_numpy()] / COSTS[40]
        assert np.abs(frame["share"] / 100 - true).sum() / 2 < 0.15
