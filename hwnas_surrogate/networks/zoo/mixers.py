"""Networks of linear layers on patches: MLP-Mixer, ResMLP, gMLP."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hwnas_surrogate.networks.zoo.blocks import Residual, Transposed, activation, feed_forward, pre_norm
from hwnas_surrogate.networks.zoo.family import Family

__all__ = ["FAMILIES", "GatedMLP", "Patches", "Pooled"]


class Patches(nn.Module):
    """An image as a sequence of patches, of shape (batch, patches, dim)."""

    def __init__(self, dim: int, patch: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, dim, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, and put the channels last."""
        out: Tensor = self.layer(x)
        return out.flatten(2).transpose(1, 2)


class Pooled(nn.Module):
    """The mean of a sequence, and a linear layer."""

    def __init__(self, dim: int, classes: int = 1000) -> None:
        super().__init__()
        self.layer = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Average over the positions, and classify."""
        out: Tensor = self.layer(x.mean(1))
        return out


def mlp_mixer(dim: int, depth: int, patch: int, act: str, size: int) -> nn.Sequential:
    """Return an MLP-Mixer [1]_.

    References
    ----------
    .. [1] Tolstikhin et al., "MLP-Mixer: An all-MLP Architecture for Vision", NeurIPS 2021.
    """
    length = (size // patch) ** 2

    def block() -> nn.Sequential:
        of_tokens = Transposed(feed_forward(length, dim // 2, act))
        return nn.Sequential(pre_norm(dim, of_tokens), pre_norm(dim, feed_forward(dim, 4 * dim, act)))

    return nn.Sequential(Patches(dim, patch), *(block() for _ in range(depth)), nn.LayerNorm(dim), Pooled(dim))


class Affine(nn.Module):
    """A factor and a shift for each channel, in place of a norm."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((dim,), 0.5))
        self.shift = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift."""
        return x * self.factor + self.shift


def resmlp(dim: int, depth: int, patch: int, size: int) -> nn.Sequential:
    """Return a ResMLP [1]_: affine maps instead of norms, one linear layer over the patches.

    References
    ----------
    .. [1] Touvron et al., "ResMLP: Feedforward networks for image classification with data-efficient training",
       TPAMI 2023.
    """
    length = (size // patch) ** 2

    def block() -> nn.Sequential:
        of_tokens = nn.Sequential(Affine(dim), Transposed(nn.Linear(length, length)), Affine(dim))
        of_channels = nn.Sequential(Affine(dim), feed_forward(dim, 4 * dim), Affine(dim))
        return nn.Sequential(Residual(of_tokens), Residual(of_channels))

    return nn.Sequential(Patches(dim, patch), *(block() for _ in range(depth)), Affine(dim), Pooled(dim))


class GatedMLP(nn.Module):
    """Two linear layers, between which one half of the channels, mixed over positions, gates the other [1]_.

    Parameters
    ----------
    dim, hidden : int
        Channels, and those between the layers.
    length : int
        Positions.
    act : str
        The activation after the first layer.

    References
    ----------
    .. [1] Liu et al., "Pay Attention to MLPs", NeurIPS 2021.
    """

    def __init__(self, dim: int, hidden: int, length: int, act: str = "gelu") -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(dim, hidden), activation(act))
        self.norm = nn.LayerNorm(hidden // 2)
        self.mix = Transposed(nn.Linear(length, length))
        self.last = nn.Linear(hidden // 2, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Gate one half with the other."""
        kept, gate = self.first(x).chunk(2, -1)
        out: Tensor = self.last(kept * self.mix(self.norm(gate)))
        return out


def gmlp(dim: int, depth: int, patch: int, act: str, size: int) -> nn.Sequential:
    """Return a gMLP."""
    length = (size // patch) ** 2
    blocks = [pre_norm(dim, GatedMLP(dim, 4 * dim, length, act)) for _ in range(depth)]
    return nn.Sequential(Patches(dim, patch), *blocks, nn.LayerNorm(dim), Pooled(dim))


FAMILIES = (
    Family(
        "mlp-mixer", "mlp-mixer{depth}-c{dim}-p{patch}-{act}-{size}px", mlp_mixer, "dim depth patch act size",
        ((64, 4, 8, "gelu", 64), (128, 6, 16, "gelu", 128), (128, 8, 16, "relu", 224), (256, 8, 16, "gelu", 160),
         (256, 4, 8, "hswish", 160)),
        is_sized=True,
    ),
    Family(
        "resmlp", "resmlp{depth}-c{dim}-p{patch}-{size}px", resmlp, "dim depth patch size",
        ((64, 4, 16, 96), (96, 8, 16, 160), (128, 12, 16, 224), (256, 8, 16, 192), (192, 12, 32, 320)),
        is_sized=True,
    ),
    Family(
        "gmlp", "gmlp{depth}-c{dim}-p{patch}-{act}-{size}px", gmlp, "dim depth patch act size",
        ((64, 4, 8, "gelu", 64), (96, 6, 16, "gelu", 128), (128, 6, 8, "silu", 128), (192, 10, 16, "gelu", 160),
         (256, 6, 16, "gelu", 224)),
        is_sized=True,
    ),
)  # fmt: skip
