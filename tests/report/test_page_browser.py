"""The report in a real browser: it renders, filters, shows architectures, and turns dark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from hwnas_surrogate.data import CostTable, Device
from hwnas_surrogate.evaluation import evaluate, learning_curve
from hwnas_surrogate.report import write_report
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite
from tests.report.browser import Browser, chromium

pytest.importorskip("plotly")
pytestmark = pytest.mark.browser
SPACE = get_space("nasbench201")
RIDGE = Surrogate(encoder="onehot", model="ridge")
CUT_OFF = "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|nor_conv_3x3~1|none~2|"
MARKUP = """<b>bold<br> & "jetson"[fp16] 'x' &lt; $x^2$ %{x}"""
EVIL = "<script>document.title='hacked'<|script><img src=x onerror=document.title='hacked'>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium()
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def table() -> CostTable:
    archs = SPACE.sample(1200, random_state=0)
    macs = SPACE.batch(archs).macs / 1e6
    rng = np.random.default_rng(0)
    noise = rng.uniform(1, 9, (2, 1200))
    costs = np.column_stack([macs + noise[0], 200 - macs / 2 + noise[1], macs + 1, np.full(1200, 3.0)])
    costs[:20, 1] = np.nan
    targets = ["phone/latency", "board/latency", "phone/energy", f"{EVIL}/latency"]
    return CostTable(SPACE, archs, costs, targets, devices=[Device(EVIL, EVIL, EVIL)])


@pytest.fixture(scope="module")
def path(table: CostTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    known = table.rows(np.arange(20, 200))
    evaluation = evaluate(known, RIDGE, n_train=50, n_test=50)
    curve = learning_curve(known, RIDGE, sizes=[10, 20, 50], n_test=50, seeds=range(2))
    return write_report(
        table,
        tmp_path_factory.mktemp("browser") / "report.html",
        evaluation=evaluation,
        curve=curve,
        surrogates=SurrogateSuite(encoder="onehot", model="ridge").fit_table(table),
    )


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 27 devices with long names, one of which holds what HTML and plotly would read as markup."""
    archs = np.concatenate([SPACE.as_array(CUT_OFF), SPACE.sample(60, random_state=0)])
    macs = SPACE.batch(archs).macs[:, None] / 1e6
    costs = macs + np.random.default_rng(0).uniform(1, 9, (61, 27)) * np.arange(1, 28)
    names = [f"{MARKUP} board" if k == 0 else f"board_{k:02}-with-a-long-name-of-its-own" for k in range(27)]
    table = CostTable(SPACE, archs, costs, [f"{name}/latency" for name in names])
    evaluation = evaluate(table, RIDGE, n_train=20)
    curve = learning_curve(table, RIDGE, sizes=[10, 20], n_test=30, seeds=[0])
    path = tmp_path_factory.mktemp("many") / "many.html"
    quick = SurrogateSuite(encoder="onehot", model="ridge").fit_table(table)
    return write_report(table, path, evaluation=evaluation, curve=curve, surrogates=quick)


@pytest.fixture
def page(browser: Browser, path: Path) -> Iterator[Browser]:
    yield from prepared(browser, path, 1280, 900)


@pytest.fixture
def phone(browser: Browser, path: Path) -> Iterator[Browser]:
    yield from prepared(browser, path, 390, 844)


def prepared(browser: Browser, path: Path, width: int, height: int) -> Iterator[Browser]:
    """One page for all tests, put as if it were new: opening it takes longer than most of them."""
    browser.size(width, height)
    if browser.js("location.href") != path.resolve().as_uri():
        browser.errors.clear()
        browser.requests.clear()
        assert browser.open(path) < 5  # it is under 2 s where nothing else runs
        settle(browser)
        browser.js("document.documentElement.style.scrollBehavior = 'auto'")
    if browser.js("document.getElementById('shown').textContent") != "4 targets shown":
        browser.js("document.getElementById('all').click()")
        choose(browser, "metric", "all")
    browser.js("document.getElementById('device-list').open = false, delete document.documentElement.dataset.theme")
    browser.wait(f"(document.querySelector('#devices-table .folded') !== null) === {str(width < 620).lower()}")
    yield browser
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith(("file:", "data:", "blob:"))] == []


