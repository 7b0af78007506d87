"""Nodes of an ONNX model with known shapes as nodes of a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.capture.nodes import Nodes, Stored, Value
from hwnas_surrogate.capture.onnx_constants import LARGEST, computed
from hwnas_surrogate.capture.onnx_ops import (
    KEEPS_NUMBERS,
    RECURRENT,
    SHAPE_ONLY,
    OnnxNode,
    Translation,
    translated,
)
from hwnas_surrogate.capture.onnx_views import is_view, shown
from hwnas_surrogate.capture.terms import NEUTRAL
from hwnas_surrogate.errors import HWNASError, InvalidGraphError
from hwnas_surrogate.graphs import Graph, TensorSpec

__all__ = ["Reader", "node_name", "one_line"]

_SAME_SHAPE = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand"})
_DAMAGED = (IndexError, TypeError, ValueError, KeyError, AttributeError, ZeroDivisionError, OverflowError)
"""What rules raise where a node lacks inputs or attributes, or has wrong ones."""
_NAMES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "int16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
    11: "float64", 12: "int32", 13: "int64", 14: "complex64", 15: "complex128", 16: "bfloat16",
    17: "float8", 18: "float8", 19: "float8", 20: "float8",
}  # fmt: skip
"""Number formats by ONNX's number; unsigned ones as the signed ones of as many bytes."""
_NUMBER_OF = {name: number for number, name in reversed(_NAMES.items())}
_SAID = 64
"""Constants with more numbers are not part of an operator's description."""


def node_name(name: str, number: int, node: Any) -> str:
    """Return how errors call a node of a model."""
    called = f" {node.name!r:.80}" if node.name else ""
    return f"{name}: node {number} ({node.op_type}{called})"


def one_line(error: Exception) -> str:
    """Return the message of one of ONNX's errors on one line."""
    return " ".join(str(error).split())[:400]


def _type_of(numbers: npt.NDArray[Any]) -> tuple[int, tuple[int, ...]]:
    """Return ONNX's number of an array's format, and its shape."""
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(numbers.dtype)), numbers.shape


def _sizes(kind: Any) -> list[int] | None:
    """Return the sizes of a tensor's type, or None if one is not known."""
    tensor = kind.tensor_type
    known = tensor.HasField("shape") and all(size.HasField("dim_value") for size in tensor.shape.dim)
    return [size.dim_value for size in tensor.shape.dim] if known else None


