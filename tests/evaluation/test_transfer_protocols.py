"""Protocols for a new device: what they read of it, what they score, and the published figures beside ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from hwnas_surrogate.data import CostTable, Target
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.evaluation import (
    Evaluation,
    few_shot_table,
    help2021,
    leave_one_device_out,
    nasflat2024,
    score,
    transfer_protocols,
)
from hwnas_surrogate.evaluation.peers import HELP, LAUBE, NASFLAT, NasflatTask
from hwnas_surrogate.trainers import TransferSurrogate
from tests.evaluation.planted import TRIO, N, planted, with_costs

# pandas 3.1 warns; test_few_shot_table_warns_of_nothing says so.

POOL, QUERY, SOURCE_ROWS = range(18), range(20, 100), 18
"""Rows of the tables here, and the protocols' row ranges shrunk to fit them; below 20 rows surrogates are fitted in no
time."""
SMALL_HELP = {name: replace(task, pool=POOL, query=QUERY) for name, task in HELP.items()}
SMALL_NASFLAT = {
    "F1": replace(NASFLAT["F1"], sources=("2080ti_1", "essential_ph_1"), targets=("eyeriss", "raspi4")),
    "F2": replace(NASFLAT["F2"], sources=("essential_ph_1", "raspi4"), targets=("2080ti_1", "eyeriss")),
    "N0": NASFLAT["N0"],
}
SETTINGS = [
    "9 sources, random, full",
    "9 sources, suggested, full",
    "no source, random, full",
    "no source, suggested, full",
    "9 sources, random, trimmed",
]


# -- published figures ------------------------------------------------------------------------------------

HELP_SOURCES = "1080ti_1 1080ti_32 1080ti_256 silver_4114 silver_4210r samsung_a50 pixel3 essential_ph_1 samsung_s7"
HELP_FIGURES = """
FLOPs, trimmed, 0        | .950 .826 .765 .846 .437 .900 | .787
BRP-NAS, trimmed, 900    | .814 .796 .666 .847 .811 .801 | .789
BRP-NAS, trimmed, 3200   | .822 .805 .693 .853 .830 .828 | .805
HELP, trimmed, 20        | .987 .989 .802 .890 .940 .985 | .932
HELP re-run, full, 20    | .993 .984 .887 .900 .953 .993 | .952
HELP re-run, full, 10    | .995 .981 .885 .898 .924 .982 | .944
"""
HELP_FBNET_FIGURES = """
HELP re-run, trimmed, 20 | .893 .898 .942 | .911
HELP re-run, full, 20    | .945 .954 .976 | .958
"""
NASFLAT_FIGURES = """
F0 | 1080ti_1 1080ti_32 1080ti_64 silver_4114 silver_4210r samsung_a50 pixel3 essential_ph_1 samsung_s7 | fpga raspi4 eyeriss | .910 .960 .961 .961
F1 | 2080ti_1 essential_ph_1 silver_4114 titan_rtx_1 titan_rtx_32 | eyeriss fpga raspi4 samsung_a50 samsung_s7 | .793 .756 .809 .809
F2 | essential_ph_1 gold_6226 gold_6240 pixel3 raspi4 | 1080ti_1 1080ti_32 2080ti_32 titan_rtx_1 titanxp_1 | .543 .567 .871 .871
F3 | essential_ph_1 pixel2 pixel3 raspi4 samsung_s7 | 1080ti_1 1080ti_32 2080ti_1 titan_rtx_1 titan_rtx_32 | .413 .434 .814 .814
F4 | 1080ti_64 2080ti_1 eyeriss gold_6226 gold_6240 raspi4 samsung_s7 silver_4210r titan_rtx_1 titan_rtx_32 | 1080ti_1 pixel2 essential_ph_1 | .799 .763 .734 .832
F5 | 1080ti_1 1080ti_32 1080ti_64 2080ti_1 2080ti_32 2080ti_64 titan_rtx_1 titan_rtx_32 titan_rtx_64 titanx_1 titanx_32 titanx_64 titanxp_1 titanxp_32 titanxp_64 | gold_6226 essential_ph_1 samsung_s7 pixel2 | .370 .450 .577 .628
"""  # noqa: E501


def lines(text: str) -> Iterator[list[str]]:
    return ([part.strip() for part in line.split("|")] for line in text.strip().splitlines())


def numbers(text: str) -> list[float]:
    return [float(part) for part in text.split()]


@pytest.mark.parametrize(
    ("space", "sources", "targets", "figures", "rows"),
    [
        (
            "nasbench201",
            HELP_SOURCES,
            "titan_rtx_256 gold_6226 pixel2 raspi4 eyeriss fpga",
            HELP_FIGURES,
            (range(900), range(900, 1900)),
        ),
        (
            "fbnet",
            HELP_SOURCES.replace("1080ti_256", "1080ti_64"),
            "fpga raspi4 eyeriss",
            HELP_FBNET_FIGURES,
            (range(4000), range(4000, 5000)),
        ),
    ],
)
def test_help_is_as_published(space: str, sources: str, targets: str, figures: str, rows: tuple[range, range]) -> None:
    task = HELP[space]
    assert task.sources == tuple(sources.split())
    assert task.targets == tuple(targets.split())
    assert (task.pool, task.query) == rows
    assert list(task.published) == [name for name, _, _ in lines(figures)]
    for name, values, mean in lines(figures):
        assert list(task.published[name]) == targets.split()
        assert list(task.published[name].values()) == numbers(values)
        assert np.mean([*task.published[name].values()]) == pytest.approx(float(mean), abs=6e-4)


def test_nasflat_is_as_published() -> None:
    expected = [*lines(NASFLAT_FIGURES)]
    assert list(NASFLAT) == [*(row[0] for row in expected), "N0"]
    for name, sources, targets, figures in expected:
        task = NASFLAT[name]
        assert (task.space, task.sources, task.targets) == ("fbnet", tuple(sources.split()), tuple(targets.split()))
        assert [*task.published.values()] == numbers(figures)
    assert {len(task.published) for task in NASFLAT.values()} == {4}
    assert [len(NASFLAT[f"F{number}"].sources) for number in range(6)] == [9, 5, 5, 5, 10, 15]
    assert list(NASFLAT["F3"].published) == ["HELP", "MultiPredict", "NASFLAT", "NASFLAT, best of any setting"]
    last = NASFLAT["N0"]
    assert (last.space, last.sources, last.targets) == (
        "nasbench201",
        HELP["nasbench201"].sources,
        HELP["nasbench201"].targets,
    )
    assert [*last.published.values()][:3] == [0.948, 0.930, 0.959]


@pytest.mark.parametrize("task", [*HELP.values(), *NASFLAT.values()])
def test_no_target_is_a_source_and_none_stands_twice(task: Any) -> None:
    devices = [*task.sources, *task.targets]
    assert len(set(devices)) == len(devices)
    if isinstance(task, NasflatTask):
        assert all(0 < figure < 1 for figure in task.published.values())


def test_laubes_figures() -> None:
    columns = {
        "published linear, n=124": [0.787, 0.780, 0.959, 0.987, 0.790, 0.792, 0.985, 0.811],
        "published linear, n=15k": [0.813, 0.812, 0.960, 0.987, 0.829, 0.831, 0.985, 0.854],
        "published XGBoost, n=15k": [0.890, 0.878, 0.958, 0.986, 0.926, 0.922, 0.975, 0.969],
        "published layer-wise table": [0.462, 0.475, 0.995, 0.999],
    }
    targets = ["raspi4/latency", "pixel3/latency", "eyeriss/latency", "fpga/latency", "edgegpu/latency"]
    targets += ["edgegpu/energy", "eyeriss/energy", "eyeriss/arithmetic_intensity"]
    assert {name: dict(taus) for name, taus in LAUBE.items()} == {
        name: dict(zip(targets, taus, strict=False)) for name, taus in columns.items()
    }


@pytest.mark.real_data
@pytest.mark.parametrize("space", ["nasbench201", "fbnet"])
def test_the_devices_are_those_of_helps_files(space: str, shared_data: Path) -> None:
    with np.load(shared_data / f"{space}_latency.npz") as file:
        there = set(file)
        n = len(file["raspi4"])
    tasks = [HELP[space], *(task for task in NASFLAT.values() if task.space == space)]
    for task in tasks:
        assert there.issuperset([*task.sources, *task.targets])
    assert HELP[space].query.stop <= n


# -- protocols: what is read of the new device, and what is scored --------------------------------------------


@dataclass
class Fit:
    """What a few-shot surrogate was fitted to, and what it predicted."""

    rows: npt.NDArray[np.int64]
    sources: tuple[str, ...]
    costs: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


@dataclass
class Ran:
    """An evaluation, with every fit and every score in their order."""

    table: CostTable
    evaluation: Evaluation
    fits: list[Fit]
    scored: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]
    source_tables: list[CostTable]
    steps: list[tuple[int, int]]

    def rows(self) -> list[tuple[Any, Fit, npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
        """Return score row, fit, measured and predicted; one fit may stand under several tasks."""
        scores = self.evaluation.scores
        scores = scores.drop_duplicates([name for name in scores if name != "task"])
        told = [(row, *pair) for (_, row), pair in zip(scores.iterrows(), self.scored, strict=True)]
        told = [item for item in told if item[0]["n_train"]]
        return [(row, fit, *pair) for (row, *pair), fit in zip(told, self.fits, strict=True)]

    def of(self, **wanted: Any) -> list[Fit]:
        """Return the fits of a device, size and seed, but for those whose draw is trimmed by the costs."""
        rows = [item for item in self.rows() if "trimmed" not in item[0]["model"]]
        return [fit for row, fit, _, _ in rows if all(row[name] == value for name, value in wanted.items())]


PROTOCOLS: dict[str, Callable[..., Evaluation]] = {
    "help": help2021,
    "nasflat": nasflat2024,
    "devices": leave_one_device_out,
}


def ran(protocol: str, table: CostTable, **options: Any) -> Ran:
    """Run a protocol with its ranges shrunk, and watch it."""
    fits: list[Fit] = []
    scored: list[Any] = []
    sources: list[CostTable] = []
    steps: list[tuple[int, int]] = []
    fit_encoded, predict_encoded = TransferSurrogate.fit_encoded, TransferSurrogate.predict_encoded
    fit_sources = transfer_protocols.fit_sources

    def fit(self: TransferSurrogate, encoder: Any, training: Any, costs: Any) -> TransferSurrogate:
        names = [str(name).removeprefix("source:") for name in training.features if str(name).startswith("source:")]
        fits.append(Fit(training.features.index.to_numpy(copy=True), tuple(names), costs.copy()))
        return fit_encoded(self, encoder, training, costs)

    def predict(self: TransferSurrogate, query: Any) -> npt.NDArray[np.float64]:
        fits[-1].predicted = predict_encoded(self, query)
        return fits[-1].predicted

    def scores(measured: Any, predicted: Any) -> Any:
        scored.append((measured.copy(), predicted.copy()))
        return score(measured, predicted)

    def fit_them(table: CostTable, targets: Any, n_jobs: int | None) -> Any:
        sources.append(table.select(targets))
        return fit_sources(table, targets, n_jobs=n_jobs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer_protocols, "HELP", SMALL_HELP)
        patch.setattr(transfer_protocols, "NASFLAT", SMALL_NASFLAT)
        patch.setattr(transfer_protocols, "SOURCE_ROWS", SOURCE_ROWS)
        patch.setattr(transfer_protocols, "score", scores)
        patch.setattr(transfer_protocols, "fit_sources", fit_them)
        patch.setattr(TransferSurrogate, "fit_encoded", fit)
        patch.setattr(TransferSurrogate, "predict_encoded", predict)
        if protocol == "devices":
            options = {"n_source": SOURCE_ROWS, **options}
        told = PROTOCOLS[protocol](table, progress=lambda *step: steps.append(step), **options)
    return Ran(table, told, fits, scored, sources, steps)


def devices_of(protocol: str, space: str = "nasbench201") -> tuple[str, ...]:
    if protocol == "help":
        return (*HELP[space].targets, *HELP[space].sources)
    if protocol == "nasflat":
        return ("raspi4", "essential_ph_1", "eyeriss", "2080ti_1")
    return TRIO


TABLES = {
    "help": planted("nasbench201", devices_of("help")),
    "help, fbnet": planted("fbnet", devices_of("help", "fbnet")),
    "nasflat": planted("fbnet", devices_of("nasflat")),
    "devices": planted("nasbench201", TRIO),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "help": {"sizes": (8, 12), "seeds": [3]},
    "help, fbnet": {"sizes": (10,), "seeds": [0]},
    "nasflat": {"n": 12, "seeds": [0, 4]},
    "devices": {"sizes": (6, 10), "seeds": [0, 5]},
}
_RAN: dict[str, Ran] = {}


@pytest.fixture(params=list(TABLES))
def each(request: pytest.FixtureRequest) -> Ran:
    return once(request.param)


def once(name: str) -> Ran:
    if name not in _RAN:
        _RAN[name] = ran(name.partition(",")[0], TABLES[name], **OPTIONS[name])
    return _RAN[name]


def costs_of(table: CostTable, device: str) -> npt.NDArray[np.float64]:
    return table.costs[:, table.targets.index(Target(device, "latency"))]


def test_exactly_n_measurements_of_the_device_are_read(each: Ran) -> None:
    assert len(each.rows()) > 10
    for row, fit, _, _ in each.rows():
        assert len(set(fit.rows.tolist())) == len(fit.rows) == row["n_train"]
        np.testing.assert_array_equal(fit.costs, costs_of(each.table, row["device"])[fit.rows])


def test_all_others_are_scored(each: Ran) -> None:
    for row, fit, measured, predicted in each.rows():
        if row["model"].endswith("trimmed"):
            continue
        rest = np.setdiff1d(np.arange(N), fit.rows)
        np.testing.assert_array_equal(measured, costs_of(each.table, row["device"])[rest])
        np.testing.assert_array_equal(predicted, fit.predicted[rest])
        assert row["n"] == N - row["n_train"]


def test_a_device_is_never_its_own_source(each: Ran) -> None:
    for row, fit, _, _ in each.rows():
        assert f"{row['device']}/latency" not in fit.sources
        assert not fit.sources or not row["model"].startswith("no source")


def test_sources_are_fitted_once_on_the_first_rows(each: Ran) -> None:
    (fitted,) = each.source_tables
    np.testing.assert_array_equal(fitted.archs, each.table.archs[:SOURCE_ROWS])
    expected = [costs_of(each.table, target.device)[:SOURCE_ROWS] for target in fitted.targets]
    np.testing.assert_array_equal(fitted.costs, np.column_stack(expected))


def test_scores_are_plain_and_planted_devices_are_ranked(each: Ran) -> None:
    scores = each.evaluation.scores
    assert (scores["metric"] == "latency").all()
    assert (scores["unit"] == "ms").all()
    assert each.evaluation.predictions.empty
    assert each.evaluation.about == {
        "protocol": each.evaluation.about["protocol"],
        "space": each.table.space.name,
        "table_fingerprint": each.table.fingerprint,
    }
    assert scores["spearman_rho"].between(0.5, 1).all()
    assert scores.groupby("model")["spearman_rho"].mean().min() > 0.9


def test_progress_goes_by_target_and_seed(each: Ran) -> None:
    by = ["task", "device", "seed"] if "task" in each.evaluation.scores else ["device", "seed"]
    n = len(each.evaluation.scores.query("n_train > 0").drop_duplicates(by))
    assert each.steps == [(number + 1, n) for number in range(n)]


@pytest.mark.parametrize(
    ("protocol", "device", "n", "seed"),
    [("help", "pixel2", 8, 3), ("nasflat", "raspi4", 12, 4), ("devices", "board", 6, 5)],
)
def test_costs_that_were_not_measured_change_no_prediction(protocol: str, device: str, n: int, seed: int) -> None:
    """The device is a source too, of another task or of the other devices: no way round may lead to its costs."""
    before, wanted = once(protocol), {"device": device, "n_train": n, "seed": seed}
    column = before.table.targets.index(Target(device, "latency"))
    unread = np.setdiff1d(np.arange(N), np.concatenate([fit.rows for fit in before.of(**wanted)]))
    assert len(unread) > 80

    def change(costs: npt.NDArray[np.float64]) -> None:
        costs[unread, column] = np.random.default_rng(9).uniform(50, 500, len(unread))

    size = {"n": n} if protocol == "nasflat" else {"sizes": (n,)}
    after = ran(protocol, with_costs(before.table, change), seeds=[seed], **size)
    assert len(before.of(**wanted)) == len(after.of(**wanted)) > 1
    for one, other in zip(before.of(**wanted), after.of(**wanted), strict=True):
        np.testing.assert_array_equal(one.rows, other.rows)
        np.testing.assert_array_equal(one.predicted, other.predicted)


@pytest.mark.parametrize("protocol", ["nasflat", "devices"])
def test_same_seeds_same_scores(protocol: str) -> None:
    np.random.seed(7)  # noqa: NPY002
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    again = ran(protocol, TABLES[protocol], **OPTIONS[protocol])
    pd.testing.assert_frame_equal(again.evaluation.scores, once(protocol).evaluation.scores)
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
    drawn: dict[int, set[tuple[int, ...]]] = {}
    for row, fit, _, _ in again.rows():
        if "suggested" not in row["model"]:
            drawn.setdefault(row["seed"], set()).add(tuple(fit.rows.tolist()))
    first, second = drawn.values()
    assert first.isdisjoint(second)


# -- HELP -------------------------------------------------------------------------------------------------


def test_help_has_five_settings_of_each_size() -> None:
    told = once("help")
    scores = told.evaluation.scores
    assert told.evaluation.about["protocol"] == "help"
    assert list(dict.fromkeys(scores["device"])) == list(HELP["nasbench201"].targets)
    for (_, n), part in scores.groupby(["device", "n_train"]):
        assert part["model"].tolist() == SETTINGS
        assert part["seed"].tolist() == [3] * 5
        assert n in (8, 12)
    assert len(scores) == 6 * 2 * 5


@pytest.mark.parametrize("name", ["help", "help, fbnet"])
def test_help_uses_its_nine_sources_or_none(name: str) -> None:
    told = once(name)
    sources = tuple(f"{device}/latency" for device in HELP[told.table.space.name].sources)
    for row, fit, _, _ in told.rows():
        assert fit.sources == (sources if row["model"].startswith("9 sources") else ())


def test_random_draws_are_the_same_with_and_without_sources() -> None:
    rows: dict[tuple[str, int], list[list[int]]] = {}
    for row, fit, _, _ in once("help").rows():
        if row["model"].endswith("random, full"):
            rows.setdefault((row["device"], row["n_train"]), []).append(fit.rows.tolist())
    for pair in rows.values():
        assert pair[0] == pair[1]
    assert rows["fpga", 12][0][:8] == rows["fpga", 8][0]


@pytest.mark.parametrize("name", ["help", "help, fbnet"])
def test_trimmed_draws_from_the_pool_and_scores_the_query_without_their_extreme_tenths(name: str) -> None:
    told = once(name)
    trimmed = [item for item in told.rows() if item[0]["model"].endswith("trimmed")]
    assert trimmed
    for row, fit, measured, predicted in trimmed:
        costs = costs_of(told.table, row["device"])
        pool = np.sort(costs[POOL.start : POOL.stop])
        assert fit.rows.max() < POOL.stop
        assert pool[2] <= fit.costs.min()
        assert fit.costs.max() <= pool[-3]
        np.testing.assert_array_equal(np.sort(measured), np.sort(costs[QUERY.start : QUERY.stop])[8:-8])
        queried = QUERY.start + np.flatnonzero(np.isin(costs[QUERY.start : QUERY.stop], measured))
        order = np.argsort(costs[queried])
        np.testing.assert_array_equal(predicted[np.argsort(measured)], fit.predicted[queried][order])
        assert row["n"] == 64


def test_help_fits_its_sources_on_its_own_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unshrunk: 900 rows of NAS-Bench-201."""

    class Enough(Exception):
        pass

    def fit_sources(table: CostTable, targets: list[Target]) -> None:
        assert len(table) == 900
        assert [target.device for target in targets] == HELP_SOURCES.split()
        raise Enough

    monkeypatch.setattr(transfer_protocols, "fit_sources", fit_sources)
    table = planted("nasbench201", devices_of("help"), 1900)
    with pytest.raises(Enough):
        help2021(table)
    with pytest.raises(InvalidInputError, match="the protocol needs 1900 architectures, the table has 1899"):
        help2021(table.rows(range(1899)))


