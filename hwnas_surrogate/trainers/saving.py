"""Saved surrogates: an entry in the manifest and weights for each, without pickle (:mod:`.folders`)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import SavedFormatError
from hwnas_surrogate.features import Encoder
from hwnas_surrogate.features.encoder import known_encoders
from hwnas_surrogate.files import file_stem, locked
from hwnas_surrogate.inputs import as_path, input_path
from hwnas_surrogate.models.operator_stack import OPERATORS
from hwnas_surrogate.random_states import as_seed
from hwnas_surrogate.spaces import ArchBatch, SearchSpace, get_space
from hwnas_surrogate.spaces.reading import is_integer
from hwnas_surrogate.trainers.encoded import Encoded, encode
from hwnas_surrogate.trainers.fitted import FittedSurrogate
from hwnas_surrogate.trainers.folders import as_json, read_manifest, read_weights, write_folder
from hwnas_surrogate.trainers.weights import SUFFIXES, from_bytes, to_bytes

__all__ = ["Kinds", "load", "save"]

Kinds = Mapping[str, type[FittedSurrogate]]
"""The classes of surrogates by name."""
_PROBES = (1, 2, 3)
"""Factors of the architectures that encoders are checked with: the op at position p is factor times p, modulo ops."""


def save(
    fitted: Any, members: Sequence[FittedSurrogate], folder: str | os.PathLike[str], info: dict[str, Any] | None = None
) -> Path:
    """Save a fitted surrogate, or a suite.

    Parameters
    ----------
    fitted : Surrogate or SurrogateSuite
    members : sequence of Surrogate
        The suite's surrogates, or the surrogate itself.
    folder : path-like
        Created if needed. Surrogates in it are replaced atomically; other files are kept.
    info : dict, optional
        The suite's ``info_``.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    SavedFormatError
        If a model or encoder can't be saved without pickle; nothing is written.
    DataFileError
        If writing fails; earlier files are unchanged.
    """
    entries: list[dict[str, Any]] = []
    files: dict[str, bytes] = {}
    for surrogate in members:
        entry, weights = _describe(surrogate)
        files |= weights
        entries.append(entry)
    # All members have the same sources, but members without physics don't read them.
    reading = [member.encoder_ for member in members if member.encoder_.asked_surrogates()]
    sources, weights = _describe_sources((reading or [members[0].encoder_])[0])
    files |= weights
    state = fitted.random_state  # a generator continues elsewhere: it is not saved
    content = {
        "class": type(fitted).__name__,
        "space": _name(fitted.space),
        "calibrate": fitted.calibrate,
        "random_state": as_seed(state) if isinstance(state, (int, np.integer)) else None,
        "info": info or {},
        "surrogates": entries,
        "sources": sources,
    }
    return write_folder(as_path(folder), content, files)


def load(folder: str | os.PathLike[str], held: str, kinds: Kinds) -> tuple[list[Any], dict[str, Any]]:
    """Load surrogates that :func:`save` wrote, and check their hashes.

    Parameters
    ----------
    folder : path-like
    held : str
        The required class.
    kinds : mapping of str to type
        The classes of surrogates.

    Returns
    -------
    members : list of Surrogate
    manifest : dict

    Raises
    ------
    SavedFormatError
        If the folder holds no such surrogate, is damaged, or has another format version.
    """
    path = input_path(folder)
    with locked(path, shared=True) if path.is_dir() else nullcontext():
        manifest = read_manifest(path)
        try:
            return _read(manifest, path, held, kinds), manifest
        except SavedFormatError:
            # Where folders can't be locked, somebody may have saved others while these were read.
            latest = read_manifest(path)
            if latest == manifest:
                raise
            return _read(latest, path, held, kinds), latest


def _read(manifest: dict[str, Any], path: Path, held: str, kinds: Kinds) -> list[Any]:
    """Build what a manifest describes."""
    if manifest.get("class") != held:
        found = manifest.get("class")
        raise SavedFormatError(f"{path} holds a {found}, not a {held}: use {found}.load.")
    try:
        return _rebuild(manifest, path, kinds)
    except SavedFormatError as error:
        raise SavedFormatError(f"{path}: {error}") from error
    except Exception as error:
        raise SavedFormatError(f"{path} has a manifest that this version can't follow: {error!r}") from error


def _rebuild(manifest: dict[str, Any], folder: Path, kinds: Kinds) -> list[Any]:
    space = get_space(manifest["space"])
    if not isinstance(manifest["info"], dict):
        raise SavedFormatError(f"info must be a mapping, got {manifest['info']!r:.60}.")
    seed, calibrate = manifest["random_state"], manifest["calibrate"]
    if not (seed is None or (is_integer(seed) and seed >= 0)) or not isinstance(calibrate, bool):
        raise SavedFormatError(
            f"random_state must be None or an integer of at least 0, and calibrate True or False, got {seed!r:.60} and "
            f"{calibrate!r:.60}."
        )
    named = list(_named([*manifest["surrogates"], *manifest["sources"]]))
    if len(set(named)) < len(named):  # a few bytes more of the manifest would read the same file again
        raise SavedFormatError("the manifest must name each file of weights once.")
    sources = _restore_sources(manifest["sources"], folder, kinds)
    encoders: dict[str, Encoder] = {}
    probes: dict[str, Encoded] = {}
    members = [_restore(entry, folder, space, sources, encoders, probes, kinds) for entry in manifest["surrogates"]]
    for member in members:
        member.random_state, member.calibrate = seed, calibrate
    if not members or len({member.target_ for member in members}) != len(members):
        raise SavedFormatError("the manifest must name at least one surrogate, and each target once.")
    return members


def _named(entries: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the names of the weights of surrogates and their sources."""
    for entry in entries:
        yield from (kept["weights"]["file"] for kept in entry["parts"].values() if kept is not None)
        yield from _named(entry.get("sources", []))


