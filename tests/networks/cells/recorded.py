"""The recorded figures of the benchmark's cell networks (computed independently), and the rules in their ``meta``."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.networks import filling

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("records.json").read_text())
RECORDS: dict[str, dict[str, Any]] = {record["name"]: record for record in RECORDED["records"]}
BUILT = {name: record for name, record in RECORDS.items() if "params" in record}
REFUSED = {name: record for name, record in RECORDS.items() if "params" not in record}

A0 = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
_AS_BUILT = ("choices_tensor", "_masks", "_tau")


def fill(network: nn.Module) -> None:
    """Apply ``meta["fill_rule"]``, which leaves choices, masks and the temperature as they are built."""
    filling.fill(network, _AS_BUILT)


def seed() -> None:
    torch.manual_seed(0)
    random.seed(0)


def image(height: int) -> Tensor:
    return torch.linspace(-1, 1, 3 * height * height).reshape(1, 3, height, height)


def leaves(output: Any) -> Iterator[Tensor]:
    """Return all tensors of an output, depth first."""
    if isinstance(output, Tensor):
        yield output
    else:
        for part in output:
            yield from leaves(part)


def shapes(output: Any) -> Any:
    return list(output.shape) if isinstance(output, Tensor) else [shapes(part) for part in output]


def state_hashes(network: nn.Module) -> tuple[str, str]:
    """Return the two kinds of hash of names and shapes that the records have."""
    state = [(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()]
    as_tuples = "\n".join(f"{name}:{shape}" for name, shape in state)
    as_products = "\n".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in state)
    return tuple(hashlib.sha256(text.encode()).hexdigest() for text in (as_tuples, as_products))  # type: ignore[return-value]


def run(network: nn.Module, height: int) -> tuple[Any, int]:
    """Return the output for the recorded input, and the multiply-adds of all convolutions and linear layers called."""
    macs = 0

    def count(module: nn.Module, _: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal macs
        if isinstance(module, nn.Conv2d):
            macs += out.numel() * module.in_channels // module.groups * math.prod(module.kernel_size)
        else:
            assert isinstance(module, nn.Linear)
            macs += module.in_features * module.out_features

    hooks = [
        module.register_forward_hook(count)
        for module in network.modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    with torch.no_grad():
        output = network(image(height))
    for hook in hooks:
        hook.remove()
    return output, macs


def same_noise() -> bool:
    """Return whether PyTorch draws here what it drew where the figures were computed; that varies by processor."""
    state = torch.get_rng_state()
    torch.manual_seed(0)
    drawn = torch.empty(3).exponential_().tolist()
    torch.set_rng_state(state)
    return bool(np.allclose(drawn, [3.5083, 1.2304, 0.6150], atol=1e-3))
