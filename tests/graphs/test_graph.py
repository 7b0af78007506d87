"""Operators and graphs: figures, equality, JSON, and what is refused."""

import base64
import json
import os
import pickle
import random
import subprocess
import sys

import pytest

from hwnas_surrogate.errors import InvalidGraphError
from hwnas_surrogate.graphs import DTYPES, VIEWS, Graph, GraphBatch, GraphBuilder, Node, Op, TensorSpec
from hwnas_surrogate.spaces import get_space


def spec(*shape, dtype="float32"):
    return TensorSpec(shape, dtype)


def chain():
    build = GraphBuilder()
    x = build.input((1, 3, 8, 8))
    return build.graph(build.relu(build.conv(x, 4, 3)))


def diamond():
    """Return a value that two branches of different length read, as builder and values."""
    build = GraphBuilder()
    x = build.input((1, 4, 8, 8))
    left = build.relu(build.conv(x, 4, 3))
    right = build.conv(x, 4, 1)
    return build, x, left, right


def test_figures_of_a_convolution_follow_from_its_shapes():
    op = Op("conv", (spec(2, 6, 9, 11),), (spec(2, 8, 5, 11),), (spec(8, 3, 3, 1), spec(8)), kernel=(3, 1), groups=2)
    assert op.macs == 2 * 8 * 5 * 11 * 3 * 3
    assert op.params == 8 * 3 * 3 + 8
    assert (op.bytes_read, op.bytes_written) == (4 * 2 * 6 * 9 * 11, 4 * 2 * 8 * 5 * 11)


def test_bytes_depend_on_the_number_format():
    op = Op("quantize", (spec(10),), (spec(10, dtype="int8"),))
    assert (op.bytes_read, op.bytes_written, op.activation_bytes, op.dtype) == (40, 10, 50, "int8")


def test_kinds_that_no_rule_knows_count_with_their_bytes():
    op = Op("fancy_new_op", (spec(3, 4),), (spec(3, 4),))
    assert (op.macs, op.activation_bytes) == (0, 96)


def test_views_move_nothing():
    assert Op("view", (spec(3, 4),), (spec(12),)).activation_bytes == 0


@pytest.mark.parametrize(
    ("first", "second", "written", "macs"),
    [
        ((5, 8), (4, 8), (5, 4), 160),
        ((2, 5, 8), (8, 4), (2, 5, 4), 320),
        ((2, 3, 5, 8), (2, 3, 8, 4), (2, 3, 5, 4), 960),
        ((8,), (8, 3), (3,), 24),
        ((3, 8), (8,), (3,), 24),
        ((8,), (8,), (), 8),
    ],
)
def test_matrix_products_of_any_number_of_dimensions(first, second, written, macs):
    assert Op("matmul", (spec(*first), spec(*second)), (spec(*written),)).macs == macs


