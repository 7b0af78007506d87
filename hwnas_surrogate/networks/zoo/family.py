"""A family of networks: one function that makes them, and the parameters of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Family", "ZooInput", "ZooNetwork", "image", "tokens"]

_GAIN = 6**0.5
"""From PyTorch's first weights, of variance 1/(3 n), to He's, 2/n, of n numbers that each output sums."""


@dataclass(frozen=True, slots=True)
class ZooInput:
    """What a network reads.

    Parameters
    ----------
    shape : tuple of int
        Without the batch.
    vocabulary : int, default=0
        The number of different tokens, for whole numbers; 0 for real numbers.
    """

    shape: tuple[int, ...]
    vocabulary: int = 0

    def draw(self, batch: int = 1) -> Tensor:
        """Return normal noise, or random tokens, always the same, on the CPU."""
        generator, shape = torch.Generator().manual_seed(0), (batch, *self.shape)
        if self.vocabulary:
            return torch.randint(self.vocabulary, shape, generator=generator, device="cpu")
        return torch.randn(shape, generator=generator, device="cpu")


@dataclass(frozen=True, slots=True)
class ZooNetwork:
    """A network of the zoo.

    Parameters
    ----------
    name : str
        Unique in the zoo, such as ``"resnet18-w0.50-128px"``. It never changes, and it seeds the weights.
    family : str
        The family, such as ``"resnet"``.
    input : ZooInput
        What it reads.
    make : callable
        Makes it, as PyTorch initialises it, on the default device.

    Examples
    --------
    >>> from hwnas_surrogate.networks.zoo import zoo_networks
    >>> network = zoo_networks(["resnet-cifar"])[0]
    >>> network.name
    'resnet-cifar8-w1.00-relu-32px'
    >>> network.build()(*network.example_inputs(batch=2)).shape
    torch.Size([2, 10])
    """

    name: str
    family: str
    input: ZooInput
    make: Callable[[], nn.Module] = field(repr=False, compare=False)

    def build(self) -> nn.Module:
        """Build the network in eval mode on the CPU, with weights that depend on the name only.

        Weights keep the size of activations about the same from layer to layer: with PyTorch's first weights, the
        activations of a deep network without its training vanish into numbers that slow a processor down.
        PyTorch's global generators are not changed.
        """
        seed = int.from_bytes(sha256(self.name.encode()).digest()[:7], "big")
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.default_generator.manual_seed(seed)
            network = self.make()
            _spread(network)
        return network.eval()

    def outline(self) -> nn.Module:
        """Build the network in eval mode on the ``meta`` device: shapes without numbers, in no time and memory."""
        with torch.device("meta"):
            return self.make().eval()

    def example_inputs(self, batch: int = 1) -> tuple[Tensor, ...]:
        """Return what ``forward`` takes, always the same, on the CPU."""
        return (self.input.draw(batch),)


@torch.no_grad()
def _spread(network: nn.Module) -> None:
    """Scale the weights to He's initialisation, and give batch norms statistics as of a trained network."""
    for part in network.modules():
        if isinstance(part, (nn.Linear, nn.modules.conv._ConvNd)):
            part.weight.mul_(_GAIN)
        elif isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.normal_(0.0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
            part.weight.uniform_(0.5, 1.5)
            part.bias.normal_(0.0, 0.1)


def image(values: Mapping[str, Any]) -> ZooInput:
    """Return the input of a family of square images: three channels, ``size`` pixels."""
    return ZooInput((3, values["size"], values["size"]))


def tokens(values: Mapping[str, Any]) -> ZooInput:
    """Return the input of a family of token sequences: ``size`` tokens of ``vocabulary``."""
    return ZooInput((values["size"],), values["vocabulary"])


@dataclass(frozen=True, slots=True)
class Family:
    """Networks that one function makes.

    Parameters
    ----------
    name : str
    label : str
        A network's name, with fields in braces.
    make : callable
        Makes a network of the fields, by name.
    fields : str
        The names of the parameters, with spaces between. ``size`` is that of the input.
    rows : tuple of tuple
        The parameters of each network.
    reads : callable, default=image
        Returns the input for the fields.
    is_sized : bool, default=False
        Whether ``make`` takes the ``size`` too.
    """

    name: str
    label: str
    make: Callable[..., nn.Module]
    fields: str
    rows: tuple[tuple[Any, ...], ...]
    reads: Callable[[Mapping[str, Any]], ZooInput] = image
    is_sized: bool = False

    def networks(self) -> Iterator[ZooNetwork]:
        """Yield the family's networks in the order of the rows."""
        names = self.fields.split()
        for row in self.rows:
            values = dict(zip(names, row, strict=True))
            given = {name: value for name, value in values.items() if self.is_sized or name != "size"}
            yield ZooNetwork(self.label.format(**values), self.name, self.reads(values), partial(self.make, **given))
