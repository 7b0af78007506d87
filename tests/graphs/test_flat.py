"""Passes over many graphs at once give what a slow reference gives node by node, to the last number."""

import random
from collections import Counter
from functools import cache

import numpy as np
import pytest

from hwnas_surrogate.errors import InvalidGraphError
from hwnas_surrogate.graphs import VIEWS, GraphBatch, GraphBuilder, Op, TensorSpec, folded, fused, live, merged
from hwnas_surrogate.graphs import quantized as quantized_pass
from hwnas_surrogate.graphs.flat import flattened
from hwnas_surrogate.graphs.numbering import Numbers, distinct_rows, spans
from hwnas_surrogate.spaces import get_space
from tests.graphs import reference

IMAGE = (1, 8, 8, 8)
PASSES = {"live": live, "folded": folded, "merged": merged, "fused": fused, "quantized": quantized_pass}


class RandomNetwork:
    """Adds operators of all sorts, in any order, to values of one shape."""

    def __init__(self, rng):
        self.rng, self.build = rng, GraphBuilder()
        self.images = [self.build.input(IMAGE) for _ in range(rng.choice((1, 1, 1, 2)))]
        self.others = [self.build.input((3,), "int64")] if rng.random() < 0.2 else []
        self.tied = [self.build.weight((8, 8, 1, 1)), self.build.weight((8,)), self.build.weight((8,))]

    def image(self):
        """Return a value, more often one of the last ones."""
        return self.rng.choice(self.images[-4:] if self.rng.random() < 0.7 else self.images)

    def add(self):
        self.images.append(self.rng.choice((*(getattr(self, name) for name in SORTS),))(self.image()))

    def conv(self, x):
        groups, kernel = self.rng.choice((1, 1, 8, 2)), self.rng.choice((1, 3))
        return self.build.conv(x, 8, kernel, groups=groups, bias=self.rng.random() < 0.3)

    def conv_norm(self, x):
        return self.build.batch_norm(self.conv(x))

    def norm(self, x):
        return self.build.batch_norm(x)

    def conv_norm_relu(self, x):
        return self.build.relu(self.conv_norm(x))

    def tied_conv(self, x):
        build, spec = self.build, self.build.spec(x)
        op = Op.of("conv", (spec,), (spec,), (TensorSpec((8, 8, 1, 1)),), kernel=(1, 1))
        return build.add_op(op, [x], self.tied[:1])

    def tied_norm(self, x):
        spec, stored = self.build.spec(x), TensorSpec((8,))
        op = Op.of("batch_norm", (spec,), (spec,), (stored,), (stored,))
        return self.build.add_op(op, [x], self.rng.sample(self.tied[1:], 2))

    def activation(self, x):
        return self.build.elementwise(self.rng.choice(("relu", "relu", "relu6", "silu", "sigmoid")), x)

    def twice(self, x):
        kind = self.rng.choice(("relu", "copy", "dropout"))
        return self.build.add(self.build.elementwise(kind, x), self.build.elementwise(kind, x))

    def both_ways(self, x):
        y, kind = self.image(), self.rng.choice(("add", "mul", "sub"))
        self.images.append(self.build.elementwise(kind, x, y))
        return self.build.elementwise(kind, y, x)

    def sum(self, x):
        return self.build.add(x, self.image())

    def sum_of_three(self, x):
        return self.build.elementwise(self.rng.choice(("add", "mul")), x, self.image(), self.image())

    def spread_sum(self, x):
        small = self.build.global_pool(self.image())
        specs = self.build.spec(x), self.build.spec(small)
        return self.build.add_op(Op.of(self.rng.choice(("add", "mul")), specs, specs[:1]), [x, small])

    def squeeze(self, x):
        gate = self.build.conv(self.build.relu(self.build.conv(self.build.global_pool(x), 2, 1, bias=True)), 8, 1)
        gate = self.build.elementwise("sigmoid", gate)
        specs = self.build.spec(x), self.build.spec(gate)
        return self.build.add_op(Op.of("mul", specs, specs[:1]), [x, gate])

    def inception(self, x):
        parts = [self.build.relu(self.build.conv(x, 4, 1)), self.build.conv(self.build.relu(x), 4, 3)]
        return self.build.concat(parts)

    def pool(self, x):
        return self.build.pool(self.rng.choice(("avg_pool", "max_pool")), x, 3, 1, 1)

    def zero(self, x):
        return self.build.elementwise("zero", x)

    def zero_branch(self, x):
        return self.build.add(self.zero(self.rng.choice((self.conv, self.conv_norm, self.pool))(x)), self.image())

    def views(self, x):
        return self.build.view(self.build.view(x, (1, 64, 8)), IMAGE)

    def turned(self, x):
        shown = self.build.view(x, (1, 64, 8), (512, 1, 64))
        if self.rng.random() < 0.3:
            self.images.append(self.build.view(self.build.elementwise("copy", shown), IMAGE))
        return self.build.view(self.build.elementwise(self.rng.choice(("copy", "tanh")), shown), IMAGE)

    def parts(self, x):
        spec, part = self.build.spec(x), TensorSpec((1, 4, 8, 8))
        starts = self.rng.sample((0, 64, 128, 256), self.rng.choice((1, 2, 2, 3)))
        details = ["" if start == 0 else f"(256, 64, 8, 1) from {start}" for start in starts]
        shown = [self.build.add_op(Op.of("view", (spec,), (part,), detail=detail), [x]) for detail in details]
        return self.build.concat([self.build.relu(self.rng.choice(shown)), self.rng.choice(shown)])

    def product(self, x):
        rows = self.build.view(x, (1, 8, 64))
        columns = self.build.view(x, (1, 64, 8), (512, 1, 64))
        scores = self.build.elementwise(self.rng.choice(("relu", "mul", "tanh")), self.build.matmul(rows, columns))
        if self.rng.random() < 0.3:
            columns = self.build.elementwise("tanh", columns)
        return self.build.view(self.build.matmul(columns, scores), IMAGE)

    def scaled(self, x):
        spec, weight = self.build.spec(x), self.build.weight((8, 1, 1))
        op = Op.of("mul", (spec,), (spec,), (TensorSpec((8, 1, 1)),))
        return self.build.add_op(op, [self.rng.choice((self.conv, self.conv_norm, self.pool))(x)], [weight])

    def transformer(self, x):
        build, tokens = self.build, self.build.view(x, (1, 64, 8))
        spec = build.spec(tokens)
        norm = Op.of("layer_norm", (spec,), (spec,), (TensorSpec((8,)),) * 2)
        y = build.add_op(norm, [tokens], [build.weight((8,)), build.weight((8,))])
        heads = [build.linear(y, 8) for _ in range(3)]
        y = build.add(tokens, build.linear(build.add_op(Op.of("attention", (spec,) * 3, (spec,)), heads), 8))
        y = build.linear(build.elementwise("gelu", build.linear(y, 16)), 8)
        return build.view(y, IMAGE)

    def constant(self, x):
        spec = self.build.spec(x)
        kind = self.rng.choice(("constant", "full"))
        return self.build.add(x, self.build.relu(self.build.add_op(Op.of(kind, (), (spec,)), [])))

    def split(self, x):
        spec = self.build.spec(x)
        first = self.build.add_op(Op.of("split", (spec,), (spec, spec), detail="2"), [x])
        self.images.append(first + self.rng.choice((0, 1)))
        return first

    def pool_with_places(self, x):
        """Add a pool whose second output is of whole numbers, as that of PyTorch."""
        spec, places = self.build.spec(x), TensorSpec(IMAGE, "int64")
        op = Op.of("max_pool", (spec,), (spec, places), kernel=(1, 1), stride=(1, 1))
        first = self.build.add_op(op, [x])
        if self.rng.random() < 0.5:
            self.others.append(first + 1)
        return first

    def whole_numbers(self, x):
        if self.others:
            read = self.rng.choice(self.others)
            spec = self.build.spec(read)
            self.others.append(self.build.add_op(Op.of("relu", (spec,), (spec,)), [read]))
            spec = self.build.spec(x)
            return self.build.add_op(Op.of("gather", (spec, self.build.spec(read)), (spec,)), [x, read])
        return self.build.elementwise("tanh", x)

    def graph(self):
        for _ in range(self.rng.randint(1, 30)):
            self.add()
        outputs = [self.images[-1], *(self.image() for _ in range(self.rng.choice((0, 0, 0, 1, 2))))]
        return self.build.graph(*outputs, *self.others[-1:])


