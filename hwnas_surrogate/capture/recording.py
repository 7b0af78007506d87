"""Record the calls of a forward pass, and return their graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from hwnas_surrogate.capture.aten import Call, described, is_view, mutated
from hwnas_surrogate.capture.finishing import finished
from hwnas_surrogate.errors import InvalidGraphError
from hwnas_surrogate.graphs import DTYPES, Graph, Node, Op, TensorSpec
from hwnas_surrogate.graphs.op import N_FACTORS

__all__ = ["Recording"]


class Recording:
    """Operators of one forward pass, in order, as nodes of a graph.

    A value is the contents of a tensor object when an operator wrote it. An in-place operator gives a new value to its
    tensor and to the other views of the same memory.

    Parameters
    ----------
    module : nn.Module
        Its parameters and buffers are the stored tensors.
    """

    def __init__(self, module: nn.Module) -> None:
        self._trained = {id(parameter) for parameter in module.parameters()}
        self._weight_of: dict[int, int] = {}
        self._weights: list[tuple[TensorSpec, bool]] = []
        self._inputs: list[TensorSpec] = []
        self._nodes: list[Node] = []
        self._values: list[TensorSpec] = []
        self._value_of: dict[int, int] = {}
        self._seen_at: dict[int, int] = {}
        """The number of in-place writes to a tensor's memory at the time when it got its value."""
        self._written: dict[int, list[int]] = {}
        """The values that were written into memory in place, one after the other."""
        self._parts: dict[tuple[Any, ...], int] = {}
        """The numbers of parts of stored tensors."""
        self._root: dict[int, int] = {}
        """The value that a view shows."""
        self._alive: list[Tensor] = []  # keeps objects alive, since the id of a dead one may be reused
        self._paused = False
        self._uncounted: list[str] = []
        for stored in (*module.parameters(), *module.buffers()):
            self._store(stored)

    def takes(self, inputs: Sequence[Tensor]) -> None:
        """Record the tensors that the module is called with."""
        for tensor in inputs:
            self._inputs.append(_spec(tensor))
            self._values.append(self._inputs[-1])
            self._holds(tensor, len(self._values) - 1)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Record nothing inside."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    def add(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Add an operator that was dispatched."""
        if self._paused:
            return
        if any(isinstance(leaf, torch.ScriptObject) for leaf in tree_leaves((args, kwargs))):
            raise InvalidGraphError(
                f"the operator {func} reads packed weights, whose shapes are not known. "
                "Capture the network before it is quantized."
            )
        written = mutated(func, args, kwargs) if func._schema.is_mutable else []
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)] or written
        if not outputs:
            return
        if is_view(func):
            self._add_views([leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)], outputs)
            return
        first = self._add_call(described(func, args, kwargs, outputs, len(self._nodes)))
        # Stored tensors are passed as real ones and returned as fake ones: both hold the written value.
        for place, tensor in enumerate(written[: len(outputs)]):
            if tensor is not outputs[place]:
                self._written.setdefault(_memory(tensor), []).append(first + place)
                self._holds(tensor, first + place)

    def add_whole(self, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor) -> None:
        """Add an operator that PyTorch may split into parts."""
        if self._paused:
            return
        names = _ARGUMENTS[kind]
        given = dict(zip(names, args, strict=False)) | kwargs
        tensors = [given[name] for name in names if isinstance(given.get(name), Tensor)]
        self._add_call(Call(kind, tensors, [result]))

    def graph(self, returned: Sequence[Tensor]) -> Graph:
        """Return the recorded graph, without views and outputs that nothing reads."""
        if not self._nodes:
            raise InvalidGraphError("the module calls no operator on its inputs: there is nothing to capture.")
        outputs = [self._read(tensor) for tensor in returned if self._is_value(tensor)]
        if not outputs:
            raise InvalidGraphError("the module returns no tensor that it computed.")
        return finished(Graph(self._inputs, self._nodes, outputs, [spec for spec, _ in self._weights]), self._uncounted)

    def _store(self, tensor: Tensor) -> int:
        self._alive.append(tensor)
        self._weights.append((_spec(tensor), id(tensor) in self._trained))
        return self._weight_of.setdefault(id(tensor), len(self._weights) - 1)

    def _holds(self, tensor: Tensor, value: int) -> None:
        """Record that a tensor now holds a value."""
        self._alive.append(tensor)
        self._value_of[id(tensor)] = value
        self._seen_at[id(tensor)] = len(self._written.get(_memory(tensor), ()))

    def _is_value(self, tensor: Tensor) -> bool:
        """Return whether a tensor holds an operator's result; a stored one does after an in-place write."""
        return id(tensor) in self._value_of or bool(self._written.get(_memory(tensor)))

    def _read(self, tensor: Tensor) -> int:
        """Return the value that a tensor holds: a new one if its memory was written through another view of it."""
        written = self._written.get(_memory(tensor), [])
        value = self._value_of.get(id(tensor))
        later = written[self._seen_at.get(id(tensor), 0) :]
        if value is None or later:
            before = [] if value is None else [value]
            reads = tuple(dict.fromkeys(self._root.get(one, one) for one in (*before, *later)))
            stored = [] if value is not None or id(tensor) not in self._weight_of else [self._weight_of[id(tensor)]]
            specs = tuple(self._weights[weight][0] for weight in stored)
            seen = tuple(self._values[read] for read in reads)
            op = Op.of("view", seen, (_spec(tensor),), (), specs, detail="written")
            value = self._append(Node(op, reads, tuple(stored)))
            self._holds(tensor, value)
        return value

    def _append(self, node: Node) -> int:
        self._nodes.append(node)
        self._values += node.op.outputs
        return len(self._values) - len(node.op.outputs)

    def _add_views(self, tensors: list[Tensor], outputs: list[Tensor]) -> None:
        source = tensors[0]
        if id(source) in self._weight_of and not self._is_value(source):
            for output in outputs:
                self._add_view_of_weight(self._weight_of[id(source)], output)
            return
        value = self._read(source) if self._is_value(source) else self._constant(source)
        root = self._root.get(value, value)
        for output in outputs:
            spec, detail = _spec(output), _layout(output)
            if spec == self._values[root] and not detail:
                self._holds(output, root)
                continue
            shown = self._append(Node(Op.of("view", (self._values[root],), (spec,), detail=detail), (root,)))
            self._root[shown] = root
            self._holds(output, shown)

    def _add_view_of_weight(self, weight: int, output: Tensor) -> None:
        """Record a view of a stored tensor: the same tensor with another shape, or a part of it as a new one."""
        self._alive.append(output)
        if output.numel() < self._weights[weight][0].numel:
            place = (weight, tuple(output.shape), _layout(output))
            if place not in self._parts:
                self._weights.append((_spec(output), self._weights[weight][1]))
                self._parts[place] = len(self._weights) - 1
            weight = self._parts[place]
        self._weight_of[id(output)] = weight

    def _constant(self, tensor: Tensor) -> int:
        """Return the value of a tensor that no recorded operator made."""
        value = self._append(Node(Op.of("constant", (), (_spec(tensor),)), ()))
        self._holds(tensor, value)
        return value

    def _add_call(self, call: Call) -> int:
        """Add an operator; return the first value that it writes."""
        if "::" in call.kind:  # of a library of its own
            self._uncounted.append(call.kind)
        reads, weights, buffers = list[int](), list[int](), list[int]()
        for tensor in call.tensors:
            if self._is_value(tensor):
                reads.append(self._read(tensor))
            else:
                known = self._weight_of.get(id(tensor))
                weight = self._store(tensor) if known is None else known
                (weights if self._weights[weight][1] else buffers).append(weight)
        specs = [tuple(self._weights[weight][0] for weight in of) for of in (weights, buffers)]
        inputs = tuple(self._values[value] for value in reads)
        factors = tuple(map(_spec, call.tensors[: N_FACTORS.get(call.kind, 0)]))
        if factors == (*inputs, *specs[0], *specs[1])[: len(factors)]:
            factors = ()  # the default
        outputs = tuple(map(_spec, call.outputs))
        op = Op.of(call.kind, inputs, outputs, *specs, factors=factors, detail=call.detail, **call.window)
        first = self._append(Node(op, tuple(reads), (*weights, *buffers)))
        for place, output in enumerate(call.outputs):
            if call.in_place:
                self._written.setdefault(_memory(output), []).append(first + place)
            self._holds(output, first + place)
        return first


_ARGUMENTS = {
    "matmul": ("input", "weight", "bias"),
    "attention": ("query", "key", "value", "attn_mask"),
    "batch_norm": ("input", "running_mean", "running_var", "weight", "bias"),
}
"""The tensors of whole functions, in the order of their signatures."""


def _layout(tensor: Tensor) -> str:
    """Return a view's strides and offset as text; empty for one that is contiguous from the beginning."""
    if tensor.storage_offset() == 0 and tensor.is_contiguous():
        return ""
    return f"{tuple(tensor.stride())} from {tensor.storage_offset()}"


def _memory(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _spec(tensor: Tensor) -> TensorSpec:
    name = str(tensor.dtype).removeprefix("torch.").partition("_")[0]
    if name not in DTYPES:
        raise InvalidGraphError(
            f"a tensor of {tensor.dtype} can't be captured; allowed: {', '.join(DTYPES)}. "
            "Capture the network before it is quantized."
        )
    sizes = tuple(tensor.shape)
    if not all(type(size) is int for size in sizes):
        raise InvalidGraphError(f"a tensor has the shape {sizes}, which depends on the data: fix its sizes.")
    return TensorSpec.of(sizes, name)
