"""Networks as exported programs, in a form whose bytes depend on nothing but the network and its inputs."""

from __future__ import annotations

import io
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure.runnable import Feed, Runnable

__all__ = ["exported"]

_ORIGIN = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn")
"""What torch notes about where a node comes from: paths of files, among others."""


class _Flat(nn.Module):
    """A module that takes and returns tensors only: those among another module's inputs and outputs, in order."""

    def __init__(self, network: nn.Module, inputs: tuple[Any, ...]) -> None:
        super().__init__()
        self.network = network
        self.leaves, self.form = tree_flatten(inputs)
        self.tensors = tuple(leaf for leaf in self.leaves if isinstance(leaf, Tensor))

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        left = iter(tensors)
        leaves = [next(left) if isinstance(leaf, Tensor) else leaf for leaf in self.leaves]
        outputs, _ = tree_flatten(self.network(*tree_unflatten(leaves, self.form)))
        return tuple(output for output in outputs if isinstance(output, Tensor))


def exported(network: Runnable) -> tuple[bytes, Feed]:
    """Export a network with its inputs.

    Parameters
    ----------
    network : Runnable
        A PyTorch module; its inputs and outputs may be nested, and some of them may be no tensors.

    Returns
    -------
    program : bytes
        What ``torch.export.save`` writes: equal for equal networks and inputs under one version of torch.
    feed : dict of str to ndarray
        The tensors among its inputs, by the names that litert-torch gives them: ``args_0`` and so on.

    Raises
    ------
    MeasurementError
        If it is no PyTorch module, or can't be exported.
    """
    module, inputs = network.module()
    flat = _Flat(module, inputs).eval()
    archive = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about itself
            program = torch.export.export(flat, flat.tensors)
            for node in program.graph.nodes:
                for key in _ORIGIN:
                    node.meta.pop(key, None)
            torch.export.save(program, archive)
    except Exception as error:  # torch raises errors of many kinds
        reason = str(error).strip().partition("\n")[0][:300] or type(error).__name__
        raise MeasurementError(f"torch.export can't export it: {reason}") from error
    feed = {f"args_{number}": tensor.detach().cpu().numpy() for number, tensor in enumerate(flat.tensors)}
    return archive.getvalue(), feed
