"""ONNX models: what ONNX Runtime computes from them is what PyTorch computes, and what can't be written is told."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidInputError, MissingExtraError
from hwnas_surrogate.networks import build_network, to_onnx
from hwnas_surrogate.networks.cells.operations import Zero
from hwnas_surrogate.networks.fbnet import ChannelShuffle
from hwnas_surrogate.spaces import FBNet, FBNetConfig, NASBench201, NASBench201Config, NetworkConfig

onnx = pytest.importorskip("onnx", reason="needs the extra onnxruntime")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnxruntime")

NASBENCH, FBNET = NASBench201(), FBNet()
EVERY_OP = [3, 1, 4, 0, 2, 3]
EVERY_BLOCK = [8, 5, 0, 1, 1, 6, 5, 7, 5, 6, 8, 5, 1, 2, 5, 8, 2, 2, 0, 8, 3, 4]
ODD = FBNetConfig(6, (4, 6, 8, 10, 12, 14, 16), 18, 7, 2, (2, 1, 2, 1, 2, 1, 2), in_channels=2, height=27, width=41)
IMAGENET = FBNetConfig(stem_stride=2, stage_strides=(1, 2, 2, 2, 1, 2, 1), num_classes=11, height=64, width=96)
SMALL = NASBench201Config(C=4, N=1, height=8, width=8)

CASES: list[tuple[list[int], NetworkConfig]] = [
    (EVERY_OP, NASBENCH.configs["cifar10"]),
    ([0] * 6, NASBENCH.configs["ImageNet16-120"]),
    ([4, 3, 3, 0, 1, 2], NASBench201Config(C=5, N=2, num_classes=7, in_channels=1, height=20, width=12)),
    *((ops, SMALL) for ops in NASBENCH.sample(4, 1).tolist()),
    (EVERY_BLOCK, FBNET.configs["cifar100"]),
    (EVERY_BLOCK, ODD),
    *((ops, IMAGENET) for ops in FBNET.sample(2, 1).tolist()),
    ([5] * 22, FBNetConfig(height=12, width=20)),
]
assert (set(EVERY_OP), set(EVERY_BLOCK)) == (set(range(5)), set(range(9)))


def randomised(network: nn.Module) -> nn.Module:
    """Give batch norms values that show: as they start, they change next to nothing."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.05
            for name, tensor in module.state_dict().items():
                if tensor.is_floating_point():
                    shift = -0.5 if name in ("bias", "running_mean") else 0.5
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) + shift)
    return network


def check(network: nn.Module, shape: tuple[int, ...]) -> Any:
    """Compare with PyTorch on random images; return the model."""
    model = to_onnx(network, shape)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for seed in (0, 1):
        image = np.random.default_rng(seed).standard_normal((1, *shape)).astype(np.float32)
        with torch.inference_mode():
            expected = network(torch.from_numpy(image))
        outs = session.run(None, {"image": image})
        for out, wanted in zip(outs, expected if isinstance(expected, tuple) else (expected,), strict=True):
            assert out.shape == tuple(wanted.shape)
            assert np.abs(out - wanted.numpy()).max() <= 1e-4 * wanted.abs().max()
    assert ([(opset.domain, opset.version) for opset in model.opset_import], model.ir_version) == ([("", 17)], 8)
    return model


@pytest.mark.parametrize(("ops", "config"), CASES, ids=[str(config) for _, config in CASES])
def test_runs_as_pytorch_does_and_calls_every_operator(ops: list[int], config: NetworkConfig) -> None:
    network = randomised(build_network(ops, config, random_state=0))
    graph = check(network, config.input_shape).graph
    batch = (NASBENCH if len(ops) == 6 else FBNET).batch([ops], config)
    distinct = batch.distinct()
    called: Counter[str] = Counter()
    for op, count in zip(distinct, batch.sums(np.eye(len(distinct)))[0].astype(int).tolist(), strict=True):
        for kind in (op.kind, *op.fused):
            called[kind] += count
    nodes = Counter(node.op_type for node in graph.node)
    names = {"conv": "Conv", "matmul": "Gemm", "avg_pool": "AveragePool", "global_pool": "GlobalAveragePool",
             "zero": "Mul", "copy": "Transpose", "batch_norm": "BatchNormalization", "relu": "Relu",
             "add": "Add"}  # fmt: skip
    assert [nodes[name] for name in names.values()] == [called[kind] for kind in names]
    shapes = [onnx.helper.printable_value_info(value) for value in (*graph.input, *graph.output)]
    outs = [f"%output[FLOAT, 1x{config.num_classes}]"]
    if isinstance(config, NASBench201Config):
        outs = [f"%features[FLOAT, 1x{4 * config.C}]", f"%logits[FLOAT, 1x{config.num_classes}]"]
    assert shapes == [f"%image[FLOAT, 1x{config.in_channels}x{config.height}x{config.width}]", *outs]