def settle(page: Browser) -> None:
    page.wait("document.documentElement.dataset.drawn === 'yes'")


SECTIONS = ("correlation", "residuals", "curve", "pareto")


def reveal(page: Browser, section: str) -> None:
    page.js(f"document.getElementById('{section}').scrollIntoView()")
    page.wait(f"document.querySelector('#{section}-plot > :is(.plot-container, .heat, canvas[width])') !== null")


def choose(page: Browser, select: str, value: str) -> None:
    page.js(f"document.getElementById('{select}').value = '{value}'")
    page.js(f"document.getElementById('{select}').dispatchEvent(new Event('change'))")


def shown_targets(page: Browser) -> list[str]:
    rows = page.js("[...document.querySelectorAll('#devices-table tbody th')].map((cell) => cell.textContent)")
    return list(rows)


def check_every_section_renders(page: Browser) -> None:
    for section in SECTIONS:
        reveal(page, section)
    page.js("document.getElementById('predicted').scrollIntoView()")
    page.wait("document.querySelectorAll('#predicted-cards .plot-container').length > 0")
    assert page.js("document.documentElement.scrollWidth <= window.innerWidth")


def test_every_section_renders(page: Browser) -> None:
    check_every_section_renders(page)


def test_texts_from_the_table_stay_texts(page: Browser) -> None:
    for section in SECTIONS:
        reveal(page, section)
    assert page.js("document.title") == "Costs of NAS-Bench-201 architectures"
    assert page.js("document.querySelectorAll('img').length") == 0
    assert f"{EVIL}/latency" in shown_targets(page)


def test_filtering_changes_what_is_shown(page: Browser) -> None:
    reveal(page, "correlation")
    assert len(shown_targets(page)) == 4
    assert page.js("document.getElementById('device-search').hidden")
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


def test_every_chart_tells_what_it_is(page: Browser) -> None:
    charts = page.js("""[...document.querySelectorAll('.plot, .heat')].filter((node) => node.checkVisibility())
      .map((node) => node.querySelector(':scope > .heat') ?? node)
      .map((node) => [node.getAttribute('role'), node.getAttribute('aria-label')])""")
    assert len(charts) > 6
    assert {role for role, _ in charts} == {"img", "application"}
    assert all(len(label) > 20 for _, label in charts)


