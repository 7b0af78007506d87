from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from hwnas_surrogate.data import METRICS, BlockTable, CostTable, Target, convert, load_table, read_official
from hwnas_surrogate.data.official import METRIC_KEYS, NOT_COMPILED, official_tables
from hwnas_surrogate.errors import DataFileError
from hwnas_surrogate.spaces import get_space
from tests.data import reference
from tests.data.reference import CLASSES, SIZE, all_keys, published_strings, same_bits, synthetic_value

SPACE = get_space("nasbench201")


def part(content, dataset="cifar10", metrics=("raspi4_latency",), config=True):
    """Return a small part of the content, in containers of its own."""
    columns = {metric: content["nasbench201"][dataset][metric].copy() for metric in metrics}
    if config:
        columns["config"] = list(content["nasbench201"][dataset]["config"])
    return {"nasbench201": {dataset: columns}}


@pytest.fixture(scope="module")
def tables(content):
    return official_tables(content)


class TestWhole:
    def test_spaces_and_targets(self, tables):
        assert {name: type(table) for name, table in tables.items()} == {
            "nasbench201": CostTable,
            "fbnet": BlockTable,
        }
        for name, metrics in (("nasbench201", reference.METRICS), ("fbnet", reference.FBNET_METRICS)):
            assert tuple(f"{target.device}_{target.metric}" for target in tables[name].targets) == metrics

    def test_names_are_the_published_ones(self):
        assert tuple(METRIC_KEYS) == reference.METRICS
        assert {target.unit for target in METRIC_KEYS.values()} <= {metric.unit for metric in METRICS.values()}

    @pytest.mark.parametrize("dataset", CLASSES)
    def test_values(self, content, tables, dataset):
        found = tables["nasbench201"].lookup(range(SIZE), dataset)
        for number, metric in enumerate(reference.METRICS):
            column = np.where(
                content["nasbench201"][dataset][metric] == -1, np.nan, content["nasbench201"][dataset][metric]
            )
            assert same_bits(found.to_numpy()[:, number], column)

    @pytest.mark.parametrize("dataset", CLASSES)
    def test_rows_are_the_published_architectures(self, tables, dataset):
        asked = [published_strings()[index] for index in range(0, SIZE, 500)]
        table = tables["nasbench201"]
        assert same_bits(table.lookup(asked, dataset), table.lookup(range(0, SIZE, 500), dataset))
        assert SPACE.config(dataset).num_classes == CLASSES[dataset]

    def test_uncompiled_is_missing_and_says_why(self, content, tables):
        table = tables["nasbench201"]
        where = content["nasbench201"]["cifar100"]["edgetpu_latency"] == -1
        reasons = table.why_missing(range(SIZE), "cifar100")
        assert ((reasons["edgetpu"] == NOT_COMPILED).to_numpy().ravel() == where).all()
        assert (reasons.drop(columns="edgetpu", level="device") == "").all(axis=None)
        assert where.sum() == SIZE // 5

    def test_blocks(self, content, tables):
        assert tables["fbnet"].block_costs == {
            Target(*metric.split("_")): costs for metric, costs in content["fbnet"].items()
        }

    def test_devices_say_what_is_estimated(self, tables):
        sources = {name: device.source for name, device in tables["nasbench201"].devices.items()}
        assert [name for name, source in sources.items() if source == "estimated"] == ["eyeriss", "fpga"]
        assert all(device.batch == 1 and device.hardware for device in tables["nasbench201"].devices.values())

    def test_content_is_left_as_it_was(self, content):
        mine = part(content, metrics=("edgetpu_latency",))
        before = copy.deepcopy(mine)
        table = official_tables(mine)["nasbench201"]
        assert same_bits(
            mine["nasbench201"]["cifar10"]["edgetpu_latency"], before["nasbench201"]["cifar10"]["edgetpu_latency"]
        )
        mine["nasbench201"]["cifar10"]["edgetpu_latency"][:] = 1.0
        assert table.lookup().isna().any(axis=None)


