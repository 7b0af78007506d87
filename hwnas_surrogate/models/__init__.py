"""Models: named numbers -> cost. Any scikit-learn regressor will do; these are the ones with names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hwnas_surrogate.errors import InvalidInputError, unknown
from hwnas_surrogate.models.boosted import BoostedRidge
from hwnas_surrogate.models.classifier import TreeClassifier
from hwnas_surrogate.models.linear import AdditiveExact, LeaveOneOutRidge
from hwnas_surrogate.models.logarithmic import LogRidge
from hwnas_surrogate.models.mlp import MLP
from hwnas_surrogate.models.physics import PhysicsGP
from hwnas_surrogate.models.prior import PhysicsPrior
from hwnas_surrogate.models.stack import PhysicsStack

__all__ = [
    "DEFAULT",
    "MLP",
    "MODELS",
    "AdditiveExact",
    "BoostedRidge",
    "LeaveOneOutRidge",
    "LogRidge",
    "PhysicsGP",
    "PhysicsPrior",
    "PhysicsStack",
    "TreeClassifier",
    "make_classifier",
    "make_model",
]


def _linear(random_state: int | None) -> Any:
    from sklearn.linear_model import LinearRegression

    return LinearRegression()


def _forest(random_state: int | None) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(n_estimators=200, max_features=0.4, n_jobs=-1, random_state=random_state)


def _xgboost(random_state: int | None) -> Any:
    from xgboost import XGBRegressor

    return XGBRegressor(
        n_estimators=500,
        learning_rate=0.05,
        max_depth=5,
        subsample=0.8,
        colsample_bytree=0.5,
        min_child_weight=2,
        n_jobs=1,  # small fits: more threads would only wait for one another
        random_state=random_state,
    )


DEFAULT = "default"
"""The name of the default model, whichever that is."""
MODELS: dict[str, Callable[[int | None], Any]] = {
    "boosted": lambda random_state: BoostedRidge(random_state=random_state),
    "ridge": lambda random_state: LeaveOneOutRidge(),
    "additive": lambda random_state: AdditiveExact(),
    "linear": _linear,
    "forest": _forest,
    "xgboost": _xgboost,
    "mlp": lambda random_state: MLP(random_state=random_state),
}
"""The models by name, each built from a random state; the first is the default."""


def make_model(name: str, random_state: int | None = None) -> Any:
    """Build a regressor by name.

    Parameters
    ----------
    name : {"default", "boosted", "ridge", "additive", "linear", "forest", "xgboost", "mlp"}
        Which one.
    random_state : int or None, default=None
        Seed of those that draw numbers.

    Returns
    -------
    scikit-learn regressor

    Raises
    ------
    InvalidInputError
        If there is no such model.
    """
    if name not in (DEFAULT, *MODELS):
        raise unknown(InvalidInputError, "model", name, (DEFAULT, *MODELS))
    return MODELS["boosted" if name == DEFAULT else name](random_state)


def make_classifier(random_state: int | None = None) -> TreeClassifier:
    """Build the classifier that tells architectures with a cost from those that a device can't run."""
    return TreeClassifier(random_state=random_state)
