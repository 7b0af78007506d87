"""Measuring: who runs when, what a stop leaves, and what the table says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.stats import kendalltau

from hwnas_surrogate.data import CostTable, Device, load_table
from hwnas_surrogate.errors import DataFileError, InvalidConfigError, InvalidInputError, MeasurementError
from hwnas_surrogate.measure import TorchEager, environment, measure, session
from hwnas_surrogate.measure.session import BLOCK
from hwnas_surrogate.spaces import FBNetConfig, NASBench201Config, NetworkConfig, SearchSpace, get_space
from hwnas_surrogate.trainers import Surrogate

SPACE = get_space("nasbench201")
TINY = NASBench201Config(C=4, N=1, height=8, width=8)

ANCHOR = SPACE.format(SPACE.sample(1, 0)[0])
"""The network that runs in every block. ``SPACE.sample(n, 0)`` starts with it, ``SPACE.sample(40, 1)`` lacks it."""


class Fake:
    """A runtime that notes what it is asked to do, and may be interrupted after some networks."""

    default_name = "fake"

    def __init__(self, interrupt_after: int | None = None, spin: Callable[[str], float] | None = None) -> None:
        self.prepared: list[str] = []
        self.runs: list[str] = []
        self.events: list[tuple[str, int]] = []
        self.inside = False
        self.interrupt_after = interrupt_after
        self.spin = spin

    def device(self, name: str) -> Device:
        return Device(name, "no hardware", "no runtime")

    @contextmanager
    def active(self) -> Iterator[None]:
        self.inside = True
        try:
            yield
        finally:
            self.inside = False

    def prepare(self, space: SearchSpace, arch: npt.NDArray[np.int8], config: NetworkConfig) -> Callable[[], object]:
        assert self.inside
        if len(self.prepared) == self.interrupt_after:
            raise KeyboardInterrupt
        text, serial = space.format(arch), len(self.prepared)
        self.prepared.append(text)
        self.events.append(("prepare", serial))

        def run() -> None:
            assert self.inside
            self.runs.append(text)
            self.events.append(("run", serial))
            self.work(text)

        return run

    def work(self, text: str) -> None:
        if self.spin is not None:
            end = time.perf_counter() + self.spin(text)
            while time.perf_counter() < end:
                pass

    def blocks(self) -> list[list[int]]:
        """Return the runs of each block, those between two rounds of preparing, as indices into ``prepared``."""
        return [
            [serial for _, serial in group]
            for kind, group in groupby(self.events, lambda event: event[0])
            if kind == "run"
        ]


class Clocked(Fake):
    """A runtime with a clock of its own: the k-th run of a network in block b takes ``duration(text, b, k)`` ns."""

    def __init__(
        self, patch: pytest.MonkeyPatch, duration: Callable[[str, int, int], int], interrupt_after: int | None = None
    ) -> None:
        super().__init__(interrupt_after)
        self.duration = duration
        self.now = 0
        patch.setattr(session, "time", SimpleNamespace(perf_counter_ns=lambda: self.now))

    def work(self, text: str) -> None:
        blocks = self.blocks()
        earlier = blocks[-1].count(blocks[-1][-1]) - 1
        self.now += self.duration(text, len(blocks) - 1, earlier)


def noise(seed: int) -> Callable[[str, int, int], int]:
    """Return durations without order or ties."""
    rng = np.random.default_rng(seed)
    return lambda text, block, earlier: int(rng.integers(10**8, 10**9))


def base(text: str) -> int:
    """Return what a network takes where the machine does not drift."""
    return 10**9 + 10**6 * int(SPACE.codes(SPACE.as_array([text]))[0])


def journal_of(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"{output}.journal").read_text().splitlines()]


def entries_of(output: Path) -> list[dict[str, Any]]:
    return journal_of(output)[1:]


def scaled_by_hand(output: Path) -> dict[tuple[int, str], list[float]]:
    """Return the journal's runs in ms, without the drift: (pass, architecture) to its runs."""
    entries = entries_of(output)
    anchors = [median_of(entry["anchor_ns"]) for entry in entries]
    usual = median_of(anchors)
    return {
        (entry["pass"], entry["arch"]): [ns / (anchor / usual) / 1e6 for ns in entry["ns"]]
        for entry, anchor in zip(entries, anchors, strict=True)
    }