SORTS = [name for name, of in vars(RandomNetwork).items() if callable(of) and name not in ("image", "add", "graph")]
SORTS = [name for name in SORTS if not name.startswith("_")]


def random_graphs(n, seed=0):
    return [RandomNetwork(random.Random(f"{seed}/{number}")).graph() for number in range(n)]


def parts(graph):
    return graph.inputs, graph.nodes, graph.outputs, graph.weights, graph.values


def outcome(run, graph):
    """Return all of the graph that a pass makes, or what it says."""
    try:
        return parts(run(graph))
    except InvalidGraphError as error:
        return str(error)


GRAPHS = random_graphs(200)


@cache
def by_reference(name, number):
    """Return what the reference makes of a random graph by a pass or in a view."""
    return outcome(getattr(reference, name, None) or reference.VIEWS[name.removeprefix("view ")], GRAPHS[number])


@pytest.mark.parametrize("name", PASSES)
def test_passes_are_those_of_a_slow_reference(name):
    for number, graph in enumerate(GRAPHS):
        assert outcome(PASSES[name], graph) == by_reference(name, number)


@pytest.mark.parametrize("view", VIEWS)
def test_views_are_those_of_a_slow_reference(view):
    left = 0
    for number, graph in enumerate(GRAPHS):
        wanted = by_reference(f"view {view}", number)
        assert outcome(VIEWS[view], graph) == wanted
        left += not isinstance(wanted, str)
    assert left > 180  # of most, something is left


