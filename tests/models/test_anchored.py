"""The stack for networks of any kind: itself near the training rows, physics elsewhere."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.features import Combined, LayerPhysics
from hwnas_surrogate.models import AnchoredStack, PhysicsStack
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import ExtrapolationWarning, Surrogate
from tests.graph_tables import zoo

SPACE = get_space("nasbench201")
BATCH = SPACE.batch(SPACE.sample(160, 3), "C4-N1-k10-3x16x16").graphs()
OTHERS = zoo(3)


def columns(batch: object) -> pd.DataFrame:
    encoder = Combined(None, [*Combined(None).parts(), LayerPhysics(None)])
    return encoder.frame(batch)  # type: ignore[arg-type]


def costs() -> np.ndarray:
    """Return costs that are no sums: what is fused decides, and layers wait for memory."""
    fused = BATCH.counts("fused").sum(axis=1)
    return np.asarray(0.2 + 0.02 * fused + BATCH.macs / 1e7 * (1 + 0.3 * np.sin(fused)))


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return columns(BATCH)


@pytest.fixture(scope="module")
def fitted(rows: pd.DataFrame) -> AnchoredStack:
    return AnchoredStack(0).fit(rows.iloc[:100], costs()[:100])


def test_near_the_training_rows_it_is_the_stack(fitted: AnchoredStack, rows: pd.DataFrame) -> None:
    stack = PhysicsStack(0).fit(rows.iloc[:100], costs()[:100])
    near = fitted.trust(rows) == 1
    assert near[:100].mean() > 0.9
    assert near[100:].mean() > 0.7
    assert np.array_equal(fitted.predict(rows)[near], stack.predict(rows)[near])
    assert np.allclose(fitted.predictive_sd(rows)[near], stack.predictive_sd(rows)[near])
    assert fitted.reduced() is fitted


def test_elsewhere_it_is_physics_and_says_how_unsure_it_is(fitted: AnchoredStack) -> None:
    strange = columns(OTHERS)
    trust = fitted.trust(strange)
    assert (trust < 0.1).all()
    columns_of_physics = strange[list(fitted.physics_.feature_names_in_)]
    physics, sds = fitted.physics_.predict(columns_of_physics), fitted.physics_.predictive_sd(columns_of_physics)
    beside = np.clip(PhysicsStack.predict(fitted, strange) - physics, -2 * sds, 2 * sds)
    predicted = fitted.predict(strange)
    assert np.allclose(predicted, physics + trust * beside)
    assert (np.abs(predicted - physics) <= 0.2 * sds + 1e-12).all()
    relative = fitted.predictive_sd(strange) / np.abs(predicted)
    assert np.median(relative) > 5 * np.median(fitted.sds_ / costs()[:100])


def test_the_arrays_hold_it(fitted: AnchoredStack, rows: pd.DataFrame) -> None:
    again = AnchoredStack(0).from_arrays(fitted.to_arrays(), fitted.feature_names_in_)
    for some in (rows, columns(OTHERS)):
        assert np.array_equal(again.predict(some), fitted.predict(some))
        assert np.array_equal(again.predictive_sd(some), fitted.predictive_sd(some))


def test_a_few_rows_are_physics_alone(rows: pd.DataFrame) -> None:
    few, physics = (kind(0).fit(rows.iloc[:10], costs()[:10]) for kind in (AnchoredStack, PhysicsStack))
    assert np.allclose(few.predict(rows), physics.predict(rows))
    assert (few.predictive_sd(rows) >= physics.predictive_sd(rows)).all()


def test_surrogates_of_graphs_warn_of_networks_unlike_their_own() -> None:
    surrogate = Surrogate(None, random_state=0).fit(BATCH.take(range(60)), costs()[:60])
    assert isinstance(surrogate.model_, AnchoredStack)
    some = OTHERS.take([0, 1, 5, 7])
    with pytest.warns(ExtrapolationWarning) as told:
        strange = surrogate.predict_interval(some)
    assert "unlike 4 of the 4 to predict (plain-8-1-16, plain-8-1-32, plain" in str(told[-1].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        silent = surrogate.predict_interval(some, extrapolate=True)
        known = surrogate.predict_interval(BATCH.take(range(60)))
    assert np.array_equal(silent, strange)
    middle = lambda bounds: bounds.mean(axis=1)  # noqa: E731
    assert np.median(np.ptp(strange, axis=1) / middle(strange)) > 3 * np.median(np.ptp(known, axis=1) / middle(known))
