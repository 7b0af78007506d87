"""The encodings' values against slow references, written here one architecture and one operator at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import Combined, LayerSums, MergedOperators, OneHot, OpCounts
from hwnas_surrogate.graphs import VIEWS, GraphBuilder, Op, TensorSpec, View, fused, merged, quantized
from hwnas_surrogate.spaces import NASBench201Config, SearchSpace, get_space, space_names

every_space = pytest.mark.parametrize("space", [get_space(name) for name in space_names()], ids=space_names())
views_of_ops = pytest.mark.parametrize("view", ["all", "live", "folded"])


def some(space: SearchSpace) -> np.ndarray:
    """Return random architectures, and those of a single op: all `none`, all skips and the like."""
    lonely = np.array([[op] * space.n_positions for op in range(len(space.ops))], np.int8)
    return np.vstack([space.sample(30, 3), lonely])


@every_space
def test_onehot_has_a_one_where_the_op_is(space: SearchSpace) -> None:
    archs = some(space)
    encoded = OneHot(space).frame(archs)
    for row, arch in enumerate(archs):
        for position, op in zip(space.position_names, arch, strict=True):
            for number, name in enumerate(space.ops):
                assert encoded.loc[row, f"onehot:{position}={name}"] == float(number == op)


@every_space
@views_of_ops
def test_counts_are_those_of_the_ops_that_run(space: SearchSpace, view: str) -> None:
    archs = some(space)
    encoded = OpCounts(space, views=[view]).frame(archs)
    assert len(encoded.columns) == len(space.ops) + 1
    for row, arch in enumerate(archs):
        runs = space.executed(arch, view)[0]
        ops = [space.ops[op] for op, on in zip(arch, runs, strict=True) if on]
        for name in space.ops:
            assert encoded.loc[row, f"count_{view}:{name}"] == ops.count(name)
        assert encoded.loc[row, f"count_{view}:network"] == float(bool(ops))


def test_the_views_differ_where_they_should() -> None:
    dead_end = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    counts = OpCounts().frame(dead_end).iloc[0]
    assert counts["count_all:nor_conv_3x3"] == 1
    assert counts["count_live:nor_conv_3x3"] == 0
    assert (counts["count_all:none"], counts["count_live:none"], counts["count_folded:none"]) == (4, 0, 0)
    cut = OpCounts().frame([[0] * 6]).iloc[0]
    assert (cut["count_all:network"], cut["count_live:network"], cut["count_folded:network"]) == (1, 0, 0)


def test_counts_of_unknown_views_and_of_engines_are_refused() -> None:
    for view in ("fused", "quantized", "computed"):
        with pytest.raises(InvalidInputError, match=f"unknown view '{view}'"):
            OpCounts(views=[view]).transform([0])


def test_merged_counts_are_those_of_three_more_cells() -> None:
    """One cell more in each stage, between others: what the passes leave of it."""
    space = get_space("nasbench201")
    archs = some(space)
    counts = MergedOperators(space).frame(archs)
    for row, arch in enumerate(archs):
        graphs = [space.graph(arch, NASBench201Config(C=4, N=n, height=8, width=8)) for n in (2, 3)]
        left, in_int8 = ([run(graph).ops for graph in graphs] for run in (lambda g: fused(merged(g)), quantized))

        def more(networks: list[tuple[Op, ...]], kind: str, taken: str = "", int8: bool = False) -> int:
            few, many = (
                sum(
                    op.kind == kind and taken in ("", *op.fused) and int8 == (op.inputs[0].dtype == "int8")
                    for op in ops
                )
                for ops in networks
            )
            return many - few

        for group in ("merged", "quantized"):
            assert counts.loc[row, f"{group}:pool"] * 3 == more(left, "avg_pool")
            assert counts.loc[row, f"{group}:zero"] * 3 == more(left, "zero")
            assert counts.loc[row, f"{group}:fused_add"] * 3 == more(left, "conv", "add")
            assert counts.loc[row, f"{group}:add"] * 3 == more(left, "add") + more(left, "conv", "add")
            assert counts.loc[row, f"{group}:relu"] * 3 == more(left, "relu") + more(left, "conv", "relu")
        assert counts.loc[row, "quantized:quantize"] * 3 == more(in_int8, "quantize")
        assert counts.loc[row, "quantized:dequantize"] * 3 == more(in_int8, "dequantize", int8=True)
        assert counts.loc[row, "quantized:int8_pool"] * 3 == more(in_int8, "avg_pool", int8=True)
        assert counts.loc[row, "quantized:int8_relu"] * 3 == more(in_int8, "quantize", "relu")


def amounts(op: Op) -> dict[str, float]:
    """Return what one operator adds to each column; the columns that it does not touch are absent."""
    if op.kind == "add":
        return {"n_add": 1}  # done by the layer beside it
    if op.kind in ("view", "relu", "constant"):
        return {}
    found: dict[str, float] = {"params": sum(math.prod(spec.shape) for spec in op.weights)}
    touched = sum(spec.bytes for spec in (*op.inputs, *op.outputs))
    if op.kind == "conv":
        channels = op.inputs[0].shape[1], op.outputs[0].shape[1]
        macs = math.prod(op.outputs[0].shape) * math.prod(op.kernel) * channels[0] // op.groups
        by_16 = channels[0] % 16 == 0 and channels[1] % 16 == 0
        if op.kernel == (1, 1):
            found |= {"macs_1x1": macs, "macs_1x1_aligned": macs * by_16}
        elif op.groups == 1:
            found |= {"macs_dense": macs, "macs_dense_aligned": macs * by_16}
        else:
            found["macs_depthwise"] = macs
        found |= {"conv_bytes": touched, "n_conv": 1, "sqrt_macs": macs**0.5}
    elif op.kind == "matmul":
        macs = math.prod(op.outputs[0].shape) * op.inputs[0].shape[-1]
        found |= {"macs_linear": macs, "other_bytes": touched}
    elif op.kind == "avg_pool":
        found |= {"pool_bytes": touched, "n_pool": 1}
    elif op.kind == "global_pool":
        found["pool_bytes"] = touched
    elif op.kind in ("zero", "copy", "quantize", "dequantize"):
        found |= {"other_bytes": touched, "n_other": 1}
    elif op.kind == "batch_norm":
        found["other_bytes"] = touched
    else:
        raise AssertionError(f"a kind without a column: {op.kind}")
    return found


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    ("space", "config"),
    [("nasbench201", "cifar10"), ("nasbench201", "C8-N2-k7-1x16x16"), ("fbnet", "cifar100"), ("fbnet", "ImageNet")],
)
def test_layer_sums_add_up_operator_by_operator(space: str, config: str, view: View) -> None:
    archs = some(get_space(space))[::3]
    encoded = LayerSums(space, views=[view]).frame(archs, config)
    for row, arch in enumerate(archs):
        expected = dict.fromkeys((name.partition(":")[2] for name in encoded.columns), 0.0)
        for op, calls in VIEWS[view](get_space(space).graph(arch, config)).counts.items():
            for name, amount in amounts(op).items():
                expected[name] += calls * amount
        assert encoded.iloc[row].tolist() == pytest.approx(list(expected.values()), rel=1e-8)


def test_layer_sums_of_other_kinds_of_operators() -> None:
    build = GraphBuilder()
    x = build.pool("max_pool", build.conv(build.input((1, 3, 32)), 16, 3), 2)
    x = build.elementwise("softmax", build.view(build.elementwise("gelu", x), (1, 16, 16)))
    x = build.matmul(x, build.elementwise("layer_norm", x))
    heads = (TensorSpec((1, 4, 16, 4)),) * 3
    x = build.add_op(Op("attention", heads, heads[:1]), [build.view(x, (1, 4, 16, 4))] * 3)
    kernel = build.weight((16, 8, 4))
    spec = TensorSpec((1, 16, 16)), TensorSpec((1, 8, 34))
    x = build.view(x, (1, 16, 16))
    up = Op("conv_transpose", spec[:1], spec[1:], (TensorSpec((16, 8, 4)),), kernel=(4,), stride=(2,))
    sums = LayerSums(None, ["all"]).frame(build.graph(build.add_op(up, [x], [kernel]))).iloc[0]
    named = sums.rename(lambda name: name.partition(":")[2]).astype(int).to_dict()
    size = 4 * 16 * 16
    assert named == {
        "macs_1x1": 0,
        "macs_dense": 32 * 16 * 3 * 3 + 16 * 16 * 8 * 4,
        "macs_1x1_aligned": 0,
        "macs_dense_aligned": 0,
        "macs_depthwise": 0,
        "macs_linear": 16**3 + 2 * 16 * 16 * 16,
        "sqrt_macs": int((32 * 16 * 9) ** 0.5 + (16 * 16 * 32) ** 0.5),
        "params": 3 * 16 * 3 + 16 * 8 * 4,
        "conv_bytes": 4 * 32 * (3 + 16) + size + 4 * 8 * 34,
        "pool_bytes": 3 * size,
        "other_bytes": 2 * size + 2 * size + 3 * size + 4 * size,  # softmax, layer norm, product, attention
        "n_conv": 2,
        "n_add": 0,
        "n_pool": 1,
        "n_other": 3,
    }


@every_space
def test_layer_sums_hold_all_multiply_adds_and_parameters(space: SearchSpace) -> None:
    archs = some(space)
    sums, batch = LayerSums(space, views=["all"]).frame(archs), space.batch(archs)
    kinds = ("1x1", "dense", "depthwise", "linear")
    macs = sums[[f"layers_all:macs_{kind}" for kind in kinds]].sum(axis=1)
    assert macs.to_numpy().tolist() == batch.macs.tolist()
    assert sums["layers_all:params"].tolist() == batch.params.tolist()


@every_space
def test_combined_is_the_encodings_side_by_side(space: SearchSpace) -> None:
    archs = some(space)
    parts = [OneHot(space), OpCounts(space), MergedOperators(space), LayerSums(space)]
    combined = Combined(space)
    assert np.array_equal(combined.transform(archs), np.hstack([part.transform(archs) for part in parts]))
    names = [name for part in parts for name in part.get_feature_names_out()]
    assert combined.get_feature_names_out().tolist() == names
