"""Conventions of op numbers: other tools number the same ops and positions in a different order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

__all__ = ["NASBENCH201", "Convention"]


@dataclass(frozen=True, slots=True)
class Convention:
    """An order of a space's ops and positions, which defines the numbers of an op list.

    Parameters
    ----------
    ops : tuple of str
        The space's ops, in the order of their numbers.
    positions : tuple of str
        The space's positions, in the order of an op list.
    """

    ops: tuple[str, ...]
    positions: tuple[str, ...]

    def translate(self, numbers: npt.NDArray[np.int8], to: Convention) -> npt.NDArray[np.int8]:
        """Return the op lists of the same architectures in another convention.

        Parameters
        ----------
        numbers : ndarray of int8, shape (n, positions)
            Op lists in this convention.
        to : Convention
            The other convention, with the same ops and positions.

        Returns
        -------
        ndarray of int8, shape (n, positions)
        """
        if to == self:
            return numbers
        number = np.array([to.ops.index(op) for op in self.ops], np.int8)
        column = [self.positions.index(position) for position in to.positions]
        return number[numbers[:, column]]


NASBENCH201: Mapping[str, Convention] = MappingProxyType(
    {
        # NASLib's naslib/search_spaces/nasbench201/conversions.py: OP_NAMES_NB201 and EDGE_LIST, whose nodes count
        # from 1. NAS-Bench-Suite-Zero's tables have these tuples as keys.
        "naslib": Convention(
            ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3"),
            ("edge10", "edge20", "edge30", "edge21", "edge31", "edge32"),
        ),
    }
)
"""Other tools' conventions for NAS-Bench-201."""
