"""Saved surrogates: a folder with ``manifest.json`` and one weights file per target, nothing pickled.

Weights are written first, under names that hold their hash; the manifest is replaced last, at once. A killed process
or a full disk therefore leaves the old surrogates or the new ones, never a mixture.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sklearn.base import clone
from sklearn.dummy import DummyRegressor

import hwnas_surrogate
from hwnas_surrogate import features
from hwnas_surrogate.data import Target
from hwnas_surrogate.errors import HWNASError, InvalidInputError, SavedFormatError
from hwnas_surrogate.features import Encoder
from hwnas_surrogate.files import file_stem, replacing
from hwnas_surrogate.spaces import SearchSpace, get_space
from hwnas_surrogate.spaces.reading import is_integer
from hwnas_surrogate.trainers.calibration import Calibration
from hwnas_surrogate.trainers.sound import check_arrays
from hwnas_surrogate.trainers.sources import SourceCosts
from hwnas_surrogate.trainers.suite import SurrogateSuite
from hwnas_surrogate.trainers.surrogate import Surrogate
from hwnas_surrogate.trainers.transfer import TransferSurrogate
from hwnas_surrogate.trainers.weights import SUFFIXES, from_bytes, to_bytes

__all__ = ["FORMAT_VERSION", "load", "save"]

FORMAT_VERSION = 9
_FORMAT = "hwnas-surrogate"
MANIFEST = "manifest.json"
_WEIGHTS_NAME = re.compile(r"[\w.-]+-[0-9a-f]{16}\.(safetensors|ubj|skops)")

T = TypeVar("T", Surrogate, SurrogateSuite)
_PROBES = (1, 2, 3)
"""Multiples of the positions that are the ops of the architectures which an encoder is checked with."""


def save(fitted: Surrogate | SurrogateSuite, folder: str | os.PathLike[str]) -> Path:
    """Save a fitted surrogate or suite.

    Parameters
    ----------
    fitted : Surrogate or SurrogateSuite
    folder : path-like
        Made if needed. Surrogates that it held are replaced at once; other files in it are left alone.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    SavedFormatError
        If a model or encoder can't be saved without pickle; nothing is written.
    DataFileError
        If the disk refuses; what was there before is untouched.
    """
    from sklearn.utils.validation import check_is_fitted

    is_suite = isinstance(fitted, SurrogateSuite)
    check_is_fitted(fitted, "surrogates_" if is_suite else "model_")
    members = list(fitted.surrogates_.values()) if isinstance(fitted, SurrogateSuite) else [fitted]
    entries: list[dict[str, Any]] = []
    files: dict[str, bytes] = {}
    for surrogate in members:
        entry, weights = _describe(surrogate)
        files |= weights
        entries.append(entry)
    # All members have the same sources, but those that let go of physics don't read them.
    reading = [member.encoder_ for member in members if _sources_of(member.encoder_)]
    sources, weights = _describe_sources((reading or [members[0].encoder_])[0])
    files |= weights
    manifest = {
        "format": _FORMAT,
        "format_version": FORMAT_VERSION,
        "package_version": hwnas_surrogate.__version__,
        "class": type(fitted).__name__,
        "space": get_space(fitted.space).name,
        "calibrate": fitted.calibrate,
        "random_state": fitted.random_state if isinstance(fitted.random_state, int) else None,
        "info": fitted.info_ if isinstance(fitted, SurrogateSuite) else {},
        "surrogates": entries,
        "sources": sources,
    }
    manifest["sha256"] = _digest(manifest)
    return _write(Path(folder), manifest, files)


def load(folder: str | os.PathLike[str], kind: type[T]) -> T:
    """Load a surrogate or a suite that :func:`save` wrote, checking every byte.

    Parameters
    ----------
    folder : path-like
    kind : {Surrogate, SurrogateSuite}
        What it must hold.

    Returns
    -------
    Surrogate or SurrogateSuite

    Raises
    ------
    SavedFormatError
        If the folder holds no such surrogate, a byte differs, or it is of another format version.
    """
    path = Path(folder)
    manifest = _read_manifest(path)
    held = manifest.get("class")
    if held != kind.__name__:
        raise SavedFormatError(f"{path} holds a {held}, not a {kind.__name__}: use {held}.load.")
    try:
        return _rebuild(manifest, path, kind)
    except SavedFormatError as error:
        raise SavedFormatError(f"{path}: {error}") from error
    except (HWNASError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise SavedFormatError(f"{path} has a manifest that this version can't follow: {error!r}") from error


def _rebuild(manifest: dict[str, Any], folder: Path, kind: type[T]) -> T:
    space = get_space(manifest["space"])
    sources = _restore_sources(manifest["sources"], folder)
    encoders: dict[str, Encoder] = {}
    members = [_restore(entry, folder, space, sources, encoders) for entry in manifest["surrogates"]]
    for member in members:
        member.random_state = manifest["random_state"]
        member.calibrate = manifest["calibrate"]
    if not issubclass(kind, SurrogateSuite):
        (only,) = members
        assert isinstance(only, kind)
        return only
    by_target = {member.target_: member for member in members if member.target_ is not None}
    if not members or len(by_target) != len(members):
        raise SavedFormatError("the manifest of a suite must name at least one target, and each once.")
    # Regressors of the user's own may differ from target to target; a name was the same for all.
    models = {target: member.model for target, member in by_target.items()}
    same = all(isinstance(model, str) or model is None for model in models.values())
    suite = kind(space.name, encoder=members[0].encoder, model=members[0].model if same else models)
    suite.random_state, suite.calibrate = manifest["random_state"], manifest["calibrate"]
    suite.surrogates_ = by_target
    suite.info_ = manifest["info"]
    return suite


def _sources_of(encoder: Encoder) -> tuple[Surrogate, ...]:
    """Return the surrogates of source devices that an encoder asks."""
    if isinstance(encoder, SourceCosts):
        return encoder.surrogates
    parts: list[Encoder] = encoder.get_params(deep=False).get("encoders") or []
    return next((found for part in parts if (found := _sources_of(part))), ())


def _describe_sources(encoder: Encoder, prefix: str = "") -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Return what the manifest says of the sources that an encoder asks, and of theirs, and their files by name."""
    entries: list[dict[str, Any]] = []
    files: dict[str, bytes] = {}
    for number, source in enumerate(_sources_of(encoder)):
        name = f"{prefix}source{number}-"
        entry, weights = _describe(source, name)
        theirs, more = _describe_sources(source.encoder_, name)
        files |= weights | more
        entries.append({**entry, "space": get_space(source.space).name, "sources": theirs})
    return entries, files


