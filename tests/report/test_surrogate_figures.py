"""Pictures, by reading what was drawn."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.data import Target
from hwnas_surrogate.errors import InvalidInputError, MissingExtraError
from hwnas_surrogate.evaluation import Scores
from hwnas_surrogate.report import (
    plot_adaptation_curve,
    plot_correlation,
    plot_error_by_distance,
    plot_learning_curve,
    plot_pareto,
    plot_predicted,
    plot_proxies,
)

pytest.importorskip("matplotlib")
from matplotlib import pyplot, rc_context
from matplotlib.collections import FillBetweenPolyCollection, LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

UNITS = {"raspi4/latency": "ms", "edgegpu/latency": "ms", "edgegpu/energy": "mJ"}
SIZES = (50, 124, 900, 14_000)


def curves(*targets: str, seeds: int = 3, models: tuple[str, ...] = (), sizes: tuple[int, ...] = SIZES) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for number, target in enumerate(targets):
        device, metric = target.split("/")
        for shift, model in enumerate(models or ("",)):
            for n in reversed(sizes):  # curves must be sorted by the picture
                for seed in range(seeds):
                    row = {"device": device, "metric": metric, "unit": UNITS[target], "seed": seed, "n_train": n}
                    row |= {"model": model} if models else {}
                    tau = 0.9 - 1 / n - 0.05 * number - 0.1 * shift + 0.01 * seed**2
                    values = dict.fromkeys(list(Scores.__dataclass_fields__)[1:], tau) | {"fit_seconds": 0.5}
                    rows.append(row | values)
    return pd.DataFrame(rows)


def predictions(n: int = 20, spread: float = 3.0, target: str = "raspi4/latency", bounds: bool = True) -> pd.DataFrame:
    device, metric = target.split("/")
    measured = np.geomspace(10.0, 10.0 * spread, n)
    frame = pd.DataFrame({"device": device, "metric": metric, "unit": UNITS[target], "measured": measured})
    frame["predicted"] = measured * np.resize([0.9, 1.1], n)
    return frame.assign(low=frame["predicted"] - 1, high=frame["predicted"] + 2) if bounds else frame


def errors(n: int = 1000) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"distance": rng.uniform(0, 5, n), "relative_error": rng.uniform(0, 0.2, n)})


EVERY: dict[str, tuple[Callable[..., Any], pd.DataFrame]] = {
    "learning curve": (plot_learning_curve, curves(*UNITS)),
    "predicted": (plot_predicted, predictions()),
    "by distance": (plot_error_by_distance, errors()),
}
every = pytest.mark.parametrize(("plot", "frame"), EVERY.values(), ids=EVERY)


def drawn(ax: Any, kind: type) -> list[Any]:
    return [artist for artist in ax.collections if type(artist) is kind]


def legend(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.fixture
def own_ax() -> Any:
    return Figure(layout="constrained").subplots(1, 2)[1]


# -- every picture ----------------------------------------------------------------------------------------


@every
def test_pictures_leave_pyplot_and_the_frame_as_they_were(plot: Callable[..., Any], frame: pd.DataFrame) -> None:
    before, settings = frame.copy(), dict(pyplot.rcParams)
    first, second = plot(frame), plot(frame)
    assert first.figure is not second.figure
    assert pyplot.get_fignums() == []
    assert dict(pyplot.rcParams) == settings
    pd.testing.assert_frame_equal(frame, before)


@every
def test_the_axes_given_are_drawn_on(plot: Callable[..., Any], frame: pd.DataFrame, own_ax: Any) -> None:
    beside = own_ax.figure.axes[0]
    assert plot(frame, ax=own_ax) is own_ax
    assert own_ax.has_data()
    assert not beside.has_data()
    assert len(own_ax.figure.axes) == 2


@every
def test_the_legend_covers_no_data_and_is_inside_the_figure(plot: Callable[..., Any], frame: pd.DataFrame) -> None:
    ax = plot(frame)
    ax.figure.savefig(io.BytesIO(), format="png")
    box, inside = ax.get_legend().get_window_extent(), ax.get_window_extent()
    assert box.x0 >= inside.x1 or box.y0 >= inside.y1 - 1
    whole = ax.figure.bbox
    assert 0 <= box.x0 < box.x1 <= whole.x1
    assert 0 <= box.y0 < box.y1 <= whole.y1


@every
def test_what_is_no_table_or_has_no_row_or_column_is_refused(plot: Callable[..., Any], frame: pd.DataFrame) -> None:
    with pytest.raises(InvalidInputError, match=r"must be a DataFrame with .*, got list"):
        plot([1.0])
    with pytest.raises(InvalidInputError, match="must have at least one row, got none"):
        plot(frame.iloc[:0])
    for column in {"device", "n_train", "measured", "high", "relative_error", "distance"} & set(frame):
        with pytest.raises(InvalidInputError, match=rf"missing: \['{column}'\]"):
            plot(frame.drop(columns=column))


@every
def test_without_matplotlib_the_extra_is_named(
    plot: Callable[..., Any], frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"the extra 'plots', for .* is not installed: pip install"):
        plot(frame)


def test_matplotlib_is_imported_for_pictures_only() -> None:
    code = "import hwnas_surrogate.report.surrogate_figures, sys; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("plot", [plot_learning_curve, plot_predicted])
@pytest.mark.parametrize("target", ["raspi4/energy", "raspi", Target("fpga", "latency")])
def test_an_unknown_target_is_refused(plot: Callable[..., Any], target: object) -> None:
    frame = predictions() if plot is plot_predicted else curves("raspi4/latency")
    with pytest.raises(InvalidInputError, match=r"unknown target '.*allowed: 'raspi4/latency', 'raspi4'"):
        plot(frame, target)


# -- learning curves --------------------------------------------------------------------------------------


def test_a_curve_goes_through_the_means_in_a_band_of_one_standard_deviation() -> None:
    ax = plot_learning_curve(curves("raspi4/latency"))
    (line,), (band,) = ax.get_lines(), drawn(ax, FillBetweenPolyCollection)
    mean = 0.9 - 1 / np.array(SIZES) + 0.01 * (0 + 1 + 4) / 3
    np.testing.assert_allclose(line.get_xdata(), SIZES)
    np.testing.assert_allclose(line.get_ydata(), mean)
    corners = band.get_paths()[0].vertices
    sd = 0.01 * np.std([0, 1, 4], ddof=1)
    for n, middle in zip(SIZES, mean, strict=True):
        at = corners[corners[:, 0] == n, 1]
        assert (at.min(), at.max()) == pytest.approx((middle - sd, middle + sd))


def test_the_band_of_an_error_ends_at_zero() -> None:
    rows = [("pi", "latency", "ms", seed, n, error) for n in (50, 100) for seed, error in enumerate((0.0, 0.0, 0.3))]
    scores = pd.DataFrame(rows, columns=["device", "metric", "unit", "seed", "n_train", "mdape"])
    (band,) = drawn(plot_learning_curve(scores, score="mdape"), FillBetweenPolyCollection)
    assert band.get_paths()[0].vertices[:, 1].min() == 0
    lower = scores.assign(kendall_tau=scores["mdape"] - 0.1)
    (band,) = drawn(plot_learning_curve(lower), FillBetweenPolyCollection)
    assert band.get_paths()[0].vertices[:, 1].min() < -0.1


def test_one_seed_has_no_band() -> None:
    ax = plot_learning_curve(curves("raspi4/latency", seeds=1))
    assert len(ax.get_lines()) == 1
    assert not ax.collections


def test_the_sizes_are_plain_ticks_on_a_logarithmic_axis() -> None:
    ax = plot_learning_curve(curves("raspi4/latency"))
    ax.figure.draw_without_rendering()
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "training architectures"
    assert ax.get_xticks().tolist() == list(SIZES)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["50", "124", "900", "14000"]
    assert len(ax.get_xticks(minor=True)) == 0


def test_numbers_of_crowded_sizes_give_way_to_the_larger() -> None:
    ax = plot_learning_curve(curves("raspi4/latency", sizes=(50, 100, 110, 14_000)))
    assert ax.get_xticks().tolist() == [50, 100, 110, 14_000]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["50", "", "110", "14000"]


def test_one_size_is_a_point() -> None:
    ax = plot_learning_curve(curves("raspi4/latency", sizes=(80,)))
    ax.figure.draw_without_rendering()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["80"]
    assert ax.get_lines()[0].get_xdata().tolist() == [80]


def test_all_targets_are_lines_and_one_is_a_title() -> None:
    ax = plot_learning_curve(curves(*UNITS))
    assert legend(ax) == list(UNITS)
    assert len({line.get_color() for line in ax.get_lines()}) == 3
    assert len(drawn(ax, FillBetweenPolyCollection)) == 3
    assert ax.get_title() == ""
    for target in ("edgegpu/energy", Target("edgegpu", "energy")):
        alone = plot_learning_curve(curves(*UNITS), target)
        assert alone.get_title() == "edgegpu/energy"
        assert alone.get_legend() is None
        np.testing.assert_allclose(alone.get_lines()[0].get_ydata(), ax.get_lines()[2].get_ydata())
    assert legend(plot_learning_curve(curves(*UNITS), "edgegpu")) == ["edgegpu/latency", "edgegpu/energy"]


def test_models_differ_by_line_among_targets_and_by_colour_alone() -> None:
    frame = curves("raspi4/latency", "edgegpu/energy", models=("xgboost", "mlp"))
    ax = plot_learning_curve(frame)
    assert legend(ax) == [
        f"{target}, {model}" for target in ("raspi4/latency", "edgegpu/energy") for model in ("xgboost", "mlp")
    ]
    first, second, third, fourth = ax.get_lines()
    assert first.get_color() == second.get_color() != third.get_color() == fourth.get_color()
    assert first.get_linestyle() == third.get_linestyle() != second.get_linestyle() == fourth.get_linestyle()
    alone = plot_learning_curve(frame, "raspi4")
    assert legend(alone) == ["xgboost", "mlp"]
    assert alone.get_title() == "raspi4/latency"
    assert len({line.get_color() for line in alone.get_lines()}) == 2


def test_more_lines_than_colours_still_differ() -> None:
    ax = plot_learning_curve(curves("raspi4/latency", models=tuple("abcdefghijkl")))
    assert len({(line.get_color(), line.get_marker()) for line in ax.get_lines()}) == 12


@pytest.mark.parametrize("score", [*list(Scores.__dataclass_fields__)[1:], "fit_seconds"])
def test_relative_scores_are_in_per_cent_and_others_as_they_are(score: str) -> None:
    frame = curves("edgegpu/energy", seeds=1)
    ax = plot_learning_curve(frame, score=score)
    relative = score in ("mape", "mdape", "within_5pct", "within_10pct")
    assert ax.get_lines()[0].get_ydata()[-1] == pytest.approx(frame[score][0] * (100 if relative else 1))
    assert ax.get_ylabel().endswith("(%)") == relative
    assert ax.get_ylabel().endswith("(mJ)") == (score == "rmse")


def test_errors_in_different_units_share_no_axis() -> None:
    with pytest.raises(InvalidInputError, match=r"one unit, got \['ms', 'mJ'\]; name one target"):
        plot_learning_curve(curves(*UNITS), score="rmse")
    assert plot_learning_curve(curves("raspi4/latency", "edgegpu/latency"), score="rmse").get_ylabel().endswith("(ms)")


def test_missing_scores_are_left_out() -> None:
    frame = curves("raspi4/latency")
    frame.loc[(frame["n_train"] == 900) & (frame["seed"] > 0), "kendall_tau"] = np.nan
    assert plot_learning_curve(frame).get_lines()[0].get_ydata()[2] == pytest.approx(0.9 - 1 / 900)
    with pytest.raises(InvalidInputError, match="kendall_tau must be a number somewhere, got NaN in all 12 rows"):
        plot_learning_curve(frame.assign(kendall_tau=np.nan))


def test_scores_that_make_no_curve_are_refused() -> None:
    frame = curves("raspi4/latency")
    with pytest.raises(InvalidInputError, match=r"unknown score 'kendal_tau'; allowed: .* Did you mean 'kendall_tau'"):
        plot_learning_curve(frame, score="kendal_tau")
    with pytest.raises(InvalidInputError, match=r"one row per model, target, seed and n_train, got .*14000.* twice"):
        plot_learning_curve(pd.concat([frame, frame.iloc[:1]]))
    with pytest.raises(InvalidInputError, match="n_train must be at least 1, got 0"):
        plot_learning_curve(frame.assign(n_train=0, seed=range(len(frame))))
    with pytest.raises(InvalidInputError, match="kendall_tau must be finite numbers, got inf in row 0"):
        plot_learning_curve(frame.assign(kendall_tau=np.inf))


# -- predicted against measured ---------------------------------------------------------------------------


def test_points_diagonal_and_intervals_are_where_the_table_says() -> None:
    frame = predictions()
    ax = plot_predicted(frame)
    (points,), (intervals,), (diagonal,) = drawn(ax, PathCollection), drawn(ax, LineCollection), ax.get_lines()
    np.testing.assert_allclose(points.get_offsets(), frame[["measured", "predicted"]])
    np.testing.assert_allclose(diagonal.get_xdata(), diagonal.get_ydata())
    np.testing.assert_allclose(diagonal.get_xdata(), ax.get_xlim())
    assert ax.get_xlim() == ax.get_ylim()
    expected = [[(x, low), (x, high)] for x, low, high in frame[["measured", "low", "high"]].to_numpy()]
    np.testing.assert_allclose(intervals.get_segments(), expected)
    assert sorted(legend(ax)) == ["architecture", "interval", "predicted = measured"]
    low, high = ax.get_ylim()
    assert low < frame["low"].min()
    assert frame["high"].max() < high


def test_axes_name_metric_device_and_unit() -> None:
    ax = plot_predicted(predictions())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("measured latency on raspi4 (ms)", "predicted latency on raspi4 (ms)")
    intensity = predictions().assign(device="eyeriss", metric="arithmetic_intensity", unit="ops/byte")
    assert plot_predicted(intensity).get_xlabel() == "measured arithmetic intensity on eyeriss (ops/byte)"


@pytest.mark.parametrize(("n", "shown"), [(500, True), (501, False)])
def test_intervals_of_more_than_500_points_are_left_out(n: int, shown: bool) -> None:
    ax = plot_predicted(predictions(n))
    assert bool(drawn(ax, LineCollection)) == shown
    assert ("interval" in legend(ax)) == shown


def test_without_bounds_there_are_no_intervals() -> None:
    ax = plot_predicted(predictions(bounds=False))
    assert not drawn(ax, LineCollection)
    assert "interval" not in legend(ax)


def test_infinite_bounds_reach_as_far_as_anything_does() -> None:
    frame = predictions()
    frame.loc[0, ["low", "high"]] = -np.inf, np.inf
    ax = plot_predicted(frame)
    first = drawn(ax, LineCollection)[0].get_segments()[0]
    assert first[:, 1].tolist() == pytest.approx([frame["measured"].min() * 0.9, frame["high"][1:].max()])


@pytest.mark.parametrize(("spread", "scale"), [(50.0, "linear"), (1000.0, "log")])
def test_costs_over_two_decades_are_on_logarithmic_axes(spread: float, scale: str) -> None:
    ax = plot_predicted(predictions(spread=spread, bounds=False))
    assert (ax.get_xscale(), ax.get_yscale()) == (scale, scale)


def test_what_is_not_above_zero_keeps_axes_linear() -> None:
    frame = predictions(spread=1000.0, bounds=False)
    frame.loc[0, "predicted"] = -1.0
    assert plot_predicted(frame).get_xscale() == "linear"
    below = predictions(spread=1000.0)
    assert plot_predicted(below).get_xscale() == "log"
    below.loc[0, "low"] = -1.0
    assert plot_predicted(below).get_xscale() == "linear"


def test_one_architecture_can_be_drawn() -> None:
    ax = plot_predicted(predictions(1))
    ax.figure.draw_without_rendering()
    assert ax.get_xlim()[0] < 9.0 < 10.0 < ax.get_xlim()[1]


def test_one_of_several_targets_must_be_named() -> None:
    frame = pd.concat([predictions(4, target=target) for target in UNITS])
    with pytest.raises(InvalidInputError, match=r"one target, got 3: name one of \['raspi4/latency'"):
        plot_predicted(frame)
    with pytest.raises(InvalidInputError, match="one target, got 2"):
        plot_predicted(frame, "edgegpu")
    ax = plot_predicted(frame, "edgegpu/energy")
    assert ax.get_xlabel() == "measured energy on edgegpu (mJ)"
    assert len(drawn(ax, PathCollection)[0].get_offsets()) == 4


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("measured", np.nan, "measured must be finite numbers, got nan in row 2"),
        ("predicted", np.inf, "predicted must be finite numbers, got inf in row 2"),
        ("low", np.nan, "low must be finite numbers, got nan in row 2"),
        ("low", 1e6, "low must not be above high, got 1000000.0 and"),
        ("unit", "s", r"one unit, got \['ms', 's'\]"),
    ],
)
def test_predictions_that_cannot_be_drawn_are_refused(column: str, value: object, told: str) -> None:
    frame = predictions()
    frame.loc[2, column] = value
    with pytest.raises(InvalidInputError, match=told):
        plot_predicted(frame)


# -- errors by distance -----------------------------------------------------------------------------------


def boxes(ax: Any) -> dict[float, tuple[float, ...]]:
    """Return lower quartile, median and upper quartile by the box's place."""
    medians = [line for line in ax.get_lines() if line.get_linewidth() == 2]
    found = {}
    for patch, median in zip(ax.patches, medians, strict=True):
        corners = patch.get_path().vertices
        place = float(np.mean(median.get_xdata()))
        found[place] = (corners[:, 1].min(), float(median.get_ydata()[0]), corners[:, 1].max())
    return found


