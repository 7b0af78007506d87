"""The times that a runtime reports for its operators, as times of a graph's nodes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidGraphError
from hwnas_surrogate.graphs.graph import Graph
from hwnas_surrogate.graphs.op import FREE, Op
from hwnas_surrogate.graphs.passes import ACTIVATIONS
from hwnas_surrogate.graphs.views import Traced, View, traced

__all__ = ["Timed", "node_times"]

Vector = npt.NDArray[np.float64]

_HEAVY = ("conv", "matmul", "attention", "pool", "norm", "softmax")
"""Classes of operators by which a profile is recognised as one of the graph."""
_LEAST = 0.5
"""The share of a graph's convolutions and matrix products that its profile must have."""
_CLASSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "convert": ("dequant", "quantize", "cast", "convert"),
        "softmax": ("softmax",),
        "norm": ("norm", "mvn"),
        "pool": ("pool", "reducemean", "reducemax", "reduce_mean", "aten::mean", "aten::amax"),
        "conv": ("conv",),
        "attention": ("attention", "sdpa"),
        "matmul": ("matmul", "gemm", "fullyconnected", "fully_connected", "innerproduct", "linear", "addmm", "aten::mm",
                   "aten::bmm", "einsum"),
        "moving": ("reorder", "reformat", "pad", "split", "concat", "aten::cat", "slice", "reshape", "transpose",
                   "gather", "permute", "squeeze", "flatten", "view", "expand", "copy", "contiguous", "tile", "chunk",
                   "select"),
    }
)  # fmt: skip
"""Parts of runtimes' names of operators, in lower case; the first class that fits counts."""
_OF_KIND: Mapping[str, str] = MappingProxyType(
    {
        "conv": "conv", "conv_transpose": "conv", "matmul": "matmul", "attention": "attention", "softmax": "softmax",
        "log_softmax": "softmax", "avg_pool": "pool", "max_pool": "pool", "global_pool": "pool", "mean": "pool",
        "batch_norm": "norm", "layer_norm": "norm", "group_norm": "norm", "rms_norm": "norm", "copy": "moving",
    }
)  # fmt: skip
_BY_ELEMENT = ACTIVATIONS | {"add", "sub", "mul", "div", "zero"}


class Timed(Protocol):
    """An operator as a runtime reports it."""

    @property
    def kind(self) -> str:
        """What the runtime calls its kind."""

    @property
    def ms(self) -> float:
        """Its time in ms."""

    @property
    def written(self) -> int:
        """How many numbers it writes; 0 if that is not known."""

    @property
    def stored(self) -> int:
        """How many stored numbers (weights) it reads; 0 if that is not known."""


def node_times(graph: Graph, operators: Sequence[Timed]) -> Vector:
    """Return the time of each node of a graph, from the operators that a runtime reports.

    A runtime fuses operators, adds conversions of layouts, and runs branches in an order of its own. An operator with
    multiply-adds belongs to the node of its class that writes as many numbers and reads as many weights; equal ones are
    taken in order. Other operators belong to a node of their class between those before and after them; if there is
    none, they are part of the operator before them. Fused nodes have their time at the first of them.

    Parameters
    ----------
    graph : Graph
        n nodes.
    operators : sequence of Timed
        In the order in which they run.

    Returns
    -------
    ndarray of float64, shape (n,)
        Times in ms. Their sum is that of the operators.

    Raises
    ------
    InvalidGraphError
        If there are no operators, a time is negative or not finite, or they are those of another network: fewer than
        half of the graph's convolutions and matrix products are among them.
    """
    times = np.array([operator.ms for operator in operators], np.float64)
    if not len(times) or not times.any():
        raise InvalidGraphError("the profile has no times of operators.")
    wrong = times[~np.isfinite(times) | (times < 0)]
    if len(wrong):
        raise InvalidGraphError(f"times of operators must be finite and not negative, got {wrong[0]:g} ms.")
    found = max((_matched(graph, view, operators) for view in _views(operators)), key=lambda match: match.share)
    if found.share < _LEAST:
        raise InvalidGraphError(
            f"the profile is not one of this network: of its {found.n_heavy} convolutions and matrix products, "
            f"{found.n_found} are among the profile's {len(times)} operators."
        )
    result = np.zeros(len(graph))
    np.add.at(result, found.run.serves[found.places], times)
    return result


