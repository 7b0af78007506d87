"""Times of operators from the runtimes, kept beside the costs."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.capture import given_networks
from hwnas_surrogate.data import CostTable, Device, Target, load_table
from hwnas_surrogate.errors import InvalidGraphError, InvalidInputError, MeasurementError
from hwnas_surrogate.graphs import Graph
from hwnas_surrogate.graphs.profiled import node_times
from hwnas_surrogate.measure import (
    LiteRT,
    OnnxRuntime,
    Protocol,
    Runtime,
    Torch,
    measure,
    measure_blocks,
    measure_networks,
)
from hwnas_surrogate.measure.runtimes import Ncnn, OnnxRuntimeInt8, OpenVINO
from hwnas_surrogate.measure.subjects import ArchSubject
from hwnas_surrogate.measure.tabulating import profiled
from hwnas_surrogate.measure.worker import Networks
from hwnas_surrogate.runner.engine import Operator
from hwnas_surrogate.runner.onnx_engines import OnnxRuntimeEngine
from hwnas_surrogate.runner.prepared import Prepared
from hwnas_surrogate.runner.protocol import Readings
from hwnas_surrogate.spaces import NASBench201Config, get_space
from tests.measure.fake_runtimes import ops_of
from tests.measure.in_process import InProcess

SPACE = get_space("nasbench201")
SMALL = NASBench201Config(C=16, N=1, height=16, width=16)
QUICK = Protocol(passes=1, repeats=3, max_repeats=3, half_width=9.0)


MODELS = """
import torch
from torch import nn


def networks():
    image = torch.zeros(1, 3, 16, 16)
    return {f"convs{n}": (nn.Sequential(nn.Conv2d(3, n, 3), nn.ReLU()).eval(), image) for n in (4, 8)}
"""


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas_surrogate.measure.session.Worker", InProcess)


@pytest.mark.parametrize("runtime", [Torch(), OnnxRuntime(), OpenVINO()], ids=lambda runtime: runtime.name)
def test_operators_are_timed_after_the_passes(runtime: Runtime, tmp_path: Path) -> None:
    output = tmp_path / "mine.parquet"
    first = measure("nasbench201", [7, 8], output, SMALL, runtime=runtime, protocol=QUICK)
    assert first.operators == {}
    # The same measurement goes on: nothing is timed again but the operators.
    table = measure("nasbench201", [7, 8], output, SMALL, runtime=runtime, protocol=replace(QUICK, profile=3))
    assert np.array_equal(table.costs, first.costs)
    assert load_table(output).operators.keys() == table.operators.keys()  # type: ignore[union-attr]
    ((target, times),) = table.operators.items()
    assert target == table.targets[0]
    assert table.meta["profile"] == {"networks": 2, "failed": {}}
    for row, of_nodes in enumerate(times):
        assert of_nodes is not None
        graph = SPACE.graph(table.archs[row], SMALL)
        assert len(of_nodes) == len(graph)
        convolutions = np.array([node.op.kind == "conv" for node in graph.nodes])
        assert (of_nodes[convolutions] > 0).all()
        assert 0.2 < of_nodes.sum() / table.costs[row, 0] < 200  # ms: others may interrupt one of the three runs


@pytest.mark.parametrize("runtime", [OnnxRuntime(batch=2), OpenVINO(batch=2)], ids=lambda runtime: runtime.name)
def test_operators_of_a_batch(runtime: Runtime, tmp_path: Path) -> None:
    protocol = replace(QUICK, passes=1, profile=2)
    table = measure("nasbench201", [8000], tmp_path / "t.parquet", SMALL, runtime=runtime, protocol=protocol)
    assert table.meta["profile"] == {"networks": 1, "failed": {}}
    [times] = table.operators[table.targets[0]]
    assert times is not None
    nodes = SPACE.graph(8000, SMALL).nodes
    assert (times[[node.op.kind == "conv" for node in nodes]] > 0).all()


@pytest.mark.parametrize("runtime", [OnnxRuntimeInt8(), Ncnn()], ids=lambda runtime: runtime.name)
def test_branches_that_run_in_another_order(runtime: Runtime) -> None:
    # Each operator's time is made the number of its weights: the branches have kernels of 1x1 and 3x3. ONNX Runtime
    # runs some of them in float32, on weights that it dequantizes, and others in int8, on weights that it packs.
    if isinstance(runtime, Ncnn):
        pytest.importorskip("pnnx", reason="the extra ncnn is not installed")
    arch = "|skip_connect~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_1x1~2|"
    reported = runtime.operators(ArchSubject("nasbench201", arch, str(SMALL)).build(), 1)
    convolutions = [each._replace(ms=float(each.stored)) for each in reported if "Conv" in each.kind]
    graph = SPACE.graph(arch, SMALL)
    times = node_times(graph, convolutions)
    for node, ms in zip(graph.nodes, times, strict=True):
        assert ms == (node.op.weights[0].numel if node.op.kind == "conv" else 0)


def test_a_runtime_without_times_of_operators(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"runtime litert reports no times of operators.*torch, onnxruntime"):
        measure("nasbench201", [7], tmp_path / "t.parquet", runtime=LiteRT(), protocol=replace(QUICK, profile=3))
    with pytest.raises(InvalidInputError, match="blocks are operators of a network already"):
        measure_blocks(tmp_path / "t.parquet", protocol=replace(QUICK, profile=3))


def test_a_profile_that_fails_costs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reported(self: Torch, network: object, runs: int = 20) -> list[Operator]:
        if runs == 3:
            raise ValueError("no profiler here")
        return [Operator("a", "aten::conv2d", 1.0), Operator("b", "aten::linear", 1.0)]  # of another network

    monkeypatch.setattr(Torch, "operators", reported)
    failing = replace(QUICK, profile=3)
    table = measure("nasbench201", [7], tmp_path / "t.parquet", SMALL, runtime=Torch(), protocol=failing)
    assert (table.costs > 0).all()
    assert table.operators == {}
    assert list(table.meta["profile"]["failed"].values()) == ["ValueError: no profiler here"]
    strange = replace(QUICK, profile=4)
    table = measure("nasbench201", [7], tmp_path / "u.parquet", SMALL, runtime=Torch(), protocol=strange)
    assert (table.costs > 0).all()
    (why,) = table.meta["profile"]["failed"].values()
    assert why.startswith("the profile is not one of this network: of its ")


def test_a_profile_that_does_not_add_up_costs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime reports microseconds."""
    operators = Torch.operators

    def reported(self: Torch, network: Any, runs: int = 20) -> list[Operator]:
        return [operator._replace(ms=1e3 * operator.ms) for operator in operators(self, network, runs)]

    monkeypatch.setattr(Torch, "operators", reported)
    protocol = replace(QUICK, profile=2)
    table = measure("nasbench201", [7], tmp_path / "t.parquet", SMALL, runtime=Torch(), protocol=protocol)
    assert (table.costs > 0).all()
    assert table.operators == {}
    (why,) = table.meta["profile"]["failed"].values()
    assert "must add up to about its cost of" in why


