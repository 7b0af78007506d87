"""What a runtime loads: a network in memory, as a PyTorch module or as an ONNX model, and inputs to run it on."""

from __future__ import annotations

import inspect
import tempfile
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from hwnas_surrogate.capture import OnnxFile
from hwnas_surrogate.capture.onnx_inputs import inputs_of
from hwnas_surrogate.errors import InvalidInputError, MeasurementError, missing_extra
from hwnas_surrogate.networks import to_onnx

__all__ = ["Feed", "OnnxRunnable", "Runnable", "TorchRunnable"]

Feed: TypeAlias = dict[str, npt.NDArray[Any]]
"""An array for each input of an ONNX model, by its name."""

_OPSET = 17
"""That of networks of a search space."""


class Runnable(ABC):
    """A network in memory, with inputs to run it on: what :meth:`Runtime.load` gets."""

    @abstractmethod
    def module(self) -> tuple[nn.Module, tuple[Any, ...]]:
        """Return a PyTorch module in eval mode, and what its ``forward`` takes.

        Raises
        ------
        MeasurementError
            If the network is an ONNX file.
        """

    @abstractmethod
    def onnx(self) -> tuple[bytes | str, Feed]:
        """Return an ONNX model, its bytes or its path, and an array for each of its inputs.

        Raises
        ------
        MissingExtraError
            If the package onnx is not installed.
        MeasurementError
            If the network can't be written as ONNX.
        """

    @abstractmethod
    def expected(self) -> list[npt.NDArray[Any]] | None:
        """Return the outputs that PyTorch computes for the inputs, in order; None if it can't run the network."""


@dataclass(frozen=True, slots=True)
class TorchRunnable(Runnable):
    """A PyTorch module, and what its ``forward`` takes.

    Parameters
    ----------
    network : torch.nn.Module
        In eval mode.
    inputs : tuple
        Tensors, and anything else that ``forward`` takes, in order.
    """

    network: nn.Module
    inputs: tuple[Any, ...]

    def module(self) -> tuple[nn.Module, tuple[Any, ...]]:
        """Return the module and its inputs as they are."""
        return self.network, self.inputs

    def onnx(self) -> tuple[bytes, Feed]:
        """Write the module as ONNX: by its parts where each is known, otherwise as PyTorch traces it."""
        if len(self.inputs) == 1 and _is_image(self.inputs[0]):
            try:
                model = to_onnx(self.network, self.inputs[0].shape[1:], len(self.inputs[0]))
            except InvalidInputError:  # a part of it is not known
                return _exported(self.network, self.inputs)
            return model.SerializeToString(), {"image": self.inputs[0].cpu().numpy()}
        return _exported(self.network, self.inputs)

    def expected(self) -> list[npt.NDArray[Any]]:
        """Run the module, eagerly."""
        with torch.inference_mode():
            leaves, _ = tree_flatten(self.network(*self.inputs))
        return [leaf.detach().cpu().numpy() for leaf in leaves if isinstance(leaf, Tensor)]


@dataclass(frozen=True, slots=True)
class OnnxRunnable(Runnable):
    """An ONNX file. Its inputs are random, but the same each time.

    Parameters
    ----------
    file : OnnxFile
    seed : int, default=0
        The seed of the inputs: normal noise, and 0 or 1 for whole numbers, since the smallest embedding table has these
        rows.
    """

    file: OnnxFile
    seed: int = 0

    def module(self) -> tuple[nn.Module, tuple[Any, ...]]:
        """Raise: an ONNX file has no module."""
        raise MeasurementError(f"{self.file.source} is an ONNX file, which PyTorch can't run.")

    def onnx(self) -> tuple[bytes | str, Feed]:
        """Return the file's path, or a model with the given shapes, which holds data that is stored beside the file."""
        try:
            import onnx
        except ImportError as error:
            raise missing_extra("reading ONNX", "onnx") from error
        shapes = self.file.input_shapes
        model = onnx.load(self.file.source, load_external_data=shapes is not None)
        inputs = inputs_of(model.graph)
        if shapes is not None:
            _fix(inputs, shapes if isinstance(shapes, Mapping) else {inputs[0].name: shapes})
            del model.graph.value_info[:]  # they may state other shapes; a runtime finds them again
        rng = np.random.default_rng(self.seed)
        feed = {value.name: _random(value, rng) for value in inputs}
        return (self.file.source if shapes is None else model.SerializeToString()), feed

    def expected(self) -> None:
        """Return None: PyTorch can't run it."""
        return None


def _is_image(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.float32 and value.dim() == 4


class _OfTensors(nn.Module):
    """A module that takes the tensors among another module's inputs; the rest of these is fixed."""

    def __init__(self, network: nn.Module, inputs: tuple[Any, ...]) -> None:
        super().__init__()
        self.network = network
        self.leaves, self.form = tree_flatten(inputs)
        self.tensors = tuple(leaf for leaf in self.leaves if isinstance(leaf, Tensor))

    def forward(self, *tensors: Tensor) -> Any:
        left = iter(tensors)
        leaves = [next(left) if isinstance(leaf, Tensor) else leaf for leaf in self.leaves]
        return self.network(*tree_unflatten(leaves, self.form))


def _exported(network: nn.Module, inputs: tuple[Any, ...]) -> tuple[bytes, Feed]:
    """Trace a module as PyTorch's exporter without further packages does."""
    try:
        import onnx
    except ImportError as error:
        raise missing_extra("writing ONNX", "onnx") from error
    traced = _OfTensors(network, inputs).eval()
    names = [f"input_{number}" for number in range(len(traced.tensors))]
    export: Any = torch.onnx.export
    options = {"dynamo": False} if "dynamo" in inspect.signature(export).parameters else {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's age, and values that tracing fixes: inputs are fixed too
        path = str(Path(folder, "model.onnx"))
        export(traced, traced.tensors, path, input_names=names, opset_version=_OPSET, **options)
        model = onnx.load(path)
    read = {value.name for value in model.graph.input}
    feed = {name: tensor.detach().cpu().numpy() for name, tensor in zip(names, traced.tensors, strict=True)}
    return model.SerializeToString(), {name: array for name, array in feed.items() if name in read}


def _fix(inputs: list[Any], shapes: Mapping[str, Any]) -> None:
    """Write shapes into the inputs of a model."""
    for value in inputs:
        if value.name in shapes:
            shape = value.type.tensor_type.shape
            shape.ClearField("dim")
            for size in shapes[value.name]:
                shape.dim.add().dim_value = size


def _random(value: Any, rng: np.random.Generator) -> npt.NDArray[Any]:
    """Return an array for an input of an ONNX model."""
    from onnx import TensorProto, helper

    tensor = value.type.tensor_type
    if tensor.elem_type == TensorProto.STRING:
        raise MeasurementError(f"the input {value.name!r:.80} takes texts, of which none can be made up.")
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    shape = tuple(size.dim_value for size in tensor.shape.dim)
    if np.issubdtype(dtype, np.integer) or dtype == np.bool_:
        return rng.integers(0, 2, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)
