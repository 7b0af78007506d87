"""Laws that hold in every search space."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas_surrogate.errors import (
    HWNASError,
    InvalidArchitectureError,
    InvalidConfigError,
    InvalidInputError,
    NotInTableError,
    unknown,
)
from hwnas_surrogate.graphs import VIEWS
from hwnas_surrogate.spaces import FBNet, NASBench201, SearchSpace, as_generator, get_space, space_names
from tests.spaces.own import BUILT_IN, EVERY

every_space = pytest.mark.parametrize("space", EVERY, ids=lambda space: space.name)
every_built_in_space = pytest.mark.parametrize("space", BUILT_IN, ids=lambda space: space.name)
views = pytest.mark.parametrize("view", ["all", "live", "folded"])
relaxed = settings(deadline=None)


def arch_lists(space: SearchSpace, min_size: int = 0, max_size: int = 5) -> st.SearchStrategy[list[list[int]]]:
    arch = st.tuples(*(st.integers(0, n - 1) for n in space.n_ops_at.tolist())).map(list)
    return st.lists(arch, min_size=min_size, max_size=max_size)


def ones(space: SearchSpace) -> list[int]:
    return [1] * space.n_positions


# -- architectures ----------------------------------------------------------------------------------------


@every_space
def test_every_answer_about_an_empty_batch_is_empty(space: SearchSpace) -> None:
    empty = np.empty((0, space.n_positions), np.int8)
    assert space.as_array(empty).shape == empty.shape
    assert space.format_all(empty) == space.canonical(empty) == []
    assert space.codes(empty).shape == (0,)
    for view in ("all", "live", "folded"):
        assert space.executed(empty, view).shape == empty.shape
    assert space.connected(empty).shape == (0,)
    batch = space.batch(empty)
    assert len(batch) == len(batch.keys) == len(batch.graphs()) == 0
    assert batch.repeats.shape == batch.connected.shape == batch.macs.shape == batch.take([]).params.shape == (0,)
    for view in VIEWS:
        assert batch.total("macs", view).shape == (0,)  # type: ignore[arg-type]


@every_space
def test_a_network_is_connected_where_something_runs_on_its_input(space: SearchSpace) -> None:
    batch = space.sample(500, 0)
    assert space.connected(batch).tolist() == (space.batch(batch).total("macs", "live") > 0).tolist()


@every_space
def test_a_batch_equals_its_architectures_one_by_one(space: SearchSpace) -> None:
    batch = space.sample(50, 0)
    assert space.format_all(batch) == [space.format(arch) for arch in batch]
    assert space.canonical(batch) == [text for arch in batch for text in space.canonical(arch)]
    assert space.codes(batch).tolist() == [space.codes(arch[None])[0] for arch in batch]


@every_space
def test_codes_and_strings_tell_architectures_apart(space: SearchSpace) -> None:
    distinct = space.sample(3000, 0)
    twice = np.concatenate([distinct, distinct[::-1]])
    assert len(np.unique(space.codes(twice))) == len(set(space.format_all(twice))) == 3000
    assert (space.codes(distinct) == space.codes(distinct.copy())).all()


@every_space
def test_nothing_writes_into_its_input(space: SearchSpace) -> None:
    batch, (arch,) = space.sample(20, 0), space.sample(1, 1)
    batch.flags.writeable = arch.flags.writeable = False
    for view in ("all", "live", "folded"):
        assert len(space.executed(batch, view)) == 20
    networks = space.batch(batch)
    assert len(networks.keys) == len(networks.repeats) == len(networks.take(range(20))) == 20
    for view in VIEWS:
        assert len(networks.total("macs", view)) == 20  # type: ignore[arg-type]
    assert len(space.as_array(batch)) == len(space.codes(batch)) == len(space.canonical(batch)) == 20
    assert len(space.format_all(batch)) == 20
    assert not (space.neighbours(arch) == arch).all(axis=1).any()


@every_space
def test_one_architecture_is_wanted_where_one_is_wanted(space: SearchSpace) -> None:
    for n in (0, 2):
        for method in (space.format, space.neighbours):
            with pytest.raises(InvalidArchitectureError, match=f"expected one {space.title} architecture, got {n}"):
                method(space.sample(n, 0))


# -- neighbours and samples -------------------------------------------------------------------------------


@every_space
@relaxed
@given(data=st.data())
def test_neighbours_differ_in_exactly_one_op(space: SearchSpace, data: st.DataObject) -> None:
    (arch,) = data.draw(arch_lists(space, 1, 1))
    neighbours = space.neighbours(arch)
    assert neighbours.dtype == np.int8
    assert neighbours.shape == ((space.n_ops_at - 1).sum(), space.n_positions)
    assert ((neighbours != np.array(arch)).sum(axis=1) == 1).all()
    assert len(set(map(tuple, neighbours.tolist()))) == len(neighbours)
    assert space.as_array(neighbours).tolist() == neighbours.tolist()


@every_space
@pytest.mark.parametrize("n", [0, 1, 10, 5000])
def test_a_sample_has_no_repeats(space: SearchSpace, n: int) -> None:
    drawn = space.sample(n, 0)
    assert drawn.dtype == np.int8
    assert drawn.shape == (n, space.n_positions)
    assert len(set(map(tuple, drawn.tolist()))) == n
    assert space.as_array(drawn).tolist() == drawn.tolist()


@every_space
def test_same_seed_same_sample(space: SearchSpace) -> None:
    first = space.sample(100, 7)
    assert (first == space.sample(100, 7)).all()
    assert (first == space.sample(100, np.random.default_rng(7))).all()
    assert (first == space.sample(np.int64(100), np.int64(7))).all()
    assert (first != space.sample(100, 8)).any()
    assert (space.sample(100) != space.sample(100)).any()


@every_space
def test_a_generator_goes_on_where_it_stopped(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    assert (space.sample(50, rng) != space.sample(50, rng)).any()


@every_space
def test_global_generators_stay_untouched(space: SearchSpace) -> None:
    legacy = np.random.mtrand._rand
    before = random.getstate(), legacy.get_state()[1].tolist(), legacy.get_state()[2:]
    space.sample(10, 0)
    space.sample(10)
    if isinstance(space, NASBench201):
        type(space)().index(0)
    assert (random.getstate(), legacy.get_state()[1].tolist(), legacy.get_state()[2:]) == before


@every_space
def test_a_sample_is_the_callers_own(space: SearchSpace) -> None:
    first = space.sample(10, 0)
    expected = first.tolist()
    first[...] = 0
    assert space.sample(10, 0).tolist() == expected


@every_space
@pytest.mark.parametrize("n", [-1, 10**9, 2.0, "3", None, True])
def test_a_sample_size_out_of_range_is_refused(space: SearchSpace, n: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"n must be an integer from 0 to [0-9]+ .*, got "):
        space.sample(n, 0)


def test_a_sample_of_the_full_space_is_a_permutation() -> None:
    space = NASBench201()
    drawn = space.sample(len(space), 0)
    assert sorted(space.index(drawn).tolist()) == list(range(15_625))
    assert (drawn != space.enumerate()).any()
    with pytest.raises(InvalidInputError, match=r"from 0 to 15625 .* got 15626"):
        space.sample(len(space) + 1)


@pytest.mark.parametrize("bad", [-1, 1.0, "0", [0], random.Random(0)])
def test_a_bad_random_state_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidInputError, match="random_state must be a non-negative integer"):
        as_generator(bad)


def test_a_generator_passes_through() -> None:
    rng = np.random.default_rng(0)
    assert as_generator(rng) is rng
    assert as_generator(3).integers(1 << 60) == np.random.default_rng(3).integers(1 << 60)


# -- views ------------------------------------------------------------------------------------------------


@every_space
@views
def test_executed_is_one_bool_per_position(space: SearchSpace, view: Any) -> None:
    executed = space.executed(space.sample(100, 0), view)
    assert executed.dtype == bool
    assert executed.shape == (100, space.n_positions)
    assert executed.any()
    if view == "all":
        assert executed.all()


@every_space
def test_an_unknown_view_is_refused(space: SearchSpace) -> None:
    batch = space.batch(ones(space))
    for method in (
        batch.distinct,
        batch.graphs().distinct,
        lambda view: batch.sums([], view),
        lambda view: batch.total("macs", view),
        lambda view: space.executed(ones(space), view),
    ):
        with pytest.raises(InvalidInputError, match=r"unknown view 'fold'.*Did you mean 'folded'"):
            method("fold")  # type: ignore[arg-type]


@every_space
def test_positions_are_executed_in_three_views_only(space: SearchSpace) -> None:
    """Fusing and quantizing know operators, not positions."""
    for view in ("fused", "quantized"):
        with pytest.raises(InvalidInputError, match=f"unknown view '{view}'; allowed: 'all', 'live', 'folded'"):
            space.executed(ones(space), view)


# -- configs ----------------------------------------------------------------------------------------------


@every_space
def test_a_config_may_be_none_a_name_a_string_or_itself(space: SearchSpace) -> None:
    assert space.config() is space.default_config is next(iter(space.configs.values()))
    for name, config in space.configs.items():
        assert space.config(name) == space.config(str(config)) == space.config(config) == config
        assert space.dataset_name(config) == name


@every_space
def test_a_modified_config_has_no_dataset(space: SearchSpace) -> None:
    text = str(space.default_config).replace("k10", "k77").replace("3x8x8", "3x8x24")
    modified = space.config(text)
    assert str(modified) == text
    assert space.dataset_name(modified) is None


@every_space
@pytest.mark.parametrize("bad", [3, 1.5, True, b"cifar10", ["cifar10"], "", "cifar", "C16-N5", "tiny-xl"], ids=repr)
def test_what_is_no_config_is_refused(space: SearchSpace, bad: Any) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        space.config(bad)
    assert all(name in str(caught.value) for name in space.configs)


@every_space
def test_an_array_without_dimensions_is_no_config(space: SearchSpace) -> None:
    with pytest.raises(InvalidConfigError):
        space.group_configs(np.array(3), 1)


def test_a_config_of_another_space_is_refused() -> None:
    with pytest.raises(InvalidConfigError, match=r"must be a NASBench201Config.* got FBNetConfig"):
        NASBench201().config(FBNet().default_config)
    with pytest.raises(InvalidConfigError, match=r"must be a FBNetConfig.* got NASBench201Config"):
        FBNet().batch([0] * 22, NASBench201().default_config)
    with pytest.raises(InvalidConfigError, match="an FBNet config reads like"):
        FBNet().config("C16-N5-k10-3x32x32")


@every_space
def test_one_config_for_all_is_one_group(space: SearchSpace) -> None:
    dataset, published = list(space.configs.items())[-1]
    for config in (dataset, published, str(published)):
        distinct, number = space.group_configs(config, 4)
        assert distinct == (published,)
        assert number.tolist() == [0, 0, 0, 0]
    distinct, number = space.group_configs(None, 2)
    assert distinct == (space.default_config,)
    assert number.tolist() == [0, 0]


@every_space
def test_configs_of_one_kind_share_a_group_however_they_are_written(space: SearchSpace) -> None:
    (first, one), (second, other) = list(space.configs.items())[:2]
    configs = [second, one, str(other), None, first, other, str(one)]
    for form in (configs, tuple(configs), np.array(configs, object), iter(configs)):
        distinct, number = space.group_configs(form, 7)
        assert distinct == (other, one)
        assert number.tolist() == [0, 1, 0, 1, 1, 0, 1]
    series = pd.Series([first, second, first])
    assert space.group_configs(series, 3)[1].tolist() == [0, 1, 0]


@every_space
@relaxed
@given(data=st.data())
def test_groups_give_each_architecture_its_config(space: SearchSpace, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(list(space.configs)), max_size=20))
    distinct, number = space.group_configs(names, len(names))
    assert [distinct[group] for group in number] == [space.configs[name] for name in names]
    assert len(set(distinct)) == len(distinct) == len(set(names))


@every_built_in_space
def test_groups_of_dicts_made_on_the_fly(space: SearchSpace) -> None:
    dicts: list[dict[str, Any]] = {
        "nasbench201": [{"C": 4, "N": 1, "num_classes": 10}, {"C": 16, "N": 5, "num_classes": 10}],
        "fbnet": [{"dataset": name} for name in ("ImageNet", "cifar100")],
        "natsbench-size": [{"num_classes": 10}, {"num_classes": 120}],
    }[space.name]
    distinct, number = space.group_configs((dict(dicts[i % 2]) for i in range(100)), 100)
    assert distinct == tuple(map(space.config, dicts))
    assert number.tolist() == [0, 1] * 50


@every_space
def test_another_number_of_configs_is_refused(space: SearchSpace) -> None:
    for configs in ([], [None], [None] * 3):
        with pytest.raises(InvalidConfigError, match=f"got {len(configs)} for 2 architectures"):
            space.group_configs(configs, 2)


@every_space
@pytest.mark.parametrize("bad", [5, 1.5, [5, None], [None, "cifarX"]], ids=repr)
def test_a_bad_config_among_several_is_refused(space: SearchSpace, bad: Any) -> None:
    with pytest.raises(InvalidConfigError, match=r"got int|got float|unknown .* 'cifarX'"):
        space.group_configs(bad, 2)


# -- names ------------------------------------------------------------------------------------------------


def test_spaces_by_name() -> None:
    assert space_names() == ("nasbench201", "fbnet", "natsbench-size")
    for name in space_names():
        space = get_space(name)
        assert space.name == name
        assert get_space(space) is space
        assert repr(space) == f"{type(space).__name__}()"


@pytest.mark.parametrize("bad", ["nasbench-201", "", 201, ["fbnet"], FBNet], ids=repr)
def test_an_unknown_space_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"unknown search space .*; allowed: 'nasbench201', 'fbnet'"):
        get_space(bad)


def test_no_space_means_networks_of_any_kind() -> None:
    assert get_space(None) is None


def test_an_unknown_name_says_what_got_allowed_and_a_hint() -> None:
    error = unknown(NotInTableError, "device", "raspi", ["raspi4", "pixel3"], "See `hwnas data info`.")
    assert isinstance(error, NotInTableError)
    assert str(error) == (
        "unknown device 'raspi'; allowed: 'raspi4', 'pixel3'. Did you mean 'raspi4'? See `hwnas data info`."
    )


def test_an_unknown_name_near_nothing_gets_no_suggestion() -> None:
    error = unknown(InvalidConfigError, "dataset", 7, iter(["cifar10"]))
    assert str(error) == "unknown dataset 7; allowed: 'cifar10'."
    assert str(unknown(InvalidInputError, "device", "x", [])) == "unknown device 'x'; allowed: nothing."


@pytest.mark.parametrize("error", [InvalidArchitectureError, InvalidConfigError, InvalidInputError])
def test_what_is_wrong_with_a_value_is_a_value_error(error: type[HWNASError]) -> None:
    assert issubclass(error, ValueError)
    assert issubclass(error, HWNASError)
