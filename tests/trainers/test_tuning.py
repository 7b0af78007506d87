"""Tuning searches on the training side only, goes on where it stopped, and is used only where it helps."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_predict
from xgboost import XGBRegressor

from hwnas_surrogate import models
from hwnas_surrogate.errors import DataFileError, InvalidConfigError, InvalidInputError, MissingExtraError
from hwnas_surrogate.models import MLP, MODELS, LeaveOneOutRidge
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate, tuning
from hwnas_surrogate.trainers.tuning import SETTINGS, Tuned, tune
from tests.trainers.conftest import planted_costs

SPACE = get_space("nasbench201")
CONFIGS = [f"C{width}-N1-k10-3x16x16" for width in range(2, 12)]
FOREST = MODELS["forest"], SETTINGS["forest"]
"""The package's own, which most tests here put a small one in the place of."""


class Forest(RandomForestRegressor):
    """A forest whose default is plainly too coarse, and which refuses some settings where a test asks for it."""

    refused = math.inf
    exception: type[BaseException] = ValueError
    fits = 0

    def __init__(
        self,
        n_estimators: int = 5,
        *,
        max_features: float = 1.0,
        min_samples_leaf: int = 15,
        n_jobs: int | None = None,
        random_state: int | None = None,
    ) -> None:
        super().__init__(
            n_estimators,
            max_features=max_features,
            min_samples_leaf=min_samples_leaf,
            n_jobs=n_jobs,
            random_state=random_state,
        )

    def fit(self, X: Any, y: Any) -> Any:
        Forest.fits += 1
        if Forest.fits >= Forest.refused:
            raise Forest.exception("no such forest")
        return super().fit(X, y)


@pytest.fixture(autouse=True)
def coarse_forest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the model named ``forest`` be a small one that tuning can improve in milliseconds."""
    monkeypatch.setattr(Forest, "fits", 0)
    monkeypatch.setitem(models._models, "forest", lambda random_state: Forest(random_state=random_state))
    few = {"n_estimators": (3, 8, True), "max_features": (0.1, 1.0, False), "min_samples_leaf": (1, 20, True)}
    monkeypatch.setitem(SETTINGS, "forest", few)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each fit of a forest take a second, and nothing else any time."""
    monkeypatch.setattr(tuning, "monotonic", lambda: float(Forest.fits))


def forest(random_state: int | None = 0) -> Surrogate:
    return Surrogate(encoder="counts", model="forest", random_state=random_state)


def trials_in(path: Path) -> list[optuna.trial.FrozenTrial]:
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    return optuna.load_study(study_name=None, storage=storage).get_trials(deepcopy=False)


def assert_same(one: Tuned, other: Tuned) -> None:
    for name in ("kept", "error", "default_error", "trials", "failed", "settings"):
        assert getattr(one, name) == getattr(other, name)
    assert repr(one.surrogate) == repr(other.surrogate)


def test_what_was_found_prints_at_four_digits() -> None:
    settings: dict[str, str | int | float] = {"model": "boosted", "n_trees": 300, "learning_rate": 0.0123456789}
    tuned = Tuned(forest(), True, 0.0312345678, 0.0456789, 12, 1, settings)
    assert str(tuned) == (
        "better than the default and kept: {'model': 'boosted', 'n_trees': 300, 'learning_rate': 0.01235}, "
        "error 0.03123, the default's 0.04568; 12 trials, 1 failed"
    )


# -- used only where it helps -----------------------------------------------------------------------------


def test_settings_that_are_plainly_better_are_used(archs: np.ndarray, costs: np.ndarray, queries: np.ndarray) -> None:
    given = forest()
    tuned = tune(given, archs, costs, seconds=60, max_trials=12)
    assert tuned.kept
    assert tuned.error < tuned.default_error
    assert (tuned.trials, tuned.failed) == (12, 0)
    assert tuned.settings.pop("model") == "forest"
    params = tuned.surrogate.model.get_params()
    assert tuned.settings.items() <= params.items()
    assert tuned.surrogate.random_state == params["random_state"] == 0
    assert params["n_jobs"] == 1
    assert tuned.surrogate.encoder == "counts"
    assert not hasattr(tuned.surrogate, "model_"), "it is for the caller to fit"

    def error(surrogate: Surrogate) -> float:
        return float(np.abs(surrogate.fit(archs, costs).predict(queries) - planted_costs(queries)).mean())

    assert error(tuned.surrogate) < 0.9 * error(given), "it is better on architectures that it has not seen"


