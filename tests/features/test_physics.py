"""The physics columns against slow sums, and the corrections against the Gaussian kernel that they stand for."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import LayerPhysics
from hwnas_surrogate.features.physics import _TYPICAL, AVERAGE_LAYERS, AVERAGE_NETWORK, _values
from hwnas_surrogate.spaces import Layer, NASBench201Config, SearchSpace, View, get_space, space_names

CONFIGS = [
    ("nasbench201", "cifar10"),
    ("nasbench201", "ImageNet16-120"),
    ("nasbench201", "C8-N2-k7-1x16x20"),
    ("fbnet", "cifar100"),
    ("fbnet", "ImageNet"),
    ("fbnet", "S8-8.12.16.24.32.40.64-H96-k5-s2.1.2.1.2.1.1.2-1x48x32"),
]
N_PHYSICS = 10
REACH = 6.0
KINDS = ("linear", "avg_pool", "global_pool", "batch_norm", "shuffle", "zero", "identity")

every_space = pytest.mark.parametrize("space", [get_space(name) for name in space_names()], ids=space_names())
every_config = pytest.mark.parametrize(("space", "config"), CONFIGS)


def some(space: SearchSpace) -> npt.NDArray[np.int8]:
    """Return random architectures, and those of a single op: all `none`, all skips and the like."""
    lonely = np.array([[op] * space.n_positions for op in range(len(space.ops))], np.int8)
    return np.vstack([space.sample(12, 3), lonely])


def group(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    return frame[[column for column in frame if column.partition(":")[0] == name]]


def outputs(layer: Layer) -> int:
    """Return how many numbers a layer writes, by its shapes."""
    if layer.kind == "identity":
        return 0
    if layer.kind in ("avg_pool", "global_pool"):
        return (
            layer.c_out
            * (layer.height // layer.stride)
            * (1 if layer.kind == "global_pool" else layer.width // layer.stride)
        )
    return layer.c_out * math.ceil(layer.height / layer.stride) * math.ceil(layer.width / layer.stride)


def physics(layer: Layer) -> dict[str, float]:
    """Return what one layer adds to the physics columns; those that it does not touch are absent."""
    found: dict[str, float] = {"params": layer.params, "outputs": outputs(layer)}
    if layer.kind != "identity":
        found["layers"] = 1
    if layer.kind in ("conv", "linear"):
        # One input channel a group; the stem of a grey image has one group too, and is dense.
        depthwise = layer.kind == "conv" and layer.groups == layer.c_in and layer.groups > 1
        name = "macs_depthwise" if depthwise else "macs"
        found |= {name: layer.macs, f"sqrt_{name}": layer.macs**0.5}
        found |= {"sqrt_outputs": outputs(layer) ** 0.5, "sqrt_params": layer.params**0.5}
    elif layer.kind != "identity":
        found["moved_bytes"] = layer.activation_bytes
    return found


def distinct(space: str, config: str) -> tuple[Layer, ...]:
    return get_space(space).layers(get_space(space).sample(1, 0), config).distinct


def corrections(layers: tuple[Layer, ...]) -> npt.NDArray[np.float64]:
    return _values(layers)[:, N_PHYSICS:]


def place(layer: Layer) -> npt.NDArray[np.float64]:
    """Return where a layer lies in the space of layers: (two octaves to the unit of) sizes, and its kind."""
    depthwise = layer.kind == "conv" and layer.groups == layer.c_in > 1
    sizes = [
        *(math.log(max(size, 1), 4) for size in (layer.macs, layer.activation_bytes, layer.params)),
        math.log2(layer.height),
        layer.kernel / 2,
        3.0 if depthwise else 0.0,
        2.0 if layer.groups > 1 and not depthwise else 0.0,
        float(layer.stride),
    ]
    return np.array(sizes + [4.0 * (layer.kind == kind) for kind in KINDS])


def distances(layers: tuple[Layer, ...]) -> npt.NDArray[np.float64]:
    places = np.array([place(layer) for layer in layers])
    apart: npt.NDArray[np.float64] = np.sqrt(((places[:, None] - places) ** 2).sum(axis=-1))
    return apart


def correlations(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    inner = rows @ rows.T
    cosines: npt.NDArray[np.float64] = inner / np.sqrt(np.outer(inner.diagonal(), inner.diagonal()))
    return cosines


# -- physics ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["all", "computed", "live", "compiled"])
@every_config
def test_physics_adds_up_layer_by_layer(space: str, config: str, view: View | Literal["computed"]) -> None:
    archs = some(get_space(space))
    encoded = group(LayerPhysics(space, views=[view]).frame(archs, config), f"physics_{view}")
    assert len(encoded.columns) == N_PHYSICS
    for row, arch in enumerate(archs):
        expected = dict.fromkeys((name.partition(":")[2] for name in encoded.columns), 0.0)
        layers = get_space(space).layers(arch, config, "all" if view == "computed" else view)
        for layer, calls in zip(layers.distinct, layers.counts[0], strict=True):
            if view == "computed" and layer.kind in ("zero", "identity"):
                continue
            for name, amount in physics(layer).items():
                expected[name] += calls * amount
        assert encoded.iloc[row].tolist() == pytest.approx(list(expected.values()), rel=1e-12)


@every_config
def test_corrections_add_up_layer_by_layer(space: str, config: str) -> None:
    archs = some(get_space(space))[::4]
    encoded = LayerPhysics(space).frame(archs, config)
    for view in ("all", "computed", "compiled"):
        layers = get_space(space).layers(archs, config, "compiled" if view == "compiled" else "all")
        alone = np.array([corrections((layer,))[0] for layer in layers.distinct])
        if view == "computed":
            alone[[layer.kind in ("zero", "identity") for layer in layers.distinct]] = 0
        for row, calls in enumerate(layers.counts):
            expected = sum(times * added for times, added in zip(calls, alone, strict=True))
            found = group(encoded, f"correction_{view}").iloc[row]
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@every_config
def test_all_multiply_adds_and_parameters_are_there(space: str, config: str) -> None:
    archs = some(get_space(space))
    sums, layers = LayerPhysics(space).frame(archs, config), get_space(space).layers(archs, config)
    macs = sums["physics_all:macs"] + sums["physics_all:macs_depthwise"]
    assert macs.tolist() == layers.macs.tolist()
    assert sums["physics_all:params"].tolist() == layers.params.tolist()


def test_only_fbnet_has_depthwise_convolutions() -> None:
    for space, has in (("nasbench201", False), ("fbnet", True)):
        sums = LayerPhysics(space).frame(get_space(space).sample(5, 0))
        assert (sums["physics_all:macs_depthwise"] > 0).all() == has
        assert (sums["physics_all:sqrt_macs_depthwise"] > 0).all() == has


@every_space
def test_physics_is_never_negative_and_at_most_that_of_all_layers(space: SearchSpace) -> None:
    encoded = LayerPhysics(space, views=["all", "computed", "live", "compiled"]).frame(some(space))
    everything = group(encoded, "physics_all").to_numpy()
    for view in ("computed", "live", "compiled"):
        part = group(encoded, f"physics_{view}").to_numpy()
        assert (part >= 0).all()
        assert (part <= everything).all()


def test_what_a_converter_removes_altogether_has_no_compiled_columns() -> None:
    encoded = LayerPhysics().frame([[get_space("nasbench201").ops.index("none")] * 6])
    assert not encoded[[name for name in encoded if "_compiled:" in name]].to_numpy().any()
    # A zero for each of the 6 edges of 15 cells; the rest is stem, reductions and head.
    assert (encoded["physics_all:layers"] - encoded["physics_computed:layers"]).item() == 90


# -- operators of inference engines -----------------------------------------------------------------------


@pytest.mark.parametrize("config", ["cifar10", "C8-N2-k7-1x16x20"])
@pytest.mark.parametrize("view", ["merged", "quantized"])
def test_operators_add_up_layer_by_layer(view: Literal["merged", "quantized"], config: str) -> None:
    space = get_space("nasbench201")
    archs = some(space)
    encoded = group(LayerPhysics(space, views=[view]).frame(archs, config), f"physics_{view}")
    operators = space.operators(archs, config, quantized=view == "quantized")
    assert operators is not None
    for row, counts in enumerate(operators.counts.tolist()):
        expected = dict.fromkeys((name.partition(":")[2] for name in encoded.columns), 0.0)
        calls = [*operators.fixed]
        for count, of_sort in zip(counts, operators.calls, strict=True):
            calls += [(layer, count * times) for layer, times in of_sort]
        for layer, times in calls:
            suffix = "_int8" if layer.int8 else ""
            found: dict[str, float] = {"params": layer.params, "layers": layer.kind != "fused_add"}
            if layer.kind in ("conv", "linear"):
                made = outputs(layer) if layer.kind == "conv" else layer.c_out
                found |= {f"macs{suffix}": layer.macs, f"sqrt_macs{suffix}": layer.macs**0.5, f"outputs{suffix}": made}
            else:
                found["converted_bytes" if layer.kind == "convert" else "moved_bytes"] = layer.activation_bytes
            for name, amount in found.items():
                expected[name] += times * amount
        assert encoded.iloc[row].tolist() == pytest.approx(list(expected.values()), rel=1e-12)


def test_the_price_of_every_sort_of_operators_is_as_free() -> None:
    space = get_space("nasbench201")
    archs = some(space)
    for config in ("cifar10", "C32-N2-k10-3x32x32"):
        corrections = group(LayerPhysics(space, views=["quantized"]).frame(archs, config), "correction_quantized")
        operators = space.operators(archs, config, quantized=True)
        assert operators is not None
        freedom = corrections.to_numpy()[operators.counts > 0] / operators.counts[operators.counts > 0]
        assert freedom.min() == pytest.approx(freedom.max())
        assert freedom.min() > 0


def test_deeper_networks_leave_prices_of_operators_more_freedom() -> None:
    narrow, deep, wide = LayerPhysics(views=["merged"]).frame(
        [[3, 2, 4, 0, 3, 3]] * 3, [NASBench201Config(), NASBench201Config(N=10), NASBench201Config(C=32)]
    )["correction_merged:conv3x3"]
    assert deep == pytest.approx(2 * narrow)
    assert wide > 1.2 * narrow


# -- columns ----------------------------------------------------------------------------------------------


def test_the_columns_are_the_same_in_all_spaces() -> None:
    first, *others = (LayerPhysics(name).get_feature_names_out().tolist() for name in space_names())
    assert others
    assert all(names == first for names in others)
    fbnet = LayerPhysics("fbnet").frame(get_space("fbnet").sample(3, 0))
    assert not fbnet[[name for name in fbnet if "_merged:" in name or "_quantized:" in name]].to_numpy().any()


def test_the_views_are_groups_of_their_own_in_the_order_given() -> None:
    archs = some(get_space("nasbench201"))
    names = LayerPhysics(views=["compiled", "live"]).get_feature_names_out()
    groups = list(dict.fromkeys(name.partition(":")[0] for name in names))
    assert groups == ["physics_compiled", "correction_compiled", "physics_live", "correction_live"]
    alone = [LayerPhysics(views=[view]).transform(archs) for view in ("compiled", "live")]
    assert np.array_equal(LayerPhysics(views=["compiled", "live"]).transform(archs), np.hstack(alone))


def test_an_unknown_view_is_refused() -> None:
    for use in (lambda e: e.fit(), lambda e: e.transform([0])):
        with pytest.raises(InvalidInputError, match=r"unknown view 'compile'.*'compiled'"):
            use(LayerPhysics(views=["all", "compile"]))  # type: ignore[list-item]


# -- sums over a network ----------------------------------------------------------------------------------


@every_space
def test_what_two_positions_add_is_added(space: SearchSpace) -> None:
    base = np.zeros((4, space.n_positions), np.int8)
    base[[1, 3], 0] = 3
    base[[2, 3], space.n_positions - 1] = 2
    plain, first, last, both = LayerPhysics(space, views=["all"]).transform(base)
    np.testing.assert_allclose(both - plain, (first - plain) + (last - plain), rtol=1e-9, atol=1e-9)
    assert np.abs(first - plain).max() > 0
    assert np.abs(last - plain).max() > 0


def test_every_cell_adds_the_same() -> None:
    archs = some(get_space("nasbench201"))
    five, ten, fifteen = (LayerPhysics().transform(archs, NASBench201Config(N=cells)) for cells in (5, 10, 15))
    np.testing.assert_allclose(ten - five, fifteen - ten, rtol=1e-9, atol=1e-9)


def test_twice_as_deep_is_about_twice_as_much() -> None:
    nodes = ("|nor_conv_3x3~0|", "|nor_conv_1x1~0|avg_pool_3x3~1|", "|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|")
    frame = LayerPhysics(views=["compiled"]).frame(
        ["+".join(nodes)] * 2, [NASBench201Config(N=5), NASBench201Config(N=10)]
    )
    shallow, deep = group(frame, "physics_compiled").to_numpy()
    ratios = deep[shallow > 0] / shallow[shallow > 0]
    assert len(ratios) == N_PHYSICS - 2  # all but the depthwise ones
    assert ratios.min() > 1.6
    assert ratios.max() < 2


def test_twice_as_wide_is_four_times_the_work_and_twice_its_root() -> None:
    dense = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    narrow, wide = LayerPhysics().frame([dense] * 2, [NASBench201Config(C=16), NASBench201Config(C=32)]).to_numpy()
    names = LayerPhysics().get_feature_names_out()[:N_PHYSICS]
    ratios = dict(zip(names, wide[:N_PHYSICS] / np.maximum(narrow[:N_PHYSICS], 1), strict=True))
    wanted = {"macs": 4, "params": 4, "outputs": 2, "moved_bytes": 2, "layers": 1}
    wanted |= {"sqrt_macs": 2, "sqrt_params": 2, "sqrt_outputs": math.sqrt(2)}
    for name, times in wanted.items():
        assert ratios[f"physics_all:{name}"] == pytest.approx(times, rel=0.03)


def test_roots_are_taken_layer_by_layer() -> None:
    """So that of two networks with about equal work the one of many small layers has the larger root."""
    sums = LayerPhysics().frame([0] * 2, ["C32-N2-k10-3x32x32", "C16-N8-k10-3x32x32"])
    few, many = sums["physics_all:sqrt_macs"] ** 2 / sums["physics_all:macs"]
    assert many > 3 * few


@every_space
def test_identities_add_only_a_little_correction(space: SearchSpace) -> None:
    plan = space.layers(space.sample(1, 0)).distinct
    kinds = np.array([layer.kind for layer in plan])
    values = _values(plan)
    identities = values[kinds == "identity"]
    assert len(identities)
    assert not identities[:, :N_PHYSICS].any()
    sizes = np.linalg.norm(values[:, N_PHYSICS:], axis=1)
    assert (sizes > 0).all()
    assert sizes[kinds == "identity"].max() < 0.15 * sizes[kinds == "conv"].min()


# -- corrections ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("space", "config"), CONFIGS[:2] + CONFIGS[3:5])
def test_corrections_of_near_layers_correlate_like_a_gaussian_process(space: str, config: str) -> None:
    """The terms end with the second order: they are right where two layers are near the middle of all."""
    plan = distinct(space, config)
    middle = np.append(_TYPICAL, np.zeros(len(KINDS)))
    near = tuple(layer for layer in plan if np.linalg.norm(place(layer) - middle) < 0.6 * REACH)
    assert len(near) >= 10
    kernel = np.exp(-(distances(near) ** 2) / 2 / REACH**2)
    assert kernel.min() < 0.9
    np.testing.assert_allclose(correlations(corrections(near)), kernel, atol=0.006)


def test_what_is_left_out_of_the_kernel_is_of_the_third_order() -> None:
    """Their inner product over that of the kernel is exp(-x) (1 + x + x^2 / 2), x that of the places themselves."""
    plan = tuple(layer for layer in distinct("fbnet", "cifar100") if layer.kind == "conv")
    away = (np.array([place(layer) for layer in plan]) - np.append(_TYPICAL, np.zeros(len(KINDS)))) / REACH
    x = away @ away.T
    rows = corrections(plan)
    # Divided by its own first term a row is (1, its place, the products): the weight is gone.
    rows = rows / rows[:, :1]
    kernel = np.exp(-(distances(plan) ** 2) / 2 / REACH**2)
    alone = np.exp(-0.5 * (away**2).sum(axis=1))
    error = np.abs(rows @ rows.T * np.outer(alone, alone) / kernel - 1)
    assert (error <= np.abs(x) ** 3 / 6 * np.exp(np.abs(x)) + 1e-9).all()
    assert error.max() > 1e-3


@pytest.mark.parametrize(("space", "config"), CONFIGS[:2] + CONFIGS[3:5])
def test_layers_are_corrected_alike_only_where_they_are_near(space: str, config: str) -> None:
    plan = distinct(space, config)
    apart, alike = distances(plan), correlations(corrections(plan))
    assert np.array_equal(alike > 1 - 1e-9, apart == 0)  # layers of one description are one layer to them
    far = apart > 2 * REACH
    assert far.any()
    assert np.abs(alike[far]).max() < 0.6
    assert alike[(apart < 1.0) & (apart > 0)].min() > 0.98


def test_a_layer_is_described_alike_whatever_network_it_is_in() -> None:
    first, second = distinct("nasbench201", "cifar10"), distinct("fbnet", "cifar100")
    shared = sorted(set(first) & set(second), key=str)
    assert {layer.kind for layer in shared} == {"conv", "identity"}
    for layer in shared:
        alone = _values((layer,))[0]
        for plan in (first, second):
            np.testing.assert_allclose(_values(plan)[plan.index(layer)], alone, rtol=1e-12)


def test_a_change_that_two_spaces_share_adds_the_same_columns() -> None:
    """Of these networks the stems alone differ: the same convolutions of a grey and of a colour image."""
    ours = [f"C16-N1-k10-{channels}x32x32" for channels in (1, 3)]
    theirs = [f"S16-16.24.32.64.112.184.352-H1504-k100-s1.1.1.2.2.1.2.1-{channels}x32x32" for channels in (1, 3)]
    cells = LayerPhysics("nasbench201", ["all"]).transform([[0] * 6] * 2, ours)
    blocks = LayerPhysics("fbnet", ["all"]).transform([[8] * 22] * 2, theirs)
    assert cells[1, 0] - cells[0, 0] == 2 * 16 * 9 * 32 * 32
    np.testing.assert_allclose(cells[1] - cells[0], blocks[1] - blocks[0], rtol=1e-6, atol=1e-9)


def test_dear_layers_may_be_corrected_by_more() -> None:
    layers = tuple(Layer.conv(channels, channels, 16, 16, 3) for channels in (16, 32, 64))
    sizes = np.linalg.norm(corrections(layers), axis=1)
    assert (np.diff(sizes) > 0).all()
    # The work grows 16-fold, the bytes 4-fold, the call stays one: a root of their mean.
    assert 2 < sizes[-1] / sizes[0] < 4


def test_the_average_network_is_that_of_the_two_published_spaces() -> None:
    """It is frozen, so that a third space changes no column of theirs."""
    quantities = [name.partition(":")[2] for name in LayerPhysics(views=["all"]).get_feature_names_out()[:N_PHYSICS]]
    totals, calls = [], []
    for name in ("nasbench201", "fbnet"):
        space = get_space(name)
        plan = space.layers(space.sample(1, 0)).plan
        times = plan.fixed + plan.per_op.mean(axis=1).sum(axis=0)
        totals.append(
            times @ np.array([[physics(layer).get(name, 0) for name in quantities] for layer in plan.distinct])
        )
        calls.append(times.sum())
    np.testing.assert_allclose(AVERAGE_NETWORK, np.mean(totals, axis=0), rtol=1e-14)
    assert np.mean(calls) == AVERAGE_LAYERS
