"""The surrogate is a scikit-learn estimator over architectures, whatever its encoder, model and unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hwnas_surrogate.data import CostTable, load_table
from hwnas_surrogate.errors import InvalidArchitectureError, InvalidConfigError, InvalidInputError
from hwnas_surrogate.features import ENCODERS, Combined, LayerSums, OneHot
from hwnas_surrogate.models import MODELS, BoostedRidge, LeaveOneOutRidge, PhysicsStack
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite
from tests.trainers.conftest import planted_costs, small

SPACE = get_space("nasbench201")
every_model = pytest.mark.parametrize("model", MODELS)


# -- it learns, with every part ---------------------------------------------------------------------------


@pytest.mark.usefixtures("quick_mlp")
@every_model
def test_every_model_goes_by_its_name(model: str, archs: np.ndarray, costs: np.ndarray) -> None:
    if model in ("forest", "xgboost"):
        archs, costs = archs[:30], costs[:30]
    surrogate = Surrogate(model=model, random_state=0).fit(archs, costs)
    assert surrogate.score(archs, costs) > 0.8
    assert type(surrogate.model_) is type(MODELS[model](0))


@pytest.mark.parametrize("space", ["nasbench201", "fbnet"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_goes_by_its_name(space: str, encoder: str) -> None:
    archs = get_space(space).sample(240, 0)
    macs = get_space(space).batch(archs).macs / 1e6
    surrogate = Surrogate(space, encoder).fit(archs[:200], macs[:200])
    # Peaks and weights, and how many operators run, say less of multiply-adds than the others do.
    least = 0.6 if encoder in ("memory", "operators") else 0.8
    assert surrogate.score(archs[200:], macs[200:]) > least
    assert type(surrogate.encoder_) is ENCODERS[encoder]
    assert surrogate.n_features_in_ == len(surrogate.encoder_.get_feature_names_out())


def test_the_default_is_the_first_of_each(archs: np.ndarray, costs: np.ndarray, queries: np.ndarray) -> None:
    named = Surrogate("nasbench201", next(iter(ENCODERS)), next(iter(MODELS))).fit(archs, costs)
    assert np.array_equal(Surrogate().fit(archs, costs).predict(queries), named.predict(queries))


@pytest.mark.parametrize(
    "model", [make_pipeline(StandardScaler(), Ridge()), GradientBoostingRegressor(n_estimators=20, random_state=0)]
)
def test_any_scikit_learn_regressor_will_do(model: Any, archs: np.ndarray, costs: np.ndarray) -> None:
    surrogate = Surrogate(model=model).fit(archs, costs)
    assert surrogate.score(archs, costs) > 0.8
    assert not hasattr(model, "n_features_in_"), "the user's model is cloned, not fitted"


def test_score_is_spearmans_correlation(fitted: dict[str, Surrogate], queries: np.ndarray) -> None:
    measured = planted_costs(queries)
    ranks = [pd.Series(values).rank() for values in (measured, fitted["ridge"].predict(queries))]
    assert fitted["ridge"].score(queries, measured) == pytest.approx(np.corrcoef(*ranks)[0, 1])


def test_predictions_do_not_depend_on_how_threads_finish(archs: np.ndarray, costs: np.ndarray) -> None:
    forest = RandomForestRegressor(n_estimators=3, n_jobs=2, random_state=0)
    assert Surrogate(model=forest).fit(archs, costs).model_.n_jobs == 1
    piped = Surrogate(model=make_pipeline(StandardScaler(), forest)).fit(archs, costs)
    assert piped.model_[-1].n_jobs == 1
    assert forest.n_jobs == 2


# -- scikit-learn's estimator contract --------------------------------------------------------------------


def test_parameters_are_stored_and_cloned() -> None:
    surrogate = Surrogate("fbnet", OneHot("fbnet"), Ridge(alpha=2.0), 7)
    assert surrogate.get_params() | {"space": "fbnet", "random_state": 7, "model__alpha": 2.0} == surrogate.get_params()
    assert repr(clone(surrogate)) == repr(surrogate)
    assert "fbnet" in repr(surrogate)
    assert surrogate.set_params(model__alpha=5.0, encoder__space="nasbench201") is surrogate
    assert surrogate.model.alpha == 5.0
    assert surrogate.encoder.space == "nasbench201"


def test_fit_returns_self_and_changes_neither_inputs_nor_parameters(archs: np.ndarray, costs: np.ndarray) -> None:
    archs, costs = archs.copy(), costs.copy()
    archs.flags.writeable = costs.flags.writeable = False
    encoder, model = OneHot(), Ridge()
    surrogate = Surrogate(encoder=encoder, model=model)
    assert surrogate.fit(archs, costs) is surrogate
    surrogate.predict(archs)
    assert surrogate.encoder is encoder
    assert surrogate.model is model
    assert surrogate.n_train_ == len(archs)


@every_model
def test_a_second_fit_forgets_the_first(
    model: str, fitted: dict[str, Surrogate], archs: np.ndarray, costs: np.ndarray, queries: np.ndarray
) -> None:
    again = clone(fitted[model]).set_params(calibrate=False).fit(archs[:20], costs[:20] * 100).fit(archs, costs)
    assert np.array_equal(again.predict(queries), fitted[model].predict(queries))


@pytest.mark.parametrize(
    "surrogate",
    [Surrogate(), Surrogate(SPACE, OneHot(SPACE)), Surrogate(SPACE, Combined(SPACE, [OneHot("nasbench201")]))],
    ids=["names", "space objects", "nested space objects"],
)
def test_scikit_learn_cross_validates_it(surrogate: Surrogate, archs: np.ndarray, costs: np.ndarray) -> None:
    scores = cross_val_score(surrogate, archs, costs, cv=3)
    assert scores.shape == (3,)
    assert (scores > 0.5).all()
    by_hand = clone(surrogate).fit(archs[20:], costs[20:]).score(archs[:20], costs[:20])
    assert scores[0] == pytest.approx(by_hand)


def test_predict_before_fit_is_scikit_learns_error(queries: np.ndarray) -> None:
    with pytest.raises(NotFittedError):
        Surrogate().predict(queries)


def test_one_architecture_equals_its_place_in_the_batch(fitted: dict[str, Surrogate], queries: np.ndarray) -> None:
    for surrogate in fitted.values():
        alone = np.concatenate([surrogate.predict(arch) for arch in queries])
        np.testing.assert_allclose(alone, surrogate.predict(queries), rtol=1e-12)


def test_no_architectures_have_no_costs(fitted: dict[str, Surrogate]) -> None:
    for surrogate in fitted.values():
        assert surrogate.predict([]).shape == (0,)


def test_costs_are_accepted_as_lists_series_and_columns(
    fitted: dict[str, Surrogate], archs: np.ndarray, costs: np.ndarray, queries: np.ndarray
) -> None:
    expected = fitted["ridge"].predict(queries)
    for form in (costs.tolist(), pd.Series(costs), costs[:, None], pd.DataFrame({"ms": costs})):
        surrogate = Surrogate(model="ridge", random_state=0)
        assert np.array_equal(surrogate.fit(SPACE.format_all(archs), form).predict(queries), expected)


# -- configs ----------------------------------------------------------------------------------------------


def test_mixed_configs_are_learned_and_told_apart() -> None:
    archs = SPACE.sample(90, 2)
    names = ["cifar10", "ImageNet16-120", "C8-N2-k10-3x32x32"]
    configs = [names[row % 3] for row in range(90)]
    macs = np.array([SPACE.batch(arch, config).macs[0] for arch, config in zip(archs, configs, strict=True)]) / 1e6
    surrogate = Surrogate(encoder=LayerSums()).fit(archs[:60], macs[:60], configs[:60])
    np.testing.assert_allclose(surrogate.predict(archs[60:], configs[60:]), macs[60:], rtol=0.01)
    one = surrogate.predict(archs[:1], "cifar10"), surrogate.predict(archs[:1], "ImageNet16-120")
    assert one[0] > 2 * one[1]


# -- positive, in any unit --------------------------------------------------------------------------------


@every_model
def test_positive_costs_are_predicted_positive(model: str) -> None:
    archs = SPACE.sample(60, 5)
    macs = SPACE.batch(archs).macs / 1e6
    costs = np.maximum(macs - np.median(macs), 0) + 1e-6
    predicted = Surrogate(model=small(model)).fit(archs, costs).predict(SPACE.sample(2000, 6))
    assert (predicted > 0).all()


def test_without_a_floor_those_predictions_would_be_negative() -> None:
    archs = SPACE.sample(60, 5)
    macs = SPACE.batch(archs).macs / 1e6
    surrogate = Surrogate(model="linear").fit(archs, np.maximum(macs - np.median(macs), 0) + 1e-6)
    assert surrogate.floor_ == 0.5e-6
    assert surrogate.predict(SPACE.sample(2000, 6)).min() == surrogate.floor_
    assert (surrogate.model_.predict(surrogate.encoder_.frame(SPACE.sample(2000, 6))) < 0).any()


@every_model
@pytest.mark.parametrize("factor", [2.0**-30, 2.0**20])
def test_powers_of_two_change_nothing_but_the_unit(
    model: str, factor: float, fitted: dict[str, Surrogate], archs: np.ndarray, costs: np.ndarray, queries: np.ndarray
) -> None:
    scaled = clone(fitted[model]).set_params(calibrate=False).fit(archs, costs * factor).predict(queries)
    assert np.array_equal(scaled, fitted[model].predict(queries) * factor)


@every_model
@pytest.mark.parametrize("factor", [1e-9, 1e6])
def test_the_unit_of_the_costs_does_not_matter(
    model: str, factor: float, fitted: dict[str, Surrogate], archs: np.ndarray, costs: np.ndarray, queries: np.ndarray
) -> None:
    # Trees choose among splits that are equally good, and the last bit decides: as another seed would.
    rtol = {"forest": 0.1, "xgboost": 0.1, "mlp": 1e-3}.get(model, 1e-6)
    scaled = clone(fitted[model]).set_params(calibrate=False).fit(archs, costs * factor).predict(queries)
    np.testing.assert_allclose(scaled / factor, fitted[model].predict(queries), rtol=rtol)


@every_model
@pytest.mark.parametrize("cost", [0.1, 3.7e-9, 123456.789, 0.0])
def test_a_constant_cost_is_predicted_exactly(model: str, cost: float, queries: np.ndarray) -> None:
    surrogate = Surrogate(model=small(model)).fit(SPACE.sample(5, 0), [cost] * 5)
    assert surrogate.predict(queries).tolist() == [cost] * len(queries)


# -- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cost", "parts"),
    [
        ([1, 2, np.nan, 4], [r"finite", r"got nan in row 2", r"Leave rows without"]),
        ([1, -2, 3, -4], [r"not negative", r"got -2.0 in row 1", r"\(2 such values"]),
        ([1, 2, 3, np.inf], [r"finite", r"got inf in row 3"]),
        ([1, 2, None, 4], [r"got nan in row 2"]),
        ([1, 2, 3], [r"one value per architecture", r"\(4,\)", r"got shape \(3,\)"]),
        ([[1, 2]] * 4, [r"one value per architecture", r"got shape \(4, 2\)"]),
        (5.0, [r"one value per architecture", r"got shape \(\)"]),
        (["fast", "slow", "fast", "slow"], [r"costs must be numbers, got texts"]),
    ],
)
def test_wrong_costs_are_refused(cost: Any, parts: list[str]) -> None:
    for part in parts:
        with pytest.raises(InvalidInputError, match=part):
            Surrogate().fit(SPACE.sample(4, 0), cost)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_costs_are_refused(n: int) -> None:
    with pytest.raises(InvalidInputError, match=rf"at least 2 measured architectures, got {n}\."):
        Surrogate().fit(SPACE.sample(n, 0), [1.0] * n)


@pytest.mark.parametrize(
    ("surrogate", "message"),
    [
        (Surrogate("nasbench101"), r"unknown search space 'nasbench101'.*'nasbench201', 'fbnet'.*Did you mean"),
        (Surrogate(model="forrest"), r"unknown model 'forrest'.*'ridge'.*Did you mean 'forest'"),
        (Surrogate(encoder="hot"), r"unknown encoder 'hot'; allowed: 'combined', 'onehot'"),
        (Surrogate(encoder=OneHot("fbnet")), r"the surrogate is over 'nasbench201', its encoder over 'fbnet'"),
        (Surrogate(encoder=StandardScaler()), r"encoder must be an Encoder, its name or None, got StandardScaler"),
        (Surrogate(model=3), r"model must be a scikit-learn regressor, a model's name or None, got 3"),
    ],
    ids=["space", "model", "encoder", "encoder's space", "encoder's type", "model's type"],
)
def test_wrong_parameters_are_refused_by_fit(
    surrogate: Surrogate, message: str, archs: np.ndarray, costs: np.ndarray
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        surrogate.fit(archs, costs)


def test_architectures_of_another_space_are_refused(fitted: dict[str, Surrogate], costs: np.ndarray) -> None:
    with pytest.raises(InvalidArchitectureError, match="NAS-Bench-201 architecture has 6 ops"):
        fitted["ridge"].predict(get_space("fbnet").sample(3, 0))
    with pytest.raises(InvalidArchitectureError, match="NAS-Bench-201 architecture has 6 ops"):
        Surrogate().fit(get_space("fbnet").sample(60, 0), costs)


def test_wrong_configs_are_refused(fitted: dict[str, Surrogate], queries: np.ndarray) -> None:
    with pytest.raises(InvalidConfigError, match=r"'cifar11'.*'cifar10'"):
        fitted["ridge"].predict(queries, "cifar11")
    with pytest.raises(InvalidConfigError, match=rf"got 2 for {len(queries)}"):
        fitted["ridge"].predict(queries, ["cifar10"] * 2)


def test_a_failed_fit_leaves_the_surrogate_as_it_was(archs: np.ndarray, costs: np.ndarray, queries: np.ndarray) -> None:
    surrogate = Surrogate(model=LeaveOneOutRidge()).fit(archs, costs)
    before = surrogate.predict(queries)
    with pytest.raises(InvalidInputError):
        surrogate.fit(archs, -costs)
    assert np.array_equal(surrogate.predict(queries), before)


def test_predict_means_the_config_that_was_trained_on(tmp_path: Path) -> None:
    space = get_space("nasbench201")
    archs, unseen = space.sample(80, random_state=0), space.sample(30, random_state=1)
    small, other, third = "C8-N2-k10-3x16x16", "C16-N5-k10-3x32x32", "C8-N1-k10-3x16x16"
    macs = {config: space.batch(archs, config).macs for config in (small, other, third)}
    one = Surrogate(encoder="layers").fit(archs, macs[small], small)
    one.save(tmp_path / "one")
    for surrogate in (one, Surrogate.load(tmp_path / "one")):
        np.testing.assert_array_equal(surrogate.predict(unseen), surrogate.predict(unseen, small))
        np.testing.assert_allclose(surrogate.predict(unseen), space.batch(unseen, small).macs, rtol=1e-2)
    both = Surrogate(encoder="layers").fit(
        np.concatenate([archs, archs]), np.concatenate([macs[small], macs[other]]), [small] * 80 + [other] * 80
    )
    np.testing.assert_array_equal(both.predict(unseen), both.predict(unseen, other))  # the space's first published one
    assert both.predict(unseen, small).mean() < both.predict(unseen, other).mean()
    neither = Surrogate(encoder="layers").fit(
        np.concatenate([archs, archs]), np.concatenate([macs[small], macs[third]]), [small] * 80 + [third] * 80
    )
    with pytest.raises(InvalidConfigError, match=r"trained under 2 configs .* name the config to predict for"):
        neither.predict(unseen)


@pytest.mark.parametrize("n", [20, 120])
def test_the_default_has_a_name(n: int) -> None:
    space = get_space("nasbench201")
    archs = space.sample(n, random_state=0)
    macs = space.batch(archs).macs
    named, default = (Surrogate(model=model).fit(archs, macs) for model in ("default", None))
    assert type(named.model_) is type(default.model_)
    np.testing.assert_array_equal(named.predict(range(50)), default.predict(range(50)))
    suite = SurrogateSuite(model="default").fit(archs, {"a/latency": macs})
    np.testing.assert_array_equal(suite["a"].predict(range(50)), default.predict(range(50)))
    text = r"unknown model 'defualt'; allowed: 'default', 'boosted', .*Did you mean 'default'"
    with pytest.raises(InvalidInputError, match=text):
        Surrogate(model="defualt").fit(archs, macs)


# -- the default for few costs ----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 19, 50])
def test_few_costs_are_told_by_physics(n: int) -> None:
    archs = SPACE.sample(n, 0)
    costs = SPACE.batch(archs).macs * np.exp(0.05 * np.random.default_rng(n).normal(size=n))
    fitted = Surrogate(random_state=0).fit(archs, costs)
    assert type(fitted.model_) is PhysicsStack
    assert fitted.model_.weights_["physics"] > 0.5
    assert fitted.physical
    assert fitted.columns_ == tuple(fitted.encoder_.get_feature_names_out())
    assert any(name.startswith("physics_") for name in fitted.columns_)


@pytest.mark.parametrize("n", [99, 200])
def test_where_the_boosted_ridge_has_all_the_weight_it_is_all_that_is_kept(n: int) -> None:
    archs, queries = SPACE.sample(n, 0), SPACE.sample(300, 1)
    fitted = Surrogate(random_state=0).fit(archs, planted_costs(archs))
    assert type(fitted.model_) is BoostedRidge
    assert not fitted.physical
    assert fitted.columns_ == tuple(fitted.encoder_.get_feature_names_out())
    assert not any(name.startswith("physics_") for name in fitted.columns_)
    by_name = Surrogate(model="boosted", random_state=0).fit(archs, planted_costs(archs))
    np.testing.assert_allclose(fitted.predict(queries), by_name.predict(queries), rtol=1e-12)


def test_networks_that_failed_are_no_costs() -> None:
    archs = SPACE.sample(120, 0)
    failed = np.arange(120) % 4 == 0
    fitted = Surrogate(random_state=0).fit(archs, planted_costs(archs), failed=failed)
    assert fitted.n_train_ == 90
    assert fitted.predict_has_cost(archs).min() < 0.5


def test_an_encoder_or_a_model_that_is_asked_for_is_used() -> None:
    archs = SPACE.sample(20, 0)
    costs = planted_costs(archs)
    by_encoder = Surrogate(encoder="combined").fit(archs, costs)
    assert type(by_encoder.model_) is BoostedRidge
    by_model = Surrogate(model="ridge").fit(archs, costs)
    assert by_model.encoder_.get_feature_names_out().tolist() == by_encoder.encoder_.get_feature_names_out().tolist()


@pytest.mark.parametrize(("space", "better"), [("nasbench201", 0.02), ("fbnet", 0.005)])
def test_ten_costs_rank_the_rest(space: str, better: float) -> None:
    table = load_table(space=space)
    assert isinstance(table, CostTable)
    table = table.select("epyc-onnxruntime-1t/latency")
    known = np.flatnonzero(~np.isnan(table.costs[:, 0]))
    scores = []
    for seed in range(5):
        rows = np.random.default_rng(seed).permutation(known)[:410]
        archs, costs = table.archs[rows], table.costs[rows, 0]
        two = (Surrogate(space), Surrogate(space, model="boosted"))
        scores.append([one.fit(archs[:10], costs[:10]).score(archs[10:], costs[10:]) for one in two])
    default, ordinary = np.mean(scores, axis=0)
    assert default > 0.93
    assert default > ordinary + better


def test_a_single_network_measured_often_is_predicted_within_its_costs() -> None:
    arch = SPACE.sample(1, 0)
    fitted = Surrogate().fit(np.repeat(arch, 30, axis=0), [1.0, 2.0, 6.0] * 10)
    assert 1 <= fitted.predict(arch)[0] <= 6
    low, high = fitted.predict_interval(arch)[0]
    assert low < 1.5
    assert high > 5.5
    assert np.isfinite(fitted.predict_interval(SPACE.sample(50, 1))).all()
