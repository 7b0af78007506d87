"""Build graphs operator by operator, as search spaces do for their networks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod

from hwnas_surrogate.errors import InvalidGraphError
from hwnas_surrogate.graphs.graph import Graph, Node
from hwnas_surrogate.graphs.layouts import Layout
from hwnas_surrogate.graphs.op import Op, Shape, TensorSpec

__all__ = ["GraphBuilder"]

Sizes = int | Sequence[int]


class GraphBuilder:
    """Adds operators one by one; each method returns the number of the value that the operator writes.

    Activations are laid out as in PyTorch: batch, channels, then the spatial dimensions.

    Examples
    --------
    >>> build = GraphBuilder()
    >>> image = build.input((1, 3, 32, 32))
    >>> x = build.relu(build.batch_norm(build.conv(image, 16, kernel=3)))
    >>> x = build.linear(build.flatten(build.global_pool(x)), 10)
    >>> build.graph(x)
    Graph(6 operators, 0.442528 M multiply-adds, 634 parameters)
    """

    def __init__(self) -> None:
        self._inputs: list[TensorSpec] = []
        self._nodes: list[Node] = []
        self._weights: list[TensorSpec] = []
        self._values: list[TensorSpec] = []

    def input(self, shape: Shape, dtype: str = "float32") -> int:
        """Add an input; inputs come before the first operator."""
        if self._nodes:
            raise InvalidGraphError("inputs come before the first operator.")
        self._inputs.append(TensorSpec.of(tuple(shape), dtype))
        self._values.append(self._inputs[-1])
        return len(self._values) - 1

    def weight(self, shape: Shape, dtype: str = "float32") -> int:
        """Add a stored tensor, which any number of operators may read."""
        self._weights.append(TensorSpec.of(tuple(shape), dtype))
        return len(self._weights) - 1

    def spec(self, value: int) -> TensorSpec:
        """Return the shape and number format of a value."""
        return self._values[value]

    def add_op(self, op: Op, reads: Sequence[int], weights: Sequence[int] = ()) -> int:
        """Add any operator; return the first value that it writes. The others are numbered after it."""
        self._nodes.append(Node(op, _shared(*reads), _shared(*weights)))
        self._values += op.outputs
        return len(self._values) - len(op.outputs)

    def graph(self, *outputs: int) -> Graph:
        """Return the graph that returns these values."""
        return Graph(self._inputs, self._nodes, outputs, self._weights)

    def conv(
        self,
        x: int,
        channels: int,
        kernel: Sizes,
        stride: Sizes = 1,
        padding: Sizes | None = None,
        groups: int = 1,
        dilation: Sizes = 1,
        bias: bool = False,
    ) -> int:
        """Add a convolution of 1, 2 or 3 dimensions.

        Parameters
        ----------
        x : int
            The value to read, of shape (batch, channels, ...).
        channels : int
            Output channels.
        kernel, stride, dilation : int or sequence of int
            One for every spatial dimension, or one for each.
        padding : int or sequence of int, optional
            On both sides; half the kernel if None.
        groups : int, default=1
        bias : bool, default=False
        """
        windows = (_hashable(sizes) for sizes in (kernel, stride, padding, dilation))
        return self._with_weights(_conv(self.spec(x), channels, groups, bias, *windows), x)

    def batch_norm(self, x: int) -> int:
        """Add a batch norm with its two parameters and two statistics a channel."""
        return self._with_weights(_batch_norm(self.spec(x)), x)

    def linear(self, x: int, features: int, bias: bool = True) -> int:
        """Add a linear layer over the last dimension."""
        return self._with_weights(_linear(self.spec(x), features, bias), x)

    def matmul(self, first: int, second: int) -> int:
        """Multiply two activations, (..., m, k) by (..., k, n)."""
        left, right = self.spec(first).shape, self.spec(second).shape
        return self._add("matmul", [first, second], (*left[:-1], right[-1]))

    def pool(self, kind: str, x: int, kernel: Sizes, stride: Sizes | None = None, padding: Sizes = 0) -> int:
        """Add ``avg_pool`` or ``max_pool``, as PyTorch computes them; strides are the kernel if None."""
        shape = self.spec(x).shape
        n = len(shape) - 2
        kernel, padding = _each(kernel, n), _each(padding, n)
        stride = kernel if stride is None else _each(stride, n)
        size = _window(shape[2:], kernel, stride, padding, (1,) * n)
        return self._add(kind, [x], (*shape[:2], *size), kernel=kernel, stride=stride, padding=padding)

    def global_pool(self, x: int) -> int:
        """Add the average over all spatial dimensions, which stay with size 1."""
        shape = self.spec(x).shape
        return self._add("global_pool", [x], (*shape[:2], *(1 for _ in shape[2:])))

    def flatten(self, x: int) -> int:
        """Flatten all dimensions but the batch into one, as a view."""
        shape = self.spec(x).shape
        return self.view(x, (shape[0], prod(shape[1:])))

    def view(self, x: int, shape: Shape, strides: Shape | None = None) -> int:
        """View a value with another shape, in order or with other strides; nothing is moved."""
        spec = self.spec(x)
        detail = "" if strides is None else str(Layout(tuple(shape), tuple(strides)))
        return self.add_op(Op.of("view", (spec,), (TensorSpec.of(tuple(shape), spec.dtype),), detail=detail), [x])

    def relu(self, x: int) -> int:
        """Add a ReLU."""
        return self.elementwise("relu", x)

    def add(self, first: int, second: int) -> int:
        """Add two values of one shape."""
        return self.elementwise("add", first, second)

    def elementwise(self, kind: str, *values: int) -> int:
        """Add any elementwise operator: it writes one number for each that it reads of the first value."""
        if not values:
            raise InvalidGraphError(f"the operator {kind!r} reads nothing: give the values that it reads.")
        return self._add(kind, values, self.spec(values[0]).shape)

    def concat(self, values: Sequence[int], axis: int = 1) -> int:
        """Join values along a dimension; their other dimensions are equal."""
        shapes = [list(self.spec(value).shape) for value in values]
        others = {tuple(size for place, size in enumerate(shape) if place != axis) for shape in shapes}
        if len(others) != 1 or not 0 <= axis < len(shapes[0]):
            raise InvalidGraphError(f"values of shapes {shapes} can't be joined along dimension {axis}.")
        shape = list(self.spec(values[0]).shape)
        shape[axis] = sum(self.spec(value).shape[axis] for value in values)
        return self._add("concat", values, tuple(shape))

    def _add(self, kind: str, values: Sequence[int], shape: Shape, **window: Shape) -> int:
        read = tuple(map(self.spec, values))
        return self.add_op(Op.of(kind, read, (TensorSpec.of(tuple(shape), read[0].dtype),), **window), values)

    def _with_weights(self, op: Op, x: int) -> int:
        """Add an operator that reads one value and its own stored tensors."""
        first = len(self._weights)
        self._weights += op.weights
        self._weights += op.buffers
        return self.add_op(op, (x,), range(first, len(self._weights)))


@lru_cache(maxsize=65536, typed=True)
def _conv(
    spec: TensorSpec,
    channels: int,
    groups: int,
    bias: bool,
    kernel: Sizes,
    stride: Sizes,
    padding: Sizes | None,
    dilation: Sizes,
) -> Op:
    n = len(spec.shape) - 2
    if n < 1 or groups < 1:
        raise InvalidGraphError(
            f"a convolution reads (batch, channels, ...) in groups of at least 1, got {spec.shape} and {groups}."
        )
    kernel, stride, dilation = (_each(sizes, n) for sizes in (kernel, stride, dilation))
    padding = tuple(size // 2 for size in kernel) if padding is None else _each(padding, n)
    size = _window(spec.shape[2:], kernel, stride, padding, dilation)
    weights: tuple[TensorSpec, ...] = (TensorSpec.of((channels, spec.shape[1] // groups, *kernel)),)
    weights += (TensorSpec.of((channels,)),) if bias else ()
    written = TensorSpec.of((spec.shape[0], channels, *size), spec.dtype)
    return Op.of(
        "conv", (spec,), (written,), weights,
        kernel=kernel, stride=stride, padding=padding, dilation=dilation, groups=groups,
    )  # fmt: skip


@lru_cache(maxsize=65536)
def _batch_norm(spec: TensorSpec) -> Op:
    stored = (TensorSpec.of((spec.shape[1],)),) * 2
    return Op.of("batch_norm", (spec,), (spec,), stored, stored)


@lru_cache(maxsize=65536, typed=True)
def _linear(spec: TensorSpec, features: int, bias: bool) -> Op:
    weights = (TensorSpec.of((features, spec.shape[-1])), *([TensorSpec.of((features,))] if bias else []))
    written = TensorSpec.of((*spec.shape[:-1], features), spec.dtype)
    return Op.of("matmul", (spec,), (written,), weights)


def _hashable(sizes: Sizes | None) -> Sizes | None:
    return sizes if sizes is None or isinstance(sizes, int) else tuple(sizes)


@lru_cache(maxsize=65536, typed=True)
def _shared(*numbers: int) -> tuple[int, ...]:
    """Return a shared tuple of some numbers: without sharing, those of 100,000 graphs would take a gigabyte."""
    return numbers


def _each(sizes: Sizes, n: int) -> tuple[int, ...]:
    """Return one size for each spatial dimension."""
    found = (sizes,) * n if isinstance(sizes, int) else tuple(sizes)
    if any(type(size) is not int or size < 0 for size in found):
        raise InvalidGraphError(f"sizes are whole numbers of at least 0, got {found!r:.80}.")
    if len(found) != n:
        raise InvalidGraphError(f"{len(found)} sizes {found} were given for {n} spatial dimensions.")
    return found


def _window(
    sizes: Shape, kernel: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...]
) -> Shape:
    """Return the output sizes of a window, rounded down as in PyTorch."""
    if min(stride, default=1) < 1:
        raise InvalidGraphError(f"strides must be at least 1, got {stride}.")
    left = tuple(
        (size + 2 * pad - far * (width - 1) - 1) // step + 1
        for size, width, step, pad, far in zip(sizes, kernel, stride, padding, dilation, strict=True)
    )
    if min(left, default=1) < 1:
        raise InvalidGraphError(f"a window of {kernel} does not fit into {sizes} with padding {padding}.")
    return left
