"""The form for measurements made elsewhere: what is filled in comes back, failures with their reasons too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas_surrogate.data import CostTable, read_measurements
from hwnas_surrogate.data.official import NOT_COMPILED
from hwnas_surrogate.errors import DataFileError
from hwnas_surrogate.measure.form import count_open, form_lines, write_form
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import SurrogateSuite, adapt

SPACE = get_space("nasbench201")
TARGETS = ["my-board/latency", "my-board/energy"]
REASONS = ["not enough memory", 'the compiler, it says:\n"unsupported op"', "failed"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("form") / "form.csv"


CELLS = st.one_of(st.floats(0, 1e300), st.sampled_from([None, *REASONS]))


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8), st.sampled_from([None, "cifar100"]))
@settings(max_examples=60, deadline=None)
def test_a_table_with_failed_networks_comes_back(
    path: Path, cells: list[tuple[float | str | None, ...]], config: str
) -> None:
    costs = [[cell if isinstance(cell, float) else np.nan for cell in row] for row in cells]
    reasons = {reason: [[cell == reason for cell in row] for row in cells] for reason in REASONS}
    table = CostTable(SPACE, list(range(len(cells))), costs, TARGETS, configs=config, reasons=reasons)
    lines = list(form_lines(table))
    assert len(lines) == sum(cell is not None for row in cells for cell in row)
    if not lines:
        return
    write_form(path, lines)
    again = read_measurements(path)
    known = [target for target in table.targets if target in again.targets]
    rows = again.find(table.archs[[any(cell is not None for cell in row) for row in cells]])
    kept = table.select(known).rows(np.flatnonzero([any(cell is not None for cell in row) for row in cells]))
    np.testing.assert_array_equal(again.lookup(targets=known).to_numpy()[rows], kept.costs)
    assert again.configs == table.configs
    why = again.select(known).why_missing().to_numpy()[rows]
    np.testing.assert_array_equal(why, kept.why_missing().to_numpy())


@pytest.mark.parametrize(
    ("value", "note", "reason"),
    [
        ("failed", "no memory", "no memory"),
        ("failed", "", "failed"),
        (" Failed ", " no memory ", "no memory"),
        ("", "no memory", "no memory"),
        ("NaN", "no memory", "no memory"),
        ("-1", "no memory", "no memory"),
        ("-1.0", "", "failed"),
    ],
)
def test_ways_to_write_a_failure(value: str, note: str, reason: str, path: Path) -> None:
    lines = [{"architecture": 0, "device": "b", "value": value, "note": note}]
    lines += [{"architecture": 7, "device": "b", "value": 1.5, "note": "at noon"}]
    write_form(path, lines)
    table = read_measurements(path)
    assert np.isnan(table.costs).tolist() == [[True], [False]]
    assert list(table.reasons) == [reason]
    assert table.reasons[reason].tolist() == [[True], [False]]


@pytest.mark.parametrize("value", ["", "nan", "-2", "fail"])
def test_no_value_and_no_reason_is_an_error(value: str, path: Path) -> None:
    write_form(path, [{"architecture": 0, "device": "b", "value": value}])
    with pytest.raises(DataFileError, match="line 2: value must be a number of at least 0, or 'failed', got"):
        read_measurements(path)


def test_a_network_that_failed_and_has_a_cost_is_an_error(path: Path) -> None:
    lines = [{"architecture": 0, "device": "b", "value": value} for value in (2, "failed", 2)]
    write_form(path, lines)
    with pytest.raises(DataFileError, match="line 3: contradicts line 2: the same network failed here and has a cost"):
        read_measurements(path)
    write_form(path, [{**lines[1], "note": "first"}, {**lines[1], "note": "second"}])
    assert list(read_measurements(path).reasons) == ["first"]


def test_failures_of_a_wide_file(path: Path) -> None:
    path.write_text("architecture,a,edgetpu_latency\n0,failed,-1\n1,2,Failed\n2,,3\n")
    table = read_measurements(path)
    assert table.why_missing().to_numpy().tolist() == [
        ["failed", NOT_COMPILED],
        ["", "failed"],
        ["not measured", ""],
    ]


def test_surrogates_learn_from_the_failures_of_a_form(path: Path) -> None:
    archs = SPACE.sample(60, 0)
    failing = (archs == 4).sum(axis=1) > 1  # pools
    costs = SPACE.batch(archs).macs / 1e6
    lines: list[dict[str, object]] = [
        {"architecture": text, "device": "b", "value": "failed" if fails else cost, "note": "a pool" if fails else ""}
        for text, cost, fails in zip(SPACE.format_all(archs), costs, failing.tolist(), strict=True)
    ]
    write_form(path, lines)
    table = read_measurements(path)
    for suite in (SurrogateSuite(model="ridge", random_state=0).fit_table(table), adapt(table, random_state=0)):
        fails, runs = suite.predict_has_cost([[4, 4, 4, 4, 4, 3], [3, 3, 2, 3, 2, 3]]).iloc[:, 0]
        assert fails < 0.5 < runs


def test_lines_without_a_device_or_a_value_wait(tmp_path: Path) -> None:
    filled = {"architecture": 1, "device": "b", "value": 3}
    lines = [
        {"architecture": 0},
        filled,
        {**filled, "device": " "},
        {**filled, "value": ""},
        {**filled, "value": "", "note": "out of memory"},
        {**filled, "value": "failed"},
    ]
    write_form(tmp_path / "form.csv", lines)
    assert count_open(tmp_path / "form.csv") == (3, 6)
    (tmp_path / "excel.csv").write_text("architecture;Device;Value\n1;b;3,5\n2;b;\n;;\n ;;\n\n")
    assert count_open(tmp_path / "excel.csv") == (1, 2)
