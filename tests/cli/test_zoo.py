"""The zoo on the command line."""

from __future__ import annotations

from hwnas_surrogate.cli.options import open_networks, read_networks
from hwnas_surrogate.graphs import Graph
from tests.networks.zoo.example import SMALL


def test_a_family_of_the_zoo() -> None:
    given = read_networks(None, [f"zoo:{SMALL.family}"], None)
    assert given is not None
    assert given[0].name == SMALL.name
    batch = open_networks(None, [f"zoo:{SMALL.family}"], None)
    assert batch is not None
    assert batch.names == tuple(network.name for network in given)
    assert batch.graphs[0] == Graph.from_torch(SMALL.build(), *SMALL.example_inputs())
