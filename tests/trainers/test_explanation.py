"""A predicted cost split among operators: it adds up, and comes close to the operators' true costs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression

from hwnas_surrogate.data import load_table
from hwnas_surrogate.errors import InvalidInputError, SavedFormatError
from hwnas_surrogate.features import LayerPhysics
from hwnas_surrogate.graphs import GraphBatch, GraphBuilder, Op, View, traced
from hwnas_surrogate.models import BoostedRidge, PhysicsGP, PhysicsStack
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import (
    Explanation,
    Surrogate,
    SurrogateSuite,
    TransferSurrogate,
    explaining,
    fit_sources,
    operators_of,
)

SPACE, FBNET = get_space("nasbench201"), get_space("fbnet")
TRAIN, TEST = SPACE.sample(200, 1), SPACE.sample(3, 99)
DEAD = "|nor_conv_3x3~0|+|none~0|none~1|+|avg_pool_3x3~0|nor_conv_3x3~1|none~2|"  # nothing reads the third node


def time_of(op: Op) -> float:
    """Return a planted time of an operator (ms): a call, and the slower of arithmetic and memory."""
    if op.kind in ("view", "identity", "constant", "relu", "add"):
        return 0.0
    rate = 1.5e9 if op.depthwise else 12e9 if set(op.kernel) == {1} else 20e9
    return 0.004 + 1e3 * max(op.macs / rate, (op.activation_bytes + 4 * op.params) / 8e9)


def planted(batch: Any, noise: float = 0.01, view: View = "all") -> np.ndarray:
    """Return sums of the times of operators (ms), with relative noise."""
    costs = batch.sums([time_of(op) for op in batch.distinct(view)], view)
    return np.asarray(costs * np.random.default_rng(0).normal(1, noise, len(batch)))


def true_costs(arch: Any, explanation: Explanation) -> np.ndarray:
    """Return the planted time of each row of an explanation."""
    graph = SPACE.graph(arch)
    run = traced(graph, "all")
    nodes = np.zeros(len(graph))
    np.add.at(nodes, run.serves, [time_of(op) for op in run.ops])
    return np.bincount(operators_of(graph, explanation.view).row, nodes, len(explanation))


COSTS = planted(SPACE.batch(TRAIN))


@pytest.fixture(scope="module")
def few() -> Surrogate:
    return Surrogate(random_state=0).fit(TRAIN[:20], COSTS[:20])


@pytest.fixture(scope="module")
def many() -> Surrogate:
    return Surrogate(random_state=0).fit(TRAIN, COSTS)


@pytest.fixture(scope="module")
def of_graphs() -> Surrogate:
    return Surrogate(random_state=0).fit(SPACE.batch(TRAIN[:40]).graphs(), COSTS[:40])


@pytest.fixture(scope="module")
def ridge_of_graphs() -> Surrogate:
    return Surrogate(None, model="ridge", calibrate=False).fit(SPACE.batch(TRAIN[:40]).graphs(), COSTS[:40])


def of_view(view: str) -> Surrogate:
    physics = LayerPhysics("nasbench201", views=(view,))
    return Surrogate(encoder=physics, model=PhysicsGP(), random_state=0, calibrate=False).fit(TRAIN[:20], COSTS[:20])


def check_sums(surrogate: Surrogate, network: Any) -> Explanation:
    """Check what holds of any explanation."""
    explanation = surrogate.explain(network)
    frame, predicted = explanation.frame, surrogate.predict(network)[0]
    assert explanation.total == pytest.approx(surrogate.kind.to_cost(predicted), rel=1e-9)
    assert frame["share"].sum() == pytest.approx(100)
    assert (frame["cost"] >= 0).all()
    assert ((frame["low"] <= frame["cost"]) & (frame["cost"] <= frame["high"]) & (frame["low"] >= 0)).all()
    assert frame["node"].is_monotonic_increasing
    assert 0 <= explanation.additive_share <= 1
    return explanation


@pytest.mark.parametrize("kind", ["few", "many", "of_graphs", "ridge_of_graphs"])
def test_costs_add_up_to_the_prediction(kind: str, request: pytest.FixtureRequest) -> None:
    for arch in TEST:
        check_sums(request.getfixturevalue(kind), SPACE.graph(arch) if "of_graphs" in kind else arch)


@pytest.mark.parametrize(
    ("kind", "error"), [("few", 0.05), ("many", 0.05), ("of_graphs", 0.1), ("ridge_of_graphs", 0.1)]
)
def test_costs_come_close_to_the_operators_own(kind: str, error: float, request: pytest.FixtureRequest) -> None:
    surrogate, wrong, inside = request.getfixturevalue(kind), [], []
    for arch in TEST:
        explanation = surrogate.explain(SPACE.graph(arch) if "of_graphs" in kind else arch)
        true, frame = true_costs(arch, explanation), explanation.frame
        wrong.append(np.abs(frame["cost"] - true).sum() / 2 / true.sum())  # the part that is with another operator
        inside.append(((frame["low"] <= true) & (true <= frame["high"])).mean())
    assert np.mean(wrong) < error
    assert np.mean(inside) > 0.8


def test_what_is_a_sum_is_told_from_what_is_spread(few: Surrogate, many: Surrogate) -> None:
    assert isinstance(few.model_, PhysicsStack)
    assert few.explain(0).additive_share > 0.5
    assert isinstance(many.model_, BoostedRidge)
    assert many.explain(0).additive_share == 0


def test_an_architecture_and_its_graph_are_explained_alike(of_graphs: Surrogate) -> None:
    for arch in TEST[:2]:
        batch, graph = SPACE.batch([arch]), SPACE.graph(arch)
        pd.testing.assert_frame_equal(of_graphs.explain(batch).frame, of_graphs.explain(graph).frame)


def test_any_form_of_an_architecture_is_explained(few: Surrogate) -> None:
    forms = [8000, SPACE.parse(SPACE.format_all([8000])[0]), SPACE.format_all([8000])[0], [8000]]
    first, *others = [few.explain(form, "cifar10").frame for form in forms]
    for other in others:
        pd.testing.assert_frame_equal(first, other)


def test_what_a_converter_removes_costs_nothing() -> None:
    explanation = check_sums(of_view("folded"), DEAD)
    frame = explanation.frame
    assert explanation.view == "folded"
    dead = frame["operator"].eq("zero")
    assert dead.any()
    assert (frame.loc[dead, ["cost", "low", "high"]] == 0).all(axis=None)
    alive = check_sums(of_view("all"), DEAD).frame
    assert (alive.loc[alive["operator"] == "zero", "cost"] > 0).all()
    computed = check_sums(of_view("computed"), DEAD).frame
    assert (computed.loc[computed["operator"] == "zero", "cost"] == 0).all()


@pytest.mark.parametrize("view", ["fused", "quantized"])
def test_an_engine_runs_fused_operators(view: str) -> None:
    explanation = check_sums(of_view(view), 8000)
    assert explanation.view == view
    fused = explanation.frame.set_index("operator")["fused"]
    assert fused["conv 3x3"].str.startswith("batch_norm").all()
    assert (fused["conv 3x3"] == "batch_norm, zero").any(), "a multiplication by zero is part of the weights"
    assert "add" in fused.index


def test_a_fused_operator_costs_what_the_engine_says_of_it() -> None:
    build = GraphBuilder()
    x = build.input((1, 16, 32, 32))
    y = build.relu(build.batch_norm(build.conv(x, 16, 3)))
    graph = build.graph(build.global_pool(y))
    graphs = [SPACE.graph(arch) for arch in TRAIN[:30]]
    surrogate = Surrogate(encoder=LayerPhysics(None, views=("fused",)), model=PhysicsGP(), calibrate=False)
    surrogate.fit(graphs, planted(GraphBatch(graphs), view="fused"))
    with pytest.warns(UserWarning, match="multiply-adds"):
        frame = surrogate.explain(graph).frame
    assert frame["operator"].tolist() == ["conv 3x3", "global_pool"]
    assert frame["fused"].tolist() == ["batch_norm, relu", ""]


def test_other_models_are_explained_by_physics_of_their_predictions() -> None:
    ridge = Surrogate(model=LinearRegression(), encoder="counts", calibrate=False).fit(TRAIN, COSTS)
    explanation = check_sums(ridge, TEST[0])
    assert explanation.additive_share == 0
    true = true_costs(TEST[0], explanation)
    assert np.abs(explanation.frame["cost"] - true).sum() / 2 / true.sum() < 0.05


def test_an_approximation_by_physics_is_fitted_once(many: Surrogate, monkeypatch: pytest.MonkeyPatch) -> None:
    many.explain(0)
    monkeypatch.delattr(explaining.PhysicsGP, "fit")
    assert len(many.explain(1)) > 0


def test_another_config_is_explained_where_it_is_predicted() -> None:
    archs = SPACE.sample(24, 5)
    configs = ["cifar10", "cifar100", "ImageNet16-120"] * 8
    surrogate = Surrogate(random_state=0, calibrate=False)
    surrogate.fit(archs, planted(SPACE.batch(archs, configs)), configs)
    explanation = surrogate.explain(0, "C8-N2-k7-3x24x24")
    assert explanation.total == pytest.approx(surrogate.predict(0, "C8-N2-k7-3x24x24")[0])
    assert explanation.frame["output"].iloc[-1] == "1x7"


def test_sources_are_explained_by_their_own_physics() -> None:
    table = load_table(space="fbnet").select("epyc-torch-1t/latency")
    sources = fit_sources(table.rows(range(12)), random_state=0)
    same = Surrogate(random_state=0, calibrate=False).fit(TRAIN[:20], COSTS[:20] * 3)
    for source in (sources, same):
        surrogate = TransferSurrogate(sources=source, random_state=0).fit(TRAIN[20:30], COSTS[20:30])
        explanation = check_sums(surrogate, TEST[0])
        own = 1 - surrogate.source_weight_
        assert explanation.additive_share < own + 0.1
    assert surrogate.source_weight_ > 0.9, "the source is the device itself"
    true = true_costs(TEST[0], explanation)
    assert np.abs(explanation.frame["cost"] - true).sum() / 2 / true.sum() < 0.05


def test_sources_with_sources_of_their_own_are_explained_for_graphs() -> None:
    """A graph is none of their architectures: they predict by layer physics that imitates them."""
    first = Surrogate(random_state=0, calibrate=False).fit(TRAIN[:20], COSTS[:20] * 3)
    source = TransferSurrogate(sources=first, random_state=0, calibrate=False).fit(TRAIN[20:30], COSTS[20:30])
    graphs = SPACE.batch(TRAIN[30:40]).graphs()
    surrogate = TransferSurrogate(None, source, random_state=0, calibrate=False).fit(graphs, COSTS[30:40])
    explanation = check_sums(surrogate, SPACE.graph(TEST[0]))
    true = true_costs(TEST[0], explanation)
    assert np.abs(explanation.frame["cost"] - true).sum() / 2 / true.sum() < 0.1
    with pytest.warns(UserWarning, match="unlike"):
        check_sums(surrogate, FBNET.graph(FBNET.sample(1, 0)[0]))


def test_a_ranking_has_shares_but_no_unit_and_no_intervals(few: Surrogate) -> None:
    with pytest.warns(UserWarning, match="nothing was measured"):
        ranking = TransferSurrogate(sources=few, random_state=0).fit([], [])
    explanation = ranking.explain(8000)
    assert explanation.unit == ""
    assert explanation.frame[["low", "high"]].isna().all(axis=None)
    expected = few.explain(8000).frame
    np.testing.assert_allclose(explanation.frame["share"], expected["share"], atol=1e-9)


@pytest.mark.parametrize("kind", ["few", "many", "of_graphs", "ridge_of_graphs"])
def test_a_loaded_surrogate_explains_alike(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    surrogate = request.getfixturevalue(kind)
    surrogate.save(tmp_path)
    network = SPACE.graph(TEST[0]) if "of_graphs" in kind else TEST[0]
    before, after = surrogate.explain(network), Surrogate.load(tmp_path).explain(network)
    pd.testing.assert_frame_equal(before.frame, after.frame, rtol=1e-9)
    assert (before.view, before.unit, before.additive_share) == (after.view, after.unit, after.additive_share)


def test_a_surrogate_of_a_suite_names_its_target() -> None:
    suite = SurrogateSuite(random_state=0, calibrate=False).fit(TRAIN[:20], {"raspi4/energy": COSTS[:20]})
    explanation = suite["raspi4/energy"].explain(8000)
    assert (str(explanation.target), explanation.unit) == ("raspi4/energy", "mJ")
    assert repr(explanation).startswith("<Explanation of raspi4/energy: ")


def test_a_throughput_is_explained_as_the_time_of_an_image() -> None:
    surrogate = Surrogate(metric="throughput", random_state=0, calibrate=False).fit(TRAIN[:20], 1e3 / COSTS[:20])
    explanation = check_sums(surrogate, 8000)
    assert explanation.unit == "1/(images/s)"
    assert explanation.total == pytest.approx(1 / surrogate.predict(8000)[0])


def test_intervals_are_wider_for_more_coverage_and_need_no_calibration(few: Surrogate) -> None:
    narrow, wide = (few.explain(8000, coverage=coverage).frame for coverage in (0.5, 0.95))
    assert (narrow["high"] - narrow["low"] <= wide["high"] - wide["low"]).all()
    uncalibrated = Surrogate(random_state=0, calibrate=False).fit(TRAIN[:20], COSTS[:20])
    assert (uncalibrated.explain(8000).frame["high"] > 0).all()


def test_a_network_is_explained_in_an_instant(few: Surrogate) -> None:
    few.explain(0)
    times = []
    for index in range(5):
        start = time.process_time()
        few.explain(index)
        times.append(time.process_time() - start)
    assert min(times) < 0.25, "about 0.025 s on one core"


# -- bad input --------------------------------------------------------------------------------------------


def test_several_networks_are_refused(few: Surrogate) -> None:
    for networks, n in (([0, 1], 2), (SPACE.batch(TEST), 3)):
        with pytest.raises(InvalidInputError, match=f"one network at a time, got {n}"):
            few.explain(networks)


def test_a_graph_is_refused_by_a_surrogate_of_architectures(few: Surrogate) -> None:
    with pytest.raises(InvalidInputError, match="trained on architectures, and can't predict graphs"):
        few.explain(SPACE.graph(0))


def test_a_surrogate_that_is_not_fitted_explains_nothing() -> None:
    with pytest.raises(NotFittedError):
        Surrogate().explain(0)


@pytest.mark.parametrize("metric", ["peak_memory", "accuracy"])
def test_what_is_no_sum_is_not_split(metric: str) -> None:
    surrogate = Surrogate(metric=metric, calibrate=False).fit(TRAIN[:20], COSTS[:20] * 5)
    with pytest.raises(InvalidInputError, match="no sum over its operators"):
        surrogate.explain(0)


def test_costs_that_are_all_equal_tell_nothing_of_operators() -> None:
    surrogate = Surrogate(random_state=0).fit(TRAIN[:20], np.full(20, 3.0))
    with pytest.raises(InvalidInputError, match="same cost for every network"):
        surrogate.explain(0)
    equal = Surrogate(model=_Mean(), encoder="counts", random_state=0, calibrate=False).fit(TRAIN[:20], COSTS[:20])
    with pytest.raises(InvalidInputError, match="same cost for every network"):
        equal.explain(0)


class _Mean(LinearRegression):
    """A model that predicts the mean."""

    def predict(self, X: Any) -> np.ndarray:
        return np.full(len(X), 1.0)


@pytest.mark.parametrize("coverage", [0, 1, -0.5, 90])
def test_a_coverage_is_a_fraction(few: Surrogate, coverage: float) -> None:
    with pytest.raises(InvalidInputError, match="coverage"):
        few.explain(0, coverage=coverage)


def test_more_coverage_than_the_costs_support_is_refused(few: Surrogate) -> None:
    with pytest.raises(InvalidInputError, match="costs"):
        few.explain(0, coverage=0.999)


def test_a_surrogate_of_graphs_without_physics_says_so(ridge_of_graphs: Surrogate) -> None:
    state, parts = ridge_of_graphs.to_state()
    assert parts["physics"] is not None
    earlier = Surrogate.from_state(state, {**parts, "physics": None}, None, ridge_of_graphs.encoder_)
    with pytest.raises(InvalidInputError, match="Train it again"):
        earlier.explain(SPACE.graph(0))
    with pytest.raises(SavedFormatError, match="layer physics can't be read"):
        Surrogate.from_state(state, {**parts, "physics": {"coef": np.zeros(3)}}, None, ridge_of_graphs.encoder_)
