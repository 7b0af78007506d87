"""Networks: the PyTorch inference network of one architecture under one config, as it is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from hwnas_surrogate.errors import InvalidArchitectureError, InvalidInputError
from hwnas_surrogate.networks.fbnet import FBNetNetwork
from hwnas_surrogate.networks.nasbench201 import NASBench201Network
from hwnas_surrogate.networks.natsbench_size import NATSBenchSizeNetwork
from hwnas_surrogate.networks.onnx_model import to_onnx
from hwnas_surrogate.spaces import (
    Archs,
    ChoiceSpace,
    ConfigLike,
    NetworkConfig,
    RandomState,
    SearchSpace,
    as_generator,
    get_space,
    space_names,
)
from hwnas_surrogate.spaces.reading import foreign

__all__ = ["FBNetNetwork", "NASBench201Network", "NATSBenchSizeNetwork", "build_network", "example_inputs", "to_onnx"]

_NETWORKS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {"nasbench201": NASBench201Network, "fbnet": FBNetNetwork, "natsbench-size": NATSBenchSizeNetwork}
)
"""The networks of this package's spaces; other spaces build their own (:meth:`SearchSpace.build`)."""


def build_network(
    arch: Archs | Mapping[str, Any],
    config: ConfigLike = None,
    space: str | SearchSpace | None = None,
    random_state: RandomState = None,
) -> nn.Module:
    """Build the inference network of one architecture, in eval mode.

    It calls every module of the architecture, including dead edges, exactly as in the benchmark's measurements.
    ``space.graph(arch, config)`` is its graph. State names are the published ones, so that published checkpoints load
    with ``load_state_dict``. The weights are PyTorch's default initialisation. PyTorch's global generators are not
    changed.

    Parameters
    ----------
    arch : str, int, sequence, array or mapping
        One architecture in any form that the space accepts, or the dict that the benchmark's
        ``get_net_config`` returns; in a :class:`~hwnas_surrogate.spaces.ChoiceSpace`, a mapping of positions to values.
    config : NetworkConfig, str, mapping or None, default=None
        Anything that ``space.config`` accepts. None means the dict's own config if ``arch`` is a dict, otherwise the
        space's first published one (CIFAR-10 for NAS-Bench-201, CIFAR-100 for FBNet).
    space : {"nasbench201", "fbnet"}, SearchSpace or None, default=None
        None means the space of the given dict or config, or NAS-Bench-201 if neither determines it.
    random_state : int, numpy Generator or None, default=None
        The same seed gives the same weights; None gives fresh ones.

    Returns
    -------
    torch.nn.Module
        Input float32 of shape (batch, in_channels, height, width). A :class:`NASBench201Network` returns
        ``(features, logits)``, of shapes (batch, 4C) and (batch, num_classes); an :class:`FBNetNetwork` returns
        logits, of shape (batch, num_classes). A network of the size space returns features and logits. For a custom
        space, the network is the result of :meth:`~hwnas_surrogate.spaces.SearchSpace.build`.

    Raises
    ------
    InvalidArchitectureError
        If ``arch`` is not an architecture of the space, is another space's dict, or is more than one architecture.
    InvalidConfigError
        If ``config`` is not a config of the space, or the architecture can't be built under it.
    InvalidInputError
        If there is no such space, or ``random_state`` is neither a seed, a generator nor None.

    References
    ----------
    .. [1] Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search",
       ICLR 2020.
    .. [2] Wu et al., "FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable Neural Architecture
       Search", CVPR 2019.

    Examples
    --------
    >>> import torch
    >>> network = build_network(0, "cifar100", random_state=0)
    >>> features, logits = network(torch.zeros(1, 3, 32, 32))
    >>> features.shape, logits.shape
    (torch.Size([1, 64]), torch.Size([1, 100]))
    >>> build_network([0] * 21 + [8], space="fbnet")(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 100])
    """
    chosen = _choose_space(arch, config, space)
    try:
        ops = _ops(chosen, arch)
    except InvalidArchitectureError as error:
        guessed = space is None and _space_of(arch) is None and _space_of(config) is None
        if guessed and foreign(arch, chosen.ops) is None:
            raise InvalidArchitectureError(f"{error} {_hint(chosen)}") from None
        raise
    if config is None and isinstance(arch, Mapping):
        config = arch
    return _initialised(chosen, ops, chosen.config(config), random_state)


