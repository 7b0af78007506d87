"""CSV files as spreadsheets, programs and people write them: every reader answers, or names the cause."""

from __future__ import annotations

import io
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.data import (
    CostTable,
    csv_lines,
    describe,
    load_table,
    measurements,
    merge,
    read_measurements,
    read_parquet,
    text_lines,
    write_parquet,
)
from hwnas_surrogate.data.text_lines import lines_of
from hwnas_surrogate.errors import DataFileError, HWNASError
from hwnas_surrogate.prediction import predict_file
from hwnas_surrogate.search import read_quality
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import SurrogateSuite

SPACE = get_space("nasbench201")
LONG = "architecture,device,value\n0,pi,1.5\n7,pi,2.25\n"
WIDE = "architecture,pi\n0,1.5\n7,2.25\n"
QUALITY = "architecture,accuracy\n0,1.5\n7,2.25\n"


def _costs(path: Path) -> tuple[list[int], list[float]]:
    table = load_table(path)
    assert isinstance(table, CostTable)
    return SPACE.index(table.archs).tolist(), table.costs[:, 0].tolist()


def _qualities(path: Path) -> tuple[list[int], list[float]]:
    archs, values = read_quality(path)
    return SPACE.index(archs).tolist(), values.tolist()


@pytest.fixture(scope="module")
def suite() -> SurrogateSuite:
    archs = SPACE.sample(20, 0)
    return SurrogateSuite(model="ridge", calibrate=False).fit(archs, {"pi/latency": SPACE.batch(archs).macs / 1e6})


READERS = {"long": (LONG, _costs), "wide": (WIDE, _costs), "quality": (QUALITY, _qualities)}

