"""ONNX models as graphs: their operators, with the shapes that ONNX's own inference finds. Nothing is executed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.capture.finishing import finished
from hwnas_surrogate.capture.onnx_constants import LARGEST, computed
from hwnas_surrogate.capture.onnx_inputs import inputs_of
from hwnas_surrogate.capture.onnx_ops import (
    CONTROL_FLOW,
    KEEPS_NUMBERS,
    QUANTIZED,
    RECURRENT,
    SHAPE_ONLY,
    OnnxNode,
    Translation,
    translated,
)
from hwnas_surrogate.errors import DataFileError, HWNASError, InvalidGraphError, InvalidInputError, missing_extra
from hwnas_surrogate.graphs import Graph, Node, Op, TensorSpec
from hwnas_surrogate.graphs.op import N_FACTORS
from hwnas_surrogate.inputs import read_bytes

__all__ = ["InputShapes", "graph_of_onnx"]

InputShapes = Sequence[int] | Mapping[str, Sequence[int]]
"""The shape of a model's one input, or of each input by its name."""

_LARGEST = 2**31 - 1
"""Bytes of a model: its format holds no more."""
_MOST_NODES = 1_000_000
"""Nodes of a model whose local functions are inlined."""
_STRIPPED = 4096
"""Bytes from which a stored tensor is left out of the shape inference, which needs its shape only."""
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


def graph_of_onnx(model: str | os.PathLike[str] | Any, input_shapes: InputShapes | None = None) -> Graph:
    """Read an ONNX model as a graph.

    Shapes come from ONNX's shape inference. Weights are not read: external data may be absent. Nothing of the file is
    executed. Local functions are inlined. Operators without a rule count with their bytes, and one
    :class:`UncountedWarning` names them.

    Parameters
    ----------
    model : path-like or onnx.ModelProto
        It is not changed.
    input_shapes : sequence of int, or mapping of str to sequence of int, optional
        The shape of the one input, or shapes by the inputs' names, for a model with symbolic dimensions.

    Returns
    -------
    Graph

    Raises
    ------
    MissingExtraError
        If the package onnx is not installed.
    DataFileError
        If the file can't be read.
    InvalidInputError
        If the shapes are not those of the model's inputs.
    InvalidGraphError
        If it is no ONNX model, or a damaged one; if it has control flow or is quantized; or if a shape is not known.
    """
    loaded, name = _loaded(model)
    graph = loaded.graph
    if not graph.node:
        raise InvalidGraphError(f"{name} has no operators: is it an ONNX model?")
    _refuse(graph, name)
    inputs = inputs_of(graph)
    stated = _fix_shapes(graph, inputs, input_shapes, name)
    return _Reader(_with_shapes(loaded, name), name, [value.name for value in inputs], stated).graph()


def _loaded(model: Any) -> tuple[Any, str]:
    """Return a copy of the model without the numbers of large tensors, and what to call it."""
    try:
        import onnx
    except ImportError as error:
        raise missing_extra("reading ONNX", "onnx") from error
    from google.protobuf.message import DecodeError

    if isinstance(model, onnx.ModelProto):
        name, loaded = "the model", onnx.ModelProto()
        loaded.CopyFrom(model)
    elif isinstance(model, (str, os.PathLike)):
        name = Path(model).name
        try:
            loaded = onnx.load_model_from_string(read_bytes(model, _LARGEST))
        except DecodeError as error:
            raise InvalidGraphError(f"{name} is no ONNX model, or a damaged one: {error}.") from error
        except OSError as error:
            raise DataFileError(f"can't read {os.fspath(model)}: {error.strerror or error}.") from error
    else:
        raise InvalidInputError(f"Graph.from_onnx takes a path or an onnx.ModelProto, got {type(model).__name__}.")
    newest = onnx.defs.onnx_opset_version()
    for opset in loaded.opset_import:
        if opset.domain in ("", "ai.onnx") and not 1 <= opset.version <= newest:
            raise InvalidGraphError(
                f"{name} uses opset {opset.version}; onnx {onnx.__version__} knows 1 to {newest}. "
                "Install a newer onnx, or export the model with an older opset."
            )
    if loaded.functions:
        loaded = _inlined(loaded, name)
    for tensor in loaded.graph.initializer:
        if tensor.ByteSize() > _STRIPPED:
            for field, _ in tensor.ListFields():
                if field.name.endswith("_data") or field.name == "external_data":
                    tensor.ClearField(field.name)
            tensor.data_location = onnx.TensorProto.EXTERNAL
    return loaded, name


