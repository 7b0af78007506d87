"""Search spaces: what an architecture is, under which network config, and what its network is made of."""

from __future__ import annotations

from functools import cache

from hwnas_surrogate.errors import InvalidInputError, unknown
from hwnas_surrogate.spaces.base import ConfigLike, RandomState, SearchSpace, as_generator
from hwnas_surrogate.spaces.config import FBNetConfig, NASBench201Config, NetworkConfig
from hwnas_surrogate.spaces.conventions import Convention
from hwnas_surrogate.spaces.fbnet import FBNet
from hwnas_surrogate.spaces.layers import Layer, Layers, View
from hwnas_surrogate.spaces.nasbench201 import NASBench201
from hwnas_surrogate.spaces.operators import Operators
from hwnas_surrogate.spaces.reading import Archs, arch_from_text

__all__ = [
    "Archs",
    "ConfigLike",
    "Convention",
    "FBNet",
    "FBNetConfig",
    "Layer",
    "Layers",
    "NASBench201",
    "NASBench201Config",
    "NetworkConfig",
    "Operators",
    "RandomState",
    "SearchSpace",
    "View",
    "arch_from_text",
    "as_generator",
    "get_space",
    "space_names",
]

_CLASSES: tuple[type[SearchSpace], ...] = (NASBench201, FBNet)


@cache
def _spaces() -> dict[str, SearchSpace]:
    return {space.name: space() for space in _CLASSES}


def space_names() -> tuple[str, ...]:
    """Return the names of the search spaces."""
    return tuple(_spaces())


def get_space(space: str | SearchSpace) -> SearchSpace:
    """Return a search space by name; a space passes through.

    Parameters
    ----------
    space : {"nasbench201", "fbnet"} or SearchSpace

    Returns
    -------
    SearchSpace

    Raises
    ------
    InvalidInputError
        If there is no such space.

    Examples
    --------
    >>> get_space("fbnet").n_positions
    22
    """
    if isinstance(space, SearchSpace):
        return _spaces().get(space.name, space)
    if not isinstance(space, str) or space not in _spaces():
        raise unknown(InvalidInputError, "search space", space, _spaces())
    return _spaces()[space]
