"""Measurements of graphs: a column model names ONNX files, given networks, or those of a manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.data import CostTable, load_table, read_measurements, write_parquet
from hwnas_surrogate.errors import DataFileError, InvalidInputError
from hwnas_surrogate.graphs import Graph, GraphBatch
from tests.graph_tables import zoo

ZOO = zoo(1)
ONE, TWO, THREE = ZOO.names[:3]
LINES = ["model,device,metric,value,unit,note,family", f"{ONE},board,latency,1500,us,,plain"]


def wrote(folder: Path, *lines: str) -> Path:
    path = folder / "measured.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def with_manifest(folder: Path, *lines: str) -> Path:
    path = wrote(folder, *lines)
    write_parquet(CostTable(None, ZOO, np.empty((len(ZOO), 0)), []), path.with_suffix(".parquet"))
    return path


def onnx_files(folder: Path, *names: str) -> list[Graph]:
    """Write different networks."""
    pytest.importorskip("onnx")
    from hwnas_surrogate.networks import build_network, to_onnx

    for arch, name in enumerate(names):
        model = to_onnx(build_network(arch, "C4-N1-k10-3x16x16", random_state=0), (3, 16, 16))
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(model.SerializeToString())
    return [Graph.from_onnx(folder / name) for name in names]


def test_given_networks_are_named(tmp_path: Path) -> None:
    more = [f"{ONE},board,latency,1.7,ms,,plain", f"{TWO},board,latency,failed,,out of memory,plain"]
    table = read_measurements(wrote(tmp_path, *LINES, *more), networks=ZOO)
    assert (table.space, table.names, table.groups) == (None, (ONE, TWO), {"family": ("plain", "plain")})
    assert table.lookup(ONE).iloc[0, 0] == pytest.approx(1.6)  # the median of repeats, in ms
    assert table.why_missing(TWO).iloc[0, 0] == "out of memory"
    assert table.batch.keys == ZOO.take([0, 1]).keys


def test_a_manifest_beside_the_file_names_networks(tmp_path: Path) -> None:
    table = load_table(with_manifest(tmp_path, *LINES))
    assert isinstance(table, CostTable)
    assert table.find(ZOO.graphs[0]).tolist() == [0]


def test_wide_files_name_graphs_too(tmp_path: Path) -> None:
    lines = ["model,group owner,phone/latency (ms),board_energy_mj", f"{ONE},us,1.5,2", f"{THREE},them,2.5,failed"]
    table = load_table(with_manifest(tmp_path, *lines))
    assert isinstance(table, CostTable)
    assert (table.names, list(map(str, table.targets))) == ((ONE, THREE), ["phone/latency", "board/energy"])
    assert table.groups == {"owner": ("us", "them")}
    assert np.isnan(table.lookup(THREE, targets="board").iloc[0, 0])


def test_paths_of_onnx_files_are_read_beside_the_file(tmp_path: Path) -> None:
    onnx_files(tmp_path, "nets/net0.onnx", "nets/net1.onnx")
    lines = [LINES[0], "nets/net0.onnx,board,latency,1,ms,,", "nets/net1.onnx,board,latency,2,ms,,"]
    table = load_table(wrote(tmp_path, *lines))
    assert isinstance(table, CostTable)
    assert table.names == ("net0", "net1")
    assert isinstance(table.batch, GraphBatch)
    assert table.batch.graphs[1].macs > table.batch.graphs[0].macs
    (tmp_path / "net0.onnx").write_bytes((tmp_path / "nets" / "net1.onnx").read_bytes())
    with pytest.raises(DataFileError, match="the name 'net0' means two different networks"):
        load_table(wrote(tmp_path, *lines, "net0.onnx,board,latency,2,ms,,"))


def test_a_path_is_never_another_network_than_its_file(tmp_path: Path) -> None:
    models = onnx_files(tmp_path, "net0.onnx", "other/net0.onnx", "net2.onnx")
    path = wrote(tmp_path, "model,device,value", "net0.onnx,board,1")
    known = {"net0": ZOO.graphs[0]}
    with pytest.raises(DataFileError, match=r"is another network than the one called 'net0' in measured.parquet"):
        load_table(path, networks=known)
    table = load_table(path, networks={"net0": models[0]})
    assert table.names == ("net0",)  # type: ignore[union-attr]
    both = wrote(tmp_path, "model,device,value", "net0.onnx,board,1", "other\\net0.onnx,board,2")
    with pytest.raises(DataFileError, match=r"line 3: .*is another network than the one called 'net0'"):
        load_table(both, networks={"net0": models[0]})
    write_parquet(CostTable(None, known, np.empty((1, 0)), []), path.with_suffix(".parquet"))
    with pytest.raises(InvalidInputError, match="two different networks are called 'net0'"):
        load_table(path, networks={"net0": models[0]})


def test_paths_of_windows_are_read(tmp_path: Path) -> None:
    onnx_files(tmp_path, "nets/net0.onnx")
    table = load_table(wrote(tmp_path, "model,device,value", "nets\\net0.onnx,board,1"))
    assert table.names == ("net0",)  # type: ignore[union-attr]


def test_absent_files_are_networks_that_were_given(tmp_path: Path) -> None:
    path = wrote(tmp_path, "model,device,value", "elsewhere/net0.onnx,board,1")
    table = load_table(path, networks={"net0": ZOO.graphs[0]})
    assert table.find(ZOO.graphs[0]).tolist() == [0]  # type: ignore[union-attr]


def test_networks_are_known_beside_those_of_the_manifest(tmp_path: Path) -> None:
    path = with_manifest(tmp_path, "model,device,value", f"{ONE},board,1", "more,board,2")
    table = load_table(path, networks={"more": zoo(2).graphs[-1]})
    assert table.names == (ONE, "more")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["model,board/latency", "a.onnx,1", "b.onnx,3"], "'a.onnx' and 'b.onnx' .rows 0 and 1. are the same network"),
        (["model,family,board/latency", "a.onnx,x,1", "a.onnx,y,3"], "line 3: this network occurs more than once"),
        (["model,family,group family,board/latency", "a.onnx,x,y,1"], "'group family' occurs 2 times"),
        (["model,Family,family,device,value", "a.onnx,x,y,board,1"], "'group family' occurs 2 times"),
        (["model,device,value", ",board,1"], "line 2: no model"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, lines: list[str], why: str) -> None:
    onnx_files(tmp_path, "a.onnx")
    (tmp_path / "b.onnx").write_bytes((tmp_path / "a.onnx").read_bytes())
    with pytest.raises(DataFileError, match=why):
        load_table(wrote(tmp_path, *lines))


def test_a_manifest_of_architectures_is_said_to_be_no_help(tmp_path: Path) -> None:
    path = wrote(tmp_path, "model,device,value", "net,board,1")
    write_parquet(CostTable("nasbench201", [0], [[1.0]], ["a/latency"]), path.with_suffix(".parquet"))
    with pytest.raises(DataFileError, match=r"measured.parquet .which is there, but is no table of graphs."):
        load_table(path)


def test_networks_without_a_label_are_in_no_group(tmp_path: Path) -> None:
    frame = pd.DataFrame({"model": [ONE, TWO], "family": ["plain", None], "board/latency": [1.0, 2.0]})
    frame.to_parquet(tmp_path / "wide.parquet")
    table = load_table(tmp_path / "wide.parquet", networks=ZOO)
    assert table.groups == {"family": ("plain", "")}  # type: ignore[union-attr]
    np.savez(tmp_path / "wide.npz", model=np.array([ONE, TWO]), board_latency=np.ones(2), family=np.array("plain"))
    with pytest.raises(DataFileError, match="the group 'family' must have one label per row"):
        load_table(tmp_path / "wide.npz", networks=ZOO)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (
            ["nowhere,board,latency,1,ms,,"],
            r"line 2: unknown network 'nowhere'.*named by measured.parquet",
        ),
        (["absent.onnx,board,latency,1,ms,,"], "line 2: .*absent.onnx"),
        ([f"{ONE},board,latency,1,ms,,a", f"{ONE},board,latency,1,ms,,b"], "line 3: another family than in an earlier"),
        ([f"{ONE},board,latency,,,,"], r"line 2: value"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, lines: list[str], why: str) -> None:
    with pytest.raises(DataFileError, match=why):
        load_table(with_manifest(tmp_path, LINES[0], *lines))


def test_graphs_have_no_config_and_no_space(tmp_path: Path) -> None:
    path = wrote(tmp_path, "model,config,device,value", f"{ONE},cifar10,board,1")
    with pytest.raises(DataFileError, match="line 2: a graph has no config, got 'cifar10'"):
        read_measurements(path, networks=ZOO)
    with pytest.raises(InvalidInputError, match="names graphs, in its column 'model': leave the space out"):
        read_measurements(path, "fbnet", networks=ZOO)
    with pytest.raises(InvalidInputError, match="networks name the graphs of a column 'model'"):
        read_measurements(wrote(tmp_path, "architecture,device,value", "0,board,1"), networks=ZOO)
    with pytest.raises(DataFileError, match="graphs have no config, remove the column dataset"):
        read_measurements(wrote(tmp_path, "model,dataset,board_latency", f"{ONE},cifar10,1"), networks=ZOO)
