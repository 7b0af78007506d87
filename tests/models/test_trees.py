"""Trees predict the bits that XGBoost predicts, and can't be unsound."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from xgboost import DMatrix, QuantileDMatrix, XGBRegressor, XGBRFRegressor, train

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models.trees import Trees


def rows(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 7))
    values[rng.random(values.shape) < 0.05] = np.nan
    return values


def costs(values: np.ndarray) -> np.ndarray:
    known = np.nan_to_num(values)
    return 37 + 100 * known[:, 0] * known[:, 1] + known[:, 2]


@pytest.fixture(scope="module")
def booster() -> Any:
    values = rows(1000, 0)
    return train({"max_depth": 5, "nthread": 1}, QuantileDMatrix(values, costs(values), nthread=1), 40)


@pytest.fixture(scope="module")
def asked() -> np.ndarray:
    values = rows(3000, 1)
    values[0], values[1], values[2] = np.inf, -np.inf, 1e300
    return values


@pytest.fixture(scope="module")
def trees(booster: Any) -> Trees:
    return Trees.from_booster(booster)


def test_trees_rebuilt_from_arrays_give_the_same_bits(trees: Trees, booster: Any, asked: np.ndarray) -> None:
    expected = booster.inplace_predict(asked)
    rebuilt = Trees.from_arrays(trees.to_arrays(), 7)  # whose booster is built from the arrays
    for predicted in (trees.predict(asked), rebuilt.predict(asked)):
        assert predicted.dtype == np.float32
        assert np.array_equal(predicted, expected)
    for n in (0, 1):
        assert np.array_equal(rebuilt.predict(asked[:n]), expected[:n])
    assert np.array_equal(rebuilt.predict(asked[3:, ::-1][:, ::-1].astype(np.float32)), expected[3:])


@pytest.mark.parametrize(
    "model",
    [
        XGBRegressor(n_estimators=5, gamma=0.1, tree_method="exact"),
        XGBRegressor(n_estimators=5, max_depth=0, max_leaves=100, grow_policy="lossguide"),
        XGBRegressor(n_estimators=4, num_parallel_tree=3, subsample=0.5),
        XGBRegressor(n_estimators=3, gamma=1e9),
        XGBRFRegressor(n_estimators=7),
    ],
    ids=["with cut-off nodes", "deep", "forests", "leaves only", "forest"],
)
def test_trees_of_every_shape(model: Any, asked: np.ndarray) -> None:
    values = rows(500, 2)
    booster = model.fit(values, costs(values)).get_booster()
    trees = Trees.from_booster(booster, statistics=True)
    assert np.array_equal(Trees.from_arrays(trees.to_arrays(), 7).predict(asked), booster.inplace_predict(asked))
    again = XGBRegressor()
    again.load_model(bytearray(trees.to_model()))
    assert np.array_equal(again.predict(asked), booster.inplace_predict(asked))
    assert again.get_booster().get_score(importance_type="gain") == booster.get_score(importance_type="gain")


@pytest.mark.parametrize("again", [copy.deepcopy, lambda trees: pickle.loads(pickle.dumps(trees))])
def test_a_copy_holds_arrays_only(again: Callable[[Trees], Trees], trees: Trees, asked: np.ndarray) -> None:
    trees.predict(asked)
    copied = again(trees)
    assert "_booster" not in vars(copied)
    assert np.array_equal(copied.predict(asked), trees.predict(asked))
    with pytest.raises(ValueError, match="read-only"):
        copied.value[0] = 1


def test_other_rows_are_refused(trees: Trees) -> None:
    with pytest.raises(InvalidInputError, match=r"trees take rows of 7 columns, got shape \(2, 6\)"):
        trees.predict(np.zeros((2, 6)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"booster": "dart"}, "booster must be gbtree, got dart"),
        ({"booster": "gblinear"}, "booster must be gbtree, got gblinear"),
        ({"objective": "survival:cox"}, "objective must be one of reg:squarederror, .*, got survival:cox"),
        ({"objective": "multi:softprob", "num_class": 3}, "objective must be one of .* got multi:softprob"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_is_no_sum_of_trees_is_refused(settings: dict[str, Any], message: str) -> None:
    values = rows(100, 0)
    booster = train({"nthread": 1, **settings}, DMatrix(values, np.arange(100) % 3), 2)
    with pytest.raises(InvalidInputError, match=message):
        Trees.from_booster(booster)


def test_several_outputs_and_categories_are_refused() -> None:
    values = rows(100, 0)
    several = XGBRegressor(n_estimators=2).fit(values, np.column_stack([np.arange(100.0), np.ones(100)]))
    with pytest.raises(InvalidInputError, match="must have one output, got several"):
        Trees.from_booster(several.get_booster())
    kinds = np.arange(100.0)[:, None] % 4
    categorical = XGBRegressor(n_estimators=2, enable_categorical=True, feature_types=["c"], max_cat_to_onehot=1)
    with pytest.raises(InvalidInputError, match="must split numbers, got categorical splits"):
        Trees.from_booster(categorical.fit(kinds, kinds[:, 0] % 3).get_booster())


def change(name: str, index: Any, value: Any) -> Callable[[dict[str, np.ndarray]], object]:
    return lambda arrays: arrays[name].__setitem__(index, value)


def replaced(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict[str, np.ndarray]], object]:
    return lambda arrays: arrays.update({name: change(arrays[name])})


UNSOUND: dict[str, tuple[Callable[[dict[str, np.ndarray]], object], str]] = {
    "a column too far": (change("feature", 0, 7), "must split columns 0 to 6, and have -1 at leaves, got -1 to 7"),
    "a column before the first": (change("feature", 0, -2), "got -2 to"),
    "a leaf for a root": (change("feature", 0, -1), "two nodes for each of its splits"),
    "a split for a leaf": (lambda a: a["feature"].put(np.flatnonzero(a["feature"] < 0)[-1], 0), "two nodes for each"),
    "a split at the end": (lambda a: a["feature"].put([-1, -2, -3], [0, 0, 0]), "two nodes for each"),
    "no threshold": (change("value", 3, np.nan), r"value of trees must hold finite numbers of up to 2e\+19, got nan"),
    "an infinite leaf": (change("value", -1, np.inf), "value of trees must hold finite numbers .*got inf"),
    "a huge leaf": (change("value", -1, -1e20), r"got -1e\+20"),
    "no base": (change("base", 0, np.nan), "base of trees must be a float32 of up to .*got nan"),
    "two bases": (replaced("base", lambda a: np.repeat(a, 2)), r"base of trees must be one float32, got .* \(2,\)"),
    "a base of float64": (replaced("base", lambda a: a.astype(float)), "one float32, got float64"),
    "no trees": (lambda a: a.update({name: a[name][:0] for name in a if name != "base"}), "1 to 100,000 trees"),
    "an empty tree": (change("sizes", 0, 0), "sizes of trees must be at least 1"),
    "a negative tree": (change("sizes", 0, -5), "sizes of trees must be at least 1"),
    "sizes that overflow": (change("sizes", slice(0, 2), 2**31 - 1), "add up to the .* nodes"),
    "a tree that is missing": (replaced("sizes", lambda a: a[1:]), "add up to the .* nodes"),
    "another length": (replaced("value", lambda a: a[1:]), "value of trees must hold one entry per node"),
    "another type": (replaced("feature", lambda a: a.astype(np.int64)), "feature .*row of int32, got int64"),
    "another shape": (replaced("value", lambda a: a[:, None]), "value .*row of float32, got float32 of"),
    "nothing": (lambda a: a.clear(), "arrays of trees are missing: feature, value, missing_left, sizes, base"),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_unsound_trees_are_refused(case: str, trees: Trees) -> None:
    spoil, message = UNSOUND[case]
    arrays = {name: array.copy() for name, array in trees.to_arrays().items()}
    spoil(arrays)
    with pytest.raises(InvalidInputError, match=message):
        Trees.from_arrays(arrays, 7)


def test_too_many_and_too_deep_trees_are_refused() -> None:
    one = np.full(100_001, -1, np.int32)
    with pytest.raises(InvalidInputError, match="there must be 1 to 100,000 trees"):
        Trees(one, one.astype(np.float32), one > 0, -one, 0.0, 1)
    chain = np.array([0, *[-1, 0] * 1000, -1, -1], np.int32)  # the right child of each split is a split
    with pytest.raises(InvalidInputError, match="at most 1000 splits deep"):
        Trees(chain, chain.astype(np.float32), chain > 0, np.array([len(chain)], np.int32), 0.0, 1)
