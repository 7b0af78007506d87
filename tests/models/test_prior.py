"""The prior of the physics model: its fields, what each does, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models import PhysicsGP, PhysicsPrior, PhysicsStack
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate
from hwnas_surrogate.trainers.encoded import stack_encoder

SPACE = get_space("nasbench201")
ARCHS = SPACE.sample(300, 0)
FRAME = stack_encoder(SPACE).frame(ARCHS)
COSTS = SPACE.batch(ARCHS).macs / 1e6 + 5 + np.random.default_rng(0).normal(0, 1, len(ARCHS))


def fitted(**fields: Any) -> PhysicsGP:
    return PhysicsGP(prior=PhysicsPrior(**fields)).fit(FRAME[:15], COSTS[:15])


def test_the_default_is_the_prior_without_changes() -> None:
    default = PhysicsGP().fit(FRAME[:15], COSTS[:15])
    for prior in (PhysicsPrior(), {}, PhysicsPrior().as_dict()):
        again = PhysicsGP(prior=prior).fit(FRAME[:15], COSTS[:15])
        np.testing.assert_array_equal(again.predict(FRAME), default.predict(FRAME))


def test_a_noise_that_is_expected_to_be_large_is_large() -> None:
    large, small = (
        fitted(noise_sds=(0.5,), robust_noise_sds=(0.5,)),
        fitted(noise_sds=(0.001,), robust_noise_sds=(0.001,)),
    )
    assert large.noise_ > 10 * small.noise_
    assert np.median(large.posterior(FRAME).sd) > np.median(small.posterior(FRAME).sd)


def test_without_freedom_shares_stay_as_expected() -> None:
    tight = fitted(share_sds=(1e-6,), correction_sds=(0.0,), leaders=("macs",), lead=0.9, constant_sd=1e-6)
    names = list(FRAME.columns)
    for view, weight in tight.view_weights_.items():
        columns = [place for place, name in enumerate(names) if name.startswith(f"physics_{view}:")]
        parts = tight.coef_[columns] * FRAME.to_numpy()[:15, columns].mean(axis=0)
        if weight > 0.01:
            assert parts[[names[column].endswith(":macs") for column in columns]] / parts.sum() == pytest.approx(
                0.9, abs=0.05
            )


def test_views_that_are_all_but_ruled_out_get_no_weight() -> None:
    only = fitted(view_log_odds={"computed": -50.0, "folded": -50.0, "fused": -50.0, "quantized": -50.0})
    assert only.view_weights_["all"] > 0.999


def test_a_surrogate_with_a_prior_is_saved(tmp_path: Path) -> None:
    model = PhysicsStack(prior=PhysicsPrior(noise_sds=(0.05, 0.2)))
    surrogate = Surrogate(encoder=stack_encoder(SPACE), model=model).fit(ARCHS[:30], COSTS[:30])
    loaded = Surrogate.load(surrogate.save(tmp_path))
    np.testing.assert_array_equal(loaded.predict(ARCHS), surrogate.predict(ARCHS))
    again = loaded.fit(ARCHS[:30], COSTS[:30])
    np.testing.assert_array_equal(again.predict(ARCHS), surrogate.predict(ARCHS))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"noise_sds": (0.0, 0.1)}, r"noise_sds of a PhysicsPrior must be above 0, got \(0\.0, 0\.1\)"),
        ({"share_sds": ()}, "share_sds of a PhysicsPrior must be above 0"),
        ({"correction_sds": (-1.0,)}, "correction_sds of a PhysicsPrior must be at least 0"),
        ({"freedom": float("nan")}, "freedom of a PhysicsPrior must be above 0, got nan"),
        ({"lead": 1.0}, "lead of a PhysicsPrior must be at least 0 and below 1"),
        ({"leaders": ()}, "leaders of a PhysicsPrior must name one possibility"),
    ],
)
def test_priors_that_are_none_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        PhysicsPrior(**fields)
    with pytest.raises(InvalidInputError, match=said):
        PhysicsGP(prior=fields).fit(FRAME[:15], COSTS[:15])


def test_unknown_fields_are_named() -> None:
    with pytest.raises(InvalidInputError, match=r"field of a PhysicsPrior 'noise_sd'.*Did you mean 'noise_sds'"):
        PhysicsGP(prior={"noise_sd": (0.1,)}).fit(FRAME[:15], COSTS[:15])
