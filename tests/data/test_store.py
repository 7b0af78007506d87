from __future__ import annotations

import errno
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hwnas_surrogate.data import BlockTable, CostTable, Device, Target, read_parquet, write_parquet
from hwnas_surrogate.errors import DataFileError, InvalidInputError
from hwnas_surrogate.spaces import FBNetConfig, NASBench201Config, get_space
from tests.data.reference import all_keys, same_bits

SPACE = get_space("nasbench201")
FBNET = get_space("fbnet")
KEY = b"hwnas_surrogate"


def cost_table() -> CostTable:
    rng = np.random.default_rng(0)
    costs = rng.gamma(2.0, 3.0, (400, 3))
    costs[rng.random(costs.shape) < 0.2] = np.nan
    kind = rng.integers(0, 3, costs.shape) * np.isnan(costs)
    configs = [SPACE.configs["cifar100"], NASBench201Config(C=8, N=1, height=16), SPACE.configs["cifar10"]]
    return CostTable(
        SPACE,
        np.arange(400),
        costs,
        ["pi/latency", "pi/energy", "tpu/latency"],
        configs=[configs[number] for number in rng.integers(0, 3, 400)],
        devices=[Device("pi", "Raspberry Pi 4", "TFLite", 8), Device("tpu", source="estimated")],
        reasons={"too large": kind == 1, "did not compile": kind == 2},
        repeats=np.where(np.isnan(costs)[..., None], np.nan, rng.random((*costs.shape, 5))),
        meta={"by": "us", "größe": [1, 2.5, None, True], "nested": {"a": "b"}},
    )


def fbnet_rows() -> CostTable:
    archs = np.concatenate([np.zeros((1, 22), np.int8), FBNET.sample(30, 0)])
    config = FBNetConfig(num_classes=7)
    return CostTable(FBNET, archs, np.random.default_rng(1).random((31, 1)), ["pi/latency"], configs=config)


def block_table() -> BlockTable:
    rng = np.random.default_rng(2)
    keys = [*all_keys("cifar100"), *all_keys("ImageNet")]
    costs = {Target(name, "latency"): {key: float(rng.random()) for key in keys} for name in ("pi", "fpga")}
    for key in keys[150:]:
        del costs[Target("fpga", "latency")][key]
    return BlockTable(costs, devices=[Device("pi", "Raspberry Pi")], meta={"by": "us"})


TABLES = {
    "costs": cost_table,
    "fbnet-rows": fbnet_rows,
    "blocks": block_table,
    "blocks-with-config": lambda: block_table().with_config("cifar100"),
    "no-rows": lambda: cost_table().rows([]),
    "no-missing": lambda: CostTable(SPACE, [3, 1], [[0.0], [5e-324]], ["a/latency"]),
    "all-missing": lambda: CostTable(SPACE, [3, 1], [[np.nan], [np.nan]], ["a/latency"]),
}


