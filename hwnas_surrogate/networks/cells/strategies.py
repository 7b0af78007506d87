"""Search strategies as super-nets: each is the searchable cell network with a first mode and a few methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

from hwnas_surrogate.networks.arguments import flat_integers
from hwnas_surrogate.networks.cells.controller import Controller
from hwnas_surrogate.networks.cells.generic import GenericCellNetwork
from hwnas_surrogate.networks.cells.search_cell import random_structure
from hwnas_surrogate.networks.cells.searchable import SearchableCellNetwork
from hwnas_surrogate.networks.cells.structure import CellStructure

__all__ = [
    "CELL_SUPER_NETS",
    "DARTSCellNetwork",
    "ENASCellNetwork",
    "GDASCellNetwork",
    "RandomCellNetwork",
    "SETNCellNetwork",
]


class _Parameterised(SearchableCellNetwork):
    """A super-net whose cell is read off its architecture parameters."""

    def genotype(self) -> CellStructure:
        """Return the cell of the most probable operations."""
        return self._best()


class DARTSCellNetwork(_Parameterised):
    """DARTS, first and second order (they differ in how the parameters are trained): all operations, weighted."""

    first_mode: ClassVar[str | None] = "joint"


class GDASCellNetwork(_Parameterised):
    """GDAS: one operation of each edge by Gumbel noise; the temperature is 10 at first."""

    first_mode: ClassVar[str | None] = "gdas"

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
        self.set_tau(10)

    def get_tau(self) -> float | None:
        """Return the temperature."""
        return self._tau


class SETNCellNetwork(_Parameterised):
    """SETN: uniformly random operations for the weights, all operations for the parameters."""

    first_mode: ClassVar[str | None] = "urs"


class ENASCellNetwork(SearchableCellNetwork):
    """ENAS: runs the cell that its controller drew."""

    first_mode: ClassVar[str | None] = "dynamic"
    has_parameters: ClassVar[bool] = False
    modes: ClassVar[tuple[str, ...]] = ("urs", "dynamic")
    choosing: ClassVar[str] = "update_arch(cell)"

    @property
    def sampled_arch(self) -> CellStructure | None:
        """The cell that runs."""
        return self.dynamic_cell

    def update_arch(self, arch: CellStructure | str | Sequence[int] | None) -> CellStructure | None:
        """Set the cell that runs.

        Parameters
        ----------
        arch : CellStructure, str, sequence of int or None
            A sequence has the number of an operation for each edge, as a controller draws them. None leaves the
            network without a cell.

        Returns
        -------
        CellStructure or None

        Raises
        ------
        InvalidArchitectureError
            If it is not a cell of this super-net.
        """
        if arch is None:
            self.dynamic_cell = None
            return None
        numbers = None if isinstance(arch, (CellStructure, str)) else flat_integers(arch)
        self.set_cal_mode("dynamic", arch if numbers is None else self.table.structure(numbers))
        return self.dynamic_cell

    def create_controller(self) -> Controller:
        """Return a new controller for this super-net's cells."""
        return Controller(len(self.table), len(self.op_names))


class RandomCellNetwork(SearchableCellNetwork):
    """Random search with shared parameters: runs a random cell."""

    first_mode: ClassVar[str | None] = "dynamic"
    has_parameters: ClassVar[bool] = False
    modes: ClassVar[tuple[str, ...]] = ("urs", "dynamic")
    choosing: ClassVar[str] = "random_genotype(True)"

    @property
    def arch_cache(self) -> CellStructure | None:
        """The cell that runs."""
        return self.dynamic_cell

    def random_genotype(self, set_cache: bool) -> CellStructure:
        """Draw a cell uniformly, from Python's global generator (``random.seed``).

        Parameters
        ----------
        set_cache : bool
            Let it be the cell that runs.
        """
        drawn = random_structure(self.table)
        if set_cache:
            self.set_cal_mode("dynamic", drawn)
        return drawn


CELL_SUPER_NETS: Mapping[str, type[SearchableCellNetwork]] = MappingProxyType(
    {
        "DARTS-V1": DARTSCellNetwork,
        "DARTS-V2": DARTSCellNetwork,
        "GDAS": GDASCellNetwork,
        "SETN": SETNCellNetwork,
        "ENAS": ENASCellNetwork,
        "RANDOM": RandomCellNetwork,
        "generic": GenericCellNetwork,
    }
)
"""The super-net of each search strategy."""
