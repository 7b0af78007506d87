"""Networks as graphs of operators, independent of their source."""

from hwnas_surrogate.graphs.batch import GraphBatch, NetworkBatch
from hwnas_surrogate.graphs.builder import GraphBuilder
from hwnas_surrogate.graphs.folding import folded
from hwnas_surrogate.graphs.graph import Graph, Node
from hwnas_surrogate.graphs.merging import merged
from hwnas_surrogate.graphs.op import DTYPES, Op, TensorSpec
from hwnas_surrogate.graphs.passes import fused, live
from hwnas_surrogate.graphs.quantizing import quantized
from hwnas_surrogate.graphs.views import VIEWS, Traced, View, traced

__all__ = [
    "DTYPES",
    "VIEWS",
    "Graph",
    "GraphBatch",
    "GraphBuilder",
    "NetworkBatch",
    "Node",
    "Op",
    "TensorSpec",
    "Traced",
    "View",
    "folded",
    "fused",
    "live",
    "merged",
    "quantized",
    "traced",
]
