"""The eleven operations of cell networks, each from ``(C_in, C_out, stride, affine, track_running_stats)``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import HWNASError, InvalidArchitectureError
from hwnas_surrogate.networks.arguments import check_name, count, probability

__all__ = [
    "OPERATIONS",
    "DualSepConv",
    "FactorizedReduce",
    "OperationMaker",
    "Pooling",
    "ReLUConvBN",
    "SepConv",
    "Zero",
    "build_operation",
    "check_operation",
    "drop_path",
]


class ReLUConvBN(nn.Module):
    """ReLU, convolution, batch norm. The convolution has a bias if the batch norm has none.

    Parameters
    ----------
    C_in, C_out : int
        Channels.
    kernel_size, stride, padding, dilation : int or pair of int
        The convolution's.
    affine : bool, default=True
        Whether the batch norm has weights.
    track_running_stats : bool, default=True
        Whether the batch norm keeps statistics. Without them it normalises by the batch in eval mode too.
    """

    def __init__(
        self,
        C_in: int,
        C_out: int,
        kernel_size: int,
        stride: int,
        padding: int,
        dilation: int = 1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(C_in, C_out, kernel_size, stride, padding, dilation, bias=not affine),
            nn.BatchNorm2d(C_out, affine=affine, track_running_stats=track_running_stats),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the three in order."""
        out: Tensor = self.op(x)
        return out


