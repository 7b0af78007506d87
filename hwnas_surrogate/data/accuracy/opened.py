"""A benchmark's results behind its accuracy API: which file they come from, and what the indices mean."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hwnas_surrogate.data.accuracy.results import ArchResults
from hwnas_surrogate.data.accuracy.stores import ArchInfos, content_of
from hwnas_surrogate.data.accuracy.table import AccuracyTable, open_accuracy
from hwnas_surrogate.data.accuracy.texts import Results
from hwnas_surrogate.errors import DataFileError, InvalidArchitectureError, InvalidInputError, NotInTableError, unknown

__all__ = ["HOME", "OpenedBenchmark", "WrongIndex", "say"]

HOME = "TORCH_HOME"
"""The environment variable of the folder with the published files."""


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")


class WrongIndex(InvalidArchitectureError, IndexError):
    """Also an IndexError, as of every sequence: a loop over the API ends."""


class OpenedBenchmark:
    """The architectures of a benchmark, and where their results are.

    Parameters
    ----------
    file_path_or_dict : path-like, mapping or AccuracyTable, optional
        As of :class:`NASBenchMetaAPI`.
    verbose : bool, default=True
        Print that a published file is being converted.
    """

    _default: ClassVar[str]
    _is_size: ClassVar[bool]

    def __init__(
        self,
        file_path_or_dict: str | os.PathLike[str] | Mapping[str, Any] | AccuracyTable | None = None,
        verbose: bool = True,
    ) -> None:
        self.verbose = verbose
        self.filename: str | None = None
        self._table: AccuracyTable | None = None
        self._used_time: float = 0
        if isinstance(file_path_or_dict, Mapping):
            self.meta_archs, objects, self.evaluated_indexes = content_of(file_path_or_dict)
        else:
            self._table = self._open(file_path_or_dict)
            self.meta_archs, objects = list(self._table.archs), {}
            self.evaluated_indexes = sorted(self._table.evaluated)
        self.arch2infos_dict = ArchInfos(objects, self._table)
        self.archstr2index = {arch: index for index, arch in enumerate(self.meta_archs)}
        if len(self.archstr2index) < len(self.meta_archs):
            raise DataFileError("the benchmark holds an architecture twice.")
        self._check_space()
        hps = self._table.hps if self._table else dict.fromkeys(hp for found in objects.values() for hp in found)
        self._avaliable_hps = list(hps)

    def _open(self, given: object) -> AccuracyTable:
        if isinstance(given, AccuracyTable):
            self.filename = given.path.name
            return given
        if given is None:
            home = os.environ.get(HOME)
            if not home:
                raise InvalidInputError(
                    f"name the file, or set {HOME} to the folder of {self._default}: the default is there."
                )
            given = Path(home, self._default)
        if not isinstance(given, (str, os.PathLike)):
            raise InvalidInputError(
                f"file_path_or_dict must be a path or the benchmark's content as a dict, got {type(given).__name__}."
            )
        self.filename = Path(given).name
        if self.verbose and Path(given).exists() and Path(given).suffix != ".parquet":
            say(f"reading {given}; `hwnas data convert-accuracy` converts it once, to open in milliseconds")
        return open_accuracy(given)

    def _check_space(self) -> None:
        mark, other = (":", "|") if self._is_size else ("|", ":")
        if self.meta_archs and mark not in self.meta_archs[0]:
            hint = ""
            if other in self.meta_archs[0]:
                hint = f" Use {'NASBench201API' if self._is_size else 'NASBench301API'}."
            raise InvalidInputError(
                f"{type(self).__name__} takes results of {'the size' if self._is_size else 'the topology'} space, got "
                f"{self.meta_archs[0]!r:.100}.{hint}"
            )

    def __getitem__(self, index: int) -> str:
        if isinstance(index, (int, np.integer)) and -len(self) <= index < 0:  # as of a list
            return self.meta_archs[index]
        return self.arch(index)

    def __len__(self) -> int:
        return len(self.meta_archs)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.evaluated_indexes)}/{len(self.meta_archs)} architectures, "
            f"file={self.filename})"
        )

    def arch(self, index: int) -> str:
        """Return the architecture of an index."""
        return self.meta_archs[self._index(index)]

    def _index(self, index: object) -> int:
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)) or not 0 <= index < len(self):
            raise WrongIndex(f"an index is an integer 0 to {len(self) - 1}, got {index!r:.60}.")
        return int(index)

    def _check_range(self, index: object) -> None:
        """Raise of an integer that is no index: it is another error than an architecture without results."""
        if isinstance(index, (int, np.integer)):
            self._index(index)

    def _index_of(self, arch: Any) -> int:
        """Return the index of an architecture in any form; raise if the benchmark has no such architecture."""
        index = self.query_index_by_arch(arch)
        if index < 0:
            raise InvalidArchitectureError(
                f"an architecture is an index from 0 to {len(self) - 1}, its string, or an object with tostr; the "
                f"benchmark does not hold {arch!r:.200}."
            )
        return index

    def _results(self, index: int, hp: str | int) -> Results:
        try:
            return self.arch2infos_dict.results(index, str(hp))
        except NotInTableError:
            self._check_range(index)
            raise

    def _objects(self, index: int, hp: str | int) -> ArchResults:
        """Return an architecture's results as objects, of which the answers are made."""
        self._check_range(index)
        by_hp = self.arch2infos_dict[index]
        if str(hp) not in by_hp:
            raise unknown(NotInTableError, f"hp of architecture {index}", str(hp), by_hp)
        return by_hp[str(hp)]

    @property
    def avaliable_hps(self) -> list[str]:
        """The hyper-parameters (schedules) with results; the name is the original's."""
        return list(self._avaliable_hps)

    def random(self) -> int:
        """Return an index at random (of the module `random`)."""
        return random.randint(0, len(self.meta_archs) - 1)

    def query_index_by_arch(self, arch: Any) -> int:
        """Return the index of an architecture (an index, its string, or an object with ``tostr``); -1 if there is none.

        Raises
        ------
        InvalidArchitectureError
            If it is an index that is out of range.
        """
        if isinstance(arch, (int, np.integer)) and not isinstance(arch, bool):
            return self._index(arch)
        text = arch.tostr() if hasattr(arch, "tostr") else arch
        return self.archstr2index.get(text, -1) if isinstance(text, str) else -1
