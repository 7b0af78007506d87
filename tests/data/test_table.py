from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hwnas_surrogate.data import CostTable, Device, Target, merge, read_parquet, write_parquet
from hwnas_surrogate.data.as_graphs import as_graphs
from hwnas_surrogate.errors import (
    DataFileError,
    HWNASError,
    InvalidArchitectureError,
    InvalidConfigError,
    InvalidInputError,
    NotInTableError,
)
from hwnas_surrogate.spaces import NASBench201Config, get_space
from tests.data.reference import SIZE, published_strings, same_bits

SPACE = get_space("nasbench201")
FBNET = get_space("fbnet")
TARGETS = ("edgegpu/latency", "edgegpu/energy", "raspi4/latency")
INDICES = [4000, 17, 15624, 0, 5, 981, 2]
STRINGS = [published_strings()[index] for index in INDICES]


@pytest.fixture(scope="module")
def costs():
    costs = np.random.default_rng(1).gamma(2.0, 3.0, (len(INDICES), len(TARGETS)))
    costs[1, 0] = costs[1, 2] = costs[4, 2] = np.nan
    return costs


@pytest.fixture(scope="module")
def table(costs):
    broken = np.zeros(costs.shape, bool)
    broken[1, 2] = True
    return CostTable(
        "nasbench201",
        INDICES,
        costs,
        TARGETS,
        devices=[Device("edgegpu", "TX2"), Device("unused")],
        reasons={"did not compile": broken},
    )


@pytest.fixture(scope="module")
def two_configs():
    """Return the same architectures under two configs, in mixed order, in part under one only."""
    names = ["cifar10", "cifar100", "cifar10", "cifar100", "cifar100"]
    return CostTable(SPACE, [7, 7, 8, 8, 9], [[1.0], [2.0], [3.0], [4.0], [5.0]], ["pi/latency"], configs=names)


@pytest.fixture(scope="module")
def whole():
    return CostTable(SPACE, SPACE.enumerate(), np.random.default_rng(2).random((SIZE, 2)), TARGETS[:2])


class TestForms:
    """Every accepted form of an architecture finds its row."""

    @pytest.mark.parametrize("row", range(len(INDICES)))
    @pytest.mark.parametrize(
        "form",
        [
            lambda index: published_strings()[index],
            lambda index: index,
            lambda index: np.int64(index),
            lambda index: SPACE.at(index)[0].tolist(),
            lambda index: [SPACE.ops[op] for op in SPACE.at(index)[0]],
            lambda index: SPACE.at(index)[0],
            lambda index: SPACE.at(index),
            lambda index: [published_strings()[index]],
            lambda index: np.array([index]),
        ],
        ids=["string", "index", "numpy-index", "ops", "names", "vector", "matrix", "strings", "indices"],
    )
    def test_one(self, table, costs, row, form):
        assert same_bits(table.lookup(form(INDICES[row])), costs[[row]])

    @pytest.mark.parametrize(
        "form",
        [
            lambda rows: [STRINGS[row] for row in rows],
            lambda rows: tuple(INDICES[row] for row in rows),
            lambda rows: np.array([INDICES[row] for row in rows]),
            lambda rows: SPACE.as_array(STRINGS)[rows],
            lambda rows: SPACE.as_array(STRINGS)[rows].tolist(),
            lambda rows: pd.Series([STRINGS[row] for row in rows], index=rows),
            lambda rows: [STRINGS[row] if row % 2 else INDICES[row] for row in rows],
        ],
        ids=["strings", "indices", "index-array", "matrix", "op-lists", "series", "mixed"],
    )
    def test_many_in_the_order_asked_with_repeats(self, table, costs, form):
        rows = [6, 1, 1, 3, 0, 6, 6, 2]
        assert same_bits(table.lookup(form(rows)), costs[rows])

    def test_every_row(self, table, costs):
        assert same_bits(table.lookup(), costs)

    def test_batch_equals_scalar(self, table):
        rows = np.random.default_rng(3).integers(0, len(INDICES), 50)
        batch = table.lookup([STRINGS[row] for row in rows])
        assert same_bits(batch, np.concatenate([table.lookup(STRINGS[row]) for row in rows]))

    def test_whole_space(self, whole):
        asked = np.random.default_rng(4).integers(0, SIZE, 300)
        assert same_bits(whole.lookup(asked), whole.costs[asked])
        assert same_bits(whole.lookup([published_strings()[index] for index in asked]), whole.costs[asked])

    def test_find(self, table):
        assert table.find(STRINGS[::-1]).tolist() == list(range(len(INDICES)))[::-1]


