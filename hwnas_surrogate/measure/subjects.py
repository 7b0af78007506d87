"""What is measured: an architecture of a search space, or a network that a user names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import torch

from hwnas_surrogate.capture import GivenNetwork, OnnxFile, UserModule
from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure.runnable import OnnxRunnable, Runnable, TorchRunnable
from hwnas_surrogate.measure.zoo import ZooModule, named_networks
from hwnas_surrogate.networks import build_network, example_inputs
from hwnas_surrogate.runner.protocol import Key
from hwnas_surrogate.spaces import get_space

__all__ = ["ArchSubject", "GivenSubject", "Subject", "from_message"]


@dataclass(frozen=True, slots=True)
class ArchSubject:
    """An architecture's network, or a part of it.

    Parameters
    ----------
    space : str
        The search space's name.
    arch : str
        The architecture.
    config : str
        The network config.
    part : str, default=""
        The name of a submodule to measure individually; the whole network if empty.
    """

    space: str
    arch: str
    config: str
    part: str = ""

    @property
    def key(self) -> Key:
        """The key that identifies it within its space."""
        return self.arch, self.config, self.part

    def message(self) -> dict[str, Any]:
        """Return it as plain values, for the measuring process."""
        return asdict(self)

    def build(self, batch: int = 1) -> Runnable:
        """Build it, with inputs of noise for a batch, or those that a space of one's own gives."""
        config = get_space(self.space).config(self.config)
        network = build_network(self.arch, config, self.space, random_state=0)
        inputs = example_inputs(self.space, self.arch, config, batch)
        if not self.part:
            return TorchRunnable(network, inputs)
        part = network.get_submodule(self.part)
        seen: list[tuple[int, ...]] = []
        hook = part.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
        with torch.inference_mode():
            network(*inputs)
        hook.remove()
        return TorchRunnable(part, (torch.randn(seen[0], generator=torch.Generator().manual_seed(0)),))


@dataclass(frozen=True, slots=True)
class GivenSubject:
    """A network that a user names. It is found again where it is measured: only texts are passed on.

    Parameters
    ----------
    name, source : str
        As of :class:`~hwnas_surrogate.capture.GivenNetwork`.
    input_shape : str or None
        As of :class:`~hwnas_surrogate.capture.OnnxFile`.
    fingerprint : str
        Its hash when the measurement began.
    """

    name: str
    source: str
    input_shape: str | None
    fingerprint: str

    @classmethod
    def of(cls, network: GivenNetwork) -> GivenSubject:
        """Describe a network as it is now."""
        shape = network.input_shape if isinstance(network, OnnxFile) else None
        return cls(network.name, network.source, shape, network.fingerprint())

    @property
    def key(self) -> Key:
        """The key that identifies it: after a change, it is another network."""
        return self.name, self.fingerprint, ""

    def message(self) -> dict[str, Any]:
        """Return it as plain values, for the measuring process."""
        return asdict(self)

    def build(self, batch: int = 1) -> Runnable:
        """Find it again, with the example inputs of a module, and random ones for an ONNX file.

        ``batch`` must be 1: the inputs have their own.
        """
        assert batch == 1
        with torch.inference_mode(False):  # weights that are made in it can't be captured
            network = _found(self.source, self.input_shape).get(self.name)
            is_same = network is not None and network.fingerprint() == self.fingerprint
        if network is None or not is_same:
            raise MeasurementError(
                f"{self.source} gives another network called {self.name!r:.80} than when the measurement began: it was "
                "changed, or it draws networks at random. Run the command again to measure it as it is now."
            )
        if isinstance(network, OnnxFile):
            return OnnxRunnable(network)
        assert isinstance(network, (UserModule, ZooModule))
        return TorchRunnable(*network.entry)


Subject: TypeAlias = ArchSubject | GivenSubject


@lru_cache(maxsize=8)
def _found(source: str, input_shape: str | None) -> Mapping[str, GivenNetwork]:
    """Return the networks of a source by their names; a user's file is run once in a process."""
    return {network.name: network for network in named_networks([source], input_shape)}


def from_message(message: Mapping[str, Any]) -> Subject:
    """Return the subject of a message."""
    return ArchSubject(**message) if "arch" in message else GivenSubject(**message)