def _describe_sources(encoder: Encoder, prefix: str = "") -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Return the manifest's entries of an encoder's sources (and of their sources), and their files by name."""
    entries: list[dict[str, Any]] = []
    files: dict[str, bytes] = {}
    for number, source in enumerate(encoder.asked_surrogates()):
        name = f"{prefix}source{number}-"
        entry, weights = _describe(source, name)
        nested, more = _describe_sources(source.encoder_, name)
        files |= weights | more
        entries.append({**entry, "space": _name(source.space), "sources": nested})
    return entries, files


def _describe(surrogate: FittedSurrogate, prefix: str = "") -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return a surrogate's entry in the manifest, and its files by name."""
    state, parts = surrogate.to_state()
    target = surrogate.target_
    name = prefix + ("cost" if target is None else file_stem(f"{target.device}-{target.metric}"))
    names = surrogate.encoder_.get_feature_names_out()
    encoder, of_graphs = surrogate.encoder_.to_state(), surrogate.encoder_.space is None
    files: dict[str, bytes] = {}

    def keep(part: str, fitted: Any) -> dict[str, Any] | None:
        if fitted is None:
            return None
        model, data = to_bytes(fitted, _read_by(part, names, parts))
        sha256 = hashlib.sha256(data).hexdigest()
        file = f"{name}{part}-{sha256[:16]}.{SUFFIXES[model['format']]}"
        files[file] = data
        return {"model": model, "weights": {"file": file, "sha256": sha256}}

    entry = {
        **state,
        "class": type(surrogate).__name__,
        "encoder": encoder,
        "of_graphs": of_graphs,
        "features": names.tolist(),
        "probes": _probed(_name(surrogate.space), of_graphs, json.dumps(encoder, default=as_json)),
        "parts": {part: keep("" if part == "model" else f"-{part}", fitted) for part, fitted in parts.items()},
    }
    return entry, files


def _restore_sources(entries: list[dict[str, Any]], folder: Path, kinds: Kinds) -> tuple[FittedSurrogate, ...]:
    encoders: dict[str, Encoder] = {}
    probes: dict[str, Encoded] = {}
    restored = []
    for entry in entries:
        nested = _restore_sources(entry["sources"], folder, kinds)
        space = get_space(entry["space"])
        own = ({}, {}) if nested else (encoders, probes)
        restored.append(_restore(entry, folder, space, nested, *own, kinds))
    return tuple(restored)


def _restore(
    entry: dict[str, Any],
    folder: Path,
    space: SearchSpace | None,
    sources: tuple[FittedSurrogate, ...],
    encoders: dict[str, Encoder],
    probes: dict[str, Encoded],
    kinds: Kinds,
) -> FittedSurrogate:
    """Build a surrogate; surrogates with the same columns share an encoder, so that networks are encoded once."""
    of_graphs, name = entry["of_graphs"] is True, _name(space)
    key = json.dumps([name, of_graphs, entry["encoder"]])
    encoder = encoders.setdefault(key, Encoder.from_state(entry["encoder"], None if of_graphs else space, sources))
    names = encoder.get_feature_names_out()
    if entry["features"] != names.tolist():
        raise SavedFormatError(
            f"the encoder gives other columns in this version ({len(names)}) than when it was saved "
            f"({len(entry['features'])}). Install the version that saved it, or train again."
        )
    if entry["probes"] != _probed(name, of_graphs, json.dumps(entry["encoder"])):
        raise SavedFormatError(
            "the encoder gives other numbers in this version than when it was saved: predictions would change. "
            "Install the version that saved it, or train again."
        )
    parts = {
        part: None
        if kept is None
        else from_bytes(kept["model"], read_weights(kept["weights"], folder), _read_by(part, names, entry["parts"]))
        for part, kept in entry["parts"].items()
    }
    surrogate = kinds[entry["class"]].from_state(entry, parts, name, encoder, sources)
    if key not in probes:
        probes[key] = encode(encoder, _probes(name))
    surrogate.check_predictions(probes[key])
    return surrogate


def _read_by(part: str, names: npt.NDArray[np.object_], parts: Mapping[str, Any]) -> npt.NDArray[np.object_]:
    """Return the columns that a part reads: the model also reads what was learned with it."""
    return np.append(names, OPERATORS.name) if part == "model" and parts.get("operators") is not None else names


@lru_cache(maxsize=64)
def _probed(space: str | None, of_graphs: bool, entry: str) -> str:
    """Return a hash of the encodings of a few fixed architectures, at six digits; ``entry`` is the manifest's JSON.

    Columns of source devices are left out: these surrogates are saved and checked themselves.
    """
    of, encoder = get_space(space), json.loads(entry)
    parts = [part for part in encoder["params"].get("encoders") or [encoder] if not _asks_surrogates(part)]
    frames = [Encoder.from_state(part, None if of_graphs else of).frame(_probes(space)) for part in parts]
    text = ",".join(f"{value:.6g}" for frame in frames for value in frame.to_numpy(np.float64).ravel())
    return hashlib.sha256(text.encode()).hexdigest()


def _probes(space: str | None) -> ArchBatch:
    """Return a few fixed architectures, under the default config; of NAS-Bench-201 for graphs."""
    of = get_space(space or "nasbench201")
    archs = np.outer(_PROBES, np.arange(of.n_positions)) % of.n_ops_at
    return of.batch(archs, of.default_config)


def _name(space: str | SearchSpace | None) -> str | None:
    return None if space is None else get_space(space).name


def _asks_surrogates(entry: dict[str, Any]) -> bool:
    kind = known_encoders().get(entry["class"])
    return kind is not None and kind.asks_surrogates
