"""A zoo of networks of many families and sizes, written from their papers, to be measured.

The networks have no trained weights. They cover the operators of today's networks at many shapes, so that a surrogate
that learns their costs answers for any network.
"""

from __future__ import annotations

from hwnas_surrogate.networks.zoo.catalog import zoo_families, zoo_networks
from hwnas_surrogate.networks.zoo.family import ZooInput, ZooNetwork

__all__ = ["ZooInput", "ZooNetwork", "zoo_families", "zoo_networks"]