FORMS = {
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "decimal commas": lambda text: text.replace(",", ";").replace(".", ",").encode(),
    "sep= and semicolons": lambda text: ("sep=;\n" + text.replace(",", ";")).encode(),
    "sep= in quotes": lambda text: ('"sep=;"\r\n' + text.replace(",", ";")).encode(),
    "sep= and a bar": lambda text: ("sep=|\n" + text.replace(",", "|")).encode(),
    "tabs": lambda text: text.replace(",", "\t").encode(),
    "UTF-8 with its mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16, tabs": lambda text: text.replace(",", "\t").encode("utf-16"),
    "UTF-16, big end first": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "the lines of DOS": lambda text: text.replace("\n", "\r\n").encode(),
    "the lines of old Macs": lambda text: text.replace("\n", "\r").encode(),
    "header in capitals": lambda text: (text.split("\n", 1)[0].upper() + "\n" + text.split("\n", 1)[1]).encode(),
    "blanks around": lambda text: text.replace(",", " , ").encode(),
    "blank lines first": lambda text: ("\n  \n,,\n" + text).encode(),
    "empty columns": lambda text: text.replace("\n", ",,\n").encode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_of_measurements_reads_every_form(reader: str, form: str, tmp_path: Path) -> None:
    text, read = READERS[reader]
    path = tmp_path / "file.csv"
    path.write_bytes(FORMS[form](text))
    assert read(path) == ([0, 7], [1.5, 2.25])


@pytest.mark.parametrize("form", [*FORMS, "lines"])
def test_predict_reads_every_form(suite: SurrogateSuite, form: str, tmp_path: Path) -> None:
    path = tmp_path / ("in.txt" if form == "lines" else "in.csv")
    text = 'id,architecture\n1.5,"0"\n2,"7"\n'
    path.write_bytes("0\n7\n".encode("utf-16") if form == "lines" else FORMS[form](text))
    assert predict_file(suite, path, tmp_path / "out.csv") == 2
    assert pd.read_csv(tmp_path / "out.csv")["architecture"].tolist() == SPACE.format_all([0, 7])


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_lines_of_stdin_may_begin_with_a_mark(mark: bytes) -> None:
    stream = io.BytesIO(mark + b"7\r\n9")
    assert [line.strip() for line in lines_of(stream, "stdin")] == ["7", "9"]


WRITTEN = [
    "(3, 1, 0, 2, 4, 0)",
    "[3, 1, 0, 2, 4, 0]",
    "[3 1 0 2 4 0]",
    " ( 3,1,0,2,4,0, ) ",
    "array([3, 1, 0, 2, 4, 0])",
]
WRITTEN += [str(tuple(np.array([3, 1, 0, 2, 4, 0], np.int8))), str(np.array([3, 1, 0, 2, 4, 0]))]
WRITTEN += ["tensor([3, 1, 0, 2, 4, 0], dtype=torch.int8)"]


@pytest.mark.parametrize("key", ["architecture", "arch_str", "op_index"])
@pytest.mark.parametrize("text", WRITTEN)
def test_sequences_as_they_are_printed(text: str, key: str, suite: SurrogateSuite, tmp_path: Path) -> None:
    pd.DataFrame({key: [text], "pi": [2.0]}).to_csv(tmp_path / "in.csv", index=False)
    assert read_measurements(tmp_path / "in.csv").archs.tolist() == [[3, 1, 0, 2, 4, 0]]
    assert predict_file(suite, tmp_path / "in.csv", tmp_path / "out.csv") == 1


def test_names_of_ops_in_a_printed_list(tmp_path: Path) -> None:
    names = [SPACE.ops[op] for op in (3, 1, 0, 2, 4, 0)]
    pd.DataFrame({"architecture": [names, tuple(names)], "device": "pi", "value": [2, 3]}).to_csv(tmp_path / "in.csv")
    text = (tmp_path / "in.csv").read_text().replace("\n0,", "\n").replace("\n1,", "\n").lstrip(",")
    (tmp_path / "in.csv").write_text(text)
    assert read_measurements(tmp_path / "in.csv").archs.tolist() == [[3, 1, 0, 2, 4, 0]]


CAUSES = {
    "Latin-1": (
        "architecture,device,value,unit\n0,pi,1,\u00b5s\n".encode("latin-1"),
        r"line 2 is not UTF-8.*0xB5 .'\u00b5'",
    ),
    "UTF-16 without a mark": (LONG.encode("utf-16-le"), "line 1 has a NUL byte.*UTF-16 without a mark"),
    "cut UTF-16": (LONG.encode("utf-16")[:-1], "UTF-16 from about line 3 on .truncated data"),
    "NUL bytes": (LONG.encode().replace(b"pi", b"p\0"), "line 2 has a NUL byte"),
    "open quote": (LONG.encode() + b'"7,pi,2\n7,pi,2\n', "from line 4 on: a quote is opened there and never closed"),
    "bars": (LONG.replace(",", "|").encode(), r"separated by '\|': separate them by commas"),
    "decimal comma": (b'architecture,device,value\n0,pi,"1,5"\n', "got '1,5' .decimal commas .* by semicolons"),
    "both decimal signs": (
        b"architecture;device;value\n0;pi;1,5\n7;pi;2\n9;pi;1.500\n",
        "line 4: a decimal point, where line 2 has the other decimal sign",
    ),
    "point and comma": (b"architecture;device;value\n0;pi;1.500,5\n", r"line 2: value must .* got '1\.500,5'"),
    "too many fields": (b"architecture;device;value\n0;pi;1;5\n", "4 fields where .* has 3 .quote what has semicolons"),
}


@pytest.mark.parametrize("what", CAUSES)
@pytest.mark.parametrize("read", [load_table, read_measurements])
def test_the_cause_is_named(what: str, read: Any, tmp_path: Path) -> None:
    content, why = CAUSES[what]
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=rf"(?s)file\.csv.*{why}"):
        read(path)


@pytest.mark.parametrize("what", ["Latin-1", "UTF-16 without a mark", "NUL bytes", "open quote", "bars"])
def test_the_cause_is_named_where_predicting(what: str, suite: SurrogateSuite, tmp_path: Path) -> None:
    content, why = CAUSES[what]
    (tmp_path / "in.csv").write_bytes(content)
    with pytest.raises(DataFileError, match=why):
        predict_file(suite, tmp_path / "in.csv", tmp_path / "out.csv")


