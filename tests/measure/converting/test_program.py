"""Exported programs: equal networks give equal bytes, and every kind of input and output is a row of tensors."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure.converting.program import exported
from hwnas_surrogate.measure.runnable import TorchRunnable
from hwnas_surrogate.measure.subjects import ArchSubject


class Nested(nn.Module):
    """Takes a mapping, a number and a tensor; returns a nested mapping with a number in it."""

    def forward(self, given: dict[str, Tensor], factor: float, other: Tensor) -> dict[str, Any]:
        return {"b": given["y"] * factor, "a": (given["x"] + other, 3)}


class BySize(nn.Module):
    """Its path depends on the values, which no exported program can."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if x.sum() > 0 else x


def test_the_bytes_depend_on_the_network_and_its_inputs_only() -> None:
    subject = ArchSubject("nasbench201", "|none~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|none~2|", "C4-N1-k10-3x8x8")
    program, feed = exported(subject.build())
    assert exported(subject.build())[0] == program
    code = (
        "import hashlib; from hwnas_surrogate.measure.subjects import ArchSubject; "
        f"from hwnas_surrogate.measure.converting.program import exported; "
        f"print(hashlib.sha256(exported({subject!r}.build())[0]).hexdigest())"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "7"}
    result = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == hashlib.sha256(program).hexdigest()
    assert b"nasbench201.py" not in program  # no paths: another checkout gives the same
    assert list(feed) == ["args_0"]
    other = TorchRunnable(subject.build().module()[0], (torch.zeros(1, 3, 8, 8),))
    assert exported(other)[0] != program


def test_nested_inputs_and_outputs_are_flat() -> None:
    inputs = ({"x": torch.ones(2, 3), "y": torch.full((4,), 2.0)}, 0.5, torch.arange(3))
    runnable = TorchRunnable(Nested(), inputs)
    program, feed = exported(runnable)
    assert [array.tolist() for array in feed.values()] == [[[1] * 3] * 2, [2] * 4, [0, 1, 2]]
    assert list(feed) == ["args_0", "args_1", "args_2"]
    outputs = torch.export.load(io.BytesIO(program)).module()(*map(torch.from_numpy, feed.values()))
    for got, wanted in zip(outputs, runnable.expected(), strict=True):
        assert np.array_equal(got.numpy(), wanted)


def test_what_can_not_be_exported_has_a_reason() -> None:
    with pytest.raises(MeasurementError, match=r"torch\.export can't export it: \S+"):
        exported(TorchRunnable(BySize(), (torch.ones(3),)))
