"""Every recorded network: parameters, state names, outputs, gradients; and the configs that are refused."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidConfigError
from hwnas_surrogate.graphs import VIEWS, Graph, traced
from hwnas_surrogate.networks.residual import (
    SearchResNet,
    build_cifar_network,
    build_imagenet_network,
    build_search_network,
    change_key,
)
from tests.networks.filling import fill
from tests.networks.test_oracle import check_values, run, state_hash

HERE = Path(__file__).parent
RECORDS: list[dict[str, Any]] = json.loads((HERE / "records.json").read_text())
STATE_NAMES: dict[str, str] = json.loads((HERE / "state_names.json").read_text())
BUILDERS: dict[str, Callable[[Mapping[str, Any]], nn.Module]] = {
    "get_cifar_models": build_cifar_network,
    "get_imagenet_models": build_imagenet_network,
    "obtain_search_model": build_search_network,
    "obtain_model": build_cifar_network,
}
BUILT = [record for record in RECORDS if "params" in record]
CONFIGS = {record["name"]: record["config"] for record in BUILT}
LARGEST = {
    "imagenet": {
        "arch": "resnet", "block_name": "Bottleneck", "layers": [3, 8, 36, 3], "deep_stem": True, "class_num": 1000,
        "zero_init_residual": True, "groups": 1, "width_per_group": 64,
    },
    "search": {
        "dataset": "imagenet", "arch": "resnet", "search_mode": "shape", "block_name": "Bottleneck",
        "layers": [3, 8, 36, 3], "deep_stem": True, "class_num": 1000,
    },
}  # fmt: skip


def named(record: dict[str, Any]) -> str:
    return record["name"]


def build(record: dict[str, Any]) -> nn.Module:
    """Build a recorded network; its config must stay as it is."""
    before = json.dumps(record["config"])
    network = BUILDERS[record["builder"]](record["config"])
    assert json.dumps(record["config"]) == before
    return network


def collapsed(network: nn.Module) -> str:
    """Return names and shapes of the state, the five entries of a batch norm as one."""
    norms = {name for name, part in network.named_modules() if isinstance(part, nn.BatchNorm2d)}

    def entries() -> Iterator[str]:
        for name, values in network.state_dict().items():
            module, _, part = name.rpartition(".")
            if module not in norms:
                yield f"{name}:{'x'.join(map(str, values.shape))}"
            elif part == "weight":
                yield f"{module}:BN{len(values)}"

    return " ".join(entries())


@pytest.mark.parametrize("record", BUILT, ids=named)
def test_recorded_network(record: dict[str, Any]) -> None:
    network = build(record)
    assert sum(parameter.numel() for parameter in network.parameters()) == record["params"]
    assert state_hash(network) == record["state_dict_sha256"]
    if record["name"] in STATE_NAMES:
        assert collapsed(network).split() == STATE_NAMES[record["name"]].split()
        check_graph(network.eval(), record)
    fill(network, ["choices_tensor"])  # the widths to choose from stay as they are
    expected = record["forward"]["eval"]
    outputs, macs = run(network.eval(), record["input_hw"])
    assert macs == expected["macs"]
    assert [list(output.shape) for output in outputs] == expected["output_shapes"]
    for output, values in zip(outputs, expected["tensors"], strict=True):
        check_values(output, values)
    if isinstance(network, SearchResNet):
        check_search(network, record)


def check_graph(network: nn.Module, record: dict[str, Any]) -> None:
    """Check that the graph has the recorded multiply-adds and parameters; a search network does not use all of them."""
    height = record["input_hw"]
    graph = Graph.from_torch(network, torch.zeros(1, 3, height, height))
    for view in VIEWS:  # no view removes a convolution
        assert sum(op.macs for op in traced(graph, view).ops) == graph.macs
    assert graph.macs == record["forward"]["eval"]["macs"]
    if "get_flop" not in record:
        assert graph.params == record["params"]


def check_search(network: SearchResNet, record: dict[str, Any]) -> None:
    """Check what a search network returns in search mode; it draws in the recorded order."""
    height, expected = record["input_hw"], record["forward"]["search"]
    network.apply(change_key("search_mode", "search"))
    network.set_tau(5, 0.1, 0)
    assert network.tau == 5
    torch.manual_seed(0)
    random.seed(0)
    with torch.no_grad():
        outputs = network(torch.linspace(-1, 1, 3 * height * height).reshape(1, 3, height, height))
    assert [list(output.shape) for output in outputs] == expected["output_shapes"]
    for output, values in zip(outputs, expected["tensors"], strict=True):
        check_values(output, values)
    for question, answer in record["get_flop"].items():
        if not isinstance(answer, dict):
            check_flop(network, question, answer)
    assert network.get_arch_info()[1] == pytest.approx(record["get_arch_info_discrepancy"], abs=1e-9)


def check_flop(network: SearchResNet, question: str, answer: Any) -> None:
    """Check one recorded call, such as ``fix extra=0.5 config_dict=given``."""
    mode, extra, given = question.split()
    torch.manual_seed(0)
    got = network.get_flop(
        mode, {"k": 1} if given.endswith("given") else None, None if extra.endswith("None") else float(extra[6:])
    )
    if isinstance(got, float):
        assert got == pytest.approx(answer, rel=1e-9)
    else:
        assert got[0] == pytest.approx(answer[0], rel=1e-9)
        assert got[1] == {**answer[1], "estimated_FLOP": got[0]}


@pytest.mark.parametrize("record", [record for record in RECORDS if "params" not in record], ids=named)
def test_recorded_refusals(record: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfigError):
        build(record)


@pytest.mark.parametrize("record", [record for record in BUILT if record.get("train_backward_ok")], ids=named)
def test_trains(record: dict[str, Any]) -> None:
    network = build(record).train()
    height = record["input_hw"]
    outputs = network(torch.randn(4, 3, height, height))
    assert [list(output.shape) for output in outputs] == record["train_output_shapes_batch4"]
    outputs[1].square().sum().backward()
    assert all(values.grad is not None for values in network.parameters())


SMALL: dict[str, dict[str, Any]] = {
    "bottleneck": {"arch": "resnet", "module": "ResNetBottleneck", "depth": 11, "zero_init_residual": True},
    "densenet": {"arch": "densenet", "growthRate": 4, "depth": 10, "reduction": 0.5, "bottleneck": True},
    "width": {
        "super_type": "infer-width", "module": "ResNetBasicblock", "depth": 8,
        "xchannels": [3, 8, 7, 6, 10, 12, 20, 24], "zero_init_residual": False,
    },
    "imagenet": {
        "arch": "resnet", "block_name": "Bottleneck", "layers": [1, 1, 1, 1], "deep_stem": True,
        "zero_init_residual": False, "groups": 4, "width_per_group": 4,
    },
    "mobilenet": {"arch": "mobilenet_v2", "width_multi": 0.25, "input_channel": 8, "last_channel": 16, "dropout": 0.2},
    "inferred-imagenet": {
        "super_type": "infer-shape", "arch": "resnet", "block_name": "BasicBlock", "layers": [1, 2, 1, 1],
        "xblocks": [1, 1, 1, 1], "xchannels": [3, 4, 5, *[6] * 2, *[7] * 4, *[8] * 2, *[9] * 2], "deep_stem": True,
        "zero_init_residual": False,
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", SMALL)
def test_every_parameter_gets_a_gradient(kind: str) -> None:
    """In train mode; a block that begins as its shortcut has gradients of 0 before its last batch norm."""
    config = {**SMALL[kind], "class_num": 3}
    large = "imagenet" in kind or "mobilenet" in kind
    network = (build_imagenet_network if large else build_cifar_network)(config).train()
    features, logits = network(torch.randn(4, 3, *([64, 64] if large else [16, 16])))
    assert logits.shape == (4, 3)
    (features.square().mean() + logits.square().sum()).backward()
    assert all(values.grad is not None for values in network.parameters())
    assert network.get_parameter(next(name for name, _ in network.named_parameters())).grad.any()


@pytest.mark.parametrize("kind", LARGEST)
def test_largest_builds_in_two_seconds(kind: str) -> None:
    seconds = []
    for _ in range(3):
        start = time.process_time()
        (build_search_network if kind == "search" else build_imagenet_network)(LARGEST[kind])
        seconds.append(time.process_time() - start)
        if seconds[-1] < 2:
            break
    assert min(seconds) < 2


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    network = build_cifar_network(CONFIGS["cifar wideresnet/wide1"])
    assert capsys.readouterr() == ("", "")
    assert network.get_submodule("classifier") is not None


def changed(name: str, **values: Any) -> dict[str, Any]:
    """Return a recorded config with other values; None removes a key."""
    config = {**CONFIGS[name], **values}
    return {key: value for key, value in config.items() if value is not None}


RESNET, WIDE, DENSE = "cifar resnet/ResNetBasicblock/20", "cifar wideresnet/wide1", "cifar densenet/basic"
SHAPE, MOBILE = "cifar infer-shape/bottleneck 29", "imagenet infer-shape MobileNetV2/full"
IMAGENET, PLAIN_MOBILE = "imagenet resnet/BasicBlock/[2, 2, 2, 2]/deep=False/g1w64", "imagenet mobilenet_v2/0.5"
BAD: list[tuple[str, dict[str, Any], str]] = [
    (RESNET, {"arch": "resnets"}, "Did you mean 'resnet'"),
    (RESNET, {"arch": None}, "lacks 'arch'"),
    (RESNET, {"arch": ["resnet"]}, "unknown arch"),
    (RESNET, {"depth": 21}, "2 plus a multiple of 6"),
    (RESNET, {"depth": 2}, "2 plus a multiple of 6"),
    (RESNET, {"depth": 20.0}, "depth must be an integer"),
    (RESNET, {"depth": 10**9}, "depth must be an integer of 1 to"),
    (RESNET, {"depth": None, "class_num": None}, "lacks 'depth', 'class_num'"),
    (RESNET, {"module": "Bottleneck"}, "unknown cifar residual block"),
    (RESNET, {"class_num": 0}, "class_num must be"),
    (RESNET, {"class_num": True}, "class_num must be"),
    (RESNET, {"zero_init_residual": "no"}, "True or False"),
    (RESNET, {"super_type": "infer-nasnet.cifar"}, "unknown super_type"),
    (RESNET, {"super_type": 3}, "unknown super_type"),
    (WIDE, {"depth": 17}, "4 plus a multiple of 6"),
    (WIDE, {"wide_factor": -1}, "wide_factor must be"),
    (WIDE, {"dropout": 0.3}, "dropout must be True or False"),
    (DENSE, {"depth": 41}, "4 plus a multiple of 3"),
    (DENSE, {"bottleneck": True, "depth": 13}, "4 plus a multiple of 6"),
    (DENSE, {"reduction": 0}, "reduction must be a number above 0"),
    (DENSE, {"reduction": float("nan")}, "reduction must be a number above 0"),
    (SHAPE, {"xblocks": [1, 2]}, "xblocks must have 3 entries"),
    (SHAPE, {"xblocks": [1, 2, 4]}, "at most \\[3, 3, 3\\]"),
    (SHAPE, {"xblocks": [0, 1, 1]}, r"xblocks\[0\] must be an integer of 1"),
    (SHAPE, {"xblocks": 3}, "xblocks must be a list"),
    (SHAPE, {"xchannels": [3, 16, 12]}, "xchannels must have 29 entries"),
    (SHAPE, {"xchannels": "3:16:12"}, "xchannels must be a list"),
    (SHAPE, {"xchannels": None}, "lacks 'xchannels'"),
    (IMAGENET, {"layers": [2, 2, 2]}, "layers must have 4 entries"),
    (IMAGENET, {"block_name": "ResNetBasicblock"}, "unknown imagenet residual block"),
    (IMAGENET, {"width_per_group": 128}, "Use Bottleneck"),
    (IMAGENET, {"arch": "MobileNetV2"}, "unknown arch"),
    (IMAGENET, {"super_type": "infer-depth"}, "unknown super_type"),
    (MOBILE, {"arch": "mobilenet_v2"}, "unknown arch"),
    (MOBILE, {"xchannels": "3-32 32-x"}, "channels read like"),
    (MOBILE, {"xchannels": ""}, "channels read like"),
    (MOBILE, {"xchannels": [[3, 32]]}, "channels read like"),
    (MOBILE, {"xblocks": [1, 2, 3, 4, 3, 4, 1]}, "xblocks keeps at most"),
    (MOBILE, {"xblocks": [1, 2, 3]}, "xblocks must have 7 entries"),
    (MOBILE, {"dropout": 1.5}, "dropout must be"),
    (PLAIN_MOBILE, {"width_multi": 0.001}, "width_multi must be an integer of 1"),
    (PLAIN_MOBILE, {"width_multi": "0.5"}, "width_multi must be a number"),
    ("search/width/Bottleneck29", {"dataset": "cifar10"}, "Did you mean 'cifar'"),
    ("search/width/Bottleneck29", {"search_mode": "widths"}, "unknown search_mode"),
    ("search/width/Bottleneck29", {"arch": "densenet"}, "unknown arch"),
    ("search/width/Bottleneck29", {"arch": None}, "lacks 'arch'"),
    ("search/depth/Basic32", {"depth": 8}, "no depths to search"),
    ("search/simres-width/8", {"search_mode": "shape"}, "unknown search_mode"),
    ("search/simres-width/8", {"depth": 9}, "2 plus a multiple of 3"),
    ("search/imagenet-shape/Bottleneck deep", {"search_mode": "width"}, "unknown search_mode"),
    ("search/imagenet-shape/Bottleneck deep", {"layers": None}, "lacks 'layers'"),
]


@pytest.mark.parametrize(("name", "values", "message"), BAD, ids=[f"{name}-{list(v)}" for name, v, _ in BAD])
def test_bad_configs(name: str, values: dict[str, Any], message: str) -> None:
    record = next(record for record in BUILT if record["name"] == name)
    with pytest.raises(InvalidConfigError, match=message):
        BUILDERS[record["builder"]](changed(name, **values))


@pytest.mark.parametrize("builder", [build_cifar_network, build_imagenet_network, build_search_network])
@pytest.mark.parametrize("config", [None, "resnet", ["arch"]], ids=repr)
def test_config_must_be_a_mapping(builder: Callable[[Any], nn.Module], config: Any) -> None:
    with pytest.raises(InvalidConfigError, match="must be a mapping"):
        builder(config)


def test_mobilenet_channels_must_match() -> None:
    text = CONFIGS[MOBILE]["xchannels"].replace("24-144-24", "25-144-24")
    with pytest.raises(InvalidConfigError, match="reads 25 channels, and gets 24"):
        build_imagenet_network(changed(MOBILE, xchannels=text))
    text = CONFIGS[MOBILE]["xchannels"].replace("3-32 ", "3-33 ")
    with pytest.raises(InvalidConfigError, match="reads 32 channels, and gets 33"):
        build_imagenet_network(changed(MOBILE, xchannels=text))
    text = CONFIGS[MOBILE]["xchannels"].replace("320-1280", "320-1280-3")
    with pytest.raises(InvalidConfigError, match="group 18 of xchannels"):
        build_imagenet_network(changed(MOBILE, xchannels=text))


def features_of(network: nn.Module, height: int) -> tuple[Tensor, Tensor]:
    features, logits = network(torch.randn(2, 3, height, height))
    return features, logits


@pytest.mark.parametrize("height", [8, 16, 64])
def test_cifar_networks_take_other_sizes(height: int) -> None:
    for name in (RESNET, WIDE):
        features, logits = features_of(build_cifar_network(CONFIGS[name]), height)
        assert (features.shape, logits.shape) == ((2, 64), (2, 10))