def _views(operators: Sequence[Timed]) -> tuple[View, ...]:
    """Return the views that a profile may show: runtimes that run batch norms by themselves fuse nothing."""
    return ("all", "fused") if any("batch_norm" in operator.kind.lower() for operator in operators) else ("fused",)


@dataclass(frozen=True, slots=True, eq=False)
class _Match:
    """Which of a view's operators each operator of a profile is a part of."""

    run: Traced
    places: npt.NDArray[np.intp]
    n_heavy: int
    n_found: int

    @property
    def share(self) -> float:
        return self.n_found / self.n_heavy if self.n_heavy else 1.0


def _matched(graph: Graph, view: View, operators: Sequence[Timed]) -> _Match:
    run = traced(graph, view)
    classes = [_class_of_op(op) for op in run.ops]
    kinds = [_class_of(operator.kind) for operator in operators]
    place_of: dict[int, int] = {}
    _equal(run.ops, classes, operators, kinds, place_of)
    for each in _HEAVY:
        _in_order(each, classes, kinds, place_of)
    products = {place for place, each in enumerate(classes) if each in ("conv", "matmul")}
    found = products & set(place_of.values())
    _between(run.ops, classes, operators, kinds, place_of)
    places = np.array([place_of[number] for number in range(len(operators))], np.intp)
    return _Match(run, places, len(products), len(found))


def _equal(
    ops: Sequence[Op],
    classes: Sequence[str],
    operators: Sequence[Timed],
    kinds: Sequence[str],
    place_of: dict[int, int],
) -> None:
    """Match operators whose class and sizes occur equally often on both sides, in order.

    First by what they write and the weights that they read; what is left, by what they write alone.
    """
    heavy = [place for place, each in enumerate(classes) if each in _HEAVY]
    sizes = {place: _sizes(ops[place]) for place in heavy}
    exact = {place: (classes[place], *sizes[place][0]) for place in heavy}
    names = {(classes[place], *size): exact[place] for place in heavy for size in reversed(sizes[place])}
    names |= {key: key for key in exact.values()}
    _zipped(
        exact,
        {
            number: names[kinds[number], operator.written, operator.stored]
            for number, operator in enumerate(operators)
            if (kinds[number], operator.written, operator.stored) in names
        },
        place_of,
    )
    _zipped(
        {place: exact[place][:2] for place in heavy},
        {number: (kinds[number], operator.written) for number, operator in enumerate(operators) if operator.written},
        place_of,
    )


def _zipped(here: Mapping[int, object], there: Mapping[int, object], place_of: dict[int, int]) -> None:
    """Match what is left of each key in order, where there are as many operators as places."""
    taken = set(place_of.values())
    places, numbers = defaultdict[object, list[int]](list), defaultdict[object, list[int]](list)
    for place, key in here.items():
        if place not in taken:
            places[key].append(place)
    for number, key in there.items():
        if number not in place_of:
            numbers[key].append(number)
    for key, equal in places.items():
        if len(numbers[key]) == len(equal):
            place_of.update(zip(numbers[key], equal, strict=True))


def _written(op: Op) -> int:
    return sum(spec.numel for spec in op.outputs)