class TestColumns:
    def test_say_device_metric_and_unit(self, table):
        columns = table.lookup(0).columns
        assert columns.names == ["device", "metric", "unit"]
        assert columns.tolist() == [
            ("edgegpu", "latency", "ms"),
            ("edgegpu", "energy", "mJ"),
            ("raspi4", "latency", "ms"),
        ]

    def test_rows_are_counted_from_0(self, table):
        assert table.lookup([17, 5]).index.tolist() == [0, 1]

    @pytest.mark.parametrize(
        ("targets", "columns"),
        [
            ("raspi4/latency", [2]),
            (Target("raspi4", "latency"), [2]),
            ("edgegpu", [0, 1]),
            (["raspi4", "edgegpu/latency"], [2, 0]),
            (["edgegpu/energy", "edgegpu"], [1, 0]),
        ],
    )
    @pytest.mark.parametrize("archs", [None, INDICES])
    def test_subset_of_targets(self, table, costs, targets, columns, archs):
        found = table.lookup(archs, targets=targets)
        assert same_bits(found, costs[:, columns])
        assert [f"{device}/{metric}" for device, metric, _ in found.columns] == [TARGETS[column] for column in columns]

    def test_no_targets(self, table):
        assert table.lookup([0, 5], targets=[]).shape == (2, 0)

    @pytest.mark.parametrize("empty", [[], np.empty((0, 6), np.int8), np.array([]), ()])
    def test_empty_batch(self, table, empty):
        found = table.lookup(empty)
        assert found.shape == (0, 3)
        assert found.columns.equals(table.lookup(0).columns)
        assert table.why_missing(empty).shape == (0, 3)

    def test_empty_batch_of_per_row_configs(self, two_configs):
        assert two_configs.lookup([], configs=[]).shape == (0, 1)


class TestMissing:
    def test_text_says_why(self, table):
        found = table.why_missing([17, 5, 0])
        assert found.to_numpy().tolist() == [
            ["not measured", "", "did not compile"],
            ["", "", "not measured"],
            ["", "", ""],
        ]
        assert found.columns.equals(table.lookup(0).columns)

    def test_text_stands_exactly_where_the_value_is_missing(self, table):
        assert np.array_equal(table.why_missing() != "", table.lookup().isna())

    def test_a_reason_for_a_cost_that_is_there_is_refused(self):
        why = r"a/latency has a cost in row 0 and a reason why it is missing, 'broken' \(1 such costs in all\)"
        with pytest.raises(InvalidInputError, match=why):
            CostTable(SPACE, [0, 1], [[1.0], [np.nan]], ["a/latency"], reasons={"broken": [[True], [True]]})

    def test_a_reason_of_no_cost_is_left_out(self):
        table = CostTable(SPACE, [0, 1], [[1.0], [np.nan]], ["a/latency"], reasons={"broken": [[False], [False]]})
        assert table.reasons == {}
        assert table.why_missing().to_numpy().tolist() == [[""], ["not measured"]]

    @pytest.mark.parametrize("reason", [5, None, "", " "])
    def test_a_reason_is_a_text(self, reason):
        with pytest.raises(InvalidInputError, match="a reason why costs are missing is a text, got"):
            CostTable(SPACE, [0], [[np.nan]], ["a/latency"], reasons={reason: [[True]]})

    def test_mask_of_another_shape(self):
        with pytest.raises(InvalidInputError, match=r"mask must have the shape of costs, \(2, 1\), got \(2,\)"):
            CostTable(SPACE, [0, 1], [[1.0], [np.nan]], ["a/latency"], reasons={"broken": [False, True]})


