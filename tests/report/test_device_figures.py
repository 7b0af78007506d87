"""Pictures of how devices relate, by reading what was drawn."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.devices import cluster_devices, correlation, disagreement, principal_directions, proxies
from hwnas_surrogate.errors import InvalidInputError, MissingExtraError
from hwnas_surrogate.report import (
    plot_correlation,
    plot_disagreement,
    plot_pareto,
    plot_principal_directions,
    plot_proxies,
)
from hwnas_surrogate.search import pareto_front
from hwnas_surrogate.spaces import get_space

pytest.importorskip("matplotlib")
from matplotlib import pyplot
from matplotlib.figure import Figure

SPACE = get_space("nasbench201")
TARGETS = ["cpu/latency", "gpu/latency", "phone/latency", "cpu/energy"]


@pytest.fixture(scope="module")
def table() -> CostTable:
    archs = SPACE.at(np.arange(100))
    counts = np.column_stack([(archs == op).sum(axis=1) for op in range(5)])
    prices = np.array([[0, 1, 0, 0], [1, 1, 0, 1], [3, 2, 3, 3], [9, 3, 9, 9], [1, 8, 2, 1]])
    return CostTable(SPACE, archs, 1 + counts @ prices, TARGETS)


@pytest.fixture(scope="module")
def every(table: CostTable) -> pd.DataFrame:
    return pd.DataFrame(table.costs, columns=TARGETS)


PLOTS: dict[str, Callable[[CostTable, pd.DataFrame, Any], Any]] = {
    "correlation": lambda table, every, ax: plot_correlation(correlation(table), ax),
    "directions": lambda table, every, ax: plot_principal_directions(principal_directions(table), ax),
    "proxies": lambda table, every, ax: plot_proxies(proxies(table), ax),
    "pareto": lambda table, every, ax: plot_pareto(
        pareto_front(table, ["cpu/latency", "gpu"]), every, "cpu/latency", "gpu/latency", ax
    ),
    "disagreement": lambda table, every, ax: plot_disagreement(disagreement(table, "cpu/latency", "gpu"), ax),
}
each = pytest.mark.parametrize("plot", PLOTS.values(), ids=PLOTS)


@each
def test_pictures_leave_pyplot_as_it_was_and_label_both_axes(plot: Any, table: CostTable, every: pd.DataFrame) -> None:
    settings = dict(pyplot.rcParams)
    ax = plot(table, every, None)
    ax.figure.savefig(io.BytesIO(), format="png")
    assert pyplot.get_fignums() == []
    assert dict(pyplot.rcParams) == settings
    for label in (ax.get_xlabel(), ax.get_ylabel()):
        assert "(" in label, "the unit"


@each
def test_the_axes_given_are_drawn_on(plot: Any, table: CostTable, every: pd.DataFrame) -> None:
    beside, own = Figure(layout="constrained").subplots(1, 2)
    assert plot(table, every, own) is own
    assert own.has_data()
    assert not beside.has_data()


@each
def test_without_matplotlib_the_extra_is_named(
    plot: Any, table: CostTable, every: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"the extra 'plots', for .* is not installed: pip install"):
        plot(table, every, None)


@pytest.mark.parametrize(
    "call",
    [
        lambda: plot_correlation(np.eye(2)),  # type: ignore[arg-type]
        lambda: plot_principal_directions([0.9, 0.1]),  # type: ignore[arg-type]
        lambda: plot_proxies([]),  # type: ignore[arg-type]
        lambda: plot_proxies(pd.DataFrame({"target": ["a"]})),
        lambda: plot_pareto(pd.DataFrame({"x": [1.0]}), pd.DataFrame({"x": [1.0]}), "x", "y"),
        lambda: plot_pareto(
            pd.DataFrame({"x": [1.0], "y": [np.nan]}), pd.DataFrame({"x": [1.0], "y": [1.0]}), "x", "y"
        ),
        lambda: plot_disagreement(pd.DataFrame()),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_drawn_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(InvalidInputError):
        call()


def test_a_map_is_ordered_by_cluster_with_numbers_and_borders(table: CostTable) -> None:
    matrix = correlation(table)
    ax = plot_correlation(matrix)
    order = list(cluster_devices(matrix).order)
    assert [label.get_text() for label in ax.get_xticklabels()] == order
    assert [label.get_text() for label in ax.get_yticklabels()] == order
    np.testing.assert_allclose(ax.get_images()[0].get_array(), matrix.loc[order, order])
    assert [text.get_text() for text in ax.texts] == [
        f"{value:.2f}" for value in matrix.loc[order, order].to_numpy().ravel()
    ]
    labels = cluster_devices(matrix).cluster[order].tolist()
    assert len(ax.get_lines()) == 2 * (len(set(labels)) - 1) > 0
    assert "correlation (0 to 1)" in [other.get_ylabel() for other in ax.figure.axes]


def test_a_map_of_many_devices_has_no_numbers_and_negative_ones_another_range() -> None:
    names = [f"d{number}/latency" for number in range(13)]
    many = pd.DataFrame(np.full((13, 13), 0.5) + 0.5 * np.eye(13), names, names)
    assert not plot_correlation(many).texts
    many.iloc[0, 1] = many.iloc[1, 0] = -0.3
    assert plot_correlation(many).get_images()[0].get_clim() == (-1.0, 1.0)


def test_a_map_leaves_out_what_is_not_known() -> None:
    matrix = pd.DataFrame([[1, 0.5, np.nan], [0.5, 1, np.nan], [np.nan] * 3], TARGETS[:3], TARGETS[:3])
    assert len(plot_correlation(matrix).texts) == 4
    nothing = pd.DataFrame(np.full((2, 2), np.nan), TARGETS[:2], TARGETS[:2])
    assert not plot_correlation(nothing).texts


def test_bars_are_the_variance_explained_so_far(table: CostTable) -> None:
    found = principal_directions(table)
    ax = plot_principal_directions(found)
    heights = [bar.get_height() for bar in ax.patches]
    np.testing.assert_allclose(heights, 100 * np.cumsum(found.explained_variance_ratio))
    assert ax.get_legend().get_texts()[0].get_text() == f"99 % ({found.n_for(0.99)} needed)"


def test_proxies_are_points_with_intervals_in_the_lines_of_their_targets(table: CostTable) -> None:
    frame = proxies(table)
    frame.loc[0, ["kendall_tau", "low", "high"]] = np.nan
    ax = plot_proxies(frame)
    assert [label.get_text() for label in ax.get_yticklabels()] == TARGETS
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["multiply-adds (all layers)", "parameters", "layers", "activation bytes"]
    points, _, (bars,) = ax.containers[2]
    layers = frame[frame["proxy"] == "layers"]
    np.testing.assert_allclose(points.get_xdata().astype(float), layers["kendall_tau"])
    assert np.round(np.asarray(points.get_ydata(), float)).tolist() == [0, 1, 2, 3]
    ends = [segment[:, 0].tolist() for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, layers[["low", "high"]])
    with pytest.raises(InvalidInputError, match="got NaN in all"):
        plot_proxies(frame.assign(kendall_tau=np.nan))


def test_a_front_is_a_step_line_in_the_targets_units(table: CostTable, every: pd.DataFrame) -> None:
    front = pareto_front(table, ["cpu/latency", "gpu"])
    ax = plot_pareto(front, every, "cpu/latency", "gpu/latency")
    (line,) = ax.get_lines()
    assert line.get_drawstyle() == "steps-post"
    assert sorted(line.get_xdata()) == sorted(front["cpu/latency"])
    assert len(ax.collections[0].get_offsets()) == 100
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("latency on cpu (ms)", "latency on gpu (ms)")


def test_a_front_of_three_objectives_is_points(table: CostTable, every: pd.DataFrame) -> None:
    front = pareto_front(table, ["cpu/latency", "gpu", "phone"])
    ax = plot_pareto(front, every, "cpu/latency", "gpu/latency")
    assert not ax.get_lines()
    assert len(ax.collections[1].get_offsets()) == len(front)


def test_a_front_whose_x_is_to_be_large_steps_the_other_way(every: pd.DataFrame) -> None:
    frame = every.assign(accuracy=every["gpu/latency"] % 7)
    front = pareto_front(frame, ["accuracy", "cpu/latency"], ["accuracy"])
    ax = plot_pareto(front, frame, "accuracy", "cpu/latency")
    assert ax.get_lines()[0].get_drawstyle() == "steps-pre"
    assert ax.get_xlabel() == "accuracy (as given)"


def test_bars_of_a_disagreement_are_the_effects_of_the_ops(table: CostTable) -> None:
    found = disagreement(table, "cpu/latency", "gpu/latency")
    ax = plot_disagreement(found)
    assert [label.get_text() for label in ax.get_yticklabels()] == found.effects["op"].tolist()
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], found.effects["effect"])
    assert "more expensive on gpu/latency" in ax.get_xlabel()


def test_names_are_no_formulas(table: CostTable) -> None:
    names = [r"cpu$\nosuch$/latency", "gpu$x$/latency", "phone$/latency", "cpu$y$/energy"]
    odd = CostTable(SPACE, table.archs, table.costs, names)
    every = pd.DataFrame(odd.costs, columns=names)
    for ax in (
        plot_correlation(correlation(odd)),
        plot_proxies(proxies(odd)),
        plot_pareto(pareto_front(odd, names[:2]), every, *names[:2]),
        plot_disagreement(disagreement(odd, *names[:2])),
    ):
        ax.figure.savefig(io.BytesIO(), format="png")
        labels = [ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels(), *ax.get_yticklabels()]
        told = [label._preprocess_math(label.get_text()) for label in labels]
        assert any("$" in text for text, formula in told if not formula)
        assert not any("gpu" in text or "cpu" in text for text, formula in told if formula)
