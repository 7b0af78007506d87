"""XGBoost's regressors: conversion to arrays and back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models.trees import OBJECTIVES, Trees
from hwnas_surrogate.spaces.reading import is_integer

__all__ = ["from_arrays", "is_xgboost", "to_arrays"]

_KINDS = ("XGBRegressor", "XGBRFRegressor")
_SUPPORTED = (
    f"Supported are {' and '.join(_KINDS)} with booster='gbtree', one output, numbers as features, and one of the "
    f"objectives {', '.join(OBJECTIVES)}."
)


def is_xgboost(model: object) -> bool:
    """Return whether a model is one of XGBoost's own estimators."""
    return type(model).__module__.startswith("xgboost.")


def to_arrays(model: Any) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return the manifest's description of a fitted XGBoost regressor, and its trees as arrays.

    Raises
    ------
    InvalidInputError
        If it is no sum of regression trees.
    """
    booster = _booster(model)
    params = {key: value for key, value in model.get_params().items() if _is_plain(value)}
    arrays = _trees(booster).to_arrays()
    objective, base_score, trees_per_round = _settings(booster)
    description = {"params": params, "objective": objective, "trees_per_round": trees_per_round}
    return description, arrays | {"base_score": np.array([base_score], np.float32)}


def from_arrays(
    description: dict[str, Any], arrays: dict[str, npt.NDArray[Any]], feature_names: npt.NDArray[np.object_]
) -> Any:
    """Build the fitted regressor that :func:`to_arrays` described, for columns of these names.

    XGBoost reads a model file that is generated from the checked arrays.

    Raises
    ------
    InvalidInputError
        If the description or the arrays are invalid.
    """
    kind, objective, trees_per_round = description["class"], description["objective"], description["trees_per_round"]
    if kind not in _KINDS or objective not in OBJECTIVES:
        raise InvalidInputError(f"there is no {kind!r} of the objective {objective!r} here. {_SUPPORTED}")
    trees = Trees.from_arrays(arrays, len(feature_names))
    if not is_integer(trees_per_round) or trees_per_round < 1 or len(trees.sizes) % trees_per_round:
        raise InvalidInputError(
            f"trees_per_round must divide the number of trees, {len(trees.sizes)}, got {trees_per_round!r}."
        )
    score = arrays["base_score"]
    if score.dtype != np.float32 or score.shape != (1,) or not _is_in_range(float(score[0]), objective):
        raise InvalidInputError(f"base_score must be a float32 that {objective} can predict, got {score!r}.")
    import xgboost

    # One thread, as after every fit here: a number from a file could exceed the system's limit.
    model = getattr(xgboost, kind)(**{**description["params"], "n_jobs": 1})
    content = trees.to_model(objective, float(score[0]), [str(name) for name in feature_names], trees_per_round)
    model.load_model(bytearray(content))
    if Trees.from_booster(model.get_booster()).base != trees.base:
        raise InvalidInputError(f"base_score {score[0]:g} does not fit the base of the trees, {trees.base:g}.")
    return model


def _booster(model: Any) -> Any:
    """Return the booster of a regressor, or raise if its predictions are not the sum of all its trees."""
    if type(model).__name__ not in _KINDS:
        raise InvalidInputError(f"there are no plain trees in a {type(model).__name__}. {_SUPPORTED}")
    if callable(model.objective):
        raise InvalidInputError(f"its objective is a function. {_SUPPORTED}")
    booster = model.get_booster()
    if booster.attr("best_iteration") is not None:
        raise InvalidInputError(f"its fit was stopped early. {_SUPPORTED}")
    return booster


def _trees(booster: Any) -> Trees:
    try:
        return Trees.from_booster(booster, statistics=True)
    except InvalidInputError as error:
        raise InvalidInputError(f"{error} {_SUPPORTED}") from error


def _settings(booster: Any) -> tuple[str, float, int]:
    """Return the objective, the base score and the number of trees per round."""
    learner = json.loads(booster.save_config())["learner"]
    score = learner["learner_model_param"]["base_score"].strip("[]")
    train = learner["gradient_booster"]["gbtree_model_param"]
    return learner["objective"]["name"], float(np.float32(score)), int(train["num_parallel_tree"])


def _is_in_range(score: float, objective: str) -> bool:
    """Return whether a base score is in the range of an objective's link function."""
    lowest, highest = {"identity": (-np.inf, np.inf), "log": (0.0, np.inf), "logistic": (0.0, 1.0)}[
        OBJECTIVES[objective][0]
    ]
    return bool(lowest < score < highest)


def _is_plain(value: object) -> bool:
    """Return whether a parameter survives JSON; None and NaN are XGBoost's defaults and need not be saved."""
    return isinstance(value, (bool, int, str)) or (isinstance(value, float) and value == value)
