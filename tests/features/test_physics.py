"""The physics columns against slow sums, and the corrections against the Gaussian kernel that they stand for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import LayerPhysics
from hwnas_surrogate.features.physics import AVERAGE_LAYERS, AVERAGE_NETWORK
from hwnas_surrogate.graphs import VIEWS, Graph, GraphBatch, GraphBuilder, Node, Op, TensorSpec
from hwnas_surrogate.spaces import NASBench201Config, SearchSpace, get_space, space_names

CONFIGS = [
    ("nasbench201", "cifar10"),
    ("nasbench201", "ImageNet16-120"),
    ("nasbench201", "C8-N2-k7-1x16x20"),
    ("fbnet", "cifar100"),
    ("fbnet", "ImageNet"),
    ("fbnet", "S8-8.12.16.24.32.40.64-H96-k5-s2.1.2.1.2.1.1.2-1x48x32"),
]
PUBLISHED = ("nasbench201", "fbnet")
N_PHYSICS = 10
SIZES = ("macs", "bytes", "params", "height", "kernel", "depthwise", "grouped", "stride")
KINDS = ("matmul", "pool", "global_pool", "norm", "copy", "zero", "attention", "other")
NO_LAYERS = ("view", "identity", "constant", "relu", "gelu", "add")
ENGINES = ("fused", "quantized")

every_space = pytest.mark.parametrize("space", [get_space(name) for name in space_names()], ids=space_names())
every_config = pytest.mark.parametrize(("space", "config"), CONFIGS)


def some(space: SearchSpace) -> npt.NDArray[np.int8]:
    """Return random architectures, and those of a single op: all `none`, all skips and the like."""
    return np.vstack([space.sample(12, 3), of_a_single_op(space)])


def of_a_single_op(space: SearchSpace) -> npt.NDArray[np.int8]:
    return np.array([[op] * space.n_positions for op in range(len(space.ops))], np.int8)


def group(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the columns of a group, without its name."""
    columns = [column for column in frame if column.partition(":")[0] == name]
    return frame[columns].rename(columns=lambda column: column.partition(":")[2])


def run(space: str, arch: Iterable[int], config: str, view: str) -> Counter[Op]:
    """Count what a network runs in a view of physics, by its graph."""
    counts = VIEWS["all" if view == "computed" else view](get_space(space).graph(arch, config)).counts
    return Counter({op: n for op, n in counts.items() if not (view == "computed" and op.kind == "zero")})


def distinct(space: str, config: str) -> list[Op]:
    """Return the operators of a space that are layers."""
    ops = get_space(space).batch(get_space(space).sample(1, 0), config).distinct()
    return [op for op in dict.fromkeys(ops) if op.kind not in NO_LAYERS]


def alone(ops: Iterable[Op], view: str = "all") -> pd.DataFrame:
    """Return the columns of networks of one operator each."""
    graphs = []
    for op in ops:
        weights = (*op.weights, *op.buffers)
        node = Node(op, tuple(range(len(op.inputs))), tuple(range(len(weights))))
        graphs.append(Graph(op.inputs, [node], [len(op.inputs)], weights))
    return LayerPhysics(None, [view]).frame(graphs)  # type: ignore[list-item]


def conv(channels: int, size: int, kernel: int = 3, **settings: int) -> Op:
    build = GraphBuilder()
    x = build.conv(build.input((1, channels, size, size)), channels, kernel, **settings)
    return VIEWS["all"](build.graph(build.batch_norm(x))).ops[0]


def numbers(specs: Iterable[TensorSpec]) -> int:
    return sum(math.prod(spec.shape) for spec in specs)


def is_depthwise(op: Op) -> bool:
    """Return whether each group has one input channel; the stem of a grey image has one group, and is dense."""
    return op.kind == "conv" and op.groups == op.inputs[0].shape[1] > 1


def physics(op: Op) -> dict[str, float]:
    """Return what one operator would add to the physics columns as a layer; those that it does not touch are absent."""
    made, stored = numbers(op.outputs), numbers(op.weights)
    found: dict[str, float] = {"layers": 1, "params": stored, "outputs": made}
    if op.kind in ("conv", "matmul"):
        name = "macs_depthwise" if is_depthwise(op) else "macs"
        found |= {name: op.macs, f"sqrt_{name}": op.macs**0.5}
        found |= {"sqrt_outputs": made**0.5, "sqrt_params": stored**0.5}
    else:
        found["moved_bytes"] = sum(spec.bytes for spec in (*op.inputs, *op.outputs))
    return found


