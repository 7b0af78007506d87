"""The README does what it says: every Python block and every `hwnas` line runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from hwnas_surrogate.cli import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
CONSOLE = [
    line.partition("#")[0].strip()
    for block in re.findall(r"^```console\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if line.strip()
]


def test_blocks_are_found() -> None:
    assert len(PYTHON) == 2
    assert len(CONSOLE) >= 9
    assert {line.split()[0] for line in CONSOLE} == {"hwnas", "make"}
    assert sorted(line for line in CONSOLE if line.startswith("make")) == ["make test", "make train"]


@pytest.mark.slow
def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for block in PYTHON:
        exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})
    printed = capsys.readouterr().out
    assert "latency" in printed
    assert "kendall_tau" in printed
    assert (tmp_path / "surrogates/example/manifest.json").is_file()
    parameters, layers = printed.splitlines()[-1].split(" ", 1)
    assert float(layers.strip("[].")) == int(parameters)


@pytest.mark.slow
def test_console_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for line in CONSOLE:
        command, *arguments = shlex.split(line)
        if command == "make":
            continue
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0, line
        assert capsys.readouterr().out.strip(), line
    assert (tmp_path / "surrogates/nasbench201/manifest.json").is_file()
    assert (tmp_path / "surrogates/fbnet/manifest.json").is_file()
    assert (tmp_path / "surrogates/mine/manifest.json").is_file()