def median_of(values: list[float]) -> float:
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def small(output: Path, runtime: Any, n: int = 20, *, seed: int = 0, **more: Any) -> CostTable:
    """Measure n networks; the anchor is one of them if the seed is 0."""
    return measure(SPACE, SPACE.sample(n, seed), output, TINY, runtime=runtime, **{"repeats": 3, **more})


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "table.parquet"


# -- who runs when ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1], ids=["anchor-asked", "anchor-not-asked"])
@pytest.mark.parametrize(("passes", "repeats", "warmup"), [(2, 3, 1), (1, 1, 0), (3, 2, 2)])
def test_each_network_runs_passes_times_warmup_and_repeats_and_the_anchor_in_every_block(
    output: Path, passes: int, repeats: int, warmup: int, seed: int
) -> None:
    fake = Fake()
    table = small(output, fake, seed=seed, passes=passes, repeats=repeats, warmup=warmup)
    texts = SPACE.format_all(table.archs)
    assert (ANCHOR in texts) == (seed == 0)
    # The anchor is prepared once, and runs in both blocks of each pass; where it is asked for, that comes on top.
    runs = Counter(dict.fromkeys(texts, passes * (warmup + repeats)))
    assert Counter(fake.runs) == runs + Counter({ANCHOR: 2 * passes * (warmup + repeats)})
    assert Counter(fake.prepared) == Counter(dict.fromkeys(texts, passes)) + Counter([ANCHOR])
    assert {len(entry["ns"]) for entry in entries_of(output)} == {repeats}
    assert {len(entry["anchor_ns"]) for entry in entries_of(output)} == {repeats}
    assert Counter((entry["pass"], entry["arch"]) for entry in entries_of(output)) == {
        (number, text): 1 for number in range(passes) for text in texts
    }


def test_the_defaults_are_two_passes_of_six_runs_after_one(output: Path) -> None:
    fake = Fake()
    measure(SPACE, [0, 1], output, TINY, runtime=fake)  # type: ignore[arg-type]
    assert set(Counter(fake.runs).values()) == {2 * (1 + 6)}


@pytest.mark.parametrize("seed", [0, 1], ids=["anchor-asked", "anchor-not-asked"])
def test_the_runs_within_a_block_alternate_in_changing_orders(output: Path, seed: int) -> None:
    fake = Fake()
    small(output, fake, n=2 * BLOCK, seed=seed, passes=1, repeats=4, warmup=1)
    assert fake.prepared[0] == ANCHOR
    blocks = fake.blocks()
    together = BLOCK + 1  # with the anchor, which was prepared first
    assert [len(block) for block in blocks] == [5 * together] * 2
    assert set(blocks[0]) == set(range(together))
    assert set(blocks[1]) == {0, *range(together, 2 * BLOCK + 1)}
    for block in blocks:
        names = set(block)
        rounds = [block[start : start + together] for start in range(together, 5 * together, together)]
        # After the warmup, each round runs every network once, and no two rounds in one order.
        assert all(set(one) == names for one in rounds)
        assert len(set(map(tuple, rounds))) == 4


def test_passes_take_the_networks_in_different_orders_and_seeds_decide_them(tmp_path: Path) -> None:
    def orders(name: str, seed: int) -> list[list[str]]:
        fake = Fake()
        small(tmp_path / name, fake, n=40, random_state=seed)
        assert fake.prepared[0] == ANCHOR
        assert len(fake.prepared) == 81
        return [fake.prepared[1:41], fake.prepared[41:]]

    first, second = orders("a", 0)
    assert set(first) == set(second)
    assert first != second
    given_order = SPACE.format_all(SPACE.sample(40, 0))
    assert given_order not in (first, second)
    assert orders("b", 0) == [first, second]
    assert orders("c", 1)[0] != first


