"""The encodings' values against slow references, written here one architecture and one layer at a time."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas_surrogate.features import Combined, LayerSums, MergedOperators, OneHot, OpCounts
from hwnas_surrogate.spaces import Layer, SearchSpace, View, get_space, space_names

every_space = pytest.mark.parametrize("space", [get_space(name) for name in space_names()], ids=space_names())
views = pytest.mark.parametrize("view", ["all", "live", "compiled"])


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
@views
def test_counts_are_those_of_the_ops_that_run(space: SearchSpace, view: View) -> None:
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
    assert (counts["count_all:none"], counts["count_live:none"], counts["count_compiled:none"]) == (4, 0, 0)
    cut = OpCounts().frame([[0] * 6]).iloc[0]
    assert (cut["count_all:network"], cut["count_live:network"], cut["count_compiled:network"]) == (1, 0, 0)


def amounts(layer: Layer) -> dict[str, float]:
    """Return what one layer adds to each column; the columns that it does not touch are absent."""
    found: dict[str, float] = {"params": layer.params}
    if layer.kind == "conv":
        by_16 = layer.c_in % 16 == 0 and layer.c_out % 16 == 0
        if layer.kernel == 1:
            found |= {"macs_1x1": layer.macs, "macs_1x1_aligned": layer.macs * by_16}
        elif layer.groups == 1:
            found |= {"macs_dense": layer.macs, "macs_dense_aligned": layer.macs * by_16}
        else:
            found["macs_depthwise"] = layer.macs
        found |= {"conv_bytes": layer.activation_bytes, "n_conv": 1, "sqrt_macs": layer.macs**0.5}
    elif layer.kind == "linear":
        found |= {"macs_linear": layer.macs, "other_bytes": layer.activation_bytes}
    elif layer.kind == "avg_pool":
        found |= {"pool_bytes": layer.activation_bytes, "n_pool": 1}
    elif layer.kind == "global_pool":
        found["pool_bytes"] = layer.activation_bytes
    elif layer.kind in ("zero", "shuffle"):
        found |= {"other_bytes": layer.activation_bytes, "n_other": 1}
    elif layer.kind == "batch_norm":
        found["other_bytes"] = layer.activation_bytes
    elif layer.kind == "identity":
        found["n_identity"] = 1
    else:
        raise AssertionError(f"a layer kind without a column: {layer.kind}")
    return found


@views
@pytest.mark.parametrize(
    ("space", "config"),
    [("nasbench201", "cifar10"), ("nasbench201", "C8-N2-k7-1x16x16"), ("fbnet", "cifar100"), ("fbnet", "ImageNet")],
)
def test_layer_sums_add_up_layer_by_layer(space: str, config: str, view: View) -> None:
    archs = some(get_space(space))[::3]
    encoded = LayerSums(space, views=[view]).frame(archs, config)
    for row, arch in enumerate(archs):
        expected = dict.fromkeys((name.partition(":")[2] for name in encoded.columns), 0.0)
        layers = get_space(space).layers(arch, config, view)
        for layer, calls in zip(layers.distinct, layers.counts[0], strict=True):
            for name, amount in amounts(layer).items():
                expected[name] += calls * amount
        assert encoded.iloc[row].tolist() == pytest.approx(list(expected.values()), rel=1e-12)


@every_space
def test_layer_sums_hold_all_multiply_adds_and_parameters(space: SearchSpace) -> None:
    archs = some(space)
    sums, layers = LayerSums(space, views=["all"]).frame(archs), space.layers(archs)
    kinds = ("1x1", "dense", "depthwise", "linear")
    macs = sums[[f"layers_all:macs_{kind}" for kind in kinds]].sum(axis=1)
    assert macs.to_numpy().tolist() == layers.macs.tolist()
    assert sums["layers_all:params"].tolist() == layers.params.tolist()


@every_space
def test_combined_is_the_encodings_side_by_side(space: SearchSpace) -> None:
    archs = some(space)
    parts = [OneHot(space), OpCounts(space), MergedOperators(space), LayerSums(space)]
    combined = Combined(space)
    assert np.array_equal(combined.transform(archs), np.hstack([part.transform(archs) for part in parts]))
    names = [name for part in parts for name in part.get_feature_names_out()]
    assert combined.get_feature_names_out().tolist() == names
