"""How devices relate: correlations and their intervals, clusters, proxies, and where two devices disagree.

Names are imported when they are first used: correlations need no scikit-learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

# These two have the names of their modules, and can't be imported lazily.
from hwnas_surrogate.devices.correlation import correlation
from hwnas_surrogate.devices.disagreement import Disagreement, disagreement
from hwnas_surrogate.lazy import lazy_names

if TYPE_CHECKING:
    from hwnas_surrogate.devices.additive import additivity
    from hwnas_surrogate.devices.atlas import device_atlas, nearest_devices
    from hwnas_surrogate.devices.clusters import Clusters, cluster_devices
    from hwnas_surrogate.devices.directions import PrincipalDirections, principal_directions
    from hwnas_surrogate.devices.intervals import correlation_interval
    from hwnas_surrogate.devices.sizes import proxies

__all__ = [
    "Clusters",
    "Disagreement",
    "PrincipalDirections",
    "additivity",
    "cluster_devices",
    "correlation",
    "correlation_interval",
    "device_atlas",
    "disagreement",
    "nearest_devices",
    "principal_directions",
    "proxies",
]

_MODULES = {
    "additive": ["additivity"],
    "atlas": ["device_atlas", "nearest_devices"],
    "clusters": ["Clusters", "cluster_devices"],
    "directions": ["PrincipalDirections", "principal_directions"],
    "intervals": ["correlation_interval"],
    "sizes": ["proxies"],
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