class TestPart:
    def test_one_dataset_of_two_metrics(self, content):
        tables = official_tables(part(content, "ImageNet16-120", ("fpga_energy", "raspi4_latency")))
        assert list(tables) == ["nasbench201"]
        table = tables["nasbench201"]
        assert [str(target) for target in table.targets] == ["raspi4/latency", "fpga/energy"]
        assert table.configs == (SPACE.configs["ImageNet16-120"],)
        assert same_bits(table.costs[:, 1], content["nasbench201"]["ImageNet16-120"]["fpga_energy"])

    def test_without_configs(self, content):
        assert len(official_tables(part(content, config=False))["nasbench201"]) == SIZE

    def test_lists_instead_of_arrays(self, content):
        mine = part(content)
        expected = mine["nasbench201"]["cifar10"]["raspi4_latency"]
        mine["nasbench201"]["cifar10"]["raspi4_latency"] = expected.tolist()
        assert same_bits(official_tables(mine)["nasbench201"].costs[:, 0], expected)

    def test_metric_of_one_dataset_only(self, content):
        mine = part(content, "cifar10", ("raspi4_latency", "edgetpu_latency"))
        mine["nasbench201"] |= part(content, "cifar100", ("raspi4_latency",))["nasbench201"]
        table = official_tables(mine)["nasbench201"]
        assert table.lookup(range(SIZE), "cifar100", "edgetpu").isna().all(axis=None)
        assert set(table.why_missing(range(SIZE), "cifar100")["edgetpu"].to_numpy().ravel()) == {"not measured"}

    def test_datasets_come_in_the_published_order(self, content):
        mine = part(content, "ImageNet16-120")
        mine["nasbench201"] |= part(content, "cifar10")["nasbench201"]
        table = official_tables(mine)["nasbench201"]
        assert [SPACE.dataset_name(config) for config in table.configs] == ["cifar10", "ImageNet16-120"]
        expected = [content["nasbench201"][name]["raspi4_latency"][9] for name in ("cifar10", "ImageNet16-120")]
        assert table.lookup([9, 9], ["cifar10", "ImageNet16-120"]).iloc[:, 0].tolist() == expected

    def test_fbnet_only(self, content):
        tables = official_tables({"fbnet": {"raspi4_latency": content["fbnet"]["raspi4_latency"]}})
        assert list(tables) == ["fbnet"]
        assert [str(target) for target in tables["fbnet"].targets] == ["raspi4/latency"]

    def test_missing_block_stays_missing(self, content):
        key = all_keys("cifar100")[30]
        blocks = {name: cost for name, cost in content["fbnet"]["raspi4_latency"].items() if name != key}
        assert key not in official_tables({"fbnet": {"raspi4_latency": blocks}})["fbnet"].keys


class TestRefused:
    def refused(self, content, match):
        with pytest.raises(DataFileError, match=match):
            official_tables(content)

    @pytest.mark.parametrize("content", [None, [], {}, {"darts": {}}, 3, {1: {}}])
    def test_not_the_benchmark(self, content):
        self.refused(content, "is not HW-NAS-Bench: expected keys 'nasbench201' and 'fbnet'")

    @pytest.mark.parametrize("metric", [m for m in reference.METRICS if m != "edgetpu_latency"])
    def test_minus_one_of_another_device(self, content, metric):
        mine = part(content, metrics=(metric,))
        mine["nasbench201"]["cifar10"][metric][7] = -1.0
        self.refused(mine, f"got -1.0 for {METRIC_KEYS[metric]} in row 7")

    @pytest.mark.parametrize("value", [-2.0, -0.5, -np.inf, np.inf])
    def test_other_value_of_the_edge_tpu(self, content, value):
        mine = part(content, metrics=("edgetpu_latency",))
        mine["nasbench201"]["cifar10"]["edgetpu_latency"][3] = value
        self.refused(mine, f"got {value} for edgetpu/latency in row 3")

    @pytest.mark.parametrize("size", [0, 1, SIZE - 1, SIZE + 1])
    def test_length(self, content, size):
        mine = part(content)
        mine["nasbench201"]["cifar10"]["raspi4_latency"] = np.ones(size)
        self.refused(mine, rf"cifar10 raspi4_latency must hold 15625 values.* shape \({size},\)")

    @pytest.mark.parametrize("values", [np.ones((SIZE, 1)), 3.0, None, ["x"] * SIZE, {"a": 1}])
    def test_column(self, content, values):
        mine = part(content)
        mine["nasbench201"]["cifar10"]["raspi4_latency"] = values
        self.refused(mine, "raspi4_latency must hold|layout")

    def test_dataset(self, content):
        mine = {"nasbench201": {"cifar-10": part(content)["nasbench201"]["cifar10"]}}
        self.refused(mine, r"unknown NAS-Bench-201 dataset in the file 'cifar-10'.*Did you mean 'cifar10'\?")

    def test_metric(self, content):
        mine = part(content)
        mine["nasbench201"]["cifar10"]["raspi_latency"] = mine["nasbench201"]["cifar10"]["raspi4_latency"]
        self.refused(mine, r"metric in the file's cifar10 'raspi_latency'.*Did you mean 'raspi4_latency'\?")

    def test_fbnet_metric(self, content):
        self.refused(
            {"fbnet": {"raspi4": content["fbnet"]["raspi4_latency"]}}, "unknown FBNet metric in the file 'raspi4'"
        )

    @pytest.mark.parametrize("cost", [-1.0, np.nan, np.inf, "much", None])
    def test_block_cost(self, content, cost):
        blocks = content["fbnet"]["raspi4_latency"] | {all_keys("ImageNet")[3]: cost}
        self.refused({"fbnet": {"raspi4_latency": blocks}}, "layout")

    @pytest.mark.parametrize("as_array", [np.array, list])
    @pytest.mark.parametrize(
        ("value", "what"),
        [("1.5", "texts"), (True, "booleans"), (1j, "complex numbers"), (np.timedelta64(1, "ms"), "time spans")],
    )
    def test_costs_that_are_no_numbers(self, content, value, what, as_array):
        mine = {"nasbench201": {"cifar10": {"raspi4_latency": as_array([value] * SIZE)}}}
        self.refused(mine, f"cifar10 raspi4_latency must hold numbers, got {what}")
        blocks = dict(content["fbnet"]["raspi4_latency"]) | {"more": value}
        self.refused({"fbnet": {"raspi4_latency": blocks}}, f"raspi4/latency must be numbers, got {what}")

    @pytest.mark.parametrize(
        "layout", [{"nasbench201": 3}, {"nasbench201": {"cifar10": 3}}, {"fbnet": {"fpga_energy": 3}}]
    )
    def test_layout(self, layout):
        self.refused(layout, "does not have HW-NAS-Bench's layout")

    @pytest.mark.parametrize("at", [0, 8000, SIZE - 2])
    def test_order_of_the_architectures(self, content, at):
        mine = part(content)
        configs = mine["nasbench201"]["cifar10"]["config"]
        configs[at], configs[at + 1] = configs[at + 1], configs[at]
        self.refused(mine, f"not in the published index order: they differ at index {at}")

    def test_too_few_architectures(self, content):
        mine = part(content)
        mine["nasbench201"]["cifar10"]["config"].pop()
        self.refused(mine, f"they differ at index {SIZE - 1}")

    def test_config_without_an_architecture(self, content):
        mine = part(content)
        mine["nasbench201"]["cifar10"]["config"][4] = {"name": "infer.tiny"}
        self.refused(mine, "layout: 'arch_str'")


