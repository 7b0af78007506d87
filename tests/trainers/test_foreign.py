"""Of scikit-learn's estimators those are loaded whose arrays are checked: others are refused with the reason."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import NMF, PCA
from sklearn.ensemble import (
    BaggingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    StackingRegressor,
)
from sklearn.isotonic import IsotonicRegression
from sklearn.kernel_approximation import PolynomialCountSketch
from sklearn.linear_model import PoissonRegressor, Ridge, RidgeCV, SGDRegressor
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, QuantileTransformer, StandardScaler
from sklearn.svm import SVR, LinearSVR, NuSVR
from skops.io import dumps
from xgboost import XGBRegressor

from hwnas_surrogate.errors import SavedFormatError
from hwnas_surrogate.trainers.weights import from_bytes, to_bytes

NAMES = np.array(["a", "b", "c"], object)
ROWS = pd.DataFrame(np.random.default_rng(0).uniform(size=(60, 3)), columns=NAMES)
COSTS = 1 + ROWS["a"] * ROWS["b"]
LOADED: list[Any] = [
    NuSVR(),
    LinearSVR(max_iter=100_000, random_state=0),
    SGDRegressor(random_state=0),
    RidgeCV(),
    PLSRegression(2),
    PoissonRegressor(),
    BaggingRegressor(Ridge(), 3, random_state=0),
    KNeighborsRegressor(3, algorithm="brute", weights="distance"),
    RandomForestRegressor(2, random_state=np.random.RandomState(0)),
    StackingRegressor([("ridge", Ridge()), ("forest", RandomForestRegressor(2, random_state=0))]),
    make_pipeline(QuantileTransformer(n_quantiles=10), PCA(2), Ridge()),
    make_pipeline(ColumnTransformer([("a", StandardScaler(), ["a", "b"])], remainder="passthrough"), Ridge()),
]
REFUSED: list[tuple[Any, str]] = [
    (make_pipeline(MinMaxScaler(), NMF(2, max_iter=1000), Ridge()), "sklearn.decomposition._nmf.NMF"),
    (make_pipeline(KMeans(2, n_init=1), Ridge()), "sklearn.cluster._kmeans.KMeans"),
    (MLPRegressor(hidden_layer_sizes=(2,), max_iter=1), "AdamOptimizer"),
    (make_pipeline(StandardScaler(), XGBRegressor(n_estimators=2)), "xgboost.core.Booster"),
    (KNeighborsRegressor(3, algorithm="kd_tree"), "KDTree"),
    (KNeighborsRegressor(3, algorithm="ball_tree"), "BallTree"),
    (make_pipeline(PCA(1), IsotonicRegression()), "sklearn.isotonic.IsotonicRegression"),
    (MultiOutputRegressor(Ridge()), "sklearn.multioutput.MultiOutputRegressor"),
]


@pytest.fixture(params=LOADED, ids=lambda model: str(model)[:40])
def model(request: pytest.FixtureRequest) -> Any:
    return request.param


def load(model: Any, data: bytes) -> Any:
    return from_bytes({"format": "skops", "class": type(model).__name__}, data, NAMES)


def test_what_is_saved_is_loaded_to_the_bit(model: Any) -> None:
    fitted = model.fit(ROWS, COSTS)
    assert np.array_equal(load(fitted, to_bytes(fitted, NAMES)[1]).predict(ROWS), fitted.predict(ROWS))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("model", "culprit"), REFUSED, ids=[culprit for _, culprit in REFUSED])
def test_what_is_not_checked_is_neither_saved_nor_loaded(model: Any, culprit: str) -> None:
    wide = isinstance(model, MultiOutputRegressor)
    model.fit(ROWS, np.column_stack([COSTS, COSTS]) if wide else COSTS)
    with pytest.raises(SavedFormatError, match=rf"can't be saved: it holds .*{culprit}.*Use one of these"):
        to_bytes(model, NAMES)
    try:
        data = dumps(model)
    except Exception:  # noqa: BLE001 -- skops can't save some at all
        return
    with pytest.raises(SavedFormatError, match=rf"is not loaded: it holds .*{culprit}.*Use one of these"):
        load(model, data)


def put(name: str, value: Any) -> Callable[[Any], None]:
    return lambda model: setattr(model, name, value(getattr(model, name)) if callable(value) else value)


UNSOUND: list[tuple[Any, Callable[[Any], None], str]] = [
    (SVR(), put("support_vectors_", lambda rows: rows[:5]), "support_vectors_ must be float64 of shape"),
    (SVR(), put("support_vectors_", lambda rows: rows[:, :2].copy()), "support_vectors_ must be float64 of shape"),
    (SVR(), put("support_vectors_", np.asfortranarray), "support_vectors_ must be float64 of shape"),
    (SVR(), put("support_", lambda rows: np.arange(10**6, dtype=np.int32)), "support_vectors_ must be float64"),
    (SVR(), put("_n_support", lambda n: n[:1]), r"_n_support must be int32 of shape \(2,\)"),
    (SVR(), put("_dual_coef_", lambda coef: coef[:, :3].copy()), "_dual_coef_ must be float64 of shape"),
    (SVR(), put("_intercept_", np.empty(0)), r"_intercept_ must be float64 of shape \(1,\)"),
    (SVR(), put("_probA", np.ones(7)), r"_probA must be float64 of shape \(0,\)"),
    (SVR(), put("kernel", "precomputed"), "kernel must be one of linear"),
    (NuSVR(), put("_sparse", True), "_sparse must be False"),
    (KNeighborsRegressor(3, algorithm="brute"), put("_fit_X", lambda rows: rows[:, :1].copy()), "_fit_X must be float"),
    (KNeighborsRegressor(3, algorithm="brute"), put("_y", lambda costs: costs[:5].copy()), "_y must be float64 of"),
    (KNeighborsRegressor(3, algorithm="brute"), put("_fit_method", "kd_tree"), "_fit_method must be brute"),
    (KNeighborsRegressor(3, algorithm="brute"), put("n_samples_fit_", 10**9), "n_samples_fit_ must be the number"),
    (KNeighborsRegressor(3, algorithm="brute"), put("effective_metric_", "haversine"), "metric must be one of"),
    (Ridge(), put("coef_", lambda coef: np.outer(coef, coef)), r"must predict a number for each of 2 networks, got"),
    (RandomForestRegressor(2, random_state=0), put("random_state", lambda _: beyond()), "must be a generator's state"),
    (Ridge(), put("random_state", np.random.Generator(np.random.Philox(0))), "must be a generator by PCG64"),
]


def beyond() -> np.random.RandomState:
    generator = np.random.RandomState(0)
    generator.set_state(("MT19937", generator.get_state()[1], 10**6))
    return generator


@pytest.mark.parametrize(("model", "spoil", "message"), UNSOUND, ids=[message[:24] for *_, message in UNSOUND])
def test_arrays_that_do_not_fit_are_refused_before_use(model: Any, spoil: Any, message: str) -> None:
    model.fit(ROWS, COSTS)
    spoil(model)
    with pytest.raises(SavedFormatError, match=message):
        load(model, dumps(model))


def test_a_transformer_that_would_reserve_gigabytes_is_refused() -> None:
    model = make_pipeline(PolynomialFeatures(2), Ridge()).fit(ROWS, COSTS)
    model[0].n_output_features_ = 10**9
    with pytest.raises(SavedFormatError, match="n_output_features_ must be at most 100,000"):
        load(model, dumps(model))


def test_a_sketch_that_would_reserve_gigabytes_is_refused() -> None:
    model = make_pipeline(PolynomialCountSketch(n_components=9), Ridge()).fit(ROWS, COSTS)
    load(model, dumps(model))
    model[0].n_components = 10**9
    with pytest.raises(SavedFormatError, match="n_components must be at most 100,000"):
        load(model, dumps(model))


def test_boosted_trees_that_would_reserve_gigabytes_are_refused() -> None:
    model = HistGradientBoostingRegressor(max_iter=2).fit(ROWS, COSTS)
    load(model, dumps(model))
    model.n_trees_per_iteration_ = 10**9
    with pytest.raises(SavedFormatError, match="one tree per iteration"):
        load(model, dumps(model))


def test_the_number_of_jobs_does_not_come_from_the_file() -> None:
    forest = RandomForestRegressor(2, random_state=0)
    model = StackingRegressor([("bagging", BaggingRegressor(Ridge(), 2)), ("forest", forest)]).fit(ROWS, COSTS)
    for member in (*model.estimators_, model):
        member.n_jobs = 10**6
    loaded = load(model, dumps(model))
    assert [member.n_jobs for member in (*loaded.estimators_, loaded)] == [1, 1, 1]


def changed(data: bytes, change: Callable[[dict[str, Any]], object], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Change the schema of a skops file."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(result, "w", compression) as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "schema.json":
                schema = json.loads(content)
                change(schema)
                content = json.dumps(schema).encode()
            new.writestr(name, content)
    return result.getvalue()


def unfolding(levels: int) -> dict[str, Any]:
    """Return a list of ten times the same list of ten times the same list."""
    head = {"__class__": "list", "__module__": "builtins"}
    node: dict[str, Any] = {**head, "__loader__": "ListNode", "__id__": 1, "content": []}
    for level in range(2, levels + 2):
        again = {**head, "__loader__": "CachedNode", "__id__": level - 1}
        node = {**head, "__loader__": "ListNode", "__id__": level, "content": [node, *[again] * 9]}
    return node


def test_bombs_are_refused() -> None:
    ridge = Ridge().fit(ROWS, COSTS)
    data = dumps(ridge)
    load(ridge, changed(data, lambda schema: None))
    with pytest.raises(SavedFormatError, match=r"its members would unpack to [\d,]+ bytes"):
        load(ridge, changed(data, lambda schema: schema.update(more=" " * 2**20), zipfile.ZIP_DEFLATED))

    def unfold(schema: dict[str, Any]) -> None:
        attributes = schema["content"]["content"]
        shape = {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": "[10, 10]"}
        lists = unfolding(9)["content"]
        attributes["feature_names_in_"] |= {"type": "json", "content": lists, "shape": shape}

    with pytest.raises(SavedFormatError, match="an array of objects refers to an object elsewhere"):
        load(ridge, changed(data, unfold))
    with pytest.raises(SavedFormatError, match=re.escape("it holds functools.partial")):
        load(
            ridge,
            changed(
                data,
                lambda schema: schema.update(__loader__="PartialNode", __module__="functools", __class__="partial"),
            ),
        )
