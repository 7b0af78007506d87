"""Sources are asked as they stand at home, by their layer physics elsewhere, and are given in many forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from hwnas_surrogate.data import CostTable, Target, load_table
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import LayerPhysics
from hwnas_surrogate.models import PhysicsStack
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite, TransferSurrogate, fit_sources
from hwnas_surrogate.trainers.encoded import stack_encoder
from hwnas_surrogate.trainers.sources import SourceCosts, fitted_sources

SPACE, FBNET = get_space("nasbench201"), get_space("fbnet")
TORCH, RUNTIME = "epyc-torch-1t/latency", "epyc-onnxruntime-1t/latency"
OTHER = "C8-N2-k10-3x32x32"
ARCHS = SPACE.sample(30, 5)


@pytest.fixture(scope="module")
def table() -> CostTable:
    """Return 50 measured rows of two devices; the second has 30 of them."""
    bundled = load_table(space="nasbench201")
    assert isinstance(bundled, CostTable)
    two = bundled.select([TORCH, RUNTIME])
    measured = np.flatnonzero(~np.isnan(two.costs).any(axis=1))[:30]
    missing = np.flatnonzero(np.isnan(two.costs[:, 1]))[:20]
    return two.rows(np.concatenate([measured, missing]))


@pytest.fixture(scope="module")
def blocks() -> CostTable:
    bundled = load_table(space="fbnet")
    assert isinstance(bundled, CostTable)
    return bundled.select(TORCH).rows(range(40))


@pytest.fixture(scope="module")
def suite(table: CostTable) -> SurrogateSuite:
    return fit_sources(table)


@pytest.fixture(scope="module")
def fbnet(blocks: CostTable) -> SurrogateSuite:
    return fit_sources(blocks)


@pytest.fixture(scope="module")
def plain(table: CostTable) -> Surrogate:
    """Return an ordinary surrogate, without a target."""
    return Surrogate(model="boosted").fit(table.archs, table.costs[:, 0])


@pytest.fixture(scope="module")
def configured(table: CostTable) -> Surrogate:
    """Return a source that was trained under three configs."""
    configs = ["C16-N5-k10-3x32x32", OTHER, "C12-N3-k10-3x32x32"]
    rows = [configs[row % 3] for row in range(50)]
    macs = [SPACE.batch(arch, config).macs[0] for arch, config in zip(table.archs, rows, strict=True)]
    trained = CostTable(SPACE, table.archs, np.array(macs)[:, None] / 1e6, ["board/latency"], configs=rows)
    return fit_sources(trained)["board"]


def physics_of(source: Surrogate, archs: np.ndarray, config: Any, space: str = "nasbench201") -> np.ndarray:
    """Return what a source's layer physics predicts, from its parts."""
    frame = LayerPhysics(space).frame(archs, config)
    return np.maximum(source.model_.physics_.predict(frame) * source.scale_, source.floor_)


# -- fitting ----------------------------------------------------------------------------------------------


def test_every_target_becomes_a_source_of_its_measured_rows(table: CostTable, suite: SurrogateSuite) -> None:
    assert suite.targets_ == table.targets
    assert [one.n_train_ for one in suite.surrogates_.values()] == [50, 30]
    assert suite.info_ == {"table_fingerprint": table.fingerprint}
    for one in suite.surrogates_.values():
        assert isinstance(one.model_, PhysicsStack)
        assert one.calibration_ is None
    alone = fit_sources(table.rows(range(30)), RUNTIME)
    assert alone.targets_ == (Target.parse(RUNTIME),)
    np.testing.assert_allclose(alone[RUNTIME].predict(ARCHS), suite[RUNTIME].predict(ARCHS), rtol=1e-9)


def test_a_source_knows_its_device(suite: SurrogateSuite) -> None:
    bundled = load_table(space="nasbench201")
    assert isinstance(bundled, CostTable)
    archs = bundled.archs[::50]
    assert suite[TORCH].score(archs, bundled.lookup(archs, targets=TORCH).iloc[:, 0]) > 0.98


def test_sources_come_in_many_forms(
    table: CostTable, suite: SurrogateSuite, plain: Surrogate, fbnet: SurrogateSuite
) -> None:
    one, other = suite.surrogates_.values()
    assert fitted_sources(None, SPACE) == ()
    assert fitted_sources([], SPACE) == ()
    assert fitted_sources(one, SPACE) == (one,)
    assert fitted_sources(suite, SPACE) == (one, other)
    assert fitted_sources((plain, suite), SPACE) == (plain, one, other)
    assert fitted_sources(iter([fbnet, one]), SPACE) == (fbnet[TORCH], one)
    fitted = fitted_sources(table, SPACE)
    assert [source.target_ for source in fitted] == list(table.targets)
    mixed = fitted_sources([plain, table.select(RUNTIME)], SPACE)
    assert [source.target_ for source in mixed] == [None, Target.parse(RUNTIME)]
    for source, mine in zip(fitted, (one, other), strict=True):
        assert np.array_equal(source.predict(ARCHS), mine.predict(ARCHS))


