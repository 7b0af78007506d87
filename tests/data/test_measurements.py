from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas_surrogate.data import Target, csv_lines, load_table, measurements, read_measurements, read_parquet
from hwnas_surrogate.errors import DataFileError, InvalidConfigError, InvalidInputError, NotInTableError
from hwnas_surrogate.spaces import FBNetConfig, NASBench201Config, get_space
from tests.data.reference import BLOCKS, published_strings, same_bits

HEADER = "architecture,config,device,metric,value,unit\n"
LATENCY = {"ms": 1.0, "us": 1e-3, "\u00b5s": 1e-3, "\u03bcs": 1e-3, "ns": 1e-6, "s": 1e3, "": 1.0}
ENERGY = {"mJ": 1.0, "uJ": 1e-3, "nJ": 1e-6, "J": 1e3, "": 1.0}
SPACE = get_space("nasbench201")
ZEROTH = "4,2,1,2,1,1"  # the ops of |avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|...
FB_STRING = "|".join(["skip", *BLOCKS[:7] * 3])
FB_OPS = [8, *[0, 1, 2, 3, 4, 5, 6] * 3]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.csv"


@pytest.fixture
def read(path):
    def read(content, **options):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_measurements(path, **options)

    return read


@pytest.fixture
def refused(read, path):
    """Return a function that reads what must not be read, and returns why."""

    def refused(content, **options) -> str:
        with pytest.raises(DataFileError) as caught:
            read(content, **options)
        text = str(caught.value)
        assert type(caught.value) is DataFileError
        assert str(path) in text
        return text.replace(str(path), "PATH")

    return refused


def cells(table) -> dict[tuple[int, str, str], float]:
    """Return (index, config, target) -> cost."""
    return {
        (int(index), str(config), str(target)): cost
        for index, config, row in zip(SPACE.index(table.archs), table.row_configs, table.costs.tolist(), strict=True)
        for target, cost in zip(table.targets, row, strict=True)
        if not np.isnan(cost)
    }


CIFAR10, CIFAR100 = (str(SPACE.configs[name]) for name in ("cifar10", "cifar100"))


