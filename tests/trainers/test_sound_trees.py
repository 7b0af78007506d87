"""Nodes of scikit-learn's trees that lead outside, round in circles or to no column are refused before use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.tree import DecisionTreeRegressor
from skops.io import dumps

from hwnas_surrogate.errors import SavedFormatError
from hwnas_surrogate.trainers.weights import from_bytes, to_bytes

NAMES = np.array(["a", "b", "c"], object)
VALUES = pd.DataFrame(np.random.default_rng(0).normal(size=(100, 3)), columns=NAMES)
COSTS = VALUES["a"] * VALUES["b"]
FORESTS: dict[str, Any] = {
    "tree": DecisionTreeRegressor(max_depth=3, random_state=0),
    "forest": RandomForestRegressor(2, max_depth=3, random_state=0),
    "boosted": GradientBoostingRegressor(n_estimators=2, random_state=0),
    "wider": make_pipeline(PolynomialFeatures(2), RandomForestRegressor(2, max_depth=3, random_state=0)),
}


def tree_of(model: Any) -> Any:
    last = model[-1] if hasattr(model, "steps") else model
    return last.tree_ if hasattr(last, "tree_") else np.ravel(last.estimators_)[-1].tree_


def node(name: str, index: int, value: int) -> Callable[[dict[str, Any]], object]:
    return lambda state: state["nodes"][name].__setitem__(index, value)


UNSOUND: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a child outside": (node("left_child", 0, 10**6), "each of its .* nodes but the root must be the child of one"),
    "a negative child": (node("right_child", 0, -7), "must be the child of one node before it"),
    "a circle": (node("left_child", 1, 0), "must be the child of one node before it"),
    "two parents": (lambda state: node("left_child", 0, state["nodes"]["right_child"][0])(state), "the child of one"),
    "a column outside": (node("feature", 0, 10**6), r"splits must read columns 0 to \d, got \d to 1000000"),
    "a negative column": (node("feature", 0, -1), "splits must read columns"),
    "another depth": (lambda state: state.update(max_depth=1), r"max_depth must be that of its nodes, \d, got 1"),
    "fewer nodes": (lambda state: state.update(node_count=1), "must be the child of one node before it"),
    "no nodes": (lambda state: state.update(node_count=0), r"node_count must be 1 to \d+, got 0"),
}


def load(model: Any, data: bytes) -> Any:
    return from_bytes({"format": "skops", "class": type(model).__name__}, data, NAMES)


@pytest.mark.parametrize("case", UNSOUND)
@pytest.mark.parametrize("kind", FORESTS)
def test_unsound_nodes_are_refused(kind: str, case: str) -> None:
    model = FORESTS[kind].fit(VALUES, COSTS)
    load(model, to_bytes(model, NAMES)[1])
    tree, (spoil, message) = tree_of(model), UNSOUND[case]
    state = {key: np.copy(part) if isinstance(part, np.ndarray) else part for key, part in tree.__getstate__().items()}
    spoil(state)
    tree.__setstate__(state)
    with pytest.raises(SavedFormatError, match=rf"is no sound tree: .*{message}"):
        load(model, dumps(model))


def change(name: str, value: float) -> Callable[[np.ndarray], object]:
    return lambda nodes: nodes[name].__setitem__(0, value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change("left", 10**6), "must be the child of one node before it"),
        (change("right", 0), "must be the child of one node before it"),
        (change("is_leaf", 1), "must be the child of one node before it"),
        (change("feature_idx", 3), "splits must read columns 0 to 2, got . to 3"),
        (change("feature_idx", -1), "splits must read columns 0 to 2, got -1 to"),
        (change("is_categorical", 1), "its splits must compare numbers, got categories"),
    ],
)
def test_unsound_nodes_of_histograms_are_refused(spoil: Callable[[np.ndarray], object], message: str) -> None:
    model = HistGradientBoostingRegressor(max_iter=2).fit(VALUES, COSTS)
    load(model, to_bytes(model, NAMES)[1])
    spoil(model._predictors[1][0].nodes)
    with pytest.raises(SavedFormatError, match=rf"_predictors\.1\.0 is no sound tree: .*{message}"):
        load(model, dumps(model))


@pytest.mark.parametrize("n_columns", [None, 0, 2, "3"])
def test_a_forest_says_how_many_columns_it_reads(n_columns: object) -> None:
    model = FORESTS["boosted"].fit(VALUES, COSTS)
    model.estimators_[0, 0].n_features_in_ = n_columns
    with pytest.raises(SavedFormatError, match=r"n_features_in_ must be an integer of at least 1|is expecting 2"):
        load(model, dumps(model))


def test_a_table_of_boosted_trees_has_one_column() -> None:
    model = FORESTS["boosted"].fit(VALUES, COSTS)
    model.estimators_ = np.repeat(model.estimators_, 2, axis=1)
    with pytest.raises(SavedFormatError, match="it must hold one tree per iteration"):
        load(model, dumps(model))
    model.fit(VALUES, COSTS).estimators_[0, 0] = DecisionTreeRegressor()
    with pytest.raises(SavedFormatError, match="it must hold fitted trees, got DecisionTreeRegressor"):
        load(model, dumps(model))
