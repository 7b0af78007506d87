"""``hwnas evaluate`` for a new device: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import hwnas_surrogate.evaluation
from hwnas_surrogate.data import CostTable, write_parquet
from hwnas_surrogate.evaluation import Evaluation, few_shot_table, transfer_protocols
from hwnas_surrogate.evaluation.peers import HELP, NASFLAT
from hwnas_surrogate.spaces import get_space
from tests.cli.conftest import Run

# pandas 3.1 warns; tests/evaluation/test_transfer_protocols.py has the test that says so.

N = 60
TARGETS = HELP["nasbench201"].targets
HELPS = (*HELP["nasbench201"].sources[:2], *TARGETS)
NASFLATS = ("essential_ph_1", "pixel3", "titanxp_1")
RUNNERS = {"help": "help2021", "nasflat": "nasflat2024", "devices": "leave_one_device_out"}


def planted(space: str, devices: tuple[str, ...], seed: int = 0) -> CostTable:
    found, rng = get_space(space), np.random.default_rng(seed)
    archs = found.sample(N, seed)
    batch = found.batch(archs)
    sizes = np.column_stack([np.ones(N), batch.macs / batch.macs.mean(), batch.params / batch.params.mean()])
    return CostTable(
        found, archs, sizes @ rng.uniform(0.2, 2, (3, len(devices))), [f"{name}/latency" for name in devices]
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parquet(planted("nasbench201", HELPS), tmp_path_factory.mktemp("few") / "table.parquet")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shrink the protocols to tables of 60 rows, two sources and a task."""
    task = replace(HELP["nasbench201"], sources=HELPS[:2], pool=range(18), query=range(20, 60))
    monkeypatch.setattr(transfer_protocols, "HELP", {"nasbench201": task})
    task = replace(NASFLAT["F2"], sources=NASFLATS[:2], targets=NASFLATS[2:])
    monkeypatch.setattr(transfer_protocols, "NASFLAT", {"F2": task})
    monkeypatch.setattr(transfer_protocols, "SOURCE_ROWS", 18)
    for name, options in (("leave_one_device_out", {"n_source": 18, "sizes": (6,)}), ("help2021", {"sizes": (6, 10)})):
        monkeypatch.setattr(hwnas_surrogate.evaluation, name, partial(getattr(transfer_protocols, name), **options))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, CostTable, list[int]]]:
    """Put made-up evaluations in the place of the protocols; return what they are asked for."""
    calls: list[tuple[str, CostTable, list[int]]] = []

    def stub(
        protocol: str, table: CostTable, *, seeds: range, progress: Callable[[int, int], None], journal: Path
    ) -> Evaluation:
        calls.append((protocol, table, list(seeds)))
        progress(1, 1)
        return made_up(protocol, table.space.name)

    for protocol, name in RUNNERS.items():
        monkeypatch.setattr(hwnas_surrogate.evaluation, name, partial(stub, protocol))
    return calls


def made_up(protocol: str, space: str) -> Evaluation:
    same = {"metric": "latency", "unit": "ms", "seed": 0, "n": 50}
    rows: list[dict[str, Any]] = [
        {"model": "all", "device": device, "n_train": 10, "spearman_rho": 0.123456, **same} for device in TARGETS
    ]
    rows.append({"model": "some", "device": "fpga", "n_train": 20, "spearman_rho": 0.5, **same})
    if protocol == "nasflat":
        rows = [{**row, "task": "F1" if row["model"] == "all" else "F2"} for row in rows]
    about = {"protocol": protocol, "space": space, "table_fingerprint": "0"}
    return Evaluation(pd.DataFrame(rows), pd.DataFrame(), about)


