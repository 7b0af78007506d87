"""Configs in every form that users write them give the same dict."""

from __future__ import annotations

import argparse
from collections import OrderedDict, UserDict, namedtuple
from dataclasses import dataclass
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from torch import nn

from hwnas_surrogate.config_utils import as_config_dict, dict2config
from hwnas_surrogate.errors import InvalidConfigError

EXPECTED = {"name": "infer.tiny", "C": 16}


@dataclass
class Data:
    name: str
    C: int


@dataclass(frozen=True, slots=True)
class Slotted:
    name: str
    C: int


class Typed(NamedTuple):
    name: str
    C: int


class Base:
    name = "infer.tiny"
    _private = 1

    def method(self) -> int:
        return 3


class Inherited(Base):
    @property
    def C(self) -> int:
        return 16


class OfClass(Base):
    C = 16


class Slots:
    __slots__ = ("C", "name", "unset")

    def __init__(self, name: str, C: int) -> None:
        self.name, self.C = name, C


class LikeMapping:
    def keys(self) -> list[str]:
        return list(EXPECTED)

    def __iter__(self) -> Any:
        return iter(EXPECTED)

    def __getitem__(self, name: str) -> Any:
        return EXPECTED[name]


class AttributeDict(dict[str, Any]):
    __getattr__ = dict.__getitem__


FORMS: dict[str, Any] = {
    "dict": dict(EXPECTED),
    "ordered dict": OrderedDict(EXPECTED),
    "user dict": UserDict(EXPECTED),
    "proxy": MappingProxyType(EXPECTED),
    "attribute dict": AttributeDict(EXPECTED),
    "like a mapping": LikeMapping(),
    "namedtuple": namedtuple("Config", EXPECTED)(**EXPECTED),  # type: ignore[misc]
    "typed namedtuple": Typed("infer.tiny", 16),
    "config": dict2config(EXPECTED),
    "simple namespace": SimpleNamespace(**EXPECTED),
    "argparse namespace": argparse.Namespace(**EXPECTED),
    "dataclass": Data("infer.tiny", 16),
    "slotted dataclass": Slotted("infer.tiny", 16),
    "slots": Slots("infer.tiny", 16),
    "inherited": Inherited(),
    "a class": OfClass,
    "an object of a class": OfClass(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_dict(form: str) -> None:
    assert as_config_dict(FORMS[form]) == EXPECTED


def test_the_dict_is_new_and_the_values_are_not_copied() -> None:
    given = {"genotype": {"normal": []}}
    found = as_config_dict(given)
    assert found is not given
    assert found["genotype"] is given["genotype"]


def test_an_attribute_of_the_object_goes_before_that_of_its_class() -> None:
    config = OfClass()
    config.C = 8
    assert as_config_dict(config)["C"] == 8


class Raises:
    @property
    def C(self) -> int:
        raise RuntimeError("no such thing")


WRONG: dict[str, Any] = {
    "None": None,
    "text": "infer.tiny",
    "number": 16,
    "list": [("C", 16)],
    "tuple": (1, 2),
    "set": {"C"},
    "function": len,
    "lambda": lambda: 3,
    "object": object(),
    "nothing": type("Nothing", (), {})(),
    "network": nn.Linear(1, 1),
    "array": np.zeros(2),
    "raises": Raises(),
    "keys": {1: 2},
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_config(name: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        as_config_dict(WRONG[name])
    assert len(str(caught.value)) < 500
