"""A fitted model as bytes, and back, without pickle.

Our own models and XGBoost's are arrays (safetensors), trees too (:class:`.Trees`); other scikit-learn regressors go
through skops, which rebuilds listed types only. All are checked before native code sees them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import sklearn

from hwnas_surrogate import models
from hwnas_surrogate.errors import InvalidInputError, SavedFormatError
from hwnas_surrogate.models import PhysicsPrior
from hwnas_surrogate.trainers import xgboosted
from hwnas_surrogate.trainers.sound import check_arrays, check_regressor

__all__ = ["SUFFIXES", "from_bytes", "to_bytes"]

_ARRAYS = "arrays"
SUFFIXES = {"safetensors": "safetensors", "xgboost": "safetensors", "skops": "skops"}

# What skops leaves to the caller to trust: trees are arrays with a version; a loss is a stateless enum-like class.
_TRUSTED = (
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn.neighbors._kd_tree.KDTree",
)


def to_bytes(model: Any, feature_names: npt.NDArray[np.object_]) -> tuple[dict[str, Any], bytes]:
    """Return what the manifest says of a fitted model of columns of these names, and its weights.

    Raises
    ------
    SavedFormatError
        If the model can't be saved without pickle, or a weight is NaN, infinite or absurdly large.
    """
    kind = type(model).__name__
    if isinstance(model, Mapping):
        from safetensors.numpy import save

        check_arrays("the weights", model)
        return {"format": "safetensors", "class": _ARRAYS}, save(dict(model))
    if isinstance(model, (models.CostModel, models.TreeClassifier)):
        if models.saved_models().get(kind) is not type(model):
            raise SavedFormatError(
                f"a {kind} can't be saved: a model of your own must be registered first, by its class {kind} "
                "(hwnas_surrogate.models.register_model)."
            )
        from safetensors.numpy import save

        arrays = {name: np.ascontiguousarray(array) for name, array in model.to_arrays().items()}
        check_arrays(f"the weights of a {kind}", arrays)
        return {"format": "safetensors", "class": kind, "params": _plain(model.get_params(deep=False))}, save(arrays)
    if xgboosted.is_xgboost(model):
        from safetensors.numpy import save

        try:
            said, arrays = xgboosted.to_arrays(model)
        except InvalidInputError as error:
            raise SavedFormatError(f"a {kind} can't be saved: {error}") from error
        return {"format": "xgboost", "class": kind, **said}, save(arrays)
    from skops.io import dumps, get_untrusted_types

    try:
        data = dumps(model)
        refused = [name for name in get_untrusted_types(data=data) if name not in _TRUSTED]
    except Exception as error:
        raise SavedFormatError(f"a {kind} can't be saved without pickle: {error}") from error
    if refused:
        raise SavedFormatError(
            f"a {kind} can't be saved: it holds {', '.join(refused)}, and only numpy, scikit-learn and XGBoost objects "
            "are loaded back. Use one of the models by name, or another regressor."
        )
    check_regressor(f"the weights of a {kind}", model, feature_names)
    return {"format": "skops", "class": kind, "sklearn": sklearn.__version__}, data


def from_bytes(said: dict[str, Any], data: bytes, feature_names: npt.NDArray[np.object_]) -> Any:
    """Build the fitted model that :func:`to_bytes` described, for columns of these names.

    Raises
    ------
    SavedFormatError
        If the description or the weights are none of ours, or a weight is NaN, infinite or absurdly large.
    """
    try:
        if said["format"] == "safetensors":
            from safetensors.numpy import load

            if said["class"] not in (_ARRAYS, *models.saved_models()):
                raise SavedFormatError(f"there is no model {said['class']!r} in this version.")
            arrays = load(data)
            check_arrays(f"the weights of a {said['class']}", arrays)
            if said["class"] == _ARRAYS:
                return arrays
            return models.saved_models()[said["class"]](**said["params"]).from_arrays(arrays, feature_names)
        if said["format"] == "xgboost":
            from safetensors.numpy import load

            return xgboosted.from_arrays(said, load(data), feature_names)
        if said["format"] == "skops":
            from skops.io import loads

            model = loads(data, trusted=list(_TRUSTED))
            check_regressor(f"the weights of a {said['class']}", model, feature_names)
            return model
    except SavedFormatError:
        raise
    except Exception as error:
        raise SavedFormatError(f"the weights of a {said.get('class')} can't be read: {error}") from error
    raise SavedFormatError(f"unknown weights format {said['format']!r}; allowed: {', '.join(SUFFIXES)}.")


def _plain(params: dict[str, Any]) -> dict[str, Any]:
    """Return parameters as JSON gives them back."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(params, default=_as_dict))
    except TypeError as error:
        raise SavedFormatError(f"the model's parameters {params!r} can't be saved as JSON: {error}") from error
    return plain


def _as_dict(value: object) -> dict[str, Any]:
    """Return a prior as JSON holds it."""
    if isinstance(value, PhysicsPrior):
        return value.as_dict()
    raise TypeError(f"{type(value).__name__} has no form in JSON")
