"""Probabilities and parameters that are none, and surrogates that can't give a module: clear errors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from hwnas_surrogate.errors import InvalidConfigError, InvalidInputError
from hwnas_surrogate.trainers import ExtrapolationWarning, Surrogate
from tests.trainers.differentiable_cases import BLOCKS, CELLS, Few, costs_of, fitted, module, soft


def changed(value: float, position: int = 4, op: int = 2) -> torch.Tensor:
    probabilities = soft(CELLS, 3)
    probabilities[1, position, op] = value
    return probabilities


PROBABILITIES: dict[str, tuple[Callable[[], Any], str]] = {
    "NaN": (lambda: changed(torch.nan), "finite numbers, got nan at position 'edge31' of row 1"),
    "infinite": (lambda: changed(torch.inf), "finite numbers, got inf at position 'edge31' of row 1"),
    "negative": (lambda: changed(-0.25), "must not be negative, got -0.25 at position 'edge31' of row 1"),
    "too much": (lambda: 2 * soft(CELLS, 3)[0], "must sum to 1, got 2 at position 'edge10'"),
    "zeros": (lambda: torch.zeros(6, 5), "must sum to 1, got 0 at position 'edge10'"),
    "parameters": (lambda: torch.randn(6, 5).abs() + 1, "use of_alphas"),
    "percent": (lambda: 100 * soft(CELLS, 2), "must sum to 1, got 100"),
    "ops, then positions": (
        lambda: soft(CELLS, 2).transpose(1, 2),
        r"\(n, 6, 5\): positions, then ops; got \(2, 5, 6\)",
    ),
    "another space's": (lambda: soft(BLOCKS, 2), r"NAS-Bench-201 .* got \(2, 22, 9\)"),
    "one position": (lambda: soft(CELLS, 1)[0, 0], r"got \(5,\)"),
    "numbers of ops": (lambda: torch.zeros(1, 6, dtype=torch.int64), "a tensor of torch.int64"),
    "one-hot integers": (lambda: torch.eye(5, dtype=torch.int64)[None, [0] * 6], "a tensor of torch.int64"),
    "an array": (lambda: soft(CELLS, 2).numpy(), "got ndarray"),
    "a string": (lambda: "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "got str"),
    "nothing": (lambda: None, "got NoneType"),
}


@pytest.mark.parametrize("name", PROBABILITIES)
def test_what_is_no_probabilities(name: str) -> None:
    given, message = PROBABILITIES[name]
    with pytest.raises(InvalidInputError, match=message):
        module("cells, boosted")(given())


def test_rounding_errors_are_allowed() -> None:
    cost = module("cells, boosted")
    alphas = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(0))
    hard = torch.nn.functional.gumbel_softmax(alphas, hard=True)
    assert torch.allclose(
        cost(hard), torch.from_numpy(fitted("cells, boosted").predict(hard.argmax(-1).numpy())).float()
    )
    assert torch.isfinite(cost((30 * alphas).softmax(-1))).all()


def test_ops_that_a_position_lacks() -> None:
    probabilities = torch.full((3, 4), 0.25)
    with pytest.raises(InvalidInputError, match=r"position 'depth' of differentiable-few has 3 ops: .* got 0.25"):
        module("few")(probabilities)


@pytest.mark.parametrize(
    ("alphas", "message"),
    [
        (torch.zeros(5, 6), r"of shape \(6, 5\), got \(5, 6\)"),
        (torch.full((6, 5), torch.nan), "got NaN or an infinity: has the search diverged"),
        (torch.full((6, 5), -torch.inf), "got NaN or an infinity"),
        (torch.zeros(6, 5, dtype=torch.int64), r"or one of \(ops,\) for each position"),
        ([torch.zeros(5)] * 5, r"or one of \(ops,\) for each position, got list"),
        (np.zeros((6, 5)), "got ndarray"),
        (None, "got NoneType"),
    ],
    ids=["transposed", "NaN", "infinite", "integers", "five positions", "an array", "nothing"],
)
def test_what_is_no_parameters(alphas: Any, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        module("cells, boosted").of_alphas(alphas)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf"), "1", None, True, torch.ones(2)])
def test_temperatures(temperature: Any) -> None:
    with pytest.raises(InvalidInputError, match="temperature must be a number above 0"):
        module("cells, boosted").of_alphas(torch.zeros(6, 5), temperature)


def test_a_surrogate_of_graphs_needs_a_space() -> None:
    archs = CELLS.sample(12, 0)
    surrogate = Surrogate(None, random_state=0, calibrate=False)
    surrogate.fit(CELLS.batch(archs).graphs(), costs_of(CELLS, archs))
    with pytest.raises(InvalidInputError, match=r"trained on graphs, .*: name the space .* to_torch\(space='fbnet'\)"):
        surrogate.to_torch()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExtrapolationWarning)
        cost = surrogate.to_torch(space=Few())
        checked = Few().sample(5, 0)
        expected = surrogate.predict(Few().batch(checked))
    assert cost(cost.one_hot(checked, torch.float64)).numpy() == pytest.approx(expected, rel=1e-9)
    with pytest.raises(InvalidInputError, match="allowed"):
        surrogate.to_torch(space="nasbench")


def test_another_space() -> None:
    with pytest.raises(InvalidInputError, match="is over 'nasbench201', and can't predict 'fbnet'"):
        fitted("cells, boosted").to_torch(space="fbnet")


def test_configs() -> None:
    surrogate = fitted("cells, boosted")
    with pytest.raises(InvalidConfigError):
        surrogate.to_torch("ImageNet16-120")
    with pytest.raises(InvalidConfigError):
        surrogate.to_torch("no config")
    cost = surrogate.to_torch("ImageNet16-120", extrapolate=True)
    expected = surrogate.predict([17, 4000], "ImageNet16-120", extrapolate=True)
    assert cost(cost.one_hot([17, 4000], torch.float64)).numpy() == pytest.approx(expected, rel=1e-9)
    assert cost.config == CELLS.configs["ImageNet16-120"]


def test_extrapolation_of_a_large_space() -> None:
    surrogate = fitted("blocks, ridge")
    cost = surrogate.to_torch("ImageNet", extrapolate=True)
    archs = BLOCKS.sample(3, 3)
    expected = surrogate.predict(archs, "ImageNet", extrapolate=True)
    assert cost(cost.one_hot(archs, torch.float64)).numpy() == pytest.approx(expected, rel=1e-9)
