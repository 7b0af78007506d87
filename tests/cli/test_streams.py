"""A full disk behind stdout, a reader who leaves, closed streams, encodings that lack characters, Ctrl-C."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.cli import main
from hwnas_surrogate.data import CostTable, write_parquet
from hwnas_surrogate.spaces import get_space
from tests.cli.conftest import Run

SPACE = get_space("nasbench201")
RESULTS = [("--help",), ("--version",), ("query", 0), ("query", 0, "--csv"), ("data", "info", "--json")]

Started = Callable[..., int]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Started:
    """Return a function that runs the command with other streams, and returns its exit code."""
    monkeypatch.chdir(tmp_path)

    def started(*arguments: object, **streams: Any) -> int:
        with monkeypatch.context() as patch:
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            with pytest.raises(SystemExit) as stop:
                main([str(argument) for argument in arguments])
        return int(stop.value.code or 0)

    return started


def left_pipe() -> io.TextIOWrapper:
    """Return the end of a pipe whose reader has left."""
    read, write = os.pipe()
    os.close(read)
    return os.fdopen(write, "w")


@pytest.mark.parametrize("arguments", RESULTS)
def test_a_full_disk_is_one_error(
    start: Started, capsys: pytest.CaptureFixture[str], arguments: tuple[object, ...]
) -> None:
    with open("/dev/full", "w") as full:
        assert start(*arguments, stdout=full) == 1
    assert capsys.readouterr().err == "error: can't write to stdout: No space left on device.\n"


@pytest.mark.parametrize("arguments", RESULTS)
def test_a_reader_may_leave(start: Started, capsys: pytest.CaptureFixture[str], arguments: tuple[object, ...]) -> None:
    with left_pipe() as pipe:
        assert start(*arguments, stdout=pipe) == 0
    assert capsys.readouterr().err == ""


def test_the_work_is_done_when_the_reader_has_left(start: Started) -> None:
    with left_pipe() as pipe:
        assert start("suggest", "-n", 1, "-o", "form.csv", stdout=pipe) == 0
    assert Path("form.csv").read_text().startswith("architecture,")


@pytest.mark.parametrize("arguments", [("query", "nonsense"), ("suggest", "-n", 1)])
def test_errors_that_nobody_reads_change_nothing(start: Started, arguments: tuple[object, ...]) -> None:
    with open("/dev/full", "w") as full, left_pipe() as pipe:
        for stream in (full, pipe):
            assert start(*arguments, stderr=stream) == (2 if "nonsense" in arguments else 0)
            Path("samples.csv").unlink(missing_ok=True)


@pytest.mark.parametrize("redirected", [">&-", "2>&-", "<&- >&- 2>&-", "> /dev/full"])
def test_streams_of_a_process(redirected: str, tmp_path: Path) -> None:
    run = f"{sys.executable} -c 'from hwnas_surrogate.cli import main; main()' --version {redirected}"
    done = subprocess.run(run, shell=True, check=False, capture_output=True, text=True, cwd=tmp_path)
    full = redirected == "> /dev/full"
    assert done.stderr == ("error: can't write to stdout: No space left on device.\n" if full else "")
    assert done.returncode == full
    assert bool(done.stdout) == (redirected == "2>&-")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    costs = np.random.default_rng(0).uniform(1, 2, (30, 1))
    return write_parquet(
        CostTable(SPACE, SPACE.at(range(30)), costs, ["板-ü/latency"]), tmp_path / "table.parquet"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", r"\u677f-\xfc"), ("latin-1", r"\u677f-ü"), ("utf-8", "板-ü")]
)
def test_an_encoding_may_lack_characters(start: Started, table: Path, encoding: str, shown: str) -> None:
    def written(*arguments: object) -> tuple[int, str, str]:
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2))
        code = start(*arguments, "--data", table, stdout=out, stderr=err)
        return code, *(stream.buffer.getvalue().decode(encoding) for stream in (out, err))  # type: ignore[attr-defined]

    assert shown in written("query", 0)[1]
    assert shown in written("train", "--target", "no/latency")[2]
    code, out, _ = written("query", 0, "--json")
    assert (code, list(json.loads(out)[0])[-1]) == (0, "板-ü/latency (ms)")
    code, out, err = written("query", 0, "--csv")
    if encoding == "utf-8":
        assert (code, err) == (0, "")
        assert out.startswith("architecture,板-ü/latency (ms)\n")
    else:
        assert (code, out) == (1, "")
        assert err.startswith(f"error: can't write to stdout: its encoding {encoding} lacks '\\u677f'.")


@pytest.mark.parametrize(
    "command", ["train --tune 1s --model boosted", "evaluate --model ridge --seeds 1 --no-intervals"]
)
def test_a_folder_that_cannot_be_made_is_one_error(run: Run, table: Path, command: str) -> None:
    out, err = run(*command.split(), "--data", table, "-o", "/proc/new", code=1)
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: can't write /proc/new")


@pytest.mark.parametrize(
    ("arguments", "work", "kept"),
    [
        (
            ["train", "--data", "table.parquet"],
            "evaluation.evaluate",
            "settings that --tune has tried, are kept",
        ),
        (["evaluate", "--data", "table.parquet"], "evaluation.evaluate", ""),
        (["adapt", "table.parquet", "-o", "adapted"], "trainers.adapt", ""),
        (["report", "--data", "table.parquet"], "report.page._evaluated", ""),
        (["import", "wide.csv"], "data.read_measurements", ""),
        (["export", "0", "-o", "networks"], "measure.export.build_network", ""),
        (["simulate", "0"], "measure.simulator._simulate", "every simulated layer is kept"),
        (["measure", "0"], "measure.session.time_networks", "every finished run is kept"),
        (["data", "convert", "x.pickle", "converted"], "data.official.read_official", ""),
        (["data", "download"], "data.download.download", "downloaded is kept"),
    ],
)
def test_ctrl_c_says_what_was_kept(
    run: Run, table: Path, arguments: list[str], work: str, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"hwnas_surrogate.{work}", interrupted)
    out, err = run(*arguments, code=130)
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("interrupted. Each output is the former one or the new one")
    assert kept.lower() in err.lower()


ENDED = """
import os, signal, sys, time
from hwnas_surrogate.cli import main
from hwnas_surrogate.measure import export

def ended(*_, **__):
    os.kill(os.getpid(), number)
    time.sleep(60)

number = signal.Signals[sys.argv[1]]
signal.signal(number, signal.SIG_DFL)
export.build_network = ended
try:
    main(["export", "0", "--output", "networks"])
finally:
    assert signal.getsignal(number) == signal.SIG_DFL
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there are no such signals here")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_that_ends_it_leaves_no_parts(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = subprocess.run([sys.executable, "-c", ENDED, name], capture_output=True, text=True, timeout=60)
    assert done.returncode == 128 + getattr(signal, name), done.stderr
    assert [path for path in Path().rglob("*") if "networks" in str(path) and path.is_file()] == []
