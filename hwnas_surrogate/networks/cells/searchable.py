"""The searchable cell network: one stack of search cells, and the modes in which it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidConfigError, InvalidInputError
from hwnas_surrogate.networks.arguments import check_name, count, temperature
from hwnas_surrogate.networks.cells import probabilities
from hwnas_surrogate.networks.cells.choosing import gumbel_one_hot
from hwnas_surrogate.networks.cells.inference import cell_lines, three_stages
from hwnas_surrogate.networks.cells.operations import check_operation
from hwnas_surrogate.networks.cells.search_cell import EdgeTable, SearchCell, random_structure
from hwnas_surrogate.networks.cells.structure import CellStructure, as_structure

__all__ = ["CellRun", "SearchableCellNetwork", "checked_ops"]

CellRun: TypeAlias = Callable[[SearchCell, Tensor], Tensor]


def checked_ops(search_space: Sequence[str] | npt.NDArray[np.str_]) -> list[str]:
    """Return the operations of a search space.

    Raises
    ------
    InvalidConfigError
        If it is not a list of different names of operations.
    """
    if isinstance(search_space, np.ndarray):
        search_space = search_space.tolist()
    if isinstance(search_space, str) or not isinstance(search_space, Sequence) or not search_space:
        raise InvalidConfigError(f"a search space is a list of operations' names, got {search_space!r:.80}.")
    for op in search_space:
        check_operation(op, InvalidConfigError)
    if len(set(search_space)) != len(search_space):
        raise InvalidConfigError(f"a search space names each operation once, got {list(search_space)}.")
    return list(search_space)


class SearchableCellNetwork(nn.Module):
    """A super-net of cells in which every edge holds every operation: the base of all strategies.

    The stem, three stages of N cells at C, 2C and 4C channels with residual blocks between them, and the classifier are
    those of the inference network. The *mode* decides how cells run:

    - ``"joint"``: all operations, weighted by the softmax of the parameters (DARTS [1]_)
    - ``"gdas"``: one operation of each edge, by Gumbel noise, with the gradient of the softmax; the noise is drawn in
      eval mode too (GDAS [2]_)
    - ``"urs"``: one operation of each edge of each cell, uniformly at random (SETN [3]_)
    - ``"select"``: the most probable operation of each edge
    - ``"dynamic"``: a given cell

    In each mode the network is captured as a graph; where noise decides, as the most probable path.

    Parameters
    ----------
    C : int
        Channels of the first stage.
    N : int
        Cells of each stage.
    max_nodes : int
        Nodes of a cell, with its input.
    num_classes : int
    search_space : sequence of str
        The operations.
    affine : bool, default=False
    track_running_stats : bool, default=True
        The batch norms' of the cells.

    Raises
    ------
    InvalidConfigError
        If the search space is not a list of operations.

    References
    ----------
    .. [1] Liu et al., "DARTS: Differentiable Architecture Search", ICLR 2019, section 2.2.
    .. [2] Dong and Yang, "Searching for a Robust Neural Architecture in Four GPU Hours", CVPR 2019, section 3.1.
    .. [3] Dong and Yang, "One-Shot Neural Architecture Search via Self-Evaluated Template Network", ICCV 2019.
    """

    modes: ClassVar[tuple[str, ...]] = ("urs", "joint", "select", "dynamic", "gdas")
    first_mode: ClassVar[str | None] = None
    has_parameters: ClassVar[bool] = True
    choosing: ClassVar[str] = "set_cal_mode('dynamic', cell)"
    """What chooses the cell to run, for messages."""
    part_prefix: ClassVar[str] = ""
    """What the names of stem and cells start with in the state."""
    affine_head: ClassVar[bool] = True
    """Whether the last batch norm has weights and statistics, whatever the cells' have."""

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
        super().__init__()
        self._C, self._layerN = count("C", C), count("N", N, most=1000)
        self.max_nodes = count("max_nodes", max_nodes, most=50, least=2)
        self.op_names = checked_ops(search_space)
        self.table = EdgeTable(self.max_nodes, self.op_names)
        norm = affine, track_running_stats
        self._stack(count("num_classes", num_classes, most=10**6), *norm)
        parameters = nn.Parameter(1e-3 * torch.randn(len(self.table), len(self.op_names)))
        self.register_parameter("arch_parameters", parameters if self.has_parameters else None)
        self._mode = self.first_mode
        self.dynamic_cell: CellStructure | None = None
        self._tau: float | None = None

    def _stack(self, num_classes: int, affine: bool, track_running_stats: bool) -> None:
        """Build stem, cells and head; their order is that of the published state."""
        C, N = self._C, self._layerN
        stem = nn.Sequential(nn.Conv2d(3, C, 3, padding=1, bias=False), nn.BatchNorm2d(C))
        cells = three_stages(
            C,
            N,
            lambda width: SearchCell(width, width, 1, self.max_nodes, self.op_names, affine, track_running_stats),
        )
        norm = (True, True) if self.affine_head else (affine, track_running_stats)
        self.add_module(f"{self.part_prefix}stem", stem)
        self.add_module(f"{self.part_prefix}cells", cells)
        self.lastact = nn.Sequential(nn.BatchNorm2d(4 * C, affine=norm[0], track_running_stats=norm[1]), nn.ReLU())
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(4 * C, num_classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and logits.

        Parameters
        ----------
        x : Tensor, shape (batch, 3, height, width)

        Returns
        -------
        features : Tensor, shape (batch, 4C)
        logits : Tensor, shape (batch, num_classes)

        Raises
        ------
        InvalidInputError
            If the mode is not set, or lacks what it needs: a cell, parameters or a temperature.
        """
        run = self._run()
        x = self._part("stem")(x)
        for cell in self._cell_list():
            x = self._after_cell(run(cell, x) if isinstance(cell, SearchCell) else cell(x))
        features: Tensor = self.global_pooling(self.lastact(x)).flatten(1)
        logits: Tensor = self.classifier(features)
        return features, logits

    @property
    def num_edge(self) -> int:
        """The number of a cell's edges."""
        return len(self.table)

    @property
    def edge2index(self) -> dict[str, int]:
        """The row of the parameters of each edge, by its name such as ``"2<-1"``."""
        return dict(self.table.rows)

    def set_cal_mode(self, mode: str, dynamic_cell: CellStructure | str | Sequence[Any] | None = None) -> None:
        """Choose how cells run.

        Parameters
        ----------
        mode : str
            One of :attr:`modes`.
        dynamic_cell : CellStructure, str or nested lists, optional
            The cell to run; required by the mode ``"dynamic"``, and not allowed by the others.

        Raises
        ------
        InvalidConfigError
            If there is no such mode.
        InvalidInputError
            If the cell is missing or superfluous.
        InvalidArchitectureError
            If the cell is not one of this super-net.
        """
        check_name("mode of this super-net", mode, self.modes)
        if mode != "dynamic" and dynamic_cell is not None:
            raise InvalidInputError(f"only the mode 'dynamic' takes a cell; the mode is {mode!r}.")
        if mode == "dynamic":
            if dynamic_cell is None:
                raise InvalidInputError("the mode 'dynamic' needs a cell: set_cal_mode('dynamic', cell).")
            self.dynamic_cell = self._checked(dynamic_cell)
        else:
            self.dynamic_cell = None
        self._mode = mode

    def get_cal_mode(self) -> str | None:
        """Return the mode."""
        return self._mode

    def set_tau(self, tau: float) -> None:
        """Set the temperature of the Gumbel softmax.

        Raises
        ------
        InvalidConfigError
            If it is not positive.
        """
        self._tau = temperature("tau", tau)

    @property
    def tau(self) -> float | None:
        """The temperature of the Gumbel softmax."""
        return self._tau

    def get_weights(self) -> list[nn.Parameter]:
        """Return the parameters of the operations: all but those of the architecture."""
        parts = (self._part("stem"), self._part("cells"), self.lastact, self.classifier)
        return [parameter for part in parts for parameter in part.parameters()]

    def get_alphas(self) -> list[nn.Parameter]:
        """Return the parameters of the architecture."""
        return [self._parameters_of_edges()]

    def show_alphas(self) -> str:
        """Return a text of the probabilities of each edge's operations."""
        return probabilities.shown("arch-parameters", self._parameters_of_edges())

    def dync_genotype(self, use_random: bool = False) -> CellStructure:
        """Draw a cell, by the probabilities or uniformly.

        Parameters
        ----------
        use_random : bool, default=False
            Draw uniformly, from Python's global generator; otherwise PyTorch's draws.
        """
        return random_structure(self.table) if use_random else self._drawn()

    def get_log_prob(self, arch: CellStructure | str) -> float:
        """Return the logarithm of the probability that a cell is drawn."""
        return probabilities.log_probability(self.table, self._parameters_of_edges(), self._checked(arch))

    def return_topK(self, K: int, use_random: bool = False) -> list[CellStructure]:
        """Return the K most probable cells, best first; all of them if K is negative or too large.

        Parameters
        ----------
        K : int
        use_random : bool, default=False
            Draw K different cells uniformly instead, from Python's global generator.
        """
        return probabilities.top_structures(self.table, self._parameters_of_edges(), K, use_random)

    def get_message(self) -> str:
        """Return a text of the network and its cells."""
        return self.extra_repr() + cell_lines(self._cell_list())

    def extra_repr(self) -> str:
        """Return the class and its settings."""
        settings = f"C={self._C}, Max-Nodes={self.max_nodes}, N={self._layerN}, L={len(self._cell_list())}"
        return f"{type(self).__name__}({settings})"

    def _run(self) -> CellRun:
        """Return how the search cells run in this forward pass."""
        match self._mode:
            case "joint":
                weights = self._parameters_of_edges().softmax(dim=-1)
                return lambda cell, x: cell.forward_joint(x, weights)
            case "gdas":
                one_hot, choices = gumbel_one_hot(self._parameters_of_edges(), self._temperature())
                return lambda cell, x: cell.forward_gdas(x, one_hot, choices)
            case "urs":
                return SearchCell.forward_urs
            case "select":
                best = self._best()
                return lambda cell, x: cell.forward_dynamic(x, best)
            case "dynamic" if self.dynamic_cell is not None:
                given = self.dynamic_cell
                return lambda cell, x: cell.forward_dynamic(x, given)
            case "dynamic":
                raise InvalidInputError(f"this super-net has no cell to run yet: call {self.choosing} first.")
        raise InvalidInputError(
            f"this super-net has no mode yet. Call set_cal_mode first: {', '.join(map(repr, self.modes))}."
        )

    def _after_cell(self, x: Tensor) -> Tensor:
        return x

    def _part(self, name: str) -> nn.Module:
        return self.get_submodule(f"{self.part_prefix}{name}")

    def _cell_list(self) -> nn.ModuleList:
        cells = self._part("cells")
        assert isinstance(cells, nn.ModuleList)
        return cells

    def _parameters_of_edges(self) -> nn.Parameter:
        parameters = self.arch_parameters
        if parameters is None:
            raise InvalidInputError(f"{type(self).__name__} has no architecture parameters.")
        assert isinstance(parameters, nn.Parameter)
        return parameters

    def _checked(self, cell: object) -> CellStructure:
        structure = as_structure(cell)
        self.table.check(structure)
        return structure

    def _temperature(self) -> float:
        if self._tau is None:
            raise InvalidInputError("the mode 'gdas' needs a temperature: call set_tau first.")
        return self._tau

    def _best(self) -> CellStructure:
        return probabilities.best_structure(self.table, self._parameters_of_edges())

    def _drawn(self) -> CellStructure:
        return probabilities.drawn_structure(self.table, self._parameters_of_edges())
