from __future__ import annotations

import inspect
import json
import warnings

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.data import HWNASBenchAPI, load_table, write_parquet
from hwnas_surrogate.errors import DataFileError, InvalidArchitectureError, InvalidInputError, NotInTableError
from hwnas_surrogate.spaces import get_space
from tests.data.reference import (
    AVERAGED,
    BLOCKS,
    CLASSES,
    FBNET,
    FBNET_METRICS,
    METRICS,
    SIZE,
    all_keys,
    block_sum,
    product,
    published_strings,
    synthetic_value,
)

OPS = [0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 1, 8, 3, 3, 8, 6, 2, 8, 8, 0]


@pytest.fixture(scope="module")
def api(content):
    return HWNASBenchAPI(content)


@pytest.fixture(scope="module")
def fbnet_api(content):
    return HWNASBenchAPI(content, "fbnet")


@pytest.fixture
def partial(content):
    """Return content with two metrics of CIFAR-10, and one FBNet metric."""
    cifar = content["nasbench201"]["cifar10"]
    return {
        "nasbench201": {"cifar10": {key: cifar[key] for key in ("fpga_energy", "raspi4_latency")}},
        "fbnet": {"raspi4_latency": content["fbnet"]["raspi4_latency"]},
    }


class TestNames:
    def test_arguments_are_the_originals(self):
        def names(function):
            return list(inspect.signature(function).parameters)

        assert names(HWNASBenchAPI) == ["file_path_or_dict", "search_space"]
        assert names(HWNASBenchAPI.query_by_index) == ["self", "arch_index", "dataname"]
        assert names(HWNASBenchAPI.get_net_config) == ["self", "arch_index", "dataname"]
        assert names(HWNASBenchAPI.get_op_lookup_tables) == ["self"]

    def test_calls_by_keyword(self, content):
        api = HWNASBenchAPI(file_path_or_dict=content, search_space="nasbench201")
        assert api.query_by_index(arch_index=3, dataname="cifar10") == api.query_by_index(3, "cifar10")
        assert api.get_net_config(arch_index=3, dataname="cifar10")["C"] == 16
        assert api.search_space == "nasbench201"


class TestNASBench201:
    @pytest.mark.parametrize("dataset", CLASSES)
    def test_query(self, api, content, dataset):
        # Among 50 neighbours every fifth did not compile: -1.0, and a negative product.
        for index in [*range(50), 7812, SIZE - 1]:
            found = api.query_by_index(index, dataset)
            expected = {metric: float(content["nasbench201"][dataset][metric][index]) for metric in METRICS}
            assert list(found) == [*METRICS, "average_hw_metric"]
            assert found == expected | {"average_hw_metric": product([expected[metric] for metric in AVERAGED])}
            assert all(type(value) is float for value in found.values())

    def test_minus_one_is_restored(self, api, content):
        index = int(np.flatnonzero(content["nasbench201"]["cifar10"]["edgetpu_latency"] == -1)[5])
        found = api.query_by_index(index, "cifar10")
        assert found["edgetpu_latency"] == -1.0
        assert found["average_hw_metric"] < 0

    def test_product_goes_from_left_to_right(self, api):
        results = [api.query_by_index(index, "cifar10") for index in range(60)]
        backwards = [product([result[metric] for metric in AVERAGED[::-1]]) for result in results]
        assert backwards != [result["average_hw_metric"] for result in results]

    def test_answers_are_the_callers_own(self, api):
        api.query_by_index(3, "cifar10")["fpga_energy"] = 0.0
        api.get_net_config(3, "cifar10")["C"] = 0
        assert api.query_by_index(3, "cifar10")["fpga_energy"] > 0
        assert api.get_net_config(3, "cifar10")["C"] == 16

    @pytest.mark.parametrize("index", [np.int64(31), np.uint16(31), np.array([31])[0], np.array(31)])
    def test_numpy_integers(self, api, index):
        assert api.query_by_index(index, "cifar100") == api.query_by_index(31, "cifar100")

    @pytest.mark.parametrize("index", [-1, SIZE, 10**12, True, np.True_, "3", 3.0, None, [3], [0] * 22])
    def test_index_out_of_range(self, api, index):
        for call in (api.query_by_index, api.get_net_config):
            with pytest.raises(InvalidArchitectureError, match=r"arch_index must be an integer 0\.\.15624"):
                call(index, "cifar10")

    @pytest.mark.parametrize("dataset", CLASSES)
    def test_net_config(self, api, dataset):
        assert api.get_net_config(4321, dataset) == {
            "name": "infer.tiny",
            "C": 16,
            "N": 5,
            "arch_str": published_strings()[4321],
            "num_classes": CLASSES[dataset],
        }
        assert list(api.get_net_config(0, dataset)) == ["name", "C", "N", "arch_str", "num_classes"]

    def test_op_tables_are_fbnets(self, api):
        with pytest.raises(InvalidInputError, match="search_space='fbnet'"):
            api.get_op_lookup_tables()


