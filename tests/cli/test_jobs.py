"""``--jobs`` and ``--cluster``, commands that resume, several files and ranges."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config

from hwnas_surrogate.cli import train
from hwnas_surrogate.data import CostTable, write_parquet
from hwnas_surrogate.evaluation import holdout
from hwnas_surrogate.files import locked
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite, Tuned, suite
from tests.cli.conftest import Run

FBNET = get_space("fbnet")
EVALUATE = ("evaluate", "--data", "costs.parquet", "--model", "ridge", "--n-train", 40, "--n-test", 20, "--seeds", 2)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a table, surrogates and partitions."""
    folder = tmp_path_factory.mktemp("jobs")
    archs = FBNET.sample(90, 0)
    costs = np.column_stack([FBNET.batch(archs).macs / 1e6, 1e4 / (1 + archs.sum(axis=1))])
    table = CostTable(FBNET, archs, costs, ["phone/latency", "tpu/latency"])
    write_parquet(table, folder / "costs.parquet")
    SurrogateSuite("fbnet", model="ridge", random_state=0).fit_table(table).save(folder / "surrogates")
    (folder / "in").mkdir()
    for part in range(3):
        texts = FBNET.format_all(archs[10 * part : 10 * part + 10])
        pd.DataFrame({"architecture": texts}).to_parquet(folder / "in" / f"part-{part}.parquet")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """Return the current folder, with a copy of it."""
    return Path(shutil.copytree(made, tmp_path, dirs_exist_ok=True))


def evaluation(path: Path) -> Any:
    found = json.loads(path.read_text())
    text = json.dumps(found)
    assert "fit_seconds" in text

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(item) for key, item in value.items() if key != "fit_seconds"}
        return [without(item) for item in value] if isinstance(value, list) else value

    return without(found)


def test_jobs_share_the_fits(run: Run, folder: Path) -> None:
    run(*EVALUATE, "--output", "one")
    run(*EVALUATE, "--output", "two", "--jobs", 2)
    assert evaluation(folder / "one/fbnet-random.json") == evaluation(folder / "two/fbnet-random.json")
    assert [path.name for path in (folder / "two").iterdir()] == ["fbnet-random.json"]


