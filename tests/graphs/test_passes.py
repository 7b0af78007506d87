"""Passes: small graphs by hand, and NAS-Bench-201's cells against the rules that were derived for them."""

from collections import Counter

import numpy as np
import pytest

from hwnas_surrogate.graphs import VIEWS, GraphBuilder, Op, folded, fused, live, merged, quantized
from hwnas_surrogate.spaces import NASBench201Config, get_space
from hwnas_surrogate.spaces.cells import MERGED, QUANTIZED

SPACE = get_space("nasbench201")
SAMPLE = SPACE.sample(250, random_state=5)


def image():
    build = GraphBuilder()
    return build, build.input((1, 8, 8, 8))


def kinds(graph):
    return [op.kind for op in graph.ops]


def named(graph):
    """Return the kinds of operators, with what each has taken on."""
    return ["+".join([op.kind, *op.fused]) for op in graph.ops if op.kind != "view"]


def test_live_leaves_out_what_no_output_reads():
    build, x = image()
    build.conv(x, 8, 3)
    assert kinds(live(build.graph(build.relu(x)))) == ["relu"]


def test_live_leaves_out_what_only_makes_zeros():
    build, x = image()
    nothing = build.batch_norm(build.conv(build.relu(build.elementwise("zero", x)), 8, 3))
    assert kinds(live(build.graph(build.add(build.conv(x, 8, 1), nothing)))) == ["conv"]


def test_live_keeps_a_bias():
    build, x = image()
    constant = build.conv(build.elementwise("zero", x), 8, 3, bias=True)
    assert kinds(live(build.graph(build.add(x, constant)))) == ["constant", "add"]


def test_live_leaves_a_constant_where_nothing_depends_on_the_input():
    build, x = image()
    assert kinds(live(build.graph(build.relu(build.elementwise("zero", x))))) == ["constant"]


def test_folded_puts_a_zero_into_the_weights_of_a_convolution():
    build, x = image()
    conv = build.batch_norm(build.conv(x, 8, 3))
    graph = build.graph(build.add(build.relu(x), build.elementwise("zero", conv)))
    assert kinds(folded(graph)) == ["conv", "batch_norm", "relu", "add"]


def test_folded_removes_what_is_multiplied_by_zero_elsewhere():
    build, x = image()
    pool = build.pool("avg_pool", x, 3, 1, 1)
    graph = build.graph(build.add(build.relu(x), build.elementwise("zero", pool)))
    assert kinds(folded(graph)) == ["relu"]


def test_folded_runs_what_reads_a_constant_zero():
    build, x = image()
    conv = build.conv(build.elementwise("zero", x), 8, 3)
    assert kinds(folded(build.graph(build.add(x, conv)))) == ["constant", "conv", "add"]


def test_merged_runs_equal_operators_once():
    build, x = image()
    left, right = build.relu(x), build.relu(x)
    graph = build.graph(build.add(build.conv(left, 8, 3), build.conv(right, 8, 3)))
    assert sorted(kinds(merged(graph))) == ["add", "conv", "conv", "relu"]


def test_merged_sums_do_not_depend_on_the_order():
    build, x = image()
    y = build.relu(x)
    graph = build.graph(build.concat([build.add(x, y), build.add(y, x)]))
    assert kinds(merged(graph)) == ["relu", "add", "concat"]


def test_fused_takes_on_what_alone_reads():
    build, x = image()
    conv = build.relu(build.batch_norm(build.conv(x, 8, 3)))
    added = build.add(build.batch_norm(build.conv(conv, 8, 3)), x)
    graph = build.graph(build.linear(build.flatten(build.global_pool(added)), 4))
    assert named(fused(graph)) == ["conv+batch_norm+relu", "conv+batch_norm+add", "global_pool", "matmul"]
    assert fused(graph).macs == graph.macs
    assert fused(graph).params == graph.params


def test_fused_leaves_apart_what_others_read_too():
    build, x = image()
    conv = build.conv(x, 8, 3)
    assert named(fused(build.graph(build.add(build.relu(conv), conv)))) == ["conv", "relu", "add"]


def test_fused_keeps_what_an_addition_reads():
    build, x = image()
    graph = fused(build.graph(build.add(build.conv(x, 8, 3), build.relu(x))))
    (conv,) = [op for op in graph.ops if op.kind == "conv"]
    assert [spec.shape for spec in conv.inputs] == [(1, 8, 8, 8)] * 2


def test_fused_does_not_spread_smaller_values():
    """An addition that broadcasts is not computed while the convolution writes."""
    build = GraphBuilder()
    x, y = build.input((1, 8, 8, 8)), build.input((1, 8, 1, 1))
    small = build.conv(y, 8, 1)
    op = Op("add", (build.spec(x), build.spec(small)), (build.spec(x),))
    assert named(fused(build.graph(build.add_op(op, [x, small])))) == ["conv", "add"]


def test_quantized_converts_at_both_ends():
    build, x = image()
    graph = quantized(build.graph(build.relu(build.conv(x, 8, 3))))
    assert kinds(graph) == ["quantize", "conv", "dequantize"]
    assert graph.ops[1].dtype == "int8"
    assert graph.ops[1].weights[0].dtype == "int8"


