"""Surrogates of graphs learn what operators cost: profiles help, are checked, and what was learned is saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas_surrogate import Surrogate, SurrogateSuite
from hwnas_surrogate.data import CostTable, Target, as_graphs, load_table
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.graphs import Graph, GraphBatch, GraphBuilder
from hwnas_surrogate.models import AnchoredStack, OperatorStack, PhysicsStack
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import TransferSurrogate, adapt
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
        (TIMES[:3], r"for each of 25 networks, got 3"),
        ([TIMES[0][:-1], *TIMES[1:25]], r"network 0 .* one for each of its \d+ operators, got shape"),
        ([TIMES[0] * np.nan, *TIMES[1:25]], r"finite and not negative, and not all 0"),
        ([TIMES[0] * 0, *TIMES[1:25]], r"finite and not negative, and not all 0"),
        ([-TIMES[0], *TIMES[1:25]], r"finite and not negative, and not all 0"),
    ],
    ids=["number", "another-graph", "nan", "zeros", "negative"],
)
def test_profiles_that_are_none(operators: list[np.ndarray], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Surrogate(None).fit(GRAPHS[:25], COSTS[:25], operators=operators)


def test_adapting_learns_from_profiles() -> None:
    table = CostTable(None, GraphBatch(GRAPHS[:25]), COSTS[:25, None], [TARGET], operators={TARGET: TIMES[:25]})
    rounded = [times.astype(np.float32) for times in TIMES[:25]]
    alone = TransferSurrogate(None, random_state=None).fit(GRAPHS[:25], COSTS[:25], operators=rounded)
    assert adapt(table)[TARGET].predict(GRAPHS).tobytes() == alone.predict(GRAPHS).tobytes()


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


@pytest.mark.parametrize("array", ["weights", "coef", "trees_feature"])
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
