"""Vision transformers: global, windowed, pooled, linear and cross-covariance attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwnas_surrogate.networks.zoo.blocks import (
    Attention,
    Residual,
    classifier,
    conv,
    depthwise,
    feed_forward,
    pre_norm,
)
from hwnas_surrogate.networks.zoo.family import Family
from hwnas_surrogate.networks.zoo.mixers import Patches, Pooled

__all__ = ["FAMILIES"]


class _Positions(nn.Module):
    """Add a learned vector to each position; with a learned first position if ``has_class``."""

    def __init__(self, length: int, dim: int, has_class: bool = False) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(1, 1, dim) * 0.02) if has_class else None
        self.table = nn.Parameter(torch.randn(1, length + has_class, dim) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Add."""
        if self.first is not None:
            x = torch.cat([self.first.expand(len(x), -1, -1), x], 1)
        return x + self.table


class _First(nn.Module):
    """A linear layer of the first position."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layer = nn.Linear(dim, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Take the first position, and classify."""
        out: Tensor = self.layer(x[:, 0])
        return out


def vit(dim: int, depth: int, heads: int, patch: int, pool: str, size: int) -> nn.Sequential:
    """Return a vision transformer [1]_ that classifies by a ``class`` token or the ``mean``.

    References
    ----------
    .. [1] Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", ICLR 2021.
    """
    first = _Positions((size // patch) ** 2, dim, pool == "class")
    blocks = [
        nn.Sequential(pre_norm(dim, Attention(dim, heads)), pre_norm(dim, feed_forward(dim, 4 * dim)))
        for _ in range(depth)
    ]
    head = _First(dim) if pool == "class" else Pooled(dim)
    return nn.Sequential(Patches(dim, patch), first, *blocks, nn.LayerNorm(dim), head)


def _windows(x: Tensor, window: int) -> Tensor:
    """Cut (batch, height, width, dim) into (windows, positions, dim), in four dimensions."""
    batch, height, width, dim = x.shape
    rows = x.reshape(batch * height // window, window, width // window, window * dim)
    return rows.transpose(1, 2).reshape(-1, window * window, dim)


class _WindowAttention(nn.Module):
    """Attention within windows of a map of (height, width), which are shifted by half a window if ``is_shifted``."""

    mask: Tensor | None

    def __init__(self, dim: int, heads: int, window: int, side: int, is_shifted: bool) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.shift = window // 2 if is_shifted and side > window else 0
        self.project, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.bias = nn.Parameter(torch.randn(1, heads, window**2, window**2) * 0.02)
        self.register_buffer("mask", self._apart(side) if self.shift else None, persistent=False)

    def _apart(self, side: int) -> Tensor:
        """Return what keeps positions apart that only the shift made neighbours."""
        places = torch.arange(side)
        part = (places >= side - self.window).long() + (places >= side - self.shift).long()
        parts = _windows((part[:, None] * 3 + part[None]).reshape(1, side, side, 1), self.window)[..., 0]
        return (parts[:, None, :, None] != parts[:, None, None, :]).float() * -100.0

    def forward(self, x: Tensor) -> Tensor:
        """Shift, cut, attend, join and shift back."""
        batch, height, width, dim = x.shape
        if self.shift:
            x = torch.roll(x, (-self.shift, -self.shift), (1, 2))
        cut = _windows(x, self.window)
        parts = self.project(cut).chunk(3, -1)
        shape = (cut.shape[0], cut.shape[1], self.heads, dim // self.heads)
        query, key, value = (part.reshape(shape).transpose(1, 2) for part in parts)
        mask: Tensor = self.bias
        if self.mask is not None:
            mask = mask + (self.mask.repeat(batch, 1, 1, 1) if batch > 1 else self.mask)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(cut.shape))
        rows = out.reshape(batch * height // self.window, width // self.window, self.window, self.window * dim)
        x = rows.transpose(1, 2).reshape(batch, height, width, dim)
        return torch.roll(x, (self.shift, self.shift), (1, 2)) if self.shift else x


class _Merge(nn.Module):
    """Join each 2x2 positions of (batch, height, width, dim) and project them to twice the channels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm, self.reduce = nn.LayerNorm(4 * dim), nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Join, in four dimensions, and project."""
        batch, height, width, dim = x.shape
        pairs = x.reshape(batch * height // 2, 2, width // 2, 2 * dim).transpose(1, 2)
        out: Tensor = self.reduce(self.norm(pairs.reshape(batch, height // 2, width // 2, 4 * dim)))
        return out


class _ChannelsLast(nn.Module):
    """An image with its channels last."""

    def forward(self, x: Tensor) -> Tensor:
        """Permute."""
        return x.permute(0, 2, 3, 1)


def swin(dim: int, depths: Sequence[int], window: int, size: int) -> nn.Sequential:
    """Return a Swin transformer [1]_.

    References
    ----------
    .. [1] Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", ICCV 2021.
    """
    layers: list[nn.Module] = [nn.Conv2d(3, dim, 4, 4), _ChannelsLast(), nn.LayerNorm(dim)]
    side = size // 4
    for stage, depth in enumerate(depths):
        if stage:
            layers.append(_Merge(dim))
            dim, side = 2 * dim, side // 2
        for number in range(depth):
            attention = _WindowAttention(dim, max(1, dim // 32), window, side, number % 2 == 1)
            layers += [pre_norm(dim, attention), pre_norm(dim, feed_forward(dim, 4 * dim))]
    head = nn.Sequential(nn.Flatten(1, 2), Pooled(dim))
    return nn.Sequential(*layers, nn.LayerNorm(dim), head)


class _PooledKeys(nn.Module):
    """Attention of a map to itself, with keys and values of a map that is ``ratio`` times smaller."""

    def __init__(self, dim: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.pair, self.out = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.smaller = nn.Conv2d(dim, dim, ratio, ratio) if ratio > 1 else nn.Identity()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Attend, on (batch, channels, height, width)."""
        batch, dim, height, width = x.shape

        def split(part: Tensor) -> Tensor:
            return part.reshape(batch, part.shape[1], self.heads, dim // self.heads).transpose(1, 2)

        query = split(self.query(x.flatten(2).transpose(1, 2)))
        fewer = self.norm(self.smaller(x).flatten(2).transpose(1, 2))
        key, value = map(split, self.pair(fewer).chunk(2, -1))
        mixed = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, height * width, dim))
        return out.transpose(1, 2).reshape(batch, dim, height, width)


def pvt(widths: Sequence[int], depths: Sequence[int], expansion: int) -> nn.Sequential:
    """Return a pyramid vision transformer [1]_ with convolutional feed-forward layers.

    References
    ----------
    .. [1] Wang et al., "PVT v2: Improved Baselines with Pyramid Vision Transformer", CVMJ 2022.
    """
    layers: list[nn.Module] = []
    before, ratios, heads = 3, (8, 4, 2, 1), (1, 2, 4, 8)
    for stage, (dim, depth) in enumerate(zip(widths, depths, strict=True)):
        layers.append(conv(before, dim, 3 if stage else 7, 2 if stage else 4, act="none"))
        hidden, before = expansion * dim, dim
        for _ in range(depth):
            attention = nn.Sequential(nn.BatchNorm2d(dim), _PooledKeys(dim, heads[stage], ratios[stage]))
            wide = [nn.Conv2d(dim, hidden, 1), conv(hidden, hidden, 3, groups=hidden, act="gelu", norm="none")]
            layers += [
                Residual(attention),
                Residual(nn.Sequential(nn.BatchNorm2d(dim), *wide, nn.Conv2d(hidden, dim, 1))),
            ]
    return nn.Sequential(*layers, classifier(before))


class _LinearAttention(nn.Module):
    """Attention without softmax, of cost linear in the length [1]_.

    References
    ----------
    .. [1] Katharopoulos et al., "Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention",
       ICML 2020.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply keys by values first."""
        batch, length, dim = x.shape
        query, key, value = (
            part.reshape(batch, length, self.heads, dim // self.heads).transpose(1, 2)
            for part in self.project(x).chunk(3, -1)
        )
        query, key = functional.elu(query) + 1, functional.elu(key) + 1
        whole = key.transpose(2, 3) @ value
        norm = query @ key.sum(2, keepdim=True).transpose(2, 3)
        mixed = (query @ whole) / norm
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(batch, length, dim))
        return out


def linear_vit(dim: int, depth: int, heads: int, patch: int, size: int) -> nn.Sequential:
    """Return a vision transformer with linear attention."""
    blocks = [
        nn.Sequential(pre_norm(dim, _LinearAttention(dim, heads)), pre_norm(dim, feed_forward(dim, 3 * dim, "silu")))
        for _ in range(depth)
    ]
    first = _Positions((size // patch) ** 2, dim)
    return nn.Sequential(Patches(dim, patch), first, *blocks, nn.LayerNorm(dim), Pooled(dim))


class _CrossCovariance(nn.Module):
    """Attention among channels [1]_.

    References
    ----------
    .. [1] El-Nouby et al., "XCiT: Cross-Covariance Image Transformers", NeurIPS 2021.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Weight channels by their covariance with others."""
        batch, length, dim = x.shape
        query, key, value = (
            part.transpose(1, 2).reshape(batch, self.heads, dim // self.heads, length)
            for part in self.project(x).chunk(3, -1)
        )
        query, key = functional.normalize(query, dim=-1), functional.normalize(key, dim=-1)
        weights = (query @ key.transpose(2, 3) * self.temperature).softmax(-1)
        out: Tensor = self.out((weights @ value).reshape(batch, dim, length).transpose(1, 2))
        return out


class _Local(nn.Module):
    """Two depthwise convolutions of a sequence, read as a square map."""

    def __init__(self, dim: int, side: int) -> None:
        super().__init__()
        self.side = side
        layer = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.body = nn.Sequential(depthwise(dim, 3, act="gelu"), layer)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        batch, length, dim = x.shape
        out: Tensor = self.body(x.transpose(1, 2).reshape(batch, dim, self.side, self.side))
        return out.reshape(batch, dim, length).transpose(1, 2)


def xcit(dim: int, depth: int, heads: int, patch: int, size: int) -> nn.Sequential:
    """Return a network of cross-covariance attention."""
    side = size // patch
    layers: list[nn.Module] = [Patches(dim, patch), _Positions(side * side, dim)]
    for _ in range(depth):
        layers += [pre_norm(dim, _CrossCovariance(dim, heads)), pre_norm(dim, _Local(dim, side))]
        layers.append(pre_norm(dim, feed_forward(dim, 4 * dim)))
    return nn.Sequential(*layers, nn.LayerNorm(dim), Pooled(dim))


FAMILIES = (
    Family(
        "vit", "vit{depth}-c{dim}-h{heads}-p{patch}-{pool}-{size}px", vit, "dim depth heads patch pool size",
        ((64, 4, 2, 8, "mean", 64), (96, 6, 3, 16, "class", 128), (128, 8, 4, 16, "class", 160),
         (192, 6, 3, 16, "class", 224), (192, 4, 6, 8, "mean", 128), (128, 12, 4, 16, "class", 320)),
        is_sized=True,
    ),
    Family(
        "swin", "swin{depths[2]}-c{dim}-win{window}-{size}px", swin, "dim depths window size",
        ((32, (2, 2, 2), 4, 64), (32, (2, 2, 4, 2), 4, 128), (32, (2, 2, 2, 2), 7, 224), (48, (2, 2, 4), 8, 128),
         (64, (2, 2, 2), 5, 160), (32, (2, 2, 6, 2), 6, 192)),
        is_sized=True,
    ),
    Family(
        "pvt", "pvt{depths[2]}-c{widths[0]}-e{expansion}-{size}px", pvt, "widths depths expansion size",
        (((16, 32, 64, 128), (1, 1, 2, 1), 4, 96), ((32, 64, 160, 256), (1, 1, 1, 1), 4, 128),
         ((32, 64, 160, 256), (2, 2, 2, 2), 4, 160), ((24, 48, 96, 192), (2, 2, 3, 2), 2, 224),
         ((48, 96, 192, 256), (1, 2, 3, 1), 4, 192)),
    ),
    Family(
        "linear-vit", "linear-vit{depth}-c{dim}-h{heads}-p{patch}-{size}px", linear_vit, "dim depth heads patch size",
        ((64, 4, 2, 8, 64), (96, 6, 3, 8, 128), (128, 4, 4, 8, 192), (192, 8, 6, 16, 160), (256, 6, 4, 16, 320)),
        is_sized=True,
    ),
    Family(
        "xcit", "xcit{depth}-c{dim}-h{heads}-p{patch}-{size}px", xcit, "dim depth heads patch size",
        ((64, 4, 2, 8, 64), (96, 6, 4, 16, 160), (128, 6, 4, 16, 224), (128, 4, 8, 8, 128), (192, 6, 4, 16, 192)),
        is_sized=True,
    ),
)  # fmt: skip
