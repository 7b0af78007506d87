"""Networks against their operators, every accepted form of input, weights, seeds and errors."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hwnas_surrogate.errors import InvalidArchitectureError, InvalidConfigError, InvalidInputError
from hwnas_surrogate.graphs import Op
from hwnas_surrogate.networks import FBNetNetwork, NASBench201Network, build_network
from hwnas_surrogate.networks.cells.operations import Zero
from hwnas_surrogate.networks.fbnet import ChannelShuffle
from hwnas_surrogate.spaces import FBNet, FBNetConfig, NASBench201, NASBench201Config

CELL = "|nor_conv_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|none~0|nor_conv_1x1~1|nor_conv_3x3~2|"
CELL_OPS = [3, 1, 4, 0, 2, 3]
BLOCKS = [8, 5, 0, 1, 1, 6, 5, 7, 5, 6, 8, 5, 1, 2, 5, 0, 2, 2, 0, 5, 3, 4]
SMALL = NASBench201Config(C=4, N=1, num_classes=5, height=8, width=8)
NASBENCH_DICT = {"name": "infer.tiny", "C": 16, "N": 5, "arch_str": CELL, "num_classes": 120}
FBNET_DICT = {
    "dataset": "ImageNet",
    "num_classes": 1000,
    "op_idx_list": BLOCKS,
    "arch_str": [FBNet.ops[op] for op in BLOCKS],
}

nasbench_archs = st.lists(st.integers(0, 4), min_size=6, max_size=6)
quarter_sizes = st.integers(1, 5).map(lambda size: 4 * size)
nasbench_configs = st.builds(
    NASBench201Config,
    C=st.integers(1, 9),
    N=st.integers(1, 3),
    num_classes=st.integers(1, 130),
    in_channels=st.integers(1, 4),
    height=quarter_sizes,
    width=quarter_sizes,
)
strides = st.integers(1, 2)
fbnet_configs = st.builds(
    FBNetConfig,
    stem_channels=st.integers(1, 12),
    stage_channels=st.tuples(*[st.integers(1, 12)] * 7),
    header_channels=st.integers(1, 20),
    num_classes=st.integers(1, 130),
    stem_stride=strides,
    stage_strides=st.tuples(*[strides] * 7),
    in_channels=st.integers(1, 4),
    height=st.integers(1, 33),
    width=st.integers(1, 33),
)


@st.composite
def fbnet_cases(draw: st.DrawFn) -> tuple[list[int], FBNetConfig]:
    """Draw an architecture that can be built: no grouped block where a channel number is odd."""
    config = draw(fbnet_configs)
    ungrouped = [op for op, name in enumerate(FBNet.ops) if not name.endswith("_g2")]
    archs = []
    for slot in FBNet().slots(config):
        even = slot.c_in % 2 == slot.c_out % 2 == 0
        archs.append(draw(st.integers(0, 8) if even else st.sampled_from(ungrouped)))
    return archs, config


class Call(NamedTuple):
    """What is compared of an operator: its kind, the shapes that it reads and writes, its window and its figures."""

    kind: str
    reads: tuple[tuple[int, ...], ...]
    writes: tuple[tuple[int, ...], ...]
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    groups: int = 1
    macs: int = 0
    params: int = 0
    activation_bytes: int = 0


def as_call(op: Op) -> Call:
    shapes = (tuple(spec.shape for spec in specs) for specs in (op.inputs, op.outputs))
    window = op.kernel, op.stride, op.padding, op.groups
    return Call(op.kind, *shapes, *window, op.macs, op.params, op.activation_bytes)


class Additions(TorchDispatchMode):
    """Records the shapes of the sums that a network computes outside its modules."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        if function is torch.ops.aten.add.Tensor:
            shape = tuple(out.shape)
            assert [tuple(x.shape) for x in args] == [shape, shape]
            self.calls.append(Call("add", (shape, shape), (shape,), activation_bytes=4 * 3 * out.numel()))
        return out


