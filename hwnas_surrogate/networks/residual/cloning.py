"""Copying weights from a wider network: every convolution takes the leading channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.networks.residual.base import ConvUnit, ResidualBlock
from hwnas_surrogate.networks.residual.search_units import SearchBlock, SearchConv

__all__ = ["copy_base", "copy_basic", "copy_bn", "copy_conv", "copy_fc", "init_from_model"]

_Unit = ConvUnit | SearchConv
_Block = ResidualBlock | SearchBlock


@torch.no_grad()
def copy_conv(module: nn.Conv2d, init: nn.Conv2d) -> None:
    """Copy the weights of a convolution's leading channels.

    Parameters
    ----------
    module : torch.nn.Conv2d
        Is changed.
    init : torch.nn.Conv2d
        Has as many channels or more, and the same kernel.

    Raises
    ------
    InvalidInputError
        If a layer is of another kind, or the second one is too small.
    """
    _check_kind(nn.Conv2d, module, init)
    _copy(module.weight, init.weight, "the weight of a convolution")
    _copy(module.bias, init.bias, "the bias of a convolution")


@torch.no_grad()
def copy_bn(module: nn.BatchNorm2d, init: nn.BatchNorm2d) -> None:
    """Copy the weights and statistics of a batch norm's leading channels; see :func:`copy_conv`."""
    _check_kind(nn.BatchNorm2d, module, init)
    for name in ("weight", "bias", "running_mean", "running_var"):
        _copy(getattr(module, name), getattr(init, name), f"the {name} of a batch norm")


@torch.no_grad()
def copy_fc(module: nn.Linear, init: nn.Linear) -> None:
    """Copy the weights of a fully connected layer's leading features and outputs; see :func:`copy_conv`."""
    _check_kind(nn.Linear, module, init)
    _copy(module.weight, init.weight, "the weight of a fully connected layer")
    _copy(module.bias, init.bias, "the bias of a fully connected layer")


def copy_base(module: _Unit, init: _Unit) -> None:
    """Copy a convolution with its batch norm, if both have one; see :func:`copy_conv`.

    From a convolution whose width was searched, the batch norm of the smallest width that suffices is copied.
    """
    if not isinstance(module, _Unit) or not isinstance(init, _Unit):
        raise InvalidInputError(
            f"weights are copied between units of a convolution, got {type(module).__name__} and {type(init).__name__}."
        )
    copy_conv(module.conv, init.conv)
    for norm in _norms(module):
        if source := [wide for wide in _norms(init) if wide.num_features >= norm.num_features]:
            copy_bn(norm, source[0])


def copy_basic(module: _Block, init: _Block) -> None:
    """Copy a residual block, a bottleneck too; see :func:`copy_base`.

    A shortcut keeps its weights if the other block's shortcut has none.

    Raises
    ------
    InvalidInputError
        If the blocks are of different kinds, or the second one is too small.
    """
    if not isinstance(module, _Block) or not isinstance(init, _Block) or module.names != init.names:
        raise InvalidInputError(
            f"weights are copied between residual blocks of one kind, got {_described(module)} and {_described(init)}."
        )
    for name in module.names:
        copy_base(getattr(module, name), getattr(init, name))
    if module.downsample is not None and init.downsample is not None:
        copy_base(module.downsample, init.downsample)


def init_from_model(network: nn.Module, init_model: nn.Module) -> None:
    """Initialise a residual network with the weights of a wider or deeper one.

    Blocks are matched by their stage and their number in it, so the other network may have more of them.

    Parameters
    ----------
    network : torch.nn.Module
        A CIFAR ResNet, an inferred or a searched network. Is changed.
    init_model : torch.nn.Module
        Another one of the same blocks.

    Raises
    ------
    InvalidInputError
        If a network is of another kind, or a layer has no counterpart that is large enough.

    Examples
    --------
    >>> from hwnas_surrogate.networks.residual import cifar_resnet, inferred_cifar_resnet
    >>> wide = cifar_resnet("ResNetBasicblock", 8, 10, False)
    >>> slim = inferred_cifar_resnet("ResNetBasicblock", 8, 10, False, xchannels=[3, 8, 7, 6, 10, 12, 20, 24])
    >>> init_from_model(slim, wide)
    >>> torch.equal(slim.layers[0].conv.weight, wide.layers[0].conv.weight[:8])
    True
    """
    targets, sources = _units(network), _units(init_model)
    missing = [key for key in targets if key not in sources]
    if missing:
        raise InvalidInputError(f"the other network has no layer for {missing[0]} of this one.")
    for key, target in targets.items():
        source = sources[key]
        if isinstance(target, _Unit) and isinstance(source, _Unit):
            copy_base(target, source)
        elif isinstance(target, _Block) and isinstance(source, _Block):
            copy_basic(target, source)
    copy_fc(_classifier(network), _classifier(init_model))


def _units(network: nn.Module) -> dict[str, _Unit | _Block]:
    """Return convolutions and blocks by their position."""
    layers = getattr(network, "layers", ())
    found: dict[str, _Unit | _Block] = {}
    for layer in layers:
        if isinstance(layer, _Block):
            found["stage {}, block {}".format(*layer.position)] = layer
        elif isinstance(layer, _Unit):
            found[f"stem convolution {len(found)}"] = layer
    if not found:
        raise InvalidInputError(
            f"weights are copied between CIFAR ResNets, inferred and searched networks, got {type(network).__name__}."
        )
    return found


def _classifier(network: nn.Module) -> nn.Linear:
    classifier = network.get_submodule("classifier")
    assert isinstance(classifier, nn.Linear)
    return classifier


def _norms(unit: _Unit) -> list[nn.BatchNorm2d]:
    """Return a unit's batch norms, narrow ones first."""
    several = getattr(unit, "BNs", None)
    norms = [getattr(unit, "bn", None)] if several is None else list(several)
    return [norm for norm in norms if isinstance(norm, nn.BatchNorm2d)]


def _described(block: object) -> str:
    return "+".join(block.names) if isinstance(block, _Block) else type(block).__name__


def _check_kind(kind: type[nn.Module], *modules: object) -> None:
    for module in modules:
        if not isinstance(module, kind):
            raise InvalidInputError(f"weights of {kind.__name__} are copied, got {type(module).__name__}.")


def _copy(target: Tensor | None, source: Tensor | None, what: str) -> None:
    """Copy the leading part; nothing if one of both is absent."""
    if target is None or source is None:
        return
    shapes = tuple(target.shape), tuple(source.shape)
    fits = target.ndim == source.ndim and shapes[0][2:] == shapes[1][2:]
    if not fits or any(size > whole for size, whole in zip(*shapes, strict=True)):
        raise InvalidInputError(f"{what} of shape {shapes[0]} can't be a part of one of shape {shapes[1]}.")
    target.copy_(source[tuple(slice(size) for size in target.shape)])
