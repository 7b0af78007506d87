"""The converted accuracies: a parquet file of which a question reads no more than it needs."""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hwnas_surrogate.data.accuracy.answers import LastInfos
from hwnas_surrogate.data.accuracy.converting import convert_accuracy
from hwnas_surrogate.data.accuracy.last import FIGURES, LastFigures
from hwnas_surrogate.data.accuracy.writing import DIGEST_KEY, FORMAT_VERSION, METADATA_KEY, SCHEMA, digest
from hwnas_surrogate.data.parquet import MOST_BYTES, MOST_CELLS, check_columns
from hwnas_surrogate.data.parquet_footer import claimed_sizes
from hwnas_surrogate.errors import DataFileError, InvalidInputError, NotInTableError, unknown
from hwnas_surrogate.inputs import input_path, open_regular, read_json

__all__ = ["AccuracyTable", "Curves", "is_accuracy_table", "open_accuracy"]

_KEPT_BYTES = 2**30
"""Bytes of figures by epoch that stay in memory."""
_MOST_ARCHS = 2**26
"""Bytes of the names of all architectures."""
_KEYS = ("arch_index", "seed", "epochs")
_OF_TRAINING = ("params", "flops", "mean_latency")
_SECONDS = ("mean_seconds", "total_seconds")


@dataclass(frozen=True, slots=True)
class Curves:
    """Figures by epoch of a row group's rows.

    Parameters
    ----------
    values : ndarray of float
    absent : ndarray of bool, optional
        Where there is no value.
    offsets : ndarray of int
        Where each row's values begin.
    missing : ndarray of bool
        The rows without values.
    """

    values: npt.NDArray[np.float64]
    absent: npt.NDArray[np.bool_] | None
    offsets: npt.NDArray[np.int32]
    missing: npt.NDArray[np.bool_]

    def at(self, row: int, epoch: int) -> float | None:
        """Return a row's figure of an epoch, None if there is none."""
        place = self.offsets[row] + epoch
        if self.missing[row] or (self.absent is not None and self.absent[place]):
            return None
        return float(self.values[place])

    def total(self, row: int, epoch: int) -> float | None:
        """Return the sum of a row's figures up to an epoch, added one after the other; None if one is missing."""
        start = self.offsets[row]
        end = start + epoch + 1
        if self.missing[row] or (self.absent is not None and self.absent[start:end].any()):
            return None
        return float(self.values[start:end].cumsum()[-1])

    def of(self, row: int) -> list[Any] | None:
        """Return a row's figures by epoch, None where there is none; None if the row has none at all."""
        if self.missing[row]:
            return None
        start, end = self.offsets[row : row + 2]
        found: list[Any] = self.values[start:end].tolist()
        if self.absent is None:
            return found
        return [None if gone else value for value, gone in zip(found, self.absent[start:end], strict=True)]