def called_operators(network: nn.Module, shape: tuple[int, int, int]) -> Counter[Call]:
    """Record what a forward pass really calls, from the modules and the tensors alone; views are left out."""
    calls: list[Call] = []
    previous: nn.Module | None = None

    def record(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal previous
        (x,), after, previous = inputs, previous, module
        shapes = (tuple(x.shape),), (tuple(out.shape),)
        touched = 4 * (x.numel() + out.numel())
        own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        match module:
            case nn.Conv2d():
                macs = out.numel() * module.weight[0].numel()
                window = module.kernel_size, module.stride, module.padding, module.groups
                calls.append(Call("conv", *shapes, *window, macs, own, touched))  # type: ignore[arg-type]
            case nn.BatchNorm2d() if isinstance(after, nn.Conv2d):
                assert shapes == (calls[-1].writes, calls[-1].writes)
                calls[-1] = calls[-1]._replace(params=calls[-1].params + own)
            case nn.BatchNorm2d():
                calls.append(Call("batch_norm", *shapes, params=own, activation_bytes=touched))
            case nn.Linear():
                calls.append(Call("matmul", *shapes, macs=module.weight.numel(), params=own, activation_bytes=touched))
            case nn.AvgPool2d():
                window = ((int(size),) * 2 for size in (module.kernel_size, module.stride, module.padding))  # type: ignore[arg-type]
                calls.append(Call("avg_pool", *shapes, *window, activation_bytes=touched))
            case nn.AdaptiveAvgPool2d():
                calls.append(Call("global_pool", *shapes, activation_bytes=touched))
            case ChannelShuffle():
                batch, channels, *size = x.shape
                turned = (batch, channels // module.groups, module.groups, *size)
                calls.append(Call("copy", (turned,), (turned,), activation_bytes=touched))
            case Zero():
                calls.append(Call("zero", *shapes, activation_bytes=touched))
            case nn.ReLU():
                calls.append(Call("relu", *shapes, activation_bytes=touched))
            case nn.Identity():
                pass
            case _:
                raise AssertionError(f"unexpected module {module}")

    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(record)
    with torch.no_grad(), Additions() as additions:
        network(torch.zeros(1, *shape))
    return Counter(calls + additions.calls)


def check_operators(space: NASBench201 | FBNet, arch: list[int], config: NASBench201Config | FBNetConfig) -> None:
    network = build_network(arch, config, space)
    batch = space.batch([arch], config)
    ops = batch.distinct()
    listed = Counter[Call]()
    for op, n in zip(ops, batch.sums(np.eye(len(ops)))[0].astype(int).tolist(), strict=True):
        if op.kind != "view":
            listed[as_call(op)] += n
    called = called_operators(network, config.input_shape)
    assert called == +listed
    assert batch.params[0] == sum(parameter.numel() for parameter in network.parameters())
    assert batch.macs[0] == sum(call.macs * n for call, n in called.items())
    assert batch.activation_bytes[0] == sum(call.activation_bytes * n for call, n in called.items())


@settings(max_examples=60, deadline=None)
@given(nasbench_archs, nasbench_configs)
def test_operators_are_what_nasbench201_calls(arch: list[int], config: NASBench201Config) -> None:
    check_operators(NASBench201(), arch, config)


@settings(max_examples=40, deadline=None)
@given(fbnet_cases())
def test_operators_are_what_fbnet_calls(case: tuple[list[int], FBNetConfig]) -> None:
    check_operators(FBNet(), *case)


@pytest.mark.parametrize("space", [NASBench201(), FBNet()], ids=lambda space: space.name)
def test_operators_are_what_published_networks_call(space: NASBench201 | FBNet) -> None:
    for arch, (name, config) in zip(space.sample(2, 1), space.configs.items(), strict=False):
        assert space.dataset_name(config) == name
        check_operators(space, arch.tolist(), config)  # type: ignore[arg-type]


def without_shifts(network: nn.Module) -> dict[str, Tensor]:
    """Randomise weights and batch norm scales but not shifts, so that zero stays zero through every edge."""
    generator = torch.Generator().manual_seed(1)
    state = network.state_dict()
    for name, tensor in state.items():
        if (name.endswith("weight") and tensor.ndim == 1) or name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return state


@settings(max_examples=60, deadline=None)
@given(nasbench_archs)
def test_dead_edges_do_not_change_the_output(arch: list[int]) -> None:
    live = NASBench201().executed([arch], "live")[0]
    network = build_network(arch, SMALL, random_state=0)
    pruned = build_network(np.where(live, arch, 0).astype(np.int8), SMALL)
    missing, _ = pruned.load_state_dict(without_shifts(network), strict=False)
    assert not missing
    x = torch.randn(2, *SMALL.input_shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        for out, expected in zip(pruned(x), network(x), strict=True):
            torch.testing.assert_close(out, expected)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(nasbench_archs)
def test_every_live_edge_changes_the_output(arch: list[int]) -> None:
    """The other way round: no edge that is called live can be left out."""
    wide = dataclasses.replace(SMALL, C=16)  # so wide that no ReLU closes a whole edge by chance
    network = build_network(arch, wide, random_state=0)
    state = without_shifts(network)
    x = torch.randn(4, *wide.input_shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        features = network(x)[0]
        for edge in np.flatnonzero(NASBench201().executed([arch], "live")[0]):
            pruned = build_network([0 if i == edge else op for i, op in enumerate(arch)], wide)
            pruned.load_state_dict(state, strict=False)
            assert not torch.allclose(pruned(x)[0], features, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "arch",
    [
        CELL,
        [CELL],
        CELL_OPS,
        tuple(CELL_OPS),
        [NASBench201.ops[op] for op in CELL_OPS],
        np.array(CELL_OPS, np.int8),
        np.array([CELL_OPS]),
        int(NASBench201().index(CELL)[0]),
        np.int64(NASBench201().index(CELL)[0]),
        {**NASBENCH_DICT, "num_classes": 10},
    ],
    ids=lambda arch: type(arch).__name__,
)
def test_every_form_of_a_nasbench201_architecture(arch: Any) -> None:
    assert same_weights(build_network(arch, random_state=3), build_network(CELL, random_state=3))


@pytest.mark.parametrize(
    "arch",
    [
        "|".join(FBNet.ops[op] for op in BLOCKS),
        BLOCKS,
        [FBNet.ops[op] for op in BLOCKS],
        np.array(BLOCKS),
        np.array([BLOCKS], np.int8),
        FBNET_DICT,
    ],
    ids=lambda arch: type(arch).__name__,
)
def test_every_form_of_an_fbnet_architecture(arch: Any) -> None:
    network = build_network(arch, "cifar100", "fbnet", random_state=3)
    assert same_weights(network, build_network(BLOCKS, FBNetConfig(), FBNet(), random_state=3))


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


def numpy_state() -> np.ndarray[Any, Any]:
    key: np.ndarray[Any, Any] = np.random.get_state(legacy=False)["state"]["key"]  # noqa: NPY002
    return key.copy()


def test_published_dict_brings_its_config() -> None:
    nasbench = build_network(NASBENCH_DICT)
    assert isinstance(nasbench, NASBench201Network)
    assert nasbench.classifier.out_features == 120
    fbnet = build_network(FBNET_DICT)
    assert isinstance(fbnet, FBNetNetwork)
    assert fbnet.fc.in_features == 1984
    assert fbnet.stem.conv.stride == (2, 2)


def test_config_wins_over_the_dict() -> None:
    nasbench = build_network(NASBENCH_DICT, SMALL)
    assert isinstance(nasbench, NASBench201Network)
    assert nasbench.classifier.weight.shape == (5, 16)
    fbnet = build_network(FBNET_DICT, "cifar100", "fbnet")
    assert isinstance(fbnet, FBNetNetwork)
    assert fbnet.fc.weight.shape == (100, 1504)


@pytest.mark.parametrize("config", [FBNetConfig(), FBNET_DICT], ids=["class", "dict"])
def test_config_tells_the_space(config: Any) -> None:
    assert isinstance(build_network(BLOCKS, config), FBNetNetwork)
    assert isinstance(build_network(0, SMALL), NASBench201Network)


def test_output_shapes_of_a_batch() -> None:
    features, logits = build_network(CELL, SMALL)(torch.zeros(3, 3, 8, 8))
    assert (features.shape, logits.shape) == ((3, 16), (3, 5))
    assert build_network(BLOCKS, space="fbnet")(torch.zeros(2, 3, 32, 32)).shape == (2, 100)


def test_network_is_in_eval_mode_and_can_be_trained() -> None:
    network = build_network(CELL, SMALL)
    assert not any(module.training for module in network.modules())
    _, logits = network.train()(torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    logits.square().sum().backward()
    assert network.get_parameter("stem.0.weight").grad is not None


BUILDS: list[Callable[..., nn.Module]] = [
    lambda **seed: build_network(CELL, SMALL, **seed),
    lambda **seed: build_network(BLOCKS, space="fbnet", **seed),
]


@pytest.mark.parametrize("build", BUILDS, ids=["nasbench201", "fbnet"])
class TestWeights:
    def test_same_seed_same_weights(self, build: Callable[..., nn.Module]) -> None:
        assert same_weights(build(random_state=5), build(random_state=5))
        assert not same_weights(build(random_state=5), build(random_state=6))

    def test_generator_advances(self, build: Callable[..., nn.Module]) -> None:
        rng = np.random.default_rng(0)
        assert not same_weights(build(random_state=rng), build(random_state=rng))

    def test_no_seed_gives_fresh_weights_whatever_the_global_state(self, build: Callable[..., nn.Module]) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            assert not same_weights(build(), build())

    @pytest.mark.parametrize("seed", [None, 7])
    def test_global_generators_stay_untouched(self, build: Callable[..., nn.Module], seed: int | None) -> None:
        before = torch.get_rng_state(), numpy_state()
        build(random_state=seed)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.array_equal(numpy_state(), before[1])

    def test_default_device_is_respected(self, build: Callable[..., nn.Module]) -> None:
        before = torch.get_rng_state()
        with torch.device("meta"):
            network = build(random_state=0)
        assert {tensor.device.type for tensor in network.state_dict().values()} == {"meta"}
        assert torch.equal(torch.get_rng_state(), before)

    def test_checkpoint_with_published_names_loads(self, build: Callable[..., nn.Module], tmp_path: Path) -> None:
        network = build(random_state=1)
        save_file(network.state_dict(), tmp_path / "checkpoint.safetensors")
        loaded = build(random_state=2)
        loaded.load_state_dict(load_file(tmp_path / "checkpoint.safetensors"), strict=True)
        assert same_weights(loaded, network)


def test_published_state_names() -> None:
    nasbench = set(build_network(CELL).state_dict())
    assert {"stem.0.weight", "stem.1.bias", "cells.0.layers.0.op.1.weight", "cells.16.layers.5.op.2.running_var",
            "cells.5.conv_a.op.1.weight", "cells.11.conv_b.op.2.bias", "cells.5.downsample.1.weight",
            "lastact.0.num_batches_tracked", "classifier.bias"} <= nasbench  # fmt: skip
    fbnet = set(build_network(BLOCKS, space="fbnet").state_dict())
    assert {"stem.conv.weight", "stem.bn.bias", "cells.1.conv1.weight", "cells.1.bn2.running_mean",
            "cells.2.conv3.weight", "header.conv.weight", "header.bn.weight", "fc.weight"} <= fbnet  # fmt: skip
    assert not any(name.startswith("cells.0.") for name in fbnet), "a skip that keeps the shape has no state"
    shrinking = build_network([8] * 22, space="fbnet").state_dict()
    assert {"cells.1.conv.weight", "cells.1.bn.bias"} <= set(shrinking)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"arch": [0, 1]}, InvalidArchitectureError, "one NAS-Bench-201 architecture, got 2"),
        ({"arch": []}, InvalidArchitectureError, "one NAS-Bench-201 architecture, got 0"),
        ({"arch": [BLOCKS] * 3, "space": "fbnet"}, InvalidArchitectureError, "one FBNet architecture, got 3"),
        ({"arch": 15625}, InvalidArchitectureError, r"0\.\.15624, got 15625"),
        ({"arch": None}, InvalidArchitectureError, "no NAS-Bench-201 architecture: NoneType"),
        ({"arch": BLOCKS}, InvalidArchitectureError, "no space was given; for another pass space='fbnet'"),
        ({"arch": FBNET_DICT["arch_str"]}, InvalidArchitectureError, "pass space='fbnet'"),
        ({"arch": {}}, InvalidArchitectureError, "no 'arch_str'; it has nothing"),
        ({"arch": FBNET_DICT, "space": "nasbench201"}, InvalidArchitectureError, "config of FBNet, but space"),
        ({"arch": NASBENCH_DICT, "space": FBNet()}, InvalidArchitectureError, "of NAS-Bench-201, but space"),
        ({"arch": FBNET_DICT, "config": SMALL}, InvalidConfigError, "FBNet config must be a FBNetConfig"),
        ({"arch": 0, "config": FBNetConfig(), "space": "nasbench201"}, InvalidConfigError, "got FBNetConfig"),
        ({"arch": 0, "config": "cifar"}, InvalidConfigError, "config 'cifar'; .* Did you mean 'cifar10'"),
        ({"arch": 0, "space": "nasbench"}, InvalidInputError, "space 'nasbench'; allowed: 'nasbench201', 'fbnet'"),
        ({"arch": 0, "random_state": -1}, InvalidInputError, "random_state must be a non-negative integer"),
        (
            {"arch": [1] * 22, "config": FBNetConfig(stem_channels=15)},
            InvalidConfigError,
            "'k3_e1_g2' at layer 0 needs channels divisible by 2, got 15 -> 16",
        ),
    ],
)  # fmt: skip
def test_errors(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build_network(**arguments)
