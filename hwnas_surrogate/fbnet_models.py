"""The original's name of FBNet's inference network: it is built from a config alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from hwnas_surrogate.config_utils import as_config_dict
from hwnas_surrogate.errors import InvalidArchitectureError, InvalidConfigError, unknown
from hwnas_surrogate.networks import FBNetNetwork
from hwnas_surrogate.spaces import FBNet, FBNetConfig

__all__ = ["FBNet_Infer"]


class FBNet_Infer(FBNetNetwork):
    """The inference network of an FBNet config, in training mode.

    :func:`~hwnas_surrogate.networks.build_network` builds the same network in evaluation mode. The weights are drawn
    from PyTorch's global generator.

    Parameters
    ----------
    config : mapping or attribute object
        As ``HWNASBenchAPI.get_net_config`` returns it: ``dataset`` ("cifar100" or "ImageNet"), ``op_idx_list`` (22
        block numbers, 0..8) or ``arch_str`` (22 block names), and ``num_classes`` (default: the dataset's). Other
        names are not read.

    Raises
    ------
    InvalidConfigError
        If the dataset is missing or unknown, or the number of classes is not a positive integer.
    InvalidArchitectureError
        If there is no architecture, it is not one of FBNet, or its numbers and its names differ.

    Examples
    --------
    >>> import torch
    >>> network = FBNet_Infer({"dataset": "cifar100", "num_classes": 100, "op_idx_list": [0] * 21 + [8]})
    >>> network(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 100])
    """

    def __init__(self, config: object) -> None:
        values = as_config_dict(config)
        network_config = _network_config(values)
        super().__init__(_ops(values), network_config)


def _network_config(values: Mapping[str, Any]) -> FBNetConfig:
    if "dataset" not in values:
        raise InvalidConfigError(f"an FBNet config needs 'dataset'; it has {_names(values)}.")
    dataset, known = values["dataset"], FBNet.configs
    if not isinstance(dataset, str) or dataset not in known:
        raise unknown(InvalidConfigError, "dataset of FBNet", dataset, known)
    published = known[dataset]
    assert isinstance(published, FBNetConfig)
    return dataclasses.replace(published, num_classes=values.get("num_classes", published.num_classes))


def _ops(values: Mapping[str, Any]) -> list[int]:
    space = FBNet()
    given = {name: values[name] for name in ("op_idx_list", "arch_str") if values.get(name) is not None}
    if not given:
        raise InvalidArchitectureError(f"an FBNet config needs 'op_idx_list' or 'arch_str'; it has {_names(values)}.")
    found = {name: space.as_array(_joined(value)) for name, value in given.items()}
    first = next(iter(found.values()))
    if len(first) != 1:
        raise InvalidArchitectureError(f"a network has one architecture, got {len(first)} in the config.")
    if any((other != first).any() if other.shape == first.shape else True for other in found.values()):
        raise InvalidArchitectureError(
            "op_idx_list and arch_str of the config are different architectures; leave one out."
        )
    ops: list[int] = first[0].tolist()
    return ops


def _joined(value: object) -> Any:
    """Return block names as one text, as the space reads it."""
    is_names = isinstance(value, (list, tuple)) and value and all(isinstance(name, str) for name in value)
    return "|".join(value) if is_names else value  # type: ignore[arg-type]


def _names(values: Mapping[str, Any]) -> str:
    return ", ".join(map(repr, values)) or "nothing"
