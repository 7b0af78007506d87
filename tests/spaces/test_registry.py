"""Spaces of one's own: registered, they work wherever the built-in ones do."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from hwnas_surrogate import CostTable, Surrogate, load_table
from hwnas_surrogate.data import write_parquet
from hwnas_surrogate.errors import InvalidArchitectureError, InvalidInputError
from hwnas_surrogate.features import LayerPhysics
from hwnas_surrogate.graphs import GraphBatch
from hwnas_surrogate.spaces import NASBench201, get_space, register_space, registry, space_names
from hwnas_surrogate.trainers import TransferSurrogate, fit_sources, suggest
from tests.spaces.toy import ToySpace


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
    return (space.layers(archs).macs / 1e6 + 0.3) * noise


def test_there_are_two_spaces_without_it() -> None:
    assert space_names() == ("nasbench201", "fbnet")
    with pytest.raises(InvalidInputError, match="unknown search space 'toy'"):
        get_space("toy")


def test_a_registered_space_is_known_by_its_name(toy: ToySpace) -> None:
    assert space_names() == ("nasbench201", "fbnet", "toy")
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
    assert space_names() == ("nasbench201", "fbnet", name)
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


def test_its_graphs_and_its_layers_agree(toy: ToySpace) -> None:
    archs = toy.sample(30, 0)
    batch, layers = GraphBatch([toy.graph(arch) for arch in archs]), toy.layers(archs)
    assert batch.sums([op.macs for op in batch.distinct()]).tolist() == layers.macs.tolist()
    assert batch.sums([op.params for op in batch.distinct()]).tolist() == layers.params.tolist()


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
