"""A search space of one's own, as a user's module would have it: six blocks, each of one of four widths."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.graphs import VIEWS, Graph, GraphBuilder, View
from hwnas_surrogate.spaces import (
    Archs,
    ConfigLike,
    NetworkConfig,
    OpTable,
    RandomState,
    SearchSpace,
    as_generator,
)

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


def network(config: ToyConfig, widths: Iterable[int]) -> Graph:
    build = GraphBuilder()
    image = build.input((1, config.in_channels, config.height, config.width))
    x = build.batch_norm(build.conv(image, BASE, 3))
    for width in widths:
        x = build.batch_norm(build.conv(x, width, 1))
        x = build.batch_norm(build.conv(x, BASE, 3))
    return build.graph(build.linear(build.flatten(build.global_pool(x)), config.num_classes))


@cache
def table(config: ToyConfig, view: View) -> OpTable:
    """Count what a network without blocks runs, and what a block of each width adds."""
    fixed, *with_block = (
        Counter(VIEWS[view](network(config, widths)).counts) for widths in ((), *((width,) for width in WIDTHS))
    )
    return OpTable.build(fixed, [[counts - fixed for counts in with_block]] * 6)


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
        of = self.config(config)
        assert isinstance(of, ToyConfig)
        return network(of, [WIDTHS[op] for op in self._exactly_one(arch)[0]])

    def op_table(self, config: NetworkConfig, view: View) -> OpTable | None:
        assert isinstance(config, ToyConfig)
        return table(config, view)

    def executed(self, archs: Archs, view: str, config: ConfigLike = None) -> npt.NDArray[np.bool_]:
        self._check_view(view)
        return np.ones(self.as_array(archs).shape, bool)

    def _config_from_dict(self, config: Mapping[str, Any]) -> NetworkConfig:
        return ToyConfig(**config)

    def arch_from_dict(self, config: Mapping[str, Any]) -> npt.NDArray[np.int8]:
        raise self._not_an_arch(config)


class GraphsOnly(ToySpace):
    """The same networks, in a space that tells nothing but their graphs."""

    name: ClassVar[str] = "graphs_only"

    def op_table(self, config: NetworkConfig, view: View) -> None:
        return None