def test_networks_without_a_path_are_in_no_range_and_that_is_said(page: Browser, table: CostTable) -> None:
    cut_off = np.count_nonzero(~SPACE.connected(table.archs))
    assert f"Ranges leave out {cut_off} networks" in page.js("document.getElementById('devices').textContent")


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_all_charts_are_drawn_where_nobody_scrolls(browser: Browser, many: Path, width: int, height: int) -> None:
    browser.size(width, height)
    browser.open(many)
    settle(browser)
    assert browser.js("window.scrollY") == 0
    empty = "[...document.querySelectorAll('.plot:empty')].filter((node) => node.checkVisibility()).length"
    assert browser.js(empty) == 0
    assert browser.js("document.querySelectorAll('#predicted-cards .plot-container').length") > 2
    # Taking a picture of the whole page makes the window tiny for a moment.
    browser.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
    assert browser.js(empty) == 0
    assert browser.js("document.documentElement.dataset.drawn") == "yes"
    browser.js("document.getElementById('every-card').click()")
    settle(browser)
    assert browser.js("document.querySelectorAll('#predicted-cards .plot-container').length") == 27
    assert browser.js("document.documentElement.scrollWidth <= window.innerWidth")
    assert browser.errors == []


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_curves_of_many_devices_have_a_panel_each(browser: Browser, many: Path, width: int, height: int) -> None:
    browser.size(width, height)
    browser.open(many)
    settle(browser)
    names = browser.js("[...document.querySelectorAll('#curve-panels .name')].map((node) => node.textContent)")
    assert len(names) == len(set(names)) == 27
    assert f"{MARKUP} board" in names
    labels = browser.js("[...document.querySelectorAll('#curve-panels svg[role=img]')].map((node) => node.ariaLabel)")
    assert sorted(label.split("/latency: ")[0] for label in labels) == sorted(names)
    assert all(re.search(r"Kendall's tau -?[\d.]+ with 10, -?[\d.]+ with 20 training", label) for label in labels)
    scores = browser.js(
        "[...document.querySelectorAll('#curve-panels .muted')].map((node) => Number(node.textContent))"
    )
    assert scores == sorted(scores, reverse=True)
    assert browser.js("document.getElementById('curve-plot').hidden")
    browser.js("document.getElementById('none').click()")
    browser.js("[...document.querySelectorAll('#devices-choice input')].slice(0, 3).forEach((box) => box.click())")
    settle(browser)
    assert browser.js("document.getElementById('curve-plot').data.length") == 3
    assert browser.js("document.getElementById('curve-panels').children.length") == 0


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_titles_and_names_stand_whole_and_as_they_are(browser: Browser, many: Path, width: int, height: int) -> None:
    browser.size(width, height)
    browser.open(many)
    choose(browser, "axis-y", "1")
    settle(browser)
    # Of the predictions too.
    titles = browser.js("""[...document.querySelectorAll('.xtitle, .ytitle')].map((title) => {
      const box = title.getBoundingClientRect(), plot = title.closest('.plot').getBoundingClientRect();
      const across = box.left >= plot.left - 1 && box.right <= plot.right + 1;
      return [title.textContent, across && box.top >= plot.top - 1 && box.bottom <= plot.bottom + 1];
    })""")
    assert [text for text, inside in titles if not inside] == []
    assert titles
    label = browser.js("document.getElementById('pareto-plot').getAttribute('aria-label')")
    assert f"latency on {MARKUP} board (ms)" in label
    browser.js("document.getElementById('none').click()")
    browser.js("[...document.querySelectorAll('#devices-choice input')].slice(0, 2).forEach((box) => box.click())")
    settle(browser)
    legend = browser.js("[...document.querySelectorAll('#curve-plot .legendtext')].map((text) => text.textContent)")
    expected = f"{MARKUP} board"
    assert (expected if width > 600 else f"{expected[:5]}…{expected[-10:]}") in legend
    assert browser.js("document.querySelectorAll('main b, svg b, svg [style*=bold]').length") == 0


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_an_architecture_breaks_at_its_own_signs(browser: Browser, many: Path, width: int, height: int) -> None:
    browser.size(width, height)
    browser.open(many)
    settle(browser)
    browser.js("document.querySelector('#pareto-table details').open = true")
    browser.js("document.querySelector('#pareto-table button').click()")
    pieces = browser.js("""(() => {
      const arch = document.querySelector("#pareto-detail .arch"), made = [];
      const texts = document.createTreeWalker(arch, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) {
        const range = document.createRange();
        range.selectNodeContents(texts.currentNode);
        made.push([texts.currentNode.data, new Set([...range.getClientRects()].map((box) => box.top)).size]);
      }
      return made;
    })()""")
    assert [lines for _, lines in pieces] == [1] * 6
    assert all(re.fullmatch(r"\|?\w+~\d\|\+?", piece) for piece, _ in pieces)
    hovers = browser.js("document.querySelector('.card .plot').data[1].text")
    archs = [text.split("<br>", 3)[3].split(", index")[0] for text in hovers if "90 %" in text]
    assert archs
    assert all(re.fullmatch(r"\|?(\w+~\d\|\+?\|?)+", line) for arch in archs for line in arch.split("<br>"))


def center(page: Browser, selector: str) -> tuple[float, float]:
    x, y = page.js(f"""(() => {{
      const node = document.querySelector("{selector}");
      node.scrollIntoView({{block: "center", behavior: "instant"}});
      const box = node.getBoundingClientRect();
      return [box.left + box.width / 2, box.top + box.height / 2];
    }})()""")
    return x, y


