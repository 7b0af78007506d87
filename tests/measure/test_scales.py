"""How slow boards are, from what several of them measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.measure.scales import agreement, board_scales, pooled
from hwnas_surrogate.runner.protocol import Protocol, Readings

HOW = Protocol(passes=2, repeats=2, max_repeats=2)
SCALES = {"a": 0.9, "b": 1.0, "c": 1.2}


def entries(
    seed: int, boards: Mapping[str, float], shared: int, noise: float = 0.01, odd: float = 1.0
) -> dict[str, list[dict[str, Any]]]:
    """Return the journals of boards that each measured networks of their own, and of which ``shared`` went around.

    ``odd`` is how much longer the first four shared networks take on the first board.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, list[dict[str, Any]]] = {}
    of_shared = np.exp(rng.normal(1.0, 1.0, shared))
    for name, scale in boards.items():
        found[name] = []
        for number in range(2):
            names = [f"shared-{n}" for n in range(shared)] + [f"{name}-{n}" for n in range(6)]
            times = np.concatenate([[2.0], of_shared, np.full(6, 3.0)]) * scale
            if name == next(iter(boards)):
                times[1 : min(shared, 4) + 1] *= odd
            found[name].append({"pass": number, "subjects": [[each, "", ""] for each in names]})
            for _ in range(2):
                ns = times * np.exp(noise * rng.standard_normal(len(times))) * 1e6
                found[name].append({"ns": {str(n): round(value) for n, value in enumerate(ns.tolist())}})
            found[name].append({"seconds": {"load": 0.0, "run": 0.0}})
    return found


def readings(of: Mapping[str, list[dict[str, Any]]]) -> dict[str, Readings]:
    return {name: Readings(HOW, lines) for name, lines in of.items()}


@pytest.mark.parametrize("seed", range(5))
def test_they_are_found_within_their_error(seed: int) -> None:
    scales = board_scales(readings(entries(seed, SCALES, 20)))
    assert np.log([scale.scale for scale in scales.values()]).sum() == pytest.approx(0.0, abs=1e-9)
    for one, other in (("b", "a"), ("c", "b")):
        wrong = np.log(scales[one].scale / scales[other].scale / (SCALES[one] / SCALES[other]))
        errors = [scales[name].error or np.nan for name in (one, other)]
        assert abs(wrong) < 4 * np.hypot(*errors) < 0.03
    assert {scale.networks for scale in scales.values()} == {21}


def test_a_few_odd_networks_do_not_move_them() -> None:
    scales = board_scales(readings(entries(100, SCALES, 20, odd=1.5)))
    assert scales["b"].scale / scales["a"].scale == pytest.approx(1 / 0.9, rel=0.02)


def test_by_the_anchor_alone() -> None:
    scales = board_scales(readings(entries(101, SCALES, 0)))
    assert scales["c"].scale / scales["a"].scale == pytest.approx(1.2 / 0.9, rel=0.03)
    assert {(scale.error, scale.networks) for scale in scales.values()} == {(None, 1)}


def test_a_board_without_readings_has_none() -> None:
    of = readings(entries(102, {"a": 1.0}, 3)) | {"b": Readings(HOW)}
    assert board_scales(of).keys() == {"a"}
    assert board_scales(of)["a"].scale == 1.0
    assert board_scales({"b": Readings(HOW)}) == {}
    assert agreement({"b": Readings(HOW)}, {}) == {"between_boards": None, "within_board": None, "pairs": 0}


def test_boards_that_differ_by_more_than_a_scale_show() -> None:
    alike, odd = (readings(entries(103, {"a": 0.9, "b": 1.1}, 8, odd=factor)) for factor in (1.0, 2.0))
    same, other = (agreement(of, board_scales(of)) for of in (alike, odd))
    assert same["pairs"] == other["pairs"] == 8
    assert same["between_boards"] is not None
    assert same["within_board"] is not None
    assert other["between_boards"] is not None
    assert same["between_boards"] < 3 * same["within_board"] < 0.05
    assert other["between_boards"] > 0.1


def test_pooled_times_are_on_one_scale() -> None:
    of = entries(104, SCALES, 10, noise=0.0)
    together = pooled(HOW, of, board_scales(readings(of)))
    for name in ("a-0", "b-0", "c-0"):  # equal networks, each measured by one board
        [first, second] = together.quartiles((name, "", ""))
        assert first == pytest.approx(3.0 * np.prod([*SCALES.values()]) ** (1 / 3), rel=1e-4)
        assert first == pytest.approx(second, rel=1e-4)
