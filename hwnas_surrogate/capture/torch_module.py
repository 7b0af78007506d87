"""PyTorch modules as graphs: every operator that a forward pass calls, recorded without computing anything.

The module runs once on fake tensors, which have shapes and no numbers. A dispatch mode sees each operator, those of
functional calls and of attention too; which tensor object an operator reads tells which value that is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from hwnas_surrogate.capture.recording import Recording
from hwnas_surrogate.errors import InvalidGraphError, InvalidInputError
from hwnas_surrogate.graphs import Graph

__all__ = ["graph_of_module"]


def graph_of_module(module: nn.Module, *example_inputs: Any) -> Graph:
    """Record the operators of a module's forward pass as a graph.

    Nothing is computed and no weight is copied: modules on the ``meta`` device do as well. Operators whose results
    nobody uses are part of the graph, as they run.

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
        If it is no module, or no tensor is among its inputs.
    InvalidGraphError
        If a part of the module is in training mode, its control flow depends on the numbers, or it fails on its inputs.
    """
    if not isinstance(module, nn.Module):
        raise InvalidInputError(f"Graph.from_torch takes a torch.nn.Module, got {type(module).__name__}.")
    training = next((name or "the module itself" for name, part in module.named_modules() if part.training), None)
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
    recording = Recording(module)
    # Fake tensors of real ones would be looked up again and again: those that the module holds are converted once.
    with FakeTensorMode(allow_non_fake_inputs=True) as fake, torch.no_grad(), _in_parts():
        inputs = tree_map_only(Tensor, lambda tensor: fake.from_tensor(_beside(module, tensor)), example_inputs)
        recording.takes([leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)])
        try:
            with _Dispatched(recording), _Called(recording):
                returned = module(*inputs)
        except InvalidGraphError:
            raise
        except Exception as error:
            raise _failed(module, error) from error
    return recording.graph([leaf for leaf in tree_leaves(returned) if isinstance(leaf, Tensor)])


def _beside(module: nn.Module, tensor: Tensor) -> Tensor:
    """Return an input as it would be on the device of a module without numbers."""
    first = next(module.parameters(), None)
    return tensor.to("meta") if first is not None and first.device.type == "meta" else tensor


@contextmanager
def _in_parts() -> Iterator[None]:
    """Keep transformer and recurrent layers from calling one operator of PyTorch's own: its parts are not seen."""
    fast_path, onednn = torch.backends.mha.get_fastpath_enabled(), torch._C._get_mkldnn_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        torch._C._set_mkldnn_enabled(onednn)


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
    """Records functions that are one operator to us, before PyTorch splits them into parts."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _WHOLE:
            with self.recording.paused():
                result = func(*args, **kwargs)
            self.recording.add_whole(_WHOLE[func], args, kwargs, result)
            return result
        if func is functional.batch_norm and _of_eval(*args, **kwargs):
            with self.recording.paused():
                result = torch.empty_like(args[0])  # its shape is known: PyTorch takes ten milliseconds to find it
            self.recording.add_whole("batch_norm", args, kwargs, result)
            return result
        return func(*args, **kwargs)


_WHOLE = {functional.linear: "matmul", functional.scaled_dot_product_attention: "attention"}


def _of_eval(
    x: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, training: bool = False, *_: Any,
    **__: Any,
) -> bool:  # fmt: skip
    """Return whether a batch norm uses the statistics that it has stored."""
    return not training and running_mean is not None and running_var is not None
