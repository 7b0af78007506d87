"""Whole groups of networks are held out in turn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation import Evaluation, evaluate, readable, summary
from hwnas_surrogate.trainers import Surrogate
from tests.graph_tables import zoo_table

TABLE = zoo_table(2).select("phone")


@pytest.fixture(scope="module")
def by_family() -> Evaluation:
    return evaluate(TABLE, Surrogate(None, model="ridge"), by="family", n_train=10, seeds=(0, 1))


def test_each_group_is_predicted_from_the_others(by_family: Evaluation) -> None:
    assert by_family.scores["left_out"].tolist() == ["plain", "separable"] * 2
    assert set(by_family.scores["n_train"]) == {10}
    for seed, part in by_family.predictions.groupby("seed"):
        assert sorted(part["architecture"]) == sorted(TABLE.names), seed
    assert by_family.about["protocol"] == "leave one family out"
    assert (by_family.predictions["config"] == "").all()


def test_a_summary_has_a_line_for_each_group(by_family: Evaluation, tmp_path: Path) -> None:
    lines = summary(by_family.scores)
    assert lines["left_out"].tolist() == ["plain", "separable"]
    assert lines["seeds"].tolist() == [2, 2]
    assert readable(lines)["left out"].tolist() == ["plain", "separable"]
    read = Evaluation.read(by_family.write(tmp_path / "by-family.json"))
    assert read.scores["left_out"].tolist() == by_family.scores["left_out"].tolist()
    assert np.allclose(read.scores["mdape"], by_family.scores["mdape"])


def test_the_resolution_of_graphs_is_known() -> None:
    scores = evaluate(TABLE, Surrogate(None, model="ridge", calibrate=False), by="resolution").scores
    assert scores["left_out"].tolist() == ["16x16", "32x32"]
    assert scores["n_train"].tolist() == [12, 12]


def test_groups_that_can_not_be_held_out_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="unknown group of networks 'colour'"):
        evaluate(TABLE, by="colour")
    plain = TABLE.rows([row for row, family in enumerate(TABLE.labels("family")) if family == "plain"])
    with pytest.raises(InvalidInputError, match="without the family 'plain' there are 0 networks for training"):
        evaluate(plain, by="family")