# -- NASFLAT ----------------------------------------------------------------------------------------------


def test_nasflat_uses_the_sources_of_the_task_alone() -> None:
    told = once("nasflat")
    assert told.evaluation.about["protocol"] == "nasflat"
    assert set(told.evaluation.scores["task"]) == {"F1", "F2"}
    for row, fit, _, _ in told.rows():
        if row["model"] == "no source":
            assert fit.sources == ()
        else:
            assert set(fit.sources) == {f"{device}/latency" for device in SMALL_NASFLAT[row["task"]].sources}
    for name in ("F1", "F2"):
        part = told.evaluation.scores[told.evaluation.scores["task"] == name]
        assert list(dict.fromkeys(part["device"])) == list(SMALL_NASFLAT[name].targets)
        assert part.groupby("device")["model"].apply(list).tolist() == [["with the sources", "no source"] * 2] * 2


def test_a_target_of_two_tasks_is_scored_without_sources_once() -> None:
    scores = once("nasflat").evaluation.scores
    shared = scores[(scores["device"] == "eyeriss") & (scores["model"] == "no source")].set_index(["task", "seed"])
    pd.testing.assert_frame_equal(shared.loc["F1"], shared.loc["F2"])
    helped = scores[(scores["device"] == "eyeriss") & (scores["model"] == "with the sources")].set_index("task")
    assert (helped.loc["F1", "rmse"].to_numpy() != helped.loc["F2", "rmse"].to_numpy()).all()


