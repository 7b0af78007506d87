"""A handful of measurements: laws of physics are found again, slips and useless sources do no harm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import LayerPhysics
from hwnas_surrogate.models import PhysicsGP
from hwnas_surrogate.models.physics import design_of
from hwnas_surrogate.spaces import get_space

N = 500
TEST = slice(200, None)
VIEWS = ("all", "computed", "folded")
ENGINES = ("fused", "quantized")

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Device:
    """What planted networks cost: without noise, and as measured."""

    features: pd.DataFrame
    clean: Array
    measured: Array

    def error(self, model: PhysicsGP, rows: npt.NDArray[np.int64] | slice = TEST) -> float:
        """Return the mean absolute error against costs without noise."""
        return float(np.abs(model.predict(self.features.iloc[rows]) - self.clean[rows]).mean())

    def fit(self, n: int) -> PhysicsGP:
        """Fit on the first n networks."""
        return PhysicsGP().fit(self.features[:n], self.measured[:n])


def shares_of(features: pd.DataFrame, view: str, seed: int) -> Array:
    """Return costs that are shares of the physics columns of a view, none negative and some small; their mean is 1."""
    columns = features[[name for name in features if name.startswith(f"physics_{view}:")]].to_numpy()
    means = columns.mean(axis=0)
    shares = np.random.default_rng(seed).exponential(size=np.count_nonzero(means))
    costs: Array = columns[:, means > 0] / means[means > 0] @ (shares / shares.sum())
    return costs


@pytest.fixture(scope="module")
def features() -> pd.DataFrame:
    return LayerPhysics().frame(get_space("nasbench201").sample(N, 0))


def device(features: pd.DataFrame, seed: int, view: str = "all", noise: float = 0.02) -> Device:
    """Return a planted device, the networks in random order."""
    rng = np.random.default_rng(1000 + seed)
    shuffled = features.iloc[rng.permutation(len(features))].reset_index(drop=True)
    clean = shares_of(shuffled, view, seed)
    return Device(shuffled, clean, clean * (1 + noise * rng.normal(size=len(clean))))


def with_sources(model_of: Device, n: int, sources: dict[str, Array]) -> tuple[PhysicsGP, float]:
    """Return a model that sees what other devices' surrogates predict, and its error on unseen rows."""
    frame = model_of.features.assign(**{f"source:{name}": costs for name, costs in sources.items()})
    model = PhysicsGP().fit(frame[:n], model_of.measured[:n])
    return model, float(np.abs(model.predict(frame[TEST]) - model_of.clean[TEST]).mean())


# -- planted laws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("n", [10, 15])
def test_shares_of_physics_are_found_from_a_handful_of_rows(features: pd.DataFrame, n: int, view: str) -> None:
    """Where hardly any of the rows tells the views apart, two of them stay possible."""
    found = []
    for seed in range(4):
        planted = device(features, seed, view)
        found.append(spearmanr(planted.fit(n).predict(planted.features[TEST]), planted.clean[TEST])[0])
    assert np.mean(found) > 0.98
    assert min(found) > 0.96


@pytest.mark.parametrize("view", VIEWS)
def test_twenty_rows_tell_which_layers_run(features: pd.DataFrame, view: str) -> None:
    for seed in range(4):
        planted = device(features, seed, view)
        model = planted.fit(20)
        assert model.view_weights_[view] > 0.9
        assert spearmanr(model.predict(planted.features[TEST]), planted.clean[TEST])[0] > 0.98


@pytest.mark.parametrize(
    ("view", "shares"),
    [
        ("fused", {"macs": 0.4, "moved_bytes": 0.3, "layers": 0.3}),
        ("quantized", {"macs": 0.4, "macs_int8": 0.2, "converted_bytes": 0.2, "layers": 0.2}),
    ],
)
def test_twenty_rows_tell_that_an_engine_merges_or_converts(
    features: pd.DataFrame, view: str, shares: dict[str, float]
) -> None:
    columns = features[[f"physics_{view}:{name}" for name in shares]]
    clean = (columns / columns.mean()).to_numpy() @ list(shares.values())
    without = features[[name for name in features if f"_{view}:" not in name]]
    for seed in range(4):
        rng = np.random.default_rng(seed)
        order = rng.permutation(N)
        rows, rest = order[:20], order[20:]
        measured = clean * (1 + 0.02 * rng.normal(size=N))
        model, blind = (PhysicsGP().fit(frame.iloc[rows], measured[rows]) for frame in (features, without))
        told, guessed = model.predict(features.iloc[rest]), blind.predict(without.iloc[rest])
        assert model.view_weights_[view] > 0.9
        assert spearmanr(told, clean[rest])[0] > 0.99
        assert np.abs(told - clean[rest]).mean() < 0.6 * np.abs(guessed - clean[rest]).mean()


