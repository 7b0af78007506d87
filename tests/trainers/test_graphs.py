"""Surrogates of graphs: fitted to networks of any kind, and asked about graphs and architectures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.errors import InvalidInputError, SavedFormatError
from hwnas_surrogate.graphs import Graph, GraphBatch, GraphBuilder
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import ExtrapolationWarning, Surrogate, SurrogateSuite, TransferSurrogate, fit_sources
from tests.trainers.test_saving import rewrite

SPACE = get_space("nasbench201")
ARCHS = SPACE.sample(90, 3)
BATCH = SPACE.batch(ARCHS, "C8-N1-k10-3x16x16")
GRAPHS = BATCH.graphs()
COSTS = (BATCH.macs / 1e7 + 0.05 * BATCH.counts().sum(axis=1)) * np.exp(
    0.02 * np.random.default_rng(0).normal(size=len(BATCH))
)


def plain(width: int, depth: int) -> Graph:
    """Return a network of no space: convolutions, a squeeze, a linear layer."""
    build = GraphBuilder()
    x = build.input((1, 3, 32, 32))
    for _ in range(depth):
        x = build.relu(build.batch_norm(build.conv(x, width, 3)))
        gate = build.elementwise("sigmoid", build.conv(build.global_pool(x), width, 1))
        x = build.elementwise("mul", x, gate)
    return build.graph(build.linear(build.flatten(build.global_pool(x)), 10))


@pytest.fixture(scope="module")
def fitted() -> Surrogate:
    return Surrogate(random_state=0).fit(GRAPHS.take(range(60)), COSTS[:60])


def test_graphs_and_their_architectures_are_predicted_alike(fitted: Surrogate) -> None:
    rest = range(60, 90)
    predicted = fitted.predict(GRAPHS.take(rest))
    assert np.array_equal(predicted, fitted.predict(BATCH.take(rest)))
    assert np.array_equal(predicted, fitted.predict(ARCHS[60:], "C8-N1-k10-3x16x16"))
    assert np.median(np.abs(predicted / COSTS[60:] - 1)) < 0.05
    assert np.array_equal(fitted.predict_interval(GRAPHS.take(rest)), fitted.predict_interval(BATCH.take(rest)))


@pytest.mark.parametrize("form", [list, tuple, iter, pd.Series, lambda graphs: np.array(graphs, object), GraphBatch])
def test_graphs_come_in_any_sequence(fitted: Surrogate, form: Any) -> None:
    some = list(GRAPHS.graphs[:3])
    assert np.array_equal(fitted.predict(form(some)), fitted.predict(GRAPHS.take(range(3))))
    assert fitted.predict(some[0]).shape == (1,)


def test_one_graph_equals_its_place_in_the_batch(fitted: Surrogate) -> None:
    together = fitted.predict(GRAPHS)
    alone = np.concatenate([fitted.predict(graph) for graph in GRAPHS.graphs[:8]])
    np.testing.assert_allclose(alone, together[:8], rtol=1e-12)


def test_networks_of_no_space_are_learned() -> None:
    graphs = [plain(width, depth) for width in range(8, 72, 4) for depth in (1, 2, 3, 5)]
    costs = np.array([graph.macs / 1e7 + 0.1 * len(graph) for graph in graphs])
    order = np.random.default_rng(0).permutation(len(graphs))
    train, test = order[:20], order[20:]
    surrogate = Surrogate().fit([graphs[row] for row in train], costs[train])
    assert surrogate.score([graphs[row] for row in test], costs[test]) > 0.99


def test_saved_ones_come_back(fitted: Surrogate, tmp_path: Path) -> None:
    again = Surrogate.load(fitted.save(tmp_path / "graphs"))
    assert np.array_equal(again.predict(GRAPHS), fitted.predict(GRAPHS))
    assert np.array_equal(again.predict(BATCH), fitted.predict(BATCH))


def test_repeats_of_a_graph_count_once() -> None:
    twice = [*GRAPHS.graphs[:20], *GRAPHS.graphs[:20]]
    surrogate = Surrogate().fit(twice, np.concatenate([COSTS[:20], COSTS[:20]]))
    assert surrogate.n_train_ == 20


def test_suites_and_sources_take_graphs(fitted: Surrogate) -> None:
    suite = SurrogateSuite(random_state=0).fit(GRAPHS.take(range(60)), {"board/latency": COSTS[:60]})
    assert np.array_equal(suite.predict(GRAPHS).to_numpy()[:, 0], fitted.predict(GRAPHS))
    table = CostTable(SPACE, ARCHS, COSTS[:, None], ["other/latency"], configs="C8-N1-k10-3x16x16")
    for source in (suite, fit_sources(table.rows(range(40)))):
        new = TransferSurrogate(sources=source).fit(GRAPHS.take(range(10)), 3 * COSTS[:10])
        assert new.score(GRAPHS.take(range(60, 90)), COSTS[60:]) > 0.95


def test_much_larger_networks_are_warned_of(fitted: Surrogate) -> None:
    with pytest.warns(ExtrapolationWarning) as told:
        fitted.predict([plain(256, 6)])
    assert "some of those to predict have more than twice as many" in str(told[0].message)


def test_what_was_trained_on_architectures_refuses_graphs() -> None:
    surrogate = Surrogate().fit(ARCHS[:20], COSTS[:20])
    with pytest.raises(InvalidInputError, match="was trained on architectures, and can't predict graphs"):
        surrogate.predict(GRAPHS)
    with pytest.raises(InvalidInputError, match="graphs and other networks can't be mixed: entry 1 is int"):
        surrogate.predict([GRAPHS.graphs[0], 3])
    with pytest.raises(InvalidInputError, match="graphs have no config"):
        Surrogate().fit(GRAPHS, COSTS, "cifar10")


@pytest.mark.parametrize("kind", [Surrogate, SurrogateSuite, TransferSurrogate])
def test_a_space_that_does_not_exist_is_refused_before_the_fit(kind: Any) -> None:
    """Graphs need no space, and the fit went well; the first prediction failed."""
    graphs, costs = list(GRAPHS.graphs[:10]), COSTS[:10]
    with pytest.raises(InvalidInputError, match="unknown search space"):
        kind("nowhere").fit(graphs, {"mine/latency": costs} if kind is SurrogateSuite else costs)


@pytest.mark.parametrize("kind", [Surrogate, TransferSurrogate])
def test_without_a_space_networks_are_graphs(kind: Any, tmp_path: Path) -> None:
    fitted = kind(None, random_state=0).fit(GRAPHS.take(range(30)), COSTS[:30])
    some = GRAPHS.take(range(30, 60))
    predicted = fitted.predict(some)
    assert np.median(np.abs(predicted / COSTS[30:60] - 1)) < 0.1
    assert np.array_equal(fitted.predict(BATCH.take(range(30, 60))), predicted)  # a batch has its space
    for refused in ([0, 1], "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"):
        with pytest.raises(InvalidInputError, match="expected graphs or a batch of networks"):
            fitted.predict(refused)
    loaded = kind.load(fitted.save(tmp_path / "saved"))
    assert loaded.space is None
    assert np.array_equal(loaded.predict(some), predicted)


def test_a_suite_of_a_table_of_graphs(tmp_path: Path) -> None:
    table = CostTable(None, GRAPHS, np.column_stack([COSTS, 2 * COSTS]), ["a/latency", "b/latency"])
    suite = SurrogateSuite(None, model="ridge").fit_table(table)
    assert repr(suite) == "<SurrogateSuite of graphs: a/latency, b/latency>"
    assert suite.default_config() is None
    assert suite.targets_for(None) == table.targets
    loaded = SurrogateSuite.load(suite.save(tmp_path / "saved"))
    assert np.array_equal(loaded.predict(GRAPHS), suite.predict(GRAPHS))
    with pytest.raises(InvalidInputError, match="the suite is over 'nasbench201', the table of graphs"):
        SurrogateSuite().fit_table(table)
    with pytest.raises(InvalidInputError, match=r"the suite is of graphs \(space None\), the table over 'nasbench201'"):
        suite.fit_table(CostTable("nasbench201", [0, 1], [[1.0], [2.0]], ["a/latency"]))


def test_a_damaged_config_of_graphs_is_refused(tmp_path: Path) -> None:
    folder = Surrogate(None, model="ridge").fit(GRAPHS, COSTS).save(tmp_path / "saved")
    rewrite(folder, lambda manifest: manifest["surrogates"][0].update(configs=["C16-N5-k10-3x32x32"]))
    with pytest.raises(SavedFormatError, match=r"configs of a surrogate of graphs must be \[null\]"):
        Surrogate.load(folder)
