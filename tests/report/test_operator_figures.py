"""The picture of a network's operators: bars, intervals, labels, and the part of the cost that they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwnas_surrogate.data import Target
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.report import plot_operators
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Explanation, operators_of

pytest.importorskip("matplotlib")

FRAME = operators_of(get_space("nasbench201").graph(0)).frame
COSTS = np.linspace(1, 3, len(FRAME))
EXPLANATION = Explanation(
    Target("raspi4", "latency"), "ms", "all", 0.9, 0.9, (80.0, 120.0),
    FRAME.assign(cost=COSTS, low=COSTS / 2, high=COSTS * 2, share=100 * COSTS / COSTS.sum()),
)  # fmt: skip


def test_the_largest_are_at_the_top_with_their_intervals() -> None:
    ax = plot_operators(EXPLANATION, n=4)
    widths = [bar.get_width() for bar in sorted(ax.patches, key=lambda bar: -bar.get_y())]
    assert widths == sorted(COSTS)[:-5:-1]
    (lines,) = ax.collections
    low, high = np.array([segment[:, 0] for segment in lines.get_segments()]).T
    np.testing.assert_allclose(low, np.array(widths) / 2)
    np.testing.assert_allclose(high, np.array(widths) * 2)
    labels = {text.get_position()[1]: text.get_text() for text in ax.get_yticklabels()}
    assert labels[3] == f"{FRAME['operator'].iloc[-1]}  {FRAME['output'].iloc[-1]}  #{FRAME['node'].iloc[-1]}"


def test_labels_have_the_target_its_unit_and_the_part_of_the_whole() -> None:
    ax = plot_operators(EXPLANATION, n=4)
    assert ax.get_xlabel() == "predicted latency on raspi4 (ms)"
    part = 100 * sum(sorted(COSTS)[-4:]) / COSTS.sum()
    assert ax.get_title() == f"the 4 largest of {len(FRAME)} operators: {part:.0f} % of {COSTS.sum():.3g} ms"
    assert plot_operators(EXPLANATION, n=1000).get_title() == f"{len(FRAME)} operators, {COSTS.sum():.3g} ms"


def test_a_ranking_has_neither_intervals_nor_a_unit() -> None:
    ranking = replace(EXPLANATION, unit="", interval=None, frame=EXPLANATION.frame.assign(low=np.nan, high=np.nan))
    ax = plot_operators(replace(ranking, target=None))
    assert not ax.collections
    assert ax.get_xlabel() == "predicted cost"
    assert ax.get_title().endswith("% of the whole")


@pytest.mark.parametrize("n", [0, -1, 2.5, True])
def test_a_number_of_operators_is_a_whole_number(n: object) -> None:
    with pytest.raises(InvalidInputError, match="whole number"):
        plot_operators(EXPLANATION, n)  # type: ignore[arg-type]


def test_only_an_explanation_is_drawn() -> None:
    with pytest.raises(InvalidInputError, match="must be an Explanation, got DataFrame"):
        plot_operators(FRAME)  # type: ignore[arg-type]
