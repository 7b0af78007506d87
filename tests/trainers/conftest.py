"""Costs planted in NAS-Bench-201, and surrogates fitted to them once for all tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwnas_surrogate import models
from hwnas_surrogate.models import MLP, MODELS, make_model
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite

SPACE = get_space("nasbench201")


def planted_costs(archs: np.ndarray) -> np.ndarray:
    """Return costs about as large as real ones (ms): live multiply-adds and ops, and 1 % of noise."""
    noise = np.random.default_rng(int(archs.sum())).normal(1, 0.01, len(archs))
    return (SPACE.batch(archs).total("macs", "live") / 2e7 + (archs == 4).sum(axis=1) + 2) * noise


def small(model: str) -> Any:
    """Return a named model, or a smaller one of its kind where it would take seconds."""
    if model == "mlp":
        return MLP(hidden=(16,), steps=60, random_state=0)
    if model == "forest":
        return make_model("forest", 0).set_params(n_estimators=20)
    if model == "xgboost":
        return make_model("xgboost", 0).set_params(n_estimators=50)
    return model


@pytest.fixture(scope="session")
def archs() -> np.ndarray:
    return SPACE.sample(60, 0)


@pytest.fixture(scope="session")
def costs(archs: np.ndarray) -> np.ndarray:
    return planted_costs(archs)


@pytest.fixture(scope="session")
def queries() -> np.ndarray:
    return SPACE.sample(50, 1)


@pytest.fixture(scope="session")
def fitted(archs: np.ndarray, costs: np.ndarray) -> dict[str, Surrogate]:
    """Return one surrogate per named model; tests must not change them."""
    return {name: Surrogate(model=small(name), random_state=0).fit(archs, costs) for name in MODELS}


@pytest.fixture(scope="session")
def suites(archs: np.ndarray, costs: np.ndarray) -> dict[str, SurrogateSuite]:
    """Return an older and a newer suite over the same two targets; tests must not change them."""
    return {
        age: SurrogateSuite(random_state=3).fit(
            archs, {"raspi4/latency": factor * costs, "edge-gpu/energy": factor * costs**2}
        )
        for age, factor in (("old", 1.0), ("new", 3.0))
    }


@pytest.fixture
def quick_mlp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the model named ``mlp`` train for a few steps only."""
    monkeypatch.setitem(
        models._models, "mlp", lambda random_state: MLP(hidden=(16,), steps=60, random_state=random_state)
    )
