"""The column ``model`` of measurements: which networks its texts name, and the groups that they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data.csv_lines import WrongLines
from hwnas_surrogate.data.store import is_table, read_parquet
from hwnas_surrogate.data.table import CostTable
from hwnas_surrogate.errors import DataFileError, InvalidInputError, unknown
from hwnas_surrogate.graphs import Graph, GraphBatch
from hwnas_surrogate.spaces import Networks, as_batch

__all__ = ["MODEL", "NamedGraphs", "group_kind", "labels_of_rows"]

MODEL = "model"
"""The column that names graphs, in place of ``architecture``."""
_GROUPS = ("family", "group")
_GROUP = "group "


class NamedGraphs:
    """The graphs that a file of measurements names.

    A name is that of a given network, or of one in the manifest: the table of graphs beside the file that has its name
    and ends in ``.parquet``. Other texts are paths of ONNX files, relative to the file's folder.

    Parameters
    ----------
    path : Path
        The file of measurements.
    networks : graphs, optional
        Named graphs: a batch, or a mapping of names to graphs.
    """

    def __init__(self, path: Path, networks: Networks | None = None) -> None:
        self.path = path
        self._known: dict[str, Graph] = {}
        batch = self._manifest() if networks is None else as_batch(None, networks)
        if batch is None:
            return
        if not isinstance(batch, GraphBatch):
            raise InvalidInputError("networks names graphs; got architectures, which their strings name already.")
        self._known = dict(zip(batch.names, batch.graphs, strict=True))
        if len(self._known) < len(batch):
            raise InvalidInputError("networks have different names, which a file of measurements refers to.")

    def _manifest(self) -> GraphBatch | None:
        beside = self.path.with_suffix(".parquet")
        if beside == self.path or not beside.is_file() or not is_table(beside):
            return None
        table = read_parquet(beside)
        return table.batch if isinstance(table, CostTable) and isinstance(table.batch, GraphBatch) else None

    def find(self, text: str) -> tuple[str, Graph]:
        """Return the name and the graph of a text.

        Raises
        ------
        InvalidInputError
            If it names nothing.
        HWNASError
            If the ONNX file can't be read.
        """
        if text in self._known:
            return text, self._known[text]
        if not text.lower().endswith(".onnx"):
            manifest = self.path.with_suffix(".parquet").name
            hint = f"Networks are named by {manifest} beside the file, by networks, or are paths of .onnx files."
            raise unknown(InvalidInputError, "network", text, self._known, hint)
        name, file = Path(text).stem, self.path.parent / text
        if name in self._known:
            return name, self._known[name]
        return name, Graph.from_onnx(file)

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
