"""The NASNet-style inference network of one genotype on CIFAR, with an auxiliary head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.networks.arguments import count, probability
from hwnas_surrogate.networks.cells.inference import cell_lines
from hwnas_surrogate.networks.cells.nasnet_layout import CellPlace, NASNetNode, checked_genotype, nasnet_places
from hwnas_surrogate.networks.cells.operations import build_operation, drop_path
from hwnas_surrogate.networks.cells.reductions import GDASReductionCell, preprocessing

__all__ = ["AuxiliaryHead", "NASNetCell", "NASNetOnCIFAR"]


class NASNetCell(nn.Module):
    """A cell of two inputs: every node sums operations on earlier states, the joined nodes are the output.

    As in published checkpoints, a node's edges are named by what they read: if two operations of a node read the same
    state, the later one replaces the earlier one, and is added twice.

    Parameters
    ----------
    nodes : sequence
        For each node its (operation, state); 0 and 1 are the inputs.
    concat : sequence of int
        The states that are joined.
    place : CellPlace
    affine, track_running_stats : bool, default=True
        The batch norms'.
    """

    def __init__(
        self,
        nodes: Sequence[NASNetNode],
        concat: Sequence[int],
        place: CellPlace,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        self.reduction, self.multiplier = place.reduction, len(concat)
        self.nodes, self.concat = list(nodes), list(concat)
        norm = affine, track_running_stats
        self.preprocess0, self.preprocess1 = preprocessing(
            place.C_prev_prev, place.C_prev, place.C, place.reduction_prev, *norm
        )
        self.edges = nn.ModuleDict()
        for number, edges in enumerate(self.nodes, start=2):
            for op, source in edges:
                stride = 2 if place.reduction and source < 2 else 1
                self.edges[f"{number}<-{source}"] = build_operation(op, place.C, place.C, stride, *norm)

    def forward(self, s0: Tensor, s1: Tensor, drop_prob: float = -1.0) -> Tensor:
        """Return the joined nodes.

        Parameters
        ----------
        s0, s1 : Tensor, shape (batch, channels, height, width)
            The outputs of the last cell but one, and of the last.
        drop_prob : float, default=-1.0
            With this probability an operation other than the identity is dropped for a sample, in training mode.
        """
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        for number, edges in enumerate(self.nodes, start=2):
            first, *others = [self._edge(number, source, states, drop_prob) for _, source in edges]
            states.append(sum(others, start=first))
        return torch.cat([states[state] for state in self.concat], dim=1)

    def _edge(self, number: int, source: int, states: list[Tensor], drop_prob: float) -> Tensor:
        op = self.edges[f"{number}<-{source}"]
        out: Tensor = op(states[source])
        return drop_path(out, drop_prob) if self.training and not isinstance(op, nn.Identity) else out

    def extra_repr(self) -> str:
        """Return the nodes."""
        return f"steps={len(self.nodes)}, concat={self.concat}, reduction={self.reduction}"


class AuxiliaryHead(nn.Module):
    """A classifier of an 8x8 map, whose loss helps training.

    Parameters
    ----------
    C : int
        Channels of the map.
    num_classes : int
    """

    def __init__(self, C: int, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.ReLU(),
            nn.AvgPool2d(5, stride=3, padding=0, count_include_pad=False),
            nn.Conv2d(C, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.BatchNorm2d(768),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits, shape (batch, num_classes), for a map of 8x8 pixels.

        Raises
        ------
        InvalidInputError
            If the map has another size.
        """
        if not all(8 <= size <= 10 for size in x.shape[2:]):
            raise InvalidInputError(
                "the auxiliary head takes maps of 8x8 pixels, those of images of 32x32 after two reductions; "
                f"got a map of {x.shape[2]}x{x.shape[3]}."
            )
        logits: Tensor = self.classifier(self.features(x).flatten(1))
        return logits


