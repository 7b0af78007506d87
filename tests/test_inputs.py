"""Every reader refuses what is no regular file, without waiting for it, and what would not fit into memory."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hwnas_surrogate import Surrogate, SurrogateSuite, load_table
from hwnas_surrogate.data import CostTable, read_measurements
from hwnas_surrogate.data.official import read_official
from hwnas_surrogate.data.store import read_parquet, write_parquet
from hwnas_surrogate.errors import HWNASError
from hwnas_surrogate.evaluation import Evaluation
from hwnas_surrogate.graphs import GraphBatch
from hwnas_surrogate.inputs import check_archive, open_regular, read_bytes, read_json
from hwnas_surrogate.prediction import predict_file
from hwnas_surrogate.search.quality import read_quality

MAKE: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "linked pipe": lambda path: (os.mkfifo(path.with_suffix(".real")), path.symlink_to(path.with_suffix(".real")))[1],
    "folder": Path.mkdir,
}
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "table": ("table.parquet", load_table),
    "parquet": ("table.parquet", read_parquet),
    "measurements": ("costs.csv", read_measurements),
    "official": ("official.pickle", read_official),
    "quality": ("quality.csv", read_quality),
    "evaluation": ("evaluation.json", Evaluation.read),
    "manifest": ("manifest.json", lambda path: Surrogate.load(path.parent)),
    "manifest of a suite": ("manifest.json", lambda path: SurrogateSuite.load(path.parent)),
}
CODE = """
import sys
from pathlib import Path
from tests.test_inputs import MAKE, READERS
from hwnas_surrogate.errors import HWNASError
folder = Path(sys.argv[1])
for kind, make in MAKE.items():
    for reader, (name, read) in READERS.items():
        path = folder / f"{kind}, {reader}" / name
        path.parent.mkdir()
        make(path)
        try:
            read(path)
            print(f"{kind}, {reader}: read")
        except HWNASError as error:
            word = "device" if kind == "device" else "pipe" if "pipe" in kind else "folder"
            if word not in str(error) and reader != "quality":
                print(f"{kind}, {reader}: {error}")