def test_a_tuned_surrogate_is_saved_and_loaded(
    archs: np.ndarray, costs: np.ndarray, queries: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    few_trees = XGBRegressor(n_estimators=20, learning_rate=0.05, max_depth=5, min_child_weight=2, n_jobs=1)
    few_trees.set_params(subsample=0.8, colsample_bytree=0.5)
    monkeypatch.setitem(
        models._models, "xgboost", lambda random_state: clone(few_trees).set_params(random_state=random_state)
    )
    monkeypatch.setitem(SETTINGS, "xgboost", SETTINGS["xgboost"] | {"n_estimators": (20, 60, True)})
    tuned = tune(Surrogate(model="xgboost", random_state=0), archs, costs, seconds=60, max_trials=4)
    assert tuned.kept
    fitted = tuned.surrogate.fit(archs, costs)
    fitted.save(tmp_path / "saved")
    loaded = Surrogate.load(tmp_path / "saved")
    assert np.array_equal(loaded.predict(queries), fitted.predict(queries))
    assert tuned.settings["max_depth"] == loaded.model_.get_params()["max_depth"]


def test_exact_sums_leave_nothing_to_tune() -> None:
    archs = SPACE.sample(100, 3)
    tuned = tune(Surrogate(random_state=0), archs, SPACE.batch(archs).macs / 1e6, seconds=60, max_trials=5)
    assert not tuned.kept
    assert tuned.trials == 1, "nothing is better than exact"
    assert tuned.error == tuned.default_error < 1e-9
    assert tuned.surrogate.model is None
    assert tuned.settings == {"model": "default"}


def test_few_costs_leave_no_settings_to_tune(tmp_path: Path) -> None:
    archs = SPACE.sample(30, 3)
    tuned = tune(Surrogate(random_state=0), archs, planted_costs(archs), seconds=60, study=tmp_path / "study")
    assert (tuned.kept, tuned.trials, tuned.settings) == (False, 1, {"model": "default"})
    assert 0 < tuned.error == tuned.default_error < 0.6
    assert repr(tuned.surrogate) == repr(Surrogate(random_state=0))
    assert not (tmp_path / "study").exists()


def test_the_best_by_chance_is_not_used(archs: np.ndarray, tmp_path: Path) -> None:
    by_chance = 0
    for seed in range(2):
        noise = np.random.default_rng(seed).uniform(1, 2, len(archs))
        study = tmp_path / str(seed)
        tuned = tune(forest(seed), archs, noise, seconds=60, max_trials=8, study=study)
        assert not tuned.kept
        assert tuned.error == tuned.default_error
        assert repr(tuned.surrogate) == repr(forest(seed))
        values = [trial.value for trial in trials_in(study) if trial.state.name == "COMPLETE"]
        by_chance += min(values) < values[0]
    assert by_chance, "in some study settings were better than the default on the folds of the search"


@pytest.mark.parametrize("cost", [0.0, 0.1])
def test_equal_costs_have_nothing_to_tune(cost: float, archs: np.ndarray) -> None:
    tuned = tune(forest(), archs, [cost] * len(archs), seconds=60)
    assert (tuned.kept, tuned.error, tuned.default_error, tuned.trials) == (False, 0.0, 0.0, 0)
    assert tuned.surrogate.fit(archs, [cost] * len(archs)).predict(archs[:2]).tolist() == [cost] * 2


@pytest.mark.parametrize("model", [None, "default"])
def test_no_model_means_the_best_of_all(
    model: str | None, archs: np.ndarray, costs: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small = {"n_trees": (100, 300, True), "max_depth": (2, 5, False), "learning_rate": (0.01, 0.3, True)}
    monkeypatch.setattr(tuning, "SETTINGS", {"boosted": small, "forest": SETTINGS["forest"]})
    surrogate = Surrogate(model=model, encoder="counts", random_state=0)
    tune(surrogate, archs, costs, seconds=np.int64(60), max_trials=np.int64(5), study=tmp_path / "study")
    first, *others = [trial.params["model"] for trial in trials_in(tmp_path / "study")]
    assert first == "boosted"
    assert set(others) == {"boosted", "forest"}


# -- how settings are compared ----------------------------------------------------------------------------


def test_errors_are_relative_and_of_folds_that_the_search_did_not_see(archs: np.ndarray, costs: np.ndarray) -> None:
    tuned = tune(forest(3), archs, costs, seconds=60, max_trials=1)
    predicted = cross_val_predict(forest(3), archs, costs, cv=KFold(5, shuffle=True, random_state=4))
    expected = np.abs(predicted - costs).mean() / np.abs(costs - costs.mean()).mean()
    assert tuned.error == tuned.default_error == pytest.approx(expected)


def test_the_default_is_the_first_trial_in_five_folds(archs: np.ndarray, costs: np.ndarray, tmp_path: Path) -> None:
    tune(forest(3), archs, costs, seconds=60, max_trials=2, study=tmp_path / "study")
    first, second = trials_in(tmp_path / "study")
    predicted = cross_val_predict(forest(3), archs, costs, cv=KFold(5, shuffle=True, random_state=3))
    expected = np.abs(predicted - costs).mean() / np.abs(costs - costs.mean()).mean()
    assert first.value == pytest.approx(expected)
    assert first.params == {
        "model": "forest",
        "forest.n_estimators": 5,
        "forest.max_features": 1.0,
        "forest.min_samples_leaf": 15,
    }
    assert second.params != first.params


def test_the_default_is_taken_as_it_is(
    archs: np.ndarray, costs: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # No width and number of layers say this.
    tapered = MLP(hidden=(32, 2), steps=20, random_state=0)
    monkeypatch.setitem(
        models._models, "mlp", lambda random_state: clone(tapered).set_params(random_state=random_state)
    )
    monkeypatch.setitem(SETTINGS, "mlp", SETTINGS["mlp"] | {"steps": (20, 40, True)})
    tune(Surrogate(encoder="counts", model="mlp"), archs, costs, seconds=60, max_trials=1, study=tmp_path / "study")
    surrogate = Surrogate(encoder="counts", model=tapered)
    predicted = cross_val_predict(surrogate, archs, costs, cv=KFold(5, shuffle=True, random_state=0))
    expected = np.abs(predicted - costs).mean() / np.abs(costs - costs.mean()).mean()
    assert trials_in(tmp_path / "study")[0].value == pytest.approx(expected)


def test_the_unit_does_not_matter(archs: np.ndarray, costs: np.ndarray) -> None:
    one, other = (tune(forest(), archs, unit * costs, seconds=60, max_trials=8) for unit in (1.0, 2.0**-20))
    assert_same(one, other)


def test_hopeless_settings_are_given_up_early(archs: np.ndarray, costs: np.ndarray, tmp_path: Path) -> None:
    tuned = tune(forest(), archs, costs, seconds=60, max_trials=15, study=tmp_path / "study")
    trials = trials_in(tmp_path / "study")
    pruned = [trial for trial in trials if trial.state.name == "PRUNED"]
    assert pruned
    assert all(len(trial.intermediate_values) < 5 for trial in pruned)
    assert all(len(trial.intermediate_values) == 5 for trial in trials if trial not in pruned)
    assert tuned.trials == len(trials) == 15


@pytest.mark.parametrize(("n_configs", "n_fresh"), [(3, 5), (5, 2), (10, 5)])
def test_whole_configs_stay_together_where_there_are_five(
    n_configs: int, n_fresh: int, archs: np.ndarray, costs: np.ndarray
) -> None:
    configs = [CONFIGS[row % n_configs] for row in range(len(archs))]
    rows = tuning._Rows.of(forest(), archs, costs, configs)
    search, fresh = rows.folds(), rows.folds(fresh=True)
    assert (len(search), len(fresh)) == (5, n_fresh)
    for folds in (search, fresh):
        assert sorted(row for _, test in folds for row in test) == list(range(len(archs)))
        shared = [set(rows.training.number[train]) & set(rows.training.number[test]) for train, test in folds]
        assert any(shared) == (n_configs < 5)
    assert {tuple(test) for _, test in search}.isdisjoint(tuple(test) for _, test in fresh)
    assert tune(forest(), archs, costs, configs, seconds=60, max_trials=2).trials == 2


def test_few_rows_have_fewer_folds(archs: np.ndarray, costs: np.ndarray) -> None:
    assert len(tuning._Rows.of(forest(), archs[:7], costs[:7], None).folds()) == 3
    assert tune(forest(), archs[:4], costs[:4], seconds=60, max_trials=2).trials == 2


@pytest.mark.parametrize("family", SETTINGS)
def test_defaults_are_within_the_search_space_and_build_the_default(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(models._models, "forest", FOREST[0])
    monkeypatch.setitem(SETTINGS, "forest", FOREST[1])
    settings = tuning._default_settings(family)
    assert settings.keys() == SETTINGS[family].keys()
    for name, (low, high, _) in SETTINGS[family].items():
        assert low <= settings[name] <= high
    built, default = tuning._build(family, settings, 7), MODELS[family](7)
    unlike = {key for key, value in default.get_params().items() if built.get_params()[key] not in (value, None)}
    expected = {"n_jobs"} if family == "forest" else {"reg_lambda"}
    assert unlike - {"missing"} <= expected, "XGBoost's None is 1; a small forest takes one thread"


# -- limits -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("clock")
def test_the_default_is_evaluated_whatever_the_limit(archs: np.ndarray, costs: np.ndarray) -> None:
    tuned = tune(forest(), archs, costs, seconds=1e-9)
    assert (tuned.trials, tuned.kept) == (1, False)
    assert tuned.error > 0
    assert Forest.fits == 5 + 5, "five folds, and five others"


@pytest.mark.usefixtures("clock")
def test_the_search_ends_with_the_fold_in_which_time_is_up(
    archs: np.ndarray, costs: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Optuna's own clock, of which the time kept for the comparison is an estimate, stands still.
    monkeypatch.setattr(optuna.trial.FrozenTrial, "duration", timedelta(0))
    tune(forest(), archs, costs, seconds=12, study=tmp_path / "study")
    assert [len(trial.intermediate_values) for trial in trials_in(tmp_path / "study")] == [5, 5, 2]


@pytest.mark.usefixtures("clock")
def test_time_for_the_comparison_is_kept(
    archs: np.ndarray, costs: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(optuna.trial.FrozenTrial, "duration", timedelta(seconds=5))
    tune(forest(), archs, costs, seconds=21, study=tmp_path / "study")
    assert [len(trial.intermediate_values) for trial in trials_in(tmp_path / "study")] == [5, 5, 1]
    assert Forest.fits <= 21


@pytest.mark.usefixtures("clock")
def test_progress_is_told_in_seconds_after_each_trial(
    archs: np.ndarray, costs: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optuna.trial.FrozenTrial, "duration", timedelta(0))
    told: list[tuple[int, int]] = []
    tune(forest(), archs, costs, seconds=11.5, progress=lambda done, total: told.append((done, total)))
    assert told == [(5, 12), (10, 12), (12, 12)]


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, "5m", None, True])
def test_wrong_seconds_are_refused(seconds: Any, archs: np.ndarray, costs: np.ndarray) -> None:
    with pytest.raises(InvalidInputError, match=r"seconds must be a positive, finite number, got "):
        tune(forest(), archs, costs, seconds=seconds)


@pytest.mark.parametrize("max_trials", [0, -3, 2.5, "9", True])
def test_wrong_numbers_of_trials_are_refused(max_trials: Any, archs: np.ndarray, costs: np.ndarray) -> None:
    with pytest.raises(InvalidInputError, match=r"max_trials must be a positive whole number or None, got "):
        tune(forest(), archs, costs, seconds=1, max_trials=max_trials)


# -- it can be repeated and continued ---------------------------------------------------------------------


def test_same_seed_same_result(archs: np.ndarray, costs: np.ndarray) -> None:
    first, second, other = (tune(forest(seed), archs, costs, seconds=60, max_trials=7) for seed in (1, 1, 2))
    assert_same(first, second)
    assert other.settings != first.settings


def test_no_seed_is_repeatable_too_and_stays_no_seed(archs: np.ndarray, costs: np.ndarray) -> None:
    first, second = (tune(forest(None), archs, costs, seconds=60, max_trials=7) for _ in range(2))
    assert first.kept
    assert_same(first, second)
    assert first.surrogate.random_state is None
    assert first.surrogate.model.random_state is None


def test_a_study_goes_on_where_it_stopped(archs: np.ndarray, costs: np.ndarray, tmp_path: Path) -> None:
    study = tmp_path / "new" / "study.jsonl"
    assert tune(forest(), archs, costs, seconds=60, max_trials=3, study=study).trials == 3
    before = trials_in(study)
    assert tune(forest(), archs, costs, seconds=60, max_trials=7, study=str(study)).trials == 7
    after = trials_in(study)
    assert [trial.value for trial in after[:3]] == [trial.value for trial in before]
    assert len({tuple(trial.params.values()) for trial in after}) == 7, "nothing is tried twice"
    assert all(isinstance(json.loads(line), dict) for line in study.read_text().splitlines())


def test_a_finished_study_is_not_searched_again(archs: np.ndarray, costs: np.ndarray, tmp_path: Path) -> None:
    study = tmp_path / "study"
    first = tune(forest(), archs, costs, seconds=60, max_trials=8, study=study)
    fits = Forest.fits
    assert_same(tune(forest(), archs, costs, seconds=60, max_trials=8, study=study), first)
    assert Forest.fits == fits + 5 + 5, "the best and the default are compared again, and that is all"
    assert len(trials_in(study)) == 8


@pytest.mark.parametrize("fit", [3, 8], ids=["in the default", "in another trial"])
def test_a_trial_that_a_kill_cut_off_is_ignored(
    fit: int, archs: np.ndarray, costs: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    with monkeypatch.context() as patch:
        patch.setattr(Forest, "refused", fit)
        patch.setattr(Forest, "exception", SystemExit)
        with pytest.raises(SystemExit):
            tune(forest(), archs, costs, seconds=60, max_trials=4, study=study)
    assert trials_in(study)[-1].state.name == "RUNNING"
    tuned = tune(forest(), archs, costs, seconds=60, max_trials=4, study=study)
    assert (tuned.trials, tuned.failed) == (4, 0)
    states = [trial.state.name for trial in trials_in(study)]
    assert states == ["COMPLETE"] * (fit // 5) + ["RUNNING"] + ["COMPLETE"] * (4 - fit // 5)


def test_a_study_cut_off_anywhere_goes_on(archs: np.ndarray, costs: np.ndarray, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    tune(forest(), archs[:20], costs[:20], seconds=60, max_trials=2, study=whole)
    content = whole.read_bytes()
    ends = [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]
    for size in (*ends[:5], *range(ends[5] + 20, len(content), len(content) // 5)):
        study = tmp_path / "cut"
        study.write_bytes(content[:size])
        assert tune(forest(), archs[:20], costs[:20], seconds=60, max_trials=2, study=study).trials == 2
        finished = [trial for trial in trials_in(study) if trial.state.name == "COMPLETE"]
        assert sum("default" in trial.user_attrs for trial in finished) == 1
        assert all(isinstance(json.loads(line), dict) for line in study.read_bytes().splitlines())


def over_layers(model: str | None = "forest", random_state: int = 0) -> Surrogate:
    return Surrogate(encoder="layers", model=model, random_state=random_state)


@pytest.mark.parametrize(
    ("surrogate", "factor", "rows", "config"),
    [
        (over_layers(), 1.01, slice(None), CONFIGS[0]),
        (over_layers(), 1.0, slice(None, None, -1), CONFIGS[0]),
        (over_layers(), 1.0, slice(30), CONFIGS[0]),
        (over_layers(), 1.0, slice(None), CONFIGS[1]),
        (over_layers(random_state=1), 1.0, slice(None), CONFIGS[0]),
        (over_layers("xgboost"), 1.0, slice(None), CONFIGS[0]),
        (over_layers(None), 1.0, slice(None), CONFIGS[0]),
        (forest(), 1.0, slice(None), CONFIGS[0]),
    ],
    ids=["costs", "architectures", "fewer", "config", "seed", "model", "any model", "encoder"],
)
def test_a_study_of_something_else_is_refused(
    surrogate: Surrogate, factor: float, rows: slice, config: str, archs: np.ndarray, costs: np.ndarray, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    tune(over_layers(), archs, costs, CONFIGS[0], seconds=60, max_trials=1, study=study)
    content = study.read_bytes()
    batch = archs[rows]
    with pytest.raises(InvalidInputError, match=r"other data or settings\. To continue it, .* choose another file\."):
        tune(surrogate, batch, factor * costs[: len(batch)], config, seconds=60, study=study)
    assert study.read_bytes() == content


def damaged(content: bytes) -> Iterator[tuple[str, bytes]]:
    yield "text", b"these are my notes\n"
    yield "text without an end", b"these are my notes"
    yield "bytes", bytes(range(256))
    yield "other lines", b'{"a": 1}\n{"a": 2}\n'
    yield "numbers", b"1\n2\n"
    yield "a damaged line", content.replace(b"op_code", b'"', 1)
    yield "an unknown operation", content + b'{"op_code":99,"worker_id":"x"}\n'
    yield "a damaged last line", content + b"{\n"
    yield "another study", content.replace(b"hwnas-surrogate tuning", b"mine")


def test_files_that_are_no_studies_are_left_alone(archs: np.ndarray, costs: np.ndarray, tmp_path: Path) -> None:
    study = tmp_path / "study"
    tune(forest(), archs, costs, seconds=60, max_trials=1, study=study)
    for what, content in damaged(study.read_bytes()):
        study.write_bytes(content)
        with pytest.raises(DataFileError, match=r"is damaged, or no study of ours .* choose another file\."):
            tune(forest(), archs, costs, seconds=60, max_trials=1, study=study)
        assert study.read_bytes() == content, what


def test_a_folder_is_no_study(archs: np.ndarray, costs: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"can't read or write the study "):
        tune(forest(), archs, costs, seconds=60, study=tmp_path)


# -- settings that fail -----------------------------------------------------------------------------------


def test_failing_settings_are_counted(
    archs: np.ndarray, costs: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Forest, "refused", 6)
        with pytest.raises(ValueError, match="no such forest"):
            tune(forest(), archs, costs, seconds=60, max_trials=4, study=tmp_path / "study")  # when compared
    tuned = tune(forest(), archs, costs, seconds=60, max_trials=9, study=tmp_path / "study")
    assert (tuned.trials, tuned.failed) == (6, 3)


def test_a_default_that_fails_is_no_matter_of_tuning(
    archs: np.ndarray, costs: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Forest, "refused", 1)
    with pytest.raises(ValueError, match="no such forest"):
        tune(forest(), archs, costs, seconds=60)


def test_predictions_that_are_not_finite_are_a_failure(
    archs: np.ndarray, costs: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Forest, "predict", lambda self, X: np.full(len(X), np.nan))
    with pytest.raises(InvalidInputError, match=r"^Forest\(.* predicts costs that are not finite\."):
        tune(forest(), archs, costs, seconds=60)


# -- what is refused, and what is left alone --------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("ridge", r"model 'ridge' can't be tuned; these can: 'boosted', 'xgboost', 'forest', 'mlp'"),
        ("additive", r"model 'additive' can't be tuned"),
        ("linear", r"model 'linear' can't be tuned"),
        (Ridge(), r"model Ridge\(\) can't be tuned; these can: 'boosted'"),
        (LeaveOneOutRidge(), r"model LeaveOneOutRidge\(\) can't be tuned"),
        ("defualt", r"unknown model 'defualt'; allowed: 'default', 'boosted', .* Did you mean 'default'"),
        ("forrest", r"unknown model 'forrest'; allowed: .* Did you mean 'forest'"),
    ],
)
def test_models_without_settings_are_refused(model: Any, message: str, archs: np.ndarray, costs: np.ndarray) -> None:
    with pytest.raises(InvalidInputError, match=message):
        tune(Surrogate(model=model), archs, costs, seconds=60)


@pytest.mark.parametrize("cost", [[1, 2, np.nan, 4], [1, -2, 3, 4], [1, 2, 3], [[1, 2]] * 4, ["a", "b", "c", "d"]])
def test_wrong_costs_give_the_errors_of_fit(cost: Any) -> None:
    archs = SPACE.sample(4, 0)
    with pytest.raises(InvalidInputError) as expected:
        forest().fit(archs, cost)
    with pytest.raises(InvalidInputError) as got:
        tune(forest(), archs, cost, seconds=60)
    assert str(got.value) == str(expected.value)


def test_too_few_rows_and_configs_are_refused(archs: np.ndarray, costs: np.ndarray) -> None:
    with pytest.raises(InvalidInputError, match=r"tuning needs at least 4 measured architectures, got 3\."):
        tune(forest(), archs[:3], costs[:3], seconds=60)
    with pytest.raises(InvalidConfigError, match=r"got 2 for 60"):
        tune(forest(), archs, costs, CONFIGS[:2], seconds=60)


def test_without_optuna_the_error_says_what_to_install(
    archs: np.ndarray, costs: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match="not installed: pip install optuna"):
        tune(forest(), archs, costs, seconds=60)


def test_nothing_given_is_changed(archs: np.ndarray, costs: np.ndarray) -> None:
    archs, costs = archs.copy(), costs.copy()
    archs.flags.writeable = costs.flags.writeable = False
    given = forest()
    before = dict(vars(given))
    tuned = tune(given, archs, costs, seconds=60, max_trials=3)
    assert vars(given) == before, "neither fitted nor set"
    assert tuned.surrogate is not given


@pytest.mark.parametrize("fails", [False, True])
def test_optunas_verbosity_and_the_global_generators_are_left_alone(
    fails: bool,
    archs: np.ndarray,
    costs: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    logging.getLogger("optuna").addHandler(caplog.handler)
    numpy_state, torch_state = np.random.get_state(legacy=False), torch.get_rng_state()  # noqa: NPY002
    try:
        if fails:
            monkeypatch.setattr(Forest, "refused", 6)
            with pytest.raises(ValueError, match="no such forest"):
                tune(forest(None), archs, costs, seconds=60, max_trials=3)
        else:
            tune(forest(None), archs, costs, seconds=60, max_trials=3)
        assert optuna.logging.get_verbosity() == optuna.logging.DEBUG
    finally:
        logging.getLogger("optuna").removeHandler(caplog.handler)
        optuna.logging.set_verbosity(before)
    assert not caplog.records
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    assert after["state"]["pos"] == numpy_state["state"]["pos"]
    assert np.array_equal(after["state"]["key"], numpy_state["state"]["key"])
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert capfd.readouterr() == ("", "")


def test_processes_share_the_folds_and_find_the_same(
    archs: np.ndarray, costs: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    few_trees = XGBRegressor(n_estimators=20, learning_rate=0.05, max_depth=5, min_child_weight=2, n_jobs=1)
    monkeypatch.setitem(models._models, "xgboost", lambda random_state: clone(few_trees).set_params(random_state=0))
    monkeypatch.setitem(SETTINGS, "xgboost", SETTINGS["xgboost"] | {"n_estimators": (10, 40, True)})
    soon = optuna.pruners.MedianPruner(n_startup_trials=1)
    monkeypatch.setattr(optuna.pruners, "MedianPruner", lambda: soon)
    found = [
        tune(
            Surrogate(encoder="counts", model="xgboost", random_state=0), archs, costs,
            seconds=1000, max_trials=4, study=tmp_path / f"{n_jobs}.jsonl", n_jobs=n_jobs,
        )
        for n_jobs in (1, 2)
    ]  # fmt: skip
    assert_same(*found)
    one, two = (
        [(trial.state.name, trial.intermediate_values) for trial in trials_in(tmp_path / f"{n_jobs}.jsonl")]
        for n_jobs in (1, 2)
    )
    assert one == two
    assert {state for state, _ in one} == {"COMPLETE", "PRUNED"}
