"""Surrogates of every kind, fitted once, and the mean of their predictions computed architecture by architecture."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any, ClassVar

import numpy as np
import torch

from hwnas_surrogate.data import load_table
from hwnas_surrogate.models import LogRidge, make_model
from hwnas_surrogate.spaces import ChoiceSpace, get_space
from hwnas_surrogate.trainers import Surrogate, TransferSurrogate, fit_sources

CELLS, BLOCKS, SIZES = get_space("nasbench201"), get_space("fbnet"), get_space("natsbench-size")


class Few(ChoiceSpace):
    """A space of 36 architectures whose positions differ in their number of choices."""

    name = "differentiable-few"
    input_shape = (3, 8, 8)
    choices: ClassVar[Any] = {"depth": (1, 2, 3), "width": (4, 8, 12, 16), "kernel": (1, 3, 5)}

    def layers(self, build, x, arch, config):  # type: ignore[no-untyped-def]
        for _ in range(arch["depth"]):
            x = build.relu(build.conv(x, arch["width"], arch["kernel"]))
        return build.linear(build.flatten(build.global_pool(x)), 10)


class One(ChoiceSpace):
    """A space of one position."""

    name = "differentiable-one"
    input_shape = (3, 8, 8)
    choices: ClassVar[Any] = {"width": (4, 8, 12)}

    def layers(self, build, x, arch, config):  # type: ignore[no-untyped-def]
        return build.conv(x, arch["width"], 3)


class Many(ChoiceSpace):
    """A space of 4,096 architectures, too many to count each network."""

    name = "differentiable-many"
    input_shape = (3, 8, 8)
    choices: ClassVar[Any] = {f"kernel{place}": (1, 3, 5, 7) for place in range(6)}

    def layers(self, build, x, arch, config):  # type: ignore[no-untyped-def]
        for place in range(6):
            x = build.conv(x, 4, arch[f"kernel{place}"])
        return x


def costs_of(space: Any, archs: np.ndarray, view: str = "all") -> np.ndarray:
    """Return planted costs (ms): multiply-adds and layers, with 1 % of noise."""
    batch = space.batch(archs)
    calls = batch.sums(np.ones(len(batch.distinct(view))), view)
    noise = np.random.default_rng(0).normal(1, 0.01, len(archs))
    return np.asarray((batch.total("macs", view) / 2e7 + calls / 50 + 2) * noise)


def _of_space(space: Any, n: int, **settings: Any) -> Surrogate:
    archs = space.sample(min(n, 36) if space is Few() else n, 1)
    return Surrogate(space, random_state=0, calibrate=False, **settings).fit(archs, costs_of(space, archs))


def _small(name: str, **settings: Any) -> Any:
    return make_model(name, 0).set_params(**settings)


def _measured(space: str, target: str, n: int) -> Any:
    table = load_table(space=space).select(target)
    return table.rows(np.flatnonzero(~np.isnan(table.costs[:, 0]))[:n])


def _adapted(space: str, target: str, source: str | None) -> TransferSurrogate:
    new = _measured(space, target, 20)
    sources = None if source is None else fit_sources(_measured(space, source, 60), random_state=0)
    return TransferSurrogate(space, sources, random_state=0, calibrate=False).fit(new.archs, new.costs[:, 0])


def _throughput(space: Any) -> Surrogate:
    archs = space.sample(80, 1)
    surrogate = Surrogate(space, metric="throughput", random_state=0, calibrate=False)
    return surrogate.fit(archs, 1e3 / costs_of(space, archs))


def _accuracy() -> Surrogate:
    archs = CELLS.sample(80, 1)
    surrogate = Surrogate(CELLS, metric="accuracy", random_state=0, calibrate=False)
    return surrogate.fit(archs, 60 + 5.0 * (archs == 3).sum(axis=1))


def _product() -> Surrogate:
    """Return a surrogate of costs that are products over the positions."""
    archs = BLOCKS.sample(250, 1)
    factors = np.random.default_rng(0).normal(0, 0.25, (22, 9))
    surrogate = Surrogate(BLOCKS, "onehot", LogRidge(0), random_state=0, calibrate=False)
    return surrogate.fit(archs, np.exp(factors[np.arange(22), archs].sum(axis=1)))


def _graphs(space: Any) -> Surrogate:
    archs = space.sample(30, 1)
    surrogate = Surrogate(None, random_state=0, calibrate=False)
    return surrogate.fit(space.batch(archs).graphs(), costs_of(space, archs))


def _constant() -> Surrogate:
    return Surrogate("fbnet", random_state=0, calibrate=False).fit(BLOCKS.sample(5, 0), [3.0] * 5)


KINDS: dict[str, Callable[[], Surrogate]] = {
    "cells, default": lambda: _of_space(CELLS, 80),
    "cells, boosted": lambda: _of_space(CELLS, 80, model="boosted"),
    "cells, forest": lambda: _of_space(CELLS, 60, model=_small("forest", n_estimators=5)),
    "cells, xgboost": lambda: _of_space(CELLS, 60, model=_small("xgboost", n_estimators=20)),
    "cells, adapted": lambda: _adapted("nasbench201", "epyc-onnxruntime-int8-1t/latency", None),
    "cells, adapted with a source": lambda: _adapted("nasbench201", "epyc-torch-1t/latency", "epyc-torch-2t/latency"),
    "cells, throughput": lambda: _throughput(CELLS),
    "cells, accuracy": _accuracy,
    "sizes, ridge": lambda: _of_space(SIZES, 60, model="ridge"),
    "blocks, default": lambda: _of_space(BLOCKS, 40),
    "blocks, additive": lambda: _of_space(BLOCKS, 250, model="additive"),
    "blocks, ridge": lambda: _of_space(BLOCKS, 60, model="ridge"),
    "blocks, adapted": lambda: _adapted("fbnet", "epyc-torch-1t/latency", None),
    "blocks, adapted with a source": lambda: _adapted("fbnet", "epyc-onnxruntime-1t/latency", "epyc-torch-1t/latency"),
    "blocks, product": _product,
    "blocks, constant": _constant,
    "blocks, xgboost": lambda: _of_space(BLOCKS, 100, model=_small("xgboost", n_estimators=20)),
    "blocks, mlp": lambda: _of_space(BLOCKS, 60, model=_small("mlp", hidden=(16,), steps=60)),
    "blocks, throughput": lambda: _throughput(BLOCKS),
    "few": lambda: _of_space(Few(), 30),
    "many, additive": lambda: _of_space(Many(), 60, encoder="onehot", model="additive"),
    "many, forest": lambda: _of_space(Many(), 60, encoder="onehot", model=_small("forest", n_estimators=5)),
}
RELAXED = {"blocks, xgboost", "blocks, mlp", "blocks, throughput", "many, forest"}
"""Kinds whose mean has no short form."""


@cache
def fitted(kind: str) -> Surrogate:
    """Return a fitted surrogate; tests must not change it."""
    return KINDS[kind]()


@cache
def module(kind: str) -> Any:
    """Return its torch module; tests must not change it."""
    return fitted(kind).to_torch()


def soft(space: Any, n: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Return n random soft architectures, (n, positions, ops); ops that a position lacks have 0."""
    n_ops = np.array(space.n_ops_at)
    held = torch.arange(n_ops.max()) < torch.from_numpy(n_ops)[:, None]
    noise = torch.randn(n, len(n_ops), n_ops.max(), generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return torch.softmax((2 * noise).masked_fill(~held, -torch.inf), -1)


def combinations(probabilities: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return all architectures of probability above 0, and their probabilities, (k, positions) and (k,)."""
    rows = probabilities.numpy()
    archs = np.array(list(product(*(np.flatnonzero(row) for row in rows))), np.int8)
    return archs, rows[np.arange(len(rows)), archs].prod(axis=1)


def mean_prediction(surrogate: Surrogate, probabilities: torch.Tensor) -> float:
    """Return the mean of the predictions of all architectures: the slow way."""
    archs, weights = combinations(probabilities)
    return float(weights @ surrogate.predict(archs))


def few_are_soft(space: Any, seed: int, n: int = 8) -> torch.Tensor:
    """Return one architecture of which n positions have two ops with a probability, so that 2^n can be drawn."""
    rng = np.random.default_rng(seed)
    result = torch.zeros(space.n_positions, int(max(space.n_ops_at)), dtype=torch.float64)
    open_positions = set(rng.permutation(space.n_positions)[:n].tolist())
    for position, n_ops in enumerate(space.n_ops_at):
        first, second = rng.permutation(int(n_ops))[:2].tolist()
        part = rng.random() if position in open_positions else 1.0
        result[position, first], result[position, second] = part, 1 - part
    return result