"""


def test_no_reader_waits_for_a_pipe_or_a_device(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[1]
    ran = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False, cwd=root,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr


def test_a_file_and_a_link_to_it_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link"):
        with open_regular(tmp_path / name) as file:
            assert file.read() == b"12345"
        assert read_bytes(tmp_path / name, 5) == b"12345"
        with pytest.raises(OSError, match="it has 5 bytes, and 4 are the most that is read"):
            read_bytes(tmp_path / name, 4)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "manifest.json").open("wb") as file:
        file.truncate(3 * 2**30)  # a hole: it takes no room on the disk
    with pytest.raises(HWNASError, match=r"can't be read: it has 3,221,225,472 bytes, and 67,108,864 are the most"):
        Surrogate.load(tmp_path)


def test_json_of_too_many_values_or_levels_is_refused() -> None:
    many = b"{" + b",".join(b'"%d":0' % number for number in range(100)) + b"}"
    assert len(read_json(many, 101)) == 100
    with pytest.raises(ValueError, match="it holds 101 values, and 100 are the most that is read"):
        read_json(many, 100)
    with pytest.raises(ValueError, match="nested too deep"):
        read_json(b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(ValueError, match="it holds 4,000,001 values"):
        read_json(b"[" + b"0," * 3_999_999 + b"0]")


@pytest.mark.parametrize("depth", [300, 450, 490, 900, 5000])
def test_a_manifest_of_any_depth_is_refused(depth: int, tmp_path: Path) -> None:
    text = '{"format": "hwnas-surrogate", "format_version": 13, "info": ' + '{"a":' * depth + "1" + "}" * depth + "}"
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(HWNASError, match=r"nested too deep|does not match its hash"):
        Surrogate.load(tmp_path)


def test_deep_metadata_of_a_table_is_refused(tmp_path: Path) -> None:
    for depth in (500, 100_000):
        header = b'{"a":' * depth + b"1" + b"}" * depth
        table = pa.table({"op_00": [1]}).replace_schema_metadata({b"hwnas_surrogate": header})
        pq.write_table(table, tmp_path / "deep.parquet")
        with pytest.raises(HWNASError):
            load_table(tmp_path / "deep.parquet")


@pytest.mark.parametrize("read", [read_parquet, lambda path: read_measurements(path, columns=[])])
def test_a_table_that_claims_more_rows_than_anybody_has_is_refused(
    read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas_surrogate.data.parquet.MOST_CELLS", 2**20 - 1)
    pq.write_table(pa.table({"arch_str": np.zeros(2**20, np.int8)}), tmp_path / "long.parquet")
    assert (tmp_path / "long.parquet").stat().st_size < 4000
    with pytest.raises(HWNASError, match="claims 1,048,576 cells, and 1,048,575 are the most that is read"):
        read(tmp_path / "long.parquet")


@pytest.mark.parametrize("read", [read_parquet, read_measurements])
def test_long_texts_that_occur_often_are_kept_once(
    read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, n = "x" * 2_000_000, 5000
    write_parquet(CostTable(None, GraphBatch([]), np.empty((0, 0)), []), tmp_path / "empty.parquet")
    header, names = pq.read_schema(tmp_path / "empty.parquet").metadata, ["graph", "name", "digest"]
    if read is read_measurements:
        header, names = {}, ["model"]
    columns = dict.fromkeys(names, pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), [text]))
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({**columns, "board/latency": np.ones(n)}).replace_schema_metadata(header), path)
    assert path.stat().st_size < 1_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(HWNASError):
        read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB; all texts have 40 GB
    monkeypatch.setattr("hwnas_surrogate.data.parquet.MOST_BYTES", 2**20)
    with pytest.raises(HWNASError, match="bytes, and 1,048,576 are the most that is read"):
        read(path)


def bomb(size: int, compression: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive, archive.open("op_index.npy", "w") as member:
        for _ in range(size >> 20):
            member.write(bytes(2**20))
    return data


def test_archives_that_unpack_to_too_much_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(bomb(2**22)) as archive:
        check_archive(archive, 2**22)
        with pytest.raises(ValueError, match="its members would unpack to 4,194,304 bytes, and 4,194,303 are the most"):
            check_archive(archive, 2**22 - 1)
        archive.infolist()[0].file_size = 10  # a lie: no more than this is unpacked
        with pytest.raises(zipfile.BadZipFile), archive.open("op_index.npy") as member:
            assert len(member.read()) <= 10
    with zipfile.ZipFile(bomb(2**20, zipfile.ZIP_LZMA)) as archive, pytest.raises(ValueError, match="must be deflated"):
        check_archive(archive)
    data = bytearray(bomb(2**20).getvalue())
    at = data.rindex(b"PK\1\2") + 24  # the size in the list of members
    data[at : at + 4] = (2**31).to_bytes(4, "little")
    (tmp_path / "bomb.npz").write_bytes(data)
    with pytest.raises(HWNASError, match="would unpack to 2,147,483,648 bytes"):
        read_measurements(tmp_path / "bomb.npz")


def test_the_input_of_predictions_must_be_a_file(tmp_path: Path) -> None:
    archs, costs = np.arange(12).reshape(2, 6) % 5, [1.0, 2.0]
    surrogate = Surrogate(encoder="onehot", model="linear", calibrate=False).fit(archs, costs)
    for suffix in (".csv", ".parquet", ".txt"):
        os.mkfifo(tmp_path / f"pipe{suffix}")
        with pytest.raises(HWNASError, match="it is a pipe, not a file"):
            predict_file(surrogate, tmp_path / f"pipe{suffix}", tmp_path / "out.csv")


@pytest.mark.parametrize("name", ["\0", "\ud800"], ids=["null", "surrogate"])
def test_a_name_that_no_file_can_have_is_an_error_of_the_system(name: str) -> None:
    with pytest.raises(OSError, match=r"embedded null|surrogates not allowed"):
        open_regular(name)
