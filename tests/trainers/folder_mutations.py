"""Change saved folders at random, as somebody would who knows how they are hashed, load them and predict.

Run in a process of its own: what is not refused must predict one finite number per network, neither crash nor hang.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.svm import SVR
from xgboost import XGBRegressor

from hwnas_surrogate.errors import InvalidInputError, SavedFormatError
from hwnas_surrogate.features import LayerPhysics
from hwnas_surrogate.models import MLP, AdditiveExact, BoostedRidge, LeaveOneOutRidge, LogRidge, PhysicsGP
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite, TransferSurrogate
from tests.trainers.mutations import REAL, WHOLE, of_arrays, of_forest

SPACE = get_space("nasbench201")
QUERIES = SPACE.sample(20, 5)
TEXTS = ("", "latency", "energy", "throughput", "cifar100", "Surrogate", "nasbench201", "fbnet", "x" * 500, "../x")


def fitted() -> dict[str, Any]:
    """Return a surrogate or suite of each kind that is saved."""
    archs = SPACE.sample(100, 0)
    ops = np.eye(5)[archs]
    exact = 2 + (archs == 4).sum(axis=1) + 0.5 * ops[:, 1, 2]
    costs = SPACE.batch(archs).total("macs", "live") / 2e7 + 3 * ops[:, 0, 3] * ops[:, 5, 3] + exact
    costs *= np.random.default_rng(0).normal(1, 0.01, len(costs))
    failed = archs[:, 5] == 4
    boosted = BoostedRidge(n_trees=8)
    own = {
        "additive": ("onehot", AdditiveExact(), exact),
        "boosted": ("onehot", boosted, costs),
        "ridge": ("counts", LeaveOneOutRidge(), costs),
        "products": (LayerPhysics(), LogRidge(n_trees=8), costs**2),
        "mlp": ("onehot", MLP(hidden=(8, 4), steps=20, random_state=0), costs),
        "physics": (LayerPhysics(), PhysicsGP(), costs),
        "xgboost": ("counts", XGBRegressor(n_estimators=8, n_jobs=1), costs),
        "forest": ("counts", RandomForestRegressor(3, max_depth=3, random_state=0), costs),
        "histograms": ("counts", HistGradientBoostingRegressor(max_iter=3), costs),
        "machine": ("counts", SVR(), costs),
        "default": (None, None, costs),
    }
    found: dict[str, Any] = {
        name: Surrogate(encoder=encoder, model=model, random_state=0).fit(archs, y, failed=failed)
        for name, (encoder, model, y) in own.items()
    }
    few = np.arange(30)
    configs = ["cifar10" if row % 2 else "cifar100" for row in range(60)]
    suite = SurrogateSuite(random_state=0).fit(archs[:60], {"a/latency": costs[:60], "b/energy": costs[:60] ** 2})
    found |= {
        "constant": Surrogate().fit(archs, np.full(len(archs), 2.0)),
        "stack": Surrogate().fit(archs[few], costs[few]),
        "throughput": Surrogate(metric="throughput", encoder="counts", model="ridge").fit(archs, 1 / costs),
        "memory": Surrogate(metric="peak_memory").fit(archs, costs),
        "configs": Surrogate(encoder="counts", model="ridge").fit(archs[:60], costs[:60], configs),
        "suite": suite,
        "transfer": TransferSurrogate(sources=suite).fit(archs[few], costs[few]),
        "ranking": TransferSurrogate(sources=suite).fit([], []),
    }
    return found


def changed_value(value: Any, rng: np.random.Generator) -> Any:
    """Change a value of a manifest, or something within it."""
    kind = rng.random()
    if isinstance(value, (dict, list)) and value and kind < 0.85:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[rng.integers(len(keys))]
        copy = value.copy()
        if kind < 0.05:
            copy.pop(key)
        elif kind < 0.1:
            copy[key] = copy[keys[rng.integers(len(keys))]]
        else:
            copy[key] = changed_value(value[key], rng)
        return copy
    some = (None, True, [], {}, [value], {"a": value}, *map(float, REAL), *WHOLE, *TEXTS, 10**400)
    return some[rng.integers(len(some))]


def save_changed(original: Path, folder: Path, rng: np.random.Generator) -> None:
    """Copy a folder, with a change in its manifest or in a file of weights, and right hashes."""
    shutil.copytree(original, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.pop("sha256")
    parts = list(parts_of([*manifest["surrogates"], *manifest["sources"]]))
    if rng.random() < 0.35:
        key = ("surrogates", "surrogates", "surrogates", "sources", "space", "calibrate", "random_state", "info")
        chosen = key[rng.integers(len(key))]
        manifest[chosen] = changed_value(manifest[chosen], rng)
    else:
        part = parts[rng.integers(len(parts))]
        data = (folder / part["weights"]["file"]).read_bytes()
        change = of_forest if part["model"]["format"] == "skops" and part["model"]["class"] != "SVR" else of_arrays
        try:
            data = change(data, rng)
        except Exception:  # noqa: BLE001 -- a file that is no arrays: other bytes
            data = bytes(rng.permutation(np.frombuffer(data, np.uint8)[:2000])) + data[2000:]
        sha256 = hashlib.sha256(data).hexdigest()
        name = f"x-{sha256[:16]}.{part['weights']['file'].rpartition('.')[2]}"
        (folder / name).write_bytes(data)
        part["weights"] |= {"file": name, "sha256": sha256}
    manifest["sha256"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def parts_of(entries: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for entry in entries:
        yield from (part for part in entry["parts"].values() if part is not None)
        yield from parts_of(entry.get("sources", []))


def outcome(kind: type[Any], folder: Path) -> str:
    try:
        loaded = kind.load(folder)
    except SavedFormatError:
        return "refused"
    n = len(QUERIES)
    members = list(loaded.surrogates_.values()) if isinstance(loaded, SurrogateSuite) else [loaded]
    for member in members:
        config = member.configs_[0]
        answers = {"predict": (n,), "predict_has_cost": (n,)}
        if member.calibration_ is not None and member.n_train_:
            answers["predict_interval"] = (n, 2)
        for method, shape in answers.items():
            try:
                given = np.asarray(getattr(member, method)(QUERIES, config))
            except InvalidInputError as error:
                if "a coverage of 0.9" in str(error):  # it was fitted to so few costs
                    continue
                raise
            assert given.shape == shape, (method, given.shape)
            assert given.dtype == np.float64, (method, given.dtype)
            assert np.isfinite(given).all(), (method, given)
    if isinstance(loaded, SurrogateSuite):
        assert np.isfinite(loaded.predict(QUERIES, config).to_numpy()).all()
    return "finite"


def main(times: int, seed: int, *names: str) -> None:
    rng = np.random.default_rng(seed)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for name, thing in fitted().items():
        if names and name not in names:
            continue
        with tempfile.TemporaryDirectory() as directory:
            original = thing.save(Path(directory) / "original")
            assert outcome(type(thing), original) == "finite", "unchanged"
            for number in range(times):
                folder = Path(directory) / str(number)
                save_changed(original, folder, rng)
                began = time.monotonic()
                try:
                    counts[name][outcome(type(thing), folder)] += 1
                except Exception as error:  # noqa: BLE001 -- what is looked for
                    counts[name]["fault"] += 1
                    places = [
                        f"{Path(at.filename).name}:{at.lineno}" for at in traceback.extract_tb(error.__traceback__)
                    ]
                    print(name, number, f"{error!r:.300}", *places[-4:], file=sys.stderr)
                if time.monotonic() - began > 5:
                    print(name, number, "slow", time.monotonic() - began, file=sys.stderr)
                shutil.rmtree(folder)
    print(json.dumps(counts))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