# -- each protocol ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small")
def test_help_prints_json_and_writes_the_scores(run: Run, path: Path) -> None:
    out, err = run("evaluate", "--protocol", "help", "--data", path, "--seeds", 1, "--json")
    records = json.loads(out)
    assert "scores are in evaluations/nasbench201-help.json" in err
    evaluation = Evaluation.read("evaluations/nasbench201-help.json")
    assert evaluation.predictions.empty
    assert evaluation.about["protocol"] == "help"
    assert [list(record) for record in records] == [["setting", "measurements", *TARGETS, "mean"]] * 16
    settings = [f"{who}, {how}, full" for who in ("2 sources", "no source") for how in ("random", "suggested")]
    settings.append("2 sources, random, trimmed")
    ours = [(record["setting"], record["measurements"]) for record in records[:10]]
    assert ours == [(setting, n) for n in (6, 10) for setting in settings]
    assert [record["setting"] for record in records[10:]] == [
        *("published: FLOPs, trimmed", "published: BRP-NAS, trimmed", "published: BRP-NAS, trimmed"),
        *("published: HELP, trimmed", "published: HELP re-run, full", "published: HELP re-run, full"),
    ]
    assert [record["measurements"] for record in records[10:]] == [0, 900, 3200, 20, 20, 10]
    assert records[13]["mean"] == pytest.approx(0.932, abs=5e-4)
    frame = pd.DataFrame(records)
    pd.testing.assert_frame_equal(frame, few_shot_table(evaluation), rtol=1e-8)


@pytest.mark.usefixtures("small")
def test_nasflat_prints_csv_of_a_file_of_plain_arrays(run: Run) -> None:
    table = planted("fbnet", NASFLATS)
    np.savez("fbnet.npz", op_index=table.archs, **dict(zip(NASFLATS, table.costs.T, strict=True)))
    arguments = ("evaluate", "--protocol", "nasflat", "--data", "fbnet.npz", "--space", "fbnet", "--csv")
    out, err = run(*arguments, "--seeds", 2, "--seed", 5, "-o", "here")
    assert "scores are in here/fbnet-nasflat.json" in err
    assert not Path("evaluations").exists()
    evaluation = Evaluation.read("here/fbnet-nasflat.json")
    assert sorted(set(evaluation.scores["seed"])) == [5, 6]
    assert set(evaluation.scores["task"]) == {"F2"}
    assert set(evaluation.scores["device"]) == {"titanxp_1"}
    frame = pd.read_csv(io.StringIO(out))
    assert frame["setting"].tolist()[:3] == ["with the sources", "no source", "published: HELP"]
    assert frame["F2"].tolist()[2:] == [0.543, 0.567, 0.871, 0.871]
    assert frame["measurements"].tolist() == [20] * 6
    pd.testing.assert_frame_equal(frame, few_shot_table(evaluation), rtol=1e-8)


@pytest.mark.usefixtures("small")
def test_devices_of_chosen_targets_are_each_others_sources(run: Run, path: Path) -> None:
    chosen = ("--target", "pixel2", "--target", "fpga/latency")
    out, err = run("evaluate", "--protocol", "devices", "--data", path, *chosen, "--seeds", 1)
    assert "scores are in evaluations/nasbench201-devices.json" in err
    assert "Spearman's rho on each device, all others being its sources" in out
    evaluation = Evaluation.read("evaluations/nasbench201-devices.json")
    assert list(dict.fromkeys(evaluation.scores["device"])) == ["pixel2", "fpga"]
    frame = few_shot_table(evaluation)
    for name in ("device", "the others, n=0", "no source, suggested, n=6", "pixel2", "fpga", "mean"):
        assert name in out
    assert f"{frame['no source, n=6'].iloc[0]:.4f}" in out


# -- options ----------------------------------------------------------------------------------------------


def test_there_are_ten_draws_unless_asked(run: Run, path: Path, asked: list[Any]) -> None:
    for protocol in RUNNERS:
        run("evaluate", "--protocol", protocol, "--data", path)
        run("evaluate", "--protocol", protocol, "--data", path, "--seeds", 3, "--seed", 7)
    assert [(protocol, seeds) for protocol, _, seeds in asked] == [
        (protocol, seeds) for protocol in RUNNERS for seeds in ([*range(10)], [7, 8, 9])
    ]
    assert {tuple(target.device for target in table.targets) for _, table, _ in asked} == {HELPS}