@pytest.mark.parametrize("config", ["cifar100", "ImageNet"])
def test_shares_of_physics_are_found_in_fbnet(config: str) -> None:
    blocks = LayerPhysics("fbnet").frame(get_space("fbnet").sample(N, 0), config)
    for seed in range(3):
        planted = device(blocks, seed, noise=0.003)
        model = PhysicsGP().fit(planted.features[:15], planted.measured[:15])
        assert spearmanr(model.predict(planted.features[TEST]), planted.clean[TEST])[0] > 0.98


def test_even_two_measurements_rank(features: pd.DataFrame) -> None:
    """What a middling network costs is told, and physics that is believed beforehand does the rest."""
    found = []
    for seed in range(6):
        planted = device(features, seed)
        predicted = PhysicsGP().fit(planted.features[:2], planted.measured[:2]).predict(planted.features[TEST])
        found.append(spearmanr(predicted, planted.clean[TEST])[0])
        assert 0.5 < predicted.mean() < 2
    assert np.mean(found) > 0.9


def test_what_was_learned_under_one_config_holds_under_another() -> None:
    archs = get_space("nasbench201").sample(N, 0)
    frames = [LayerPhysics().frame(archs, config) for config in ("cifar10", "C8-N8-k10-3x32x32")]
    columns = [f"physics_all:{name}" for name in ("macs", "layers", "moved_bytes")]
    prices = [3e-9, 5e-3, 4e-8]
    learned, other = (frame[columns].to_numpy() @ prices for frame in frames)
    model = PhysicsGP().fit(frames[0][:20], learned[:20])
    assert spearmanr(model.predict(frames[1]), other)[0] > 0.98
    # Every network of the first config calls about as many layers: what a call costs is told by physics alone.
    assert np.abs(model.predict(frames[1]) / other - 1).mean() < 0.35


def test_networks_that_a_converter_empties_cost_nothing(features: pd.DataFrame) -> None:
    planted = device(features, 0, "folded")
    empty = np.flatnonzero(planted.clean == 0)
    assert len(empty) == 4
    rows = np.append(empty[:2], np.flatnonzero(planted.clean)[:10])
    model = PhysicsGP().fit(planted.features.iloc[rows], planted.measured[rows])
    assert np.abs(model.predict(planted.features.iloc[empty])).max() < 0.02 * planted.clean.mean()
    assert model.precisions_.min() > 0.5  # a zero is no slip where physics says so
    assert planted.error(model, np.setdiff1d(np.arange(N), rows)) < 0.05


def test_views_that_look_the_same_are_one(features: pd.DataFrame) -> None:
    layers = features[[name for name in features if name.partition(":")[0].partition("_")[2] in VIEWS]]
    parts = [layers[[name for name in layers if f"_{view}:" in name]].to_numpy() for view in VIEWS]
    busy = np.all([(part == parts[0]).all(axis=1) for part in parts], axis=0)
    assert np.count_nonzero(busy) > 12
    costs = shares_of(features, "all", 0)
    model = PhysicsGP().fit(layers[busy][:12], costs[busy][:12])
    assert model.view_weights_ == {"all": pytest.approx(1)}
    assert len(design_of(layers[busy])) == 1


def test_equal_views_are_one() -> None:
    """A converter leaves all that an FBNet network runs."""
    frame = LayerPhysics("fbnet").frame(get_space("fbnet").sample(20, 0))
    model = PhysicsGP().fit(frame.assign(**{"source:a": np.linspace(1, 2, 20)}), np.linspace(1, 3, 20))
    assert set(model.view_weights_) == {"all", *ENGINES}
    assert len(design_of(frame)) == 3


def test_weights_of_evidence_are_parts_of_one(features: pd.DataFrame) -> None:
    planted = device(features, 1)
    model, _ = with_sources(planted, 8, {"a": planted.clean, "b": planted.clean[::-1].copy()})
    assert tuple(model.view_weights_) == VIEWS + ENGINES
    assert sum(model.view_weights_.values()) == pytest.approx(1)
    assert 0 <= model.source_weight_ <= 1
    assert planted.fit(8).source_weight_ == 0