@pytest.mark.parametrize(
    "op",
    [
        lambda: Op("conv", (spec(1, 4, 8, 8),), (spec(1, 8, 8, 8),), (spec(8, 3, 3, 3),), kernel=(3, 3)),
        lambda: Op("conv", (spec(1, 4, 8, 8),), (spec(1, 8, 8, 8),), (spec(8, 4, 3, 3),), kernel=(5, 5)),
        lambda: Op("conv", (spec(1, 4, 8, 8),), (spec(1, 8, 8, 8),), (spec(8, 1, 3, 3),), kernel=(3, 3), groups=3),
        lambda: Op("conv", (spec(1, 4, 8, 8),), (spec(1, 8, 8, 8),)),
        lambda: Op("matmul", (spec(5, 7), spec(4, 8)), (spec(5, 4),)),
        lambda: Op("attention", (spec(1, 2, 3, 4), spec(1, 2, 3, 5), spec(1, 2, 3, 4)), (spec(1, 2, 3, 4),)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(op):
    with pytest.raises(InvalidGraphError, match="do not fit together: reads"):
        op()


@pytest.mark.parametrize("shape", [(1, None), (1, -2), (1, 2.0), [1, 2], (1, "n"), (True,)])
def test_unknown_sizes_are_refused(shape):
    with pytest.raises(InvalidGraphError, match="a shape is a tuple of whole numbers"):
        TensorSpec(shape)


def test_unknown_number_formats_are_refused_by_name():
    with pytest.raises(InvalidGraphError, match="Did you mean 'float32'"):
        TensorSpec((1,), "float3")


def test_operators_have_a_kind_and_write_something():
    with pytest.raises(InvalidGraphError, match="writes nothing"):
        Op("relu", (spec(1),), ())
    with pytest.raises(InvalidGraphError, match="kind of an operator"):
        Op("", (spec(1),), (spec(1),))


RELU = Op("relu", (spec(2),), (spec(2),))


@pytest.mark.parametrize(
    ("nodes", "outputs", "said"),
    [
        ([], [0], "at least one operator"),
        ([Node(RELU, (1,))], [1], "reads value 1, which nothing before it writes"),
        ([Node(RELU, (2,)), Node(RELU, (1,))], [1], "stand after those"),
        ([Node(RELU, (-1,))], [1], "which nothing before it writes"),
        ([Node(RELU, ())], [1], "reads 0 values, its operator takes 1"),
        ([Node(RELU, (0,))], [2], "output 2 is no value"),
        ([Node(RELU, (0,))], ["1"], "output '1' is no value"),
        ([Node(RELU, (0.0,))], [1], "reads value 0.0"),
        ([Node(RELU, (0,))], [], "returns at least one value"),
        ([Node(Op("relu", (spec(3),), (spec(3),)), (0,))], [1], "but it is"),
        ([Node(Op("prelu", (spec(2),), (spec(2),), (spec(1),)), (0,), (0,))], [1], "reads weight 0"),
    ],
)
def test_graphs_that_are_none_are_refused(nodes, outputs, said):
    with pytest.raises(InvalidGraphError, match=said):
        Graph([spec(2)], nodes, outputs)


def test_the_order_of_independent_nodes_does_not_matter():
    build, x, left, right = diamond()
    one = build.graph(build.add(left, right))
    other = GraphBuilder()
    x = other.input((1, 4, 8, 8))
    right = other.conv(x, 4, 1)
    left = other.relu(other.conv(x, 4, 3))
    two = other.graph(other.add(left, right))
    assert one == two
    assert hash(one) == hash(two)
    assert one.digest == two.digest


def test_what_is_read_where_matters():
    def graph(first, second):
        build, x, left, right = diamond()
        names = {"x": x, "left": left, "right": right}
        return build.graph(build.concat([names[first], names[second]]))

    graphs = [graph(*pair) for pair in [("left", "right"), ("right", "left"), ("x", "left"), ("left", "left")]]
    assert len(set(graphs)) == 4


def test_who_reads_equal_operators_matters():
    """The same operators, once in two branches and once in one and a dead end."""

    def graph(dead_end):
        build = GraphBuilder()
        x = build.input((1, 4, 8, 8))
        a, b = build.conv(x, 4, 3), build.conv(x, 4, 3)
        c, d = build.conv(a, 4, 3), build.conv(a if dead_end else b, 4, 3)
        return build.graph(build.add(c, d))

    assert graph(True).counts == graph(False).counts
    assert graph(True) != graph(False)


@pytest.mark.parametrize("name", ["nasbench201", "fbnet"])
def test_shuffled_graphs_are_equal(name):
    space = get_space(name)
    shuffle = random.Random(0)
    for arch in space.sample(5, random_state=0):
        graph = space.graph(arch)
        assert shuffled(graph, shuffle) == graph


def shuffled(graph, shuffle):
    """Return a graph in another order in which its nodes can run, its weights in another order as well."""
    writes = {place: list(values) for place, (_, values) in enumerate(graph.with_writes())}
    weights = list(range(len(graph.weights)))
    shuffle.shuffle(weights)
    place_of = {weight: place for place, weight in enumerate(weights)}
    number = {value: value for value in range(len(graph.inputs))}
    waiting, nodes = list(range(len(graph))), []
    while waiting:
        ready = [place for place in waiting if all(value in number for value in graph.nodes[place].reads)]
        place = shuffle.choice(ready)
        waiting.remove(place)
        node = graph.nodes[place]
        reads = tuple(number[value] for value in node.reads)
        nodes.append(Node(node.op, reads, tuple(place_of[weight] for weight in node.weights)))
        for value in writes[place]:
            number[value] = len(number)
    outputs = [number[value] for value in graph.outputs]
    return Graph(graph.inputs, nodes, outputs, [graph.weights[weight] for weight in weights])


def test_digests_are_the_same_in_every_process():
    code = "from tests.graphs.test_graph import chain; print(chain().digest)"
    for seed in ("1", "2"):
        said = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True
        )
        assert said.stdout.strip() == chain().digest, said.stderr


def test_json_gives_back_the_graph():
    space = get_space("fbnet")
    graph = space.graph(space.sample(1, random_state=3))
    read = Graph.from_json(graph.to_json())
    assert read == graph
    assert read.nodes == graph.nodes
    assert (read.macs, read.params, read.peak_memory) == (graph.macs, graph.params, graph.peak_memory)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"format": 2}', '{"format": 1, "inputs": 3}', "[" * 100_000, '{"format": 1}'],
)
def test_other_texts_are_no_graph(text):
    with pytest.raises(InvalidGraphError, match=r"no graph written by Graph\.to_json"):
        Graph.from_json(text)


