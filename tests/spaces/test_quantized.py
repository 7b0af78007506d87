"""What runs in int8: against a slow reference that keeps the graph, and against ONNX Runtime's own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.networks import build_network, to_onnx
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.spaces.merged import MERGED
from hwnas_surrogate.spaces.nasbench201 import EDGES
from hwnas_surrogate.spaces.quantized import QUANTIZED

SPACE = get_space("nasbench201")


def quantized(archs: Any) -> list[dict[str, int]]:
    counts = SPACE.quantized(SPACE.as_array(archs))[:, len(MERGED) :]
    return [dict(zip(QUANTIZED, row, strict=True)) for row in counts.tolist()]


def slowly(ops: list[int], n_cells: int) -> Counter[str]:
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


def test_against_the_reference() -> None:
    archs = SPACE.enumerate()[::40]
    for arch, counted in zip(archs.tolist(), quantized(archs), strict=True):
        four, three = slowly(arch, 4), slowly(arch, 3)
        assert {name: four[name] - three[name] for name in QUANTIZED} == counted, arch


def test_by_hand() -> None:
    # Node 1's ReLU and the sums have one reader each, so that the second and the third convolution run in int8; node 1
    # itself is read twice (by its ReLU and a zero), so that the first does not.
    chain = quantized([[3, 0, 3, 0, 0, 3]])[0]
    assert chain["int8_conv3x3"] == 2
    # Two convolutions read node 1: its ReLU stays int8, so that neither they nor the one before them run in uint8.
    fork = quantized([[3, 0, 3, 0, 3, 0]])[0]
    assert fork["int8_conv3x3"] == 0


def test_counts_hang_together() -> None:
    counts = dict(zip(SPACE.quantized_names, SPACE.quantized(SPACE.enumerate()).T.astype(int), strict=True))
    archs = SPACE.enumerate()
    for name, op in (("int8_conv1x1", 2), ("int8_conv3x3", 3)):
        assert (counts[name] <= (archs == op).sum(axis=1)).all()
    for kind in ("pool", "add", "zero", "relu"):
        assert (counts[f"int8_{kind}"] <= counts[kind]).all()
    ints = sum(counts[name] for name in QUANTIZED[:5])
    operators = counts["pool"] + counts["add"] + counts["zero"] + np.isin(archs, (2, 3)).sum(axis=1)
    assert np.array_equal(counts["quantize"], operators - ints + counts["int8_relu"])


def test_fbnet_has_no_such_counts() -> None:
    space = get_space("fbnet")
    assert space.quantized(space.sample(3, 0)).shape == (3, 0)


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
        fused = optimise(to_onnx(network, (3, 8, 8)).SerializeToString(), "fused.onnx", level.ORT_ENABLE_BASIC)
        pairs = str(tmp_path / "pairs.onnx")
        quantization.quantize_static(fused, pairs, OneImage(), quant_format=quantization.QuantFormat.QDQ)
        graph = onnx.load(optimise(pairs, "final.onnx", level.ORT_ENABLE_EXTENDED)).graph
        return Counter(node.op_type for node in graph.node)

    archs = [*SPACE.sample(12, 3), *SPACE.as_array([[3, 0, 3, 0, 0, 3], [4, 4, 1, 3, 1, 3], [0, 0, 1, 2, 1, 1]])]
    for arch, wanted in zip(archs, quantized(archs), strict=True):
        three, two = count(arch, 3), count(arch, 2)  # the difference is one cell in each of three stages
        got = {kind: (three[f"QLinear{kind}"] - two[f"QLinear{kind}"]) / 3 for kind in ("Conv", "Add", "Mul")}
        got["AveragePool"] = (three["QLinearAveragePool"] - two["QLinearAveragePool"]) / 3
        assert got == {
            "Conv": wanted["int8_conv1x1"] + wanted["int8_conv3x3"],
            "Add": wanted["int8_add"],
            "Mul": wanted["int8_zero"],
            "AveragePool": wanted["int8_pool"],
        }, arch