class TestLong:
    def test_by_hand(self, read):
        table = read(
            HEADER + f"{published_strings()[9]},cifar100,tpu,latency,3,ms\n"
            "7,C8-N5-k10-3x32x32,pi,energy,0.5,J\n"
            '"4,2,1,2,1,1",cifar10,pi,latency,1500,us\n'
            f"{published_strings()[9]},cifar10,pi,latency,0,ns\n"
        )
        assert cells(table) == {
            (9, CIFAR100, "tpu/latency"): 3.0,
            (7, "C8-N5-k10-3x32x32", "pi/energy"): 500.0,
            (0, CIFAR10, "pi/latency"): 1.5,
            (9, CIFAR10, "pi/latency"): 0.0,
        }
        assert table.configs[0] == SPACE.configs["cifar100"]  # rows in order of first appearance
        assert SPACE.index(table.archs).tolist() == [9, 9, 7, 0]
        assert list(map(str, table.targets)) == ["tpu/latency", "pi/latency", "pi/energy"]
        assert table.repeats is None
        assert table.meta["imported"] == {
            "file": "file.csv", "measurements": 4, "estimator": "median of the repeats",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("metric", "unit", "factor"),
        [("latency", *item) for item in LATENCY.items()] + [("energy", *item) for item in ENERGY.items()],
    )
    def test_units(self, read, metric, unit, factor):
        expected = pytest.approx(12.5 * factor, rel=1e-14)
        named = read(HEADER + f"1,,pi,{metric},12.5,{unit}\n")
        assert named.costs.item() == expected
        assert named.targets == (Target("pi", metric),)
        assert read("architecture,device,value\n1,pi,12.5\n", metric=metric, unit=unit).costs.item() == expected

    @pytest.mark.parametrize(
        "text",
        [
            "architecture,device,value\n3,pi,2\n3,tpu,4\n",  # left out
            HEADER + "3,,pi,,2,\n3,,tpu,,4,\n",  # blank
            HEADER + "3,,pi,,2\n3,,tpu,,4\n",  # short lines
            HEADER + "3,,pi,,2,,\n3,,tpu,,4,,,\n",  # as spreadsheets end lines
            "value,comment,device,number,comment,architecture\n2,x,pi,9,,3\n4,-1,tpu,,a,3\n",  # other order, others
            "file,Comment,architecture,device,value\nx,,3,pi,2\ny,op_index,3,tpu,4\n",
            "Architecture, DEVICE ,Value\n3,pi,2\n3,tpu,4\n",
            "architecture,Dataset,device,value,Unit\n3,,pi,2000,us\n3,cifar10,tpu,4,ms\n",
            "architecture,device,value,,\n3,pi,2,,\n3,tpu,4,,\n",  # as spreadsheets end lines
            "\n \n architecture , device,value\n\n 3 ,\tpi, 2\n,,\n\t\n3,tpu ,4 \n\n",  # blank lines, spaces
            "\ufeffarchitecture,device,value\r\n3,pi,2\r\n\r\n3,tpu,4",
            "architecture,device,value\r3,pi,2\r3,tpu,4\r",
            '"architecture", "device","value"\n"3", "pi","2"\n"3","tpu","4e0"\n',
        ],
    )
    def test_ways_to_write_it(self, read, text):
        assert cells(read(text)) == {(3, CIFAR10, "pi/latency"): 2.0, (3, CIFAR10, "tpu/latency"): 4.0}

    @pytest.mark.parametrize(
        ("header", "line", "cell"),
        [
            ("architecture,device,value,Unit", "5,pi,1500,us", (5, CIFAR10, "pi/latency", 1.5)),
            ("architecture,device,Metric,value", "5,pi,energy,1500", (5, CIFAR10, "pi/energy", 1500.0)),
            ("architecture,Config,device,value", "5,cifar100,pi,2", (5, CIFAR100, "pi/latency", 2.0)),
            ("architecture,dataset,device,value", "5,cifar100,pi,2", (5, CIFAR100, "pi/latency", 2.0)),
        ],
    )
    def test_columns_count_however_they_are_spelled(self, read, path, header, line, cell):
        assert cells(read(f"{header}\n{line}\n")) == {cell[:3]: cell[3]}
        assert cells(load_table(path)) == {cell[:3]: cell[3]}

    def test_other_columns_are_refused_in_one_error(self, refused, path):
        text = "architecture,device,runtime,batch,status,value\n5,pi,tflite,1,ok,10\n5,pi,onnx,8,failed,40\n"
        told = refused(text)
        assert "does not have: runtime, batch, status." in told
        assert "architecture, config, device, metric, value, unit, note" in told
        assert "file, number, comment, which are not read" in told
        assert "Rename or delete the others" in told
        with pytest.raises(DataFileError, match="runtime, batch, status"):
            load_table(path)

    def test_defaults_fill_blanks_only(self, read):
        text = HEADER + "3,,pi,,2,\n3,cifar10,pi,latency,3,ms\n"
        table = read(text, dataset="cifar100", metric="energy", unit="J")
        assert cells(table) == {(3, CIFAR100, "pi/energy"): 2000.0, (3, CIFAR10, "pi/latency"): 3.0}

    @pytest.mark.parametrize(
        "text", ["0", published_strings()[0], ZEROTH, ZEROTH.replace(",", " , "),
                 ",".join(SPACE.ops[int(op)] for op in ZEROTH.split(","))]
    )  # fmt: skip
    def test_architecture(self, read, text):
        table = read(HEADER + f'"{text}",,pi,latency,2,ms\n7,,pi,latency,3,ms\n0,,pi,latency,4,ms\n')
        assert SPACE.index(table.archs).tolist() == [0, 7]  # however it is written
        assert table.costs.tolist() == [[3.0], [3.0]]

    @pytest.mark.parametrize("space", [None, "fbnet", get_space("fbnet")])
    @pytest.mark.parametrize("text", [FB_STRING, ",".join(map(str, FB_OPS)), ",".join(FB_STRING.split("|"))])
    def test_fbnet(self, read, text, space):
        table = read(HEADER + f'"{text}",ImageNet,pi,latency,2,ms\n', space=space)
        assert table.space.name == "fbnet"
        assert table.archs.tolist() == [FB_OPS]
        assert table.configs == (get_space("fbnet").configs["ImageNet"],)

    @pytest.mark.parametrize("at_once", [1, 2, 3, 100])
    def test_repeats(self, read, monkeypatch, at_once):
        monkeypatch.setattr(csv_lines, "LINES_AT_ONCE", at_once)
        lines = ["1,pi,4", "1,tpu,7", "2,pi,1", "1,pi,1", "1,pi,3", "2,pi,2", "1,pi,2", "2,pi,8", "1,pi,8", "2,pi,4"]
        table = read("architecture,device,value\n" + "\n".join(lines))
        assert table.costs[0].tolist() == [3.0, 7.0]  # 1: median of 1 2 3 4 8
        assert table.costs[1, 0] == 3.0  # 2: median of 1 2 4 8
        nan = np.nan
        # Quartiles, and medians of the odd repeats (4 3 8; 1 8) and of the even ones (1 2; 2 4).
        expected = [[[2, 3, 4, 4, 1.5], [7, 7, 7, 7, nan]], [[1.75, 3, 5, 4.5, 3], [nan] * 5]]
        np.testing.assert_array_equal(table.repeats, expected)
        assert table.meta["imported"]["measurements"] == 10

    def test_equal_repeats_are_exact(self, read):
        table = read("architecture,device,value\n" + "1,pi,0.1\n" * 7)
        assert table.repeats.tolist() == [[[0.1] * 5]]


LINE = "{},cifar10,pi,latency,{},ms"


