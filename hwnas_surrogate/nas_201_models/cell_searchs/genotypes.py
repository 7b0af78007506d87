"""Cells as structures, under the original's names."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from hwnas_surrogate.networks.arguments import count
from hwnas_surrogate.networks.cells import CELL_ARCHITECTURES as architectures
from hwnas_surrogate.networks.cells import CellStructure as Structure

__all__ = [
    "AllConv1x1_CODE",
    "AllConv3x3_CODE",
    "AllFull_CODE",
    "AllIdentity_CODE",
    "ResNet_CODE",
    "Structure",
    "architectures",
    "get_combination",
]

ResNet_CODE = architectures["resnet"]
AllConv3x3_CODE = architectures["all_c3x3"]
AllFull_CODE = architectures["all_full"]
AllConv1x1_CODE = architectures["all_c1x1"]
AllIdentity_CODE = architectures["all_idnt"]


def get_combination(space: Iterable[str], num: int) -> list[tuple[tuple[str, int], ...]]:
    """Return every choice of an operation for each of ``num`` inputs of a node.

    Parameters
    ----------
    space : iterable of str
        The operations.
    num : int
        The inputs: 0 to ``num - 1``.

    Returns
    -------
    list of tuple of (str, int)
        Operation and input; the last input varies fastest.

    Raises
    ------
    InvalidConfigError
        If ``num`` is no positive integer.

    Examples
    --------
    >>> get_combination(["none", "skip_connect"], 1)
    [(('none', 0),), (('skip_connect', 0),)]
    """
    inputs = count("num", num)
    return [tuple((op, source) for source, op in enumerate(ops)) for ops in itertools.product(space, repeat=inputs)]
