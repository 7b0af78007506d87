"""Layer lists against a slow walk through both networks, written here from the specification of the networks."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas_surrogate.spaces import (
    FBNetConfig,
    Layer,
    Layers,
    NASBench201Config,
    NetworkConfig,
    SearchSpace,
    get_space,
)
from hwnas_surrogate.spaces.layers import LayerPlan

NASBENCH201, FBNET = get_space("nasbench201"), get_space("fbnet")
SPACES = pytest.mark.parametrize("space", [NASBENCH201, FBNET], ids=["nasbench201", "fbnet"])
Call = tuple[Any, ...]
"""(kind, c_in, c_out, height, width, kernel, stride, groups, macs, params, activation bytes, int8): Layer's fields."""


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
        self.add("conv", c_out, kernel, stride, groups, macs, params, 4 * (read + written))
        self.shape = (c_out, tall, wide)

    def avg_pool(self, kernel: int, stride: int, padding: int) -> None:
        channels, height, width = self.shape
        tall, wide = ((size + 2 * padding - kernel) // stride + 1 for size in (height, width))
        touched = channels * height * width + channels * tall * wide
        self.add("avg_pool", channels, kernel, stride, 1, 0, 0, 4 * touched)
        self.shape = (channels, tall, wide)

    def elementwise(self, kind: str, params: int = 0, groups: int = 1) -> None:
        channels, height, width = self.shape
        touched = 0 if kind == "identity" else 2 * channels * height * width
        self.add(kind, channels, 1, 1, groups, 0, params, 4 * touched)

    def head(self, num_classes: int) -> None:
        channels, height, width = self.shape
        self.add("global_pool", channels, height, height, 1, 0, 0, 4 * (channels * height * width + channels))
        self.shape = (channels, 1, 1)
        weights = channels * num_classes
        self.add("linear", num_classes, 1, 1, 1, weights, weights + num_classes, 4 * (channels + num_classes))

    def add(self, kind: str, c_out: int, *rest: int) -> None:
        channels, height, width = self.shape
        self.calls.append((kind, channels, c_out, height, width, *rest, False))


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
    elif op == "skip_connect":
        net.elementwise("identity")
    elif op == "nor_conv_1x1":
        net.conv(net.shape[0], 1)
    elif op == "nor_conv_3x3":
        net.conv(net.shape[0], 3)
    else:
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
        if c_in == c_out and stride == 1:
            net.elementwise("identity")
        else:
            net.conv(c_out, 1, stride)
        return
    kernel, expansion = int(block[1]), int(block[4])
    groups = 2 if block.endswith("_g2") else 1
    net.conv(c_in * expansion, 1, groups=groups)
    if groups > 1:
        net.elementwise("shuffle", groups=groups)
    net.conv(c_in * expansion, kernel, stride, groups=c_in * expansion)
    net.conv(c_out, 1, groups=groups)


def walk(space: SearchSpace, ops: list[int], view: str, config: NetworkConfig) -> list[Call]:
    """Return the calls of one architecture; what runs in a view has its own tests beside each space."""
    runs = space.executed([ops], view, config)[0].tolist()  # type: ignore[arg-type]
    if isinstance(config, FBNetConfig):
        return walk_fbnet(ops, runs, config)
    assert isinstance(config, NASBench201Config)
    return walk_nasbench201(ops, runs, config) if any(runs) else []


def calls_of(layers: Layers) -> Iterator[Counter[Call]]:
    """Yield what the package says about each architecture, in the form of the slow walk."""
    for row in layers.counts:
        assert (row == row.astype(int)).all()
        yield Counter({dataclasses.astuple(layer): int(n) for layer, n in zip(layers.distinct, row, strict=True) if n})


# -- equal to the slow walk -------------------------------------------------------------------------------

nasbench201_configs = st.builds(
    NASBench201Config,
    st.integers(1, 40),
    st.integers(1, 6),
    st.integers(1, 200),
    st.integers(1, 4),
    height=st.integers(1, 20).map(lambda quarter: 4 * quarter),
    width=st.integers(1, 20).map(lambda quarter: 4 * quarter),
)
even = st.integers(1, 100).map(lambda half: 2 * half)
strides = st.integers(1, 2)
fbnet_configs = st.builds(
    FBNetConfig, even, st.tuples(*[even] * 7), st.integers(1, 500), st.integers(1, 200), strides,
    st.tuples(*[strides] * 7), st.integers(1, 4), st.integers(1, 70), st.integers(1, 70),
)  # fmt: skip


@st.composite
def cases(draw: st.DrawFn, space: SearchSpace) -> tuple[list[list[int]], str, NetworkConfig]:
    own = nasbench201_configs if space is NASBENCH201 else fbnet_configs
    config = draw(st.sampled_from(list(space.configs.values())) | own)
    op = st.integers(0, len(space.ops) - 1)
    arch = st.lists(op, min_size=space.n_positions, max_size=space.n_positions)
    return draw(st.lists(arch, min_size=1, max_size=3)), draw(st.sampled_from(["all", "live", "compiled"])), config


@SPACES
@settings(deadline=None)
@given(data=st.data())
def test_layers_are_those_of_a_slow_walk(space: SearchSpace, data: st.DataObject) -> None:
    archs, view, config = data.draw(cases(space))
    layers = space.layers(archs, config, view)  # type: ignore[arg-type]
    expected = [walk(space, ops, view, config) for ops in archs]
    assert list(calls_of(layers)) == list(map(Counter, expected))
    for number, name in enumerate(("macs", "params", "activation_bytes"), start=8):
        assert getattr(layers, name).tolist() == [sum(call[number] for call in calls) for calls in expected]


@SPACES
def test_published_configs_are_those_of_a_slow_walk(space: SearchSpace) -> None:
    archs = space.sample(20, 0).tolist()
    for config in space.configs.values():
        for view in ("all", "live", "compiled"):
            layers = space.layers(archs, config, view)
            assert list(calls_of(layers)) == [Counter(walk(space, ops, view, config)) for ops in archs]


@pytest.mark.real_data
@pytest.mark.parametrize("field", ["macs", "params"])
def test_nasbench201_networks_of_the_oracle(shared_data: Path, field: str) -> None:
    oracle = json.loads((shared_data / "network_oracle.json").read_text())
    configs = oracle["meta"]["configs"]
    texts = {arch["id"]: arch["arch_str"] for arch in oracle["nasbench201"]["archs"]}
    records = oracle["nasbench201"]["records"]
    assert len(records) == 39
    for record in records:
        layers = NASBENCH201.layers(texts[record["arch"]], configs[record["config"]])
        assert getattr(layers, field).tolist() == [record[field]]


@pytest.mark.real_data
@pytest.mark.parametrize("field", ["macs", "params"])
def test_fbnet_networks_of_the_oracle(shared_data: Path, field: str) -> None:
    oracle = json.loads((shared_data / "network_oracle.json").read_text())["fbnet"]
    ops = {arch["id"]: arch["op_idx_list"] for arch in oracle["archs"]}
    assert len(oracle["records"]) == 14
    for record in oracle["records"]:
        layers = FBNET.layers(ops[record["arch"]], record["dataset"])
        assert getattr(layers, field).tolist() == [record[field]]


CUT_OFF = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|none~0|none~1|none~2|"


def test_dead_edges_count_in_the_view_all_only() -> None:
    assert not NASBENCH201.connected(CUT_OFF)[0]
    fixed = NASBENCH201.layers([[0] * 6]).macs[0]
    conv3x3 = (NASBENCH201.layers([[3] * 6]).macs[0] - fixed) / 6
    assert NASBENCH201.layers(CUT_OFF).macs.tolist() == [fixed + 3 * conv3x3]
    for view in ("live", "compiled"):
        layers = NASBENCH201.layers(CUT_OFF, view=view)
        assert [layers.macs[0], layers.params[0], layers.activation_bytes[0]] == [0, 0, 0]


@pytest.mark.parametrize(
    "documented",
    [SearchSpace.layers, Layers.macs, Layers.params, Layers.activation_bytes],
    ids=["layers", "macs", "params", "activation_bytes"],
)
def test_what_is_summed_is_documented(documented: object) -> None:
    assert "view" in (documented.__doc__ or "")


@pytest.mark.real_data
def test_a_cut_off_network_costs_next_to_nothing_where_a_converter_removes_it(shared_data: Path) -> None:
    with np.load(shared_data / "nasbench201_latency.npz") as arrays:
        texts, costs = arrays["arch_str"].tolist(), arrays["raspi4"]
    assert round(float(costs[texts.index(CUT_OFF)]), 3) == 0.012
    assert round(float(np.median(costs)), 1) == 25.7


def test_a_fbnet_skip_that_changes_the_shape_is_a_convolution() -> None:
    all_skip = [8] * 22
    (calls,) = calls_of(FBNET.layers(all_skip, "cifar100", "compiled"))
    convs = sorted((c_in, c_out, height, stride) for kind, c_in, c_out, height, _, kernel, stride, *_ in calls
                   if kind == "conv" and kernel == 1 and c_out != 1504)  # fmt: skip
    assert convs == [
        (16, 24, 32, 1),
        (24, 32, 32, 2),
        (32, 64, 16, 2),
        (64, 112, 8, 1),
        (112, 184, 8, 2),
        (184, 352, 4, 1),
    ]
    assert not any(call[0] == "identity" for call in calls)


def test_nothing_is_left_of_a_nasbench201_network_that_ignores_its_input() -> None:
    all_none = [0] * 6
    for view in ("live", "compiled"):
        layers = NASBENCH201.layers([all_none], "cifar10", view)
        assert not layers.counts.any()
        assert layers.macs.tolist() == layers.params.tolist() == layers.activation_bytes.tolist() == [0]
    # Stem, two reductions and the linear layer are called all the same.
    assert NASBENCH201.layers([all_none], "cifar10", "all").macs.tolist() == [7_783_040]


# -- laws -------------------------------------------------------------------------------------------------


@SPACES
@settings(deadline=None)
@given(data=st.data())
def test_sums_are_additive_over_positions(space: SearchSpace, data: st.DataObject) -> None:
    """The cost of an architecture is that of a base plus, position by position, what each op changes."""
    (base, arch, *_), _, config = data.draw(cases(space).filter(lambda case: len(case[0]) >= 2))
    one_changed = [[*base[:p], arch[p], *base[p + 1 :]] for p in range(space.n_positions)]
    layers = space.layers([base, arch, *one_changed], config)
    for name in ("macs", "params", "activation_bytes"):
        at_base, at_arch, *changed = getattr(layers, name).tolist()
        assert at_arch == at_base + sum(value - at_base for value in changed)


@SPACES
def test_a_batch_equals_its_architectures_one_by_one(space: SearchSpace) -> None:
    archs = space.sample(30, 1)
    for view in ("all", "live", "compiled"):
        together = space.layers(archs, view=view).counts
        assert (together == np.concatenate([space.layers(arch, view=view).counts for arch in archs])).all()


@SPACES
@pytest.mark.parametrize("view", ["all", "compiled"])
def test_sums_are_the_same_to_the_bit_in_batches_of_any_size_and_order(space: SearchSpace, view: str) -> None:
    archs = space.sample(1200, 0)
    layers = space.layers(archs, view=view)  # type: ignore[arg-type]
    roots = np.column_stack(
        [np.sqrt(layers.values("macs")), 0.1 * layers.values("activation_bytes"), layers.values("macs")]
    )
    sums = layers.sums(roots)
    for part in (archs[:1], archs[:7], archs[:600]):
        assert np.array_equal(space.layers(part, view=view).sums(roots), sums[: len(part)])  # type: ignore[arg-type]
    assert np.array_equal(space.layers(archs[::-1], view=view).sums(roots)[::-1], sums)  # type: ignore[arg-type]
    slowly = [sum(calls * roots) for calls, roots in zip(layers.counts[:3, :, None], [roots] * 3, strict=True)]
    np.testing.assert_allclose(sums[:3], slowly, rtol=1e-12)


def test_cells_of_the_same_ops_have_the_same_sums_to_the_bit() -> None:
    archs = np.array([[3, 2, 4, 0, 1, 3], [3, 3, 1, 0, 4, 2], [0, 1, 2, 3, 3, 4]], np.int8)
    layers = NASBENCH201.layers(archs)
    sums = layers.sums(np.sqrt(layers.values("macs")))
    assert sums[0] == sums[1] == sums[2]


@SPACES
def test_compiled_calls_no_more_than_all(space: SearchSpace) -> None:
    archs = space.sample(2000, 0)
    whole, compiled = space.layers(archs), space.layers(archs, view="compiled")
    assert whole.distinct == compiled.distinct
    assert (compiled.counts <= whole.counts).all()
    assert compiled.counts.sum() < whole.counts.sum()


@SPACES
def test_shapes(space: SearchSpace) -> None:
    for n in (0, 1, 7):
        layers = space.layers(space.sample(n, 0))
        length = len(layers.distinct)
        assert len(layers) == n
        assert layers.counts.shape == (n, length)
        assert layers.macs.shape == layers.params.shape == layers.activation_bytes.shape == (n,)
        assert layers.values("macs").shape == (length,)
        for shape in ((), (1,), (3,), (2, 3)):
            assert layers.sums(np.ones((length, *shape))).shape == (n, *shape)


@SPACES
def test_distinct_layers_are_few_and_different(space: SearchSpace) -> None:
    for config in space.configs.values():
        distinct = space.layers(space.sample(1, 0), config).distinct
        assert len(set(distinct)) == len(distinct) < 200


@SPACES
def test_sums_weigh_the_counts(space: SearchSpace) -> None:
    layers = space.layers(space.sample(50, 0), view="compiled")
    weights = np.random.default_rng(0).integers(0, 1000, (len(layers.distinct), 2))
    assert (layers.sums(weights) == layers.counts @ weights).all()
    assert (layers.sums(weights[:, 0].tolist()) == layers.counts @ weights[:, 0]).all()


@SPACES
def test_sums_of_the_wrong_length_are_refused(space: SearchSpace) -> None:
    layers = space.layers(space.sample(2, 0))
    with pytest.raises(ValueError, match="reshape"):
        layers.sums(np.ones(len(layers.distinct) + 1))


@SPACES
def test_results_are_the_callers_own(space: SearchSpace) -> None:
    """Neither what a caller does to a result nor to the batch afterwards changes what the layers say."""
    archs = space.sample(5, 0)
    layers = space.layers(archs, view="compiled")
    counts, macs = layers.counts.copy(), layers.macs.copy()
    for result in (layers.counts, layers.macs, layers.values("macs")):
        result[...] = -1
    archs[...] = 0
    assert (layers.counts == counts).all()
    assert (layers.macs == macs).all()
    assert (space.layers(space.sample(5, 0), view="compiled").counts == counts).all()


@SPACES
def test_layers_are_frozen(space: SearchSpace) -> None:
    layers = space.layers(space.sample(1, 0))
    with pytest.raises(dataclasses.FrozenInstanceError):
        layers.archs = space.sample(1, 1)  # type: ignore[misc]
    for field in dataclasses.fields(Layer):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(layers.distinct[0], field.name, 1)


def test_more_than_127_calls_of_an_op_are_counted() -> None:
    """Counters of eight bits would wrap."""
    layer = Layer.conv(4, 4, 8, 8, 3)
    plan = LayerPlan.build([], [[[(layer, 1)], []]] * 200)
    archs = np.zeros((3, 200), np.int8)
    archs[1, :50] = 1
    assert Layers(plan, archs).macs.tolist() == [200 * layer.macs, 150 * layer.macs, 200 * layer.macs]