def test_nasflats_sources_are_measured_800_times() -> None:
    assert transfer_protocols.SOURCE_ROWS == 800
    every = dict.fromkeys(d for task in NASFLAT.values() for d in (*task.sources, *task.targets) if "256" not in d)
    table = planted("fbnet", tuple(every), 799)
    with pytest.raises(InvalidInputError, match="the protocol needs 800 architectures, the table has 799"):
        nasflat2024(table)


# -- each device in turn ------------------------------------------------------------------------------------


def test_leave_one_device_out_takes_all_others_for_sources() -> None:
    told = once("devices")
    assert told.evaluation.about["protocol"] == "devices"
    for row, fit, _, _ in told.rows():
        others = {f"{device}/latency" for device in TRIO if device != row["device"]}
        assert set(fit.sources) == (others if row["model"] == "the others" else set())
    scores = told.evaluation.scores
    assert scores.groupby("device", sort=False).size().to_dict() == dict.fromkeys(TRIO, 1 + 2 * 2 * 3)
    assert scores.loc[scores["n_train"] == 0, "model"].tolist() == ["the others"] * 3
    assert (scores.loc[scores["n_train"] == 0, "n"] == N).all()


def test_without_a_measurement_the_device_is_ranked_by_the_others_alone() -> None:
    told = once("devices")
    first = told.evaluation.scores.query("n_train == 0 and device == 'board'")["spearman_rho"].item()
    assert first > 0.9
    reverse = costs_of(told.table, "board").max() + 1 - costs_of(told.table, "board")

    def change(costs: npt.NDArray[np.float64]) -> None:
        costs[:, 1] = reverse

    turned = ran("devices", with_costs(told.table, change), sizes=(6,), seeds=[0]).evaluation.scores
    assert turned.query("n_train == 0 and device == 'board'")["spearman_rho"].item() == pytest.approx(-first)


