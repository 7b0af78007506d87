"""Fitted surrogates of a suite that is not finished, in a folder: a killed training goes on with them."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from hwnas_surrogate.errors import SavedFormatError
from hwnas_surrogate.features import Encoder
from hwnas_surrogate.files import locked, make_folder
from hwnas_surrogate.jobs.pieces import source_version
from hwnas_surrogate.trainers.encoded import Encoded
from hwnas_surrogate.trainers.folders import as_json
from hwnas_surrogate.trainers.saving import load, save
from hwnas_surrogate.trainers.surrogate import Surrogate

__all__ = ["SCORES", "UnfinishedFits", "unfinished_in"]

SCORES = "scores.jsonl"
"""The file of finished scores in the folder."""
_OUTLIERS = "outliers"
_KEY = re.compile(r"[0-9a-f]{32}")


@contextmanager
def unfinished_in(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a folder for finished fits and scores to one training at a time.

    They are removed when the block ends well. After an error they stay; of a training that has finished nothing yet,
    no folder stays. Other files in the folder are left alone.

    Raises
    ------
    InvalidInputError
        If another training works into the folder, or it is a file.
    DataFileError
        If it can't be made.
    """
    path = Path(folder)
    made = [one for one in (path, *path.parents) if not one.exists()]
    make_folder(path)
    try:
        with locked(path, wait=False):
            yield path
            for part in path.iterdir():
                if part.name == SCORES:
                    part.unlink()
                elif _KEY.fullmatch(part.name):
                    shutil.rmtree(part, ignore_errors=True)
            made = [path]
    finally:
        for one in made:
            with suppress(OSError):  # it is not empty
                one.rmdir()


class UnfinishedFits:
    """The fitted surrogates of a suite, each saved to a folder of its own.

    The folder's name is a hash of all that a fit depends on: the code of this package, the networks, their features,
    the costs, and the surrogate's settings. So nothing counts that was fitted to something else.

    Parameters
    ----------
    folder : path-like
    suite : SurrogateSuite
        Unfitted.
    encoded : mapping of bool to (Encoder, Encoded)
        The training networks, as surrogates with the default model and as others see them.
    """

    def __init__(
        self, folder: str | os.PathLike[str], suite: Any, encoded: Mapping[bool, tuple[Encoder, Encoded]]
    ) -> None:
        self._folder, self._suite = Path(folder), suite
        self._seen = {is_default: _hash_of(*seen) for is_default, seen in encoded.items()}
        self._found: dict[str, Surrogate] = {}

    def __contains__(self, task: tuple[Any, ...]) -> bool:
        """Return whether a task's surrogate was fitted, and can be loaded."""
        key = self._key(*task)
        if key not in self._found and (self._folder / key).is_dir():
            try:
                [surrogate], manifest = load(self._folder / key, type(self._suite).__name__, Surrogate.kinds())
            except SavedFormatError:  # its process was killed while it was written, or the disk is damaged
                return False
            surrogate.outliers_ = np.array(manifest["info"][_OUTLIERS], np.intp)
            self._found[key] = surrogate
        return key in self._found

    def __getitem__(self, task: tuple[Any, ...]) -> Surrogate:
        """Return the fitted surrogate of a task."""
        return self._found[self._key(*task)]

    def keep(self, task: tuple[Any, ...], surrogate: Surrogate) -> None:
        """Save the fitted surrogate of a task."""
        info = {_OUTLIERS: surrogate.outliers_.tolist()}
        save(self._suite, [surrogate], self._folder / self._key(*task), info)

    def _key(self, surrogate: Surrogate, *given: Any) -> str:
        """Return a hash of a task: an unfitted surrogate, its costs, which networks have one, and profiles."""
        settings = {name: value for name, value in surrogate.get_params(deep=False).items() if name != "space"}
        settings["encoder"] = surrogate.encoder is None
        of = (self._seen[surrogate.is_default], surrogate.is_default, str(surrogate.target_), settings, given)
        return str(joblib.hash((source_version(), of)))


def _hash_of(encoder: Encoder, seen: Encoded) -> str:
    """Return a hash of the training networks, and of what models see of them."""
    description = json.dumps(encoder.to_state(), sort_keys=True, default=as_json)
    features = seen.features.to_numpy(np.float64)
    return str(joblib.hash((description, list(seen.features.columns), features, list(seen.batch.keys))))