def test_a_network_that_the_runtime_refuses_is_kept_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = Torch.load

    def refusing(self: Torch, network: Any) -> Any:
        if ops_of(network.module()[0]) == SPACE.at(8)[0].tolist():
            raise RuntimeError("no kernel for it")
        return load(self, network)

    monkeypatch.setattr(Torch, "load", refusing)
    output, protocol = tmp_path / "t.parquet", replace(QUICK, profile=2)
    table = measure("nasbench201", [7, 8], output, SMALL, runtime=Torch(), protocol=protocol)
    assert np.isnan(table.costs[:, 0]).tolist() == [False, True]
    assert table.why_missing().iloc[:, 0].tolist() == ["", "RuntimeError: no kernel for it"]
    assert [times is None for times in table.operators[table.targets[0]]] == [False, True]
    assert table.meta["profile"] == {"networks": 1, "failed": {}}
    again = load_table(output)
    assert again.why_missing().equals(table.why_missing())  # type: ignore[union-attr]


@pytest.mark.parametrize("given", [False, True], ids=["architectures", "given"])
def test_a_run_without_a_profile_keeps_the_one_before(given: bool, tmp_path: Path) -> None:
    output, models = tmp_path / "mine.parquet", tmp_path / "models.py"
    models.write_text(MODELS)

    def measured(n: int, protocol: Protocol) -> CostTable:
        if given:
            networks = given_networks([f"{models}:networks"])[:n]
            return measure_networks(networks, output, runtime=Torch(), protocol=protocol)
        return measure("nasbench201", [7, 8][:n], output, SMALL, runtime=Torch(), protocol=protocol)

    first = measured(1, replace(QUICK, profile=2))
    again = measured(2, replace(QUICK, passes=2))
    (before,), (after, none) = first.operators[first.targets[0]], again.operators[again.targets[0]]
    assert np.array_equal(after, before)  # type: ignore[arg-type]
    assert none is None
    assert again.meta["profile"] == {"networks": 1, "failed": {}}
    read = load_table(output)
    assert np.array_equal(read.operators[again.targets[0]][0], before)  # type: ignore[union-attr, arg-type]


