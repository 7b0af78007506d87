"""A user's space of PyTorch modules: choices and build are enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hwnas_surrogate import CostTable, Graph, ModuleSpace, Surrogate, SurrogateSuite, build_network, load_table
from hwnas_surrogate.capture import capture
from hwnas_surrogate.checks import check_encoder, check_space
from hwnas_surrogate.data import write_parquet
from hwnas_surrogate.errors import InvalidArchitectureError, InvalidGraphError, InvalidInputError
from hwnas_surrogate.evaluation import evaluate
from hwnas_surrogate.features import Combined, LayerPhysics
from hwnas_surrogate.networks import example_inputs
from hwnas_surrogate.search import suggest
from hwnas_surrogate.spaces import get_space
from tests.capture.own_spaces import Lines, Tower, Words


@pytest.fixture
def tower() -> Tower:
    return Tower()


def declared(build: Any, **more: Any) -> ModuleSpace:
    made: type[ModuleSpace] = type(
        "Declared",
        (ModuleSpace,),
        {"name": "declared", "choices": [(1, 2)], "input_shape": (3, 8, 8), "build": build, **more},
    )
    return made()


# -- what follows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [Tower, Words], ids=lambda kind: kind.name)
def test_the_contract_holds(space: type[ModuleSpace]) -> None:
    check_space(space(), 4)


@pytest.mark.parametrize("encoder", [Combined, LayerPhysics])
def test_encoders_keep_their_contract(tower: Tower, encoder: Any) -> None:
    check_encoder(encoder(tower))


def test_its_graphs_are_those_of_its_modules(tower: Tower) -> None:
    for arch in tower.sample(5, 0):
        module = tower.build(tower.values(arch), tower.default_config).eval()
        assert tower.graph(arch) == Graph.from_torch(module, torch.zeros(1, 3, 8, 8))
    assert tower.graph(0, "3x12x12").inputs[0].shape == (1, 3, 12, 12)


def test_inputs_may_depend_on_the_architecture() -> None:
    words = Words()
    assert [words.graph(index).inputs[0] for index in (0, 2)] != [words.graph(0).inputs[0]] * 2
    assert words.graph(2).inputs[0].shape == (1, 10)
    assert words.graph(2).inputs[0].dtype == "int64"
    (tokens,) = example_inputs("words", 2)
    assert (tokens.shape, tokens.dtype, tokens.device.type) == ((1, 10), torch.int64, "cpu")
    assert build_network(2, space="words")(tokens).shape == (1, 10, 2)


def test_architectures_that_are_one_network_have_one_canonical_form(tower: Tower) -> None:
    texts = [f"depth={depth},width=4,kernel1=1,kernel3={kernel}" for depth in (1, 3) for kernel in (1, 3)]
    first, same, third, other = tower.canonical(texts)
    assert first == same
    assert len({first, third, other}) == 3


def test_a_network_is_built_from_any_form(tower: Tower) -> None:
    values = tower.values(7)
    for arch in (7, values, tower.format(7), tower.at(7)):
        network = build_network(arch, space=tower, random_state=0)
        assert not network.training
        assert network(torch.zeros(2, 3, 8, 8)).shape == (2, 10)
        assert next(network.parameters()).device.type == "cpu"
    same = [build_network(7, space=tower, random_state=0).state_dict()["0.weight"] for _ in range(2)]
    assert torch.equal(*same)


def test_names_of_positions_may_be_those_of_published_dicts() -> None:
    space = declared(
        lambda self, arch, config: nn.Conv2d(3, arch["channels"], 1), choices={"channels": (4, 8), "C": (1,)}
    )
    assert build_network({"channels": 8, "C": 1}, space=space)(torch.zeros(1, 3, 8, 8)).shape[1] == 8
    with pytest.raises(InvalidArchitectureError, match="unknown value of declared's channels '5'"):
        build_network({"channels": 5, "C": 1}, space=space)


def test_it_is_learned_evaluated_saved_and_suggested(tower: Tower, tmp_path: Path) -> None:
    archs = tower.enumerate()
    macs = tower.batch(archs).macs
    table = CostTable(tower, archs, np.column_stack([macs / 1e3 + 1, macs + 9]), ["a/latency", "a/energy"])
    write_parquet(table, tmp_path / "tower.parquet")
    again = load_table(tmp_path / "tower.parquet")
    assert again.space is tower
    suite = SurrogateSuite(tower).fit_table(again.rows(range(0, 36, 2)))
    suite.save(tmp_path / "saved")
    predicted = SurrogateSuite.load(tmp_path / "saved").predict(archs[1::2])
    assert np.median(np.abs(predicted.to_numpy()[:, 0] / table.costs[1::2, 0] - 1)) < 0.2
    scores = evaluate(table.select("a/latency"), Surrogate(tower, model="ridge"), seeds=[0]).scores
    assert scores["kendall_tau"][0] > 0.7
    assert len(suggest(tower, 4)) == 4


def test_predictions_of_captured_graphs_are_those_of_architectures(tower: Tower) -> None:
    archs = tower.enumerate()
    graphs = capture(tower, archs)
    assert graphs.names == tuple(tower.format_all(archs))
    fitted = Surrogate(None, encoder="physics").fit(graphs, graphs.macs / 1e3 + 1)
    np.testing.assert_array_equal(fitted.predict(tower.batch(archs)), fitted.predict(graphs))


# -- what is refused ---------------------------------------------------------------------------------------


def test_an_error_of_build_names_the_architecture() -> None:
    with pytest.raises(InvalidGraphError, match="lines, width=113 under 8: build fails: ValueError: no thirteens"):
        Lines().graph({"width": 113})


def test_an_error_of_the_forward_pass_names_the_architecture() -> None:
    space = declared(lambda self, arch, config: nn.Conv2d(5, 1, 1))
    with pytest.raises(InvalidGraphError, match="declared, 0=1 under 3x8x8: Conv2d fails on the example inputs"):
        space.graph(0)


@pytest.mark.parametrize("made", [None, 3, nn.Conv2d])
def test_build_returns_a_module(made: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"Declared\.build must return a torch\.nn\.Module, got"):
        declared(lambda self, arch, config: made).graph(0)


def test_a_space_without_inputs_or_build_is_explained() -> None:
    with pytest.raises(InvalidInputError, match="Declared has neither an input_shape"):
        declared(lambda self, arch, config: nn.Conv2d(3, 1, 1), input_shape=()).graph(0)
    bare = type("Bare", (ModuleSpace,), {"name": "bare", "choices": [(1,)], "input_shape": (3,)})
    with pytest.raises(InvalidInputError, match=r"Bare has no method build\(arch, config\)"):
        bare().graph(0)


def test_a_module_that_computes_with_its_weights_is_built_on_the_cpu() -> None:
    def build(self: ModuleSpace, arch: Any, config: Any) -> nn.Module:
        weight = torch.ones(3, 3, 1, 1)
        return nn.Conv2d(3, int(weight.sum()), 1)

    assert declared(build).graph(0).values[-1].shape == (1, 9, 8, 8)


def test_capturing_draws_no_random_numbers(tower: Tower) -> None:
    before = torch.get_rng_state()
    capture(tower, tower.sample(3, 0), "3x10x10", cache=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_capture_is_for_spaces_of_modules() -> None:
    with pytest.raises(InvalidInputError, match=r"capture takes a ModuleSpace, .* got NASBench201"):
        capture("nasbench201", 0)
    with pytest.raises(InvalidInputError, match="n_jobs must be a number of processes"):
        capture(Tower(), 0, n_jobs=0)
    assert get_space("tower") is Tower()