class TestReadOnly:
    @pytest.mark.parametrize("name", ["costs", "archs", "config_number", "repeats"])
    def test_writing_raises(self, name):
        table = CostTable(SPACE, [0, 1], [[1.0], [2.0]], ["a/latency"], repeats=np.ones((2, 1, 5)))
        with pytest.raises(ValueError, match="read-only"):
            getattr(table, name)[0] = 1

    def test_reason_is_read_only(self, table):
        with pytest.raises(ValueError, match="read-only"):
            table.reasons["did not compile"][0] = True

    def test_callers_arrays_are_copied(self):
        archs = SPACE.at([3, 4]).copy()
        costs, repeats, mask = np.array([[1.0], [np.nan]]), np.full((2, 1, 5), 0.5), np.array([[False], [True]])
        configs, meta = ["cifar10", "cifar100"], {"by": "us"}
        table = CostTable(
            SPACE, archs, costs, ["a/latency"], configs=configs, reasons={"r": mask}, repeats=repeats, meta=meta
        )
        before = table.fingerprint
        archs[:], costs[:], repeats[:], mask[:] = 0, 9.0, 9.0, False
        configs[0], meta["by"] = "cifar100", "them"
        assert np.array_equal(table.archs, SPACE.at([3, 4]))
        assert same_bits(table.costs, [[1.0], [np.nan]])
        assert same_bits(table.repeats, np.full((2, 1, 5), 0.5))
        assert table.why_missing(4, "cifar100").iloc[0, 0] == "r"
        assert [SPACE.dataset_name(config) for config in table.row_configs] == ["cifar10", "cifar100"]
        assert table.meta == {"by": "us"}
        assert table.lookup(3, "cifar10").iloc[0, 0] == 1.0
        del table.fingerprint
        assert table.fingerprint == before

    @pytest.mark.parametrize("targets", [None, "edgegpu", "raspi4/latency"])
    @pytest.mark.parametrize("archs", [None, 0, INDICES])
    def test_writing_into_an_answer_leaves_the_table(self, table, costs, archs, targets):
        found = table.lookup(archs, targets=targets)
        found.iloc[:, :] = -7.0
        assert same_bits(table.costs, costs)
        assert same_bits(table.lookup(), costs)

    def test_lookup_leaves_its_inputs(self, table, two_configs):
        archs, names = SPACE.as_array(STRINGS), np.array(["cifar10", "cifar100"])
        targets = ["raspi4", "edgegpu"]
        before = archs.copy()
        table.lookup(archs, targets=targets)
        two_configs.lookup(np.array([7, 8]), names)
        assert np.array_equal(archs, before)
        assert names.tolist() == ["cifar10", "cifar100"]
        assert targets == ["raspi4", "edgegpu"]


class TestConfigs:
    def test_default_is_the_first_published(self, table):
        assert table.configs == (SPACE.configs["cifar10"],)
        assert table.row_configs == [SPACE.configs["cifar10"]] * len(INDICES)

    def test_several_must_be_named(self, two_configs):
        with pytest.raises(NotInTableError, match=r"2 configs, choose one: cifar10 \(.*\), cifar100 \("):
            two_configs.lookup(7)

    @pytest.mark.parametrize("config", ["cifar100", "C16-N5-k100-3x32x32", NASBench201Config(num_classes=100)])
    def test_one_for_all(self, two_configs, config):
        assert two_configs.lookup([9, 7, 8], config).iloc[:, 0].tolist() == [5.0, 2.0, 4.0]

    def test_published_dict(self, two_configs):
        config = {"name": "infer.tiny", "C": 16, "N": 5, "arch_str": published_strings()[7], "num_classes": 100}
        assert two_configs.lookup(7, config).iloc[0, 0] == 2.0

    def test_one_per_row(self, two_configs):
        found = two_configs.lookup([8, 7, 7, 9], ["cifar10", "cifar100", "cifar10", "cifar100"])
        assert found.iloc[:, 0].tolist() == [3.0, 2.0, 1.0, 5.0]

    def test_per_row_batch_equals_scalar(self, two_configs):
        archs, configs = [9, 8, 7, 8], ["cifar100", "cifar10", "cifar100", "cifar100"]
        scalars = [two_configs.lookup(arch, config).iloc[0, 0] for arch, config in zip(archs, configs, strict=True)]
        assert two_configs.lookup(archs, configs).iloc[:, 0].tolist() == scalars

    @pytest.mark.parametrize(
        ("configs", "values"),
        [
            ("cifar10", [1.0, 3.0]),
            (["cifar100"], [2.0, 4.0, 5.0]),
            (["cifar100", "cifar10"], [1.0, 2.0, 3.0, 4.0, 5.0]),
        ],
    )
    def test_rows_under_a_config(self, two_configs, configs, values):
        assert two_configs.lookup(configs=configs).iloc[:, 0].tolist() == values
        assert len(two_configs.why_missing(configs=configs)) == len(values)

    def test_rows_under_an_absent_config(self, two_configs):
        with pytest.raises(NotInTableError, match=r"no costs under config ImageNet16-120 .*the table has cifar10"):
            two_configs.lookup(configs="ImageNet16-120")

    def test_row_configs_ask_for_the_table_itself(self, two_configs):
        assert same_bits(two_configs.lookup(two_configs.archs, two_configs.row_configs), two_configs.costs)

    def test_wrong_number_of_configs(self, two_configs):
        with pytest.raises(InvalidConfigError, match="got 2 for 3 architectures"):
            two_configs.lookup([7, 8, 9], ["cifar10", "cifar100"])

    def test_architecture_under_the_other_config_only(self, two_configs):
        with pytest.raises(NotInTableError, match="under config cifar10"):
            two_configs.lookup(9, "cifar10")


