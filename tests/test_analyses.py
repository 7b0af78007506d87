"""What holds for every analysis of a table, and what is known of real devices."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.data import BlockTable, CostTable, load_table
from hwnas_surrogate.devices import (
    additivity,
    cluster_devices,
    correlation,
    correlation_interval,
    disagreement,
    principal_directions,
    proxies,
)
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation import noise_against_error
from hwnas_surrogate.search import pareto_front
from tests.tables import noisy, table_of

ANALYSES: dict[str, Callable[[CostTable], Any]] = {
    "correlation_interval": correlation_interval,
    "principal_directions": principal_directions,
    "proxies": proxies,
    "additivity": additivity,
    "noise_against_error": noise_against_error,
    "disagreement": lambda table: disagreement(table, "a", "b"),
    "pareto_front": lambda table: pareto_front(table, ["a", "b"]),
}


@pytest.mark.parametrize("name", ANALYSES)
def test_tables_are_not_changed_and_ten_rows_do(name: str) -> None:
    costs = noisy(10)
    costs[2, 0] = np.nan
    table = table_of(costs)
    before, state = table.costs.copy(), np.random.get_state()[1].copy()  # noqa: NPY002
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ANALYSES[name](table)
    np.testing.assert_array_equal(table.costs, before)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize("name", [name for name in ANALYSES if name != "pareto_front"])
def test_what_is_no_cost_table_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"{name} needs a cost table, got BlockTable.*tabulate"):
        ANALYSES[name](BlockTable({}))  # type: ignore[arg-type]


def test_results_of_arrays_show_in_a_line() -> None:
    table = table_of(noisy())
    shown = [
        (cluster_devices(correlation(table)), "Clusters([["),
        (disagreement(table, "a", "b"), "Disagreement(a/latency and b/latency: n=80, r2=0."),
        (principal_directions(table), "PrincipalDirections(3 targets, n=80, explained: "),
    ]
    for result, start in shown:
        assert repr(result).startswith(start)
        assert len(repr(result)) < 120
        assert "\n" not in repr(result)


@pytest.mark.real_data
def test_what_is_known_of_the_devices_of_help_is_found(shared_data: Path) -> None:
    """From peers.md: eyeriss and fpga are additive; raspi4 and pixel3 see compiled ops, R2 .982 and .967."""
    table = load_table(shared_data / "nasbench201_latency.npz", "nasbench201")
    assert isinstance(table, CostTable)
    frame = additivity(table).set_index("target")
    assert set(frame.index[frame["exact"]]) == {"eyeriss/latency", "fpga/latency"}
    assert set(frame.index[frame["best_view"] == "folded"]) == {"raspi4/latency", "pixel3/latency"}
    assert frame["r2_folded"][["raspi4/latency", "pixel3/latency"]].round(3).tolist() == [0.982, 0.967]
    labels = cluster_devices(correlation(table)).cluster
    assert len({labels[f"{gpu}_256/latency"] for gpu in ("1080ti", "titanx", "titanxp")}) == 1
    assert labels["1080ti_256/latency"] != labels["1080ti_1/latency"]