def _describe(surrogate: Surrogate, prefix: str = "") -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return a surrogate's part of the manifest, and its files by name."""
    target: Target | None = surrogate.target_
    name = prefix + ("cost" if target is None else file_stem(f"{target.device}-{target.metric}"))
    names = surrogate.encoder_.get_feature_names_out()
    encoder = _encoder_to_json(surrogate.encoder_)
    files: dict[str, bytes] = {}

    def keep(part: str, data: bytes, suffix: str) -> dict[str, str]:
        sha256 = hashlib.sha256(data).hexdigest()
        file = f"{name}{part}-{sha256[:16]}.{suffix}"
        files[file] = data
        return {"file": file, "sha256": sha256}

    model, weights = to_bytes(surrogate.model_, names)
    entry = {
        "class": type(surrogate).__name__,
        "target": None if target is None else {"device": target.device, "metric": target.metric, "unit": target.unit},
        "encoder": encoder,
        "own_encoder": surrogate.encoder is not None,
        "features": names.tolist(),
        "probes": _probed(get_space(surrogate.space).name, json.dumps(encoder, default=_number)),
        "model": model,
        "model_name": surrogate.model if isinstance(surrogate.model, str) else None,
        "own_model": surrogate.model is not None and not isinstance(surrogate.model, str),
        "weights": keep("", weights, SUFFIXES[model["format"]]),
        "other_model": None,
        "calibration": None,
        "classifier": None,
        "configs": [str(config) for config in surrogate.configs_],
        "scale": surrogate.scale_,
        "floor": surrogate.floor_,
        "bases": [str(config) for config in surrogate.bases_],
        "general": surrogate.general_,
        "smallest_macs": surrogate.macs_range_[0],
        "largest_macs": surrogate.macs_range_[1],
        "n_train": surrogate.n_train_,
    }
    for number in ("scale", "floor"):
        _checked_number(entry, number)
    if surrogate.other_model_ is not None:
        other, weights = to_bytes(surrogate.other_model_, names)
        entry["other_model"] = {"model": other, "weights": keep("-other", weights, SUFFIXES[other["format"]])}
    if surrogate.calibration_ is not None:
        from safetensors.numpy import save as arrays_to_bytes

        entry["calibration"] = keep("-calibration", arrays_to_bytes(surrogate.calibration_.to_arrays()), "safetensors")
    if surrogate.classifier_ is not None:
        classifier, weights = to_bytes(surrogate.classifier_, names)
        entry["classifier"] = {"model": classifier, "weights": keep("-classifier", weights, "ubj")}
    return entry, files


def _restore_sources(entries: list[dict[str, Any]], folder: Path) -> tuple[Surrogate, ...]:
    encoders: dict[str, Encoder] = {}
    restored = []
    for entry in entries:
        theirs = _restore_sources(entry["sources"], folder)
        restored.append(_restore(entry, folder, get_space(entry["space"]), theirs, {} if theirs else encoders))
    return tuple(restored)


