"""The column ``model`` of measurements: which networks its texts name, and the groups that they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path, PureWindowsPath

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data.csv_lines import WrongLines
from hwnas_surrogate.data.store import is_table, read_parquet
from hwnas_surrogate.data.table import CostTable
from hwnas_surrogate.errors import DataFileError, HWNASError, InvalidInputError, closest
from hwnas_surrogate.graphs import Graph, GraphBatch
from hwnas_surrogate.spaces import Networks, as_batch

__all__ = ["MODEL", "NamedGraphs", "group_kind", "labels_of_rows"]

MODEL = "model"
"""The column that names graphs, in place of ``architecture``."""
_LISTED = 8
"""Number of known names that an error lists; there may be an error in every line."""
_GROUPS = ("family", "group")
_GROUP = "group "


class NamedGraphs:
    """The graphs that a file of measurements names.

    A name is that of a given network, or of one in the manifest: the table of graphs beside the file that has its name
    and ends in ``.parquet``. Other texts are paths of ONNX files, relative to the file's folder. A path stands for the
    given network that is called like the file, if there is one: its input shapes may have been stated.

    Parameters
    ----------
    path : Path
        The file of measurements.
    networks : graphs, optional
        Named graphs: a batch, or a mapping of names to graphs.

    Raises
    ------
    InvalidInputError
        If networks are no graphs, or two networks have one name.
    DataFileError
        If the manifest is damaged.
    """

    def __init__(self, path: Path, networks: Networks | None = None) -> None:
        self.path = path
        self._beside = path.with_suffix(".parquet")
        self._wrong_manifest = False
        self._known: dict[str, Graph] = {}
        self._files: dict[str, Path] = {}
        self._add(self._manifest(), f"{self._beside} has one of them")
        if networks is not None:
            batch = as_batch(None, networks)
            if not isinstance(batch, GraphBatch):
                raise InvalidInputError("networks names graphs; got architectures, which their strings name already.")
            self._add(batch, "a file of measurements refers to networks by name")

    def _add(self, batch: GraphBatch, why: str) -> None:
        for name, graph in zip(batch.names, batch.graphs, strict=True):
            if self._known.setdefault(name, graph) != graph:
                raise InvalidInputError(f"two different networks are called {name!r:.200}; {why}. Rename one.")

    def _manifest(self) -> GraphBatch:
        beside = self._beside
        if beside == self.path or not beside.is_file():
            return GraphBatch([])
        table = read_parquet(beside) if is_table(beside) else None
        if isinstance(table, CostTable) and isinstance(table.batch, GraphBatch):
            return table.batch
        self._wrong_manifest = True
        return GraphBatch([])

    def find(self, text: str) -> tuple[str, Graph]:
        """Return the name and the graph of a text.

        Raises
        ------
        InvalidInputError
            If it names nothing, or a file is another network than the known one of its name.
        HWNASError
            If the ONNX file can't be read.
        """
        if text in self._known:
            return text, self._known[text]
        if not text.lower().endswith(".onnx"):
            raise InvalidInputError(
                f"unknown network {text!r:.200}; known: {self._listed()}.{closest(text, self._known)} {self._hint()}"
            )
        file = self._file(text)
        name = file.stem
        if name not in self._known:
            return name, Graph.from_onnx(file)
        self._check_same(name, file)
        return name, self._known[name]

    def _listed(self) -> str:
        first = [repr(name) for name in islice(self._known, _LISTED)]
        return ", ".join([*first, *(["..."] if len(self._known) > _LISTED else [])]) or "nothing"

    def _hint(self) -> str:
        beside = self._beside.name
        if self._wrong_manifest:
            beside += " (which is there, but is no table of graphs)"
        return f"Networks are named by {beside} beside the file, by networks (--networks), or are paths of .onnx files."

    def _file(self, text: str) -> Path:
        """Return the file of a path, which may have been written on Windows."""
        file = self.path.parent / text
        return self.path.parent / PureWindowsPath(text).as_posix() if "\\" in text and not file.exists() else file

    def _check_same(self, name: str, file: Path) -> None:
        """Raise if a file is another network than the known one of its name."""
        only = self._files.setdefault(name, file.resolve()) == file.resolve()
        try:
            graph = Graph.from_onnx(file)
        except HWNASError:
            if only:  # it is absent, or its input shapes must be stated, and were where the network was captured
                return
            raise
        if graph != self._known[name]:
            raise InvalidInputError(
                f"{file} is another network than the one called {name!r} in {self._beside.name} or networks: rename one"
            )

    def batch(self, found: Sequence[tuple[str, Graph]]) -> tuple[GraphBatch, npt.NDArray[np.intp]]:
        """Return the distinct graphs, and which of them each entry of ``found`` is.

        Raises
        ------
        DataFileError
            If one name means different networks.
        """
        number: dict[str, int] = {}
        named: dict[str, Graph] = {}
        distinct: dict[str, Graph] = {}
        which = []
        for name, graph in found:
            if named.setdefault(name, graph) != graph:
                raise DataFileError(f"{self.path}: the name {name!r} means two different networks: rename one.")
            place = number.setdefault(graph.digest, len(number))
            if place == len(distinct):
                distinct[name] = graph
            which.append(place)
        return GraphBatch(distinct), np.array(which, np.intp)


def group_kind(column: str) -> str | None:
    """Return the kind of group that a column holds labels of: ``family``, ``group``, ``group NAME``; None for others.

    >>> group_kind("family"), group_kind("group owner"), group_kind("seed")
    ('family', 'owner', None)
    """
    plain = column.strip().casefold()
    if plain in _GROUPS:
        return plain
    return column.strip()[len(_GROUP) :].strip() or None if plain.startswith(_GROUP) else None


def labels_of_rows(
    labels: Mapping[str, npt.NDArray[np.object_]], rows: npt.NDArray[np.intp], n: int, lines: npt.NDArray[np.int64],
    wrong: WrongLines,
) -> dict[str, list[str]]:  # fmt: skip
    """Return the label of each of n networks, given the labels of lines; lines with another label are wrong."""
    groups: dict[str, list[str]] = {}
    for kind, texts in labels.items():
        first = np.full(n, len(rows))
        np.minimum.at(first, rows, np.arange(len(rows)))
        of_row = texts[first]
        at = np.flatnonzero(texts != of_row[rows])
        wrong.add(lines[at], f"another {kind} than in an earlier line of the same network")
        groups[kind] = of_row.tolist()
    return groups
