"""NASNet-style super-nets: cells of two inputs in which every edge holds every operation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import add
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidConfigError
from hwnas_surrogate.networks.arguments import count, temperature
from hwnas_surrogate.networks.cells import probabilities
from hwnas_surrogate.networks.cells.choosing import gumbel_one_hot
from hwnas_surrogate.networks.cells.inference import cell_lines
from hwnas_surrogate.networks.cells.nasnet_layout import CellPlace, nasnet_places
from hwnas_surrogate.networks.cells.operations import build_operation
from hwnas_surrogate.networks.cells.reductions import GDASReductionCell, preprocessing
from hwnas_surrogate.networks.cells.searchable import checked_ops

__all__ = [
    "NASNET_SUPER_NETS",
    "MixedOp",
    "NASNetDARTSNetwork",
    "NASNetFixedReductionNetwork",
    "NASNetGDASNetwork",
    "NASNetSearchCell",
    "NASNetSuperNetwork",
]

EdgeRun: TypeAlias = Callable[["MixedOp", Tensor, int], Tensor]
"""Runs an edge on a state, given the row of its parameters."""


class MixedOp(nn.Module):
    """An edge that holds every operation.

    Parameters
    ----------
    space : sequence of str
    C, stride : int
    affine, track_running_stats : bool
    """

    def __init__(self, space: Sequence[str], C: int, stride: int, affine: bool, track_running_stats: bool) -> None:
        super().__init__()
        self._ops = nn.ModuleList(build_operation(op, C, C, stride, affine, track_running_stats) for op in space)

    def forward_gdas(self, x: Tensor, weights: Tensor, index: int) -> Tensor:
        """Run one operation, times its weight; the others' weights are added, so that their gradients flow."""
        weight = weights[index : index + 1]
        out: Tensor = self._ops[index](x) * weight
        return out + (weights.sum() - weight)

    def forward_darts(self, x: Tensor, weights: Tensor) -> Tensor:
        """Sum all operations, weighted."""
        terms: list[Tensor] = [op(x) * weights[k : k + 1] for k, op in enumerate(self._ops)]
        return reduce(add, terms)


