"""A search space of one's own, as a user's module would have it: six blocks, each of one of four widths."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.graphs import Graph, GraphBuilder
from hwnas_surrogate.spaces import (
    Archs,
    ConfigLike,
    Layers,
    NetworkConfig,
    RandomState,
    SearchSpace,
    View,
    as_generator,
)
from hwnas_surrogate.spaces.layers import Layer, LayerPlan

WIDTHS = (8, 16, 24, 32)
BASE = 16


@dataclass(frozen=True, slots=True)
class ToyConfig(NetworkConfig):
    num_classes: int = 10
    in_channels: int = 3
    height: int = 16
    width: int = 16

    def __str__(self) -> str:
        return f"toy{self.num_classes}"

    @classmethod
    def parse(cls, text: str) -> ToyConfig:
        return cls(int(text.removeprefix("toy")))


@cache
def plan(config: ToyConfig) -> LayerPlan:
    size = config.height, config.width
    fixed = [
        (Layer.conv(config.in_channels, BASE, *size, 3), 1),
        (Layer.global_pool(BASE, *size), 1),
        (Layer.linear(BASE, config.num_classes), 1),
    ]
    per_op = [[(Layer.conv(BASE, width, *size, 1), 1), (Layer.conv(width, BASE, *size, 3), 1)] for width in WIDTHS]
    return LayerPlan.build(fixed, [per_op] * 6)


class ToySpace(SearchSpace):
    name: ClassVar[str] = "toy"
    title: ClassVar[str] = "Toy"
    ops: ClassVar[tuple[str, ...]] = tuple(f"w{width}" for width in WIDTHS)
    position_names: ClassVar[tuple[str, ...]] = tuple(f"block{number}" for number in range(6))
    configs: ClassVar[Mapping[str, NetworkConfig]] = MappingProxyType({"toys": ToyConfig()})
    config_class: ClassVar[type[NetworkConfig]] = ToyConfig
    form: ClassVar[str] = "six widths joined by '-'"

    def parse(self, text: str) -> npt.NDArray[np.int8]:
        parts = text.split("-") if isinstance(text, str) else []
        if len(parts) != 6 or not set(parts) <= set(self.ops):
            raise self._not_an_arch(text)
        return np.array([self.ops.index(part) for part in parts], np.int8)

    def format(self, arch: Archs) -> str:
        return self.format_all(self._exactly_one(arch))[0]

    def format_all(self, archs: Archs) -> list[str]:
        return ["-".join(self.ops[op] for op in row) for row in self.as_array(archs)]

    def codes(self, archs: npt.NDArray[np.int8]) -> npt.NDArray[Any]:
        return archs.astype(np.int64) @ (4 ** np.arange(6))

    def canonical(self, archs: Archs) -> list[str]:
        return self.format_all(archs)

    def enumerate(self) -> npt.NDArray[np.int8]:
        return np.array(list(itertools.product(range(4), repeat=6)), np.int8)

    def sample(self, n: int, random_state: RandomState = None) -> npt.NDArray[np.int8]:
        self._check_sample_size(n, 4**6)
        return self.enumerate()[as_generator(random_state).permutation(4**6)[:n]]

    def graph(self, arch: Archs, config: ConfigLike = None) -> Graph:
        of, build = self.config(config), GraphBuilder()
        assert isinstance(of, ToyConfig)
        x = build.batch_norm(build.conv(build.input((1, of.in_channels, of.height, of.width)), BASE, 3))
        for op in self._exactly_one(arch)[0]:
            x = build.batch_norm(build.conv(x, WIDTHS[op], 1))
            x = build.batch_norm(build.conv(x, BASE, 3))
        return build.graph(build.linear(build.flatten(build.global_pool(x)), of.num_classes))

    def layers(self, archs: Archs, config: ConfigLike = None, view: View = "all") -> Layers:
        self._check_view(view)
        of = self.config(config)
        assert isinstance(of, ToyConfig)
        return Layers(plan(of), self.as_array(archs))

    def executed(self, archs: Archs, view: View, config: ConfigLike = None) -> npt.NDArray[np.bool_]:
        self._check_view(view)
        return np.ones(self.as_array(archs).shape, bool)

    def _config_from_dict(self, config: Mapping[str, Any]) -> NetworkConfig:
        return ToyConfig(**config)

    def arch_from_dict(self, config: Mapping[str, Any]) -> npt.NDArray[np.int8]:
        raise self._not_an_arch(config)