def test_damaged_json_is_refused_or_is_a_sound_graph():
    content = json.loads(chain().to_json())
    damage = random.Random(1)
    for _ in range(500):
        broken = json.loads(json.dumps(content))
        spoil(broken, damage)
        try:
            graph = Graph.from_json(json.dumps(broken))
        except InvalidGraphError:
            continue
        assert graph.macs >= 0


def spoil(entry, damage):
    """Replace one thing somewhere by something else."""
    keys = list(entry) if isinstance(entry, dict) else list(range(len(entry)))
    key = damage.choice(keys)
    if isinstance(entry[key], dict | list) and entry[key] and damage.random() < 0.8:
        spoil(entry[key], damage)
    else:
        entry[key] = damage.choice([None, -1, 1e30, "x", [], {}, True, 10**9, [[]]])


def ops_of_every_kind():
    """Return the operators of both spaces in every view, and some that have what these lack."""
    found = set()
    for name in ("nasbench201", "fbnet"):
        space = get_space(name)
        batch = GraphBatch([space.graph(arch) for arch in [*space.sample(5, random_state=0), [0] * space.n_positions]])
        found.update(op for view in VIEWS for op in batch.distinct(view))
    tokens, heads = spec(1, 50, 64), (spec(1, 4, 50, 16),) * 3
    found |= {
        Op("constant", (), (spec(1, 4, dtype="bool"),)),
        Op("relu", (spec(),), (spec(),)),
        Op("split", (spec(4, dtype="int64"),), (spec(1), spec(3)), detail="(1, 3) 'é'"),
        Op("layer_norm", (tokens,), (tokens,), (spec(64), spec(64)), fused=("gelu",)),
        Op("attention", heads, heads[:1], detail="causal"),
        Op("matmul", (spec(1, 1, 64, dtype="bfloat16"), tokens), (tokens,), factors=(tokens, spec(64, 64))),
        Op("conv", (spec(1, 6, 20),), (spec(1, 6, 5),), (spec(6, 2, 3),), (), (3,), (4,), (2,), (1,), 3),
        Op("conv_transpose", (spec(1, 4, 5),), (spec(1, 6, 11),), (spec(4, 6, 3),), kernel=(3,), stride=(2,)),
    }
    return sorted(found, key=repr)


def test_operators_are_written_and_read():
    ops = ops_of_every_kind()
    assert {"conv", "matmul", "batch_norm", "quantize", "copy", "zero", "view"} < {op.kind for op in ops}
    for op in ops:
        read = Op.from_dict(json.loads(json.dumps(op.to_dict())))
        assert read == op
        assert hash(read) == hash(op)
        assert read.to_dict() == op.to_dict()
        assert (read.macs, read.params, read.activation_bytes) == (op.macs, op.params, op.activation_bytes)


