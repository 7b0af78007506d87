"""What the arguments of networks may be, and the one kind of error of those that are wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from hwnas_surrogate.errors import InvalidArchitectureError, InvalidConfigError
from hwnas_surrogate.networks import arguments
from hwnas_surrogate.networks.cells import cell_search_spaces
from hwnas_surrogate.networks.residual import build_search_network, select2withP

THREES = {
    "int": 3,
    "numpy": np.int8(3),
    "array": np.array(3),
    "tensor": torch.tensor(3),
    "tensor of one": torch.tensor([3]),
}
NO_NUMBERS = {
    "bool": True,
    "numpy's bool": np.True_,
    "bool array": np.array(True),
    "bool tensor": torch.tensor(True),
    "text": "3",
    "none": None,
    "list": [3],
    "array": np.array([3]),
    "masked": np.ma.array(3, mask=True),
    "endless": 10**400,
}


@pytest.mark.parametrize("value", THREES.values(), ids=THREES)
def test_an_integer_is_one_whatever_stores_it(value: object) -> None:
    assert arguments.integer(value) == arguments.count("C", value) == 3
    assert arguments.counts("widths", [value, 5]) == (3, 5)


@pytest.mark.parametrize("value", [(3, 5), [3, 5], range(3, 7, 2), np.array([3, 5]), torch.tensor([3, 5])], ids=str)
def test_a_list_of_integers_is_one_whatever_stores_it(value: Any) -> None:
    assert arguments.counts("widths", value, 2) == (3, 5)
    assert arguments.flat_integers(value) == [3, 5]


def test_real_numbers() -> None:
    for half in (0.5, np.float32(0.5), Fraction(1, 2)):
        assert arguments.fraction("part", half) == arguments.probability("p", half) == 0.5
        assert arguments.finite("tau", half) == arguments.temperature("tau", half) == 0.5
    assert arguments.fraction("part", 0, zero=True) == arguments.probability("p", 0) == 0
    assert arguments.fraction("width", np.array(7), 100) == 7
    assert arguments.finite("tau", -1) == arguments.probability("p", -1, least=-math.inf) == -1


@pytest.mark.parametrize("one", [1, True, np.True_, np.int64(1), np.array(1)], ids=repr)
def test_flags(one: object) -> None:
    assert arguments.flag("affine", one) is True


CALLS: dict[str, tuple[Callable[[Any], object], str]] = {
    "count": (lambda value: arguments.count("C", value), "C must be an integer of 1 to 20,000, got"),
    "counts": (lambda value: arguments.counts("xs", [1, value]), r"xs\[1\] must be an integer of 1 to 20,000, got"),
    "fraction": (lambda value: arguments.fraction("part", value), "part must be a number above 0, up to 1, got"),
    "probability": (lambda value: arguments.probability("p", value), "p must be a number from 0 to below 1, got"),
    "finite": (lambda value: arguments.finite("tau", value), "tau must be a finite number, got"),
    "temperature": (lambda value: arguments.temperature("tau", value), "tau must be a positive, finite number, got"),
    "names": (lambda value: arguments.names("ops", value), "ops must be a list of names, got"),
}


@pytest.mark.parametrize("value", NO_NUMBERS.values(), ids=NO_NUMBERS)
@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_number_is_one_kind_of_error(name: str, value: object) -> None:
    call, message = CALLS[name]
    with pytest.raises(InvalidConfigError, match=message):
        call(value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: arguments.count("N", 0), "N must be an integer of 1 to 20,000, got 0"),
        (lambda: arguments.count("nodes", 1, least=2), "nodes must be an integer of 2 to 20,000, got 1"),
        (lambda: arguments.counts("xs", "12"), "xs must be a list of integers, got '12'"),
        (lambda: arguments.counts("xs", [1], 2, " (of each stage)"), r"2 entries \(of each stage\), got 1: \[1\]"),
        (lambda: arguments.fraction("part", 0), "part must be a number above 0, up to 1, got 0"),
        (lambda: arguments.probability("p", 1), "p must be a number from 0 to below 1, got 1"),
        (lambda: arguments.probability("p", 1, least=-math.inf), "p must be a number below 1, got 1"),
        (lambda: arguments.finite("tau", math.nan), "tau must be a finite number, got nan"),
        (lambda: arguments.temperature("tau", 0), "tau must be a positive, finite number, got 0"),
        (lambda: arguments.flag("affine", 2), "affine must be True or False, got 2"),
        (lambda: arguments.names("ops", []), "ops must be a list of names, got"),
        (lambda: arguments.required([], "a net"), r"the config of a net must be a mapping .*, got \[\]"),  # type: ignore[arg-type]
        (lambda: arguments.required({"C": 1}, "a net", "C", "N"), "lacks 'N'; it has 'C', and needs 'C', 'N'"),
        (lambda: arguments.check_name("mode", "jiont", ["joint", "gdas"]), "unknown mode 'jiont'.*mean 'joint'"),
        (lambda: arguments.check_name("mode", np.zeros(2), ["joint"]), "unknown mode"),
    ],
    ids=range(15),
)
def test_what_is_out_of_range_is_the_same_kind(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidConfigError, match=message):
        call()


def test_a_name_within_an_architecture_is_an_error_of_that() -> None:
    with pytest.raises(InvalidArchitectureError, match="unknown operation 'a'"):
        arguments.check_name("operation", "a", ["b"], error=InvalidArchitectureError)


def test_long_values_are_not_quoted_whole() -> None:
    with pytest.raises(InvalidConfigError) as error:
        arguments.check_name("mode", "x" * 5000, ["joint"])
    assert len(str(error.value)) < 200


def test_cells_and_residual_networks_raise_the_same() -> None:
    residual = {"dataset": "cifar", "arch": "simres", "search_mode": "width", "depth": 5, "class_num": 10}
    for call in (
        lambda: cell_search_spaces("cells", "darts"),
        lambda: build_search_network({**residual, "class_num": 0}),
        lambda: build_search_network(residual).set_tau(10, math.inf, 0.5),  # type: ignore[attr-defined]
        lambda: select2withP(torch.zeros(2, 3), None),  # type: ignore[call-overload]
    ):
        with pytest.raises(InvalidConfigError):
            call()
