"""A surrogate as a torch module: the mean of its predictions, and the gradient of that mean."""

from __future__ import annotations

import ast
import copy
import io
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from hwnas_surrogate.networks.cells import GDASCellNetwork, GenericCellNetwork
from hwnas_surrogate.networks.fbnet_supernet import FBNetSuperNet
from hwnas_surrogate.spaces import FBNetConfig
from hwnas_surrogate.trainers import Surrogate
from hwnas_surrogate.trainers import surrogate as surrogate_module
from tests.trainers.differentiable_cases import (
    BLOCKS,
    CELLS,
    KINDS,
    RELAXED,
    One,
    few_are_soft,
    fitted,
    mean_prediction,
    module,
    soft,
)

every_kind = pytest.mark.parametrize("kind", KINDS)
exact_kinds = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in RELAXED])


@every_kind
def test_architectures_cost_what_is_predicted(kind: str) -> None:
    surrogate, cost = fitted(kind), module(kind)
    archs = cost.space.sample(min(30, cost.space.size if hasattr(cost.space, "size") else 30), 5)
    expected = surrogate.predict(archs)
    assert cost(cost.one_hot(archs, torch.float64)).numpy() == pytest.approx(expected, rel=1e-9)
    assert cost(cost.one_hot(archs)).numpy() == pytest.approx(expected, rel=2e-6)
    assert cost(cost.one_hot(archs[0], torch.float64)).numpy() == pytest.approx(expected[:1], rel=1e-9)


@every_kind
def test_only_what_has_no_short_form_is_relaxed(kind: str) -> None:
    cost = module(kind)
    assert cost.exact == (kind not in RELAXED)
    assert bool(cost.relaxation) == (kind in RELAXED)
    assert cost.error < 0.1


@exact_kinds
def test_the_cost_is_the_mean_of_the_predictions(kind: str) -> None:
    cost = module(kind)
    for seed in range(2):
        probabilities = few_are_soft(cost.space, seed, n=7)
        mean = mean_prediction(fitted(kind), probabilities)
        assert cost(probabilities).item() == pytest.approx(mean, rel=1e-9)


def test_the_mean_over_all_architectures() -> None:
    [probabilities] = soft(CELLS, 1)
    surrogate, cost = fitted("cells, default"), module("cells, default")
    assert cost(probabilities).item() == pytest.approx(mean_prediction(surrogate, probabilities), rel=1e-9)
    uniform = torch.full((6, 5), 0.2, dtype=torch.float64)
    assert cost(uniform).item() == pytest.approx(surrogate.predict(CELLS.enumerate()).mean(), rel=1e-9)


@every_kind
def test_gradients_are_those_of_finite_differences(kind: str) -> None:
    cost = module(kind)
    probabilities = soft(cost.space, 2, seed=3)
    near_one_hot = 0.92 * cost.one_hot(cost.space.sample(2, 8), torch.float64) + 0.08 * probabilities
    held = (probabilities > 0).double()  # ops that exist
    for given in (probabilities, near_one_hot):
        assert torch.autograd.gradcheck(
            lambda x: cost(x * held), given.requires_grad_(), eps=1e-6, atol=1e-5, rtol=1e-4, fast_mode=True
        )


def test_gradients_compare_the_means_of_two_ops() -> None:
    surrogate, cost = fitted("blocks, adapted"), module("blocks, adapted")
    probabilities = few_are_soft(BLOCKS, 7).requires_grad_()
    cost(probabilities).backward()
    for position in (0, 5, 21):
        means = []
        for op in (1, 8):
            changed = probabilities.detach().clone()
            changed[position] = torch.eye(9, dtype=torch.float64)[op]
            means.append(mean_prediction(surrogate, changed))
        gradient = probabilities.grad[position]
        assert (gradient[8] - gradient[1]).item() == pytest.approx(means[1] - means[0], rel=1e-6)


def test_second_derivatives_exist() -> None:
    cost, probabilities = module("cells, default"), soft(CELLS, 1, seed=3).requires_grad_()
    assert torch.autograd.gradgradcheck(cost, probabilities, atol=1e-4)


