"""The operators that an inference engine runs: what they are in the network, and that none is lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwnas_surrogate.errors import InvalidArchitectureError, InvalidConfigError
from hwnas_surrogate.spaces import Operators, get_space
from hwnas_surrogate.spaces.operators import SORTS

SPACE = get_space("nasbench201")
CONFIGS = ["cifar10", "C8-N2-k7-1x16x20"]
FLOAT32 = ("conv1x1", "conv3x3", "pool", "zero", "add")


def operators(quantized: bool, config: str = "cifar10", archs: object = None) -> Operators:
    found = SPACE.operators(SPACE.enumerate() if archs is None else archs, config, quantized=quantized)
    assert found is not None
    return found


def counts(found: Operators) -> dict[str, np.ndarray]:
    return dict(zip(SORTS, found.counts.T, strict=True))


def test_by_hand() -> None:
    # 1<-0 conv3x3, 2<-0 pool, 2<-1 skip, 3<-0 pool (the same as the other), 3<-1 none, 3<-2 conv1x1.
    merged = counts(operators(False, archs=[[3, 4, 1, 4, 0, 2]]))
    assert (merged["conv3x3"], merged["conv1x1"], merged["pool"], merged["zero"]) == (1, 1, 1, 1)
    assert merged["add"] + merged["fused_add"] == 3
    assert not any(merged[f"int8_{sort}"] for sort in FLOAT32)
    assert merged["convert"] == 0


def test_merging_and_quantizing_lose_no_convolution() -> None:
    archs = SPACE.enumerate()
    for quantized in (False, True):
        found = counts(operators(quantized))
        for sort, op in (("conv1x1", 2), ("conv3x3", 3)):
            assert np.array_equal(found[sort] + found[f"int8_{sort}"], (archs == op).sum(axis=1))
        assert all((of_sort >= 0).all() for of_sort in found.values())


def test_what_runs_in_int8_is_part_of_what_was_merged() -> None:
    names, told = SPACE.quantized_names, SPACE.quantized(SPACE.enumerate())
    of = dict(zip(names, told.T.astype(int), strict=True))
    merged, quantized = counts(operators(False)), counts(operators(True))
    for sort in ("pool", "zero"):
        assert np.array_equal(quantized[sort] + quantized[f"int8_{sort}"], merged[sort])
    assert np.array_equal(quantized["add"] + quantized["int8_add"], merged["add"] + merged["fused_add"])
    assert np.array_equal(quantized["convert"], of["quantize"] + of["dequantize"])
    assert np.array_equal(merged["relu"], of["relu"] - of["fused_relu"])


@pytest.mark.parametrize("config", CONFIGS)
def test_an_operator_is_a_layer_in_each_stage(config: str) -> None:
    resolved = SPACE.config(config)
    for quantized in (False, True):
        found = operators(quantized, config, [0])
        layers = {layer for layer, _ in found.fixed} | set(SPACE.layers([0], config).distinct)
        for sort, calls in zip(SORTS, found.calls, strict=True):
            assert [times for _, times in calls] == [resolved.N] * 3  # type: ignore[attr-defined]
            assert sorted(layer.c_in for layer, _ in calls) == [resolved.C << stage for stage in range(3)]  # type: ignore[attr-defined]
            assert all(layer.int8 == sort.startswith("int8_") for layer, _ in calls)
            for layer, _ in calls:
                values = layer.c_in * layer.height * layer.width
                each = {"add": 12, "int8_add": 3, "relu": 8, "fused_add": 4, "convert": 5}.get(sort)
                if each is None:
                    wide = replace(
                        layer, int8=False, activation_bytes=layer.activation_bytes * (4 if layer.int8 else 1)
                    )
                    assert wide in layers
                else:
                    assert layer.activation_bytes == each * values
                    assert layer.macs == layer.params == 0


@pytest.mark.parametrize("config", CONFIGS)
def test_everything_else_is_there_once(config: str) -> None:
    """Without an op that costs, the network is what every architecture runs."""
    nothing = SPACE.layers([[1] * 6], config)
    for quantized in (False, True):
        fixed = operators(quantized, config, [0]).fixed
        assert sum(layer.macs * times for layer, times in fixed) == nothing.macs[0]
        assert sum(layer.params * times for layer, times in fixed) == nothing.params[0]
        assert all(layer.int8 == quantized for layer, _ in fixed)
        moved = sum(layer.activation_bytes * times for layer, times in fixed)
        assert moved == nothing.activation_bytes[0] / (4 if quantized else 1)


def test_fbnet_has_nothing_to_merge() -> None:
    fbnet = get_space("fbnet")
    assert fbnet.operators(fbnet.sample(2, 0)) is None


def test_wrong_questions_are_refused() -> None:
    with pytest.raises(InvalidArchitectureError):
        SPACE.operators([20_000])
    with pytest.raises(InvalidConfigError):
        SPACE.operators([0], "cifar11")
    assert len(operators(True, archs=[0, 1, 2])) == 3