def test_few_distances_are_bins_of_their_own_in_per_cent() -> None:
    frame = pd.DataFrame(
        {"distance": np.tile([0.5, 1.5, 4.5], 5), "relative_error": np.repeat([0.01, 0.02, 0.03, 0.04, 0.2], 3)}
    )
    frame.loc[frame["distance"] == 4.5, "relative_error"] *= -1
    ax = plot_error_by_distance(frame)
    found = boxes(ax)
    assert list(found) == pytest.approx([0.5, 1.5, 4.5])
    assert found[0.5] == pytest.approx((2.0, 3.0, 4.0))
    assert found[4.5] == pytest.approx((-4.0, -3.0, -2.0))
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.5\n(5)", "1.5\n(5)", "4.5\n(5)"]
    assert "(log2 units)" in ax.get_xlabel()
    assert ax.get_ylabel() == "relative error (%)"
    assert legend(ax) == ["median", "quartiles", "5th to 95th percentile"]


def test_whiskers_end_at_the_5th_and_95th_percentile() -> None:
    ax = plot_error_by_distance(pd.DataFrame({"distance": 1.0, "relative_error": np.arange(101) / 100}))
    ends = {float(end) for line in ax.get_lines()[:2] for end in line.get_ydata()}
    assert sorted(ends) == pytest.approx([5.0, 25.0, 75.0, 95.0])