def test_the_global_generators_stay_untouched(output: Path) -> None:
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    measure(SPACE, [0, 1], output, TINY, passes=1, repeats=1)
    assert (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before  # noqa: NPY002


def test_progress_counts_networks_over_all_passes(output: Path) -> None:
    calls: list[tuple[int, int]] = []
    small(output, Fake(), n=20, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(0, 40), (16, 40), (20, 40), (36, 40), (40, 40)]


# -- what a stop leaves -----------------------------------------------------------------------------------


@pytest.mark.parametrize("prepared_before", [0, 1, 6, 17, 31, 62, 76])
def test_an_interrupted_measurement_goes_on_where_it_was(output: Path, prepared_before: int) -> None:
    n = 40
    stopped = Fake(interrupt_after=prepared_before)
    with pytest.raises(KeyboardInterrupt):
        small(output, stopped, n=n)
    assert not stopped.inside
    assert not output.exists()
    kept = entries_of(output)
    # The anchor comes first. Whole blocks of a pass of 40 are 16, 16 and 8 networks.
    boundaries = [0, 16, 32, 40, 56, 72, 80]
    assert len(kept) == max(boundary for boundary in boundaries if boundary <= max(prepared_before - 1, 0))

    resumed = Fake()
    calls: list[tuple[int, int]] = []
    table = small(output, resumed, n=n, progress=lambda done, total: calls.append((done, total)))
    assert calls[0] == (len(kept), 80)
    assert calls[-1] == (80, 80)
    assert resumed.prepared[0] == ANCHOR
    assert len(resumed.prepared[1:]) == 80 - len(kept)
    entries = entries_of(output)
    assert entries[: len(kept)] == kept
    assert max(Counter((entry["pass"], entry["arch"]) for entry in entries).values()) == 1
    assert len(entries) == 80
    assert np.array_equal(table.archs, SPACE.sample(n, 0))
    assert not np.isnan(table.costs).any()


def test_a_finished_measurement_measures_nothing_again(output: Path) -> None:
    first = small(output, Fake())
    journal = Path(f"{output}.journal").read_bytes()
    again = Fake(interrupt_after=0)
    calls: list[tuple[int, int]] = []
    second = small(output, again, progress=lambda done, total: calls.append((done, total)))
    assert again.prepared == again.runs == []
    assert calls == [(40, 40)]
    assert Path(f"{output}.journal").read_bytes() == journal
    assert second.fingerprint == first.fingerprint
    assert second.meta == first.meta


def test_more_architectures_later_measure_only_the_new_ones(output: Path) -> None:
    archs = SPACE.sample(20, 0)
    measure(SPACE, archs[:12], output, TINY, runtime=Fake())  # type: ignore[arg-type]
    fake = Fake()
    table = measure(SPACE, archs, output, TINY, runtime=fake)  # type: ignore[arg-type]
    assert Counter(fake.prepared) == {ANCHOR: 1, **dict.fromkeys(SPACE.format_all(archs[12:]), 2)}
    assert len(table) == 20
    # Fewer need nothing new. They are told for the machine as it usually was while they ran.
    fewer = measure(SPACE, archs[3:7], output, TINY, runtime=Fake(interrupt_after=0))  # type: ignore[arg-type]
    moved = fewer.meta["anchor"]["median_ms"] / table.meta["anchor"]["median_ms"]
    assert fewer.costs == pytest.approx(table.costs[3:7] * moved, rel=1e-9)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"repeats": 4}, "repeats"),
        ({"passes": 1}, "passes"),
        ({"warmup": 2}, "warmup"),
        ({"random_state": 1}, "random_state"),
        ({"device": "other"}, "device"),
    ],
)
def test_other_settings_are_refused(output: Path, changed: dict[str, Any], named: str) -> None:
    small(output, Fake())
    before = output.read_bytes()
    fake = Fake()
    with pytest.raises(MeasurementError, match=rf"\(different: {named}\)"):
        small(output, fake, **changed)
    assert fake.prepared == []
    assert output.read_bytes() == before


