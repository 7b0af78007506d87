"""Record the calls of a forward pass, and return their graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from hwnas_surrogate.capture.aten import Call, described, is_copy, is_view, mutated
from hwnas_surrogate.capture.nodes import Nodes, Stored, Value
from hwnas_surrogate.errors import InvalidGraphError
from hwnas_surrogate.graphs import DTYPES, Graph, Node, Op, TensorSpec
from hwnas_surrogate.graphs.layouts import Layout

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
        self._made = Nodes()
        self._stored_of: dict[int, Stored] = {}
        self._value_of: dict[int, int] = {}
        self._seen_at: dict[int, int] = {}
        """The number of in-place writes to a tensor's memory at the time when it got its value."""
        self._written: dict[int, list[int]] = {}
        """The values that were written into memory in place, one after the other."""
        self._parts: dict[tuple[Any, ...], Stored] = {}
        """Parts of stored tensors."""
        self._alive: list[Tensor] = []  # keeps objects alive, since the id of a dead one may be reused
        self._paused = False
        self._uncounted: list[str] = []
        for stored in (*module.parameters(), *module.buffers()):
            self._store(stored)

    def takes(self, inputs: Sequence[Tensor]) -> None:
        """Record the tensors that the module is called with."""
        for tensor in inputs:
            self._holds(tensor, self._made.take(_spec(tensor)))

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
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if is_view(func):
            self._add_views(func, args, kwargs, tensors[0], outputs)
            return
        if is_copy(func, args, kwargs) and self._keeps_shape(tensors[0], outputs[0]):
            self._add_copy(tensors[0], outputs[0])
            return
        *parts, last = described(func, args, kwargs, outputs, len(self._made))
        for part in parts:
            self._add_call(part)
        first = self._add_call(last)
        # Stored tensors are passed as real ones and returned as fake ones: both hold the written value.
        for place, tensor in enumerate(written[: len(outputs)]):
            if tensor is not outputs[place]:
                self._written.setdefault(_memory(tensor), []).append(first + place)
                self._holds(tensor, first + place)

    def add_whole(self, call: Call) -> None:
        """Add an operator that PyTorch may split into parts."""
        if not self._paused:
            self._add_call(call)

    def graph(self, returned: Sequence[Tensor]) -> Graph:
        """Return the recorded graph, without views and outputs that nothing reads."""
        if not len(self._made):
            raise InvalidGraphError("the module calls no operator on its inputs: there is nothing to capture.")
        outputs = [self._read(tensor) for tensor in returned if self._is_value(tensor)]
        if not outputs:
            raise InvalidGraphError("the module returns no tensor that it computed.")
        return self._made.graph(outputs, self._uncounted)

    def _store(self, tensor: Tensor) -> Stored:
        self._alive.append(tensor)
        stored = self._made.store(_spec(tensor), id(tensor) in self._trained)
        return self._stored_of.setdefault(id(tensor), stored)

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
            reads = tuple(dict.fromkeys(self._made.root(one) for one in (*before, *later)))
            stored = [] if value is not None or id(tensor) not in self._stored_of else [self._stored_of[id(tensor)]]
            specs = tuple(one.spec for one in stored)
            seen = tuple(self._made.spec(read) for read in reads)
            op = Op.of("view", seen, (_spec(tensor),), (), specs, detail="written")
            value = self._made.append(Node(op, reads, tuple(one.number for one in stored)))
            self._holds(tensor, value)
        return value

    def _add_views(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], source: Tensor, outputs: list[Tensor]
    ) -> None:
        if id(source) in self._stored_of and not self._is_value(source):
            for output in outputs:
                self._add_view_of_stored(self._stored_of[id(source)], output)
            return
        value = self._read(source) if self._is_value(source) else self._constant(source)

        def change(layout: Layout) -> list[Layout] | None:
            return _viewed(func, args, kwargs, source, layout)

        dtypes = [_spec(output).dtype for output in outputs]
        for output, shown in zip(outputs, self._made.view(value, change, dtypes), strict=True):
            self._holds(output, shown)

    def _add_view_of_stored(self, stored: Stored, output: Tensor) -> None:
        """Record a view of a stored tensor: the same tensor with another shape, or a part of it as a new one."""
        self._alive.append(output)
        if output.numel() < stored.spec.numel:
            place = (stored.number, tuple(output.shape), _layout(output))
            if place not in self._parts:
                self._parts[place] = self._made.store(_spec(output), stored.trained)
            stored = self._parts[place]
        self._stored_of[id(output)] = stored

    def _keeps_shape(self, source: Tensor, output: Tensor) -> bool:
        """Return whether an output has the shape that its source was recorded with."""
        value = self._value_of.get(id(source))
        return value is None or self._made.spec(value) == _spec(output)

    def _add_copy(self, source: Tensor, output: Tensor) -> None:
        """Record a copy as what it copies: operators run on it where it is, or copy it themselves."""
        if self._is_value(source):
            self._holds(output, self._read(source))
        elif id(source) in self._stored_of:
            self._alive.append(output)
            self._stored_of[id(output)] = self._stored_of[id(source)]
        else:
            self._constant(output)

    def _constant(self, tensor: Tensor) -> int:
        """Return the value of a tensor that no recorded operator made."""
        value = self._made.append(Node(Op.of("constant", (), (_spec(tensor),)), ()))
        self._holds(tensor, value)
        return value

    def _operand(self, tensor: Tensor) -> Value | Stored:
        if self._is_value(tensor):
            return Value(self._read(tensor))
        stored = self._stored_of.get(id(tensor)) or self._store(tensor)
        return Stored(stored.number, _spec(tensor), stored.trained)

    def _add_call(self, call: Call) -> int:
        """Add an operator; return the first value that it writes."""
        if "::" in call.kind:  # of a library of its own
            self._uncounted.append(call.kind)
        operands = list(map(self._operand, call.tensors))
        outputs = list(map(_spec, call.outputs))
        factors = tuple(TensorSpec.of(shape, _spec(call.tensors[0]).dtype) for shape in call.factors)
        first = self._made.call(call.kind, operands, outputs, factors, call.detail, **call.window)
        for place, output in enumerate(call.outputs):
            if call.in_place:
                self._written.setdefault(_memory(output), []).append(first + place)
            self._holds(output, first + place)
        return first


def _viewed(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], source: Tensor, layout: Layout
) -> list[Layout] | None:
    """Return what a view shows of a tensor that is laid out in a certain way; None if it fails on that."""
    last = layout.offset + sum((size - 1) * step for size, step in zip(layout.shape, layout.strides, strict=True))
    memory = torch.empty(max(last, 0) + 1, dtype=source.dtype, device=source.device)
    seen = memory.as_strided(layout.shape, layout.strides, layout.offset)
    args, kwargs = tree_map_only(Tensor, lambda tensor: seen if tensor is source else tensor, (args, kwargs))
    if func is torch.ops.aten._reshape_alias.default:
        func, args = torch.ops.aten.view.default, args[:2]
    try:
        made = func(*args, **kwargs)
    except (RuntimeError, ValueError):
        return None
    views = [leaf for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]
    return [Layout(tuple(view.shape), tuple(view.stride()), int(view.storage_offset())) for view in views]


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
