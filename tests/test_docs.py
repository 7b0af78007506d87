"""The documents say what the package holds."""

from __future__ import annotations

from pathlib import Path

from benchmarks.bundle import card

DATA_CARD = (Path(__file__).parents[1] / "docs/data.md").read_text(encoding="utf-8")


def test_the_data_card_has_the_figures_of_the_tables() -> None:
    rows = [f"| {' | '.join(row)} |" for row in card()]
    assert len(rows) >= 8
    assert [row for row in rows if row not in DATA_CARD.splitlines()] == []
