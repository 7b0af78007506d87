"""The weights with which the recorded figures of networks were computed."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
import torch
from torch import nn


def fill(network: nn.Module, but: Collection[str] = ()) -> None:
    """Apply the records' ``meta["fill_rule"]`` to the state, but for tensors whose last name is one of ``but``."""
    for position, (name, tensor) in enumerate(network.state_dict().items()):
        last = name.rpartition(".")[2]
        if last in but:
            continue
        if not tensor.is_floating_point():
            tensor.zero_()
            continue
        u = np.random.RandomState(position).uniform(-1, 1, tensor.numel()).reshape(tensor.shape)
        if tensor.ndim >= 2:
            value = u * math.sqrt(3 / math.prod(tensor.shape[1:]))
        elif last in ("weight", "running_var"):
            value = 1 + 0.25 * u
        else:
            value = 0.25 * u
        tensor.copy_(torch.from_numpy(value))
