"""``hwnas suggest`` and ``hwnas adapt``: a new device from a form of ten lines."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hwnas_surrogate.data import CostTable, load_table, write_parquet
from hwnas_surrogate.search import suggest
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite, TransferSurrogate
from tests.cli.conftest import Run

SPACE = get_space("nasbench201")
CIFAR10, CIFAR100 = (str(SPACE.config(name)) for name in ("cifar10", "cifar100"))
HEADER = ["architecture", "config", "device", "metric", "value", "unit", "note"]


@pytest.fixture(scope="module")
def known() -> CostTable:
    """The bundled latencies of one device: what measuring would say."""
    table = load_table(space="nasbench201")
    assert isinstance(table, CostTable)
    return table.select("epyc-torch-1t/latency")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of surrogates of other devices."""
    table = load_table(space="nasbench201")
    assert isinstance(table, CostTable)
    other = table.select("epyc-openvino-1t/latency")
    measured = other.rows(np.flatnonzero(~np.isnan(other.costs[:, 0]))[:60])
    return SurrogateSuite(model="ridge").fit_table(measured).save(tmp_path_factory.mktemp("source") / "saved")


def lines_of(path: str | Path) -> list[dict[str, str]]:
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write(path: str | Path, lines: list[dict[str, str]]) -> Path:
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return Path(path)


def measured(path: str | Path, known: CostTable, device: str = "my-board") -> list[dict[str, str]]:
    """Fill the open lines of a form in."""
    lines = lines_of(path)
    costs = known.lookup([line["architecture"] for line in lines]).to_numpy()[:, 0]
    for line, cost in zip(lines, costs.tolist(), strict=True):
        line.update(device=device, value=line["value"] or repr(2 * cost))
    return lines


def samples(known: CostTable, n: int, path: str = "samples.csv") -> Path:
    """Write n measurements of a new device."""
    archs = suggest(SPACE, n).archs
    costs = known.lookup(archs).to_numpy()[:, 0]
    lines = [
        dict(zip(HEADER, (name, CIFAR10, "my-board", "latency", repr(2 * cost), "ms", ""), strict=True))
        for name, cost in zip(SPACE.format_all(archs), costs.tolist(), strict=True)
    ]
    return write(path, lines)


def test_suggest_fill_in_adapt_predict(run: Run, known: CostTable) -> None:
    out, err = run("suggest", "-n", 10)
    assert "cifar10" in out
    assert "fill in device, value and unit in samples.csv, then: hwnas adapt samples.csv" in err
    lines = lines_of("samples.csv")
    assert list(lines[0]) == HEADER
    assert [line["architecture"] for line in lines] == SPACE.format_all(suggest(SPACE, 10).archs)
    assert {tuple(line.values())[1:] for line in lines} == {(CIFAR10, "", "latency", "", "ms", "")}
    write("samples.csv", measured("samples.csv", known))
    out, err = run("adapt", "samples.csv")
    assert "my-board/latency" in out
    assert "hwnas predict --sample 5 -s surrogates/samples" in err
    suite = SurrogateSuite.load("surrogates/samples")
    frame = pd.read_csv(io.StringIO(run("predict", 0, 1, 2, "-s", "surrogates/samples", "--csv")[0]))
    assert list(frame.columns) == ["architecture", "connected", "my-board/latency (ms)"]
    np.testing.assert_array_equal(frame.iloc[:, 2:], suite.predict([0, 1, 2]))
    rest = np.arange(0, len(known), 50)
    assert suite["my-board"].score(known.archs[rest], known.costs[rest, 0]) > 0.9


