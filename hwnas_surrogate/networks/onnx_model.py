"""Write a network's modules as an ONNX model: this takes milliseconds, while tracing exporters take seconds."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn

from hwnas_surrogate.errors import InvalidInputError, missing_extra
from hwnas_surrogate.networks.cells.operations import Zero
from hwnas_surrogate.networks.fbnet import ChannelShuffle

if TYPE_CHECKING:
    import onnx

__all__ = ["to_onnx"]

OPSET = 17
"""Old enough for the runtimes on boards; the operators of the networks have not changed since."""


def to_onnx(network: nn.Module, input_shape: Sequence[int], batch: int = 1) -> onnx.ModelProto:
    """Write a network in eval mode as an ONNX model.

    Every module that the network calls becomes its ONNX operator, including dead branches. The runtime fuses batch
    norms.

    Parameters
    ----------
    network : torch.nn.Module
        A network from :func:`~hwnas_surrogate.networks.build_network`, a part of it, or any other network made of the
        same modules: convolutions, batch norms, ReLU, average pools, linear layers, sums.
    input_shape : sequence of 3 int
        Channels, height and width.
    batch : int, default=1
        Images of one execution.

    Returns
    -------
    onnx.ModelProto
        Input ``image``, float32 of shape (batch, channels, height, width); outputs ``features`` and ``logits`` of a
        NAS-Bench-201 network, ``output`` of others.

    Raises
    ------
    MissingExtraError
        If the package onnx is not installed.
    InvalidInputError
        If the network, or a part of it, is in training mode; if it does not accept such an input; or if it calls
        something that can't be translated here.

    Examples
    --------
    >>> from hwnas_surrogate.networks import build_network
    >>> model = to_onnx(build_network(0, random_state=0), (3, 32, 32))
    >>> [output.name for output in model.graph.output]
    ['features', 'logits']
    """
    try:
        import onnx
    except ImportError as error:
        raise missing_extra("writing ONNX", "onnx") from error
    if any(module.training for module in network.modules()):
        raise InvalidInputError("an ONNX model is written of a network in eval mode; call network.eval() first.")
    writer = _Writer(_trace(network, (batch, *input_shape)))
    results = writer.write()
    names = ("features", "logits") if len(results) == 2 else ("output",)
    helper = onnx.helper

    def value(name: str, shape: Sequence[int]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(shape))

    for result, name in zip(results, names, strict=True):
        writer.node("Identity", [writer.values[result]], name)
    graph = helper.make_graph(
        writer.nodes,
        type(network).__name__,
        [value("image", (batch, *input_shape))],
        [value(name, _shape(result)) for name, result in zip(names, results, strict=True)],
        writer.weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def _trace(network: nn.Module, input_shape: Sequence[int]) -> fx.GraphModule:
    """List a network's calls, each with the shape of what it returns."""
    # Tracing enters the root module, even if that can be translated as a whole.
    root = nn.Sequential(network).eval() if type(network) in _MODULES else network
    try:
        traced = fx.GraphModule(root, _Tracer().trace(root))
        with torch.inference_mode():
            _Shapes(traced).run(torch.zeros(*input_shape))
    except Exception as error:
        why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        raise InvalidInputError(
            f"the network can't be followed with a float32 input of shape {tuple(input_shape)}: {why}"
        ) from error
    return traced


class _Tracer(fx.Tracer):
    """A tracer that does not enter modules that can be translated."""

    def is_leaf_module(self, module: nn.Module, module_qualified_name: str) -> bool:
        return type(module) in _MODULES


class _Shapes(fx.Interpreter):
    """Records the shape of each call's result."""

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, torch.Tensor):
            n.meta["shape"] = tuple(result.shape)
        return result


class _Writer:
    """Collects a traced network's ONNX nodes and weights, one call after the other."""

    def __init__(self, traced: fx.GraphModule) -> None:
        self.traced = traced
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.values: dict[fx.Node, str] = {}

    def write(self) -> list[fx.Node]:
        """Translate the network; return the calls whose values it returns."""
        for call in self.traced.graph.nodes:
            if call.op == "output":
                returned = call.args[0] if isinstance(call.args[0], (tuple, list)) else [call.args[0]]
                results = [item for item in returned if isinstance(item, fx.Node)]
                if len(results) != len(returned) or len(results) not in (1, 2):
                    raise InvalidInputError(
                        f"a network returns one tensor, or features and logits; got {call.args[0]}."
                    )
                return results
            self.values[call] = "image" if call.op == "placeholder" else self._call(call)
        raise AssertionError("a traced graph ends with its output")

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> None:
        """Add a node."""
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))

    def weight(self, name: str, value: torch.Tensor | npt.NDArray[Any]) -> str:
        """Add a constant; return its name."""
        from onnx import numpy_helper

        array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def _call(self, call: fx.Node) -> str:
        sources = [self.values[item] for item in call.all_input_nodes]
        terms = [self.values[item] for item in call.args if isinstance(item, fx.Node)]
        if call.op == "call_module":
            module = self.traced.get_submodule(str(call.target))
            if type(module) is nn.Identity:
                return sources[0]
            _MODULES[type(module)](self, module, sources[0], call)
        elif call.target is operator.add and len(terms) == 2:
            self.node("Add", terms, _name(call))
        elif call.op == "call_method" and call.target == "flatten" and (*call.args[1:], call.kwargs) in _FLAT:
            self.node("Flatten", sources, _name(call), axis=1)
        else:
            raise _untranslated(getattr(call.target, "__name__", str(call.target)))
        return _name(call)


