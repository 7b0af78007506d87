"""The networks of the zoo, as networks to capture and to measure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import nn

from hwnas_surrogate.capture import GivenNetwork
from hwnas_surrogate.graphs import Graph
from hwnas_surrogate.networks.zoo import ZooNetwork, zoo_networks

__all__ = ["ZOO", "ZooModule", "zoo_modules"]

ZOO = "zoo"
"""The source of all networks of the zoo; ``zoo:resnet,vgg`` is that of some families."""


@dataclass(frozen=True)  # no slots: its graph is kept
class ZooModule(GivenNetwork):
    """A network of the zoo, which is built when it is needed.

    Parameters
    ----------
    name : str
        Its family and its name: ``"resnet/resnet18-w0.50-128px"``.
    source : str
        ``"zoo"``.
    network : ZooNetwork
    """

    network: ZooNetwork

    @property
    def entry(self) -> tuple[nn.Module, tuple[Any, ...]]:
        """The module, and what its ``forward`` takes."""
        return self.network.build(), self.network.example_inputs()

    def graph(self) -> Graph:
        """Record the module's operators, once; its weights are not needed."""
        return self._graph

    @cached_property
    def _graph(self) -> Graph:
        inputs = tuple(tensor.to("meta") for tensor in self.network.example_inputs())
        return Graph.from_torch(self.network.outline(), *inputs)

    def fingerprint(self) -> str:
        """Return the digest of the graph."""
        return self.graph().digest


def zoo_modules(source: str = ZOO) -> tuple[ZooModule, ...]:
    """Return networks of the zoo.

    Parameters
    ----------
    source : str, default="zoo"
        ``zoo`` for all, ``zoo:resnet,vgg`` for some families.

    Raises
    ------
    InvalidInputError
        If there is no such family.

    Examples
    --------
    >>> zoo_modules("zoo:resnet-cifar")[0].name
    'resnet-cifar/resnet-cifar8-w1.00-relu-32px'
    """
    families: Iterable[str] | None = source.partition(":")[2].split(",") if ":" in source else None
    return tuple(ZooModule(f"{found.family}/{found.name}", ZOO, found) for found in zoo_networks(families))