def test_suggest_measure_on_a_board_adapt(run: Run) -> None:
    pytest.importorskip("onnx", reason="needs the extra onnxruntime")
    pytest.importorskip("onnxruntime", reason="needs the extra onnxruntime")
    _, err = run("suggest", "-n", 5, "--dataset", "C4-N1-k10-3x8x8", "--export", "suggested")
    assert "copy suggested to the board and run there: python run.py --device NAME" in err
    command = [sys.executable, "-I", "suggested/run.py", "--device", "my-board", "--passes", "1", "--repeats", "5"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    out, _ = run("adapt", "suggested/results.csv")
    assert "my-board/latency" in out


def test_suggestions_as_json_and_csv(run: Run) -> None:
    records = json.loads(run("suggest", "-n", 4, "--json", "-o", "a/form.csv")[0])
    archs = SPACE.format_all(suggest(SPACE, 4).archs)
    assert records == [
        {"number": number, "architecture": arch, "connected": bool(SPACE.connected(arch)[0]), "config": CIFAR10}
        for number, arch in enumerate(archs, start=1)
    ]
    assert [line["architecture"] for line in lines_of("a/form.csv")] == archs
    frame = pd.read_csv(io.StringIO(run("suggest", "-n", 4, "--csv")[0]))
    assert frame.to_dict(orient="records") == records


def test_seed_space_and_dataset_are_heard(run: Run) -> None:
    first, second, again = (
        run("suggest", "-n", 5, "--seed", seed, "--csv", "-o", f"{number}.csv")[0]
        for number, seed in enumerate([1, 2, 1])
    )
    assert first == again != second
    run("suggest", "-n", 3, "--dataset", "cifar100", "-o", "other.csv")
    assert {line["config"] for line in lines_of("other.csv")} == {CIFAR100}
    fbnet = get_space("fbnet")
    run("suggest", "-n", 3, "--space", "fbnet", "-o", "fbnet.csv")
    assert [line["architecture"] for line in lines_of("fbnet.csv")] == fbnet.format_all(suggest(fbnet, 3).archs)


def test_sources_change_what_is_suggested_and_help_to_adapt(run: Run, known: CostTable, source: Path) -> None:
    alone = run("suggest", "-n", 12, "--csv", "-o", "alone.csv")[0]
    informed = run("suggest", "-n", 12, "--csv", "-o", "informed.csv", "--sources", source)[0]
    assert alone != informed
    samples(known, 10)
    (record,) = json.loads(run("adapt", "samples.csv", "--sources", source, "-o", "saved", "--json")[0])
    assert record.keys() == {
        "device", "metric", "unit", "n_shots", "mdape", "spearman_rho", "source_weight", "general_weight",
    }  # fmt: skip
    assert (record["device"], record["metric"], record["unit"], record["n_shots"]) == ("my-board", "latency", "ms", 10)
    assert 0 < record["source_weight"] <= 1
    assert record["general_weight"] == 0
    assert record["mdape"] < 0.2
    assert record["spearman_rho"] > 0.8
    out, _ = run("predict", 7, "-s", "saved", "--csv")
    np.testing.assert_array_equal(pd.read_csv(io.StringIO(out)).iloc[:, 2:], SurrogateSuite.load("saved").predict([7]))


def test_adapt_says_what_python_says(run: Run, known: CostTable) -> None:
    table = load_table(samples(known, 9))
    assert isinstance(table, CostTable)
    frame = pd.read_csv(io.StringIO(run("adapt", "samples.csv", "--csv", "--seed", 3)[0]))
    surrogate = TransferSurrogate(random_state=3).fit(table.archs, table.costs[:, 0], table.row_configs)
    assert frame["mdape"][0] == pytest.approx(surrogate.loo_error_)
    assert frame["spearman_rho"][0] == pytest.approx(surrogate.loo_spearman_)
    out, _ = run("adapt", "samples.csv", "--seed", 3)
    assert f"{100 * surrogate.loo_error_:.1f} %" in out


def test_sources_of_the_other_space_and_block_tables(run: Run, known: CostTable) -> None:
    fbnet = load_table(space="fbnet")
    assert isinstance(fbnet, CostTable)
    write_parquet(fbnet.rows(range(60)).select("epyc-torch-1t/latency"), "fbnet.parquet")
    samples(known, 8)
    arguments = ("adapt", "samples.csv", "--sources", "fbnet.parquet", "--sources", "blocks", "-o", "saved")
    _, err = run(*arguments)
    assert "of fbnet.parquet" in err
    assert "of blocks" in err
    (surrogate,) = SurrogateSuite.load("saved").surrogates_.values()
    assert isinstance(surrogate, TransferSurrogate)
    assert len(surrogate.encoder_.get_feature_names_out()) > 0
    assert len(json.loads(run("predict", 7, "-s", "saved", "--json")[0])) == 1


def test_one_of_several_targets(run: Run, known: CostTable) -> None:
    lines = lines_of(samples(known, 8))
    write("samples.csv", lines + [{**line, "metric": "energy", "unit": "J"} for line in lines])
    frame = pd.read_csv(io.StringIO(run("adapt", "samples.csv", "--csv", "-o", "all")[0]))
    assert frame["metric"].tolist() == ["latency", "energy"]
    assert frame["unit"].tolist() == ["ms", "mJ"]
    run("adapt", "samples.csv", "--target", "my-board/energy", "-o", "one")
    assert list(map(str, SurrogateSuite.load("one").targets_)) == ["my-board/energy"]
    assert "my-board/power" in run("adapt", "samples.csv", "--target", "my-board/power", code=1)[1]
    run("suggest", "-n", 2, "--given", "samples.csv")
    added = lines_of("samples-more.csv")[-4:]
    assert [(line["metric"], line["unit"], line["value"]) for line in added] == [
        ("latency", "ms", ""), ("energy", "mJ", ""),
    ] * 2  # fmt: skip


def test_what_was_measured_tells_how_good_and_how_much_better(run: Run, known: CostTable) -> None:
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    table = load_table(samples(known, 9))
    assert isinstance(table, CostTable)
    out, err = run("suggest", "-n", 5, "--given", "samples.csv", "--csv")
    fitted = TransferSurrogate(random_state=0).fit(table.archs, table.costs[:, 0], table.row_configs)
    suggestion = suggest(SPACE, 5, given=table.archs)
    part = 1 - suggestion.uncertainty[-1] / suggestion.uncertainty[0]
    assert (
        f"my-board/latency: left-out error now {100 * fitted.loo_error_:.1f} % (median of 9); with these 5 measured as "
        f"well, the prior expects the uncertainty to shrink by {100 * part:.0f} %"
    ) in err
    assert pd.read_csv(io.StringIO(out))["architecture"].tolist() == SPACE.format_all(suggestion.archs)
    assert Path("samples-more-curve.png").read_bytes().startswith(b"\x89PNG")
    curve = pd.read_csv("samples-more-curve.csv")
    assert list(curve.columns) == ["device", "metric", "unit", "n_shots", "draw", "mdape", "spearman_rho"]
    assert curve["n_shots"].max() < 9


def test_the_form_of_more_measurements_holds_the_former_ones(run: Run, known: CostTable) -> None:
    before = load_table(samples(known, 6))
    run("suggest", "-n", 3, "--given", "samples.csv", "-o", "more.csv")
    lines = lines_of("more.csv")
    assert [bool(line["value"]) for line in lines] == [True] * 6 + [False] * 3
    assert {line["device"] for line in lines} == {"my-board"}
    write("more.csv", measured("more.csv", known))
    after = load_table("more.csv")
    assert isinstance(before, CostTable)
    assert isinstance(after, CostTable)
    assert len(after) == 9
    np.testing.assert_array_equal(after.lookup(before.archs), before.lookup())
    assert "9" in run("adapt", "more.csv")[0]


def test_too_few_measurements_for_a_curve_are_no_failure(run: Run, known: CostTable) -> None:
    samples(known, 4)
    _, err = run("suggest", "-n", 1, "--given", "samples.csv", "-o", "more.csv")
    assert "(median of 4); with this one measured" in err
    assert "it takes 6 measurements, there are 4" in err
    assert not list(Path().glob("*curve*"))
    samples(known, 1)
    _, err = run("suggest", "-n", 2, "--given", "samples.csv", "-o", "third.csv")
    assert "no left-out error yet: my-board/latency: " in err
    assert "at least 2" in err


def test_without_matplotlib_there_is_no_picture_but_its_data(
    run: Run, known: CostTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples(known, 6)
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    _, err = run("suggest", "-n", 2, "--given", "samples.csv")
    assert "no picture: " in err
    assert [path.name for path in Path().glob("*curve*")] == ["samples-more-curve.csv"]


def test_export_writes_the_networks(run: Run, known: CostTable, source: Path) -> None:
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    samples(known, 6)
    arguments = ("suggest", "-n", 2, "--given", "samples.csv", "--sources", source, "--export", "networks")
    _, err = run(*arguments, "--json")
    assert "2 networks written" in err
    assert "lacks the former measurements" in err
    names = {path.name for path in Path("networks").iterdir()}
    assert {"manifest.json", "results.csv", "network-00000.onnx", "network-00001.onnx"} <= names
    assert "results-curve.csv" in names
    manifest = json.loads(Path("networks/manifest.json").read_text())
    lines = lines_of("networks/results.csv")
    assert [entry["architecture"] for entry in manifest["networks"]] == [line["architecture"] for line in lines]
    assert not Path("samples-more.csv").exists()
    write("networks/results.csv", measured("networks/results.csv", known))
    run("adapt", "networks/results.csv", "-o", "saved")
    assert "not an empty folder" in run(*arguments, code=2)[1]
    run("suggest", "-n", 1, "--export", "more", "-o", "form.csv", "--dataset", "C4-N1-k10-3x8x8")
    assert len(lines_of("form.csv")) == len(lines_of("more/results.csv")) == 1


def test_export_without_its_extra_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    _, err = run("suggest", "-n", 1, "--export", "networks", code=1)
    assert "not installed: pip install onnx." in err
    assert not Path("samples.csv").exists()


def test_a_file_that_may_hold_measurements_is_not_overwritten(run: Run, known: CostTable) -> None:
    samples(known, 3)
    before = Path("samples.csv").read_bytes()
    for arguments in (["suggest"], ["suggest", "-o", "samples.csv"], ["suggest", "--given", "x", "-o", "samples.csv"]):
        out, err = run(*arguments, code=2)
        assert out == ""
        assert err.startswith("error: samples.csv is there already and may hold measurements; name another")
    assert "is a folder" in run("suggest", "-o", ".", code=2)[1]
    assert Path("samples.csv").read_bytes() == before
    Path("empty.csv").touch()
    run("suggest", "-n", 1, "-o", "empty.csv")
    assert len(lines_of("empty.csv")) == 1


def test_a_slip_of_the_unit_is_named(run: Run, known: CostTable) -> None:
    lines = lines_of(samples(known, 12))
    wrong = f"{1000 * float(lines[5]['value']):.4g}"
    lines[5]["value"] = wrong
    write("samples.csv", lines)
    for arguments in (["adapt", "samples.csv"], ["suggest", "-n", 2, "--given", "samples.csv"]):
        _, err = run(*arguments)
        (line,) = [line for line in err.splitlines() if "lie far from their predictions" in line]
        assert line.startswith("my-board/latency: 1 of 12 measurements")
        assert f"{float(wrong):.4g} (number 6; " in line


def test_notes_are_told_once(run: Run, known: CostTable) -> None:
    samples(known, 3)
    _, err = run("adapt", "samples.csv")
    assert err.count("3 networks were measured: too few") == 1


def test_a_half_filled_form_names_its_lines(run: Run, known: CostTable) -> None:
    lines = lines_of(samples(known, 8))
    lines[2]["value"] = lines[6]["value"] = ""
    write("samples.csv", lines)
    for arguments in (["adapt", "samples.csv"], ["suggest", "--given", "samples.csv"]):
        out, err = run(*arguments, code=1)
        assert out == ""
        assert "2 wrong lines" in err
        assert "line 4: value must be a number of at least 0, or 'failed', got ''" in err
        assert "line 8: " in err
    assert not Path("surrogates").exists()
    run("suggest", "-n", 3, "-o", "form.csv")
    assert "line 2: no device" in run("adapt", "form.csv", code=1)[1]


def test_measurements_under_several_configs(run: Run, known: CostTable) -> None:
    lines = lines_of(samples(known, 6))
    write("samples.csv", lines + [{**line, "config": CIFAR100} for line in lines])
    assert "2 configs; choose one with --dataset" in run("suggest", "--given", "samples.csv", code=2)[1]
    run("suggest", "-n", 1, "--given", "samples.csv", "--dataset", "cifar100")
    assert {line["config"] for line in lines_of("samples-more.csv")} == {CIFAR100}
    assert "12" in run("adapt", "samples.csv")[0]


def test_a_source_that_cannot_speak_for_the_space(run: Run, known: CostTable) -> None:
    fbnet = load_table(space="fbnet")
    assert isinstance(fbnet, CostTable)
    part = fbnet.rows(range(30))
    peaks = CostTable("fbnet", part.archs, part.costs[:, :1], ["board/peak_memory"])
    SurrogateSuite("fbnet", model="ridge").fit_table(peaks).save("fbnet")
    samples(known, 4)
    assert "can't predict nasbench201" in run("adapt", "samples.csv", "--sources", "fbnet", code=2)[1]
    Surrogate(model="ridge").fit(known.archs[:20], known.costs[:20, 0]).save("single")
    assert "not a SurrogateSuite" in run("adapt", "samples.csv", "--sources", "single", code=1)[1]
    Path("exported").mkdir()
    Path("exported/manifest.json").write_text("{}")
    assert "not the manifest of" in run("suggest", "--sources", "exported", "-o", "form.csv", code=1)[1]


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["adapt"], 2, ["SAMPLES"]),
        (["adapt", "none.csv"], 1, ["there is no file none.csv"]),
        (["adapt", "blocks"], 2, ["FBNet's blocks, each alone", "hwnas suggest"]),
        (["adapt", "samples.csv", "--sources", "nowhere"], 1, ["there is no file nowhere"]),
        (["adapt", "samples.csv", "--space", "fbnet"], 1, ["wrong line"]),
        (["adapt", "samples.csv", "--dataset", "cifar11"], 2, ["cifar11", "Did you mean"]),
        (["adapt", "samples.csv", "--target", "my-bord"], 1, ["Did you mean 'my-board'"]),
        (["adapt", "samples.csv", "--json", "--csv"], 2, ["exclude each other"]),
        (["adapt", "one.csv"], 1, ["my-board/latency", "at least 2", "got 1"]),
        (["adapt", "outside.csv"], 1, ["line 3: ", "0..15624", "99999"]),
        (["adapt", "typo.csv"], 1, ["line 2: ", "nor_conv_3x4", "Did you mean"]),
        (["suggest", "-n", "0"], 2, ["--n"]),
        (["suggest", "-n", "1001"], 2, ["--n"]),
        (["suggest", "--space", "darts"], 2, ["darts", "nasbench201"]),
        (["suggest", "--dataset", "cifar11"], 2, ["cifar11", "Did you mean"]),
        (["suggest", "--given", "none.csv"], 1, ["there is no file none.csv"]),
        (["suggest", "--given", "blocks"], 2, ["FBNet's blocks, each alone"]),
        (["suggest", "--given", "outside.csv"], 1, ["line 3: ", "99999"]),
        (["suggest", "--sources", "nowhere"], 1, ["there is no file nowhere"]),
        (["suggest", "--json", "--csv"], 2, ["exclude each other"]),
    ],
)
def test_bad_questions(run: Run, known: CostTable, arguments: list[str], code: int, parts: list[str]) -> None:
    samples(known, 1, "one.csv")
    lines = lines_of(samples(known, 6))
    write("outside.csv", [lines[0], {**lines[1], "architecture": "99999"}, *lines[2:]])
    write("typo.csv", [{**lines[0], "architecture": lines[0]["architecture"].replace("3x3", "3x4")}, *lines[1:]])
    Path("samples.csv").rename("kept.csv")
    if "samples.csv" in arguments:
        Path("kept.csv").rename("samples.csv")
    out, err = run(*arguments, code=code)
    assert out == ""
    for part in parts:
        assert part in err
    assert not Path("surrogates").exists()