@pytest.mark.parametrize(
    ("given", "name"),
    [("epyc", "str"), ([{"a": 1}], "dict"), ([SPACE], "NASBench201"), ([Surrogate], "type"), ([None], "NoneType")],
)
def test_what_is_no_source_is_refused(given: Any, name: str) -> None:
    with pytest.raises(InvalidInputError, match=f"must be a CostTable, a Surrogate or a SurrogateSuite, got {name}"):
        fitted_sources(given, SPACE)


@pytest.mark.parametrize("given", [5, load_table("blocks")], ids=["a number", "a block table"])
def test_what_cant_be_iterated_is_refused(given: Any) -> None:
    with pytest.raises(InvalidInputError, match="must be a CostTable, a Surrogate or a SurrogateSuite"):
        fitted_sources(given, SPACE)


def test_a_source_must_be_fitted() -> None:
    for unfitted in (Surrogate(), SurrogateSuite(), TransferSurrogate()):
        with pytest.raises(NotFittedError):
            fitted_sources([unfitted], SPACE)


def test_a_surrogate_without_physics_predicts_other_spaces_by_physics_that_imitates_it(
    suite: SurrogateSuite, fbnet: Any
) -> None:
    """Architectures of its own space, given as graphs, are predicted about as by itself."""
    macs = SPACE.batch(ARCHS).total("macs", "folded") / 1e7
    ridge = Surrogate(model="ridge", calibrate=False).fit(ARCHS, 2 + macs)
    new = SPACE.batch(SPACE.sample(60, 5))
    (of_graphs,) = SourceCosts(None, (ridge,)).transform(new.graphs()).T
    assert np.median(np.abs(of_graphs / ridge.predict(new) - 1)) < 0.05
    (of_fbnet,) = SourceCosts(FBNET, (ridge,)).transform(FBNET.sample(60, 5)).T
    assert spearmanr(of_fbnet, FBNET.batch(FBNET.sample(60, 5)).macs).statistic > 0.9
    mixed = TransferSurrogate(sources=[fbnet, suite[TORCH]]).fit(ARCHS, ridge.predict(ARCHS))
    assert np.isfinite(SourceCosts(FBNET, (mixed,)).transform(FBNET.sample(5, 5))).all()


def test_what_is_no_sum_stays_in_its_space() -> None:
    peak = Surrogate(metric="peak_memory", model="ridge").fit(ARCHS, np.arange(1.0, 31.0))
    flat = Surrogate().fit(ARCHS, np.ones(30))
    why = "source without a name is a surrogate over nasbench201, which can't predict fbnet: give its cost table"
    for source in (peak, flat):
        with pytest.raises(InvalidInputError, match=why):
            fitted_sources([source], FBNET)
    peak.target_ = Target.parse("raspi4/peak_memory")
    with pytest.raises(InvalidInputError, match="source raspi4/peak_memory is a surrogate over nasbench201"):
        TransferSurrogate("fbnet", peak).fit(FBNET.sample(10, 0), np.arange(1.0, 11.0))


# -- columns ----------------------------------------------------------------------------------------------


def test_columns_are_named_after_targets(suite: SurrogateSuite, plain: Surrogate, fbnet: SurrogateSuite) -> None:
    one, other = suite.surrogates_.values()
    names = SourceCosts(SPACE, (one, plain, other, fbnet[TORCH], one)).get_feature_names_out().tolist()
    assert names == [f"source:{TORCH}", "source:1", f"source:{RUNTIME}", f"source:{TORCH}#3", f"source:{TORCH}#4"]
    assert SourceCosts(SPACE).transform(ARCHS).shape == (30, 0)


def test_the_encoder_of_few_measurements_has_all_parts(suite: SurrogateSuite) -> None:
    without = stack_encoder(SPACE).get_feature_names_out().tolist()
    asked = SourceCosts(SPACE, tuple(suite.surrogates_.values()))
    names = stack_encoder(SPACE, asked).get_feature_names_out().tolist()
    assert names == [*without, f"source:{TORCH}", f"source:{RUNTIME}"]
    groups = {name.partition(":")[0] for name in without}
    assert groups > {"physics_all", "physics_folded", "correction_all", "correction_folded"}
    ordinary = Surrogate(model="ridge").fit(ARCHS[:5], np.arange(1.0, 6.0)).encoder_.get_feature_names_out().tolist()
    assert without[: len(ordinary)] == ordinary


def test_a_clone_asks_the_same_surrogates(suite: SurrogateSuite) -> None:
    encoder = SourceCosts(SPACE, tuple(suite.surrogates_.values()))
    assert clone(encoder).surrogates is encoder.surrogates
    assert np.array_equal(clone(encoder).transform(ARCHS), encoder.transform(ARCHS))


# -- what they say ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def every(suite: SurrogateSuite, plain: Surrogate, fbnet: SurrogateSuite, configured: Surrogate) -> SourceCosts:
    return SourceCosts(SPACE, (suite[TORCH], suite[RUNTIME], plain, fbnet[TORCH], configured))


