"""Fixed blocks between cells: the residual block, and the reduction cell that GDAS does not search."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidConfigError, InvalidInputError
from hwnas_surrogate.networks.cells.operations import FactorizedReduce, ReLUConvBN, drop_path

__all__ = ["GDASReductionCell", "ResidualBlock", "preprocessing"]

_GROUPS = 8


class ResidualBlock(nn.Module):
    """Two ReLU-Conv-BN, plus a shortcut; no ReLU follows.

    With stride 2 the shortcut is an average pool and a 1x1 convolution without batch norm. With stride 1 it is a 1x1
    ReLU-Conv-BN if the channels change.

    Parameters
    ----------
    inplanes, planes : int
        Channels in and out.
    stride : {1, 2}
    affine, track_running_stats : bool, default=True
        The batch norms'.
    """

    def __init__(
        self, inplanes: int, planes: int, stride: int, affine: bool = True, track_running_stats: bool = True
    ) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise InvalidInputError(f"the stride of a residual block is 1 or 2, got {stride!r}.")
        norm = affine, track_running_stats
        self.conv_a = ReLUConvBN(inplanes, planes, 3, stride, 1, 1, *norm)
        self.conv_b = ReLUConvBN(planes, planes, 3, 1, 1, 1, *norm)
        self.downsample: nn.Module | None = None
        if stride == 2:
            self.downsample = nn.Sequential(nn.AvgPool2d(2, stride=2), nn.Conv2d(inplanes, planes, 1, bias=False))
        elif inplanes != planes:
            self.downsample = ReLUConvBN(inplanes, planes, 1, 1, 0, 1, *norm)
        self.in_dim, self.out_dim, self.stride = inplanes, planes, stride

    def forward(self, x: Tensor) -> Tensor:
        """Add the two branches."""
        shortcut: Tensor = x if self.downsample is None else self.downsample(x)
        residual: Tensor = self.conv_b(self.conv_a(x))
        return shortcut + residual

    def extra_repr(self) -> str:
        """Return channels and stride."""
        return f"inC={self.in_dim}, outC={self.out_dim}, stride={self.stride}"


def preprocessing(
    C_prev_prev: int, C_prev: int, C: int, reduction_prev: bool, affine: bool, track_running_stats: bool
) -> tuple[nn.Module, nn.Module]:
    """Return what brings the two inputs of a NASNet-style cell to its channels and to one size."""
    norm = affine, track_running_stats
    last = ReLUConvBN(C_prev, C, 1, 1, 0, 1, *norm)
    if reduction_prev:
        return FactorizedReduce(C_prev_prev, C, 2, *norm), last
    return ReLUConvBN(C_prev_prev, C, 1, 1, 0, 1, *norm), last


class GDASReductionCell(nn.Module):
    """The fixed reduction cell of GDAS [1]_: each input through factored convolutions, and through a max pool.

    Parameters
    ----------
    C_prev_prev, C_prev : int
        Channels of the two inputs.
    C : int
        Channels of each of the four branches; a multiple of 8.
    reduction_prev : bool
        Whether the cell before halves the size too.
    affine, track_running_stats : bool
        The batch norms'.

    References
    ----------
    .. [1] Dong and Yang, "Searching for a Robust Neural Architecture in Four GPU Hours", CVPR 2019, section 3.2.
    """

    reduction = True
    multiplier = 4

    def __init__(
        self,
        C_prev_prev: int,
        C_prev: int,
        C: int,
        reduction_prev: bool,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        if C % _GROUPS:
            raise InvalidConfigError(
                f"GDAS's fixed reduction cell convolves in {_GROUPS} groups: its channels must be a multiple of "
                f"{_GROUPS}, got {C}."
            )
        norm = affine, track_running_stats
        self.preprocess0, self.preprocess1 = preprocessing(C_prev_prev, C_prev, C, reduction_prev, *norm)
        self.ops1 = nn.ModuleList(_factored(C, *norm) for _ in range(2))
        self.ops2 = nn.ModuleList(
            nn.Sequential(
                nn.MaxPool2d(3, stride=2, padding=1),
                nn.BatchNorm2d(C, affine=affine, track_running_stats=track_running_stats),
            )
            for _ in range(2)
        )

    def forward(self, s0: Tensor, s1: Tensor, drop_prob: float = -1.0) -> Tensor:
        """Return the four branches side by side, at half the size.

        Parameters
        ----------
        s0, s1 : Tensor, shape (batch, channels, height, width)
            The outputs of the last cell but one, and of the last.
        drop_prob : float, default=-1.0
            With this probability a branch is dropped for a sample, in training mode.
        """
        inputs = self.preprocess0(s0), self.preprocess1(s1)
        branches = [op(x) for ops in (self.ops1, self.ops2) for op, x in zip(ops, inputs, strict=True)]
        if self.training:
            branches = [drop_path(branch, drop_prob) for branch in branches]
        return torch.cat(branches, dim=1)


def _factored(C: int, affine: bool, track_running_stats: bool) -> nn.Sequential:
    """Return a 3x3 convolution with stride 2 as 1x3 and 3x1 in groups, and a pointwise one."""

    def norm() -> nn.BatchNorm2d:
        return nn.BatchNorm2d(C, affine=affine, track_running_stats=track_running_stats)

    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(C, C, (1, 3), stride=(1, 2), padding=(0, 1), groups=_GROUPS, bias=not affine),
        nn.Conv2d(C, C, (3, 1), stride=(2, 1), padding=(1, 0), groups=_GROUPS, bias=not affine),
        norm(),
        nn.ReLU(),
        nn.Conv2d(C, C, 1, bias=not affine),
        norm(),
    )