def assert_equal_tables(found, expected):
    assert type(found) is type(expected)
    assert found.fingerprint == expected.fingerprint
    assert (found.targets, found.configs, found.devices) == (expected.targets, expected.configs, expected.devices)
    assert found.meta == expected.meta
    if isinstance(expected, CostTable):
        assert same_bits(found.costs, expected.costs)
        assert np.array_equal(found.why_missing(), expected.why_missing())
    else:
        assert found.block_costs == expected.block_costs


class TestConvert:
    def test_file_is_read_as_its_content(self, pickle_file, tables):
        found = read_official(pickle_file)
        assert list(found) == list(tables)
        for name, table in found.items():
            assert_equal_tables(table, tables[name])

    @pytest.mark.parametrize("space", ["nasbench201", "fbnet"])
    def test_converted_equals_the_file(self, folder, tables, space):
        assert_equal_tables(load_table(folder, space), tables[space])
        assert_equal_tables(load_table(folder / f"{space}.parquet"), tables[space])

    def test_says_what_it_wrote(self, content, tmp_path):
        (tmp_path / "part.pickle").write_bytes(pickle.dumps({"fbnet": content["fbnet"]}))
        written = convert(tmp_path / "part.pickle", tmp_path / "new" / "folder")
        assert written == {"fbnet": tmp_path / "new" / "folder" / "fbnet.parquet"}
        assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["fbnet.parquet"]

    def test_refused_file_writes_nothing(self, tmp_path):
        (tmp_path / "other.pickle").write_bytes(pickle.dumps({"darts": {}}))
        with pytest.raises(DataFileError, match=r"other\.pickle is not HW-NAS-Bench"):
            convert(tmp_path / "other.pickle", tmp_path / "new")
        assert not (tmp_path / "new").exists()


@pytest.mark.real_data
class TestSyntheticFile:
    """Every value of full-structure-old-numpy.pickle follows from its place, by the formula of its README."""

    @pytest.fixture(scope="class")
    @staticmethod
    def full(shared_data):
        return read_official(shared_data / "full-structure-old-numpy.pickle")

    def test_cost_table(self, full):
        table = full["nasbench201"]
        rng = np.random.default_rng(0)
        indices = [0, 1, 6, 7, 13, SIZE - 1, *rng.integers(0, SIZE, 60).tolist()]
        for dataset in CLASSES:
            found = table.lookup(indices, dataset)
            for number, metric in enumerate(reference.METRICS):
                column = found.to_numpy()[:, number]
                expected = [synthetic_value("nasbench201", dataset, metric, index) for index in indices]
                there = ~np.isnan(column)
                assert same_bits(column[there], np.array(expected)[there])
                assert there.all() or metric == "edgetpu_latency"

    def test_every_seventh_edgetpu_value_is_missing(self, full):
        for dataset in CLASSES:
            missing = full["nasbench201"].lookup(range(SIZE), dataset, "edgetpu").isna().to_numpy().ravel()
            assert set(np.diff(np.flatnonzero(missing))) == {7}
            reasons = full["nasbench201"].why_missing(range(SIZE), dataset)["edgetpu"].to_numpy().ravel()
            assert ((reasons == NOT_COMPILED) == missing).all()

    @pytest.mark.parametrize("dataset", reference.FBNET)
    def test_block_table(self, full, dataset):
        archs = get_space("fbnet").sample(30, 1)
        blocks = {
            metric: {key: synthetic_value("fbnet", metric, key) for key in all_keys(dataset)}
            for metric in reference.FBNET_METRICS
        }
        expected = [
            [reference.block_sum(blocks[metric], dataset, arch) for metric in reference.FBNET_METRICS]
            for arch in archs.tolist()
        ]
        assert same_bits(full["fbnet"].lookup(archs, dataset), expected)
