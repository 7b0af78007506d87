"""The size space's network: what it computes, and that its graph is the space's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hwnas_surrogate import Graph, build_network, get_space
from hwnas_surrogate.networks import NATSBenchSizeNetwork, to_onnx

SPACE = get_space("natsbench-size")
CASES = [("8:16:24:32:40", "cifar10"), ("64:64:64:64:64", "ImageNet16-120"), ("8:64:8:64:8", "k7-1x16x24")]


@pytest.mark.parametrize(("arch", "config"), CASES)
def test_the_network_is_the_spaces_graph(arch: str, config: str) -> None:
    shape = SPACE.config(config).input_shape
    network = build_network(arch, config, SPACE, random_state=0)
    assert Graph.from_torch(network, torch.zeros(1, *shape)) == SPACE.graph(arch, config)
    batch = SPACE.batch(arch, config)
    assert batch.params[0] == sum(weight.numel() for weight in network.parameters())
    features, logits = network(torch.zeros(2, *shape))
    assert features.shape == (2, int(arch.rpartition(":")[2]))
    assert logits.shape == (2, SPACE.config(config).num_classes)


def test_multiply_adds_by_hand() -> None:
    """Five convolutions a cell; a skip between different channels is a sixth, 1x1; two and a shortcut a reduction."""
    a, b, c, d, e = 8, 16, 24, 32, 40
    macs = 1024 * 9 * 3 * a + 1024 * 5 * 9 * a * a  # the stem; a cell whose skip is the identity
    macs += 256 * (9 * a * b + 9 * b * b + a * b)
    macs += 256 * (2 * 9 * b * c + 3 * 9 * c * c + b * c)
    macs += 64 * (9 * c * d + 9 * d * d + c * d)
    macs += 64 * (2 * 9 * d * e + 3 * 9 * e * e + d * e)
    assert SPACE.batch("8:16:24:32:40").macs[0] == macs + e * 10


def test_the_config_tells_the_space() -> None:
    assert isinstance(build_network("8:16:24:32:40", SPACE.config("cifar10")), NATSBenchSizeNetwork)
    config = {"name": "infer.shape.tiny", "channels": "8:16:24:32:40", "genotype": "...", "num_classes": 10}
    assert isinstance(build_network(config), NATSBenchSizeNetwork)


def test_onnx_computes_the_same() -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    ort = pytest.importorskip("onnxruntime", reason="the extra onnxruntime is not installed")
    network = build_network("8:16:24:32:40", space=SPACE, random_state=0)
    image = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    session = ort.InferenceSession(to_onnx(network, (3, 32, 32)).SerializeToString())
    _, logits = session.run(None, {"image": image.numpy()})
    with torch.inference_mode():
        np.testing.assert_allclose(logits, network(image)[1].numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.real_data
def test_state_names_are_the_published_ones(shared_data: Path) -> None:
    """Of a network with another cell: stem, reductions, head, and how edges of a cell are called."""
    records = json.loads((shared_data / "state_names.json").read_text())["networks"]
    (record,) = [one for one in records if one["class"] == "DynamicShapeTinyNet"]
    published = {name.split(":")[0] for name in record["state"]}
    ours = set(build_network("64:64:64:64:64", space=SPACE).state_dict())
    for part in ("stem.", "lastact.", "classifier."):
        assert {name for name in ours if name.startswith(part)} == {name for name in published if name.startswith(part)}
    reductions = {name.partition(".conv_a.")[2] for name in published if ".conv_a." in name}
    assert {name.partition(".conv_a.")[2] for name in ours if ".conv_a." in name} == reductions
    edges = {name.split(".", 4)[4] for name in published if ".layers." in name}
    assert {name.split(".", 4)[4] for name in ours if ".layers." in name} == edges
