"""Benchmark tools on a phone, with stand-ins for adb and the tools that run on this host."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.errors import InvalidInputError, MeasurementError
from hwnas_surrogate.measure import Protocol, Runnable, measure
from hwnas_surrogate.measure.boards import parse_board, timer
from hwnas_surrogate.measure.boards.asking import ask_board
from hwnas_surrogate.measure.boards.phone import phone_conditions
from hwnas_surrogate.measure.boards.tool_timer import RUNS, ToolTimer
from hwnas_surrogate.measure.runtimes import Converted, LiteRT, OnnxRuntime, OpenVINO
from hwnas_surrogate.measure.subjects import ArchSubject
from hwnas_surrogate.spaces import NASBench201Config, get_space
from tests.measure.boards.fake_adb import install
from tests.measure.fake_runtimes import ops_of

SPACE = get_space("nasbench201")
TINY = NASBench201Config(C=4, N=1, height=8, width=8)
QUICK = Protocol(passes=2, repeats=3, max_repeats=3, half_width=9.0)

# A network is a file with its ops. It takes as many us as they are as a number, and some more from the second call on.
BENCHMARK_MODEL = r"""#!/bin/sh
here=${0%/*}
echo "$*" >> "$here/calls"
for word; do case $word in
  --graph=*) model=${word#*=} ;;
  --num_threads=*) threads=${word#*=} ;;
  --num_runs=*) runs=${word#*=} ;;
esac; done
read -r ops < "$model" || exit 2
[ ! -e "$here/on-$ops" ] || . "$here/on-$ops"
us=1$ops
echo "INFO: STARTING!"
echo "INFO: Num threads: [$threads]"
echo "INFO: Graph: [$model]"
echo "INFO: Loaded model $model"
echo "INFO: Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the delegate."
echo "INFO: count=1 first=9 curr=9 min=9 max=9 avg=9 std=0 p5=9 median=9 p95=9"
echo "INFO: count=$runs first=9 curr=9 min=9 max=9 avg=999 std=1 p5=9 median=$us p95=99"
echo "INFO: Inference timings in us: Init: 17, First inference: 9, Warmup (avg): 9, Inference (avg): 999"
"""

PERF_TEST = r"""#!/bin/sh
here=${0%/*}
echo "$*" >> "$here/calls"
for model; do [ "$last" = -x ] && threads=$model; last=$model; done
read -r ops < "$model" || exit 2
[ ! -e "$here/on-$ops" ] || . "$here/on-$ops"
echo "Setting intra_op_num_threads to $threads"
echo "Average inference time cost: 999 ms"
echo "P50 Latency: 1.$ops s"
"""

GETPROP = """#!/bin/sh
echo "[ro.build.version.release]: [14]
[ro.product.manufacturer]: [Google]
[ro.product.model]: [Pixel 8]
[ro.soc.model]: [Tensor G3]"
"""
DUMPSYS = """#!/bin/sh
echo "Current Battery Service state:
  AC powered: false
  USB powered: true
  level: 93
  temperature: 237"
"""


class WritesOps:
    """Converts networks of NAS-Bench-201 to files with their ops."""

    def convert(self, network: Runnable, folder: Path) -> Converted:
        module, inputs = network.module()
        (folder / "model").write_text("".join(map(str, ops_of(module))) + "\n")
        return Converted([folder / "model"], {"image": inputs[0].numpy()})


@dataclass(frozen=True)
class FakeLiteRT(WritesOps, LiteRT):
    pass


@dataclass(frozen=True)
class FakeOnnxRuntime(WritesOps, OnnxRuntime):
    pass


class Tools:
    """The stand-ins, and what the phone was asked."""

    def __init__(self, bin_folder: Path, data: Path) -> None:
        self.bin, self.data = bin_folder, data
        self.url = (
            f"adb://phone?folder={data}&benchmark_model={bin_folder}/benchmark_model"
            f"&onnxruntime_perf_test={bin_folder}/perf_test"
        )

    def calls(self) -> list[str]:
        return (self.bin / "calls").read_text().splitlines()

    def on(self, number: int, shell: str) -> None:
        """Let the tools do something when they run an architecture."""
        (self.bin / f"on-{ops(number)}").write_text(shell + "\n")

    def works(self) -> list[Path]:
        """Return the work folders on the phone."""
        return list((self.data / "hwnas-runner").iterdir())


def ops(number: int) -> str:
    return "".join(map(str, SPACE.at([number])[0]))


def ms(number: int) -> float:
    return int(f"1{ops(number)}") / 1000


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    programs = {"benchmark_model": BENCHMARK_MODEL, "perf_test": PERF_TEST, "getprop": GETPROP, "dumpsys": DUMPSYS}
    monkeypatch.setattr(timer, "PAUSE", 0.05)
    return Tools(install(tmp_path / "bin", monkeypatch, **programs), tmp_path / "data")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "mine.parquet"


@pytest.fixture
def litert(tools: Tools) -> Iterator[ToolTimer]:
    with ToolTimer(parse_board(tools.url), FakeLiteRT(), 10.0) as made:  # type: ignore[arg-type]
        yield made


def request(*numbers: int, least: int = 2) -> dict[str, Any]:
    items = [ArchSubject("nasbench201", SPACE.format(SPACE.at([number])[0]), str(TINY)).message() for number in numbers]
    stop = {"least": least, "most": least, "half_width": 9.0}
    return {"items": items, "stop": stop, "seed": [0, 0, 0], "energy": False}


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in events]


def test_rounds_of_readings(litert: ToolTimer, tools: Tools) -> None:
    events = list(litert.time(request(5, 6, 7, least=3)))
    assert kinds(events) == ["round"] * 3 + ["end"]
    wanted = {str(place): ms(number) * 1e6 for place, number in enumerate([5, 6, 7])}
    assert [event["ns"] for event in events[:-1]] == [wanted] * 3
    assert set(events[-1]["seconds"]) == {"load", "run"}
    calls = tools.calls()
    assert len(calls) == 3 + 3 * 3
    assert all("--num_threads=1 --use_xnnpack=true" in call for call in calls)
    assert ["--num_runs=1 " in call for call in calls] == [True] * 3 + [False] * 9
    assert all(f"--num_runs={RUNS} " in call for call in calls[3:])
    rounds = [[call.split("/")[-2] for call in calls[at : at + 3]] for at in (3, 6, 9)]
    assert all(sorted(names) == ["1", "2", "anchor"] for names in rounds)


def test_the_seed_decides_the_order(litert: ToolTimer, tools: Tools) -> None:
    orders = []
    for seed in (0, 0, 1):
        list(litert.time({**request(5, 6, 7, 8), "seed": [seed, 0, 0]}))
        orders.append([call.split("/")[-2] for call in tools.calls()])
        (tools.bin / "calls").unlink()
    assert orders[0] == orders[1] != orders[2]


def test_the_anchor_is_pushed_once_and_blocks_are_removed(litert: ToolTimer) -> None:
    list(litert.time(request(5)))
    list(litert.time(request(5, 6)))
    assert [path.name for path in Path(litert.board.folder).iterdir()] == ["anchor"]


@pytest.mark.parametrize(
    ("shell", "why"),
    [
        ('echo "INFO: STARTING!\nERROR: No room\nERROR: Benchmarking failed." >&2; exit 1', "benchmark_model: No room"),
        ('echo "Segmentation fault" >&2; exit 139', "benchmark_model failed: exit status 139: Segmentation fault"),
        ("exit 0", "benchmark_model failed: ends before its inference timings: .*"),
        ("threads=4", "benchmark_model ran it with threads 4, not 1"),
        ("threads=10", "benchmark_model ran it with threads 10, not 1"),
        (
            'echo "INFO: Explicitly applied GPU delegate, and the model graph will be completely executed by the '
            'delegate.\nINFO: Inference timings in us: Init: 1, Inference (avg): 9"; exit',
            "benchmark_model ran it with delegate GPU, not XNNPACK",
        ),
        (
            'echo "INFO: Though XNNPACK delegate is explicitly applied, the model graph will not be executed by the '
            'delegate.\nINFO: Inference timings in us: Init: 1, Inference (avg): 9"; exit',
            "benchmark_model did not run it with LiteRT XNNPACK",
        ),
    ],
    ids=["refused", "crashed", "cut off", "threads", "ten threads", "delegate", "no delegate"],
)
def test_a_network_that_fails(litert: ToolTimer, tools: Tools, shell: str, why: str) -> None:
    tools.on(6, shell)
    events = list(litert.time(request(5, 6, 7)))
    assert kinds(events) == ["failed", "round", "round", "end"]
    assert events[0]["number"] == 1
    assert pytest.approx(events[1]["ns"]) == {"0": ms(5) * 1e6, "2": ms(7) * 1e6}
    with pytest.raises(AssertionError, match=f"^{why}$"):
        raise AssertionError(events[0]["why"])


def test_an_anchor_that_fails(litert: ToolTimer, tools: Tools) -> None:
    tools.on(5, "exit 3")
    assert kinds(list(litert.time(request(5, 6)))) == ["refused"]


def test_a_network_that_fails_later_ends_the_block(litert: ToolTimer, tools: Tools) -> None:
    tools.on(6, '[ "$runs" = 1 ] || { echo "Killed" >&2; exit 137; }')
    events = list(litert.time(request(5, 6)))
    assert events == [{"event": "died", "why": "benchmark_model failed: exit status 137: Killed"}]


def test_a_tool_that_hangs(tools: Tools) -> None:
    tools.on(6, "exec sleep 60")
    with ToolTimer(parse_board(tools.url), FakeLiteRT(), 2.0) as made:  # type: ignore[arg-type]
        events = list(made.time(request(5, 6)))
    assert kinds(events) == ["failed", "end"]
    assert events[0]["why"] == "benchmark_model took longer than 2 s for 1 run(s)"


def test_the_deadline(litert: ToolTimer, tools: Tools) -> None:
    tools.on(6, "exec sleep 60")
    begin = time.monotonic()
    assert kinds(list(litert.time(request(5, 6), begin + 1.0))) == ["late"]
    assert time.monotonic() - begin < 5
    assert kinds(list(litert.time(request(5, 7), time.monotonic() - 1))) == ["late"]
    assert kinds(list(litert.time(request(5, 7)))) == ["round", "round", "end"]


def test_the_device(tools: Tools, litert: ToolTimer) -> None:
    device = litert.device(None)
    assert device.name == "phone-litert-1t"
    assert device.hardware.startswith("Google Pixel 8 (Tensor G3, ")
    assert device.hardware.endswith("Android 14)")
    assert device.runtime.startswith("LiteRT XNNPACK (benchmark_model sha256 ")
    assert device.runtime.endswith(") float32, 1 thread")
    assert device.conditions.startswith("warm")
    assert device.conditions.endswith(f"each time from {RUNS} runs of benchmark_model, outputs not checked")
    conditions = litert.environment()
    assert (conditions["battery_percent"], conditions["battery_c"], conditions["battery"]) == (93, 23.7, False)
    assert conditions["system"] == "Android 14"
    assert conditions["memory_mb"] > 0  # of this host
    json.dumps(conditions)


def test_the_runtimes_of_a_phone_are_its_tools(tools: Tools) -> None:
    with parse_board(tools.url) as board:
        conditions, runtimes = ask_board(board)
    assert conditions["battery_percent"] == 93
    found = {one.runtime: one for one in runtimes}
    assert found["litert"].installed.startswith("LiteRT XNNPACK (benchmark_model sha256 ")
    assert found["onnxruntime-int8"].installed.endswith(") int8 static QDQ")
    assert {name for name, one in found.items() if one.usable} == {
        *("litert", "litert-int8", "onnxruntime", "onnxruntime-int8")
    }
    assert found["openvino"].installed.startswith(
        "no: there is no tool on phones for runtime openvino; allowed: litert"
    )


def test_another_build_of_the_tool_is_another_runtime(tools: Tools, litert: ToolTimer) -> None:
    first = litert.device(None)
    litert.close()
    with (tools.bin / "benchmark_model").open("a") as file:
        file.write("# another\n")
    assert litert.device(None).runtime != first.runtime


def test_a_phone_that_tells_little(tools: Tools) -> None:
    (tools.bin / "getprop").unlink()
    (tools.bin / "dumpsys").unlink()
    with parse_board(tools.url) as board:
        board.check()
        found = phone_conditions(board)
    assert found["system"] == "Android"
    assert "battery_percent" not in found
    json.dumps(found)


def test_saving_power_is_a_condition_of_the_device(tools: Tools, litert: ToolTimer) -> None:
    (tools.bin / "settings").write_text("#!/bin/sh\n[ $* = 'get global low_power' ] 2> /dev/null; echo 1\n")
    (tools.bin / "settings").chmod(0o755)
    litert.close()
    assert "power mode battery saver" in litert.device(None).conditions


@pytest.mark.parametrize(
    ("options", "runtime", "error"),
    [
        ("onnxruntime_perf_test=/x", FakeLiteRT(), r"runtime litert needs benchmark_model on board adb://phone: give"),
        ("benchmark_model=/x", FakeOnnxRuntime(), r"needs onnxruntime_perf_test .*\?onnxruntime_perf_test=\.$"),
        ("benchmark_model=/x", OpenVINO(), "there is no tool on phones for runtime openvino; allowed: litert, onnxrun"),
        ("benchmark_model=/x", FakeLiteRT(cold=True), "cold starts can't be measured on board adb://phone"),
    ],
    ids=["no benchmark_model", "no perf_test", "no tool", "cold"],
)
def test_what_can_not_be_measured(output: Path, options: str, runtime: Any, error: str) -> None:
    with pytest.raises(InvalidInputError, match=error):
        measure("nasbench201", [1], output, TINY, runtime=runtime, board=f"adb://phone?{options}", protocol=QUICK)


def test_energy_is_refused(tools: Tools, output: Path) -> None:
    with pytest.raises(InvalidInputError, match="energy is counted on this host only"):
        measure("nasbench201", [1], output, runtime=FakeLiteRT(), board=tools.url, protocol=Protocol(energy=True))


measured: Callable[..., Any] = partial(measure, "nasbench201", configs=TINY, protocol=QUICK)


@pytest.mark.parametrize("runtime", [FakeLiteRT(2), FakeOnnxRuntime(2)], ids=lambda runtime: runtime.name)
def test_a_table(tools: Tools, output: Path, runtime: Any) -> None:
    tools.on(12, "exit 9")
    table = measured([10, 11, 12], output, runtime=runtime, board=tools.url)
    assert list(map(str, table.targets)) == [f"phone-{runtime.name}-2t/latency"]
    assert table.costs[:2, 0] == pytest.approx([ms(10), ms(11)])
    assert np.isnan(table.costs[2, 0])
    assert [reason for reason, rows in table.reasons.items() if rows[2, 0]] != []
    assert table.meta["protocol"]["estimator"].endswith("waiting is left in")
    assert table.meta["disturbed"] is None
    assert tools.works() == []


def test_the_same_command_goes_on(tools: Tools, output: Path) -> None:
    measured([10, 11], output, runtime=FakeLiteRT(), board=tools.url)
    before = len(tools.calls())
    table = measured([10, 11], output, runtime=FakeLiteRT(), board=tools.url)
    assert len(tools.calls()) == before
    assert table.costs[:, 0] == pytest.approx([ms(10), ms(11)])


FAIL_ONCE = '[ "$runs" = 1 ] || [ -e "$here/once" ] || { touch "$here/once"; %s exit 1; }'
UNPLUG = FAIL_ONCE % """echo "adb: device 'phone' not found" > "$here/refuses";"""


def test_a_phone_that_is_unplugged_for_a_moment(tools: Tools, output: Path) -> None:
    tools.on(11, UNPLUG)
    plugged = threading.Thread(target=plug_in_again, args=(tools,))
    plugged.start()
    table = measured([10, 11, 12], output, runtime=FakeLiteRT(), board=tools.url)
    plugged.join()
    assert table.costs[:, 0] == pytest.approx([ms(10), ms(11), ms(12)])
    assert tools.works() == []


def plug_in_again(tools: Tools) -> None:
    end = time.monotonic() + 60
    while not (tools.bin / "refuses").exists() and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.3)
    (tools.bin / "refuses").unlink()


def test_a_phone_that_does_not_come_back(tools: Tools, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timer, "PATIENCE", 0.2)
    tools.on(11, UNPLUG)
    with pytest.raises(MeasurementError, match=r"lost the connection to board adb://phone: adb does not see it.*go on"):
        measured([10, 11], output, runtime=FakeLiteRT(), board=tools.url)
    (tools.bin / "refuses").unlink()
    table = measured([10, 11], output, runtime=FakeLiteRT(), board=tools.url)
    assert table.costs[:, 0] == pytest.approx([ms(10), ms(11)])


def test_a_call_that_fails_once_is_made_again(tools: Tools, output: Path) -> None:
    tools.on(11, FAIL_ONCE % "")
    table = measured([10, 11, 12], output, runtime=FakeLiteRT(), board=tools.url)
    assert table.costs[:, 0] == pytest.approx([ms(10), ms(11), ms(12)])
