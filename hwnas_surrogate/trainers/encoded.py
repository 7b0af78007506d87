"""Architectures as models see them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.errors import InvalidConfigError
from hwnas_surrogate.features import Combined, Encoder, LayerPhysics
from hwnas_surrogate.spaces import Archs, ConfigLike, NetworkConfig, SearchSpace, get_space
from hwnas_surrogate.spaces.base import ArchArray

__all__ = [
    "BATCH",
    "Encoded",
    "asked_config",
    "config_sizes",
    "each_once",
    "encode",
    "in_batches",
    "octaves",
    "stack_encoder",
    "under_configs",
]

BATCH = 8192
"""Architectures predicted at a time: a few megabytes of features."""

_REFERENCE = 20
"""So many random architectures tell how large a config's networks are."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Architectures as models see them.

    Parameters
    ----------
    features : DataFrame, n rows
        Named columns.
    archs : ndarray of int8, shape (n, positions)
        The architectures themselves.
    configs : tuple of NetworkConfig
        The distinct configs.
    number : ndarray of int, shape (n,)
        Which config belongs to each row.
    base : Encoded, optional
        The same architectures under configs that were trained on, where predictions are extrapolated from those.
    growth : ndarray, shape (n, 2), optional
        By which factors the cost changes from there at least, and at most.
    """

    features: pd.DataFrame
    archs: ArchArray
    configs: tuple[NetworkConfig, ...]
    number: npt.NDArray[np.intp]
    base: Encoded | None = None
    growth: npt.NDArray[np.float64] | None = None

    def __len__(self) -> int:
        """Return the number of architectures."""
        return len(self.features)

    def rows(self, which: npt.NDArray[Any]) -> Encoded:
        """Return some rows, by number or mask; the configs stay."""
        return Encoded(
            self.features.iloc[which],
            self.archs[which],
            self.configs,
            self.number[which],
            None if self.base is None else self.base.rows(which),
            None if self.growth is None else self.growth[which],
        )

    def without(self, columns: Sequence[str]) -> Encoded:
        """Return the same rows without some columns."""
        return replace(self, features=self.features.drop(columns=list(columns)))

    def only(self, columns: Sequence[str]) -> Encoded:
        """Return the same rows with some columns only."""
        return replace(self, features=self.features[list(columns)])

    def extrapolated(self, base: Encoded, growth: npt.NDArray[np.float64]) -> Encoded:
        """Return the same rows, to be predicted from others under configs that were trained on."""
        return replace(self, base=base, growth=growth)

    def alone(self) -> Encoded:
        """Return the same rows, to be predicted as they are."""
        return replace(self, base=None, growth=None)

    def under(self, known: Sequence[NetworkConfig]) -> npt.NDArray[np.bool_]:
        """Return which rows have one of these configs, shape (n,)."""
        return np.array([config in known for config in self.configs], bool)[self.number]

    def macs(self, space: SearchSpace) -> npt.NDArray[np.float64]:
        """Return the multiply-adds of each row's network, those of dead edges too, shape (n,)."""
        result = np.empty(len(self))
        for number, config in enumerate(self.configs):
            rows = np.flatnonzero(self.number == number)
            result[rows] = space.layers(self.archs[rows], config).macs
        return result

    def distances(self, space: SearchSpace, known: tuple[NetworkConfig, ...]) -> npt.NDArray[np.float64]:
        """Return how many octaves each row's config lies from the nearest known one, shape (n,)."""
        apart = np.zeros(len(self.configs))
        away = [which for which, config in enumerate(self.configs) if config not in known]
        if away:
            sizes = config_sizes(space, [self.configs[which] for which in away])
            apart[away] = octaves(sizes, config_sizes(space, known))
        return np.asarray(apart[self.number])


def encode(encoder: Encoder, archs: Archs, configs: ConfigLike | Iterable[ConfigLike] | npt.NDArray[Any]) -> Encoded:
    """Encode architectures under one config, or under one each."""
    space = get_space(encoder.space)
    batch = space.as_array(archs)
    distinct, number = space.group_configs(configs, len(batch))
    return Encoded(encoder.frame(batch, _spread(distinct, number)), batch, distinct, number)


