"""How quickly the report's page opens and answers, over NAS-Bench-201. It needs chromium, and idle cores."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.figure import Figure
from hwnas_surrogate import get_space, load_table
from hwnas_surrogate.report import write_report
from tests.report.browser import Browser

_REPEATS = 7
_CLICKS = {
    "another axis": (
        'document.getElementById("axis-x").value = ["0", "1"][k % 2];'
        'document.getElementById("axis-x").dispatchEvent(new Event("change"))'
    ),
    "a budget": (
        'const box = document.querySelector("[data-target] input[type=range]"); box.value = 300 + k;'
        'box.dispatchEvent(new Event("input"))'
    ),
    "a changed op's network": 'document.querySelector("#pareto-detail .changes button").click()',
}
"""What is done, with the number k of the repetition."""


def run() -> Iterator[Figure]:
    """Yield the seconds until the page is drawn, and until it is drawn anew after a click."""
    table = load_table(space="nasbench201").select(["epyc-torch-1t/latency", "epyc-torch-2t/latency"])
    space = get_space("nasbench201")
    archs = space.enumerate()
    params = space.batch(archs).total("params", "live")
    quality = pd.Series(94 * (1 - np.exp(-params / 2e5)), index=space.format_all(archs), name="accuracy")
    measured = table.rows(range(0, len(table), 80))
    with tempfile.TemporaryDirectory() as folder, Browser() as browser:
        path = write_report(measured, Path(folder) / "report.html", quality=quality)
        browser.size(1280, 900)
        seconds = [browser.open(path) for _ in range(_REPEATS)]
        yield Figure("page of 15,625 networks: opened and drawn", _said(seconds[1:], "s"), "< 2 s")
        browser.wait("document.documentElement.dataset.drawn === 'yes'")
        for what, action in _CLICKS.items():
            seconds = [browser.js(_timed(action, k)) for k in range(_REPEATS)]
            yield Figure(f"page of 15,625 networks: {what}", _said(seconds[1:], "ms"), "< 100 ms")
        assert browser.errors == []


def _timed(action: str, k: int) -> str:
    """Return the code that takes the milliseconds until the next frame after an action was painted."""
    return f"""new Promise((done) => {{
      const k = {k}, start = performance.now();
      {action};
      requestAnimationFrame(() => setTimeout(() => done(performance.now() - start), 0));
    }})"""


def _said(values: list[float], unit: str) -> str:
    """Return the median and the range, as text."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.3g} {unit} ({low:.3g} to {high:.3g})"