class TestNotInTable:
    def test_architecture(self, table):
        with pytest.raises(NotInTableError) as caught:
            table.lookup([0, 3, 17, 4])
        message = str(caught.value)
        assert message.startswith(f"2 of 4 architectures are not in the table, the first is {published_strings()[3]!r}")
        assert "the table has 7 under config cifar10" in message
        assert not message.startswith("'")

    @pytest.mark.parametrize("edge", [min, max])
    def test_beyond_the_first_and_the_last_row(self, edge):
        codes = SPACE.codes(SPACE.enumerate())
        outside = int(np.argmin(codes) if edge is min else np.argmax(codes))
        table = CostTable(SPACE, [4, 5], [[1.0], [2.0]], ["a/latency"])
        with pytest.raises(NotInTableError, match="1 of 1"):
            table.lookup(outside)

    def test_config(self, table):
        with pytest.raises(NotInTableError, match=r"no costs under config cifar100 .*; the table has cifar10 \("):
            table.lookup(0, "cifar100")

    def test_modified_config(self, table):
        with pytest.raises(NotInTableError, match=r"no costs under config C8-N1-k10-3x32x32; the table has cifar10"):
            table.lookup(0, NASBench201Config(C=8, N=1))

    def test_no_dataset_at_all(self, table):
        with pytest.raises(HWNASError, match=r"'cifar11'; allowed: .*Did you mean 'cifar10'\?"):
            table.lookup(0, "cifar11")

    def test_target(self, table):
        with pytest.raises(NotInTableError, match=r"unknown target 'raspi/latency'.*Did you mean 'raspi4/latency'\?"):
            table.lookup(0, targets="raspi/latency")

    def test_is_a_lookup_error(self, table):
        with pytest.raises(LookupError):
            table.lookup(3)

    @pytest.mark.parametrize("arch", [-1, SIZE, True, "x", [[9] * 6], 0.5])
    def test_no_architecture(self, table, arch):
        with pytest.raises(InvalidArchitectureError):
            table.lookup(arch)


class TestInvalid:
    @pytest.mark.parametrize("value", [-1.0, -1e-300, np.inf, -np.inf])
    def test_cost(self, value):
        with pytest.raises(InvalidInputError, match=r"finite and not negative .*for b/energy in row 1 \(1 such"):
            CostTable(SPACE, [0, 1], [[1.0, 1.0], [1.0, value]], ["a/latency", "b/energy"])

    @pytest.mark.parametrize("value", [-1.0, np.inf])
    def test_repeats(self, value):
        with pytest.raises(InvalidInputError, match="finite and not negative"):
            CostTable(SPACE, [0], [[1.0]], ["a/latency"], repeats=[[[1.0, 1.0, 1.0, value, 1.0]]])

    @pytest.mark.parametrize("shape", [(2,), (1, 2), (3, 1), (2, 2), (2, 1, 1)])
    def test_shape(self, shape):
        with pytest.raises(InvalidInputError, match=r"\(2, 1\), got"):
            CostTable(SPACE, [0, 1], np.ones(shape), ["a/latency"])

    @pytest.mark.parametrize("shape", [(2,), (2, 1), (2, 1, 4), (1, 1, 5)])
    def test_repeats_of_another_shape(self, shape):
        with pytest.raises(InvalidInputError, match="5 values for each cost"):
            CostTable(SPACE, [0, 1], np.ones((2, 1)), ["a/latency"], repeats=np.ones(shape))

    @pytest.mark.parametrize("second", [5, published_strings()[5], SPACE.at(5)[0].tolist()])
    def test_row_twice(self, second):
        with pytest.raises(InvalidInputError, match="occurs more than once under config C16-N5-k10"):
            CostTable(SPACE, [SPACE.at(5)[0].tolist(), 9, second], np.ones((3, 1)), ["a/latency"])

    def test_row_twice_under_two_names_of_a_config(self):
        with pytest.raises(InvalidInputError, match="occurs more than once"):
            CostTable(SPACE, [7, 7], np.ones((2, 1)), ["a/latency"], configs=["cifar10", "C16-N5-k10-3x32x32"])

    def test_target_twice(self):
        with pytest.raises(InvalidInputError, match="a/latency more than once"):
            CostTable(SPACE, [7], [[1.0, 2.0]], ["a/latency", Target("a", "latency")])

    def test_space(self):
        with pytest.raises(InvalidInputError, match=r"Did you mean 'nasbench201'\?"):
            CostTable("nasbench101", [0], [[1.0]], ["a/latency"])

    def test_zero_is_a_cost(self):
        assert CostTable(SPACE, [0], [[0.0]], ["a/latency"]).lookup(0).iloc[0, 0] == 0.0


