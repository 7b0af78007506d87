"""Tuning on request: Optuna searches a model's settings, and cross-validation decides whether they are used."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from hwnas_surrogate.errors import DataFileError, InvalidInputError, missing_extra, unknown
from hwnas_surrogate.features import Encoder
from hwnas_surrogate.models import DEFAULT, MODELS, make_model
from hwnas_surrogate.spaces import Archs, Configs, Networks, as_batch
from hwnas_surrogate.spaces.reading import is_integer
from hwnas_surrogate.trainers.costs import checked_cost, one_number
from hwnas_surrogate.trainers.encoded import Encoded
from hwnas_surrogate.trainers.surrogate import Surrogate, Vector

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages import JournalStorage
    from optuna.trial import FrozenTrial

__all__ = ["Tuned", "tune"]

Folds = list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]
_Progress = Callable[[int, int], None] | None

FOLDS = 5
MIN_ROWS = 4  # two folds of two: fewer rows leave nothing to fit on
TUNED_ROWS = 100  # of fewer, no model without physics is better than the default but by chance
EXACT = 1e-9  # a default with a smaller relative error leaves nothing to gain

SETTINGS: dict[str, dict[str, tuple[float, float, bool]]] = {
    "boosted": {"n_trees": (100, 1500, True), "max_depth": (2, 9, False), "learning_rate": (0.01, 0.3, True)},
    "xgboost": {
        "n_estimators": (100, 1500, True),
        "max_depth": (2, 9, False),
        "learning_rate": (0.01, 0.3, True),
        "subsample": (0.4, 1.0, False),
        "colsample_bytree": (0.1, 1.0, False),
        "min_child_weight": (0.5, 20.0, True),
        "reg_lambda": (1e-3, 100.0, True),
    },
    "forest": {"n_estimators": (50, 500, True), "max_features": (0.1, 1.0, False), "min_samples_leaf": (1, 20, True)},
    "mlp": {
        "layers": (1, 3, False),
        "width": (32, 256, True),
        "learning_rate": (3e-4, 3e-2, True),
        "weight_decay": (1e-5, 1.0, True),
        "steps": (500, 4000, True),
    },
}
"""By model and setting: lowest and highest value (integers for whole numbers), and whether to search the logarithm."""

_STUDY_NAME, _FINGERPRINT, _DEFAULT = "hwnas-surrogate tuning", "fingerprint", "default"


@dataclass(frozen=True, slots=True)
class Tuned:
    """What :func:`tune` found.

    Parameters
    ----------
    surrogate : Surrogate
        Not fitted: with the tuned model where ``kept``, else as it was given.
    kept : bool
        Whether cross-validation says that the tuned settings are better.
    error, default_error : float
        Mean absolute errors of ``surrogate`` and of the default on folds that the search did not see, over the mean
        absolute deviation of the costs: 1 is as good as guessing the mean.
    trials, failed : int
        Settings tried, the default and those given up early included, and those that ended in an error or were
        interrupted; over all calls with the same study.
    settings : dict
        The name of the model of ``surrogate`` under ``"model"``, and its settings.
    """

    surrogate: Surrogate
    kept: bool
    error: float
    default_error: float
    trials: int
    failed: int
    settings: dict[str, str | int | float]

    def __str__(self) -> str:
        """Return what was found, at four digits."""
        settings = {
            name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in self.settings.items()
        }
        found = "better than the default and kept" if self.kept else "no better than the default, which is kept"
        return (
            f"{found}: {settings}, error {self.error:.4g}, the default's {self.default_error:.4g}; "
            f"{self.trials} trials, {self.failed} failed"
        )


def tune(
    surrogate: Surrogate,
    archs: Archs,
    cost: npt.ArrayLike,
    configs: Configs = None,
    *,
    seconds: float,
    study: str | os.PathLike[str] | None = None,
    max_trials: int | None = None,
    progress: _Progress = None,
) -> Tuned:
    """Search for better settings of a surrogate's model on its training architectures.

    Give the training side only, and keep the test split away: whatever is given is seen by the search, and the errors
    returned are cross-validated ones. The default is tried first. Settings are compared by five-fold cross-validation
    (whole configs stay together where there are at least five), and given up after the fold in which they fall behind.
    The best are compared with the default on other folds, and used only if their absolute errors are smaller by more
    than one standard error of the paired differences. Of costs that are all equal, the default is returned untried; of
    fewer than a hundred, nothing else is tried.

    Parameters
    ----------
    surrogate : Surrogate
        Its model must be None or ``"default"``, to choose among all models with settings, or the name of one of these.
    archs : architectures
        n of them, at least four.
    cost : array-like of float, shape (n,)
        Their costs: finite, not negative, all in one unit.
    configs : config or sequence of n configs, optional
        The network configs; the space's first published one if None.
    seconds : float
        Time limit. The default is evaluated and compared in any case, and a fold that has begun is ended.
    study : path-like, optional
        A file that keeps the trials (Optuna's journal: JSON lines), and is continued if it exists.
    max_trials : int, optional
        End at so many trials, those already in ``study`` included, if the time is not up before.
    progress : callable, optional
        Called after each trial with the whole seconds that have passed, and those there are.

    Returns
    -------
    Tuned

    Raises
    ------
    InvalidInputError
        If the costs are not such as :meth:`Surrogate.fit` takes, the model has no settings to tune, a limit is not
        positive, or the study's file belongs to other data or settings.
    DataFileError
        If the study's file is damaged, no study, or can't be read or written; it is left untouched.
    MissingExtraError
        If Optuna is not installed.

    Examples
    --------
    >>> from hwnas_surrogate.spaces import get_space
    >>> space = get_space("nasbench201")
    >>> archs = space.sample(100, random_state=0)
    >>> tuned = tune(Surrogate(), archs, space.batch(archs).macs / 1e6, seconds=60, max_trials=3)
    >>> tuned.kept, tuned.settings["model"]  # these are exact sums
    (False, 'default')
    """
    _check_limits(seconds, max_trials)
    seconds = one_number(seconds)
    default = _family(surrogate)
    rows = _Rows.of(surrogate, archs, cost, configs)
    try:
        import optuna
    except ImportError as error:
        raise missing_extra("tuning", "tuning") from error
    if not rows.deviation:
        return _as_given(rows, 0.0, 0, 0)
    if rows.few:
        errors = np.concatenate(list(rows.errors(None, rows.folds(fresh=True))))
        return _as_given(rows, float(errors.mean()), 1, 0)
    families = list(SETTINGS) if surrogate.model in (None, DEFAULT) else [default]
    search = _Search(rows, families, default, seconds, progress)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        opened = _open(study, search.fingerprint(), rows.seed)
        search.run(opened, max_trials)
        return _compare(rows, opened)
    except OSError as error:
        raise DataFileError(f"can't read or write the study {study}: {error.strerror or error}.") from error
    finally:
        optuna.logging.set_verbosity(verbosity)


def _check_limits(seconds: float, max_trials: int | None) -> None:
    if not 0 < one_number(seconds) < math.inf:
        raise InvalidInputError(f"seconds must be a positive, finite number, got {seconds!r}.")
    if max_trials is not None and (not is_integer(max_trials) or max_trials < 1):
        raise InvalidInputError(f"max_trials must be a positive whole number or None, got {max_trials!r}.")


def _family(surrogate: Surrogate) -> str:
    """Return the name of the surrogate's model, if it has settings to tune."""
    name = "boosted" if surrogate.model in (None, DEFAULT) else surrogate.model
    tunable = ", ".join(map(repr, SETTINGS))
    if isinstance(name, str) and name not in MODELS:
        raise unknown(InvalidInputError, "model", name, (DEFAULT, *SETTINGS))
    if not isinstance(name, str) or name not in SETTINGS:
        raise InvalidInputError(f"model {name!r:.80} can't be tuned; these can: {tunable} (None tries them all).")
    return name


def _default_settings(family: str) -> dict[str, Any]:
    """Return the settings that a model has by default, by the names of ``SETTINGS``."""
    params = make_model(family).get_params(deep=False)
    if family == "mlp":
        params |= {"layers": len(params["hidden"]), "width": params["hidden"][0]}
    # What XGBoost leaves at None is a penalty of 1.
    return {name: 1.0 if params[name] is None else params[name] for name in SETTINGS[family]}


def _build(family: str, settings: dict[str, Any], random_state: int | None) -> Any:
    """Build a regressor: the default one for no settings."""
    params = dict(settings)
    if "layers" in params:
        params["hidden"] = (params.pop("width"),) * params.pop("layers")
    if family == "forest":
        params["n_jobs"] = 1  # small fits: more threads would only wait for one another
    return make_model(family, random_state).set_params(**params)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The training rows, encoded once, and how well a model does on them."""

    surrogate: Surrogate
    seed: int
    of_default: tuple[Encoder, Encoded]
    of_others: tuple[Encoder, Encoded]
    costs: Vector
    deviation: float

    @property
    def training(self) -> Encoded:
        """What models with settings read."""
        return self.of_others[1]

    @property
    def given(self) -> Any:
        """The surrogate's own model, before any search; None is the default."""
        return None if self.surrogate.is_default else _build(_family(self.surrogate), {}, self.seed)

    @property
    def few(self) -> bool:
        """Whether there are too few rows to try anything but the default."""
        return self.surrogate.is_default and len(self.costs) < TUNED_ROWS

    @classmethod
    def of(cls, surrogate: Surrogate, networks: Networks, cost: npt.ArrayLike, configs: Configs) -> _Rows:
        batch = as_batch(surrogate.space, networks, configs)
        costs = checked_cost(cost, len(batch), metric=surrogate.kind)
        of_default = surrogate.encode(batch)
        of_others = of_default
        if surrogate.is_default:
            of_others = clone(surrogate).set_params(encoder="combined").encode(batch)
        if len(costs) < MIN_ROWS:
            raise InvalidInputError(f"tuning needs at least {MIN_ROWS} measured architectures, got {len(costs)}.")
        deviation = float(np.abs(costs - costs.mean()).mean()) if np.ptp(costs) else 0.0
        return cls(surrogate, surrogate.random_state or 0, of_default, of_others, costs, deviation)

    def folds(self, fresh: bool = False) -> Folds:
        """Split the rows into folds, fewer if there are few rows: those of the search, or fresh ones."""
        from sklearn.model_selection import GroupKFold, KFold

        seed, n, n_configs = self.seed + fresh, min(FOLDS, len(self.costs) // 2), len(self.training.configs)
        if n_configs < FOLDS:
            return list(KFold(n, shuffle=True, random_state=seed).split(self.costs))
        if fresh:
            n = min(n, n_configs // 2)  # a config alone would make the same fold whatever the seed
        return list(GroupKFold(n, shuffle=True, random_state=seed).split(self.costs, groups=self.training.number))

    def errors(self, model: Any, folds: Folds) -> Iterator[Vector]:
        """Fit to all folds but one and yield the relative absolute errors in that one, for each.

        The model is the default if None.
        """
        surrogate = clone(self.surrogate).set_params(calibrate=False)
        encoder, everything = self.of_default
        if model is not None:
            surrogate.set_params(model=model)
            encoder, everything = self.of_others
        for train, test in folds:
            surrogate.fit_encoded(encoder, everything.rows(train), self.costs[train])
            rows = everything.rows(test)
            predicted = surrogate.cost_encoded(rows.only(surrogate.columns_))
            if not np.isfinite(predicted).all():
                raise InvalidInputError(f"{model!r:.80} predicts costs that are not finite.")
            yield np.abs(predicted - self.costs[test]) / self.deviation


class _Search:
    """The study's objective, and its clock."""

    def __init__(self, rows: _Rows, families: list[str], default: str, seconds: float, progress: _Progress) -> None:
        self.rows, self.families, self.default, self.progress = rows, families, default, progress
        self.seconds, self.begin, self.reserved = seconds, monotonic(), 0.0
        self.folds = rows.folds()

    def fingerprint(self) -> str:
        """Return a hash of all that decides a trial's value."""
        rows, features = self.rows, self.rows.training.features
        said = [self.families, self.default, rows.seed, SETTINGS, list(map(str, features.columns))]
        digest = hashlib.sha256(repr(said).encode())
        for array in (features.to_numpy(np.float64), rows.costs, *(test for _, test in self.folds)):
            digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def run(self, study: Study, max_trials: int | None) -> None:
        """Evaluate the default, unless the study knows it, then others until the time or the trials are up."""
        if not _defaults(study, "COMPLETE"):
            if not _defaults(study, "WAITING"):  # as it does if a call was killed just here
                params = {f"{self.default}.{name}": value for name, value in _default_settings(self.default).items()}
                study.enqueue_trial({"model": self.default, **params}, user_attrs={_DEFAULT: True})
            study.optimize(self, n_trials=1)
        self.after(study)
        left = None if max_trials is None else max(max_trials - sum(_counts(study)), 0)
        if study.best_value > EXACT and not self.time_is_up():
            study.optimize(self, n_trials=left, catch=(Exception,), callbacks=[self.after])

    def __call__(self, trial: Trial) -> float:
        """Return the mean absolute error of a trial's settings; its value after each fold is reported."""
        from optuna import TrialPruned

        family = trial.suggest_categorical("model", self.families)
        settings: dict[str, Any] = {}
        for name, (low, high, log) in SETTINGS[family].items():
            suggest: Callable[..., float] = trial.suggest_int if isinstance(low, int) else trial.suggest_float
            settings[name] = suggest(f"{family}.{name}", low, high, log=log)
        is_default = _DEFAULT in trial.user_attrs
        model = self.rows.given if is_default else _build(family, settings, self.rows.seed)
        seen = np.empty(0)
        for number, errors in enumerate(self.rows.errors(model, self.folds)):
            seen = np.concatenate([seen, errors])
            trial.report(float(seen.mean()), number)
            may_end = not is_default and len(seen) < len(self.rows.costs)
            if may_end and (trial.should_prune() or self.time_is_up()):
                raise TrialPruned
        return float(seen.mean())

    def after(self, study: Study, trial: FrozenTrial | None = None) -> None:
        """Keep the time that comparing the best with the default will take, and stop when the rest is spent."""
        compared = [_defaults(study, "COMPLETE")[0], study.best_trial]
        self.reserved = sum(known.duration.total_seconds() for known in compared if known.duration is not None)
        if self.progress is not None:
            total = math.ceil(self.seconds)
            self.progress(min(int(monotonic() - self.begin), total), total)
        if trial is not None and self.time_is_up():
            study.stop()

    def time_is_up(self) -> bool:
        return monotonic() - self.begin + self.reserved >= self.seconds


def _defaults(study: Study, state: str) -> list[FrozenTrial]:
    return [t for t in study.get_trials(deepcopy=False) if t.state.name == state and _DEFAULT in t.user_attrs]


def _counts(study: Study) -> tuple[int, int]:
    """Return how many trials ended well, and how many failed; one that still runs was cut off by a kill."""
    states = [trial.state.name for trial in study.get_trials(deepcopy=False)]
    return states.count("COMPLETE") + states.count("PRUNED"), states.count("FAIL")


def _compare(rows: _Rows, study: Study) -> Tuned:
    """Compare the best trial with the default on folds that the search did not see."""
    folds = rows.folds(fresh=True)
    before = np.concatenate(list(rows.errors(rows.given, folds)))
    result = _as_given(rows, float(before.mean()), *_counts(study))
    best = study.best_trial
    if _DEFAULT in best.user_attrs:
        return result
    family = best.params["model"]
    settings = {name.partition(".")[2]: value for name, value in best.params.items() if name != "model"}
    after = np.concatenate(list(rows.errors(_build(family, settings, rows.seed), folds)))
    gain = before - after
    if gain.mean() <= gain.std() / math.sqrt(len(gain)):
        return result
    tuned = clone(rows.surrogate).set_params(model=_build(family, settings, rows.surrogate.random_state))
    said = {"model": family} | settings
    return replace(result, surrogate=tuned, kept=True, error=float(after.mean()), settings=said)


def _as_given(rows: _Rows, error: float, trials: int, failed: int) -> Tuned:
    family = _family(rows.surrogate)
    said = {"model": DEFAULT} if rows.surrogate.is_default else {"model": family} | _default_settings(family)
    return Tuned(clone(rows.surrogate), False, error, error, trials, failed, said)


def _open(path: str | os.PathLike[str] | None, fingerprint: str, seed: int) -> Study:
    """Open the study kept in a file, or a new one."""
    import optuna

    storage = None if path is None else _storage(Path(path), fingerprint)
    pruner = optuna.pruners.MedianPruner()
    study = optuna.create_study(storage=storage, study_name=_STUDY_NAME, pruner=pruner, load_if_exists=True)
    # A study that goes on must not draw again what it has drawn before.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.get_trials(deepcopy=False)))
    if _FINGERPRINT not in study.user_attrs:
        study.set_user_attr(_FINGERPRINT, fingerprint)
    return study


def _storage(path: Path, fingerprint: str) -> JournalStorage:
    """Return the storage of a study's file, which is not written unless it is empty or of this fingerprint."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        raw = path.read_bytes() if path.exists() else b""
        lock = JournalFileOpenLock(str(path), grace_period=10)  # a lock older than this was left by a kill
        # Optuna would take a last line that is no JSON for one that is still being written.
        whole = raw[: raw.rfind(b"\n") + 1]
        list(map(json.loads, whole.splitlines()))
        storage = JournalStorage(JournalFileBackend(str(path), lock))
        held = {study.study_name: study.user_attrs.get(_FINGERPRINT) for study in storage.get_all_studies()}
        if raw and list(held) != [_STUDY_NAME]:
            raise ValueError(f"it holds {list(held)}")
    except OSError:
        raise
    except Exception as error:
        message = f"{path} is damaged, or no study of ours ({error}). Move it away, or choose another file."
        raise DataFileError(message) from error
    if raw and held[_STUDY_NAME] not in (None, fingerprint):
        raise InvalidInputError(
            f"the study {path} belongs to other data or settings. To continue it, give the architectures, costs, "
            "configs, encoder, model and random_state that it was begun with; to begin anew, choose another file."
        )
    if len(whole) < len(raw):
        # A kill cut the last line short, and the next one must not be appended to it.
        os.truncate(path, len(whole))
    return storage