def test_quantized_leaves_what_two_read_in_float():
    build, x = image()
    conv = build.conv(x, 8, 3)
    graph = quantized(build.graph(build.concat([build.conv(conv, 8, 1), build.conv(conv, 8, 1)])))
    assert Counter(op.dtype for op in graph.ops if op.kind == "conv") == {"float32": 3}


def test_quantized_leaves_operators_without_kernels_in_float():
    build, x = image()
    graph = quantized(build.graph(build.elementwise("softmax", build.conv(x, 8, 3))))
    assert kinds(graph) == ["quantize", "conv", "dequantize", "softmax", "quantize", "dequantize"]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", ["nasbench201", "fbnet"])
def test_passes_are_stable_and_leave_inputs_and_outputs(name, view):
    space = get_space(name)
    for arch in space.sample(5, random_state=2):
        graph = space.graph(arch)
        run = VIEWS[view](graph)
        assert run.inputs == graph.inputs
        assert [run.values[value] for value in run.outputs] == [graph.values[value] for value in graph.outputs]
        assert run.macs <= graph.macs
        if view in ("all", "live", "folded"):
            assert VIEWS[view](run) == run


def by_the_rule(arch, config, view):
    """Return multiply-adds, parameters and pools of a network of which some edges run, those that a rule tells.

    The rule (:meth:`executed`) was derived by hand for this cell; the passes know no cells.
    """
    runs = SPACE.executed([arch], view)[0]
    if not runs.any():
        return 0, 0, 0
    last = config.C << 2
    macs = config.C * config.in_channels * 9 * config.height * config.width + last * config.num_classes
    params = config.C * (config.in_channels * 9 + 2) + 2 * last + (last + 1) * config.num_classes
    pools = 2
    for stage in range(3):
        c, pixels = config.C << stage, (config.height >> stage) * (config.width >> stage)
        if stage:  # a shortcut of 1x1, two convolutions of 3x3
            sizes = [c * c // 2, c * c // 2 * 9, c * c * 9]
            macs += sum(sizes) * pixels
            params += sum(sizes) + 4 * c
        for op, on in zip(arch, runs, strict=True):
            size = {2: c * c, 3: c * c * 9}.get(int(op), 0) * bool(on) * config.N
            macs += size * pixels
            params += size + bool(size) * 2 * c * config.N
            pools += (op == 4) * on * config.N
    return macs, params, pools


@pytest.mark.parametrize(("view", "of_graphs"), [("live", live), ("folded", folded)])
@pytest.mark.parametrize("n", [1, 2])
def test_edges_that_run_by_the_rule_are_those_that_general_passes_leave(view, of_graphs, n):
    config = NASBench201Config(N=n)
    for arch in SAMPLE:
        run = of_graphs(SPACE.graph(arch, config))
        pools = sum(op.kind == "avg_pool" for op in run.ops)
        assert (run.macs, run.params, pools) == by_the_rule(arch, config, view), arch


def test_counts_of_cells_are_general_passes():
    """Of two networks, of two and of three cells a stage, the difference is three cells that stand alike."""
    names = (*MERGED, *QUANTIZED)
    for arch, counts in zip(SAMPLE, SPACE.cell_counts(SAMPLE).tolist(), strict=True):
        found = of_three_cells(arch, lambda graph: fused(merged(graph)))
        of_merged = {"relu": found["relu"] + found["fused_relu"], "pool": found["avg_pool"]}
        of_merged |= {"add": found["add"] + found["fused_add"], "zero": found["zero"]}
        found = {name: found[name] for name in MERGED} | of_merged
        in_int8 = of_three_cells(arch, quantized)
        found |= {name: in_int8[name] for name in QUANTIZED}
        found |= {"int8_pool": in_int8["int8_avg_pool"], "int8_relu": in_int8["fused_relu"]}
        assert found == {name: 3 * count for name, count in zip(names, counts, strict=True)}, arch


def of_three_cells(arch, run):
    """Count operators by name in three cells, one of each stage, between others."""
    three, two = (counted(run(SPACE.graph(arch, NASBench201Config(N=n)))) for n in (3, 2))
    three.subtract(two)
    return three


def counted(graph):
    names = Counter()
    for op, count in graph.counts.items():
        name = f"conv{op.kernel[0]}x{op.kernel[0]}" if op.kind == "conv" else op.kind
        in_int8 = op.dtype == "int8" and op.kind != "quantize"
        names[f"int8_{name}" if in_int8 else name] += count
        for taken in op.fused:
            names[f"fused_{taken}"] += count
    return names


@pytest.mark.slow
def test_views_of_many_more_cells_are_general_passes():
    archs = SPACE.enumerate()
    config = NASBench201Config(C=2, N=1)
    batch = SPACE.batch(archs, config)
    macs = {view: batch.total("macs", view) for view in ("live", "folded")}
    for row in np.random.default_rng(0).permutation(len(archs))[:1000]:
        graph = SPACE.graph(archs[row], config)
        by_rule = tuple(by_the_rule(archs[row], config, view)[0] for view in macs)
        assert (live(graph).macs, folded(graph).macs) == by_rule, archs[row]
        assert (macs["live"][row], macs["folded"][row]) == by_rule, archs[row]
