"""Nodes of captured graphs: what an operator reads becomes values, parameters and buffers; views show values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hwnas_surrogate.capture.finishing import finished
from hwnas_surrogate.graphs import Graph, Node, Op, TensorSpec
from hwnas_surrogate.graphs.layouts import Layout
from hwnas_surrogate.graphs.op import N_FACTORS

__all__ = ["Nodes", "Stored", "Value"]

Change = Callable[[Layout], Sequence[Layout] | None]
"""What a view does to the layout of what it views; None if no view can show that."""


@dataclass(frozen=True, slots=True)
class Value:
    """What an operator wrote, or an input of the network."""

    number: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored tensor, or a constant; `spec` is how it is seen, perhaps with another shape than it is stored."""

    number: int
    spec: TensorSpec
    trained: bool


class Nodes:
    """The nodes of a graph, in order, while a network is captured.

    Examples
    --------
    >>> nodes = Nodes()
    >>> x = nodes.take(TensorSpec((2, 3)))
    >>> y = nodes.call("matmul", [Value(x), nodes.store(TensorSpec((4, 3)), trained=True)], [TensorSpec((2, 4))])
    >>> turned = nodes.view(y, lambda layout: [layout.permuted((1, 0))])
    >>> nodes.graph(turned)
    Graph(2 operators, 2.4e-05 M multiply-adds, 12 parameters)
    """

    def __init__(self) -> None:
        self._inputs: list[TensorSpec] = []
        self._nodes: list[Node] = []
        self._values: list[TensorSpec] = []
        self._weights: list[TensorSpec] = []
        self._shown: dict[int, tuple[int, Layout]] = {}
        self._of_inputs: set[int] = set()

    def __len__(self) -> int:
        """Return the number of nodes."""
        return len(self._nodes)

    def take(self, spec: TensorSpec) -> int:
        """Add an input of the network; all come before the first node."""
        self._inputs.append(spec)
        self._values.append(spec)
        self._of_inputs.add(len(self._values) - 1)
        return len(self._values) - 1

    def store(self, spec: TensorSpec, trained: bool) -> Stored:
        """Add a stored tensor."""
        self._weights.append(spec)
        return Stored(len(self._weights) - 1, spec, trained)

    def spec(self, value: int) -> TensorSpec:
        """Return the shape and number format of a value."""
        return self._values[value]

    def depends(self, value: int) -> bool:
        """Return whether a value depends on an input."""
        return value in self._of_inputs

    def root(self, value: int) -> int:
        """Return the value that a view shows; another value is its own root."""
        return self._shown[value][0] if value in self._shown else value

    def call(
        self,
        kind: str,
        tensors: Iterable[Value | Stored],
        outputs: Sequence[TensorSpec],
        factors: tuple[TensorSpec, ...] = (),
        detail: str = "",
        **window: Any,
    ) -> int:
        """Add an operator.

        Parameters
        ----------
        kind : str
        tensors : iterable of Value or Stored
            What it reads; for products, the factors first.
        outputs : sequence of TensorSpec
        factors : tuple of TensorSpec, optional
            The factors of a product, if they are not its first tensors as they are seen.
        detail : str, optional
        **window
            Kernel, stride, dilation, padding and groups.

        Returns
        -------
        int
            The first value that it writes.

        Raises
        ------
        InvalidGraphError
            If the shapes of a product do not fit together.
        """
        tensors = list(tensors)
        reads = tuple(tensor.number for tensor in tensors if isinstance(tensor, Value))
        stored = [tensor for tensor in tensors if isinstance(tensor, Stored)]
        weights, buffers = ([one.number for one in stored if one.trained is trained] for trained in (True, False))
        inputs = tuple(map(self.spec, reads))
        specs = [tuple(self._weights[number] for number in of) for of in (weights, buffers)]
        seen = [tensor.spec if isinstance(tensor, Stored) else self.spec(tensor.number) for tensor in tensors]
        factors = factors or tuple(seen[: N_FACTORS.get(kind, 0)])
        if factors == (*inputs, *specs[0], *specs[1])[: len(factors)]:
            factors = ()  # the default
        op = Op.of(kind, inputs, tuple(outputs), *specs, factors=factors, detail=detail, **window)
        return self.append(Node(op, reads, (*weights, *buffers)))

    def append(self, node: Node) -> int:
        """Add a node; return the first value that it writes."""
        first = len(self._values)
        self._nodes.append(node)
        self._values += node.op.outputs
        if not self._of_inputs.isdisjoint(node.reads):
            self._of_inputs.update(range(first, len(self._values)))
        return first

    def view(self, value: int, change: Change, dtypes: Sequence[str] = ()) -> list[int]:
        """Add views of a value, which show the value that it shows itself.

        What no steps through memory can show is copied first, as PyTorch does.

        Parameters
        ----------
        value : int
        change : callable
            Returns the layouts of the views by the layout of the value; None if it must be copied.
        dtypes : sequence of str, optional
            The number format of each view, if it is another one.

        Returns
        -------
        list of int
        """
        made = change(self._layout(value))
        if made is None:
            spec = self.spec(value)
            value = self.append(Node(Op.of("copy", (spec,), (spec,)), (value,)))
            made = change(self._layout(value))
        if made is None:
            raise ValueError(f"no view of {self.spec(value)} is possible")
        dtypes = dtypes or [self.spec(value).dtype] * len(made)
        return [self._show(self.root(value), layout, dtype) for layout, dtype in zip(made, dtypes, strict=True)]

    def _layout(self, value: int) -> Layout:
        return self._shown[value][1] if value in self._shown else Layout.contiguous(self.spec(value).shape)

    def _show(self, root: int, layout: Layout, dtype: str) -> int:
        spec = TensorSpec.of(layout.shape, dtype)
        if layout.in_order and spec == self.spec(root):
            return root
        value = self.append(Node(Op.of("view", (self.spec(root),), (spec,), detail=str(layout)), (root,)))
        self._shown[value] = (root, layout)
        return value

    def graph(self, outputs: Sequence[int], uncounted: Iterable[str] = ()) -> Graph:
        """Return the finished graph; ``uncounted`` names operators without a rule."""
        return finished(Graph(self._inputs, self._nodes, outputs, self._weights), uncounted)
