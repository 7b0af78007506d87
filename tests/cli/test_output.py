"""Tables that are wider than the terminal lose nothing, and no number is cut in two."""

from __future__ import annotations

import io
import sys

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.cli import output


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


def shown(told: object, capsys: pytest.CaptureFixture[str], **how: object) -> str:
    output.show(told, "Scores", **how)  # type: ignore[arg-type]
    return capsys.readouterr().out


def test_a_table_that_fits_stands_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(frame(3), capsys)
    assert "kendall tau" in text
    assert "in every row" not in text
    assert text.count(" 100 ") == 3


def test_what_is_alike_in_every_row_is_said_once_where_there_is_no_room(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_WIDE", 70)
    text = shown(frame(3), capsys)
    assert "trained on 100 in every row" in text
    assert text.count("100") == 1
    assert max(map(len, text.splitlines())) <= 70


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("width", [10, 40, 70])
def test_no_cell_is_cut(
    width: int, rows: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_WIDE", width)
    told = frame(rows)
    text = shown(told, capsys)
    for name in ("target", "kendall tau", "rmse"):
        assert all(cell in text for cell in told[name])
    assert "100" in text
    assert "…" not in text


def test_a_table_without_rows_has_its_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_WIDE", 20)
    assert "target" in shown(frame(3).iloc[:0], capsys)


def test_machines_get_every_column_however_narrow_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_WIDE", 20)
    assert shown(frame(2), capsys, as_csv=True).splitlines()[0] == "target,trained on,kendall tau,median error,rmse"


@pytest.mark.parametrize("how", [{}, {"as_csv": True}, {"as_json": True}])
def test_columns_are_shown_as_the_frame_of_them(how: dict[str, bool], capsys: pytest.CaptureFixture[str]) -> None:
    columns = {
        "device": ['a "board"', "b, too"],
        "n": np.array([3, 4]),
        "latency (ms)": np.array([1e-7 / 3, np.nan]),
        "told": [True, None],
    }
    told = pd.DataFrame(columns)
    assert shown(columns, capsys, **how) == shown(told, capsys, **how)
    if how.get("as_csv"):
        assert shown(columns, capsys, **how) == told.to_csv(index=False)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_a_bar_is_shown_on_a_terminal_alone(stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", shown := stream())
    with output.progress("fitting") as update:
        for done in range(4):
            update(done, 3)
    text = shown.getvalue()
    if stream is Terminal:
        assert "fitting" in text
        assert "3/3" in text
    else:
        assert text == ""
