"""The eleven operations, against what PyTorch's functions compute."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hwnas_surrogate.errors import HWNASError, InvalidArchitectureError
from hwnas_surrogate.networks.cells import (
    OPERATIONS,
    FactorizedReduce,
    GDASReductionCell,
    Identity,
    Pooling,
    ResidualBlock,
    Zero,
    build_operation,
    drop_path,
)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 8, 9, 7, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", OPERATIONS)
def test_shapes_and_biases(name: str, x: Tensor) -> None:
    for c_out, stride, affine in itertools.product((8, 5), (1, 2), (True, False)):
        op = build_operation(name, 8, c_out, stride, affine, track_running_stats=not affine)
        height, width = (9, 7) if stride == 1 else (5, 4)
        assert op(x).shape == (2, c_out, height, width)
        for module in op.modules():
            if isinstance(module, nn.Conv2d) and module.groups == 1:
                assert (module.bias is None) is affine
            if isinstance(module, nn.BatchNorm2d):
                assert (module.affine, module.track_running_stats) == (affine, not affine)


def test_identity_where_nothing_changes(x: Tensor) -> None:
    op = build_operation("skip_connect", 8, 8)
    assert isinstance(op, Identity)
    assert op(x) is x


def test_none_multiplies_by_zero(x: Tensor) -> None:
    x[0, 0, 0, 0] = torch.nan
    out = Zero(8, 8, 2)(x)
    assert out[0, 0, 0, 0].isnan()
    assert out.nansum() == 0
    assert Zero(8, 8, 1).is_zero
    assert not Zero(8, 4, 2)(x).any()


def test_pools(x: Tensor) -> None:
    average = functional.avg_pool2d(x, 3, 2, 1) * 9
    count = functional.avg_pool2d(torch.ones_like(x), 3, 2, 1) * 9
    torch.testing.assert_close(Pooling(8, 8, 2, "avg")(x), average / count)
    torch.testing.assert_close(Pooling(8, 8, 1, "max")(x), functional.max_pool2d(x, 3, 1, 1))
    assert next(iter(Pooling(8, 4, 1, "max").state_dict())) == "preprocess.op.1.weight"


@pytest.mark.parametrize("name", ["nor_conv_1x1", "nor_conv_3x3", "nor_conv_7x7", "dil_sepc_3x3", "dil_sepc_5x5"])
def test_convolutions(name: str, x: Tensor) -> None:
    op = build_operation(name, 8, 6).eval()
    kernel, dilation = int(name[-1]), 2 if "dil" in name else 1
    weights = [module.weight for module in op.modules() if isinstance(module, nn.Conv2d)]
    expected = functional.relu(x)
    groups = 1 if len(weights) == 1 else 8
    expected = functional.conv2d(
        expected, weights[0], padding=dilation * (kernel // 2), dilation=dilation, groups=groups
    )
    for weight in weights[1:]:
        expected = functional.conv2d(expected, weight)
    torch.testing.assert_close(op(x), expected / (1 + 1e-5) ** 0.5)


def test_factorized_reduce_takes_every_pixel(x: Tensor) -> None:
    op = FactorizedReduce(8, 5, 2).eval()
    assert [conv.out_channels for conv in op.convs] == [2, 3]  # type: ignore[union-attr]
    positive = functional.relu(x)
    even = functional.conv2d(positive[:, :, ::2, ::2], op.convs[0].weight)  # type: ignore[arg-type]
    odd = functional.conv2d(positive[:, :, 1::2, 1::2], op.convs[1].weight)  # type: ignore[arg-type]
    out = op(x) * (1 + 1e-5) ** 0.5
    torch.testing.assert_close(out[:, :2], even)
    torch.testing.assert_close(out[:, 2:, :4, :3], odd)


def test_drop_path_keeps_the_mean_and_drops_samples() -> None:
    torch.manual_seed(0)
    out = drop_path(torch.ones(4000, 2, 1, 1), 0.25)
    assert torch.equal(out[:, 0], out[:, 1])
    assert out.unique().tolist() == [0, pytest.approx(4 / 3)]
    assert out.mean().item() == pytest.approx(1, abs=0.03)
    x = torch.ones(2, 1, 1, 1)
    assert drop_path(x, 0.0) is drop_path(x, -1.0) is x


@pytest.mark.parametrize(("planes", "stride", "shortcut"), [(8, 1, 0), (6, 1, 6), (6, 2, 1)])
def test_residual_block(planes: int, stride: int, shortcut: int, x: Tensor) -> None:
    block = ResidualBlock(8, planes, stride)
    assert sum(name.startswith("downsample") for name in block.state_dict()) == shortcut
    even = x[:, :, :8, :6]
    assert block(even).shape == (2, planes, 8 // stride, 6 // stride)
    block.eval()
    inner = block.conv_b(block.conv_a(even))
    outer = even if block.downsample is None else block.downsample(even)
    torch.testing.assert_close(block(even), inner + outer)


def test_reduction_cell_of_gdas(x: Tensor) -> None:
    cell = GDASReductionCell(8, 8, 16, reduction_prev=False)
    assert cell(x, x).shape == (2, 64, 5, 4)
    wider = torch.randn(2, 3, 18, 14)
    assert GDASReductionCell(3, 8, 8, reduction_prev=True)(wider, x, 0.5).shape == (2, 32, 5, 4)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: build_operation("nor_conv_5x5", 4, 4),
        lambda: OPERATIONS["none"](-1, 4, 1, True, True),
        lambda: OPERATIONS["nor_conv_3x3"](4, 4, 3, True, True),
        lambda: Pooling(4, 4, 1, "sum"),  # type: ignore[arg-type]
        lambda: FactorizedReduce(4, 4, 3),
        lambda: ResidualBlock(4, 4, 3),
        lambda: GDASReductionCell(4, 4, 12, False),
        lambda: drop_path(torch.ones(1, 1, 1, 1), 1.0),
    ],
    ids=["operation", "negative", "stride-of-operation", "mode", "stride", "stride-of-block", "groups", "drop"],
)
def test_wrong_settings(wrong: object) -> None:
    assert callable(wrong)
    with pytest.raises(HWNASError):
        wrong()


def test_the_closest_operation_is_named() -> None:
    with pytest.raises(InvalidArchitectureError, match="Did you mean 'nor_conv_3x3'"):
        build_operation("nor_conv3x3", 4, 4)