@pytest.mark.parametrize("scale", [0.01, 1.0, 7.3, 400.0])
def test_many_distances_are_put_into_bins(scale: float) -> None:
    frame = errors()
    frame["distance"] *= scale
    found = boxes(plot_error_by_distance(frame))
    assert 4 <= len(found) <= 12
    (width,) = set(np.round(np.diff(list(found)), 9))
    assert np.log2(width) == pytest.approx(round(np.log2(width)), abs=1e-6)
    rows = 0
    for centre, quartiles in found.items():
        inside = frame[np.floor(frame["distance"] / width) == np.floor(centre / width)]
        rows += len(inside)
        assert quartiles == pytest.approx(np.quantile(100 * inside["relative_error"], [0.25, 0.5, 0.75]))
    assert rows == len(frame)


def test_centres_that_differ_by_noise_are_one_bin() -> None:
    frame = pd.DataFrame({"distance": [0.1 + 0.2, 0.3, 1.3], "relative_error": [0.1, 0.3, 0.5]})
    found = boxes(plot_error_by_distance(frame))
    assert [median for _, median, _ in found.values()] == pytest.approx([20.0, 50.0])


def test_a_single_prediction_can_be_drawn() -> None:
    ax = plot_error_by_distance(pd.DataFrame({"distance": [2.0], "relative_error": [0.05]}))
    ax.figure.draw_without_rendering()
    assert boxes(ax) == {2.0: pytest.approx((5.0, 5.0, 5.0))}


