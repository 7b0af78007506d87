"""Models: columns -> cost. These have names; any other scikit-learn regressor works too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from hwnas_surrogate.errors import InvalidInputError, unknown
from hwnas_surrogate.models.anchored import AnchoredStack
from hwnas_surrogate.models.boosted import BoostedRidge
from hwnas_surrogate.models.classifier import TreeClassifier
from hwnas_surrogate.models.cost_model import ConstantCost, CostModel, cost_model
from hwnas_surrogate.models.linear import AdditiveExact, LeaveOneOutRidge
from hwnas_surrogate.models.logarithmic import LogRidge
from hwnas_surrogate.models.mlp import MLP
from hwnas_surrogate.models.operator_regression import OperatorRegression
from hwnas_surrogate.models.operator_stack import OperatorStack
from hwnas_surrogate.models.operator_trees import OperatorTrees
from hwnas_surrogate.models.physics import PhysicsGP
from hwnas_surrogate.models.posterior import NormalPosterior, Posterior
from hwnas_surrogate.models.prior import PhysicsPrior
from hwnas_surrogate.models.stack import PhysicsStack
from hwnas_surrogate.random_states import RandomState, as_seed

__all__ = [
    "DEFAULT",
    "MLP",
    "MODELS",
    "AdditiveExact",
    "AnchoredStack",
    "BoostedRidge",
    "ConstantCost",
    "CostModel",
    "LeaveOneOutRidge",
    "LogRidge",
    "NormalPosterior",
    "OperatorRegression",
    "OperatorStack",
    "OperatorTrees",
    "PhysicsGP",
    "PhysicsPrior",
    "PhysicsStack",
    "Posterior",
    "TreeClassifier",
    "cost_model",
    "make_classifier",
    "make_model",
    "register_model",
    "saved_models",
]


def _linear(random_state: RandomState) -> Any:
    from sklearn.linear_model import LinearRegression

    return LinearRegression()


def _forest(random_state: RandomState) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(n_estimators=200, max_features=0.4, n_jobs=-1, random_state=random_state)


def _xgboost(random_state: RandomState) -> Any:
    from xgboost import XGBRegressor

    return XGBRegressor(
        n_estimators=500,
        learning_rate=0.05,
        max_depth=5,
        subsample=0.8,
        colsample_bytree=0.5,
        min_child_weight=2,
        n_jobs=1,  # small fits: more threads only wait for one another
        random_state=random_state,
    )


DEFAULT = "default"
"""The name of the default model."""
_models: dict[str, Callable[[int | None], Any]] = {
    "boosted": lambda random_state: BoostedRidge(random_state=random_state),
    "ridge": lambda random_state: LeaveOneOutRidge(),
    "additive": lambda random_state: AdditiveExact(),
    "linear": _linear,
    "forest": _forest,
    "xgboost": _xgboost,
    "mlp": lambda random_state: MLP(random_state=random_state),
}
MODELS: Mapping[str, Callable[[int | None], Any]] = MappingProxyType(_models)
"""The models by name, each built from a random state. The first is part of the default, the others are baselines to
compare it with."""
_saved: dict[str, type[CostModel | TreeClassifier]] = {
    kind.__name__: kind
    for kind in (
        AdditiveExact,
        AnchoredStack,
        BoostedRidge,
        ConstantCost,
        LeaveOneOutRidge,
        LogRidge,
        MLP,
        OperatorStack,
        PhysicsGP,
        PhysicsStack,
        TreeClassifier,
    )
}

_given: dict[str, type[CostModel]] = {}
"""The registered models, by name."""


def saved_models() -> Mapping[str, type[CostModel | TreeClassifier]]:
    """Return the models that are saved as arrays, by class name: this package's and registered ones."""
    return MappingProxyType(_saved)


def register_model(name: str, kind: type[CostModel]) -> type[CostModel]:
    """Register a model under a name, for :class:`Surrogate` and for saving, in this process.

    Parameters
    ----------
    name : str
    kind : type
        A subclass of :class:`CostModel` whose arguments all have defaults. A parameter ``random_state`` gets the
        surrogate's.

    Returns
    -------
    type
        The class itself.

    Raises
    ------
    InvalidInputError
        If ``kind`` is no such class, or the name is taken. The same class may be registered again.
    """
    if not (isinstance(kind, type) and issubclass(kind, CostModel)):
        raise InvalidInputError(f"register_model takes a subclass of CostModel, got {kind!r:.80}.")
    if _saved.get(kind.__name__, kind) is not kind:
        raise InvalidInputError(f"there is a model {kind.__name__} already: give the class another name.")
    if name == DEFAULT or (name in _models and _given.get(name) is not kind):
        raise InvalidInputError(f"there is a model {name!r} already: choose another name.")

    def build(random_state: RandomState) -> CostModel:
        model = kind()
        if "random_state" in model.get_params(deep=False):
            model.set_params(random_state=random_state)
        return model

    _models[name], _saved[kind.__name__], _given[name] = build, kind, kind
    return kind


def make_model(name: str, random_state: RandomState = None) -> Any:
    """Build a regressor by name.

    Parameters
    ----------
    name : {"default", "boosted", "ridge", "additive", "linear", "forest", "xgboost", "mlp"}
        One of these, or a registered name. All but the first two are baselines.
    random_state : int, numpy generator or None, default=None
        Seed of models that draw random numbers.

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
    return MODELS["boosted" if name == DEFAULT else name](as_seed(random_state))


def make_classifier(random_state: RandomState = None) -> TreeClassifier:
    """Build the classifier that predicts whether a device can run a network."""
    return TreeClassifier(random_state=random_state)