class NASNetOnCIFAR(nn.Module):
    """The inference network of a NASNet-style genotype [1]_: 3 N cells, of which two halve the size.

    Parameters
    ----------
    C : int
        Channels of a node in the first stage.
    N : int
        Cells of each stage.
    stem_multiplier : int
        The stem has ``stem_multiplier * C`` channels.
    num_classes : int
    genotype : mapping
        See :func:`~hwnas_surrogate.networks.cells.nasnet_layout.checked_genotype`.
    auxiliary : bool
        Whether a second classifier follows the second reduction. It takes images of 32x32 pixels.
    affine, track_running_stats : bool, default=True
        The batch norms' of the cells.

    Raises
    ------
    InvalidArchitectureError
        If the genotype is not one of NASNet-style cells.

    References
    ----------
    .. [1] Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition", CVPR 2018.

    Examples
    --------
    >>> cell = [[("skip_connect", 0), ("nor_conv_1x1", 1)]]
    >>> genotype = {"normal": cell, "normal_concat": [2], "reduce": cell, "reduce_concat": [2]}
    >>> features, logits = NASNetOnCIFAR(4, 1, 3, 10, genotype, False)(torch.zeros(2, 3, 8, 8))
    >>> features.shape, logits.shape
    (torch.Size([2, 16]), torch.Size([2, 10]))
    """

    def __init__(
        self,
        C: int,
        N: int,
        stem_multiplier: int,
        num_classes: int,
        genotype: Any,
        auxiliary: bool,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        self._C, self._layerN = C, N = count("C", C), count("N", N, most=1000)
        num_classes = count("num_classes", num_classes, most=10**6)
        normal, fixed = checked_genotype(genotype)["normal"], checked_genotype(genotype)["reduce"]
        assert normal is not None
        norm, width = (affine, track_running_stats), C * count("stem_multiplier", stem_multiplier, most=1000)
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        multipliers = {False: len(normal[1]), True: len(fixed[1]) if fixed else GDASReductionCell.multiplier}
        self.cells = nn.ModuleList()
        for place in nasnet_places(C, N, width, multipliers):
            cell = fixed if place.reduction else normal
            self.cells.append(_fixed_reduction(place, *norm) if cell is None else NASNetCell(*cell, place, *norm))
        self.auxiliary_index = 2 * N
        last = 4 * C
        reduced = last * multipliers[True]
        self.auxiliary_head = AuxiliaryHead(reduced, num_classes) if auxiliary else None
        last *= multipliers[N == 1]
        self.lastact = nn.Sequential(nn.BatchNorm2d(last), nn.ReLU())
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(last, num_classes)
        self.drop_path_prob = -1.0

    def update_drop_path(self, drop_path_prob: float) -> None:
        """Set the probability with which an operation is dropped for a sample, in training mode.

        Raises
        ------
        InvalidConfigError
            If it is not a number below 1.
        """
        self.drop_path_prob = probability("the probability to drop a path", drop_path_prob, least=-math.inf)

    def auxiliary_param(self) -> list[nn.Parameter]:
        """Return the parameters of the auxiliary head; none without one."""
        return [] if self.auxiliary_head is None else list(self.auxiliary_head.parameters())

    def get_message(self) -> str:
        """Return a text of the network and its cells."""
        return self.extra_repr() + cell_lines(self.cells)

    def extra_repr(self) -> str:
        """Return the class and its settings."""
        return f"{type(self).__name__}(C={self._C}, N={self._layerN}, L={len(self.cells)})"

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | list[Tensor]]:
        """Return features and logits.

        Parameters
        ----------
        x : Tensor, shape (batch, 3, height, width)

        Returns
        -------
        features : Tensor, shape (batch, channels)
        logits : Tensor, shape (batch, num_classes), or list of two such
            In training mode with an auxiliary head: its logits are the second.
        """
        s0 = s1 = self.stem(x)
        extra: Tensor | None = None
        for index, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1, self.drop_path_prob)
            if self.training and self.auxiliary_head is not None and index == self.auxiliary_index:
                extra = self.auxiliary_head(s1)
        features: Tensor = self.global_pooling(self.lastact(s1)).flatten(1)
        logits: Tensor = self.classifier(features)
        return features, logits if extra is None else [logits, extra]


def _fixed_reduction(place: CellPlace, affine: bool, track_running_stats: bool) -> GDASReductionCell:
    return GDASReductionCell(
        place.C_prev_prev, place.C_prev, place.C, place.reduction_prev, affine, track_running_stats
    )
