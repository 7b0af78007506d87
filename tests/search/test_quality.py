"""What networks are worth, read from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.errors import DataFileError, InvalidInputError
from hwnas_surrogate.search import read_quality
from hwnas_surrogate.search.quality import quality_by_row
from tests.graph_tables import zoo_table
from tests.tables import SPACE


def test_qualities_are_read_in_every_form_of_architecture(tmp_path: Path) -> None:
    file = tmp_path / "quality.csv"
    text = SPACE.format_all([5])[0]
    file.write_text(f'accuracy,architecture\n93.5,{text}\n-0.5,17\n,"0,1,2,3,4,0"\n\n', encoding="utf-8")
    archs, values = read_quality(file)
    assert archs.dtype == np.int8
    assert archs.tolist() == [SPACE.at([5])[0].tolist(), SPACE.at([17])[0].tolist(), [0, 1, 2, 3, 4, 0]]
    np.testing.assert_array_equal(values, [93.5, -0.5, np.nan])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "got nothing"),
        ("architecture\n1\n", "a column 'architecture' and one of numbers"),
        ("architecture,a,b\n1,2,3\n", "got architecture, a, b"),
        ("arch,accuracy\n1,2\n", "a column 'architecture'"),
        ("architecture,accuracy,accuracy\n1,2,3\n", "occurs 2 times"),
        ("architecture,accuracy\n", "holds no architecture"),
        (
            "architecture,accuracy\n1,2\n99999,3\n1,4\n2,x\n3,inf\n",
            r"(?s)4 wrong lines.*line 3: .*0..15624.*line 4: .*line 2 too.*line 5: .*'x'.*line 6",
        ),
        ("architecture,accuracy\n1,2,3\n", "3 fields where the header has 2"),
        ("architecture,accuracy\n1,9_3.1\n", "line 2: accuracy must be a number, or empty, got '9_3.1'"),
        ("architecture,accuracy\n1,\u0661\u0662\n", "line 2: accuracy must be a number, or empty, got '\u0661\u0662'"),
    ],
)
def test_wrong_files_of_qualities_are_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(content, encoding="utf-8")
    with pytest.raises(DataFileError, match=message):
        read_quality(tmp_path / "q.csv", "nasbench201")


def test_absent_and_unreadable_files_of_qualities_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="there is no file"):
        read_quality(tmp_path / "absent.csv")
    with pytest.raises(DataFileError, match="is a folder"):
        read_quality(tmp_path)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00,\x81")
    with pytest.raises(DataFileError, match="begins with the mark of UTF-16, but is not UTF-16 from about line 1"):
        read_quality(tmp_path / "binary.csv")


GRAPHS = zoo_table(1)


def test_graphs_have_a_quality_by_name() -> None:
    names = GRAPHS.names
    by_name = pd.Series([1.0, np.nan, 3.0, 9.0], index=[names[2], names[1], names[0], "not measured"], name="acc")
    found = quality_by_row(GRAPHS, by_name)
    assert found.name == "acc"
    assert np.array_equal(found[:3], [3.0, np.nan, 1.0], equal_nan=True)
    assert found[3:].isna().all()


def test_files_name_graphs_in_the_column_model(tmp_path: Path) -> None:
    path = tmp_path / "accuracy.csv"
    path.write_text(f"Model;top1\nnets\\{GRAPHS.names[1]}.onnx;70,5\n{GRAPHS.names[0]};\n", encoding="utf-8")
    found = quality_by_row(GRAPHS, path)
    assert found.name == "top1"
    assert np.array_equal(found[:2], [np.nan, 70.5], equal_nan=True)
    names, values = read_quality(path, None)
    assert names == [f"nets\\{GRAPHS.names[1]}.onnx", GRAPHS.names[0]]
    assert np.array_equal(values, [70.5, np.nan], equal_nan=True)


@pytest.mark.parametrize(
    ("lines", "error", "why"),
    [
        ("architecture,accuracy\n0,1\n", DataFileError, "must have a column 'model' and one of numbers"),
        ("model,accuracy\n", DataFileError, "holds no model"),
        ("model,accuracy\nx,1\nx,2\n", DataFileError, "line 3: the network 'x' stands in line 2 too"),
        ('model,accuracy\n"",1\n', DataFileError, "line 2: no model"),
        ("model,accuracy\nx,1\n", InvalidInputError, "unknown network in accuracy, 'x'"),
        ("model,accuracy\nplain-8-1-16,1\nplain-8-1-16.onnx,2\n", InvalidInputError, "'plain-8-1-16' twice"),
    ],
)
def test_wrong_files_of_graphs_are_refused(tmp_path: Path, lines: str, error: type[Exception], why: str) -> None:
    path = tmp_path / "accuracy.csv"
    path.write_text(lines, encoding="utf-8")
    with pytest.raises(error, match=why):
        quality_by_row(GRAPHS, path, "accuracy")


def test_wrong_series_of_graphs_are_refused() -> None:
    name = GRAPHS.names[0]
    for series, why in [
        (pd.Series([1.0], index=[0]), "a Series by their names, got 0"),
        (pd.Series([1.0, 2.0], index=[name, name]), "holds the network 'plain-8-1-16' twice"),
        (pd.Series([np.inf], index=[name]), "must be finite"),
        ([1.0], "must be a Series by name or the path of a CSV file, got list"),
    ]:
        with pytest.raises(InvalidInputError, match=why):
            quality_by_row(GRAPHS, series)  # type: ignore[arg-type]
