"""Merged operators: against a slow reference that keeps the graph, and against ONNX Runtime's own."""

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

SPACE = get_space("nasbench201")


def slowly(ops: list[int]) -> list[int]:
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

    def fused(kind: str) -> int:
        """Count the operators that read a convolution which nothing else reads."""
        return sum(
            any(isinstance(part, tuple) and part[0] == "conv" and readers[part] == 1 for part in term[1:])
            for term in terms
            if term[0] == kind
        )

    kinds = Counter(term[0] for term in terms)
    return [
        kinds["relu"],
        kinds["pool"],
        kinds["zero"] - fused("zero"),
        kinds["add"],
        fused("add"),
        fused("relu"),
        fused("zero"),
    ]


def test_against_the_reference() -> None:
    archs = SPACE.enumerate()[::5]
    assert np.array_equal(SPACE.merged(archs), [slowly(ops) for ops in archs.tolist()])


def test_by_hand() -> None:
    # The pools 1<-0, 2<-0 and 3<-0 are one, so node 2 is pool + pool (2<-1 skips), and 3's first sum is the same.
    assert dict(zip(MERGED, SPACE.merged(np.array([[4, 4, 1, 4, 1, 1]], np.int8))[0], strict=True)) == {
        "relu": 0, "pool": 1, "zero": 0, "add": 2, "fused_add": 0, "fused_relu": 0, "fused_zero": 0,
    }  # fmt: skip


def test_fbnet_has_nothing_to_merge() -> None:
    space = get_space("fbnet")
    assert space.merged(space.sample(3, 0)).shape == (3, 0)


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
        merged = dict(zip(MERGED, SPACE.merged(arch[None])[0].tolist(), strict=True))
        for kind, name in names.items():
            assert graphs[1][kind] - graphs[0][kind] == 3 * merged[name], (arch, kind)