def test_the_pivot_table_of_the_docstring() -> None:
    scores = once("devices").evaluation.scores
    matrix = scores.pivot_table(index="device", columns=["model", "n_train"], values="spearman_rho")
    assert matrix.shape == (3, 7)
    assert matrix.notna().all(axis=None)


# -- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["help", "nasflat"])
def test_missing_devices_are_named(protocol: str) -> None:
    table = TABLES[protocol].select([target for target in TABLES[protocol].targets if target.device != "raspi4"])
    with pytest.raises(InvalidInputError, match=r"needs the latency of raspi4 too; the table has .*essential_ph_1"):
        ran(protocol, table)


def test_energy_is_no_latency() -> None:
    table = TABLES["help"]
    targets = [str(target).replace("fpga/latency", "fpga/energy") for target in table.targets]
    with pytest.raises(InvalidInputError, match="needs the latency of fpga too"):
        help2021(CostTable(table.space, table.archs, table.costs, targets))


def test_a_space_that_help_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_protocols, "HELP", {"nasbench201": HELP["nasbench201"]})
    with pytest.raises(InvalidInputError, match="help2021 is over nasbench201, got fbnet"):
        help2021(TABLES["help, fbnet"])


def test_architectures_that_were_not_measured_on_all_devices_are_left_out() -> None:
    table = TABLES["devices"]
    rows = np.flatnonzero(np.arange(N) % 10 > 0)

    def change(costs: npt.NDArray[np.float64]) -> None:
        costs[::10, 1] = np.nan

    some, all_known = (
        ran("devices", one, n_source=60, sizes=(6,), seeds=[0]).evaluation.scores.drop(
            columns="fit_seconds", errors="ignore"
        )
        for one in (with_costs(table, change), table.rows(rows))
    )
    pd.testing.assert_frame_equal(some, all_known)


