"""Tuning: Optuna searches a model's settings, and cross-validation decides whether they are used."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from joblib import effective_n_jobs
from sklearn.base import clone

from hwnas_surrogate.errors import DataFileError, InvalidInputError, TooFewCostsError, missing_extra, unknown
from hwnas_surrogate.features import Encoder
from hwnas_surrogate.files import locked, make_folder
from hwnas_surrogate.inputs import read_bytes, read_json
from hwnas_surrogate.jobs.parallel import checked_jobs, in_parallel
from hwnas_surrogate.models import DEFAULT, MODELS, make_model
from hwnas_surrogate.random_states import as_seed
from hwnas_surrogate.spaces import Configs, Networks, as_batch
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
TUNED_ROWS = 100  # with fewer, a model without physics beats the default only by chance
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
"""By model and setting: lowest and highest value (integers for integer settings), and whether the scale is log."""

_STUDY_NAME, _FINGERPRINT, _DEFAULT = "hwnas-surrogate tuning", "fingerprint", "default"


@dataclass(frozen=True, slots=True)
class Tuned:
    """The result of :func:`tune`.

    Parameters
    ----------
    surrogate : Surrogate
        Unfitted: with the tuned model if ``kept``, else as given.
    kept : bool
        Whether the tuned settings are better in cross-validation.
    error, default_error : float
        Mean absolute errors of ``surrogate`` and of the default on folds that the search did not use, divided by the
        mean absolute deviation of the costs: 1 is as good as predicting the mean.
    trials, failed : int
        Number of settings tried, including the default and pruned ones, and of those that raised or were interrupted;
        over all calls with the same study.
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
        """Return the result at four digits."""
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
    networks: Networks,
    cost: npt.ArrayLike,
    configs: Configs = None,
    *,
    seconds: float,
    study: str | os.PathLike[str] | None = None,
    max_trials: int | None = None,
    progress: _Progress = None,
    n_jobs: int | None = None,
) -> Tuned:
    """Search for better settings of a surrogate's model on its training architectures.

    Pass training rows only: the search uses all rows, and the returned errors are cross-validated. The default is tried
    first. Settings are compared by five-fold cross-validation (with five configs or more, whole configs are held out),
    and pruned after a fold in which they are worse than the median. The best settings are compared with the default on
    other folds. They are used only if their absolute errors are smaller by more than one standard error of the paired
    differences. If all costs are equal the default is returned untried; with fewer than a hundred, nothing else is
    tried.

    Parameters
    ----------
    surrogate : Surrogate
        Its model must be the name of a model with settings; None or ``"default"`` searches over all of these.
    networks : architectures, batch or graphs
        n of them, at least four.
    cost : array-like of float, shape (n,)
        Their costs: finite, not negative, all in one unit.
    configs : config or sequence of n configs, optional
        The network configs; the space's first published one if None.
    seconds : float
        Time limit. The default is evaluated and compared in any case, and a fold that has begun is completed.
    study : path-like, optional
        A file that stores the trials (Optuna's journal: JSON lines). If it exists, the study is continued.
    max_trials : int, optional
        Largest number of trials, including those already in ``study``.
    progress : callable, optional
        Called after each trial with the elapsed and the total time in whole seconds.
    n_jobs : int, optional
        Processes, as in :func:`~hwnas_surrogate.jobs.in_parallel`: they share the folds of each trial. The result of so
        many trials is the same for any number.

    Returns
    -------
    Tuned

    Raises
    ------
    InvalidInputError
        If the costs are invalid (see :meth:`Surrogate.fit`), the model has no settings to tune, a limit is not
        positive, or the study's file belongs to other data or settings.
    DataFileError
        If the study's file is damaged, is no study, or can't be read or written; it is not changed.
    MissingExtraError
        If Optuna is not installed.

    Examples
    --------
    >>> from hwnas_surrogate.spaces import get_space
    >>> space = get_space("nasbench201")
    >>> archs = space.sample(100, random_state=0)
    >>> tuned = tune(Surrogate(), archs, space.batch(archs).macs / 1e6, seconds=60, max_trials=3)
    >>> tuned.kept, tuned.settings["model"]  # the costs are exact sums
    (False, 'default')
    """
    _check_limits(seconds, max_trials)
    seconds = one_number(seconds)
    default = _family(surrogate)
    rows = _Rows.of(surrogate, networks, cost, configs, n_jobs)
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
    """Return a model's default settings, by the names of ``SETTINGS``."""
    params = make_model(family).get_params(deep=False)
    if family == "mlp":
        params |= {"layers": len(params["hidden"]), "width": params["hidden"][0]}
    # XGBoost's None is a penalty of 1.
    return {name: 1.0 if params[name] is None else params[name] for name in SETTINGS[family]}