def test_a_batch_is_its_rows_and_any_shape_is_taken() -> None:
    cost, probabilities = module("blocks, default"), soft(BLOCKS, 6)
    costs = cost(probabilities)
    assert costs.shape == (6,)
    assert torch.allclose(costs, torch.stack([cost(row) for row in probabilities]), rtol=1e-12)
    assert torch.equal(cost(probabilities.view(2, 3, 22, 9)), costs.view(2, 3))
    assert cost(probabilities[0]).shape == ()
    assert cost(probabilities[:0]).shape == (0,)


def test_other_number_types() -> None:
    cost, probabilities = module("cells, default"), soft(CELLS, 4)
    assert cost(probabilities.float()).dtype == torch.float32
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert torch.allclose(cost(probabilities.to(dtype)).double(), cost(probabilities), rtol=2e-2)


@pytest.mark.parametrize("kind", ["cells, default", "blocks, xgboost"])
def test_a_converted_super_net_does_not_round_costs(kind: str) -> None:
    cost = module(kind)
    given = cost.one_hot(cost.space.sample(4, 3), torch.float64)
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        network = torch.nn.ModuleDict({"cost": copy.deepcopy(cost), "layer": torch.nn.Linear(1, 1)}).to(dtype)
        assert network["layer"].weight.dtype == dtype
        assert torch.equal(network["cost"](given), cost(given))


def test_the_softmax_of_a_super_nets_parameters() -> None:
    cost = module("cells, default")
    alphas = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    expected = cost(torch.softmax(alphas, -1))
    rows = torch.nn.ParameterList(alphas.detach().unbind(0))
    whole = torch.nn.ParameterList([alphas.detach()])
    for given in (alphas, [alphas], tuple(alphas.unbind(0)), torch.nn.Parameter(alphas.detach()), rows, whole):
        assert cost.of_alphas(given).item() == pytest.approx(expected.item(), rel=1e-6)
    cost.of_alphas(alphas).backward()
    assert alphas.grad is not None
    assert alphas.grad.abs().sum() > 0
    best = fitted("cells, default").predict(alphas.argmax(1).tolist())[0]
    for temperature in (1e-3, torch.tensor(1e-3), np.float32(1e-3), 1e-40):
        assert cost.of_alphas(alphas.double(), temperature=temperature).item() == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize(
    ("kind", "build"),
    [
        ("cells, default", lambda: GDASCellNetwork(2, 1, 4, 3, list(CELLS.ops))),
        ("cells, default", lambda: GenericCellNetwork(2, 1, 4, 3, list(CELLS.ops))),
        ("blocks, default", lambda: FBNetSuperNet(FBNetConfig(2, (2,) * 7, 4, 3), hard=True)),
    ],
    ids=["GDAS", "generic", "FBNet"],
)
def test_the_parameters_of_our_super_nets(kind: str, build: Any) -> None:
    network, cost = build(), module(kind)
    alphas = network.alphas if hasattr(network, "alphas") else network.get_alphas()
    [parameter] = [alphas] if isinstance(alphas, torch.Tensor) else alphas
    with torch.no_grad():
        parameter[:, 1] += 30.0
    expected = fitted(kind).predict([[1] * cost.space.n_positions])[0]
    latency = cost.of_alphas(alphas)
    assert latency.item() == pytest.approx(expected, rel=1e-5)
    latency.backward()
    assert parameter.grad is not None
    genotype = network.genotype if isinstance(network, GenericCellNetwork) else network.genotype()
    text = genotype if isinstance(genotype, str) else genotype.tostr()
    assert cost(cost.one_hot(text)).item() == pytest.approx(expected, rel=1e-5)


def test_positions_of_different_numbers_of_ops() -> None:
    cost = module("few")
    alphas = [torch.zeros(3, dtype=torch.float64), torch.zeros(4, dtype=torch.float64), torch.zeros(3).double()]
    mean = fitted("few").predict(cost.space.enumerate()).mean()
    assert cost.of_alphas(alphas).item() == pytest.approx(mean, rel=1e-9)
    padded = torch.full((3, 4), torch.nan, dtype=torch.float64)  # what stands where there is no op does not count
    for row, values in zip(padded, alphas, strict=True):
        row[: len(values)] = values
    assert cost.of_alphas(padded).item() == pytest.approx(mean, rel=1e-9)


