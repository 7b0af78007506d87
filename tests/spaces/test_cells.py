"""What NAS-Bench-201's cells run: by slow references that know one cell, by the passes, and by ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.graphs import VIEWS, Graph, NetworkBatch, Op, TensorSpec, fused, merged, quantized
from hwnas_surrogate.networks import build_network, to_onnx
from hwnas_surrogate.spaces import NASBench201, NASBench201Config
from hwnas_surrogate.spaces.cells import COUNTED, MERGED, QUANTIZED, cell_table
from hwnas_surrogate.spaces.nasbench201 import EDGES

SPACE = NASBench201()
SAMPLE = SPACE.sample(60, 11)


def counts(archs: Any) -> dict[str, np.ndarray]:
    """Return the counts of cells by name, each of shape (n,)."""
    found = SPACE.cell_counts(SPACE.as_array(archs)).astype(int)
    return dict(zip((*MERGED, *QUANTIZED), found.T, strict=True))


def one_by_one(archs: Any, names: tuple[str, ...]) -> list[dict[str, int]]:
    """Return the counts of each cell, those of some names."""
    found = counts(archs)
    columns = [found[name].tolist() for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


# -- slow references --------------------------------------------------------------------------------------


def slowly_merged(ops: list[int]) -> dict[str, int]:
    """Build the cell as a set of terms, equal ones once, and look at who reads what."""
    terms: dict[Any, None] = {}

    def make(*term: Any) -> Any:
        terms[term] = None
        return term

    node: dict[int, Any] = {0: "input"}
    for place, ((target, source), op) in enumerate(zip(EDGES, ops, strict=True)):
        x = node[source]
        value = {
            0: lambda x=x: make("zero", x),
            1: lambda x=x: x,
            2: lambda x=x, place=place: make("conv", make("relu", x), place),
            3: lambda x=x, place=place: make("conv", make("relu", x), place),
            4: lambda x=x: make("pool", x),
        }[op]()
        node[target] = make("add", *sorted((node[target], value), key=repr)) if target in node else value
    readers = Counter(part for term in terms for part in set(term[1:]) if part in terms)
    readers[node[3]] += 1

    def taken_on(kind: str) -> int:
        """Count the operators that read a convolution which nothing else reads."""
        return sum(
            any(isinstance(part, tuple) and part[0] == "conv" and readers[part] == 1 for part in term[1:])
            for term in terms
            if term[0] == kind
        )

    kinds = Counter(term[0] for term in terms)
    return {
        "relu": kinds["relu"],
        "pool": kinds["pool"],
        "zero": kinds["zero"] - taken_on("zero"),
        "add": kinds["add"],
        "fused_add": taken_on("add"),
        "fused_relu": taken_on("relu"),
        "fused_zero": taken_on("zero"),
    }


def slowly_quantized(ops: list[int], n_cells: int) -> Counter[str]:
    """Write a chain of equal cells as a graph, fold and turn its values one by one, and count in all of it."""
    made: dict[Any, tuple[str, tuple[Any, ...]]] = {}

    def make(kind: str, *reads: Any, name: Any = None) -> Any:
        value = (kind, name, *reads)
        made[value] = (kind, reads)
        return value

    x: Any = "image"
    for cell in range(n_cells):
        node: dict[int, Any] = {0: x}
        for place, ((target, source), op) in enumerate(zip(EDGES, ops, strict=True)):
            at = node[source]
            if op in (2, 3):
                value = make("conv1x1" if op == 2 else "conv3x3", make("relu", at), name=(cell, place))
            else:
                value = at if op == 1 else make("zero" if op == 0 else "pool", at)
            node[target] = make("add", *sorted((node[target], value), key=repr)) if target in node else value
        x = node[3]

    def readers(value: Any) -> int:
        return sum(reads.count(value) for _, reads in made.values()) + (value == x)

    for value, (kind, reads) in list(made.items()):  # a zero into the weights of the convolution before it
        if kind == "zero" and made.get(reads[0], ("", ()))[0].startswith("conv") and readers(reads[0]) == 1:
            made[value] = made.pop(reads[0])
    for value, (kind, reads) in list(made.items()):  # a ReLU into the quantization before it
        if kind == "relu" and reads[0] in made and readers(reads[0]) == 1:
            made[value] = made.pop(reads[0])
    count: Counter[str] = Counter()
    for value, (kind, reads) in made.items():
        turned = {readers(each) == 1 for each in (*reads, value)}
        if kind == "relu":
            count.update(["int8_relu", "quantize", "dequantize"])
        elif turned in {"zero": [{False}], "pool": [{True}, {False}], "add": [{True}, {False}]}.get(kind, [{True}]):
            count[f"int8_{kind}"] += 1
        else:
            count.update(["quantize", *["dequantize"] * len(reads)])
    return count


def test_merged_cells_are_those_of_the_reference() -> None:
    archs = SPACE.enumerate()[::5]
    for arch, counted in zip(archs.tolist(), one_by_one(archs, MERGED), strict=True):
        assert counted == slowly_merged(arch), arch


def test_quantized_cells_are_those_of_the_reference() -> None:
    archs = SPACE.enumerate()[::40]
    for arch, counted in zip(archs.tolist(), one_by_one(archs, QUANTIZED), strict=True):
        four, three = slowly_quantized(arch, 4), slowly_quantized(arch, 3)
        assert {name: four[name] - three[name] for name in QUANTIZED} == counted, arch


def test_a_merged_cell_by_hand() -> None:
    # The pools 1<-0, 2<-0 and 3<-0 are one, so node 2 is pool + pool (2<-1 skips), and 3's first sum is the same.
    assert one_by_one([[4, 4, 1, 4, 1, 1]], MERGED) == [
        {"relu": 0, "pool": 1, "zero": 0, "add": 2, "fused_add": 0, "fused_relu": 0, "fused_zero": 0}
    ]
    # 1<-0 conv3x3, 2<-0 pool, 2<-1 skip, 3<-0 pool (the same as the other), 3<-1 none, 3<-2 conv1x1.
    (found,) = one_by_one([[3, 4, 1, 4, 0, 2]], MERGED)
    assert (found["pool"], found["zero"], found["add"]) == (1, 1, 3)


def test_quantized_cells_by_hand() -> None:
    # Node 1's ReLU and the sums have one reader each, so that the second and the third convolution run in int8; node 1
    # itself is read twice (by its ReLU and a zero), so that the first does not. If two convolutions read node 1, its
    # ReLU stays int8, so that neither they nor the one before them run in uint8.
    chain, fork = one_by_one([[3, 0, 3, 0, 0, 3], [3, 0, 3, 0, 3, 0]], QUANTIZED)
    assert chain["int8_conv3x3"] == 2
    assert fork["int8_conv3x3"] == 0


def test_counts_of_cells_hang_together() -> None:
    archs = SPACE.enumerate()
    found = counts(archs)
    assert all((of_name >= 0).all() for of_name in found.values())
    for name, op in (("int8_conv1x1", 2), ("int8_conv3x3", 3)):
        assert (found[name] <= (archs == op).sum(axis=1)).all()
    for kind in ("pool", "add", "zero", "relu"):
        assert (found[f"int8_{kind}"] <= found[kind]).all()
    ints = sum(found[name] for name in QUANTIZED[:5])
    operators = found["pool"] + found["add"] + found["zero"] + np.isin(archs, (2, 3)).sum(axis=1)
    assert np.array_equal(found["quantize"], operators - ints + found["int8_relu"])


# -- the kept table and the passes ------------------------------------------------------------------------


def named(calls: Counter[Op]) -> Counter[str]:
    """Count operators by name, those in int8 apart, and what they have taken on."""
    names: Counter[str] = Counter()
    for op, count in calls.items():
        name = f"conv{op.kernel[0]}x{op.kernel[0]}" if op.kind == "conv" else op.kind.removeprefix("avg_")
        in_int8 = op.dtype == "int8" and op.kind != "quantize"
        names[f"int8_{name}" if in_int8 else name] += count
        for taken in op.fused:
            names[f"fused_{taken}"] += count
    return names


def of_three_cells(arch: Any, run: Callable[[Graph], Graph]) -> Counter[str]:
    """Count operators by name in three cells, one of each stage, between others."""
    three, two = (named(Counter(run(SPACE.graph(arch, NASBench201Config(N=n))).counts)) for n in (3, 2))
    three.subtract(two)
    return three


def test_merged_cells_are_what_the_passes_give() -> None:
    for arch, expected in zip(SAMPLE, one_by_one(SAMPLE, MERGED), strict=True):
        found = of_three_cells(arch, lambda graph: fused(merged(graph)))
        found["relu"] += found["fused_relu"]
        found["add"] += found["fused_add"]
        assert {name: found[name] for name in MERGED} == {name: 3 * times for name, times in expected.items()}, arch


def test_quantized_cells_are_what_the_passes_give() -> None:
    for arch, expected in zip(SAMPLE, one_by_one(SAMPLE, QUANTIZED), strict=True):
        found = of_three_cells(arch, quantized)
        found["int8_relu"] = found["fused_relu"]
        assert {name: found[name] for name in QUANTIZED} == {name: 3 * times for name, times in expected.items()}, arch


def calls(batch: NetworkBatch, view: Any) -> list[Counter[Op]]:
    """Return how often each network runs each operator."""
    ops = batch.distinct(view)
    found = [Counter[Op]() for _ in range(len(batch))]
    for called, row in zip(found, batch.sums(np.eye(len(ops)), view), strict=True):
        for place in np.flatnonzero(row):
            called[ops[place]] += int(row[place])
    return found


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_kept_table_is_what_the_passes_give(n: int, view: str) -> None:
    config = replace(COUNTED, N=n)
    for arch, called in zip(SAMPLE, calls(SPACE.batch(SAMPLE, config), view), strict=True):
        assert called == VIEWS[view](SPACE.graph(arch, config)).counts, arch


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("config", [NASBench201Config(N=5), NASBench201Config(4, 8, 7, 1, 4, 12)], ids=str)
def test_more_cells_than_were_counted_are_what_the_passes_give(config: NASBench201Config, view: str) -> None:
    for arch, called in zip(SAMPLE[:12], calls(SPACE.batch(SAMPLE[:12], config), view), strict=True):
        assert called == VIEWS[view](SPACE.graph(arch, config)).counts, arch


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "config",
    [
        NASBench201Config(N=1),
        NASBench201Config(N=5),
        NASBench201Config(4, 8, 7, 1, 4, 12),  # images of a pixel: channels decide
        NASBench201Config(1, 2, 10, 40, 8, 8),  # the image is larger than what follows
    ],
    ids=str,
)
def test_the_kept_peak_memory_is_that_of_each_graph(config: NASBench201Config, view: Any) -> None:
    archs = SPACE.as_array([*SAMPLE[:10], [0] * 6, [4, 0, 0, 0, 0, 4]])  # the last two have no path
    peaks = [VIEWS[view](SPACE.graph(arch, config)).peak_memory for arch in archs]
    assert SPACE.batch(archs, config).peak_memory(view).tolist() == peaks


def test_the_peak_memory_of_every_network_takes_no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NASBench201, "graph", None)
    batch = SPACE.batch(SPACE.enumerate())
    images = batch.peak_memory("live") / (16 * 32 * 32 * 4)  # in units of an image in the first stage
    assert (images[~batch.connected] == 3 / 16).all()  # the network's input alone
    assert set(images[batch.connected]) <= {2.5, 3, 4, 5}  # 2.5 in the first reduction, the others in cells


@pytest.mark.parametrize("view", VIEWS)
def test_the_kept_table_has_each_operator_once(view: Any) -> None:
    distinct = cell_table(COUNTED, view).distinct
    assert len(set(distinct)) == len(distinct)


def test_networks_were_counted_at_sizes_that_are_all_different() -> None:
    """Each size in a shape then tells what it is: channels, pixels of a stage, or classes."""
    sizes = [COUNTED.in_channels, COUNTED.num_classes, *(COUNTED.C << stage for stage in range(3))]
    sizes += [size >> stage for size in (COUNTED.height, COUNTED.width) for stage in range(3)]
    assert len(set(sizes)) == len(sizes)
    assert {1, 3}.isdisjoint(sizes)


@pytest.mark.parametrize("config", ["cifar10", "C8-N2-k7-1x16x20", "C1-N1-k1-2x4x8"])
@pytest.mark.parametrize("view", ["fused", "quantized"])
def test_merging_and_quantizing_lose_no_convolution(view: Any, config: str) -> None:
    archs = SPACE.enumerate()
    batch, of = SPACE.batch(archs, config), SPACE.config(config)
    assert isinstance(of, NASBench201Config)
    assert np.array_equal(batch.total("macs", view), batch.macs)
    assert np.array_equal(batch.total("params", view), batch.params)
    for stage in range(3):
        spec = TensorSpec((1, of.C << stage, of.height >> stage, of.width >> stage))
        for kernel, op in ((1, 2), (3, 3)):
            # The stem and the second convolution of a reduction are such convolutions too, if the channels are alike.
            others = kernel == 3 and (stage > 0 or of.in_channels == of.C)
            here = [
                op.kind == "conv"
                and op.kernel == (kernel, kernel)
                and op.inputs[0].shape == op.outputs[0].shape == spec.shape
                for op in batch.distinct(view)
            ]
            assert np.array_equal(batch.sums(here, view), of.N * (archs == op).sum(axis=1) + others)


def test_an_operator_reads_and_writes_one_number_format_or_converts() -> None:
    for op in SPACE.batch([0]).distinct("quantized"):
        specs = (*op.inputs, *op.outputs)
        if op.kind in ("quantize", "dequantize"):
            assert {spec.dtype for spec in specs} == {"float32", "int8"} or op.fused == ("relu",)
            assert op.macs == op.params == 0
        else:
            assert len({spec.dtype for spec in specs}) == 1
            moved = 0 if op.kind == "view" else sum(spec.numel for spec in specs)
            assert op.activation_bytes == moved * (1 if op.dtype == "int8" else 4)


# -- ONNX Runtime -----------------------------------------------------------------------------------------


def test_onnx_runtime_leaves_exactly_these(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    ort = pytest.importorskip("onnxruntime", reason="the extra onnxruntime is not installed")
    names = {"Relu": "relu", "AveragePool": "pool", "Mul": "zero", "Add": "add"}
    for arch in [*SPACE.sample(10, 7), *SPACE.as_array([[3, 2, 0, 2, 0, 0], [2, 0, 0, 1, 0, 0], [2, 0, 3, 3, 1, 4]])]:
        graphs = []
        for n in (1, 2):  # the difference is one cell in each of three stages
            network = build_network(arch, f"C4-N{n}-k10-3x8x8", random_state=0)
            options = ort.SessionOptions()
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
            options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
            options.log_severity_level = 4
            model = to_onnx(network, (3, 8, 8)).SerializeToString()
            ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            graphs.append(Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node))
        (wanted,) = one_by_one(arch[None], MERGED)
        for kind, name in names.items():
            assert graphs[1][kind] - graphs[0][kind] == 3 * wanted[name], (arch, kind)


@pytest.mark.slow
def test_onnx_runtime_runs_exactly_these_in_int8(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    ort = pytest.importorskip("onnxruntime", reason="the extra onnxruntime is not installed")
    quantization = pytest.importorskip("onnxruntime.quantization")
    level = ort.GraphOptimizationLevel
    image = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)

    class OneImage(quantization.CalibrationDataReader):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            self.images = iter([{"image": image}])

        def get_next(self) -> Any:
            return next(self.images, None)

    def optimise(source: str | bytes, name: str, how: Any) -> str:
        options = ort.SessionOptions()
        options.graph_optimization_level = how
        options.optimized_model_filepath = str(tmp_path / name)
        options.log_severity_level = 4
        ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        return options.optimized_model_filepath

    def count(arch: Any, n: int) -> Counter[str]:
        network = build_network(arch, f"C4-N{n}-k10-3x8x8", random_state=0)
        basic = optimise(to_onnx(network, (3, 8, 8)).SerializeToString(), "fused.onnx", level.ORT_ENABLE_BASIC)
        pairs = str(tmp_path / "pairs.onnx")
        quantization.quantize_static(basic, pairs, OneImage(), quant_format=quantization.QuantFormat.QDQ)
        graph = onnx.load(optimise(pairs, "final.onnx", level.ORT_ENABLE_EXTENDED)).graph
        return Counter(node.op_type for node in graph.node)

    archs = [*SPACE.sample(12, 3), *SPACE.as_array([[3, 0, 3, 0, 0, 3], [4, 4, 1, 3, 1, 3], [0, 0, 1, 2, 1, 1]])]
    for arch, wanted in zip(archs, one_by_one(archs, QUANTIZED), strict=True):
        two, one = count(arch, 2), count(arch, 1)  # the difference is one cell in each of three stages
        got = {kind: (two[f"QLinear{kind}"] - one[f"QLinear{kind}"]) / 3 for kind in ("Conv", "Add", "Mul")}
        got["AveragePool"] = (two["QLinearAveragePool"] - one["QLinearAveragePool"]) / 3
        assert got == {
            "Conv": wanted["int8_conv1x1"] + wanted["int8_conv3x3"],
            "Add": wanted["int8_add"],
            "Mul": wanted["int8_zero"],
            "AveragePool": wanted["int8_pool"],
        }, arch