class TestFBNet:
    @pytest.mark.parametrize("dataset", FBNET)
    def test_query(self, fbnet_api, content, dataset):
        for ops in [[op] * 22 for op in range(9)] + get_space("fbnet").sample(20, 0).tolist():
            found = fbnet_api.query_by_index(ops, dataset)
            expected = {metric: block_sum(content["fbnet"][metric], dataset, ops) for metric in FBNET_METRICS}
            assert list(found) == [*FBNET_METRICS, "average_hw_metric"]
            assert found == expected | {"average_hw_metric": product(list(expected.values()))}
            assert all(type(value) is float for value in found.values())

    @pytest.mark.parametrize(
        "ops",
        [tuple(OPS), np.array(OPS), np.array(OPS, np.int8), [np.int64(op) for op in OPS], pd.Series(OPS)],
        ids=lambda ops: type(ops).__name__,
    )
    def test_forms(self, fbnet_api, ops):
        assert fbnet_api.query_by_index(ops, "ImageNet") == fbnet_api.query_by_index(OPS, "ImageNet")
        assert fbnet_api.get_net_config(ops, "ImageNet") == fbnet_api.get_net_config(OPS, "ImageNet")

    @pytest.mark.parametrize(
        "ops",
        [
            OPS[:-1],
            [*OPS, 0],
            [],
            [9, *OPS[1:]],
            [-1, *OPS[1:]],
            [True, *OPS[1:]],
            [1.0, *OPS[1:]],
            ["0", *OPS[1:]],
            [list(OPS)],
            np.array([OPS]),
            np.array(OPS, float),
            3,
            None,
            "|".join(["skip"] * 22),
        ],
        ids=str,
    )
    def test_no_22_ops(self, fbnet_api, ops):
        for call in (fbnet_api.query_by_index, fbnet_api.get_net_config):
            with pytest.raises(InvalidArchitectureError, match=r"list of 22 integers 0\.\.8"):
                call(ops, "cifar100")

    @pytest.mark.parametrize(("dataset", "classes"), [("cifar100", 100), ("ImageNet", 1000)])
    def test_net_config(self, fbnet_api, dataset, classes):
        found = fbnet_api.get_net_config(tuple(OPS), dataset)
        assert found == {
            "dataset": dataset,
            "num_classes": classes,
            "op_idx_list": OPS,
            "arch_str": [BLOCKS[op] for op in OPS],
        }
        assert list(found) == ["dataset", "num_classes", "op_idx_list", "arch_str"]

    def test_op_tables(self, fbnet_api, content):
        found = fbnet_api.get_op_lookup_tables()
        assert list(found) == list(FBNET_METRICS)
        assert found == content["fbnet"]

    def test_op_tables_are_the_callers_own(self, fbnet_api):
        fbnet_api.get_op_lookup_tables()["fpga_energy"].clear()
        assert len(fbnet_api.get_op_lookup_tables()["fpga_energy"]) == 224


