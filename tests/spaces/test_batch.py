"""Batches of architectures: against a slow walk through both networks, written here from their specification."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas_surrogate.errors import InvalidConfigError, InvalidInputError
from hwnas_surrogate.graphs import VIEWS, Graph, GraphBatch, NetworkBatch, Op, View
from hwnas_surrogate.spaces import (
    ArchBatch,
    FBNet,
    FBNetConfig,
    NASBench201Config,
    NATSBenchSizeConfig,
    NetworkConfig,
    SearchSpace,
    as_batch,
    get_space,
)

NASBENCH201, FBNET = get_space("nasbench201"), get_space("fbnet")
CONFIGS: dict[str, list[NetworkConfig]] = {
    "nasbench201": [
        NASBench201Config(N=1),
        NASBench201Config(C=8, N=2, height=16, width=24),
        NASBench201Config(N=4),
    ],
    "fbnet": [FBNET.config("cifar100"), FBNET.config("ImageNet")],
    "natsbench-size": [NATSBenchSizeConfig(), NATSBenchSizeConfig(num_classes=7, height=16, width=24)],
}
SPACES = pytest.mark.parametrize("space", [get_space(name) for name in CONFIGS], ids=CONFIGS)
WALKED_SPACES = pytest.mark.parametrize("space", [NASBENCH201, FBNET], ids=["nasbench201", "fbnet"])
EVERY_VIEW = pytest.mark.parametrize("view", VIEWS)
WALKED = frozenset({"conv", "avg_pool", "global_pool", "matmul", "zero", "copy", "batch_norm"})
"""Kinds that the slow walk counts."""
Call = tuple[Any, ...]
"""(kind, shape read, shape written, kernel, stride, groups, macs, params, activation bytes)."""


# -- the slow walk ----------------------------------------------------------------------------------------


class Walk:
    """Walk through a network: the shape so far, and every call made on the way."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        self.shape = (channels, height, width)
        self.calls: list[Call] = []

    def conv(self, c_out: int, kernel: int, stride: int = 1, groups: int = 1, batch_norm: bool = True) -> None:
        c_in, height, width = self.shape
        tall, wide = ((size + 2 * (kernel // 2) - kernel) // stride + 1 for size in (height, width))
        weights = c_out * c_in // groups * kernel * kernel
        macs = sum(weights // c_out for _ in range(c_out)) * tall * wide
        params = weights + (c_out + c_out if batch_norm else 0)
        read, written = c_in * height * width, c_out * tall * wide
        self.add("conv", (c_out, tall, wide), kernel, stride, groups, macs, params, 4 * (read + written))

    def avg_pool(self, kernel: int, stride: int, padding: int) -> None:
        channels, height, width = self.shape
        tall, wide = ((size + 2 * padding - kernel) // stride + 1 for size in (height, width))
        touched = channels * height * width + channels * tall * wide
        self.add("avg_pool", (channels, tall, wide), kernel, stride, 1, 0, 0, 4 * touched)

    def elementwise(self, kind: str, params: int = 0) -> None:
        channels, height, width = self.shape
        self.add(kind, self.shape, 1, 1, 1, 0, params, 4 * 2 * channels * height * width)

    def shuffle(self, groups: int) -> None:
        """Copy the channels in another order: seen as groups on the way."""
        channels, height, width = whole = self.shape
        self.shape = (channels // groups, groups, height, width)  # type: ignore[assignment]
        self.add("copy", self.shape, 1, 1, 1, 0, 0, 4 * 2 * channels * height * width)
        self.shape = whole

    def head(self, num_classes: int) -> None:
        channels, height, width = self.shape
        self.add("global_pool", (channels, 1, 1), 1, 1, 1, 0, 0, 4 * (channels * height * width + channels))
        self.shape = (channels,)  # type: ignore[assignment]
        weights = channels * num_classes
        self.add("matmul", (num_classes,), 1, 1, 1, weights, weights + num_classes, 4 * (channels + num_classes))

    def add(self, kind: str, written: tuple[int, ...], *rest: int) -> None:
        self.calls.append((kind, self.shape, written, *rest))
        self.shape = written  # type: ignore[assignment]


def walk_nasbench201(ops: list[int], runs: list[bool], config: NASBench201Config) -> list[Call]:
    """Walk stem, 3 x N cells with 2 reductions, BN, pooling and linear layer; only edges that run are called."""
    net = Walk(*config.input_shape)
    net.conv(config.C, 3)
    for stage in range(3):
        if stage:
            before, channels = net.shape, config.C * 2**stage
            net.avg_pool(2, 2, 0)
            net.conv(channels, 1, batch_norm=False)
            shortcut, net.shape = net.shape, before
            net.conv(channels, 3, stride=2)
            net.conv(channels, 3)
            assert net.shape == shortcut
        for _ in range(config.N):
            before = net.shape
            for op, called in zip(ops, runs, strict=True):
                if called:
                    call_op(net, NASBENCH201.ops[op])
                    assert net.shape == before
    net.elementwise("batch_norm", params=2 * net.shape[0])
    net.head(config.num_classes)
    return net.calls


def call_op(net: Walk, op: str) -> None:
    if op == "none":
        net.elementwise("zero")
    elif op == "nor_conv_1x1":
        net.conv(net.shape[0], 1)
    elif op == "nor_conv_3x3":
        net.conv(net.shape[0], 3)
    elif op == "avg_pool_3x3":
        net.avg_pool(3, 1, 1)


def walk_fbnet(ops: list[int], runs: list[bool], config: FBNetConfig) -> list[Call]:
    """Walk stem, 22 blocks, header, pooling and linear layer; only blocks that run are called."""
    net = Walk(*config.input_shape)
    net.conv(config.stem_channels, 3, config.stem_stride)
    layer = 0
    stages = zip((1, 4, 4, 4, 4, 4, 1), config.stage_channels, config.stage_strides, strict=True)
    for n_layers, channels, stage_stride in stages:
        for inside in range(n_layers):
            if runs[layer]:
                call_block(net, FBNET.ops[ops[layer]], channels, 1 if inside else stage_stride)
            layer += 1
    net.conv(config.header_channels, 1)
    net.head(config.num_classes)
    return net.calls


def call_block(net: Walk, block: str, c_out: int, stride: int) -> None:
    c_in = net.shape[0]
    if block == "skip":
        if c_in != c_out or stride != 1:
            net.conv(c_out, 1, stride)
        return
    kernel, expansion = int(block[1]), int(block[4])
    groups = 2 if block.endswith("_g2") else 1
    net.conv(c_in * expansion, 1, groups=groups)
    if groups > 1:
        net.shuffle(groups)
    net.conv(c_in * expansion, kernel, stride, groups=c_in * expansion)
    net.conv(c_out, 1, groups=groups)


def walk(space: SearchSpace, ops: list[int], view: str, config: NetworkConfig) -> list[Call]:
    """Return the calls of one architecture; what runs in a view has its own tests beside each space."""
    runs = space.executed([ops], view, config)[0].tolist()
    if isinstance(config, FBNetConfig):
        return walk_fbnet(ops, runs, config)
    assert isinstance(config, NASBench201Config)
    return walk_nasbench201(ops, runs, config) if any(runs) else []


def counted(batch: NetworkBatch, view: View) -> list[Counter[Op]]:
    """Return how often each network runs each operator."""
    ops = batch.distinct(view)
    counts = batch.sums(np.eye(len(ops)), view)
    assert (counts == counts.astype(int)).all()
    found = [Counter[Op]() for _ in range(len(batch))]
    for network, place in np.argwhere(counts):
        found[network][ops[place]] += int(counts[network, place])
    return found


def calls_of(batch: NetworkBatch, view: View) -> list[Counter[Call]]:
    """Return what the package says about each architecture, in the form of the slow walk."""
    result = []
    for ops in counted(batch, view):
        calls = Counter[Call]()
        for op, times in ops.items():
            if op.kind in WALKED:
                (read, *_), (written,) = op.inputs, op.outputs
                assert read.shape[0] == written.shape[0] == 1
                assert set(op.kernel) <= {op.kernel[0] if op.kernel else 1}
                kernel, stride = (op.kernel or (1,))[0], (op.stride or (1,))[0]
                figures = op.macs, op.params, op.activation_bytes
                calls[op.kind, read.shape[1:], written.shape[1:], kernel, stride, op.groups, *figures] += times
        result.append(calls)
    return result


# -- equal to the slow walk -------------------------------------------------------------------------------

pixels = st.integers(1, 20).map(lambda quarter: 4 * quarter)
input_shapes = st.integers(1, 200), st.integers(1, 4), pixels, pixels
even = st.integers(1, 100).map(lambda half: 2 * half)
strides = st.integers(1, 2)
OWN_CONFIGS: dict[str, st.SearchStrategy[NetworkConfig]] = {
    "nasbench201": st.builds(NASBench201Config, st.integers(1, 40), st.integers(1, 6), *input_shapes),
    "fbnet": st.builds(
        FBNetConfig, even, st.tuples(*[even] * 7), st.integers(1, 500), st.integers(1, 200), strides,
        st.tuples(*[strides] * 7), st.integers(1, 4), st.integers(1, 70), st.integers(1, 70),
    ),
}  # fmt: skip


def configs_of(space: SearchSpace) -> st.SearchStrategy[NetworkConfig]:
    return st.sampled_from(list(space.configs.values())) | OWN_CONFIGS[space.name]


def archs_of(space: SearchSpace, least: int = 1, most: int = 3) -> st.SearchStrategy[list[list[int]]]:
    op = st.integers(0, len(space.ops) - 1)
    arch = st.lists(op, min_size=space.n_positions, max_size=space.n_positions)
    return st.lists(arch, min_size=least, max_size=most)


@WALKED_SPACES
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_operators_are_those_of_a_slow_walk(space: SearchSpace, data: st.DataObject) -> None:
    archs, config = data.draw(archs_of(space)), data.draw(configs_of(space))
    view: Any = data.draw(st.sampled_from(["all", "live", "folded"]))
    batch = space.batch(archs, config)
    expected = [walk(space, ops, view, config) for ops in archs]
    assert calls_of(batch, view) == list(map(Counter, expected))
    assert batch.total("macs", view).tolist() == [sum(call[6] for call in calls) for calls in expected]
    assert batch.total("params", view).tolist() == [sum(call[7] for call in calls) for calls in expected]


@WALKED_SPACES
@pytest.mark.parametrize("view", ["all", "live", "folded"])
def test_published_configs_are_those_of_a_slow_walk(space: SearchSpace, view: Any) -> None:
    archs = space.sample(20, 0).tolist()
    for config in space.configs.values():
        batch = space.batch(archs, config)
        expected = [walk(space, ops, view, config) for ops in archs]
        assert calls_of(batch, view) == list(map(Counter, expected))
        if view == "all":
            assert batch.macs.tolist() == [sum(call[6] for call in calls) for calls in expected]
            assert batch.params.tolist() == [sum(call[7] for call in calls) for calls in expected]


@pytest.mark.real_data
@pytest.mark.parametrize("field", ["macs", "params"])
def test_nasbench201_networks_of_the_oracle(shared_data: Path, field: str) -> None:
    oracle = json.loads((shared_data / "network_oracle.json").read_text())
    configs = oracle["meta"]["configs"]
    texts = {arch["id"]: arch["arch_str"] for arch in oracle["nasbench201"]["archs"]}
    records = oracle["nasbench201"]["records"]
    assert len(records) == 39
    batch = NASBENCH201.batch(
        [texts[record["arch"]] for record in records], [configs[record["config"]] for record in records]
    )
    assert getattr(batch, field).tolist() == [record[field] for record in records]


@pytest.mark.real_data
@pytest.mark.parametrize("field", ["macs", "params"])
def test_fbnet_networks_of_the_oracle(shared_data: Path, field: str) -> None:
    oracle = json.loads((shared_data / "network_oracle.json").read_text())["fbnet"]
    ops = {arch["id"]: arch["op_idx_list"] for arch in oracle["archs"]}
    assert len(oracle["records"]) == 14
    for record in oracle["records"]:
        batch = FBNET.batch(ops[record["arch"]], record["dataset"])
        assert getattr(batch, field).tolist() == [record[field]]


CUT_OFF = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|none~0|none~1|none~2|"


def test_dead_edges_count_where_all_that_is_called_does() -> None:
    cut_off = NASBENCH201.batch(CUT_OFF)
    assert not cut_off.connected[0]
    fixed = NASBENCH201.batch([[0] * 6]).macs[0]
    conv3x3 = (NASBENCH201.batch([[3] * 6]).macs[0] - fixed) / 6
    assert cut_off.macs.tolist() == [fixed + 3 * conv3x3]
    view: Any
    for view in ("fused", "quantized"):
        assert cut_off.total("macs", view).tolist() == [fixed + 3 * conv3x3]
    for view in ("live", "folded"):
        assert cut_off.total("macs", view).tolist() == cut_off.total("params", view).tolist() == [0]
        assert cut_off.total("activation_bytes", view)[0] < 1000


@pytest.mark.parametrize("documented", [SearchSpace.batch, NetworkBatch.macs], ids=["batch", "macs"])
def test_what_is_summed_is_documented(documented: object) -> None:
    assert '"live"' in (documented.__doc__ or "")


@pytest.mark.real_data
def test_a_cut_off_network_costs_next_to_nothing_where_a_converter_removes_it(shared_data: Path) -> None:
    with np.load(shared_data / "nasbench201_latency.npz") as arrays:
        texts, costs = arrays["arch_str"].tolist(), arrays["raspi4"]
    assert round(float(costs[texts.index(CUT_OFF)]), 3) == 0.012
    assert round(float(np.median(costs)), 1) == 25.7


def test_a_fbnet_skip_that_changes_the_shape_is_a_convolution() -> None:
    (calls,) = calls_of(FBNET.batch([8] * 22, "cifar100"), "folded")
    convs = sorted((read[0], written[0], read[1], stride) for kind, read, written, kernel, stride, *_ in calls
                   if kind == "conv" and kernel == 1 and written[0] != 1504)  # fmt: skip
    assert convs == [
        (16, 24, 32, 1),
        (24, 32, 32, 2),
        (32, 64, 16, 2),
        (64, 112, 8, 1),
        (112, 184, 8, 2),
        (184, 352, 4, 1),
    ]


@SPACES
@EVERY_VIEW
def test_identities_are_no_operators(space: SearchSpace, view: View) -> None:
    assert not {op.kind for op in space.batch(space.sample(3, 0)).distinct(view)} & {"identity", "skip"}


@pytest.mark.parametrize("view", ["live", "folded"])
def test_constants_are_left_of_a_nasbench201_network_that_ignores_its_input(view: Any) -> None:
    all_none = NASBENCH201.batch([[0] * 6], "cifar10")
    (left,) = counted(all_none, view)
    assert [(op.kind, op.outputs[0].shape, times) for op, times in left.items()] == [
        ("constant", (1, 64), 1),
        ("constant", (1, 10), 1),
    ]
    assert all_none.total("macs", view).tolist() == all_none.total("params", view).tolist() == [0]
    # Stem, two reductions and the linear layer are called all the same.
    assert all_none.macs.tolist() == [7_783_040]


# -- equal to the graphs ----------------------------------------------------------------------------------


@SPACES
@EVERY_VIEW
def test_operators_are_those_of_the_graphs(space: SearchSpace, view: View) -> None:
    for config in CONFIGS[space.name]:
        batch = space.batch(space.sample(25, 4), config)
        graphs = GraphBatch([space.graph(arch, config) for arch in space.sample(25, 4)])
        assert counted(batch, view) == counted(graphs, view)
        assert set(graphs.distinct(view)) <= set(batch.distinct(view))


@WALKED_SPACES
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_operators_are_those_of_the_graphs_under_any_config(space: SearchSpace, data: st.DataObject) -> None:
    archs, config = data.draw(archs_of(space, 1, 2)), data.draw(configs_of(space))
    batch = space.batch(archs, config)
    graphs = batch.graphs()
    for view in VIEWS:
        assert counted(batch, view) == counted(graphs, view), view  # type: ignore[arg-type]


@pytest.mark.slow
@EVERY_VIEW
@pytest.mark.parametrize(
    ("space", "config", "n"),
    [(NASBENCH201, NASBench201Config(N=2), 600), (FBNET, None, 300), (get_space("natsbench-size"), None, 200)],
    ids=["nasbench201", "fbnet", "natsbench-size"],
)
def test_operators_are_those_of_many_graphs(space: SearchSpace, config: NetworkConfig, n: int, view: View) -> None:
    batch = space.batch(space.sample(n, 5), config)
    for arch, graph, ops in zip(batch.archs, many_graphs(space, config, n), counted(batch, view), strict=True):
        assert ops == VIEWS[view](graph).counts, arch


@cache
def many_graphs(space: SearchSpace, config: NetworkConfig | None, n: int) -> list[Graph]:
    """Return the graphs of n architectures, which all views begin with."""
    return [space.graph(arch, config) for arch in space.sample(n, 5)]


@SPACES
def test_graphs_are_those_of_each_architecture(space: SearchSpace) -> None:
    archs, configs = space.sample(4, 0), [CONFIGS[space.name][row % 2] for row in range(4)]
    graphs = space.batch(archs, configs).graphs()
    assert isinstance(graphs, GraphBatch)
    assert graphs.graphs == tuple(space.graph(arch, config) for arch, config in zip(archs, configs, strict=True))


# -- laws -------------------------------------------------------------------------------------------------


@WALKED_SPACES
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_sums_are_additive_over_positions(space: SearchSpace, data: st.DataObject) -> None:
    """The cost of an architecture is that of a base plus, position by position, what each op changes."""
    base, arch = data.draw(archs_of(space, 2, 2))
    one_changed = [[*base[:p], arch[p], *base[p + 1 :]] for p in range(space.n_positions)]
    batch = space.batch([base, arch, *one_changed], data.draw(configs_of(space)))
    for name in ("macs", "params", "activation_bytes"):
        at_base, at_arch, *changed = getattr(batch, name).tolist()
        assert at_arch == at_base + sum(value - at_base for value in changed)


@SPACES
@EVERY_VIEW
def test_a_batch_equals_its_architectures_one_by_one(space: SearchSpace, view: View) -> None:
    archs = space.sample(10, 1)
    together = space.batch(archs)
    alone = [space.batch(arch) for arch in archs]
    assert all(one.distinct(view) == together.distinct(view) for one in alone)
    eye = np.eye(len(together.distinct(view)))
    assert np.array_equal(together.sums(eye, view), np.concatenate([one.sums(eye, view) for one in alone]))
    assert together.keys == tuple(key for one in alone for key in one.keys)


@SPACES
@EVERY_VIEW
def test_several_configs_at_once_equal_each_alone(space: SearchSpace, view: View) -> None:
    configs = CONFIGS[space.name]
    archs, which = space.sample(40, 2), np.random.default_rng(0).integers(0, len(configs), 40)
    together = space.batch(archs, [configs[number] for number in which])
    assert set(together.configs) == set(configs)
    assert [together.configs[number] for number in together.config_number] == [configs[number] for number in which]
    roots = {op: np.sqrt(1.0 + place) for place, op in enumerate(together.distinct(view))}
    assert len(roots) == len(together.distinct(view))
    summed = together.sums([roots[op] for op in together.distinct(view)], view)
    for number, config in enumerate(configs):
        mine = which == number
        alone = space.batch(archs[mine], config)
        assert set(alone.distinct(view)) <= set(together.distinct(view))
        assert counted(together.take(mine), view) == counted(alone, view)
        assert alone.sums([roots[op] for op in alone.distinct(view)], view).tolist() == summed[mine].tolist()
        for figure in ("macs", "params", "activation_bytes"):
            told = together.total(figure, view)[mine]  # type: ignore[arg-type]
            assert told.tolist() == alone.total(figure, view).tolist()  # type: ignore[arg-type]


@SPACES
@EVERY_VIEW
def test_sums_are_the_same_to_the_bit_in_batches_of_any_size_and_order(space: SearchSpace, view: View) -> None:
    archs = space.sample(1200, 0)
    batch = space.batch(archs)
    macs, moved = (
        np.array([getattr(op, name) for op in batch.distinct(view)], float) for name in ("macs", "activation_bytes")
    )
    roots = np.column_stack([np.sqrt(macs), 0.1 * moved, macs])
    sums = batch.sums(roots, view)
    for rows in (slice(0, 1), slice(0, 7), slice(0, 600), slice(None, None, -1)):
        assert np.array_equal(space.batch(archs[rows]).sums(roots, view), sums[rows])
    assert np.array_equal(batch.sums(roots[:, 0], view), sums[:, 0])
    counts = batch.sums(np.eye(len(roots)), view)
    np.testing.assert_allclose(sums, counts @ roots, rtol=1e-10)


def test_cells_of_the_same_ops_have_the_same_sums_to_the_bit() -> None:
    archs = np.array([[3, 2, 4, 0, 1, 3], [3, 3, 1, 0, 4, 2], [0, 1, 2, 3, 3, 4]], np.int8)
    batch = NASBENCH201.batch(archs)
    sums = batch.sums(np.sqrt([op.macs for op in batch.distinct()]))
    assert sums[0] == sums[1] == sums[2]


@SPACES
@pytest.mark.parametrize("view", ["live", "folded"])
def test_no_view_runs_more_of_an_operator_than_all(space: SearchSpace, view: View) -> None:
    batch = space.batch(space.sample(500, 0))
    for whole, left in zip(counted(batch, "all"), counted(batch, view), strict=True):
        assert all(times <= whole[op] for op, times in left.items() if op.kind != "constant")
    assert (batch.total("macs", view) <= batch.macs).all()
    assert (batch.total("macs", view).sum() < batch.macs.sum()) == (space is NASBENCH201)


@SPACES
@pytest.mark.parametrize("view", ["fused", "quantized"])
def test_what_runs_as_one_or_in_int8_multiplies_as_much(space: SearchSpace, view: View) -> None:
    for config in CONFIGS[space.name]:
        batch = space.batch(space.sample(500, 0), config)
        assert np.array_equal(batch.total("macs", view), batch.macs)
        assert np.array_equal(batch.total("params", view), batch.params)


@SPACES
def test_fusing_moves_less_and_only_quantizing_makes_int8(space: SearchSpace) -> None:
    batch = space.batch(space.sample(500, 0))
    assert (batch.total("activation_bytes", "fused") < batch.activation_bytes).all()
    for view in VIEWS:
        in_int8 = [op.dtype == "int8" for op in batch.distinct(view)]  # type: ignore[arg-type]
        assert (batch.sums(in_int8, view) > 0).all() == (view == "quantized")  # type: ignore[arg-type]


@SPACES
@EVERY_VIEW
def test_batch_norms_are_part_of_the_convolution_before_them(space: SearchSpace, view: View) -> None:
    for op in space.batch(space.sample(3, 0)).distinct(view):
        if op.kind == "conv" and "batch_norm" in op.fused:
            channels = op.outputs[0].shape[1]
            assert op.fused[0] == "batch_norm"
            assert len(op.fused) == 1 or view in ("fused", "quantized")
            assert [spec.numel for spec in op.weights[1:]] == [channels, channels]
            assert [spec.numel for spec in op.buffers] == [channels, channels]


@SPACES
@EVERY_VIEW
def test_shapes(space: SearchSpace, view: View) -> None:
    for n in (0, 1, 7):
        batch = space.batch(space.sample(n, 0))
        length = len(batch.distinct(view))
        assert len(batch) == len(batch.keys) == n
        assert batch.macs.shape == batch.params.shape == batch.activation_bytes.shape == (n,)
        assert batch.config_number.shape == batch.repeats.shape == batch.connected.shape == (n,)
        assert batch.total("macs", view).shape == (n,)
        for shape in ((), (1,), (3,), (200,)):
            assert batch.sums(np.ones((length, *shape)), view).shape == (n, *shape)
            assert batch.sums(np.ones((length, *shape)), view).dtype == float


@SPACES
@EVERY_VIEW
def test_distinct_operators_are_few_and_different(space: SearchSpace, view: View) -> None:
    for config in (*space.configs.values(), *CONFIGS[space.name]):
        distinct = space.batch(space.sample(1, 0), config).distinct(view)
        assert len(set(distinct)) == len(distinct) < (1000 if space.name == "natsbench-size" else 300)


@EVERY_VIEW
def test_distinct_operators_are_different_where_sizes_are_alike(view: View) -> None:
    """The stem is what a cell's convolution is, if an image has as many channels as the first stage."""
    for config in ("C3-N2-k12-3x8x8", "C10-N1-k10-10x8x16", "C2-N1-k8-4x4x4"):
        batch = NASBENCH201.batch(NASBENCH201.sample(25, 3), config)
        assert counted(batch, view) == counted(batch.graphs(), view)
        assert len(set(batch.distinct(view))) == len(batch.distinct(view))


@SPACES
def test_distinct_operators_are_the_same_in_every_process(space: SearchSpace) -> None:
    """Texts have another hash in each process; operators that come from another one are equal all the same."""
    program = (
        "import pickle, sys; from hwnas_surrogate.spaces import get_space;"
        "batch = get_space(sys.argv[1]).batch([[0] * int(sys.argv[2])]);"
        "sys.stdout.buffer.write(pickle.dumps((hash(batch.distinct()), batch.distinct())))"
    )
    for seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", program, space.name, str(space.n_positions)],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True,
        )  # fmt: skip
        _, brought = pickle.loads(run.stdout)
        own = space.batch([[0] * space.n_positions]).distinct()
        assert brought == own
        assert set(brought) == set(own)


@SPACES
@EVERY_VIEW
def test_sums_weigh_the_counts(space: SearchSpace, view: View) -> None:
    batch = space.batch(space.sample(50, 0))
    counts = batch.sums(np.eye(len(batch.distinct(view))), view)
    weights = np.random.default_rng(0).integers(0, 1000, (len(batch.distinct(view)), 2))
    assert (batch.sums(weights, view) == counts @ weights).all()
    assert (batch.sums(weights[:, 0].tolist(), view) == counts @ weights[:, 0]).all()
    for figure in ("macs", "params", "activation_bytes"):
        told = [getattr(op, figure) for op in batch.distinct(view)]
        assert (batch.total(figure, view) == counts @ told).all()  # type: ignore[arg-type]


@SPACES
def test_results_are_the_callers_own(space: SearchSpace) -> None:
    """Neither what a caller does to a result nor to the architectures afterwards changes what a batch says."""
    archs = space.sample(5, 0)
    batch, again = space.batch(archs), space.batch(archs.copy())
    for result in (batch.macs, batch.sums(np.ones(len(batch.distinct()))), batch.total("macs", "fused")):
        result[...] = -1
    archs[...] = 0
    assert batch.keys == again.keys
    for view in VIEWS:
        for figure in ("macs", "params", "activation_bytes"):
            assert batch.total(figure, view).tolist() == again.total(figure, view).tolist()  # type: ignore[arg-type]


# -- keys, repeats, rows, other configs -------------------------------------------------------------------


@SPACES
def test_keys_and_repeats_tell_networks_apart(space: SearchSpace) -> None:
    a, b = space.sample(2, 0)
    one, other = CONFIGS[space.name][:2]
    networks = [(b, one), (a, other), (b, one), (a, one), (b, other), (a, other)]
    batch = space.batch([arch for arch, _ in networks], [config for _, config in networks])
    assert batch.repeats.tolist() == [0, 1, 0, 2, 3, 1]
    assert [batch.keys.index(key) for key in batch.keys] == [0, 1, 0, 3, 4, 1]
    assert batch.keys[0] == f"{space.name}/{space.format(b)}/{one}"


@SPACES
def test_repeats_are_numbered_in_the_order_of_their_appearance(space: SearchSpace) -> None:
    drawn = np.random.default_rng(0).integers(0, 30, 100)
    batch = space.batch(space.sample(30, 0)[drawn])
    number: dict[str, int] = {}
    assert batch.repeats.tolist() == [number.setdefault(key, len(number)) for key in batch.keys]
    assert batch.take(range(0, 100, 3)).repeats.max() + 1 == len(set(batch.keys[::3]))


@SPACES
def test_rows_are_taken_by_number_and_by_mask(space: SearchSpace) -> None:
    archs, configs = space.sample(9, 0), [CONFIGS[space.name][row % 2] for row in range(9)]
    batch = space.batch(archs, configs)
    mask = batch.macs > np.median(batch.macs)
    for rows in ([3, 1, 3], np.array([8]), range(9), mask, mask.tolist(), [], np.int64(4)):
        taken = batch.take(rows)
        places = np.arange(9)[rows].reshape(-1) if len(np.atleast_1d(rows)) else []  # type: ignore[index]
        assert taken.archs.tolist() == archs[places].tolist() if len(places) else not len(taken)
        assert taken.keys == tuple(batch.keys[place] for place in places)
        assert set(taken.configs) == {batch.configs[batch.config_number[place]] for place in places} or not places
        for view in VIEWS:
            assert set(taken.distinct(view)) <= set(batch.distinct(view))  # type: ignore[arg-type]
            expected = [batch.total("macs", view)[place] for place in places]  # type: ignore[arg-type]
            assert taken.total("macs", view).tolist() == expected  # type: ignore[arg-type]


@SPACES
def test_the_same_architectures_under_other_configs(space: SearchSpace) -> None:
    one, other, *_ = CONFIGS[space.name]
    third = space.config(str(one).replace("x32x32", "x48x64"))
    archs, which = space.sample(12, 0), [0, 1] * 6
    batch = space.batch(archs, [(one, other)[number] for number in which])
    moved = batch.under([other, third])
    assert moved.configs == (other, third)
    assert moved.keys == space.batch(archs, [(other, third)[number] for number in which]).keys
    alike = batch.under([third, third])
    assert alike.configs == (third,)
    assert not alike.config_number.any()
    for view in VIEWS:
        assert counted(alike, view) == counted(space.batch(archs, third), view)  # type: ignore[arg-type]
    assert batch.configs == (one, other)


@SPACES
def test_batches_know_which_networks_are_connected(space: SearchSpace) -> None:
    archs = space.sample(300, 0)
    assert space.batch(archs).connected.tolist() == space.connected(archs).tolist()


# -- what is refused --------------------------------------------------------------------------------------


@SPACES
@EVERY_VIEW
def test_values_of_another_number_are_refused(space: SearchSpace, view: View) -> None:
    one, other = CONFIGS[space.name][:2]
    archs = space.sample(2, 0)
    for batch in (space.batch(archs), space.batch(archs, [one, other]), space.batch(archs).graphs()):
        n = len(batch.distinct(view))
        for shape in ((), (n + 1,), (n - 1, 2), (1, n), (0,), (n, 2, 3)):
            with pytest.raises(InvalidInputError, match=rf"one row for each of the {n} distinct operators, got shape"):
                batch.sums(np.ones(shape), view)


@SPACES
@pytest.mark.parametrize("rows", [[4], [-1], ["a"], [0.5], [[1, 2]], [True], [True] * 5, None], ids=repr)
def test_rows_that_are_none_are_refused(space: SearchSpace, rows: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^rows must "):
        space.batch(space.sample(4, 0)).take(rows)


@SPACES
@pytest.mark.parametrize(
    "ask",
    [
        lambda batch, view: batch.distinct(view),
        lambda batch, view: batch.sums([1.0], view),
        lambda batch, view: batch.total("macs", view),
    ],
    ids=["distinct", "sums", "total"],
)
def test_an_unknown_view_is_refused(space: SearchSpace, ask: Callable[[NetworkBatch, str], Any]) -> None:
    batch = space.batch(space.sample(2, 0))
    for networks in (batch, batch.graphs()):
        with pytest.raises(InvalidInputError, match=r"unknown view 'quantised'.* Did you mean 'quantized'"):
            ask(networks, "quantised")


def test_a_network_that_cannot_be_built_is_refused() -> None:
    odd, message = FBNetConfig(stem_channels=15), r"block 'k3_e1_g2' at layer 0 needs channels divisible by 2"
    grouped, plain = [1] + [0] * 21, [0] * 22
    for ask in (
        lambda: FBNET.batch(grouped, odd),
        lambda: FBNET.batch([plain, grouped], [FBNET.default_config, odd]),
        lambda: FBNET.batch(grouped).under([odd]),
        lambda: as_batch("fbnet", grouped, odd),
    ):
        with pytest.raises(InvalidConfigError, match=message):
            ask()
    assert len(FBNET.batch([grouped, plain], [FBNET.default_config, odd])) == 2


# -- anything as a batch ----------------------------------------------------------------------------------


@SPACES
def test_networks_of_any_kind_become_a_batch(space: SearchSpace) -> None:
    archs, config = space.sample(3, 0), CONFIGS[space.name][1]
    graphs = [space.graph(arch, config) for arch in archs]
    batch = space.batch(archs, config)
    for of in (space, space.name):
        made = as_batch(of, space.format_all(archs), str(config))
        assert isinstance(made, ArchBatch)
        assert made.keys == batch.keys
        assert as_batch(of, batch) is batch
    for of in (space, None):
        for networks in (graphs, tuple(graphs)):
            assert as_batch(of, networks).keys == tuple(graph.digest for graph in graphs)
        assert as_batch(of, graphs[0]).keys == (graphs[0].digest,)
        held = GraphBatch(graphs)
        assert as_batch(of, held) is held
    assert as_batch(None, batch) is batch


def test_graphs_of_any_network_go_with_any_space() -> None:
    assert as_batch("fbnet", NASBENCH201.graph(0)).macs.tolist() == NASBENCH201.batch([0]).macs.tolist()


def test_every_object_of_a_space_is_that_space() -> None:
    batch = FBNet().batch([0] * 22)
    assert as_batch("fbnet", batch) is as_batch(FBNet(), batch) is batch


def refused() -> dict[str, tuple[Any, Any, Any, str]]:
    """Return what as_batch refuses: space, networks, configs, and what it says."""
    graph, batch = NASBENCH201.graph(3), NASBENCH201.batch([0, 1])
    mixed = "graphs and other networks can't be mixed: entry {} is {}"
    told = "expected graphs or a batch of networks, got {}.*A space's batch"
    return {
        "graphs, then an index": ("nasbench201", [graph, 3], None, mixed.format(1, "int")),
        "a string, then graphs": ("nasbench201", [NASBENCH201.format(3), graph], None, mixed.format(0, "str")),
        "a graph and a batch": (None, (graph, batch), None, mixed.format(1, "ArchBatch")),
        "graphs with a config": ("nasbench201", [graph], "cifar10", "graphs have no config: leave configs out"),
        "one graph with a config": (None, graph, "cifar10", "graphs have no config: leave configs out"),
        "graphs with configs": (None, [graph], ["cifar10"], "graphs have no config: leave configs out"),
        "a batch of graphs with a config": (None, GraphBatch([graph]), "cifar10", "graphs have no config"),
        "a batch with a config": ("nasbench201", batch, "cifar10", "a batch has its configs already: leave configs"),
        "a batch of another space": ("fbnet", batch, None, "expected networks of 'fbnet', got a batch of 'nasbench201"),
        "indices of no space": (None, [0, 1], None, told.format("list")),
        "a string of no space": (None, CUT_OFF, None, told.format("str")),
        "an array of no space": (None, np.zeros((1, 6), np.int8), None, told.format("ndarray")),
        "nothing": (None, None, None, told.format("NoneType")),
        "an unknown space": ("nasbench", [0], None, "unknown search space 'nasbench'"),
    }


@pytest.mark.parametrize("case", refused())
def test_what_is_no_batch_is_refused(case: str) -> None:
    space, networks, configs, message = refused()[case]
    with pytest.raises(InvalidInputError, match=message):
        as_batch(space, networks, configs)
