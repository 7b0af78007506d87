"""Cost tables of graphs: rows by hash, names, groups; parquet; merging."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hwnas_surrogate.data import CostTable, describe, load_table, merge, read_parquet, write_parquet
from hwnas_surrogate.errors import DataFileError, InvalidConfigError, InvalidInputError, NotInTableError
from hwnas_surrogate.graphs import GraphBatch
from hwnas_surrogate.measure.form import form_lines, write_form
from hwnas_surrogate.spaces import get_space
from tests.graph_tables import plain, zoo_table

TABLE = zoo_table(reasons={})
SPACE = get_space("nasbench201")


def small(**more: object) -> CostTable:
    graphs = {"one": plain(8, 1), "two": plain(8, 2)}
    return CostTable(None, graphs, [[1.0], [np.nan]], ["a/latency"], **more)  # type: ignore[arg-type]


def test_rows_are_graphs_with_names() -> None:
    assert (TABLE.space, TABLE.space_name, TABLE.title, TABLE.configs) == (None, "graphs", "networks", (None,))
    assert TABLE.names[0] == "plain-8-1-16"
    assert isinstance(TABLE.batch, GraphBatch)
    assert repr(TABLE) == f"<CostTable of graphs: {len(TABLE)} rows, targets phone/latency, board/latency>"
    with pytest.raises(InvalidInputError, match="holds graphs, which are no architectures"):
        _ = TABLE.archs


def test_costs_are_found_by_name_and_by_content() -> None:
    row = TABLE.names.index("plain-16-2-32")
    by_name = TABLE.lookup("plain-16-2-32", targets="board").to_numpy()
    by_graph = TABLE.lookup(plain(16, 2, 32), targets="board").to_numpy()
    assert by_name == by_graph == TABLE.costs[row, 1]
    several = TABLE.find([TABLE.names[5], TABLE.names[2]])
    assert several.tolist() == [5, 2]
    assert TABLE.find(TABLE.batch.take([7, 3])).tolist() == [7, 3]
    assert np.array_equal(TABLE.lookup().to_numpy(), TABLE.costs)


def test_what_is_not_there_is_an_error() -> None:
    with pytest.raises(NotInTableError, match=r"unknown network 'plain-16-2-33'.*Did you mean 'plain-16-2-3"):
        TABLE.find("plain-16-2-33")
    with pytest.raises(NotInTableError, match=f"1 of 2 networks are not among the {len(TABLE)} of the table"):
        TABLE.find([plain(8, 1, 32), plain(9, 1, 32)])
    with pytest.raises(InvalidConfigError, match="graphs, which have no config, got 'cifar10'"):
        TABLE.lookup("plain-16-2-32", "cifar10")
    with pytest.raises(InvalidInputError, match="a table over nasbench201 holds architectures, got graphs"):
        CostTable("nasbench201", TABLE.batch, TABLE.costs, TABLE.targets)
    with pytest.raises(InvalidInputError, match="holds graphs, got architectures: give their space"):
        CostTable(None, SPACE.batch([0, 1]), [[1.0], [2.0]], ["a/latency"])


def test_a_network_occurs_once_and_a_name_too() -> None:
    with pytest.raises(InvalidInputError, match="'one' and 'again' are the same network"):
        CostTable(None, {"one": plain(8, 1), "again": plain(8, 1)}, [[1.0], [1.0]], ["a/latency"])
    with pytest.raises(InvalidInputError, match="different names, got 'one' more than once"):
        CostTable(None, GraphBatch([plain(8, 1), plain(8, 2)], ["one", "one"]), [[1.0], [1.0]], ["a/latency"])


def test_parts_keep_names_groups_and_reasons() -> None:
    table = small(groups={"family": ["x", "y"]}, reasons={"crashed": [[False], [True]]})
    part = table.rows([1])
    assert part.names == ("two",)
    assert part.groups == {"family": ("y",)}
    assert part.why_missing().iloc[0, 0] == "crashed"
    assert table.select("a").fingerprint == table.fingerprint != part.fingerprint


@pytest.mark.parametrize("name", ["net ", "\tnet", "two\nlines", "half \ud800", "nul\0", "", 3])
def test_a_name_is_one_line_that_files_keep(name: object) -> None:
    with pytest.raises(InvalidInputError, match="the name of a graph is one line of text without blanks at its ends"):
        CostTable(None, {name: plain(8, 1)}, [[1.0]], ["a/latency"])  # type: ignore[dict-item]
    with pytest.raises(InvalidInputError, match="names of graphs are a list of texts, got int"):
        GraphBatch([plain(8, 1)], 3)  # type: ignore[arg-type]


def test_names_of_all_kinds_are_kept(tmp_path: Path) -> None:
    names = ["a,b", 'quoted "net"', "ünï 日本", "=1+1", "1e5", "Net", "net", "x" * 3000]
    graphs = dict(zip(names, [plain(8, depth) for depth in range(1, 9)], strict=True))
    table = CostTable(None, graphs, np.arange(8.0)[:, None], ["a/latency"])
    write_parquet(table, tmp_path / "form.parquet")
    write_form(tmp_path / "form.csv", form_lines(table))
    for read in (read_parquet(tmp_path / "form.parquet"), load_table(tmp_path / "form.csv")):
        assert isinstance(read, CostTable)
        assert (read.names, read.fingerprint) == (table.names, table.fingerprint)


def test_no_network_is_a_table_too(tmp_path: Path) -> None:
    for nothing in ([], {}, GraphBatch([])):
        empty = CostTable(None, nothing, np.empty((0, 1)), ["a/latency"], groups={"family": []})  # type: ignore[arg-type]
        read = read_parquet(write_parquet(empty, tmp_path / "empty.parquet"))
        assert isinstance(read, CostTable)
        assert (len(read), read.space, read.groups) == (0, None, {"family": ()})
        assert len(merge([empty, small()])) == 2
    assert len(TABLE.find([])) == len(TABLE.find({})) == 0


def test_results_are_equal_however_networks_come() -> None:
    graphs = TABLE.batch.graphs  # type: ignore[attr-defined]
    forms = [TABLE.batch, list(graphs), iter(graphs), dict(zip(TABLE.names, graphs, strict=True)), np.array(graphs)]
    tables = [CostTable(None, form, TABLE.costs, TABLE.targets) for form in forms]  # type: ignore[arg-type]
    assert {table.fingerprint for table in tables} == {TABLE.fingerprint}
    rows = list(range(len(TABLE)))
    for form in [TABLE.batch, list(graphs), iter(graphs), TABLE.names, iter(TABLE.names)]:
        assert TABLE.find(form).tolist() == rows  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(TABLE)).fingerprint == copy.deepcopy(TABLE).fingerprint == TABLE.fingerprint


def test_architectures_and_graphs_are_not_confused() -> None:
    archs = CostTable("nasbench201", [0, 1], [[1.0], [2.0]], ["a/latency"])
    for graphs in (plain(8, 1), [plain(8, 1)], {"net": plain(8, 1)}):
        with pytest.raises(InvalidInputError, match="the table holds architectures of nasbench201, got graphs"):
            archs.find(graphs)
        with pytest.raises(InvalidInputError, match="a table over nasbench201 holds architectures, got graphs"):
            CostTable("nasbench201", graphs, [[1.0]], ["a/latency"])
    with pytest.raises(InvalidInputError, match=r"holds graphs, got architectures: batch.graphs\(\) makes graphs"):
        TABLE.find(archs.batch)
    graphs_of_archs = CostTable(None, archs.batch.graphs(), archs.costs, archs.targets)  # type: ignore[attr-defined]
    assert graphs_of_archs.find(archs.batch.graphs()).tolist() == [0, 1]  # type: ignore[attr-defined]


def test_labels_are_groups_and_the_resolution() -> None:
    assert set(TABLE.labels("family")) == {"plain", "separable"}
    assert TABLE.labels("resolution")[:2] == ("16x16", "32x32")
    with pytest.raises(InvalidInputError, match=r"unknown group of networks 'famly'; allowed: 'family', 'resolution'"):
        TABLE.labels("famly")
    with pytest.raises(InvalidInputError, match="unknown group of networks 'resolution'; allowed: nothing"):
        CostTable("nasbench201", [0], [[1.0]], ["a/latency"]).labels("resolution")


def test_names_may_begin_with_the_family() -> None:
    graphs = {"plain/8": plain(8, 1), "plain/16": plain(16, 1), "deep/8": plain(8, 4)}
    table = CostTable(None, graphs, [[1.0], [2.0], [3.0]], ["a/latency"])
    assert table.labels("family") == ("plain", "plain", "deep")
    for other in ("deep", "/8"):
        named = CostTable(None, {**graphs, other: plain(8, 5)}, np.ones((4, 1)), ["a/latency"])
        with pytest.raises(InvalidInputError, match="names like resnet/18 begin with their family"):
            named.labels("family")


@pytest.mark.parametrize(
    ("groups", "why"),
    [
        ({"family": ["x"]}, "one label for each of the 2 networks, got 1"),
        ({"family": ["x", 3]}, "are texts, .* got 3"),
        ({"": ["x", "y"]}, "a kind of group is a text"),
        ({"a/b": ["x", "y"]}, "a kind of group is a text .* without slashes"),
        ({"family": ["x", "y "]}, "one line of text without blanks at its ends or empty, got 'y '"),
        ({"family": "xy"}, "has a list of labels"),
        ({"family": None}, "has a list of labels"),
        (["family"], "groups are a mapping of kinds to labels, .*, got list"),
    ],
)
def test_wrong_groups_are_refused(groups: object, why: str) -> None:
    with pytest.raises(InvalidInputError, match=why):
        small(groups=groups)


def test_parquet_holds_everything(tmp_path: Path) -> None:
    noisy = CostTable(
        None,
        TABLE.batch,
        TABLE.costs,
        TABLE.targets,
        groups=TABLE.groups,
        repeats=np.repeat(TABLE.costs[..., None], 5, axis=2),
        meta={"made": "here"},
    )
    read = read_parquet(write_parquet(noisy, tmp_path / "zoo.parquet"))
    assert isinstance(read, CostTable)
    assert read.fingerprint == noisy.fingerprint
    assert (read.names, read.groups, read.meta) == (noisy.names, noisy.groups, noisy.meta)
    assert read.repeats is not None
    assert np.array_equal(read.repeats, noisy.repeats)  # type: ignore[arg-type]
    assert load_table(tmp_path / "zoo.parquet").names == TABLE.names  # type: ignore[union-attr]
    with pytest.raises(NotInTableError, match="holds costs of graphs, not of fbnet"):
        load_table(tmp_path / "zoo.parquet", "fbnet")
    with pytest.raises(NotInTableError, match="have no config 'cifar10'"):
        load_table(tmp_path / "zoo.parquet", dataset="cifar10")


def test_a_table_without_targets_names_networks(tmp_path: Path) -> None:
    names = CostTable(None, TABLE.batch, np.empty((len(TABLE), 0)), [])
    read = read_parquet(write_parquet(names, tmp_path / "names.parquet"))
    assert isinstance(read, CostTable)
    assert read.batch.keys == TABLE.batch.keys
    assert read.targets == ()


def test_a_graph_that_differs_from_its_hash_is_damage(tmp_path: Path) -> None:
    path = write_parquet(small(), tmp_path / "small.parquet")
    table = pq.read_table(path)
    texts = table.column("graph").to_pylist()
    changed = [texts[0].replace("32", "33", 1), texts[1]]
    at = table.column_names.index("graph")
    pq.write_table(table.set_column(at, "graph", [changed]), path)
    with pytest.raises(DataFileError, match="holds no valid cost table"):
        read_parquet(path)
    swapped = table.set_column(at, "graph", [texts[::-1]])
    pq.write_table(swapped, path)
    with pytest.raises(DataFileError, match="the graph of 'one' has another hash"):
        read_parquet(path)


def test_merging_appends_networks_and_puts_targets_side_by_side() -> None:
    one = CostTable(None, {"one": plain(8, 1)}, [[1.0]], ["a/latency"], groups={"family": ["x"]})
    other = CostTable(None, {"uno": plain(8, 1), "two": plain(8, 2)}, [[2.0], [3.0]], ["b/latency"])
    merged = merge([one, other])
    assert merged.names == ("one", "two")
    assert merged.groups == {"family": ("x", "")}
    assert np.array_equal(merged.costs, [[1.0, 2.0], [np.nan, 3.0]], equal_nan=True)


def test_equal_costs_of_two_tables_do_not_contradict() -> None:
    networks = {"one": plain(8, 1), "two": plain(8, 2)}
    reasons = {"no kernel": np.array([[False], [True]])}
    table = CostTable(None, networks, [[1.0], [np.nan]], ["a/latency"], reasons=reasons)
    more = CostTable(None, {"two": plain(8, 2), "three": plain(8, 3)}, [[np.nan], [3.0]], ["a/latency"])
    for tables in ([table, table], [table, table, more], [more, table]):
        merged = merge(tables)
        costs = merged.lookup(["one", "two"]).iloc[:, 0]
        assert costs[0] == 1.0
        assert np.isnan(costs[1])
        assert merged.reasons["no kernel"][:, 0].tolist() == [name == "two" for name in merged.names]


def test_repeats_of_all_tables_are_kept() -> None:
    """A cost has those of the first table that knows them."""
    one, two, three = plain(8, 1), plain(8, 2), plain(8, 3)
    runs, other = np.arange(5.0), np.arange(5.0, 10.0)
    alone = CostTable(None, {"one": one, "two": two}, [[1.0], [2.0]], ["a/latency"])
    known = CostTable(None, {"one": one, "three": three}, [[1.0], [3.0]], ["a/latency"], repeats=[[runs], [runs]])
    again = CostTable(None, {"three": three, "two": two}, [[3.0], [2.0]], ["a/latency"], repeats=[[other], [other]])
    elsewhere = CostTable(None, {"one": one}, [[4.0]], ["b/latency"], repeats=[[other]])
    merged = merge([alone, known, again, elsewhere])
    unknown = np.full(5, np.nan)
    assert merged.repeats is not None
    assert merged.names == ("one", "two", "three")
    assert np.array_equal(merged.repeats, [[runs, other], [other, unknown], [runs, unknown]], equal_nan=True)
    assert merge([alone, alone]).repeats is None


def test_tables_that_contradict_are_not_merged() -> None:
    one, other = ({"one": plain(8, depth)} for depth in (1, 2))
    with pytest.raises(InvalidInputError, match="tables call two different networks 'one'"):
        merge([CostTable(None, graphs, [[1.0]], ["a/latency"]) for graphs in (one, other)])
    labelled = [CostTable(None, one, np.empty((1, 0)), [], groups={"family": [label]}) for label in "xy"]
    with pytest.raises(InvalidInputError, match="tables give 'one' two labels as family: 'x', 'y'"):
        merge(labelled)
    twice = [CostTable(None, one, [[cost]], ["a/latency"]) for cost in (1.0, 1.5)]
    told = r"a/latency of one is in more than one table, with different values: 1 ms and 1.5 ms \(1 such costs in all\)"
    with pytest.raises(InvalidInputError, match=told):
        merge(twice)
    failed = CostTable(None, one, [[np.nan]], ["a/latency"], reasons={"no kernel": np.array([[True]])})
    for pair in ([twice[0], failed], [failed, twice[0]]):
        with pytest.raises(InvalidInputError, match=r"different values: .*none \(no kernel\)"):
            merge(pair)
    late = CostTable(None, one, [[np.nan]], ["a/latency"], reasons={"timeout": np.array([[True]])})
    with pytest.raises(InvalidInputError, match=r"different values: none \(no kernel\) and none \(timeout\) \(1 such"):
        merge([failed, late])
    close = CostTable(None, one, [[np.nextafter(1.0, 2.0)]], ["a/latency"])
    with pytest.raises(InvalidInputError, match=r"different values: 1 ms and 1\.0000000000000002 ms"):
        merge([twice[0], close])
    with pytest.raises(InvalidInputError, match="tables over 'graphs' and 'nasbench201' can't be merged"):
        merge([twice[0], CostTable("nasbench201", [0], [[1.0]], ["b/latency"])])


def test_a_table_is_described() -> None:
    (record,) = describe(TABLE.select("phone"))
    assert (record["target"], record["config"], record["costs"]) == ("phone/latency", "", len(TABLE))
