"""Several settings in one table: what is measured where, and what a failure leaves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable, Device, Target, load_table, write_parquet
from hwnas_surrogate.errors import InvalidInputError, MeasurementError
from hwnas_surrogate.measure import OnnxRuntime, Setting, Torch, measure_several
from hwnas_surrogate.measure.boards import parse_board
from hwnas_surrogate.spaces import get_space

SPACE = get_space("nasbench201")
WAIT = 20.0
"""Maximum seconds for what should happen at once."""


class Fake:
    """Measures in one setting, without measuring: writes a table whose costs are the threads."""

    def __init__(self, **deeds: Callable[[], object]) -> None:
        self.deeds = deeds
        self.calls: list[tuple[str, str]] = []
        self.threads: dict[str, threading.Thread] = {}

    def __call__(self, output: Path, *, runtime: Any, board: Any, device: str, progress: Any) -> CostTable:
        self.calls.append((device, "" if board is None else str(board)))
        self.threads[device] = threading.current_thread()
        progress(0, 2)
        self.deeds.get(runtime.name, lambda: None)()
        progress(2, 2)
        costs = np.full((2, 1), float(runtime.threads))
        known = [Device(device, "a board", runtime.name, runtime.batch)]
        table = CostTable(
            SPACE, SPACE.at([5, 6]), costs, [Target(device, "latency")], devices=known, meta={"n": device}
        )
        write_parquet(table, output)
        return table


def raising(error: BaseException) -> Callable[[], object]:
    def act() -> None:
        raise error

    return act


def board(url: str = "ssh://pi") -> Any:
    return parse_board(url)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "all.parquet"


def test_each_setting_is_a_device(output: Path) -> None:
    settings = [Setting(Torch(threads=2)), Setting(OnnxRuntime(batch=4)), Setting(OnnxRuntime(), board(), "pi4")]
    progress: list[tuple[int, int]] = []
    table = measure_several(Fake(), settings, output, lambda *done: progress.append(done))
    names = ["cpu-torch-2t", "cpu-onnxruntime-1t-b4", "pi4-onnxruntime-1t"]
    assert [setting.device for setting in settings] == names
    assert list(map(str, table.targets)) == [f"{name}/latency" for name in names]
    assert table.costs.tolist() == [[2.0, 1.0, 1.0]] * 2
    assert [device.batch for device in table.devices.values()] == [1, 4, 1]
    assert load_table(output).fingerprint == table.fingerprint
    assert sorted(path.name for path in Path(f"{output}.parts").iterdir()) == sorted(f"{n}.parquet" for n in names)
    assert progress[-1] == (6, 6)
    assert [part["n"] for part in table.meta["tables"]] == names


def test_one_machine_measures_one_setting_at_a_time(output: Path) -> None:
    inside: list[str] = []

    def alone() -> None:
        inside.append("")
        time.sleep(0.02)
        assert len(inside) == 1
        inside.pop()

    # Names of one board: two addresses of one host are one machine.
    settings = [
        Setting(OnnxRuntime(threads=threads), board(f"ssh://pi?name={name}")) for threads in (1, 2) for name in "ab"
    ]
    measure_several(Fake(onnxruntime=alone), settings, output)


def test_different_machines_measure_at_once(output: Path) -> None:
    meeting = threading.Barrier(3, timeout=WAIT)
    fake = Fake(onnxruntime=meeting.wait)
    settings = [Setting(OnnxRuntime(), place) for place in (board("ssh://a"), None, board("ssh://b"))]
    measure_several(fake, settings, output)
    assert fake.threads["cpu-onnxruntime-1t"] is threading.main_thread()  # which the interrupt key reaches


def test_a_failure_leaves_the_others(output: Path) -> None:
    settings = [Setting(Torch()), Setting(OnnxRuntime()), Setting(OnnxRuntime(), board())]
    broken = Fake(torch=raising(MeasurementError("it is broken.")))
    with pytest.raises(MeasurementError) as error:
        measure_several(broken, settings, output)
    assert str(error.value) == (
        "1 of 3 settings failed. cpu-torch-1t: it is broken. What was measured is kept in "
        f"{output}.parts: run the same command again to go on."
    )
    assert len(broken.calls) == 3
    assert not output.exists()
    assert len(list(Path(f"{output}.parts").iterdir())) == 2
    assert len(measure_several(Fake(), settings, output).targets) == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError()], ids=["interrupt", "bug"])
@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"], ids=["here", "on a board"])
def test_what_ends_one_ends_all(output: Path, error: BaseException, runtime: str) -> None:
    place = board()
    retired = threading.Event()

    def measuring() -> None:  # until the board is taken away
        assert retired.wait(WAIT)
        raise MeasurementError("it was closed")

    place.retire = retired.set
    fake = Fake(**{"onnxruntime": measuring, runtime: raising(error)})
    settings = [
        Setting(Torch() if runtime == "torch" else OnnxRuntime(), None if runtime == "torch" else board("ssh://b"))
    ]
    if runtime == "torch":
        settings.append(Setting(OnnxRuntime(), place))
    with pytest.raises(type(error)):
        measure_several(fake, settings, output)
    assert retired.is_set() == (runtime == "torch")
    assert not output.exists()


class TestRefused:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ([Setting(Torch()), Setting(Torch())], "two settings would both be the device 'cpu-torch-1t'; give"),
            ([Setting(OnnxRuntime(), board(url)) for url in ("ssh://a@pi", "ssh://b@pi")], "ssh://HOST?name=NAME"),
            ([Setting(OnnxRuntime()), Setting(Torch(), board())], "runtime torch runs networks of this host only"),
        ],
        ids=["twice", "two-boards", "torch-on-a-board"],
    )
    def test_before_anything_is_measured(self, output: Path, settings: list[Setting], message: str) -> None:
        fake = Fake()
        with pytest.raises(InvalidInputError, match=message.replace("?", r"\?")):
            measure_several(fake, settings, output)
        assert fake.calls == []
        assert list(output.parent.iterdir()) == []

    def test_no_file(self) -> None:
        with pytest.raises(InvalidInputError):
            measure_several(Fake(), [Setting(Torch()), Setting(OnnxRuntime())], "/dev/null")


def test_a_table_of_another_command_is_kept(output: Path) -> None:
    output.write_bytes(b"costs of a year")
    settings = [Setting(Torch()), Setting(Torch(threads=2))]
    with pytest.raises(InvalidInputError, match=r"all\.parquet exists, but all\.parquet\.parts does not"):
        measure_several(Fake(), settings, output)
    assert output.read_bytes() == b"costs of a year"
    output.unlink()
    measure_several(Fake(), settings, output)
    measure_several(Fake(), settings, output)  # its own is replaced