def _inlined(model: Any, name: str) -> Any:
    """Replace calls of local functions by their nodes, unless those are too many: each level may double them."""
    from onnx import inliner

    bodies = {(function.domain, function.name): function.node for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}
    left = list(bodies)
    while left:  # a function is counted after those that it calls
        ready = [key for key in left if all(to in sizes for to in _called(bodies[key], bodies))]
        if not ready:
            raise InvalidGraphError(f"{name}: the local function {left[0][1]!r:.80} calls itself, through others too.")
        for key in ready:
            sizes[key] = len(bodies[key]) + sum(sizes[to] for to in _called(bodies[key], bodies))
        left = [key for key in left if key not in sizes]
    n_nodes = len(model.graph.node) + sum(sizes[to] for to in _called(model.graph.node, bodies))
    if n_nodes > _MOST_NODES:
        raise InvalidGraphError(
            f"{name} has {n_nodes:.3g} nodes once its local functions are inlined; at most {_MOST_NODES:,} are read."
        )
    try:
        return inliner.inline_local_functions(model)
    except Exception as error:  # its C++ errors have no common class
        raise InvalidGraphError(f"{name}: its local functions: {_line(error)}") from error


def _called(nodes: Any, functions: Mapping[tuple[str, str], Any]) -> list[tuple[str, str]]:
    """Return the functions that nodes call, as often as they do, in branches and loops too."""
    found = []
    for node in nodes:
        if (node.domain, node.op_type) in functions:
            found.append((node.domain, node.op_type))
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                found += _called(graph.node, functions)
    return found


def _refuse(graph: Any, name: str) -> None:
    for number, node in enumerate(graph.node):
        where = _where(name, number, node)
        has_graph = any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
        if node.op_type in CONTROL_FLOW or has_graph:
            raise InvalidGraphError(
                f"{where} is control flow: what runs depends on numbers, so that the model has no single graph. "
                "Export the part that always runs."
            )
        if node.op_type in QUANTIZED:
            raise InvalidGraphError(
                f"{where} belongs to a quantized model. Read the model from before its quantization: "
                "surrogates of int8 runtimes quantize it themselves."
            )


def _where(name: str, number: int, node: Any) -> str:
    called = f" {node.name!r:.80}" if node.name else ""
    return f"{name}: node {number} ({node.op_type}{called})"