def test_another_config_or_space_is_refused(output: Path) -> None:
    measure(SPACE, [0], output, TINY, runtime=Fake())  # type: ignore[arg-type]
    with pytest.raises(MeasurementError, match=r"\(different: config\)"):
        measure(SPACE, [0], output, "cifar10", runtime=Fake())  # type: ignore[arg-type]
    with pytest.raises(MeasurementError, match=r"\(different: anchor, config, space\)"):
        measure("fbnet", [[0] * 22], output, runtime=Fake())  # type: ignore[arg-type]


def test_the_journal_of_something_else_is_refused(output: Path) -> None:
    Path(f"{output}.journal").write_text("my notes\n")
    with pytest.raises(DataFileError, match="is not the journal of a measurement"):
        small(output, Fake())


KILLED = """
import sys, time
from hwnas_surrogate.measure import measure
from hwnas_surrogate.spaces import NASBench201Config, get_space
space = get_space("nasbench201")
measure(space, space.sample(20, 0), sys.argv[1], NASBench201Config(C=4, N=1, height=8, width=8), repeats=3,
        progress=lambda done, total: time.sleep(60 if done else 0))
"""


@pytest.mark.slow
def test_a_kill_loses_no_line_and_the_rest_is_measured_after(output: Path) -> None:
    journal = Path(f"{output}.journal")
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(output)])
    try:
        deadline = time.monotonic() + 60
        while not journal.exists() or journal.read_bytes().count(b"\n") < 1 + BLOCK:
            assert child.poll() is None, "the child ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert child.returncode == -signal.SIGKILL
    assert not output.exists()
    kept = entries_of(output)
    assert len(kept) == BLOCK

    table = measure(SPACE, SPACE.sample(20, 0), output, TINY, repeats=3)
    entries = entries_of(output)
    assert entries[: len(kept)] == kept
    assert Counter((entry["pass"], entry["arch"]) for entry in entries) == {
        (number, text): 1 for number in (0, 1) for text in SPACE.format_all(table.archs)
    }
    assert load_table(output).fingerprint == table.fingerprint
    assert [entry.name for entry in sorted(output.parent.iterdir())] == [output.name, journal.name]


# -- what is refused before anything is measured ----------------------------------------------------------


@pytest.mark.parametrize(
    ("archs", "more", "told"),
    [
        ([], {}, "nothing to measure"),
        ([3, 4, 3], {}, "more than once"),
        ([0], {"passes": 0}, "passes must be an integer of at least 1, got 0"),
        ([0], {"repeats": -1}, "repeats must be an integer of at least 1, got -1"),
        ([0], {"repeats": 2.0}, "repeats must be an integer"),
        ([0], {"passes": True}, "passes must be an integer"),
        ([0], {"warmup": -1}, "warmup must be an integer of at least 0, got -1"),
        ([0], {"random_state": -1}, "random_state must be an integer of at least 0, got -1"),
        ([0], {"random_state": None}, "random_state must be an integer of at least 0, got None"),
        ([0], {"device": "a/b"}, "without '/'"),
        ([0], {"config": "cifar11"}, "Did you mean 'cifar10"),
        ([99999], {}, "99999"),
    ],
)
def test_bad_input_is_refused_before_a_journal_is_written(
    output: Path, archs: list[int], more: dict[str, Any], told: str
) -> None:
    fake = Fake()
    with pytest.raises(ValueError, match=told):  # of ours: every one is a child of ValueError
        measure(SPACE, archs, output, **{"config": TINY, "runtime": fake, **more})
    assert fake.prepared == []
    assert list(output.parent.iterdir()) == []