def example_inputs(
    space: str | SearchSpace, arch: Archs | Mapping[str, Any], config: ConfigLike = None, batch: int = 1
) -> tuple[torch.Tensor, ...]:
    """Return tensors that the network of one architecture takes, on the CPU.

    Parameters
    ----------
    space : str or SearchSpace
    arch : architecture
        One, in any form that the space accepts.
    config : config, optional
        The space's first published one if None.
    batch : int, default=1
        The number of images.

    Returns
    -------
    tuple of torch.Tensor
        Normal noise of shape ``(batch, *config.input_shape)``, always the same, or what a space of one's own gives
        (:meth:`~hwnas_surrogate.capture.ModuleSpace.example_inputs`).

    Examples
    --------
    >>> [image] = example_inputs("nasbench201", 0, "ImageNet16-120")
    >>> image.shape
    torch.Size([1, 3, 16, 16])
    """
    chosen = get_space(space)
    of = chosen.config(config)
    with torch.device("cpu"):
        own = chosen.inputs(arch, of)
        if own is None:
            return (torch.randn(batch, *of.input_shape, generator=torch.Generator().manual_seed(0)),)
    if batch != 1:
        raise InvalidInputError(f"{chosen.name} gives the inputs of its networks itself, so that batch must be 1.")
    return own


def _ops(space: SearchSpace, arch: Archs | Mapping[str, Any]) -> list[int]:
    if isinstance(arch, Mapping) and (_space_of(arch) is not None or foreign(arch, space.ops) is None):
        return list(map(int, space.arch_from_dict(arch)))
    batch = space.as_array(arch)  # a state_dict is refused here
    if len(batch) != 1:
        raise InvalidArchitectureError(
            f"build_network builds the network of one {space.title} architecture, got {len(batch)}. "
            "Call it once per architecture."
        )
    ops: list[int] = batch[0].tolist()
    return ops


def _hint(guessed: SearchSpace) -> str:
    others = ", ".join(f"space={name!r}" for name in space_names() if name != guessed.name)
    return f"It was read as {guessed.title}'s, because no space was given; for another pass {others}."


def _choose_space(arch: Archs | Mapping[str, Any], config: ConfigLike, space: str | SearchSpace | None) -> SearchSpace:
    implied = _space_of(arch)
    if space is None:
        return get_space(implied or _space_of(config) or "nasbench201")
    chosen = get_space(space)
    if implied is not None and implied != chosen.name and not isinstance(chosen, ChoiceSpace):
        raise InvalidArchitectureError(
            f"the dict is a config of {get_space(implied).title}, but space is {chosen.name!r}. "
            f"Pass space={implied!r}, or leave space out."
        )
    return chosen


def _space_of(value: object) -> str | None:
    """Return the space of a config, by its class, or of a published dict, by keys that only one space has."""
    if isinstance(value, Mapping):
        if "op_idx_list" in value or "dataset" in value:
            return "fbnet"
        if "channels" in value:
            return "natsbench-size"
        return "nasbench201" if "C" in value or isinstance(value.get("arch_str"), str) else None
    found = [name for name in space_names() if isinstance(value, get_space(name).config_class)]
    return found[0] if len(found) == 1 else None


def _initialised(space: SearchSpace, ops: list[int], config: NetworkConfig, random_state: RandomState) -> nn.Module:
    """Construct in eval mode, under a forked CPU generator, so that the global ones do not change."""
    seed = int(as_generator(random_state).integers(2**63))
    target = torch.get_default_device()
    # Weights are always drawn on the CPU, so that a seed gives the same weights on every device.
    on_cpu = nullcontext() if target.type == "cpu" else torch.device("cpu")
    with torch.random.fork_rng(devices=[]), on_cpu:
        torch.default_generator.manual_seed(seed)
        network = _construct(space, ops, config)
    return network.eval() if target.type == "cpu" else network.eval().to(target)


def _construct(space: SearchSpace, ops: list[int], config: NetworkConfig) -> nn.Module:
    network = _NETWORKS[space.name](ops, config) if space.name in _NETWORKS else space.construct(ops, config)
    if not isinstance(network, nn.Module):
        raise InvalidInputError(f"{type(space).__name__}.build must return a torch.nn.Module, got {network!r:.80}.")
    return network