def test_operators_that_differ_are_written_differently():
    ops = ops_of_every_kind()
    assert len({json.dumps(op.to_dict(), sort_keys=True) for op in ops}) == len(ops) == len(set(ops))


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_of_every_format_are_written_and_read(dtype):
    for tensor in (spec(dtype=dtype), spec(0, dtype=dtype), spec(2, 3, dtype=dtype)):
        assert TensorSpec.from_list(json.loads(json.dumps(tensor.to_list()))) == tensor
        assert tensor.bytes == tensor.numel * DTYPES[dtype]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": None},
        {"kind": ""},
        {"kind": ["relu"]},
        {"kinds": "relu"},
        {5: "relu"},
        {"outputs": []},
        {"outputs": None},
        {"outputs": 3},
        {"outputs": "float32"},
        {"outputs": ["float32"]},
        {"outputs": [[]]},
        {"outputs": [["float3", 1]]},
        {"outputs": [[["float32"], 1]]},
        {"outputs": [["float32", -1]]},
        {"outputs": [["float32", 1.0]]},
        {"outputs": [["float32", True]]},
        {"outputs": [["float32", "1"]]},
        {"weights": [{"float32": 1}]},
        {"kernel": 3},
        {"kernel": [3.0]},
        {"stride": "ab"},
        {"padding": [[1]]},
        {"groups": 0},
        {"groups": "1"},
        {"groups": None},
        {"fused": "relu"},
        {"fused": [None]},
        {"detail": 5},
        {"kind": "conv"},
        {"kind": "matmul", "inputs": [["float32", 2, 3], ["float32", 4, 5]]},
    ],
    ids=repr,
)
def test_what_is_no_operator_is_refused(wrong):
    sound = {"kind": "relu", "inputs": [["float32", 2]], "outputs": [["float32", 2]]}
    assert Op.from_dict(sound).kind == "relu"
    with pytest.raises((ValueError, TypeError)):  # an InvalidGraphError is a ValueError
        Op.from_dict(sound | wrong)


@pytest.mark.parametrize("entry", [{}, {"outputs": [["float32", 2]]}, [], "", "relu", None, 5], ids=repr)
def test_what_holds_no_operator_is_refused(entry):
    with pytest.raises((ValueError, TypeError)):
        Op.from_dict(entry)


def test_operators_of_another_process_are_equal_ones():
    """Equal operators have equal hashes, though the hashes of texts differ between processes."""
    code = (
        "import base64, pickle; from tests.graphs.test_graph import chain; "
        "chain().counts; print(base64.b64encode(pickle.dumps(chain().ops)).decode())"
    )
    for seed in ("1", "2"):
        said = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True
        )
        theirs = pickle.loads(base64.b64decode(said.stdout))
        assert theirs == chain().ops, said.stderr
        assert set(theirs) == set(chain().ops)


def test_peak_memory_is_that_of_a_slow_reference():
    for name in ("nasbench201", "fbnet"):
        space = get_space(name)
        for arch in space.sample(10, random_state=4):
            graph = space.graph(arch)
            assert graph.peak_memory == slow_peak(graph)


def slow_peak(graph):
    """Return the largest sum over all moments, each value alive if it was made and is still to be read."""
    owner = list(range(len(graph.values)))
    made = dict.fromkeys(range(len(graph.inputs)), 0)
    needed = dict.fromkeys(range(len(graph.inputs)), 0)
    for moment, (node, writes) in enumerate(graph.with_writes()):
        for value in node.reads:
            needed[owner[value]] = moment
        for value in writes:
            if node.op.kind == "view":
                owner[value] = owner[node.reads[0]]
            else:
                made[value] = needed[value] = moment
    for value in graph.outputs:
        needed[owner[value]] = len(graph)
    return max(
        sum(graph.values[value].bytes for value in made if made[value] <= moment <= needed[value])
        for moment in range(len(graph))
    )


def test_graphs_say_what_they_are():
    assert repr(chain()) == "Graph(2 operators, 0.006912 M multiply-adds, 108 parameters)"