class AccuracyTable:
    """A file that `convert_accuracy` wrote; the figures are read when they are asked for, and kept.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    DataFileError
        If the file is missing, damaged, cut off, or no such table.

    Attributes
    ----------
    source : str
        The name of the file that was converted.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = input_path(path)
        self._folder: TemporaryDirectory[str] | None = None
        try:
            open_regular(self.path).close()
            self._file = pq.ParquetFile(pa.OSFile(str(self.path)), page_checksum_verification=True)
            header = self._header(self._file.metadata)
            with open_regular(self.path) as opened:
                self._claimed = claimed_sizes(opened)
            check_columns(self._claimed, self._file.metadata)
        except FileNotFoundError as error:
            raise DataFileError(f"there is no file {self.path}.") from error
        except DataFileError:
            raise
        except (pa.ArrowException, OSError, LookupError, TypeError, ValueError) as error:
            raise self._damaged(error) from error
        self.source: str = header["source"]
        self._archs: str = header["archs"]
        self._n_archs: int = header["n_archs"]
        self._evaluated: list[int] | None = header["evaluated"]
        self._groups: dict[tuple[str, str, str], list[int]] = {}
        for number, (hp, dataset, name, _) in enumerate(header["groups"]):
            self._groups.setdefault((hp, dataset, name), []).append(number)
        self._last: dict[tuple[str, str, str], LastFigures] = {}
        self._infos: dict[tuple[str, str], LastInfos] = {}
        self._orders: dict[tuple[str, str], list[list[str]]] = {}
        self._configs: dict[int, pa.Array] = {}
        self._curves: OrderedDict[tuple[int, str], Curves] = OrderedDict()
        self._n_kept = 0

    def keep_until_closed(self, folder: TemporaryDirectory[str]) -> None:
        """Remove the file's folder when the table is no longer used; where the system can, now: the file stays open."""
        self._folder = folder
        if os.name == "posix":
            folder.cleanup()

    def _header(self, file: pq.FileMetaData) -> dict[str, Any]:
        metadata = file.metadata or {}
        raw = metadata.get(METADATA_KEY)
        if raw is None:
            raise DataFileError(
                f"{self.path} is a parquet file, but holds no accuracies; `hwnas data convert-accuracy` writes such."
            )
        if metadata.get(DIGEST_KEY) != digest(raw):
            raise ValueError("its metadata is damaged")
        header: dict[str, Any] = read_json(raw)
        if header["version"] != FORMAT_VERSION:
            raise DataFileError(
                f"{self.path} has the format {header['version']} of accuracies, this version reads {FORMAT_VERSION}. "
                "Convert the published file again."
            )
        schema = self._file.schema_arrow
        if schema.names != SCHEMA.names or schema.types != SCHEMA.types:
            raise ValueError(f"its columns are {', '.join(schema.names)[:200]}")
        sizes = [file.row_group(number).num_rows for number in range(file.num_row_groups)]
        if [size for *_, size in header["groups"]] != sizes:
            raise ValueError("its row groups are not those that its metadata names")
        return header

    def _damaged(self, error: Exception) -> DataFileError:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        return DataFileError(f"{self.path} is no readable table of accuracies ({reason}). Convert the file again.")

    def __len__(self) -> int:
        return self._n_archs

    def __reduce__(self) -> tuple[type[AccuracyTable], tuple[str]]:
        if self._folder is not None:
            raise InvalidInputError(
                f"a table of a temporary file can't be pickled: convert {self.source} first, with convert_accuracy."
            )
        return type(self), (str(self.path.absolute()),)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} architectures, hps {', '.join(self.hps)}, of {self.source})"

    @cached_property
    def archs(self) -> list[str]:
        """Every architecture of the space, by index."""
        try:
            unpack = zlib.decompressobj()
            found = json.loads(unpack.decompress(base64.b64decode(self._archs), _MOST_ARCHS))
        except (ValueError, zlib.error) as error:
            raise self._damaged(error) from error
        if not isinstance(found, list) or len(found) != len(self) or not set(map(type, found)) <= {str}:
            raise self._damaged(ValueError("its architectures are damaged"))
        return found

    @cached_property
    def evaluated(self) -> frozenset[int]:
        """The indices of the architectures with results."""
        return frozenset(range(len(self)) if self._evaluated is None else self._evaluated)

    @cached_property
    def hps(self) -> list[str]:
        """The schedules (hyper-parameters), as ``12`` and ``200``, the shorter ones first."""
        return sorted({hp for hp, _, _ in self._groups}, key=lambda hp: (len(hp.lstrip("0")), hp))

    def datasets(self, hp: str) -> list[str]:
        """Return the datasets under a schedule."""
        return list(dict.fromkeys(dataset for at, dataset, _ in self._groups if at == hp))

    def sets(self, hp: str, dataset: str) -> list[str]:
        """Return the sets of a dataset, ``train`` first."""
        return [name for at, of, name in self._groups if (at, of) == (hp, dataset)]

    def last(self, hp: str, dataset: str, name: str) -> LastFigures:
        """Return the last epoch's figures of a schedule, dataset and set.

        Raises
        ------
        NotInTableError
            If there is no such; the message names what there is.
        DataFileError
            If the file is damaged.
        """
        key = hp, dataset, name
        try:
            return self._last[key]
        except KeyError:
            pass
        except TypeError as error:  # not hashable
            raise self._not_there(str(hp), str(dataset), str(name)) from error
        if key not in self._groups:
            raise self._not_there(*key)
        groups = self._groups[key]
        names = [*_KEYS, *FIGURES, *_SECONDS, *(_OF_TRAINING if name == "train" else ())]
        read = self._read(groups, [*names, *(["eval_sets"] if name == "train" else [])])
        columns = {column: read.column(column).to_numpy() for column in names}
        absent = {
            column: read.column(column).is_null().to_numpy() for column in names if read.column(column).null_count
        }
        try:
            sizes = [(group, self._file.metadata.row_group(group).num_rows) for group in groups]
            if absent.keys() & {*_KEYS, *_OF_TRAINING}:
                raise ValueError("an index, a seed or a cost is missing")
            if name == "train":
                columns["eval_sets"], self._orders[hp, dataset] = _numbered(read.column("eval_sets"))
            found = LastFigures(columns, absent, sizes)
            if name != "train":
                found.compare(self.last(hp, dataset, "train"))
        except ValueError as error:
            raise self._damaged(error) from error
        self._last[key] = found
        return found

    def infos(self, hp: str, dataset: str) -> LastInfos:
        """Return the last epoch's figures of all architectures under a schedule, on a dataset."""
        key = hp, dataset
        if key not in self._infos:
            self._infos[key] = LastInfos(self, hp, dataset)
        return self._infos[key]

    def frame(self, dataset: str, hp: str | None = None) -> pd.DataFrame:
        """Return the last epoch's figures of all architectures, averaged over seeds.

        Parameters
        ----------
        dataset : str
            ``cifar10-valid``, ``cifar10``, ``cifar100`` or ``ImageNet16-120``.
        hp : str, optional
            The schedule; if None, the longest.

        Returns
        -------
        DataFrame
            A row per architecture that was evaluated, by index: ``architecture``, the keys of
            ``NASBench201API.get_more_info`` (accuracies in %, times in s), and ``flops``, ``params`` (in millions) and
            ``latency`` (s). NaN where there is no value.

        Raises
        ------
        NotInTableError
            If the schedule or dataset is not there.
        """
        infos = self.infos(self.hps[-1] if hp is None else str(hp), dataset)
        names = self._names[infos.archs]
        return pd.DataFrame({"architecture": names} | infos.frame, index=pd.Index(infos.archs, name="index"))

    @cached_property
    def _names(self) -> npt.NDArray[np.object_]:
        return np.array(self.archs, object)

    def _not_there(self, hp: str, dataset: str, name: str) -> NotInTableError:
        if hp not in self.hps:
            return unknown(NotInTableError, "hp", hp, self.hps)
        if dataset not in self.datasets(hp):
            return unknown(NotInTableError, "dataset", dataset, self.datasets(hp))
        return unknown(NotInTableError, f"set of {dataset}", name, self.sets(hp, dataset))

    def curves(self, group: int, column: str) -> Curves:
        """Return the figures by epoch of a row group's rows."""
        key = group, column
        if key in self._curves:
            self._curves.move_to_end(key)
            return self._curves[key]
        lists = self._read([group], [column]).column(column).combine_chunks()
        values = lists.values
        absent = values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None
        found = Curves(
            values.to_numpy(zero_copy_only=False),
            absent,
            lists.offsets.to_numpy(),
            lists.is_null().to_numpy(zero_copy_only=False),
        )
        self._curves[key] = found
        self._n_kept += found.values.nbytes
        while self._n_kept > _KEPT_BYTES and len(self._curves) > 1:
            _, old = self._curves.popitem(last=False)
            self._n_kept -= old.values.nbytes
        return found

    def order_of_sets(self, hp: str, dataset: str, number: int) -> list[str]:
        """Return the evaluated sets in a training's own order, by its number in the column ``eval_sets``."""
        return self._orders[hp, dataset][number]

    def config(self, group: int, row: int) -> dict[str, Any]:
        """Return the config of a row's network, as it was stored."""
        if group not in self._configs:
            self._configs[group] = self._read([group], ["config"]).column("config").combine_chunks()
        try:
            found: dict[str, Any] = json.loads(self._configs[group][row].as_py())
        except (TypeError, ValueError) as error:
            raise self._damaged(error) from error
        return found

    def _read(self, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
        try:
            self._check_size(groups, columns)
            return self._file.read_row_groups(groups, columns, use_threads=False)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._damaged(error) from error

    def _check_size(self, groups: Sequence[int], columns: Sequence[str]) -> None:
        """Raise ValueError if what is read claims more than any memory holds: equal values take no room in a file."""
        parts = [self._claimed[group][number] for group in groups for number in self._numbers(columns)]
        n_cells, n_bytes = sum(part.values for part in parts), sum(part.bytes for part in parts)
        if n_cells > MOST_CELLS or n_bytes > MOST_BYTES:
            raise ValueError(f"it claims {n_cells:,} values of {n_bytes:,} bytes for one question")

    def _numbers(self, columns: Sequence[str]) -> list[int]:
        return [SCHEMA.names.index(column) for column in columns]


def _numbered(column: pa.ChunkedArray) -> tuple[npt.NDArray[Any], list[list[str]]]:
    """Return the numbers of a column's different texts, and the lists that these hold."""
    whole = column.combine_chunks().dictionary_encode()
    lists = [json.loads(text) for text in whole.dictionary.to_pylist()]
    if whole.null_count or not all(isinstance(names, list) for names in lists):
        raise ValueError("it does not name the evaluated sets")
    return whole.indices.to_numpy(), lists


def is_accuracy_table(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is a table of accuracies; a damaged parquet file is none."""
    with open_regular(path) as file:
        if file.read(4) != b"PAR1":
            return False
        try:
            return METADATA_KEY in (pq.read_metadata(file).metadata or {})
        except (pa.ArrowException, OSError, ValueError):
            return False


def open_accuracy(path: str | os.PathLike[str]) -> AccuracyTable:
    """Open a converted table; published results are converted into a temporary file, which the table removes.

    Raises
    ------
    DataFileError
        As of :class:`AccuracyTable` and :func:`convert_accuracy`.
    """
    source = input_path(path)
    if not source.exists():
        raise DataFileError(f"there is no file {source}; check the path.")
    if source.is_file():
        try:
            with open_regular(source) as file:
                magic = file.read(4)
        except OSError as error:
            raise DataFileError(f"can't read {source}: {error.strerror or error}.") from error
        if magic == b"PAR1":
            return AccuracyTable(source)
    folder = TemporaryDirectory(prefix="hwnas-accuracy-")
    try:
        table = AccuracyTable(convert_accuracy(source, Path(folder.name, "accuracy.parquet")))
    except BaseException:
        folder.cleanup()
        raise
    table.keep_until_closed(folder)
    return table
