"""The zoo's networks as networks that a user names: ``zoo``, or ``zoo:FAMILY``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from hwnas_surrogate.capture import GivenNetwork, given_networks
from hwnas_surrogate.capture.user_file import Entry
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.graphs import Graph

if TYPE_CHECKING:
    from hwnas_surrogate.networks.zoo import ZooNetwork

__all__ = ["ZooModule", "is_zoo", "named_networks"]


def is_zoo(source: str) -> bool:
    """Return whether a text names the zoo or a family of it.

    Examples
    --------
    >>> is_zoo("zoo"), is_zoo("zoo:vgg"), is_zoo("./zoo")
    (True, True, False)
    """
    return source == "zoo" or source.startswith("zoo:")


@dataclass(frozen=True)  # no slots: its graph is kept
class ZooModule(GivenNetwork):
    """A network of the zoo, which is built each time it is asked for: hundreds of them take gigabytes.

    Parameters
    ----------
    network : ZooNetwork
    """

    network: ZooNetwork = field(repr=False)

    @property
    def entry(self) -> Entry:
        """The module and its example inputs, built anew."""
        return self.network.build(), self.network.example_inputs()

    def graph(self) -> Graph:
        """Record its operators, without numbers, once."""
        return self._graph

    @cached_property
    def _graph(self) -> Graph:
        return Graph.from_torch(self.network.outline(), *self.network.example_inputs())

    def fingerprint(self) -> str:
        """Return the digest of the graph: it changes if a version of this package changes the network."""
        return self.graph().digest


def named_networks(sources: Iterable[str], input_shape: str | None = None) -> tuple[GivenNetwork, ...]:
    """Find the networks that a user names, the zoo's among them.

    Parameters
    ----------
    sources : iterable of str
        ``zoo`` for all networks of the zoo, ``zoo:FAMILY`` for those of a family, or what
        :func:`~hwnas_surrogate.capture.given_networks` takes.
    input_shape : str, optional
        As of :func:`~hwnas_surrogate.capture.given_networks`.

    Returns
    -------
    tuple of GivenNetwork
        The zoo's first, each once.

    Raises
    ------
    InvalidInputError
        If there is no such family, another network has the name of one of the zoo's, or as
        :func:`~hwnas_surrogate.capture.given_networks`.
    DataFileError
        If a file can't be read.

    Examples
    --------
    >>> named_networks(["zoo:mobilenet-v2"])[0]
    ZooModule(name='mobilenet-v2-w0.25-128px', source='zoo:mobilenet-v2')
    """
    asked = list(sources)
    found: dict[str, GivenNetwork] = {}
    for source in filter(is_zoo, asked):
        from hwnas_surrogate.networks.zoo import zoo_networks  # here: ONNX files need no torch

        family = source.partition(":")[2]
        for network in zoo_networks([family] if ":" in source else None):
            found.setdefault(network.name, ZooModule(network.name, f"zoo:{network.family}", network))
    others = [source for source in asked if not is_zoo(source)]
    for given in given_networks(others, input_shape) if others or input_shape is not None else ():
        if given.name in found:
            raise InvalidInputError(
                f"two networks are called {given.name!r:.200}: {found[given.name].source} and {given.source}. "
                "Rename one."
            )
        found[given.name] = given
    return tuple(found.values())
