"""The simulated accelerator: what is summed, what is kept, and what an operator is to the simulator."""

from __future__ import annotations

import importlib.metadata
import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.data import Device, Target, read_parquet
from hwnas_surrogate.errors import InvalidInputError, MeasurementError, MissingExtraError
from hwnas_surrogate.graphs import VIEWS, GraphBuilder, Op
from hwnas_surrogate.measure import simulate, simulator
from hwnas_surrogate.spaces import FBNetConfig, NASBench201Config, NetworkConfig, get_space

SPACE, FBNET = get_space("nasbench201"), get_space("fbnet")
ARCHS = SPACE.sample(5, 0)
SMALL = NASBench201Config(C=4, N=1, height=8, width=8)
FLAT = NASBench201Config(C=4, N=2, num_classes=3, height=8, width=12)
ODD = FBNetConfig(4, (4, 4, 6, 6, 8, 8, 10), 12, 5, 2, height=19, width=30)


class Fake:
    """A simulator that notes what it is asked, and may stop at the n-th question."""

    def __init__(self, error: BaseException | None = None, at: int = -1) -> None:
        self.asked: list[Op] = []
        self.error, self.at = error, at

    def __call__(self, op: Op) -> tuple[float, float]:
        if self.error is not None and len(self.asked) == self.at:
            raise self.error
        self.asked.append(op)
        return self.result(op)

    @staticmethod
    def result(op: Op) -> tuple[float, float]:
        """Return cycles and pJ, other ones for every operator."""
        rng = np.random.default_rng(list(repr(op).encode()))
        return float(rng.integers(10**6)), float(rng.random())


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"1.2.3 of {name}")
    return tmp_path / "made" / "table.parquet"