def test_a_config_that_cannot_be_built_is_refused_before_a_journal_is_written(output: Path) -> None:
    fbnet = get_space("fbnet")
    grouped = next(number for number, op in enumerate(fbnet.ops) if "g2" in op)
    odd = FBNetConfig(stage_channels=(15, 24, 32, 64, 112, 184, 352))
    with pytest.raises(InvalidConfigError, match="divisible by 2, got 16 -> 15"):
        measure(fbnet, [[grouped] * 22], output, odd, runtime=Fake())  # type: ignore[arg-type]
    assert list(output.parent.iterdir()) == []


def test_an_anchor_that_cannot_be_built_is_refused_before_a_journal_is_written(output: Path) -> None:
    fbnet = get_space("fbnet")
    # The anchor groups the channels of the last layer but one, of the stage with 185; the others need no group.
    assert "g2" in fbnet.ops[fbnet.sample(1, 0)[0][20]]
    odd = FBNetConfig(stage_channels=(16, 24, 32, 64, 112, 185, 352))
    plain = [[fbnet.ops.index("k3_e1")] * 22]
    fbnet.layers(fbnet.as_array(plain), odd)
    with pytest.raises(InvalidConfigError, match="at layer 20 needs channels divisible by 2, got 185"):
        measure(fbnet, plain, output, odd, runtime=Fake())  # type: ignore[arg-type]
    assert list(output.parent.iterdir()) == []