def test_too_few_architectures_that_all_devices_have_name_the_device_with_the_fewest() -> None:
    def change(costs: npt.NDArray[np.float64]) -> None:
        costs[20:, 1] = np.nan

    table = with_costs(TABLES["devices"], change)
    with pytest.raises(
        InvalidInputError, match=rf"more than 60 .*has 20; {table.targets[1]} on 20 only\. Select other"
    ):
        leave_one_device_out(table, n_source=60)


@pytest.mark.parametrize("protocol", ["help", "nasflat"])
def test_a_missing_cost_is_refused_before_anything_is_fitted(protocol: str) -> None:
    def change(costs: npt.NDArray[np.float64]) -> None:
        costs[7, 0] = np.nan

    with pytest.raises(InvalidInputError, match=r"the protocol needs \S+ measured on every architecture; 1 of"):
        ran(protocol, with_costs(TABLES[protocol], change))


@pytest.mark.parametrize("protocol", ["help", "nasflat"])
def test_a_missing_cost_is_refused_wherever_it_is(protocol: str) -> None:
    def change(costs: npt.NDArray[np.float64]) -> None:
        costs[N - 1, 0] = np.nan

    with pytest.raises(InvalidInputError, match="the protocol needs"):
        ran(protocol, with_costs(TABLES[protocol], change), seeds=[0])


