"""What random states are accepted, and that everything that draws random numbers accepts the same ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.devices import correlation_interval
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation import adaptation_curve
from hwnas_surrogate.features import LayerSums
from hwnas_surrogate.models import BoostedRidge, make_model
from hwnas_surrogate.networks import build_network
from hwnas_surrogate.random_states import as_generator, as_seed
from hwnas_surrogate.search import suggest
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite, TransferSurrogate, fit_sources

SPACE = get_space("nasbench201")
ARCHS = SPACE.sample(24, 0)
COSTS = SPACE.batch(ARCHS).macs / 1e6
FAILED = np.arange(24) < 4
TABLE = CostTable(SPACE, ARCHS, np.column_stack([COSTS, COSTS[::-1]]), ["a/latency", "b/latency"])

CHEAP: dict[str, Any] = {"model": "ridge", "calibrate": False}
COLUMNS = LayerSums(SPACE).frame(ARCHS)
MANY = np.random.default_rng(0).normal(size=(60, 3))

FEW = TABLE.select("a").rows(range(10))

SEEDED: dict[str, Callable[[Any], Any]] = {
    "sample": lambda state: SPACE.sample(3, state),
    "sample of FBNet": lambda state: get_space("fbnet").sample(3, state),
    "network": lambda state: next(build_network(0, random_state=state).parameters()).detach().numpy(),
    "intervals of correlations": lambda state: correlation_interval(
        TABLE, "pearson", n_bootstrap=20, random_state=state
    )["low"],
    "suggest": lambda state: suggest(SPACE, 3, random_state=state).archs,
    "surrogate": lambda state: Surrogate(random_state=state, **CHEAP).fit(ARCHS, COSTS, failed=FAILED).predict(ARCHS),
    "mlp": lambda state: make_model("mlp", state).set_params(steps=2).fit(COLUMNS, COSTS).predict(COLUMNS),
    "forest": lambda state: make_model("forest", state).set_params(n_estimators=3).fit(COLUMNS, COSTS).predict(COLUMNS),
    "xgboost": lambda state: (
        make_model("xgboost", state).set_params(n_estimators=3).fit(COLUMNS, COSTS).predict(COLUMNS)
    ),
    "boosted": lambda state: BoostedRidge(n_trees=3, random_state=state).fit(MANY, MANY[:, 0] ** 2).predict(MANY),
    "suite": lambda state: SurrogateSuite(random_state=state, **CHEAP).fit_table(TABLE).predict(ARCHS).to_numpy(),
    "sources": lambda state: fit_sources(FEW, random_state=state).predict(ARCHS).to_numpy(),
    "transfer": lambda state: (
        TransferSurrogate(random_state=state, calibrate=False).fit(FEW.archs, FEW.costs[:, 0]).predict(ARCHS)
    ),
    "curve": lambda state: adaptation_curve(TABLE.select("a"), sizes=[4], draws=1, random_state=state)["mdape"],
}


@pytest.mark.parametrize("what", SEEDED)
def test_generators_of_numpy_are_random_states(what: str) -> None:
    first, second = (SEEDED[what](np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_allclose(first, second, rtol=1e-12)
    SEEDED[what](np.random.RandomState(3))


@pytest.mark.parametrize("what", SEEDED)
@pytest.mark.parametrize("state", ["3", 1.5, -1, True, np.random.MT19937(3)], ids=lambda state: type(state).__name__)
def test_anything_else_is_one_error(what: str, state: Any) -> None:
    with pytest.raises(InvalidInputError, match="random_state must be a non-negative integer, a numpy Generator or"):
        SEEDED[what](state)


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
def test_generators_continue(make: Callable[[int], Any]) -> None:
    state = make(3)
    assert as_seed(state) != as_seed(state)
    assert not np.array_equal(SPACE.sample(9, state), SPACE.sample(9, state))


def test_seeds_are_small_enough_for_every_library() -> None:
    assert [as_seed(state) for state in (None, 0, np.uint8(7), 2**31 - 1)] == [None, 0, 7, 2**31 - 1]
    for state in (2**31, 2**100, np.uint64(2**63), np.random.default_rng(0), np.random.RandomState(0)):
        seed = as_seed(state)
        assert type(seed) is int
        assert 0 <= seed < 2**31
    assert as_seed(2**100) == as_seed(2**100) != as_seed(2**101)
    assert as_generator(5).integers(100) == np.random.default_rng(5).integers(100)


@pytest.mark.parametrize(
    "state", [np.random.default_rng(3), np.random.RandomState(3), np.int64(3)], ids=lambda state: type(state).__name__
)
@pytest.mark.parametrize("model", [None, BoostedRidge])
def test_what_a_generator_fitted_is_saved(model: Any, state: Any, tmp_path: Path) -> None:
    own = model(random_state=state) if isinstance(model, type) else model
    surrogate = Surrogate(model=own, random_state=state, calibrate=False)
    suite = SurrogateSuite(model=own, random_state=state, calibrate=False).fit(ARCHS, {"a/latency": COSTS})
    loaded = SurrogateSuite.load(suite.save(tmp_path / "saved"))
    np.testing.assert_allclose(loaded.predict(ARCHS), suite.predict(ARCHS), rtol=1e-12)
    assert loaded.random_state == (3 if isinstance(state, np.integer) else None)
    assert clone(surrogate).get_params()["random_state"] is not None
