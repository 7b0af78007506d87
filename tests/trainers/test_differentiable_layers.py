"""Expected layers: the mean counts of operators, from which any sum over operators follows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import LayerPhysics
from hwnas_surrogate.features.physics import operator_values
from tests.trainers.differentiable_cases import BLOCKS, combinations, few_are_soft, module, soft


@pytest.mark.parametrize(
    ("kind", "view"),
    [
        ("cells, boosted", "all"),
        ("cells, boosted", "folded"),
        ("cells, boosted", "quantized"),
        ("sizes, ridge", "all"),
        ("blocks, ridge", "all"),
        ("blocks, ridge", "fused"),
        ("few", "all"),
        ("few", "fused"),
    ],
)
def test_the_mean_of_sums_over_operators(kind: str, view: str) -> None:
    cost = module(kind)
    probabilities = few_are_soft(cost.space, 2, n=6)
    archs, weights = combinations(probabilities)
    layers, operators = cost.expected_layers(probabilities, view), cost.operators(view)
    assert layers.shape == (len(operators),)
    for name in ("macs", "params"):
        figures = torch.tensor([float(getattr(op, name)) for op in operators], dtype=torch.float64)
        mean = weights @ cost.space.batch(archs).total(name, view)
        assert (layers @ figures).item() == pytest.approx(mean, rel=1e-9)


def test_the_mean_of_layer_physics() -> None:
    cost, probabilities = module("blocks, ridge"), few_are_soft(BLOCKS, 2, n=5)
    archs, weights = combinations(probabilities)
    values = torch.from_numpy(np.array(operator_values(cost.operators("fused"), "fused")))
    mean = weights @ LayerPhysics(BLOCKS, ["fused"]).transform(archs)
    assert (cost.expected_layers(probabilities, "fused") @ values).numpy() == pytest.approx(mean, rel=1e-9)


def test_layers_of_a_batch_have_gradients() -> None:
    cost = module("blocks, ridge")
    probabilities = soft(BLOCKS, 4).requires_grad_()
    macs = torch.tensor([float(op.macs) for op in cost.operators()], dtype=torch.float64)
    layers = cost.expected_layers(probabilities)
    assert cost.expected_layers(probabilities[:0]).shape == (0, len(macs))
    assert layers.shape == (4, len(macs))
    (layers @ macs).sum().backward()
    costs = probabilities.grad[0, 3]
    others = BLOCKS.batch([[8] * 3 + [op] + [8] * 18 for op in range(9)]).macs
    assert (costs - costs[8]).numpy() == pytest.approx(others - others[8], rel=1e-9)


def test_what_has_no_expected_layers() -> None:
    with pytest.raises(InvalidInputError, match="no expected layers of FBNet in the view 'quantized'"):
        module("blocks, ridge").operators("quantized")
    with pytest.raises(InvalidInputError, match="networks are counted one by one"):
        module("many, additive").operators()
    with pytest.raises(InvalidInputError, match="unknown view 'every'"):
        module("blocks, ridge").operators("every")
    with pytest.raises(InvalidInputError, match="sum to 1"):
        module("blocks, ridge").expected_layers(2 * soft(BLOCKS, 1))
