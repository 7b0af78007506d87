"""A network as a graph of operators and the values that they read and write. Equal graphs have equal hashes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, NoReturn

from hwnas_surrogate.errors import InvalidGraphError
from hwnas_surrogate.graphs.identity import digest
from hwnas_surrogate.graphs.op import Op, TensorSpec, whole_number, whole_numbers

__all__ = ["Graph", "Node"]

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Node:
    """An operator in a graph.

    Parameters
    ----------
    op : Op
    reads : tuple of int
        The values that it reads, one for each of ``op.inputs``.
    weights : tuple of int
        The stored tensors that it reads, one for each of ``op.weights`` and ``op.buffers``.
    """

    op: Op
    reads: tuple[int, ...]
    weights: tuple[int, ...] = ()


class Graph:
    """A network: operators in an order in which they can run, and the values that each reads.

    Values are numbered: first the inputs, then what each node writes, node by node. Graphs are immutable. Two are
    equal if they have the same operators that read the same values; the order of nodes that do not depend on each
    other does not matter. :class:`GraphBuilder` is the usual way to make one.

    Parameters
    ----------
    inputs : sequence of TensorSpec
    nodes : sequence of Node
    outputs : sequence of int
        The values that the network returns.
    weights : sequence of TensorSpec, optional
        The stored tensors. One that several nodes read (tied weights) is listed once.

    Raises
    ------
    InvalidGraphError
        If there is no operator, a node reads a value that no earlier one writes (a cycle, or a dangling value), or a
        value's shape differs between its writer and its reader.
    """

    def __init__(
        self,
        inputs: Sequence[TensorSpec],
        nodes: Sequence[Node],
        outputs: Sequence[int],
        weights: Sequence[TensorSpec] = (),
    ) -> None:
        self.inputs = tuple(inputs)
        self.nodes = tuple(nodes)
        self.outputs = tuple(outputs)
        self.weights = tuple(weights)
        self._check()

    @classmethod
    def trusted(
        cls,
        inputs: tuple[TensorSpec, ...],
        nodes: tuple[Node, ...],
        outputs: tuple[int, ...],
        weights: tuple[TensorSpec, ...],
    ) -> Graph:
        """Return a graph without checking it, for passes that transform a valid graph."""
        graph = cls.__new__(cls)
        graph.inputs, graph.nodes, graph.outputs, graph.weights = inputs, nodes, outputs, weights
        graph.values = (*inputs, *(spec for node in nodes for spec in node.op.outputs))
        return graph

    @classmethod
    def from_torch(cls, module: Any, *example_inputs: Any) -> Graph:
        """Capture a PyTorch module: every operator of its forward pass, without computing anything.

        Parameters
        ----------
        module : torch.nn.Module
            In eval mode; on any device, including ``meta``.
        *example_inputs : Tensor or anything else that the module accepts
            Only the shapes and number formats of tensors count.

        Raises
        ------
        InvalidGraphError
            If a part of the module is in training mode, its control flow depends on the numbers, or it fails.

        Examples
        --------
        >>> import torch
        >>> Graph.from_torch(torch.nn.Linear(8, 4).eval(), torch.zeros(2, 8))
        Graph(1 operators, 6.4e-05 M multiply-adds, 36 parameters)
        """
        from hwnas_surrogate.capture import graph_of_module

        return graph_of_module(module, *example_inputs)

    @classmethod
    def from_exported(cls, program: Any) -> Graph:
        """Capture a program that ``torch.export.export`` made, with the inputs of its export.

        Parameters
        ----------
        program : torch.export.ExportedProgram
            Exported in eval mode. With dynamic shapes, the sizes of its example inputs count.

        Raises
        ------
        InvalidGraphError
            If it was exported in training mode, or holds control flow that depends on the numbers.
        """
        from hwnas_surrogate.capture import graph_of_exported

        return graph_of_exported(program)

    @classmethod
    def from_onnx(cls, model: Any, input_shapes: Any = None) -> Graph:
        """Read an ONNX model, with shapes from ONNX's own inference; nothing of it is executed.

        Parameters
        ----------
        model : path-like or onnx.ModelProto
            The weights are not read: external data may be absent.
        input_shapes : sequence of int, or mapping of str to sequence of int, optional
            The shape of the one input, or shapes by the inputs' names, for a model with symbolic dimensions.

        Raises
        ------
        InvalidInputError
            If a shape is missing, or not one of the model's input.
        InvalidGraphError
            If it is no ONNX model, or a damaged one; if it has control flow or is quantized; or if a shape is not
            known.
        """
        from hwnas_surrogate.capture import graph_of_onnx

        return graph_of_onnx(model, input_shapes)

    def _check(self) -> None:
        if not self.nodes:
            raise InvalidGraphError("a graph has at least one operator, got none.")
        self.values: tuple[TensorSpec, ...]
        values = list(self.inputs)
        for number, node in enumerate(self.nodes):
            name = f"node {number} ({node.op.kind})"
            self._check_reads(name, "value", node.reads, node.op.inputs, values)
            self._check_reads(name, "weight", node.weights, (*node.op.weights, *node.op.buffers), self.weights)
            values += node.op.outputs
        for value in self.outputs:
            if type(value) is not int or not 0 <= value < len(values):
                raise InvalidGraphError(f"output {value!r} is no value of the graph: it has 0..{len(values) - 1}.")
        if not self.outputs:
            raise InvalidGraphError("a graph returns at least one value, got no output.")
        self.values = tuple(values)

    @staticmethod
    def _check_reads(
        name: str, what: str, read: Sequence[int], wanted: Sequence[TensorSpec], there: Sequence[TensorSpec]
    ) -> None:
        if len(read) != len(wanted):
            raise InvalidGraphError(f"{name} reads {len(read)} {what}s, its operator takes {len(wanted)}.")
        for number, spec in zip(read, wanted, strict=True):
            if type(number) is not int or not 0 <= number < len(there):
                raise InvalidGraphError(
                    f"{name} reads {what} {number!r}, which nothing before it writes; there are {len(there)} so far. "
                    "Nodes stand after those whose values they read."
                )
            if there[number] is not spec and there[number] != spec:
                raise InvalidGraphError(f"{name} reads {what} {number} as {spec}, but it is {there[number]}.")

    def __len__(self) -> int:
        """Return the number of operators."""
        return len(self.nodes)

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, Graph) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Graph({len(self)} operators, {self.macs / 1e6:.6g} M multiply-adds, {self.params:,} parameters)"

    @cached_property
    def digest(self) -> str:
        """A hash of the content, 32 hexadecimal digits: the same on every machine (:mod:`.identity`)."""
        return digest(self)

    @property
    def ops(self) -> tuple[Op, ...]:
        """The operators, in order."""
        return tuple(node.op for node in self.nodes)

    @cached_property
    def counts(self) -> Counter[Op]:
        """How often the graph runs each distinct operator."""
        return Counter(self.ops)

    @property
    def macs(self) -> int:
        """Multiply-adds."""
        return sum(op.macs * count for op, count in self.counts.items())

    @cached_property
    def params(self) -> int:
        """Trained parameters; a tensor that several operators read counts once."""
        trained = {weight for node in self.nodes for weight in node.weights[: len(node.op.weights)]}
        return sum(self.weights[weight].numel for weight in trained)

    @property
    def activation_bytes(self) -> int:
        """Bytes of activations that the operators read and write."""
        return sum(op.activation_bytes * count for op, count in self.counts.items())

    @property
    def weight_bytes(self) -> int:
        """Bytes of all stored tensors that operators read, buffers too: the size of the model's file, about."""
        used = {weight for node in self.nodes for weight in node.weights}
        return sum(self.weights[weight].bytes for weight in used)

    @cached_property
    def peak_memory(self) -> int:
        """Largest number of bytes of activations in memory at once, in the order of the nodes.

        A value is in memory from the operator that writes it to the last one that reads it; inputs from the beginning,
        outputs to the end. A ``view`` shares its input's memory; nothing is written in place.
        """
        owner = list(range(len(self.values)))  # the value whose memory each value uses
        last_read = dict.fromkeys(range(len(self.inputs)), -1)
        for number, (node, writes) in enumerate(self.with_writes()):
            for value in node.reads:
                last_read[owner[value]] = number
            if node.op.kind == "view" and node.reads:
                owner[writes[0]] = owner[node.reads[0]]
        last_read |= {owner[value]: len(self.nodes) for value in self.outputs}
        live = sum(spec.bytes for spec in self.inputs)
        peak = live
        live -= sum(self.inputs[value].bytes for value, number in last_read.items() if number < 0)
        ends: dict[int, list[int]] = {}
        for value, number in last_read.items():
            ends.setdefault(number, []).append(value)
        for number, (_, writes) in enumerate(self.with_writes()):
            written = [value for value in writes if owner[value] == value]
            live += sum(self.values[value].bytes for value in written)
            peak = max(peak, live)
            dead = [*ends.get(number, ()), *(value for value in written if value not in last_read)]
            live -= sum(self.values[value].bytes for value in dead)
        return peak

    @cached_property
    def connected(self) -> bool:
        """Whether an output depends on an input."""
        reached = set(range(len(self.inputs)))
        for node, writes in self.with_writes():
            if not reached.isdisjoint(node.reads):
                reached.update(writes)
        return not reached.isdisjoint(self.outputs)

    @cached_property
    def writes(self) -> tuple[range, ...]:
        """The values that each node writes."""
        ends = accumulate((len(node.op.outputs) for node in self.nodes), initial=len(self.inputs))
        return tuple(range(start, end) for start, end in pairwise(ends))

    def with_writes(self) -> Iterable[tuple[Node, range]]:
        """Return each node and the values that it writes."""
        return zip(self.nodes, self.writes, strict=True)

    @cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """The nodes that read each value; a node that reads it twice is listed twice."""
        found: list[list[int]] = [[] for _ in self.values]
        for number, node in enumerate(self.nodes):
            for value in node.reads:
                found[value].append(number)
        return tuple(map(tuple, found))

    def to_json(self) -> str:
        """Write the graph as JSON; :meth:`from_json` reads it."""
        ops = {op: number for number, op in enumerate(self.counts)}
        content = {
            "format": _FORMAT,
            "inputs": [spec.to_list() for spec in self.inputs],
            "weights": [spec.to_list() for spec in self.weights],
            "ops": [op.to_dict() for op in ops],
            "nodes": [[ops[node.op], list(node.reads), list(node.weights)] for node in self.nodes],
            "outputs": list(self.outputs),
        }
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Graph:
        """Read a graph written by :meth:`to_json`.

        Raises
        ------
        InvalidGraphError
            If it is something else, or damaged.
        """
        try:
            content = json.loads(text)
            if type(content["format"]) is not int or content["format"] != _FORMAT:
                _not_json(f"format {content['format']!r:.20}")
            ops = [Op.from_dict(entry) for entry in content["ops"]]
            nodes = [
                Node(ops[whole_number(op)], whole_numbers(reads), whole_numbers(weights))
                for op, reads, weights in content["nodes"]
            ]
            inputs, weights = ([TensorSpec.from_list(spec) for spec in content[key]] for key in ("inputs", "weights"))
            return cls(inputs, nodes, whole_numbers(content["outputs"]), weights)
        except InvalidGraphError:
            raise
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
            _not_json(f"{type(error).__name__}: {error}", error)


def _not_json(why: str, cause: BaseException | None = None) -> NoReturn:
    raise InvalidGraphError(f"this is no graph written by Graph.to_json, format {_FORMAT} ({why:.200}).") from cause
