"""The sizes in a parquet file's footer: those that pyarrow reads, and damaged footers."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hwnas_surrogate.data
from hwnas_surrogate.data.parquet_footer import claimed_sizes

BUNDLED = sorted(Path(hwnas_surrogate.data.__file__).parent.glob("bundled/*.parquet"))


def written(rows: int = 100, group: int = 30) -> bytes:
    held = io.BytesIO()
    columns = {
        "whole": np.arange(rows),
        "real": np.linspace(0, 1, rows),
        "text": [f"name {row % 7}" for row in range(rows)],
        "list": [[float(row)] * (row % 3) for row in range(rows)],
    }
    pq.write_table(pa.table(columns).replace_schema_metadata({"key": "value" * 100}), held, row_group_size=group)
    return held.getvalue()


def from_pyarrow(data: bytes) -> list[list[tuple[int, int]]]:
    metadata = pq.read_metadata(io.BytesIO(data))
    return [
        [
            (part.num_values, part.total_uncompressed_size)
            for part in map(metadata.row_group(group).column, range(metadata.num_columns))
        ]
        for group in range(metadata.num_row_groups)
    ]


def test_as_pyarrow_reads_them() -> None:
    data = written()
    assert claimed_sizes(io.BytesIO(data)) == from_pyarrow(data)
    assert len(claimed_sizes(io.BytesIO(data))) == 4


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.name)
def test_of_the_bundled_tables(path: Path) -> None:
    data = path.read_bytes()
    assert claimed_sizes(io.BytesIO(data)) == from_pyarrow(data)


def test_damaged_footers_are_refused_or_read() -> None:
    data, rng, refused = written(10), np.random.default_rng(0), 0
    length = int.from_bytes(data[-8:-4], "little")
    for _ in range(3000):
        changed = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            changed[len(data) - 8 - int(rng.integers(1, length + 1))] = rng.integers(256)
        try:
            claimed_sizes(io.BytesIO(bytes(changed)))
        except ValueError:
            refused += 1
    assert 100 < refused < 3000


@pytest.mark.parametrize("data", [b"", b"PAR1", written()[:-1], written()[:-8] + b"\xff\xff\xff\x7fPAR1"], ids=len)
def test_files_that_are_cut_off(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"it does not end as a parquet file|its footer is longer than the file"):
        claimed_sizes(io.BytesIO(data))
