"""Inference networks of a cell: repeated at given widths, or with a number of channels for each layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidConfigError
from hwnas_surrogate.networks.arguments import count, flat_integers
from hwnas_surrogate.networks.cells.operations import build_operation
from hwnas_surrogate.networks.cells.reductions import ResidualBlock
from hwnas_surrogate.networks.cells.structure import CellStructure, as_structure

__all__ = [
    "CellNetwork",
    "InferenceCell",
    "SizedCellNetwork",
    "StructureNetwork",
    "as_channels",
    "cell_lines",
    "three_stages",
]


class InferenceCell(nn.Module):
    """A cell of one structure: every node is the sum of its edges, the last one is the output.

    Parameters
    ----------
    genotype : CellStructure, str or nested lists
    C_in, C_out : int
        Edges from the input change the channels, the others keep them.
    stride : int
        Of the edges from the input.
    affine, track_running_stats : bool, default=True
        The batch norms'.

    Raises
    ------
    InvalidArchitectureError
        If the structure is malformed, or has an unknown operation.
    """

    def __init__(
        self,
        genotype: CellStructure | str | Sequence[Any],
        C_in: int,
        C_out: int,
        stride: int,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        genotype = as_structure(genotype)
        self.genotype, self.in_dim, self.out_dim = genotype, C_in, C_out
        norm = affine, track_running_stats
        self.layers = nn.ModuleList(
            build_operation(op, C_out, C_out, 1, *norm) if source else build_operation(op, C_in, C_out, stride, *norm)
            for edges in genotype.nodes
            for op, source in edges
        )

    def forward(self, x: Tensor) -> Tensor:
        """Run every edge, in the order of the structure."""
        nodes, layers = [x], iter(self.layers)
        for (_, first), *others in self.genotype.nodes:
            node = next(layers)(nodes[first])
            for _, source in others:
                node = node + next(layers)(nodes[source])
            nodes.append(node)
        return nodes[-1]

    def extra_repr(self) -> str:
        """Return channels and structure."""
        return f"inC={self.in_dim}, outC={self.out_dim}, {self.genotype.tostr()}"


def three_stages(C: int, N: int, make_cell: Callable[[int], nn.Module]) -> nn.ModuleList:
    """Return N cells at C channels, a residual block that halves the size, N at 2C, another block, N at 4C."""
    cells: list[nn.Module] = []
    for stage in range(3):
        channels = C << stage
        if stage:
            cells.append(ResidualBlock(channels // 2, channels, 2))
        cells += [make_cell(channels) for _ in range(N)]
    return nn.ModuleList(cells)


def cell_lines(cells: Sequence[nn.Module] | nn.ModuleList) -> str:
    """Return one line for each cell: its number and what it is."""
    total = len(cells)
    lines = [f"\n {number:02d}/{total:02d} :: {cell.extra_repr()}" for number, cell in enumerate(cells)]
    return "".join(lines)


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


class StructureNetwork(CellNetwork):
    """The inference network of one cell structure (``infer.tiny``), as in NAS-Bench-201 [1]_ but of any structure.

    Parameters
    ----------
    C : int
        Channels of the first stage.
    N : int
        Cells of each of the three stages.
    genotype : CellStructure, str or nested lists
    num_classes : int
    in_channels : int, default=3
        Channels of the input.

    References
    ----------
    .. [1] Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search",
       ICLR 2020, section 2.1.

    Examples
    --------
    >>> import torch
    >>> network = StructureNetwork(4, 1, "|nor_conv_3x3~0|+|skip_connect~0|avg_pool_3x3~1|", 10)
    >>> features, logits = network(torch.zeros(2, 3, 8, 8))
    >>> features.shape, logits.shape
    (torch.Size([2, 16]), torch.Size([2, 10]))
    """

    def __init__(self, C: int, N: int, genotype: Any, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        self.genotype = as_structure(genotype)
        self._C, self._layerN = C, N = count("C", C), count("N", N, most=1000)
        self.stem = nn.Sequential(nn.Conv2d(in_channels, C, 3, padding=1, bias=False), nn.BatchNorm2d(C))
        self.cells = three_stages(C, N, lambda width: InferenceCell(self.genotype, width, width, 1))
        self.lastact = nn.Sequential(nn.BatchNorm2d(4 * C), nn.ReLU())
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(4 * C, count("num_classes", num_classes, most=10**6))

    def get_message(self) -> str:
        """Return a text of the network and its cells."""
        return self.extra_repr() + cell_lines(self.cells)

    def extra_repr(self) -> str:
        """Return the class and its settings."""
        return f"{type(self).__name__}(C={self._C}, N={self._layerN}, L={len(self.cells)})"


class SizedCellNetwork(CellNetwork):
    """The inference network of NATS-Bench's size space [1]_ (``infer.shape.tiny``), with any cell and any channels.

    Parameters
    ----------
    channels : str or sequence of int
        Channels of each layer, such as ``"8:16:24:32:40"``; 3 k + 2 of them. Layers k and 2 k + 1 halve the size.
    genotype : CellStructure, str or nested lists
        The cell of the other layers.
    num_classes : int
    in_channels : int, default=3
        Channels of the input.

    Raises
    ------
    InvalidConfigError
        If the channels are not 3 k + 2 positive integers.

    References
    ----------
    .. [1] Dong et al., "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size", TPAMI 2021,
       section 3.2.

    Examples
    --------
    >>> network = SizedCellNetwork("4:4:8:8:12", "|nor_conv_3x3~0|+|skip_connect~0|none~1|", 10)
    >>> network.classifier
    Linear(in_features=12, out_features=10, bias=True)
    """

    def __init__(self, channels: str | Sequence[int], genotype: Any, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        self.channels = as_channels(channels)
        structure = as_structure(genotype)
        first, last = self.channels[0], self.channels[-1]
        k = len(self.channels) // 3
        self._num_stage = k
        self.stem = nn.Sequential(nn.Conv2d(in_channels, first, 3, padding=1, bias=False), nn.BatchNorm2d(first))
        self.cells = nn.ModuleList(
            ResidualBlock(c_in, c_out, 2) if layer in (k, 2 * k + 1) else InferenceCell(structure, c_in, c_out, 1)
            for layer, (c_in, c_out) in enumerate(zip((first, *self.channels), self.channels, strict=False))
        )
        self.lastact = nn.Sequential(nn.BatchNorm2d(last), nn.ReLU())
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(last, count("num_classes", num_classes, most=10**6))

    def get_message(self) -> str:
        """Return a text of the network and its cells."""
        return self.extra_repr() + cell_lines(self.cells)

    def extra_repr(self) -> str:
        """Return the class and its settings."""
        return f"{type(self).__name__}(C={self.channels}, N={self._num_stage}, L={len(self.cells)})"


def as_channels(channels: object) -> tuple[int, ...]:
    """Return the channels of a size-space network.

    Raises
    ------
    InvalidConfigError
        If they are not 3 k + 2 positive integers, in a sequence or joined by ':'.
    """
    form = "3 k + 2 positive integers, such as '8:16:24:32:40'"
    parts: list[int] | None
    if isinstance(channels, str):
        texts = [part.strip() for part in channels.split(":")]
        right = all(text.isascii() and text.isdecimal() and len(text) < 6 for text in texts)
        parts = list(map(int, texts)) if right else None
    else:
        parts = flat_integers(channels)
    if parts is None or min(parts) < 1 or max(parts) > 20_000:
        raise InvalidConfigError(f"channels are {form}, got {channels!r:.80}.")
    if len(parts) % 3 != 2 or len(parts) > 1000:
        raise InvalidConfigError(f"channels are {form}: 2, 5, 8, ... layers; got {len(parts)} in {channels!r:.80}.")
    return tuple(parts)