class TestWrongLines:
    @pytest.mark.parametrize(
        ("line", "why"),
        [
            *[(LINE.format(1, value), f"value must be a number of at least 0, or 'failed', got {value!r}")
              for value in ("-2", "nan", "inf", "", "abc", "1e999", "1_0", "0x1", "True", "1 2", "\u0661", "-1e-300")],
            ("1,cifar10,pi,latency,1e308,s", r"value 1e\+308 is too large for its unit"),
            ("1,cifar,pi,latency,1,ms", "unknown NAS-Bench-201 dataset or config 'cifar'"),
            ("1,ImageNet,pi,latency,1,ms", "unknown NAS-Bench-201 dataset or config 'ImageNet'"),
            ("1,C0-N5-k10-3x32x32,pi,latency,1,ms", "C"),
            (f"1,C{'9' * 5000}-N5-k10-3x32x32,pi,latency,1,ms", "a NAS-Bench-201 config reads like"),
            ("1,,pi,Latency,1,ms", "unknown metric 'Latency'.*Did you mean 'latency'"),
            ("1,,pi,latency,1,mJ", "unknown unit of latency 'mJ'; allowed: .*'us'"),
            ("1,,pi,energy,1,ms", "unknown unit of energy 'ms'"),
            ("1,,pi,latency,1,MS", "unknown unit of latency 'MS'"),
            ("1,,a/b,latency,1,ms", "without '/', got 'a/b'"),
            ("1,,,latency,1,ms", "no device$"),
            (",,pi,latency,1,ms", "no architecture$"),
            (FB_STRING + ",,pi,latency,1,ms", r"'skip\|k3_e1.*is no NAS-Bench-201 architecture"),
            ("15625,,pi,latency,1,ms", r"0\.\.15624, got 15625"),
            ("-1,,pi,latency,1,ms", r"0\.\.15624, got -1"),
            ("--1,,pi,latency,1,ms", "--1"),
            ("\u00b2,,pi,latency,1,ms", "\u00b2"),
            ('"0,1,2,3,4,5",,pi,latency,1,ms', ": op 5 at edge32"),
            ('"0,1,2,3,4",,pi,latency,1,ms', "6 ops"),
            ("0,1,2,3,4,0,,pi,latency,1,ms", "11 fields where the header has 6"),
            ("1,cifar10,pi,latency,1,ms,x", "7 fields where the header has 6"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("after", [0, 3])
    def test_reason(self, refused, line, why, after):
        good = LINE.format(2, 1) + "\n"
        text = refused(HEADER + good * after + line + "\n" + good, space="nasbench201")
        first, told = text.split("\n")
        assert first == "PATH has 1 wrong line; nothing was imported."
        assert told.startswith(f"  line {after + 2}: ")
        assert re.search(why, told)

    def test_first_readable_architecture_tells_the_space(self, refused):
        told = refused(HEADER + f"x,,pi,latency,1,ms\n{FB_STRING},,pi,latency,1,ms\n5,,pi,latency,1,ms").split("\n")
        assert [line[:9] for line in told[1:]] == ["  line 2:", "  line 4:"]
        assert "FBNet" in told[2]

    @pytest.mark.parametrize("at_once", [1, 4, 100])
    def test_all_are_counted_and_ten_are_told(self, refused, monkeypatch, at_once):
        monkeypatch.setattr(csv_lines, "LINES_AT_ONCE", at_once)
        lines = [LINE.format(1, 1), "x,,,Latency,-1,", *[LINE.format("x", 1), LINE.format(1, -2)] * 11, ",,,,,"]
        told = refused(HEADER + "\n".join([*lines, LINE.format("y", 1)])).split("\n")
        assert told[0] == "PATH has 24 wrong lines; nothing was imported."
        assert [line.split(":")[0] for line in told[1:]] == [*[f"  line {n}" for n in range(3, 13)], "  and 14 more"]
        assert told[1].endswith("no device")  # one reason for each
        assert told[2].endswith("got 'x'.")
        assert told[3].endswith("value must be a number of at least 0, or 'failed', got '-2'")

    def test_no_end_of_distinct_wrong_entries(self, refused, monkeypatch):
        monkeypatch.setattr(measurements, "GIVE_UP", 20)
        told = refused(HEADER + "".join(LINE.format(f"x{n}", 1) + "\n" for n in range(50))).split("\n")
        assert told[0].startswith("PATH has at least 20 wrong lines")
        assert told[10].startswith("  line 11: ")
        assert told[11:] == ["  and 10 more"]

    def test_numbers_are_those_of_the_file(self, refused):
        text = 'architecture,device,value,note\n\n1,pi,1,"two\nlines"\n,,,\n\n1,pi,-3,"x\r\ny\nz"\n1,pi,-2,\n'
        assert [line[:9] for line in refused(text).split("\n")[1:]] == ["  line 7:", "  line 10"]

    def test_contradiction(self, refused, read):
        lines = ["1,pi,latency,5,us", "1,pi,latency,0.05,ms", "2,pi,energy,1,mJ", "1,pi,latency,10,us"]
        text = "architecture,device,metric,value,unit\n" + "\n".join(lines)
        assert read(text).costs[0, 0] == pytest.approx(0.01)  # 5, 50 and 10 us: a factor of 10 is none
        told = refused(text + "\n2,pi,energy,0.011,J\n1,pi,latency,0.051,ms\n1,pi,latency,50.9,us").split("\n")
        assert told[0] == "PATH has 2 wrong lines; nothing was imported."
        assert told[1].startswith("  line 2: contradicts line 7: the same measurement, 0.005 ms here and 0.051 there")
        assert told[2].startswith("  line 4: contradicts line 6: the same measurement, 1 mJ here and 11 there")
        assert "contradicts line 3" in refused("architecture,device,value\n1,pi,0\n1,pi,1e-9")

    def test_other_device_metric_config_or_architecture_is_no_repeat(self, read):
        lines = ["1,,pi,,1,", "2,,pi,,99,", "1,cifar100,pi,,99,", "1,,tpu,,99,", "1,,pi,energy,99,"]
        assert read(HEADER + "\n".join(lines)).repeats is None


class TestFile:
    @pytest.mark.parametrize(
        ("content", "why"),
        [
            ("", "lacks the columns architecture, device, value; it has none"),
            ("\n \n,,\n", "lacks the columns architecture, device, value; it has none"),
            ("architecture|device|value\n1|pi|2", r"it has architecture\|device\|value\. Its columns .* by '\|'"),
            ("architecture device  value\n1 pi  2", "seem to be separated by ' ': separate them by commas"),
            ("architecture,value,unit\n1,2,ms", "lacks the column device; it has architecture, value, unit"),
            ("arch,device,value\n1,pi,2", "lacks the column architecture;"),
            ("PK,architecture,device,value\n1,1,pi,2", "does not have: PK"),  # not taken for a zip file
            (
                "arch_str,device,value\n1,pi,2",
                "lacks the column architecture; .*; name the key architecture, not arch_str",
            ),
            (
                "op_index,Device,Value\n1,pi,2",
                "lacks the column architecture; .*; name the key architecture, not op_index",
            ),
            ("architecture,value\n1,2", "lacks the column device"),
            ("architecture,device,latency\n1,pi,2", "lacks the column value"),
            ("arch_str,architecture,device,value\nx,3,pi,2", "does not have: arch_str"),
            ("architecture,config,Dataset,device,value\n1,,,pi,2", "columns config and Dataset, which mean the same"),
            ("architecture,device,Device,value\n1,pi,pi,2", "'device' occurs 2 times"),
            (",architecture,device,value\n0,1,pi,2", r"does not have: \(no name\).*to_csv\(index=False\)"),
            ("architecture,device,value,units\n5,pi,1500,us", "does not have: units"),
            ("architecture,device,value_us,value\n5,pi,1,2", "does not have: value_us"),
            ("1,pi,2\n1,pi,2", "lacks the columns"),
            ("architecture,device,value,value\n1,pi,2,3", "'value' occurs 2 times"),
            (HEADER, "holds no measurement"),
            (HEADER + "\n\n", "holds no measurement"),
            (
                HEADER.encode() + b"1,,pi\xff,latency,2,ms\n",
                r"PATH: line 2 is not UTF-8: it has the byte 0xFF \('ÿ' in Latin",
            ),
            (HEADER.encode("utf-16"), "holds no measurement"),
            (
                HEADER + '1,,pi,latency,2,ms\n"1,,pi,latency,2,ms\n\n',
                "no readable CSV file from line 3 on: a quote is opened there and never closed",
            ),
            (
                HEADER + f'"{"1" * 200_000}",,pi,latency,2,ms\n',
                "no readable CSV file from line 2 on: one field has more than 131,072 characters; is a quote opened",
            ),
            (b"PAR1", "can't read PATH"),
            (b"PK\3\4", "no npz file"),
            (b"PK\5\6" + bytes(18), "one of the columns arch_str and op_index"),
        ],
    )
    def test_refused(self, refused, content, why):
        assert re.search(why, refused(content))

    def test_nothing_there(self, tmp_path):
        with pytest.raises(DataFileError, match=r"there is no file .*none\.csv"):
            read_measurements(tmp_path / "none.csv")
        with pytest.raises(DataFileError, match="is a folder, not a file"):
            read_measurements(str(tmp_path))

    @pytest.mark.parametrize(
        ("options", "error", "why"),
        [
            ({"metric": "power"}, InvalidInputError, "unknown metric 'power'"),
            ({"unit": "min"}, InvalidInputError, "unknown unit of latency 'min'"),
            ({"metric": "energy", "unit": "ms"}, InvalidInputError, "unknown unit of energy 'ms'"),
            ({"space": "darts"}, InvalidInputError, "unknown search space 'darts'"),
            ({"dataset": "cifar-10"}, InvalidConfigError, r"'cifar-10'.*Did you mean 'cifar10'\?"),
            ({"space": "fbnet"}, DataFileError, "line 2: FBNet has no index"),
        ],
    )
    def test_options(self, read, options, error, why):
        with pytest.raises(error, match=why):
            read(HEADER + "1,,pi,latency,2,ms", **options)

    @pytest.mark.parametrize("dataset", ["cifar-10", "ImageNet"])
    def test_dataset_of_a_wide_file(self, read, dataset):
        with pytest.raises(InvalidConfigError, match=dataset):
            read("op_index,pi\n0 1 2 3 4 0,1", dataset=dataset)


LINES = st.tuples(
    st.sampled_from([0, 1, 77, 15624]),
    st.sampled_from(["cifar10", "cifar100", "C8-N5-k10-3x32x32"]),
    st.sampled_from(["pi/latency", "pi/energy", "tpu/latency"]),
    st.floats(1, 9.9),
    st.sampled_from(["ms", "us", "ns", "s", ""]),
    st.sampled_from([str, SPACE.format, lambda n: ",".join(map(str, SPACE.at(n)[0]))]),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("measurements")


@given(st.lists(LINES, min_size=1, max_size=40), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_round_trip(folder, lines, at_once):
    expected: dict[tuple[int, str, str], list[float]] = {}
    text = HEADER
    for index, config, name, times, unit, write in lines:
        key = (index, str(SPACE.config(config)), name)
        cost = times * 10.0 ** (len(name) + len(config) - index % 10)
        device, metric = name.split("/")
        unit = unit.replace("s", "J") if metric == "energy" else unit
        value = cost / (ENERGY if metric == "energy" else LATENCY)[unit]
        text += f'"{write(index)}",{config},{device},{metric},{value!r},{unit}\n'
        expected.setdefault(key, []).append(cost)
    (folder / "table.csv").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_lines, "LINES_AT_ONCE", at_once)
        table = read_measurements(folder / "table.csv")
    assert cells(table) == {key: pytest.approx(np.median(costs), rel=1e-12) for key, costs in expected.items()}
    assert (table.repeats is None) == (len(expected) == len(lines))
    for (index, config, name), costs in expected.items():
        if table.repeats is not None:
            place = table.find(index, config)[0], table.targets.index(Target.parse(name))
            halves = [np.median(half) if half else np.nan for half in (costs[::2], costs[1::2])]
            parts = [*np.quantile(costs, [0.25, 0.5, 0.75]), *halves]
            np.testing.assert_allclose(table.repeats[place], parts, rtol=1e-12)


MEASURE = """
import json, resource, sys, time
from hwnas_surrogate.data import read_measurements, write_parquet
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before, start = peak(), time.process_time()
table = read_measurements(sys.argv[1])
print(json.dumps({"seconds": time.process_time() - start, "MiB": peak() - before}))
write_parquet(table, sys.argv[2])
"""


@pytest.mark.slow
def test_million_lines(tmp_path):
    rng = np.random.default_rng(0)
    n = 1_000_000
    index, device = rng.integers(0, 5000, n), rng.integers(0, 20, n)
    cost = (1 + index % 97 + device) * (1 + rng.random(n))
    texts = published_strings()
    with (tmp_path / "million.csv").open("w") as file:
        file.write(HEADER)
        file.writelines(
            f"{texts[i]},cifar10,board{j},latency,{value!r},us\n"
            for i, j, value in zip(index.tolist(), device.tolist(), (1e3 * cost).tolist(), strict=True)
        )
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "million.csv"), str(tmp_path / "table.parquet")]
    took = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert took["seconds"] < 10  # of processor time: about 4
    assert took["MiB"] < 400  # about 170
    found = read_parquet(tmp_path / "table.parquet").lookup(np.arange(5000)).droplevel(["metric", "unit"], axis=1)
    frame = pd.DataFrame({"index": index, "device": [f"board{j}" for j in device.tolist()], "cost": cost})
    expected = frame.groupby(["index", "device"])["cost"].median().unstack()
    np.testing.assert_allclose(found[expected.columns], expected, rtol=1e-12)


INDICES = [5, 0, 15624]
OPS = SPACE.at(INDICES)
STRINGS = [published_strings()[index] for index in INDICES]
COSTS = {"pi": np.array([1.0, np.nan, 0.1]), "tpu/energy": np.array([4, 0, 6])}


def write(path, form, columns) -> None:
    """Write a wide table."""
    if form == "npz":
        with path.open("wb") as file:
            np.savez(file, **columns)
    else:
        as_text = (lambda op: " ".join(map(str, op))) if form == "csv" else list
        frame = pd.DataFrame({name: list(map(as_text, v)) if np.ndim(v) == 2 else v for name, v in columns.items()})
        frame.to_csv(path, index=False) if form == "csv" else frame.to_parquet(path)


def key(name):
    return {name: np.array(STRINGS) if name == "arch_str" else OPS}


@pytest.mark.parametrize("form", ["csv", "npz", "parquet"])
class TestWide:
    @pytest.mark.parametrize("name", ["arch_str", "op_index"])
    def test_values(self, path, form, name):
        write(path, form, COSTS | key(name))
        table = read_measurements(path)
        assert SPACE.index(table.archs).tolist() == INDICES
        assert table.targets == (Target("pi", "latency"), Target("tpu", "energy"))
        assert same_bits(table.costs, np.stack(list(COSTS.values()), axis=1))
        assert table.configs == (SPACE.configs["cifar10"],)
        assert table.meta["imported"] == {"file": "file.csv", "unit": "the metric's own"}

    def test_options(self, path, form):
        write(path, form, key("op_index") | {"pi": COSTS["pi"]})
        table = read_measurements(path, "nasbench201", "C8-N5-k10-3x32x32", "energy", "J")
        assert table.targets == (Target("pi", "energy"),)
        assert same_bits(table.costs, COSTS["pi"][:, None] * 1e3)
        assert table.configs == (NASBench201Config(C=8),)
        with pytest.raises(DataFileError, match=r"op_index: .*22 ops"):
            read_measurements(path, "fbnet")

    def test_other_op_numbers(self, path, form):
        write(path, form, COSTS | {"op_index": SPACE.to_convention(OPS, "naslib")})
        assert read_measurements(path, convention="naslib").archs.tolist() == OPS.tolist()
        assert read_measurements(path).archs.tolist() != OPS.tolist()
        with pytest.raises(InvalidInputError, match="allowed: 'naslib'"):
            read_measurements(path, convention="mine")
        write(path, form, COSTS | key("arch_str"))
        assert read_measurements(path, convention="naslib").archs.tolist() == OPS.tolist()

    @pytest.mark.parametrize("name", ["config", "Dataset", " CONFIG "])
    def test_a_config_for_each_row(self, path, form, name):
        texts = ["cifar100", "C32-N5-k10-3x64x64", "cifar10"]
        write(path, form, key("op_index") | {name: np.array(texts), "raspi4": [15.0, 2.0, 3.0]})
        for table in (read_measurements(path), read_measurements(path, columns=["raspi4"]), load_table(path)):
            assert list(map(str, table.row_configs)) == [str(SPACE.config(text)) for text in texts]
            assert table.targets == (Target("raspi4", "latency"),)
            assert table.lookup(INDICES[1], texts[1]).iloc[0, 0] == 2.0
        assert len(load_table(path, dataset="cifar100")) == 1

    def test_one_architecture_under_several_configs(self, path, form):
        write(
            path, form, {"op_index": OPS[[0, 0, 0]], "config": np.array(["cifar10", "cifar100", ""]), "pi": [1, 2, 3]}
        )
        table = read_measurements(path, dataset="C8-N5-k10-3x32x32")
        assert list(cells(table).values()) == [1.0, 2.0, 3.0]
        assert str(table.row_configs[2]) == "C8-N5-k10-3x32x32"  # a blank is the default
        with pytest.raises(DataFileError, match="occurs more than once under config C16"):
            read_measurements(path)

    @pytest.mark.parametrize(
        ("columns", "why"),
        [
            ({"config": np.array(["cifar10", "cifar11", "cifar10"])}, r"config: row 1: unknown .*'cifar11'"),
            ({"Config": np.array([1, 2, 3])}, r"Config: row 0: unknown .*'1'"),
            ({"config": np.array(["cifar10"] * 3), "dataset": np.array(["cifar10"] * 3)}, "columns config and dataset"),
            ({"config": np.array(["cifar10"] * 3), "CONFIG": np.array(["cifar10"] * 3)}, "columns config and CONFIG"),
        ],
    )
    def test_configs_that_are_none(self, path, form, columns, why):
        write(path, form, key("op_index") | columns | {"pi": [1, 2, 3]})
        with pytest.raises(DataFileError, match=why):
            read_measurements(path)

    def test_architecture_as_key(self, path, form):
        write(path, form, {"architecture": np.array(STRINGS), "pi/energy (J)": [1, 2, 3]})
        table = read_measurements(path)
        assert SPACE.index(table.archs).tolist() == INDICES
        assert table.costs.tolist() == [[1e3], [2e3], [3e3]]
        write(path, form, {"architecture": np.array(["5", "0,1,2,3,4,0", STRINGS[0]][:2]), "pi": [1, 2]})
        assert read_measurements(path).archs.tolist() == [SPACE.at(5)[0].tolist(), [0, 1, 2, 3, 4, 0]]

    @pytest.mark.parametrize("columns", [{"arch_str": [FB_STRING]}, {"op_index": np.array([FB_OPS])}])
    def test_fbnet(self, path, form, columns):
        write(path, form, columns | {"pi": [2.5]})
        table = read_measurements(path)
        assert table.space.name == "fbnet"
        assert table.archs.tolist() == [FB_OPS]
        assert table.configs == (FBNetConfig(),)

    @pytest.mark.parametrize(
        ("columns", "why"),
        [
            (key("arch_str") | key("op_index") | COSTS, "one of the columns arch_str and op_index"),
            (COSTS, "architecture|one of the columns arch_str and op_index; it has pi"),
            (key("arch_str"), "no column of costs beside arch_str"),
            (key("arch_str") | {"pi": ["a", "b", "c"]}, "line 2: pi must be a number|'pi' is not numeric"),
            (key("arch_str") | {"pi": [True, False, True]}, "line 2: pi must be a number|'pi' is not numeric"),
            (key("arch_str") | {"pi": [1, -1, 2]}, "line 3: pi .* got '-1'|got -1.0 for pi/latency in row 1"),
            (key("arch_str") | {"pi": [1, 2, np.inf]}, "line 4: pi .* got 'inf'|got inf for pi/latency in row 2"),
            (key("arch_str") | {"pi/power": [1, 2, 3]}, "column 'pi/power': unknown metric 'power'"),
            (key("arch_str") | {"pi/a/energy": [1, 2, 3]}, "column 'pi/a/energy': unknown metric 'a/energy'"),
            (key("arch_str") | {"pi/latency": [1, 2, 3], "pi": [1, 2, 3]}, "got pi/latency more than once"),
            ({"arch_str": STRINGS[:2] + STRINGS[:1], "pi": [1, 2, 3]}, "occurs more than once"),
            ({"op_index": OPS[[0, 1, 0]], "pi": [1, 2, 3]}, "occurs more than once"),
            ({"arch_str": ["x", *STRINGS[1:]], "pi": [1, 2, 3]}, "arch_str: a NAS-Bench-201 string"),
            ({"arch_str": [1, 2, 3], "pi": [1, 2, 3]}, "arch_str: a NAS-Bench-201 string"),
            ({"op_index": OPS + 1, "pi": [1, 2, 3]}, "op_index: .*op 5 at"),
            ({"op_index": OPS[:, :4], "pi": [1, 2, 3]}, "op_index: .*6 ops"),
            ({"op_index": OPS * 0.5, "pi": [1, 2, 3]}, "op_index: "),
            ({"op_index": [1, 2, 3], "pi": [1, 2, 3]}, "op_index: "),
            ({"op_index": OPS[:0], "pi": np.zeros(0)}, "holds no measurement"),
            ({"arch_str": [], "pi": []}, "holds no measurement"),
        ],
    )
    def test_refused(self, path, form, columns, why):
        write(path, form, columns)
        with pytest.raises(DataFileError, match=why) as caught:
            read_measurements(path)
        assert str(path) in str(caught.value)

    def test_too_large_for_its_unit(self, path, form):
        write(path, form, key("arch_str") | {"pi": [1, 2, 1e308]})
        with pytest.raises(DataFileError, match=r"finite.*got inf for pi/latency in row 2"):
            read_measurements(path, unit="s")

    @pytest.mark.parametrize("part", [0.2, 0.5, 0.97])
    def test_truncated(self, path, form, part):
        write(path, form, key("op_index") | {f"device{n}": np.arange(3) for n in range(9)})
        whole = path.read_bytes()
        # A CSV file has no end mark: what is left may be whole lines.
        path.write_bytes(whole[: int(part * len(whole))] + (b'"' if form == "csv" else b""))
        with pytest.raises(DataFileError, match=r"file\.csv"):
            read_measurements(path)

    def test_damaged(self, path, form):
        write(path, form, key("arch_str") | COSTS)
        rng = np.random.default_rng(0)
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        refused = 0
        for _ in range(200):
            damaged = whole.copy()
            damaged[rng.integers(len(whole))] = rng.integers(256)
            path.write_bytes(damaged.tobytes())
            try:
                read_measurements(path)
            except DataFileError:
                refused += 1
        assert refused > 50

    @pytest.mark.parametrize("dataset", ["cifar100", "C8-N5-k10-3x32x32"])
    def test_load_table(self, path, form, dataset):
        write(path, form, COSTS | key("arch_str"))
        assert load_table(path).configs == (SPACE.configs["cifar10"],)
        assert load_table(path, dataset=dataset).configs == (SPACE.config(dataset),)
        assert same_bits(load_table(path, "nasbench201", dataset).costs[:, 0], COSTS["pi"])


class TestOneForm:
    @pytest.mark.parametrize("form", ["npz", "parquet"])
    def test_one_measurement_a_line_is_a_csv_file(self, path, form):
        write(path, form, {"architecture": np.array(STRINGS), "device": np.array(["pi"] * 3), "value": [1, 2, 3]})
        with pytest.raises(DataFileError, match=r"architecture and value, of one measurement a line.*CSV files only"):
            read_measurements(path)

    def test_parquet_without_some_configs(self, path):
        write(path, "parquet", key("op_index") | {"config": ["cifar100", None, "cifar100"], "pi": [1, 2, 3]})
        table = read_measurements(path)
        assert list(map(str, table.row_configs)) == [CIFAR100, CIFAR10, CIFAR100]

    def test_npz_configs_of_another_shape(self, path):
        write(path, "npz", key("op_index") | {"config": np.array("cifar100"), "pi": [1, 2, 3]})
        with pytest.raises(DataFileError, match=r"config must hold 3 configs, one per architecture, got \(\)"):
            read_measurements(path)

    def test_csv_missing(self, read):
        table = read("op_index,pi,tpu\n0 1 2 3 4 0,,nan\n\n0 1 2 3 4 1,NA,N/A\n0 1 2 3 4 2, ,1\n0 1 2 3 4 3,2")
        assert same_bits(table.costs, [[np.nan, np.nan], [np.nan, np.nan], [np.nan, 1.0], [2.0, np.nan]])

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("op_index,pi,pi\n0 1 2 3 4 0,1,2", "'pi' occurs 2 times"),
            (",op_index,pi\n0,0 1 2 3 4 0,1", r"column number 1 has no name.*index=False"),
            ("op_index,pi\n0 1 2 3 4 0,1\n\n0 1 2 3 4 1,2,3", "line 4: 3 fields where the header has 2"),
            ("op_index,pi\n0 1 2 3 4 0,1\n0 1 2,2", "op_index: "),
            ("op_index,pi\n0 1 2 3 4 none,1", "op_index: .*'none'"),
            ("arch_str,pi\n,1", "arch_str: a NAS-Bench-201 string"),
        ],
    )
    def test_csv_refused(self, refused, text, why):
        assert re.search(why, refused(text))

    def test_csv_ops_in_quotes(self, read):
        assert read('op_index,pi\n"0,1,2,3,4,0",1').archs.tolist() == [[0, 1, 2, 3, 4, 0]]

    @pytest.mark.parametrize(
        ("columns", "why"),
        [
            (key("arch_str") | {"pi": [1.0, 2.0]}, r"pi must hold 3 costs, one per architecture, got \(2,\)"),
            (key("op_index") | {"pi": np.zeros((3, 1))}, r"pi must hold 3 costs, one per architecture, got \(3, 1\)"),
            (key("op_index") | {"pi": np.zeros(3, complex)}, "'pi' is not numeric"),
            (key("op_index") | {"pi": np.zeros(3, "M8[s]")}, "'pi' is not numeric"),
            ({"arch_str": np.array(STRINGS)[:, None], "pi": np.zeros(3)}, r"one per row, got an array of \(3, 1\)"),
            ({"arch_str": np.array(STRINGS[0]), "pi": np.zeros(1)}, r"one per row, got an array of \(\)"),
            ({"op_index": OPS[None], "pi": np.zeros(1)}, r"one per row, got an array of \(1, 3, 6\)"),
        ],
    )
    def test_npz_refused(self, path, columns, why):
        write(path, "npz", columns)
        with pytest.raises(DataFileError, match=why):
            read_measurements(path)

    def test_npz_with_a_damaged_header(self, path):
        write(path, "npz", key("op_index") | {"pi": COSTS["pi"]})
        path.write_bytes(path.read_bytes().replace(b"(3,), }", b"(3,),  "))
        with pytest.raises(DataFileError, match="no npz file of plain arrays"):
            read_measurements(path)

    def test_npz_objects_stay_pickled(self, path, tmp_path):
        class Evil:
            def __reduce__(self):
                return open, (str(tmp_path / "ran"), "w")

        for columns in (key("arch_str") | {"pi": np.array([Evil()] * 3)}, {"arch_str": np.array([Evil()])}):
            write(path, "npz", columns)
            with pytest.raises(DataFileError, match="no npz file of plain arrays"):
                read_measurements(path)
        assert not (tmp_path / "ran").exists()

    def test_parquet(self, path):
        frame = pd.DataFrame({"arch_str": STRINGS, "pi": [1.0, None, 3.0], "none": [None] * 3}, index=[3, 5, 8])
        frame.to_parquet(path)
        table = read_measurements(path)
        assert table.targets == (Target("pi", "latency"), Target("none", "latency"))  # not pandas' row numbers
        assert same_bits(table.costs, [[1.0, np.nan], [np.nan, np.nan], [3.0, np.nan]])

    @pytest.mark.parametrize("ops", [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 0.5], [0, 1, 2, 3, 4, None], None])
    def test_parquet_lists(self, path, ops):
        pd.DataFrame({"op_index": [[0, 1, 2, 3, 4, 0], ops], "pi": [1, 2]}).to_parquet(path)
        with pytest.raises(DataFileError, match="op_index: "):
            read_measurements(path)


