"""The documents say what the package holds: figures, code blocks, commands, and a site without a dead link."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import nullcontext
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote, urlsplit

import pytest
from sklearn.base import clone
from typer.main import get_command

from benchmarks.bundle import card
from hwnas_surrogate.cli import main
from hwnas_surrogate.cli.app import app
from hwnas_surrogate.data import CostTable
from hwnas_surrogate.evaluation import Evaluation, evaluate
from hwnas_surrogate.trainers import Surrogate
from tools.docs import command_line_page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
DATA_CARD = (DOCS / "data.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PAGES = sorted(path for path in DOCS.rglob("*.md") if path.name != "command-line.md")
WITH_BLOCKS = [path for path in PAGES if BLOCK.search(path.read_text(encoding="utf-8"))]
NEEDS = {
    "compare-devices": ("plotly",),
    "layers": ("matplotlib",),
    "measure": ("onnxruntime",),
    "new-device": ("matplotlib",),
    "search": ("optuna", "plotly", "pymoo"),
}


EXAMPLES = ROOT / "examples"
FILES = {"own-space": EXAMPLES / "own_spaces.py"}
"""Files that a page lets the reader copy to the current folder."""


def name_of(path: Path) -> str:
    return path.relative_to(DOCS).as_posix()


def test_the_data_card_has_the_figures_of_the_tables() -> None:
    rows = [f"| {' | '.join(row)} |" for row in card()]
    assert len(rows) >= 8
    assert [row for row in rows if row not in DATA_CARD.splitlines()] == []


def test_the_picture_of_the_report_is_small_enough_for_a_page() -> None:
    picture = (DOCS / "report.png").read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(picture[16:20], "big") == 1280
    assert len(picture) < 250_000


def test_blocks_are_run_or_marked() -> None:
    blocks = [block for path in WITH_BLOCKS for block in BLOCK.findall(path.read_text(encoding="utf-8"))]
    kinds = [kind for kind, _ in blocks]
    assert set(kinds) == {"python", "console", "output", "text", "shell"}
    of_scale = (DOCS / "how-to" / "scale.md").read_text(encoding="utf-8")
    assert kinds.count("shell") == of_scale.count("```shell"), "tests/test_scale_page.py runs these on several machines"
    assert kinds.count("python") >= 20
    assert kinds.count("text") <= 13, "blocks that don't run are kept rare"
    lines = [line for kind, block in blocks if kind == "console" for line in block.splitlines()]
    assert len(lines) >= 15
    assert all(line.startswith("hwnas ") for line in lines)


@pytest.mark.slow
@pytest.mark.usefixtures("registers")
@pytest.mark.filterwarnings("ignore::hwnas_surrogate.trainers.ExtrapolationWarning")  # pages say so where there is one
@pytest.mark.parametrize("path", WITH_BLOCKS, ids=name_of)
def test_the_blocks_of_a_page_run_in_order(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in NEEDS.get(path.stem, ()):
        pytest.importorskip(package, reason=f"the page needs {package}, which is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    if path.stem in FILES:
        shutil.copy(FILES[path.stem], tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, FILES[path.stem].stem, raising=False)
    names: dict[str, object] = {"__name__": "__main__"}
    printed = ""
    for kind, block in BLOCK.findall(path.read_text(encoding="utf-8")):
        if kind == "python":
            exec(compile(block, str(path), "exec"), names)
            printed = capsys.readouterr().out
        elif kind == "output":
            assert [line.rstrip() for line in printed.splitlines()] == block.splitlines()
        elif kind == "console":
            for line in block.splitlines():
                run(line, capsys)


def test_the_spaces_of_the_page_are_those_of_the_file() -> None:
    text = FILES["own-space"].read_text(encoding="utf-8")
    blocks = BLOCK.findall((DOCS / "how-to" / "own-space.md").read_text(encoding="utf-8"))
    classes = [block for kind, block in blocks if kind == "python" and "(ModuleSpace)" in block]
    assert len(classes) == 2
    assert all(block in text for block in classes)
    assert all(30 < len(block.splitlines()) < 60 for block in classes)


def run(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    # No page shows the scores that training prints.
    quick = patch("hwnas_surrogate.evaluation.evaluate", evaluated_quickly) if " train " in line else nullcontext()
    with quick, pytest.raises(SystemExit) as stop:
        main(shlex.split(line)[1:])
    output = capsys.readouterr()
    assert stop.value.code == 0, f"{line}: {output.err}"
    assert output.out.strip() or output.err.strip(), line


def evaluated_quickly(table: CostTable, surrogate: Surrogate, **options: Any) -> Evaluation:
    return evaluate(table, clone(surrogate).set_params(model="ridge"), **options)


COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_of_the_command_line_has_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    told = set(re.findall(r"--[a-z][\w-]+", capsys.readouterr().out)) - {"--help"}
    page = command_line_page()
    assert f"## `hwnas {command}`" in page
    section = page.partition(f"## `hwnas {command}`")[2].partition("\n## ")[0]
    assert told <= set(re.findall(r"--[a-z][\w-]+", section))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site, warnings being errors, from a copy of what it is built from."""
    for package in ("zensical", "mkdocstrings_handlers"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    for part in ("docs", "tools"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "mkdocs.yml", folder)
    (folder / "hwnas_surrogate").symlink_to(ROOT / "hwnas_surrogate")
    child = subprocess.run(
        [sys.executable, "-m", "tools.docs"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert child.returncode == 0, child.stdout + child.stderr
    return folder / "build" / "docs"


class Links(HTMLParser):
    """What a page links to, what it loads, and the anchors it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self.anchors |= {told[name] for name in ("id", "name") if name in told}
        if tag == "a" and "href" in told:
            self.links.append(told["href"])
        elif "src" in told or (tag == "link" and "href" in told):
            self.loaded.append(told.get("src") or told["href"])

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.slow
def test_the_site_has_every_page_and_no_dead_link(site: Path) -> None:
    pages = {path.resolve(): Links(path) for path in site.rglob("*.html") if path.name != "404.html"}
    built = {path.relative_to(site.resolve()).as_posix() for path in pages}
    assert {name_of(path).replace(".md", ".html") for path in PAGES} <= built
    dead = [
        f"{path.name}: {link}"
        for path, page in pages.items()
        for link in [*page.links, *page.loaded]
        if not leads_somewhere(path, link, pages)
    ]
    assert dead == []


def leads_somewhere(path: Path, link: str, pages: dict[Path, Links]) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target = target / "index.html"
    anchor = unquote(parts.fragment)
    return target.is_file() and (not anchor or target not in pages or anchor in pages[target].anchors)


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loaded = [link for path in site.rglob("*.html") for link in Links(path).loaded]
    assert loaded
    assert [link for link in loaded if urlsplit(link).netloc and "rel=canonical" not in link] == []


@pytest.mark.slow
def test_no_markup_of_docstrings_is_left_over(site: Path) -> None:
    for path in (site / "reference").glob("*.html"):
        text = Links(path).text
        assert not re.search(r":(func|class|meth|attr|mod|data):|\]_\b|^\s*\.\. ", text), path.name
