"""The published search spaces of cell networks: lists of operations, and of channels."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from hwnas_surrogate.networks.arguments import check_name

__all__ = ["CELL_SPACES", "cell_search_spaces"]

_NAS_BENCH_201 = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")

CELL_SPACES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "connect-nas": ("none", "skip_connect", "nor_conv_3x3"),
        "nats-bench": _NAS_BENCH_201,
        "nas-bench-201": _NAS_BENCH_201,
        "darts": (
            "none",
            "skip_connect",
            "dua_sepc_3x3",
            "dua_sepc_5x5",
            "dil_sepc_3x3",
            "dil_sepc_5x5",
            "avg_pool_3x3",
            "max_pool_3x3",
        ),
    }
)
"""The operations of each search space of cells."""

_SIZES = ("nats-bench", "nats-bench-size")


def cell_search_spaces(xtype: str, name: str) -> list[str] | dict[str, Any]:
    """Return a published search space.

    Parameters
    ----------
    xtype : {"cell", "tss", "sss"}
        ``"cell"`` and ``"tss"`` are spaces of operations, ``"sss"`` is the space of channels.
    name : str
        ``"connect-nas"``, ``"nats-bench"``, ``"nas-bench-201"`` or ``"darts"``; of channels, ``"nats-bench"`` or
        ``"nats-bench-size"``.

    Returns
    -------
    list of str, or dict
        New each time. Of channels, ``candidates`` and ``numbers`` (of layers).

    Raises
    ------
    InvalidConfigError
        If there is no such type or name.

    Examples
    --------
    >>> cell_search_spaces("cell", "connect-nas")
    ['none', 'skip_connect', 'nor_conv_3x3']
    >>> cell_search_spaces("sss", "nats-bench")
    {'candidates': [8, 16, 24, 32, 40, 48, 56, 64], 'numbers': 5}
    """
    check_name("type of search space", xtype, ("cell", "tss", "sss"))
    if xtype == "sss":
        check_name("search space of sizes", name, _SIZES)
        return {"candidates": list(range(8, 65, 8)), "numbers": 5}
    check_name("search space of cells", name, CELL_SPACES)
    return list(CELL_SPACES[name])
