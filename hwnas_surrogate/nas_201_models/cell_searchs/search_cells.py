"""Cells that hold every operation on each edge, under the original's names and with its arguments."""

from __future__ import annotations

from collections.abc import Sequence

from hwnas_surrogate.networks.cells import CellPlace, MixedOp
from hwnas_surrogate.networks.cells import NASNetSearchCell as _NASNetSearchCell
from hwnas_surrogate.networks.cells import SearchCell as NAS201SearchCell

__all__ = ["MixedOp", "NAS201SearchCell", "NASNetSearchCell"]


class NASNetSearchCell(_NASNetSearchCell):
    """A searchable NASNet-style cell.

    Parameters
    ----------
    space : sequence of str
        The operations.
    steps : int
        Nodes.
    multiplier : int
        How many of the last nodes are joined.
    C_prev_prev, C_prev : int
        Channels of the two inputs.
    C : int
        Channels of each node.
    reduction, reduction_prev : bool
        Whether the cell halves the size, and whether the cell before does.
    affine, track_running_stats : bool
        The batch norms'.
    """

    def __init__(
        self,
        space: Sequence[str],
        steps: int,
        multiplier: int,
        C_prev_prev: int,
        C_prev: int,
        C: int,
        reduction: bool,
        reduction_prev: bool,
        affine: bool,
        track_running_stats: bool,
    ) -> None:
        place = CellPlace(C_prev_prev, C_prev, C, reduction, reduction_prev)
        super().__init__(space, steps, multiplier, place, affine, track_running_stats)