@pytest.mark.parametrize("view", VIEWS)
def test_batches_count_what_a_slow_reference_leaves(view):
    made = [by_reference(f"view {view}", number) for number in range(len(GRAPHS))]
    sound = [number for number, of in enumerate(made) if not isinstance(of, str)]
    for some in (sound, sound[:1], sound[7:9]):
        wanted = [Counter(node.op for node in made[number][1]) for number in some]
        batch = GraphBatch([GRAPHS[number] for number in some])
        ops = batch.distinct(view)
        assert ops == tuple(dict.fromkeys(op for counts in wanted for op in counts))
        assert [
            Counter({op: n for op, n in zip(ops, row, strict=True) if n}) for row in batch.counts(view).tolist()
        ] == wanted


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", ["nasbench201", "fbnet", "natsbench-size"])
def test_networks_of_spaces_are_those_of_a_slow_reference(name, view):
    space = get_space(name)
    for arch in space.sample(8, random_state=8):
        graph = space.graph(arch)
        assert outcome(VIEWS[view], graph) == outcome(reference.VIEWS[view], graph)


def test_graphs_side_by_side_are_the_graphs():
    for graph, same in zip(GRAPHS, flattened(GRAPHS).graphs(), strict=True):
        used = sorted({weight for node in graph.nodes for weight in node.weights})
        assert (same.inputs, same.outputs, same.values) == (graph.inputs, graph.outputs, graph.values)
        assert same.weights == tuple(graph.weights[weight] for weight in used)
        assert same == graph


def test_the_first_network_that_cant_run_is_named():
    build = GraphBuilder()
    x = build.input(IMAGE)
    nothing = build.graph(build.add(x, build.elementwise("zero", x)))
    batch = GraphBatch([*GRAPHS[:300:30], nothing, nothing])
    sound = len(GRAPHS[:300:30])
    with pytest.raises(InvalidGraphError, match=rf"^network {sound}, view 'live': a graph has at least one operator"):
        batch.distinct("live")
    assert batch.distinct("all")


def test_an_operator_is_looked_at_once_however_many_nodes_are_it(monkeypatch):
    """What the passes decide by the operator costs as much for many networks as for one."""
    called = Counter()
    once = Numbers._once

    def counted(numbers, make, row):
        called[make.__name__, row] += 1
        return once(numbers, make, row)

    monkeypatch.setattr(Numbers, "_once", counted)
    graph = get_space("fbnet").graph([3] * 22)
    for view in VIEWS:
        called.clear()
        GraphBatch([graph]).distinct(view)
        alone = called.copy()
        called.clear()
        GraphBatch([graph] * 100).distinct(view)
        assert called == alone


def test_rows_and_ranges():
    rng = np.random.default_rng(0)
    for size in (1, 3, 10**9):
        columns = rng.integers(0, size, (3, 50))
        columns[:, 20:40] = columns[:, :20]
        first, which = distinct_rows(*columns)
        rows = [tuple(row) for row in columns.T.tolist()]
        assert [rows[first[number]] for number in which] == rows
        assert sorted(first.tolist()) == [rows.index(row) for row in dict.fromkeys(rows)]
    assert [len(part) for part in distinct_rows(np.empty(0, np.intp))] == [0, 0]
    starts, lengths = rng.integers(0, 9, (2, 30))
    wanted = [start + step for start, length in zip(starts, lengths, strict=True) for step in range(length)]
    assert spans(starts, lengths).tolist() == wanted
    assert spans(starts[:0], lengths[:0]).tolist() == []