class TestParts:
    def test_select_targets(self, table, costs):
        part = table.select("edgegpu")
        assert part.targets == table.targets[:2]
        assert same_bits(part.costs, costs[:, :2])
        assert part.devices == {"edgegpu": Device("edgegpu", "TX2")}
        assert part.reasons == {}

    def test_select_keeps_reasons(self, table):
        assert table.select(["raspi4", "edgegpu"]).why_missing(17).to_numpy().tolist() == [
            ["did not compile", "not measured", ""]
        ]

    @pytest.mark.parametrize(
        ("configs", "rows"),
        [("cifar100", [1, 3, 4]), (["cifar10"], [0, 2]), (["cifar100", "cifar10"], [0, 1, 2, 3, 4])],
    )
    def test_select_configs(self, two_configs, configs, rows):
        part = two_configs.select(configs=configs)
        assert np.array_equal(part.archs, two_configs.archs[rows])
        assert same_bits(part.costs, two_configs.costs[rows])
        assert part.row_configs == [two_configs.row_configs[row] for row in rows]

    def test_select_all(self, two_configs):
        assert two_configs.select().fingerprint == two_configs.fingerprint

    def test_select_what_is_absent(self, table):
        with pytest.raises(NotInTableError, match="unknown target 'fpga'"):
            table.select("fpga")
        with pytest.raises(NotInTableError, match="no costs under config cifar100"):
            table.select(configs=["cifar10", "cifar100"])

    @pytest.mark.parametrize("rows", [[3, 1], np.array([6, 0, 2]), [], range(4)])
    def test_rows(self, table, costs, rows):
        part, at = table.rows(rows), np.array(rows, int)
        assert same_bits(part.costs, costs[at])
        assert np.array_equal(part.archs, table.archs[at])
        assert np.array_equal(part.why_missing(), table.why_missing().to_numpy()[at])

    @pytest.mark.parametrize("rows", [[True] * 7, [1.5], [7], [-1], [[0, 1]], 3, ["a"]])
    def test_rows_that_are_no_row_numbers(self, table, rows):
        with pytest.raises(InvalidInputError, match=r"row numbers 0\.\.6"):
            table.rows(rows)

    def test_repeats_go_along(self):
        repeats = np.arange(20.0).reshape(2, 2, 5)
        table = CostTable(SPACE, [0, 1], np.ones((2, 2)), TARGETS[:2], repeats=repeats)
        assert same_bits(table.rows([1]).select("edgegpu/energy").repeats, repeats[1:, 1:])

    def test_repr(self, table):
        assert repr(table) == (
            "<CostTable nasbench201: 7 rows, 1 config(s), targets edgegpu/latency, edgegpu/energy, raspi4/latency>"
        )


class TestEmptyTable:
    @pytest.fixture(params=["made", "selected"])
    def empty(self, request, table):
        return CostTable(SPACE, [], np.empty((0, 3)), TARGETS) if request.param == "made" else table.rows([])

    def test_has_no_rows(self, empty):
        assert (len(empty), empty.configs, empty.lookup().shape) == (0, (), (0, 3))

    @pytest.mark.parametrize("config", [None, "cifar10"])
    def test_says_so(self, empty, config):
        with pytest.raises(NotInTableError, match="the table has no rows"):
            empty.lookup(0, config)


