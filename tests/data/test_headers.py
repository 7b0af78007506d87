"""What a wide table's columns are taken for: never a cost that the header does not name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.data import CostTable, Target, describe, load_table, read_measurements, write_parquet
from hwnas_surrogate.data.official import METRIC_KEYS, NOT_COMPILED
from hwnas_surrogate.errors import DataFileError, InvalidInputError
from hwnas_surrogate.spaces import get_space

SPACE = get_space("nasbench201")
OPS = SPACE.at([5, 0, 15624])
FORMS = ("csv", "npz", "parquet")
HELP = (
    "1080ti_1 1080ti_256 1080ti_32 2080ti_1 2080ti_256 2080ti_32 essential_ph_1 eyeriss fpga gold_6226 gold_6240 "
    "pixel2 pixel3 raspi4 samsung_a50 samsung_s7 silver_4114 silver_4210r titan_rtx_1 titan_rtx_256 titan_rtx_32 "
    "titanx_1 titanx_256 titanx_32 titanxp_1 titanxp_256 titanxp_32"
)


DEVICES = (
    "jetson-nano galaxy_s21 pixel3 my-board edgetpu edgeTPU raspi_zero_w raspi_3_b huawei_p30 tesla_p40 i7_8th_gen "
    "aws_f1 TitanXp RaspberryPi iPhoneSE cortexA76 nano_5w epyc-torch-1t power9"
)
NO_COSTS = (
    "images_per_second img_per_sec inferences_per_s frames_per_sec images_s log_latency log10_latency_ms "
    "normalized_latency relative_latency delta_latency_ms predicted_latency rank_latency raspi4_minutes "
    "raspi4_hours raspi4_h raspi4_kj raspi4_wh raspi4_ps raspi4_S S raspi4-s raspi4-J raspi4-j raspi4_MS raspi4_MJ "
    "raspi4_s_latency kwh EDP raspi4_cycles clock_mhz top-1 top-5 mIoU map f1 bleu psnr temperature voltage "
    "gpu_util gpuUtil utilization bandwidth raspi4_q90 raspi4_99th raspi4_ci95_ms raspi4_noise_ms uncertainty "
    "n_runs raspi4_count num_layers numLayers depth valid label class uid synflow MParams valAcc latencyUs "
    "raspi4Latency latencyus device connected raspi4_id "
)


@pytest.fixture(params=FORMS)
def wide(request, tmp_path):
    """Return a function that writes columns of three costs as a wide file."""

    def write(columns, name="board"):
        path = tmp_path / f"{name}.{request.param}"
        if request.param == "npz":
            with path.open("wb") as file:
                np.savez(file, op_index=OPS, **columns)
            return path
        rows = [" ".join(map(str, row)) if request.param == "csv" else list(row) for row in OPS.tolist()]
        frame = pd.DataFrame({"op_index": rows, **columns})
        frame.to_csv(path, index=False) if request.param == "csv" else frame.to_parquet(path)
        return path

    return write


def costs(table: CostTable) -> dict[str, float]:
    return dict(zip(map(str, table.targets), table.costs[0].tolist(), strict=True))


UNDERSTOOD = [
    *((key, str(target), target.unit, 1.0) for key, target in METRIC_KEYS.items()),
    *((name, f"{name}/latency", "ms", 1.0) for name in HELP.split()),
    ("tesla_p100", "tesla_p100/latency", "ms", 1.0),
    ("mac_mini", "mac_mini/latency", "ms", 1.0),
    ("raspi4/energy", "raspi4/energy", "mJ", 1.0),
    ("raspi4/latency (ms)", "raspi4/latency", "ms", 1.0),
    ("raspi4/latency (us)", "raspi4/latency", "us", 1e-3),
    ("raspi4 (s)", "raspi4/latency", "s", 1e3),
    ("raspi4 (J)", "raspi4/energy", "J", 1e3),
    ("raspi4 [\u00b5s]", "raspi4/latency", "\u00b5s", 1e-3),
    ("raspi4_ns", "raspi4/latency", "ns", 1e-6),
    ("raspi4_mJ", "raspi4/energy", "mJ", 1.0),
    ("raspi4_mj", "raspi4/energy", "mJ", 1.0),
    ("raspi4_seconds", "raspi4/latency", "s", 1e3),
    ("raspi4 microseconds", "raspi4/latency", "us", 1e-3),
    ("pixel3_latency_us", "pixel3/latency", "us", 1e-3),
    ("pixel 3 Latency (us)", "pixel 3/latency", "us", 1e-3),
    ("fpga_energy_J", "fpga/energy", "J", 1e3),
    ("eyeriss arithmetic intensity (ops/byte)", "eyeriss/arithmetic_intensity", "ops/byte", 1.0),
    ("latency", "board/latency", "ms", 1.0),
    ("latency_ms", "board/latency", "ms", 1.0),
    ("latency (us)", "board/latency", "us", 1e-3),
    ("energy_mJ", "board/energy", "mJ", 1.0),
    ("s", "board/latency", "s", 1e3),
    ("energy_j", "board/energy", "J", 1e3),
    ("raspi4_j", "raspi4/energy", "J", 1e3),
    ("fpga_energy (uj)", "fpga/energy", "uJ", 1e-3),
    *((name, f"{name}/latency", "ms", 1.0) for name in DEVICES.split()),
    ("galaxy_s (ms)", "galaxy_s/latency", "ms", 1.0),
    ("iPhone 11 Pro Max_us", "iPhone 11 Pro Max/latency", "us", 1e-3),
    ("mean_inference_time_ms", "board/latency", "ms", 1.0),
]


@pytest.mark.parametrize(("name", "target", "unit", "factor"), UNDERSTOOD, ids=[row[0] for row in UNDERSTOOD])
def test_a_header_names_device_metric_and_unit(tmp_path, name, target, unit, factor):
    path = tmp_path / "board.csv"
    path.write_text(f"op_index,{name}\n0 1 2 3 4 0,7\n")
    table = read_measurements(path)
    assert costs(table) == {target: pytest.approx(7 * factor, rel=1e-14)}
    named = "" if target.split("/")[0] in name or "pixel" in name else ", the device named after the file"
    assert table.meta["columns"] == {name: f"{target} ({unit}){named}"}
    assert load_table(path).targets == (Target.parse(target),)


ISSUE = {
    "fpga_energy": 1, "eyeriss_arithmetic_intensity": 2, "pixel3_latency_us": 3000, "raspi4 (s)": 0.25, "nano_fps": 5,
    "accuracy": 6, "flops": 7, "latency_std": 8, "seed": 9,
}  # fmt: skip


class TestRefused:
    def test_all_that_are_no_cost_are_listed(self, wide):
        path = wide({name: [value] * 3 for name, value in ISSUE.items()})
        for read in (read_measurements, load_table):
            with pytest.raises(DataFileError) as caught:
                read(path)
            first, *listed, last = str(caught.value).split("\n")
            assert first == f"{path} has 4 columns that can't be taken for a cost:"
            no_cost, *others = listed
            assert no_cost == (
                "  column 'accuracy': accuracy is no cost of a device; name a device where it is to be predicted"
            )
            words = [("flops",) * 2, ("latency_std", "std"), ("seed",) * 2]
            metrics = "latency, energy, arithmetic_intensity, throughput, peak_memory, model_size or accuracy"
            assert others == [f"  column '{name}': '{word}' is not {metrics}" for name, word in words]
            assert "--columns 'fpga_energy,eyeriss_arithmetic_intensity,pixel3_latency_us,raspi4 (s),nano_fps'" in last
            assert "read_measurements(path, columns=...)" in last

    @pytest.mark.parametrize(
        "name",
        [
            *(
                "accuracy",
                "accuracy (%)",
                "acc",
                "valid acc (%)",
                "top1",
                "params",
                "n_params",
                "params_M",
                "MACs",
            ),
            *("raspi4_p90", "raspi4_latency_p99", "raspi4_ms_std", "raspi4_min", "epoch", "index", "Unnamed: 0", "0"),
            *("batch_size", "run", "raspi4_mb", "raspi4 (64bit)", "power_W", "peak_memory_mb", "train_time_s"),
            *("latency_raspi4", "raspi4_latency_mean", "raspi4_us_mean", "raspi4-ms", "time", "model_size"),
            *("raspi4_latency_mJ", "fpga_energy_ms", "raspi4/latency (mJ)", "raspi4/latency_us", "raspi4/power"),
            *("raspi4 (S)", "raspi4 (MJ)", "raspi4 (min)", "P(raspi4 fast)"),
            *NO_COSTS.split(),
        ],
    )
    def test_names(self, tmp_path, name):
        path = tmp_path / "board.csv"
        path.write_text(f"op_index,pi,{name}\n0 1 2 3 4 0,1,7\n")
        with pytest.raises(DataFileError) as caught:
            read_measurements(path)
        if name in ("connected", "P(raspi4 fast)"):
            assert f"holds predictions, as `hwnas predict` writes them (columns {name})" in str(caught.value)
        else:
            assert "has 1 column that can't be taken for a cost" in str(caught.value)
            assert f"column {name!r}: " in str(caught.value)
        with pytest.raises(DataFileError, match="can't be taken for a cost"):
            read_measurements(path, columns=[name])
        assert read_measurements(path, columns=["pi"]).targets == (Target("pi", "latency"),)

    @pytest.mark.parametrize(
        ("name", "options", "why"),
        [
            ("raspi4 (us)", {"unit": "ms"}, "names the unit us, but the unit asked for is ms"),
            ("raspi4_latency_us", {"unit": "s"}, "names the unit us, but the unit asked for is s"),
            ("raspi4 (us)", {"metric": "energy"}, "names latency, but the metric asked for is energy"),
            ("raspi4_mJ", {"metric": "latency"}, "names energy, but the metric asked for is latency"),
            ("raspi4_mJ", {"unit": "ms"}, "names the unit mJ, but the unit asked for is ms"),
            ("raspi4/latency", {"metric": "energy"}, "names latency, but the metric asked for is energy"),
            ("fpga_energy", {"unit": "us"}, "unknown unit of energy 'us'"),
        ],
    )
    def test_header_against_option(self, wide, name, options, why):
        with pytest.raises(DataFileError, match=why):
            read_measurements(wide({name: [1.0, 2.0, 3.0]}), **options)

    @pytest.mark.parametrize(
        "mark", ["P(pi/latency <= 5 ms)", "P(pi/latency has a cost)", "pi/latency (ms) low", "connected"]
    )
    def test_predictions_are_no_measurements(self, wide, mark):
        values = np.array([1.0, 2.0, 3.0])
        path = wide({"pi/latency (ms)": values, mark: values > 1 if mark == "connected" else values})
        with pytest.raises(DataFileError, match=r"holds predictions.*hwnas query --csv") as caught:
            read_measurements(path)
        assert mark in str(caught.value)

    def test_two_columns_of_one_target(self, wide):
        with pytest.raises(DataFileError, match="got pi/latency more than once"):
            read_measurements(wide({"pi_ms": [1.0, 2.0, 3.0], "pi_latency": [1.0, 2.0, 3.0]}))


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("raspi4 (us)", {"unit": "us"}, {"raspi4/latency": 7e-3}),
        ("raspi4 (us)", {"unit": "\u00b5s", "metric": "latency"}, {"raspi4/latency": 7e-3}),
        ("raspi4", {"metric": "energy", "unit": "J"}, {"raspi4/energy": 7e3}),
        ("raspi4", {"unit": "uJ"}, {"raspi4/energy": 7e-3}),
        ("raspi4_latency", {"unit": "s"}, {"raspi4/latency": 7e3}),
        ("latency", {"unit": "s"}, {"board/latency": 7e3}),
    ],
)
def test_options_fill_what_a_header_leaves_open(wide, name, options, expected):
    assert costs(read_measurements(wide({name: [7.0, 1.0, 1.0]}), **options)) == pytest.approx(expected)


class TestColumns:
    def test_names(self, wide):
        columns = {name: [value] * 3 for name, value in ISSUE.items()} | {"note": ["a", "b", "c"]}
        table = read_measurements(wide(columns), columns=["raspi4 (s)", "fpga_energy"])
        assert costs(table) == {"raspi4/latency": 250.0, "fpga/energy": 1.0}
        assert table.meta["columns"] == {"raspi4 (s)": "raspi4/latency (s)", "fpga_energy": "fpga/energy (mJ)"}

    def test_headers_in_their_place(self, wide):
        path = wide({"nano_fps": [7.0, 8.0, 9.0], "t": [1.0, 2.0, 3.0], "seed": [0, 0, 0]})
        table = read_measurements(path, columns={"nano_fps": "nano/latency (us)", "t": "pi_energy_J"})
        assert costs(table) == pytest.approx({"nano/latency": 7e-3, "pi/energy": 1e3})

    def test_a_name_alone_makes_no_cost(self, wide):
        with pytest.raises(DataFileError, match="accuracy is no cost of a device"):
            read_measurements(wide({"pi": [1.0, 2.0, 3.0], "accuracy": [1.0, 2.0, 3.0]}), columns=["accuracy"])

    @pytest.mark.parametrize(
        ("columns", "error", "why"),
        [
            (["raspi"], DataFileError, "has no column 'raspi'; it has raspi4.*Did you mean 'raspi4'"),
            (["op_index"], DataFileError, "has no column 'op_index'"),
            ("raspi", DataFileError, "has no column 'raspi'"),
            ([], DataFileError, "no column of costs beside op_index"),
            (["raspi4", "raspi4"], InvalidInputError, "each column once"),
            ({"raspi4": "raspi4/speed"}, DataFileError, "unknown metric 'speed'"),
            ({"raspi4": None}, InvalidInputError, "columns must be texts.*got 'raspi4': None"),
            ({"raspi4": 4}, InvalidInputError, "columns must be texts.*got 'raspi4': 4"),
            ({4: "pi"}, InvalidInputError, "columns must be texts.*got 4: 'pi'"),
            ([4, 4], InvalidInputError, "each column once, got 4, 4"),
            ([4], InvalidInputError, "columns must be texts"),
            ({"raspi4": " "}, DataFileError, "neither a device nor a metric"),
        ],
    )
    def test_refused(self, wide, columns, error, why):
        with pytest.raises(error, match=why):
            read_measurements(wide({"raspi4": [1.0, 2.0, 3.0]}), columns=columns)

    def test_one_measurement_a_line_has_none_to_choose(self, tmp_path):
        path = tmp_path / "long.csv"
        path.write_text("architecture,device,value\n1,pi,2\n")
        assert "columns" not in read_measurements(path).meta
        with pytest.raises(DataFileError, match=r"one measurement a line.*from a wide table only"):
            read_measurements(path, columns=["value"])


class TestFailed:
    def test_minus_one_of_the_edge_tpu(self, wide):
        table = read_measurements(wide({"edgetpu_latency": [1.5, -1.0, np.nan], "pi": [1.0, 2.0, 3.0]}))
        np.testing.assert_array_equal(table.costs[:, 0], [1.5, np.nan, np.nan])
        assert table.why_missing()["edgetpu"].iloc[:, 0].tolist() == ["", NOT_COMPILED, "not measured"]

    @pytest.mark.parametrize(
        "columns",
        [{"edgetpu_latency": [1.0, -2.0, 3.0]}, {"raspi4_latency": [1.0, -1.0, 3.0]}, {"edgetpu": [1.0, -1.0, 3.0]}],
    )
    def test_no_other(self, wide, columns):
        with pytest.raises(DataFileError, match=r"-2|-1"):
            read_measurements(wide(columns))


@pytest.mark.parametrize(
    "values",
    [
        [True, False, True],
        ["1", "2", "3"],
        pd.to_datetime([1, 2, 3], unit="ms"),
        pd.to_timedelta([1, 2, 3], unit="ms"),
        pd.to_timedelta([None] * 3),
        pd.array([True, None, False], dtype="boolean"),
    ],
)
def test_parquet_values_that_are_none(tmp_path, values):
    path = tmp_path / "board.parquet"
    pd.DataFrame({"op_index": OPS.tolist(), "pi": values}).to_parquet(path)
    with pytest.raises(DataFileError, match=r"column 'pi' is not numeric, got .*--columns"):
        read_measurements(path)


def test_parquet_numbers_of_every_kind(tmp_path):
    path = tmp_path / "board.parquet"
    some = {"a": pd.array([1, None, 3], dtype="Int64"), "b": pd.array([1, None, 3], dtype="Float64"), "c": [None] * 3}
    pd.DataFrame({"op_index": OPS.tolist(), **some}).to_parquet(path)
    expected = [[1, 1, np.nan], [np.nan, np.nan, np.nan], [3, 3, np.nan]]
    np.testing.assert_array_equal(read_measurements(path).costs, expected)


def test_the_batch_is_unknown_where_a_file_does_not_tell_it(wide, tmp_path):
    table = read_measurements(wide({"pi": [1.0, 2.0, 3.0]}))
    assert describe(table)[0]["batch"] is None
    assert describe(load_table(write_parquet(table, tmp_path / "pi-table.parquet")))[0]["batch"] is None