# -- slips ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1000.0, 5.0, 0.001, 0.0])
def test_a_slip_among_twelve_is_not_believed(features: pd.DataFrame, factor: float) -> None:
    for seed in range(4):
        planted = device(features, seed)
        X, y = planted.features[:12], planted.measured[:12].copy()
        y[3] *= factor
        model = PhysicsGP().fit(X, y)
        without = PhysicsGP().fit(X.drop(index=3), np.delete(y, 3))
        assert model.precisions_[3] < 0.05
        assert np.delete(model.precisions_, 3).min() > 0.3
        apart = np.abs(model.predict(planted.features[TEST]) - without.predict(planted.features[TEST]))
        assert apart.mean() < 0.02 * planted.clean.mean()
        assert planted.error(model) < 1.5 * planted.error(without)


def test_clean_measurements_are_all_trusted(features: pd.DataFrame) -> None:
    for seed in range(4):
        precisions = device(features, seed).fit(12).precisions_
        assert precisions.shape == (12,)
        assert precisions.min() > 0.6
        assert precisions.max() < 1.5


# -- other devices ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [8, 12])
def test_useless_sources_do_no_harm(features: pd.DataFrame, n: int) -> None:
    errors: dict[str, list[float]] = {"none": [], "random": [], "random4": [], "reversed": []}
    weights = []
    for seed in range(10):
        planted = device(features, seed, noise=0.04)
        rng = np.random.default_rng(seed)
        random4 = {f"r{number}": rng.uniform(0.5, 1.5, N) for number in range(4)}
        useless = {
            "random": {"r": rng.lognormal(0, 0.5, N)},
            "random4": random4,
            "reversed": {"r": planted.clean.max() + planted.clean.min() - planted.clean},
        }
        errors["none"].append(planted.error(planted.fit(n)))
        for name, sources in useless.items():
            model, error = with_sources(planted, n, sources)
            errors[name].append(error)
            weights.append(model.source_weight_)
    means = {name: np.mean(of) for name, of in errors.items()}
    assert max(means.values()) < 1.1 * means["none"]
    assert np.mean(weights) < 0.05


def test_a_perfect_source_helps_where_there_are_few_measurements(features: pd.DataFrame) -> None:
    """Whatever its unit: 7 times as slow."""
    errors: dict[str, list[float]] = {"without": [], "with": []}
    for seed in range(10):
        planted = device(features, seed, noise=0.05)
        model, error = with_sources(planted, 5, {"kin": 7 * planted.clean})
        errors["without"].append(planted.error(planted.fit(5)))
        errors["with"].append(error)
        assert model.source_weight_ > 0.6
    assert np.mean(errors["with"]) < 0.85 * np.mean(errors["without"])


@pytest.mark.parametrize("costs", [0.0, -1.0, np.nan])
def test_a_source_of_no_positive_cost_is_passed_over(features: pd.DataFrame, costs: float) -> None:
    planted = device(features, 0)
    model, error = with_sources(planted, 10, {"dead": np.full(N, costs)})
    assert model.source_weight_ == 0
    assert error == pytest.approx(planted.error(planted.fit(10)), rel=1e-9)


# -- residuals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "noise"), [(10, 0.03), (20, 0.03), (20, 0.1)])
def test_residuals_are_as_large_as_errors_on_unseen_rows(features: pd.DataFrame, n: int, noise: float) -> None:
    left, unseen = [], []
    for seed in range(6):
        planted = device(features, seed, noise=noise)
        model = planted.fit(n)
        left.append(np.abs(model.residuals_).mean())
        unseen.append(np.abs(model.predict(planted.features[TEST]) - planted.measured[TEST]).mean())
    assert 0.6 < np.mean(left) / np.mean(unseen) < 1.6


@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_residuals_are_those_of_refitting_without_the_row(features: pd.DataFrame, noise: float) -> None:
    planted = device(features, 2, noise=noise)
    X, y = planted.features[:14], planted.measured[:14]
    refitted = [PhysicsGP().fit(X.drop(index=row), np.delete(y, row)).predict(X.loc[[row]])[0] for row in range(14)]
    residuals = PhysicsGP().fit(X, y).residuals_
    assert np.corrcoef(residuals, y - refitted)[0, 1] > 0.98
    assert 0.85 < np.abs(residuals).mean() / np.abs(y - refitted).mean() < 1.15


