"""All families, and the networks that are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from hwnas_surrogate.errors import InvalidInputError, unknown
from hwnas_surrogate.networks.zoo import (
    branching,
    dense_prediction,
    drawn,
    hybrids,
    language,
    mixers,
    mobile,
    modern,
    plain,
    residual,
    signals,
    transformers,
)
from hwnas_surrogate.networks.zoo.family import Family, ZooNetwork

__all__ = ["zoo_families", "zoo_networks"]

_MODULES = (
    residual,
    plain,
    branching,
    mobile,
    modern,
    mixers,
    transformers,
    hybrids,
    dense_prediction,
    language,
    signals,
    drawn,
)
_FAMILIES: Mapping[str, Family] = MappingProxyType(
    {family.name: family for module in _MODULES for family in module.FAMILIES}
)


def zoo_families() -> tuple[str, ...]:
    """Return the names of the families, in the zoo's order.

    Examples
    --------
    >>> zoo_families()[:3]
    ('resnet', 'resnet-bottleneck', 'resnet-d')
    """
    return tuple(_FAMILIES)


def zoo_networks(families: Iterable[str] | None = None) -> tuple[ZooNetwork, ...]:
    """Return networks of the zoo, without building them.

    Parameters
    ----------
    families : iterable of str, optional
        The families, of :func:`zoo_families`; all of them if None.

    Returns
    -------
    tuple of ZooNetwork
        In the zoo's order, family by family.

    Raises
    ------
    InvalidInputError
        If there is no such family, or ``families`` is one text.

    Examples
    --------
    >>> [network.name for network in zoo_networks(["mobilenet-v2"])][:2]
    ['mobilenet-v2-w0.25-128px', 'mobilenet-v2-w0.35-224px']
    """
    if isinstance(families, str):
        raise InvalidInputError(f"families are a list of names, got {families!r:.80}: put it into a list.")
    wanted = _FAMILIES if families is None else dict.fromkeys(families)
    for name in wanted:
        if name not in _FAMILIES:
            raise unknown(InvalidInputError, "family of the zoo", name, _FAMILIES)
    return tuple(network for name, family in _FAMILIES.items() if name in wanted for network in family.networks())