def _build(family: str, settings: dict[str, Any], random_state: int | None) -> Any:
    """Build a regressor with some settings, the others at their defaults."""
    params = dict(settings)
    if "layers" in params:
        params["hidden"] = (params.pop("width"),) * params.pop("layers")
    if family == "forest":
        params["n_jobs"] = 1  # small fits: more threads only wait for one another
    return make_model(family, random_state).set_params(**params)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The training rows, encoded once, and the cross-validated errors of models on them."""

    surrogate: Surrogate
    seed: int
    of_default: tuple[Encoder, Encoded]
    of_others: tuple[Encoder, Encoded]
    costs: Vector
    deviation: float
    n_jobs: int | None = None

    @property
    def training(self) -> Encoded:
        """The encoded rows of models with settings."""
        return self.of_others[1]

    @property
    def given(self) -> Any:
        """The surrogate's model before the search; None is the default."""
        return None if self.surrogate.is_default else _build(_family(self.surrogate), {}, self.seed)

    @property
    def few(self) -> bool:
        """Whether there are too few rows to try other models than the default."""
        return self.surrogate.is_default and len(self.costs) < TUNED_ROWS

    @classmethod
    def of(
        cls, surrogate: Surrogate, networks: Networks, cost: npt.ArrayLike, configs: Configs, n_jobs: int | None = None
    ) -> _Rows:
        batch = as_batch(surrogate.space, networks, configs)
        costs = checked_cost(cost, len(batch), metric=surrogate.kind)
        of_default = surrogate.encode(batch)
        of_others = of_default
        if surrogate.is_default:
            of_others = clone(surrogate).set_params(encoder="combined").encode(batch)
        if len(costs) < MIN_ROWS:
            raise TooFewCostsError(f"tuning needs at least {MIN_ROWS} measured architectures, got {len(costs)}.")
        deviation = float(np.abs(costs - costs.mean()).mean()) if np.ptp(costs) else 0.0
        seed = as_seed(surrogate.random_state) or 0
        return cls(surrogate, seed, of_default, of_others, costs, deviation, checked_jobs(n_jobs))

    def folds(self, fresh: bool = False) -> Folds:
        """Split the rows into folds, fewer if there are few rows; ``fresh`` ones differ from those of the search."""
        from sklearn.model_selection import GroupKFold, KFold

        seed, n, n_configs = self.seed + fresh, min(FOLDS, len(self.costs) // 2), len(self.training.configs)
        if n_configs < FOLDS:
            return list(KFold(n, shuffle=True, random_state=seed).split(self.costs))
        if fresh:
            n = min(n, n_configs // 2)  # folds of one config would be the same for every seed
        return list(GroupKFold(n, shuffle=True, random_state=seed).split(self.costs, groups=self.training.number))

    def errors(self, model: Any, folds: Folds) -> Iterator[Vector]:
        """Yield the absolute errors on each fold, divided by ``deviation``, of a model fitted to the other folds.

        If the model is None, it is the default. As many folds are fitted at once as there are processes: a trial that
        is pruned after the first of them has cost no more time than that one.
        """
        surrogate = clone(self.surrogate).set_params(calibrate=False)
        encoder, everything = self.of_default
        if model is not None:
            surrogate.set_params(model=model)
            encoder, everything = self.of_others
        shared, jobs = (surrogate, encoder, everything, self.costs), effective_n_jobs(self.n_jobs)
        for start in range(0, len(folds), jobs):
            for errors in in_parallel(_errors, folds[start : start + jobs], shared=shared, n_jobs=self.n_jobs):
                if isinstance(errors, Exception):
                    raise errors
                yield errors / self.deviation


def _errors(
    surrogate: Surrogate,
    encoder: Encoder,
    everything: Encoded,
    costs: Vector,
    train: npt.NDArray[np.intp],
    test: npt.NDArray[np.intp],
) -> Vector | Exception:
    """Return the absolute errors on a fold; or what is raised, which counts only if the folds before are good."""
    try:
        surrogate.fit_encoded(encoder, everything.rows(train), costs[train])
        rows = everything.rows(test)
        predicted = surrogate.cost_encoded(rows.only(surrogate.columns_))
        if not np.isfinite(predicted).all():
            raise InvalidInputError(f"{surrogate.model!r:.80} predicts costs that are not finite.")
    except Exception as error:  # noqa: BLE001 - raised by the trial
        return error
    return np.asarray(np.abs(predicted - costs[test]), np.float64)


class _Search:
    """The objective of the study, and its time limit."""

    def __init__(self, rows: _Rows, families: list[str], default: str, seconds: float, progress: _Progress) -> None:
        self.rows, self.families, self.default, self.progress = rows, families, default, progress
        self.seconds, self.begin, self.reserved = seconds, monotonic(), 0.0
        self.folds = rows.folds()

    def fingerprint(self) -> str:
        """Return a hash of everything that determines a trial's value."""
        rows, features = self.rows, self.rows.training.features
        settings = [self.families, self.default, rows.seed, SETTINGS, list(map(str, features.columns))]
        digest = hashlib.sha256(repr(settings).encode())
        for array in (features.to_numpy(np.float64), rows.costs, *(test for _, test in self.folds)):
            digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def run(self, study: Study, max_trials: int | None) -> None:
        """Evaluate the default unless the study has it, then other settings until the limit of time or trials."""
        if not _defaults(study, "COMPLETE"):
            if not _defaults(study, "WAITING"):  # it waits if an earlier call was killed just here
                params = {f"{self.default}.{name}": value for name, value in _default_settings(self.default).items()}
                study.enqueue_trial({"model": self.default, **params}, user_attrs={_DEFAULT: True})
            study.optimize(self, n_trials=1)
        self.after(study)
        remaining = None if max_trials is None else max(max_trials - sum(_counts(study)), 0)
        if study.best_value > EXACT and not self.time_is_up():
            study.optimize(self, n_trials=remaining, catch=(Exception,), callbacks=[self.after])

    def __call__(self, trial: Trial) -> float:
        """Return the mean absolute error of a trial's settings; report it after each fold."""
        from optuna import TrialPruned

        family = trial.suggest_categorical("model", self.families)
        settings: dict[str, Any] = {}
        for name, (low, high, log) in SETTINGS[family].items():
            suggest: Callable[..., float] = trial.suggest_int if isinstance(low, int) else trial.suggest_float
            settings[name] = suggest(f"{family}.{name}", low, high, log=log)
        is_default = _DEFAULT in trial.user_attrs
        model = self.rows.given if is_default else _build(family, settings, self.rows.seed)
        errors = np.empty(0)
        for number, of_fold in enumerate(self.rows.errors(model, self.folds)):
            errors = np.concatenate([errors, of_fold])
            trial.report(float(errors.mean()), number)
            may_prune = not is_default and len(errors) < len(self.rows.costs)
            if may_prune and (trial.should_prune() or self.time_is_up()):
                raise TrialPruned
        return float(errors.mean())

    def after(self, study: Study, trial: FrozenTrial | None = None) -> None:
        """Reserve the time to compare the best settings with the default; stop when the rest is used up."""
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
    """Return the numbers of completed or pruned trials, and of failed ones; killed trials are neither."""
    states = [trial.state.name for trial in study.get_trials(deepcopy=False)]
    return states.count("COMPLETE") + states.count("PRUNED"), states.count("FAIL")


def _compare(rows: _Rows, study: Study) -> Tuned:
    """Compare the best trial with the default on folds that the search did not use."""
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
    tuned = clone(rows.surrogate).set_params(model=_build(family, settings, as_seed(rows.surrogate.random_state)))
    found = {"model": family} | settings
    return replace(result, surrogate=tuned, kept=True, error=float(after.mean()), settings=found)


def _as_given(rows: _Rows, error: float, trials: int, failed: int) -> Tuned:
    family = _family(rows.surrogate)
    settings = {"model": DEFAULT} if rows.surrogate.is_default else {"model": family} | _default_settings(family)
    return Tuned(clone(rows.surrogate), False, error, error, trials, failed, settings)


def _open(path: str | os.PathLike[str] | None, fingerprint: str, seed: int) -> Study:
    """Open the study in a file, or a new one."""
    import optuna

    storage = None if path is None else _storage(Path(path), fingerprint)
    pruner = optuna.pruners.MedianPruner()
    study = optuna.create_study(storage=storage, study_name=_STUDY_NAME, pruner=pruner, load_if_exists=True)
    # A continued study must not repeat its random draws.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.get_trials(deepcopy=False)))
    if _FINGERPRINT not in study.user_attrs:
        study.set_user_attr(_FINGERPRINT, fingerprint)
    return study


_LARGEST_STUDY = 2**30


class _Lock:
    """A lock that ends with its process; the files that Optuna locks with stay behind after a kill."""

    def __init__(self, path: Path) -> None:
        self._path, self._held = path, ExitStack()

    def acquire(self) -> bool:
        self._held.enter_context(locked(self._path))
        return True

    def release(self) -> None:
        self._held.close()


def _storage(path: Path, fingerprint: str) -> JournalStorage:
    """Return the storage of a study's file; the file is changed only if it is empty or has this fingerprint."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    try:
        make_folder(path.parent)
        raw = read_bytes(path, _LARGEST_STUDY) if path.exists() else b""
        # Optuna takes a last line that is no JSON for one that is still being written.
        whole = raw[: raw.rfind(b"\n") + 1]
        list(map(read_json, whole.splitlines()))
        storage = JournalStorage(JournalFileBackend(str(path), _Lock(path)))  # type: ignore[arg-type]
        held = {study.study_name: study.user_attrs.get(_FINGERPRINT) for study in storage.get_all_studies()}
        if raw and list(held) != [_STUDY_NAME]:
            raise ValueError(f"it holds {list(held)}")
    except (OSError, DataFileError):
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
        # The last line is incomplete after a kill; the next one must not be appended to it.
        os.truncate(path, len(whole))
    return storage