_FLAT: tuple[tuple[Any, ...], ...] = ((1, {}), (1, -1, {}))
"""The arguments of ``flatten`` that return a vector for each image."""


def _name(call: fx.Node) -> str:
    """Return the name of a call's value, distinct from the names of the model's inputs and outputs."""
    return f"{call.name}/y"


def _shape(call: fx.Node) -> tuple[int, ...]:
    shape: tuple[int, ...] = call.meta["shape"]
    return shape


def _untranslated(what: str) -> InvalidInputError:
    kinds = ", ".join(kind.__name__ for kind in _MODULES)
    return InvalidInputError(f"{what} has no translation to ONNX here; what has: {kinds}, sums of tensors, flatten(1).")


def _check(module: nn.Module, **translated: Any) -> None:
    """Raise if an option of a module has a value that can't be translated."""
    for option, value in translated.items():
        got = getattr(module, option)
        if got != value:
            raise _untranslated(f"{type(module).__name__} with {option}={got!r}")


def _conv(writer: _Writer, conv: nn.Conv2d, source: str, call: fx.Node) -> None:
    _check(conv, padding_mode="zeros")
    if isinstance(conv.padding, str):
        raise _untranslated(f"Conv2d with padding={conv.padding!r}")
    inputs = [source, writer.weight(f"{call.name}.weight", conv.weight)]
    if conv.bias is not None:
        inputs.append(writer.weight(f"{call.name}.bias", conv.bias))
    writer.node(
        "Conv", inputs, _name(call), kernel_shape=list(conv.kernel_size), strides=list(conv.stride),
        pads=list(conv.padding) * 2, dilations=list(conv.dilation), group=conv.groups,
    )  # fmt: skip


def _batch_norm(writer: _Writer, norm: nn.BatchNorm2d, source: str, call: fx.Node) -> None:
    _check(norm, affine=True, track_running_stats=True)
    state = norm.state_dict()
    parts = ("weight", "bias", "running_mean", "running_var")
    inputs = [writer.weight(f"{call.name}.{part}", state[part]) for part in parts]
    writer.node("BatchNormalization", [source, *inputs], _name(call), epsilon=norm.eps)


def _average_pool(writer: _Writer, pool: nn.AvgPool2d, source: str, call: fx.Node) -> None:
    _check(pool, ceil_mode=False, divisor_override=None)
    kernel, stride, padding = (2 * [size] if isinstance(size, int) else list(size) for size in
                               (pool.kernel_size, pool.stride, pool.padding))  # fmt: skip
    writer.node(
        "AveragePool", [source], _name(call), kernel_shape=kernel, strides=stride, pads=padding * 2,
        count_include_pad=int(pool.count_include_pad),
    )  # fmt: skip


def _global_pool(writer: _Writer, pool: nn.AdaptiveAvgPool2d, source: str, call: fx.Node) -> None:
    if pool.output_size not in (1, (1, 1)):
        raise _untranslated(f"AdaptiveAvgPool2d with output_size={pool.output_size!r}")
    writer.node("GlobalAveragePool", [source], _name(call))


def _linear(writer: _Writer, linear: nn.Linear, source: str, call: fx.Node) -> None:
    if len(_shape(call)) != 2:
        raise _untranslated(f"Linear on {len(_shape(call))} dimensions")
    inputs = [source, writer.weight(f"{call.name}.weight", linear.weight)]
    if linear.bias is not None:
        inputs.append(writer.weight(f"{call.name}.bias", linear.bias))
    writer.node("Gemm", inputs, _name(call), transB=1)


def _relu(writer: _Writer, _: nn.ReLU, source: str, call: fx.Node) -> None:
    writer.node("Relu", [source], _name(call))


def _zero(writer: _Writer, zero: Zero, source: str, call: fx.Node) -> None:
    _check(zero, stride=1, C_out=zero.C_in)
    writer.node("Mul", [source, writer.weight(f"{call.name}.zero", np.zeros((), np.float32))], _name(call))


def _shuffle(writer: _Writer, shuffle: ChannelShuffle, source: str, call: fx.Node) -> None:
    batch, channels, height, width = _shape(call)
    split = np.array([batch, shuffle.groups, channels // shuffle.groups, height, width], np.int64)
    whole = np.array([batch, channels, height, width], np.int64)
    name = call.name
    writer.node("Reshape", [source, writer.weight(f"{name}.split", split)], f"{name}.grouped")
    writer.node("Transpose", [f"{name}.grouped"], f"{name}.mixed", perm=[0, 2, 1, 3, 4])
    writer.node("Reshape", [f"{name}.mixed", writer.weight(f"{name}.whole", whole)], _name(call))


_MODULES: dict[type[nn.Module], Any] = {
    nn.Conv2d: _conv,
    nn.BatchNorm2d: _batch_norm,
    nn.ReLU: _relu,
    nn.AvgPool2d: _average_pool,
    nn.AdaptiveAvgPool2d: _global_pool,
    nn.Linear: _linear,
    nn.Identity: None,
    Zero: _zero,
    ChannelShuffle: _shuffle,
}
