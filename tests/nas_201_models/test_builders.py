"""The original's builders: every form of a config, the genotype of a search, checkpoints, and clear errors."""

from __future__ import annotations

import argparse
import copy
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hwnas_surrogate.config_utils import configure2str, dict2config, load_config
from hwnas_surrogate.errors import DataFileError, HWNASError, InvalidConfigError
from hwnas_surrogate.nas_201_models import (
    CellArchitectures,
    CellStructure,
    change_key,
    get_cell_based_tiny_net,
    get_cifar_models,
    get_imagenet_models,
    get_search_spaces,
    load_net_from_checkpoint,
    obtain_model,
    obtain_search_model,
)

ARCH = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|none~2|"
RESNET = {"arch": "resnet", "module": "ResNetBasicblock", "depth": 8, "class_num": 10, "zero_init_residual": False}
CIFAR = {"dataset": "cifar", **RESNET}
SEARCH = {**CIFAR, "search_mode": "shape", "depth": 14}
TINY = {"name": "infer.tiny", "C": 4, "N": 1, "arch_str": ARCH, "num_classes": 10}
CELL = [[("skip_connect", 0), ("nor_conv_1x1", 1)]]
GENOTYPE = {"normal": CELL, "normal_concat": [2], "reduce": CELL, "reduce_concat": [2]}
NASNET = {
    "super_type": "infer-nasnet.cifar",
    "C": 4,
    "N": 1,
    "stem_multi": 1,
    "class_num": 10,
    "genotype": GENOTYPE,
    "auxiliary": False,
}
IMAGE_NET = {"arch": "mobilenet_v2", "class_num": 10, "width_multi": 0.25, "input_channel": 32, "last_channel": 64}
IMAGE_NET |= {"dropout": 0.2}

BUILDERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "cell": (get_cell_based_tiny_net, TINY),
    "cifar": (get_cifar_models, RESNET),
    "nasnet": (get_cifar_models, NASNET),
    "imagenet": (get_imagenet_models, IMAGE_NET),
    "obtain cifar": (obtain_model, CIFAR),
    "obtain imagenet": (obtain_model, {"dataset": "imagenet", **IMAGE_NET}),
    "search": (obtain_search_model, SEARCH),
}
FORMS: dict[str, Any] = {
    "dict": dict,
    "config": dict2config,
    "simple namespace": lambda config: SimpleNamespace(**config),
    "argparse namespace": lambda config: argparse.Namespace(**config),
    "namedtuple": lambda config: namedtuple("Config", config)(**config),
    "class": lambda config: type("Config", (), config),
}


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("builder", BUILDERS)
def test_every_form_of_a_config_gives_the_same_network(builder: str) -> None:
    build, config = BUILDERS[builder]
    before = copy.deepcopy(config)
    networks = [build(form(config)) for form in FORMS.values()]
    assert all(shapes(network) == shapes(networks[0]) for network in networks)
    assert all(network.training for network in networks)
    assert config == before


@pytest.mark.parametrize("builder", BUILDERS)
def test_the_weights_come_from_torchs_generator(builder: str) -> None:
    build, config = BUILDERS[builder]
    torch.manual_seed(5)
    first = build(config).state_dict()
    torch.manual_seed(5)
    second = build(config).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("builder", BUILDERS)
def test_names_that_a_network_does_not_need_are_not_read(builder: str) -> None:
    build, config = BUILDERS[builder]
    assert shapes(build({**config, "estimated_FLOP": 3.5, "logger": object()})) == shapes(build(config))


@pytest.mark.parametrize("builder", BUILDERS)
def test_a_missing_name_is_a_clear_error(builder: str) -> None:
    build, config = BUILDERS[builder]
    for name in config:
        if (builder, name) == ("search", "zero_init_residual"):  # the networks that are searched don't have it
            continue
        with pytest.raises(HWNASError) as caught:
            build(SimpleNamespace(**{key: value for key, value in config.items() if key != name}))
        assert isinstance(caught.value, ValueError)
        if (builder, name) not in {("nasnet", "super_type"), ("nasnet", "C"), ("nasnet", "N"), ("cell", "arch_str")}:
            assert repr(name) in str(caught.value)