class SepConv(nn.Module):
    """ReLU, depthwise and pointwise convolution, batch norm; parameters as of :class:`ReLUConvBN`."""

    def __init__(
        self,
        C_in: int,
        C_out: int,
        kernel_size: int,
        stride: int,
        padding: int,
        dilation: int = 1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(C_in, C_in, kernel_size, stride, padding, dilation, groups=C_in, bias=False),
            nn.Conv2d(C_in, C_out, 1, bias=not affine),
            nn.BatchNorm2d(C_out, affine=affine, track_running_stats=track_running_stats),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the four in order."""
        out: Tensor = self.op(x)
        return out


class DualSepConv(nn.Module):
    """Two separable convolutions, the first of which strides; parameters as of :class:`ReLUConvBN`."""

    def __init__(
        self,
        C_in: int,
        C_out: int,
        kernel_size: int,
        stride: int,
        padding: int,
        dilation: int = 1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        norm = affine, track_running_stats
        self.op_a = SepConv(C_in, C_in, kernel_size, stride, padding, dilation, *norm)
        self.op_b = SepConv(C_in, C_out, kernel_size, 1, padding, dilation, *norm)

    def forward(self, x: Tensor) -> Tensor:
        """Apply both in order."""
        out: Tensor = self.op_b(self.op_a(x))
        return out


class Pooling(nn.Module):
    """3x3 pooling. If the channels change, a 1x1 ReLU-Conv-BN comes first.

    Parameters
    ----------
    C_in, C_out, stride : int
    mode : {"avg", "max"}
        The average leaves out the padding.
    affine, track_running_stats : bool, default=True
        The batch norm's, if there is one.
    """

    def __init__(
        self,
        C_in: int,
        C_out: int,
        stride: int,
        mode: Literal["avg", "max"],
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        check_name("mode of pooling", mode, ("avg", "max"))
        self.preprocess = None
        if C_in != C_out:
            self.preprocess = ReLUConvBN(C_in, C_out, 1, 1, 0, 1, affine, track_running_stats)
        self.op: nn.Module = nn.MaxPool2d(3, stride, padding=1)
        if mode == "avg":
            self.op = nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Change the channels where that is needed, and pool."""
        out: Tensor = self.op(x if self.preprocess is None else self.preprocess(x))
        return out


class Zero(nn.Module):
    """The operation ``none``: a multiplication by zero, which the network executes (NaN stays NaN).

    Parameters
    ----------
    C_in, C_out, stride : int
        If the channels change, the result is new zeros.
    """

    is_zero = True

    def __init__(self, C_in: int, C_out: int, stride: int) -> None:
        super().__init__()
        self.C_in, self.C_out, self.stride = C_in, C_out, stride

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros of the output's shape."""
        if self.stride != 1:
            x = x[:, :, :: self.stride, :: self.stride]
        if self.C_in == self.C_out:
            return x.mul(0.0)
        return x.new_zeros(x.shape[0], self.C_out, *x.shape[2:])

    def extra_repr(self) -> str:
        """Return the channels and the stride."""
        return f"C_in={self.C_in}, C_out={self.C_out}, stride={self.stride}"


class FactorizedReduce(nn.Module):
    """A skip that changes size or channels.

    With stride 2: ReLU, two 1x1 convolutions on pixels shifted by one, side by side, and batch norm. With stride 1: a
    1x1 convolution and batch norm, without ReLU.

    Parameters
    ----------
    C_in, C_out : int
    stride : {1, 2}
    affine, track_running_stats : bool
    """

    def __init__(
        self, C_in: int, C_out: int, stride: int, affine: bool = True, track_running_stats: bool = True
    ) -> None:
        super().__init__()
        self.stride = stride
        if count("stride", stride, most=2) == 2:
            self.relu = nn.ReLU()
            halves = C_out // 2, C_out - C_out // 2
            self.convs = nn.ModuleList(nn.Conv2d(C_in, half, 1, stride=2, bias=not affine) for half in halves)
            self.pad = nn.ConstantPad2d((0, 1, 0, 1), 0)
        else:
            self.conv = nn.Conv2d(C_in, C_out, 1, bias=not affine)
        self.bn = nn.BatchNorm2d(C_out, affine=affine, track_running_stats=track_running_stats)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output; odd sizes are rounded up."""
        if self.stride == 2:
            x = self.relu(x)
            shifted = self.pad(x)[:, :, 1:, 1:]
            x = torch.cat([self.convs[0](x), self.convs[1](shifted)], dim=1)
        else:
            x = self.conv(x)
        out: Tensor = self.bn(x)
        return out


def drop_path(x: Tensor, drop_prob: float) -> Tensor:
    """Set whole samples to zero with a probability, and scale up the others, so that the mean stays.

    Parameters
    ----------
    x : Tensor, shape (batch, channels, height, width)
    drop_prob : float
        In [0, 1). Nothing happens at 0 or below.

    Returns
    -------
    Tensor
        Of the same shape.
    """
    if probability("the probability to drop a path", drop_prob, least=-math.inf) <= 0:
        return x
    keep = 1 - drop_prob
    return x / keep * x.new_empty(len(x), 1, 1, 1).bernoulli_(keep)


OperationMaker: TypeAlias = Callable[[int, int, int, bool, bool], nn.Module]


def _conv(kernel: int) -> OperationMaker:
    return lambda c_in, c_out, stride, *norm: ReLUConvBN(c_in, c_out, kernel, stride, kernel // 2, 1, *norm)


def _dual(kernel: int) -> OperationMaker:
    return lambda c_in, c_out, stride, *norm: DualSepConv(c_in, c_out, kernel, stride, kernel // 2, 1, *norm)


def _dilated(kernel: int) -> OperationMaker:
    return lambda c_in, c_out, stride, *norm: SepConv(c_in, c_out, kernel, stride, kernel - 1, 2, *norm)


def _pool(mode: Literal["avg", "max"]) -> OperationMaker:
    return lambda c_in, c_out, stride, *norm: Pooling(c_in, c_out, stride, mode, *norm)


def _zero(c_in: int, c_out: int, stride: int, affine: bool, track_running_stats: bool) -> nn.Module:
    return Zero(c_in, c_out, stride)


def _skip(c_in: int, c_out: int, stride: int, affine: bool, track_running_stats: bool) -> nn.Module:
    if stride == 1 and c_in == c_out:
        return nn.Identity()
    return FactorizedReduce(c_in, c_out, stride, affine, track_running_stats)


def _checking(make: OperationMaker) -> OperationMaker:
    """Return what also checks channels and stride."""

    def checked(C_in: int, C_out: int, stride: int, affine: bool, track_running_stats: bool) -> nn.Module:
        c_in, c_out = count("C_in", C_in), count("C_out", C_out)
        return make(c_in, c_out, count("stride", stride, most=2), affine, track_running_stats)

    return checked


OPERATIONS: Mapping[str, OperationMaker] = MappingProxyType(
    {
        "none": _checking(_zero),
        "avg_pool_3x3": _checking(_pool("avg")),
        "max_pool_3x3": _checking(_pool("max")),
        "nor_conv_7x7": _checking(_conv(7)),
        "nor_conv_3x3": _checking(_conv(3)),
        "nor_conv_1x1": _checking(_conv(1)),
        "dua_sepc_3x3": _checking(_dual(3)),
        "dua_sepc_5x5": _checking(_dual(5)),
        "dil_sepc_3x3": _checking(_dilated(3)),
        "dil_sepc_5x5": _checking(_dilated(5)),
        "skip_connect": _checking(_skip),
    }
)
"""What makes each operation from channels in and out, stride, and the two settings of its batch norms."""


def check_operation(name: object, error: type[HWNASError]) -> None:
    """Raise an error of a given class if a name is not that of an operation."""
    check_name("operation of a cell", name, OPERATIONS, error=error)


def build_operation(
    name: str, C_in: int, C_out: int, stride: int = 1, affine: bool = True, track_running_stats: bool = True
) -> nn.Module:
    """Build an operation of a cell.

    Parameters
    ----------
    name : str
        A key of :data:`OPERATIONS`.
    C_in, C_out, stride : int
        Channels in and out, and the stride.
    affine, track_running_stats : bool, default=True
        Whether batch norms have weights, and whether they keep statistics.

    Returns
    -------
    torch.nn.Module
        It takes (batch, C_in, height, width).

    Raises
    ------
    InvalidArchitectureError
        If there is no such operation.

    Examples
    --------
    >>> import torch
    >>> build_operation("dua_sepc_3x3", 4, 8, stride=2)(torch.zeros(1, 4, 32, 32)).shape
    torch.Size([1, 8, 16, 16])
    """
    check_operation(name, InvalidArchitectureError)
    return OPERATIONS[name](C_in, C_out, stride, affine, track_running_stats)
