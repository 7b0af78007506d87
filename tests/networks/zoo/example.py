"""A small network of the zoo for tests."""

from __future__ import annotations

from hwnas_surrogate.networks.zoo import zoo_networks

SMALL = zoo_networks(["tcn"])[0]
