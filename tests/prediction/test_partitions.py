"""Partitions: each whole or not at all, resumed, in several processes, and one clear error for a wrong one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.errors import DataFileError, InvalidArchitectureError, InvalidInputError
from hwnas_surrogate.prediction import partitions, predict_file, predict_partitions
from hwnas_surrogate.trainers import SurrogateSuite
from tests.trainers.conftest import SPACE, planted_costs


@pytest.fixture(scope="module")
def suite() -> SurrogateSuite:
    archs = SPACE.sample(150, 3)
    return SurrogateSuite(model="ridge").fit(archs, {"phone/latency": planted_costs(archs)})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of four partitions of 30 architectures."""
    archs = SPACE.sample(120, 5)
    (tmp_path / "in").mkdir()
    for part in range(4):
        texts = SPACE.format_all(archs[30 * part : 30 * part + 30])
        pd.DataFrame({"architecture": texts, "note": part}).to_parquet(tmp_path / "in" / f"part-{part}.parquet")
    return tmp_path


def written(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in sorted((folder / "out").iterdir())}


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_partitions_are_predicted_as_files_are(suite: SurrogateSuite, folder: Path, n_jobs: int) -> None:
    steps: list[tuple[int, int]] = []
    n = predict_partitions(
        suite, f"{folder}/in/part-*.parquet", folder / "out", coverage=0.8, n_jobs=n_jobs,
        progress=lambda *step: steps.append(step),
    )  # fmt: skip
    assert n == 120
    assert steps == [(done, 4) for done in range(5)]
    assert list(written(folder)) == [f"part-{part}.parquet" for part in range(4)]
    for part in range(4):
        predict_file(suite, folder / f"in/part-{part}.parquet", folder / "one.parquet", coverage=0.8)
        pd.testing.assert_frame_equal(
            pd.read_parquet(folder / f"out/part-{part}.parquet"), pd.read_parquet(folder / "one.parquet"),
            check_exact=True,
        )  # fmt: skip


def test_finished_partitions_are_not_predicted_again(suite: SurrogateSuite, folder: Path) -> None:
    sources = sorted((folder / "in").iterdir())
    predict_partitions(suite, sources[:2], folder / "out")
    before = written(folder)
    assert predict_partitions(suite, sources, folder / "out") == 120
    after = written(folder)
    assert {name: after[name] for name in before} == before
    (folder / "out/part-1.parquet").unlink()
    frame = pd.read_parquet(sources[2])
    frame.iloc[:7].to_parquet(sources[2])
    assert predict_partitions(suite, sources, folder / "out") == 97
    again = written(folder)
    assert [name for name in after if again[name] == after[name]] == ["part-0.parquet", "part-3.parquet"]
    predict_partitions(suite, sources, folder / "out", coverage=0.9)  # other columns are asked for
    assert all("low" in pd.read_parquet(path).columns[-2] for path in (folder / "out").iterdir())


def test_partitions_of_other_surrogates_are_predicted_again(suite: SurrogateSuite, folder: Path) -> None:
    predict_partitions(suite, f"{folder}/in/*", folder / "out")
    archs = SPACE.sample(150, 4)
    other = SurrogateSuite(model="ridge").fit(archs, {"phone/latency": 2 * planted_costs(archs)})
    predict_partitions(other, f"{folder}/in/*", folder / "out")
    found = pd.read_parquet(folder / "out/part-0.parquet")
    np.testing.assert_allclose(found.iloc[:, -1], other["phone/latency"].predict(found["architecture"].tolist()))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_partition_with_other_columns_is_found_before_the_work(
    suite: SurrogateSuite, folder: Path, n_jobs: int
) -> None:
    pd.DataFrame({"architecture": ["0"], "config": ["cifar10"]}).to_parquet(folder / "in/part-3.parquet")
    with pytest.raises(
        DataFileError,
        match=r"part-3.parquet has the columns architecture, config, and part-0.parquet has architecture, ",
    ):
        predict_partitions(suite, f"{folder}/in/*", folder / "out", n_jobs=n_jobs)
    assert not (folder / "out").exists()