def test_the_network_stays_as_it_was() -> None:
    network = randomised(build_network(EVERY_BLOCK, ODD, random_state=0))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert len({to_onnx(network, ODD.input_shape).SerializeToString() for _ in range(2)}) == 1
    assert list(network.state_dict()) == list(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not any(module.training for module in network.modules())


def test_every_block_of_a_network_alone() -> None:
    network = randomised(build_network(EVERY_BLOCK, ODD, random_state=0))
    for number, slot in enumerate(FBNET.slots(ODD)):
        check(network.get_submodule(f"cells.{number}"), (slot.c_in, slot.height, slot.width))


def own(*modules: nn.Module) -> nn.Module:
    return nn.Sequential(*modules).eval()


class Named(nn.Module):
    """Attributes called as the model's input and outputs are, and a sum of one thing with itself."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.output, self.features = nn.Conv2d(6, 6, 1), nn.ReLU(), nn.BatchNorm2d(6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(self.output(self.image(x)))
        return x + x


@pytest.mark.parametrize(
    "network",
    [
        own(nn.Conv2d(6, 4, (3, 5), (2, 1), (0, 3), dilation=(2, 1), groups=2)),
        own(nn.AvgPool2d((3, 2), stride=(1, 2), padding=(1, 0), count_include_pad=True)),
        own(nn.AdaptiveAvgPool2d(1), nn.Identity(), nn.Flatten(), nn.Linear(6, 3, bias=False)),
        Named().eval(),
        nn.Conv2d(6, 4, 1).eval(),
        nn.AvgPool2d(3, 1, 1).eval(),
        nn.Identity().eval(),
        Zero(4, 4, 1).eval(),
        ChannelShuffle(2).eval(),
        nn.Linear(6, 4).eval(),
    ],
)
def test_any_network_of_these_modules(network: nn.Module) -> None:
    check(randomised(network), (6,) if isinstance(network, nn.Linear) else (6, 9, 12))


def calls(function: Callable[[Tensor], Any]) -> nn.Module:
    return type("Calling", (nn.Module,), {"forward": lambda self, x: function(x)})().eval()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (own(nn.Conv2d(6, 6, 1), nn.Dropout()), "dropout has no translation to ONNX here; what has: Conv2d, "),
        (calls(torch.sigmoid), "sigmoid has no translation"),
        (calls(lambda x: x.flatten(2)), "flatten has no translation"),
        (calls(lambda x: x + 1), "add has no translation to ONNX here; .* sums of tensors"),
        (calls(lambda x: x.flatten(1, end_dim=2)), "flatten has no translation"),
        (own(nn.PReLU()), "weight has no translation"),
        (own(nn.AdaptiveAvgPool2d(2)), "AdaptiveAvgPool2d with output_size=2 has"),
        (own(nn.AvgPool2d(2, ceil_mode=True)), "AvgPool2d with ceil_mode=True has"),
        (own(nn.BatchNorm2d(6, track_running_stats=False)), "BatchNorm2d with track_running_stats=False has"),
        (own(nn.Conv2d(6, 6, 3, padding="same")), "Conv2d with padding='same' has"),
        (own(nn.Conv2d(6, 6, 3, padding=1, padding_mode="reflect")), "Conv2d with padding_mode='reflect' has"),
        (own(nn.Linear(8, 3)), "Linear on 4 dimensions has"),
        (calls(lambda x: x if x.sum() > 0 else x + x), r"followed with .* shape \(1, 6, 8, 8\): TraceError: symbol"),
        (own(nn.Conv2d(5, 6, 1)), r"followed with .*: RuntimeError: .*expected input\[1, 6, 8, 8\] to have 5"),
        (own(nn.Conv2d(6, 6, 1)).double(), "followed with a float32 input"),
        (calls(lambda x: {"out": x}), "returns one tensor, or features and logits; got {'out'"),
        (build_network(EVERY_OP, SMALL).train(), r"in eval mode; call network\.eval\(\) first"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_cannot_be_written(capfd: Any, network: nn.Module, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        to_onnx(network, (6, 8, 8))
    assert capfd.readouterr() == ("", "")


def test_a_part_in_training_mode_is_found_before_it_learns() -> None:
    norm = nn.BatchNorm2d(6)
    network = own(nn.Conv2d(6, 6, 1), norm)
    norm.train()
    with pytest.raises(InvalidInputError, match="eval mode"):
        to_onnx(network, (6, 8, 8))
    assert norm.num_batches_tracked == 0


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"the extra 'onnx', for .* is not installed: pip install"):
        to_onnx(build_network(EVERY_OP, SMALL), SMALL.input_shape)


def test_building_and_writing_is_quick() -> None:
    seconds = []
    with threadpool_limits(1):  # threads that wait for one another on a busy machine count as work
        for ops in [EVERY_OP, *NASBENCH.sample(5, 2).tolist(), *FBNET.sample(5, 2).tolist()]:
            space = "nasbench201" if len(ops) == 6 else "fbnet"
            start = time.thread_time()  # not what other processes take meanwhile
            to_onnx(build_network(ops, space=space), (3, 32, 32)).SerializeToString()
            seconds.append(time.thread_time() - start)
    assert np.median(seconds[1:]) < 0.3  # the first call imports