def _sizes(op: Op) -> list[tuple[int, int]]:
    """Return how many numbers an operator writes, and how many weights it reads, in the ways that runtimes count.

    Some count a bias, which a batch norm may have become. Convolutions in blocks of channels fill the last block up:
    ONNX Runtime and OpenVINO have blocks of 8 and 16.
    """
    written, matrix = _written(op), next((spec.shape for spec in op.weights if len(spec.shape) > 1), None)
    if matrix is None:
        return [(written, 0)]
    if op.kind != "conv":
        weights = sum(math.prod(spec.shape) for spec in op.weights if len(spec.shape) > 1)
        return [(written, weights), *((written, weights + size) for size in dict.fromkeys(matrix[:2]))]
    n_out, n_in, *window = matrix
    found = dict.fromkeys(
        (written // n_out * filled, filled * width * math.prod(window) + bias)
        for filled in (n_out, *(_filled(n_out, block) for block in _BLOCKS))
        for width in (n_in, *(_filled(n_in, block) for block in _BLOCKS))
        for bias in (0, filled)
    )
    return list(found)


_BLOCKS = (8, 16)


def _filled(channels: int, block: int) -> int:
    return -(-channels // block) * block


def _in_order(each: str, classes: Sequence[str], kinds: Sequence[str], place_of: dict[int, int]) -> None:
    """Match what is left of a class in order, if both sides have equally many between the matches around them."""
    numbers = [number for number, kind in enumerate(kinds) if kind == each]
    taken = set(place_of.values())
    places = [place for place, kind in enumerate(classes) if kind == each]
    for open_numbers, open_places in _gaps(numbers, places, place_of, taken):
        if len(open_numbers) == len(open_places):
            place_of.update(zip(open_numbers, open_places, strict=True))


def _gaps(
    numbers: Sequence[int], places: Sequence[int], place_of: Mapping[int, int], taken: set[int]
) -> Iterable[tuple[list[int], list[int]]]:
    """Yield the unmatched operators of a class and the unmatched places between two matched ones."""
    low, waiting = -1, list[int]()
    for number in [*numbers, None]:
        if number is not None and number not in place_of:
            waiting.append(number)
            continue
        high = math.inf if number is None else place_of[number]
        if waiting:
            yield waiting, [place for place in places if low < place < high and place not in taken]
            waiting = []
        if number is not None:
            low = place_of[number]


def _between(
    ops: Sequence[Op],
    classes: Sequence[str],
    operators: Sequence[Timed],
    kinds: Sequence[str],
    place_of: dict[int, int],
) -> None:
    """Place all other operators: at a free one that fits, between their neighbours, else at the one before."""
    known = sorted(place_of)
    taken = set(place_of.values())
    runs = [place for place, op in enumerate(ops) if op.kind not in FREE and op.kind != "constant"]
    before = runs[0] if runs else 0
    following = iter([*known, None])
    after = next(following)
    for number, operator in enumerate(operators):
        if number in place_of:
            before, after = place_of[number], next(following)
            continue
        end = len(ops) - 1 if after is None else place_of[after]
        span = [place for place in range(min(before, end), max(before, end) + 1) if place in runs]
        fitting = (place for place in span if place not in taken and _fits(ops[place], classes[place], kinds[number]))
        place = next((p for p in fitting if operator.written in (0, _written(ops[p]))), None)
        if place is None:
            attention = next((p for p in span if classes[p] == "attention" and kinds[number] in _IN_ATTENTION), None)
            place = before if attention is None else attention
        elif classes[place] != "attention":
            taken.add(place)
        place_of[number] = place


_IN_ATTENTION = ("matmul", "softmax", "element")


def _fits(op: Op, op_class: str, kind: str) -> bool:
    return op_class == kind or (kind == "element" and op.kind in _BY_ELEMENT)


def _class_of(kind: str) -> str:
    """Return the class of a runtime's operator by the name of its kind.

    >>> [_class_of(kind) for kind in ("QLinearConv", "aten::conv2d", "FusedMatMul", "ReorderOutput", "Gelu")]
    ['conv', 'conv', 'matmul', 'moving', 'element']
    >>> [_class_of(kind) for kind in ("QLinearAdd", "Convert", "aten::upsample_bilinear2d")]
    ['element', 'convert', 'element']
    """
    lower = kind.lower().replace("qlinear", "q").replace("bilinear", "")  # neither is a linear layer
    return next((each for each, parts in _CLASSES.items() if any(part in lower for part in parts)), "element")


def _class_of_op(op: Op) -> str:
    return _OF_KIND.get(op.kind, "element" if op.kind in _BY_ELEMENT else "other")
