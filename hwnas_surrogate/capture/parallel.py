"""Capture many networks: what is cached is read, the others are captured in several processes, and kept at once."""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import RLock
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from joblib import effective_n_jobs

from hwnas_surrogate.capture.graph_store import GraphCacheWarning, GraphStore, cache_dir, decoded, encoded
from hwnas_surrogate.capture.source import source_hash
from hwnas_surrogate.errors import DataFileError
from hwnas_surrogate.graphs import Graph
from hwnas_surrogate.jobs.parallel import Progress, as_finished, checked_jobs
from hwnas_surrogate.spaces import NetworkConfig

__all__ = ["Cache", "Capturing", "Progress", "Settings", "captured_graphs", "capturing"]

Cache: TypeAlias = str | os.PathLike[str] | Literal[False] | None
"""A folder for captured graphs; the user's cache folder if None; False keeps them in memory only."""

_CHUNK = 8
"""Networks that a process captures before it hands them over: about a second of work."""
_FEW = 32
"""So many networks are captured before other processes would have started."""
_EVERY = 1.0
"""Seconds after which captured graphs are written, at the latest with the next one."""
_PROBES = 2
"""Cached networks that are captured again, to notice changes that the hash of the code does not show."""
_MOST_HELD = 4096
"""Graphs that are kept in memory."""
_ONE_AT_A_TIME = RLock()
"""Held while graphs are looked up or captured: threads wait, and find what the first of them has captured."""


class Capturing(Protocol):
    """A space that captures its networks, one at a time."""

    @property
    def held(self) -> dict[str, Graph]:
        """Graphs in memory, by key."""

    def captured(self, arch: npt.NDArray[np.int8], config: NetworkConfig) -> Graph:
        """Build and capture one network."""

    def format_all(self, archs: npt.NDArray[np.int8]) -> list[str]:
        """Write architectures as strings."""


@dataclass(frozen=True, slots=True, eq=False)
class _Network:
    """An architecture, int8 of shape (positions,), under a config, and the key of its graph."""

    arch: npt.NDArray[np.int8]
    config: NetworkConfig
    key: str


@dataclass(frozen=True, slots=True)
class Settings:
    """How networks are captured; see :func:`capturing`.

    Parameters
    ----------
    n_jobs : int, optional
    cache : path-like, False or None
    progress : callable, optional

    Raises
    ------
    InvalidInputError
        If ``n_jobs`` is no number of processes.
    """

    n_jobs: int | None = None
    cache: Cache = None
    progress: Progress | None = None

    def __post_init__(self) -> None:
        checked_jobs(self.n_jobs)


_settings: ContextVar[Settings | None] = ContextVar("_settings", default=None)


@contextmanager
def capturing(n_jobs: int | None = None, *, cache: Cache = None, progress: Progress | None = None) -> Iterator[None]:
    """Set how networks are captured inside a block, wherever a batch of them is asked for.

    Parameters
    ----------
    n_jobs : int, optional
        Processes, as in :func:`~hwnas_surrogate.jobs.in_parallel`.
    cache : path-like, False or None
        The folder for captured graphs; the user's cache folder if None; False keeps them in memory only.
    progress : callable, optional
        Called with the number of networks captured or found in the cache so far, and of all.

    Raises
    ------
    InvalidInputError
        If ``n_jobs`` is no number of processes.

    Examples
    --------
    >>> from hwnas_surrogate.search import suggest
    >>> with capturing(n_jobs=2):
    ...     chosen = suggest("nasbench201", 3)  # networks of one's own would be captured in two processes
    """
    token = _settings.set(Settings(n_jobs, cache, progress))
    try:
        yield
    finally:
        _settings.reset(token)


def captured_graphs(
    space: Capturing, archs: npt.NDArray[np.int8], configs: Sequence[NetworkConfig], settings: Settings | None = None
) -> list[Graph]:
    """Return the graphs of n networks, from memory, from the cache, or captured.

    Parameters
    ----------
    space : Capturing
    archs : ndarray of int8, shape (n, positions)
    configs : sequence of n NetworkConfig
    settings : Settings, optional
        Those of the block that :func:`capturing` surrounds, if None.

    Returns
    -------
    list of Graph
    """
    chosen = settings or _settings.get() or Settings()
    networks = _networks(space, archs, configs)
    distinct = {network.key: network for network in networks}
    with _ONE_AT_A_TIME:
        found = {key: space.held[key] for key in distinct if key in space.held}
        missing = [network for key, network in distinct.items() if key not in found]
        if missing:
            keeper = _Keeper(_store(space, chosen.cache), strict=chosen.cache is not None)
            found |= keeper.stored(space, missing)
            missing = [network for network in missing if network.key not in found]
        if chosen.progress is not None:
            chosen.progress(len(found), len(distinct))
        if missing:
            _capture_all(space, missing, found, keeper, chosen, len(distinct))
        _hold(space, {key: found[key] for key in distinct})
    return [found[network.key] for network in networks]


