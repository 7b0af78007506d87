"""Graphs of PyTorch modules: against PyTorch's own FLOP counter, and property by property."""

import copy
import gc
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hwnas_surrogate.capture import graph_of_module
from hwnas_surrogate.errors import InvalidGraphError, InvalidInputError
from hwnas_surrogate.graphs import VIEWS, Graph, GraphBuilder, fused, live, merged, quantized
from hwnas_surrogate.networks import build_network
from hwnas_surrogate.spaces import get_space


class Lambda(nn.Module):
    """A module of one function."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def captured(function, *inputs, **parts):
    return Graph.from_torch(Lambda(function, **parts).eval(), *inputs)


def kinds(graph):
    return [op.kind for op in graph.ops if op.kind != "view"]


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, 4, 8).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))


ZOO = {
    "linear": (nn.Linear(8, 4), torch.zeros(2, 8)),
    "linear, three dimensions": (nn.Linear(8, 4), torch.zeros(2, 5, 8)),
    "linear, no bias": (nn.Linear(8, 4, bias=False), torch.zeros(2, 8)),
    "conv1d": (nn.Conv1d(4, 8, 3, stride=2), torch.zeros(2, 4, 17)),
    "conv2d, rectangular": (nn.Conv2d(4, 8, (1, 5), stride=(2, 1), padding=(0, 2)), torch.zeros(2, 4, 9, 11)),
    "conv2d, dilated": (nn.Conv2d(4, 8, 3, dilation=2), torch.zeros(1, 4, 16, 16)),
    "conv2d, groups": (nn.Conv2d(4, 8, 3, groups=2), torch.zeros(1, 4, 16, 16)),
    "conv2d, depthwise": (nn.Conv2d(4, 4, 3, groups=4), torch.zeros(1, 4, 16, 16)),
    "conv3d": (nn.Conv3d(2, 4, 3, padding=1), torch.zeros(1, 2, 5, 6, 7)),
    "conv_transpose1d": (nn.ConvTranspose1d(4, 6, 3, stride=2), torch.zeros(1, 4, 9)),
    "conv_transpose2d": (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), torch.zeros(1, 4, 9, 9)),
    "attention": (Attention(), torch.zeros(2, 10, 32)),
    "transformer layer": (nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), torch.zeros(2, 10, 32)),
    "transformer decoder layer": (
        nn.TransformerDecoderLayer(32, 4, 64, batch_first=True), torch.zeros(2, 10, 32), torch.zeros(2, 7, 32),
    ),
    "lstm": (nn.LSTM(8, 16, 2, batch_first=True), torch.zeros(2, 5, 8)),
    "gru": (nn.GRU(8, 16), torch.zeros(5, 2, 8)),
    "bilinear products": (
        Lambda(lambda _, x, y: torch.einsum("bik,bjk->bij", x, y)), torch.zeros(2, 3, 4), torch.zeros(2, 5, 4),
    ),
    "weight first": (Lambda(lambda self, x: self.w @ x, w=nn.Parameter(torch.zeros(3, 4))), torch.zeros(4, 7)),
    "matrix and vector": (Lambda(lambda self, x: self.w @ x, w=nn.Parameter(torch.zeros(3, 4))), torch.zeros(4)),
    "batched product": (Lambda(lambda _, x, y: x @ y), torch.zeros(2, 3, 4, 5), torch.zeros(2, 3, 5, 6)),
    "broadcast product": (Lambda(lambda _, x, y: x @ y), torch.zeros(2, 3, 4, 5), torch.zeros(5, 6)),
}  # fmt: skip


@pytest.mark.parametrize("name", ZOO)
def test_multiply_adds_are_those_of_pytorchs_own_counter(name):
    module, *inputs = ZOO[name]
    module = module.eval()
    # The counter does not know the fused attention and recurrent layers of CPUs: it counts their parts.
    plain, empty = copy.deepcopy(module).to("meta"), [tensor.to("meta") for tensor in inputs]
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            plain(*empty)
        finally:
            torch.backends.mha.set_fastpath_enabled(True)
    if name == "matrix and vector":  # the counter does not know it
        assert Graph.from_torch(module, *inputs).macs == 12
        return
    assert 2 * Graph.from_torch(module, *inputs).macs == counter.get_total_flops() > 0


@pytest.mark.parametrize("name", ZOO)
def test_parameters_are_those_of_the_module(name):
    module, *inputs = ZOO[name]
    assert Graph.from_torch(module.eval(), *inputs).params == sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize("name", ZOO)
def test_graphs_survive_json(name):
    module, *inputs = ZOO[name]
    graph = Graph.from_torch(module.eval(), *inputs)
    assert Graph.from_json(graph.to_json()) == graph


@pytest.mark.parametrize("name", ["nasbench201", "fbnet"])
def test_a_built_network_is_the_graph_that_its_space_lists(name):
    space = get_space(name)
    for config in space.configs.values():
        image = torch.zeros(1, config.in_channels, config.height, config.width)
        for arch in space.sample(6, random_state=1):
            network = build_network(arch, config, name, random_state=0)
            assert Graph.from_torch(network, image) == space.graph(arch, config)


def test_another_architecture_is_another_graph():
    space = get_space("nasbench201")
    archs = space.sample(300, random_state=0)
    canonical = space.canonical(archs, zeros="ignore")
    assert len({space.graph(arch).digest for arch in archs}) >= len(set(canonical))


def test_operators_in_place_give_their_tensor_a_new_value():
    def forward(_, x):
        y = x + 1
        y.relu_()
        return y * 2

    graph = captured(forward, torch.zeros(2, 3))
    assert kinds(graph) == ["add", "relu", "mul"]
    assert [node.reads for node in graph.nodes] == [(0,), (1,), (2,)]


def test_writing_into_a_part_is_seen_through_the_whole():
    def forward(_, x):
        y = x + 1
        y[:, 0].sigmoid_()
        return y * 2

    graph = captured(forward, torch.zeros(2, 3))
    assert kinds(graph) == ["add", "sigmoid", "mul"]
    (read,) = graph.nodes[-1].reads
    shown = next(node for node, writes in graph.with_writes() if read in writes)
    assert shown.op.kind == "view"
    assert {graph.values[value].shape for value in shown.reads} == {(2, 3), (2,)}


def test_writing_into_a_whole_is_seen_through_its_parts():
    def forward(_, x):
        y = x + 1
        first = y[:, 0]
        y.sigmoid_()
        return first * 2

    graph = captured(forward, torch.zeros(2, 3))
    readers = graph.readers
    (sigmoid,) = [writes[0] for node, writes in graph.with_writes() if node.op.kind == "sigmoid"]
    assert readers[sigmoid], "what was written through the whole is read through its part"


def test_what_nobody_uses_still_runs():
    def forward(self, x):
        self.part(x)
        return x + 1

    assert kinds(captured(forward, torch.zeros(1, 4), part=nn.Linear(4, 2))) == ["matmul", "add"]


def test_views_that_nobody_uses_do_not_run():
    assert len(captured(lambda _, x: (x.view(-1).view(2, 2), x + 1)[1], torch.zeros(4))) == 1


def test_views_of_views_read_what_they_show():
    graph = captured(lambda _, x: x.relu().view(4, 3).t().unsqueeze(0) * 2, torch.zeros(2, 6))
    assert [op.kind for op in graph.ops] == ["relu", "view", "mul"]


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (lambda _, x: (x * 2).transpose(1, 2).reshape(2, -1).relu(), ["mul", "copy", "relu"]),
        (lambda _, x: (x * 2).transpose(1, 2).contiguous().relu(), ["mul", "relu"]),
        (lambda _, x: (x * 2).unfold(2, 2, 1).relu(), ["mul", "relu"]),
        (lambda _, x: (x * 2).diagonal(dim1=2, dim2=3).relu(), ["mul", "relu"]),
        (lambda _, x: (x * 2).as_strided((3, 4), (4, 1)).relu(), ["mul", "relu"]),
        (lambda _, x: (x * 2).view(torch.int32) + 1, ["mul", "add"]),
        (lambda _, x: torch.view_as_complex((x * 2).reshape(2, 6, 4, 4, 2)).abs(), ["mul", "abs"]),
        (lambda _, x: (x[:, :1] * 2).expand(-1, 5, -1, -1).flatten(2).relu(), ["mul", "relu"]),
        (lambda _, x: torch.addcmul(x, x, x.relu(), value=0.5), ["relu", "mul", "add"]),
        (lambda _, x: functional.pad(sum([x, x.relu()]), (0, 0)) * 1, ["relu", "add"]),
        (lambda _, x: torch.einsum("bchw,bkhw->bck", x, x), ["matmul"]),
        (lambda _, x: torch.stack([x, x.relu()], 1), ["relu", "concat"]),
        (lambda _, x: torch.roll(x, (-1, 9), (2, 3)), ["roll"]),
    ],
)
def test_views_move_nothing_and_copies_are_made_where_no_view_is_possible(forward, expected):
    x = torch.zeros(2, 6, 4, 8)
    graph = captured(forward, x)
    assert kinds(graph) == expected
    assert graph.values[graph.outputs[0]].shape == tuple(forward(None, x).shape)
    for run in VIEWS.values():
        assert run(graph).values


def test_a_multiplication_by_the_constant_zero_is_an_operator_of_its_own():
    graph = captured(lambda _, x: x.mul(0.0) + x * 0.5 + x * torch.zeros(3), torch.zeros(2, 3))
    assert kinds(graph) == ["zero", "mul", "add", "constant", "mul", "add"]


def test_tied_weights_count_once_and_differ_from_separate_ones():
    def forward(self, x):
        return self.b(self.a(x))

    one = nn.Linear(4, 4)
    tied = captured(forward, torch.zeros(2, 4), a=one, b=one)
    separate = captured(forward, torch.zeros(2, 4), a=nn.Linear(4, 4), b=nn.Linear(4, 4))
    assert (tied.params, separate.params) == (20, 40)
    assert tied.counts == separate.counts
    assert tied != separate


def test_an_embedding_tied_to_its_classifier_counts_once():
    table = nn.Embedding(50, 8)
    graph = captured(
        lambda self, x: self.table(x) @ self.table.weight.t(), torch.zeros(2, 5, dtype=torch.long), table=table
    )
    assert (graph.params, graph.macs) == (400, 2 * 5 * 8 * 50)


def test_buffers_are_stored_but_not_trained():
    norm = Graph.from_torch(nn.BatchNorm2d(7).eval(), torch.zeros(1, 7, 4, 4))
    assert (norm.params, norm.weight_bytes) == (14, 4 * 28)


def test_weights_that_are_computed_are_read_where_they_are_computed():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(8, 4))
    graph = Graph.from_torch(layer.eval(), torch.zeros(2, 8))
    assert graph.params == sum(weight.numel() for weight in layer.parameters())
    assert graph.macs == 2 * 8 * 4


def test_every_output_of_an_operator_is_a_value():
    def forward(_, x):
        values, where = x.topk(2)
        return values, where + 1

    graph = captured(forward, torch.zeros(3, 5))
    top = graph.nodes[0].op
    assert [spec.dtype for spec in top.outputs] == ["float32", "int64"]
    assert len(graph.outputs) == 2


def test_outputs_that_nobody_reads_are_left_out():
    graph = captured(lambda _, x: functional.max_pool2d(x, 2), torch.zeros(1, 3, 8, 8))
    assert [len(op.outputs) for op in graph.ops] == [1]
    assert graph.ops[0].kernel == (2, 2)


def test_modules_without_numbers_are_captured_alike():
    with torch.device("meta"):
        empty = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval()
    full = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval()
    image = torch.zeros(1, 3, 16, 16)
    assert Graph.from_torch(empty, image) == Graph.from_torch(full, image)


def test_capturing_leaves_the_module_as_it_was():
    layer = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).eval()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    fast = torch.backends.mha.get_fastpath_enabled()
    Graph.from_torch(layer, torch.ones(3, 4))
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert layer(torch.ones(3, 4)).shape == (3, 4)


def test_a_pool_that_divides_and_a_mean_are_one_operator():
    x = torch.zeros(1, 6, 8, 8)
    pool = Graph.from_torch(nn.AdaptiveAvgPool2d(1).eval(), x)
    mean = captured(lambda _, x: x.mean((2, 3), keepdim=True), x)
    build = GraphBuilder()
    assert pool == mean == build.graph(build.global_pool(build.input((1, 6, 8, 8))))
    assert kinds(captured(lambda _, x: x.mean(1), x)) == ["mean"]


def test_a_large_decoder_is_captured_without_its_weights():
    width, layers = 4096, 32
    with torch.device("meta"):
        block = nn.TransformerEncoderLayer(width, 32, 11008, batch_first=True, norm_first=True, bias=False)
        decoder = nn.TransformerEncoder(block, layers, enable_nested_tensor=False).eval()
    gc.collect()
    start = time.perf_counter()
    graph = Graph.from_torch(decoder, torch.zeros(1, 128, width))
    assert time.perf_counter() - start < 60
    products = layers * (4 * width**2 + 2 * width * 11008)
    assert graph.params == products + layers * 2 * width
    assert graph.macs == 128 * products + layers * 2 * 128**2 * width


def test_a_product_may_start_with_the_stored_matrix():
    for shape in ((3, 4), (4, 4)):
        graph = captured(lambda self, x: self.w @ x, torch.zeros(4, 7), w=nn.Parameter(torch.zeros(shape)))
        assert graph.macs == shape[0] * 4 * 7


def test_parts_of_stored_tensors_count_as_what_is_used():
    """Networks that share weights, as once-for-all ones, use the first channels of a kernel."""
    kernel = nn.Parameter(torch.zeros(8, 6, 3, 3))
    graph = captured(lambda self, x: functional.conv2d(x, self.w[:4, :3]), torch.zeros(1, 3, 8, 8), w=kernel)
    assert (graph.params, graph.macs) == (4 * 3 * 9, 4 * 36 * 27)
    flat = captured(lambda self, x: functional.linear(x, self.w.flatten(1)), torch.zeros(2, 54), w=kernel)
    assert (flat.params, flat.macs) == (8 * 54, 2 * 8 * 54)


def test_queries_that_are_stored_are_multiplied():
    query = nn.Parameter(torch.zeros(1, 5, 4))
    graph = captured(
        lambda self, x: functional.scaled_dot_product_attention(self.q.expand(2, -1, -1), x, x),
        torch.zeros(2, 7, 4),
        q=query,
    )
    assert graph.macs == 2 * 5 * 7 * 8
    assert graph.params == 20


def test_attention_over_a_larger_batch_of_keys():
    def forward(_, q, k):
        return functional.scaled_dot_product_attention(q, k, k)

    assert captured(forward, torch.zeros(1, 8, 5, 16), torch.zeros(2, 8, 9, 16)).macs == 2 * 8 * 5 * 9 * 32


@pytest.mark.parametrize("wrapped", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm])
def test_convolutions_whose_kernel_is_computed(wrapped):
    graph = Graph.from_torch(wrapped(nn.Conv2d(3, 8, 3)).eval(), torch.zeros(1, 3, 8, 8))
    assert graph.macs >= 7776
    for run in VIEWS.values():
        assert run(graph).macs <= graph.macs


def test_keywords_may_come_in_any_order():
    def forward(self, x):
        return functional.linear(bias=self.b, weight=self.w, input=x)

    stored = {"b": nn.Parameter(torch.zeros(4)), "w": nn.Parameter(torch.zeros(4, 8))}
    assert captured(forward, torch.zeros(2, 8), **stored).macs == 64


def write_cache(self, q):
    self.k[:, :, 3:4] = self.part(q)
    return q @ self.k.mT


def write_parts(self, x):
    y = torch.empty(2, 4)
    first, second = y.unbind(0)
    first.copy_(self.part(x))
    second.copy_(self.part(x) + 1)
    return y * 2


def write_whole(self, x):
    self.k.copy_(self.part(x))
    return self.k * 1.5


def write_several(self, x):
    torch._foreach_copy_([self.k], [self.part(x)])
    return self.k * 1.5


@pytest.mark.parametrize(
    ("forward", "shape", "cache"),
    [
        (write_cache, (1, 2, 1, 4), (1, 2, 8, 4)),
        (write_parts, (4,), (1,)),
        (write_whole, (4,), (4,)),
        (write_several, (4,), (4,)),
    ],
)
def test_what_is_written_into_memory_is_read_from_it(forward, shape, cache):
    module = Lambda(forward, part=nn.Linear(4, 4)).eval()
    module.register_buffer("k", torch.zeros(cache))
    graph = Graph.from_torch(module, torch.zeros(shape))
    assert graph.macs > 0
    assert live(graph).macs == graph.macs


@pytest.mark.parametrize(
    "forward",
    [
        lambda _, x: (x @ x) + (x @ x.T),
        lambda _, x: x.mean(0) + x.mean(1),
        lambda _, x: x * 2 + x * 3,
        lambda _, x: x.roll(1) + x.roll(2),
        lambda _, x: torch.bernoulli(x) + torch.bernoulli(x),
        lambda _, x: torch.stack([part @ part.mT for part in x.chunk(2, 1)]),
    ],
)
def test_operators_that_differ_in_what_they_are_called_with_are_not_merged(forward):
    graph = captured(forward, torch.full((4, 4), 0.5))
    assert len(merged(graph)) == len(graph)
    assert merged(graph).macs == graph.macs


def test_graphs_differ_in_what_their_operators_are_called_with():
    x = torch.zeros(4, 4)
    assert captured(lambda _, x: x @ x, x) != captured(lambda _, x: x @ x.T, x)
    assert captured(lambda _, x: x * 2, x) != captured(lambda _, x: x * 3, x)
    assert Graph.from_torch(nn.Hardtanh().eval(), x) != Graph.from_torch(nn.ReLU6().eval(), x)


def test_zeros_plus_something_are_something():
    graph = live(captured(lambda _, x, y: y + (x * 0 + 1), torch.zeros(4), torch.zeros(4)))
    assert kinds(graph) == ["constant", "add"]


def test_a_residual_of_another_width_is_fused_into_a_convolution():
    def forward(self, x, y):
        return self.part(x) + y

    graph = captured(forward, torch.zeros(2, 32, 5), torch.zeros(2, 16, 5), part=nn.Conv1d(32, 16, 1))
    assert [op.fused for op in fused(graph).ops] == [("add",)]
    assert fused(graph).macs == quantized(graph).macs == graph.macs


def test_a_residual_of_a_matrix_product_is_added_by_itself():
    graph = captured(lambda self, x, y: self.part(x) + y, torch.zeros(2, 8), torch.zeros(2, 4), part=nn.Linear(8, 4))
    assert kinds(fused(graph)) == ["matmul", "add"]


@pytest.mark.parametrize("name", ZOO)
def test_every_view_of_every_module_runs(name):
    module, *inputs = ZOO[name]
    graph = Graph.from_torch(module.eval(), *inputs)
    for run in VIEWS.values():
        assert run(graph).macs <= graph.macs
        assert Graph.from_json(run(graph).to_json()) == run(graph)


def test_a_module_is_left_as_it_was_even_if_it_fails():
    class Growing(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("state", torch.zeros(4))
            self.calls = 0

        def forward(self, x, fail):
            self.state = self.state + x
            self.calls += 1
            self.cache = x * 2
            if fail:
                raise RuntimeError("on purpose")
            return self.state

    module = Growing().eval()
    Graph.from_torch(module, torch.ones(4), False)
    with pytest.raises(InvalidGraphError, match="on purpose"):
        Graph.from_torch(module, torch.ones(4), True)
    assert (module.calls, module.state.tolist()) == (0, [0.0] * 4)
    assert type(module.state) is torch.Tensor
    assert not hasattr(module, "cache")


def test_threads_leave_pytorchs_settings_alone():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    before = torch._C._get_mkldnn_enabled(), torch.backends.mha.get_fastpath_enabled()
    with ThreadPoolExecutor(4) as pool:
        graphs = list(pool.map(lambda _: Graph.from_torch(module, torch.zeros(1, 3, 8, 8)), range(24)))
    assert len(set(graphs)) == 1
    assert (torch._C._get_mkldnn_enabled(), torch.backends.mha.get_fastpath_enabled()) == before


def test_inference_mode_changes_nothing():
    module, x = nn.LSTM(8, 16).eval(), torch.zeros(5, 2, 8)
    with torch.inference_mode():
        inside = Graph.from_torch(module, torch.zeros(5, 2, 8))
    assert inside == Graph.from_torch(module, x)


@pytest.mark.filterwarnings("ignore")
def test_traced_modules_are_captured_as_eager_ones():
    module, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), torch.zeros(1, 3, 8, 8)
    assert Graph.from_torch(torch.jit.trace(module, x), x).macs == Graph.from_torch(module, x).macs > 0


@pytest.mark.filterwarnings("ignore")
def test_packed_weights_are_refused():
    module = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 4)), {nn.Linear})
    with pytest.raises(InvalidGraphError, match="Capture the network before it is quantized"):
        Graph.from_torch(module.eval(), torch.zeros(2, 4))


def test_every_capture_of_a_module_is_the_same_graph():
    attention = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.zeros(1, 5, 8)
    assert Graph.from_torch(attention, x) == Graph.from_torch(attention, x)
    first, second = (captured(lambda _, x: x + torch.rand(4) * torch.rand(4), torch.zeros(4)) for _ in range(2))
    assert first == second
    assert len({op for op in first.ops if "rand" in op.kind}) == 2  # no draw is another one


def test_the_same_example_twice_is_two_inputs():
    x = torch.zeros(4)
    assert captured(lambda _, x, y: x + y, x, x) == captured(lambda _, x, y: x + y, x, x.clone())


@pytest.mark.parametrize(
    ("module", "inputs", "said"),
    [
        (nn.Dropout(), [torch.zeros(3)], r"training mode \(the module itself\): call its eval"),
        (Lambda(lambda _, x: x[x > 0]).eval(), [torch.zeros(3)], "depends on the data"),
        (Lambda(lambda _, x: x + 1 if x.sum() > 0 else x).eval(), [torch.zeros(3)], "depends on the data"),
        (Lambda(lambda _, x: torch.zeros(int(x.sum()))).eval(), [torch.zeros(3)], "depends on the data"),
        (nn.Linear(3, 4).eval(), [torch.zeros(2, 5)], "fails on the example inputs"),
        (nn.Linear(3, 4).eval(), [], "give an example"),
        (Lambda(lambda _, x: x).eval(), [torch.zeros(3)], "nothing to capture"),
        (Lambda(lambda _, x: (x + 1, "text")[1]).eval(), [torch.zeros(3)], "returns no tensor"),
        (nn.Linear(3, 4), [torch.zeros(2, 3)], "training mode"),
        (nn.LazyLinear(4).eval(), [torch.zeros(2, 3)], "fails on the example inputs"),
        (torch.relu, [torch.zeros(3)], "takes a torch.nn.Module, got builtin_function"),
    ],
)
def test_what_cant_be_captured_is_refused(module, inputs, said):
    with pytest.raises((InvalidGraphError, InvalidInputError), match=said):
        graph_of_module(module, *inputs)
