from __future__ import annotations

import base64
import builtins
import gzip
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from hwnas_surrogate.data import BlockTable, CostTable, Device, Target
from hwnas_surrogate.devices import correlation
from hwnas_surrogate.errors import DataFileError, InvalidInputError, MissingExtraError
from hwnas_surrogate.evaluation import evaluate, learning_curve
from hwnas_surrogate.report import relations as report_relations
from hwnas_surrogate.report import write_report
from hwnas_surrogate.report.candidates import candidates
from hwnas_surrogate.report.page_data import payload
from hwnas_surrogate.report.relations import relations
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite
from tests.graph_tables import zoo_table

pytest.importorskip("plotly")
SPACE = get_space("nasbench201")
RIDGE = Surrogate(encoder="onehot", model="ridge")
EVIL = "<script>alert(1)<\\script>&\"'</script><!--"


def costs_of(archs: Any) -> Any:
    macs = SPACE.batch(archs).macs / 1e6
    return 1 + macs / 50 + np.random.default_rng(0).uniform(0, 0.1, len(macs))


def small_table(n: int = 80, devices: tuple[str, ...] = ("phone", "board"), **more: Any) -> CostTable:
    archs = SPACE.sample(n, random_state=0)
    costs = np.column_stack([costs_of(archs) * (1 + k) + k * (archs == 1).sum(axis=1) for k in range(len(devices))])
    return CostTable(SPACE, archs, costs, [f"{device}/latency" for device in devices], **more)


@pytest.fixture(scope="module")
def table() -> CostTable:
    table = small_table()
    costs = np.array(table.costs)
    costs[:7, 1] = np.nan
    reasons = {"does not fit in memory": np.arange(80)[:, None] < [0, 3]}
    device = Device("phone", "a phone", "tflite 2.15", batch=4, source="estimated")
    return CostTable(SPACE, table.archs, costs, table.targets, devices=[device], reasons=reasons)