def under_configs(
    space: SearchSpace, configs: ConfigLike | Iterable[ConfigLike] | npt.NDArray[Any], n: int
) -> NetworkConfig | list[NetworkConfig]:
    """Resolve one config for all of n architectures, or one each, from what can be read once only as well."""
    return _spread(*space.group_configs(configs, n))


def _spread(distinct: Sequence[NetworkConfig], number: npt.NDArray[np.intp]) -> NetworkConfig | list[NetworkConfig]:
    return distinct[0] if len(distinct) == 1 else [distinct[which] for which in number]


def each_once(
    encoded: Encoded, costs: npt.NDArray[np.float64]
) -> tuple[Encoded, npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Return each network once, its median cost, and for each row which of these networks it is, shape (n,).

    Were every measurement of a network a row, leaving out one would leave the others: predictions without it would know
    it. Repeats of a single network stay as they are: they are all there is to learn from.
    """
    keys = np.column_stack([encoded.archs.astype(np.intp), encoded.number])
    _, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    if len(first) in (1, len(costs)):
        return encoded, costs, np.arange(len(costs))
    order = np.argsort(first)
    network = np.argsort(order)[which.reshape(-1)]
    typical = np.asarray(pd.Series(costs).groupby(network).median(), np.float64)
    return encoded.rows(first[order]), typical, network


def in_batches(
    archs: ArchArray, distinct: Sequence[NetworkConfig], number: npt.NDArray[np.intp]
) -> Iterator[tuple[ArchArray, tuple[NetworkConfig, ...], npt.NDArray[np.intp]]]:
    """Cut architectures and the numbers of their configs into parts whose features fit into memory, and into the cache.

    Each part comes with the configs that occur in it, and their numbers there.
    """
    for start in range(0, max(len(archs), 1), BATCH):
        rows = slice(start, start + BATCH)
        used, mine = np.unique(number[rows], return_inverse=True)
        yield archs[rows], tuple(distinct[which] for which in used), mine


def stack_encoder(space: SearchSpace, *more: Encoder) -> Combined:
    """Return what the default model reads: the ordinary encoding, layer physics, and what else is given."""
    return Combined(space.name, [*Combined(space.name)._parts(space), LayerPhysics(space.name), *more])


def config_sizes(space: SearchSpace, configs: Sequence[NetworkConfig]) -> npt.NDArray[np.float64]:
    """Return how large the networks of c configs are, (c, 3): log2 of their multiply-adds, parameters, activations."""
    return np.array([_sizes(space, config) for config in configs]).reshape(-1, 3)


@lru_cache(maxsize=1024)
def _sizes(space: SearchSpace, config: NetworkConfig) -> tuple[float, ...]:
    layers = space.layers(space.sample(_REFERENCE, 0), config)
    means = (layers.macs.mean(), layers.params.mean(), layers.activation_bytes.mean())
    return tuple(float(np.log2(mean)) for mean in means)


def octaves(sizes: npt.NDArray[np.float64], known: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return how far each of m sizes lies from the nearest of k known ones, by the largest difference: -> (m,)."""
    result: npt.NDArray[np.float64] = np.abs(sizes[:, None, :] - known[None]).max(axis=2).min(axis=1)
    return result


def asked_config(space: SearchSpace, configs: Sequence[NetworkConfig]) -> NetworkConfig:
    """Return the config that is meant where none is given, or raise.

    It is the only config trained on; of several, the space's first published one if it is among them.
    """
    if len(configs) == 1:
        return configs[0]
    if space.default_config in configs:
        return space.default_config
    raise InvalidConfigError(
        f"the surrogate was trained under {len(configs)} configs ({', '.join(map(str, configs[:3]))}, ...), and "
        f"{space.default_config} is not among them: name the config to predict for."
    )