def _restore(
    entry: dict[str, Any],
    folder: Path,
    space: SearchSpace,
    sources: tuple[Surrogate, ...],
    encoders: dict[str, Encoder],
) -> Surrogate:
    """Build a surrogate; those that read the same columns share an encoder, so that these are made once."""
    said = json.dumps([space.name, entry["encoder"]])
    encoder = encoders.setdefault(said, _encoder_from_json(entry["encoder"], space, sources))
    names = encoder.get_feature_names_out()
    if entry["features"] != names.tolist():
        raise SavedFormatError(
            f"the encoder gives other columns in this version ({len(names)}) than when it was saved "
            f"({len(entry['features'])}). Install the version that saved it, or train again."
        )
    if entry["probes"] != _probed(space.name, json.dumps(entry["encoder"])):
        raise SavedFormatError(
            "the encoder gives other numbers in this version than when it was saved: predictions would change. "
            "Install the version that saved it, or train again."
        )
    model = from_bytes(entry["model"], _read_weights(entry["weights"], folder), names)
    refit = clone(model) if entry["own_model"] and not isinstance(model, DummyRegressor) else entry["model_name"]
    if entry["class"] == TransferSurrogate.__name__:
        transfer = TransferSurrogate(space.name, sources or None)
        transfer.sources_ = sources
        surrogate: Surrogate = transfer
    else:
        surrogate = Surrogate(space.name, encoder=encoder if entry["own_encoder"] else None, model=refit)
    surrogate.encoder_, surrogate.model_ = encoder, model
    surrogate.columns_, surrogate.n_features_in_ = tuple(names), len(names)
    said = entry["target"]
    surrogate.target_ = None if said is None else Target(said["device"], said["metric"])
    if surrogate.target_ is not None and said["unit"] != surrogate.target_.unit:
        raise SavedFormatError(f"{surrogate.target_} was saved in {said['unit']!r}, not {surrogate.target_.unit!r}.")
    surrogate.other_model_ = surrogate.calibration_ = surrogate.classifier_ = None
    if entry["other_model"] is not None:
        said = entry["other_model"]
        surrogate.other_model_ = from_bytes(said["model"], _read_weights(said["weights"], folder), names)
    if entry["calibration"] is not None:
        weights = _read_weights(entry["calibration"], folder)
        surrogate.calibration_ = _calibration(weights, surrogate.n_yardsticks)
    if entry["classifier"] is not None:
        said = entry["classifier"]
        surrogate.classifier_ = from_bytes(said["model"], _read_weights(said["weights"], folder), names)
        if not hasattr(surrogate.classifier_, "predict_proba"):
            raise SavedFormatError(f"the classifier can't be a {said['model']['class']}: it predicts no probability.")
    surrogate.configs_ = tuple(space.config(text) for text in entry["configs"])
    surrogate.scale_, surrogate.floor_ = _checked_number(entry, "scale"), _checked_number(entry, "floor")
    if not surrogate.scale_:
        raise SavedFormatError("the scale of the costs must be above 0, got 0.")
    surrogate.bases_ = tuple(space.config(text) for text in entry["bases"])
    surrogate.general_ = entry["general"] is True
    surrogate.macs_range_ = macs = _checked_number(entry, "smallest_macs"), _checked_number(entry, "largest_macs")
    if surrogate.macs_range_[0] > surrogate.macs_range_[1]:
        raise SavedFormatError("smallest_macs must not be above largest_macs, got {} and {}.".format(*macs))
    surrogate.n_train_ = entry["n_train"]
    if not is_integer(surrogate.n_train_) or surrogate.n_train_ < 0:
        raise SavedFormatError(f"n_train must be an integer of at least 0, got {surrogate.n_train_!r}.")
    return surrogate


def _checked_number(entry: dict[str, Any], name: str) -> float:
    """Return a number of the manifest, or raise: its square must not overflow, lest predictions do."""
    value, limit = entry[name], math.sqrt(sys.float_info.max)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= limit:
        raise SavedFormatError(f"{name} must be a number from 0 to {limit:.0e}, got {value!r}.")
    return value


def _calibration(data: bytes, n_features: int) -> Calibration:
    from safetensors import SafetensorError
    from safetensors.numpy import load as arrays_from_bytes

    try:
        arrays = arrays_from_bytes(data)
        check_arrays("the calibration", arrays)
        return Calibration().from_arrays(arrays, n_features)
    except (InvalidInputError, KeyError, SafetensorError) as error:
        raise SavedFormatError(f"the calibration can't be read: {error}.") from error


