"""PyTorch modules as graphs: every operator that a forward pass calls, recorded without computing anything.

The module runs once on fake tensors, which have shapes but no numbers. A dispatch mode records each operator, including
those of functional calls and of attention. The tensor objects that an operator reads identify its values.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import ExportedProgram
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from hwnas_surrogate.capture.recording import Recording
from hwnas_surrogate.capture.whole import IN_EXPORTS, whole_call
from hwnas_surrogate.errors import InvalidGraphError, InvalidInputError
from hwnas_surrogate.graphs import Graph

__all__ = ["graph_of_exported", "graph_of_module"]


def graph_of_module(module: nn.Module, *example_inputs: Any) -> Graph:
    """Record the operators of a module's forward pass as a graph.

    Nothing is computed and no weight is copied, so modules on the ``meta`` device are accepted. Operators whose results
    are unused are part of the graph, since they run.

    Parameters
    ----------
    module : torch.nn.Module
        In eval mode.
    *example_inputs : Tensor or anything else that ``module.forward`` takes
        Only shapes and number formats of tensors count.

    Returns
    -------
    Graph

    Raises
    ------
    InvalidInputError
        If it is not a module, or no tensor is among its inputs.
    InvalidGraphError
        If a part of the module is in training mode, its control flow depends on the numbers, or it fails on its inputs.
    """
    if not isinstance(module, nn.Module):
        raise InvalidInputError(f"Graph.from_torch takes a torch.nn.Module, got {type(module).__name__}.")
    training = next(
        (name or "the module itself" for name, part in module.named_modules() if getattr(part, "training", False)), None
    )
    if training is not None:
        raise InvalidGraphError(
            f"{type(module).__name__} is in training mode ({training}): call its eval() first. "
            "In training, batch norms and dropout run other operators."
        )
    if not any(isinstance(leaf, Tensor) for leaf in tree_leaves(example_inputs)):
        raise InvalidInputError(
            "give an example of what the module takes, such as torch.zeros(1, 3, 32, 32): "
            "no tensor is among the inputs."
        )
    return _captured(module, example_inputs, {})


def graph_of_exported(program: ExportedProgram) -> Graph:
    """Record the operators of a program that ``torch.export.export`` made, with the inputs of its export.

    Parameters
    ----------
    program : torch.export.ExportedProgram
        Exported in eval mode. With dynamic shapes, the sizes of its example inputs count.

    Returns
    -------
    Graph

    Raises
    ------
    InvalidInputError
        If it is no exported program, or keeps no example inputs.
    InvalidGraphError
        If it was exported in training mode, or holds control flow that depends on the numbers.
    """
    if not isinstance(program, ExportedProgram):
        raise InvalidInputError(
            f"Graph.from_exported takes a torch.export.ExportedProgram, got {type(program).__name__}."
        )
    if program.example_inputs is None:
        raise InvalidInputError("the exported program keeps no example inputs: export it again with them.")
    for node in program.graph.nodes:
        name = str(node.target)
        if node.op == "call_function" and "higher_order" in type(node.target).__module__ + name:
            raise InvalidGraphError(f"the exported program can't be captured: {name} is control flow.")
        if _trains(node):
            raise InvalidGraphError(
                f"the program was exported in training mode ({node.name}): call the module's eval() before the export."
            )
    args, kwargs = program.example_inputs
    module = program.module(check_guards=False)
    for node in module.graph.nodes:
        # The dispatcher would split these, where a module's own calls stay whole.
        node.target = IN_EXPORTS.get(node.target, node.target)
    module.recompile()
    return _captured(module, args, kwargs)


def _trains(node: Any) -> bool:
    """Return whether a node of an exported program computes as in training."""
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        return False
    names = [argument.name for argument in node.target._schema.arguments]
    given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    if node.target.namespace != "aten" or not any(word in node.target._opname for word in ("dropout", "batch_norm")):
        return False
    return any(given.get(name) is True for name in ("train", "training"))


def _captured(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Graph:
    with _ALONE, _left_as_it_was(module), torch.inference_mode(False), torch.no_grad(), _in_parts(), _unlogged():
        try:
            return _recorded(module, args, kwargs)
        except InvalidGraphError:
            raise
        except Exception as error:
            raise _failed(module, error) from error


_ALONE = threading.RLock()
"""PyTorch's settings are global to the process: one capture at a time changes and restores them."""


def _recorded(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Graph:
    """Run the module on fake tensors, and return the graph of what it called."""
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        recording = Recording(module)
        # Each input is a separate tensor, even if the same example is given twice.
        inputs, named = tree_map_only(
            Tensor, lambda tensor: torch.empty_like(fake.from_tensor(_beside(module, tensor))), (args, kwargs)
        )
        recording.takes([leaf for leaf in tree_leaves((inputs, named)) if isinstance(leaf, Tensor)])
        with _Dispatched(recording), _Called(recording):
            returned = module(*inputs, **named)
        return recording.graph([leaf for leaf in tree_leaves(returned) if isinstance(leaf, Tensor)])


@contextmanager
def _left_as_it_was(module: nn.Module) -> Iterator[None]:
    """Restore attributes that a forward pass assigns to submodules: caches, counters, growing buffers."""
    before = []
    for part in module.modules():
        state = dict(part.__dict__)
        held = {name: state.get(name) for name in ("_parameters", "_buffers", "_modules")}
        inner = {name: dict(content) for name, content in held.items() if isinstance(content, dict)}
        before.append((part, state, inner))
    try:
        yield
    finally:
        for part, state, inner in before:
            part.__dict__.clear()
            part.__dict__.update(state)
            for name, content in inner.items():
                part.__dict__[name].clear()
                part.__dict__[name].update(content)


def _beside(module: nn.Module, tensor: Tensor) -> Tensor:
    """Return an input moved to the device of a module without numbers."""
    first = next(module.parameters(), None)
    return tensor.to("meta") if first is not None and first.device.type == "meta" else tensor


@contextmanager
def _in_parts() -> Iterator[None]:
    """Keep transformer and recurrent layers from calling a single PyTorch operator, whose parts can't be recorded."""
    fast_path, onednn = torch.backends.mha.get_fastpath_enabled(), torch._C._get_mkldnn_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        torch._C._set_mkldnn_enabled(onednn)


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep PyTorch from logging what an operator raises: the error says it."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def _failed(module: nn.Module, error: Exception) -> InvalidGraphError:
    name, kind = type(module).__name__, type(error).__name__
    if kind in ("DataDependentOutputException", "DynamicOutputShapeException", "UnsupportedOperatorException"):
        return InvalidGraphError(
            f"{name} can't be captured: {error} gives a number or a shape that depends on the data. "
            "Capture the part without it, or fix the number."
        )
    return InvalidGraphError(f"{name} fails on the example inputs: {kind}: {error!s:.400}")


class _Dispatched(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every operator that reaches PyTorch's dispatcher."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.recording = recording

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.recording.add(func, args, kwargs or {}, result)
        return result


class _Called(TorchFunctionMode):
    """Records functions that are one operator in this package, before PyTorch splits them into parts."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with self.recording.paused():
            call = whole_call(func, args, kwargs)
        if call is None:
            return func(*args, **kwargs)
        self.recording.add_whole(call)
        return call.outputs[0]
