"""Change saved weights at random, as somebody would who knows how they are hashed, and load them.

Run in a process of its own: what is not refused must predict finite numbers, neither crash nor hang.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load, save
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor, RandomForestRegressor
from skops.io import dumps
from xgboost import XGBRegressor

from hwnas_surrogate.errors import SavedFormatError
from hwnas_surrogate.models import BoostedRidge, TreeClassifier
from hwnas_surrogate.trainers.weights import from_bytes, to_bytes

Arrays = dict[str, np.ndarray]

WHOLE = (-(2**31), -2, -1, 0, 1, 2, 3, 100, 2**31 - 1)
REAL = (np.nan, np.inf, -np.inf, 3e38, 1e20, -1e15, 1e-40, 0.0, 0.5)


def columns() -> tuple[pd.DataFrame, np.ndarray]:
    """Return rows, and costs that are no sum of the columns."""
    values = np.random.default_rng(0).integers(0, 3, (300, 6)).astype(float)
    frame = pd.DataFrame(values, columns=[f"x:{number}" for number in range(6)])
    return frame, 1 + 3 * (values[:, 0] * values[:, 1] > 1) + values[:, 2] + (values[:, 3] == 1) * values[:, 4]


def entry(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    changed = array.copy()
    for place in rng.integers(0, len(array), rng.integers(1, 4)):
        if array.dtype == bool:
            changed[place] ^= True
        elif rng.random() < 0.5:
            changed[place] = changed[rng.integers(len(array))]
        else:
            changed[place] = rng.choice(REAL if array.dtype.kind == "f" else WHOLE)
    return changed


CHANGES: tuple[Callable[[np.ndarray, np.random.Generator], np.ndarray], ...] = (
    entry,
    entry,
    entry,
    lambda array, rng: array[: rng.integers(len(array))],
    lambda array, rng: array[rng.integers(1, len(array) + 1) :],
    lambda array, rng: np.concatenate([array, array[: rng.integers(1, len(array) + 1)]]),
    lambda array, rng: rng.permutation(array),
    lambda array, rng: array[:, None],
    lambda array, rng: array.astype(rng.choice(["f4", "f8", "i4", "i8", "u1", "?", "f2"])),
    lambda array, rng: array.view(np.uint8),
)


def of_arrays(data: bytes, rng: np.random.Generator) -> bytes:
    """Change one array, or the bytes of the file."""
    if rng.random() < 0.2:
        changed = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 5)):
            changed[place] = rng.integers(256)
        return bytes(changed if rng.random() < 0.8 else changed[: rng.integers(len(changed))])
    arrays: Arrays = load(data)
    name = rng.choice([name for name in arrays if len(arrays[name])])
    kind = rng.random()
    if kind < 0.05:
        arrays.pop(name)
    elif kind < 0.1:
        arrays[name] = arrays[rng.choice(list(arrays))]
    else:
        arrays[name] = CHANGES[rng.integers(len(CHANGES))](arrays[name], rng)
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def of_tree(tree: Any, rng: np.random.Generator) -> None:
    """Change the state of one of scikit-learn's trees, which is all that its file holds."""
    state = tree.__getstate__()
    nodes, values = state["nodes"].copy(), state["values"].copy()
    kind = rng.integers(5)
    if kind == 0:
        state["node_count"] = int(rng.choice([0, 1, len(nodes) - 1]))  # more are cut to what there are
    elif kind == 1:
        keep = rng.integers(1, len(nodes))
        nodes, values = nodes[:keep].copy(), values[:keep].copy()
    elif kind == 2:
        state["max_depth"] = int(rng.choice([0, 1, 10**6]))
    else:
        name = rng.choice(["left_child", "right_child", "feature", "threshold"])
        nodes[name] = entry(nodes[name], rng)
    tree.__setstate__(state | {"nodes": nodes, "values": values})


def of_predictor(predictor: Any, rng: np.random.Generator) -> None:
    nodes = predictor.nodes.copy()
    name = rng.choice(["left", "right", "feature_idx", "is_leaf", "is_categorical", "value", "num_threshold"])
    if rng.random() < 0.8:
        places = rng.integers(0, len(nodes), 2)
        nodes[name][places] = rng.choice([0, 1, 2, len(nodes), 200])
    else:
        nodes = nodes[: rng.integers(len(nodes))]
    predictor.nodes = nodes


def of_forest(data: bytes, rng: np.random.Generator) -> bytes:
    from skops.io import get_untrusted_types, loads

    forest = loads(data, trusted=get_untrusted_types(data=data))
    if isinstance(forest, HistGradientBoostingRegressor):
        of_predictor(forest._predictors[rng.integers(3)][0], rng)
    else:
        of_tree(np.ravel(forest.estimators_)[rng.integers(3)].tree_, rng)
    return dumps(forest)


def outcome(said: dict[str, Any], data: bytes, rows: pd.DataFrame) -> str:
    try:
        model = from_bytes(said, data, np.asarray(rows.columns, object))
    except SavedFormatError:
        return "refused"
    predicted = model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)
    assert np.isfinite(predicted).all(), predicted
    return "finite"


def main(times: int, seed: int) -> None:
    rows, costs = columns()
    names = np.asarray(rows.columns, object)
    boosted = BoostedRidge(n_trees=8).fit(rows, costs)
    assert boosted.trees_ is not None
    of_ours = [boosted, TreeClassifier(n_trees=8).fit(rows, costs > 3), XGBRegressor(n_estimators=8).fit(rows, costs)]
    of_sklearn = [
        RandomForestRegressor(3, max_depth=3, random_state=0),
        GradientBoostingRegressor(n_estimators=3, random_state=0),
        HistGradientBoostingRegressor(max_iter=3),
    ]
    rng, counts = np.random.default_rng(seed), Counter()
    for model in (*of_ours, *(model.fit(rows, costs) for model in of_sklearn)):
        said, data = to_bytes(model, names)
        assert outcome(said, data, rows) == "finite", "unchanged"
        change = of_forest if said["format"] == "skops" else of_arrays
        for _ in range(times // 5 if said["format"] == "skops" else times):
            counts[outcome(said, change(data, rng), rows)] += 1
    print(json.dumps(counts))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