def told(page: Browser, section: str) -> str:
    """What the heatmap's tip says, nothing where it is hidden."""
    return str(page.js(f"document.querySelector('#{section}-plot .tip:not([hidden])')?.innerText ?? ''"))


def test_many_devices_are_found_by_name(browser: Browser, many: Path) -> None:
    browser.size(1280, 900)
    browser.open(many)
    listed = "[...document.querySelectorAll('#devices-choice label')].filter((label) => label.checkVisibility()).length"
    browser.js("document.getElementById('device-list').open = true")
    assert browser.js(listed) == 27
    browser.js("document.getElementById('none').click()")
    browser.js("const find = document.getElementById('device-find'); find.value = ' BOARD_1'")
    browser.js("find.dispatchEvent(new Event('input'))")
    assert browser.js(listed) == 10
    browser.js("document.getElementById('all').click()")
    assert browser.js("document.getElementById('device-count').textContent") == "Devices: 10 of 27"


def test_pointing_at_a_cell_tells_what_it_is(page: Browser, table: CostTable) -> None:
    names = page.js("[...document.querySelectorAll('#correlation-plot tbody th')].map((head) => head.textContent)")
    assert sorted(names) == sorted(map(str, table.targets))
    row, column = names.index("phone/latency"), names.index("board/latency")
    cell = f"#correlation-plot td[data-row='{row}'][data-column='{column}']"
    tau = kendalltau(*table.costs[20:, :2].T).statistic
    assert page.js(f'document.querySelector("{cell}").textContent') == f"{tau:.2f}"
    page.move(*center(page, cell))
    said = ["phone/latency", "board/latency", f"Kendall's tau {tau:.3f}, 1,180 architectures in common"]
    assert told(page, "correlation").split("\n") == said
    tip, box = (
        page.js(f"(({{left, right, top, bottom}}) => [left, right, top, bottom])({node}.getBoundingClientRect())")
        for node in ("document.querySelector('.tip:not([hidden])')", "document.querySelector('#correlation-plot')")
    )
    assert box[0] <= tip[0] < tip[1] <= box[1]
    assert not tip[2] < center(page, cell)[1] < tip[3]
    page.press("Escape", 27)
    assert told(page, "correlation") == ""
    page.move(*center(page, "#residuals-plot td[data-row='0'][data-column='0']"))
    assert told(page, "residuals").startswith("phone/latency\nnone\nmean ")
    page.move(1, 1)
    assert told(page, "residuals") == ""


def test_heatmaps_follow_the_width_of_the_window(page: Browser) -> None:
    width = "document.querySelector('#correlation-plot .heat').style.width"
    before = float(page.js(width).removesuffix("px"))
    page.size(700, 900)
    page.wait(f"parseFloat({width}) < {before}")
    assert page.js("document.documentElement.scrollWidth <= window.innerWidth")
    page.size(1280, 900)
    page.wait(f"parseFloat({width}) === {before}")


def test_a_finger_leaves_the_tip_until_the_next_tap(phone: Browser) -> None:
    phone.tap(*center(phone, "#correlation-plot td[data-row='0'][data-column='1']"))
    phone.wait("document.querySelector('#correlation-plot .tip:not([hidden])') !== null")
    assert "architectures in common" in told(phone, "correlation")
    phone.tap(*center(phone, "#correlation-h"))
    phone.wait("document.querySelector('.tip:not([hidden])') === null")


def test_dark_follows_the_system_and_the_button(page: Browser) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    reveal(page, "curve")
    assert page.js(background) == "rgb(255, 255, 255)"
    page.js("document.getElementById('theme').click()")
    assert page.js(background) == "rgb(18, 23, 28)"
    settle(page)
    assert page.js("document.getElementById('curve-plot').layout.font.color") == "#e8edf1"
    page.js("document.getElementById('theme').click()")
    page.js("delete document.documentElement.dataset.theme")
    page.size(1280, 900, dark=True)
    assert page.js(background) == "rgb(18, 23, 28)"
    page.wait("document.getElementById('curve-plot').layout.font.color === '#e8edf1'")
    page.js("document.getElementById('theme').click()")
    assert page.js(background) == "rgb(255, 255, 255)"


