from __future__ import annotations

import io
import pickle
from importlib import resources

import pandas as pd
import pytest

from hwnas_surrogate.data import (
    BENCHMARK,
    BlockTable,
    CostTable,
    Device,
    describe,
    load_table,
    merge,
    read_measurements,
    read_official,
    read_parquet,
    write_parquet,
)
from hwnas_surrogate.errors import DataFileError, InvalidConfigError, InvalidInputError, NotInTableError
from hwnas_surrogate.search import read_quality
from hwnas_surrogate.spaces import NASBench201Config, get_space
from hwnas_surrogate.trainers import SurrogateSuite
from tests.data.reference import CLASSES, SIZE, same_bits

SPACE = get_space("nasbench201")
OPS = [0, 8] * 11


@pytest.fixture(scope="module")
def tables(pickle_file):
    return read_official(pickle_file)


@pytest.fixture
def mine(tmp_path):
    """Return the path of a small table under a published and a modified config."""
    table = CostTable(
        SPACE, [5, 6, 5], [[1.0], [2.0], [3.0]], ["pi/latency"], configs=["cifar10", "cifar10", NASBench201Config(C=8)]
    )
    return write_parquet(table, tmp_path / "mine.parquet")


class TestSources:
    def test_pickle(self, tables, pickle_file):
        assert load_table(pickle_file, "fbnet").fingerprint == tables["fbnet"].fingerprint
        # NAS-Bench-201 is meant where nothing is said.
        assert load_table(str(pickle_file)).fingerprint == tables["nasbench201"].fingerprint

    @pytest.mark.parametrize("space", [None, "nasbench201", "fbnet", get_space("fbnet")])
    def test_folder(self, tables, folder, space):
        expected = tables[get_space(space or "nasbench201").name]
        for source in (folder, str(folder)):
            found = load_table(source, space)
            assert type(found) is type(expected)
            assert found.fingerprint == expected.fingerprint

    def test_parquet_knows_its_space(self, folder):
        assert isinstance(load_table(folder / "fbnet.parquet"), BlockTable)

    def test_bytes_decide_not_the_name(self, folder, pickle_file, tmp_path):
        (tmp_path / "table.pickle").write_bytes((folder / "nasbench201.parquet").read_bytes())
        (tmp_path / "table.parquet").write_bytes(pickle_file.read_bytes())
        assert len(load_table(tmp_path / "table.pickle")) == len(load_table(tmp_path / "table.parquet")) == 3 * SIZE

    @pytest.mark.parametrize("space", ["nasbench201", "fbnet"])
    def test_bundled(self, space):
        if not (resources.files("hwnas_surrogate.data") / "bundled" / f"{space}.parquet").is_file():
            pytest.skip("no bundled measurements yet")
        found = load_table(space=space)
        assert found.space.name == space
        assert found.targets
        assert found.lookup([[0] * 22] if isinstance(found, BlockTable) else None).gt(0).any(axis=None)


