"""A fitted model as bytes, and back, without pickle.

This package's models and XGBoost's are saved as arrays (safetensors), including trees (:class:`.Trees`). Other
scikit-learn regressors are saved by skops, which rebuilds listed types only. All are checked before they are passed to
native code.
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
from hwnas_surrogate.trainers.foreign import from_skops, to_skops
from hwnas_surrogate.trainers.sound import check_arrays

__all__ = ["SUFFIXES", "from_bytes", "to_bytes"]

_ARRAYS = "arrays"
SUFFIXES = {"safetensors": "safetensors", "xgboost": "safetensors", "skops": "skops"}


def to_bytes(model: Any, feature_names: npt.NDArray[np.object_]) -> tuple[dict[str, Any], bytes]:
    """Return the manifest's description of a fitted model of columns of these names, and its weights.

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
            description, arrays = xgboosted.to_arrays(model)
        except InvalidInputError as error:
            raise SavedFormatError(f"a {kind} can't be saved: {error}") from error
        return {"format": "xgboost", "class": kind, **description}, save(arrays)
    data = to_skops(model, feature_names)
    return {"format": "skops", "class": kind, "sklearn": sklearn.__version__}, data


def from_bytes(description: dict[str, Any], data: bytes, feature_names: npt.NDArray[np.object_]) -> Any:
    """Build the fitted model that :func:`to_bytes` described, for columns of these names.

    Raises
    ------
    SavedFormatError
        If the description or the weights are invalid, or a weight is NaN, infinite or absurdly large.
    """
    try:
        if description["format"] == "safetensors":
            from safetensors.numpy import load

            if description["class"] not in (_ARRAYS, *models.saved_models()):
                raise SavedFormatError(f"there is no model {description['class']!r} in this version.")
            arrays = load(data)
            check_arrays(f"the weights of a {description['class']}", arrays)
            if description["class"] == _ARRAYS:
                return arrays
            return models.saved_models()[description["class"]](**description["params"]).from_arrays(
                arrays, feature_names
            )
        if description["format"] == "xgboost":
            from safetensors.numpy import load

            return xgboosted.from_arrays(description, load(data), feature_names)
        if description["format"] == "skops":
            return from_skops(description["class"], data, feature_names)
    except SavedFormatError:
        raise
    except Exception as error:
        raise SavedFormatError(f"the weights of a {description.get('class')} can't be read: {error}") from error
    raise SavedFormatError(f"unknown weights format {description['format']!r}; allowed: {', '.join(SUFFIXES)}.")


def _plain(params: dict[str, Any]) -> dict[str, Any]:
    """Return parameters after a round trip through JSON."""
    try:
        plain: dict[str, Any] = json.loads(json.dumps(params, default=_in_json))
    except TypeError as error:
        raise SavedFormatError(f"the model's parameters {params!r} can't be saved as JSON: {error}") from error
    return plain


def _in_json(value: object) -> dict[str, Any] | int | None:
    """Convert a prior, an integer of numpy or a generator for JSON; a fitted model needs no generator."""
    if isinstance(value, PhysicsPrior):
        return value.as_dict()
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, (np.random.Generator, np.random.RandomState)):
        return None
    raise TypeError(f"{type(value).__name__} has no form in JSON")