# -- sds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "noise"), [(10, 0.02), (10, 0.1), (20, 0.02), (20, 0.1)])
def test_predictions_are_as_far_off_as_expected(features: pd.DataFrame, n: int, noise: float) -> None:
    ratios = []
    for seed in range(6):
        planted = device(features, seed, noise=noise)
        model, unseen = planted.fit(n), planted.features[TEST]
        ratios.append((planted.measured[TEST] - model.predict(unseen)) / model.posterior(unseen).sd)
        assert model.noise_ == pytest.approx(noise, rel=1.2)
    assert 0.6 < np.std(ratios) < 1.4
    assert 0.8 < np.mean(np.abs(ratios) < 1.645) < 1


def test_the_sds_are_those_of_refitting_without_the_row(features: pd.DataFrame) -> None:
    planted = device(features, 2, noise=0.05)
    X, y = planted.features[:14], planted.measured[:14]
    others = [PhysicsGP().fit(X.drop(index=row), np.delete(y, row)) for row in range(14)]
    refitted = [model.posterior(X.loc[[row]]).sd[0] for row, model in enumerate(others)]
    np.testing.assert_allclose(PhysicsGP().fit(X, y).sds_, refitted, rtol=0.35)


def test_the_sd_is_large_where_nothing_was_measured_and_falls_with_measurements(features: pd.DataFrame) -> None:
    planted = device(features, 3)
    cheap = np.argsort(planted.clean)[:12]
    one_sided = PhysicsGP().fit(planted.features.iloc[cheap], planted.measured[cheap])
    sds = one_sided.posterior(planted.features).sd
    assert sds[np.argsort(planted.clean)[-12:]].min() > 2 * sds[cheap].max()
    few, many = (planted.fit(n).posterior(planted.features[TEST]).sd for n in (4, 24))
    assert np.median(few) > 2 * np.median(many)
    assert many.min() > 0.001


def test_of_many_rows_some_are_used_and_all_have_residuals(features: pd.DataFrame) -> None:
    planted = device(features, 3)
    models = [PhysicsGP(25, random_state=seed).fit(planted.features, planted.measured) for seed in (0, 0, 1)]
    predictions = [model.predict(planted.features) for model in models]
    assert np.array_equal(predictions[0], predictions[1])
    assert not np.array_equal(predictions[0], predictions[2])
    used = np.count_nonzero(np.abs(models[0].residuals_ - (planted.measured - predictions[0])) > 1e-12)
    assert used == 25  # of the others it is simply what they cost more than is predicted
    for model in models:
        assert model.residuals_.shape == model.precisions_.shape == (N,)
        assert 0.01 < np.abs(model.residuals_).mean() < 0.03  # the noise
        assert planted.error(model) < 0.015


def test_up_to_the_limit_all_rows_are_used(features: pd.DataFrame) -> None:
    planted = device(features, 3)
    X, y = planted.features[:40], planted.measured[:40]
    expected = PhysicsGP(max_rows=100).fit(X, y).predict(planted.features)
    assert np.array_equal(PhysicsGP(max_rows=40, random_state=5).fit(X, y).predict(planted.features), expected)


# -- what does not matter ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e3, 1e-6])
def test_the_unit_of_the_costs_does_not_matter(features: pd.DataFrame, scale: float) -> None:
    planted = device(features, 4)
    model, scaled = planted.fit(12), PhysicsGP().fit(planted.features[:12], planted.measured[:12] * scale)
    np.testing.assert_allclose(scaled.predict(planted.features), scale * model.predict(planted.features), rtol=1e-9)
    np.testing.assert_allclose(scaled.residuals_, scale * model.residuals_, rtol=1e-6)
    sds = model.posterior(planted.features).sd
    np.testing.assert_allclose(scaled.posterior(planted.features).sd, scale * sds, rtol=1e-6)
    np.testing.assert_allclose(scaled.precisions_, model.precisions_, rtol=1e-6)


def test_the_unit_of_the_physics_does_not_matter(features: pd.DataFrame) -> None:
    planted = device(features, 4)
    units = {"physics_all:macs": 1e-9, "physics_all:moved_bytes": 1e3, "physics_folded:params": 7.0}
    changed = planted.features.assign(**{name: planted.features[name] * unit for name, unit in units.items()})
    predicted = PhysicsGP().fit(changed[:12], planted.measured[:12]).predict(changed)
    np.testing.assert_allclose(predicted, planted.fit(12).predict(planted.features), rtol=1e-8)


