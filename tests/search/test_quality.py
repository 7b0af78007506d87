"""What architectures are worth, read from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwnas_surrogate.errors import DataFileError
from hwnas_surrogate.search import read_quality
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
