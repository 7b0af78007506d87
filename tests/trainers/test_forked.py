"""Surrogates with trees predict in forked children, where XGBoost would wait for threads that are gone."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys

import pytest

# Threads of OpenMP, as on any machine with two cores; without them nothing hangs.
PREDICT_IN_CHILDREN = """
import json, multiprocessing, sys
import numpy as np
from xgboost import XGBRegressor
from hwnas_surrogate.models import BoostedRidge
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate

space = get_space("nasbench201")
archs = space.sample(300, 0)
ops = np.eye(5)[archs]
costs = 1 + 3 * ops[:, 0, 3] * ops[:, 5, 3] + 2 * ((archs == 3).sum(axis=1) >= 3)
costs *= 1 + 0.03 * np.random.default_rng(0).normal(size=len(costs))
failed = archs[:, 5] == 4
models = {
    "boosted": BoostedRidge(n_trees=30, random_state=0),
    "xgboost": XGBRegressor(n_estimators=20, max_depth=3, n_jobs=1),
    "poisson": XGBRegressor(n_estimators=20, max_depth=3, n_jobs=1, objective="count:poisson"),
    "dart": XGBRegressor(n_estimators=5, booster="dart", n_jobs=1),
}
fitted = {name: Surrogate(encoder="onehot", model=model, calibrate=False) for name, model in models.items()}
for surrogate in fitted.values():
    surrogate.fit(archs, costs, failed=failed)
assert fitted["boosted"].model_.trees_ is not None
parts = np.split(space.sample(200, 1), 4)


def inherited(task):  # a surrogate that the child has from its parent, and not by a pickle
    name, number = task
    try:
        return fitted[name].predict(parts[number])
    except ValueError as error:
        return str(error)


def told(got, wanted):
    return bool(np.array_equal(np.concatenate(got), np.concatenate(wanted)))


result = {}
expected = {name: [surrogate.predict(part) for part in parts] for name, surrogate in fitted.items()}
has_cost = [fitted["boosted"].predict_has_cost(part) for part in parts]
with multiprocessing.get_context("fork").Pool(2) as pool:
    for name in ("boosted", "xgboost"):
        result[name] = told(pool.map_async(fitted[name].predict, parts).get(60), expected[name])
        tasks = [(name, number) for number in range(4)]
        result[name + ", inherited"] = told(pool.map_async(inherited, tasks).get(60), expected[name])
    result["has a cost"] = told(pool.map_async(fitted["boosted"].predict_has_cost, parts).get(60), has_cost)
    close = np.concatenate(pool.map_async(inherited, [("poisson", number) for number in range(4)]).get(60))
    result["poisson"] = bool(np.allclose(close, np.concatenate(expected["poisson"]), rtol=1e-6, atol=0))
    result["dart"] = pool.apply_async(inherited, [("dart", 0)]).get(60)
print(json.dumps(result))
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="nothing forks here")
def test_children_predict_the_same_bits() -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PREDICT_IN_CHILDREN],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert "this XGBRegressor can't predict in a forked child process" in result["dart"]
    assert 'multiprocessing.get_context("spawn")' in result.pop("dart")
    assert result == dict.fromkeys(result, True)