def in_int8(op: Op) -> bool:
    return op.outputs[0].dtype == "int8" and op.kind != "quantize"


def engine_physics(op: Op) -> dict[str, float]:
    """Return what one operator adds to the physics columns of an inference engine.

    A convolution that takes on an addition reads one more value; a ReLU that is a pair of conversions is one more
    operator, which reads and writes every number.
    """
    if op.kind == "view":
        return {}
    suffix = "_int8" if in_int8(op) else ""
    found: dict[str, float] = {"params": numbers(op.weights), "layers": 1}
    touched = sum(spec.bytes for spec in (*op.inputs, *op.outputs))
    if op.kind in ("conv", "matmul"):
        found |= {f"macs{suffix}": op.macs, f"sqrt_macs{suffix}": op.macs**0.5}
        found |= {f"outputs{suffix}": numbers(op.outputs), "moved_bytes": sum(spec.bytes for spec in op.inputs[1:])}
    elif op.kind in ("quantize", "dequantize"):
        found["converted_bytes"] = touched
        if op.fused:
            found |= {"layers": 2, "moved_bytes": 2 * op.inputs[0].bytes}
    else:
        found["moved_bytes"] = touched
    return found


def sorts(op: Op) -> list[str]:
    """Return the sorts of an operator as an inference engine runs it: its own, and those that it takes on."""
    names = {"matmul": "matmul", "avg_pool": "pool", "global_pool": "pool", "zero": "zero", "add": "add"}
    names |= {"relu": "activation", "quantize": "convert", "dequantize": "convert"}
    name = names.get(op.kind, "other")
    if op.kind == "view":
        return []
    if name == "convert":
        return ["convert", "activation"] if op.fused else ["convert"]
    if op.kind == "conv":
        name = "depthwise" if is_depthwise(op) else "pointwise" if op.kernel == (1, 1) else "conv"
    return [f"int8_{name}" if in_int8(op) else name, *(["fused_add"] if "add" in op.fused else [])]


def place(op: Op) -> list[float]:
    """Return where a layer lies in the space of layers: (two octaves to the unit of) sizes, and its kind."""
    kinds = {"avg_pool": "pool", "batch_norm": "norm", "conv": ""}
    kind = kinds.get(op.kind, op.kind)
    shape = op.inputs[0].shape
    pixels = math.prod(shape[-2:]) if len(shape) > 3 else math.prod(shape[1:-1])  # a shuffle has five dimensions
    height = math.log2(pixels) / 2
    kernel, stride = (math.prod(window) ** (1 / 2) if window else 1.0 for window in (op.kernel, op.stride))
    if op.kind == "global_pool":
        kernel = stride = 2**height
    depthwise = is_depthwise(op)
    return [
        *(math.log(max(size, 1), 4) for size in (op.macs, op.activation_bytes, op.params)),
        height,
        kernel / 2,
        3.0 if depthwise else 0.0,
        2.0 if op.kind == "conv" and op.groups > 1 and not depthwise else 0.0,
        stride,
        *(4.0 * (kind == other) for other in KINDS),
    ]


def places(ops: list[Op]) -> npt.NDArray[np.float64]:
    return np.array([place(op) for op in ops])


def distances(ops: list[Op]) -> npt.NDArray[np.float64]:
    at = places(ops)
    apart: npt.NDArray[np.float64] = np.sqrt(((at[:, None] - at) ** 2).sum(axis=-1))
    return apart


def corrections(ops: Iterable[Op]) -> pd.DataFrame:
    return group(alone(ops), "correction_all")


