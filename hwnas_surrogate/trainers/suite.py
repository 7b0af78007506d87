"""One surrogate per target, over the same architectures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from hwnas_surrogate.data import CostTable, Target, TargetLike, pick_targets
from hwnas_surrogate.data.profiles import Profiles
from hwnas_surrogate.data.table import target_columns
from hwnas_surrogate.errors import InvalidInputError, SavedFormatError, unknown
from hwnas_surrogate.features import Encoder
from hwnas_surrogate.jobs.parallel import Progress, in_parallel
from hwnas_surrogate.random_states import RandomState
from hwnas_surrogate.spaces import Configs, NetworkConfig, Networks, SearchSpace, as_batch, get_space
from hwnas_surrogate.trainers.costs import checked_cost, checked_coverage, checked_failed, numbers, refuse_costs
from hwnas_surrogate.trainers.encoded import Encoded, asked_config
from hwnas_surrogate.trainers.operator_costs import profiles_to_learn
from hwnas_surrogate.trainers.queries import queries
from hwnas_surrogate.trainers.saving import load, save
from hwnas_surrogate.trainers.surrogate import Surrogate
from hwnas_surrogate.trainers.unfinished import UnfinishedFits

__all__ = ["SurrogateSuite"]


class SurrogateSuite(BaseEstimator):  # type: ignore[misc]
    """Surrogates for several targets; architectures are encoded once for all targets with the same columns.

    Parameters
    ----------
    space, encoder, random_state, calibrate
        As in :class:`Surrogate`, the same for every target.
    model : scikit-learn regressor, str or mapping, optional
        As in :class:`Surrogate`; or a mapping of target to model, with the default model for other targets.

    Attributes
    ----------
    surrogates_ : dict of Target to Surrogate
    info_ : dict
        Plain values about the training (table fingerprint, scores); saved with the suite.

    Examples
    --------
    >>> from hwnas_surrogate import load_table
    >>> table = load_table(space="nasbench201").select(["epyc-torch-1t", "epyc-openvino-1t"]).rows(range(500))
    >>> suite = SurrogateSuite().fit_table(table)
    >>> len(suite), suite["epyc-openvino-1t"].n_train_
    (2, 67)
    >>> list(suite.predict([0, 1]).columns.names)
    ['device', 'metric', 'unit']
    """

    surrogates_: dict[Target, Surrogate]
    info_: dict[str, Any]

    def __init__(
        self,
        space: str | SearchSpace | None = "nasbench201",
        encoder: Encoder | str | None = None,
        model: Any = None,
        random_state: RandomState = None,
        calibrate: bool = True,
    ) -> None:
        self.space = space
        self.encoder = encoder
        self.model = model
        self.random_state = random_state
        self.calibrate = calibrate

    def fit(
        self,
        networks: Networks,
        costs: pd.DataFrame | Mapping[TargetLike, npt.ArrayLike],
        configs: Configs = None,
        *,
        failed: pd.DataFrame | Mapping[TargetLike, npt.ArrayLike] | None = None,
        operators: Mapping[Any, Profiles] | None = None,
        progress: Progress | None = None,
        n_jobs: int | None = None,
        journal: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Fit one surrogate per target; rows without a cost are left out, target by target.

        Parameters
        ----------
        networks : architectures, batch or graphs
            n of them.
        costs : DataFrame or mapping, n rows
            A DataFrame as from :meth:`CostTable.lookup`, or a mapping of target to costs; NaN where there is no cost.
        configs : config or sequence of n configs, optional
            The network configs.
        failed : DataFrame or mapping of bool, n rows, optional
            Which missing costs mean that the device can't run the network. The surrogates of these targets predict such
            failures (:meth:`Surrogate.predict_has_cost`). Other missing costs were not measured.
        operators : mapping of target to sequence of n arrays or None, optional
            Profiles of the networks on some targets, as :meth:`Surrogate.fit` takes them.
        progress : callable, optional
            Called with (done, total) after each target.
        n_jobs : int, optional
            Processes, as in :func:`~hwnas_surrogate.jobs.in_parallel`. The targets of a suite whose ``random_state`` is
            a generator are fitted one after another.
        journal : path-like, optional
            A folder that fitted surrogates are saved to as they come. What it holds of the same networks, costs,
            settings and code is not fitted again. The folder can be removed afterwards.

        Returns
        -------
        SurrogateSuite

        Raises
        ------
        InvalidInputError
            If there is no target, or one has too few costs; the message names it. If there is a journal, and
            ``random_state`` is a generator, whose draws depend on those before.
        SavedFormatError
            If there is a journal, and a model can't be saved without pickle.
        """
        columns = _by_target("costs", costs)
        if not columns:
            raise InvalidInputError("a suite needs the costs of at least one target, got none.")
        models = _among(columns, "model", self.model) if isinstance(self.model, Mapping) else {}
        without = {} if failed is None else _among(columns, "failed", failed)
        profiled = {} if operators is None else _among(columns, "operators", operators)
        batch = as_batch(get_space(self.space), networks, configs)
        n = len(batch)
        encoded: dict[bool, tuple[Encoder, Encoded]] = {}
        tasks = []
        for target, cost in columns.items():
            model = models.get(target) if isinstance(self.model, Mapping) else self.model
            surrogate = Surrogate(self.space, self.encoder, model, self.random_state, self.calibrate, target.metric)
            surrogate.target_ = target
            try:
                values = numbers(cost, n)
                failures = checked_failed(without[target], n) if target in without else np.zeros(n, bool)
                refuse_costs(values, target.kind.is_wrong(values) & ~failures, target.kind)
                tried = ~np.isnan(values) | failures
                known = checked_cost(values[tried], int(tried.sum()), failures[tried], target.kind)
                every = np.full(n, np.nan)
                every[tried] = known
                profiles = profiles_to_learn(batch, profiled.get(target), every)
                if surrogate.is_default not in encoded:
                    encoded[surrogate.is_default] = surrogate.encode(batch)
            except InvalidInputError as error:
                raise type(error)(f"{target}: {error}") from error
            tasks.append((surrogate, known, tried, profiles))
        surrogates = dict(zip(columns, self._fitted(encoded, tasks, n_jobs, progress, journal), strict=True))
        shared: dict[int, Encoder] = {}
        for surrogate in surrogates.values():
            # Surrogates without physics share an encoder: they read the same columns.
            surrogate.encoder_ = shared.setdefault(surrogate.n_features_in_, surrogate.encoder_)
        self.surrogates_ = surrogates
        self.info_ = {}
        return self

    def _fitted(
        self,
        encoded: Mapping[bool, tuple[Encoder, Encoded]],
        tasks: list[tuple[Surrogate, npt.NDArray[np.float64], npt.NDArray[np.bool_], Profiles | None]],
        n_jobs: int | None,
        progress: Progress | None,
        journal: str | os.PathLike[str] | None,
    ) -> list[Surrogate]:
        """Fit each target's surrogate; a generator's numbers are drawn in the order of the targets."""
        if self.random_state is None or isinstance(self.random_state, (int, np.integer)):
            kept = None if journal is None else UnfinishedFits(journal, self, encoded)
            return in_parallel(_fitted, tasks, shared=(encoded,), n_jobs=n_jobs, progress=progress, kept=kept)
        if journal is not None:
            raise InvalidInputError(
                f"a journal needs a seed as random_state, got a {type(self.random_state).__name__}, whose draws depend "
                "on those before."
            )
        fitted = []
        for task in tasks:
            fitted.append(_fitted(encoded, *task))
            if progress is not None:
                progress(len(fitted), len(tasks))
        return fitted

    def fit_table(
        self,
        table: CostTable,
        targets: TargetLike | Iterable[TargetLike] | None = None,
        *,
        progress: Progress | None = None,
        n_jobs: int | None = None,
        journal: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Fit on a cost table's rows and configs, for some of its targets or all.

        Missing costs with a reason (``table.reasons``: the compiler failed, the run crashed) are failures; those
        without one were not measured. ``progress``, ``n_jobs`` and ``journal`` are as in :meth:`fit`.
        """
        if table.space is not get_space(self.space):
            own = "of graphs (space None)" if self.space is None else f"over {get_space(self.space).name!r}"
            other = "of graphs" if table.space is None else f"over {table.space_name!r}"
            raise InvalidInputError(f"the suite is {own}, the table {other}.")
        chosen = table.select(targets)
        failed = np.zeros(chosen.costs.shape, bool)
        for where in chosen.reasons.values():
            failed |= where
        by_target: dict[TargetLike, npt.ArrayLike] = dict(zip(chosen.targets, failed.T, strict=True))
        costs = table.lookup(targets=targets)
        how: dict[str, Any] = {"progress": progress, "n_jobs": n_jobs, "journal": journal}
        self.fit(table.batch, costs, failed=by_target, operators=chosen.operators, **how)
        self.info_ = {"table_fingerprint": table.fingerprint}
        return self

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        """Return the parameters; of a fitted suite, its targets."""
        if not hasattr(self, "surrogates_"):
            return str(super().__repr__(N_CHAR_MAX))
        of = "of graphs" if self.space is None else f"over {get_space(self.space).name}"
        return f"<{type(self).__name__} {of}: {', '.join(map(str, self.surrogates_))}>"

    def __len__(self) -> int:
        """Return the number of targets; 0 before fitting."""
        return len(getattr(self, "surrogates_", ()))

    def __bool__(self) -> bool:
        """Return True, even without targets."""
        return True

    def __iter__(self) -> Iterator[Target]:
        """Yield the targets, as a mapping of targets to surrogates does."""
        check_is_fitted(self, "surrogates_")
        return iter(self.surrogates_)

    def __contains__(self, target: object) -> bool:
        """Return whether ``suite[target]`` is the surrogate of one target."""
        found = [known for known in getattr(self, "surrogates_", ()) if target in (known, str(known), known.device)]
        return len(found) == 1

    @property
    def targets_(self) -> tuple[Target, ...]:
        """The targets, in order."""
        return tuple(self.surrogates_)

    def __getitem__(self, target: TargetLike) -> Surrogate:
        """Return the surrogate of one target (``"device/metric"``, or a device that has one metric)."""
        check_is_fitted(self, "surrogates_")
        if not isinstance(target, (str, Target)):
            raise InvalidInputError(
                f"a suite has no order, and its surrogates go by target: suite['device/metric'], got {target!r:.80}. "
                f"There are {', '.join(map(str, self.targets_))}."
            )
        picked = pick_targets(target, self.targets_)
        if len(picked) != 1:
            raise InvalidInputError(f"{target!r} stands for {', '.join(map(str, picked))}; choose one.")
        return self.surrogates_[picked[0]]

    def predict(
        self,
        networks: Networks,
        configs: Configs = None,
        targets: TargetLike | Iterable[TargetLike] | None = None,
        *,
        extrapolate: bool = False,
    ) -> pd.DataFrame:
        """Predict costs.

        Parameters
        ----------
        networks, configs, extrapolate
            As in :meth:`Surrogate.predict`.
        targets : targets, optional
            Which; all if None.

        Returns
        -------
        DataFrame
            One row per architecture; columns (device, metric, unit), as in :meth:`CostTable.lookup`.

        Raises
        ------
        NotInTableError
            If there is no surrogate for a target.
        InvalidConfigError
            If a surrogate can't predict for a config; the message names the surrogate and a remedy.
        """
        picked, values = self._predicted(networks, configs, targets, extrapolate, Surrogate.predict_encoded)
        return pd.DataFrame(values, columns=target_columns(picked), copy=False)

    def predict_interval(
        self,
        networks: Networks,
        configs: Configs = None,
        targets: TargetLike | Iterable[TargetLike] | None = None,
        *,
        coverage: float = 0.9,
        extrapolate: bool = False,
    ) -> pd.DataFrame:
        """Predict intervals, as :meth:`Surrogate.predict_interval` does.

        Returns
        -------
        DataFrame
            One row per architecture; columns (device, metric, unit, bound), the bounds being ``low`` and ``high``.
        """
        part = checked_coverage(coverage)
        picked, bounds = self._predicted(
            networks, configs, targets, extrapolate, lambda one, query: one.interval_encoded(query, part)
        )
        names = [(*name, bound) for name in target_columns(picked) for bound in ("low", "high")]
        columns = pd.MultiIndex.from_tuples(names, names=["device", "metric", "unit", "bound"])
        return pd.DataFrame(bounds, columns=columns, copy=False)

    def predict_has_cost(
        self,
        networks: Networks,
        configs: Configs = None,
        targets: TargetLike | Iterable[TargetLike] | None = None,
        *,
        extrapolate: bool = False,
    ) -> pd.DataFrame:
        """Predict the probability that each device can run each network: see :meth:`Surrogate.predict_has_cost`.

        Returns
        -------
        DataFrame
            One row per architecture; columns (device, metric, unit) as in :meth:`predict`.
        """
        picked, values = self._predicted(networks, configs, targets, extrapolate, Surrogate.has_cost_encoded)
        return pd.DataFrame(values, columns=target_columns(picked), copy=False)

    def default_config(self, targets: TargetLike | Iterable[TargetLike] | None = None) -> NetworkConfig | None:
        """Return the config that is used if none is given, for some targets: see :meth:`Surrogate.predict`.

        None of a suite of graphs.
        """
        check_is_fitted(self, "surrogates_")
        space = get_space(self.space)
        if space is None:
            return None
        members = [self.surrogates_[target] for target in pick_targets(targets, self.targets_)]
        configs = dict.fromkeys(config for one in members for config in one.configs_)
        return asked_config(space, list(configs))

    def targets_for(self, configs: Configs) -> tuple[Target, ...]:
        """Return the targets whose surrogates predict for a config without extrapolating.

        Parameters
        ----------
        configs : config or sequence of configs, optional
            The default one if None.
        """
        check_is_fitted(self, "surrogates_")
        space = get_space(self.space)
        if space is None:
            return self.targets_
        if configs is None:
            configs = self.default_config()
        several = isinstance(configs, Iterable) and not isinstance(configs, (str, Mapping))
        items: list[Any] = list(configs) if several else [configs]  # type: ignore[arg-type]
        asked = set(space.group_configs(items, len(items))[0])
        members = self.surrogates_.items()
        return tuple(target for target, one in members if one.general_ or asked <= set(one.configs_))

    def _predicted(
        self,
        networks: Networks,
        configs: Configs,
        targets: TargetLike | Iterable[TargetLike] | None,
        extrapolate: bool,
        predict: Callable[[Surrogate, Encoded], npt.NDArray[np.float64]],
    ) -> tuple[tuple[Target, ...], npt.NDArray[np.float64]]:
        """Predict by each target's surrogate; return the targets and the predictions side by side, (n, k)."""
        parts = []
        for by_target in self.queries(networks, configs, targets, extrapolate):
            columns = [predict(self.surrogates_[target], query) for target, query in by_target.items()]
            parts.append(np.column_stack(columns))
        return tuple(by_target), np.concatenate(parts)

    def queries(
        self,
        networks: Networks,
        configs: Configs,
        targets: TargetLike | Iterable[TargetLike] | None,
        extrapolate: bool = False,
    ) -> Iterator[dict[Target, Encoded]]:
        """Encode the networks to predict for each target's surrogate, batch by batch."""
        check_is_fitted(self, "surrogates_")
        picked = {target: self.surrogates_[target] for target in pick_targets(targets, self.targets_)}
        if not picked:
            raise InvalidInputError(
                f"targets must name at least one of {', '.join(map(str, self.targets_))}; got none."
            )
        return queries(picked, get_space(self.space), networks, configs, extrapolate=extrapolate)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Save every surrogate to one folder, without pickle."""
        check_is_fitted(self, "surrogates_")
        return save(self, list(self.surrogates_.values()), folder, self.info_)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Load what :meth:`save` wrote; see :meth:`Surrogate.load`."""
        members, manifest = load(folder, cls.__name__, Surrogate.kinds())
        models = {member.target_: member.model for member in members}
        if None in models:
            raise SavedFormatError(f"{folder}: the manifest of a suite must name the target of each surrogate.")
        # Custom regressors may differ by target; a name is the same for all targets.
        same = all(isinstance(model, str) or model is None for model in models.values())
        suite = cls(manifest["space"], encoder=members[0].encoder, model=members[0].model if same else models)
        suite.random_state, suite.calibrate = manifest["random_state"], manifest["calibrate"]
        suite.surrogates_ = {member.target_: member for member in members}
        suite.info_ = manifest["info"]
        return suite


def _fitted(
    encoded: Mapping[bool, tuple[Encoder, Encoded]],
    surrogate: Surrogate,
    costs: npt.NDArray[np.float64],
    tried: npt.NDArray[np.bool_],
    operators: Profiles | None,
) -> Surrogate:
    """Fit a surrogate to the costs of the networks that were tried, out of all encoded ones."""
    encoder, training = encoded[surrogate.is_default]
    if not tried.all():
        training = training.rows(tried)
        operators = operators and [operators[row] for row in np.flatnonzero(tried).tolist()]
    try:
        surrogate.fit_encoded(encoder, training, costs, operators)
    except InvalidInputError as error:
        raise type(error)(f"{surrogate.target_}: {error}") from error
    surrogate.outliers_ = np.flatnonzero(tried)[surrogate.outliers_]
    return surrogate


def _by_target(what: str, items: Mapping[Any, Any] | pd.DataFrame) -> dict[Target, Any]:
    if not isinstance(items, (Mapping, pd.DataFrame)):
        raise InvalidInputError(f"{what} must be a DataFrame or a mapping of targets, got {type(items).__name__}.")
    result: dict[Target, Any] = {}
    for key, value in items.items():
        if isinstance(key, tuple) and len(key) >= 2:
            target = Target(*key[:2])
        elif isinstance(key, (str, Target)):
            target = key if isinstance(key, Target) else Target.parse(key)
        else:
            raise InvalidInputError(f"{what}'s columns must be targets or (device, metric, unit), got {key!r}.")
        result[target] = value
    return result


def _among(columns: Mapping[Target, Any], what: str, items: Mapping[Any, Any] | pd.DataFrame) -> dict[Target, Any]:
    """Return items by target, or raise if there are no costs of one."""
    by_target = _by_target(what, items)
    for target in by_target:
        if target not in columns:
            raise unknown(InvalidInputError, f"target in {what}", str(target), map(str, columns))
    return by_target