def assert_same(found, expected) -> None:
    assert type(found) is type(expected)
    assert found.space is expected.space
    assert found.targets == expected.targets
    assert found.devices == expected.devices
    assert found.meta == expected.meta
    assert found.configs == expected.configs
    assert found.fingerprint == expected.fingerprint
    if isinstance(expected, BlockTable):
        assert found.config == expected.config
        assert found.block_costs == expected.block_costs
        return
    assert found.archs.dtype == np.int8
    assert np.array_equal(found.archs, expected.archs)
    assert same_bits(found.costs, expected.costs)
    assert found.row_configs == expected.row_configs
    assert list(found.reasons) == list(expected.reasons)
    assert np.array_equal(found.why_missing(), expected.why_missing())
    assert (found.repeats is None) == (expected.repeats is None)
    assert expected.repeats is None or same_bits(found.repeats, expected.repeats)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "table.parquet"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a table, and the bytes of its file."""
    table = cost_table()
    return table, write_parquet(table, tmp_path_factory.mktemp("written") / "table.parquet").read_bytes()


class TestRoundTrip:
    @pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
    def test_is_equal_to_the_bit(self, make, path):
        table = make()
        assert write_parquet(table, path) == path
        assert_same(read_parquet(path), table)

    @pytest.mark.parametrize("make", TABLES.values(), ids=TABLES)
    def test_same_table_same_bytes(self, make, path, tmp_path):
        write_parquet(make(), path)
        again = write_parquet(read_parquet(path), tmp_path / "again.parquet")
        assert again.read_bytes() == path.read_bytes()

    def test_the_table_that_is_tested_has_everything(self, written):
        table, _ = written
        assert len(table.configs) == 3
        assert list(table.reasons) == ["too large", "did not compile"]
        assert set(table.why_missing().to_numpy().ravel()) == {"", "not measured", "too large", "did not compile"}
        assert np.isnan(table.repeats).any()

    def test_block_table_answers_alike(self, path):
        table = block_table()
        found = read_parquet(write_parquet(table, path))
        archs = FBNET.sample(20, 3)
        assert same_bits(found.lookup(archs, "cifar100"), table.lookup(archs, "cifar100"))

    def test_other_tools_read_the_columns(self, path):
        write_parquet(cost_table(), path)
        frame = pq.read_table(path).to_pandas()
        assert {"op_00", "op_05", "config", "pi/latency", "pi/energy", "tpu/latency"} <= set(frame)
        assert same_bits(frame["pi/energy"], cost_table().costs[:, 1])

    def test_makes_the_folder(self, tmp_path):
        write_parquet(block_table(), tmp_path / "a" / "b" / "table.parquet")
        assert_same(read_parquet(str(tmp_path / "a" / "b" / "table.parquet")), block_table())

    def test_folder_name_with_an_equals_sign_adds_no_column(self, tmp_path):
        path = write_parquet(cost_table(), tmp_path / "device=pi" / "table.parquet")
        assert_same(read_parquet(path), cost_table())


class TestDamage:
    @pytest.mark.parametrize("part", [0.0, 0.001, 0.3, 0.7, 0.99, "last byte"])
    def test_truncated(self, written, path, part):
        _, data = written
        path.write_bytes(data[: -1 if part == "last byte" else int(part * len(data))])
        with pytest.raises(DataFileError, match="truncated or damaged"):
            read_parquet(path)

    @pytest.mark.parametrize("region", ["data", "footer", "names", "metadata"])
    def test_flipped_byte_gives_no_wrong_values(self, written, path, region):
        table, data = written
        (footer,) = struct.unpack("<I", data[-8:-4])
        start = len(data) - 8 - footer
        rng = np.random.default_rng(0)
        places = {
            "data": rng.integers(0, start, 60),
            "footer": rng.integers(start, len(data), 60),
            "names": [at for at in range(start, len(data)) if data[at:].startswith(b"missing")],
            # Arrow reads the metadata from the copy of the schema that it keeps here in base64.
            "metadata": range(data.index(b"ARROW:schema") + 16, len(data) - 100, 61),
        }[region]
        refused = 0
        for at in places:
            damaged = bytearray(data)
            damaged[at] ^= 1
            path.write_bytes(damaged)
            try:
                found = read_parquet(path)
            except DataFileError:
                refused += 1
            else:
                assert_same(found, table)
        assert refused >= 3

    @pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"no parquet at all", b"\x80\x02}q\x00."])
    def test_no_parquet(self, path, content):
        path.write_bytes(content)
        with pytest.raises(DataFileError, match="no readable parquet file"):
            read_parquet(path)

    def test_absent(self, path):
        with pytest.raises(DataFileError, match="there is no file"):
            read_parquet(path)

    def test_folder(self, tmp_path):
        with pytest.raises(DataFileError, match=r"is no readable parquet file .*it is a folder, not a file"):
            read_parquet(tmp_path)


def rewritten(path, change=None, columns=None):
    """Rewrite a table's file with another header, or with other columns."""
    arrow = pq.read_table(path)
    header = json.loads(arrow.schema.metadata[KEY])
    if change is not None:
        header = change(header)
    for name, values in (columns or {}).items():
        if values is None:
            arrow = arrow.drop_columns([name])
        elif name in arrow.column_names:
            arrow = arrow.set_column(arrow.column_names.index(name), name, values)
        else:
            arrow = arrow.append_column(name, values)
    pq.write_table(arrow.replace_schema_metadata({KEY: json.dumps(header).encode()}), path)


