"""Saved surrogates come back to the bit or not at all, without pickle, and a failed save leaves the old ones."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load as arrays_from_bytes
from safetensors.numpy import save as arrays_to_bytes
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from skops.io import dumps

import hwnas_surrogate
from hwnas_surrogate.data import Target, load_table
from hwnas_surrogate.errors import DataFileError, InvalidInputError, SavedFormatError
from hwnas_surrogate.features import Combined, LayerSums, OneHot, OpCounts
from hwnas_surrogate.models import MODELS
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite

SPACE = get_space("nasbench201")
every_model = pytest.mark.parametrize("model", MODELS)


@pytest.fixture(scope="module")
def saved(
    fitted: dict[str, Surrogate], suites: dict[str, SurrogateSuite], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a folder of saved surrogates, by model name, and suites, ``old`` and ``new``; not to be changed."""
    folder = tmp_path_factory.mktemp("saved")
    for name, thing in {**fitted, **suites}.items():
        assert thing.save(folder / name) == folder / name
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that gives a copy of a saved folder, to be damaged."""
    return lambda name: Path(shutil.copytree(saved / name, tmp_path / name))


def manifest_of(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return manifest


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change the manifest as somebody would who knows how it is hashed."""
    manifest = manifest_of(folder)
    change(manifest)
    manifest.pop("sha256")
    manifest["sha256"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def kept(folder: Path, part: str = "model", number: int = 0) -> dict[str, Any]:
    """Return what the manifest says of a fitted part of a surrogate: ``model`` and ``weights``."""
    said: dict[str, Any] = manifest_of(folder)["surrogates"][number]["parts"][part]
    return said


def weights_of(folder: Path, part: str = "model", number: int = 0) -> Path:
    return folder / kept(folder, part, number)["weights"]["file"]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def digest(predicted: np.ndarray | pd.DataFrame) -> str:
    values = np.asarray(predicted, np.float64).ravel().tolist()
    return hashlib.sha256(" ".join(map(float.hex, values)).encode()).hexdigest()


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process, in which warnings are errors as here."""
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


# -- there and back ---------------------------------------------------------------------------------------


LOAD_AND_DIGEST = """
import hashlib, json, sys
from pathlib import Path
import numpy as np
from hwnas_surrogate import Surrogate, SurrogateSuite
archs = np.array(json.loads(sys.argv[2]), np.int8)
digests = {}
for folder in sorted(Path(sys.argv[1]).iterdir()):
    kind = SurrogateSuite if folder.name in ("old", "new") else Surrogate
    values = np.asarray(kind.load(folder).predict(archs), np.float64).ravel().tolist()
    digests[folder.name] = hashlib.sha256(" ".join(map(float.hex, values)).encode()).hexdigest()
print(json.dumps(digests))
"""


def test_a_fresh_process_predicts_the_same_bits(
    saved: Path, fitted: dict[str, Surrogate], suites: dict[str, SurrogateSuite], queries: np.ndarray
) -> None:
    ran = python(LOAD_AND_DIGEST, saved, json.dumps(queries.tolist()))
    assert ran.returncode == 0, ran.stderr
    expected = {name: digest(thing.predict(queries)) for name, thing in {**fitted, **suites}.items()}
    assert len(set(expected.values())) >= len(expected) - 1  # the default is the ridge where trees don't help
    assert json.loads(ran.stdout) == expected


@every_model
def test_nothing_is_unpickled(
    model: str, saved: Path, fitted: dict[str, Surrogate], queries: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler", "_Unpickler", "_load", "_loads"):
        monkeypatch.setattr(pickle, name, refuse)
    with pytest.raises(AssertionError, match="unpickled"):
        pickle.loads(b"")
    assert np.array_equal(Surrogate.load(saved / model).predict(queries), fitted[model].predict(queries))


@every_model
def test_no_file_is_a_pickle(model: str, saved: Path) -> None:
    for path in (saved / model).iterdir():
        data = path.read_bytes()
        assert not data.startswith(b"\x80")
        assert b".pkl" not in data


@every_model
def test_a_loaded_surrogate_knows_what_the_saved_one_knew(
    model: str, saved: Path, fitted: dict[str, Surrogate]
) -> None:
    loaded = Surrogate.load(saved / model)
    for name in ("n_train_", "n_features_in_", "scale_", "floor_", "target_", "random_state"):
        assert getattr(loaded, name) == getattr(fitted[model], name)
    assert type(loaded.model_) is type(fitted[model].model_)
    assert type(loaded.encoder_) is Combined
    assert loaded.space == "nasbench201"


@pytest.mark.parametrize("model", ["ridge", "mlp", "xgboost", "forest"])
def test_a_loaded_surrogate_can_be_saved_again(
    model: str, saved: Path, fitted: dict[str, Surrogate], queries: np.ndarray, tmp_path: Path
) -> None:
    again = Surrogate.load(Surrogate.load(saved / model).save(tmp_path / "again"))
    assert np.array_equal(again.predict(queries), fitted[model].predict(queries))


def test_a_suite_comes_back_with_targets_units_and_info(saved: Path, queries: np.ndarray, tmp_path: Path) -> None:
    table = load_table(space="nasbench201").select(configs="cifar10")
    table = table.rows(np.arange(min(50, len(table))))
    suite = SurrogateSuite(encoder=OneHot(), model="linear", random_state=4).fit_table(table)
    suite.info_["scores"] = {"kendall_tau": 0.5}
    loaded = SurrogateSuite.load(suite.save(tmp_path))
    pd.testing.assert_frame_equal(loaded.predict(queries), suite.predict(queries), check_exact=True)
    assert loaded.info_ == {"table_fingerprint": table.fingerprint, "scores": {"kendall_tau": 0.5}}
    assert (loaded.model, loaded.random_state, loaded.targets_) == ("linear", 4, suite.targets_)


@pytest.mark.parametrize(
    "encoder",
    [
        "onehot",
        OpCounts("fbnet", views=("folded",)),
        Combined("fbnet", [OneHot("fbnet"), Combined("fbnet", [LayerSums("fbnet", views=["all"])])]),
    ],
    ids=["name", "tuple of views", "nested"],
)
def test_every_encoder_of_the_package_comes_back(encoder: Any, tmp_path: Path) -> None:
    space = get_space("fbnet")
    archs = space.sample(40, 0)
    surrogate = Surrogate("fbnet", encoder).fit(archs, space.batch(archs).macs / 1e6)
    loaded = Surrogate.load(surrogate.save(tmp_path))
    names = surrogate.encoder_.get_feature_names_out().tolist()
    assert loaded.encoder_.get_feature_names_out().tolist() == names
    assert np.array_equal(loaded.predict(archs), surrogate.predict(archs))


@pytest.mark.parametrize("cost", [0.1, 0.0])
def test_a_constant_cost_comes_back(cost: float, queries: np.ndarray, tmp_path: Path) -> None:
    surrogate = Surrogate().fit(SPACE.sample(5, 0), [cost] * 5)
    assert Surrogate.load(surrogate.save(tmp_path)).predict(queries).tolist() == [cost] * len(queries)


# -- what the manifest says -------------------------------------------------------------------------------


def test_the_manifest_says_what_was_saved(saved: Path) -> None:
    manifest = manifest_of(saved / "old")
    said = {key: manifest[key] for key in ("format", "format_version", "package_version", "class", "space")}
    assert said == {
        "format": "hwnas-surrogate",
        "format_version": 13,
        "package_version": hwnas_surrogate.__version__,
        "class": "SurrogateSuite",
        "space": "nasbench201",
    }
    assert manifest["sources"] == []
    assert [entry["class"] for entry in manifest["surrogates"]] == ["Surrogate", "Surrogate"]
    assert manifest["surrogates"][0]["encoder"]["class"] == "Combined"
    assert manifest["random_state"] == 3
    targets = [entry["target"] for entry in manifest["surrogates"]]
    assert targets == [
        {"device": "raspi4", "metric": "latency", "unit": "ms"},
        {"device": "edge-gpu", "metric": "energy", "unit": "mJ"},
    ]
    for entry in manifest["surrogates"]:
        for said in (entry["parts"][part]["weights"] for part in ("model", "calibration")):
            data = (saved / "old" / said["file"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == said["sha256"]
        assert entry["n_train"] == 60


@pytest.mark.parametrize(
    ("model", "suffix"),
    [("ridge", "safetensors"), ("mlp", "safetensors"), ("xgboost", "safetensors"), ("forest", "skops")],
)
def test_weights_are_in_the_formats_own_file(model: str, suffix: str, saved: Path) -> None:
    calibration = weights_of(saved / model, "calibration").name
    assert names_in(saved / model) == {"manifest.json", weights_of(saved / model).name, calibration}
    assert weights_of(saved / model).suffix == f".{suffix}"


# -- damage -----------------------------------------------------------------------------------------------


POSITIONS = (0.0, 0.1, 0.33, 0.5, 0.77, 1.0)


def flip(path: Path, position: float) -> None:
    data = bytearray(path.read_bytes())
    data[round(position * (len(data) - 1))] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("position", POSITIONS)
def test_a_flipped_bit_in_the_manifest_is_noticed(position: float, copy: Callable[[str], Path]) -> None:
    folder = copy("ridge")
    flip(folder / "manifest.json", position)
    with pytest.raises(SavedFormatError):
        Surrogate.load(folder)


@pytest.mark.parametrize("model", ["ridge", "mlp", "xgboost", "forest"])
@pytest.mark.parametrize("position", POSITIONS)
def test_a_flipped_bit_in_the_weights_is_noticed(model: str, position: float, copy: Callable[[str], Path]) -> None:
    folder = copy(model)
    flip(weights_of(folder), position)
    with pytest.raises(SavedFormatError, match=r"weights cost-\w+\.\w+ are damaged: sha256 \w+, the manifest says \w+"):
        Surrogate.load(folder)


@pytest.mark.parametrize("kept", [0, 1, 100])
def test_truncated_files_are_noticed(kept: int, copy: Callable[[str], Path]) -> None:
    folder = copy("old")
    second = weights_of(folder, "model", 1)
    second.write_bytes(second.read_bytes()[:kept])
    with pytest.raises(SavedFormatError, match=r"edge-gpu-energy-.* are damaged"):
        SurrogateSuite.load(folder)
    manifest = folder / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:kept])
    with pytest.raises(SavedFormatError, match=r"manifest\.json can't be read"):
        SurrogateSuite.load(folder)


def test_missing_files_are_named(copy: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copy("ridge")
    weights_of(folder).unlink()
    with pytest.raises(SavedFormatError, match=r"weights cost-.* can't be read: No such file"):
        Surrogate.load(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(SavedFormatError, match=r"no saved surrogates: there is no manifest\.json"):
        Surrogate.load(folder)
    for nothing in (tmp_path / "absent", Path(__file__)):
        with pytest.raises(SavedFormatError, match="holds no saved surrogate"):
            Surrogate.load(nothing)


def test_a_manifest_of_something_else_is_refused(tmp_path: Path) -> None:
    for text in ("{}", "[]", "null", '{"format": "other"}'):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(SavedFormatError, match="not the manifest of a saved surrogate"):
            Surrogate.load(tmp_path)
    for data in (b"\xff\xfe", b"[" * 100_000, b"{"):
        (tmp_path / "manifest.json").write_bytes(data)
        with pytest.raises(SavedFormatError, match="can't be read"):
            Surrogate.load(tmp_path)


def test_another_format_version_says_which_package_wrote_it(copy: Callable[[str], Path]) -> None:
    folder = rewrite(copy("ridge"), lambda said: said.update(format_version=99, package_version="7.5"))
    with pytest.raises(SavedFormatError, match=r"format version 99 by package version '7\.5'.*reads format 13"):
        Surrogate.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"configs": [0.0]}, r"configs must be a list of configs, one at least, got \[0\.0\]"),
        ({"configs": []}, r"configs must be a list of configs, one at least, got \[\]"),
        ({"configs": [None]}, r"configs must be a list of configs, one at least, got \[None\]"),
        ({"bases": "cifar10"}, "bases must be a list of configs"),
    ],
)
def test_configs_that_predictions_would_fail_at_are_refused(
    change: dict[str, Any], message: str, copy: Callable[[str], Path]
) -> None:
    folder = rewrite(copy("ridge"), lambda said: said["surrogates"][0].update(change))
    with pytest.raises(SavedFormatError, match=message):
        Surrogate.load(folder)


@pytest.mark.parametrize("change", [{"random_state": "0"}, {"random_state": -1}, {"calibrate": None}])
def test_settings_that_a_fit_would_fail_at_are_refused(change: dict[str, Any], copy: Callable[[str], Path]) -> None:
    with pytest.raises(SavedFormatError, match="random_state must be None or an integer of at least 0, and calibrate"):
        Surrogate.load(rewrite(copy("ridge"), lambda said: said.update(change)))


def test_intervals_that_overflow_are_refused(copy: Callable[[str], Path]) -> None:
    def none(bound: np.ndarray) -> np.ndarray:
        return np.append(bound[:-1], 0.0)  # predictions are divided by the largest

    folder = change_array(change_array(copy("ridge"), "calibration", "low", none), "calibration", "high", none)
    change_array(folder, "calibration", "known_parameters", lambda said: np.array([said[0], 1.0, 0.0]))
    change_array(folder, "calibration", "known", lambda quantiles: quantiles * 1e20)
    with pytest.raises(SavedFormatError, match=r"the intervals 0 from the configs of 3 networks must be .* finite"):
        Surrogate.load(folder)


def test_weights_that_are_named_twice_are_refused(copy: Callable[[str], Path]) -> None:
    def again(said: dict[str, Any]) -> None:
        first, second = said["surrogates"]
        second["parts"]["model"] = first["parts"]["model"]

    with pytest.raises(SavedFormatError, match="must name each file of weights once"):
        SurrogateSuite.load(rewrite(copy("old"), again))


def test_weights_that_would_be_too_large_to_load_are_not_saved(
    suites: dict[str, SurrogateSuite], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas_surrogate.trainers.folders._LARGEST_WEIGHTS", 1000)
    with pytest.raises(SavedFormatError, match=r"would have [\d,]+ bytes, and 1,000 are the most that is loaded"):
        suites["old"].save(tmp_path / "new")
    assert names_in(tmp_path) == set()


@pytest.mark.parametrize("victim", ["manifest.json", "raspi4-latency-"])
def test_a_pipe_in_place_of_a_file_is_refused(victim: str, copy: Callable[[str], Path]) -> None:
    folder = copy("old")
    path = next(path for path in folder.iterdir() if path.name.startswith(victim))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SavedFormatError, match="can't be read: it is a pipe, not a file"):
        SurrogateSuite.load(folder)


def test_an_encoder_that_gives_other_numbers_is_refused(copy: Callable[[str], Path]) -> None:
    folder = rewrite(copy("ridge"), lambda said: said["surrogates"][0].update(probes="0" * 64))
    with pytest.raises(
        SavedFormatError, match="the encoder gives other numbers in this version than when it was saved"
    ):
        Surrogate.load(folder)


def test_the_right_class_is_named(saved: Path) -> None:
    with pytest.raises(SavedFormatError, match=r"holds a SurrogateSuite, not a Surrogate: use SurrogateSuite\.load"):
        Surrogate.load(saved / "old")
    with pytest.raises(SavedFormatError, match=r"holds a Surrogate, not a SurrogateSuite: use Surrogate\.load"):
        SurrogateSuite.load(saved / "ridge")


# -- malice: a manifest whose hash is right ---------------------------------------------------------------


def test_rewriting_alone_does_not_make_a_manifest_wrong(
    copy: Callable[[str], Path], fitted: dict[str, Surrogate], queries: np.ndarray
) -> None:
    folder = rewrite(copy("ridge"), lambda said: said.update(info={}))
    assert np.array_equal(Surrogate.load(folder).predict(queries), fitted["ridge"].predict(queries))


@pytest.mark.parametrize("prefix", ["../", "/tmp/", "a/../../", "..\\", "sub/"])
def test_weights_outside_the_folder_are_refused(prefix: str, copy: Callable[[str], Path]) -> None:
    folder = copy("ridge")
    weights = weights_of(folder)
    shutil.copy(weights, folder.parent / weights.name)
    (folder / "sub").mkdir()
    shutil.copy(weights, folder / "sub")
    rewrite(folder, lambda said: said["surrogates"][0]["parts"]["model"]["weights"].update(file=prefix + weights.name))
    with pytest.raises(SavedFormatError, match="names weights outside the folder"):
        Surrogate.load(folder)


def first(change: dict[str, Any]) -> Callable[[dict[str, Any]], object]:
    return lambda said: said["surrogates"][0].update(change)


def of_model(change: dict[str, Any]) -> Callable[[dict[str, Any]], object]:
    return lambda said: said["surrogates"][0]["parts"]["model"].update(change)


LIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "no class": lambda said: said.pop("class"),
    "no surrogates": lambda said: said.pop("surrogates"),
    "none of them": lambda said: said.update(surrogates=[]),
    "two of them": lambda said: said.update(surrogates=said["surrogates"] * 2),
    "not a list": lambda said: said.update(surrogates={"a": 1}),
    "no sources": lambda said: said.pop("sources"),
    "no class of its surrogate": lambda said: said["surrogates"][0].pop("class"),
    "a source that is none": lambda said: said.update(sources=[{"space": "nasbench201"}]),
    "no random state": lambda said: said.pop("random_state"),
    "an unknown space": lambda said: said.update(space="nasbench101"),
    "an unknown encoder": first({"encoder": {"class": "make_encoder", "params": {}}}),
    "an encoder's parameter": lambda said: said["surrogates"][0]["encoder"]["params"].update(bogus=1),
    "fewer columns": first({"encoder": {"class": "OneHot", "params": {}}}),
    "a number for a name": of_model({"weights": {"file": 5, "sha256": "0"}}),
    "no scale": lambda said: said["surrogates"][0].pop("scale"),
    "another unit": first({"target": {"device": "a", "metric": "latency", "unit": "s"}}),
    "an unknown metric": first({"target": {"device": "a", "metric": "weight", "unit": "kg"}}),
    "a function for a model": of_model({"model": {"format": "safetensors", "class": "make_model", "params": {}}}),
    "a module for a model": of_model({"model": {"format": "safetensors", "class": "linear", "params": {}}}),
    "a model's parameter": of_model({"model": {"format": "safetensors", "class": "MLP", "params": {"bogus": 1}}}),
    "another model's arrays": of_model({"model": {"format": "safetensors", "class": "MLP", "params": {}}}),
    "another format's weights": of_model({"model": {"format": "skops", "class": "Ridge"}}),
    "xgboost's weights": of_model({"model": {"format": "xgboost", "class": "XGBRegressor"}}),
    "an xgboost function": of_model({"model": {"format": "xgboost", "class": "train"}}),
    "pickle": of_model({"model": {"format": "pickle", "class": "Ridge"}}),
    "no model": of_model({"model": None}),
    "no part": lambda said: said["surrogates"][0]["parts"].update(model=None),
    "arrays for a model": of_model({"model": {"format": "safetensors", "class": "arrays"}}),
    "a model for a calibration": lambda said: said["surrogates"][0]["parts"].update(
        calibration=said["surrogates"][0]["parts"]["model"]
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_manifest_that_lies_is_refused(lie: str, copy: Callable[[str], Path]) -> None:
    folder = rewrite(copy("ridge"), LIES[lie])
    with pytest.raises(SavedFormatError):
        Surrogate.load(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said.update(surrogates=[]),
        lambda said: said.update(surrogates=said["surrogates"] * 2),
        lambda said: said["surrogates"][0].update(target=None),
        lambda said: said.pop("info"),
    ],
    ids=["no target", "each twice", "one without a target", "no info"],
)
def test_a_suite_that_lies_is_refused(change: Callable[[dict[str, Any]], object], copy: Callable[[str], Path]) -> None:
    with pytest.raises(SavedFormatError):
        SurrogateSuite.load(rewrite(copy("old"), change))


def replace_weights(folder: Path, data: bytes, part: str) -> Path:
    """Put other bytes in the place of weights, as somebody would who knows how they are hashed."""
    file = weights_of(folder, part).name
    (folder / file).write_bytes(data)
    named = {"file": file, "sha256": hashlib.sha256(data).hexdigest()}
    return rewrite(folder, lambda said: said["surrogates"][0]["parts"][part].update(weights=named))


def change_array(folder: Path, part: str, name: str, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    arrays = arrays_from_bytes(weights_of(folder, part).read_bytes())
    arrays[name] = change(arrays[name])
    return replace_weights(folder, arrays_to_bytes(arrays), part)


absurd = pytest.mark.parametrize("value", [np.nan, np.inf, -1e308], ids=str)


@absurd
@pytest.mark.parametrize(
    ("model", "part", "name"),
    [("ridge", "model", "coef"), ("boosted", "model", "intercept"), ("mlp", "model", "y"),
     ("ridge", "calibration", "known"), ("ridge", "calibration", "known_parameters")],
)  # fmt: skip
def test_absurd_numbers_in_arrays_are_refused(
    model: str, part: str, name: str, value: float, copy: Callable[[str], Path]
) -> None:
    folder = copy(model)
    arrays = arrays_from_bytes(weights_of(folder, part).read_bytes())
    arrays[name][-1] = value
    with pytest.raises(SavedFormatError, match=f": {name} must hold finite numbers .*got {re.escape(f'{value:g}')}"):
        Surrogate.load(replace_weights(folder, arrays_to_bytes(arrays), part))


@pytest.mark.parametrize(
    ("model", "name"), [("ridge", "coef"), ("ridge", "intercept"), ("mlp", "y"), ("mlp", "weight_0"), ("mlp", "bias_0")]
)
def test_numbers_that_no_fit_gives_are_refused(model: str, name: str, copy: Callable[[str], Path]) -> None:
    folder = change_array(copy(model), "model", name, lambda array: array.astype(np.float64) * 0 + 1e100)
    with pytest.raises(SavedFormatError, match=rf": {name} must hold finite numbers of up to 1e\+30, got 1e\+100"):
        Surrogate.load(folder)


@pytest.fixture(scope="module")
def few() -> Surrogate:
    """Return a surrogate of weighted models; tests must not change it."""
    archs = SPACE.sample(20, 0)
    return Surrogate().fit(archs, SPACE.batch(archs).macs / 1e6)


@pytest.mark.parametrize("weight", [-0.5, 1.5])
def test_a_weight_outside_of_its_range_is_refused(weight: float, few: Surrogate, tmp_path: Path) -> None:
    folder = few.save(tmp_path / "few")
    Surrogate.load(folder)
    with pytest.raises(SavedFormatError, match=r"weights must be (4 numbers between 0 and 1|at least 0), got"):
        Surrogate.load(change_array(folder, "model", "weights", lambda array: array * 0 + weight))


def test_a_model_with_a_weight_must_be_there(few: Surrogate, tmp_path: Path) -> None:
    folder = few.save(tmp_path / "few")
    with pytest.raises(SavedFormatError, match=r"the arrays of (remainder|boosted|product) are missing"):
        Surrogate.load(change_array(folder, "model", "weights", lambda array: array * 0 + 0.5))


CALIBRATIONS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray], str]] = {
    "a negative power": (
        "known_parameters",
        lambda a: a - np.array([0, 5, 0]),
        "known must be of 1 score or more, .* 60, -[45]",
    ),
    "a huge power": ("known_parameters", lambda a: a + np.array([0, 1e9, 0]), r"known must be .*got 60, 1e\+09 and 0"),
    "two numbers": (
        "known_parameters",
        lambda a: a[:2],
        r"known_parameters must be floats of shape \(3,\), got float64 of \(2,\)",
    ),
    "a negative growth": ("known_parameters", lambda a: a - np.array([0, 0, 1]), "known must be .* got 60, .* and -1"),
    "scores of nothing": ("known_parameters", lambda a: a * 0, "known must be of 1 score or more, .* got 0, 0 and 0"),
    "scores of a half": ("known_parameters", lambda a: a + np.array([0.5, 0, 0]), "known must be of 1 score or more"),
    "a negative maximum": ("most_expensive", lambda a: a * 0 - 1, "most_expensive must be at least 0, got -1"),
    "no score": ("known", lambda a: a[:0], r"known must be floats of shape \(2000,\), got float64 of \(0,\)"),
    "falling scores": ("known", lambda a: a[::-1].copy(), "the quantiles of known must not fall"),
    "scores in rows": ("known", lambda a: a[:, None], "known must be floats of shape"),
    "whole scores": ("known", lambda a: a.astype(np.int64), "known must be floats .*got int64"),
    "expensive ones in rows": ("expensive", lambda a: np.zeros((2, 2)), "expensive must be floats of shape"),
    "no lowest": ("low", lambda a: a[:0], r"low must be floats of shape \(\d+,\), got float64 of \(0,\)"),
    "too few highest": ("high", lambda a: a[1:], "high must be floats of shape"),
    "a low above high": ("low", lambda a: a + 1e6, "low must not be above high"),
}


@pytest.mark.parametrize("case", CALIBRATIONS)
def test_a_calibration_that_no_fit_gives_is_refused(case: str, copy: Callable[[str], Path]) -> None:
    name, change, message = CALIBRATIONS[case]
    with pytest.raises(SavedFormatError, match=message):
        Surrogate.load(change_array(copy("ridge"), "calibration", name, change))


def test_a_classifier_must_predict_probabilities(archs: np.ndarray, tmp_path: Path) -> None:
    failed = archs[:, 5] == 4
    surrogate = Surrogate(model="xgboost", calibrate=False)
    folder = surrogate.fit(archs, np.arange(60) + 1.0, failed=failed).save(tmp_path / "failed")
    regressor = kept(folder)
    copied = f"x-{'0' * 16}.safetensors"
    shutil.copy(weights_of(folder), folder / copied)
    regressor["weights"]["file"] = copied
    with pytest.raises(SavedFormatError, match="the classifier can't be a XGBRegressor"):
        Surrogate.load(rewrite(folder, lambda said: said["surrogates"][0]["parts"].update(classifier=regressor)))


@absurd
@pytest.mark.parametrize("name", ["value", "base", "base_score"])
def test_absurd_numbers_in_xgboosts_trees_are_refused(name: str, value: float, copy: Callable[[str], Path]) -> None:
    with np.errstate(over="ignore"):
        absurd = np.float32(value)
    what = {"value": "value of trees must hold finite", "base": "base of trees must be a float32"}
    with pytest.raises(SavedFormatError, match=what.get(name, "base_score must be a float32 that reg:squarederror")):
        Surrogate.load(change_array(copy("xgboost"), "model", name, lambda array: np.append(array[:-1], absurd)))


XGBOOST_LIES: dict[str, tuple[dict[str, Any], str]] = {
    "another class": ({"class": "XGBClassifier"}, "there is no 'XGBClassifier' of the objective"),
    "an unknown objective": ({"objective": "survival:cox"}, "of the objective 'survival:cox' here. Supported are"),
    "another objective": ({"objective": "count:poisson"}, "does not fit the base of the trees"),
    "rounds of three": ({"trees_per_round": 3}, "trees_per_round must divide the number of trees, 50, got 3"),
    "rounds of none": ({"trees_per_round": 0}, "trees_per_round must divide"),
    "rounds of a text": ({"trees_per_round": "1"}, "trees_per_round must divide"),
}


@pytest.mark.parametrize("lie", XGBOOST_LIES)
def test_lies_of_xgboosts_trees_are_refused(lie: str, copy: Callable[[str], Path]) -> None:
    change, message = XGBOOST_LIES[lie]
    with pytest.raises(SavedFormatError, match=message):
        Surrogate.load(
            rewrite(copy("xgboost"), lambda said: said["surrogates"][0]["parts"]["model"]["model"].update(change))
        )


def test_a_column_that_is_not_there_is_refused(copy: Callable[[str], Path]) -> None:
    with pytest.raises(SavedFormatError, match=r"weights of a XGBRegressor can't be read: trees must split columns 0"):
        Surrogate.load(change_array(copy("xgboost"), "model", "feature", lambda array: array * 0 + 10**6))


@pytest.mark.parametrize("change", [lambda array: np.zeros(7), lambda array: array.astype(np.uint16)])
@pytest.mark.parametrize("name", ["coef", "intercept", "decimals"])
def test_arrays_of_a_ridge_have_their_shapes(
    name: str, change: Callable[[np.ndarray], np.ndarray], copy: Callable[[str], Path]
) -> None:
    with pytest.raises(SavedFormatError, match=rf"{name} must be (float64 of shape|one integer at most)"):
        Surrogate.load(change_array(copy("ridge"), "model", name, change))


@absurd
@pytest.mark.parametrize("model", [Ridge(), make_pipeline(StandardScaler(), SVR()), KNeighborsRegressor(1)], ids=str)
def test_absurd_numbers_in_scikit_learns_regressors_are_refused(
    model: Any, value: float, archs: np.ndarray, costs: np.ndarray, tmp_path: Path
) -> None:
    surrogate = Surrogate(encoder="counts", model=model).fit(archs, costs)
    folder = surrogate.save(tmp_path / "saved")
    regressor = surrogate.model_[-1] if isinstance(surrogate.model_, Pipeline) else surrogate.model_
    held = {Ridge: "coef_", SVR: "_intercept_", KNeighborsRegressor: "_y"}[type(regressor)]
    changed = getattr(regressor, held).copy()
    changed[:] = value
    setattr(regressor, held, changed)
    with pytest.raises(SavedFormatError, match="must hold finite numbers"):
        Surrogate.load(replace_weights(folder, dumps(surrogate.model_), "model"))
    with pytest.raises(SavedFormatError, match="must hold finite numbers"):
        surrogate.save(tmp_path / "again")
    assert not (tmp_path / "again").exists()


@absurd
def test_absurd_leaves_of_a_forest_are_refused(value: float, copy: Callable[[str], Path]) -> None:
    folder = copy("forest")
    surrogate = Surrogate.load(folder)
    surrogate.model_.estimators_[3].tree_.value[-1] = value
    with pytest.raises(SavedFormatError, match=r"estimators_\.3\.tree_\.value must hold finite numbers"):
        Surrogate.load(replace_weights(folder, dumps(surrogate.model_), "model"))


@pytest.mark.parametrize("name", ["scale", "floor", "smallest_macs", "largest_macs"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, True, "1", None, 1e308, 1e300])
def test_absurd_scales_are_refused(name: str, value: object, copy: Callable[[str], Path]) -> None:
    with pytest.raises(SavedFormatError, match=rf"{name} must be a number from 0 to 1e\+154, got"):
        Surrogate.load(rewrite(copy("ridge"), first({name: value})))


def test_the_smallest_network_is_not_above_the_largest(copy: Callable[[str], Path]) -> None:
    with pytest.raises(SavedFormatError, match="smallest_macs must not be above largest_macs, got 5 and 4"):
        Surrogate.load(rewrite(copy("ridge"), first({"smallest_macs": 5, "largest_macs": 4})))


@pytest.mark.parametrize("value", [-3, None, 2.5, True, "60"])
def test_an_absurd_number_of_costs_is_refused(value: object, copy: Callable[[str], Path]) -> None:
    with pytest.raises(SavedFormatError, match=f"n_train must be an integer of at least 0, got {value!r}"):
        Surrogate.load(rewrite(copy("ridge"), first({"n_train": value})))


def test_what_could_not_be_loaded_is_not_saved(archs: np.ndarray, costs: np.ndarray, tmp_path: Path) -> None:
    for size, fits in ((1e150, True), (1e200, False)):
        surrogate = Surrogate(model="ridge").fit(archs, costs * size)
        if fits:
            loaded = Surrogate.load(surrogate.save(tmp_path / "fits"))
            assert np.array_equal(loaded.predict(archs), surrogate.predict(archs))
        else:
            with pytest.raises(SavedFormatError, match="scale must be a number from 0 to"):
                surrogate.save(tmp_path / "too large")
            assert not (tmp_path / "too large").exists()


@pytest.mark.parametrize("letter", ["a", "é", "中", "🙂", "\n"])
def test_a_device_with_a_long_name_is_saved(letter: str, archs: np.ndarray, costs: np.ndarray, tmp_path: Path) -> None:
    names = [letter * 300, letter * 299 + "b"]
    suite = SurrogateSuite(model="ridge").fit(archs, {Target(name, "latency"): costs for name in names})
    loaded = SurrogateSuite.load(suite.save(tmp_path / "saved"))
    assert loaded.targets_ == suite.targets_
    np.testing.assert_array_equal(loaded.predict(archs), suite.predict(archs))
    assert all(len(name.encode()) <= 200 for name in names_in(tmp_path / "saved"))


def test_a_scale_of_zero_is_refused(copy: Callable[[str], Path]) -> None:
    with pytest.raises(SavedFormatError, match="scale of the costs must be above 0"):
        Surrogate.load(rewrite(copy("ridge"), first({"scale": 0.0})))


class Stranger:
    """Something that skops would build only if told to trust it."""


@pytest.mark.parametrize(
    "content", [{"a": 1}, np.arange(3), Stranger(), os.system], ids=["dict", "array", "stranger", "system"]
)
def test_weights_that_hold_no_regressor_are_refused(content: object, copy: Callable[[str], Path]) -> None:
    folder = copy("forest")
    data = dumps(content)
    weights_of(folder).write_bytes(data)
    named = {"file": weights_of(folder).name, "sha256": hashlib.sha256(data).hexdigest()}
    rewrite(folder, of_model({"weights": named}))
    with pytest.raises(SavedFormatError):
        Surrogate.load(folder)


# -- what can't be saved ----------------------------------------------------------------------------------


class MyEncoder(OneHot):
    """An encoder of a user's own."""


@pytest.mark.parametrize("encoder", [MyEncoder(), Combined(encoders=[OpCounts(), MyEncoder()])], ids=["alone", "part"])
def test_an_encoder_of_ones_own_is_refused_before_anything_is_written(
    encoder: Any, archs: np.ndarray, costs: np.ndarray, tmp_path: Path
) -> None:
    surrogate = Surrogate(encoder=encoder).fit(archs, costs)
    with pytest.raises(SavedFormatError, match=r"encoder of your own \(MyEncoder\) can't be saved unless"):
        surrogate.save(tmp_path / "new")
    assert names_in(tmp_path) == set()


def test_info_that_is_no_json_is_refused_before_anything_is_written(
    archs: np.ndarray, costs: np.ndarray, tmp_path: Path
) -> None:
    suite = SurrogateSuite().fit(archs, {"raspi4/latency": costs})
    suite.info_ = {"when": object(), "seed": np.int64(3)}
    with pytest.raises(SavedFormatError, match="object can't be saved as JSON"):
        suite.save(tmp_path / "new")
    assert names_in(tmp_path) == set()


def test_an_unfitted_surrogate_is_not_saved(tmp_path: Path) -> None:
    from sklearn.exceptions import NotFittedError

    for unfitted in (Surrogate(), SurrogateSuite()):
        with pytest.raises(NotFittedError):
            unfitted.save(tmp_path / "new")
    assert names_in(tmp_path) == set()


# -- saving over an older suite ---------------------------------------------------------------------------


def test_the_old_weights_go_and_foreign_files_stay(
    copy: Callable[[str], Path], suites: dict[str, SurrogateSuite], queries: np.ndarray
) -> None:
    folder = copy("old")
    foreign = {"notes.txt", "weights.safetensors"}
    orphan = "cost-0123456789abcdef.safetensors"  # of a save that was killed before it named its weights
    for name in (*foreign, orphan):
        (folder / name).write_text("mine")
    before = names_in(folder)
    suites["new"].save(folder)
    named = {weights_of(folder, part, number).name for number in range(2) for part in ("model", "calibration")}
    assert names_in(folder) == named | foreign | {"manifest.json"}
    assert not named & before
    assert all((folder / name).read_text() == "mine" for name in foreign)
    assert digest(SurrogateSuite.load(folder).predict(queries)) == digest(suites["new"].predict(queries))


def test_saving_the_same_again_changes_no_byte(copy: Callable[[str], Path], suites: dict[str, SurrogateSuite]) -> None:
    folder = copy("old")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    suites["old"].save(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("victim", ["manifest.json", "edge-gpu-energy-"])
def test_a_full_disk_leaves_the_old_suite(
    victim: str,
    copy: Callable[[str], Path],
    suites: dict[str, SurrogateSuite],
    queries: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = copy("old")

    def full(write: Callable[..., int]) -> Callable[..., int]:
        def stand_in(path: Path, data: Any, **options: Any) -> int:
            if victim in path.name:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(path, data, **options)

        return stand_in

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full(Path.write_text))
        patched.setattr(Path, "write_bytes", full(Path.write_bytes))
        with pytest.raises(DataFileError, match=r"can't write .*No space left on device.*untouched"):
            suites["new"].save(folder)
    assert digest(SurrogateSuite.load(folder).predict(queries)) == digest(suites["old"].predict(queries))
    assert not [name for name in names_in(folder) if name.endswith(".part")]
    suites["new"].save(folder)
    assert digest(SurrogateSuite.load(folder).predict(queries)) == digest(suites["new"].predict(queries))


SAVE_AND_DIE = """
import os, pathlib, sys
from hwnas_surrogate import SurrogateSuite
suite = SurrogateSuite.load(sys.argv[1])
replace = pathlib.Path.replace
def dying(self, target):
    if sys.argv[3] in pathlib.Path(target).name:
        os._exit(9)
    return replace(self, target)
pathlib.Path.replace = dying
suite.save(sys.argv[2])
"""


@pytest.mark.parametrize("victim", ["manifest.json", "edge-gpu-energy-"])
def test_a_killed_process_leaves_the_old_suite(
    victim: str, saved: Path, copy: Callable[[str], Path], suites: dict[str, SurrogateSuite], queries: np.ndarray
) -> None:
    folder = copy("old")
    before = names_in(folder)
    ran = python(SAVE_AND_DIE, saved / "new", folder, victim)
    assert ran.returncode == 9, ran.stderr
    assert names_in(folder) > before, "it died half-way"
    assert digest(SurrogateSuite.load(folder).predict(queries)) == digest(suites["old"].predict(queries))
    suites["new"].save(folder)
    assert digest(SurrogateSuite.load(folder).predict(queries)) == digest(suites["new"].predict(queries))


SAVE_WITH_LITTLE_ROOM = """
import resource, sys
from hwnas_surrogate import SurrogateSuite
from hwnas_surrogate.errors import DataFileError
suite = SurrogateSuite.load(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    suite.save(sys.argv[2])
except DataFileError as error:
    print(error)
"""


def test_a_file_that_the_system_refuses_leaves_the_old_suite(
    saved: Path, copy: Callable[[str], Path], suites: dict[str, SurrogateSuite], queries: np.ndarray
) -> None:
    folder = copy("old")
    before = names_in(folder)
    room = weights_of(folder).stat().st_size // 2
    ran = python(SAVE_WITH_LITTLE_ROOM, saved / "new", folder, room)
    assert ran.returncode == 0, ran.stderr
    assert "can't write" in ran.stdout
    assert "File too large" in ran.stdout
    assert names_in(folder) == before
    assert digest(SurrogateSuite.load(folder).predict(queries)) == digest(suites["old"].predict(queries))


def test_a_file_in_the_folders_place_is_left_alone(suites: dict[str, SurrogateSuite], tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(InvalidInputError, match="is a file, and can't be a folder"):
        suites["new"].save(tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


def test_what_a_killed_save_of_other_surrogates_left_is_removed(
    copy: Callable[[str], Path], suites: dict[str, SurrogateSuite]
) -> None:
    folder = copy("old")
    part = folder / ".board-latency-0123456789abcdef.safetensors.abcdefgh.hwnas.part"
    part.write_bytes(b"half")
    (mine := folder / ".film.download.part").write_bytes(b"mine")
    suites["new"].save(folder)
    assert not part.exists()
    assert mine.exists()


def test_the_manifest_of_something_else_is_not_replaced(suites: dict[str, SurrogateSuite], tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    for content in ('{"networks": []}', "[]"):
        manifest.write_text(content)
        with pytest.raises(InvalidInputError, match=r"manifest\.json is not the manifest of saved surrogates"):
            suites["new"].save(tmp_path)
        assert manifest.read_text() == content
    manifest.write_text('{"format": "hwnas-')  # damaged
    suites["new"].save(tmp_path)
    SurrogateSuite.load(tmp_path)