def _fix_shapes(graph: Any, inputs: Sequence[Any], given: InputShapes | None, name: str) -> dict[str, Any]:
    """Write the given shapes into the model, and refuse inputs whose shapes are not known.

    Remove and return the shapes that the model states of what its nodes write: a change of the inputs may have left
    them behind, so that they count only where no others can be found. If they change here, nothing is returned.
    """
    shapes = _by_name(given, [value.name for value in inputs], name)
    changed = False
    for value in inputs:
        if value.type.WhichOneof("value") != "tensor_type":
            raise InvalidGraphError(f"{name}: the input {value.name!r} is no tensor.")
        tensor = value.type.tensor_type
        stated = [_stated_size(size) for size in tensor.shape.dim]
        wanted = shapes.get(value.name)
        if wanted is None:
            symbolic = [size for size in stated if isinstance(size, str)]
            if symbolic or not tensor.HasField("shape"):
                raise InvalidInputError(
                    f"{name}: the input {value.name!r} has the shape ({', '.join(map(str, stated))}): give it sizes, "
                    f"such as input_shapes={{{value.name!r}: (1, 3, 224, 224)}} (on the command line: "
                    f"--input-shape {value.name}=1x3x224x224)."
                )
            continue
        fits = len(wanted) == len(stated) and all(
            isinstance(size, str) or size == number for size, number in zip(stated, wanted, strict=True)
        )
        if tensor.HasField("shape") and not fits:
            raise InvalidInputError(
                f"{name}: the input {value.name!r} has the shape ({', '.join(map(str, stated))}), got {wanted}. "
                "Sizes that the model states can't be changed: export it with symbolic ones."
            )
        tensor.shape.ClearField("dim")
        for number in wanted:
            tensor.shape.dim.add().dim_value = number
        changed = True
    known = {output for node in graph.node if node.domain in ("", "ai.onnx") for output in node.output}
    written = [value for value in (*graph.value_info, *graph.output) if value.name in known]
    copies = {value.name: type(value).FromString(value.SerializeToString()) for value in written}
    kept = [value for value in graph.value_info if value.name not in known]
    graph.ClearField("value_info")
    graph.value_info.extend(kept)
    for value in graph.output:
        if value.name in known and value.type.WhichOneof("value") == "tensor_type":
            value.type.tensor_type.ClearField("shape")
    return {} if changed else copies


def _stated_size(size: Any) -> int | str:
    """Return a size, or the name of a symbolic one; some exporters write -1 for those."""
    is_number = size.HasField("dim_value") and size.dim_value >= 0
    return int(size.dim_value) if is_number else size.dim_param or "?"


def _by_name(given: InputShapes | None, names: Sequence[str], model: str) -> dict[str, tuple[int, ...]]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        if len(names) != 1:
            raise InvalidInputError(
                f"{model} has {len(names)} inputs ({', '.join(names)}): give input_shapes as a mapping of their names "
                "to shapes."
            )
        given = {names[0]: given}
    for name in given:
        if name not in names:
            raise InvalidInputError(f"{model} has no input {name!r:.80}; it has {', '.join(names)}.")
    shapes = {}
    for name, shape in given.items():
        if isinstance(shape, str) or not all(type(size) is int and size > 0 for size in shape):
            raise InvalidInputError(
                f"the shape of {name!r:.80} must be whole numbers of at least 1, got {shape!r:.80}."
            )
        shapes[name] = tuple(shape)
    return shapes


def _with_shapes(model: Any, name: str) -> Any:
    from onnx import shape_inference

    try:
        return shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # its C++ errors have no common class
        raise InvalidGraphError(f"{name}: its shapes don't fit together: {_line(error)}") from error


def _line(error: Exception) -> str:
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


@dataclass(frozen=True, slots=True)
class _Stored:
    """A stored tensor, or a constant; `spec` is how it is seen, perhaps with another shape than it is stored."""

    weight: int
    spec: TensorSpec
    trained: bool