def test_other_op_numbers_in_long_form(path):
    numbers = SPACE.to_convention(OPS, "naslib").tolist()
    lines = [f'"{",".join(map(str, row))}",,pi,latency,{n + 1},ms\n' for n, row in enumerate(numbers)]
    path.write_text(HEADER + "".join(lines) + f"{STRINGS[0]},,pi,energy,2,mJ\n")
    table = read_measurements(path, convention="naslib")
    assert SPACE.format_all(table.archs) == STRINGS
    assert same_bits(table.costs[:, 0], [1.0, 2.0, 3.0])
    with pytest.raises(InvalidInputError, match="convention of NAS-Bench-201 op numbers 'mine'; allowed: 'naslib'"):
        read_measurements(path, convention="mine")
    with pytest.raises(InvalidInputError, match="convention of FBNet op numbers 'naslib'; allowed: nothing"):
        read_measurements(path, "fbnet", convention="naslib")
    path.write_text(HEADER + "5,,pi,latency,1,ms\n")
    with pytest.raises(DataFileError, match="line 2: an index is no op list"):
        read_measurements(path, convention="naslib")


def test_load_table_long(path):
    path.write_text(HEADER + "3,cifar10,pi,latency,2,ms\n4,,pi,latency,4,ms\n5,cifar100,pi,latency,6,ms\n")
    assert len(load_table(path)) == 3
    assert list(cells(load_table(path, dataset="cifar100")).values()) == [4.0, 6.0]
    path.write_text(path.read_text().replace("4,,", "4,cifar10,"))
    assert list(cells(load_table(path, dataset="cifar10")).values()) == [2.0, 4.0]
    with pytest.raises(NotInTableError, match="'ImageNet16-120'; allowed: 'cifar10', 'cifar100'"):
        load_table(path, dataset="ImageNet16-120")
    with pytest.raises(DataFileError, match="line 2: FBNet has no index"):
        load_table(path, "fbnet")


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "space", "config"), [("nasbench201", SPACE, "cifar10"), ("fbnet", get_space("fbnet"), "cifar100")]
)
def test_real(shared_data, name, space, config):
    path = shared_data / f"{name}_latency.npz"
    table = load_table(path)
    assert table.space is space
    assert table.configs == (space.configs[config],)
    with np.load(path) as arrays:
        columns = dict(arrays)
    if name == "fbnet":
        np.testing.assert_array_equal(table.archs, columns.pop("op_index"))
    else:
        assert space.format_all(table.archs) == columns.pop("arch_str").tolist() == list(published_strings())
    assert len(columns) == 27
    assert list(map(str, table.targets)) == [f"{device}/latency" for device in columns]
    assert same_bits(table.costs, np.stack(list(columns.values()), axis=1))