def test_what_a_protocol_was_not_run_on_is_empty_null_or_absent(run: Run, path: Path, asked: list[Any]) -> None:
    arguments = ("evaluate", "--protocol", "devices", "--data", path)
    out, _ = run(*arguments)
    assert "0.1235" in out
    assert "nan" not in out
    records = json.loads(run(*arguments, "--json")[0])
    assert [record["some, n=20"] for record in records] == [None] * 5 + [0.5, 0.5]
    assert records[-1]["all, n=10"] == pytest.approx(0.123456)
    frame = pd.read_csv(io.StringIO(run(*arguments, "--csv")[0]))
    assert frame["some, n=20"].isna().sum() == 5
    assert len(asked) == 3


@pytest.mark.parametrize("protocol", list(RUNNERS))
@pytest.mark.parametrize(
    "option", [("--model", "ridge"), ("--encoder", "counts"), ("--n-train", 20), ("--n-test", 20), ("--sizes", "10,20")]
)
def test_options_that_the_protocol_sets_are_refused(
    run: Run, path: Path, asked: list[Any], protocol: str, option: tuple[str, object]
) -> None:
    out, err = run("evaluate", "--protocol", protocol, "--data", path, *option, code=2)
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert option[0] in err
    assert not asked
    assert not Path("evaluations").exists()


@pytest.mark.parametrize("protocol", list(RUNNERS))
def test_one_format_at_a_time(run: Run, path: Path, asked: list[Any], protocol: str) -> None:
    _, err = run("evaluate", "--protocol", protocol, "--data", path, "--json", "--csv", code=2)
    assert "exclude each other" in err
    assert not asked


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["help"], "needs 1900 architectures"),
        (["help", "--target", "raspi4"], "needs the latency of 1080ti_1, "),
        (["nasflat"], "needs the latency of 1080ti_256, "),
        (["devices"], "needs more than 800 architectures"),
        (["devices", "--target", "fpga"], "takes two or more, the table has 1"),
        (["device"], "device"),
    ],
)
def test_tables_that_the_protocol_is_not_over_get_one_clear_line(
    run: Run, tmp_path: Path, arguments: list[str], part: str
) -> None:
    devices = (*HELP["nasbench201"].sources, *TARGETS)
    if arguments == ["nasflat"]:
        devices = tuple(device for device in devices if device != "1080ti_256" and device != "fpga")
    write_parquet(planted("nasbench201", devices), tmp_path / "table.parquet")
    out, err = run("evaluate", "--data", "table.parquet", "--protocol", *arguments, code=2)
    assert out == ""
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert part in err
    assert not Path("evaluations").exists()


def test_protocols_are_named_in_the_help(run: Run) -> None:
    out, _ = run("evaluate", "--help")
    for name in RUNNERS:
        assert name in out


# -- what is reached on real costs ------------------------------------------------------------------------


@pytest.fixture
def claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit to ten architectures beyond the trimmed pool and twenty in it, with sources: of others nothing is claimed."""
    fit_and_predict, pool = transfer_protocols._Space.predict, HELP["nasbench201"].pool

    def predict(self: Any, device: str, rows: Any, sources: Any) -> Any:
        if not len(sources) or (len(rows) == 20) == (rows.max() >= pool.stop):
            return self.costs(device)
        return fit_and_predict(self, device, rows, sources)

    monkeypatch.setattr(transfer_protocols._Space, "predict", predict)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.usefixtures("claimed")
def test_ten_measurements_rank_helps_devices(run: Run, shared_data: Path) -> None:
    data = shared_data / "nasbench201_latency.npz"
    records = json.loads(run("evaluate", "--protocol", "help", "--data", data, "--seeds", 1, "--json")[0])
    means = {(record["setting"], record["measurements"]): record["mean"] for record in records}
    assert means["9 sources, suggested, full", 10] > 0.95
    assert means["9 sources, suggested, full", 10] > means["published: HELP re-run, full", 20]
    assert means["9 sources, random, trimmed", 20] > means["published: HELP, trimmed", 20]
    scores = Evaluation.read("evaluations/nasbench201-help.json").scores
    full = scores["model"].str.endswith("full")
    assert (scores.loc[full, "n"] == 15625 - scores.loc[full, "n_train"]).all()
    assert (scores.loc[~full, "n"] == 800).all()
