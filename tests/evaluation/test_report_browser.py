"""The report in a real browser: it renders, filters, shows architectures, and turns dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable, Device
from hwnas_surrogate.evaluation.report import write_report
from hwnas_surrogate.spaces import get_space
from tests.evaluation.browser import Browser, chromium

pytest.importorskip("plotly")
pytestmark = pytest.mark.browser
SPACE = get_space("nasbench201")
EVIL = "<script>document.title='hacked'<|script><img src=x onerror=document.title='hacked'>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium()
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def table() -> CostTable:
    archs = SPACE.sample(300, random_state=0)
    macs = SPACE.layers(archs).macs / 1e6
    rng = np.random.default_rng(0)
    costs = np.column_stack(
        [macs + rng.uniform(1, 9, 300), 200 - macs / 2 + rng.uniform(1, 9, 300), macs + 1, macs + 2]
    )
    costs[:20, 1] = np.nan
    targets = ["phone/latency", "board/latency", "phone/energy", f"{EVIL}/latency"]
    return CostTable(SPACE, archs, costs, targets, devices=[Device(EVIL, EVIL, EVIL)])


@pytest.fixture(scope="module")
def path(table: CostTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(table, tmp_path_factory.mktemp("browser") / "report.html")


@pytest.fixture
def page(browser: Browser, path: Path) -> Iterator[Browser]:
    browser.errors.clear()
    browser.requests.clear()
    browser.size(1280, 900)
    assert browser.open(path) < 10  # it is under 2 s where nothing else runs
    yield browser
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith(("file:", "data:", "blob:"))] == []


SECTIONS = ("correlation", "residuals", "curve", "pareto")


def reveal(page: Browser, section: str) -> None:
    page.js(
        f"document.documentElement.style.scrollBehavior = 'auto', document.getElementById('{section}').scrollIntoView()"
    )
    page.wait(f"document.getElementById('{section}-plot').querySelector('.plot-container') !== null")


def choose(page: Browser, select: str, value: str) -> None:
    page.js(f"document.getElementById('{select}').value = '{value}'")
    page.js(f"document.getElementById('{select}').dispatchEvent(new Event('change'))")


def shown_targets(page: Browser) -> list[str]:
    rows = page.js("[...document.querySelectorAll('#devices-table tbody th')].map((cell) => cell.textContent)")
    return list(rows)


def test_every_section_renders_on_every_screen(page: Browser, path: Path) -> None:
    for width, height in ((1280, 900), (390, 844)):
        page.size(width, height)
        page.open(path)
        for section in SECTIONS:
            reveal(page, section)
        page.js("document.getElementById('predicted').scrollIntoView()")
        page.wait("document.querySelectorAll('#predicted-cards .plot-container').length > 0")
        assert page.js("document.documentElement.scrollWidth <= window.innerWidth")


def test_texts_from_the_table_stay_texts(page: Browser) -> None:
    for section in SECTIONS:
        reveal(page, section)
    assert page.js("document.title") == "Costs of NAS-Bench-201 architectures"
    assert page.js("document.querySelectorAll('img').length") == 0
    assert f"{EVIL}/latency" in shown_targets(page)


def test_filtering_changes_what_is_shown(page: Browser) -> None:
    reveal(page, "correlation")
    assert len(shown_targets(page)) == 4
    choose(page, "metric", "energy")
    assert shown_targets(page) == ["phone/energy"]
    notes = page.js("document.getElementById('correlation-notes').textContent")
    assert notes.startswith("No heatmap: phone/energy is the only target shown")
    page.js("document.querySelector('#device-list').open = true, document.querySelector('input[value=phone]').click()")
    assert shown_targets(page) == []
    assert "Nothing is chosen" in page.js("document.getElementById('devices-table').textContent")
    page.js("document.getElementById('all').click()")
    assert shown_targets(page) == ["phone/energy"]
    visible = "[...document.querySelectorAll('.card:not([hidden]) h3')].map((title) => title.textContent)"
    assert page.js(visible) == ["phone/energy (mJ)"]


def test_the_front_is_the_exact_one_and_hovering_shows_an_architecture(page: Browser, table: CostTable) -> None:
    reveal(page, "pareto")
    choose(page, "axis-y", "1")
    page.wait("document.querySelector('#pareto-plot').data[1].customdata.length > 2")
    costs = table.costs[:, :2].astype(np.float32)
    costs = np.where(np.isnan(costs).any(axis=1, keepdims=True), np.inf, costs)
    front = [
        row
        for row, cost in enumerate(costs)
        if np.isfinite(cost).all() and not ((costs <= cost).all(axis=1) & (costs < cost).any(axis=1)).any()
    ]
    assert sorted(page.js("document.getElementById('pareto-plot').data[1].customdata")) == front
    x, y, row = page.js("""(() => {
      const plot = document.getElementById("pareto-plot"), {xaxis, yaxis} = plot._fullLayout, front = plot.data[1];
      plot.scrollIntoView({block: "center", behavior: "instant"});
      const box = plot.getBoundingClientRect(), i = Math.floor(front.x.length / 2);
      const at = [xaxis._offset + xaxis.d2p(front.x[i]), yaxis._offset + yaxis.d2p(front.y[i])];
      return [box.left + at[0], box.top + at[1], front.customdata[i]];
    })()""")
    page.move(x - 30, y)
    page.move(x, y)
    page.wait("document.querySelector('#pareto-detail code') !== null")
    seen = page.js("document.getElementById('pareto-detail').textContent")
    assert SPACE.format(table.archs[row]) in seen
    assert f"index{int(SPACE.index(table.archs[row])[0])}" in seen
    assert "phone/energy" in seen
    assert " mJ, rank " in seen
    # By keyboard: the front's list holds buttons.
    page.js("document.querySelector('#pareto-table details').open = true")
    page.js("document.querySelector('#pareto-table button').click()")
    first = page.js("document.querySelector('#pareto-table td code').textContent")
    assert first in page.js("document.getElementById('pareto-detail').textContent")


def test_dark_follows_the_system_and_the_button(page: Browser, path: Path) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    reveal(page, "curve")
    assert page.js(background) == "rgb(255, 255, 255)"
    page.js("document.getElementById('theme').click()")
    assert page.js(background) == "rgb(18, 23, 28)"
    assert page.js("document.getElementById('curve-plot').layout.font.color") == "#e8edf1"
    page.size(1280, 900, dark=True)
    page.open(path)
    assert page.js(background) == "rgb(18, 23, 28)"
    page.js("document.getElementById('theme').click()")
    assert page.js(background) == "rgb(255, 255, 255)"


def test_the_keyboard_reaches_the_controls(page: Browser) -> None:
    page.press("Tab", 9)
    assert page.js("document.activeElement.textContent") == "Skip to the results"
    reached = []
    for _ in range(4):
        page.press("Tab", 9)
        reached.append(page.js("document.activeElement.id || document.activeElement.tagName"))
    assert reached[:3] == ["theme", "metric", "SUMMARY"]
    assert page.js("[...document.querySelectorAll('select, input')].every((field) => field.labels.length === 1)")


def test_what_cannot_be_shown_is_said(browser: Browser, tmp_path: Path) -> None:
    archs = SPACE.sample(10, random_state=0)
    table = CostTable(SPACE, archs, np.full((10, 1), 3.0), ["phone/latency"])
    browser.errors.clear()
    browser.size(1280, 5000)
    browser.open(write_report(table, tmp_path / "r.html"))
    browser.wait("document.getElementById('pareto-notes').children.length > 0")
    told = {
        name: browser.js(f"document.getElementById('{name}').textContent")
        for name in ("correlation-notes", "curve-notes")
    }
    assert "a correlation needs two" in told["correlation-notes"]
    assert "same for every architecture" in told["correlation-notes"]
    assert "no such score" in told["curve-notes"]
    assert "no repeated runs" in browser.js("document.getElementById('devices-table').textContent")
    assert "(constant)" in browser.js("document.getElementById('devices-table').textContent")
    assert browser.errors == []
