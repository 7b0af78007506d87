"""A space of choices alone, as a user's module would have it: positions have different choices, some named alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from hwnas_surrogate.graphs import GraphBuilder
from hwnas_surrogate.spaces import (
    Choices,
    ChoiceSpace,
    InputConfig,
    NetworkConfig,
    SearchSpace,
    get_space,
    registry,
    space_names,
)


class Own(ChoiceSpace):
    name = "own"
    choices: ClassVar[Choices] = {
        "depth": (1, 2, 3),
        "kernel1": (1, 3, 5),
        "kernel2": (1, 3, 5),
        "width": range(4, 24, 2),
        "activation": ("relu", "hardswish"),
        "residual": (False, True),
        "scale": (0.5, 0.75, 1.0, 1.25, 2.0),
    }
    configs: ClassVar[Mapping[str, NetworkConfig]] = {
        "small": InputConfig((3, 8, 8)),
        "large": InputConfig((3, 16, 16)),
    }

    def layers(self, build: GraphBuilder, x: int, arch: Mapping[Any, Any], config: Any) -> int:
        width = int(arch["width"] * arch["scale"])
        x = build.conv(x, width, arch["kernel1"])
        for _ in range(arch["depth"]):
            y = build.elementwise(arch["activation"], build.batch_norm(build.conv(x, width, arch["kernel2"])))
            x = build.add(x, y) if arch["residual"] else y
        return build.linear(build.flatten(build.global_pool(x)), 10)


BUILT_IN: tuple[SearchSpace, ...] = tuple(map(get_space, space_names()))
EVERY: tuple[SearchSpace, ...] = (*BUILT_IN, Own())
del registry._spaces["own"]  # other modules of tests collect the names of the built-in spaces
