"""NAS-Bench-201's inference network: a stem, three stages of one repeated cell, and a classifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from hwnas_surrogate.spaces import NASBench201, NASBench201Config
from hwnas_surrogate.spaces.nasbench201 import EDGES

__all__ = ["NASBench201Network"]


class Zero(nn.Module):
    """The op ``none``: a multiplication by zero, which the network executes."""

    def forward(self, x: Tensor) -> Tensor:
        """Multiply by 0."""
        return x.mul(0.0)


class ReLUConvBN(nn.Module):
    """ReLU, convolution without bias, batch norm."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(c_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the three in order."""
        out: Tensor = self.op(x)
        return out


def _edge(op: int, channels: int) -> nn.Module:
    match NASBench201.ops[op]:
        case "none":
            return Zero()
        case "skip_connect":
            return nn.Identity()
        case "nor_conv_1x1":
            return ReLUConvBN(channels, channels, 1)
        case "nor_conv_3x3":
            return ReLUConvBN(channels, channels, 3)
        case "avg_pool_3x3":
            return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    raise AssertionError(op)


class Cell(nn.Module):
    """Four nodes, six edges: a node is the sum of its incoming edges; the last node is the output."""

    def __init__(self, edges: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(edges)

    def forward(self, x: Tensor) -> Tensor:
        """Run every edge, in the order of an architecture's ops."""
        nodes = [x]
        for layer, (target, source) in zip(self.layers, EDGES, strict=True):
            out = layer(nodes[source])
            if target == len(nodes):
                nodes.append(out)
            else:
                nodes[target] = nodes[target] + out
        return nodes[-1]


class Reduction(nn.Module):
    """Halve the size and change the channels: two convolutions, plus a pooled shortcut without batch norm."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv_a = ReLUConvBN(c_in, c_out, 3, stride=2)
        self.conv_b = ReLUConvBN(c_out, c_out, 3)
        self.downsample = nn.Sequential(nn.AvgPool2d(2, stride=2), nn.Conv2d(c_in, c_out, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Add the two branches; no ReLU follows."""
        shortcut: Tensor = self.downsample(x)
        residual: Tensor = self.conv_b(self.conv_a(x))
        return shortcut + residual


class CellNetwork(nn.Module):
    """A network of a stem, cells and a classifier: the common forward pass."""

    stem: nn.Module
    cells: nn.ModuleList
    lastact: nn.Module
    global_pooling: nn.Module
    classifier: nn.Module

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and logits.

        Parameters
        ----------
        x : Tensor, shape (batch, in_channels, height, width)

        Returns
        -------
        features : Tensor, shape (batch, channels of the last cell)
            After the last batch norm, ReLU and pooling.
        logits : Tensor, shape (batch, num_classes)
        """
        x = self.stem(x)
        for cell in self.cells:
            x = cell(x)
        features: Tensor = self.global_pooling(self.lastact(x)).flatten(1)
        logits: Tensor = self.classifier(features)
        return features, logits


class NASBench201Network(CellNetwork):
    """The inference network of one NAS-Bench-201 architecture [1]_ (``infer.tiny``).

    Stem, N cells at C channels, reduction, N cells at 2C, reduction, N cells at 4C, batch norm and ReLU, global
    average pool, classifier. Use :func:`~hwnas_surrogate.networks.build_network` to make one.

    Parameters
    ----------
    ops : sequence of 6 int
        The op of each edge (1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2).
    config : NASBench201Config
        Widths, depth, classes and input channels. Any input size that suits both reductions is allowed.

    References
    ----------
    .. [1] Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search",
       ICLR 2020, section 2.1.

    Examples
    --------
    >>> network = NASBench201Network([3, 1, 3, 1, 0, 4], NASBench201Config(C=8, N=1, num_classes=7))
    >>> network.classifier
    Linear(in_features=32, out_features=7, bias=True)
    """

    def __init__(self, ops: Sequence[int], config: NASBench201Config) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(config.in_channels, config.C, 3, padding=1, bias=False), nn.BatchNorm2d(config.C)
        )
        cells: list[nn.Module] = []
        for stage in range(3):
            channels = config.C << stage
            if stage:
                cells.append(Reduction(channels // 2, channels))
            cells += [Cell(_edge(op, channels) for op in ops) for _ in range(config.N)]
        self.cells = nn.ModuleList(cells)
        last = config.C << 2
        self.lastact = nn.Sequential(nn.BatchNorm2d(last), nn.ReLU())
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(last, config.num_classes)