@pytest.fixture(scope="module")
def page(table: CostTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(table, tmp_path_factory.mktemp("report") / "report.html")


def shown(table: CostTable, path: Path, **more: Any) -> dict[str, Any]:
    """Return what a page holds whose scores don't matter: quick ones of the first target are given."""
    part = table.select(table.targets[0])
    part = part.rows(np.flatnonzero(~np.isnan(part.costs[:, 0])))
    ridge = Surrogate(table.space, encoder="onehot", model="ridge")
    evaluation = evaluate(part, ridge, n_train=10)
    curve = learning_curve(part, ridge, sizes=[5], n_test=10, seeds=[0])
    return data_of(write_report(table, path, evaluation=evaluation, curve=curve, surrogates=quick(table), **more))


def quick(table: CostTable) -> SurrogateSuite:
    """Return surrogates for where their predictions don't matter: they are fitted at once."""
    return SurrogateSuite(table.space, encoder="onehot", model="ridge").fit_table(table)


def data_of(path: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text("utf-8"), re.S)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def decoded(text: str, dtype: str) -> Any:
    return np.frombuffer(base64.b64decode(text), dtype)


def test_costs_and_architectures_are_those_of_the_table(page: Path, table: CostTable) -> None:
    data = data_of(page)
    for column, target in enumerate(data["targets"]):
        np.testing.assert_array_equal(decoded(target["costs"], "<f4"), table.costs[:, column].astype(np.float32))
    networks = data["networks"]
    archs = decoded(networks["archs"], "i1").reshape(15_625, 6)
    np.testing.assert_array_equal(archs[:80], table.archs)
    assert sorted(SPACE.index(archs)) == list(range(15_625))
    np.testing.assert_array_equal(decoded(networks["index"], "<i4"), SPACE.index(archs))
    first, *pieces = networks["pieces"]
    texts = [
        first + "".join(ops[op] + piece for ops, op, piece in zip(networks["ops_at"], arch, pieces, strict=True))
        for arch in archs
    ]
    assert texts == SPACE.format_all(archs)


def test_multiply_adds_are_those_on_a_path_and_all(page: Path, table: CostTable, tmp_path: Path) -> None:
    data = data_of(page)["networks"]
    batch = SPACE.batch(decoded(data["archs"], "i1").reshape(-1, 6))
    assert (batch.total("macs", "live") < batch.macs).any()
    np.testing.assert_allclose(decoded(data["macs"], "<f4"), batch.total("macs", "live") / 1e6, rtol=1e-6)
    np.testing.assert_allclose(decoded(data["all_macs"], "<f4"), batch.macs / 1e6, rtol=1e-6)
    sizes = get_space("natsbench-size")
    archs = sizes.sample(30, random_state=0)
    other = CostTable(sizes, archs, sizes.batch(archs).macs[:, None] / 1e6, ["phone/latency"])
    assert shown(other, tmp_path / "r.html")["networks"]["all_macs"] is None


def test_networks_without_a_path_are_told_and_in_no_range(tmp_path: Path) -> None:
    cut_off = "|none~0|+|nor_conv_3x3~0|none~1|+|none~0|nor_conv_3x3~1|none~2|"
    archs = np.concatenate([SPACE.as_array(cut_off), SPACE.at(np.arange(30))])
    costs = np.r_[0.001, np.linspace(1, 2, 30)][:, None]
    connected = SPACE.connected(archs)
    table = CostTable(SPACE, archs, costs, ["phone/latency"])
    data = data_of(write_report(table, tmp_path / "r.html", evaluation=evaluate(table, RIDGE, n_train=10, n_test=21)))
    assert data["cut_off"] == np.count_nonzero(~connected)
    every = decoded(data["networks"]["archs"], "i1").reshape(-1, 6)
    assert data["networks"]["cut_off"] == np.flatnonzero(~SPACE.connected(every)).tolist()
    assert data["targets"][0]["low"] == pytest.approx(costs[connected].min(), rel=1e-5)
    named = [text for number, text in enumerate(data["held_out"]) if number in data["held_out_cut_off"]]
    assert named == [text for text in data["held_out"] if not SPACE.connected([text])[0]]
    assert cut_off in data["held_out"]


def test_what_is_missing_has_its_reason(page: Path) -> None:
    data = data_of(page)
    phone, board = data["targets"]
    assert phone["missing"] == 0
    assert phone["why"] is None
    assert board["missing"] == 7
    assert dict(board["reasons"]) == {"not measured": 4, "does not fit in memory": 3}
    reasons = [data["reasons"][code] for code in decoded(board["why"], "u1")]
    assert reasons == ["does not fit in memory"] * 3 + ["not measured"] * 4 + [""] * 73


def test_devices_are_described(page: Path) -> None:
    phone = data_of(page)["targets"][0]
    told = [phone[name] for name in ("hardware", "runtime", "batch", "source", "unit", "floor")]
    assert told == ["a phone", "tflite 2.15", 4, "estimated", "ms", None]


def test_correlations_are_those_of_the_costs(page: Path, table: CostTable) -> None:
    found = data_of(page)["correlation"]
    expected = kendalltau(table.costs[7:, 0], table.costs[7:, 1]).statistic
    assert decoded(found["kendall"], "<f4") == pytest.approx([1, expected, 1], abs=1e-5)
    assert decoded(found["common"], "<u4").tolist() == [80, 73, 73]
    assert sorted(found["order"]["kendall"]) == [0, 1]


def test_devices_alike_stand_side_by_side(tmp_path: Path) -> None:
    archs = SPACE.sample(60, random_state=0)
    first, second = np.random.default_rng(1).uniform(1, 2, (2, 60))
    costs = np.column_stack([first, second, first + 0.01 * second, second + 0.01 * first])
    table = CostTable(SPACE, archs, costs, ["a/latency", "b/latency", "c/latency", "d/latency"])
    order = shown(table, tmp_path / "r.html")["correlation"]["order"]["spearman"]
    assert {frozenset(order[:2]), frozenset(order[2:])} == {frozenset({0, 2}), frozenset({1, 3})}


def test_residuals_are_means_over_the_held_out_architectures_with_an_op(table: CostTable, tmp_path: Path) -> None:
    evaluation = evaluate(table, RIDGE, n_train=50, n_test=20)
    data = data_of(write_report(table, tmp_path / "r.html", evaluation=evaluation, surrogates=quick(table)))
    rows = evaluation.predictions[evaluation.predictions["device"] == "phone"]
    mine = rows["architecture"].str.contains("avg_pool_3x3")
    errors = rows["predicted"][mine] / rows["measured"][mine] - 1
    (found,) = (item for item in data["targets"][0]["residuals"] if item["op"] == "avg_pool_3x3")
    assert found["n"] == mine.sum()
    assert found["mean"] == pytest.approx(errors.mean(), rel=1e-4)
    assert found["median"] == pytest.approx(errors.median(), rel=1e-4)


def test_a_given_evaluation_and_curve_are_shown(table: CostTable, tmp_path: Path) -> None:
    evaluation = evaluate(table, RIDGE, n_train=50, n_test=20, seeds=[3, 4])
    curve = learning_curve(table, RIDGE, sizes=[10, 40], n_test=20, seeds=range(2))
    data = data_of(
        write_report(table, tmp_path / "r.html", evaluation=evaluation, curve=curve, surrogates=quick(table))
    )
    phone = data["targets"][0]
    assert (phone["evaluation"]["n_train"], phone["evaluation"]["n"]) == (50, 20)
    first = evaluation.scores.iloc[0]
    assert phone["evaluation"]["scores"]["kendall_tau"] == pytest.approx(first["kendall_tau"], abs=1e-5)
    taus = curve.scores.query("device == 'phone' and n_train == 40")["kendall_tau"]
    assert [step["n_train"] for step in phone["curve"]] == [10, 40]
    assert phone["curve"][1]["kendall_tau"] == pytest.approx(taus.mean(), abs=1e-5)
    assert phone["curve"][1]["kendall_tau_sd"] == pytest.approx(taus.std(), rel=1e-4)
    assert phone["curve"][1]["seeds"] == 2


def test_same_input_same_file_and_an_old_one_is_replaced(table: CostTable, page: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.html"
    other.write_text("old")
    assert write_report(table, other) == other
    assert other.read_bytes() == page.read_bytes()
    assert list(tmp_path.iterdir()) == [other]


def test_a_file_that_cannot_be_written_leaves_the_old_one(table: CostTable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(DataFileError, match="can't write"):
        write_report(table, tmp_path / "file" / "report.html", surrogates=quick(table))
    assert (tmp_path / "file").read_text() == "old"


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[dict[str, str | None]] = []
        self.links: list[str | None] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self.scripts.append(dict(attrs))
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_texts_from_the_table_end_no_element(tmp_path: Path) -> None:
    name = EVIL.replace("/", "|")
    device = Device(name, EVIL, EVIL)
    archs = SPACE.sample(30, random_state=0)
    costs = costs_of(archs)[:, None]
    costs[0] = np.nan
    table = CostTable(SPACE, archs, costs, [Target(name, "latency")], devices=[device], reasons={EVIL: np.isnan(costs)})
    quality = pd.Series(np.arange(30.0), index=SPACE.format_all(archs), name=EVIL)
    path = tmp_path / "r.html"
    data = shown(table, path, title=EVIL, quality=quality)
    elements = _Elements()
    elements.feed(path.read_text("utf-8"))
    assert [script.get("type") for script in elements.scripts] == ["application/json", None, "text/plain"]
    target = data["targets"][0]
    assert [target["device"], target["hardware"], target["runtime"], data["networks"]["quality"]["name"]] == [
        name,
        EVIL,
        EVIL,
        EVIL,
    ]
    assert EVIL in "".join(elements.text)  # the title


def test_plotly_is_packed_into_the_page(page: Path) -> None:
    from plotly.offline import get_plotlyjs

    packed = re.search(r'<script type="text/plain" id="plotly">(.*?)</script>', page.read_text("utf-8"), re.S)
    assert packed is not None
    assert gzip.decompress(base64.b64decode(packed[1])).decode() == get_plotlyjs()


def test_the_page_asks_the_network_for_nothing(page: Path) -> None:
    elements = _Elements()
    elements.feed(page.read_text("utf-8"))
    assert all(link is not None and link.startswith(("#", "data:")) for link in elements.links)
    assert "default-src 'none'" in page.read_text("utf-8")


@pytest.mark.slow
def test_the_whole_space_on_ten_targets_is_under_8_megabytes(tmp_path: Path) -> None:
    archs = SPACE.at(np.arange(15_625))
    rng = np.random.default_rng(0)
    costs = costs_of(archs)[:, None] * rng.uniform(0.9, 1.1, (15_625, 10))
    costs[::3, 4] = np.nan
    table = CostTable(SPACE, archs, costs, [f"device{k}/latency" for k in range(10)])
    part = table.rows(np.arange(0, 15_625, 40))
    evaluation = evaluate(part, RIDGE, n_train=100)
    curve = learning_curve(part, RIDGE, sizes=[20], seeds=[0])
    quality = pd.Series(rng.uniform(0, 1, 15_625))  # by index
    given = {"evaluation": evaluation, "curve": curve, "quality": quality, "surrogates": quick(part)}
    path = write_report(table, tmp_path / "r.html", **given)  # type: ignore[arg-type]
    assert path.stat().st_size < 5e6  # 8 MB are promised


def test_one_device_and_ten_architectures(tmp_path: Path) -> None:
    data = data_of(write_report(small_table(10, ("phone",)), tmp_path / "r.html"))
    phone = data["targets"][0]
    assert (phone["evaluation"]["n_train"], phone["evaluation"]["n"]) == (7, 3)
    assert [step["n_train"] for step in phone["curve"]] == [3, 7]
    assert data["correlation"]["order"]["kendall"] == [0]


def test_a_constant_target_and_one_with_hardly_a_cost(tmp_path: Path) -> None:
    table = small_table(40, ("phone", "constant", "empty"))
    costs = np.array(table.costs)
    costs[:, 1] = 2.0
    costs[2:, 2] = np.nan
    table = CostTable(SPACE, table.archs, costs, table.targets)
    data = data_of(write_report(table, tmp_path / "r.html"))
    _, constant, empty = data["targets"]
    assert constant["low"] == constant["high"] == 2.0
    assert np.isnan(decoded(data["correlation"]["kendall"], "<f4")).tolist() == [False, True, True, False, True, False]
    assert constant["evaluation"]["scores"]["kendall_tau"] in (None, 0.0)
    assert empty["evaluation"] is None
    assert empty["no_evaluation"] == "2 costs, 3 are needed."
    assert empty["curve"] is None
    assert empty["no_curve"] == "2 costs, 6 are needed."


def test_one_architecture(tmp_path: Path) -> None:
    data = data_of(write_report(small_table(1), tmp_path / "r.html"))
    assert data["n"] == 1
    assert [target["evaluation"] for target in data["targets"]] == [None, None]


def test_several_configs(tmp_path: Path) -> None:
    archs = SPACE.sample(30, random_state=0)
    configs = ["cifar10", "cifar100", "C8-N1-k10-3x32x32"] * 10
    table = CostTable(SPACE, archs, costs_of(archs)[:, None], ["phone/latency"], configs=configs)
    data = data_of(write_report(table, tmp_path / "r.html"))
    assert "30 networks of 3 network configs" in data["about"]
    assert "takes much longer for networks of 3 configs" in data["evaluated"]
    assert data["networks"]["configs"] == ["cifar10", "cifar100", "C8-N1-k10-3x32x32"]
    assert decoded(data["networks"]["config_number"], "<i4").tolist() == [0, 1, 2] * 10
    assert data["networks"]["n"] == 30


def test_fbnet(tmp_path: Path) -> None:
    space = get_space("fbnet")
    archs = space.sample(40, random_state=0)
    table = CostTable(space, archs, space.batch(archs).macs[:, None] / 1e6, ["phone/latency"])
    data = data_of(write_report(table, tmp_path / "r.html"))
    assert len(data["networks"]["pieces"]) == 23
    assert "index" not in data["networks"]
    assert "default surrogate. More" in data["evaluated"]


def test_for_many_targets_a_quick_model_is_evaluated(tmp_path: Path) -> None:
    data = data_of(write_report(small_table(12, tuple("abcdefghijk")), tmp_path / "r.html"))
    assert "takes much longer for 11 targets of NAS-Bench-201" in data["evaluated"]
    assert data["targets"][0]["evaluation"]["model"] == "ridge"


def test_what_is_no_table_is_refused(table: CostTable, tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    with pytest.raises(InvalidInputError, match="needs a cost table, got BlockTable"):
        write_report(BlockTable({}), path)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="the table has 0 and 2"):
        write_report(table.rows([]), path)
    assert not path.exists()


def test_what_does_not_fit_the_table_is_refused(table: CostTable, tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    other = evaluate(small_table(30, ("watch",)), RIDGE)
    with pytest.raises(InvalidInputError, match="evaluation is of none of the table's targets"):
        write_report(table, path, evaluation=other)
    with pytest.raises(InvalidInputError, match="curve must be an Evaluation, got DataFrame"):
        write_report(table, path, curve=other.scores)  # type: ignore[arg-type]
    for quality, message in (
        (pd.Series([np.nan], [15_000]), "quality has no value for any of the architectures"),
        (pd.Series([np.inf], [0]), "quality must be finite"),
        (np.ones(80), "quality must be a Series by architecture or the path of a CSV file, got ndarray"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            write_report(table, path, quality=quality)  # type: ignore[arg-type]
    with pytest.raises(DataFileError, match="there is no file"):
        write_report(table, path, quality=tmp_path / "none.csv")
    assert not path.exists()


def test_quality_is_read_by_architecture(table: CostTable, tmp_path: Path) -> None:
    file = tmp_path / "accuracy.csv"
    index = int(SPACE.index(table.archs[:1])[0])
    file.write_text(f"architecture,top-1 (%)\n{index},90.5\n{SPACE.format(table.archs[4:5])},91\n")
    expected = np.full(15_625, np.nan, np.float32)
    expected[[0, 4]] = 90.5, 91
    series = pd.Series([91, 90.5], index=[SPACE.format(table.archs[4]), SPACE.format(table.archs[0])])
    for given, name in ((file, "top-1 (%)"), (series, "quality"), (series.rename("top-1"), "top-1")):
        quality = shown(table, tmp_path / "r.html", quality=given)["networks"]["quality"]
        assert quality["name"] == name
        np.testing.assert_array_equal(decoded(quality["values"], "<f4"), expected)


def test_without_plotly_the_extra_is_named(table: CostTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imports = builtins.__import__

    def without(name: str, *more: Any, **named: Any) -> Any:
        if name.startswith("plotly"):
            raise ImportError(name)
        return imports(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"the extra 'report', for .* is not installed: pip install"):
        write_report(table, tmp_path / "r.html")


def test_of_many_devices_some_are_evaluated_and_shown_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_relations, "MOST_SHOWN", 6)
    rng = np.random.default_rng(0)
    archs = SPACE.sample(20, random_state=0)
    costs = rng.uniform(1, 3, (20, 6)) @ rng.uniform(0, 1, (6, 8))
    table = CostTable(SPACE, archs, costs, [f"device{k:02}/latency" for k in range(8)])
    data = data_of(write_report(table, tmp_path / "report.html", surrogates=quick(table)))
    assert len(data["shown"]) == 6
    evaluated = [target["device"] for target in data["targets"] if target["evaluation"]]
    assert evaluated == data["shown"]
    left = next(target for target in data["targets"] if target["device"] not in evaluated)
    assert left["no_evaluation"] == left["no_curve"]
    assert "of 8 targets, 6 are evaluated" in left["no_curve"]
    # They are spread over what is similar: no two that are left out stand side by side in the order.
    places = [data["correlation"]["order"]["kendall"].index(k) for k in range(8) if not data["targets"][k]["curve"]]
    assert np.diff(sorted(places)).min() > 1


def test_many_devices_are_compared_over_a_sample_of_the_rows() -> None:
    rng = np.random.default_rng(0)
    costs = rng.uniform(1, 3, (5000, 6)) @ rng.uniform(0, 1, (6, 60))
    table = CostTable(SPACE, np.arange(5000), costs, [f"device{k:02}/latency" for k in range(60)])
    found = relations(table, seed=0)
    assert found.n_rows == 2000
    exact = correlation(table, targets=table.targets[:5]).to_numpy()
    assert found.matrices["kendall"].to_numpy()[:5, :5] == pytest.approx(exact, abs=0.05)
    assert relations(table.select(table.targets[:40]), seed=0).n_rows == 5000


def test_rows_of_mostly_missing_costs_are_compared_too() -> None:
    rng = np.random.default_rng(0)
    costs = rng.uniform(1, 3, (1000, 600))
    costs[rng.random(costs.shape) > 0.1] = np.nan
    table = CostTable(SPACE, np.arange(1000), costs, [f"device{k:03}/latency" for k in range(600)])
    assert relations(table, seed=0).n_rows == 1000


def test_a_page_of_hundreds_of_devices_takes_seconds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    costs = rng.uniform(1, 3, (60, 2)) @ rng.uniform(0, 1, (2, 500))
    costs[rng.random(costs.shape) > 0.3] = np.nan
    table = CostTable(SPACE, np.arange(60), costs, [f"device{k:03}/latency" for k in range(500)])
    related = relations(table, 0)
    first = table.targets[:1]
    offered = candidates(table, first, None, quick(table.select(first)), None, 0)
    begin = time.process_time()
    data = payload(table, related, (None, {}, ""), (None, {}, ""), offered)
    assert time.process_time() - begin < 1
    assert len(data["targets"]) == 500
    assert len(decoded(data["correlation"]["kendall"], "<f4")) == 500 * 501 / 2


def test_a_table_of_graphs_has_its_page(tmp_path: Path) -> None:
    table = zoo_table(4)
    made = data_of(write_report(table, tmp_path / "zoo.html"))
    assert made["networks"]["texts"] == list(table.names)
    assert made["about"] == "48 networks; latency of 2 devices."
    assert made["ops"][0] == "conv"
    assert not made["cut_off"]
    shares = made["networks"]["shares"][0]
    assert len(shares) == 40
    assert all(sum(share for _, share in parts) == pytest.approx(1, abs=1e-3) for parts in shares.values())
    (phone, _) = made["targets"]
    assert phone["evaluation"]["n"] == 16
    assert {entry["op"] for entry in phone["residuals"]} <= set(made["ops"])


def test_a_page_of_graphs_shows_the_group_held_out_and_accuracies_by_name(tmp_path: Path) -> None:
    table = zoo_table(2)
    evaluation = evaluate(table, Surrogate(None, model="ridge", calibrate=False), by="family")
    accuracy = pd.Series(np.arange(len(table), dtype=float), index=table.names, name="top1")
    page = data_of(write_report(table, tmp_path / "page.html", evaluation=evaluation, quality=accuracy))
    assert page["networks"]["quality"]["name"] == "top1"
    shown = page["targets"][0]["evaluation"]
    assert shown["n"] == len(table) // 2
    assert {page["held_out"][number].split("-")[0] for number in shown["archs"]} == {"plain"}
