from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.report.candidates import Candidates, candidates
from hwnas_surrogate.report.parts import op_effects, operator_shares
from hwnas_surrogate.spaces import get_space
from tests.graph_tables import zoo_table


def plain(table: CostTable, quality: pd.Series[float] | None = None) -> Candidates:
    """Return a table's networks as candidates, all measured."""
    return Candidates(table, len(table), quality, {}, {}, {}, False, "")


def test_effects_of_a_sum_are_its_terms() -> None:
    space = get_space("fbnet")
    archs = space.sample(600, random_state=0)
    terms = np.random.default_rng(0).uniform(0, 1, (space.n_positions, len(space.ops)))
    costs = 5 + terms[np.arange(space.n_positions), archs].sum(axis=1)
    table = CostTable(space, archs, costs[:, None], ["phone/latency"])
    quality = pd.Series(90 - costs)
    found = op_effects(plain(table, quality))
    least = terms.min(axis=1, keepdims=True)
    assert found["0"]["fixed"] == pytest.approx(5 + least.sum(), rel=1e-4)
    np.testing.assert_allclose(np.array(found["0"]["ops"], float), terms - least, atol=1e-4)
    assert found["0"]["off"] < 1e-9
    np.testing.assert_allclose(
        np.array(found["quality"]["ops"], float), terms.max(axis=1, keepdims=True) - terms, atol=1e-4
    )
    # An op with more multiply-adds adds more of them, wherever it is.
    assert (
        np.diff(np.array(found["macs"]["ops"], float)[:, [space.ops.index("k3_e1"), space.ops.index("k3_e6")]]) > 0
    ).all()


def test_how_far_a_sum_is_off_is_told() -> None:
    sizes = get_space("natsbench-size")
    archs = sizes.sample(500, random_state=0)
    macs = sizes.batch(archs).macs  # products of neighbouring channels
    found = op_effects(plain(CostTable(sizes, archs, macs[:, None] / 1e6, ["phone/latency"])))
    assert found["0"]["off"] == pytest.approx(found["macs"]["off"])
    assert 0.001 < found["0"]["off"] < 0.2


def test_what_is_no_sum_has_no_effects() -> None:
    cells, sizes = get_space("nasbench201"), get_space("natsbench-size")
    of_cells = CostTable(cells, np.arange(300), np.ones((300, 1)), ["phone/latency"])
    assert op_effects(plain(of_cells)) == {}
    few = CostTable(sizes, sizes.sample(20, random_state=0), np.ones((20, 1)), ["phone/latency"])
    assert op_effects(plain(few)) == {}
    archs = sizes.sample(300, random_state=0)
    fast = CostTable(sizes, archs, 1e9 / sizes.batch(archs).macs[:, None], ["phone/throughput"])
    assert set(op_effects(plain(fast))) == {"macs"}
    assert op_effects(plain(zoo_table(2))) == {}


def test_shares_of_operators_are_those_of_the_explanation() -> None:
    table = zoo_table(1)
    made = candidates(table.select(table.targets[0]), table.targets[:1], None, None, None, 0)
    (shares,) = operator_shares(made)
    assert sorted(map(int, shares)) == list(range(len(table)))
    surrogate = made.surrogates[table.targets[0]]
    row = int(np.argmax(table.batch.total("macs", "live")))
    frame = surrogate.explain(table.batch.take([row])).frame
    expected = (frame.groupby("operator")["share"].sum() / 100).to_dict()
    named = dict(shares[str(row)])
    others = named.pop("others", 0.0)
    assert list(named.values()) == sorted(named.values(), reverse=True)
    for operator, share in named.items():
        assert share == pytest.approx(expected[operator], abs=1e-4)
    assert sum(named.values()) + others == pytest.approx(1, abs=1e-3)


def test_architectures_have_no_shares() -> None:
    cells = get_space("nasbench201")
    table = CostTable(cells, [0, 1, 2], np.ones((3, 1)), ["phone/latency"])
    assert operator_shares(plain(table)) == [{}]
