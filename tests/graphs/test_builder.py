"""Graphs written by hand have the shapes that PyTorch gives."""

import pytest
import torch
from torch import nn

from hwnas_surrogate.errors import InvalidGraphError
from hwnas_surrogate.graphs import Graph, GraphBuilder, Op, TensorSpec


@pytest.mark.parametrize(
    ("layer", "shape", "settings"),
    [
        (nn.Conv1d(4, 6, 5, stride=2, padding=2, bias=False), (2, 4, 19), {"kernel": 5, "stride": 2}),
        (
            nn.Conv2d(4, 6, (3, 5), stride=(1, 2), padding=(1, 2)),
            (1, 4, 8, 9),
            {"kernel": (3, 5), "stride": (1, 2), "bias": True},
        ),
        (
            nn.Conv2d(4, 6, 3, dilation=2, padding=0, groups=2, bias=False),
            (1, 4, 8, 9),
            {"kernel": 3, "dilation": 2, "padding": 0, "groups": 2},
        ),
        (nn.Conv3d(4, 6, 3, padding=1, bias=False), (1, 4, 5, 6, 7), {"kernel": 3}),
    ],
)
def test_convolutions_are_those_of_pytorch(layer, shape, settings):
    build = GraphBuilder()
    written = build.graph(build.conv(build.input(shape), 6, **settings))
    assert written == Graph.from_torch(layer.eval(), torch.zeros(shape))


@pytest.mark.parametrize(
    ("layer", "kind", "settings"),
    [
        (nn.AvgPool2d(2), "avg_pool", {"kernel": 2}),
        (nn.AvgPool2d(3, stride=1, padding=1), "avg_pool", {"kernel": 3, "stride": 1, "padding": 1}),
        (nn.MaxPool2d((2, 3), stride=2), "max_pool", {"kernel": (2, 3), "stride": 2}),
    ],
)
def test_pools_are_those_of_pytorch(layer, kind, settings):
    build = GraphBuilder()
    written = build.graph(build.pool(kind, build.input((1, 4, 9, 11)), **settings))
    assert written == Graph.from_torch(layer.eval(), torch.zeros(1, 4, 9, 11))


def test_networks_are_those_of_pytorch():
    class Module(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
            self.head = nn.Linear(16, 5)

        def forward(self, x):
            y = self.body(x)
            y = torch.cat([y + y, y], 1)
            return self.head(y.mean((2, 3))), y.flatten(2) @ y.flatten(2).transpose(1, 2)

    build = GraphBuilder()
    y = build.relu(build.batch_norm(build.conv(build.input((1, 3, 4, 4)), 8, 3)))
    y = build.concat([build.add(y, y), y])
    flat, turned = build.view(y, (1, 16, 16)), build.view(y, (1, 16, 16))
    product = build.matmul(flat, turned)
    captured = Graph.from_torch(Module().eval(), torch.zeros(1, 3, 4, 4))
    written = build.graph(build.linear(build.flatten(build.global_pool(y)), 5), product)
    assert (captured.macs, captured.params) == (written.macs, written.params)
    assert captured.counts.total() == written.counts.total() - 1  # the mean leaves no dimensions to view


def test_inputs_come_first():
    build = GraphBuilder()
    build.relu(build.input((1,)))
    with pytest.raises(InvalidGraphError, match="inputs come before"):
        build.input((1,))


def test_windows_that_do_not_fit_are_refused():
    build = GraphBuilder()
    x = build.input((1, 3, 4, 4))
    with pytest.raises(InvalidGraphError, match=r"a window of \(7, 7\) does not fit into \(4, 4\)"):
        build.conv(x, 8, 7, padding=0)
    with pytest.raises(InvalidGraphError, match="3 sizes"):
        build.conv(x, 8, (1, 2, 3))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda build, x: build.conv(x, 8, 3, groups=0), "groups of at least 1"),
        (lambda build, x: build.conv(x, 8, 3, stride=0), "strides must be at least 1"),
        (lambda build, x: build.conv(x, 8, 3, stride="ab"), "sizes are whole numbers"),
        (lambda build, x: build.elementwise("relu"), "reads nothing"),
        (lambda build, x: build.concat([x, build.pool("avg_pool", x, 2)]), "can't be joined along dimension 1"),
        (lambda build, x: build.concat([x, x], axis=9), "can't be joined along dimension 9"),
    ],
)
def test_what_cant_be_built_is_refused(wrong, said):
    build = GraphBuilder()
    with pytest.raises(InvalidGraphError, match=said):
        wrong(build, build.input((1, 3, 4, 4)))


def test_a_batch_norm_has_two_parameters_and_two_statistics_a_channel():
    build = GraphBuilder()
    graph = build.graph(build.batch_norm(build.input((1, 7, 4, 4))))
    assert (graph.params, graph.weight_bytes) == (14, 4 * 28)


def test_numbers_of_another_type_are_not_taken_for_those_that_are_equal():
    relu = Op("relu", (TensorSpec((2,)),), (TensorSpec((2,)),))
    for wrong in (0.0, False):
        build = GraphBuilder()
        build.input((2,))
        made = build.add_op(relu, [wrong])
        with pytest.raises(InvalidGraphError, match="reads value"):
            build.graph(made)
        build = GraphBuilder()
        assert build.graph(build.add_op(relu, [build.input((2,))])).nodes[0].reads == (0,)
