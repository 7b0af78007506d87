"""The networks of the benchmark's configs: a mapping of names to values -> a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import nn

from hwnas_surrogate.errors import InvalidConfigError
from hwnas_surrogate.networks.arguments import check_name, required
from hwnas_surrogate.networks.residual.densenet import DenseNet
from hwnas_surrogate.networks.residual.imagenet_resnet import ImageNetResNet
from hwnas_surrogate.networks.residual.mobilenet_v2 import InferredMobileNetV2, MobileNetV2
from hwnas_surrogate.networks.residual.resnet import cifar_resnet, inferred_cifar_resnet, inferred_imagenet_resnet
from hwnas_surrogate.networks.residual.search_resnet import SearchResNet
from hwnas_surrogate.networks.residual.searchable import (
    search_cifar_resnet,
    search_imagenet_resnet,
    search_simple_resnet,
)
from hwnas_surrogate.networks.residual.wide_resnet import WideResNet

__all__ = ["build_cifar_network", "build_imagenet_network", "build_search_network"]

_V = TypeVar("_V")
_Recipe = tuple[Callable[..., nn.Module], tuple[str, ...]]
"""A network, and the keys of a config that are its arguments."""

_RESNET = ("module", "depth", "class_num", "zero_init_residual")
_CIFAR: Mapping[str, _Recipe] = {
    "resnet": (cifar_resnet, _RESNET),
    "densenet": (DenseNet, ("growthRate", "depth", "reduction", "class_num", "bottleneck")),
    "wideresnet": (WideResNet, ("depth", "wide_factor", "class_num", "dropout")),
}
_INFERRED_CIFAR: Mapping[str, _Recipe] = {
    "infer-width": (inferred_cifar_resnet, (*_RESNET, "xchannels")),
    "infer-depth": (inferred_cifar_resnet, (*_RESNET, "xblocks")),
    "infer-shape": (inferred_cifar_resnet, (*_RESNET, "xblocks", "xchannels")),
}
_IMAGENET_RESNET = ("block_name", "layers", "deep_stem", "class_num", "zero_init_residual")
_IMAGENET: Mapping[str, _Recipe] = {
    "resnet": (ImageNetResNet, (*_IMAGENET_RESNET, "groups", "width_per_group")),
    "mobilenet_v2": (MobileNetV2, ("class_num", "width_multi", "input_channel", "last_channel", "dropout")),
}
_INFERRED_IMAGENET: Mapping[str, _Recipe] = {
    "resnet": (inferred_imagenet_resnet, (*_IMAGENET_RESNET, "xblocks", "xchannels")),
    "MobileNetV2": (InferredMobileNetV2, ("class_num", "xchannels", "xblocks", "dropout")),
}
_SEARCHED_CIFAR_RESNET = (search_cifar_resnet, ("search_mode", "module", "depth", "class_num"))
_SEARCHED: Mapping[str, Mapping[str, Mapping[str, tuple[Callable[..., SearchResNet], tuple[str, ...]]]]] = {
    "cifar": {
        "resnet": dict.fromkeys(("width", "depth", "shape"), _SEARCHED_CIFAR_RESNET),
        "simres": {"width": (search_simple_resnet, ("depth", "class_num"))},
    },
    "imagenet": {
        "resnet": {"shape": (search_imagenet_resnet, ("block_name", "layers", "deep_stem", "class_num"))},
    },
}
_ARGUMENTS = {"growthRate": "growth_rate"}
"""Keys of configs whose arguments have other names."""


def build_cifar_network(config: Mapping[str, Any]) -> nn.Module:
    """Build one of the benchmark's networks for CIFAR, NASNet excepted.

    Parameters
    ----------
    config : mapping of str to value
        ``super_type`` is ``"basic"`` (the default), ``"infer-width"``, ``"infer-depth"`` or ``"infer-shape"``. A basic
        network has an ``arch``: ``"resnet"``, ``"densenet"`` or ``"wideresnet"``. The other keys are the arguments of
        :func:`cifar_resnet`, :class:`DenseNet` (``growthRate``), :class:`WideResNet` or :func:`inferred_cifar_resnet`;
        further keys are ignored.

    Returns
    -------
    torch.nn.Module
        Its input is of shape (batch, 3, 32, 32); it returns features and logits.

    Raises
    ------
    InvalidConfigError
        If there is no such network, a key is missing, or a value is not allowed.

    Examples
    --------
    >>> config = {"arch": "wideresnet", "depth": 10, "wide_factor": 1, "class_num": 10, "dropout": False}
    >>> build_cifar_network(config).get_message()
    'WideResNet: depth 10, width x1, 10 classes'
    """
    kind = config.get("super_type", "basic") if isinstance(config, Mapping) else "basic"
    if isinstance(kind, str) and kind == "basic":
        return _built(config, "a CIFAR network", _chosen(config, "a CIFAR network", "arch", _CIFAR))
    recipe = _chosen(config, "a CIFAR network", "super_type", _INFERRED_CIFAR, ("basic",))
    return _built(config, f"an {kind} CIFAR network", recipe)


def build_imagenet_network(config: Mapping[str, Any]) -> nn.Module:
    """Build one of the benchmark's networks for ImageNet.

    Parameters
    ----------
    config : mapping of str to value
        ``super_type`` is ``"basic"`` (the default) with ``arch`` ``"resnet"`` or ``"mobilenet_v2"``, or
        ``"infer-shape"`` with ``arch`` ``"resnet"`` or ``"MobileNetV2"``. The other keys are the arguments of
        :class:`ImageNetResNet`, :class:`MobileNetV2`, :func:`inferred_imagenet_resnet` or
        :class:`InferredMobileNetV2`; further keys are ignored.

    Returns
    -------
    torch.nn.Module
        Its input is of shape (batch, 3, 224, 224); it returns features and logits.

    Raises
    ------
    InvalidConfigError
        If there is no such network, a key is missing, or a value is not allowed.

    Examples
    --------
    >>> config = {"arch": "mobilenet_v2", "class_num": 10, "width_multi": 0.25, "input_channel": 32}
    >>> build_imagenet_network({**config, "last_channel": 64, "dropout": 0.2}).get_message()
    'MobileNetV2: width x0.25, last channels 64, 10 classes'
    """
    kind = config.get("super_type", "basic") if isinstance(config, Mapping) else "basic"
    if isinstance(kind, str) and kind == "basic":
        return _built(config, "an ImageNet network", _chosen(config, "an ImageNet network", "arch", _IMAGENET))
    table = _chosen(config, "an ImageNet network", "super_type", {"infer-shape": _INFERRED_IMAGENET}, ("basic",))
    what = "an infer-shape ImageNet network"
    return _built(config, what, _chosen(config, what, "arch", table))


def build_search_network(config: Mapping[str, Any]) -> SearchResNet:
    """Build one of the benchmark's residual networks to search.

    Parameters
    ----------
    config : mapping of str to value
        ``dataset`` ``"cifar"``, with ``arch`` ``"resnet"`` and ``search_mode`` ``"width"``, ``"depth"`` or ``"shape"``
        (:func:`search_cifar_resnet`), or ``"simres"`` and ``"width"`` (:func:`search_simple_resnet`); or
        ``"imagenet"``, with ``"resnet"`` and ``"shape"`` (:func:`search_imagenet_resnet`). The other keys are the
        arguments of these functions; further keys are ignored.

    Returns
    -------
    SearchResNet

    Raises
    ------
    InvalidConfigError
        If there is no such network, a key is missing, or a value is not allowed.

    Examples
    --------
    >>> config = {"dataset": "cifar", "arch": "simres", "search_mode": "width", "depth": 5, "class_num": 10}
    >>> build_search_network(config).get_message()
    'ResNet to search widths: depth 5, blocks of each stage [1, 1, 1]'
    """
    what = "a network to search"
    required(config, what, "dataset", "arch", "search_mode")
    archs = _chosen(config, what, "dataset", _SEARCHED)
    modes = _chosen(config, f"a {config['dataset']} network to search", "arch", archs)
    what = f"a {config['dataset']} {config['arch']} to search"
    return _built(config, what, _chosen(config, what, "search_mode", modes))


def _chosen(config: Mapping[str, Any], what: str, key: str, table: Mapping[str, _V], also: tuple[str, ...] = ()) -> _V:
    """Return a table's entry by a key of the config."""
    [name] = required(config, what, key)
    check_name(f"{key} of {what}", name, (*also, *table))
    return table[name]


def _built(config: Mapping[str, Any], what: str, recipe: tuple[Callable[..., _V], tuple[str, ...]]) -> _V:
    build, keys = recipe
    values = required(config, what, *keys)
    empty = [key for key, value in zip(keys, values, strict=True) if value is None]
    if empty:
        raise InvalidConfigError(f"the config of {what} has no value of {empty[0]!r}: it is None.")
    return build(**{_ARGUMENTS.get(key, key): value for key, value in zip(keys, values, strict=True)})
