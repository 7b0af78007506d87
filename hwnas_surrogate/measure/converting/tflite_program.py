"""A process that converts exported programs to LiteRT's format. It is run by its path, in litert-torch's environment.

It imports nothing of this package, which is not installed there. Requests come as lines of JSON on standard input:
``{"program": PATH, "output": PATH}`` converts a program, ``{"model": PATH, "inputs": PATH, "output": PATH}`` quantizes
a converted model to int8. Answers leave as lines of JSON on standard output: ``{"event": "ready" | "done" | "failed",
"why": TEXT}``. The process ends with its standard input, whatever it is doing.
"""

from __future__ import annotations

import gc
import json
import operator
import os
import queue
import sys
import threading
from typing import Any, TextIO

N_SAMPLES = 4
"""Number of inputs to calibrate on."""

_CONVOLUTIONS = ("conv1d.default", "conv1d.padding", "conv2d.default", "conv2d.padding", "conv3d.default")


def main() -> None:
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # the converter prints its progress
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    import litert_torch  # noqa: F401 - takes seconds

    gc.freeze()
    _answer(answers, "ready")
    while True:
        request = json.loads(requests.get())
        gc.disable()  # tracing makes and keeps millions of small objects: collecting takes a fifth of the time
        try:
            quantize(**request) if "model" in request else convert(**request)
        except Exception as error:  # noqa: BLE001 - whatever the converter raises is the answer
            _answer(answers, "failed", f"{type(error).__name__}: {error}")
        else:
            _answer(answers, "done")
        gc.enable()
        gc.collect()


def _read(requests: queue.SimpleQueue[str]) -> None:
    try:
        for line in sys.stdin:
            requests.put(line)
    finally:
        os._exit(0)  # whoever asked is gone


def _answer(answers: TextIO, event: str, why: str = "") -> None:
    answers.write(json.dumps({"event": event, "why": why[:2000]}) + "\n")
    answers.flush()


def convert(program: str, output: str) -> None:
    """Convert an exported program, with the inputs that it holds."""
    import litert_torch
    import torch

    exported = torch.export.load(program)
    module = exported.module()
    fold_batch_norms(module)
    litert_torch.convert(module, exported.example_inputs[0]).export(output)


def fold_batch_norms(module: Any) -> None:
    """Fold each batch norm into the convolution before it: the converter does the same, but from five times the nodes.

    The converted model is the same, and the conversion takes half the time.
    """
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    aten, graph = torch.ops.aten, module.graph
    convolutions = {operator.attrgetter(name)(aten) for name in _CONVOLUTIONS}
    for number, norm in enumerate(graph.find_nodes(op="call_function", target=aten.batch_norm.default)):
        conv, *rest, training, _momentum, epsilon = norm.args[:8]
        tensors = [*conv.args[1:3], *rest]
        is_known = all(node is None or node.op == "get_attr" for node in tensors)
        if conv.target not in convolutions or len(conv.users) > 1 or training or not is_known:
            continue
        values: list[Any] = [None if node is None else operator.attrgetter(node.target)(module) for node in tensors]
        weight, bias = values[0], values[1] if len(conv.args) > 2 else None
        gamma, beta, mean, variance = values[-4:]
        folded = fuse_conv_bn_weights(weight, bias, mean, variance, epsilon, gamma, beta)
        names = [f"folded_weight_{number}", f"folded_bias_{number}"]
        for name, value in zip(names, folded):  # noqa: B905 - both have two
            module.register_buffer(name, value.detach())
        with graph.inserting_before(conv):
            conv.args = (conv.args[0], *map(graph.get_attr, names), *conv.args[3:])
        norm.replace_all_uses_with(conv)
        graph.erase_node(norm)
    graph.eliminate_dead_code()
    module.recompile()


def quantize(model: str, inputs: str, output: str) -> None:
    """Quantize weights and activations to int8, statically; the inputs and outputs of the model are int8 too.

    It is calibrated on the inputs, an archive of numpy, and on noise of their mean and spread.
    """
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    details = Interpreter(model).get_signature_runner().get_input_details()
    rng = np.random.default_rng(0)

    def sample(array: Any, dtype: Any, *, is_first: bool) -> Any:
        if not is_first and np.issubdtype(array.dtype, np.floating):
            array = array.mean() + (array.std() or 1.0) * rng.standard_normal(array.shape)
        return array.astype(dtype)

    with np.load(inputs) as arrays:
        samples = [
            {name: sample(arrays[name], tensor["dtype"], is_first=not number) for name, tensor in details.items()}
            for number in range(N_SAMPLES)
        ]
    quantizing = quantizer.Quantizer(model, recipe.static_wi8_ai8())
    quantizing.quantize(quantizing.calibrate({"serving_default": samples})).export_model(output)


if __name__ == "__main__":
    main()