class TestErrors:
    @pytest.mark.parametrize("space", ["nasbench101", "NASBench201", None, 3, ["fbnet"]])
    def test_search_space(self, content, space):
        with pytest.raises(InvalidInputError, match=r"unknown search space .*; allowed: 'nasbench201', 'fbnet'"):
            HWNASBenchAPI(content, space)

    @pytest.mark.parametrize("dataset", ["cifar11", "ImageNet", None, ["cifar10"], 10])
    def test_dataset(self, api, dataset):
        for call in (api.query_by_index, api.get_net_config):
            with pytest.raises(NotInTableError, match="allowed: 'cifar10', 'cifar100', 'ImageNet16-120'"):
                call(0, dataset)

    def test_dataset_of_the_other_space(self, fbnet_api):
        with pytest.raises(NotInTableError, match="unknown dataset 'cifar10'; allowed: 'cifar100', 'ImageNet'"):
            fbnet_api.query_by_index(OPS, "cifar10")

    def test_space_that_the_content_lacks(self, content):
        with pytest.raises(NotInTableError, match="'fbnet'; allowed: 'nasbench201'"):
            HWNASBenchAPI({"nasbench201": content["nasbench201"]}, "fbnet")

    def test_no_benchmark(self, tmp_path):
        with pytest.raises(DataFileError, match="is not HW-NAS-Bench"):
            HWNASBenchAPI({"darts": {}})
        with pytest.raises(DataFileError, match="there is no file"):
            HWNASBenchAPI(tmp_path / "none.pickle")

    def test_table_of_another_device(self, folder, tmp_path):
        from hwnas_surrogate.data import CostTable

        path = write_parquet(CostTable("nasbench201", [0], [[1.0]], ["mine/latency"]), tmp_path / "mine.parquet")
        with pytest.raises(DataFileError, match="is no HW-NAS-Bench data: it has the target mine/latency"):
            HWNASBenchAPI(path)

    def test_measured_fbnet_networks(self, folder, tmp_path):
        table = load_table(folder, "fbnet").tabulate(OPS, "cifar100")
        with pytest.raises(DataFileError, match="not HW-NAS-Bench's block costs"):
            HWNASBenchAPI(write_parquet(table, tmp_path / "fbnet.parquet"), "fbnet")


class TestPartial:
    def test_what_is_there_in_order_without_the_average(self, partial, content):
        with pytest.warns(UserWarning, match="raspi4_latency, fpga_energy for cifar10: the other metrics"):
            found = HWNASBenchAPI(partial).query_by_index(12, "cifar10")
        cifar = content["nasbench201"]["cifar10"]
        assert list(found) == ["raspi4_latency", "fpga_energy"]
        assert found == {key: float(cifar[key][12]) for key in found}

    def test_fbnet(self, partial, content):
        with pytest.warns(UserWarning, match="average_hw_metric"):
            found = HWNASBenchAPI(partial, "fbnet").query_by_index(OPS, "ImageNet")
        assert found == {"raspi4_latency": block_sum(content["fbnet"]["raspi4_latency"], "ImageNet", OPS)}

    @pytest.mark.parametrize(("space", "index", "dataset"), [("nasbench201", 0, "cifar10"), ("fbnet", OPS, "cifar100")])
    def test_each_api_warns_once(self, partial, space, index, dataset):
        for _ in range(2):
            api = HWNASBenchAPI(partial, space)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                for _ in range(3):
                    api.query_by_index(index, dataset)
                api.get_net_config(index, dataset)
            assert [warning.category for warning in caught] == [UserWarning]
            assert caught[0].filename == __file__

    def test_whole_benchmark_does_not_warn(self, content):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            HWNASBenchAPI(content).query_by_index(0, "cifar10")

    def test_absent_dataset_lists_what_is_there(self, partial):
        api = HWNASBenchAPI(partial)
        for call in (api.query_by_index, api.get_net_config):
            with pytest.raises(NotInTableError, match=r"'cifar100'; allowed: 'cifar10'.*a part of the benchmark"):
                call(0, "cifar100")

    def test_metrics_differ_between_datasets(self, content):
        datasets = content["nasbench201"]
        mixed = {
            "cifar10": datasets["cifar10"],
            "cifar100": {"edgetpu_latency": datasets["cifar100"]["edgetpu_latency"]},
        }
        api = HWNASBenchAPI({"nasbench201": mixed})
        assert len(api.query_by_index(0, "cifar10")) == 11
        with pytest.warns(UserWarning, match="edgetpu_latency for cifar100"):
            found = [api.query_by_index(index, "cifar100") for index in range(10)]
        assert found == [{"edgetpu_latency": value} for value in datasets["cifar100"]["edgetpu_latency"][:10].tolist()]

    def test_metric_that_compiled_nowhere_is_there(self, content):
        mine = {"nasbench201": {"cifar10": {"edgetpu_latency": np.full(SIZE, -1.0)}}}
        with pytest.warns(UserWarning, match="holds only edgetpu_latency for cifar10"):
            assert HWNASBenchAPI(mine).query_by_index(5, "cifar10") == {"edgetpu_latency": -1.0}

    def test_fbnet_metric_of_one_dataset_only(self, content):
        blocks = {metric: dict(costs) for metric, costs in content["fbnet"].items()}
        for key in all_keys("ImageNet"):
            del blocks["fpga_energy"][key]
        api = HWNASBenchAPI({"fbnet": blocks}, "fbnet")
        assert "average_hw_metric" in api.query_by_index(OPS, "cifar100")
        with pytest.warns(UserWarning, match="ImageNet"):
            assert list(api.query_by_index(OPS, "ImageNet")) == list(FBNET_METRICS[:-1])

    def test_missing_block_is_named(self, content):
        blocks = dict(content["fbnet"]["raspi4_latency"])
        gone = next(key for key in blocks if key.startswith("Skip_H32_W32_Cin16_Cout24"))
        del blocks[gone]
        api = HWNASBenchAPI({"fbnet": {"raspi4_latency": blocks}}, "fbnet")
        with pytest.raises(NotInTableError, match=f"no cost for {gone}"):
            api.query_by_index([8] * 22, "cifar100")