class Reader:
    """Turns the nodes of a model with known shapes into those of a graph."""

    def __init__(self, model: Any, name: str, inputs: Sequence[str], stated: Mapping[str, Any]) -> None:
        self._graph, self._name, self._stated = model.graph, name, stated
        self._types = {value.name: value for value in (*self._graph.input, *self._graph.value_info)}
        self._types |= {value.name: value for value in self._graph.output}
        self._made = Nodes()
        self._value_of: dict[str, int] = {}
        self._stored: dict[str, Stored] = {}
        self._opsets = {opset.domain or "": opset.version for opset in model.opset_import}
        self._opset_imports, self._ir_version = list(model.opset_import), model.ir_version
        self._numbers: dict[str, npt.NDArray[Any]] = {}
        self._inferred: dict[str, TensorSpec] = {}
        self._uncounted: list[str] = []
        self._at = ""
        for tensor in self._graph.initializer:
            spec = self._made_spec(tensor.data_type, tensor.dims, tensor.name)
            self._store(tensor.name, spec, trained=spec.dtype.startswith(("float", "bfloat")) and bool(spec.shape))
            self._keep_numbers(tensor.name, tensor)
        for tensor in self._graph.sparse_initializer:
            spec = self._made_spec(tensor.values.data_type, tensor.dims, tensor.values.name)
            self._store(tensor.values.name, spec, trained=True)
        for value in inputs:
            self._define(value)
            self._value_of[value] = self._made.take(self._spec(value))

    def graph(self) -> Graph:
        """Return the graph."""
        for number, node in enumerate(self._graph.node):
            self._at = node_name(self._name, number, node)
            try:
                self._add(node)
            except HWNASError:
                raise
            except _DAMAGED as error:
                raise InvalidGraphError(f"{self._at} can't be read: {type(error).__name__}: {error!s:.200}.") from error
        names = [value.name for value in self._graph.output]
        self._at = self._name
        for name in names:
            self._check_known(name)
        outputs = [self._value_of[name] for name in names if name in self._value_of]
        if not outputs:
            raise InvalidGraphError(f"{self._name} returns nothing that it computes from its inputs.")
        return self._made.graph(outputs, self._uncounted)

    # -- what is known of tensors -------------------------------------------------------------------------

    def _made_spec(self, dtype: int, dims: Sequence[int], name: str) -> TensorSpec:
        if dtype not in _NAMES:
            raise InvalidGraphError(
                f"{self._name}: the tensor {name!r:.80} has ONNX's number format {dtype}, which is unknown."
            )
        if any(size < 0 for size in dims):
            raise InvalidGraphError(f"{self._name}: the tensor {name!r:.80} has the negative shape {list(dims)}.")
        return TensorSpec.of(tuple(int(size) for size in dims), _NAMES[dtype])

    def _spec(self, name: str) -> TensorSpec:
        """Return the shape and number format of a tensor."""
        if name in self._stored:
            return self._stored[name].spec
        if name in self._value_of:
            return self._made.spec(self._value_of[name])
        if name in self._inferred:
            return self._inferred[name]
        value = self._types.get(name) if self._is_known(name) else self._stated.get(name)
        sizes = None if value is None else _sizes(value.type)
        if value is None or sizes is None:
            raise InvalidGraphError(
                f"{self._at}: the shape of {name!r:.80} is not known: it depends on numbers, or no rule for the "
                "operator is known. Simplify the model, or state the shape in the file."
            )
        return self._made_spec(value.type.tensor_type.elem_type, sizes, name)

    def _keep_numbers(self, name: str, tensor: Any) -> None:
        from onnx import TensorProto, numpy_helper

        spec = self._stored[name].spec
        if spec.numel <= LARGEST and tensor.data_location != TensorProto.EXTERNAL:
            try:
                self._numbers[name] = numpy_helper.to_array(tensor)
            except (ValueError, TypeError) as error:
                raise InvalidGraphError(f"{self._name}: the tensor {name!r:.80} is damaged: {error}.") from error

    def _store(self, name: str, spec: TensorSpec, trained: bool) -> None:
        self._define(name)
        self._stored[name] = self._made.store(spec, trained)

    def _define(self, name: str) -> None:
        if name in self._stored or name in self._value_of:
            raise InvalidGraphError(f"{self._at or self._name}: {name!r:.80} is written twice.")

    def _check_known(self, name: str) -> None:
        if name not in self._stored and name not in self._value_of:
            raise InvalidGraphError(
                f"{self._at} reads {name!r:.80}, which is no input, no stored tensor, and written by no node before it "
                "(a cycle, nodes in a wrong order, or a missing part)."
            )

    def _few_numbers(self, name: str) -> tuple[Any, ...] | None:
        numbers = None if name in self._stored and self._stored[name].trained else self._numbers.get(name)
        return None if numbers is None or numbers.size > _SAID else tuple(numbers.ravel().tolist())

    def _is_known(self, name: str) -> bool:
        """Return whether the shape inference of the whole model found a tensor's shape."""
        value = self._types.get(name)
        return value is not None and _sizes(value.type) is not None

    def _infer(self, known: OnnxNode, node: Any) -> None:
        """Find shapes that follow from numbers computed here, which the inference of the whole model does not know."""
        from onnx import defs, helper, numpy_helper, shape_inference

        if all(self._is_known(name) for name in known.outputs if name) or "::" in known.kind:
            return
        numbers = {name: self._numbers[name] for name in known.inputs if name in self._numbers}
        types = {
            name: helper.make_tensor_type_proto(_NUMBER_OF[self._spec(name).dtype], self._spec(name).shape)
            for name in known.inputs
            if name
        }
        types |= {name: helper.make_tensor_type_proto(*_type_of(array)) for name, array in numbers.items()}
        data = {name: numpy_helper.from_array(np.ascontiguousarray(array)) for name, array in numbers.items()}
        opset = self._opsets.get("", self._opsets.get("ai.onnx", 1))
        if not defs.has(node.op_type, opset, ""):
            raise InvalidGraphError(f"{self._at}: opset {opset} of ONNX has no such operator.")
        try:
            schema = defs.get_schema(node.op_type, opset, "")
            found = shape_inference.infer_node_outputs(
                schema, node, types, data, opset_imports=self._opset_imports, ir_version=self._ir_version
            )
        except Exception as error:  # its C++ errors have no common class
            if all(name in self._stated for name in known.outputs if name):
                return
            raise InvalidGraphError(f"{self._at}: no shape fits: {one_line(error)}") from error
        for name, kind in found.items():
            sizes = _sizes(kind)
            if sizes is not None:
                self._inferred[name] = self._made_spec(kind.tensor_type.elem_type, sizes, name)

    # -- nodes --------------------------------------------------------------------------------------------

    def _add(self, node: Any) -> None:
        for name in filter(None, node.input):
            self._check_known(name)
        for name in filter(None, node.output):
            self._define(name)
        domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}::"
        known = OnnxNode(
            domain + node.op_type,
            tuple(node.input),
            tuple(node.output),
            self._attributes(node),
            self._spec,
            self._few_numbers,
        )
        if self._is_constant(known, node):
            return
        self._infer(known, node)
        if self._is_same(known):
            return
        if known.kind in RECURRENT:
            self._add_recurrent(known)
            return
        names = [name for name in known.outputs if name]
        if is_view(known) and known.inputs[0] in self._value_of:
            views = self._made.view(self._value_of[known.inputs[0]], lambda layout: shown(known, layout))
            self._value_of.update(zip(names, views, strict=True))
            return
        call = translated(known)
        if not call.counted:
            self._uncounted.append(call.kind)
        self._append(call, names)

    def _attributes(self, node: Any) -> dict[str, Any]:
        from onnx import helper

        found: dict[str, Any] = {}
        for attribute in node.attribute:
            try:
                value = helper.get_attribute_value(attribute)
            except ValueError as error:
                raise InvalidGraphError(
                    f"{self._at}: the attribute {attribute.name!r:.80} is damaged: {error}."
                ) from error
            if isinstance(value, bytes):
                value = value.decode(errors="replace")
            if isinstance(value, (str, int, float)):
                found[attribute.name] = value
            elif isinstance(value, Sequence) and all(isinstance(item, (int, float)) for item in value):
                found[attribute.name] = tuple(value)
        return found

    def _is_constant(self, known: OnnxNode, node: Any) -> bool:
        """Keep the outputs of a node that depends on no input as stored tensors; return whether it is one."""
        read = [name for name in known.inputs if name]
        if known.kind in ("Shape", "Size"):
            self._keep(known.outputs[0], np.array(self._of_shape(known), np.int64))
            return True
        if known.kind == "Constant":
            self._keep_constant(known, node)
            return True
        if not read or any(name not in self._stored for name in read):
            return False
        source, made = self._stored[read[0]], None
        if all(name in self._numbers for name in read):
            inputs = [self._numbers[name] if name else None for name in known.inputs]
            made = computed(known.kind, inputs, {**known.attributes, **self._fill_value(known, node)})
        if made is None:
            self._infer(known, node)
        names = [name for name in known.outputs if name]
        specs = [self._spec(name) if made is None else self._made_spec(*_type_of(made), name) for name in names]
        trained = any(self._stored[name].trained for name in read)
        grows = known.kind != "Expand" and sum(spec.numel for spec in specs) > self._numel(read)
        if trained and (known.kind not in KEEPS_NUMBERS or grows):
            return False  # it runs, or a runtime computes it once: as in a capture of the module
        for name, spec in zip(names, specs, strict=True):
            if known.kind == "Expand" or (known.kind in SHAPE_ONLY and spec.numel == source.spec.numel):
                self._stored[name] = Stored(source.number, spec, trained)
            else:
                self._store(name, spec, trained)
            if made is not None and made.size <= LARGEST:
                self._numbers[name] = made
        return True

    def _numel(self, names: Sequence[str]) -> int:
        return sum(self._stored[name].spec.numel for name in names if self._stored[name].trained)

    def _keep(self, name: str, numbers: npt.NDArray[Any]) -> None:
        self._store(name, self._made_spec(*_type_of(numbers), name), trained=False)
        self._numbers[name] = numbers

    def _keep_constant(self, known: OnnxNode, node: Any) -> None:
        (name,) = known.outputs
        tensor = next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)
        if tensor is not None:
            self._store(name, self._made_spec(tensor.data_type, tensor.dims, name), trained=False)
            self._keep_numbers(name, tensor)
            return
        value = known.attributes[node.attribute[0].name]
        dtype = np.int64 if "int" in node.attribute[0].name else np.float32
        self._keep(name, np.array(value, dtype))

    def _fill_value(self, known: OnnxNode, node: Any) -> dict[str, Any]:
        from onnx import numpy_helper

        tensors = [attribute.t for attribute in node.attribute if attribute.name == "value"]
        if known.kind != "ConstantOfShape" or not tensors:
            return {}
        return {"value": numpy_helper.to_array(tensors[0]).ravel()[0]}

    def _of_shape(self, known: OnnxNode) -> int | tuple[int, ...]:
        spec = self._spec(known.inputs[0])
        if known.kind == "Size":
            return spec.numel
        return spec.shape[known.attributes.get("start", 0) : known.attributes.get("end", len(spec.shape))]

    def _is_same(self, known: OnnxNode) -> bool:
        """Let an output be the value that it equals; return whether the node only passes its input on."""
        if (known.kind == "Dropout" and known.numbers_at(2) in ((True,), (1,))) or (
            known.kind == "BatchNormalization"
            and known.attributes.get("training_mode")
            and self._depends(known.inputs[0])  # of weights, it standardizes them
        ):
            raise InvalidGraphError(f"{self._at} is in training mode: export the model for inference.")
        same = known.kind in ("Identity", "Dropout") or self._is_neutral(known)
        if not same and known.kind in (*_SAME_SHAPE, "Cast", "Pad"):
            alike = self._spec(known.outputs[0]) == self._spec(known.inputs[0])
            same = alike and (known.kind != "Pad" or not any(known.numbers_at(1) or (1,)))
        same = same and known.inputs[0] in self._value_of
        if same:
            self._value_of[known.outputs[0]] = self._value_of[known.inputs[0]]
        return same

    def _is_neutral(self, known: OnnxNode) -> bool:
        """Return whether a node adds 0 or multiplies by 1, without another shape."""
        kind = known.kind.lower()
        if kind not in NEUTRAL or len(known.inputs) != 2 or known.inputs[0] not in self._value_of:
            return False
        alike = self._spec(known.outputs[0]) == self._spec(known.inputs[0])
        return alike and known.numbers_at(1) == (NEUTRAL[kind],)

    def _add_recurrent(self, known: OnnxNode) -> None:
        """Add a recurrent layer: the product with its inputs, those with its states, and what is between them."""
        x, inner, recurrent = known.inputs[:3]
        directions, wide, width = self._spec(recurrent).shape
        if wide != RECURRENT[known.kind] * width:
            raise InvalidGraphError(f"{self._at}: the recurrent weights have the shape {(directions, wide, width)}.")
        length, batch, _ = self._spec(x).shape
        made = TensorSpec.of((directions, length, batch, wide), self._spec(x).dtype)
        biases = [name for name in (known.input(3),) if name]
        product = Translation("matmul", [x, inner, *biases], factors=(self._spec(x), self._matrix(inner)))
        self._append(product, [f"{known.outputs} of inputs"], [made])
        state = TensorSpec.of((directions, length, batch, width), made.dtype)
        product = Translation(
            "matmul", [f"{known.outputs} of inputs", recurrent], factors=(state, self._matrix(recurrent))
        )
        self._append(product, [f"{known.outputs} of states"], [made])
        rest = [f"{known.outputs} of states", *(name for name in known.inputs[5:8] if name)]
        self._append(Translation(known.kind.lower(), rest), [name for name in known.outputs if name])

    def _matrix(self, name: str) -> TensorSpec:
        spec = self._spec(name)
        return TensorSpec.of(spec.shape[1:], spec.dtype)

    def _depends(self, name: str) -> bool:
        return name in self._value_of and self._made.depends(self._value_of[name])

    def _append(self, call: Translation, names: Sequence[str], outputs: Sequence[TensorSpec] = ()) -> None:
        operands: list[Value | Stored] = []
        for name in call.tensors:
            stored = self._stored.get(name)
            if stored is None:
                operands.append(Value(self._value_of[name]))
            else:
                operands.append(replace(stored, trained=stored.trained and name not in call.statistics))
        outputs = outputs or [self._spec(name) for name in names]
        try:
            first = self._made.call(call.kind, operands, outputs, call.factors, call.detail, **call.window)
        except InvalidGraphError as error:
            raise InvalidGraphError(f"{self._at}: {error}") from error
        for place, name in enumerate(names):
            self._value_of[name] = first + place