def _read_weights(said: dict[str, str], folder: Path) -> bytes:
    name = said["file"]
    if not _WEIGHTS_NAME.fullmatch(name):
        raise SavedFormatError(f"the manifest names weights outside the folder: {name!r}.")
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise SavedFormatError(f"the weights {name} can't be read: {error.strerror or error}.") from error
    received = hashlib.sha256(data).hexdigest()
    if received != said["sha256"]:
        raise SavedFormatError(
            f"the weights {name} are damaged: sha256 {received}, the manifest says {said['sha256']}. "
            "Copy the folder again, or train again."
        )
    return data


@lru_cache(maxsize=64)
def _probed(space: str, said: str) -> str:
    """Return a hash of what an encoder, as the manifest says it, gives for a few fixed architectures, to six digits.

    What it asks of source devices is left out: these are saved, and checked, themselves.
    """
    of, encoder = get_space(space), json.loads(said)
    parts = [part for part in encoder["params"].get("encoders") or [encoder] if part["class"] != SourceCosts.__name__]
    archs = np.outer(_PROBES, np.arange(of.n_positions)) % len(of.ops)
    frames = [_encoder_from_json(part, of, ()).frame(archs, of.default_config) for part in parts]
    text = ",".join(f"{value:.6g}" for frame in frames for value in frame.to_numpy(np.float64).ravel())
    return hashlib.sha256(text.encode()).hexdigest()


def _encoder_to_json(encoder: Encoder) -> dict[str, Any]:
    if isinstance(encoder, SourceCosts):
        return {"class": SourceCosts.__name__, "params": {}}
    if type(encoder).__name__ not in features.__all__ or not type(encoder).__module__.startswith(features.__name__):
        raise SavedFormatError(
            f"an encoder of your own ({type(encoder).__name__}) can't be saved: only {', '.join(_encoder_names())} "
            "are known when loading."
        )
    params = encoder.get_params(deep=False)
    params.pop("space")
    if params.get("encoders") is not None:
        params["encoders"] = [_encoder_to_json(part) for part in params["encoders"]]
    return {"class": type(encoder).__name__, "params": params}


def _encoder_from_json(said: dict[str, Any], space: SearchSpace, sources: tuple[Surrogate, ...]) -> Encoder:
    if said["class"] == SourceCosts.__name__:
        return SourceCosts(space.name, sources)
    if said["class"] not in _encoder_names():
        raise SavedFormatError(f"unknown encoder {said['class']!r}; this version has {', '.join(_encoder_names())}.")
    params = dict(said["params"])
    if params.get("encoders") is not None:
        params["encoders"] = [_encoder_from_json(part, space, sources) for part in params["encoders"]]
    encoder: Encoder = getattr(features, said["class"])(space.name, **params)
    return encoder


def _encoder_names() -> list[str]:
    kinds = (getattr(features, name) for name in features.__all__)
    return [
        kind.__name__ for kind in kinds if inspect.isclass(kind) and issubclass(kind, Encoder) and kind is not Encoder
    ]


def _digest(manifest: dict[str, Any]) -> str:
    body = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=_number).encode()).hexdigest()


def _number(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple):
        return list(value)
    raise SavedFormatError(f"{type(value).__name__} can't be saved as JSON: {value!r:.80}")


def _write(folder: Path, manifest: dict[str, Any], files: dict[str, bytes]) -> Path:
    text = json.dumps(manifest, indent=1, sort_keys=True, default=_number)
    for name, data in files.items():
        with replacing(folder / name) as temporary:
            temporary.write_bytes(data)
    with replacing(folder / MANIFEST) as temporary:
        temporary.write_text(text, encoding="utf-8")
    # What no manifest names any more: the former weights, and those of a save that was killed.
    for path in folder.iterdir():
        if _WEIGHTS_NAME.fullmatch(path.name) and path.name not in files:
            path.unlink(missing_ok=True)
    return folder


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        inside = sorted(str(path.parent) for path in folder.glob(f"*/{MANIFEST}"))
        remedy = f"Did you mean {' or '.join(inside)}?" if inside else "`hwnas train` trains and saves some."
        raise SavedFormatError(f"{folder} holds no saved surrogates: there is no {MANIFEST} in it. {remedy}")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError) as error:
        raise SavedFormatError(f"{path} can't be read: {error}. Copy the folder again, or train again.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise SavedFormatError(f"{path} is not the manifest of a saved surrogate.")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise SavedFormatError(
            f"{folder} was saved in format version {manifest.get('format_version')!r} by package version "
            f"{manifest.get('package_version')!r}; this version ({hwnas_surrogate.__version__}) reads format "
            f"{FORMAT_VERSION}. Install the version that saved it, or train again."
        )
    if manifest.get("sha256") != _digest(manifest):
        raise SavedFormatError(f"{path} is damaged: its content does not match its hash. Copy the folder again.")
    return manifest
