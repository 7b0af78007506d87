"""Peak memory: a maximum over what lives at once, of architectures and of graphs alike."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas_surrogate import Surrogate, get_space
from hwnas_surrogate.checks import check_encoder
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features import PeakMemory
from hwnas_surrogate.graphs import VIEWS, GraphBatch, GraphBuilder
from hwnas_surrogate.spaces import SearchSpace, space_names
from tests.spaces.toy import ToySpace

every_space = pytest.mark.parametrize("space", [*map(get_space, space_names()), ToySpace()], ids=str)
MIB = 2**20


@every_space
@pytest.mark.parametrize("view", VIEWS)
def test_architectures_have_the_peak_of_their_graphs(space: SearchSpace, view: str) -> None:
    archs = space.sample(6, 1)
    configs = [[*space.configs.values()][row % len(space.configs)] for row in range(6)]
    batch = space.batch(archs[[0, 1, 2, 3, 4, 5, 0]], [*configs, configs[0]])
    assert batch.peak_memory(view).tolist() == batch.graphs().peak_memory(view).tolist()  # type: ignore[arg-type]


def test_the_columns_by_hand() -> None:
    build = GraphBuilder()
    x = build.input((1, 4, 512, 512))  # 4 MiB
    y = build.conv(x, 8, 3)  # 8 MiB, beside what it reads
    graph = build.graph(build.add(build.relu(y), y))  # relu and y, then their sum beside both
    columns = PeakMemory(None, ["all"]).frame(GraphBatch([graph]))
    assert columns.to_numpy().ravel().tolist() == [24.0, 4 * 8 * 4 * 9 / MIB]
    assert columns.columns.tolist() == ["memory:peak_all", "memory:weights"]


def test_the_encoder_keeps_the_laws() -> None:
    for space in ("nasbench201", None):
        check_encoder(PeakMemory(space))


def test_an_unknown_view_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="unknown view 'compiled'"):
        PeakMemory(views=["compiled"]).transform([0])  # type: ignore[list-item]
    with pytest.raises(InvalidInputError, match="unknown view 'compiled'"):
        get_space("nasbench201").batch([0]).peak_memory("compiled")  # type: ignore[arg-type]


def test_a_peak_is_learned_from_ten_measurements_where_no_sum_is() -> None:
    space = get_space("nasbench201")
    archs = space.sample(70, 8)
    batch = space.batch(archs)
    peak = batch.peak_memory("folded") / MIB * 1.2 + batch.params * 4 / MIB + 3
    assert len(set(peak.round(6))) > 20
    fitted = Surrogate(metric="peak_memory").fit(archs[:10], peak[:10])
    np.testing.assert_allclose(fitted.predict(archs[10:]), peak[10:], rtol=1e-3)
    sums = Surrogate(encoder="combined", metric="peak_memory").fit(archs[:10], peak[:10]).predict(archs[10:])
    assert np.abs(sums / peak[10:] - 1).max() > 0.01


def test_the_peak_of_graphs_is_learned_too() -> None:
    space = ToySpace()
    graphs = space.batch(space.sample(40, 2)).graphs()
    peak = graphs.peak_memory() / MIB + graphs.params * 4 / MIB
    fitted = Surrogate(metric="peak_memory").fit(graphs.take(range(20)), peak[:20])
    np.testing.assert_allclose(fitted.predict(graphs.take(range(20, 40))), peak[20:], rtol=1e-3)
