"""Measurements of graphs: a column model names ONNX files, given networks, or those of a manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas_surrogate.data import CostTable, load_table, read_measurements, write_parquet
from hwnas_surrogate.errors import DataFileError, InvalidInputError
from hwnas_surrogate.graphs import GraphBatch
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
    pytest.importorskip("onnx")
    from hwnas_surrogate.networks import build_network, to_onnx

    (tmp_path / "nets").mkdir()
    for arch in (0, 1):
        model = to_onnx(build_network(arch, "C4-N1-k10-3x16x16", random_state=0), (3, 16, 16))
        (tmp_path / "nets" / f"net{arch}.onnx").write_bytes(model.SerializeToString())
    lines = [LINES[0], "nets/net0.onnx,board,latency,1,ms,,", "nets/net1.onnx,board,latency,2,ms,,"]
    table = load_table(wrote(tmp_path, *lines))
    assert isinstance(table, CostTable)
    assert table.names == ("net0", "net1")
    assert isinstance(table.batch, GraphBatch)
    assert table.batch.graphs[1].macs > table.batch.graphs[0].macs
    (tmp_path / "net0.onnx").write_bytes((tmp_path / "nets" / "net1.onnx").read_bytes())
    with pytest.raises(DataFileError, match="the name 'net0' means two different networks"):
        load_table(wrote(tmp_path, *lines, "net0.onnx,board,latency,2,ms,,"))


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
