"""Other people's op numbers mean the networks that they mean there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from hwnas_surrogate.errors import InvalidArchitectureError, InvalidInputError
from hwnas_surrogate.spaces import Convention, NASBench201, get_space
from tests.spaces.test_nasbench201 import CONTAINERS

SPACE = NASBench201()

NASLIB_OPS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
NASLIB_EDGES = ((1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4))


def naslib_string(numbers: Any) -> str:
    """Write NASLib's op numbers as a string, edge by edge: (1, 2) leads from node 0 to node 1."""
    op_of = dict(zip(NASLIB_EDGES, (NASLIB_OPS[number] for number in numbers), strict=True))
    nodes = ("|".join(f"{op_of[source, node]}~{source - 1}" for source in range(1, node)) for node in (2, 3, 4))
    return "+".join(f"|{node}|" for node in nodes)


def test_the_documented_tuple_is_the_documented_network() -> None:
    (arch,) = SPACE.from_convention((4, 0, 3, 1, 4, 3), "naslib")
    assert SPACE.format(arch) == (
        "|avg_pool_3x3~0|+|skip_connect~0|none~1|+|nor_conv_1x1~0|avg_pool_3x3~1|nor_conv_1x1~2|"
    )


def test_every_tuple_of_naslib_is_the_network_that_it_names_there() -> None:
    numbers = np.stack(np.unravel_index(np.arange(15_625), (5,) * 6), axis=1)
    batch = SPACE.from_convention(numbers, "naslib")
    assert batch.dtype == np.int8
    assert SPACE.format_all(batch) == [naslib_string(row) for row in numbers.tolist()]
    assert SPACE.to_convention(batch, "naslib").tolist() == numbers.tolist()
    assert SPACE.to_convention(batch, "naslib").dtype == np.int8
    assert int((batch == numbers).all(axis=1).sum()) == 5


@pytest.mark.parametrize("container", CONTAINERS)
def test_one_op_list_in_any_container(container: str) -> None:
    numbers = [4, 0, 3, 1, 4, 3]
    expected = [SPACE.parse(naslib_string(numbers)).tolist()]
    assert SPACE.from_convention(CONTAINERS[container](numbers), "naslib").tolist() == expected


def test_many_op_lists_in_any_container() -> None:
    numbers = SPACE.sample(6, 0).astype(np.int64)
    expected = SPACE.as_array([naslib_string(row) for row in numbers]).tolist()
    mixed = [numbers[0], tuple(numbers[1]), naslib_string(numbers[2]), pd.Series(numbers[3]), *numbers[4:].tolist()]
    for form in (numbers, numbers.tolist(), list(numbers), pd.DataFrame(numbers), torch.tensor(numbers), mixed):
        assert SPACE.from_convention(form, "naslib").tolist() == expected
        assert SPACE.stack(form, "naslib").tolist() == expected
    assert SPACE.from_convention([], "naslib").shape == (0, 6)


def test_strings_mean_the_same_everywhere() -> None:
    texts = SPACE.format_all(SPACE.sample(6, 1))
    assert SPACE.from_convention(texts, "naslib").tolist() == SPACE.as_array(texts).tolist()
    assert SPACE.from_convention(texts[0], "naslib").tolist() == SPACE.as_array(texts[0]).tolist()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (5, "an index is no op list: in the convention 'naslib' an architecture is 6 op numbers"),
        (np.array(5), "an index is no op list"),
        ([[0, 1, 2, 3, 4, 0], 5], "architecture number 1: an index is no op list"),
        ([1, 2, 3], "6 ops"),
        ([0, 1, 2, 3, 4, 5], "op 5 at edge32 does not exist.*0 skip_connect, 1 none, 2 nor_conv_3x3"),
        ([[0, 1, 5, 3, 4, 4]], "op 5 at edge30 does not exist"),
        (["none"] * 6, "names of ops have no order of positions in the convention 'naslib'"),
        ([[0, 1, 2, 3, 4, 0], ["none"] * 6], "architecture number 1: names of ops"),
        ("mobilenet_v2", "Other networks are given as graphs"),
        ([1.0] * 6, "no NAS-Bench-201 architecture: float"),
        (np.ones((2, 6), bool), "no NAS-Bench-201 architecture: ndarray"),
        (None, "no NAS-Bench-201 architecture: NoneType"),
    ],
)
def test_what_has_no_convention_is_refused(bad: Any, message: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=message):
        SPACE.from_convention(bad, "naslib")


def test_indices_in_a_stack_are_refused() -> None:
    with pytest.raises(InvalidArchitectureError, match="an index is no op list"):
        SPACE.stack([0, 1, 2, 3, 4, 0], "naslib")


@pytest.mark.parametrize("name", ["naslab", "", 3, ["naslib"]])
def test_an_unknown_convention_lists_those_there_are(name: Any) -> None:
    for call in (SPACE.from_convention, SPACE.to_convention, SPACE.stack):
        with pytest.raises(InvalidInputError, match=r"allowed: 'naslib'\..*0 none, 1 skip_connect"):
            call([[0] * 6], name)


def test_fbnet_has_no_other_convention() -> None:
    space = get_space("fbnet")
    for call in (space.from_convention, space.to_convention):
        with pytest.raises(InvalidInputError, match="convention of FBNet op numbers 'naslib'; allowed: nothing"):
            call([[0] * 22], "naslib")


@pytest.mark.parametrize("name", SPACE.conventions)
def test_a_convention_orders_the_ops_and_positions_of_its_space(name: str) -> None:
    convention = SPACE.convention(name)
    assert sorted(convention.ops) == sorted(SPACE.ops)
    assert sorted(convention.positions) == sorted(SPACE.position_names)


def test_the_spaces_own_convention_changes_nothing() -> None:
    batch = SPACE.sample(9, 0)
    assert SPACE.convention() == Convention(SPACE.ops, SPACE.position_names)
    assert SPACE.convention().translate(batch, SPACE.convention()) is batch
