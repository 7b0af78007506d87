"""``hwnas search --measure`` and ``--export``: networks are measured round after round."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.cli import main
from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.measure import RUNTIMES, Runnable
from hwnas_surrogate.spaces import get_space
from tests.cli.conftest import Run
from tests.measure.fake_runtimes import Fake, ops_of
from tests.measure.in_process import InProcess

SPACE, TINY = get_space("nasbench201"), "C4-N1-k10-3x8x8"
QUALITY = """
from hwnas_surrogate.spaces import get_space
def params(names):
    space = get_space("nasbench201")
    return space.batch(space.stack(names)).total("params", "live").tolist()
"""


class Spinning(Fake):
    """Spins for longer, the more its ops; and refuses networks with a 1x1 convolution on the last edge."""

    name = "spinning"

    def load(self, network: Runnable) -> Any:
        if ops_of(network.module()[0])[-1] == 2:
            raise RuntimeError("no kernel for 1x1")
        return super().load(network)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("hwnas_surrogate.measure.session.Worker", InProcess)
    monkeypatch.setitem(RUNTIMES, "spinning", Spinning)
    (tmp_path / "mine.py").write_text(QUALITY)


CANDIDATES = [str(index) for index in range(1000, 15000, 347)]
COMMON = ("search", *CANDIDATES, "--dataset", TINY, "--quality", "mine.py:params", "--first", 4, "-n", 2, "--json")
MEASURE = (*COMMON, "--measure", "spinning", "--device", "pi", "--budget", "pi/latency=100", "--most", 8)
TABLE = "measurements/search-networks-spinning.parquet"


def told_by(out: str) -> dict[str, Any]:
    """Return the JSON, below what networks print in this process."""
    found: dict[str, Any] = json.loads(out[out.index("{") :])
    return found


def measured() -> CostTable:
    table = load_table(TABLE)
    assert isinstance(table, CostTable)
    return table


def test_networks_are_measured_until_the_picks_are(run: Run) -> None:
    out, err = run(*MEASURE)
    table, told = measured(), told_by(out)
    assert 4 < len(table) <= 8
    names = [pick["architecture"] for pick in told["picks"]]
    costs = dict(zip(table.names, table.costs[:, 0].tolist(), strict=True))
    assert [pick["pi/latency (ms)"] for pick in told["picks"]] == [costs[name] for name in names]
    assert "4 networks that teach the surrogates most" in err
    assert "expected gain" in err
    assert TABLE in err
    refused = np.isnan(table.costs[:, 0])
    assert (f"{int(refused.sum())} of them refused" in err) == refused.any()
    again, err = run(*MEASURE)
    assert told_by(again) == told
    assert f"{len(table)} networks are measured already" in err


def test_a_killed_loop_goes_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = run(*MEASURE, "-o", "whole.parquet")
    left = 0

    class Killed(InProcess):
        def time(self, request: dict[str, Any], deadline: float = float("inf")) -> Iterator[dict[str, Any]]:
            nonlocal left
            for answer in super().time(request, deadline):
                left -= 1
                if left < 0:
                    raise KeyboardInterrupt
                yield answer

    monkeypatch.setattr("hwnas_surrogate.measure.session.Worker", Killed)
    killed = 0
    while True:
        left = 16  # answers until the next kill
        try:
            main([str(argument) for argument in MEASURE])
        except KeyboardInterrupt:
            killed += 1
        except SystemExit as stop:
            if not stop.code:
                break
            killed += 1
        assert killed < 30
    assert killed > 1
    whole = load_table("whole.parquet")
    assert isinstance(whole, CostTable)
    assert measured().names == whole.names  # every network keeps the budget: the quality alone decides
    assert told_by(out)["picks"]


@pytest.mark.filterwarnings("ignore::hwnas_surrogate.measure.FewCoresWarning")  # where there is one core
def test_several_settings_are_a_device_each(run: Run) -> None:
    budgets = ("--budget", "pi-spinning-1t/latency=100", "--budget", "pi-spinning-2t/latency=100")
    run(*COMMON, "--measure", "spinning", "--threads", "1,2", "--device", "pi", *budgets, "--most", 5)
    assert list(map(str, measured().targets)) == ["pi-spinning-1t/latency", "pi-spinning-2t/latency"]


def test_networks_are_exported_and_their_form_is_read_back(run: Run) -> None:
    export = (*COMMON, "--export", "board", "--budget", "pi/latency=3", "--most", 6)
    written: list[int] = []
    for number in range(1, 4):
        out, err = run(*export)
        folder = Path("board") / f"round-{number}"
        if not folder.exists():
            break
        assert not out
        assert f"copy {folder}" in err
        rows = list(csv.DictReader((folder / "results.csv").read_text().splitlines()))
        written.append(len(rows))
        assert all((folder / row["file"]).is_file() for row in rows)
        _, refused = run(*export, code=1)
        assert f"{folder / 'results.csv'} is not filled in yet: {len(rows)} of {len(rows)} lines" in refused
        assert f"copy {folder} to the board and run there: python run.py" in refused
        with (folder / "results.csv").open("w", newline="") as file:
            form = csv.DictWriter(file, list(rows[0]))
            form.writeheader()
            costs = SPACE.batch([row["architecture"] for row in rows], TINY).macs / 1e5
            for row, cost in zip(rows, costs.tolist(), strict=True):
                form.writerow({**row, "device": "pi", "value": 0.5 + cost})
    assert written[0] == 4
    assert sum(written) <= 6
    for pick in told_by(out)["picks"]:
        macs = float(SPACE.batch([pick["architecture"]], TINY).macs[0])
        assert pick["pi/latency (ms)"] == pytest.approx(0.5 + macs / 1e5)
        assert pick["pi/latency (ms)"] <= 3


def test_a_budget_that_nothing_keeps(run: Run) -> None:
    arguments = [text if text != "pi/latency=100" else "pi/latency=1e-6" for text in MEASURE]
    _, err = run(*arguments, code=2)
    assert "The nearest budgets that can be met: pi/latency <= " in err
    assert len(measured()) >= 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--measure", "torch", "--export", "here"), "give one of them"),
        (("--device", "pi"), "--device belongs to --measure"),
        (("--export", "here", "--board", "ssh://pi"), "--board belongs to --measure"),
        (("--first", 4), "--first belongs to --measure or --export"),
        (("--measure", "torch", "--certainty", ".9", "--budget", "params=1e6"), "--certainty is of predicted costs"),
        (("--export", "here", "--budget", "params=1e6"), "--export needs a target to measure"),
        (("--measure", "torch", "--budget", "phone/latency=3"), "phone/latency"),
        (("--measure", "tensorflow"), "unknown runtime"),
    ],
    ids=["both", "device", "board", "first", "certainty", "no target", "other device", "runtime"],
)
def test_what_is_refused(run: Run, options: tuple[object, ...], message: str) -> None:
    _, err = run(
        "search",
        *CANDIDATES,
        "--dataset",
        TINY,
        "--quality",
        "mine.py:params",
        *options,
        code=1 if "phone" in message else 2,
    )
    assert message in err
    assert not Path("measurements").exists()