@pytest.fixture
def run(output: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that simulates with a fake: its table, and what the fake was asked."""

    def simulated(
        archs: Any, configs: Any = SMALL, fake: Fake | None = None, space: Any = SPACE, **options: Any
    ) -> Any:
        chosen = Fake() if fake is None else fake
        monkeypatch.setattr(simulator, "_run", chosen)
        return simulate(space, archs, output, configs, **options), chosen.asked

    return simulated


def called(arch: Any, config: NetworkConfig, space: Any = SPACE) -> Counter[Op]:
    """Count the operators of a network that compute something of their own, batch norms folded."""
    kinds = ("conv", "matmul", "avg_pool", "global_pool")
    counts = VIEWS["all"](space.graph(arch, config)).counts
    return Counter({op: count for op, count in counts.items() if op.kind in kinds})


def by_hand(arch: Any, config: NetworkConfig, space: Any = SPACE) -> list[float]:
    """Return ms at 200 MHz, and mJ."""
    results = [(Fake.result(op), count) for op, count in called(arch, config, space).items()]
    return [sum(cycles * n for (cycles, _), n in results) / 200_000, sum(pj * n for (_, pj), n in results) / 10**9]


@pytest.mark.parametrize(
    ("space", "configs"),
    [(SPACE, [SMALL] * 5), (SPACE, [SMALL, FLAT, FLAT, SMALL, FLAT]), (FBNET, [ODD] * 5)],
    ids=["one-config", "two-configs", "fbnet"],
)
def test_costs_are_sums_over_operators(run: Any, output: Path, space: Any, configs: Any) -> None:
    steps: list[tuple[int, int]] = []
    archs = space.sample(5, 0)
    table, asked = run(archs, configs, space=space, progress=lambda *step: steps.append(step))
    pairs = list(zip(archs, configs, strict=True))
    assert Counter(asked) == Counter({op for arch, config in pairs for op in called(arch, config, space)})
    assert table.costs == pytest.approx(np.array([by_hand(arch, config, space) for arch, config in pairs]), rel=1e-12)
    assert (table.archs.tolist(), table.row_configs) == (archs.tolist(), configs)
    assert steps == [(done, len(asked)) for done in range(len(asked) + 1)]
    assert table.targets == (Target("eyeriss-like", "latency"), Target("eyeriss-like", "energy"))  # in ms and mJ
    hardware, runtime = "14 x 12 Eyeriss-like array at 200 MHz", "zigzag-dse 1.2.3 of zigzag-dse"
    assert table.devices == {"eyeriss-like": Device("eyeriss-like", hardware, runtime, 1, "estimated")}
    assert table.meta["protocol"]["layers"] == len(asked)
    assert "cpu" in table.meta["environment"]
    assert read_parquet(output).fingerprint == table.fingerprint


def test_what_is_known_is_not_simulated_again(run: Any) -> None:
    first, asked = run(ARCHS[:2])
    again, nothing = run(ARCHS[:2])
    assert (nothing, again.costs.tolist()) == ([], first.costs.tolist())
    larger, new = run(ARCHS, [SMALL, SMALL, SMALL, FLAT, FLAT])
    assert new
    assert not set(new) & set(asked)
    assert larger.costs[3] == pytest.approx(by_hand(ARCHS[3], FLAT))
    published, _ = run(ARCHS[0], None)  # and the default config
    assert published.costs[0] == pytest.approx(by_hand(ARCHS[0], SPACE.configs["cifar10"]))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MeasurementError("no mapping")], ids=lambda e: type(e).__name__)
def test_a_stop_keeps_the_finished_operators(run: Any, output: Path, error: BaseException) -> None:
    stopped = Fake(error, at=3)
    with pytest.raises(type(error)):
        run(ARCHS, fake=stopped)
    assert not output.exists()
    journal = Path(f"{output}.journal")
    assert len(journal.read_text().splitlines()) == 1 + 3
    journal.write_bytes(journal.read_bytes()[:-5])  # as a kill amid the third line leaves it
    table, asked = run(ARCHS)
    assert asked[0] == stopped.asked[2]
    assert Counter(asked + stopped.asked[:2]) == Counter({op for arch in ARCHS for op in called(arch, SMALL)})
    assert table.costs == pytest.approx(np.array([by_hand(arch, SMALL) for arch in ARCHS]), rel=1e-12)


def test_what_can_not_be_resumed(run: Any) -> None:
    with pytest.raises(InvalidInputError, match="/dev/null is a pipe or a device"):
        simulate(SPACE, ARCHS, "/dev/null", SMALL)
    assert not Path("/dev/null.journal").exists()


def test_another_version_does_not_mix(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run(ARCHS[:1])
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "4")
    with pytest.raises(MeasurementError, match=r"other settings \(different: device\)"):
        run(ARCHS[:1])


def test_no_architectures(run: Any, output: Path) -> None:
    with pytest.raises(InvalidInputError, match="nothing to simulate: no architectures were given"):
        run([])
    assert not output.parent.exists()


def test_a_missing_simulator_is_told_first(run: Any, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(MissingExtraError, match=r"the extra 'simulator', for .* is not installed: pip install"):
        run(ARCHS)
    assert not output.parent.exists()


def test_the_journal_holds_the_operators(run: Any, output: Path) -> None:
    _, asked = run(ARCHS[:1])
    _, *entries = map(json.loads, Path(f"{output}.journal").read_text().splitlines())
    assert [Op.from_dict(entry["op"]) for entry in entries] == asked
    assert [(entry["cycles"], entry["pj"]) for entry in entries] == [Fake.result(op) for op in asked]


def conv(c_in: int, c_out: int, height: int, width: int, kernel: int, stride: int = 1, groups: int = 1) -> Op:
    build = GraphBuilder()
    x = build.conv(build.input((1, c_in, height, width)), c_out, kernel, stride, groups=groups)
    (op,) = VIEWS["all"](build.graph(build.batch_norm(x))).ops
    return op


def linear(c_in: int, c_out: int) -> Op:
    build = GraphBuilder()
    return build.graph(build.linear(build.input((1, c_in)), c_out)).ops[0]


def avg_pool(channels: int, height: int, width: int, kernel: int, stride: int = 1, padding: int = 0) -> Op:
    build = GraphBuilder()
    x = build.input((1, channels, height, width))
    return build.graph(build.pool("avg_pool", x, kernel, stride, padding)).ops[0]


def global_pool(channels: int, height: int, width: int) -> Op:
    build = GraphBuilder()
    return build.graph(build.global_pool(build.input((1, channels, height, width)))).ops[0]


@pytest.mark.parametrize(
    ("op", "expected"),  # loops over B, G, K, C, OY, OX, FY and FX; the stride; the input's width and height
    [
        (conv(3, 8, 10, 12, 3), ([1, 1, 8, 3, 10, 12, 3, 3], 1, [12, 10])),
        (conv(8, 12, 9, 12, 5, 2, groups=4), ([1, 4, 3, 2, 5, 6, 5, 5], 2, [12, 9])),
        (conv(6, 6, 1, 1, 3, 2, groups=6), ([1, 6, 1, 1, 1, 1, 3, 3], 2, [1, 1])),
        (linear(64, 10), ([1, 1, 10, 64, 1, 1, 1, 1], 1, [1, 1])),
        (avg_pool(16, 8, 12, 3, padding=1), ([1, 16, 1, 1, 8, 12, 3, 3], 1, [12, 8])),
        (avg_pool(16, 9, 12, 2, 2), ([1, 16, 1, 1, 4, 6, 2, 2], 2, [12, 9])),
        (global_pool(16, 8, 8), ([1, 16, 1, 1, 1, 1, 8, 8], 8, [8, 8])),
        (global_pool(16, 5, 12), ([1, 16, 1, 1, 1, 1, 5, 12], 5, [12, 5])),
        (global_pool(16, 12, 5), ([1, 16, 1, 1, 1, 1, 12, 5], 12, [5, 12])),
    ],
    ids=lambda value: value.kind if isinstance(value, Op) else "",
)
def test_an_operator_as_loops(op: Op, expected: tuple[list[int], int, list[int]]) -> None:
    workload = simulator._workload(op)
    loops, stride, size = expected
    assert workload is not None
    assert workload["loop_dims"] + workload["pr_loop_dims"] == ["B", "G", "K", "C", "OY", "OX", "FY", "FX", "IX", "IY"]
    assert (workload["loop_sizes"], workload["pr_loop_sizes"]) == (loops, size)
    assert workload["dimension_relations"] == [f"ix={stride}*ox+1*fx", f"iy={stride}*oy+1*fy"]
    assert workload["operand_precision"] == {"O": 24, "O_final": 8, "W": 8, "I": 8}
    assert op.macs in (0, np.prod(workload["loop_sizes"]))  # a pool has none


@pytest.mark.parametrize("space", [SPACE, FBNET], ids=lambda space: space.name)
def test_what_is_done_on_the_way_out_is_no_loop(space: Any) -> None:
    ops = {op for arch in space.sample(5, 0) for op in VIEWS["all"](space.graph(arch)).ops}
    assert {"relu", "add", "view"} < {op.kind for op in ops}
    for op in ops:
        computes = op.kind in ("conv", "matmul", "avg_pool", "global_pool")
        assert (simulator._workload(op) is not None) == computes


def test_the_simulator_itself() -> None:
    pytest.importorskip("zigzag", reason="needs the extra simulator")
    root, logger = logging.getLogger(), logging.getLogger("zigzag")
    before = root.level, list(root.handlers), logger.level, list(logger.handlers)
    op = linear(16, 10)
    cycles, pj = simulator._run(op)
    assert op.macs / (14 * 12) <= cycles < 100 * op.macs
    assert 0 < pj < np.inf
    assert simulator._run(global_pool(8, 3, 5)) == simulator._run(global_pool(8, 5, 3))
    assert (root.level, list(root.handlers), logger.level, list(logger.handlers)) == before


def test_an_operator_that_fails_is_named(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = pytest.importorskip("zigzag.stages.main", reason="needs the extra simulator")

    def fails(self: Any) -> Any:
        raise ValueError("no mapping")

    monkeypatch.setattr(main.MainStage, "run", fails)
    with pytest.raises(
        MeasurementError, match=r"no result for Op\(kind='conv', .*\(1, 3, 8, 8\).*ValueError: no mapping"
    ):
        simulate(SPACE, ARCHS, output, SMALL)
    assert logging.getLogger("zigzag").level == logging.NOTSET
    assert not output.exists()
