"""One super-net for every strategy: the algorithm and the mode are set after it is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.networks.arguments import check_name, fraction, probability
from hwnas_surrogate.networks.cells.choosing import gumbel_one_hot
from hwnas_surrogate.networks.cells.controller import StructureController
from hwnas_surrogate.networks.cells.operations import drop_path
from hwnas_surrogate.networks.cells.searchable import CellRun, SearchableCellNetwork
from hwnas_surrogate.networks.cells.structure import CellStructure

__all__ = ["GenericCellNetwork"]

_ALGORITHMS = ("darts", "darts-v1", "darts-v2", "gdas", "setn", "enas", "random")


class GenericCellNetwork(SearchableCellNetwork):
    """The super-net of NATS-Bench's searches [1]_; parameters as of :class:`SearchableCellNetwork`.

    It runs once :meth:`set_cal_mode` has set a mode. The mode ``"enas"`` runs a new draw of the controller each time.
    It is not captured as a graph: set the drawn cell in the mode ``"dynamic"`` for that.

    References
    ----------
    .. [1] Dong et al., "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size", TPAMI 2021.
    """

    modes: ClassVar[tuple[str, ...]] = ("gdas", "enas", "urs", "joint", "select", "dynamic")
    part_prefix: ClassVar[str] = "_"
    affine_head: ClassVar[bool] = False

    def __init__(
        self,
        C: int,
        N: int,
        max_nodes: int,
        num_classes: int,
        search_space: Sequence[str],
        affine: bool = False,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__(C, N, max_nodes, num_classes, search_space, affine, track_running_stats)
        self._algo: str | None = None
        self._drop_path: float | None = None

    def set_algo(self, algo: str) -> None:
        """Set the search algorithm, once.

        ``"enas"`` adds a :attr:`controller`. The others draw the architecture parameters anew; ``"gdas"`` also sets the
        temperature to 10.

        Parameters
        ----------
        algo : {"darts", "darts-v1", "darts-v2", "gdas", "setn", "enas", "random"}

        Raises
        ------
        InvalidConfigError
            If there is no such algorithm.
        InvalidInputError
            If one is set already.
        """
        check_name("search algorithm", algo, _ALGORITHMS)
        if self._algo is not None:
            raise InvalidInputError(f"the algorithm is set once, and is {self._algo!r} already; got {algo!r}.")
        self._algo = algo
        if algo == "enas":
            self.controller = StructureController(self.table)
            return
        with torch.no_grad():
            parameters = self._parameters_of_edges()
            parameters.copy_(1e-3 * torch.randn(parameters.shape))
        if algo == "gdas":
            self.set_tau(10)

    def set_drop_path(self, progress: float | None, drop_path_rate: float | None) -> None:
        """Set the probability with which a cell's output is dropped for a sample, in training mode.

        Parameters
        ----------
        progress : float or None
            Of the search, in [0, 1]: the rate is multiplied by it.
        drop_path_rate : float or None
            In [0, 1). None switches it off.

        Raises
        ------
        InvalidConfigError
            If one is out of its range.
        """
        if drop_path_rate is None:
            self._drop_path = None
            return
        rate = probability("drop_path_rate", drop_path_rate)
        self._drop_path = rate if progress is None else rate * fraction("progress", progress, zero=True)

    @property
    def mode(self) -> str | None:
        """How cells run."""
        return self._mode

    @property
    def drop_path(self) -> float | None:
        """The probability with which a cell's output is dropped for a sample."""
        return self._drop_path

    @property
    def weights(self) -> list[nn.Parameter]:
        """The parameters of the operations."""
        return self.get_weights()

    @property
    def alphas(self) -> list[nn.Parameter]:
        """The parameters of the architecture: with ``"enas"`` those of the controller."""
        return list(self.controller.parameters()) if self._algo == "enas" else self.get_alphas()

    @property
    def message(self) -> str:
        """A text of the network and its cells."""
        return self.get_message()

    @property
    def genotype(self) -> CellStructure:
        """The cell of the most probable operations."""
        return self._best()

    def normalize_archp(self) -> tuple[Tensor, Tensor, Tensor, str]:
        """Return the weights of each edge's operations as the next forward pass uses them.

        Returns
        -------
        weights : Tensor, shape (edges, operations)
            In the mode ``"gdas"`` a draw of the Gumbel softmax, otherwise the softmax.
        weights_cpu : Tensor, shape (edges, operations)
            The same without gradients, on the CPU.
        index : Tensor of int, shape (edges, 1)
            The operation with the largest weight.
        kind : {"GUMBEL", "SOFTMAX"}
        """
        parameters = self._parameters_of_edges()
        if self._mode == "gdas":
            weights, choices = gumbel_one_hot(parameters, self._temperature())
            index = torch.tensor(choices, device=weights.device).unsqueeze(-1)
            return weights, weights.detach().cpu(), index, "GUMBEL"
        weights = parameters.softmax(dim=-1)
        return weights, weights.detach().cpu(), weights.argmax(dim=-1, keepdim=True), "SOFTMAX"

    def extra_repr(self) -> str:
        """Return the class and its settings."""
        return f"{super().extra_repr()[:-1]}, alg={self._algo})"

    def _run(self) -> CellRun:
        if self._mode != "enas":
            return super()._run()
        if self._algo != "enas":
            raise InvalidInputError("the mode 'enas' needs a controller: call set_algo('enas') first.")
        drawn = self.controller()[2]
        return lambda cell, x: cell.forward_dynamic(x, drawn)

    def _after_cell(self, x: Tensor) -> Tensor:
        return drop_path(x, self._drop_path) if self.training and self._drop_path else x
