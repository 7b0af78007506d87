"""The original's functions that build networks from configs: they map to this package's builders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from torch import nn

from hwnas_surrogate.config_utils import as_config_dict
from hwnas_surrogate.errors import DataFileError, InvalidConfigError, unknown
from hwnas_surrogate.nas_201_models.checkpoints import read_checkpoint
from hwnas_surrogate.networks.cells import build_cell_network, cell_search_spaces
from hwnas_surrogate.networks.residual import build_cifar_network, build_imagenet_network, build_search_network

__all__ = [
    "get_cell_based_tiny_net",
    "get_cifar_models",
    "get_imagenet_models",
    "get_search_spaces",
    "load_net_from_checkpoint",
    "obtain_model",
    "obtain_search_model",
]

_DATASETS = ("cifar", "imagenet")
_NEEDED = ("model-config", "base-model")


def get_cell_based_tiny_net(config: object) -> nn.Module:
    """Build a cell network: an inference network or a super-net.

    Parameters
    ----------
    config : mapping or attribute object
        See :func:`~hwnas_surrogate.networks.cells.build_cell_network`.

    Returns
    -------
    torch.nn.Module
        The network in training mode; its weights come from PyTorch's global generator.

    Raises
    ------
    InvalidConfigError
        If the config is not one of a cell network.
    InvalidArchitectureError
        If its genotype is not a cell.

    Examples
    --------
    >>> arch = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    >>> config = {"name": "infer.tiny", "C": 4, "N": 1, "arch_str": arch, "num_classes": 10}
    >>> get_cell_based_tiny_net(config).training
    True
    """
    return build_cell_network(as_config_dict(config))


def get_search_spaces(xtype: str, name: str) -> Any:
    """Return the operations of a cell space, or the candidate widths of a size space.

    Parameters
    ----------
    xtype : {"cell", "tss", "sss"}
        Cells ("cell" and "tss" are the same) or sizes.
    name : str
        The name of the space, for example "nas-bench-201" or "nats-bench-size".

    Returns
    -------
    list of str or dict
        Names of operations; or ``candidates`` and ``numbers``. It is a new object: changing it changes nothing else.

    Raises
    ------
    InvalidInputError
        If there is no such type or name.

    Examples
    --------
    >>> get_search_spaces("cell", "connect-nas")
    ['none', 'skip_connect', 'nor_conv_3x3']
    """
    return cell_search_spaces(xtype, name)


def get_cifar_models(config: object, extra_path: str | os.PathLike[str] | None = None) -> nn.Module:
    """Build a network for images of 32 x 32 pixels.

    Parameters
    ----------
    config : mapping or attribute object
        See :func:`~hwnas_surrogate.networks.residual.build_cifar_network`. Of the super type "infer-nasnet.cifar":
        ``C`` or ``ichannel``, ``N`` or ``layers``, ``stem_multi``, ``class_num``, ``genotype`` and ``auxiliary``.
    extra_path : path-like or None, default=None
        A checkpoint of a search; the genotype of its last epoch replaces that of the config. Only "infer-nasnet.cifar"
        reads it.

    Returns
    -------
    torch.nn.Module
        The network in training mode; its weights come from PyTorch's global generator.

    Raises
    ------
    InvalidConfigError
        If the config is not one of these networks.
    DataFileError
        If the checkpoint can't be read.
    """
    values = as_config_dict(config)
    if _super_type(values) != "infer-nasnet.cifar":
        return build_cifar_network(values)
    if extra_path is not None:
        values["genotype"] = _last_genotype(extra_path)
    return build_cell_network(values)


def get_imagenet_models(config: object) -> nn.Module:
    """Build a network for images of 224 x 224 pixels.

    Parameters
    ----------
    config : mapping or attribute object
        See :func:`~hwnas_surrogate.networks.residual.build_imagenet_network`.

    Returns
    -------
    torch.nn.Module
        The network in training mode; its weights come from PyTorch's global generator.

    Raises
    ------
    InvalidConfigError
        If the config is not one of these networks.
    """
    values = as_config_dict(config)
    _super_type(values)
    return build_imagenet_network(values)


def obtain_model(config: object, extra_path: str | os.PathLike[str] | None = None) -> nn.Module:
    """Build a network for the images of a dataset.

    Parameters
    ----------
    config : mapping or attribute object
        ``dataset`` is "cifar" (:func:`get_cifar_models`) or "imagenet" (:func:`get_imagenet_models`).
    extra_path : path-like or None, default=None
        See :func:`get_cifar_models`.

    Returns
    -------
    torch.nn.Module
        The network in training mode.

    Raises
    ------
    InvalidConfigError
        If the dataset is missing or unknown, or the config is not one of its networks.
    DataFileError
        If the checkpoint can't be read.
    """
    values = as_config_dict(config)
    if _dataset(values) == "imagenet":
        return get_imagenet_models(values)
    return get_cifar_models(values, extra_path)


def obtain_search_model(config: object) -> nn.Module:
    """Build a network whose width, depth or shape is searched.

    Parameters
    ----------
    config : mapping or attribute object
        See :func:`~hwnas_surrogate.networks.residual.build_search_network`.

    Returns
    -------
    torch.nn.Module
        The network in training mode; its weights come from PyTorch's global generator.

    Raises
    ------
    InvalidConfigError
        If the config is not one of these networks.
    """
    values = as_config_dict(config)
    _dataset(values)
    return build_search_network(values)


def _super_type(values: Mapping[str, Any]) -> str:
    kind = values.get("super_type", "basic")
    if not isinstance(kind, str):  # an array would be compared with every name, element by element
        raise InvalidConfigError(f"super_type must be a text, such as 'basic', got {kind!r:.100}.")
    return kind


def _dataset(values: Mapping[str, Any]) -> str:
    if "dataset" not in values:
        found = ", ".join(map(repr, values)) or "nothing"
        raise InvalidConfigError(f"the config needs 'dataset' ('cifar' or 'imagenet'); it has {found}.")
    dataset = values["dataset"]
    if not isinstance(dataset, str) or dataset not in _DATASETS:
        hint = "CIFAR-10 and CIFAR-100 differ in class_num only."
        raise unknown(InvalidConfigError, "dataset", dataset, _DATASETS, hint)
    return dataset


def _last_genotype(path: str | os.PathLike[str]) -> Any:
    """Return the genotype that a search had after the last epoch of its checkpoint."""
    content = read_checkpoint(path)
    epoch, genotypes = content.get("epoch"), content.get("genotypes")
    if isinstance(epoch, bool) or not isinstance(epoch, int) or not isinstance(genotypes, (dict, list)):
        found = ", ".join(map(repr, content)) or "nothing"
        raise DataFileError(
            f"{path} is no checkpoint of a search: it needs 'epoch' (an integer) and 'genotypes' (by epoch), "
            f"got {found:.300}."
        )
    known = genotypes if isinstance(genotypes, dict) else dict(enumerate(genotypes))
    if epoch - 1 not in known:
        raise DataFileError(
            f"{path} has no genotype of epoch {epoch - 1}, the one before its 'epoch'; it has {list(known)!r:.200}."
        )
    return known[epoch - 1]


def load_net_from_checkpoint(checkpoint: str | os.PathLike[str]) -> nn.Module:
    """Build the network of a checkpoint, with its weights.

    Parameters
    ----------
    checkpoint : path-like
        A file that :func:`torch.save` wrote: a dict with ``model-config`` (the config that
        :func:`~hwnas_surrogate.nas_201_models.obtain_model` takes: a dict, a namedtuple or a namespace) and
        ``base-model`` (the network's state). Other entries are not read.

    Returns
    -------
    torch.nn.Module
        The network in training mode, on the CPU.

    Raises
    ------
    DataFileError
        If the file can't be read, holds anything that is not on the allow-list, lacks an entry, or has the weights of
        another network.
    InvalidConfigError
        If its config is not one of a network.
    """
    content = read_checkpoint(checkpoint)
    missing = [name for name in _NEEDED if name not in content]
    if missing:
        found = ", ".join(map(repr, content)) or "nothing"
        raise DataFileError(f"{checkpoint} has no {missing[0]!r}; it has {found:.300}. Needed: {', '.join(_NEEDED)}.")
    network = obtain_model(as_config_dict(content["model-config"]))
    state = content["base-model"]
    if not isinstance(state, Mapping):
        raise DataFileError(f"{checkpoint}: 'base-model' must be a network's state, got {type(state).__name__}.")
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise DataFileError(f"{checkpoint}: 'base-model' is not the state of the config's network: {error}") from error
    return network
