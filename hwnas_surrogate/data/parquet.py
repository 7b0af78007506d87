"""Parquet files that anybody may have made, in bounded memory.

A run of equal values takes no room in a file: one of some kilobytes may stand for more than any memory holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from hwnas_surrogate.data.parquet_footer import Claimed, claimed_sizes

__all__ = ["MOST_BYTES", "MOST_CELLS", "check_columns", "check_size", "entries", "open_parquet"]

MOST_CELLS = 200_000_000
"""Values of the columns that are read."""
MOST_BYTES = 2**31
"""Bytes of the columns that are read, before they are compressed."""


def open_parquet(opened: BinaryIO) -> pq.ParquetFile:
    """Open a file to be read with its checksums; columns of texts will hold each different text once.

    Raises
    ------
    ArrowException, OSError
        If it is no readable parquet file.
    """
    schema = pq.read_metadata(opened).schema
    columns = [schema.column(number) for number in range(len(schema))]
    texts = [column.name for column in columns if column.physical_type == "BYTE_ARRAY" and column.name == column.path]
    opened.seek(0)
    return pq.ParquetFile(opened, read_dictionary=texts, page_checksum_verification=True)


def check_size(opened: BinaryIO, file: pq.ParquetFile, columns: Iterable[str] | None = None) -> None:
    """Raise ValueError, before anything is read, if columns (all if None) claim more than is read.

    ``opened`` is the file that ``file`` reads.
    """
    metadata, groups = file.metadata, claimed_sizes(opened)
    check_columns(groups, metadata)
    wanted = None if columns is None else set(columns)
    n_cells = n_bytes = 0
    for number in range(metadata.num_columns):
        column = metadata.schema.column(number)
        if wanted is not None and column.path.split(".")[0] not in wanted:
            continue
        parts = [group[number] for group in groups]
        n_values = sum(part.values for part in parts)
        n_cells += max(n_values, metadata.num_rows)
        fixed = column.length if column.physical_type == "FIXED_LEN_BYTE_ARRAY" else 0
        n_bytes += max(sum(part.bytes for part in parts), n_values * fixed)
    for what, claimed, most in (("cells", n_cells, MOST_CELLS), ("bytes", n_bytes, MOST_BYTES)):
        if claimed > most:
            raise ValueError(f"it claims {claimed:,} {what}, and {most:,} are the most that is read")


def check_columns(groups: Sequence[Sequence[Claimed]], metadata: pq.FileMetaData) -> None:
    """Raise ValueError unless a footer's row groups have the columns of its schema."""
    if len(groups) != metadata.num_row_groups or any(len(group) != metadata.num_columns for group in groups):
        raise ValueError("its row groups have other columns than its schema")


def entries(column: pa.ChunkedArray) -> list[Any]:
    """Return a column's entries, None where there is none; equal texts of a chunk are one object."""
    found: list[Any] = []
    for chunk in column.chunks:
        if not pa.types.is_dictionary(chunk.type):
            found += chunk.to_pylist()
            continue
        different = [*chunk.dictionary.to_pylist(), None]
        found += [different[-1 if number is None else number] for number in chunk.indices.to_pylist()]
    return found
