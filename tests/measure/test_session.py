"""Measuring: what the table says, what a stop leaves, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.errors import DataFileError, InvalidConfigError, InvalidInputError, MeasurementError
from hwnas_surrogate.measure import Protocol, Rapl, Torch, measure, measure_blocks
from hwnas_surrogate.runner.protocol import Readings
from hwnas_surrogate.spaces import FBNetConfig, NASBench201Config, get_space
from hwnas_surrogate.trainers import Surrogate
from tests.measure.fake_runtimes import Fake, ops_of

SPACE = get_space("nasbench201")
TINY = NASBench201Config(C=4, N=1, height=8, width=8)
QUICK = Protocol(passes=2, repeats=3, max_repeats=3, half_width=9.0)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "mine.parquet"


@pytest.fixture
def runtime(tmp_path: Path) -> Fake:
    return Fake(log=str(tmp_path / "log"))


def journal_of(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"{output}.journal").read_text().splitlines()]


def test_costs_by_hand_from_the_journal(output: Path, runtime: Fake) -> None:
    configs = [TINY, TINY, NASBench201Config(C=4, N=2, height=8, width=8)]
    table = measure("nasbench201", [7, 8, 8], output, configs, runtime=runtime, device="mine", protocol=QUICK)
    assert table.row_configs == configs
    assert np.array_equal(table.archs, SPACE.at([7, 8, 8]))
    assert list(map(str, table.targets)) == ["mine/latency"]
    readings = Readings(QUICK, journal_of(output)[1:])
    assert table.repeats is not None
    for row, config in enumerate(configs):
        first, second = readings.latencies((SPACE.format(table.archs[row]), str(config), ""))
        halves = [np.percentile(first, 25), np.percentile(second, 25)]
        assert table.costs[row, 0] == pytest.approx(np.mean(halves))
        quartiles = np.percentile(np.concatenate([first, second]), [25, 50, 75])
        assert table.repeats[row, 0] == pytest.approx([*quartiles, *halves])


def test_the_table_is_written_and_says_how_it_was_made(output: Path, runtime: Fake) -> None:
    table = measure("nasbench201", range(20, 32), output, TINY, runtime=runtime, protocol=QUICK)
    read = load_table(output)
    assert isinstance(read, CostTable)
    assert read.fingerprint == table.fingerprint
    assert read.meta == table.meta
    assert np.array_equal(read.repeats, table.repeats)  # type: ignore[arg-type]
    device = read.devices["cpu-fake-1t"]
    assert device.runtime == "fake 1.0, 1 thread"
    protocol = read.meta["protocol"]
    assert (protocol["passes"], protocol["repeats"], protocol["left"]) == (2, 3, 0)
    assert read.meta["anchor"]["blocks"] == 2
    assert read.meta["energy"] == "not asked for"
    assert {"cpu", "python", "torch"} <= set(read.meta["environment"])
    assert set(read.meta["seconds"]) == {"load", "run", "timed"}
    floor = read.noise_floor()[read.targets[0]]
    assert floor["n"] == 12
    assert -1 <= floor["kendall_tau"] <= 1


def test_measured_times_order_networks_by_what_they_do(output: Path, runtime: Fake) -> None:
    archs = SPACE.as_array([[0] * 6, [4, 4, 0, 0, 0, 0], [4] * 6])
    table = measure(SPACE, archs, output, TINY, runtime=runtime, protocol=replace(QUICK, repeats=8, max_repeats=8))
    assert (np.diff(table.costs[:, 0]) > 0).all()


def test_more_passes_may_follow(output: Path, runtime: Fake) -> None:
    measure(SPACE, [5, 6], output, TINY, runtime=runtime, protocol=replace(QUICK, passes=1))
    before = journal_of(output)
    table = measure(SPACE, [5, 6], output, TINY, runtime=runtime, protocol=replace(QUICK, passes=3))
    assert journal_of(output)[: len(before)] == before
    assert [entry["pass"] for entry in journal_of(output)[1:] if "pass" in entry] == [0, 1, 2]
    readings = Readings(replace(QUICK, passes=3), journal_of(output)[1:])
    passes = [np.percentile(values, 25) for values in readings.latencies((SPACE.format(SPACE.at(5)), str(TINY), ""))]
    assert table.costs[0, 0] == pytest.approx(np.mean(passes))
    assert table.repeats is not None
    assert table.repeats[0, 0, 3:] == pytest.approx([np.mean([passes[0], passes[2]]), passes[1]])


def test_torch_then_a_surrogate(output: Path) -> None:
    table = measure(SPACE, SPACE.sample(8, 3), output, TINY, runtime=Torch(), protocol=QUICK)
    assert (table.costs > 0).all()
    surrogate = Surrogate(random_state=0).fit(table.archs, table.costs[:, 0], table.row_configs)
    assert (surrogate.predict(SPACE.sample(20, 4), TINY) > 0).all()


def test_a_network_that_fails_is_there_without_a_cost_and_with_the_reason(output: Path, runtime: Fake) -> None:
    archs = SPACE.at([30, 31, 32])
    text = "".join(map(str, archs[1].tolist()))
    table = measure(SPACE, archs, output, TINY, runtime=replace(runtime, fail=(text,)), protocol=QUICK)
    assert np.isnan(table.costs[:, 0]).tolist() == [False, True, False]
    assert table.why_missing(archs).iloc[:, 0].tolist() == ["", f"RuntimeError: no kernel for {text}", ""]
    read = load_table(output)
    assert isinstance(read, CostTable)
    assert read.why_missing(archs[1:2]).iloc[0, 0] == f"RuntimeError: no kernel for {text}"


def test_nothing_works(output: Path, runtime: Fake) -> None:
    broken = replace(runtime, fail=("".join(map(str, SPACE.at(30)[0].tolist())),))
    with pytest.raises(MeasurementError, match="nothing could be measured: RuntimeError: no kernel"):
        measure(SPACE, [30], output, TINY, runtime=broken, protocol=QUICK)
    assert not output.exists()


def test_energy(output: Path, runtime: Fake) -> None:
    protocol = replace(QUICK, energy=True, passes=1)
    table = measure(SPACE, [30, 31], output, TINY, runtime=runtime, protocol=protocol, device="mine")
    assert list(map(str, table.targets)) == ["mine/latency", "mine/energy"]
    assert table.costs[:, 1].tolist() == [1.0, 1.0]  # the fake meter counts one millijoule a run
    assert table.meta["energy"] == "fake meter"


def test_energy_where_the_host_cannot_tell(output: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("hwnas_surrogate.measure.runtimes.base.Rapl", lambda: Rapl(tmp_path))
    with pytest.raises(MeasurementError, match="no RAPL energy counter"):
        measure(SPACE, [30], output, TINY, protocol=replace(QUICK, energy=True))
    assert not Path(f"{output}.journal").exists()


class TestStopping:
    def test_a_time_limit_leaves_out_what_was_not_measured(self, output: Path, runtime: Fake) -> None:
        archs = SPACE.at(range(100, 160))
        # Of four blocks the time covers the first one or two, wherever the process needs seconds to start.
        hanging = tuple(
            "".join(map(str, arch)) for arch in archs[np.random.default_rng([0, 0]).permutation(60)[40:]].tolist()
        )
        slow = replace(runtime, hang=hanging)
        protocol = replace(QUICK, passes=1, repeats=8, max_repeats=8)
        start = time.monotonic()
        table = measure(SPACE, archs, output, TINY, runtime=slow, protocol=protocol, time_limit=15.0)
        assert time.monotonic() - start < 19.0
        left = table.meta["protocol"]["left"]
        assert 0 < left < 60
        assert len(table) == 60 - left
        assert not np.isnan(table.costs).any()
        whole = measure(SPACE, archs, output, TINY, runtime=runtime, protocol=protocol)
        assert whole.meta["protocol"]["left"] == 0
        assert len(whole) == 60

    @pytest.mark.parametrize("time_limit", [0, -1.0, float("nan")])
    def test_wrong_time_limits(self, output: Path, runtime: Fake, time_limit: float) -> None:
        with pytest.raises(InvalidInputError, match="time_limit must be a positive number of seconds"):
            measure(SPACE, [1], output, TINY, runtime=runtime, time_limit=time_limit)

    def test_too_short_a_time_limit(self, output: Path, runtime: Fake) -> None:
        with pytest.raises(MeasurementError, match="the time limit was reached before"):
            measure(SPACE, [1], output, TINY, runtime=runtime, protocol=QUICK, time_limit=1e-6)
        assert not output.exists()

    def test_a_kill_loses_what_was_in_hand_only(self, output: Path, runtime: Fake) -> None:
        script = (
            "from tests.measure.fake_runtimes import Fake\n"
            "from hwnas_surrogate.measure import *\n"
            f"measure('nasbench201', range(100, 700), {str(output)!r}, {str(TINY)!r}, runtime=Fake(),"
            " protocol=Protocol(passes=1, repeats=40, max_repeats=40))\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        journal = Path(f"{output}.journal")
        deadline = time.monotonic() + 60
        while not (journal.exists() and journal.read_text().count('"ns"') > 60):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.3)  # the measuring process ends when nobody listens
        before = journal.read_text()
        protocol = Protocol(passes=1, repeats=40, max_repeats=40)
        rounds = before.count('"ns"')
        done = 0
        for line in before.splitlines(keepends=True)[1:]:
            done += "seconds" in line
        assert done * 40 <= rounds
        whole = before[: before.rfind("\n") + 1]
        with pytest.raises(MeasurementError, match="the time limit was reached"):
            # Too little time for one more network: what was there stays as it was.
            measure(SPACE, [699], output, TINY, runtime=Fake(), protocol=protocol, time_limit=1e-6)
        assert journal.read_text() == whole
        table = measure(SPACE, range(100, 140), output, TINY, runtime=Fake(), protocol=protocol)
        assert journal.read_text().startswith(whole)
        assert len(table) == 40


class TestRefused:
    def test_no_architectures(self, output: Path, runtime: Fake) -> None:
        with pytest.raises(InvalidInputError, match="nothing to measure"):
            measure(SPACE, [], output, runtime=runtime)

    def test_one_twice(self, output: Path, runtime: Fake) -> None:
        with pytest.raises(InvalidInputError, match="more than once under config C4"):
            measure(SPACE, [1, 2, 1], output, [TINY, TINY, TINY], runtime=runtime)
        assert not Path(f"{output}.journal").exists()

    def test_a_network_that_can_not_be_built(self, output: Path, runtime: Fake) -> None:
        odd = FBNetConfig(stem_channels=17)
        with pytest.raises(InvalidConfigError):
            measure("fbnet", ["|".join(["k3_e1_g2"] * 22)], output, odd, runtime=runtime)

    def test_other_settings(self, output: Path, runtime: Fake) -> None:
        measure(SPACE, [1], output, TINY, runtime=runtime, protocol=QUICK)
        before = output.read_bytes()
        with pytest.raises(MeasurementError, match=r"other settings \(different: protocol\)"):
            measure(SPACE, [1], output, TINY, runtime=runtime, protocol=replace(QUICK, repeats=2))
        with pytest.raises(MeasurementError, match=r"other settings \(different: device\)"):
            measure(SPACE, [1], output, TINY, runtime=runtime, protocol=QUICK, device="other")
        assert output.read_bytes() == before

    def test_what_can_not_be_resumed(self, runtime: Fake) -> None:
        with pytest.raises(InvalidInputError, match="/dev/null is a pipe or a device"):
            measure(SPACE, [1], "/dev/null", TINY, runtime=runtime, protocol=QUICK)
        assert not Path("/dev/null.journal").exists()

    def test_a_table_of_another_command_is_kept(self, output: Path, runtime: Fake) -> None:
        output.write_bytes(b"costs of a year")
        with pytest.raises(InvalidInputError, match=r"exists, but .*journal does not, so that it holds other costs"):
            measure("nasbench201", [1, 2], output, runtime=runtime)
        assert output.read_bytes() == b"costs of a year"
        assert not Path(f"{output}.journal").exists()

    def test_a_damaged_journal(self, output: Path, runtime: Fake) -> None:
        measure(SPACE, range(30, 50), output, TINY, runtime=runtime, protocol=replace(QUICK, passes=1))
        journal = Path(f"{output}.journal")
        lines = journal.read_bytes().splitlines(keepends=True)
        second = [number for number, line in enumerate(lines) if b'"subjects"' in line][1]
        journal.write_bytes(b"".join([*lines[:second], *lines[second + 1 :]]))
        # Without that line, the second block's times would count for the first block's networks.
        with pytest.raises(DataFileError, match=f"line {second + 1} of .*is not as it was written"):
            measure(SPACE, range(30, 50), output, TINY, runtime=runtime, protocol=replace(QUICK, passes=1))

    def test_a_folder_that_can_not_be_written(self, tmp_path: Path, runtime: Fake) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(InvalidInputError, match="file is a file, and can't be a folder"):
            measure(SPACE, [1], tmp_path / "file" / "mine.parquet", TINY, runtime=runtime, protocol=QUICK)


class TestBlocks:
    @pytest.mark.slow
    def test_every_block_has_a_cost(self, output: Path) -> None:
        table = measure_blocks(output, protocol=Protocol(passes=2, repeats=2, max_repeats=2, half_width=9.0))
        assert table.configs == (get_space("fbnet").configs["cifar100"],)
        assert [device.source for device in table.devices.values()] == ["estimated"]
        (costs,) = table.block_costs.values()
        assert min(costs.values()) > 0
        # A block of six times the channels takes longer than one that passes its input on.
        keys = sorted(costs, key=costs.__getitem__)
        assert keys[0].startswith("Skip") or keys[0].startswith(("FC", "AvgP"))
        assert np.isfinite(table.lookup(get_space("fbnet").sample(50, 0)).to_numpy()).all()
        assert table.meta["noise_floor"]["n"] == len(costs)

    def test_energy_of_blocks_is_refused(self, output: Path) -> None:
        with pytest.raises(InvalidInputError, match="too shortly"):
            measure_blocks(output, protocol=Protocol(energy=True))

    def test_a_time_limit_too_short(self, output: Path) -> None:
        with pytest.raises(MeasurementError, match="time limit was reached"):
            measure_blocks(output, time_limit=1e-6)


def test_the_fake_knows_its_networks() -> None:
    from hwnas_surrogate.networks import build_network

    for arch in SPACE.sample(10, 0):
        assert ops_of(build_network(arch, TINY)) == arch.tolist()