class _Reader:
    """Turns the nodes of a model with known shapes into those of a graph."""

    def __init__(self, model: Any, name: str, inputs: Sequence[str], stated: Mapping[str, Any]) -> None:
        self._graph, self._name, self._stated = model.graph, name, stated
        self._types = {value.name: value for value in (*self._graph.input, *self._graph.value_info)}
        self._types |= {value.name: value for value in self._graph.output}
        self._weights: list[TensorSpec] = []
        self._nodes: list[Node] = []
        self._values: list[TensorSpec] = []
        self._value_of: dict[str, int] = {}
        self._stored: dict[str, _Stored] = {}
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
            self._values.append(self._spec(value))
            self._value_of[value] = len(self._values) - 1
        self._inputs = tuple(self._values)
        self._of_inputs = set(range(len(self._values)))
        """The values that depend on an input."""

    def graph(self) -> Graph:
        """Return the graph."""
        for number, node in enumerate(self._graph.node):
            self._at = _where(self._name, number, node)
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
        return finished(Graph(self._inputs, self._nodes, outputs, self._weights), self._uncounted)

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
            return self._values[self._value_of[name]]
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
        self._weights.append(spec)
        self._stored[name] = _Stored(len(self._weights) - 1, spec, trained)

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
        numbers = self._numbers.get(name)
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
            raise InvalidGraphError(f"{self._at}: no shape fits: {_line(error)}") from error
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
        call = translated(known)
        if not call.counted:
            self._uncounted.append(call.kind)
        names = [name for name in known.outputs if name]
        if call.kind == "view":
            for place, name in enumerate(names):
                self._append(call, [name], f"{call.detail} {place}" if len(names) > 1 else call.detail)
        else:
            self._append(call, names, call.detail)

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
        if trained and (known.kind not in KEEPS_NUMBERS or sum(spec.numel for spec in specs) > self._numel(read)):
            return False  # it runs, or a runtime computes it once: as in a capture of the module
        for name, spec in zip(names, specs, strict=True):
            if known.kind in SHAPE_ONLY and spec.numel == source.spec.numel:
                self._stored[name] = _Stored(source.weight, spec, trained)
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
            and self._value_of.get(known.inputs[0]) in self._of_inputs  # of weights, it standardizes them
        ):
            raise InvalidGraphError(f"{self._at} is in training mode: export the model for inference.")
        same = known.kind in ("Identity", "Dropout")
        if not same and known.kind in (*_SAME_SHAPE, "Cast", "Pad"):
            alike = self._spec(known.outputs[0]) == self._spec(known.inputs[0])
            same = alike and (known.kind != "Pad" or not any(known.numbers_at(1) or (1,)))
        same = same and known.inputs[0] in self._value_of
        if same:
            self._value_of[known.outputs[0]] = self._value_of[known.inputs[0]]
        return same

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
        self._append(product, [f"{known.outputs} of inputs"], "", [made])
        state = TensorSpec.of((directions, length, batch, width), made.dtype)
        product = Translation(
            "matmul", [f"{known.outputs} of inputs", recurrent], factors=(state, self._matrix(recurrent))
        )
        self._append(product, [f"{known.outputs} of states"], "", [made])
        rest = [f"{known.outputs} of states", *(name for name in known.inputs[5:8] if name)]
        self._append(Translation(known.kind.lower(), rest), [name for name in known.outputs if name], "")

    def _matrix(self, name: str) -> TensorSpec:
        spec = self._spec(name)
        return TensorSpec.of(spec.shape[1:], spec.dtype)

    def _append(self, call: Translation, names: Sequence[str], detail: str, outputs: Sequence[TensorSpec] = ()) -> None:
        reads: list[int] = []
        weights: list[int] = []
        buffers: list[int] = []
        for name in call.tensors:
            stored = self._stored.get(name)
            if stored is None:
                reads.append(self._value_of[name])
            else:
                trained = stored.trained and name not in call.statistics
                (weights if trained else buffers).append(stored.weight)
        inputs = tuple(self._values[value] for value in reads)
        specs = [tuple(self._weights[weight] for weight in of) for of in (weights, buffers)]
        n_factors = N_FACTORS.get(call.kind, 0)
        factors = call.factors or tuple(map(self._spec, call.tensors[:n_factors]))
        if factors == (*inputs, *specs[0], *specs[1])[: len(factors)]:
            factors = ()  # the default
        outputs = tuple(outputs or map(self._spec, names))
        try:
            op = Op.of(call.kind, inputs, outputs, *specs, factors=factors, detail=detail, **call.window)
        except InvalidGraphError as error:
            raise InvalidGraphError(f"{self._at}: {error}") from error
        self._nodes.append(Node(op, tuple(reads), (*weights, *buffers)))
        if not self._of_inputs.isdisjoint(reads):
            self._of_inputs.update(range(len(self._values), len(self._values) + len(outputs)))
        for name, spec in zip(names, outputs, strict=True):
            self._values.append(spec)
            self._value_of[name] = len(self._values) - 1