WRONG = [
    None,
    "",
    "x",
    -1,
    0,
    1.5,
    float("nan"),
    [],
    ["x"],
    {},
    {"x": 1},
    object(),
    True,
    (1, 2),
    np.zeros(2),
    torch.zeros(2),
]


@pytest.mark.parametrize("builder", ["cell", "cifar", "nasnet", "imagenet", "search"])
def test_hostile_values(builder: str) -> None:
    build, config = BUILDERS[builder]
    for name in config:
        for value in WRONG:
            try:
                network = build({**config, name: value})
            except HWNASError:
                continue
            assert isinstance(network, nn.Module)


@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.parametrize(
    "config", [None, 3, "resnet", [], (), {}, object(), {1: 2}, nn.ReLU()], ids=lambda x: type(x).__name__
)
def test_what_is_no_config(builder: str, config: Any) -> None:
    with pytest.raises(InvalidConfigError):
        BUILDERS[builder][0](config)


@pytest.mark.parametrize("dataset", ["cifar10", "CIFAR", "ImageNet", "", None, 3, ["cifar"]], ids=str)
def test_datasets_have_exact_names(dataset: Any) -> None:
    for build in (obtain_model, obtain_search_model):
        with pytest.raises(InvalidConfigError, match="unknown dataset"):
            build({**SEARCH, "dataset": dataset})
    with pytest.raises(InvalidConfigError, match="Did you mean 'cifar'"):
        obtain_model({**CIFAR, "dataset": "cifar10"})


def test_search_spaces() -> None:
    nas201 = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
    for xtype in ("cell", "tss"):
        assert get_search_spaces(xtype, "nas-bench-201") == get_search_spaces(xtype, "nats-bench") == nas201
        assert get_search_spaces(xtype, "connect-nas") == ["none", "skip_connect", "nor_conv_3x3"]
        assert len(get_search_spaces(xtype, "darts")) == 8
    for name in ("nats-bench", "nats-bench-size"):
        sizes = get_search_spaces("sss", name)
        assert sizes == {"candidates": [8, 16, 24, 32, 40, 48, 56, 64], "numbers": 5}
        sizes["candidates"].clear()
    get_search_spaces("cell", "darts").clear()
    assert len(get_search_spaces("cell", "darts")) == len(get_search_spaces("sss", "nats-bench")["candidates"]) == 8
    for wrong in (
        ("cell", "bogus"),
        ("bogus", "x"),
        ("sss", "darts"),
        (None, None),
        ("cell", ["darts"]),
        (["cell"], "x"),
    ):
        with pytest.raises(InvalidConfigError):
            get_search_spaces(*wrong)  # type: ignore[arg-type]


def test_the_keys_of_nasnet_have_two_names() -> None:
    other = {"ichannel": 4, "layers": 1, **{key: value for key, value in NASNET.items() if key not in ("C", "N")}}
    assert shapes(get_cifar_models(other)) == shapes(get_cifar_models(NASNET))


@pytest.fixture
def searched(tmp_path: Path) -> Path:
    found = {"normal": [[("nor_conv_3x3", 0, 0.25), ("skip_connect", 0, 0.2)]], "normal_concat": [2]}
    genotypes = {-1: GENOTYPE, 0: GENOTYPE, 1: {**GENOTYPE, **found}}
    torch.save({"epoch": 2, "genotypes": genotypes, "args": argparse.Namespace(seed=1)}, tmp_path / "a.pth")
    return tmp_path / "a.pth"


def test_the_genotype_of_a_search_replaces_the_config_s(searched: Path) -> None:
    names = shapes(get_cifar_models(SimpleNamespace(**NASNET), searched))
    assert len(names) < len(shapes(get_cifar_models(NASNET)))  # of two operations on one input the later one stays
    assert names != shapes(get_cifar_models(NASNET))
    assert shapes(obtain_model({"dataset": "cifar", **NASNET}, str(searched))) == names
    without = {name: value for name, value in NASNET.items() if name != "genotype"}
    assert shapes(get_cifar_models(without, searched)) == names
    assert shapes(get_cifar_models(RESNET, searched)) == shapes(get_cifar_models(RESNET))