class TestFingerprint:
    def make(self, archs=(0, 1), costs=((1.0,), (np.nan,)), targets=("a/latency",), configs=("cifar10", "cifar100")):
        return CostTable(SPACE, archs, costs, targets, configs=configs)

    def test_same_table_same_fingerprint(self):
        assert self.make().fingerprint == self.make().fingerprint
        assert len(self.make().fingerprint) == 64

    @pytest.mark.parametrize(
        "change",
        [
            {"costs": [[np.nextafter(1.0, 2.0)], [np.nan]]},
            {"costs": [[np.nan], [1.0]]},
            {"costs": [[1.0], [0.0]]},
            {"archs": [1, 0]},
            {"archs": [0, 2]},
            {"targets": ["b/latency"]},
            {"targets": ["a/energy"]},
            {"configs": ["cifar100", "cifar10"]},
            {"configs": "cifar10"},
        ],
        ids=str,
    )
    def test_changes_with_any_value(self, change):
        assert self.make(**change).fingerprint != self.make().fingerprint

    def test_memory_order_is_no_value(self, table):
        transposed = CostTable(SPACE, INDICES, np.asfortranarray(table.costs), TARGETS)
        assert transposed.fingerprint == table.fingerprint


@pytest.fixture(scope="module")
def fbnet_archs():
    # Zeros at the end, at the start, everywhere: numpy strips zero bytes from the end of its byte strings.
    special = [[0] * 22, [8] * 22, [1] + [0] * 21, [0] * 21 + [1], [1] * 21 + [0], [8, 0] * 11]
    return np.concatenate([np.array(special, np.int8), FBNET.sample(40, 0)])


@pytest.fixture(scope="module")
def fbnet_table(fbnet_archs):
    return CostTable(FBNET, fbnet_archs, np.random.default_rng(6).random((len(fbnet_archs), 1)), ["pi/latency"])


class TestFBNetRows:
    """Measured networks of FBNet: rows as in any table, found by codes of 22 bytes."""

    def test_batch(self, fbnet_table, fbnet_archs):
        rows = np.random.default_rng(7).permutation(len(fbnet_archs))
        assert same_bits(fbnet_table.lookup(fbnet_archs[rows]), fbnet_table.costs[rows])

    def test_scalar_forms(self, fbnet_table, fbnet_archs):
        for row in range(10):
            for form in (fbnet_archs[row], fbnet_archs[row].tolist(), FBNET.format(fbnet_archs[row])):
                assert same_bits(fbnet_table.lookup(form), fbnet_table.costs[[row]])

    def test_absent(self, fbnet_table):
        with pytest.raises(NotInTableError, match="1 of 2 architectures"):
            fbnet_table.lookup([[0] * 22, [0] * 20 + [1, 0]])

    def test_row_twice(self):
        with pytest.raises(InvalidInputError, match="more than once"):
            CostTable(FBNET, [[0] * 22, [3] * 22, [0] * 22], np.ones((3, 1)), ["pi/latency"])

    def test_empty_batch(self, fbnet_table):
        assert fbnet_table.lookup([]).shape == (0, 1)

    def test_index_is_refused(self, fbnet_table):
        with pytest.raises(InvalidArchitectureError, match="FBNet has no index"):
            fbnet_table.lookup(3)


class TestNoiseFloor:
    def test_by_hand(self):
        repeats = np.ones((4, 2, 5))
        repeats[:, 0, 3:] = [[1.0, 1.1], [2.0, 2.0], [3.0, 6.0], [5.0, 4.0]]  # one of six pairs is the other way round
        repeats[:, 1, 3:] = [[1.0, np.nan], [np.nan, np.nan], [2.0, 2.0], [np.nan, 1.0]]
        table = CostTable(SPACE, range(4), np.ones((4, 2)), TARGETS[:2], repeats=repeats)
        (target,) = table.noise_floor()
        assert target == table.targets[0]
        floor = table.noise_floor()[target]
        assert floor["n"] == 4
        assert floor["kendall_tau"] == pytest.approx(4 / 6)
        # |difference| / mean: .1/1.05, 0, 3/4.5, 1/4.5
        assert floor["median_relative_difference"] == pytest.approx((0.1 / 1.05 + 1 / 4.5) / 2)

    def test_costs_of_zero_do_not_differ(self):
        repeats = np.ones((4, 1, 5))
        repeats[:, 0, 3:] = [[0.0, 0.0], [0.0, 0.0], [2.0, 2.0], [3.0, 3.0]]
        table = CostTable(SPACE, range(4), np.ones((4, 1)), TARGETS[:1], repeats=repeats)
        assert table.noise_floor()[table.targets[0]]["median_relative_difference"] == 0

    def test_without_repeats(self):
        assert CostTable(SPACE, [0, 1], np.ones((2, 1)), TARGETS[:1]).noise_floor() == {}


