"""Spaces of PyTorch modules, as a user's importable file would have them."""

from __future__ import annotations

import torch
from torch import nn

from hwnas_surrogate import ModuleSpace


class Tower(ModuleSpace):
    name = "tower"
    choices = {"depth": (1, 2, 3), "width": (4, 8, 12), "kernel1": (1, 3), "kernel3": (1, 3)}  # noqa: RUF012
    input_shape = (3, 8, 8)

    def build(self, arch, config):
        layers, c_in = [], config.input_shape[0]
        for layer in range(arch["depth"]):
            kernel = arch.get(f"kernel{layer + 1}", 3)
            layers += [nn.Conv2d(c_in, arch["width"], kernel, padding=kernel // 2), nn.ReLU()]
            c_in = arch["width"]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c_in, 10))


class Words(ModuleSpace):
    name = "words"
    choices = [(8, 16), (4, 6, 10)]  # noqa: RUF012

    def example_inputs(self, arch, config):
        return torch.zeros(1, arch[1], dtype=torch.int64)

    def build(self, arch, config):
        return nn.Sequential(nn.Embedding(50, arch[0]), nn.Linear(arch[0], 2))


class Lines(ModuleSpace):
    """Many networks that are quick to build."""

    name = "lines"
    choices = {"width": range(1, 121)}  # noqa: RUF012
    input_shape = (8,)

    def build(self, arch, config):
        if arch["width"] == 113:
            raise ValueError("no thirteens")
        return nn.Linear(config.input_shape[0], arch["width"])
