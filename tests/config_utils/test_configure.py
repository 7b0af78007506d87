"""Config files: what the benchmark's scripts read and write, and what they did not notice."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas_surrogate.config_utils import configure2str, dict2config, load_config
from hwnas_surrogate.errors import DataFileError, HWNASError, InvalidConfigError

RECORD = {"a": 1, "b": [1, 2], "c": "x", "d": True, "e": None, "f": 1.5}
RECORDED = """{
  "a"                  : ["int"   , "1"],
  "b"                  : ["int"   , ["1", "2"]],
  "c"                  : ["str"   , "x"],
  "d"                  : ["bool"  , "1"],
  "e"                  : ["none"  , "None"],
  "f"                  : ["float" , "1.5"]
}"""
"""Recorded from the original."""


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, text: str) -> None:
        self.lines.append(text)


def test_the_text_is_the_recorded_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.config"
    assert configure2str(RECORD) == RECORDED
    assert configure2str(SimpleNamespace(**RECORD), path) == RECORDED
    assert configure2str(dict2config(RECORD)) == RECORDED
    assert path.read_text() == RECORDED
    assert configure2str({"a": False}, path) == path.read_text()


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.config"
    path.write_text(RECORDED)
    log = Log()
    config = load_config(path, {"a": 3, "class_num": 10}, log)
    assert config._asdict() == {**RECORD, "a": 3, "class_num": 10}
    assert (config.d, config.class_num) == (True, 10)
    assert log.lines == [str(path), str(config)]
    assert load_config(str(path), None, None) == dict2config(RECORD)
    assert load_config(path) == dict2config(RECORD)


def test_numbers_of_json_are_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "a.config"
    path.write_text('{"a": ["int", 1], "b": ["bool", true], "c": ["float", [1, "2"]], "d": ["str", []]}')
    assert load_config(path)._asdict() == {"a": 1, "b": True, "c": [1.0, 2.0], "d": []}


NAMES = st.from_regex(r"[a-zA-Z][a-z0-9_]{0,30}", fullmatch=True).filter(lambda name: name not in ("None", "as"))
SCALARS = [st.text(), st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False)]


@settings(max_examples=50)
@given(values=st.dictionaries(NAMES, st.one_of([*SCALARS, *(st.lists(scalar) for scalar in SCALARS)])))
def test_what_is_written_is_read(values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.config"
    try:
        expected = dict2config(values)
    except InvalidConfigError:  # a keyword of Python
        return
    assert json.loads(configure2str(values)).keys() == values.keys()
    path.write_text(configure2str(values), encoding="utf-8")
    got = load_config(path)
    assert got == expected
    assert repr(got) == repr(expected)  # 1 == True


def test_a_config_is_an_ordinary_tuple_with_names() -> None:
    config = dict2config(RECORD, None)
    assert config._fields == tuple(RECORD)
    assert config.f == 1.5
    assert repr(config) == "Configure(a=1, b=[1, 2], c='x', d=True, e=None, f=1.5)"
    assert config._replace(a=2).a == 2
    assert pickle.loads(pickle.dumps(config)) == config
    assert type(pickle.loads(pickle.dumps(config))) is type(config)
    assert copy.deepcopy(config) == config
    assert copy.deepcopy(config).b is not config.b


def test_loggers_of_the_standard_library(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    dict2config({"a": "100%"}, logging.getLogger("training"))
    assert caplog.messages == ["Configure(a='100%')"]
    dict2config({"a": 1}, object())


@pytest.mark.parametrize(
    "value", [(1, 2), {"a": 1}, [1, 2.5], [True, 1], [[1]], b"x", 1j, [None, "x"]], ids=lambda value: str(value)
)
def test_values_that_a_file_cannot_hold(value: object, tmp_path: Path) -> None:
    path = tmp_path / "a.config"
    with pytest.raises(InvalidConfigError, match="can't hold xblocks"):
        configure2str({"xblocks": value}, path)
    assert not path.exists()


@pytest.mark.parametrize("names", [["a b"], ["_a"], ["class"], ["1"], [""], [3]], ids=str)
def test_names_that_are_no_attributes(names: list[Any]) -> None:
    with pytest.raises(InvalidConfigError):
        dict2config(dict.fromkeys(names, 1))


@pytest.mark.parametrize("value", [None, [("a", 1)], "a", SimpleNamespace(a=1)], ids=lambda value: type(value).__name__)
def test_what_is_no_dict(value: Any) -> None:
    with pytest.raises(InvalidConfigError, match="made from a dict"):
        dict2config(value)


BAD_FILES = {
    "": "not JSON",
    "{": "not JSON",
    "[" * 100_000: "not JSON",
    "[]": "expected an object",
    "3": "expected an object",
    '{"a": 1}': "pair of a type and a value",
    '{"a": "int"}': "pair of a type and a value",
    '{"a": ["int"]}': "pair of a type and a value",
    '{"a": ["int", "1", "2"]}': "pair of a type and a value",
    '{"a": [1, "1"]}': "pair of a type and a value",
    '{"a": ["int", null]}': "pair of a type and a value",
    '{"a": ["int", {"x": 1}]}': "pair of a type and a value",
    '{"a": ["int", [[1]]]}': "expected a text",
    '{"a": ["integer", "1"]}': "Did you mean 'int'",
    '{"a": ["int", "1.5"]}': "of type 'int'",
    '{"a": ["int", "x"]}': "of type 'int'",
    '{"a": ["float", "x"]}': "of type 'float'",
    '{"a": ["bool", "True"]}': "a bool is written '1' or '0'",
    '{"a": ["bool", "2"]}': "a bool is written '1' or '0'",
    '{"a": ["none", "0"]}': "the text 'None' only",
}


@pytest.mark.parametrize("text", BAD_FILES, ids=lambda text: text[:24] or "empty")
def test_files_that_are_no_configs(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.config"
    path.write_text(text)
    with pytest.raises(DataFileError, match=BAD_FILES[text]) as caught:
        load_config(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 600


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00\xd8{")
    (tmp_path / "name").write_text('{"a b": ["int", "1"]}')
    (tmp_path / "large").write_text(" " * 2**20 + "{}")
    for name in ("missing", "", "bytes", "name", "large"):
        with pytest.raises(HWNASError):
            load_config(tmp_path / name)
    for path in (None, 3, b"a", "a\0b"):
        with pytest.raises(HWNASError):
            load_config(path)  # type: ignore[arg-type]
    with pytest.raises(InvalidConfigError, match="extra must be a dict"):
        load_config(tmp_path / "missing", [("a", 1)])  # type: ignore[arg-type]
