"""The page for those who move has a line for every public name, and each call works."""

from __future__ import annotations

import contextlib
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate import nas_201_api
from hwnas_surrogate.data.accuracy import remap_dataset_set_names
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.nas_201_api import ArchResults, NASBench201API, NASBench301API, ResultsCount
from tests.data.accuracy.databases import database, recorded_301, state, write

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "moving.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("## The accuracy API")[2].partition("## Networks and configs")[0]
CALLS = [call for row in re.findall(r"^\| (`.*?`) \|", TABLE, re.MULTILINE) for call in re.findall(r"`(.*?)`", row)]


@pytest.fixture
def names(archs: list[str], tmp_path: Path) -> dict[str, Any]:
    api = NASBench201API(database(archs[:3]), verbose=False)
    rng = np.random.default_rng(0)
    archive = tmp_path / "archive"
    archive.mkdir()
    write({"less": state(rng, 0, archs[0], 2, [777])}, archive / "000000-FULL.pth", "zip")
    return {
        "api": api,
        "results": api.query_by_index(0),
        "trained": api.query_by_index(1).query("cifar10", 777),  # type: ignore[union-attr,call-arg]
        "arch": archs[0],
        "archive": archive,
        "path": write(database(archs[:2]), tmp_path / "benchmark.pth", "zip"),
        "size_path": write(recorded_301(), tmp_path / "size.pth", "zip"),
        "remap_dataset_set_names": remap_dataset_set_names,
        **{name: getattr(nas_201_api, name) for name in nas_201_api.__all__},
    }


@pytest.mark.parametrize("call", CALLS)
def test_each_call_of_the_page_works(call: str, names: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) if call == "results.show()" else contextlib.nullcontext():
        eval(call, names)


def test_every_public_name_has_a_line() -> None:
    wanted = {"remap_dataset_set_names", *nas_201_api.__all__}
    for kind in (NASBench201API, NASBench301API, ArchResults, ResultsCount):
        wanted |= {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}
    wanted |= {"meta_archs", "evaluated_indexes", "arch2infos_dict", "archstr2index"}
    there = set(re.findall(r"\w+", " ".join(CALLS)))
    assert wanted - there == set()
    assert len(CALLS) > 60
