"""The pymoo problem, and ask and tell."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.data import BlockTable, CostTable, load_table
from hwnas_surrogate.errors import InvalidInputError, MissingExtraError, UnmetBudgetsError
from hwnas_surrogate.search import AskTell, cost_problem, search
from tests.search.planted import FBNET, PI, SPACE, quality, table

BLOCK = "epyc-torch-1t-blocks/latency"


@pytest.fixture(scope="module")
def blocks() -> BlockTable:
    found = load_table("blocks")
    assert isinstance(found, BlockTable)
    return found


@pytest.fixture(scope="module")
def costs() -> CostTable:
    return table(15_625)


def wide(names: list[str]) -> list[float]:
    return [float(name.count("e6")) for name in names]


def test_the_problem_has_the_costs_and_their_excess(blocks: BlockTable) -> None:
    problem = cost_problem(
        "fbnet", ["quality", BLOCK], surrogates=blocks, quality=lambda batch: np.array(wide(list(batch.names))),
        budgets={BLOCK: 9.0, "macs": 1e8},
    )  # fmt: skip
    archs = FBNET.sample(50, 0)
    out: dict[str, Any] = problem.evaluate(archs.astype(float), return_as_dictionary=True)
    latency, macs = blocks.lookup(archs).to_numpy()[:, 0], FBNET.batch(archs).total("macs", "live")
    within = (latency <= 9) & (macs <= 1e8)
    np.testing.assert_allclose(out["G"][:, 0], np.maximum(latency / 9 - 1, 0))
    np.testing.assert_allclose(out["G"][:, 1], np.maximum(macs / 1e8 - 1, 0))
    assert (out["G"][:, 2] == 0).all()
    np.testing.assert_allclose(out["F"][:, 1], latency)
    np.testing.assert_allclose(out["F"][within, 0], -np.array(wide(FBNET.format_all(archs)))[within])
    assert problem.archs(archs[0]) == [FBNET.format(archs[0])]


def test_networks_without_a_path_break_a_constraint() -> None:
    out = cost_problem("nasbench201", ["macs", "params"]).evaluate(np.zeros((1, 6)), return_as_dictionary=True)
    assert out["G"].tolist() == [[1.0]]


def test_pymoo_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("pymoo")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pymoo", None)
    with pytest.raises(MissingExtraError, match="the extra 'search'"):
        cost_problem("fbnet", ["macs", "params"])
    with pytest.raises(MissingExtraError, match="the extra 'search'"):
        search("fbnet", "macs", evaluations=300)


def test_ask_and_tell_is_ahead_of_random_choice(costs: CostTable) -> None:
    known = quality(costs)
    by_name = known.to_dict()
    found, at_random = [], []
    for seed in range(5):
        loop = AskTell("nasbench201", surrogates=costs, budgets={PI: 8.0}, random_state=seed)
        asked: list[str] = []
        for _ in range(40):
            archs = loop.ask(5)
            loop.tell(archs, [by_name[arch] for arch in archs])
            asked += archs
        assert len(set(asked)) == len(asked) == 200
        assert (costs.lookup(asked).to_numpy()[:, 0] <= 8).all()
        found.append(loop.result(n=1).frame["quality"].iloc[0])
        random = SPACE.sample(2000, seed)
        fit = random[(costs.lookup(random).to_numpy()[:, 0] <= 8) & SPACE.connected(random)][:200]
        at_random.append(max(by_name[name] for name in SPACE.format_all(fit)))
    assert np.mean(found) > np.mean(at_random)


def test_workers_may_ask_before_others_have_told(blocks: BlockTable) -> None:
    loop = AskTell("fbnet", ["quality", BLOCK], surrogates=blocks, budgets={BLOCK: 9.0})
    waiting = [loop.ask(1)[0] for _ in range(8)]
    for _ in range(100):
        done = waiting.pop(0)
        loop.tell([done], wide([done]))
        waiting += loop.ask(1)
        assert len(waiting) == 8
    again = AskTell("fbnet", ["quality", BLOCK], surrogates=blocks, budgets={BLOCK: 9.0})
    assert [again.ask(1)[0] for _ in range(8)] != waiting


def test_failed_and_foreign_evaluations_are_taken(blocks: BlockTable) -> None:
    loop = AskTell("fbnet", surrogates=blocks, budgets={BLOCK: 8.0})
    with pytest.raises(InvalidInputError, match="no quality was told"):
        loop.result()
    first, second = loop.ask(2)
    loop.tell([first, second], [np.nan, 2.0])
    dear = "|".join(["k5_e6"] * 22)
    loop.tell([dear], [9.0])
    found = loop.result()
    assert found.picks.names == (second,)
    loop.tell([second], [3.0])
    assert loop.result().frame["quality"].tolist() == [3.0]
    only = AskTell("fbnet", surrogates=blocks, budgets={BLOCK: 3.0})
    only.tell([dear], [9.0])
    with pytest.raises(UnmetBudgetsError):
        only.result()


@pytest.mark.parametrize("qualities", [[1.0, 2.0], [np.inf], ["x"], 1.0], ids=str)
def test_wrong_qualities_are_refused(blocks: BlockTable, qualities: Any) -> None:
    loop = AskTell("fbnet", surrogates=blocks)
    with pytest.raises(InvalidInputError, match="qualities must be"):
        loop.tell(loop.ask(1), qualities)


def test_the_quality_must_be_an_objective(blocks: BlockTable) -> None:
    with pytest.raises(InvalidInputError, match="must be an objective"):
        AskTell("fbnet", BLOCK, surrogates=blocks, budgets={"quality": 3})