def test_the_order_of_the_rows_does_not_matter(features: pd.DataFrame) -> None:
    planted = device(features, 5)
    order = np.random.default_rng(0).permutation(15)
    model, other = planted.fit(15), PhysicsGP().fit(planted.features.iloc[order], planted.measured[order])
    np.testing.assert_allclose(other.predict(planted.features), model.predict(planted.features), rtol=1e-8)
    np.testing.assert_allclose(other.residuals_, model.residuals_[order], rtol=1e-5, atol=1e-8)


def test_the_order_of_the_columns_does_not_matter_as_long_as_it_stays(features: pd.DataFrame) -> None:
    planted = device(features, 5)
    # The first view is still the first: the scale of the priors is that of its physics.
    views = [name.partition(":")[0].partition("_")[2] for name in planted.features]
    turned = planted.features.iloc[:, sorted(range(len(views)), key=lambda i: ((VIEWS + ENGINES).index(views[i]), -i))]
    assert turned.columns[0] != planted.features.columns[0]
    model = PhysicsGP().fit(turned[:15], planted.measured[:15])
    np.testing.assert_allclose(model.predict(turned), planted.fit(15).predict(planted.features), rtol=1e-8)
    with pytest.raises(ValueError, match=r"feature names should match"):
        model.predict(planted.features)


def test_wrong_columns_are_refused(features: pd.DataFrame) -> None:
    model = device(features, 5).fit(6)
    with pytest.raises(ValueError, match=r"physics_all:macs"):
        model.predict(features.drop(columns="physics_all:macs"))
    with pytest.raises(ValueError, match=r"source:other"):
        model.predict(features.assign(**{"source:other": 1.0}))


def test_without_physics_there_is_nothing_to_fit(features: pd.DataFrame) -> None:
    corrections = features[[name for name in features if name.startswith("correction_")]]
    for X in (corrections[:6], corrections[:6].to_numpy(), pd.DataFrame({"source:a": np.arange(1.0, 7)})):
        with pytest.raises(InvalidInputError, match=r"columns of LayerPhysics.*got none"):
            PhysicsGP().fit(X, np.ones(6))


def test_the_same_seed_gives_the_same_result_and_no_input_is_changed(features: pd.DataFrame) -> None:
    planted = device(features, 6)
    X, y = planted.features[:12].copy(), planted.measured[:12].copy()
    y.flags.writeable = False
    model = PhysicsGP(random_state=3)
    with pytest.raises(NotFittedError):
        model.predict(X)
    assert model.fit(X, y) is model
    assert np.array_equal(clone(model).fit(X, y).predict(features), model.predict(features))
    assert np.array_equal(
        PhysicsGP().fit(X, y).predict(features), PhysicsGP(random_state=0).fit(X, y).predict(features)
    )
    pd.testing.assert_frame_equal(X, planted.features[:12])
    assert np.array_equal(y, planted.measured[:12])


def test_arrays_hold_all_that_was_learned(features: pd.DataFrame) -> None:
    planted = device(features, 6)
    frame = planted.features.assign(**{"source:kin": planted.clean})
    model = PhysicsGP().fit(frame[:8], planted.measured[:8])
    arrays = {name: array.copy() for name, array in model.to_arrays().items()}
    assert all(array.dtype.kind in "fi" for array in arrays.values())
    again = PhysicsGP().from_arrays(arrays, model.feature_names_in_)
    assert again.predict(frame).tobytes() == model.predict(frame).tobytes()
    assert again.posterior(frame).sd.tobytes() == model.posterior(frame).sd.tobytes()
    with pytest.raises(ValueError, match=r"feature names should match"):
        again.predict(planted.features)


# -- strange measurements ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_rows_are_enough(features: pd.DataFrame, n: int) -> None:
    predicted = device(features, 7).fit(n).predict(features)
    assert np.isfinite(predicted).all()
    assert predicted.max() < 10


def test_networks_that_cost_alike_are_predicted_alike(features: pd.DataFrame) -> None:
    """But for the few in which equal additions are merged: the twelve all have as many, which may be what costs."""
    model = PhysicsGP().fit(features[:12], np.full(12, 3.0))
    assert (np.abs(model.predict(features) / 3.0 - 1) < 0.01).mean() > 0.98
    assert np.abs(model.residuals_).max() < 0.03