def test_the_keyboard_reaches_the_controls(page: Browser) -> None:
    page.js("document.body.tabIndex = -1, document.body.focus()")
    page.press("Tab", 9)
    assert page.js("document.activeElement.textContent") == "Skip to the results"
    reached = []
    for _ in range(4):
        page.press("Tab", 9)
        reached.append(page.js("document.activeElement.id || document.activeElement.tagName"))
    assert reached[:3] == ["theme", "metric", "SUMMARY"]
    assert page.js(
        "[...document.querySelectorAll('select, input')].every((field) => field.labels.length === 1 || field.ariaLabel)"
    )


def test_what_cannot_be_shown_is_said(page: Browser) -> None:
    page.js("document.getElementById('none').click()")
    page.js("[...document.querySelectorAll('#devices-choice input')].at(-1).click()")
    settle(page)
    told = {
        name: page.js(f"document.getElementById('{name}').textContent")
        for name in ("correlation-notes", "curve-notes", "pareto-notes", "devices-table")
    }
    assert "a correlation needs two" in told["correlation-notes"]
    assert "same for every architecture" in told["correlation-notes"]
    assert "No such score" in told["curve-notes"]
    assert "is the same for all networks drawn" in told["pareto-notes"]
    assert "no repeated runs" in told["devices-table"]
    assert "3 ms (constant)" in told["devices-table"].replace("\xa0", " ")


def test_every_section_renders_on_a_phone(phone: Browser) -> None:
    check_every_section_renders(phone)
    assert phone.js("document.getElementById('correlation-plot').clientWidth") < 390


def test_a_phone_gets_less_at_once(phone: Browser) -> None:
    reveal(phone, "correlation")
    folded = phone.js("[...document.querySelectorAll('#devices-table summary .name')].map((name) => name.textContent)")
    assert folded[:2] == ["phone/latency", "board/latency"]
    phone.js("document.querySelectorAll('#devices-table details')[1].open = true")
    assert "20: not measured" in phone.js("document.querySelectorAll('#devices-table dl')[1].innerText")
    numbers = phone.js("[...document.querySelectorAll('#correlation-plot thead th')].map((head) => head.textContent)")
    assert numbers == ["1", "2", "3", "4"]
    cards = "document.querySelectorAll('.card:not([hidden])').length"
    assert phone.js(cards) == 3
    phone.js("document.getElementById('every-card').click()")
    assert phone.js(cards) == 4
    assert phone.js("document.getElementById('every-card').hidden")
    phone.js("document.getElementById('device-list').open = true")
    touched = "button, select, summary, nav a, #devices-choice label"
    heights = phone.js(
        f"[...document.querySelectorAll('{touched}')].filter((node) => node.checkVisibility())"
        ".map((node) => node.getBoundingClientRect().height)"
    )
    assert len(heights) > 20
    assert min(heights) >= 36


def test_tables_stand_where_charts_cannot_be_drawn(browser: Browser, path: Path, tmp_path: Path) -> None:
    whole = path.read_text("utf-8")
    start = whole.index('id="plotly">') + len('id="plotly">')
    (tmp_path / "r.html").write_text(whole[:start] + "AAAA" + whole[whole.index("</script>", start) :], "utf-8")
    browser.size(1280, 900)
    browser.open(tmp_path / "r.html")
    browser.wait("document.getElementById('page-notes').children.length > 0")
    assert "charts can't be drawn" in browser.js("document.getElementById('page-notes').textContent")
    assert len(shown_targets(browser)) == 4
    assert browser.js("document.querySelectorAll('#correlation-plot .heat tbody td').length") == 16
    assert browser.js("document.querySelectorAll('#residuals-plot .heat tbody tr').length") == 4
    scores = browser.js("document.querySelectorAll('#predicted-table tbody tr').length")
    assert scores == 4
    choose(browser, "metric", "energy")
    assert shown_targets(browser) == ["phone/energy"]
    browser.errors.clear()
