"""Networks as models see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.errors import InvalidConfigError
from hwnas_surrogate.features import Combined, Encoder, LayerPhysics
from hwnas_surrogate.features.layer_sums import is_layer
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.spaces import ArchBatch, NetworkConfig, SearchSpace

__all__ = [
    "BATCH",
    "Encoded",
    "amounts",
    "asked_config",
    "config_sizes",
    "each_once",
    "encode",
    "in_batches",
    "log2_distance",
    "stack_encoder",
]

BATCH = 8192
"""Networks per batch of predictions: a few megabytes of features."""

_REFERENCE = 20
"""Number of random architectures to estimate the size of a config's networks from."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Networks as models see them.

    Parameters
    ----------
    features : DataFrame, n rows
        Named columns.
    batch : NetworkBatch
        The networks themselves.
    of_any : bool, default=False
        Whether the columns describe networks of any kind; configs are ignored then.
    base : Encoded, optional
        The same architectures under configs that were trained on, if predictions are extrapolated from those.
    growth : ndarray, shape (n, 2), optional
        Smallest and largest factor by which the cost changes from ``base``.
    """

    features: pd.DataFrame
    batch: NetworkBatch
    of_any: bool = False
    base: Encoded | None = None
    growth: npt.NDArray[np.float64] | None = None

    def __len__(self) -> int:
        """Return the number of networks."""
        return len(self.features)

    @property
    def configs(self) -> tuple[NetworkConfig | None, ...]:
        """The distinct configs; ``(None,)`` where they are ignored."""
        return (None,) if self.of_any else self.batch.configs

    @property
    def number(self) -> npt.NDArray[np.intp]:
        """The number of each row's config, shape (n,)."""
        return np.zeros(len(self), np.intp) if self.of_any else self.batch.config_number

    def rows(self, which: npt.NDArray[Any]) -> Encoded:
        """Return some rows, by number or mask."""
        return Encoded(
            self.features.iloc[which],
            self.batch.take(which),
            self.of_any,
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
        """Return the same rows, to be extrapolated from ``base``, the same architectures under trained configs."""
        return replace(self, base=base, growth=growth)

    def alone(self) -> Encoded:
        """Return the same rows, to be predicted without extrapolation."""
        return replace(self, base=None, growth=None)

    def under(self, known: Sequence[NetworkConfig | None]) -> npt.NDArray[np.bool_]:
        """Return a mask of the rows under one of these configs, shape (n,)."""
        return np.array([config in known for config in self.configs], bool)[self.number]

    def distances(self, known: tuple[NetworkConfig | None, ...]) -> npt.NDArray[np.float64]:
        """Return the log2 distance of each row's config from the nearest known one, shape (n,)."""
        apart = np.zeros(len(self.configs))
        away = {which: config for which, config in enumerate(self.configs) if config not in known and config}
        if away:
            assert isinstance(self.batch, ArchBatch)
            sizes = config_sizes(self.batch.space, list(away.values()))
            of_known = config_sizes(self.batch.space, [config for config in known if config])
            apart[list(away)] = log2_distance(sizes, of_known)
        return np.asarray(apart[self.number])


def encode(encoder: Encoder, batch: NetworkBatch) -> Encoded:
    """Encode a batch."""
    return Encoded(encoder.frame(batch), batch, encoder.space is None)


def each_once(
    encoded: Encoded, costs: npt.NDArray[np.float64]
) -> tuple[Encoded, npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """Return each distinct network, its median cost, and the number of each row's network, shape (n,).

    If repeats were rows of their own, leave-one-out errors would be too small: the other repeats stay in the fit. If
    all rows are one network, they are returned as they are.
    """
    network = encoded.batch.repeats
    _, first = np.unique(network, return_index=True)
    if len(first) in (1, len(costs)):
        return encoded, costs, np.arange(len(costs))
    median_costs = np.asarray(pd.Series(costs).groupby(network).median(), np.float64)
    return encoded.rows(first), median_costs, network


def in_batches(batch: NetworkBatch) -> Iterator[NetworkBatch]:
    """Split a batch into parts whose features fit into memory, and into the cache."""
    if len(batch) <= BATCH:
        yield batch
        return
    for start in range(0, len(batch), BATCH):
        yield batch.take(np.arange(start, min(start + BATCH, len(batch))))


def stack_encoder(space: SearchSpace | None, *more: Encoder) -> Combined:
    """Return the encoder of the default model: the general encodings, layer physics, and further encoders."""
    return Combined(space, [*Combined(space).parts(), LayerPhysics(space), *more])


def config_sizes(space: SearchSpace, configs: Sequence[NetworkConfig]) -> npt.NDArray[np.float64]:
    """Return the mean sizes of the networks of c configs, (c, 3): log2 of multiply-adds, parameters, activations."""
    return np.array([_sizes(space, config) for config in configs]).reshape(-1, 3)


@lru_cache(maxsize=1024)
def _sizes(space: SearchSpace, config: NetworkConfig) -> tuple[float, ...]:
    _, *sizes = amounts(space.batch(space.representatives(_REFERENCE, 0), config)).T
    return tuple(float(np.log2(size.mean())) for size in sizes)


def amounts(batch: NetworkBatch) -> npt.NDArray[np.float64]:
    """Return each network's number of layers, and their multiply-adds, parameters and activation bytes, (n, 4)."""
    rows = [(1, op.macs, op.params, op.activation_bytes) if is_layer(op) else (0,) * 4 for op in batch.distinct()]
    return batch.sums(np.array(rows, np.float64).reshape(-1, 4))


def log2_distance(sizes: npt.NDArray[np.float64], known: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the distance of m sizes from the nearest of k known ones, (m, 3), (k, 3) -> (m,): the largest difference.

    1 is a factor of two in multiply-adds, parameters or activations.

    >>> log2_distance(np.log2([[8.0, 4.0, 4.0]]), np.log2([[4.0, 4.0, 4.0], [1.0, 1.0, 1.0]])).tolist()
    [1.0]
    """
    result: npt.NDArray[np.float64] = np.abs(sizes[:, None, :] - known[None]).max(axis=2).min(axis=1)
    return result


def asked_config(space: SearchSpace, configs: Sequence[NetworkConfig | None]) -> NetworkConfig:
    """Return the config to predict for if none is given, or raise.

    It is the only config trained on. If there are several, it is the space's first published one, if that is among
    them.
    """
    if len(configs) == 1:
        return configs[0] or space.default_config
    if space.default_config in configs:
        return space.default_config
    raise InvalidConfigError(
        f"the surrogate was trained under {len(configs)} configs ({', '.join(map(str, configs[:3]))}, ...), and "
        f"{space.default_config} is not among them: name the config to predict for."
    )
