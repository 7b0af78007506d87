"""Build a cell network from the benchmark's config dict."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from torch import nn

from hwnas_surrogate.errors import InvalidConfigError
from hwnas_surrogate.networks.arguments import check_name, flag, required
from hwnas_surrogate.networks.cells.inference import SizedCellNetwork, StructureNetwork
from hwnas_surrogate.networks.cells.nasnet import NASNetOnCIFAR
from hwnas_surrogate.networks.cells.nasnet_search import NASNET_SUPER_NETS
from hwnas_surrogate.networks.cells.sized_search import SizeSearchNetwork
from hwnas_surrogate.networks.cells.strategies import CELL_SUPER_NETS

__all__ = ["build_cell_network"]

_WHAT = "a cell network"
_INFERENCE = ("infer.tiny", "infer.shape.tiny")


def build_cell_network(config: Mapping[str, Any]) -> nn.Module:
    """Build a cell network from a config of the benchmark.

    ``super_type`` decides first (``"basic"`` if it is absent), then ``name``:

    - ``super_type`` ``"basic"``, ``name`` a key of :data:`CELL_SUPER_NETS`: a searchable cell network, from C, N,
      max_nodes, num_classes, space (a list of operations), affine and track_running_stats
    - ``"search-shape"``: the size space's super-net, from candidate_Cs, max_num_Cs, genotype, num_classes, affine and
      track_running_stats
    - ``"nasnet-super"``, ``name`` a key of :data:`NASNET_SUPER_NETS`: a NASNet-style super-net, from C, N, steps,
      multiplier, stem_multiplier, num_classes, space, affine and track_running_stats
    - ``"infer-nasnet.cifar"``: the NASNet-style inference network, from C (or ichannel), N (or layers), stem_multi,
      class_num, genotype and auxiliary
    - ``name`` ``"infer.tiny"``: the inference network of one cell, from C, N, num_classes, and genotype or arch_str;
      genotype wins
    - ``name`` ``"infer.shape.tiny"``: the size space's inference network, from channels, genotype and num_classes

    Parameters
    ----------
    config : mapping
        Keys that a network does not need are ignored.

    Returns
    -------
    torch.nn.Module
        In training mode, with PyTorch's default initialisation.

    Raises
    ------
    InvalidConfigError
        If a name is unknown, a key is missing, or a value is not allowed.
    InvalidArchitectureError
        If a genotype is malformed, or one of another kind of network.

    Examples
    --------
    >>> import torch
    >>> config = {"name": "infer.tiny", "C": 4, "N": 1, "arch_str": "|nor_conv_1x1~0|+|none~0|skip_connect~1|"}
    >>> features, logits = build_cell_network(config | {"num_classes": 7})(torch.zeros(2, 3, 8, 8))
    >>> logits.shape
    torch.Size([2, 7])
    """
    required(config, _WHAT)
    with _uncollected():
        return _built(_Config(config))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep Python from looking for garbage meanwhile: a super-net has 100,000 objects, and none is garbage."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _built(of: _Config) -> nn.Module:
    config = of.config
    super_type, name = (_text(config.get(key, default)) for key, default in (("super_type", "basic"), ("name", None)))
    if super_type is None:
        _refuse(of)
    if super_type == "basic" and name in CELL_SUPER_NETS:
        return _super_net(of)
    if super_type == "search-shape":
        return SizeSearchNetwork(of["candidate_Cs"], of["max_num_Cs"], of["genotype"], of["num_classes"], *of.norm())
    if super_type == "nasnet-super":
        return _nasnet_super_net(of)
    if super_type == "infer-nasnet.cifar":
        return _nasnet(of)
    if name == "infer.tiny":
        return StructureNetwork(of["C"], of["N"], of.cell(), of["num_classes"])
    if name == "infer.shape.tiny":
        return SizedCellNetwork(of["channels"], of["genotype"], of["num_classes"])
    if name == "infer.nasnet-cifar":
        raise InvalidConfigError(
            "no network is built by the name 'infer.nasnet-cifar'; the NASNet-style network on CIFAR has the "
            "super_type 'infer-nasnet.cifar', with C, N, stem_multi, class_num, genotype and auxiliary."
        )
    _refuse(of)


def _text(value: Any) -> str | None:
    """Return a name; None if it is something else, which may have no truth value or hash."""
    return value if isinstance(value, str) else None


def _refuse(of: _Config) -> NoReturn:
    types = ("basic", "search-shape", "nasnet-super", "infer-nasnet.cifar")
    check_name("super_type of a cell network", of.config.get("super_type", "basic"), types)
    check_name("name of a cell network", of["name"], (*CELL_SUPER_NETS, *_INFERENCE))
    raise AssertionError("every allowed name builds a network")


def _super_net(of: _Config) -> nn.Module:
    make = CELL_SUPER_NETS[of["name"]]
    return make(of["C"], of["N"], of["max_nodes"], of["num_classes"], of["space"], *of.norm())


def _nasnet_super_net(of: _Config) -> nn.Module:
    name = of["name"]
    check_name("name of a NASNet-style super-net", name, NASNET_SUPER_NETS)
    return NASNET_SUPER_NETS[name](
        of["C"],
        of["N"],
        of["steps"],
        of["multiplier"],
        of["stem_multiplier"],
        of["num_classes"],
        of["space"],
        *of.norm(),
    )


def _nasnet(of: _Config) -> nn.Module:
    return NASNetOnCIFAR(
        of["C" if of.has("C") else "ichannel"],
        of["N" if of.has("N") else "layers"],
        of["stem_multi"],
        of["class_num"],
        of["genotype"],
        of.switch("auxiliary"),
    )


class _Config:
    """A config's values, checked as they are read."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config

    def __getitem__(self, key: str) -> Any:
        """Return a value; raise if there is none."""
        [value] = required(self.config, _WHAT, key)
        return value

    def has(self, key: str) -> bool:
        return key in self.config

    def switch(self, key: str) -> bool:
        return flag(key, self[key])

    def norm(self) -> tuple[bool, bool]:
        return self.switch("affine"), self.switch("track_running_stats")

    def cell(self) -> Any:
        """Return the cell of ``infer.tiny``."""
        for key in ("genotype", "arch_str"):
            if self.config.get(key) is not None:
                return self.config[key]
        raise InvalidConfigError(
            f"infer.tiny needs a cell, as genotype (a CellStructure) or arch_str; the config has "
            f"{', '.join(map(repr, self.config)) or 'nothing':.400}."
        )
