"""Tables that are wider than the terminal lose nothing, and no number is cut in two."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from rich.cells import cell_len

from hwnas_surrogate.cli import output, terminal


def frame(rows: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "target": [f"a-device-with-a-name-{row}/latency" for row in range(rows)],
            "trained on": 100,
            "kendall tau": [f"{0.9 + row / 1000:.4f}" for row in range(rows)],
            "median error": np.linspace(1.25, 2.5, rows),
            "rmse": [f"{row + 1}.5 ms" for row in range(rows)],
        }
    )


def shown(told: pd.DataFrame, capsys: pytest.CaptureFixture[str], **how: object) -> str:
    output.show(told, "Scores", **how)  # type: ignore[arg-type]
    return capsys.readouterr().out


def test_a_table_that_fits_stands_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(frame(3), capsys)
    assert "kendall tau" in text
    assert "in every row" not in text
    assert len(re.findall(r"\b100\b", text)) == 3


def test_headings_stay_whole_where_what_is_left_fits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = pd.DataFrame({"pick": ["1", "or"], "pi/latency (ms)": [6.7, 7.1], "a long name of a column": "the same"})
    monkeypatch.setattr(terminal, "PIPED", 40)
    text = shown(told, capsys)
    assert "pick  pi/latency (ms)" in text
    assert "a long name of a column the same in" in text


def test_what_is_alike_in_every_row_is_said_once_where_there_is_no_room(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "PIPED", 70)
    text = shown(frame(3), capsys)
    assert "trained on 100 in every row" in text
    assert text.count("100") == 1
    assert max(map(len, text.splitlines())) <= 70


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("width", [10, 30, 40, 70])
def test_no_number_is_cut_and_no_text_is_lost(
    width: int, rows: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "PIPED", width)
    told = frame(rows)
    text = shown(told, capsys)
    assert all(number in text for name in ("kendall tau", "rmse") for number in told[name])
    assert all(f"{number:.4g}" in text for number in told["median error"])
    assert "100" in text
    assert "…" not in text
    for row in range(rows):
        assert f"name-{row}/" in text
    if width >= 30:
        assert max(len(line.rstrip()) for line in text.splitlines()) <= width


def test_what_has_no_room_goes_on_below_with_the_keys_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "PIPED", 60)
    told = pd.DataFrame({"name": ["a", "b"], **{f"column {number}": [number, number + 1] for number in range(10)}})
    lines = shown(told, capsys).splitlines()
    tables = [line for line in lines if line.startswith("name ")]
    assert len(tables) == 2
    assert sum(line.split()[0] == "a" for line in lines if line.strip()) == 2
    assert [word for line in tables for word in line.split() if word.isdigit()] == [str(number) for number in range(10)]


def test_columns_that_an_option_chooses_are_hidden_and_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "PIPED", 40)
    told = pd.DataFrame({"name": ["a", "b"], **{f"device{number}": [number, number + 1] for number in range(10)}})
    text = shown(told, capsys, choose="--target")
    (hidden,) = re.findall(r"(\d+) columns hidden, use --target", text)
    assert len(re.findall(r"device\d", text)) + int(hidden) == 10
    assert text.count("\na ") == 1


def test_two_columns_of_one_name_are_both_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(pd.DataFrame([[1, 2, 3]], columns=["a", "b", "b"]), capsys).split()[-3:] == ["1", "2", "3"]


def test_wide_characters_count_as_two(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "PIPED", 40)
    text = shown(pd.DataFrame({"name": ["測" * 30], "cost": [1.5]}), capsys)
    assert text.count("測") == 30
    assert "1.5" in text
    assert max(map(cell_len, text.splitlines())) <= 40


def test_json_escapes_everything_unprintable(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[31m\x7f\x9b\u202e[b]"
    text = shown(pd.DataFrame({name: [float("inf")]}), capsys, as_json=True)
    assert json.loads(text) == [{name: None}]
    assert text.replace("\n", "").isprintable()


def test_a_table_without_rows_has_its_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "PIPED", 20)
    assert "target" in shown(frame(3).iloc[:0], capsys)


def test_machines_get_every_column_however_narrow_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "PIPED", 20)
    assert shown(frame(2), capsys, as_csv=True).splitlines()[0] == "target,trained on,kendall tau,median error,rmse"