class TestOperators:
    """Times of operators beside the costs."""

    TARGET = Target("board", "latency")

    def table(self) -> CostTable:
        n_nodes = [len(get_space("nasbench201").graph(index)) for index in (5, 6)]
        times = [np.arange(1.0, 1 + n) / n**2 for n in n_nodes]  # half a millisecond in all
        return CostTable(
            "nasbench201", [5, 6, 7], [[1.0], [2.0], [3.0]], [self.TARGET], operators={self.TARGET: [*times, None]}
        )

    def test_they_follow_their_rows(self) -> None:
        table = self.table()
        taken = table.rows([2, 1])
        assert taken.operators[self.TARGET][0] is None
        assert np.array_equal(taken.operators[self.TARGET][1], table.operators[self.TARGET][1])  # type: ignore[arg-type]
        assert table.rows([2]).operators == {}

    def test_they_are_merged_and_written(self, tmp_path: Path) -> None:
        table = self.table()
        other = CostTable("nasbench201", [5, 8], [[1.0], [2.0]], ["other/latency"])
        path = write_parquet(merge([other, table]), tmp_path / "table.parquet")
        read = read_parquet(path)
        assert isinstance(read, CostTable)
        assert list(read.operators) == [self.TARGET]
        found = dict(zip(read.names, read.operators[self.TARGET], strict=True))
        for name, times in zip(table.names, table.operators[self.TARGET], strict=True):
            assert np.array_equal(found[name], times) if times is not None else found[name] is None

    def test_graphs_keep_them(self) -> None:
        graphs = as_graphs(self.table())
        assert [None if times is None else len(times) for times in graphs.operators[self.TARGET]] == [
            len(graph) if row < 2 else None
            for row, graph in enumerate(graphs.batch.graphs)  # type: ignore[attr-defined]
        ]

    @pytest.mark.parametrize(
        ("operators", "message"),
        [
            ({Target("board", "energy"): [None]}, "a latency, got Target(device='board', metric='energy'); it has"),
            ({Target("other", "latency"): [None]}, "metric='latency'); it has board/latency"),
            (
                {TARGET: [None, None]},
                "board/latency: times of operators are a list with an array, or None, for each of 1 networks, got "
                "those of 2.",
            ),
            ({TARGET: None}, "a list with an array, or None, for each of 1 networks, got NoneType."),
            ([TARGET], "operators are a mapping of targets to lists, got list"),
            ({"board/latency": [None]}, "for a Target of the table that is a latency, got 'board/latency'"),
            ({TARGET: [np.array([1j])]}, "times of operators must be numbers, got complex numbers"),
            ({TARGET: [np.array([1e-60])]}, "must be finite and not negative, and not all 0, got zeros only."),
            ({TARGET: [np.array([1e60])]}, "must be finite and not negative, and not all 0, got inf."),
            ({TARGET: [np.array([1.0, np.nan])]}, "must be finite and not negative, and not all 0, got nan."),
            ({TARGET: [np.array([1.0, -1.0])]}, "must be finite and not negative, and not all 0, got -1."),
            ({TARGET: [np.array([0.0, 0.0])]}, "must be finite and not negative, and not all 0, got zeros only."),
            ({TARGET: [np.ones((2, 3))]}, "must be one for each of its operators, got shape (2, 3): the profile is"),
            ({TARGET: [np.array([60.0, 60.0])]}, "must add up to about its cost of 1 ms, between 0.01 and 100 times "
             "as much, got 120 ms: they are in another unit, or of another network."),
            ({TARGET: [np.array([0.004, 0.005])]}, "times as much, got 0.009 ms: they are in another unit"),
        ],
        ids=[
            "energy", "another target", "too many", "none", "a list", "a text", "complex", "tiny", "huge", "nan",
            "negative", "zeros", "of two dimensions", "more than the cost", "less than the cost",
        ],
    )  # fmt: skip
    def test_wrong_ones(self, operators: Any, message: str) -> None:
        with pytest.raises(InvalidInputError, match=re.escape(message)):
            CostTable("nasbench201", [5], [[1.0]], [self.TARGET], operators=operators)

    def test_the_network_is_named(self) -> None:
        networks = {"good": get_space("nasbench201").graph(5), "bad": get_space("nasbench201").graph(6)}
        times = [np.full(len(graph), 1 / len(graph)) for graph in networks.values()]
        with pytest.raises(
            InvalidInputError, match=r"^board/latency: times of operators of network 1 \(bad\) must add"
        ):
            CostTable(None, networks, [[1.0], [1e3]], [self.TARGET], operators={self.TARGET: times})

    def test_a_network_without_a_cost_keeps_its_profile(self) -> None:
        table = CostTable("nasbench201", [5], [[np.nan]], [self.TARGET], operators={self.TARGET: [np.ones(9)]})
        (times,) = table.operators[self.TARGET]
        assert times is not None
        assert times.tolist() == [1.0] * 9

    def test_those_of_another_graph(self) -> None:
        graph = get_space("nasbench201").graph(5)
        for n in (1, len(graph) + 1):
            said = (
                rf"board/latency: .* network 0 \(net\) must be one for each of its {len(graph)} operators, got .*{n},"
            )
            with pytest.raises(InvalidInputError, match=said):
                CostTable(None, {"net": graph}, [[1.0]], [self.TARGET], operators={self.TARGET: [np.ones(n) / n]})
        of_archs = CostTable("nasbench201", [5], [[1.0]], [self.TARGET], operators={self.TARGET: [np.ones(3) / 3]})
        with pytest.raises(InvalidInputError, match=rf"one for each of its {len(graph)} operators, got shape \(3,\)"):
            as_graphs(of_archs)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda times: times[:-1], "one for each of its 235 operators, got shape"),
            (lambda times: -times, "must be finite and not negative, and not all 0, got -"),
            (lambda times: times * np.nan, "and not all 0, got nan"),
            (lambda times: times * np.inf, "and not all 0, got inf"),
            (lambda times: 1e3 * times, r"must add up to about its cost of 1 ms, between 0\.01 and 100 times as much"),
        ],
        ids=["another graph", "negative", "nan", "infinite", "another unit"],
    )
    def test_wrong_ones_in_a_file(self, change: Any, said: str, tmp_path: Path) -> None:
        graph = get_space("nasbench201").graph(5)
        times = np.full(len(graph), 1 / len(graph), np.float32)
        table = CostTable(None, {"net": graph}, [[1.0]], [self.TARGET], operators={self.TARGET: [times]})
        path = write_parquet(table, tmp_path / "table.parquet")
        arrow, name = pq.read_table(path), "board/latency operators"
        changed = pa.array([change(times)], pa.list_(pa.float32()))
        place = arrow.schema.names.index(name)
        pq.write_table(arrow.set_column(place, name, changed), path)
        with pytest.raises(DataFileError, match=f"table.parquet holds no valid cost table: board/latency: .*{said}"):
            read_parquet(path)

    def test_those_of_another_version_of_the_runtime_are_not_merged(self) -> None:
        """The costs are of one version, the profiles of another."""
        costs, profiles = (
            CostTable(
                "nasbench201", [5], [[cost]], [self.TARGET], devices=[Device("board", runtime=f"ONNX Runtime {of}")],
                operators={self.TARGET: [times]},
            )
            for cost, of, times in ((1.0, "1.20", None), (np.nan, "1.21", np.full(250, 0.004)))
        )  # fmt: skip
        with pytest.raises(InvalidInputError, match=r"'board' differently: .*1\.20.* and .*1\.21.* two names"):
            merge([costs, profiles])

    def test_a_file_keeps_them_as_they_are(self, tmp_path: Path) -> None:
        graph = get_space("nasbench201").graph(5)
        times = np.random.default_rng(0).random(len(graph)) / len(graph)
        table = CostTable(None, {"net": graph}, [[1.0]], [self.TARGET], operators={self.TARGET: [times]})
        read = read_parquet(write_parquet(table, tmp_path / "table.parquet"))
        assert isinstance(read, CostTable)
        (kept,), (there,) = read.operators[self.TARGET], table.operators[self.TARGET]
        assert np.array_equal(kept, there)  # type: ignore[arg-type]
        assert kept == pytest.approx(times, rel=1e-7)