class NASNetSearchCell(nn.Module):
    """A cell in which every node reads both inputs and all earlier nodes; its last nodes are joined.

    Parameters
    ----------
    space : sequence of str
    steps : int
        Nodes.
    multiplier : int
        How many of the last nodes are joined.
    place : CellPlace
    affine, track_running_stats : bool
    """

    def __init__(
        self,
        space: Sequence[str],
        steps: int,
        multiplier: int,
        place: CellPlace,
        affine: bool = False,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        self.reduction, self._steps, self._multiplier = place.reduction, steps, multiplier
        norm = affine, track_running_stats
        self.preprocess0, self.preprocess1 = preprocessing(
            place.C_prev_prev, place.C_prev, place.C, place.reduction_prev, *norm
        )
        self.edges = nn.ModuleDict(
            {
                f"{node}<-{state}": MixedOp(space, place.C, 2 if place.reduction and state < 2 else 1, *norm)
                for node in range(steps)
                for state in range(node + 2)
            }
        )
        self.rows = {name: row for row, name in enumerate(sorted(self.edges))}

    def run(self, s0: Tensor, s1: Tensor, edge: EdgeRun) -> Tensor:
        """Return the joined nodes; ``edge`` runs each edge."""
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        for node in range(self._steps):
            names = [f"{node}<-{state}" for state in range(node + 2)]
            terms = [edge(self._mixed(name), state, self.rows[name]) for name, state in zip(names, states, strict=True)]
            states.append(reduce(add, terms))
        return torch.cat(states[-self._multiplier :], dim=1)

    def forward_darts(self, s0: Tensor, s1: Tensor, weightss: Tensor) -> Tensor:
        """Run all operations, weighted by ``weightss`` of shape (edges, operations)."""
        return self.run(s0, s1, lambda op, x, row: op.forward_darts(x, weightss[row]))

    def forward_gdas(self, s0: Tensor, s1: Tensor, weightss: Tensor, indexs: Sequence[int] | Tensor) -> Tensor:
        """Run one operation of each edge: ``indexs`` has its number, ``weightss`` is 1 there and 0 elsewhere."""
        index: list[int] = indexs.flatten().tolist() if isinstance(indexs, Tensor) else list(indexs)
        return self.run(s0, s1, lambda op, x, row: op.forward_gdas(x, weightss[row], index[row]))

    def extra_repr(self) -> str:
        """Return the nodes."""
        return f"steps={self._steps}, multiplier={self._multiplier}, reduction={self.reduction}"

    def _mixed(self, name: str) -> MixedOp:
        edge = self.edges[name]
        assert isinstance(edge, MixedOp)
        return edge


class NASNetSuperNetwork(nn.Module, ABC):
    """A super-net of NASNet-style cells [1]_: the base of the strategies.

    Parameters
    ----------
    C : int
        Channels of a node in the first stage.
    N : int
        Cells of each of the three stages.
    steps : int
        Nodes of a cell.
    multiplier : int
        How many of a cell's last nodes are joined.
    stem_multiplier : int
        The stem has ``stem_multiplier * C`` channels.
    num_classes : int
    search_space : sequence of str
        The operations.
    affine, track_running_stats : bool
        The batch norms' of the cells.

    References
    ----------
    .. [1] Liu et al., "DARTS: Differentiable Architecture Search", ICLR 2019, section 3.1.
    """

    fixed_reduction: ClassVar[bool] = False

    def __init__(
        self,
        C: int,
        N: int,
        steps: int,
        multiplier: int,
        stem_multiplier: int,
        num_classes: int,
        search_space: Sequence[str],
        affine: bool = False,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        C, N, steps = count("C", C), count("N", N, most=1000), count("steps", steps, most=50)
        if count("multiplier", multiplier, most=50) > steps:
            raise InvalidConfigError(f"multiplier joins 1..{steps} of {steps} nodes, got {multiplier!r}.")
        self._C, self._layerN, self._steps, self._multiplier = C, N, steps, multiplier
        self.op_names = checked_ops(search_space)
        norm, width = (affine, track_running_stats), C * count("stem_multiplier", stem_multiplier, most=1000)
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        multipliers = {False: multiplier, True: GDASReductionCell.multiplier if self.fixed_reduction else multiplier}
        self.cells = nn.ModuleList(self._cell(place, *norm) for place in nasnet_places(C, N, width, multipliers))
        last = 4 * C * multipliers[N == 1]
        self.lastact = nn.Sequential(nn.BatchNorm2d(last), nn.ReLU())
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(last, count("num_classes", num_classes, most=10**6))
        names = [f"{node}<-{state}" for node in range(steps) for state in range(node + 2)]
        self._rows = {name: row for row, name in enumerate(sorted(names))}
        for name in self._tables().values():
            self.register_parameter(name, nn.Parameter(1e-3 * torch.randn(len(names), len(self.op_names))))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and logits, of shapes (batch, channels) and (batch, num_classes)."""
        runs = {kind: self._edge_run(self._table(kind)) for kind in self._tables()}
        s0 = s1 = self.stem(x)
        for cell in self.cells:
            if isinstance(cell, NASNetSearchCell):
                s0, s1 = s1, cell.run(s0, s1, runs["reduce" if cell.reduction else "normal"])
            else:
                s0, s1 = s1, cell(s0, s1)
        features: Tensor = self.global_pooling(self.lastact(s1)).flatten(1)
        logits: Tensor = self.classifier(features)
        return features, logits

    def genotype(self) -> dict[str, Any]:
        """Return the two best operations of each node.

        Returns
        -------
        dict
            ``normal`` and ``reduce``: for each node two (operation, state, weight), best first. They may read the same
            state; ``none`` is never among them. ``normal_concat`` and ``reduce_concat``: the joined states. Without
            ``reduce`` if the reduction cells are fixed.
        """
        found: dict[str, Any] = {}
        for kind in self._tables():
            found[kind] = self._best_nodes(self._table(kind).detach().softmax(dim=-1).cpu())
            found[f"{kind}_concat"] = list(range(2 + self._steps - self._multiplier, self._steps + 2))
        return found

    def get_weights(self) -> list[nn.Parameter]:
        """Return the parameters of the operations: all but those of the architecture."""
        parts = (self.stem, self.cells, self.lastact, self.classifier)
        return [parameter for part in parts for parameter in part.parameters()]

    def get_alphas(self) -> list[nn.Parameter]:
        """Return the parameters of the architecture, one table for each kind of cell that is searched."""
        return [self._table(kind) for kind in self._tables()]

    def show_alphas(self) -> str:
        """Return a text of the probabilities of each edge's operations."""
        return "\n".join(probabilities.shown(f"arch-{kind}-parameters", self._table(kind)) for kind in self._tables())

    def get_message(self) -> str:
        """Return a text of the network and its cells."""
        return self.extra_repr() + cell_lines(self.cells)

    def extra_repr(self) -> str:
        """Return the class and its settings."""
        settings = f"C={self._C}, N={self._layerN}, steps={self._steps}, multiplier={self._multiplier}"
        return f"{type(self).__name__}({settings}, L={len(self.cells)})"

    def _cell(self, place: CellPlace, affine: bool, track_running_stats: bool) -> nn.Module:
        if place.reduction and self.fixed_reduction:
            return GDASReductionCell(
                place.C_prev_prev, place.C_prev, place.C, place.reduction_prev, affine, track_running_stats
            )
        return NASNetSearchCell(self.op_names, self._steps, self._multiplier, place, affine, track_running_stats)

    def _tables(self) -> dict[str, str]:
        """Return the attribute that holds the parameters of each kind of cell."""
        if self.fixed_reduction:
            return {"normal": "arch_parameters"}
        return {"normal": "arch_normal_parameters", "reduce": "arch_reduce_parameters"}

    def _table(self, kind: str) -> nn.Parameter:
        return self.get_parameter(self._tables()[kind])

    @abstractmethod
    def _edge_run(self, parameters: nn.Parameter) -> EdgeRun:
        """Return how edges run in this forward pass, given the parameters of their kind of cell."""

    def _best_nodes(self, weights: Tensor) -> list[tuple[tuple[str, int, float], ...]]:
        nodes = []
        for node in range(self._steps):
            edges = [
                (op, state, float(weights[self._rows[f"{node}<-{state}"], k]))
                for state in range(node + 2)
                for k, op in enumerate(self.op_names)
                if op != "none"
            ]
            nodes.append(tuple(sorted(edges, key=lambda edge: -edge[2])[:2]))
        return nodes


class NASNetDARTSNetwork(NASNetSuperNetwork):
    """DARTS: all operations of each edge, weighted."""

    def _edge_run(self, parameters: nn.Parameter) -> EdgeRun:
        weights = parameters.softmax(dim=-1)
        return lambda edge, x, row: edge.forward_darts(x, weights[row])


class NASNetGDASNetwork(NASNetSuperNetwork):
    """GDAS: one operation of each edge by Gumbel noise, in eval mode too; the temperature is 10 at first.

    While the network is captured as a graph, the most probable operations run.
    """

    tau: float = 10

    def set_tau(self, tau: float) -> None:
        """Set the temperature of the Gumbel softmax.

        Raises
        ------
        InvalidConfigError
            If it is not positive.
        """
        self.tau = temperature("tau", tau)

    def get_tau(self) -> float:
        """Return the temperature."""
        return self.tau

    def _edge_run(self, parameters: nn.Parameter) -> EdgeRun:
        weights, index = gumbel_one_hot(parameters, self.tau)
        return lambda edge, x, row: edge.forward_gdas(x, weights[row], index[row])


class NASNetFixedReductionNetwork(NASNetGDASNetwork):
    """GDAS with a fixed reduction cell (``GDAS_FRC``): only normal cells are searched."""

    fixed_reduction: ClassVar[bool] = True


NASNET_SUPER_NETS: Mapping[str, type[NASNetSuperNetwork]] = MappingProxyType(
    {"GDAS": NASNetGDASNetwork, "GDAS_FRC": NASNetFixedReductionNetwork, "DARTS": NASNetDARTSNetwork}
)
"""The NASNet-style super-net of each search strategy."""
