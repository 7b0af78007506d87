from __future__ import annotations

import numpy as np
import pytest

from hwnas_surrogate.data import BlockTable, CostTable, Device, Target
from hwnas_surrogate.data.blocks import block_keys
from hwnas_surrogate.errors import (
    InvalidArchitectureError,
    InvalidConfigError,
    InvalidInputError,
    NotInTableError,
)
from hwnas_surrogate.spaces import FBNetConfig, get_space
from tests.data.reference import FBNET, all_keys, block_sum, keys_of, same_bits

SPACE = get_space("fbnet")
TARGETS = (Target("pi", "latency"), Target("pi", "energy"), Target("fpga", "latency"))
DATASETS = tuple(FBNET)
ARCH = [0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 1, 8, 3, 3, 8, 6, 2, 8, 8, 0]


def random_costs(seed: int, datasets: tuple[str, ...] = DATASETS) -> dict[Target, dict[str, float]]:
    rng = np.random.default_rng(seed)
    keys = [key for dataset in datasets for key in all_keys(dataset)]
    # Magnitudes far apart: any other order of the additions shows in the last bits.
    return {target: {key: float(10 ** rng.uniform(-4, 2)) for key in keys} for target in TARGETS}


@pytest.fixture(scope="module")
def costs():
    return random_costs(0)


@pytest.fixture(scope="module")
def table(costs):
    return BlockTable(costs, devices=[Device("pi", "Raspberry Pi"), Device("unused")], meta={"by": "us"})


@pytest.fixture
def cifar_only():
    return BlockTable(random_costs(1, ("cifar100",)))


class TestKeys:
    @pytest.mark.parametrize("dataset", DATASETS)
    def test_each_op_at_each_layer(self, dataset):
        stem, blocks, head = block_keys(SPACE.config(dataset))
        for op in range(9):
            assert [stem, *(row[op] for row in blocks), *head] == keys_of(dataset, [op] * 22)

    def test_numbers_of_the_benchmark(self):
        cifar, imagenet = (set(all_keys(dataset)) for dataset in DATASETS)
        assert (len(cifar), len(imagenet), len(cifar | imagenet)) == (112, 112, 224)

    def test_table_knows_its_keys(self, table):
        assert len(table.keys) == 224
        assert set(table.keys) == {*all_keys("cifar100"), *all_keys("ImageNet")}


class TestSums:
    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize("dataset", DATASETS)
    def test_equal_26_additions_in_order(self, seed, dataset):
        costs = random_costs(seed)
        archs = np.concatenate([[[op] * 22 for op in range(9)], SPACE.sample(60, seed)])
        expected = [[block_sum(costs[target], dataset, arch) for target in TARGETS] for arch in archs.tolist()]
        assert same_bits(BlockTable(costs).lookup(archs, dataset), expected)

    def test_another_order_would_show(self, costs):
        archs = SPACE.sample(60, 0).tolist()
        forward = [block_sum(costs[TARGETS[0]], "cifar100", arch) for arch in archs]
        backward = [sum(costs[TARGETS[0]][key] for key in keys_of("cifar100", arch)[::-1]) for arch in archs]
        assert forward != backward

    @pytest.mark.parametrize("dataset", DATASETS)
    def test_batch_equals_scalar(self, table, dataset):
        archs = SPACE.sample(40, 3)
        scalars = np.concatenate([table.lookup(arch, dataset) for arch in archs])
        assert same_bits(table.lookup(archs, dataset), scalars)

    def test_order_and_repeats_of_the_question(self, table):
        archs = SPACE.sample(5, 4)
        rows = [4, 0, 0, 2, 4]
        assert same_bits(table.lookup(archs[rows], "ImageNet"), table.lookup(archs, "ImageNet").to_numpy()[rows])

    @pytest.mark.parametrize(
        "form", [ARCH, np.array(ARCH), np.array([ARCH], np.int8), SPACE.format(ARCH), [SPACE.ops[op] for op in ARCH]]
    )
    def test_forms(self, table, costs, form):
        expected = [[block_sum(costs[target], "cifar100", ARCH) for target in TARGETS]]
        assert same_bits(table.lookup(form, "cifar100"), expected)

    def test_config_per_row(self, table):
        archs = SPACE.sample(6, 5)
        configs = ["ImageNet", "cifar100", "cifar100", SPACE.configs["ImageNet"], "cifar100", "ImageNet"]
        expected = np.concatenate([table.lookup(arch, config) for arch, config in zip(archs, configs, strict=True)])
        assert same_bits(table.lookup(archs, configs), expected)

    def test_lookup_leaves_its_input_and_an_answer_the_table(self, table):
        archs = SPACE.sample(6, 6)
        before = archs.copy()
        answer = table.lookup(archs, "cifar100")
        answer.iloc[:, :] = -1.0
        assert np.array_equal(archs, before)
        assert (table.lookup(archs, "cifar100") > 0).all(axis=None)

    def test_empty_batch(self, table):
        found = table.lookup([], "cifar100")
        assert found.shape == (0, 3)
        assert found.columns.equals(table.lookup(ARCH, "cifar100").columns)

    @pytest.mark.parametrize("arch", [[-1] * 22, [9] * 22, [0] * 21, None, 3, True])
    def test_no_architecture(self, table, arch):
        with pytest.raises(InvalidArchitectureError):
            table.lookup(arch, "cifar100")