def _networks(space: Capturing, archs: npt.NDArray[np.int8], configs: Sequence[NetworkConfig]) -> list[_Network]:
    texts = {config: str(config) for config in dict.fromkeys(configs)}
    return [
        _Network(arch, config, hashlib.blake2b(json.dumps([text, texts[config]]).encode(), digest_size=16).hexdigest())
        for arch, config, text in zip(archs, configs, space.format_all(archs), strict=True)
    ]


def _hold(space: Capturing, graphs: dict[str, Graph]) -> None:
    """Keep the latest graphs in memory."""
    for key, graph in list(graphs.items())[-_MOST_HELD:]:
        space.held.pop(key, None)
        space.held[key] = graph
    while len(space.held) > _MOST_HELD:
        del space.held[next(iter(space.held))]


# -- the cache --------------------------------------------------------------------------------------------

_stores: dict[tuple[type, str], GraphStore] = {}
"""The stores that this process has opened, and has found up to date."""


def _store(space: Capturing, cache: Cache) -> GraphStore | None:
    """Return the store of a space; None if graphs are not kept on disk."""
    if cache is False:
        return None
    source = source_hash(type(space))
    if source is None:
        return None
    folder = cache_dir() if cache is None else cache
    return _stores.get((type(space), os.fspath(folder))) or GraphStore(folder, type(space).__name__, source)


def _stored(space: Capturing, store: GraphStore, networks: list[_Network]) -> dict[str, Graph]:
    """Return the graphs that a store holds; of the first ones of a process, some are captured again and compared."""
    graphs = store.get([network.key for network in networks])
    if store in _stores.values() or not graphs:
        return graphs
    probed = [network for network in networks if network.key in graphs][:_PROBES]
    if any(_captured(space, network) != graphs[network.key] for network in probed):
        store.clear()
        warnings.warn(
            f"{type(space).__name__} builds other networks than those captured before, although its code is the same: "
            "something else that build reads has changed. All are captured again. Where this may happen, give the "
            "class a version, and raise it with each change.",
            GraphCacheWarning,
            stacklevel=2,
        )
        return {}
    _stores[type(space), os.fspath(store.folder)] = store
    return graphs


class _Keeper:
    """Reads graphs from a store, and writes captured ones to it every second.

    Unless it is strict, a store that fails is given up with a warning.
    """

    def __init__(self, store: GraphStore | None, *, strict: bool) -> None:
        self.store, self._strict = store, strict
        self._waiting: dict[str, bytes] = {}
        self._written = time.monotonic()

    def stored(self, space: Capturing, networks: list[_Network]) -> dict[str, Graph]:
        try:
            return {} if self.store is None else _stored(space, self.store, networks)
        except DataFileError as error:
            self._give_up(error)
            return {}

    def keep(self, key: str, content: bytes) -> None:
        self._waiting[key] = content
        if time.monotonic() - self._written >= _EVERY:
            self.flush()

    def flush(self) -> None:
        if self.store is not None and self._waiting:
            try:
                self.store.add(self._waiting)
            except DataFileError as error:
                self._give_up(error)
        self._waiting = {}
        self._written = time.monotonic()

    def _give_up(self, error: DataFileError) -> None:
        if self._strict:
            raise error
        warnings.warn(f"{error} This time, captured graphs are not kept.", GraphCacheWarning, stacklevel=2)
        self.store = None


# -- capturing --------------------------------------------------------------------------------------------


def _capture_all(
    space: Capturing,
    networks: list[_Network],
    found: dict[str, Graph],
    keeper: _Keeper,
    chosen: Settings,
    total: int,
) -> None:
    """Capture networks into ``found``, and keep them."""
    in_parallel = len(networks) > _FEW and effective_n_jobs(chosen.n_jobs) > 1
    try:
        with closing(_in_processes(space, networks, chosen.n_jobs) if in_parallel else _here(space, networks)) as made:
            for key, graph, content in made:
                found[key] = graph
                if keeper.store is not None:
                    keeper.keep(key, encoded(graph) if content is None else content)
                if chosen.progress is not None:
                    chosen.progress(len(found), total)
    finally:
        keeper.flush()


Captured: TypeAlias = tuple[str, Graph, bytes | None]


def _here(space: Capturing, networks: Iterable[_Network]) -> Generator[Captured, None, None]:
    for network in networks:
        yield network.key, _captured(space, network), None


def _in_processes(space: Capturing, networks: list[_Network], n_jobs: int | None) -> Generator[Captured, None, None]:
    """Capture in several processes, with one thread each."""
    chunks = [(networks[start : start + _CHUNK],) for start in range(0, len(networks), _CHUNK)]
    with closing(as_finished(_chunk, chunks, shared=(space,), n_jobs=n_jobs)) as parts:
        for _, part in parts:
            for key, content in part:
                yield key, decoded(content), content


def _chunk(space: Capturing, networks: list[_Network]) -> list[tuple[str, bytes]]:
    return [(network.key, encoded(_captured(space, network))) for network in networks]


def _captured(space: Capturing, network: _Network) -> Graph:
    return space.captured(network.arch, network.config)
