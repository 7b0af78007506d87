from __future__ import annotations

import base64
import builtins
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from hwnas_surrogate.data import BlockTable, CostTable, Device, Target
from hwnas_surrogate.errors import DataFileError, InvalidInputError, MissingExtraError
from hwnas_surrogate.evaluation import evaluate, learning_curve
from hwnas_surrogate.evaluation.report import read_quality, write_report
from hwnas_surrogate.spaces import get_space
from hwnas_surrogate.trainers import Surrogate

pytest.importorskip("plotly")
SPACE = get_space("nasbench201")
RIDGE = Surrogate(encoder="onehot", model="ridge")
EVIL = "<script>alert(1)<\\script>&\"'</script><!--"


def costs_of(archs: Any) -> Any:
    macs = SPACE.layers(archs).macs / 1e6
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
    archs = decoded(data["archs"], "i1").reshape(80, 6)
    np.testing.assert_array_equal(archs, table.archs)
    np.testing.assert_array_equal(decoded(data["index"], "<i4"), SPACE.index(table.archs))
    texts = [
        "".join(
            [data["pieces"][0], *(data["ops"][op] + piece for op, piece in zip(arch, data["pieces"][1:], strict=True))]
        )
        for arch in archs
    ]
    assert texts == SPACE.format_all(table.archs)
    np.testing.assert_allclose(decoded(data["macs"], "<f4"), SPACE.layers(table.archs).macs / 1e6, rtol=1e-6)


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
    assert found["kendall"][0][1] == pytest.approx(expected, abs=1e-5)
    assert found["common"] == [[80, 73], [73, 73]]
    assert sorted(found["order"]["kendall"]) == [0, 1]


def test_devices_alike_stand_side_by_side(tmp_path: Path) -> None:
    archs = SPACE.sample(60, random_state=0)
    first, second = np.random.default_rng(1).uniform(1, 2, (2, 60))
    costs = np.column_stack([first, second, first + 0.01 * second, second + 0.01 * first])
    table = CostTable(SPACE, archs, costs, ["a/latency", "b/latency", "c/latency", "d/latency"])
    order = data_of(write_report(table, tmp_path / "r.html"))["correlation"]["order"]["spearman"]
    assert {frozenset(order[:2]), frozenset(order[2:])} == {frozenset({0, 2}), frozenset({1, 3})}


def test_residuals_are_means_over_the_held_out_architectures_with_an_op(table: CostTable, tmp_path: Path) -> None:
    evaluation = evaluate(table, RIDGE, n_train=50, n_test=20)
    data = data_of(write_report(table, tmp_path / "r.html", evaluation=evaluation))
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
    data = data_of(write_report(table, tmp_path / "r.html", evaluation=evaluation, curve=curve))
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
        write_report(table, tmp_path / "file" / "report.html")
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
    quality = pd.Series(np.arange(30.0), name=EVIL)
    path = write_report(table, tmp_path / "r.html", title=EVIL, quality=quality)
    elements = _Elements()
    elements.feed(path.read_text("utf-8"))
    assert [script.get("type") for script in elements.scripts] == [None, "application/json", None]
    data = data_of(path)
    target = data["targets"][0]
    assert [target["device"], target["hardware"], target["runtime"], data["quality"]["name"]] == [
        name,
        EVIL,
        EVIL,
        EVIL,
    ]
    assert EVIL in "".join(elements.text)  # the title


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
    part = table.rows(np.arange(0, 15_625, 100))
    evaluation = evaluate(part, RIDGE, n_train=50)
    curve = learning_curve(part, RIDGE, sizes=[20], seeds=[0])
    path = write_report(
        table, tmp_path / "r.html", evaluation=evaluation, curve=curve, quality=rng.uniform(0, 1, 15_625)
    )
    assert path.stat().st_size < 8e6


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
    assert data["correlation"]["kendall"][1][1] is None
    assert constant["evaluation"]["scores"]["kendall_tau"] in (None, 0.0)
    assert empty["evaluation"] is None
    assert "2 architectures can't be split" in empty["no_evaluation"]
    assert empty["curve"] is None
    assert empty["no_curve"] == "it has 2 costs, a curve needs 6."


def test_one_architecture(tmp_path: Path) -> None:
    data = data_of(write_report(small_table(1), tmp_path / "r.html"))
    assert data["n"] == 1
    assert [target["evaluation"] for target in data["targets"]] == [None, None]


def test_several_configs(tmp_path: Path) -> None:
    archs = SPACE.sample(30, random_state=0)
    configs = ["cifar10", "cifar100", "C8-N1-k10-3x32x32"] * 10
    table = CostTable(SPACE, archs, costs_of(archs)[:, None], ["phone/latency"], configs=configs)
    data = data_of(write_report(table, tmp_path / "r.html"))
    assert "3 network configs" in data["about"]
    assert data["configs"] == ["cifar10", "cifar100", "C8-N1-k10-3x32x32"]
    assert decoded(data["config_number"], "<i4").tolist() == [0, 1, 2] * 10


def test_fbnet(tmp_path: Path) -> None:
    space = get_space("fbnet")
    archs = space.sample(40, random_state=0)
    table = CostTable(space, archs, space.layers(archs).macs[:, None] / 1e6, ["phone/latency"])
    data = data_of(write_report(table, tmp_path / "r.html"))
    assert len(data["pieces"]) == 23
    assert "index" not in data


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
    for wrong in (np.ones(3), np.full(80, np.nan), np.full(80, np.inf)):
        with pytest.raises(InvalidInputError, match="quality must hold a number for each of the table's 80 rows"):
            write_report(table, path, quality=wrong)
    with pytest.raises(InvalidInputError, match="quality must be numbers"):
        write_report(table, path, quality=["a"] * 80)
    assert not path.exists()


def test_quality_is_read_by_architecture(table: CostTable, tmp_path: Path) -> None:
    file = tmp_path / "accuracy.csv"
    index = int(SPACE.index(table.archs[:1])[0])
    file.write_text(f"architecture,accuracy\n{index},90.5\n{SPACE.format(table.archs[4:5])},91\n")
    quality = read_quality(file, table)
    assert quality.name == "accuracy"
    assert quality.dropna().to_dict() == {0: 90.5, 4: 91.0}
    data = data_of(write_report(table, tmp_path / "r.html", quality=quality))
    assert data["quality"]["name"] == "accuracy"
    np.testing.assert_array_equal(decoded(data["quality"]["values"], "<f4"), quality.to_numpy(np.float32))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arch,accuracy\n1,2\n", "must have two columns"),
        ("architecture,accuracy\n1,high\n", "line 2: accuracy must be a finite number, got 'high'"),
        ("architecture,accuracy\n1,2\n1,3\n", "names 1 architecture"),
        ("architecture,accuracy\n", "none of the table's architectures"),
        ("", "can't be read as CSV"),
    ],
)
def test_a_quality_file_that_is_none_is_refused(table: CostTable, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "q.csv").write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        read_quality(tmp_path / "q.csv", table)


def test_without_plotly_the_extra_is_named(table: CostTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imports = builtins.__import__

    def without(name: str, *more: Any, **named: Any) -> Any:
        if name.startswith("plotly"):
            raise ImportError(name)
        return imports(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pip install 'hwnas-surrogate\[report\]'"):
        write_report(table, tmp_path / "r.html")