@pytest.mark.parametrize(
    "content",
    [
        {"epoch": 5, "genotypes": {0: GENOTYPE}},
        {"epoch": 0, "genotypes": [GENOTYPE]},
        {"epoch": "1", "genotypes": [GENOTYPE]},
        {"epoch": 1},
        {"genotypes": [GENOTYPE]},
        {"epoch": 1, "genotypes": "x"},
        {"epoch": 1, "genotypes": [3]},
        [GENOTYPE],
    ],
    ids=str,
)
def test_checkpoints_without_a_genotype(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(HWNASError):
        get_cifar_models(NASNET, tmp_path / "a.pth")
    with pytest.raises(DataFileError):
        get_cifar_models(NASNET, tmp_path / "missing.pth")


@pytest.mark.parametrize("form", ["dict", "config", "simple namespace", "argparse namespace"])
def test_a_network_of_a_checkpoint(form: str, tmp_path: Path) -> None:
    network = obtain_model(CIFAR)
    torch.save({"model-config": FORMS[form](CIFAR), "base-model": network.state_dict(), "epoch": 3}, tmp_path / "a.pth")
    loaded = load_net_from_checkpoint(tmp_path / "a.pth")
    assert loaded.training
    x = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded.eval()(x), network.eval()(x))


def test_checkpoints_of_no_network(tmp_path: Path) -> None:
    state = obtain_model(CIFAR).state_dict()
    path = tmp_path / "a.pth"
    for content, message in (
        ({}, "has no 'model-config'; it has nothing"),
        ({"base-model": state}, "has no 'model-config'"),
        ({"model-config": CIFAR}, "has no 'base-model'"),
        ({"model-config": CIFAR, "base-model": 3}, "must be a network's state"),
        (
            {"model-config": CIFAR, "base-model": {**state, "x": torch.zeros(1)}},
            "not the state of the config's network",
        ),
        ({"model-config": {**CIFAR, "class_num": 3}, "base-model": state}, "not the state of the config's network"),
        ({"model-config": CIFAR, "base-model": dict.fromkeys(state, 3)}, "not the state of the config's network"),
        ({"model-config": CIFAR, "base-model": {1: 2}}, "not the state of the config's network"),
    ):
        torch.save(content, path)
        with pytest.raises(DataFileError, match=message):
            load_net_from_checkpoint(path)
    torch.save({"model-config": {**CIFAR, "dataset": "cifar10"}, "base-model": state}, path)
    with pytest.raises(InvalidConfigError, match="Did you mean 'cifar'"):
        load_net_from_checkpoint(path)


def test_a_search_ends_in_a_network_through_a_config_file(tmp_path: Path) -> None:
    search = obtain_search_model(SimpleNamespace(**SEARCH))
    search(torch.zeros(2, 3, 32, 32))
    flops, config = search.get_flop("genotype", dict(CIFAR, depth=14), None)
    path = tmp_path / "last.config"
    configure2str(config, path)
    loaded = load_config(path, {"class_num": 10}, None)
    assert loaded.super_type == "infer-shape"
    network = obtain_model(loaded)
    _, logits = network.eval()(torch.zeros(1, 3, 32, 32))
    assert logits.shape == (1, 10)
    assert flops > 0


def test_the_mode_of_a_search_is_set_on_every_module() -> None:
    search = obtain_search_model(SEARCH)
    x = torch.zeros(2, 3, 32, 32)
    features, logits = search(x)
    assert (features.shape, logits.shape) == ((2, 64), (2, 10))
    search.apply(change_key("search_mode", "search"))
    search.set_tau(5, 0.1, 0)
    logits, flops = search(x)
    assert (logits.shape, flops.shape) == ((2, 10), (1,))
    search.apply(change_key("search_mode", "basic"))
    assert len(search(x)) == 2


def test_a_named_cell_is_a_genotype() -> None:
    network = get_cell_based_tiny_net({**TINY, "genotype": CellArchitectures["resnet"]})
    assert network.get_message().count(CellStructure.str2structure(CellArchitectures["resnet"]).tostr()) == 3
    assert shapes(network) != shapes(get_cell_based_tiny_net(TINY))
