"""What a search found, read for its section of the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.errors import DataFileError, InvalidArchitectureError, InvalidInputError
from hwnas_surrogate.report.searched import Searched, read_searched, section
from hwnas_surrogate.search import SearchResult, search
from hwnas_surrogate.spaces import get_space
from tests.graph_tables import zoo_table
from tests.search.planted import NPU, PI, SPACE, quality, table


@pytest.fixture(scope="module")
def costs() -> CostTable:
    return table(60)


@pytest.fixture(scope="module")
def result(costs: CostTable) -> SearchResult:
    return search(costs.batch, surrogates=costs, quality=quality(costs), budgets={PI: 9, NPU: 100}, n=3)


def saved(content: Any, folder: Path) -> Path:
    path = folder / "found.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_file_holds_what_the_result_does(costs: CostTable, result: SearchResult, tmp_path: Path) -> None:
    found = read_searched(result, costs)
    assert read_searched(saved(result.to_dict(), tmp_path), costs) == found
    assert [own.name for own, _ in found.picks] == list(result.picks.names)
    named = result.frame["alternative"]
    assert [other and other.name for _, other in found.picks] == named.astype(object).where(
        named.notna(), None
    ).tolist()
    assert {other is None for _, other in found.picks} == {False, True}
    assert found.limits == {PI: 9, NPU: 100}
    assert found.about == (
        f"Sought: the best by quality under {PI} <= 9 ms and {NPU} >= 100 images/s. All 60 candidates were evaluated; "
        f"{len(result.front)} {'is' if len(result.front) == 1 else 'are'} on the front."
    )
    first, row = found.picks[0][0].facts, result.frame.iloc[0]
    assert first[0] == ("quality", row["quality"], None, None, None)
    assert first[1] == (f"{PI} (ms)", *[row[f"{PI} (ms)"]] * 3, 1.0)  # looked up: no interval


def test_the_section_leads_to_the_rows_of_the_explorer(costs: CostTable, result: SearchResult) -> None:
    found = read_searched(result, costs)
    shown = section(found, costs)
    assert [costs.names[pick["row"]] for pick in shown["picks"]] == list(result.picks.names)
    assert shown["budgets"] == [[0, 9], [1, 100]]
    alone = section(found, costs.select(NPU).rows(range(0)))
    assert {pick["row"] for pick in alone["picks"]} == {None}
    assert alone["budgets"] == [[0, 100]]


def test_of_several_configs_the_rows_are_those_of_the_search(costs: CostTable) -> None:
    archs = costs.archs[:4]
    both = CostTable(
        SPACE, np.concatenate([archs, archs]), np.arange(1.0, 9)[:, None], [PI],
        configs=["cifar100"] * 4 + ["cifar10"] * 4,
    )  # fmt: skip
    found = search(SPACE.batch(archs, "cifar10"), PI, surrogates=both, n=2)
    shown = section(read_searched(found, both), both)
    assert min(pick["row"] for pick in shown["picks"]) >= 4
    with pytest.raises(InvalidInputError, match=r"under C16-N5-k10-3x32x32, .* choose a table of that config"):
        read_searched(found, both.select(configs="cifar100"))


def test_qualities_that_the_search_knew_are_those_of_its_networks(costs: CostTable, result: SearchResult) -> None:
    known = read_searched(result, costs).qualities(costs)
    assert known is not None
    pd.testing.assert_series_equal(known, quality(costs)[known.index], check_names=False)
    assert set(result.front.names) | set(result.picks.names) <= set(known.index)
    of_costs = search(costs.batch, PI, surrogates=costs)
    assert read_searched(of_costs, costs).qualities(costs) is None


def test_graphs_that_the_table_lacks_are_shown_without_a_row() -> None:
    both = zoo_table(2)
    found = search(both.batch, "phone/latency", surrogates=both, n=4)
    part = both.rows(both.find(list(found.picks.names[:2])))
    shown = section(read_searched(found, part), part)
    assert [pick["row"] for pick in shown["picks"]] == [0, 1, None, None]


def test_networks_of_something_else_are_refused(costs: CostTable, result: SearchResult) -> None:
    with pytest.raises(InvalidInputError, match="is a search among nasbench201, the table holds networks of graphs"):
        read_searched(result, zoo_table(1))
    sizes = get_space("natsbench-size")
    other = CostTable(sizes, sizes.sample(2, 0), [[1.0], [2.0]], [PI])
    with pytest.raises(InvalidInputError, match=r"is a search among nasbench201, the table holds .*natsbench-size"):
        read_searched(result, other)
    with pytest.raises(InvalidInputError, match="must be a SearchResult, or the path"):
        read_searched(result.frame, costs)  # type: ignore[arg-type]


def changed(result: SearchResult, **more: Any) -> dict[str, Any]:
    return result.to_dict() | more


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("{", "Expecting"),
        ("[]", "it is no object, but of type list"),
        ('{"picks": []}', "it lacks 'quantities'"),
        ({"picks": []}, "each pick must have a name"),
        ({"picks": [{"architecture": 3}]}, "it lacks"),
        ({"budgets": [{"name": "a/latency", "limit": "3", "text": ""}]}, "'3' must be a number"),
        ({"notes": [3]}, "3 must be a text"),
        ({"evaluations": "many"}, "invalid literal"),
    ],
    ids=["no JSON", "list", "empty", "no picks", "no columns", "limit", "note", "evaluations"],
)
def test_what_is_no_result_is_refused(
    costs: CostTable, result: SearchResult, tmp_path: Path, wrong: Any, says: str
) -> None:
    path = saved(changed(result, **wrong) if isinstance(wrong, dict) else wrong, tmp_path)
    with pytest.raises(DataFileError, match=f"holds no result of a search: .*{says}.*search --save"):
        read_searched(path, costs)


def test_a_missing_file_and_a_wrong_architecture_are_told(
    costs: CostTable, result: SearchResult, tmp_path: Path
) -> None:
    with pytest.raises(DataFileError, match="there is no file"):
        read_searched(tmp_path / "none.json", costs)
    content = result.to_dict()
    content["picks"][0]["architecture"] = "|speed~0|"
    found: Searched = read_searched(saved(content, tmp_path), costs)
    with pytest.raises(InvalidArchitectureError, match="speed"):
        found.archs(SPACE)
