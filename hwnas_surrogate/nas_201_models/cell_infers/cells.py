"""Cells of inference networks, under the original's names and with its arguments."""

from __future__ import annotations

from typing import Any

from hwnas_surrogate.errors import InvalidArchitectureError
from hwnas_surrogate.networks.cells import AuxiliaryHead as AuxiliaryHeadCIFAR
from hwnas_surrogate.networks.cells import CellPlace, NASNetCell
from hwnas_surrogate.networks.cells import InferenceCell as InferCell
from hwnas_surrogate.networks.cells.nasnet_layout import checked_genotype

__all__ = ["AuxiliaryHeadCIFAR", "InferCell", "NASNetInferCell"]


class NASNetInferCell(NASNetCell):
    """A cell of a NASNet-style genotype: its normal or its reduction cell.

    Parameters
    ----------
    genotype : mapping
        ``normal``, ``normal_concat``, ``reduce`` and ``reduce_concat``.
    C_prev_prev, C_prev : int
        Channels of the two inputs.
    C : int
        Channels of each node.
    reduction, reduction_prev : bool
        Whether the cell halves the size, and whether the cell before does.
    affine, track_running_stats : bool
        The batch norms'.

    Raises
    ------
    InvalidArchitectureError
        If the genotype is malformed, or has no such cell.
    """

    def __init__(
        self,
        genotype: Any,
        C_prev_prev: int,
        C_prev: int,
        C: int,
        reduction: bool,
        reduction_prev: bool,
        affine: bool,
        track_running_stats: bool,
    ) -> None:
        kind = "reduce" if reduction else "normal"
        cell = checked_genotype(genotype)[kind]
        if cell is None:
            raise InvalidArchitectureError(f"the genotype has no {kind!r} cell; it has {list(genotype)}.")
        place = CellPlace(C_prev_prev, C_prev, C, reduction, reduction_prev)
        super().__init__(*cell, place, affine, track_running_stats)
