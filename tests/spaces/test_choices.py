"""Spaces that are given by their choices alone."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas_surrogate import CostTable, Surrogate
from hwnas_surrogate.checks import check_encoder, check_space
from hwnas_surrogate.errors import (
    InvalidArchitectureError,
    InvalidConfigError,
    InvalidGraphError,
    InvalidInputError,
)
from hwnas_surrogate.evaluation.splits import held_out
from hwnas_surrogate.features import Combined, LayerPhysics, LayerSums, OneHot, OpCounts
from hwnas_surrogate.graphs import GraphBuilder
from hwnas_surrogate.search import suggest
from hwnas_surrogate.spaces import ChoiceSpace, InputConfig, get_space, register_space, space_names
from tests.spaces.own import Own


@pytest.fixture
def own() -> Own:
    return Own()


class Small(ChoiceSpace):
    name = "small"
    choices = ((1, 2), (1, 2), (1, 2))
    input_shape = (4,)

    def layers(self, build: GraphBuilder, x: int, arch: Mapping[int, int], config: Any) -> tuple[int, int]:
        for place in range(3):
            x = build.linear(x, arch[place])
        return x, build.relu(x)


def declared(choices: Any, **more: Any) -> type[ChoiceSpace]:
    return type("Declared", (ChoiceSpace,), {"name": "declared", "choices": choices, **more})


# -- what follows from the choices -------------------------------------------------------------------------


def test_the_contract_holds(own: Own) -> None:
    check_space(own, 4)
    check_space(Small(), 4)


@pytest.mark.parametrize("encoder", [OneHot, OpCounts, LayerSums, LayerPhysics, Combined])
@pytest.mark.parametrize("space", [Own, Small], ids=lambda kind: kind.name)
def test_encoders_keep_their_contract(space: type[ChoiceSpace], encoder: Any) -> None:
    of = encoder(space())
    if space is Small:  # its eight architectures are fewer than the check draws
        assert of.transform(space().enumerate()).shape == (8, len(of.columns))
    else:
        check_encoder(of)


def test_one_hot_columns_are_the_choices_of_each_position(own: Own) -> None:
    names = OneHot(own).get_feature_names_out().tolist()
    assert len(names) == own.n_ops_at.sum() == 28
    assert names[:4] == ["onehot:depth=1", "onehot:depth=2", "onehot:depth=3", "onehot:kernel1=1"]
    archs = own.sample(50, 0)
    for arch, row in zip(archs, OneHot(own).transform(archs), strict=True):
        assert [names[place] for place in np.flatnonzero(row)] == [
            f"onehot:{part}" for part in own.format(arch).split(",")
        ]


def test_ops_are_counted_where_every_position_has_the_same(own: Own) -> None:
    assert own.ops == ()
    assert len(OpCounts(own).columns) == 0
    assert Small.ops == ("1", "2")
    assert OpCounts(Small(), ["all"]).transform([[0, 1, 1]]).tolist() == [[1.0, 2.0, 1.0]]


def test_indices_are_ranks_in_lexicographic_order(own: Own) -> None:
    assert own.size == len(own) == 5400
    everything = own.enumerate()
    assert everything.tolist() == sorted(everything.tolist())
    assert own.index(everything).tolist() == own.codes(everything).tolist() == list(range(5400))
    assert own.at([5, 7, 5399]).tolist() == everything[[5, 7, 5399]].tolist()
    assert own.as_array(17).tolist() == everything[[17]].tolist()
    assert own.at(3).tolist() == everything[[3]].tolist()
    assert own.at([]).shape == (0, 7)


def test_a_sample_of_everything_is_a_permutation(own: Own) -> None:
    assert sorted(own.index(own.sample(5400, 0)).tolist()) == list(range(5400))
    assert len(own.representatives(10**5, 0)) == 5400


texts = st.from_regex(r"[a-z][\w.-]{0,8}", fullmatch=True)
values = st.integers(-5, 300) | st.booleans() | st.none() | st.floats(0.125, 9, width=16) | texts
choices = st.lists(st.lists(values, min_size=1, max_size=6, unique_by=str), min_size=1, max_size=30)


@settings(deadline=None, max_examples=60)
@given(choices=choices, names=st.none() | st.just("position "), data=st.data())
def test_strings_values_and_numbers_mean_the_same(
    choices: list[list[Any]], names: str | None, data: st.DataObject
) -> None:
    held: Any = choices if names is None else {f"{names}{place}": held for place, held in enumerate(choices)}
    space = declared(held)()
    row = [data.draw(st.integers(0, len(values) - 1)) for values in choices]
    text = space.format([row])
    assert space.parse(text).tolist() == row
    assert space.parse(",".join(reversed(text.split(",")))).tolist() == row
    values = space.values(text)
    assert list(values.values()) == [given[number] for given, number in zip(choices, row, strict=True)]
    assert [type(value) for value in values.values()] == [
        type(given[number]) for given, number in zip(choices, row, strict=True)
    ]
    assert list(values) == list(held if names else range(len(choices)))
    assert space.as_array(values).tolist() == space.as_array([values, values])[:1].tolist() == [row]
    assert space.size == math.prod(map(len, choices))
    if space.size < 2**62:
        assert space.at(space.index([row]).tolist()).tolist() == [row]
    archs = space.sample(min(20, space.size), 0)
    assert len(np.unique(space.codes(archs))) == len(archs)
    assert (archs < space.n_ops_at).all()


def test_a_space_of_any_size_is_sampled_and_has_codes() -> None:
    space = declared([range(127)] * 40)()
    assert space.size == 127**40
    archs = space.sample(1000, 0)
    assert len(np.unique(space.codes(archs))) == 1000
    assert archs.max() == 126
    with pytest.raises(TypeError):
        len(space)
    for method in (space.enumerate, lambda: space.index(archs)):
        with pytest.raises(InvalidInputError, match=r"has 1\.42e\+84 architectures and can't be (enumerated|indexed)"):
            method()
    with pytest.raises(InvalidArchitectureError, match="declared has no index"):
        space.as_array(5)
    part = type("Part", (type(space),), {"name": "part", "choices": [(1, 2)]})
    assert len(part()) == 2
    table = CostTable(space, archs[:5], np.ones((5, 1)), ["a/latency"])
    assert table.find(archs[[3]]).tolist() == [3]


# -- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"depth": ()}, "must be a sequence of 1 to 127 values"),
        ({"depth": "123"}, "must be a sequence of 1 to 127 values"),
        ({"depth": range(128)}, "must be a sequence of 1 to 127 values"),
        ({"depth": 3}, "must be a sequence of 1 to 127 values"),
        ({"depth": (1, "1")}, "two choices must not have the same text, got '1' twice"),
        ({"depth": ((3, 5),)}, "a choice is a short text"),
        ({"depth": ("a,b",)}, "a choice is a short text"),
        ({"depth": ("",)}, "a choice is a short text"),
        ({"a=b": (1,)}, "a position's name is a short text"),
        ({3: (1,)}, "a position's name is a short text"),
        ({}, "one position at least"),
        ("abc", "must be a mapping of names to choices or a sequence"),
        (7, "must be a mapping of names to choices or a sequence"),
    ],
)
def test_choices_that_no_string_can_hold_are_refused_when_declared(given: Any, said: str) -> None:
    with pytest.raises(InvalidInputError, match=f"Declared.*{said}"):
        declared(given)


@pytest.mark.parametrize("missing", ["name", "choices"])
def test_a_space_has_a_name_and_choices(missing: str) -> None:
    given = {"name": "some", "choices": [(1, 2)]}
    del given[missing]
    with pytest.raises(InvalidInputError, match="a search space of one's own has a name and choices: Some lacks them"):
        type("Some", (ChoiceSpace,), given)()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("depth=1", "and kernel1, kernel2, width, activation, residual, scale have none"),
        ("depth=1,depth=2", "'depth' has two values"),
        ("{},kernel3=5", "unknown position of own 'kernel3'.*Did you mean 'kernel"),
        ("{}", None),
    ],
)
def test_a_string_names_each_position_once(own: Own, text: str, said: str | None) -> None:
    whole = text.format(own.format(0))
    if said is None:
        assert own.parse(whole).tolist() == [0] * 7
        return
    with pytest.raises(InvalidArchitectureError, match=said):
        own.parse(whole)


def test_a_value_that_is_no_choice_gets_a_suggestion(own: Own) -> None:
    values = own.values(0) | {"activation": "rely"}
    said = "unknown value of own's activation 'rely'; allowed: 'relu', 'hardswish'. Did you mean 'relu'"
    for form in (values, own.format(0).replace("relu", "rely"), [values]):
        with pytest.raises(InvalidArchitectureError, match=said):
            own.as_array(form)
    with pytest.raises(InvalidArchitectureError, match=said):
        own.as_array(["1", "1", "1", "4", "rely", "False", "0.5"])


def test_numbers_are_never_values(own: Own) -> None:
    assert own.values([2, 0, 0, 0, 0, 0, 0])["depth"] == 3
    with pytest.raises(InvalidArchitectureError, match="op 3 at depth does not exist in own; allowed: 0 1, 1 2, 2 3"):
        own.as_array([[3, 0, 0, 0, 0, 0, 0]])
    with pytest.raises(InvalidArchitectureError, match=r"Numbers in a list are those of the choices \(depth: 0 1, 1 2"):
        own.as_array([3, 0, 0, 0, 0, 0, 9999])


def test_an_architecture_of_a_space_of_ones_own_is_recognised_by_others(own: Own) -> None:
    with pytest.raises(
        InvalidArchitectureError, match="no NAS-Bench-201 architecture, but one of own: give space='own'"
    ):
        get_space("nasbench201").as_array(own.format(0))
    with pytest.raises(InvalidArchitectureError, match="no own architecture, but one of FBNet"):
        own.as_array(get_space("fbnet").format([0] * 22))


def test_layers_or_build_are_needed() -> None:
    space = declared([(1, 2)], input_shape=(3,))()
    with pytest.raises(InvalidInputError, match="Declared has neither layers"):
        space.graph(0)
    with pytest.raises(InvalidInputError, match="no network is known for declared"):
        space.construct([0], space.default_config)


def test_an_error_of_layers_is_the_users_own() -> None:
    space = declared([(1, 2)], input_shape=(3,), layers=lambda self, build, x, arch, config: build.conv(x, 3, 1))()
    with pytest.raises(InvalidGraphError):
        space.graph(0)


# -- configs -----------------------------------------------------------------------------------------------


def test_the_input_is_the_config() -> None:
    space = Small()
    assert str(space.default_config) == "4"
    assert space.configs == {"4": InputConfig((4,))}
    assert space.graph([0, 0, 0], "8").inputs[0].shape == (1, 8)
    assert declared([(1, 2)])().default_config == InputConfig()


@pytest.mark.parametrize("shape", [(), (1,), (3, 64, 64), (20000, 2)])
def test_the_string_of_an_input_is_read_back(shape: tuple[int, ...]) -> None:
    config = InputConfig(shape)
    assert InputConfig.parse(str(config)) == config
    assert config.input_shape == shape


@pytest.mark.parametrize("shape", [(0,), (3, -1), (1.5,), ("3",), "3x3", 3, (1,) * 9, (20000,) * 3, (20001,), (True,)])
def test_an_input_that_makes_no_sense_is_refused(shape: Any) -> None:
    with pytest.raises(InvalidConfigError, match="InputConfig"):
        InputConfig(shape)


@pytest.mark.parametrize("text", ["", "x", "3x", "3,4", "٣", "3x0", "1e3"])
def test_a_text_that_is_no_input_is_refused(text: str) -> None:
    with pytest.raises(InvalidConfigError):
        InputConfig.parse(text)


def test_a_config_of_ones_own_takes_no_dict(own: Own) -> None:
    with pytest.raises(
        InvalidConfigError, match="a config of own is written like '3x8x8', or is of the class InputConfig; got"
    ):
        own.config({"num_classes": 10})
    assert own.config(own.values(0)) is own.default_config


# -- one object --------------------------------------------------------------------------------------------


def test_making_the_object_registers_the_space() -> None:
    assert "small" not in space_names()
    space = Small()
    assert get_space("small") is get_space(space) is space is Small()
    assert register_space(Small) is Small
    assert pickle.loads(pickle.dumps(space)) is copy.deepcopy(space) is space


def test_a_class_that_is_defined_again_replaces_the_former() -> None:
    def define(depths: tuple[int, ...]) -> type[ChoiceSpace]:
        return type("Again", (ChoiceSpace,), {"name": "again", "choices": {"depth": depths}, "__module__": "cell"})

    first = define((1, 2))()
    second = define((1, 2, 3))()
    assert get_space("again") is second
    assert get_space(first) is first
    assert (first.size, second.size) == (2, 3)


def test_another_class_of_the_name_is_refused() -> None:
    Small()
    with pytest.raises(
        InvalidInputError, match=r"there is a search space 'small' already \(tests\.spaces\.test_choices"
    ):
        type("Other", (ChoiceSpace,), {"name": "small", "choices": [(1, 2)]})()


# -- in use ------------------------------------------------------------------------------------------------


def test_it_is_trained_saved_and_suggested(own: Own, tmp_path: Any) -> None:
    archs = own.sample(80, 0)
    costs = own.batch(archs).macs / 1e5 + 1
    Surrogate(own).fit(archs[:50], costs[:50]).save(tmp_path / "saved")
    loaded = Surrogate.load(tmp_path / "saved")
    assert np.median(np.abs(loaded.predict(archs[50:]) / costs[50:] - 1)) < 0.1
    assert len(set(suggest(own, 3).names)) == 3
    assert len(suggest(Small(), 3)) == 3


def test_the_op_split_holds_out_one_choice_of_one_position(own: Own) -> None:
    archs = own.sample(300, 0)
    table = CostTable(own, archs, own.batch(archs).macs[:, None] + 1, ["a/latency"])
    train, test = held_out(table, 0, "op", None, 300, 0)
    apart = [
        position
        for position in range(7)
        if not set(archs[train, position].tolist()) & set(archs[test, position].tolist())
        and len(set(archs[test, position].tolist())) == 1
    ]
    assert len(apart) == 1
