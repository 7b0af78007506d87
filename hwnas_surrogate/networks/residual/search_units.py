"""Convolutions and blocks of networks whose widths are searched."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.networks.residual.channels import additive_func
from hwnas_surrogate.networks.residual.plan import Block, Conv
from hwnas_surrogate.networks.residual.soft_selection import ChannelWiseInter, get_width_choices

__all__ = ["Picks", "SearchBlock", "SearchConv", "Searched"]


@dataclass(frozen=True, slots=True)
class Picks:
    """What was drawn for n convolutions."""

    odds: Tensor
    """Probabilities of all widths, (n, choices)."""
    widths: list[list[int]]
    """The drawn choices, n times 2."""
    weights: Tensor
    """Their weights, (n, 2)."""

    def part(self, start: int, stop: int) -> Picks:
        """Return the picks of some of the convolutions."""
        return Picks(self.odds[start:stop], self.widths[start:stop], self.weights[start:stop])


@dataclass(frozen=True, slots=True)
class Searched:
    """A map, its expected number of channels, and the expected multiply-adds that it took, in millions."""

    x: Tensor
    channels: Tensor | float
    mflops: Tensor | float


class SearchConv(nn.Module):
    """A convolution of which only leading channels may be used; one batch norm for each width to choose from.

    Parameters
    ----------
    of : Conv
        At its full width.
    width : bool
        Whether its width is searched; if not, it has one batch norm or none.
    """

    choices_tensor: Tensor

    def __init__(self, of: Conv, width: bool) -> None:
        super().__init__()
        self.choices = get_width_choices(of.c_out)
        self.register_buffer("choices_tensor", torch.tensor(self.choices, dtype=torch.get_default_dtype()))
        self.avg = nn.AvgPool2d(2) if of.pooled else None
        self.conv = nn.Conv2d(of.c_in, of.c_out, of.kernel, of.stride, padding=of.kernel // 2, bias=False)
        self.norm = of.norm
        if width:
            self.BNs = nn.ModuleList(nn.BatchNorm2d(choice) for choice in self.choices)
        elif of.norm:
            self.bn = nn.BatchNorm2d(of.c_out)
        self.width = width
        self.relu = nn.ReLU() if of.relu else None
        self.out_size: tuple[int, int] | None = None

    def get_range(self) -> list[tuple[int, ...]]:
        """Return the widths to choose from, as a list of one."""
        return [self.choices]

    def forward(self, x: Tensor) -> Tensor:
        """Run at full width."""
        x = self.conv(x if self.avg is None else self.avg(x))
        self.out_size = (x.shape[2], x.shape[3])
        if self.norm:
            x = self.BNs[-1](x) if self.width else self.bn(x)
        return x if self.relu is None else self.relu(x)

    def search(self, before: Searched, picks: Picks | None) -> Searched:
        """Run at two widths, and return their weighted sum at the larger one; at full width without picks."""
        if picks is None:
            full = self(before.x)
            return Searched(full, float(self.conv.out_channels), self.full_flops() / 1e6)
        x = before.x if self.avg is None else self.avg(before.x)
        sizes = [self.choices[choice] for choice in picks.widths[0]]
        widest = max(sizes)
        # A narrower input has zeros instead of the channels that it lacks: their weights do not count.
        weight = self.conv.weight[:widest, : x.shape[1]]
        out = nn.functional.conv2d(x, weight, None, self.conv.stride, self.conv.padding)
        self.out_size = (out.shape[2], out.shape[3])
        maps = [self.BNs[choice](out[:, :size]) for choice, size in zip(picks.widths[0], sizes, strict=True)]
        shares = picks.weights[0]
        total = ChannelWiseInter(maps[0], widest) * shares[0] + ChannelWiseInter(maps[1], widest) * shares[1]
        channels = (self.choices_tensor * picks.odds[0]).sum()
        mflops = self.flops(before.channels, channels) / 1e6
        return Searched(total if self.relu is None else self.relu(total), channels, mflops)

    def flops(self, c_in: Tensor | float, c_out: Tensor | float) -> Tensor | float:
        """Return the multiply-adds of one image between so many channels, which may be expected ones."""
        return c_in * c_out * self.conv.kernel_size[0] * self.conv.kernel_size[1] * self.positions()

    def full_flops(self) -> float:
        """Return the multiply-adds of one image at full width."""
        return float(self.flops(self.conv.in_channels, self.conv.out_channels))

    def positions(self) -> int:
        """Return the pixels of the last output; raise `InvalidInputError` if there was none."""
        if self.out_size is None:
            raise InvalidInputError("the sizes of the maps are not known: run the network once on an image.")
        return self.out_size[0] * self.out_size[1]


class SearchBlock(nn.Module):
    """A residual block of searched convolutions; its branches are added over their common channels."""

    def __init__(self, of: Block, width: bool) -> None:
        super().__init__()
        self.names = [name for name, _ in of.convs()]
        for name, conv in of.convs():
            self.add_module(name, SearchConv(conv, width))
        shortcut = of.shortcut()
        self.downsample = None if shortcut is None else SearchConv(shortcut, width)
        self.relu = nn.ReLU()
        self.position = of.stage, of.place

    def convs(self) -> list[SearchConv]:
        """Return the convolutions of the residual branch."""
        found = [self.get_submodule(name) for name in self.names]
        return [conv for conv in found if isinstance(conv, SearchConv)]

    def get_range(self) -> list[tuple[int, ...]]:
        """Return the widths to choose from, of each convolution."""
        return [conv.choices for conv in self.convs()]

    def forward(self, x: Tensor) -> Tensor:
        """Run at full width."""
        shortcut = x if self.downsample is None else self.downsample(x)
        for conv in self.convs():
            x = conv(x)
        out: Tensor = self.relu(shortcut + x)
        return out

    def search(self, before: Searched, picks: Picks | None) -> Searched:
        """Run at two widths of each convolution, or at full width; the shortcut has the widths of the last one."""
        shortcut, last = before.x, len(self.names) - 1
        spent: Tensor | float = 0.0
        if self.downsample is not None:
            side = self.downsample.search(before, picks and picks.part(last, last + 1))
            shortcut, spent = side.x, side.mflops
        now = before
        for number, conv in enumerate(self.convs()):
            now = conv.search(now, picks and picks.part(number, number + 1))
            spent = spent + now.mflops
        return Searched(self.relu(additive_func(shortcut, now.x)), now.channels, spent)

    def flops(self, channels: tuple[int, ...]) -> float:
        """Return the multiply-adds at given channels; of a shortcut that different channels will need, too."""
        convs = self.convs()
        total = sum(float(conv.flops(*channels[place : place + 2])) for place, conv in enumerate(convs))
        if self.downsample is not None:
            total += float(self.downsample.flops(channels[0], channels[-1]))
        elif channels[0] != channels[-1]:
            total += channels[0] * channels[-1] * convs[-1].positions()
        return total