def test_at_home_a_source_says_what_it_predicts(every: SourceCosts) -> None:
    told = every.frame(ARCHS)
    for column in (0, 1, 2):
        assert np.array_equal(told.iloc[:, column], every.surrogates[column].predict(ARCHS))
    home = every.surrogates[4].configs_[0]
    assert np.array_equal(told.iloc[:, 4], every.surrogates[4].predict(ARCHS, home))


def test_elsewhere_it_is_asked_for_its_layer_physics(every: SourceCosts) -> None:
    told = every.transform(ARCHS, OTHER)
    for column in (0, 1, 3):
        expected = physics_of(every.surrogates[column], ARCHS, OTHER)
        np.testing.assert_allclose(told[:, column], expected, rtol=1e-12)
    for column in (0, 1):  # where the ordinary model has a part in the costs at home, it is not asked here
        same = np.allclose(told[:, column], every.surrogates[column].predict(ARCHS, OTHER, extrapolate=True), rtol=1e-3)
        assert same == (every.surrogates[column].model_.weights_["physics"] == 1)
    home = every.transform(ARCHS)
    np.testing.assert_allclose(home[:, 3], physics_of(every.surrogates[3], ARCHS, None), rtol=1e-12)
    assert (told[:, [0, 1, 3]].mean(axis=0) < home[:, [0, 1, 3]].mean(axis=0)).all()


def test_those_that_have_no_physics_or_saw_three_configs_predict_themselves(every: SourceCosts) -> None:
    for config in (OTHER, "C10-N2-k10-3x32x32"):
        told = every.transform(ARCHS, config)
        for column in (2, 4):
            predicted = every.surrogates[column].predict(ARCHS, config, extrapolate=True)
            assert np.array_equal(told[:, column], predicted)


def test_sources_with_sources_of_their_own_are_told_apart(table: CostTable) -> None:
    archs, costs = table.archs[:20], table.costs[:20, 0]
    known = [fit_sources(CostTable(SPACE, archs, column[:, None], ["board/latency"])) for column in (costs, 1 / costs)]
    two = tuple(TransferSurrogate(sources=source).fit(archs, costs) for source in known)
    told = SourceCosts(SPACE, two).transform(ARCHS)
    for column, surrogate in enumerate(two):
        assert np.array_equal(told[:, column], surrogate.predict(ARCHS))
    assert not np.allclose(told[:, 0], told[:, 1])


def test_in_the_other_space_it_is_asked_for_its_layer_physics(suite: SurrogateSuite, fbnet: SurrogateSuite) -> None:
    archs = FBNET.sample(20, 1)
    told = SourceCosts(FBNET, (suite[TORCH], fbnet[TORCH])).transform(archs)
    np.testing.assert_allclose(told[:, 0], physics_of(suite[TORCH], archs, None, "fbnet"), rtol=1e-12)
    assert np.array_equal(told[:, 1], fbnet[TORCH].predict(archs))


def test_one_architecture_equals_its_place_in_the_batch(every: SourceCosts) -> None:
    for config in (None, OTHER):
        alone = np.concatenate([every.transform(arch, config) for arch in ARCHS[:8]])
        np.testing.assert_allclose(alone, every.transform(ARCHS, config)[:8], rtol=1e-12)
    mixed = every.transform(ARCHS[:8], ["C16-N5-k10-3x32x32", OTHER] * 4)
    np.testing.assert_allclose(mixed[::2], every.transform(ARCHS[:8:2]), rtol=1e-12)
    np.testing.assert_allclose(mixed[1::2], every.transform(ARCHS[1:8:2], OTHER), rtol=1e-12)
    assert every.transform([]).shape == (0, 5)


def test_positive_costs_are_told_positive_everywhere(every: SourceCosts) -> None:
    for config in (None, OTHER, "C8-N1-k10-3x16x16", "C32-N5-k200-3x64x64"):
        assert (every.transform(SPACE.sample(500, 2), config) > 0).all()


def test_the_unit_of_a_source_stays(table: CostTable) -> None:
    few = table.rows(range(15))
    costs = few.costs[:, :1] * [[1.0, 1e6]]
    fitted = fit_sources(CostTable(SPACE, few.archs, costs, ["a/latency", "b/latency"]))
    told = SourceCosts(SPACE, tuple(fitted.surrogates_.values()))
    for config in (None, OTHER):
        small, large = told.transform(ARCHS, config).T
        np.testing.assert_allclose(large, small * 1e6, rtol=1e-6)


def test_a_source_of_equal_costs_changes_little(table: CostTable) -> None:
    constant = Surrogate().fit(table.archs, np.full(len(table), 2.0))
    with_it = TransferSurrogate(sources=constant).fit(table.archs[:20], table.costs[:20, 0])
    without = TransferSurrogate().fit(table.archs[:20], table.costs[:20, 0])
    np.testing.assert_allclose(with_it.predict(ARCHS), without.predict(ARCHS), rtol=0.02)
