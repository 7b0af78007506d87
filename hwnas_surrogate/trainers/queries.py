"""What fitted surrogates are asked to predict: checked, encoded, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data import Target
from hwnas_surrogate.features import Encoder
from hwnas_surrogate.spaces import Archs, ConfigLike, NetworkConfig, SearchSpace
from hwnas_surrogate.spaces.base import ArchArray
from hwnas_surrogate.trainers.encoded import Encoded, asked_config, config_sizes, encode, in_batches, octaves
from hwnas_surrogate.trainers.extrapolation import FAR, TRUSTED_CONFIGS, growth, nearest, refusal, warn_beyond

__all__ = ["Fitted", "queries"]

Configs = ConfigLike | Sequence[ConfigLike] | npt.NDArray[Any]
K = TypeVar("K")


class Fitted(Protocol):
    """What must be known of a surrogate to ask it."""

    encoder_: Encoder
    configs_: tuple[NetworkConfig, ...]
    bases_: tuple[NetworkConfig, ...]
    general_: bool
    macs_range_: tuple[float, float]
    target_: Target | None

    @property
    def physical(self) -> bool:
        """Whether the model's columns mean the same under every config."""
        ...


def queries(
    fitted: Mapping[K, Fitted], space: SearchSpace, archs: Archs, configs: Configs, *, extrapolate: bool = False
) -> Iterator[dict[K, Encoded]]:
    """Encode architectures for several surrogates, a batch at a time; those that read the same columns share them.

    Parameters
    ----------
    fitted : mapping
        The surrogates, at least one.
    space : SearchSpace
        Theirs.
    archs, configs
        As ``Surrogate.predict`` takes them.
    extrapolate : bool, default=False
        Whether surrogates that know too few configs predict for others as well, and nothing is warned of.

    Returns
    -------
    iterator of dict
        What each surrogate reads.

    Raises
    ------
    InvalidConfigError
        If a surrogate can't predict for a config; or if none is given, and which is meant is not clear.

    Warns
    -----
    ExtrapolationWarning
        If networks are much larger or smaller than those that a surrogate was trained on.
    """
    batch = space.as_array(archs)
    named = configs is not None
    if configs is None:
        configs = asked_config(space, list(dict.fromkeys(c for one in fitted.values() for c in one.configs_)))
    distinct, number = space.group_configs(configs, len(batch))
    for one in fitted.values() if not extrapolate else ():
        _check(one, space, batch, distinct, number, named)
    for part in in_batches(batch, distinct, number):
        made: dict[tuple[int, tuple[NetworkConfig, ...]], Encoded] = {}
        yield {key: _encoded(one, space, *part, made) for key, one in fitted.items()}


def _check(
    one: Fitted,
    space: SearchSpace,
    archs: ArchArray,
    distinct: Sequence[NetworkConfig],
    number: npt.NDArray[np.intp],
    named: bool,
) -> None:
    name = "the surrogate" if one.target_ is None else f"the surrogate of {one.target_}"
    for place, config in enumerate(distinct):
        if config not in one.configs_:
            macs = space.layers(archs[number == place], config).macs  # raises if there is no such network
            if not one.general_:
                raise refusal(
                    name, one.configs_, config, "" if named else "No config was named, so this one is meant. "
                )
            warn_beyond(name, config, macs, one.macs_range_)


def _encoded(
    one: Fitted,
    space: SearchSpace,
    archs: ArchArray,
    distinct: tuple[NetworkConfig, ...],
    number: npt.NDArray[np.intp],
    made: dict[tuple[int, tuple[NetworkConfig, ...]], Encoded],
) -> Encoded:
    """Return what one surrogate reads; ``made`` holds what others of the batch have read already."""

    def under(chosen: tuple[NetworkConfig, ...]) -> Encoded:
        key = id(one.encoder_), chosen
        if key not in made:
            made[key] = encode(one.encoder_, archs, chosen[0] if len(chosen) == 1 else [chosen[i] for i in number])
        return made[key]

    known = tuple(_known(one, space, config) for config in distinct)
    if known == distinct:
        return under(distinct)
    factors = np.ones((len(archs), 2))
    for place, (config, base) in enumerate(zip(distinct, known, strict=True)):
        rows = np.flatnonzero(number == place)
        factors[rows] = growth(space, archs[rows], config, base)
    own = under(distinct) if one.general_ or one.physical else under(known)
    return own.extrapolated(under(known), factors)


def _known(one: Fitted, space: SearchSpace, config: NetworkConfig) -> NetworkConfig:
    """Return the config whose predictions bound those for another: itself, if it is known or close to many known."""
    if config in one.configs_:
        return config
    closest = nearest(space, config, one.bases_)
    if not one.general_ or len(one.configs_) < TRUSTED_CONFIGS:
        return closest
    far = octaves(config_sizes(space, [config]), config_sizes(space, [closest]))[0] > FAR
    return closest if far else config