def test_a_line_without_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.csv"
    with path.open("wb") as file:
        file.write(LONG.encode())
        file.seek(2**30)  # a hole: the file takes no room on disk
        file.write(b"\n")
    monkeypatch.setattr(text_lines, "LONGEST", 2**20)
    start = time.process_time()
    tracemalloc.start()
    with pytest.raises(DataFileError, match="line 4 has a NUL byte"):
        load_table(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 30 * 2**20
    assert time.process_time() - start < 2
    path.write_text(LONG + "7," * 2**20)
    with pytest.raises(DataFileError, match=r"line 4 has more than 1,048,576 characters"):
        load_table(path)


def test_an_open_quote_does_not_read_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text('architecture,device,value\n"0,pi,1\n' + "0,pi,1\n" * 100_000)
    with pytest.raises(DataFileError, match="line 2 on: one field has more than 131,072 characters; is a quote opened"):
        load_table(path)


def test_reading_stops_after_many_wrong_lines(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    for text in ("architecture,pi\n" + "0,1.5\n" * 200_000, "architecture,device,value\n" + "0,pi,-5\n" * 200_000):
        path.write_text(text)
        start = time.process_time()
        with pytest.raises(DataFileError, match=r"(?s)at least 1\d\d\d wrong lines.*line \d: .*(occurs more|must be)"):
            load_table(path)
        assert time.process_time() - start < 0.5


def test_many_equal_lines_are_one_measurement(tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_text("architecture,device,value\n" + "0,pi,1.5\n" * 50_000)
    table = read_measurements(tmp_path / "file.csv")
    assert table.costs.tolist() == [[1.5]]


def test_time_grows_with_the_columns_not_with_their_square(tmp_path: Path) -> None:
    def seconds(n: int) -> float:
        (tmp_path / "wide.csv").write_text(
            f"architecture,{','.join(f'd{i}' for i in range(n))}\n0,{','.join(['1.5'] * n)}\n"
        )
        start = time.process_time()
        table = read_measurements(tmp_path / "wide.csv")
        write_parquet(table, tmp_path / "wide.parquet")
        assert len(describe(read_parquet(tmp_path / "wide.parquet"))) == n
        halves = [table.select(table.targets[: n // 2]), table.select(table.targets[n // 2 :])]
        assert merge(halves).targets == table.targets
        return time.process_time() - start

    seconds(100)
    # The quickest of three: whatever else runs only adds time.
    assert min(seconds(2000) for _ in range(3)) < 3 * min(seconds(1000) for _ in range(3))


def test_a_table_of_nearly_no_cost_is_refused_before_it_takes_all_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurements, "_MOST", 10**6 - 1)
    lines = "".join(f"{number},device{number},1.5\n" for number in range(1000))
    (tmp_path / "file.csv").write_text("architecture,device,value\n" + lines)
    with pytest.raises(DataFileError, match=r"1,000 networks and 1,000 targets.*Import the devices in several files"):
        load_table(tmp_path / "file.csv")


def test_fields_in_memory_do_not_grow_with_the_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_lines, "_FIELDS_AT_ONCE", 10)
    (tmp_path / "file.csv").write_text("architecture,a,b,c,d\n" + "".join(f"{n},1,2,3,{n}\n" for n in range(9)))
    file = csv_lines.CsvFile(tmp_path / "file.csv")
    wrong = csv_lines.WrongLines(tmp_path / "file.csv")
    assert [len(rows) for _, rows in file.rows(wrong)] == [3, 3, 3]


PARTS = [
    b",",
    b";",
    b"\t",
    b"\r",
    b'"',
    b"\0",
    b"\xff",
    b"\xff\xfe",
    b"failed",
    b"1e308",
    b"1,5",
    b"(",
    b"sep=",
    b"value",
]
PARTS += [b"9" * 400, b"note", b"op_index", b"0 1 2 3 4 0", b" (s)", b"\xed\xa0\x80", b"np.int8(3)", b"\x1c\x85"]


def test_any_bytes_end_in_an_answer_or_one_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path, answers = tmp_path / "file.csv", 0
    texts = [form(text) for form in FORMS.values() for text in (LONG, WIDE, QUALITY)]
    for number in range(400):
        damaged = bytearray(texts[number % len(texts)])
        for _ in range(rng.integers(1, 5)):
            place = rng.integers(len(damaged))
            damaged[place : place + rng.integers(3)] = PARTS[rng.integers(len(PARTS))]
        path.write_bytes(damaged)
        for read in (_costs, _qualities):
            try:
                read(path)
            except HWNASError:
                continue
            answers += 1
    assert answers > 10
