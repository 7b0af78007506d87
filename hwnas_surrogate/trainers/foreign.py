"""scikit-learn's regressors as bytes, and back, by skops: only estimators whose state is checked are loaded.

skops builds the types of a list, which has all of scikit-learn's estimators. Many of these pass arrays from the
file to native code that trusts them. So only the estimators below are loaded: they predict in NumPy, or their arrays
are checked (:mod:`.sound`).
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import SavedFormatError
from hwnas_surrogate.inputs import check_archive, read_json
from hwnas_surrogate.trainers.sound import check_regressor

__all__ = ["from_skops", "to_skops"]

_ADMITTED: dict[str, str] = {
    "_loss": "",
    "compose": "ColumnTransformer TransformedTargetRegressor",
    "cross_decomposition": "PLSRegression",
    "decomposition": "PCA IncrementalPCA TruncatedSVD FactorAnalysis FastICA KernelPCA",
    "dummy": "DummyRegressor",
    "ensemble": "AdaBoostRegressor BaggingRegressor ExtraTreesRegressor GradientBoostingRegressor "
    "HistGradientBoostingRegressor RandomForestRegressor StackingRegressor VotingRegressor _BinMapper TreePredictor",
    "feature_selection": "",
    "impute": "SimpleImputer",
    "kernel_approximation": "",
    "kernel_ridge": "",
    "linear_model": "",
    "neighbors": "KNeighborsRegressor RadiusNeighborsRegressor",
    "pipeline": "",
    "preprocessing": "",
    "random_projection": "GaussianRandomProjection",
    "svm": "LinearSVR NuSVR SVR",
    "tree": "DecisionTreeRegressor ExtraTreeRegressor",
}
"""The classes of each of scikit-learn's packages; all if there are none."""
# Types that skops trusts only if the caller lists them: the arrays of trees are checked here, and a Bunch is a dict.
_TRUSTED = (
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.utils._bunch.Bunch",
)
_NODES = frozenset([
    "CachedNode", "DTypeNode", "DictNode", "FunctionNode", "JsonNode", "ListNode", "LossNode", "NdArrayNode",
    "ObjectNode", "RandomGeneratorNode", "RandomStateNode", "SetNode", "SliceNode", "TreeNode", "TupleNode", "TypeNode",
])  # fmt: skip
"""Kinds of skops' nodes; others hold compressed or masked arrays, bytes, or calls."""
_SHOWN = (
    "linear models, trees and forests, boosting, stacking, support vectors, neighbours by algorithm='brute', kernel "
    "ridge, and pipelines with preprocessing, selection or PCA"
)


def to_skops(model: Any, feature_names: npt.NDArray[np.object_]) -> bytes:
    """Return a fitted regressor of columns of these names as bytes.

    Raises
    ------
    SavedFormatError
        If :func:`from_skops` would not load it.
    """
    from skops.io import dumps, get_untrusted_types

    kind = type(model).__name__
    try:
        data: bytes = dumps(model)
        refused = [name for name in get_untrusted_types(data=data) if name not in _TRUSTED]
    except Exception as error:
        raise SavedFormatError(f"a {kind} can't be saved without pickle: {error}") from error
    try:
        refused = refused or _audit(data)
    except ValueError as error:
        raise SavedFormatError(f"a {kind} can't be saved: {error}.") from error
    if refused:
        raise SavedFormatError(f"a {kind} can't be saved: it holds {', '.join(refused)}, {_why()}")
    check_regressor(f"the weights of a {kind}", model, feature_names)
    return data


def from_skops(kind: str, data: bytes, feature_names: npt.NDArray[np.object_]) -> Any:
    """Build the fitted regressor of :func:`to_skops`.

    Raises
    ------
    SavedFormatError
        If it holds anything else than the estimators that are loaded, or arrays that don't fit.
    """
    from skops.io import loads

    if refused := _audit(data):
        raise SavedFormatError(f"a {kind} is not loaded: it holds {', '.join(refused)}, {_why()}")
    model = loads(data, trusted=list(_TRUSTED))
    _use_one_job(model)
    check_regressor(f"the weights of a {kind}", model, feature_names)
    return model


def _use_one_job(model: Any) -> None:
    """Set ``n_jobs`` of every estimator in a model to 1: a number from a file could start thousands of processes."""
    waiting, seen = [model], set()
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, dict):
            waiting += thing.values()
        elif isinstance(thing, (list, tuple, set)):
            waiting += thing
        elif isinstance(thing, np.ndarray) and thing.dtype.kind == "O":
            waiting += thing.ravel().tolist()
        elif type(thing).__module__.startswith("sklearn.") and hasattr(thing, "__dict__"):
            waiting += vars(thing).values()
            if "n_jobs" in vars(thing):
                thing.n_jobs = 1


def _why() -> str:
    return f"and only what can be checked is loaded back: {_SHOWN}. Use one of these, or one of the models by name."


def _audit(data: bytes) -> list[str]:
    """Return the types and nodes in a skops file that are not loaded, before skops reads it.

    Raises
    ------
    ValueError
        If the file unpacks to more bytes than it has, or lists would unfold to many times their size.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        check_archive(archive, len(data))  # skops doesn't compress: a file that grows was made to
        waiting = [read_json(archive.read("schema.json"))]
    refused = set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if (node := value.get("__loader__")) is not None:
                name = f"{value.get('__module__')}.{value.get('__class__')}"
                if node not in _NODES or (node == "ObjectNode" and not _is_admitted(name)):
                    refused.add(name)
                if node == "NdArrayNode":
                    _check_unfolding(value.get("content"))
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return sorted(refused)


def _is_admitted(name: str) -> bool:
    library, _, path = name.partition(".")
    package, _, rest = path.partition(".")
    names = _ADMITTED.get(package)
    return library == "sklearn" and names is not None and (not names or rest.rpartition(".")[2] in names.split())


def _check_unfolding(content: Any) -> None:
    """Refuse an array of objects whose lists are held more than once: NumPy would write out each of them."""
    waiting = list(content) if isinstance(content, list) else []
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict) and item.get("__loader__") in ("CachedNode", "ListNode", "TupleNode"):
            if item["__loader__"] == "CachedNode":
                raise ValueError("an array of objects refers to an object elsewhere")
            waiting += item.get("content") or []