class TestOtherFormats:
    def test_foreign_parquet(self, path):
        pq.write_table(pa.table({"name": ["a"], "price": [1.0]}), path)
        with pytest.raises(DataFileError, match="without this package's metadata; its columns are name, price"):
            read_parquet(path)

    @pytest.mark.parametrize("version", [0, 1, 3, "2", None])
    def test_version(self, path, version):
        write_parquet(cost_table(), path)
        rewritten(path, lambda header: header | {"version": version})
        with pytest.raises(DataFileError, match=f"has table format {version}, this version reads 2"):
            read_parquet(path)

    @pytest.mark.parametrize("make", [cost_table, block_table])
    def test_unit(self, path, make):
        write_parquet(make(), path)

        def change(header):
            header["targets"][0]["unit"] = "s"
            return header

        rewritten(path, change)
        with pytest.raises(DataFileError, match="pi/latency is in 's', this version keeps latency in 'ms'"):
            read_parquet(path)

    @pytest.mark.parametrize(
        "change",
        [
            lambda header: [],
            lambda header: {},
            lambda header: {key: value for key, value in header.items() if key != "devices"},
            lambda header: header | {"space": "darts"},
            lambda header: header | {"configs": ["cifar11"]},
            lambda header: header | {"configs": header["configs"][:1]},
            lambda header: header | {"targets": [{"device": "x", "metric": "latency", "unit": "ms"}]},
            lambda header: header | {"targets": [{"device": "pi", "metric": "speed", "unit": "ms"}]},
            lambda header: header | {"targets": header["targets"][:2]},
            lambda header: header | {"devices": [{"colour": "red"}]},
            lambda header: header | {"kind": "blocks"},
            lambda header: header | {"meta": 3},
        ],
    )
    def test_header(self, path, change):
        write_parquet(cost_table(), path)
        rewritten(path, change)
        with pytest.raises(DataFileError, match="holds no valid cost table"):
            read_parquet(path)

    def test_header_that_is_no_json(self, path):
        pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({KEY: b"{"}), path)
        with pytest.raises(DataFileError, match="holds no valid cost table"):
            read_parquet(path)

    @pytest.mark.parametrize(
        "columns",
        [
            {"op_03": None},
            {"config": None},
            {"pi/energy": None},
            {"op_03": pa.array([5] * 400, pa.int8())},
            {"op_03": pa.array([0.5] * 400)},
            {"op_03": pa.array([None] * 400, pa.int8())},
            {"config": pa.array([3] * 400)},
            {"pi/energy": pa.array([-1.0] * 400)},
            {"pi/energy": pa.array(["much"] * 400)},
            {"pi/watt": pa.array([1.0] * 400)},
        ],
        ids=lambda columns: next(iter(columns)),
    )
    def test_columns(self, path, columns):
        write_parquet(cost_table(), path)
        rewritten(path, columns=columns)
        with pytest.raises(DataFileError, match="holds no valid cost table"):
            read_parquet(path)

    @pytest.mark.parametrize(
        ("name", "values", "why"),
        [
            ("config", pa.array([-1] * 400), "'config' must hold integers from 0 to 2, got -1"),
            ("config", pa.array([3] * 400), "'config' must hold integers from 0 to 2, got 3"),
            ("config", pa.array([0.0] * 400), "'config' must hold integers, it holds double"),
            ("config", pa.array([True] * 400), "'config' must hold integers, it holds bool"),
            ("config", pa.array([None, *[0] * 399]), "'config' must hold integers, it holds int64, 1 empty"),
            ("op_00", pa.array([-1] * 400), "'op_00' must hold integers of at least 0, got -1"),
            ("op_00", pa.array([False] * 400), "'op_00' must hold integers, it holds bool"),
            ("pi/energy", pa.array(["1.5"] * 400), "'pi/energy' must hold numbers, it holds string"),
            ("pi/energy", pa.array([True] * 400), "'pi/energy' must hold numbers, it holds bool"),
            ("pi/energy", pa.array([5] * 400, pa.timestamp("ms")), r"numbers, it holds timestamp\[ms\]"),
            ("pi/energy", pa.array([5] * 400, pa.duration("ns")), r"numbers, it holds duration\[ns\]"),
            ("pi/energy median", pa.array(["1.5"] * 400), "'pi/energy median' must hold numbers, it holds string"),
            ("pi/energy missing", pa.array([3] * 400), "'pi/energy missing' must hold integers from 0 to 2, got 3"),
            ("pi/energy missing", pa.array([-1] * 400), "'pi/energy missing' must hold integers from 0 to 2, got -1"),
            ("pi/energy missing", pa.array([1] * 400), "pi/energy has a cost in row 0 and a reason .*'too large'"),
        ],
    )
    def test_values_that_are_none(self, path, name, values, why):
        write_parquet(cost_table(), path)
        rewritten(path, columns={name: values})
        with pytest.raises(DataFileError, match=f"holds no valid cost table: .*{why}"):
            read_parquet(path)

    @pytest.mark.parametrize(
        ("reasons", "why"),
        [
            (["too large", "too large"], "the reason 'too large' occurs more than once"),
            (["too large", 5], "a reason why costs are missing is a text, got 5"),
            (["", "did not compile"], "a reason why costs are missing is a text, got ''"),
        ],
    )
    def test_reasons_that_are_none(self, path, reasons, why):
        write_parquet(cost_table(), path)
        rewritten(path, lambda header: header | {"reasons": reasons})
        with pytest.raises(DataFileError, match=f"holds no valid cost table: {why}"):
            read_parquet(path)

    @pytest.mark.parametrize(
        ("keys", "why"),
        [
            (pa.array(["a", "a"]), "the block 'a' occurs more than once"),
            (pa.array(["a", None]), "column 'key' must hold texts, got None"),
            (pa.array([1, 2]), "column 'key' must hold texts, got 1"),
        ],
    )
    def test_block_keys_that_are_none(self, path, keys, why):
        write_parquet(BlockTable({"pi/latency": {"a": 1.0, "b": 2.0}}), path)
        rewritten(path, columns={"key": keys})
        with pytest.raises(DataFileError, match=f"holds no valid cost table: {why}"):
            read_parquet(path)

    def test_a_block_tables_target_stands_once(self, path):
        write_parquet(BlockTable({"pi/latency": {"a": 1.0}}), path)
        rewritten(path, lambda header: header | {"targets": header["targets"] * 2})
        with pytest.raises(DataFileError, match="the target 'pi/latency' occurs more than once"):
            read_parquet(path)

    @pytest.mark.parametrize(
        "values", [["1.5"], [True], pa.array([5], pa.timestamp("ms")), pa.array([5], pa.duration("ms"))]
    )
    def test_block_costs_that_are_none(self, path, values):
        write_parquet(BlockTable({"pi/latency": {"a": 1.0}}), path)
        rewritten(path, columns={"pi/latency": pa.array(values)})
        with pytest.raises(DataFileError, match="'pi/latency' must hold numbers"):
            read_parquet(path)

    def test_a_cost_that_is_null_is_missing(self, path):
        write_parquet(cost_table(), path)
        untold = pa.array([0] * 400, pa.int8())
        costs = pa.array([None, *[2.5] * 399], pa.float64())
        rewritten(path, columns={"pi/energy": costs, "pi/energy missing": untold})
        table = read_parquet(path)
        column = list(map(str, table.targets)).index("pi/energy")
        assert np.isnan(table.costs[0, column])
        assert (table.costs[1:, column] == 2.5).all()

    def test_batch(self, path):
        """A file of before says batch 1 of every device; an unknown batch is kept unknown."""
        write_parquet(CostTable(SPACE, [0], [[1.0]], ["a/latency"]), path)
        assert read_parquet(path).devices["a"].batch is None
        old = {"name": "a", "hardware": "", "runtime": "", "batch": 1, "source": "measured"}
        rewritten(path, lambda header: header | {"devices": [old]})
        assert read_parquet(path).devices["a"].batch == 1
        rewritten(path, lambda header: header | {"devices": [old | {"batch": "1"}]})
        with pytest.raises(DataFileError, match="batch is a number of images"):
            read_parquet(path)


