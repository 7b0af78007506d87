"""Networks to predict: validated and encoded, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.graphs import GraphBatch, NetworkBatch
from hwnas_surrogate.models import AnchoredStack
from hwnas_surrogate.spaces import ArchBatch, Configs, NetworkConfig, Networks, SearchSpace, as_batch
from hwnas_surrogate.trainers.encoded import Encoded, asked_config, config_sizes, encode, in_batches, log2_distance
from hwnas_surrogate.trainers.extrapolation import (
    FAR,
    TRUSTED_CONFIGS,
    growth,
    nearest,
    refusal,
    warn_beyond,
    warn_unfamiliar,
)
from hwnas_surrogate.trainers.fitted import FittedSurrogate

__all__ = ["asked_batch", "queries"]

K = TypeVar("K")


def asked_batch(
    fitted: Mapping[K, FittedSurrogate], space: SearchSpace | None, networks: Networks, configs: Configs
) -> NetworkBatch:
    """Return the networks to predict as a batch; architectures without a config get the one trained on."""
    if configs is None and not isinstance(networks, NetworkBatch):
        batch = as_batch(space, networks)
        if isinstance(batch, ArchBatch):
            config = asked_config(batch.space, list(dict.fromkeys(c for one in fitted.values() for c in one.configs_)))
            return batch.under([config])
        return batch
    return as_batch(space, networks, configs)


def queries(
    fitted: Mapping[K, FittedSurrogate],
    space: SearchSpace | None,
    networks: Networks,
    configs: Configs,
    *,
    extrapolate: bool = False,
) -> Iterator[dict[K, Encoded]]:
    """Encode networks for several surrogates, batch by batch; surrogates with the same columns share them.

    Parameters
    ----------
    fitted : mapping
        The surrogates, at least one.
    space : SearchSpace or None
        The surrogates' search space, which parses architectures; None accepts graphs and batches.
    networks, configs
        As ``Surrogate.predict`` takes them.
    extrapolate : bool, default=False
        Whether surrogates trained on too few configs predict for other configs too, and without warnings.

    Returns
    -------
    iterator of dict
        The encoded networks of each surrogate.

    Raises
    ------
    InvalidConfigError
        If a surrogate can't predict for a config, or none is given and it is ambiguous.
    InvalidInputError
        If graphs are given to a surrogate that was trained on architectures.

    Warns
    -----
    ExtrapolationWarning
        If networks are much larger or smaller than all that a surrogate was trained on, or of other kinds.
    """
    batch = asked_batch(fitted, space, networks, configs)
    named = configs is not None or isinstance(networks, NetworkBatch)
    for one in fitted.values():
        _check(one, batch, named, extrapolate)
    for part in in_batches(batch):
        made: dict[tuple[int, tuple[NetworkConfig | None, ...]], Encoded] = {}
        encoded = {key: one.completed(_encoded(one, part, made)) for key, one in fitted.items()}
        for key, query in encoded.items() if not extrapolate and len(part) else ():
            model = fitted[key].model_
            if isinstance(model, AnchoredStack):
                warn_unfamiliar(_name(fitted[key]), part, model.trust(query.features))
        yield encoded


def _name(one: FittedSurrogate) -> str:
    return "the surrogate" if one.target_ is None else f"the surrogate of {one.target_}"


def _check(one: FittedSurrogate, batch: NetworkBatch, named: bool, extrapolate: bool) -> None:
    name = _name(one)
    if one.encoder_.space is None:
        if not extrapolate and len(batch):
            warn_beyond(name, None, batch.macs, one.macs_range_)
        return
    if isinstance(batch, GraphBatch):
        raise InvalidInputError(
            f"{name} was trained on architectures, and can't predict graphs. Give architectures; or train on graphs, "
            "for networks of any kind (a space's graph(arch) makes one of an architecture)."
        )
    for place, config in enumerate(batch.configs):
        if config not in one.configs_ and not extrapolate:
            if not one.general_:
                raise refusal(
                    name, one.configs_, config, "" if named else "No config was named, so this one is meant. "
                )
            warn_beyond(name, config, batch.take(batch.config_number == place).macs, one.macs_range_)


def _encoded(
    one: FittedSurrogate, batch: NetworkBatch, made: dict[tuple[int, tuple[NetworkConfig | None, ...]], Encoded]
) -> Encoded:
    """Return the encoded networks of one surrogate; ``made`` caches those of the others in this batch."""

    def under(chosen: tuple[NetworkConfig | None, ...]) -> Encoded:
        key = id(one.encoder_), chosen
        if key not in made:
            other = isinstance(batch, ArchBatch) and chosen != batch.configs
            made[key] = encode(one.encoder_, batch.under(chosen) if other else batch)  # type: ignore[attr-defined]
        return made[key]

    if one.encoder_.space is None or not isinstance(batch, ArchBatch):
        return under(batch.configs)
    known = tuple(_known(one, batch.space, config) for config in batch.configs)
    if known == batch.configs:
        return under(known)
    own = under(batch.configs) if one.general_ or one.physical else under(known)
    return own.extrapolated(under(known), growth(batch, batch.under(known)))


def _known(one: FittedSurrogate, space: SearchSpace, config: NetworkConfig) -> NetworkConfig:
    """Return the config to extrapolate from.

    It is the config itself if it was trained on, or if it is near one of eight or more trained configs; else the
    nearest trained one.
    """
    if config in one.configs_:
        return config
    closest = nearest(space, config, one.bases_)
    if not one.general_ or len(one.configs_) < TRUSTED_CONFIGS:
        return closest
    far = log2_distance(config_sizes(space, [config]), config_sizes(space, [closest]))[0] > FAR
    return closest if far else config