def test_missing_costs_of_what_is_not_read_do_not_matter() -> None:
    table = TABLES["devices"]
    energy = np.where(np.arange(N) == 3, np.nan, table.costs[:, 0])
    more = CostTable(
        table.space, table.archs, np.column_stack([table.costs, energy]), [*table.targets, Target("phone", "energy")]
    )
    told = ran("devices", more, sizes=(6,), seeds=[0]).evaluation
    assert set(told.scores["metric"]) == {"latency"}


@pytest.mark.parametrize("protocol", ["help", "nasflat", "devices"])
def test_several_configs_are_refused(protocol: str) -> None:
    table = TABLES[protocol]
    configs = (list(table.space.configs)[:2] * N)[:N]
    with pytest.raises(InvalidInputError, match=r"over one config, the table has 2; choose one with dataset"):
        ran(protocol, CostTable(table.space, table.archs, table.costs, table.targets, configs=configs))


def test_one_device_has_no_others() -> None:
    with pytest.raises(InvalidInputError, match="takes two or more, the table has 1"):
        leave_one_device_out(TABLES["devices"].select("phone"))
    table = TABLES["devices"].select("phone")
    energy = CostTable(
        table.space, table.archs, np.hstack([table.costs, table.costs]), ["phone/latency", "phone/energy"]
    )
    with pytest.raises(InvalidInputError, match="takes two or more, the table has 1"):
        leave_one_device_out(energy)