class TestFailedWrite:
    def test_full_disk_leaves_the_old_file(self, path, monkeypatch):
        write_parquet(block_table(), path)
        before = path.read_bytes()
        real = pq.write_table

        def half(arrow, where, **options):
            real(arrow, where, **options)
            os.truncate(where, os.path.getsize(where) // 2)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(pq, "write_table", half)
        with pytest.raises(DataFileError, match=r"can't write .*No space left on device.*untouched"):
            write_parquet(cost_table(), path)
        assert path.read_bytes() == before
        assert [item.name for item in path.parent.iterdir()] == [path.name]

    def test_full_disk_at_the_first_write_leaves_nothing(self, path, monkeypatch):
        def full(arrow, where, **options):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(pq, "write_table", full)
        with pytest.raises(DataFileError):
            write_parquet(cost_table(), path)
        assert list(path.parent.iterdir()) == []

    def test_any_other_error_leaves_the_old_file(self, path, monkeypatch):
        write_parquet(block_table(), path)

        def interrupted(arrow, where, **options):
            raise KeyboardInterrupt

        monkeypatch.setattr(pq, "write_table", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_parquet(cost_table(), path)
        assert [item.name for item in path.parent.iterdir()] == [path.name]
        assert_same(read_parquet(path), block_table())

    def test_a_folder_in_the_way(self, path):
        path.mkdir()
        with pytest.raises(InvalidInputError, match="is a folder"):
            write_parquet(block_table(), path)
        assert [item.name for item in path.parent.iterdir()] == [path.name]

    def test_meta_that_json_cannot_hold(self, path):
        table = CostTable(SPACE, [0], [[1.0]], ["a/latency"], meta={"made": object()})
        with pytest.raises(TypeError, match="JSON"):
            write_parquet(table, path)
        assert list(path.parent.iterdir()) == []

    def test_killed_while_writing_leaves_the_old_file(self, path):
        write_parquet(block_table(), path)
        before = path.read_bytes()
        script = """
import os, sys
import pyarrow.parquet as pq
from hwnas_surrogate.data import CostTable, write_parquet

real = pq.write_table

def killed(arrow, where, **options):
    real(arrow, where, **options)
    os.truncate(where, os.path.getsize(where) // 2)
    os._exit(86)

pq.write_table = killed
write_parquet(CostTable("nasbench201", [0], [[1.0]], ["a/latency"]), sys.argv[1])
"""
        done = subprocess.run([sys.executable, "-c", script, str(path)], check=False, capture_output=True, text=True)
        assert done.returncode == 86, done.stderr
        assert path.read_bytes() == before
        assert_same(read_parquet(path), block_table())
        assert_same(read_parquet(write_parquet(cost_table(), path)), cost_table())


def test_a_table_of_many_reasons_comes_back(tmp_path):
    n = 300
    reasons = {f"reason {row}": (np.arange(n) == row)[:, None] for row in range(n)}
    table = CostTable("nasbench201", np.arange(n), np.full((n, 1), np.nan), ["x/latency"], reasons=reasons)
    again = read_parquet(write_parquet(table, tmp_path / "table.parquet"))
    assert again.why_missing().iloc[:, 0].tolist() == list(reasons)
