from __future__ import annotations

import dataclasses

import pytest

from hwnas_surrogate.data import METRICS, CostTable, Device, Target, pick_targets, read_parquet, write_parquet
from hwnas_surrogate.errors import InvalidInputError, NotInTableError

AVAILABLE = (
    Target("edgegpu", "latency"),
    Target("edgegpu", "energy"),
    Target("raspi4", "latency"),
    Target("eyeriss", "arithmetic_intensity"),
)


class TestMetric:
    def test_units(self):
        assert {name: metric.unit for name, metric in METRICS.items()} == {
            "latency": "ms",
            "energy": "mJ",
            "arithmetic_intensity": "ops/byte",
            "throughput": "images/s",
            "peak_memory": "MiB",
            "model_size": "MB",
            "accuracy": "%",
        }

    def test_are_read_only(self):
        with pytest.raises(TypeError):
            METRICS["latency"] = METRICS["energy"]


class TestTarget:
    @pytest.mark.parametrize("target", AVAILABLE)
    def test_string_round_trip(self, target):
        assert Target.parse(str(target)) == target

    @pytest.mark.parametrize(("text", "unit"), [("a/latency", "ms"), ("a/energy", "mJ")])
    def test_unit(self, text, unit):
        assert Target.parse(text).unit == unit

    @pytest.mark.parametrize("name", ["", "a/b", 5, None, b"x", ["x"], "a\0b", "a\ud800b", "\udcff"], ids=ascii)
    def test_names_that_no_file_can_hold(self, name):
        for make in (lambda: Target(name, "latency"), lambda: Device(name)):
            with pytest.raises(InvalidInputError, match="a device's name "):
                make()

    @pytest.mark.parametrize(
        "name", ["a\nb", "a\x1b[31mb", " a\t", "\u202eabc", "\U0001f600", "a missing", "x" * 10_000]
    )
    def test_names_that_come_back_from_files(self, name, tmp_path):
        table = CostTable("nasbench201", [0, 1], [[1.0], [2.0]], [Target(name, "latency")])
        again = read_parquet(write_parquet(table, tmp_path / "table.parquet"))
        assert again.targets == table.targets
        assert again.fingerprint == table.fingerprint

    @pytest.mark.parametrize("text", [5, None, b"a/latency", ["a/latency"]], ids=str)
    def test_what_is_no_text(self, text):
        with pytest.raises(InvalidInputError, match="a target reads 'device/metric'"):
            CostTable("nasbench201", [0], [[1.0]], [text])

    def test_is_a_frozen_value(self):
        target = Target("a", "latency")
        with pytest.raises(dataclasses.FrozenInstanceError):
            target.device = "b"
        assert {target: 1}[Target("a", "latency")] == 1

    def test_unknown_metric_names_the_nearest(self):
        with pytest.raises(InvalidInputError, match=r"unknown metric 'latncy'; allowed: .*Did you mean 'latency'\?"):
            Target("raspi4", "latncy")

    @pytest.mark.parametrize("device", ["", "a/b"])
    def test_bad_device(self, device):
        with pytest.raises(InvalidInputError, match="device's name"):
            Target(device, "latency")

    @pytest.mark.parametrize("text", ["raspi4", "raspi4_latency", ""])
    def test_text_without_a_slash(self, text):
        with pytest.raises(InvalidInputError, match="a target reads 'device/metric'"):
            Target.parse(text)

    @pytest.mark.parametrize("text", ["/latency", "raspi4/", "a/b/latency", "raspi4/watt"])
    def test_bad_parts(self, text):
        with pytest.raises(InvalidInputError):
            Target.parse(text)


class TestDevice:
    def test_dict_round_trip(self):
        device = Device("pi", "Raspberry Pi 4", "TFLite", batch=8, source="estimated")
        assert Device(**device.to_dict()) == device

    def test_is_measured_with_an_unknown_batch_where_nothing_is_said(self):
        assert (Device("pi").batch, Device("pi").source) == (None, "measured")

    @pytest.mark.parametrize("batch", [0, -1, 1.0, True, "1"])
    def test_batch_is_a_number_of_images(self, batch):
        with pytest.raises(InvalidInputError, match="batch is a number of images, 1 or more, or None"):
            Device("pi", batch=batch)


class TestPickTargets:
    def test_none_is_all(self):
        assert pick_targets(None, AVAILABLE) == AVAILABLE

    @pytest.mark.parametrize("asked", ["raspi4/latency", AVAILABLE[2], "raspi4", ["raspi4"], [AVAILABLE[2]]])
    def test_one(self, asked):
        assert pick_targets(asked, AVAILABLE) == (AVAILABLE[2],)

    def test_device_is_all_its_metrics(self):
        assert pick_targets("edgegpu", AVAILABLE) == AVAILABLE[:2]

    def test_order_is_that_of_the_question(self):
        assert pick_targets(["raspi4", "edgegpu/energy"], AVAILABLE) == (AVAILABLE[2], AVAILABLE[1])

    def test_each_once(self):
        assert pick_targets(["edgegpu/energy", "edgegpu", "edgegpu/energy"], AVAILABLE) == AVAILABLE[1::-1]

    def test_no_targets(self):
        assert pick_targets([], AVAILABLE) == ()

    @pytest.mark.parametrize(
        ("asked", "near"),
        [("raspi4/latncy", "raspi4/latency"), ("rapsi4", "raspi4"), (["edgegpu", "eyeris"], "eyeriss")],
    )
    def test_unknown(self, asked, near):
        with pytest.raises(NotInTableError) as caught:
            pick_targets(asked, AVAILABLE)
        message = str(caught.value)
        assert f"Did you mean '{near}'?" in message
        assert all(repr(str(target)) in message for target in AVAILABLE)

    def test_known_metric_of_another_device(self):
        with pytest.raises(NotInTableError, match="unknown target 'raspi4/energy'"):
            pick_targets(Target("raspi4", "energy"), AVAILABLE)