def test_a_half_written_partition_is_found_before_the_work(suite: SurrogateSuite, folder: Path) -> None:
    path = folder / "in/part-2.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataFileError, match=r"part-2.parquet can't be read: .* Was it written to the end\?"):
        predict_partitions(suite, f"{folder}/in/*", folder / "out")
    assert not (folder / "out").exists()


def test_finished_partitions_are_kept_when_one_fails(suite: SurrogateSuite, folder: Path) -> None:
    pd.DataFrame({"architecture": ["|wrong|"], "note": 0}).to_parquet(folder / "in/part-2.parquet")
    with pytest.raises(InvalidArchitectureError, match=r"part-2.parquet: architecture 0 of the stream: "):
        predict_partitions(suite, f"{folder}/in/*", folder / "out")
    before = written(folder)
    assert list(before) == ["part-0.parquet", "part-1.parquet"]
    (folder / "in/part-2.parquet").unlink()
    assert predict_partitions(suite, f"{folder}/in/*", folder / "out") == 90
    assert {name: found for name, found in written(folder).items() if name in before} == before


def test_a_half_written_output_is_replaced(suite: SurrogateSuite, folder: Path) -> None:
    predict_partitions(suite, f"{folder}/in/*", folder / "out")
    path = folder / "out/part-2.parquet"
    whole = pd.read_parquet(path)
    path.write_bytes(path.read_bytes()[:-40])
    predict_partitions(suite, f"{folder}/in/*", folder / "out")
    pd.testing.assert_frame_equal(pd.read_parquet(path), whole)


def test_a_worker_without_the_data_is_one_clear_error(suite: SurrogateSuite, folder: Path) -> None:
    with pytest.raises(DataFileError, match=r"there is no file .*gone.parquet on \S+: workers read the partitions"):
        partitions._predict(
            suite, None, None, partitions.Wanted(None, None, False, None), str(folder / "gone.parquet"), "x", ""
        )


def test_text_and_csv_partitions_make_parquet_files(suite: SurrogateSuite, folder: Path) -> None:
    texts = SPACE.format_all(SPACE.sample(5, 0))
    (folder / "a.txt").write_text("\n".join(texts))
    pd.DataFrame({"architecture": texts}).to_csv(folder / "b.csv", index=False)
    assert predict_partitions(suite, [folder / "a.txt"], folder / "out") == 5
    assert predict_partitions(suite, [folder / "b.csv"], folder / "out") == 5
    pd.testing.assert_frame_equal(*(pd.read_parquet(folder / f"out/{name}.parquet") for name in "ab"))


@pytest.mark.parametrize(
    ("sources", "error", "message"),
    [
        ("in/nothing-*.parquet", DataFileError, "no file matches"),
        ("in/part-9.parquet", DataFileError, "there is no file"),
        ([], InvalidInputError, "there is no partition"),
        (["in/part-0.parquet", "in/part-0.parquet"], InvalidInputError, "would both be predicted into part-0.parquet"),
        (["pyproject.toml"], InvalidInputError, "the file must end in .parquet, .csv, .txt"),
    ],
)
def test_wrong_sources_are_refused(
    suite: SurrogateSuite, folder: Path, sources: str | list[str], error: type[Exception], message: str
) -> None:
    given = f"{folder}/{sources}" if isinstance(sources, str) else [folder / name for name in sources]
    with pytest.raises(error, match=message):
        predict_partitions(suite, given, folder / "out")


def test_the_folder_of_the_sources_is_not_the_output(suite: SurrogateSuite, folder: Path) -> None:
    with pytest.raises(InvalidInputError, match="is the input as well"):
        predict_partitions(suite, f"{folder}/in/*", folder / "in")
