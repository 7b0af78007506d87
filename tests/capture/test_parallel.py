"""Capturing many networks: cached, resumed, in several processes, and never stale."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from hwnas_surrogate import ModuleSpace
from hwnas_surrogate.capture import GraphCacheWarning, capture, capturing, parallel
from hwnas_surrogate.errors import DataFileError, InvalidGraphError, InvalidInputError
from tests.capture.own_spaces import Lines, Tower

SCRIPT = """
import threading, torch
from torch import nn
from hwnas_surrogate import ModuleSpace
from hwnas_surrogate.capture import capture
from hwnas_surrogate.errors import InvalidGraphError, InvalidInputError

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = nn.Linear(8, width)

    def forward(self, x):
        return self.layer(x).relu()

class Scripted(ModuleSpace):
    name = "scripted"
    choices = {"width": range(1, 101)}
    input_shape = (8,)

    def build(self, arch, config):
        assert torch.get_num_threads() == 1
        if arch["width"] == 100:
            raise ValueError("too wide")
        return Block(arch["width"])

torch.set_num_threads(1)
space, seen = Scripted(), []
two = capture(space, range(40), n_jobs=2, progress=lambda done, total: seen.append((done, total)))
assert seen == [(done, 40) for done in range(41)], seen
space.held.clear()
one = capture(space, range(40), cache=False)
assert [graph.to_json() for graph in one.graphs] == [graph.to_json() for graph in two.graphs]
print(*two.macs.astype(int))
for change in (lambda: None, lambda: setattr(Scripted, "lock", threading.Lock())):
    change()
    space.held.clear()
    try:
        capture(space, range(40, 100), n_jobs=2, cache=False)
    except (InvalidGraphError, InvalidInputError) as error:
        print(error)
"""


class Changing(ModuleSpace):
    """Networks that depend on something that no hash of code shows."""

    name = "changing"
    choices = {"layers": (1, 2, 3, 4)}  # noqa: RUF012
    input_shape = (8,)
    factor = "1"

    def build(self, arch: Any, config: Any) -> nn.Module:
        return nn.Sequential(*[nn.Linear(8, 8)] * (arch["layers"] * int(os.environ["HWNAS_TEST_FACTOR"])))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Begin with an empty cache, on disk and in memory."""
    monkeypatch.setenv("HWNAS_CACHE", str(tmp_path / "cache"))
    forget()
    yield tmp_path / "cache"
    forget()


def forget() -> None:
    """Forget what is in memory, as a new process."""
    parallel._stores.clear()
    for space in (Lines(), Tower(), Changing()):
        space.held.clear()


class Counted:
    """Counts the networks that are captured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n = 0
        before = ModuleSpace.captured

        def captured(space: ModuleSpace, arch: Any, config: Any) -> Any:
            self.n += 1
            return before(space, arch, config)

        monkeypatch.setattr(ModuleSpace, "captured", captured)


def test_a_network_is_captured_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted, space = Counted(monkeypatch), Lines()
    first = capture(space, [3, 5, 3])
    assert counted.n == 2
    assert first.graphs[0] is first.graphs[2]
    space.batch([5, 3]).macs  # noqa: B018
    assert counted.n == 2
    forget()
    assert capture(space, [3, 5, 7]) == capture(space, [3, 5, 7]) or counted.n == 2 + 2 + 1  # two are compared
    assert counted.n == 5
    assert space.graph(5) == first.graphs[1]
    assert counted.n == 5
    assert space.graph(5, "9") != first.graphs[1]
    assert counted.n == 6
    (file,) = cache.iterdir()
    assert file.name.startswith("Lines-")
    assert file.read_bytes().count(b"\n") == 4


def test_without_a_cache_nothing_is_written(cache: Path) -> None:
    capture(Lines(), [0, 1], cache=False)
    with capturing(cache=False):
        Lines().graph(2)
    assert not cache.exists()


def test_the_folder_of_the_cache_may_be_named(cache: Path, tmp_path: Path) -> None:
    capture(Lines(), [0, 1], cache=tmp_path / "there")
    assert not cache.exists()
    assert len(list((tmp_path / "there").iterdir())) == 1


def test_what_was_captured_before_a_stop_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(done: int, total: int) -> None:
        assert total == 20
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        capture(Lines(), range(20), progress=stop)
    forget()
    counted, seen = Counted(monkeypatch), []
    capture(Lines(), range(20), progress=lambda *done: seen.append(done))
    assert seen == [(done, 20) for done in range(7, 21)]
    assert counted.n == 13 + 2


def test_an_error_keeps_those_captured_before(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidGraphError, match="width=113"):
        capture(Lines(), [110, 111, 112, 115])
    forget()
    counted = Counted(monkeypatch)
    capture(Lines(), [110, 111])
    assert counted.n == 2, "only the comparison"


def test_captured_networks_are_written_while_others_are_captured(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_EVERY", 0.0)
    lines = []

    def count(done: int, total: int) -> None:
        lines.append(sum(file.read_bytes().count(b"\n") for file in cache.glob("*")) - done)

    capture(Lines(), range(5), progress=count)
    assert lines == [0] * 6


def test_networks_that_changed_unseen_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWNAS_TEST_FACTOR", "1")
    before = capture(Changing(), range(4)).macs
    forget()
    monkeypatch.setenv("HWNAS_TEST_FACTOR", "2")
    with pytest.warns(GraphCacheWarning, match="Changing builds other networks than those captured before"):
        after = capture(Changing(), range(4)).macs
    assert after.tolist() == (2 * before).tolist()
    forget()
    assert capture(Changing(), range(4)).macs.tolist() == after.tolist()


def test_a_cache_that_cannot_be_written_is_a_warning_unless_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataFileError, match="file"):
        capture(Lines(), [1], cache=tmp_path / "file")
    monkeypatch.setenv("HWNAS_CACHE", str(tmp_path / "file"))
    with pytest.warns(GraphCacheWarning, match="captured graphs are not kept"):
        assert len(capture(Lines(), [1])) == 1


def test_threads_capture_each_network_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, results = Counted(monkeypatch), []
    threads = [threading.Thread(target=lambda: results.append(capture(Tower(), range(6)).keys)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted.n == 6
    assert len(set(results)) == 1


def test_the_memory_holds_a_limited_number_of_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_MOST_HELD", 3)
    assert len(capture(Lines(), range(5))) == 5
    assert len(Lines().held) == 3
    assert Lines().batch(range(5)).macs.tolist() == [8.0, 16.0, 24.0, 32.0, 40.0]


def test_settings_end_with_their_block() -> None:
    seen: list[tuple[int, int]] = []
    with capturing(progress=lambda *done: seen.append(done)):
        Lines().batch(np.arange(3)[:, None]).macs  # noqa: B018
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    Lines().graph(9)
    assert len(seen) == 4
    with pytest.raises(InvalidInputError, match="n_jobs must be"), capturing(2.5):  # type: ignore[arg-type]
        pass


@pytest.mark.slow
def test_a_space_of_a_script_is_captured_in_two_processes(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    child = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert child.returncode == 0, child.stderr
    macs, failed, unsent = child.stdout.splitlines()
    assert macs.split() == [str(8 * width) for width in range(1, 41)]
    assert failed == "scripted, width=100 under 8: build fails: ValueError: too wide"
    assert unsent.startswith("the work can't be sent to other processes (")
    assert "lock" in unsent
