"""Convolutions and attention in one network: MobileViT, EfficientViT, LeViT."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from hwnas_surrogate.networks.zoo.blocks import (
    Attention,
    Residual,
    classifier,
    conv,
    depthwise,
    feed_forward,
    pre_norm,
    widened,
)
from hwnas_surrogate.networks.zoo.family import Family
from hwnas_surrogate.networks.zoo.mixers import Pooled
from hwnas_surrogate.networks.zoo.mobile import inverted

__all__ = ["FAMILIES"]


class _MobileViTBlock(nn.Module):
    """A transformer among the pixels that have the same place in patches of 2x2, between convolutions."""

    def __init__(self, channels: int, dim: int, depth: int) -> None:
        super().__init__()
        self.local = nn.Sequential(conv(channels, channels, 3, act="silu"), nn.Conv2d(channels, dim, 1, bias=False))
        layers = [
            nn.Sequential(pre_norm(dim, Attention(dim, 4)), pre_norm(dim, feed_forward(dim, 2 * dim, "silu")))
            for _ in range(depth)
        ]
        self.far = nn.Sequential(*layers, nn.LayerNorm(dim))
        self.project = conv(dim, channels, 1, act="silu")
        self.fuse = conv(2 * channels, channels, 3, act="silu")

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, cut into four sequences, attend, join, convolve."""
        local = self.local(x)
        batch, dim, height, width = local.shape
        pairs = local.reshape(batch * dim * height // 2, 2, width // 2, 2).transpose(1, 2)
        fours = pairs.reshape(batch, dim, height * width // 4, 4).permute(0, 3, 2, 1)
        far = self.far(fours.reshape(batch * 4, height * width // 4, dim))
        back = far.reshape(batch, 4, height * width // 4, dim).permute(0, 3, 2, 1)
        rows = back.reshape(batch * dim * height // 2, width // 2, 2, 2).transpose(1, 2)
        out: Tensor = self.fuse(torch.cat([x, self.project(rows.reshape(batch, dim, height, width))], 1))
        return out


def mobilevit(widths: Sequence[int], dims: Sequence[int], depths: Sequence[int]) -> nn.Sequential:
    """Return a MobileViT [1]_.

    References
    ----------
    .. [1] Mehta and Rastegari, "MobileViT: Light-weight, General-purpose, and Mobile-friendly Vision Transformer",
       ICLR 2022.
    """
    a, b, c, d = widths

    def block(c_in: int, c_out: int, stride: int) -> nn.Module:
        return inverted(c_in, c_out, stride, 2, 3, "silu")

    layers = [conv(3, 16, 3, 2, act="silu"), block(16, a, 1), block(a, a, 2), block(a, a, 1)]
    channels = a
    for width, dim, depth in zip((b, c, d), dims, depths, strict=True):
        layers += [block(channels, width, 2), _MobileViTBlock(width, dim, depth)]
        channels = width
    return nn.Sequential(*layers, conv(d, 4 * d, 1, act="silu"), classifier(4 * d))


class _ReluAttention(nn.Module):
    """Linear attention of a map whose queries, keys and values a 1x1 and a depthwise convolution compute."""

    def __init__(self, channels: int, head: int, kernel: int) -> None:
        super().__init__()
        self.head, self.heads = head, channels // head
        self.project = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.local = nn.Conv2d(3 * channels, 3 * channels, kernel, padding=kernel // 2, groups=3 * channels, bias=False)
        self.out = conv(channels, channels, 1, act="none")

    def forward(self, x: Tensor) -> Tensor:
        """Attend with rectified queries and keys."""
        batch, channels, height, width = x.shape
        query, key, value = (
            part.reshape(batch, self.heads, self.head, height * width)
            for part in self.local(self.project(x)).chunk(3, 1)
        )
        query, key = query.relu(), key.relu()
        whole = value @ key.transpose(2, 3)
        norm = key.sum(3, keepdim=True).transpose(2, 3) @ query
        mixed = (whole @ query) / (norm + 1e-6)
        out: Tensor = self.out(mixed.reshape(batch, channels, height, width))
        return out


def efficientvit(width: float, depths: Sequence[int], kernel: int) -> nn.Sequential:
    """Return an EfficientViT [1]_ with one scale of attention.

    References
    ----------
    .. [1] Cai et al., "EfficientViT: Lightweight Multi-Scale Attention for High-Resolution Dense Prediction",
       ICCV 2023.
    """
    stem, *widths = widened((16, 32, 64, 128, 192), width, 16)

    def block(c_in: int, c_out: int, stride: int) -> nn.Module:
        return inverted(c_in, c_out, stride, 4, 3, "hswish")

    layers: list[nn.Module] = [
        conv(3, stem, 3, 2, act="hswish"), Residual(nn.Sequential(depthwise(stem), conv(stem, stem, 1)))
    ]  # fmt: skip
    channels = stem
    for stage, (c_out, depth) in enumerate(zip(widths, depths, strict=True)):
        layers.append(block(channels, c_out, 2))
        for _ in range(depth):
            if stage >= 2:
                layers.append(Residual(_ReluAttention(c_out, 16, kernel)))
            layers.append(block(c_out, c_out, 1))
        channels = c_out
    return nn.Sequential(*layers, conv(channels, 4 * channels, 1, act="hswish"), classifier(4 * channels))


class _Sequence(nn.Module):
    """A map as a sequence of positions."""

    def forward(self, x: Tensor) -> Tensor:
        """Put the channels last."""
        return x.flatten(2).transpose(1, 2)


class _BiasedAttention(nn.Module):
    """Attention with short queries, a learned bias for each pair of positions, and an activation before its end."""

    def __init__(self, dim: int, heads: int, key_dim: int, length: int) -> None:
        super().__init__()
        self.heads, self.sizes = heads, [heads * key_dim, heads * key_dim, dim]
        self.project = nn.Linear(dim, sum(self.sizes))
        self.bias = nn.Parameter(torch.randn(1, heads, length, length) * 0.02)
        self.out = nn.Sequential(nn.Hardswish(), nn.Linear(dim, dim))
        self.scale = key_dim**-0.5

    def forward(self, x: Tensor) -> Tensor:
        """Attend with products and a softmax that stand apart."""
        batch, length, dim = x.shape
        query, key, value = (
            part.reshape(batch, length, self.heads, part.shape[-1] // self.heads).transpose(1, 2)
            for part in torch.split(self.project(x), self.sizes, -1)
        )
        weights = ((query @ key.transpose(2, 3)) * self.scale + self.bias).softmax(-1)
        out: Tensor = self.out((weights @ value).transpose(1, 2).reshape(batch, length, dim))
        return out


def levit(dim: int, depth: int, heads: int, size: int) -> nn.Sequential:
    """Return a network as LeViT [1]_: four strided convolutions, then attention with short queries.

    References
    ----------
    .. [1] Graham et al., "LeViT: a Vision Transformer in ConvNet's Clothing for Faster Inference", ICCV 2021.
    """
    widths = (3, dim // 8, dim // 4, dim // 2, dim)
    layers: list[nn.Module] = [conv(c_in, c_out, 3, 2, act="hswish") for c_in, c_out in pairwise(widths)]
    layers.append(_Sequence())
    length = (size // 16) ** 2
    for _ in range(depth):
        layers.append(Residual(_BiasedAttention(dim, heads, 16, length)))
        layers.append(Residual(feed_forward(dim, 2 * dim, "hswish")))
    return nn.Sequential(*layers, nn.LayerNorm(dim), Pooled(dim))


FAMILIES = (
    Family(
        "mobilevit", "mobilevit{depths[1]}-c{widths[3]}-d{dims[0]}-{size}px", mobilevit, "widths dims depths size",
        (((16, 24, 32, 48), (32, 48, 64), (1, 1, 1), 64), ((24, 48, 64, 80), (64, 80, 96), (2, 4, 3), 128),
         ((24, 48, 64, 80), (64, 80, 96), (2, 2, 2), 192), ((16, 32, 48, 64), (48, 64, 80), (2, 3, 2), 256),
         ((48, 64, 96, 128), (96, 120, 144), (1, 2, 1), 192)),
    ),
    Family(
        "efficientvit", "efficientvit{depths[2]}-w{width:.2f}-k{kernel}-{size}px", efficientvit,
        "width depths kernel size",
        ((0.5, (1, 1, 1, 1), 3, 96), (0.5, (1, 2, 2, 2), 5, 192), (1.0, (1, 1, 2, 2), 3, 128),
         (1.0, (1, 2, 2, 2), 5, 224), (1.0, (1, 2, 3, 3), 7, 320)),
    ),
    Family(
        "levit", "levit{depth}-c{dim}-h{heads}-{size}px", levit, "dim depth heads size",
        ((64, 3, 2, 96), (128, 4, 4, 160), (128, 8, 4, 224), (256, 4, 4, 128), (256, 6, 8, 224)),
        is_sized=True,
    ),
)  # fmt: skip