class TestBenchmark:
    def test_downloaded_and_converted(self, tables, folder, tmp_path, monkeypatch):
        monkeypatch.setenv("HWNAS_DATA", str(tmp_path))
        (tmp_path / BENCHMARK).symlink_to(folder)
        monkeypatch.chdir(tmp_path.parent)
        for space, table in tables.items():
            assert load_table(BENCHMARK, space).fingerprint == table.fingerprint

    @pytest.mark.parametrize(("name", "told"), [("mine.csv", False), ("HW-NAS-Bench-v1_0.pickle", True)])
    def test_only_who_lacks_the_official_file_is_told_of_the_download(self, tmp_path, name, told):
        with pytest.raises(DataFileError, match="there is no file") as caught:
            load_table(tmp_path / name)
        assert ("hwnas data download" in str(caught.value)) is told

    def test_not_downloaded(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HWNAS_DATA", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        with pytest.raises(DataFileError, match="`hwnas data download` fetches and converts it"):
            load_table(BENCHMARK)


class TestDataset:
    @pytest.mark.parametrize("dataset", CLASSES)
    def test_published(self, tables, folder, dataset):
        found = load_table(folder, "nasbench201", dataset)
        assert found.configs == (SPACE.configs[dataset],)
        assert same_bits(found.lookup(range(9)), tables["nasbench201"].lookup(range(9), dataset))

    def test_fbnet(self, tables, folder):
        found = load_table(folder, "fbnet", "ImageNet")
        assert same_bits(found.lookup(OPS), tables["fbnet"].lookup(OPS, "ImageNet"))

    @pytest.mark.parametrize(("dataset", "rows"), [("C8-N5-k10-3x32x32", 1), ("C16-N5-k10-3x32x32", 2), ("cifar10", 2)])
    def test_config_string(self, mine, dataset, rows):
        assert len(load_table(mine, dataset=dataset)) == rows

    def test_absent(self, mine):
        with pytest.raises(NotInTableError, match="'cifar100'; allowed: 'cifar10', 'C8-N5-k10-3x32x32'"):
            load_table(mine, dataset="cifar100")
        with pytest.raises(NotInTableError, match="no costs under config C4-N5-k10-3x32x32; the table has cifar10"):
            load_table(mine, dataset="C4-N5-k10-3x32x32")

    def test_unknown(self, mine):
        with pytest.raises(InvalidConfigError, match=r"Did you mean 'cifar10'\?"):
            load_table(mine, dataset="cifar-10")

    @pytest.mark.real_data
    @pytest.mark.parametrize(
        ("space", "dataset", "there"), [("nasbench201", "cifar100", "cifar10"), ("fbnet", "ImageNet", "cifar100")]
    )
    def test_absent_from_the_real_part(self, shared_data, space, dataset, there):
        with pytest.raises(
            NotInTableError, match=f"unknown dataset in the {space} table '{dataset}'; allowed: '{there}'"
        ):
            load_table(shared_data / "HW-NAS-Bench-subset.pickle", space, dataset)


class TestErrors:
    def test_space(self, folder):
        with pytest.raises(InvalidInputError, match=r"unknown search space 'fbnets'.*Did you mean 'fbnet'\?"):
            load_table(folder, "fbnets")

    def test_table_of_another_space(self, mine):
        with pytest.raises(NotInTableError, match="holds costs of nasbench201, not of fbnet"):
            load_table(mine, "fbnet")

    def test_pickle_without_the_space(self, content, tmp_path):
        path = tmp_path / "part.pickle"
        path.write_bytes(pickle.dumps({"fbnet": content["fbnet"]}))
        with pytest.raises(NotInTableError, match="'nasbench201'; allowed: 'fbnet'"):
            load_table(path)

    def test_folder_without_the_space(self, mine):
        with pytest.raises(NotInTableError, match="'fbnet'; allowed: 'mine'"):
            load_table(mine.parent, "fbnet")

    def test_empty_folder(self, tmp_path):
        with pytest.raises(DataFileError, match="holds no cost table"):
            load_table(tmp_path)

    def test_no_file(self, tmp_path):
        with pytest.raises(DataFileError, match=r"there is no file .*none\.pickle"):
            load_table(tmp_path / "none.pickle")

    def test_an_empty_file(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(DataFileError, match="file is empty: it was not written, or copied, to its end"):
            load_table(tmp_path / "file")

    def test_another_format(self, tmp_path):
        (tmp_path / "file").write_bytes(b"\x00,")
        with pytest.raises(DataFileError, match="neither a table nor measurements"):
            load_table(tmp_path / "file")

    def test_text_of_another_format(self, tmp_path):
        (tmp_path / "file").write_text("{}")
        with pytest.raises(DataFileError, match=r"lacks the columns .* it has \{\}"):
            load_table(tmp_path / "file")

    @pytest.mark.parametrize("content", [b"PAR1", b"\x80\x02}", b"\x80"])
    def test_truncated(self, tmp_path, content):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(DataFileError, match="truncated"):
            load_table(tmp_path / "file")


class TestDescribe:
    def test_cost_table(self):
        table = CostTable(
            SPACE,
            [0, 1, 0],
            [[1.0, 2.0], [float("nan"), 3.0], [4.0, float("nan")]],
            ["pi/latency", "tpu/energy"],
            configs=["cifar10", "cifar10", "cifar100"],
            devices=[Device("tpu", "board", "compiler", 4, "estimated")],
        )
        found = describe(table)
        assert [(record["target"], record["unit"], record["config"]) for record in found] == [
            ("pi/latency", "ms", "cifar10"),
            ("pi/latency", "ms", "cifar100"),
            ("tpu/energy", "mJ", "cifar10"),
            ("tpu/energy", "mJ", "cifar100"),
        ]
        assert [(record["costs"], record["missing"]) for record in found] == [(1, 1), (1, 0), (2, 0), (0, 1)]
        assert (
            found[3].items() >= {"hardware": "board", "runtime": "compiler", "batch": 4, "source": "estimated"}.items()
        )

    def test_block_table(self, tables):
        found = describe(tables["fbnet"])
        assert len(found) == 16
        assert {record["missing"] for record in found} == {0}


class TestNoPath:
    @pytest.mark.parametrize("read", [load_table, read_measurements])
    def test_a_frame_is_told_what_to_do(self, read):
        with pytest.raises(InvalidInputError, match=r"got DataFrame\. .*to_csv\(path, index=False\).*CostTable\("):
            read(pd.DataFrame({"architecture": [0], "pi": [1.0]}))

    @pytest.mark.parametrize(
        "thing", [5, b"file.csv", ["file.csv"], {"a": 1}, io.StringIO("a")], ids=lambda thing: type(thing).__name__
    )
    @pytest.mark.parametrize(
        "function", [load_table, read_measurements, read_parquet, read_official, SurrogateSuite.load, read_quality]
    )
    def test_what_is_no_path(self, function, thing):
        with pytest.raises(InvalidInputError, match=r"a path must be a text or a pathlib\.Path, got "):
            function(thing)

    @pytest.mark.parametrize("thing", [5, b"file.csv", None, pd.DataFrame()], ids=lambda thing: type(thing).__name__)
    def test_what_is_no_path_to_write(self, mine, thing):
        with pytest.raises(InvalidInputError, match="a path must be a text"):
            write_parquet(load_table(mine), thing)

    @pytest.mark.parametrize(
        "thing", [5, "table", None, pd.DataFrame({"a": [1]})], ids=lambda thing: type(thing).__name__
    )
    def test_what_is_no_table(self, thing, tmp_path):
        for function in (describe, lambda thing: write_parquet(thing, tmp_path / "table.parquet")):
            with pytest.raises(InvalidInputError, match="takes a CostTable or a BlockTable, got"):
                function(thing)
        for tables in (thing, [thing]):
            with pytest.raises(InvalidInputError, match="merge needs a cost table, got"):
                merge(tables)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("read", [load_table, read_measurements, read_parquet])
    def test_a_name_too_long_for_any_file(self, read):
        with pytest.raises(DataFileError, match=r"can't read aaaa.*: File name too long"):
            read("a" * 5000)