@pytest.mark.parametrize(("n_source", "message"), [(N, "more than 120 architectures"), (1, "at least 2 measured")])
def test_source_rows_that_there_are_not_are_refused(n_source: int, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        leave_one_device_out(TABLES["devices"], n_source=n_source)


@pytest.mark.parametrize("size", [0, 15, 16])
def test_sizes_that_leave_nothing_to_fit_or_to_score_are_refused(size: int) -> None:
    with pytest.raises(InvalidInputError, match="sizes"):
        ran("devices", TABLES["devices"].rows(range(15)), n_source=12, sizes=(size,), seeds=[0])


def test_n_train_is_what_was_read_where_the_pool_is_smaller() -> None:
    told = ran("help", TABLES["help, fbnet"], sizes=(16,), seeds=[0])
    for row, fit, _, _ in told.rows():
        assert row["n_train"] == len(fit.rows)


# -- tables beside the published figures ------------------------------------------------------------------


def made_up(protocol: str, space: str, rows: list[tuple[Any, ...]]) -> Evaluation:
    names = ["model", "n_train", "task", "device", "seed", "spearman_rho"]
    scores = pd.DataFrame(rows, columns=names).assign(metric="latency", unit="ms", n=100)
    if protocol != "nasflat":
        scores = scores.drop(columns="task")
    return Evaluation(scores, pd.DataFrame(), {"protocol": protocol, "space": space, "table_fingerprint": "0"})


def test_few_shot_table_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        few_shot_table(made_up("devices", "fbnet", [("no source", 10, "", "phone", 0, 0.5)]))


@pytest.mark.parametrize("name", ["help", "help, fbnet"])
def test_help_table_sets_published_figures_beside_ours(name: str) -> None:
    told = once(name)
    frame = few_shot_table(told.evaluation)
    task = HELP[told.table.space.name]
    assert list(frame.columns) == ["setting", "measurements", *task.targets, "mean"]
    assert frame.notna().all(axis=None)
    ours = [(setting, n) for n in OPTIONS[name]["sizes"] for setting in SETTINGS]
    assert [*zip(frame["setting"], frame["measurements"], strict=True)][: len(ours)] == ours
    published = frame[len(ours) :]
    expected = HELP_FIGURES if name == "help" else HELP_FBNET_FIGURES
    for (title, values, _), (_, row) in zip(lines(expected), published.iterrows(), strict=True):
        method, kind, n = title.split(", ")
        assert row["setting"] == f"published: {method}, {kind}"
        assert row["measurements"] == int(n)
        assert row[list(task.targets)].tolist() == numbers(values)
    np.testing.assert_allclose(frame["mean"], frame[list(task.targets)].mean(axis=1))
    scores = told.evaluation.scores
    chosen = scores[(scores["model"] == SETTINGS[2]) & (scores["n_train"] == ours[2][1]) & (scores["device"] == "fpga")]
    assert frame.loc[2, "fpga"] == pytest.approx(chosen["spearman_rho"].mean())


def test_nasflat_table_counts_every_target_of_a_task_alike() -> None:
    rows = [
        ("with the sources", 20, "F1", "fpga", 0, 0.8),
        ("with the sources", 20, "F1", "fpga", 1, 0.6),
        ("with the sources", 20, "F1", "fpga", 2, 0.4),
        ("with the sources", 20, "F1", "raspi4", 0, 1.0),
        ("with the sources", 20, "F2", "raspi4", 0, 0.5),
        ("no source", 20, "F1", "fpga", 0, 0.3),
    ]
    frame = few_shot_table(made_up("nasflat", "fbnet", rows))
    assert list(frame.columns) == ["setting", "measurements", "F1", "F2", "mean"]
    assert frame["setting"].tolist() == [
        *("with the sources", "no source"),
        *("published: HELP", "published: MultiPredict", "published: NASFLAT"),
        "published: NASFLAT, best of any setting",
    ]
    assert frame["measurements"].tolist() == [20] * 6
    assert frame.loc[0, ["F1", "F2", "mean"]].tolist() == pytest.approx([0.8, 0.5, 0.65])
    assert frame.loc[1, ["F1", "F2", "mean"]].tolist() == pytest.approx([0.3, np.nan, 0.3], nan_ok=True)
    assert frame.loc[2:, "F1"].tolist() == [0.793, 0.756, 0.809, 0.809]
    assert frame.loc[2:, "F2"].tolist() == [0.543, 0.567, 0.871, 0.871]
    assert frame.loc[2, "mean"] == pytest.approx((0.793 + 0.543) / 2)


def test_nasflat_table_of_a_run() -> None:
    told = once("nasflat")
    frame = few_shot_table(told.evaluation)
    assert list(frame.columns) == ["setting", "measurements", "F1", "F2", "mean"]
    assert frame.notna().all(axis=None)
    assert frame["measurements"].tolist() == [12, 12, 20, 20, 20, 20]


def test_devices_table_has_a_row_per_device_and_their_mean() -> None:
    frame = few_shot_table(once("devices").evaluation)
    models = ("the others", "no source", "no source, suggested")
    assert list(frame.columns) == [
        "device",
        "the others, n=0",
        *(f"{model}, n={n}" for n in (6, 10) for model in models),
    ]
    assert frame["device"].tolist() == [*TRIO, "mean"]
    assert frame.notna().all(axis=None)
    values = frame.drop(columns="device").to_numpy()
    np.testing.assert_allclose(values[3], values[:3].mean(axis=0))
    scores = once("devices").evaluation.scores
    chosen = scores.query("model == 'no source' and n_train == 10 and device == 'server'")
    assert len(chosen) == 2
    assert frame.loc[2, "no source, n=10"] == pytest.approx(chosen["spearman_rho"].mean())


def test_a_setting_without_some_device_is_nan_there() -> None:
    rows = [("a", 10, "", "x", 0, 0.5), ("a", 10, "", "y", 0, 0.7), ("b", 10, "", "y", 0, 0.9)]
    frame = few_shot_table(made_up("devices", "fbnet", rows))
    assert frame["a, n=10"].tolist() == pytest.approx([0.5, 0.7, 0.6])
    assert frame["b, n=10"].tolist() == pytest.approx([np.nan, 0.9, 0.9], nan_ok=True)


def test_other_evaluations_have_no_few_shot_table() -> None:
    with pytest.raises(InvalidInputError, match="reads help, nasflat and devices evaluations, got 'random'"):
        few_shot_table(made_up("random", "fbnet", []))


# -- JSON -------------------------------------------------------------------------------------------------


def test_json_and_back_without_predictions(each: Ran, tmp_path: Path) -> None:
    again = Evaluation.read(each.evaluation.write(tmp_path / "deep" / "here.json"))
    pd.testing.assert_frame_equal(again.scores, each.evaluation.scores, check_dtype=False, rtol=1e-8)
    for name in ("seed", "n_train", "n"):
        assert again.scores[name].dtype.kind == "i"
    assert again.predictions.empty
    assert again.about == each.evaluation.about
    pd.testing.assert_frame_equal(few_shot_table(again), few_shot_table(each.evaluation), rtol=1e-8)


def test_tasks_come_back_as_text_and_missing_correlations_as_nan(tmp_path: Path) -> None:
    told = made_up("nasflat", "fbnet", [("a", 20, "F1", "fpga", 0, np.nan), ("a", 20, "F2", "fpga", 0, 0.123456789)])
    again = Evaluation.read(told.write(tmp_path / "here.json")).scores
    assert again["task"].tolist() == ["F1", "F2"]
    assert again["spearman_rho"].tolist() == pytest.approx([np.nan, 0.123456789], nan_ok=True)


def test_evaluations_without_predictions_are_joined(tmp_path: Path) -> None:
    part = once("devices").evaluation
    joined = Evaluation.joined([part, part])
    assert len(joined.scores) == 2 * len(part.scores)
    again = Evaluation.read(joined.write(tmp_path / "here.json"))
    assert len(again.scores) == len(joined.scores)
    assert again.predictions.empty


def test_without_predictions_there_are_no_errors_by_distance() -> None:
    assert once("devices").evaluation.by_distance().empty