def test_help_names_them(run: Run) -> None:
    for command in ("suggest", "adapt"):
        assert command in run("--help")[0]
        assert "Usage" in run(command, "--help")[0]


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_measurements_are_a_fault_of_the_file(run: Run, known: CostTable, n: int) -> None:
    lines = lines_of(samples(known, 2))[:n]
    with Path("samples.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, HEADER)
        writer.writeheader()
        writer.writerows(lines)
    said = "needs at least 2 measured architectures, got 1" if n else "holds no measurement"
    assert said in run("adapt", "samples.csv", code=1)[1]
    said = "needs at least 2 measured architectures, got 1" if n else "holds no measurement"
    assert said in run("train", "--data", "samples.csv", "-o", "trained", code=1)[1]
    assert not Path("surrogates").exists()


def test_failures_are_kept_when_more_is_suggested(run: Run, known: CostTable) -> None:
    lines = lines_of(samples(known, 8))
    lines[2].update(value="failed", note="no memory")
    lines[5].update(value="", note="no memory")
    write("samples.csv", lines)
    run("suggest", "--given", "samples.csv", "-n", 2)
    more = lines_of("samples-more.csv")
    assert [(line["value"], line["note"]) for line in more if line["note"]] == [("failed", "no memory")] * 2
    assert len(more) == 10
    for line in more[8:]:
        line["value"] = "5"
    write("samples-more.csv", more)
    run("import", "samples-more.csv", "-o", "table.parquet")
    table = load_table("table.parquet")
    assert isinstance(table, CostTable)
    assert table.reasons["no memory"].sum() == 2
    for form in ("samples-more.csv", "table.parquet"):
        run("adapt", form, "-o", "saved")
        out, _ = run("predict", 7, "-s", "saved", "--csv")
        assert "P(my-board/latency has a cost)" in out