class TestSources:
    """The pickle, its content, the converted folder and the converted file answer alike."""

    @pytest.mark.parametrize("source", ["pickle", "folder", "table"])
    def test_nasbench201(self, api, pickle_file, folder, source):
        path = {"pickle": pickle_file, "folder": str(folder), "table": folder / "nasbench201.parquet"}[source]
        other = HWNASBenchAPI(path)
        for dataset in CLASSES:
            for index in [*range(20), *range(20, SIZE, 997)]:
                found = other.query_by_index(index, dataset)
                assert list(found.items()) == list(api.query_by_index(index, dataset).items())
                assert other.get_net_config(index, dataset) == api.get_net_config(index, dataset)

    @pytest.mark.parametrize("source", ["pickle", "folder", "table"])
    def test_fbnet(self, fbnet_api, pickle_file, folder, source):
        path = {"pickle": str(pickle_file), "folder": folder, "table": folder / "fbnet.parquet"}[source]
        other = HWNASBenchAPI(path, search_space="fbnet")
        for dataset in FBNET:
            for ops in get_space("fbnet").sample(10, 1).tolist():
                found = other.query_by_index(ops, dataset)
                assert list(found.items()) == list(fbnet_api.query_by_index(ops, dataset).items())
        assert other.get_op_lookup_tables() == fbnet_api.get_op_lookup_tables()

    def test_content_may_change_afterwards(self, content):
        mine = {"fbnet": {"fpga_energy": dict(content["fbnet"]["fpga_energy"])}}
        api = HWNASBenchAPI(mine, "fbnet")
        mine["fbnet"]["fpga_energy"].clear()
        with pytest.warns(UserWarning, match="holds only fpga_energy"):
            assert api.query_by_index(OPS, "cifar100")["fpga_energy"] > 0


def test_build_network_takes_the_config_dict(api, fbnet_api):
    torch = pytest.importorskip("torch")
    from hwnas_surrogate.networks import build_network

    with torch.inference_mode():
        features, logits = build_network(api.get_net_config(0, "ImageNet16-120"))(torch.zeros(1, 3, 16, 16))
        assert (features.shape, logits.shape) == ((1, 64), (1, 120))
        config = fbnet_api.get_net_config([8] * 22, "cifar100")
        assert build_network(config)(torch.zeros(1, 3, 32, 32)).shape == (1, 100)


