"""Surrogates fit and predict in forked children, where OpenMP libraries would wait for threads that are gone."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys

import pytest

# Threads of OpenMP, as on any machine with two cores; without them nothing hangs.
IN_CHILDREN = """
import json, multiprocessing, sys
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBRegressor
from hwnas_surrogate.models import MLP, BoostedRidge
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate

space = get_space("nasbench201")
archs = space.sample(1200, 0)
ops = np.eye(5)[archs]
costs = 1 + 3 * ops[:, 0, 3] * ops[:, 5, 3] + 2 * ((archs == 3).sum(axis=1) >= 3)
costs *= 1 + 0.03 * np.random.default_rng(0).normal(size=len(costs))
failed = archs[:, 5] == 4
models = {
    "boosted": BoostedRidge(n_trees=30, random_state=0),
    "xgboost": XGBRegressor(n_estimators=20, max_depth=3),
    "poisson": XGBRegressor(n_estimators=20, max_depth=3, n_jobs=1, objective="count:poisson"),
    "dart": XGBRegressor(n_estimators=5, booster="dart", n_jobs=2),
    "histograms": HistGradientBoostingRegressor(max_iter=10),
    "pipeline": make_pipeline(StandardScaler(), XGBRegressor(n_estimators=5)),
    "neighbours": make_pipeline(StandardScaler(), KNeighborsRegressor(3)),
    "mlp": MLP(hidden=(8,), steps=20, random_state=0),
}


def fit(name):
    return Surrogate(encoder="onehot", model=models[name], calibrate=False).fit(archs, costs, failed=failed)


fitted = {name: fit(name) for name in models}
assert fitted["boosted"].model_.trees_ is not None
parts = np.split(space.sample(400, 1), 2)


def inherited(task):  # a surrogate that the child has from its parent, and not by a pickle
    name, number = task
    return fitted[name].predict(parts[number])


def fitted_again(name):
    return fit(name).predict(parts[0])


def pickled(task):
    surrogate, part = task
    return surrogate.predict(part)


def ask(function, tasks):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map_async(function, tasks, chunksize=1).get(60)


expected = {name: [surrogate.predict(part) for part in parts] for name, surrogate in fitted.items()}
wanted = np.concatenate([each for both in expected.values() for each in both])
has_cost = [fitted["boosted"].predict_has_cost(part) for part in parts]
result = {
    "pickled": np.concatenate(ask(pickled, [(fitted[name], part) for name in models for part in parts])) - wanted,
    "inherited": np.concatenate(ask(inherited, [(name, number) for name in models for number in (0, 1)])) - wanted,
    "has a cost": np.concatenate(ask(fitted["boosted"].predict_has_cost, parts)) - np.concatenate(has_cost),
    # With fewer threads, sums may have other last digits.
    "fitted": np.round(np.concatenate(ask(fitted_again, models)) / wanted.reshape(-1, 2, 200)[:, 0].ravel(), 3) - 1,
}
print(json.dumps({name: float(np.abs(off).max()) for name, off in result.items()}))
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="nothing forks here")
def test_children_answer_what_their_parent_does() -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IN_CHILDREN],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        # Threads that wait sleep: on a busy machine, those that spin take longer than the fits.
        env={**os.environ, "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {"pickled": 0, "inherited": 0, "has a cost": 0, "fitted": 0}