def test_a_killed_evaluation_resumes(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, fit = [], holdout._fit

    def ended(of: Any, *task: Any) -> Any:
        begun.append(task)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return fit(of, *task)

    monkeypatch.setattr(holdout, "_fit", ended)
    _, error = run(*EVALUATE, "--output", "out", code=130)
    assert "Finished fits are kept beside the output, and the same command resumes." in error
    run(*EVALUATE, "--output", "out")
    assert len(begun) == 5  # two, the one that was killed, and two
    assert [path.name for path in (folder / "out").iterdir()] == ["fbnet-random.json"]


TRAIN = ("train", "--data", "costs.parquet", "--model", "ridge", "--n-test", 20)


def test_a_killed_training_resumes(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, scored, fitted = [], train._scored, suite._fitted

    def score(*given: Any) -> Any:
        begun.append(given[-1])
        if len(begun) == 4:
            raise KeyboardInterrupt
        return scored(*given)

    def fit(encoded: Any, surrogate: Any, *given: Any) -> Any:
        begun.append(str(surrogate.target_))
        return fitted(encoded, surrogate, *given)

    monkeypatch.setattr(train, "_scored", score)
    monkeypatch.setattr(suite, "_fitted", fit)
    _, error = run(*TRAIN, "--output", "out", code=130)
    assert "Finished fits, and settings that --tune has tried, are kept in the folder, and the same command" in error
    assert [path.name for path in (folder / "out").iterdir()] == ["unfinished"]
    run(*TRAIN, "--output", "out")
    assert begun == ["phone/latency", "tpu/latency"] * 2 + ["tpu/latency"]
    run(*TRAIN, "--output", "whole")
    assert len(begun) == 9  # nothing is kept of a training that ended
    one, two = (
        {path.name: path.read_bytes() for path in (folder / name).iterdir() if path.name != "manifest.json"}
        for name in ("out", "whole")
    )
    assert one == two
    assert (
        evaluation(folder / "out/manifest.json")["surrogates"]
        == evaluation(folder / "whole/manifest.json")["surrogates"]
    )


def test_a_training_removes_only_what_it_kept(run: Run, folder: Path) -> None:
    mine = folder / "out/unfinished/mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("a folder of the same name")
    run(*TRAIN, "--output", "out")
    assert [path.name for path in mine.parent.iterdir()] == ["mine.txt"]
    assert (folder / "out/manifest.json").is_file()


def test_a_training_that_cannot_keep_its_fits_does_not_begin(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "_fitted", lambda *_: pytest.fail("it began"))
    unfinished = folder / "out/unfinished"
    unfinished.mkdir(parents=True)
    with locked(unfinished):
        _, error = run(*TRAIN, "--output", "out", code=2)
    assert "another process works into out/unfinished: wait for it, or choose another folder" in error
    unfinished.rmdir()
    unfinished.write_text("")
    _, error = run(*TRAIN, "--output", "out", code=2)
    assert "unfinished is a file, and can't be a folder" in error


def test_a_training_that_finishes_nothing_leaves_nothing(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: Any) -> None:
        raise KeyboardInterrupt

    before = sorted(folder.iterdir())
    monkeypatch.setattr(suite, "_fitted", ended)
    run(*TRAIN, "--output", "new/out", code=130)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(("jobs", "seconds"), [(1, 10.0), (2, 15.0), (3, 30.0), (8, 10.0)])
def test_tuning_takes_the_time_in_all(folder: Path, monkeypatch: pytest.MonkeyPatch, jobs: int, seconds: float) -> None:
    """Of three targets: one after another, two at once and then one, all at once, the folds of one at once."""
    table = CostTable(FBNET, FBNET.sample(5, 0), np.ones((5, 3)), [f"{name}/latency" for name in "abc"])
    given = []

    def tuned(*_: Any, seconds: float, **__: Any) -> Tuned:
        given.append(seconds)
        return Tuned(Surrogate("fbnet"), False, 1.0, 1.0, 1, 0, {"model": "default"})

    monkeypatch.setattr("hwnas_surrogate.trainers.tune", tuned)
    monkeypatch.setattr(
        "hwnas_surrogate.jobs.in_parallel", lambda function, tasks, shared: [function(*shared, *task) for task in tasks]
    )
    with parallel_config("loky", n_jobs=jobs):
        train._tune(table, Surrogate("fbnet"), folder, None, 1, 0, 30.0)
    assert given == [seconds] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--jobs", 2, "--cluster", "local:2"), "--jobs and --cluster exclude each other"),
        (("--jobs", 0), "--jobs must be a number of processes of at least 1, or -1 for one a core; got 0."),
        (("--jobs", -2), "or -1 for one a core; got -2."),
        (("--cluster", "here"), "a cluster reads tcp://HOST:PORT"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_wrong_clusters_are_refused(run: Run, options: tuple[object, ...], message: str) -> None:
    _, error = run(*EVALUATE, *options, code=2)
    assert message in error


def test_a_pattern_predicts_several_files(run: Run, folder: Path) -> None:
    command = ("predict", "--input", "in/part-*.parquet", "-o", "out", "-s", "surrogates")
    _, said = run(*command, "--jobs", 2)
    assert "30 architectures predicted into out" in said
    whole = [pd.read_parquet(path) for path in sorted((folder / "out").iterdir())]
    run("predict", "--input", "in/part-1.parquet", "-o", "one.parquet", "-s", "surrogates")
    pd.testing.assert_frame_equal(whole[1], pd.read_parquet(folder / "one.parquet"), check_exact=True)
    pd.DataFrame({"architecture": ["x"], "config": ["cifar100"]}).to_parquet(folder / "in/part-3.parquet")
    _, said = run(*command, code=1)
    assert "part-3.parquet has the columns architecture, config, and part-0.parquet has architecture" in said
    assert len(list((folder / "out").iterdir())) == 3


def test_a_range_writes_the_best(run: Run, folder: Path) -> None:
    _, said = run("predict", "--range", "10:3010", "--top", 4, "--front", "-o", "best", "-s", "surrogates", "--seed", 3)
    assert "4 of 3,000 architectures: best/phone-latency.csv" in said
    found = {path.stem: pd.read_csv(path) for path in (folder / "best").iterdir()}
    assert set(found) == {"phone-latency", "tpu-latency", "front"}
    archs = FBNET.draw(10, 3010, 3)
    expected = SurrogateSuite.load(folder / "surrogates").predict(archs).to_numpy()
    best = found["phone-latency"]
    np.testing.assert_array_equal(best["number"] - 10, np.argsort(expected[:, 0], kind="stable")[:4])
    assert best["architecture"].tolist() == FBNET.format_all(archs[best["number"] - 10])
    np.testing.assert_allclose(best["phone/latency (ms)"], np.sort(expected[:, 0])[:4], rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--range", "0:10"), "--range and --output"),
        (("--range", "0:10", "-o", "out"), "give --top N, --front, or both"),
        (("--range", "0-10", "-o", "out", "--top", 1), "--range reads FIRST:END, 0:1000000 say, got '0-10'"),
        (("--range", "9:3", "-o", "out", "--top", 1), "to a larger one, got 9:3"),
        (("--range", "0:10", "-o", "out", "--top", 1, "--interval", 90), "do not go with --range"),
        (("--range", "0:10", "-o", "out", "--top", 1, "--sample", 3), "replace architectures and --sample"),
        (("--range", "0:10", "-o", "out", "--top", 1, "--input", "in/*"), "give one of them"),
        (("--input", "in/*", "-o", "out", "--front"), "--top and --front select among"),
        (("--sample", 3, "--top", 2), "--top and --front select among"),
    ],
)
def test_wrong_ranges_are_refused(run: Run, folder: Path, options: tuple[object, ...], message: str) -> None:
    _, error = run("predict", "-s", "surrogates", *options, code=2)
    assert message in error
    assert not (folder / "out").exists()