def test_costs_of_zero_are_predicted_as_zero(features: pd.DataFrame) -> None:
    model = PhysicsGP().fit(features[:12], np.zeros(12))
    assert np.abs(model.predict(features)).max() < 1e-3


def test_costs_of_zero_tell_nothing_of_a_scale(features: pd.DataFrame) -> None:
    model = PhysicsGP().fit(features.iloc[[3] * 10], np.zeros(10))
    assert np.abs(model.predict(features)).max() < 1e-3


def test_one_architecture_again_and_again_tells_the_scale(features: pd.DataFrame) -> None:
    planted = device(features, 8)
    model = PhysicsGP().fit(planted.features.iloc[[3] * 10], np.linspace(0.9, 1.1, 10) * planted.clean[3])
    assert model.predict(planted.features.iloc[[3]])[0] == pytest.approx(planted.clean[3], rel=0.05)
    assert spearmanr(model.predict(planted.features[TEST]), planted.clean[TEST])[0] > 0.8


# -- without a measurement --------------------------------------------------------------------------------


def test_ranked_by_sources_alone_it_is_their_average(features: pd.DataFrame) -> None:
    rng = np.random.default_rng(0)
    sources = {
        "source:a": rng.uniform(1, 2, N),
        "source:b": 1e6 * rng.uniform(1, 3, N),
        "source:c": rng.uniform(0, 1, N),
    }
    frame = features.assign(**sources)
    model = PhysicsGP().rank(frame[:50])
    expected = np.mean([costs / costs[:50].mean() for costs in sources.values()], axis=0)
    np.testing.assert_allclose(model.predict(frame), expected, rtol=1e-12)
    assert model.predict(frame[:50]).mean() == pytest.approx(1)
    again = PhysicsGP().from_arrays(model.to_arrays(), model.feature_names_in_)
    assert np.array_equal(again.predict(frame), model.predict(frame))
    assert len(model.residuals_) == len(model.precisions_) == 0
    assert model.source_weight_ == 1


# -- designs ----------------------------------------------------------------------------------------------


def test_a_design_has_a_row_for_each_network_and_a_column_for_each_coefficient(features: pd.DataFrame) -> None:
    frame = features[:30].assign(**{"source:a": 2.0, "source:dead": 0.0})
    odds, designs = zip(*design_of(frame), strict=True)
    n_corrections = sum(name.startswith("correction_all:") for name in frame)
    n_sorts = sum(name.startswith("correction_fused:") for name in frame)
    # The constant, the physics but for the depthwise columns, which are zero here, and the source that is not dead.
    layers, n_quantized = [(30, n_corrections + 1 + 8 + 1)] * len(VIEWS), 10
    n_merged = n_quantized - 4  # nothing is in int8 or converted
    engines = [(30, n_sorts + 1 + n + 1) for n in (n_merged, n_quantized)]
    assert [design.shape for design in designs] == layers + engines
    assert all(np.isfinite(design).all() for design in designs)
    assert odds == pytest.approx((1, 1, 1, np.exp(-2), np.exp(-3)))


def test_inner_products_of_a_design_are_covariances_of_costs_drawn_from_the_prior(features: pd.DataFrame) -> None:
    """Shares of 1 on average, known to 30 percent each; of sources, which are alike, together."""
    frame = features[[name for name in features if name.startswith("physics_all:")]][:8]
    frame = frame.assign(**{"source:a": np.linspace(1, 2, 8), "source:b": np.linspace(9, 5, 8)})
    ((odds, design),) = design_of(frame)
    assert odds == 1
    rng = np.random.default_rng(0)
    columns = (frame / frame.mean()).dropna(axis=1)
    sds = np.array([0.3 / np.sqrt(2) if name.startswith("source:") else 0.3 for name in columns])
    draws = 40_000
    costs = columns.to_numpy() @ (sds[:, None] * rng.normal(size=(len(sds), draws))) + 0.1 * rng.normal(size=draws)
    np.testing.assert_allclose(design @ design.T, np.cov(costs), rtol=0.05)


def test_corrections_of_a_design_have_a_variance_of_one_in_the_middle(features: pd.DataFrame) -> None:
    for view, (_, design) in zip(VIEWS + ENGINES, design_of(features), strict=True):
        n_corrections = sum(name.startswith(f"correction_{view}:") for name in features)
        assert (design[:, :n_corrections] ** 2).sum(axis=1).mean() == pytest.approx(1)
        assert np.array_equal(design[:, n_corrections], np.full(N, 0.1))
