"""Folding batch norms into convolutions: the same values, and only where it may be done."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hwnas_surrogate.measure.converting.tflite_program import fold_batch_norms


def seeded(module: nn.Module) -> nn.Module:
    """Give batch norms statistics that matter."""
    generator = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            for tensor in (part.running_mean, part.running_var, *(part.parameters())):
                if tensor is not None:
                    tensor.data.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return module.eval()


class Branched(nn.Module):
    """The convolution's result is read twice, so it has to stay."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y + self.norm(y)


class Shared(nn.Module):
    """One convolution in front of two norms."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.first, self.second = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(self.conv(x)) + self.second(self.conv(x))


def norms_in(module: Any) -> int:
    return len(module.graph.find_nodes(op="call_function", target=torch.ops.aten.batch_norm.default))


@pytest.mark.parametrize(
    ("module", "shape", "left"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)), (2, 3, 8, 8), 0),
        (nn.Sequential(nn.Conv2d(3, 4, 3, padding="same"), nn.BatchNorm2d(4, eps=0.1)), (2, 3, 8, 8), 0),
        (nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, groups=4), nn.BatchNorm2d(8, affine=False)), (1, 4, 8, 8), 0),
        (nn.Sequential(nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4)), (1, 3, 8), 0),
        (nn.Sequential(nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4)), (1, 3, 4, 4, 4), 0),
        (nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)), (1, 3, 8, 8), 1),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)), (1, 3, 8, 8), 1),
        (nn.Sequential(nn.ConvTranspose2d(3, 4, 3), nn.BatchNorm2d(4)), (1, 3, 8, 8), 1),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)), (2, 3, 8, 8), 1),
        (Branched(), (1, 3, 8, 8), 1),
        (Shared(), (1, 3, 8, 8), 0),
    ],
    ids=["plain", "same", "grouped", "1d", "3d", "first", "relu-between", "transposed", "batch-stats", "two-users",
         "shared"],
)  # fmt: skip
def test_values_stay_and_norms_go(module: nn.Module, shape: tuple[int, ...], left: int) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    program = torch.export.export(seeded(copy.deepcopy(module)), (x,)).module()
    wanted = program(x)
    fold_batch_norms(program)
    assert norms_in(program) == left
    assert torch.allclose(program(x), wanted, rtol=1e-4, atol=1e-5)
