"""Suggested architectures tell more than random ones."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable, Target, load_table
from hwnas_surrogate.errors import HWNASError, InvalidArchitectureError, InvalidConfigError, InvalidInputError
from hwnas_surrogate.features import LayerPhysics
from hwnas_surrogate.search import Suggestion, suggest
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import AdaptWarning, Surrogate, SurrogateSuite, TransferSurrogate, fit_sources
from hwnas_surrogate.trainers.design import most_informative
from tests.graph_tables import plain, zoo, zoo_table

SPACE, FBNET = get_space("nasbench201"), get_space("fbnet")
TORCH, RUNTIME = Target.parse("epyc-torch-1t/latency"), Target.parse("epyc-onnxruntime-1t/latency")
OTHER = "C8-N2-k10-3x32x32"


def bundled(space: str = "nasbench201") -> CostTable:
    table = load_table(space=space)
    assert isinstance(table, CostTable)
    return table


@pytest.fixture(scope="module")
def sources() -> SurrogateSuite:
    return fit_sources(bundled().select(TORCH).rows(range(40)))


def test_networks_without_a_path_are_told() -> None:
    found = suggest(SPACE, 50)
    assert found.connected.tolist() == SPACE.connected(found.archs).tolist()
    cut_off = np.count_nonzero(~found.connected)
    assert 0 < cut_off < 50
    assert repr(found).startswith(f"Suggestion(50 under {found.config}, {cut_off} of them without a path ")
    assert len(repr(found)) < 160
    assert "without" not in repr(suggest(FBNET, 5))


def test_given_architectures_are_chosen_as_those_of_a_space() -> None:
    """By the prior of layer physics, under which surrogates over the space are fitted, not by that of graphs."""
    batch = SPACE.batch(SPACE.at(range(1000, 15000, 347)), OTHER)
    found = suggest(batch, 2)
    physics = LayerPhysics(None).frame(batch)
    picked, uncertainty = most_informative(physics, 2)
    assert list(found.networks.names) == [batch.names[row] for row in picked]
    np.testing.assert_allclose(found.uncertainty, uncertainty)


# -- the contract -----------------------------------------------------------------------------------------


CASES: dict[str, tuple[Any, ...]] = {
    "nasbench201": ("nasbench201", 12, None, False),
    "fbnet": ("fbnet", 12, None, False),
    "another config": ("nasbench201", 12, OTHER, False),
    "with a source": ("nasbench201", 12, None, True),
    "with a source of the other space": ("fbnet", 12, None, True),
    "with a source of another config": ("nasbench201", 12, OTHER, True),
    "one": ("nasbench201", 1, None, False),
    "one of a space object": (FBNET, 1, "ImageNet", False),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_suggested(case: str, sources: SurrogateSuite) -> None:
    name, n, config, with_sources = CASES[case]
    space = get_space(name)
    told = suggest(name, n, config, sources=sources if with_sources else None)
    assert isinstance(told, Suggestion)
    assert len(told) == n
    assert told.archs.shape == (n, space.n_positions)
    assert told.archs.dtype == np.int8
    assert np.array_equal(space.as_array(told.archs), told.archs)
    assert len(np.unique(told.archs, axis=0)) == n
    assert told.config == space.config(config)
    assert told.uncertainty.shape == (n + 1,)
    assert (np.diff(told.uncertainty) < 0).all()
    assert told.uncertainty[-1] > 0


def test_the_same_seed_suggests_the_same(sources: SurrogateSuite) -> None:
    for given in (None, sources):
        one, again, other = (suggest("nasbench201", 6, sources=given, random_state=seed) for seed in (4, 4, 5))
        assert np.array_equal(one.archs, again.archs)
        assert np.array_equal(one.uncertainty, again.uncertainty)
        assert not np.array_equal(one.archs, other.archs)
    default = suggest("nasbench201", 6)
    assert np.array_equal(default.archs, suggest("nasbench201", 6, random_state=0).archs)


def test_global_generators_stay_as_they_are() -> None:
    np.random.seed(3)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    suggest("nasbench201", 2)
    assert np.random.random() == expected  # noqa: NPY002


def test_asking_for_more_only_adds() -> None:
    few, many = suggest("fbnet", 4, random_state=1), suggest("fbnet", 9, random_state=1)
    assert np.array_equal(many.archs[:4], few.archs)
    assert np.array_equal(many.uncertainty[:5], few.uncertainty)


@pytest.mark.parametrize("space", ["nasbench201", "fbnet"])
def test_what_was_measured_is_not_suggested_again(space: str) -> None:
    first = suggest(space, 8)
    more = suggest(space, 8, given=first.archs)
    both = np.concatenate([first.archs, more.archs])
    assert len(np.unique(both, axis=0)) == 16
    assert more.uncertainty[0] < 0.7 * first.uncertainty[0]
    assert more.uncertainty[0] == pytest.approx(first.uncertainty[-1], rel=0.02)
    texts = suggest(space, 8, given=get_space(space).format_all(first.archs))
    assert np.array_equal(texts.archs, more.archs)


def test_nothing_measured_is_no_difference() -> None:
    none = suggest("nasbench201", 3, given=[])
    assert np.array_equal(none.archs, suggest("nasbench201", 3).archs)


@pytest.mark.parametrize("n", [0, -1, 1001, 2.0, "5", None, True])
def test_a_wrong_number_is_refused(n: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"n must be a whole number from 1 to 1,000, got"):
        suggest("nasbench201", n)


def test_wrong_arguments_are_refused(sources: SurrogateSuite) -> None:
    wrong: list[tuple[type[HWNASError], str, dict[str, Any]]] = [
        (InvalidInputError, "unknown search space 'nasbench101'", {"candidates": "nasbench101"}),
        (InvalidConfigError, "'cifar11'", {"config": "cifar11"}),
        (InvalidArchitectureError, "NAS-Bench-201 architecture has 6 ops", {"given": FBNET.sample(3, 0)}),
        (InvalidInputError, "must be a CostTable, a Surrogate or a SurrogateSuite", {"sources": ["nobody"]}),
    ]
    for error, text, arguments in wrong:
        with pytest.raises(error, match=text):
            suggest(**{"candidates": "nasbench201", "n": 2, **arguments})


def test_numpys_integers_are_numbers() -> None:
    assert len(suggest("nasbench201", np.int64(2))) == 2


# -- what it is good for ----------------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["nasbench201", "fbnet"])
def test_suggestions_leave_less_uncertain_than_random_ones(space: str) -> None:
    chosen = suggest(space, 8).uncertainty[-1]
    at_random = [suggest(space, 1, given=get_space(space).sample(8, seed)).uncertainty[0] for seed in range(6)]
    assert chosen < 0.9 * min(at_random)


def planted(archs: np.ndarray, seed: int) -> np.ndarray:
    """Return costs on a device that prices what layers need at random, with 1 % of noise."""
    rng = np.random.default_rng(seed)
    frame = LayerPhysics("nasbench201", ("all",)).frame(archs)
    physics = frame[[name for name in frame if name.startswith("physics")]].to_numpy()
    means = LayerPhysics("nasbench201", ("all",)).frame(SPACE.sample(500, 0)).mean()[: physics.shape[1]].to_numpy()
    shares = rng.lognormal(0, 1.5, physics.shape[1]) * (means > 0)
    costs = (physics / np.maximum(means, 1e-9)) @ shares
    return costs * np.exp(0.01 * rng.normal(size=len(archs)))


def test_suggestions_teach_more_than_random_ones() -> None:
    queries = SPACE.sample(400, 99)
    errors = []
    for seed in range(8):
        truth = planted(queries, seed)
        designs = suggest("nasbench201", 8, random_state=seed).archs, SPACE.sample(8, seed)
        errors.append([])
        for archs in designs:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", AdaptWarning)
                surrogate = TransferSurrogate().fit(archs, planted(archs, seed))
            errors[-1].append(np.sqrt(np.mean((surrogate.predict(queries) / truth - 1) ** 2)))
    chosen, at_random = np.mean(errors, axis=0)
    assert chosen < 0.85 * at_random


def test_graphs_are_chosen_among_by_name() -> None:
    some = zoo(3)
    chosen = suggest(some, 6)
    assert len(set(chosen.names)) == 6
    assert set(chosen.names) <= set(some.names)
    assert chosen.config is None
    assert chosen.connected.all()
    assert repr(chosen).startswith("Suggestion(6; uncertainty: ")
    assert (np.diff(chosen.uncertainty) < 0).all()
    with pytest.raises(InvalidInputError, match="graphs were suggested"):
        _ = chosen.archs
    as_mapping = suggest(dict(zip(some.names, some.graphs, strict=True)), 6)
    assert as_mapping.names == chosen.names


def test_graphs_measured_already_are_not_suggested_again() -> None:
    some = zoo(2)
    first = suggest(some, 5)
    more = suggest(some, 5, given=first.networks)
    assert not set(first.names) & set(more.names)
    assert more.uncertainty[0] == pytest.approx(first.uncertainty[-1], rel=0.3)
    with pytest.raises(InvalidInputError, match=f"networks to choose among, {len(some) - 5} without"):
        suggest(some, len(some) - 4, given=first.networks)
    with pytest.raises(InvalidInputError, match="graphs have no config"):
        suggest(some, 2, "cifar10")


def test_sources_do_not_change_the_choice_among_graphs() -> None:
    table = zoo_table(3)
    source = Surrogate(None, model="ridge").fit(table.batch, table.costs[:, 0])
    chosen, alone = suggest(table.batch, 4, sources=[source]), suggest(table.batch, 4)
    assert chosen.names == alone.names
    with pytest.raises(InvalidInputError, match="a source must be"):
        suggest(table.batch, 4, sources=["no source"])


def test_chosen_graphs_leave_others_less_uncertain_than_random_ones() -> None:
    some = zoo(5)
    chosen = suggest(some, 6).uncertainty[-1]
    rng = np.random.default_rng(0)
    drawn = [some.take(rng.permutation(len(some))[:6]) for _ in range(6)]
    assert chosen < 0.9 * min(suggest(some, 1, given=given).uncertainty[0] for given in drawn)


def test_equal_graphs_are_suggested_once() -> None:
    graphs = {"one": plain(8, 1), "again": plain(8, 1), "two": plain(8, 2)}
    assert set(suggest(graphs, 2).names) == {"one", "two"}
    with pytest.raises(InvalidInputError, match="number of different networks to choose among, 2"):
        suggest(graphs, 3)


def test_few_graphs_are_enough() -> None:
    assert suggest([plain(8, 1)], 1, given=[]).uncertainty[1] < 0.1
    with pytest.raises(InvalidInputError, match="to choose among, 0"):
        suggest([], 1)