@pytest.mark.parametrize("column", ["distance", "relative_error"])
@pytest.mark.parametrize("value", [np.nan, np.inf, "far"])
def test_errors_that_cannot_be_drawn_are_refused(column: str, value: object) -> None:
    frame = errors(20).astype({column: object})
    frame.loc[3, column] = value
    with pytest.raises(InvalidInputError, match=rf"{column} must be finite numbers, got {value} in row 3"):
        plot_error_by_distance(frame)


@pytest.mark.parametrize("name", ["a$x$", r"a$\nosuch$b", "a$"])
def test_names_are_no_formulas(name: str) -> None:
    curve = curves("raspi4/latency", models=("$m$", "n")).assign(device=name)
    for ax in (
        plot_learning_curve(curve),
        plot_learning_curve(curve[curve["model"] == "n"]),
        plot_learning_curve(pd.concat([curve, curve.assign(device="b$y$")])),
        plot_predicted(predictions().assign(device=name)),
    ):
        ax.figure.savefig(io.BytesIO(), format="png")
        legend = ax.get_legend()
        labels = [ax.title, ax.xaxis.label, *([] if legend is None else legend.get_texts())]
        told = [label._preprocess_math(label.get_text()) for label in labels]
        assert any(name in text for text, _ in told)
        assert not any(formula for _, formula in told)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("中文", r"\u4e2d\u6587"),
        ("\U0001f642board", r"\U0001f642board"),
        ("a\nb\x07\x1b[31m", r"a\nb\x07\x1b[31m"),
        ("a\u202eb", r"a\u202eb"),
        ("ü-board µ", "ü-board µ"),
        ("x" * 400, "x" * 20 + "…"),
        ("中" * 300, r"\u4e2d" * 3 + "…"),
    ],
)
def test_names_of_any_characters_are_drawn_without_a_warning(name: str, shown: str) -> None:
    curve = curves("raspi4/latency").assign(device=name)
    latency = f"{name}/latency"
    square = pd.DataFrame([[1, 0.5], [0.5, 1]], [latency, "b/latency"], [latency, "b/latency"])
    row = {"target": [latency], "proxy": ["macs"], "kendall_tau": [0.5], "low": [0.4], "high": [0.6]}
    costs = pd.DataFrame({latency: [1.0, 2.0], "quality": [2.0, 1.0]})
    for ax in (
        plot_learning_curve(curve),
        plot_learning_curve(pd.concat([curve, curve.assign(device="b")])),
        plot_predicted(predictions().assign(device=name)),
        plot_correlation(square),
        plot_proxies(pd.DataFrame(row)),
        plot_pareto(costs, costs, latency, "quality"),
    ):
        ax.figure.savefig(io.BytesIO(), format="png")  # warnings are errors here
        assert any(shown in text.get_text() for text in ax.figure.findobj(Text))


