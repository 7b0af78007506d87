"""One surrogate per target, over the same architectures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from hwnas_surrogate.data import CostTable, Target, TargetLike, pick_targets
from hwnas_surrogate.data.table import target_columns
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import Encoder
from hwnas_surrogate.spaces import Archs, ConfigLike, SearchSpace, get_space
from hwnas_surrogate.trainers.surrogate import Surrogate, refuse_costs

__all__ = ["SurrogateSuite"]

Configs = ConfigLike | Sequence[ConfigLike] | npt.NDArray[Any]


class SurrogateSuite(BaseEstimator):  # type: ignore[misc]
    """Surrogates for several targets; architectures are encoded once for all of them.

    Parameters
    ----------
    space, encoder, model, random_state
        As :class:`Surrogate` takes them, the same for every target.

    Attributes
    ----------
    surrogates_ : dict of Target to Surrogate
    info_ : dict
        What is told about the training (table fingerprint, scores): plain values, saved along.

    Examples
    --------
    >>> from hwnas_surrogate import load_table
    >>> table = load_table(space="nasbench201")
    >>> suite = SurrogateSuite().fit_table(table)
    >>> list(suite.predict([0, 1]).columns.names)
    ['device', 'metric', 'unit']
    """

    surrogates_: dict[Target, Surrogate]
    info_: dict[str, Any]

    def __init__(
        self,
        space: str | SearchSpace = "nasbench201",
        encoder: Encoder | str | None = None,
        model: Any = None,
        random_state: int | None = None,
    ) -> None:
        self.space = space
        self.encoder = encoder
        self.model = model
        self.random_state = random_state

    def fit(
        self, archs: Archs, costs: pd.DataFrame | Mapping[TargetLike, npt.ArrayLike], configs: Configs = None
    ) -> Self:
        """Fit one surrogate per target; rows without a cost are left out, target by target.

        Parameters
        ----------
        archs : architectures
            n of them.
        costs : DataFrame or mapping, n rows
            A DataFrame as :meth:`CostTable.lookup` returns it, or target to costs; NaN where there is none.
        configs : config or sequence of n configs, optional
            The network configs.

        Returns
        -------
        SurrogateSuite

        Raises
        ------
        InvalidInputError
            If there is no target, or one has too few costs: the message names it.
        """
        columns = _columns(costs)
        if not columns:
            raise InvalidInputError("a suite needs the costs of at least one target, got none.")
        prototype = Surrogate(self.space, self.encoder, self.model, self.random_state)
        encoder, features, distinct = prototype._training(archs, configs)
        surrogates = {}
        for target, values in columns.items():
            if values.shape != (len(features),):
                raise InvalidInputError(f"{target} has {values.shape[0]} costs for {len(features)} architectures.")
            known = ~np.isnan(values)
            surrogate = Surrogate(self.space, self.encoder, self.model, self.random_state)
            surrogate.target_, surrogate.configs_ = target, distinct
            try:
                refuse_costs(values, np.isinf(values) | (values < 0))
                surrogate._fit_encoded(encoder, features if known.all() else features[known], values[known])
            except InvalidInputError as error:
                raise InvalidInputError(f"{target}: {error}") from error
            surrogates[target] = surrogate
        self.surrogates_ = surrogates
        self.info_ = {}
        return self

    def fit_table(self, table: CostTable, targets: TargetLike | Iterable[TargetLike] | None = None) -> Self:
        """Fit on a cost table's rows and configs, for some of its targets or all."""
        if table.space is not get_space(self.space):
            raise InvalidInputError(
                f"the suite is over {get_space(self.space).name!r}, the table over {table.space.name!r}."
            )
        self.fit(table.archs, table.lookup(targets=targets), table.row_configs)
        self.info_ = {"table_fingerprint": table.fingerprint}
        return self

    @property
    def targets_(self) -> tuple[Target, ...]:
        """The targets, in order."""
        return tuple(self.surrogates_)

    def __getitem__(self, target: TargetLike) -> Surrogate:
        """Return the surrogate of one target (``"device/metric"``, or a device that has one metric)."""
        check_is_fitted(self, "surrogates_")
        picked = pick_targets(target, self.targets_)
        if len(picked) != 1:
            raise InvalidInputError(f"{target!r} stands for {', '.join(map(str, picked))}; choose one.")
        return self.surrogates_[picked[0]]

    def predict(
        self, archs: Archs, configs: Configs = None, targets: TargetLike | Iterable[TargetLike] | None = None
    ) -> pd.DataFrame:
        """Predict costs.

        Returns
        -------
        DataFrame
            One row per architecture; columns (device, metric, unit), as :meth:`CostTable.lookup` has them.

        Raises
        ------
        NotInTableError
            If there is no surrogate for a target.
        """
        check_is_fitted(self, "surrogates_")
        picked = pick_targets(targets, self.targets_)
        features = self.surrogates_[picked[0]]._frame(archs, configs)
        values = np.empty((len(features), len(picked)), order="F")
        for column, target in enumerate(picked):
            values[:, column] = self.surrogates_[target]._predict_encoded(features)
        return pd.DataFrame(values, columns=target_columns(picked), copy=False)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Save every surrogate to one folder, without pickle."""
        from hwnas_surrogate.trainers.saving import save

        return save(self, folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Load what :meth:`save` wrote; see :meth:`Surrogate.load`."""
        from hwnas_surrogate.trainers.saving import load

        return load(folder, cls)


def _columns(costs: pd.DataFrame | Mapping[TargetLike, npt.ArrayLike]) -> dict[Target, npt.NDArray[np.float64]]:
    result: dict[Target, npt.NDArray[np.float64]] = {}
    for key, values in costs.items():
        if isinstance(key, tuple) and len(key) >= 2:
            target = Target(*key[:2])
        elif isinstance(key, (str, Target)):
            target = key if isinstance(key, Target) else Target.parse(key)
        else:
            raise InvalidInputError(f"costs' columns must be targets or (device, metric, unit), got {key!r}.")
        result[target] = np.asarray(values, np.float64)
    return result