def test_a_space_of_one_position() -> None:
    space = One()
    surrogate = Surrogate(space, "onehot", "ridge", random_state=0, calibrate=False).fit(
        [[0], [1], [2]], [1.0, 3.0, 4.0]
    )
    probabilities = torch.tensor([[[0.5, 0.25, 0.25]], [[0.0, 1.0, 0.0]]], dtype=torch.float64)
    predicted = surrogate.predict([[0], [1], [2]])
    expected = [probabilities[0, 0].numpy() @ predicted, predicted[1]]
    assert surrogate.to_torch()(probabilities).numpy() == pytest.approx(expected, rel=1e-9)


def test_autocast_does_not_round_costs() -> None:
    cost, probabilities = module("cells, default"), soft(CELLS, 4, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = cost(probabilities)
    assert torch.equal(inside, cost(probabilities))


def test_gradient_descent_finds_the_cheapest_architecture() -> None:
    cost, surrogate = module("cells, default"), fitted("cells, default")
    alphas = torch.zeros(6, 5, requires_grad=True)
    optimiser = torch.optim.Adam([alphas], 0.1)
    for _ in range(150):
        optimiser.zero_grad()
        cost.of_alphas(alphas).backward()
        optimiser.step()
    found = surrogate.predict(alphas.argmax(1).tolist())[0]
    assert found <= np.quantile(surrogate.predict(CELLS.enumerate()), 0.001)


@pytest.mark.parametrize("kind", ["cells, default", "blocks, default", "blocks, adapted", "blocks, xgboost"])
def test_a_thousand_architectures_take_milliseconds(kind: str) -> None:
    cost = module(kind)
    probabilities = soft(cost.space, 1000, dtype=torch.float32).requires_grad_()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = []
        for _ in range(7):
            start = time.thread_time()
            cost(probabilities).sum().backward()
            seconds.append(time.thread_time() - start)
    finally:
        torch.set_num_threads(threads)
    assert np.median(seconds) < 0.03  # 10 ms on an idle core


@pytest.mark.parametrize("kind", ["cells, default", "blocks, xgboost"])
def test_copies_and_files(kind: str) -> None:
    cost = module(kind)
    given = cost.one_hot(cost.space.sample(4, 3), torch.float64)
    expected = cost(given)
    assert torch.equal(copy.deepcopy(cost)(given), expected)
    assert torch.equal(pickle.loads(pickle.dumps(cost))(given), expected)
    file = io.BytesIO()
    torch.save(cost.state_dict(), file)
    file.seek(0)
    other = fitted(kind).to_torch()
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(given), expected)
    assert not list(cost.parameters())


def test_a_saved_surrogate_gives_the_same_module(tmp_path: Any) -> None:
    loaded = Surrogate.load(fitted("cells, default").save(tmp_path / "saved"))
    probabilities = soft(CELLS, 3)
    assert torch.allclose(loaded.to_torch()(probabilities), module("cells, default")(probabilities), rtol=1e-12)


def test_its_text_names_what_it_gives() -> None:
    text = str(module("cells, adapted with a source"))
    assert "latency of nasbench201 under" in text
    assert "exact" in text
    assert "near one-hot inputs" in str(module("blocks, xgboost"))


def test_an_unfitted_surrogate_is_refused() -> None:
    with pytest.raises(NotFittedError):
        Surrogate().to_torch()


def test_the_trainers_do_not_import_torch() -> None:
    folder = Path(surrogate_module.__file__).parent
    for path in folder.glob("*.py"):
        at_import = [
            node
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        names = [name.name for node in at_import for name in node.names]
        names += [node.module or "" for node in at_import if isinstance(node, ast.ImportFrom)]
        assert not [name for name in names if name.startswith("torch") or "differentiable" in name], path.name
