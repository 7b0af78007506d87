"""ONNX models as graphs: their operators, with the shapes that ONNX's own inference finds. Nothing is executed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwnas_surrogate.capture.onnx_inputs import inputs_of
from hwnas_surrogate.capture.onnx_ops import CONTROL_FLOW, QUANTIZED
from hwnas_surrogate.capture.onnx_reader import Reader, node_name, one_line
from hwnas_surrogate.errors import DataFileError, InvalidGraphError, InvalidInputError, missing_extra
from hwnas_surrogate.graphs import Graph
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
    return Reader(_with_shapes(loaded, name), name, [value.name for value in inputs], stated).graph()


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
        raise InvalidGraphError(f"{name}: its local functions: {one_line(error)}") from error


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
        where = node_name(name, number, node)
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
        # Without data_prop: it would write out numbers that a file of some bytes claims, such as a range up to 2**40.
        return shape_inference.infer_shapes(model)
    except Exception as error:  # its C++ errors have no common class
        raise InvalidGraphError(f"{name}: its shapes don't fit together: {one_line(error)}") from error
