"""Architectures as models see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.errors import InvalidConfigError
from hwnas_surrogate.features import Encoder
from hwnas_surrogate.spaces import Archs, ConfigLike, NetworkConfig, get_space

__all__ = ["Encoded", "encode", "only_config"]


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """Architectures as models see them.

    Parameters
    ----------
    features : DataFrame, n rows
        Named columns.
    configs : tuple of NetworkConfig
        The distinct configs.
    number : ndarray of int, shape (n,)
        Which config belongs to each row.
    """

    features: pd.DataFrame
    configs: tuple[NetworkConfig, ...]
    number: npt.NDArray[np.intp]

    def __len__(self) -> int:
        """Return the number of architectures."""
        return len(self.features)

    def rows(self, which: npt.NDArray[Any]) -> Encoded:
        """Return some rows, by number or mask; the configs stay."""
        return Encoded(self.features.iloc[which], self.configs, self.number[which])

    def under(self, configs: tuple[NetworkConfig, ...]) -> npt.NDArray[np.bool_]:
        """Tell which rows are under one of these configs, shape (n,)."""
        return np.array([config in configs for config in self.configs], bool)[self.number]


def encode(encoder: Encoder, archs: Archs, configs: ConfigLike | Sequence[ConfigLike] | npt.NDArray[Any]) -> Encoded:
    """Encode architectures under one config, or under one each."""
    space = get_space(encoder.space)
    batch = space.as_array(archs)
    return Encoded(encoder.frame(batch, configs), *space.group_configs(configs, len(batch)))


def only_config(configs: Sequence[NetworkConfig]) -> NetworkConfig:
    """Return the one config that was trained on, or raise if there were several."""
    if len(configs) > 1:
        raise InvalidConfigError(
            f"the surrogate was trained under {len(configs)} configs "
            f"({', '.join(map(str, configs[:3]))}, ...): say which one to predict for."
        )
    return configs[0]
