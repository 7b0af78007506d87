"""The networks of the benchmark's configs: a mapping of names to values -> a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from hwnas_surrogate.errors import InvalidConfigError, unknown
from hwnas_surrogate.networks.residual.arguments import required
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

_Builder = Callable[..., nn.Module]


def _inferred_width(module: str, depth: int, xchannels: Any, classes: int, zero: bool) -> nn.Module:
    return inferred_cifar_resnet(module, depth, classes, zero, xchannels=xchannels)


def _inferred_depth(module: str, depth: int, xblocks: Any, classes: int, zero: bool) -> nn.Module:
    return inferred_cifar_resnet(module, depth, classes, zero, xblocks=xblocks)


def _inferred_shape(module: str, depth: int, xblocks: Any, xchannels: Any, classes: int, zero: bool) -> nn.Module:
    return inferred_cifar_resnet(module, depth, classes, zero, xblocks, xchannels)


_CIFAR: Mapping[str, tuple[_Builder, tuple[str, ...]]] = {
    "resnet": (cifar_resnet, ("module", "depth", "class_num", "zero_init_residual")),
    "densenet": (DenseNet, ("growthRate", "depth", "reduction", "class_num", "bottleneck")),
    "wideresnet": (WideResNet, ("depth", "wide_factor", "class_num", "dropout")),
}
_INFERRED_CIFAR: Mapping[str, tuple[_Builder, tuple[str, ...]]] = {
    "infer-width": (_inferred_width, ("module", "depth", "xchannels", "class_num", "zero_init_residual")),
    "infer-depth": (_inferred_depth, ("module", "depth", "xblocks", "class_num", "zero_init_residual")),
    "infer-shape": (_inferred_shape, ("module", "depth", "xblocks", "xchannels", "class_num", "zero_init_residual")),
}
_IMAGENET: Mapping[str, tuple[_Builder, tuple[str, ...]]] = {
    "resnet": (
        ImageNetResNet,
        ("block_name", "layers", "deep_stem", "class_num", "zero_init_residual", "groups", "width_per_group"),
    ),
    "mobilenet_v2": (MobileNetV2, ("class_num", "width_multi", "input_channel", "last_channel", "dropout")),
}
_INFERRED_IMAGENET: Mapping[str, tuple[_Builder, tuple[str, ...]]] = {
    "resnet": (
        inferred_imagenet_resnet,
        ("block_name", "layers", "xblocks", "xchannels", "deep_stem", "class_num", "zero_init_residual"),
    ),
    "MobileNetV2": (InferredMobileNetV2, ("class_num", "xchannels", "xblocks", "dropout")),
}


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
    kind = _super_type(config, "a CIFAR network", ("basic", *_INFERRED_CIFAR))
    if kind == "basic":
        return _built(config, "arch", _CIFAR, "CIFAR network")
    builder, names = _INFERRED_CIFAR[kind]
    return builder(*required(config, f"{kind} CIFAR networks", *names))


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
    kind = _super_type(config, "an ImageNet network", ("basic", "infer-shape"))
    if kind == "basic":
        return _built(config, "arch", _IMAGENET, "ImageNet network")
    return _built(config, "arch", _INFERRED_IMAGENET, "inferred ImageNet network")


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
    dataset, arch, mode = required(config, "a network to search", "dataset", "arch", "search_mode")
    allowed = {("cifar", "resnet"): ("width", "depth", "shape"), ("cifar", "simres"): ("width",)}
    allowed["imagenet", "resnet"] = ("shape",)
    if (datasets := sorted({name for name, _ in allowed})) and dataset not in datasets:
        raise unknown(InvalidConfigError, "dataset of a network to search", dataset, datasets)
    archs = [name for of, name in allowed if of == dataset]
    if arch not in archs:
        raise unknown(InvalidConfigError, f"arch of a network to search on {dataset}", arch, archs)
    if mode not in allowed[dataset, arch]:
        raise unknown(InvalidConfigError, f"search_mode of {dataset} {arch}", mode, allowed[dataset, arch])
    what = f"a {dataset} {arch} to search"
    if arch == "simres":
        return search_simple_resnet(*required(config, what, "depth", "class_num"))
    if dataset == "cifar":
        return search_cifar_resnet(mode, *required(config, what, "module", "depth", "class_num"))
    return search_imagenet_resnet(*required(config, what, "block_name", "layers", "deep_stem", "class_num"))


def _super_type(config: Mapping[str, Any], what: str, allowed: tuple[str, ...]) -> str:
    required(config, what)
    kind = config.get("super_type", "basic")
    if not isinstance(kind, str) or kind not in allowed:
        raise unknown(InvalidConfigError, f"super_type of {what}", kind, allowed)
    return kind


def _built(
    config: Mapping[str, Any], key: str, builders: Mapping[str, tuple[_Builder, tuple[str, ...]]], what: str
) -> nn.Module:
    [name] = required(config, f"a {what}", key)
    if not isinstance(name, str) or name not in builders:
        raise unknown(InvalidConfigError, f"{key} of a {what}", name, builders)
    builder, names = builders[name]
    return builder(*required(config, f"a {what} {name}", *names))
