"""Spaces of one's own: registered, they work wherever the built-in ones do."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate import CostTable, Surrogate, load_table
from hwnas_surrogate.data import write_parquet
from hwnas_surrogate.errors import InvalidArchitectureError, InvalidInputError
from hwnas_surrogate.features import LayerPhysics
from hwnas_surrogate.graphs import VIEWS
from hwnas_surrogate.search import suggest
from hwnas_surrogate.spaces import NASBench201, get_space, register_space, registry, space_names
from hwnas_surrogate.trainers import TransferSurrogate, fit_sources
from tests.spaces.toy import GraphsOnly, ToyConfig, ToySpace

BUILT_IN = ("nasbench201", "fbnet", "natsbench-size")


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> ToySpace:
    """Register the toy for one test."""
    monkeypatch.setattr(registry, "_spaces", dict(registry._spaces))
    register_space(ToySpace)
    space = get_space("toy")
    assert isinstance(space, ToySpace)
    return space


def costs_of(space: ToySpace, archs: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return costs in ms with one per cent of noise."""
    noise = np.exp(0.01 * np.random.default_rng(seed).standard_normal(len(archs)))
    return (space.batch(archs).macs / 1e6 + 0.3) * noise


def test_the_built_in_spaces_are_there_without_it() -> None:
    assert space_names() == BUILT_IN
    with pytest.raises(InvalidInputError, match="unknown search space 'toy'"):
        get_space("toy")


def test_a_registered_space_is_known_by_its_name(toy: ToySpace) -> None:
    assert space_names() == (*BUILT_IN, "toy")
    assert get_space("toy") is get_space(toy) is toy
    assert register_space(ToySpace) is ToySpace


def test_two_spaces_of_one_name_are_refused(toy: ToySpace) -> None:
    class Other(ToySpace):
        pass

    with pytest.raises(InvalidInputError, match=r"search space 'toy' already \(tests\.spaces\.toy\.ToySpace\)"):
        register_space(Other)

    class Disguised(ToySpace):
        name = "nasbench201"

    with pytest.raises(InvalidInputError, match="there is a search space 'nasbench201' already"):
        register_space(Disguised)


@pytest.mark.parametrize("given", [NASBench201(), "toy", int, None])
def test_what_is_no_space_is_refused(given: object) -> None:
    with pytest.raises(InvalidInputError, match="register_space takes a subclass of SearchSpace"):
        register_space(given)  # type: ignore[type-var]


