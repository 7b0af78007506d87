"""The README does what it says: every Python block and every `hwnas` line runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from hwnas_surrogate.cli import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(python|console)\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def lines_of(block: str) -> list[str]:
    return [line.partition("#")[0].strip() for line in block.splitlines() if line.strip()]


CONSOLE = [line for kind, block in BLOCKS if kind == "console" for line in lines_of(block)]


def test_blocks_are_found() -> None:
    assert [kind for kind, _ in BLOCKS].count("python") == 4
    assert len(CONSOLE) >= 9
    assert {line.split()[0] for line in CONSOLE} == {"hwnas", "make"}
    assert sorted(line for line in CONSOLE if line.startswith("make")) == ["make test", "make train"]


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::hwnas_surrogate.trainers.AdaptWarning"
)  # how steady this host is, is not told here
def test_everything_runs_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra onnxruntime is not installed")
    monkeypatch.chdir(tmp_path)
    printed: list[str] = []
    for kind, block in BLOCKS:
        if kind == "python":
            exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})
            printed.append(capsys.readouterr().out)
        else:
            for line in lines_of(block):
                run(line, capsys)
    assert "latency" in printed[0]
    assert all("kendall_tau" in printed[place] for place in (0, 2))
    assert (tmp_path / "surrogates/example/manifest.json").is_file()
    parameters, layers = printed[0].splitlines()[-1].split(" ", 1)
    assert float(layers.strip("[].")) == int(parameters)
    assert "left out: " in printed[2]
    for name in ("nasbench201", "fbnet", "my-board", "mine", "board"):
        assert (tmp_path / "surrogates" / name / "manifest.json").is_file()


def run(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    command, *arguments = shlex.split(line)
    if command == "make":
        return
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    output = capsys.readouterr()
    assert stop.value.code == 0, f"{line}: {output.err}"
    assert output.out.strip(), line