def correlations(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    inner = rows @ rows.T
    cosines: npt.NDArray[np.float64] = inner / np.sqrt(np.outer(inner.diagonal(), inner.diagonal()))
    return cosines


@pytest.fixture(scope="module")
def reach() -> float:
    """Return the length scale of the kernel: how far apart two layers are whose first-order columns differ by 1."""
    ops = distinct("nasbench201", "cifar10")
    first_order = corrections(ops)[[*SIZES, *KINDS]].to_numpy() / corrections(ops)[["all"]].to_numpy()
    one, other = np.unravel_index(distances(ops).argmax(), (len(ops), len(ops)))
    return float(distances(ops).max() / np.linalg.norm(first_order[one] - first_order[other]))


# -- physics ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["all", "computed", "live", "folded"])
@every_config
def test_physics_adds_up_layer_by_layer(space: str, config: str, view: str) -> None:
    archs = some(get_space(space))
    encoded = group(LayerPhysics(space, views=[view]).frame(archs, config), f"physics_{view}")  # type: ignore[list-item]
    assert len(encoded.columns) == N_PHYSICS
    for row, arch in enumerate(archs):
        expected = dict.fromkeys(encoded.columns, 0.0)
        for op, calls in run(space, arch, config, view).items():
            for name, amount in physics(op).items() if op.kind not in NO_LAYERS else ():
                expected[name] += calls * amount
        assert encoded.iloc[row].tolist() == pytest.approx(list(expected.values()), rel=1e-8)


@pytest.mark.parametrize("view", ["all", "computed", "live", "folded"])
@every_config
def test_corrections_add_up_layer_by_layer(space: str, config: str, view: str) -> None:
    archs = some(get_space(space))[::4]
    encoded = group(LayerPhysics(space, [view]).frame(archs, config), f"correction_{view}")  # type: ignore[list-item]
    for row, arch in enumerate(archs):
        counts = run(space, arch, config, view)
        expected = np.array(list(counts.values())) @ corrections(counts).to_numpy()
        np.testing.assert_allclose(encoded.iloc[row], expected, rtol=1e-8, atol=1e-10)


@every_config
def test_all_multiply_adds_and_parameters_are_there(space: str, config: str) -> None:
    archs = some(get_space(space))
    sums, batch = LayerPhysics(space).frame(archs, config), get_space(space).batch(archs, config)
    macs = sums["physics_all:macs"] + sums["physics_all:macs_depthwise"]
    assert macs.tolist() == batch.macs.tolist()
    assert sums["physics_all:params"].tolist() == batch.params.tolist()
    for view in ENGINES:
        either = sums[f"physics_{view}:macs"] + sums.get(f"physics_{view}:macs_int8", 0)
        assert either.tolist() == batch.total("macs", view).tolist()  # type: ignore[arg-type]


def test_only_fbnet_has_depthwise_convolutions() -> None:
    for space, has in (("nasbench201", False), ("fbnet", True)):
        sums = LayerPhysics(space).frame(get_space(space).sample(5, 0))
        for name in ("physics_all:macs_depthwise", "physics_all:sqrt_macs_depthwise", "correction_fused:depthwise"):
            assert (sums[name] > 0).all() == has
            assert (sums[name] == 0).all() != has


@every_space
def test_physics_is_never_negative_and_at_most_that_of_all_layers(space: SearchSpace) -> None:
    encoded = LayerPhysics(space, views=["all", "computed", "live", "folded"]).frame(some(space))
    everything = group(encoded, "physics_all").to_numpy()
    for view in ("computed", "live", "folded"):
        part = group(encoded, f"physics_{view}").to_numpy()
        assert (part >= 0).all()
        assert (part <= everything).all()


def test_what_a_converter_removes_altogether_has_no_columns() -> None:
    encoded = LayerPhysics().frame([[get_space("nasbench201").ops.index("none")] * 6])
    assert not encoded[[name for name in encoded if "_folded:" in name]].to_numpy().any()
    # A zero for each of the 6 edges of 15 cells; the rest is stem, reductions and head.
    assert (encoded["physics_all:layers"] - encoded["physics_computed:layers"]).item() == 90


def test_what_is_done_on_the_way_out_is_no_layer_but_an_operator_of_an_engine() -> None:
    def network(more: bool) -> Graph:
        build = GraphBuilder()
        image = build.input((1, 16, 8, 8))
        x = build.pool("avg_pool", image, 3, 1, 1)
        if more:
            x = build.elementwise("gelu", build.view(build.view(build.relu(x), (1, 1024)), (1, 16, 8, 8)))
            x = build.elementwise("identity", build.add(x, image))
        return build.graph(x)

    encoded = LayerPhysics(None, ["all", "computed", "live", "folded", "fused"]).frame([network(False), network(True)])
    added = encoded.iloc[1] - encoded.iloc[0]
    size = 4 * 16 * 8 * 8
    assert added[added != 0].to_dict() == {
        "physics_fused:layers": 3,
        "physics_fused:moved_bytes": 2 * 2 * size + 3 * size,
        "correction_fused:add": 1,
        "correction_fused:activation": 2,
    }


# -- operators of inference engines -----------------------------------------------------------------------


@pytest.mark.parametrize("view", ENGINES)
@every_config
def test_physics_of_engines_adds_up_operator_by_operator(space: str, config: str, view: str) -> None:
    archs = some(get_space(space))
    encoded = group(LayerPhysics(space, views=[view]).frame(archs, config), f"physics_{view}")  # type: ignore[list-item]
    for row, arch in enumerate(archs):
        expected = dict.fromkeys(encoded.columns, 0.0)
        for op, calls in run(space, arch, config, view).items():
            for name, amount in engine_physics(op).items():
                expected[name] += calls * amount
        assert encoded.iloc[row].tolist() == pytest.approx(list(expected.values()), rel=1e-8)


@pytest.mark.parametrize("view", ENGINES)
@every_config
def test_corrections_of_engines_count_the_operators_of_each_sort(space: str, config: str, view: str) -> None:
    archs, seen = some(get_space(space)), Counter[str]()
    encoded = group(LayerPhysics(space, [view]).frame(archs, config), f"correction_{view}")  # type: ignore[list-item]
    for row, arch in enumerate(archs):
        expected = Counter[str]()
        for op, calls in run(space, arch, config, view).items():
            for name in sorts(op):
                expected[name] += calls
        found = encoded.iloc[row]
        assert found[found != 0].to_dict() == expected
        seen += expected
    assert {"conv", "pointwise", "matmul", "pool"} <= {name.removeprefix("int8_") for name in seen}
    assert ("convert" in seen) == any(name.startswith("int8_") for name in seen) == (view == "quantized")
    assert ("fused_add" in seen) == (view == "fused")


def test_counts_of_operators_follow_the_depth_and_not_the_width() -> None:
    configs = [*(NASBench201Config(N=n) for n in (5, 10, 15)), NASBench201Config(C=32)]
    five, ten, fifteen, wide = group(
        LayerPhysics(views=["fused"]).frame([[3, 2, 4, 0, 3, 3]] * 4, configs), "correction_fused"
    ).to_numpy()
    assert np.array_equal(fifteen - ten, ten - five)
    assert (ten - five).sum() > 15 * 5
    assert np.array_equal(wide, five)


# -- columns ----------------------------------------------------------------------------------------------


def test_the_columns_are_the_same_in_all_spaces_and_without_one() -> None:
    first, *others = (LayerPhysics(name).get_feature_names_out().tolist() for name in [*space_names(), None])
    assert len(others) >= 2
    assert all(names == first for names in others)
    assert len(set(first)) == len(first)


@every_space
def test_every_space_has_columns_of_inference_engines(space: SearchSpace) -> None:
    encoded = LayerPhysics(space).frame(space.sample(20, 0))
    for name in ("macs", "layers", "params", "moved_bytes"):
        assert (encoded[f"physics_fused:{name}"] > 0).all()
    for name in ("layers", "params", "converted_bytes"):
        assert (encoded[f"physics_quantized:{name}"] > 0).all()
    assert encoded["physics_quantized:macs_int8"].any()
    assert not encoded[["physics_fused:macs_int8", "physics_fused:converted_bytes"]].to_numpy().any()
    for view in ENGINES:
        assert (encoded[f"correction_{view}:matmul"] + encoded[f"correction_{view}:int8_matmul"] > 0).all()


def test_the_views_are_groups_of_their_own_in_the_order_given() -> None:
    archs = some(get_space("nasbench201"))
    names = LayerPhysics(views=["folded", "fused", "live"]).get_feature_names_out()
    groups = list(dict.fromkeys(name.partition(":")[0] for name in names))
    assert groups == [f"{of}_{view}" for view in ("folded", "fused", "live") for of in ("physics", "correction")]
    alone = [LayerPhysics(views=[view]).transform(archs) for view in ("folded", "fused", "live")]
    assert np.array_equal(LayerPhysics(views=["folded", "fused", "live"]).transform(archs), np.hstack(alone))


def test_an_unknown_view_is_refused() -> None:
    for use in (lambda e: e.fit(), lambda e: e.transform([0])):
        with pytest.raises(InvalidInputError, match=r"unknown view 'folds'.*'folded'"):
            use(LayerPhysics(views=["all", "folds"]))  # type: ignore[list-item]


# -- sums over a network ----------------------------------------------------------------------------------


@pytest.mark.parametrize("space", PUBLISHED)
def test_what_two_positions_add_is_added(space: str) -> None:
    n = get_space(space).n_positions
    base = np.zeros((4, n), np.int8)
    base[[1, 3], 0] = 3
    base[[2, 3], n - 1] = 2
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
    frame = LayerPhysics(views=["folded"]).frame(
        ["+".join(nodes)] * 2, [NASBench201Config(N=5), NASBench201Config(N=10)]
    )
    shallow, deep = group(frame, "physics_folded").to_numpy()
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


def test_roots_are_taken_operator_by_operator() -> None:
    """So that of two networks with equal work the one of many small layers has the larger root."""

    def chain(n: int) -> Graph:
        build = GraphBuilder()
        x = build.input((1, 16, 8, 8))
        for _ in range(n):
            x = build.conv(x, 16, 3)
        return build.graph(x)

    sums = LayerPhysics(None).frame(GraphBatch([chain(n) for n in (1, 4, 9)]))
    for view in ("all", "fused"):
        ratios = sums[f"physics_{view}:sqrt_macs"] ** 2 / sums[f"physics_{view}:macs"]
        assert ratios.tolist() == pytest.approx([1, 4, 9], rel=1e-9)
    outputs = sums["physics_all:sqrt_outputs"] ** 2 / sums["physics_all:outputs"]
    assert outputs.tolist() == pytest.approx([1, 4, 9], rel=1e-9)


# -- corrections ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("space", "config"), CONFIGS)
def test_first_order_corrections_are_the_places_of_layers(space: str, config: str, reach: float) -> None:
    """Divided by the column of all layers they are where the layer lies, the same in every direction."""
    ops = distinct(space, config)
    columns = corrections(ops)
    assert (columns["all"] > 0).all()
    at = places(ops)
    for number, name in enumerate([*SIZES, *KINDS]):
        along = columns[name].to_numpy() / columns["all"].to_numpy()
        offset = along - at[:, number] / reach
        np.testing.assert_allclose(offset, offset[0], atol=1e-6)
        if name in KINDS:  # centred at the convolutions
            assert abs(offset[0]) < 1e-6


@pytest.mark.parametrize(("space", "config"), CONFIGS)
def test_second_order_corrections_are_products_of_those_of_the_first(space: str, config: str) -> None:
    columns = corrections(distinct(space, config))
    first = {name: (columns[name] / columns["all"]).to_numpy() for name in SIZES}
    n_pairs = 0
    for name in columns:
        one, star, other = name.partition("*")
        if star:
            n_pairs += 1
            wanted = first[one] * first[other] / (math.sqrt(2) if one == other else 1)
            np.testing.assert_allclose(columns[name] / columns["all"], wanted, atol=1e-5)
    assert n_pairs == len(SIZES) * (len(SIZES) + 1) // 2
    assert len(columns.columns) == 1 + len(SIZES) + len(KINDS) + n_pairs


@pytest.mark.parametrize(("space", "config"), CONFIGS[:2] + CONFIGS[3:5])
def test_corrections_of_near_layers_correlate_like_a_gaussian_process(space: str, config: str, reach: float) -> None:
    """The terms end with the second order: they are right where two layers are near the middle of all."""
    ops = distinct(space, config)
    columns = corrections(ops)
    away = columns[[*SIZES, *KINDS]].to_numpy() / columns[["all"]].to_numpy()
    near = [op for op, far in zip(ops, np.linalg.norm(away, axis=1), strict=True) if far < 0.6]
    assert len(near) >= 10
    kernel = np.exp(-(distances(near) ** 2) / 2 / reach**2)
    assert kernel.min() < 0.9
    np.testing.assert_allclose(correlations(corrections(near).to_numpy()), kernel, atol=0.006)


def test_what_is_left_out_of_the_kernel_is_of_the_third_order(reach: float) -> None:
    """Their inner product over that of the kernel is exp(-x) (1 + x + x^2 / 2), x that of the places themselves."""
    ops = [op for op in distinct("fbnet", "cifar100") if op.kind == "conv"]
    columns = corrections(ops)
    # Divided by its own first term a row is (1, its place, the products): the weight is gone.
    rows = columns.to_numpy() / columns[["all"]].to_numpy()
    away = rows[:, 1 : 1 + len(SIZES) + len(KINDS)]
    x = away @ away.T
    kernel = np.exp(-(distances(ops) ** 2) / 2 / reach**2)
    weights = np.exp(-0.5 * (away**2).sum(axis=1))
    error = np.abs(rows @ rows.T * np.outer(weights, weights) / kernel - 1)
    assert (error <= np.abs(x) ** 3 / 6 * np.exp(np.abs(x)) + 1e-4).all()
    assert error.max() > 1e-3


def test_the_freedom_of_a_layer_follows_its_share_in_an_average_network() -> None:
    """The variance of its correction, over that of the kernel up to the second order, is a line in that share.

    The share is the mean over the quantities of what the layer has of each. No layer has no freedom.
    """
    ops = list(dict.fromkeys(op for space, config in CONFIGS for op in distinct(space, config)))
    rows = corrections(ops)
    first = rows.div(rows["all"], axis=0)
    sizes = (first[list(SIZES)].to_numpy() ** 2).sum(axis=1)
    x = sizes + (first[list(KINDS)].to_numpy() ** 2).sum(axis=1)
    freedom = (rows.to_numpy() ** 2).sum(axis=1) / (np.exp(-x) * (1 + x + sizes**2 / 2))
    quantities = group(LayerPhysics(views=["all"]).frame([0]), "physics_all").columns
    average = dict(zip(quantities, AVERAGE_NETWORK, strict=True))
    shares = np.array([np.mean([physics(op).get(name, 0) / of for name, of in average.items()]) for op in ops])
    slope, intercept = np.polyfit(shares, freedom, 1)
    np.testing.assert_allclose(freedom, slope * shares + intercept, rtol=1e-4)
    assert 1 / slope == pytest.approx(AVERAGE_LAYERS, rel=1e-4)
    # A layer that does nothing is as free as a small part of an average one.
    assert 0.005 < intercept / slope * AVERAGE_LAYERS < 0.05


@pytest.mark.parametrize(("space", "config"), CONFIGS[:2] + CONFIGS[3:5])
def test_layers_are_corrected_alike_only_where_they_are_near(space: str, config: str, reach: float) -> None:
    ops = distinct(space, config)
    apart, alike = distances(ops), correlations(corrections(ops).to_numpy())
    assert np.array_equal(alike > 1 - 1e-9, apart < 1e-9)  # layers of one description are one layer to them
    far = apart > 2 * reach
    assert far.any()
    assert np.abs(alike[far]).max() < 0.6
    assert alike[(apart < 1.0) & (apart > 0)].min() > 0.98


def test_a_change_that_two_spaces_share_adds_the_same_columns() -> None:
    """Of these networks the stems alone differ: the same convolutions of a grey and of a colour image."""
    ours = [f"C16-N1-k10-{channels}x32x32" for channels in (1, 3)]
    theirs = [f"S16-16.24.32.64.112.184.352-H1504-k100-s1.1.1.2.2.1.2.1-{channels}x32x32" for channels in (1, 3)]
    cells = LayerPhysics("nasbench201", ["all"]).transform([[0] * 6] * 2, ours)
    blocks = LayerPhysics("fbnet", ["all"]).transform([[8] * 22] * 2, theirs)
    assert cells[1, 0] - cells[0, 0] == 2 * 16 * 9 * 32 * 32
    np.testing.assert_allclose(cells[1] - cells[0], blocks[1] - blocks[0], rtol=1e-6, atol=1e-9)


def test_expensive_layers_may_be_corrected_by_more() -> None:
    sizes = np.linalg.norm(corrections([conv(channels, 16) for channels in (16, 32, 64)]), axis=1)
    assert (np.diff(sizes) > 0).all()
    # The work grows 16-fold, the bytes 4-fold, the call stays one: a root of their mean.
    assert 2 < sizes[-1] / sizes[0] < 4


def average_network() -> tuple[dict[str, float], float]:
    """Return the quantities and the layers, identities too, of the mean network of the two published spaces.

    Every position adds by itself, so that the mean over all architectures is that over those of a single op.
    """
    quantities, layers = [], []
    for name in PUBLISHED:
        space = get_space(name)
        archs = of_a_single_op(space)
        means = group(LayerPhysics(space, ["all"]).frame(archs), "physics_all").mean()
        skips = [15] * 6 if name == "nasbench201" else [slot.keeps_shape for slot in get_space("fbnet").slots()]  # type: ignore[attr-defined]
        quantities.append(means)
        layers.append(means["layers"] + sum(skips) / len(space.ops))
    return pd.DataFrame(quantities).mean().to_dict(), float(np.mean(layers))


def test_the_average_network_is_that_of_the_two_published_spaces() -> None:
    """It is frozen, so that a third space changes no column of theirs."""
    averages, layers = average_network()
    np.testing.assert_allclose(AVERAGE_NETWORK, list(averages.values()), rtol=1e-9)
    assert layers == pytest.approx(AVERAGE_LAYERS)