def test_a_profile_of_another_version_of_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime was updated between the costs and the profile."""
    output = tmp_path / "mine.parquet"
    measure("nasbench201", [7], output, SMALL, runtime=Torch(), protocol=QUICK)
    before = output.read_bytes(), Path(f"{output}.journal").read_bytes()
    monkeypatch.setattr(Torch, "describe", lambda _: "torch 99")
    said = r"other settings \(different: device\): the runtime was 'torch 2.*', and is 'torch 99, 1 thread' now\. Use"
    with pytest.raises(MeasurementError, match=said):
        measure("nasbench201", [7], output, SMALL, runtime=Torch(), protocol=replace(QUICK, profile=2))
    assert (output.read_bytes(), Path(f"{output}.journal").read_bytes()) == before


def test_a_network_that_can_not_be_captured_keeps_its_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def uncaptured(*_: object) -> Graph:
        raise InvalidGraphError("it branches on its input")

    monkeypatch.setattr(type(SPACE), "graph", uncaptured)
    protocol = replace(QUICK, profile=2)
    table = measure("nasbench201", [7], tmp_path / "t.parquet", SMALL, runtime=Torch(), protocol=protocol)
    assert (table.costs > 0).all()
    assert table.meta["profile"] == {"networks": 0, "failed": {table.names[0]: "it branches on its input"}}


def test_failures_of_an_architecture_under_two_configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Torch, "operators", lambda *_: [Operator("a", "aten::conv2d", 1.0)])
    configs = [SMALL, replace(SMALL, C=8)]
    protocol = replace(QUICK, profile=2)
    table = measure("nasbench201", [7, 7], tmp_path / "t.parquet", configs, runtime=Torch(), protocol=protocol)
    assert list(table.meta["profile"]["failed"]) == [f"{table.names[0]} under {config}" for config in configs]


def test_what_a_time_limit_leaves() -> None:
    subjects = [ArchSubject("nasbench201", arch, str(SMALL)) for arch in ("a", "b")]
    readings = Readings(QUICK, [{"profile": [list(subjects[0].key)]}, {"unprofiled": 1, "why": "no kernel"}])
    graph_of, costs = (lambda row: SPACE.graph(row, SMALL)), np.ones(2)
    readings.protocol = replace(QUICK, profile=2)
    times, told = profiled(subjects, readings, graph_of, Device("cpu"), costs)
    assert times == {Target("cpu", "latency"): [None, None]}
    assert told == {"networks": 0, "failed": {"a": "no kernel"}, "left": 1}
    readings.protocol = QUICK  # nothing more was requested
    assert profiled(subjects, readings, graph_of, Device("cpu"), costs)[1] == {
        "networks": 0,
        "failed": {"a": "no kernel"},
    }


def test_the_journal_by_hand() -> None:
    entries = [
        {"pass": 0, "subjects": [["a", "", ""], ["b", "", ""]]},
        {"profile": [["b", "", ""], ["a", "", ""]]},
        {"operators": [["conv", "Conv", 1.5, 64, 8]], "number": 2},
        {"unprofiled": 1, "why": "no kernel"},
    ]
    readings = Readings(QUICK, json.loads(json.dumps(entries)))
    assert readings.reading(("a", "", "")).operators == [Operator("conv", "Conv", 1.5, 64, 8)]
    assert readings.reading(("b", "", "")).unprofiled == "no kernel"
    assert readings.reading(("b", "", "")).failure == ""
    assert readings.is_profiled(("a", "", ""))
    assert readings.is_profiled(("b", "", ""))
    assert not readings.is_profiled(("c", "", ""))


def test_a_converted_network_is_kept_for_the_next_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted = []
    convert = OnnxRuntime.convert

    def counted(self: OnnxRuntime, network: object, folder: Path) -> object:
        converted.append(folder)
        return convert(self, network, folder)  # type: ignore[arg-type]

    monkeypatch.setattr(OnnxRuntime, "convert", counted)
    protocol = replace(QUICK, passes=2, profile=2)
    measure("nasbench201", [7, 8], tmp_path / "t.parquet", SMALL, runtime=OnnxRuntime(), protocol=protocol)
    assert len(converted) == 3  # with the anchor
    assert not any(folder.exists() for folder in converted)  # the measurement has ended


class TestAFullDisk:
    """The disk fills up while converted networks are kept."""

    @staticmethod
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def test_networks_are_not_kept_then(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Prepared, "save", self.full)
        networks = Networks(OnnxRuntime(), tmp_path)
        networks.load(ArchSubject("nasbench201", SPACE.format(SPACE.at(7)), str(SMALL)).message())()
        assert list(tmp_path.iterdir()) == []

    def test_no_network_has_failed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        output = tmp_path / "t.parquet"
        first = measure("nasbench201", [7], output, SMALL, runtime=OnnxRuntime(), protocol=QUICK)
        profile = replace(QUICK, profile=2)
        with monkeypatch.context() as patch:
            patch.setattr(OnnxRuntimeEngine, "operators", self.full)
            with pytest.raises(MeasurementError, match=r"nothing can be measured any more: OSError: .*No space left"):
                measure("nasbench201", [7], output, SMALL, runtime=OnnxRuntime(), protocol=profile)
            patch.setattr(OnnxRuntimeEngine, "load", self.full)
            with pytest.raises(MeasurementError, match="No space left"):
                measure("nasbench201", [7, 8], output, SMALL, runtime=OnnxRuntime(), protocol=QUICK)
        table = measure("nasbench201", [7], output, SMALL, runtime=OnnxRuntime(), protocol=profile)
        assert np.array_equal(table.costs, first.costs)
        assert table.meta["profile"] == {"networks": 1, "failed": {}}
