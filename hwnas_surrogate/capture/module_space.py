"""Search spaces of PyTorch modules: a user's choices and a function that builds the network are enough."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.capture.parallel import Cache, Progress, Settings, captured_graphs
from hwnas_surrogate.errors import HWNASError, InvalidGraphError, InvalidInputError
from hwnas_surrogate.graphs import Graph, GraphBatch
from hwnas_surrogate.random_states import RandomState
from hwnas_surrogate.spaces import Archs, ChoiceSpace, ConfigLike, Configs, NetworkConfig, SearchSpace, get_space
from hwnas_surrogate.spaces.base import ArchArray

__all__ = ["ModuleSpace", "capture"]

_REPRESENTATIVES = 500
"""Networks that stand for a space: half a minute of capturing, once."""


class ModuleSpace(ChoiceSpace):
    """A search space of one's own: choices at each position, and a PyTorch module for each architecture.

    A subclass has a ``name``, its ``choices``, the shape of its input, and :meth:`build`; all else follows. Strings,
    indices and configs are those of :class:`~hwnas_surrogate.spaces.ChoiceSpace`. The graph of a network is captured
    from the module, which takes some hundredths of a second, and cached on disk, so that it is captured once
    (:func:`capture`).

    Attributes
    ----------
    name : str
    choices : mapping of str to sequence, or sequence of sequences
        The values that each position may hold: texts, numbers, booleans or None; at most 127.
    input_shape : tuple of int
        The input without the batch, float32. Networks with other inputs define :meth:`example_inputs`.
    version : int or str, optional
        Part of the identity of cached graphs. Files that :meth:`build` reads, and modules that it imports inside
        functions, are not noticed when they change: then raise it. In a notebook, where a class has no source file,
        graphs are cached on disk only if there is a version.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> class Stack(ModuleSpace):
    ...     name = "stack"
    ...     choices = {"depth": (1, 2), "width": (8, 16)}
    ...     input_shape = (3, 16, 16)
    ...
    ...     def build(self, arch, config):
    ...         widths = [3] + [arch["width"]] * arch["depth"]
    ...         layers = [nn.Conv2d(a, b, 3, padding=1) for a, b in zip(widths, widths[1:])]
    ...         return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10))
    >>> space = Stack()
    >>> space.batch(["depth=1,width=8", "depth=2,width=16"]).macs.tolist()
    [55376.0, 700576.0]
    """

    version: ClassVar[int | str | None] = None

    def __init__(self) -> None:
        if not hasattr(self, "held"):
            self.held: dict[str, Graph] = {}

    def build(self, arch: Mapping[Any, Any], config: Any) -> Any:
        """Return the PyTorch module of one architecture.

        Parameters
        ----------
        arch : mapping
            The chosen value of each position: from its name, or from its number if ``choices`` is a sequence.
        config : NetworkConfig
            An :class:`~hwnas_surrogate.spaces.InputConfig`, unless the class has configs of its own.

        Returns
        -------
        torch.nn.Module
        """
        raise InvalidInputError(f"{type(self).__name__} has no method build(arch, config) that returns a module.")

    def example_inputs(self, arch: Mapping[Any, Any], config: Any) -> Any:
        """Return what a network takes: a tensor or a tuple of them, whose shapes and number formats count.

        By default zeros, float32 of shape ``(1, *config.input_shape)``. Override it for token ids, for several inputs,
        or for inputs that depend on the architecture.
        """
        import torch

        if not config.input_shape:
            raise InvalidInputError(
                f"{type(self).__name__} has neither an input_shape, (3, 64, 64) say, nor example_inputs(arch, config)."
            )
        return torch.zeros(1, *config.input_shape)

    def inputs(self, arch: Archs, config: ConfigLike = None) -> tuple[Any, ...]:
        """Return the example inputs of one architecture; see :meth:`SearchSpace.inputs`."""
        made = self.example_inputs(self.values(arch), self.config(config))
        return tuple(made) if isinstance(made, (tuple, list)) else (made,)

    def graph(self, arch: Archs, config: ConfigLike = None) -> Graph:
        """Return the network of one architecture as a graph; see :meth:`SearchSpace.graph`."""
        return self.graphs(self._exactly_one(arch), config).graphs[0]

    def graphs(self, archs: Archs, config: ConfigLike = None) -> GraphBatch:
        """Return the networks of n architectures as graphs, under one config, captured or from the cache."""
        batch, of = self.as_array(archs), self.config(config)
        return GraphBatch(captured_graphs(self, batch, [of] * len(batch)))

    def representatives(self, n: int, random_state: RandomState = None) -> ArchArray:
        """Draw n different architectures that stand for the space, but 500 at most, since they are to be captured."""
        return super().representatives(min(n, _REPRESENTATIVES), random_state)

    def canonical(self, archs: Archs) -> list[str]:
        """Return the digest of each architecture's graph: equal for architectures that are the same network.

        A position need not always count: with a depth of two, the kernel of the third layer does not.
        """
        return [graph.digest for graph in self.graphs(archs).graphs]

    def captured(self, arch: npt.NDArray[np.int8], config: NetworkConfig) -> Graph:
        """Build and capture one network, without the cache.

        It is built on PyTorch's device ``meta``, where weights take neither time nor memory; if it can't be, on the
        CPU.

        Raises
        ------
        InvalidGraphError
            If it can't be built or captured; the message names the architecture.
        """
        with suppress(InvalidGraphError):  # what a module computes from its weights needs real ones
            return self._captured_on("meta", arch, config)
        return self._captured_on("cpu", arch, config)

    def _captured_on(self, torch_device: str, arch: npt.NDArray[np.int8], config: NetworkConfig) -> Graph:
        import torch
        from torch import nn

        what = f"{self.title}, {self.format(arch)} under {config}"
        try:
            with torch.random.fork_rng(devices=[]), torch.device(torch_device):
                module, inputs = self.build(self.values(arch), config), self.inputs(arch, config)
        except HWNASError:
            raise
        except Exception as error:
            raise InvalidGraphError(f"{what}: build fails: {type(error).__name__}: {error!s:.300}") from error
        if not isinstance(module, nn.Module):
            raise InvalidInputError(f"{type(self).__name__}.build must return a torch.nn.Module, got {module!r:.80}.")
        try:
            return Graph.from_torch(module.eval(), *inputs)
        except InvalidGraphError as error:
            raise InvalidGraphError(f"{what}: {error}") from error


def capture(
    space: str | SearchSpace,
    archs: Archs,
    configs: Configs = None,
    *,
    n_jobs: int | None = None,
    cache: Cache = None,
    progress: Progress | None = None,
) -> GraphBatch:
    """Return the networks of a :class:`ModuleSpace` as graphs: from the cache, or captured in several processes.

    Graphs are the same for every number of processes. What is captured is kept about every second, so a run that was
    stopped goes on where it was. Afterwards, everything that asks for these networks finds them: ``space.batch``,
    surrogates, tables.

    A file of the cache belongs to one space and one state of its code: its own source, that of the modules that it
    imports, the versions of the installed ones, and its ``version``. A change of any of them starts a new file. Two of
    the first networks that a process finds in a file are captured again: if they differ, the file is dropped, with a
    warning.

    Parameters
    ----------
    space : str or ModuleSpace
    archs : architectures
        n of them, in any form that the space accepts.
    configs : config or sequence of n configs, optional
        The space's first config if None.
    n_jobs : int, optional
        Processes, as in :func:`~hwnas_surrogate.jobs.in_parallel`. A space of a script is sent to them; they import
        others.
    cache : path-like, False or None
        The folder for captured graphs; the user's cache folder (or ``$HWNAS_CACHE``) if None; False keeps them in
        memory only.
    progress : callable, optional
        Called with the number of distinct networks done so far, and of all.

    Returns
    -------
    GraphBatch
        n networks, named by their architectures.

    Raises
    ------
    InvalidInputError
        If it is no such space, it can't be sent to other processes, or ``n_jobs`` is no number of processes.
    InvalidArchitectureError, InvalidConfigError
        If an architecture or a config is not of this space.
    InvalidGraphError
        If a network can't be built or captured; those captured before are kept.
    DataFileError
        If a given folder can't be read or written; for the user's cache folder, it is a warning.

    Examples
    --------
    >>> from torch import nn
    >>> class Line(ModuleSpace):
    ...     name = "line"
    ...     choices = {"width": range(1, 100)}
    ...     input_shape = (8,)
    ...
    ...     def build(self, arch, config):
    ...         return nn.Linear(8, arch["width"])
    >>> capture(Line(), [0, 1, 98], cache=False).params.tolist()
    [9.0, 18.0, 891.0]
    """
    found = get_space(space)
    if not isinstance(found, ModuleSpace):
        raise InvalidInputError(
            f"capture takes a ModuleSpace, whose networks are PyTorch modules, got {type(found).__name__}; the "
            "graphs of other spaces are batch(archs).graphs()."
        )
    batch = found.as_array(archs)
    distinct, number = found.group_configs(configs, len(batch))
    of_each = [distinct[which] for which in number]
    graphs = captured_graphs(found, batch, of_each, Settings(n_jobs, cache, progress))
    return GraphBatch(graphs, found.format_all(batch))