# -- what the table says ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1], ids=["anchor-asked", "anchor-not-asked"])
def test_costs_and_spread_by_hand_from_the_journal(output: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    table = small(output, Clocked(monkeypatch, noise(0)), seed=seed, repeats=5)
    scaled = scaled_by_hand(output)
    for row, text in enumerate(SPACE.format_all(table.archs)):
        runs = sorted(scaled[0, text] + scaled[1, text])
        assert len(runs) == 10
        assert table.costs[row, 0] == pytest.approx((runs[4] + runs[5]) / 2)
        # Quartiles of 10 values lie a quarter of the way from the third to the fourth, and mirrored.
        lower, upper = runs[2] + (runs[3] - runs[2]) / 4, runs[7] - (runs[7] - runs[6]) / 4
        assert table.spread is not None
        assert table.spread[row, 0] == pytest.approx(upper - lower)


def raw_medians(output: Path, table: CostTable) -> npt.NDArray[np.float64]:
    """Return the median of each network's runs as they were."""
    entries = entries_of(output)
    return np.array(
        [
            np.median([ns for entry in entries if entry["arch"] == text for ns in entry["ns"]])
            for text in SPACE.format_all(table.archs)
        ]
    )


@pytest.mark.parametrize("seed", [0, 1], ids=["anchor-asked", "anchor-not-asked"])
def test_a_drift_of_the_machine_is_taken_out(output: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    drift = [1.0, 1.7, 0.6, 2.3, 1.2, 0.9]
    fake = Clocked(monkeypatch, lambda text, block, _: round(base(text) * drift[block]))
    table = small(output, fake, n=40, seed=seed)
    texts = SPACE.format_all(table.archs)
    bases = np.array([base(text) for text in texts], float)
    assert len(fake.blocks()) == len(drift)
    assert table.meta["anchor"]["architecture"] == ANCHOR
    # Costs are those of the machine as it usually was, whatever the block.
    usual = table.meta["anchor"]["median_ms"] / base(ANCHOR)
    assert table.costs[:, 0] == pytest.approx(bases * usual, rel=1e-6)
    assert table.spread is not None
    assert (table.spread[:, 0] < 1e-6 * table.costs[:, 0]).all()
    told = table.meta["repeatability"]
    assert told["kendall_tau"] == pytest.approx(1.0)
    assert told["median_relative_difference"] < 1e-6
    # The runs as they were would put networks in the wrong order.
    raw = raw_medians(output, table)
    assert np.ptp(raw / bases) > 0.1
    assert kendalltau(raw, bases).statistic < 0.95
    if seed == 0:
        assert table.costs[texts.index(ANCHOR), 0] == pytest.approx(table.meta["anchor"]["median_ms"])


def test_a_drift_between_a_stop_and_going_on_is_taken_out(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        small(output, Clocked(monkeypatch, lambda text, *_: base(text), interrupt_after=1 + 20 + 7))
    assert len(entries_of(output)) == 20
    table = small(output, Clocked(monkeypatch, lambda text, *_: 3 * base(text)))
    bases = np.array([base(text) for text in SPACE.format_all(table.archs)], float)
    # Half of the entries at 1, half at 3: twice as slow as the first.
    assert table.costs[:, 0] == pytest.approx(bases * 2 / 1e6, rel=1e-6)
    assert table.meta["anchor"]["median_ms"] == pytest.approx(base(ANCHOR) * 2 / 1e6)


def test_meta_tells_the_anchor_and_its_drift_by_hand(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drift = [2, 1, 3, 4]  # blocks of 16, 2, 16 and 2 networks
    # The last of the three runs is disturbed: a median takes no notice.
    fake = Clocked(monkeypatch, lambda text, block, earlier: base(text) * drift[block] * (50 if earlier == 2 else 1))
    table = small(output, fake, n=18, seed=1, warmup=0)
    anchor = table.meta["anchor"]
    assert set(anchor) == {"architecture", "median_ms", "percentiles_5_95_ms"}
    assert anchor["architecture"] == ANCHOR
    # In order, the 36 entries are 2 at 1, 16 at 2, 16 at 3, 2 at 4. The 5th percentile lies at 0.05 * 35 = 1.75,
    # three quarters from 1 to 2; the 95th at 33.25, a quarter from 3 to 4.
    ms = base(ANCHOR) / 1e6
    assert anchor["median_ms"] == pytest.approx(2.5 * ms)
    assert anchor["percentiles_5_95_ms"] == pytest.approx([1.75 * ms, 3.25 * ms])
    assert table.meta["protocol"]["block"] == BLOCK == 16
    assert "anchor" in table.meta["protocol"]["estimator"]
    # An entry holds the anchor's runs in its own block.
    for place, entry in enumerate(entries_of(output)):
        now = base(ANCHOR) * drift[np.searchsorted([16, 18, 34], place, side="right")]
        assert entry["anchor_ns"] == [now, now, 50 * now]


def test_costs_are_milliseconds(output: Path) -> None:
    slow = SPACE.format(3)
    fake = Fake(spin=lambda text: {slow: 4e-3, ANCHOR: 1e-3}.get(text, 0.0))
    table = measure(SPACE, [1, 2, 3], output, TINY, runtime=fake, repeats=3)  # type: ignore[arg-type]
    (target,) = table.targets
    assert (str(target), target.unit) == ("fake/latency", "ms")
    assert table.lookup(3).iloc[0, 0] >= 4.0
    assert table.lookup([1, 2]).max().max() < 4.0
    assert table.meta["anchor"]["median_ms"] >= 1.0


def test_meta_tells_how_it_was_made(output: Path) -> None:
    table = small(output, Fake(), repeats=3, warmup=2, random_state=5)
    protocol = table.meta["protocol"]
    assert {key: protocol[key] for key in ("passes", "repeats", "warmup", "random_state")} == {
        "passes": 2,
        "repeats": 3,
        "warmup": 2,
        "random_state": 5,
    }
    assert "median" in protocol["estimator"]
    assert table.meta["environment"] == environment()
    assert "licence" not in table.meta  # a measurement belongs to who made it
    assert table.configs == (TINY,)


def test_repeatability_compares_the_medians_of_two_passes(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = small(output, Clocked(monkeypatch, noise(1)), repeats=3)
    scaled = scaled_by_hand(output)
    medians: list[list[float]] = [[], []]
    for text in SPACE.format_all(table.archs):
        for number in (0, 1):
            medians[number].append(sorted(scaled[number, text])[1])
    told = table.meta["repeatability"]
    assert told["kendall_tau"] == pytest.approx(kendalltau(*medians).statistic)
    differences = sorted(abs(b / a - 1) for a, b in zip(*medians, strict=True))
    assert told["median_relative_difference"] == pytest.approx((differences[9] + differences[10]) / 2)


@pytest.mark.parametrize(("n", "passes"), [(1, 2), (5, 1)])
def test_repeatability_is_untold_where_there_is_nothing_to_compare(output: Path, n: int, passes: int) -> None:
    assert small(output, Fake(), n=n, passes=passes).meta["repeatability"] == {}


def test_the_file_holds_the_same_table(output: Path) -> None:
    table = small(output, Fake(), device="bench")
    read = load_table(output)
    assert isinstance(read, CostTable)
    assert read.fingerprint == table.fingerprint
    assert read.meta == table.meta
    assert read.devices == table.devices == {"bench": Device("bench", "no hardware", "no runtime")}
    assert read.spread is not None
    assert np.array_equal(read.spread, table.spread)  # type: ignore[arg-type]


# -- real networks under torch ----------------------------------------------------------------------------


def test_a_measured_table_trains_a_surrogate(output: Path) -> None:
    measure(SPACE, SPACE.sample(12, 0), output, TINY, passes=1, repeats=2, device="host")
    table = load_table(output, dataset=str(TINY))
    assert isinstance(table, CostTable)
    assert (table.costs > 0).all()
    surrogate = Surrogate(encoder="counts").fit(table.archs, table.costs[:, 0], table.row_configs)
    predicted = surrogate.predict(SPACE.sample(5, 1), TINY)
    assert predicted.shape == (5,)
    assert (predicted > 0).all()


def test_six_convolutions_take_longer_than_none(output: Path) -> None:
    ops = SPACE.ops
    archs = [[ops.index("none")] * 6, [ops.index("nor_conv_3x3")] * 6]
    table = measure(SPACE, archs, output, NASBench201Config(N=2), passes=1, repeats=5)
    empty, full = table.costs[:, 0]
    assert 0 < 1.5 * empty < full
    (device,) = table.devices.values()
    assert device.name == "cpu-torch-1t"


def test_fbnet_can_be_measured(output: Path) -> None:
    fbnet = get_space("fbnet")
    table = measure(fbnet, [[len(fbnet.ops) - 1] * 22], output, passes=1, repeats=1, warmup=0)
    assert table.space is fbnet
    assert table.costs[0, 0] > 0


class Stopped(TorchEager):
    def prepare(self, space: SearchSpace, arch: npt.NDArray[np.int8], config: NetworkConfig) -> Callable[[], object]:
        assert torch.get_num_threads() == self.threads
        assert torch.is_inference_mode_enabled()
        raise KeyboardInterrupt


def test_threads_and_gradients_are_put_back_even_after_a_stop(output: Path) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with pytest.raises(KeyboardInterrupt):
            measure(SPACE, [0], output, TINY, runtime=Stopped(2))
        assert torch.get_num_threads() == 3
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()
        measure(SPACE, [0], output, TINY, runtime=TorchEager(2))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [0, -1, 1.0, True, "2"])
def test_threads_must_be_a_positive_integer(threads: Any) -> None:
    with pytest.raises(InvalidInputError, match="threads must be an integer of at least 1, got"):
        TorchEager(threads)


def test_the_runtime_describes_the_host_as_a_device() -> None:
    one, two = TorchEager().device("mine"), TorchEager(2).device("mine")
    assert (one.name, one.batch, one.source) == ("mine", 1, "measured")
    assert one.hardware == environment()["cpu"] != ""
    assert one.runtime == f"torch {torch.__version__} eager float32, 1 thread"
    assert two.runtime.endswith("2 threads")
    assert TorchEager(2).default_name == "cpu-torch-2t"


def test_the_environment_is_plain_and_complete() -> None:
    told = environment()
    assert json.loads(json.dumps(told)) == told
    assert told["torch"] == torch.__version__
    assert told["cores"] == os.cpu_count()
    assert set(told) == {"cpu", "cores", "system", "python", "torch", "numpy", "hwnas_surrogate"}