class TestTargets:
    @pytest.mark.parametrize(
        ("targets", "columns"),
        [("fpga", [2]), ("pi", [0, 1]), (["fpga/latency", "pi/energy"], [2, 1]), (None, [0, 1, 2]), ([], [])],
    )
    def test_subset(self, table, targets, columns):
        archs = SPACE.sample(4, 7)
        found = table.lookup(archs, "cifar100", targets)
        assert same_bits(found, table.lookup(archs, "cifar100").to_numpy()[:, columns])
        assert found.columns.names == ["device", "metric", "unit"]
        assert found.columns.tolist() == [
            (TARGETS[column].device, TARGETS[column].metric, TARGETS[column].unit) for column in columns
        ]

    def test_unknown(self, table):
        with pytest.raises(NotInTableError, match=r"unknown target 'pi/latncy'.*Did you mean 'pi/latency'\?"):
            table.lookup(ARCH, "cifar100", "pi/latncy")

    def test_devices(self, table):
        assert table.devices == {"pi": Device("pi", "Raspberry Pi"), "fpga": Device("fpga")}


class TestConfigs:
    def test_both_covered_must_be_named(self, table):
        assert table.configs == tuple(SPACE.configs.values())
        for question in (table.lookup, table.tabulate):
            with pytest.raises(NotInTableError, match="choose a config: the block table has cifar100, ImageNet"):
                question(ARCH)

    def test_the_only_one_needs_no_name(self, cifar_only):
        assert cifar_only.configs == (SPACE.configs["cifar100"],)
        assert same_bits(cifar_only.lookup(ARCH), cifar_only.lookup(ARCH, "cifar100"))

    @pytest.mark.parametrize("dataset", DATASETS)
    def test_with_config(self, table, dataset):
        chosen = table.with_config(dataset)
        archs = SPACE.sample(5, 8)
        assert chosen.config == SPACE.configs[dataset]
        assert same_bits(chosen.lookup(archs), table.lookup(archs, dataset))
        assert (chosen.meta, chosen.devices, chosen.fingerprint) == (table.meta, table.devices, table.fingerprint)
        assert table.config is None

    def test_a_named_config_wins(self, table):
        other = table.with_config("cifar100").lookup(ARCH, "ImageNet")
        assert same_bits(other, table.lookup(ARCH, "ImageNet"))

    def test_with_a_config_that_is_not_covered(self, cifar_only):
        with pytest.raises(NotInTableError, match="no costs for ImageNet; it has cifar100"):
            cifar_only.with_config("ImageNet")

    def test_absent_config(self, cifar_only):
        with pytest.raises(NotInTableError) as caught:
            cifar_only.lookup(ARCH, "ImageNet")
        assert keys_of("ImageNet", ARCH)[0] in str(caught.value)
        assert "it covers cifar100" in str(caught.value)

    def test_modified_config(self, table):
        with pytest.raises(NotInTableError, match="FC_Cin1504_Cout50"):
            table.lookup(ARCH, FBNetConfig(num_classes=50))

    def test_unknown_name(self, table):
        with pytest.raises(InvalidConfigError, match=r"'imagenet'; allowed: .*Did you mean 'ImageNet'\?"):
            table.lookup(ARCH, "imagenet")