def test_a_font_that_has_the_characters_draws_them() -> None:
    with rc_context({"font.family": ["STIXGeneral"]}):
        assert plot_learning_curve(curves("raspi4/latency").assign(device="ℵ𝔸")).get_title() == "ℵ𝔸/latency"
    with rc_context({"font.family": ["no such font", "DejaVu Sans"]}):
        assert plot_learning_curve(curves("raspi4/latency").assign(device="ü中")).get_title() == r"ü\u4e2d/latency"


# -- adaptation curves ------------------------------------------------------------------------------------


@pytest.fixture
def curve() -> pd.DataFrame:
    rows = [("phone", "latency", "ms", n, draw, (1 + draw / 10) / n) for n in (3, 10, 30) for draw in range(6)]
    return pd.DataFrame(rows, columns=["device", "metric", "unit", "n_shots", "draw", "mdape"])


def test_adaptation_curve_is_drawn(curve: pd.DataFrame) -> None:
    before = curve.copy()
    ax = plot_adaptation_curve(curve)
    pd.testing.assert_frame_equal(curve, before)
    assert ax.get_xlabel() == "measurements of the device"
    assert ax.get_ylabel() == "median relative error (%)"
    assert ax.get_title() == "phone/latency"
    (line,) = ax.get_lines()
    assert line.get_xdata().tolist() == [3, 10, 30]
    np.testing.assert_allclose(line.get_ydata(), 100 * curve.groupby("n_shots")["mdape"].mean())
    assert ax.get_xscale() == "log"


def test_adaptation_curves_of_chosen_targets_are_drawn_where_asked(curve: pd.DataFrame) -> None:
    figure = Figure()
    both = pd.concat([curve, curve.assign(device="board", mdape=2 * curve["mdape"])])
    axes = figure.subplots(1, 2)
    assert plot_adaptation_curve(both, ax=axes[0]) is axes[0]
    assert len(axes[0].get_lines()) == 2
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["phone/latency", "board/latency"]
    plot_adaptation_curve(both, "board/latency", axes[1])
    assert len(axes[1].get_lines()) == 1
    with pytest.raises(InvalidInputError, match="Did you mean 'phone"):
        plot_adaptation_curve(curve, "phon/latency")
    for wrong in (curve[:0], curve.drop(columns="mdape"), curve.drop(columns="n_shots")):
        with pytest.raises(InvalidInputError):
            plot_adaptation_curve(wrong)