@pytest.mark.real_data
class TestPublished:
    """The numbers in the original's example notebook that the file at hand holds."""

    @pytest.fixture(scope="class")
    @staticmethod
    def subset(shared_data):
        return shared_data / "HW-NAS-Bench-subset.pickle"

    @pytest.fixture(scope="class")
    @staticmethod
    def published(shared_data):
        return json.loads((shared_data / "published_values.json").read_text())

    @pytest.mark.filterwarnings("ignore:the file holds only:UserWarning")
    def test_nasbench201(self, subset, published):
        api, table = HWNASBenchAPI(subset), load_table(subset, dataset="cifar10")
        records = [record for record in published["nasbench201"] if record["dataset"] == "cifar10"]
        assert len(records) == 3
        for record in records:
            found = api.query_by_index(record["index"], "cifar10")
            row = table.lookup(record["index"])
            assert len(found) == len(table.targets) == 5
            assert found == {key: record["metrics"][key] for key in found}
            assert row.iloc[0].tolist() == list(found.values())
            assert [f"{device}_{metric}" for device, metric, _ in row.columns] == list(found)

    @pytest.mark.filterwarnings("ignore:the file holds only:UserWarning")
    def test_fbnet(self, subset, published):
        api, table = HWNASBenchAPI(subset, "fbnet"), load_table(subset, "fbnet", "cifar100")
        records = [record for record in published["fbnet"] if record["dataset"] == "cifar100"]
        assert len(records) == 3
        for record in records:
            found = api.query_by_index(record["op_idx_list"], "cifar100")
            assert len(found) == 5
            assert found == pytest.approx({key: record["metrics"][key] for key in found}, rel=1e-12, abs=0)
            assert table.lookup(record["op_idx_list"]).iloc[0].tolist() == list(found.values())

    def test_net_config(self, subset, published):
        assert HWNASBenchAPI(subset).get_net_config(0, "cifar10") == published["config_nasbench201_0_cifar10"]

    def test_average_is_the_published_product(self, published):
        for record in published["nasbench201"]:
            metrics = record["metrics"]
            content = {"nasbench201": {record["dataset"]: {key: np.full(SIZE, metrics[key]) for key in METRICS}}}
            assert HWNASBenchAPI(content).query_by_index(record["index"], record["dataset"]) == metrics

    def test_absent_dataset(self, subset):
        api = HWNASBenchAPI(subset)
        for call in (api.query_by_index, api.get_net_config):
            with pytest.raises(NotInTableError, match="unknown dataset 'cifar100'; allowed: 'cifar10'"):
                call(0, "cifar100")
        with pytest.raises(NotInTableError, match="'ImageNet'; allowed: 'cifar100'"):
            HWNASBenchAPI(subset, "fbnet").query_by_index(OPS, "ImageNet")

    @pytest.mark.parametrize("device", ["raspi4", "pixel3", "eyeriss", "fpga"])
    def test_other_publication_of_the_same_measurements(self, subset, shared_data, device):
        with np.load(shared_data / "nasbench201_latency.npz") as other:
            found = load_table(subset).lookup(other["arch_str"].tolist(), targets=f"{device}/latency")
            assert np.array_equal(found.iloc[:, 0], other[device])


@pytest.mark.real_data
class TestSyntheticFile:
    """Every value of full-structure-old-numpy.pickle follows from its place, by the formula of its README."""

    def test_nasbench201(self, shared_data):
        api = HWNASBenchAPI(shared_data / "full-structure-old-numpy.pickle")
        uncompiled = 0
        for dataset in CLASSES:
            for index in [*range(14), 9999, SIZE - 1]:
                found = api.query_by_index(index, dataset)
                expected = {metric: synthetic_value("nasbench201", dataset, metric, index) for metric in METRICS}
                if found["edgetpu_latency"] == -1.0:
                    uncompiled += 1
                    expected["edgetpu_latency"] = -1.0
                expected["average_hw_metric"] = product([expected[metric] for metric in AVERAGED])
                assert list(found.items()) == list(expected.items())
        assert uncompiled >= 6

    def test_fbnet(self, shared_data):
        api = HWNASBenchAPI(shared_data / "full-structure-old-numpy.pickle", "fbnet")
        blocks = {
            metric: {key: synthetic_value("fbnet", metric, key) for key in all_keys("cifar100") + all_keys("ImageNet")}
            for metric in FBNET_METRICS
        }
        assert api.get_op_lookup_tables() == blocks
        for dataset in FBNET:
            for ops in [OPS, [8] * 22, *get_space("fbnet").sample(8, 2).tolist()]:
                expected = {metric: block_sum(blocks[metric], dataset, ops) for metric in FBNET_METRICS}
                expected["average_hw_metric"] = product(list(expected.values()))
                assert list(api.query_by_index(ops, dataset).items()) == list(expected.items())