class TestPartial:
    def test_missing_block_is_named(self):
        costs = random_costs(2, ("cifar100",))
        gone = keys_of("cifar100", ARCH)[5]
        del costs[TARGETS[1]][gone]
        with pytest.raises(NotInTableError, match="no pi/energy cost for") as caught:
            BlockTable(costs).lookup([[7] * 22, ARCH])
        assert repr(gone) in str(caught.value)

    def test_what_is_there_is_served(self):
        costs = random_costs(2, ("cifar100",))
        del costs[TARGETS[1]][keys_of("cifar100", ARCH)[5]]
        table = BlockTable(costs)
        assert same_bits(table.lookup([7] * 22), [[block_sum(costs[t], "cifar100", [7] * 22) for t in TARGETS]])
        found = table.lookup(ARCH, targets=["fpga", "pi/latency"])
        assert same_bits(found, [[block_sum(costs[t], "cifar100", ARCH) for t in (TARGETS[2], TARGETS[0])]])

    def test_a_target_of_one_config_only(self):
        costs = random_costs(3)
        for key in all_keys("ImageNet"):
            del costs[TARGETS[2]][key]
        table = BlockTable(costs)
        assert table.configs == tuple(SPACE.configs.values())
        assert same_bits(
            table.lookup(ARCH, "ImageNet", "pi"), [[block_sum(costs[t], "ImageNet", ARCH) for t in TARGETS[:2]]]
        )
        with pytest.raises(NotInTableError, match="no fpga/latency cost"):
            table.lookup(ARCH, "ImageNet")

    @pytest.mark.parametrize("position", [0, 23, 24, 25])
    def test_without_stem_or_head_no_config_is_covered(self, position):
        costs = random_costs(4, ("cifar100",))
        for blocks in costs.values():
            del blocks[keys_of("cifar100", ARCH)[position]]
        table = BlockTable(costs)
        assert table.configs == ()
        with pytest.raises(NotInTableError, match="no complete published config"):
            table.lookup(ARCH)

    def test_no_targets_at_all(self):
        assert BlockTable({}).configs == ()


class TestInvalid:
    @pytest.mark.parametrize("value", [-1.0, -1e-300, np.inf, np.nan])
    def test_cost(self, value):
        costs = random_costs(5, ("cifar100",))
        costs[TARGETS[2]][all_keys("cifar100")[40]] = value
        with pytest.raises(InvalidInputError, match=r"finite and not negative: fpga/latency has .*ConvBlock"):
            BlockTable(costs)

    def test_callers_mappings_are_copied(self):
        costs = random_costs(6, ("cifar100",))
        table = BlockTable(costs)
        before = table.lookup(ARCH)
        costs[TARGETS[0]].clear()
        del costs[TARGETS[1]]
        assert same_bits(table.lookup(ARCH), before)
        assert table.targets == TARGETS


class TestTabulate:
    def test_is_a_cost_table_of_the_same_costs(self, table):
        archs = SPACE.sample(30, 9)
        made = table.tabulate(archs, "ImageNet")
        assert isinstance(made, CostTable)
        assert made.configs == (SPACE.configs["ImageNet"],)
        assert (made.targets, made.devices, made.meta) == (table.targets, table.devices, table.meta)
        assert same_bits(made.costs, table.lookup(archs, "ImageNet"))
        assert same_bits(made.lookup(archs[::-1]), table.lookup(archs[::-1], "ImageNet"))

    def test_default_and_per_row_configs(self, table, cifar_only):
        assert cifar_only.tabulate(ARCH).configs == (SPACE.configs["cifar100"],)
        both = table.tabulate([ARCH, ARCH], DATASETS)
        assert same_bits(both.lookup(ARCH, "ImageNet"), table.lookup(ARCH, "ImageNet"))

    def test_row_twice(self, cifar_only):
        with pytest.raises(InvalidInputError, match="more than once"):
            cifar_only.tabulate([ARCH, ARCH])


class TestFingerprint:
    def test_is_of_the_content(self, costs, table):
        shuffled = {target: dict(reversed(blocks.items())) for target, blocks in costs.items()}
        assert BlockTable(shuffled).fingerprint == table.fingerprint

    def test_changes_with_any_value(self, costs, table):
        for target in TARGETS:
            key = all_keys("ImageNet")[50]
            changed = costs | {target: costs[target] | {key: float(np.nextafter(costs[target][key], 0))}}
            assert BlockTable(changed).fingerprint != table.fingerprint

    def test_changes_with_a_name(self, costs, table):
        renamed = {Target("x", "latency") if target == TARGETS[2] else target: costs[target] for target in TARGETS}
        assert BlockTable(renamed).fingerprint != table.fingerprint

    def test_repr(self, table):
        assert repr(table) == "<BlockTable fbnet: 224 blocks, targets pi/latency, pi/energy, fpga/latency>"
