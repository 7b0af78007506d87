"""Folders of saved surrogates: ``manifest.json``, and weights in files whose names contain their hash.

Weights are written first. The manifest is replaced last, atomically. A killed process or a full disk therefore leaves
the old surrogates or the new ones, never a mixture.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

import hwnas_surrogate
from hwnas_surrogate.errors import InvalidInputError, SavedFormatError
from hwnas_surrogate.files import check_folder, check_output, locked, make_folder, remove_stale, replacing
from hwnas_surrogate.inputs import read_bytes, read_json

__all__ = ["FORMAT_VERSION", "MANIFEST", "as_json", "check_save", "read_manifest", "read_weights", "write_folder"]

FORMAT_VERSION = 13
_FORMAT = "hwnas-surrogate"
MANIFEST = "manifest.json"
_LARGEST_WEIGHTS = 256 * 2**20
"""Bytes of a file of weights: a forest of ten thousand costs has a few million."""
_LARGEST_MANIFEST = 64 * 2**20
"""Bytes of a manifest: a suite of a thousand targets has ten million."""
_WEIGHTS_NAME = re.compile(r"[\w.-]+-[0-9a-f]{16}\.(safetensors|skops)")
_STEM = rf"(?:{_WEIGHTS_NAME.pattern}|[\w.-]+-[0-9a-f]{{16}})"
"""Names of weights as :func:`.file_stem` returns them: long ones end in a hash."""


def _digest(manifest: dict[str, Any]) -> str:
    body = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=as_json).encode()).hexdigest()


def as_json(value: object) -> object:
    """Convert a NumPy number or a tuple for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple):
        return list(value)
    raise SavedFormatError(f"{type(value).__name__} can't be saved as JSON: {value!r:.80}")


def check_save(folder: str | os.PathLike[str], inputs: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Refuse, before hours of work, a folder that surrogates can't be saved to.

    Parameters
    ----------
    folder : path-like
        It need not exist.
    inputs : iterable of path-like, default=()
        Folders that are read, which must stay: saving replaces the surrogates that a folder holds.

    Raises
    ------
    InvalidInputError
        If the path is an input or no folder, or its manifest is not that of surrogates.
    DataFileError
        If the folder can't be written to.
    """
    check_folder(folder, inputs)
    path = Path(folder) / MANIFEST
    check_output(path)
    if not path.is_file():
        return
    try:
        found = read_json(read_bytes(path, _LARGEST_MANIFEST))
    except (OSError, ValueError):
        return  # a damaged one, which new surrogates may replace
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise InvalidInputError(
            f"{path} is not the manifest of saved surrogates, and would be replaced: choose another folder."
        )


def write_folder(folder: Path, content: dict[str, Any], files: dict[str, bytes]) -> Path:
    """Write a manifest and the files that it names, and remove the files of an earlier manifest.

    Of several processes that save to one folder, one does so after the other; the last one's surrogates stay.

    Raises
    ------
    SavedFormatError
        If a file would be too large to load; nothing is written.
    InvalidInputError
        If the folder holds the manifest of something else.
    DataFileError
        If writing fails; earlier files are unchanged.
    """
    head = {"format": _FORMAT, "format_version": FORMAT_VERSION, "package_version": hwnas_surrogate.__version__}
    manifest = head | content
    manifest["sha256"] = _digest(manifest)
    text = json.dumps(manifest, indent=1, sort_keys=True, default=as_json)
    for name, size in {MANIFEST: len(text), **{name: len(data) for name, data in files.items()}}.items():
        largest = _LARGEST_MANIFEST if name == MANIFEST else _LARGEST_WEIGHTS
        if size > largest:
            raise SavedFormatError(f"{name} would have {size:,} bytes, and {largest:,} are the most that is loaded.")
    check_save(folder)
    make_folder(folder)
    with locked(folder):
        for name, data in files.items():
            with replacing(folder / name) as temporary:
                temporary.write_bytes(data)
        with replacing(folder / MANIFEST) as temporary:
            temporary.write_text(text, encoding="utf-8")
        # Weights that no manifest names: the former ones, and those of a save that was killed.
        for path in folder.iterdir():
            if _WEIGHTS_NAME.fullmatch(path.name) and path.name not in files:
                path.unlink(missing_ok=True)
        remove_stale(folder, _STEM)
    return folder


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder, checked against its own hash.

    Raises
    ------
    SavedFormatError
        If there is no manifest, or it has another format version or is damaged.
    """
    path = folder / MANIFEST
    try:
        manifest = read_json(read_bytes(path, _LARGEST_MANIFEST))
    except (FileNotFoundError, NotADirectoryError) as error:
        inside = sorted(str(path.parent) for path in folder.glob(f"*/{MANIFEST}"))
        remedy = f"Did you mean {' or '.join(inside)}?" if inside else "`hwnas train` trains and saves some."
        raise SavedFormatError(f"{folder} holds no saved surrogates: there is no {MANIFEST} in it. {remedy}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SavedFormatError(f"{path} can't be read: {reason}. Copy the folder again, or train again.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise SavedFormatError(f"{path} is not the manifest of a saved surrogate.")
    if manifest.get("format_version") != FORMAT_VERSION:
        raise SavedFormatError(
            f"{folder} was saved in format version {manifest.get('format_version')!r} by package version "
            f"{manifest.get('package_version')!r}; this version ({hwnas_surrogate.__version__}) reads format "
            f"{FORMAT_VERSION}. Install the version that saved it, or train again."
        )
    try:
        is_sound = manifest.get("sha256") == _digest(manifest)
    except RecursionError:
        is_sound = False
    if not is_sound:
        raise SavedFormatError(f"{path} is damaged: its content does not match its hash. Copy the folder again.")
    return manifest


def read_weights(entry: dict[str, str], folder: Path) -> bytes:
    """Return a file that a manifest's entry names, checked against the entry's hash.

    Raises
    ------
    SavedFormatError
        If the file is missing, outside the folder, or its content has another hash.
    """
    name = entry["file"]
    if not _WEIGHTS_NAME.fullmatch(name):
        raise SavedFormatError(f"the manifest names weights outside the folder: {name!r}.")
    try:
        data = read_bytes(folder / name, _LARGEST_WEIGHTS)
    except OSError as error:
        raise SavedFormatError(f"the weights {name} can't be read: {error.strerror or error}.") from error
    received = hashlib.sha256(data).hexdigest()
    if received != entry["sha256"]:
        raise SavedFormatError(
            f"the weights {name} are damaged: sha256 {received}, the manifest says {entry['sha256']}. "
            "Copy the folder again, or train again."
        )
    return data