def test_a_space_without_a_name_is_refused() -> None:
    class Nameless(ToySpace):
        name = ""

    with pytest.raises(InvalidInputError, match="a search space has a name; Nameless has ''"):
        register_space(Nameless)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("toy", "tests.spaces.toy:ToySpace", None),
        ("toy", "tests.spaces.nowhere:ToySpace", "can't be imported"),
        ("toy", "tests.spaces.toy:Absent", "can't be imported"),
        ("other", "tests.spaces.toy:ToySpace", "brings a space of another name"),
    ],
)
def test_installed_packages_bring_spaces(
    name: str, value: str, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint(name, value, registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "_spaces", dict(registry._spaces))
    monkeypatch.setattr(registry, "_brought", lambda: (name,))
    monkeypatch.setattr(registry, "entry_points", lambda **_: (point,))
    assert space_names() == (*BUILT_IN, name)
    if said is None:
        assert isinstance(get_space(name), ToySpace)
    else:
        with pytest.raises(InvalidInputError, match=said):
            get_space(name)


def test_columns_of_the_other_spaces_stay_as_they_are(toy: ToySpace, monkeypatch: pytest.MonkeyPatch) -> None:
    archs = get_space("nasbench201").sample(20, 0)
    with_toy = LayerPhysics("nasbench201").transform(archs)
    monkeypatch.undo()
    np.testing.assert_array_equal(LayerPhysics("nasbench201").transform(archs), with_toy)


@pytest.mark.parametrize("view", VIEWS)
def test_its_tables_and_its_graphs_agree(toy: ToySpace, view: Any) -> None:
    batch = toy.batch(toy.sample(30, 0))
    graphs = batch.graphs()
    assert set(graphs.distinct(view)) <= set(batch.distinct(view))
    for figure in ("macs", "params", "activation_bytes"):
        assert batch.total(figure, view).tolist() == graphs.total(figure, view).tolist()  # type: ignore[arg-type]


@pytest.mark.parametrize("view", VIEWS)
def test_a_space_without_tables_has_the_same_sums(toy: ToySpace, view: Any) -> None:
    register_space(GraphsOnly)
    archs = toy.sample(40, 0)
    configs = [ToyConfig(num_classes=10 + row % 3) for row in range(40)]
    counted, told = get_space("graphs_only").batch(archs, configs), toy.batch(archs, configs)
    assert set(counted.distinct(view)) <= set(told.distinct(view))
    for batch in (counted, told):
        assert len(set(batch.distinct(view))) == len(batch.distinct(view))
    values = {op: np.sqrt(np.add(number, [0.5, 7.5])) for number, op in enumerate(told.distinct(view))}
    sums = [
        batch.sums([values[op] for op in batch.distinct(view)], view)
        for batch in (counted, told, counted.take(range(40)))
    ]
    np.testing.assert_allclose(sums[0], sums[1], rtol=1e-11)
    np.testing.assert_array_equal(sums[0], sums[2])
    for figure in ("macs", "params", "activation_bytes"):
        assert counted.total(figure, view).tolist() == told.total(figure, view).tolist()  # type: ignore[arg-type]


def test_a_space_without_tables_counts_each_graph_once(toy: ToySpace, monkeypatch: pytest.MonkeyPatch) -> None:
    register_space(GraphsOnly)
    space, made = get_space("graphs_only"), list[str]()

    def graph(self: ToySpace, arch: Any, config: Any = None) -> Any:
        made.append(self.format(arch))
        return ToySpace.graph(self, arch, config)

    monkeypatch.setattr(GraphsOnly, "graph", graph)
    batch = space.batch(toy.sample(5, 0))
    for view in VIEWS:
        batch.total("macs", view)  # type: ignore[arg-type]
    assert len(made) == 5


def test_strings_of_other_spaces_are_told(toy: ToySpace) -> None:
    with pytest.raises(InvalidArchitectureError, match="but one of Toy: give space='toy'"):
        get_space("fbnet").as_array(["w8-w8-w8-w8-w8-w8".replace("-", "|")])


def test_tables_of_it_are_written_and_read(toy: ToySpace, tmp_path: Path) -> None:
    archs = toy.sample(40, 0)
    table = CostTable(toy, archs, costs_of(toy, archs)[:, None], ["pi/latency"])
    again = load_table(write_parquet(table, tmp_path / "toy.parquet"))
    assert isinstance(again, CostTable)
    assert again.space is toy
    np.testing.assert_array_equal(again.costs, table.costs)
    path = tmp_path / "toy.csv"
    lines = [f"{text},{cost!r}" for text, cost in zip(toy.format_all(archs), table.costs[:, 0].tolist(), strict=True)]
    path.write_text("arch_str,pi/latency (ms)\n" + "\n".join(lines) + "\n")
    imported = load_table(path, space="toy")
    assert isinstance(imported, CostTable)
    np.testing.assert_array_equal(imported.costs, table.costs)


def test_surrogates_are_trained_saved_and_adapted_on_it(toy: ToySpace, tmp_path: Path) -> None:
    archs, asked = toy.sample(30, 0), toy.sample(500, 1)
    truth = costs_of(toy, asked, 1)
    surrogate = Surrogate("toy").fit(archs, costs_of(toy, archs))
    assert surrogate.score(asked, truth) > 0.95
    low, high = surrogate.predict_interval(asked).T
    assert ((low <= truth) & (truth <= high)).mean() > 0.8
    loaded = Surrogate.load(surrogate.save(tmp_path / "saved"))
    np.testing.assert_array_equal(loaded.predict(asked), surrogate.predict(asked))
    chosen = suggest("toy", 10, random_state=0)
    table = CostTable(toy, asked, truth[:, None], ["other/latency"])
    adapted = TransferSurrogate("toy", fit_sources(table)).fit(chosen.archs, 2 * costs_of(toy, chosen.archs))
    assert adapted.score(asked, truth) > 0.95


def test_a_source_of_another_space_speaks_for_it(toy: ToySpace) -> None:
    other = load_table(space="nasbench201")
    assert isinstance(other, CostTable)
    sources = fit_sources(other.rows(range(300)).select(["epyc-torch-1t/latency"]))
    archs, asked = toy.sample(10, 0), toy.sample(300, 1)
    surrogate = TransferSurrogate("toy", sources).fit(archs, costs_of(toy, archs))
    assert surrogate.score(asked, costs_of(toy, asked, 1)) > 0.9
