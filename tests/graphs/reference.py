"""The passes graph by graph, node by node: slow, and written without arrays. What the fast ones must equal."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from math import prod

from hwnas_surrogate.graphs import Graph, Node, Op, TensorSpec
from hwnas_surrogate.graphs.op import FREE, WEIGHTED
from hwnas_surrogate.graphs.passes import ACTIVATIONS


def reads_input(graph):
    """Return whether any output depends on an input."""
    depends = set(range(len(graph.inputs)))
    for node, writes in graph.with_writes():
        if not depends.isdisjoint(node.reads):
            depends.update(writes)
    return not depends.isdisjoint(graph.outputs)


def times_read(graph):
    """Return how often each value is read, by the network's caller too."""
    if "times_read" not in vars(graph):
        returned = Counter(graph.outputs)
        graph.times_read = [len(readers) + returned[value] for value, readers in enumerate(graph.readers)]
    return graph.times_read


def rewritten(graph: Graph, nodes: Mapping[int, Node | None], same: Mapping[int, int] | None = None) -> Graph:
    """Return a graph with other nodes.

    Parameters
    ----------
    graph : Graph
    nodes : mapping of int to Node or None
        For the number of a node what stands in its place; None leaves it out. A node may write fewer values than
        before, and reads values by their old numbers.
    same : mapping of int to int, optional
        For a value the one that its readers shall read instead. It may have a replacement of its own.

    Returns
    -------
    Graph
        With the stored tensors that are still read.
    """
    instead = dict(same or {})

    def resolved(value: int) -> int:
        while value in instead:
            value = instead[value]
        return value

    kept: list[Node] = []
    number = {value: value for value in range(len(graph.inputs))}
    free = len(graph.inputs)
    for place, (node, writes) in enumerate(graph.with_writes()):
        new = nodes.get(place, node)
        if new is None:
            continue
        reads = tuple(number[resolved(value)] for value in new.reads)
        kept.append(replace(new, reads=reads))
        for value in writes[: len(new.op.outputs)]:
            number[value] = free
            free += 1
    used = sorted({weight for node in kept for weight in node.weights})
    weight_number = {weight: place for place, weight in enumerate(used)}
    kept = [replace(node, weights=tuple(map(weight_number.__getitem__, node.weights))) for node in kept]
    outputs = [number[resolved(value)] for value in graph.outputs]
    return Graph(graph.inputs, kept, outputs, [graph.weights[weight] for weight in used])


def without_dead(graph: Graph) -> Graph:
    """Leave out the operators that no output depends on."""
    needed, dead = set(graph.outputs), dict[int, Node | None]()
    for place in range(len(graph) - 1, -1, -1):
        if needed.isdisjoint(graph.writes[place]):
            dead[place] = None
        else:
            needed.update(graph.nodes[place].reads)
    return rewritten(graph, dead) if dead else graph


def constants_without_input(graph: Graph) -> Graph:
    """Replace what depends on no input by constants; leave it out where nothing else reads it."""
    fixed, new = set[int](), dict[int, Node | None]()
    for place, (node, writes) in enumerate(graph.with_writes()):
        if fixed.issuperset(node.reads):
            fixed.update(writes)
            new[place] = Node(Op("constant", (), node.op.outputs), ())
    read = {value for place, node in enumerate(graph.nodes) if place not in new for value in node.reads}
    wanted = read.union(graph.outputs)
    for place, (_, writes) in enumerate(graph.with_writes()):
        if place in new and wanted.isdisjoint(writes):
            new[place] = None
    return rewritten(graph, new) if new else graph


_ZERO_TO_ZERO = frozenset(
    {
        "avg_pool", "max_pool", "global_pool", "batch_norm", "copy", "view", "zero", "mul",
        "relu", "relu6", "tanh", "silu", "gelu", "elu", "leaky_relu", "hardswish",
    }
)  # fmt: skip
"""Kinds that make zeros of zeros; a batch norm does before training."""


def live(graph: Graph) -> Graph:
    """Leave out the operators that change no output of the untrained network.

    Those that no output depends on, and those that only make zeros (a multiplication by 0, and what makes zeros of
    these). Sums of something and zeros are that something. A batch norm makes zeros of zeros before it is trained;
    afterwards it adds a constant, which is left out as well. What depends on no input becomes one constant.
    """
    zeros = set[int]()
    same: dict[int, int] = {}
    new: dict[int, Node | None] = {}
    for place, (node, writes) in enumerate(graph.with_writes()):
        reads = [same.get(value, value) for value in node.reads]
        left = [value for value in reads if value not in zeros]
        if node.op.kind == "zero" or (reads and not left and _keeps_zeros(node.op)):
            zeros.update(writes)
            new[place] = Node(Op("constant", (), node.op.outputs), ())
        elif plain_sum(node.op) and len(reads) == 2 and len(left) == 1 and _alike(graph, left[0], writes[0]):
            same[writes[0]] = left[0]
            new[place] = None
    return constants_without_input(without_dead(rewritten(graph, new, same)))


def _keeps_zeros(op: Op) -> bool:
    """Return whether an operator makes zeros of zeros."""
    has_bias = any(len(spec.shape) == 1 for spec in op.weights)
    return op.kind in _ZERO_TO_ZERO or plain_sum(op) or (op.kind in WEIGHTED and not has_bias)


def plain_sum(op: Op) -> bool:
    """Return whether an operator adds the values that it reads, and nothing else."""
    return op.kind == "add" and not (op.weights or op.buffers or op.detail)


def _alike(graph: Graph, first: int, second: int) -> bool:
    return graph.values[first] == graph.values[second]


def merged(graph: Graph) -> Graph:
    """Run equal operators on equal values once (common subexpression elimination).

    Two convolutions that read the same value have weights of their own and stay two; the ReLUs before them are one. The
    order of what an ``add`` or ``mul`` reads does not matter. Operators that draw random numbers are never equal.
    """
    first: dict[tuple[Op, tuple[int, ...], tuple[int, ...]], range] = {}
    same: dict[int, int] = {}
    new: dict[int, Node | None] = {}
    for place, (node, writes) in enumerate(graph.with_writes()):
        reads = tuple(same.get(value, value) for value in node.reads)
        key = (node.op, tuple(sorted(reads)) if plain_sum(node.op) or node.op.kind == "mul" else reads, node.weights)
        if key in first and node.op.kind not in ("dropout", "constant"):
            same |= dict(zip(writes, first[key], strict=True))
            new[place] = None
        else:
            first[key] = writes
    return rewritten(graph, new, same)


def fused(graph: Graph) -> Graph:
    """Run neighbours as one operator where nothing else reads what is between them.

    Into a convolution or a matrix product go, in this order: the batch norm after it; the multiplications by what is
    known beforehand; then one of the multiplication by zero or the activation that reads it, and into a convolution the
    addition instead. A layer norm goes into the addition before it. Other normalisations take on the activation after
    them. What depends on no input is a constant, and views in another order are copied.
    """
    graph = batch_norms_folded(split(moved(constants_without_input(graph))))
    graph = _absorbed(graph, ("conv", "conv_transpose"), _scales)
    graph = _absorbed(graph, ("matmul",), lambda op: _scales(op) and not op.weights + op.buffers)
    graph = _absorbed(graph, ("conv", "conv_transpose"), ACTIVATIONS | {"add", "zero"})
    smooth = {"silu", "gelu", "hardswish", "mish"}
    graph = _absorbed(graph, ("matmul",), (ACTIVATIONS | {"zero"}) - smooth)
    graph = _absorbed(graph, ("add",), frozenset({"layer_norm", "rms_norm"}))
    return _absorbed(graph, ("batch_norm", "layer_norm", "group_norm", "rms_norm"), ACTIVATIONS)


def _scales(op: Op) -> bool:
    return op.kind in ("mul", "div") and len(op.inputs) == 1


def strides(op: Op) -> tuple[tuple[int, ...], int]:
    """Return the steps of a view along dimensions of several places, and where it begins."""
    shape = op.outputs[0].shape
    if " from " in op.detail:
        steps, start = op.detail.split(" from ")
        steps = tuple(int(step) for step in steps.strip("(,)").split(","))
    else:
        start, steps = 0, tuple(prod(shape[dim + 1 :]) for dim in range(len(shape)))
    return tuple(step if size > 1 else 0 for size, step in zip(shape, steps, strict=True)), int(start)


def moved(graph: Graph) -> Graph:
    """Copy what a view shows in another order, unless only copies read it, or products exchange its dimensions."""
    new: dict[int, Node | None] = {}
    for place, (node, writes) in enumerate(graph.with_writes()):
        op = node.op
        whole = op.kind == "view" and op.inputs[0].numel == op.outputs[0].numel
        if op.kind != "view" or (" from " not in op.detail and whole):
            continue
        ops = [graph.nodes[reader].op for reader in graph.readers[writes[0]]]
        readers = {op.kind for op in ops}
        turned = (*op.outputs[0].shape[:-2], *op.outputs[0].shape[:-3:-1])
        in_order = Op("view", op.inputs, (TensorSpec(turned),))
        last = strides(op)[0][-2:]
        exchanged = whole and (*strides(op)[0][:-2], *last[::-1]) == strides(in_order)[0]
        returned = writes[0] in graph.outputs
        by_itself = exchanged and all(op.kind == "matmul" and len(op.inputs) > 1 for op in ops)
        if returned or not (readers <= {"copy"} or by_itself):
            new[place] = replace(node, op=replace(op, kind="copy"))
    return marked(rewritten(graph, new), new)


def marked(graph: Graph, new: Mapping[int, Node | None]) -> Graph:
    """Note which nodes were views."""
    graph.were_views = set(new)
    return graph


def split(graph: Graph) -> Graph:
    """Copy the parts of one value at once."""
    groups: dict[object, list[int]] = {}
    for place in sorted(graph.were_views):
        node = graph.nodes[place]
        steps = [step for step in strides(node.op)[0] if step]
        several = sum(size > 1 for size in node.op.outputs[0].shape)
        if steps and len(steps) == several and steps == sorted(steps, reverse=True):
            groups.setdefault((node.reads[0], strides(node.op)[0]), []).append(place)
    first = {members[0]: sorted(members, key=lambda place: strides(graph.nodes[place].op)[1])
             for members in groups.values() if len(members) > 1}  # fmt: skip
    left_out = {place for members in first.values() for place in members} - set(first)
    number = {value: value for value in range(len(graph.inputs))}
    nodes: list[Node] = []
    free = len(graph.inputs)
    for place, (node, writes) in enumerate(graph.with_writes()):
        if place in left_out:
            continue
        written = list(writes)
        if place in first:
            ops = [graph.nodes[member].op for member in first[place]]
            written = [graph.writes[member][0] for member in first[place]]
            outputs = tuple(op.outputs[0] for op in ops)
            op = replace(ops[0], outputs=outputs, detail=", ".join(op.detail for op in ops))
            node = replace(node, op=op)
        nodes.append(replace(node, reads=tuple(number[value] for value in node.reads)))
        for value in written:
            number[value] = free
            free += 1
    return Graph(graph.inputs, nodes, [number[value] for value in graph.outputs], graph.weights)


def batch_norms_folded(graph: Graph) -> Graph:
    """Fold batch norms into the weights of the convolutions and matrix products that only they read."""
    return _absorbed(graph, WEIGHTED, frozenset({"batch_norm"}))


def zeros_in_weights(graph: Graph) -> Graph:
    """Fold multiplications by zero into the weights of the convolutions and matrix products that only they read."""
    return _absorbed(graph, WEIGHTED, frozenset({"zero"}))


def _absorbed(graph: Graph, into: Collection[str], what: frozenset[str] | Callable[[Op], bool]) -> Graph:
    """Let operators of some kinds take on the one operator that reads them, if it is of certain kinds.

    The operator moves to where the one that it takes on was: that may read values which come later.
    """
    writer: dict[int, int] = {}
    new: dict[int, Node | None] = {}
    taken: set[int] = set()
    for place, (node, writes) in enumerate(graph.with_writes()):
        writer[writes[0]] = place
        if not (what(node.op) if callable(what) else node.op.kind in what):
            continue
        for value in node.reads:
            before = writer.get(value)
            if before is None or before in taken or times_read(graph)[value] != 1:
                continue
            base = graph.nodes[before]
            if base.op.kind not in into or len(base.op.outputs) > 1 or not _fits(base, node):
                continue
            new[before], new[place] = None, _one(base, node, value)
            taken |= {before, place}
            break
    return rewritten(graph, new)


def _fits(base: Node, node: Node) -> bool:
    """Return whether an operator may be computed on the fly: it writes a number for each of what it reads."""
    spec = base.op.outputs[0]
    return node.op.outputs == (spec,) and all(read == spec for read in node.op.inputs)


def _one(base: Node, node: Node, value: int) -> Node:
    """Return two nodes as one: of the second's reads those that the first does not write."""
    others = [(read, spec) for read, spec in zip(node.reads, node.op.inputs, strict=True) if read != value]
    n_weights = len(base.op.weights), len(node.op.weights)
    op = replace(
        base.op,
        inputs=(*base.op.inputs, *(spec for _, spec in others)),
        outputs=node.op.outputs,
        weights=(*base.op.weights, *node.op.weights),
        buffers=(*base.op.buffers, *node.op.buffers),
        fused=(*base.op.fused, node.op.kind, *node.op.fused),
        factors=base.op.multiplied(),
        detail=" ".join(filter(None, (base.op.detail, node.op.detail))),
    )
    weights = (
        *base.weights[: n_weights[0]], *node.weights[: n_weights[1]],
        *base.weights[n_weights[0] :], *node.weights[n_weights[1] :],
    )  # fmt: skip
    return Node(op, (*base.reads, *(read for read, _ in others)), weights)


_OUTPUT = -1
"""Stands for the network's caller among the readers of a value."""


def folded(graph: Graph) -> Graph:
    """Leave out what a converter removes: multiplications by zero, sums with zeros, and what nothing reads then.

    A multiplication by zero becomes a constant, and sums with it are what is left of them. Only where every operator
    that reads a convolution (with its batch norm) multiplies it by zero, the first of these goes into the weights, so
    that the convolution still runs and its result is still added. Operators that read a constant zero run, other than
    views: the converter does not look through them. Outputs that depend on no input are constants.

    The rules have no parameters. They were found on latencies of TensorFlow Lite on a Raspberry Pi 4 and confirmed on a
    Pixel 3 (HW-NAS-Bench, NAS-Bench-201).
    """
    folding = _Folding(graph)
    for place, node in enumerate(graph.nodes):
        if node.op.kind == "zero":
            folding.fold_zero(place)
    left = without_dead(folding.graph())
    return left if reads_input(left) else constants_without_input(left)


class _Folding:
    """A graph while its multiplications by zero are taken out, in order."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._same: dict[int, int] = {}
        self._new: dict[int, Node | None] = {}
        self._constant: set[int] = set()
        self._products: set[int] = set()
        self._writes = [writes[0] for writes in graph.writes]
        self._users = [list(readers) for readers in graph.readers]
        for value in graph.outputs:
            self._users[value].append(_OUTPUT)
        # A value is bare if a convolution writes it, perhaps through a batch norm that alone reads the convolution.
        self._bare: set[int] = set()
        for place, node in enumerate(graph.nodes):
            if node.op.kind in WEIGHTED or (node.op.kind == "batch_norm" and self._alone(node.reads[0])):
                self._bare.add(self._writes[place])

    def _alone(self, value: int) -> bool:
        return value in self._bare and len(self._users[value]) == 1

    def fold_zero(self, place: int) -> None:
        """Take out a multiplication by zero."""
        if self._new.get(place, ...) is None or self._writes[place] in self._constant:
            return
        value, made = self._resolved(self._graph.nodes[place].reads[0]), self._writes[place]
        readers = self._users[value]
        only_zeros = all(user != _OUTPUT and self._graph.nodes[user].op.kind == "zero" for user in readers)
        if value in self._bare and only_zeros:
            self._bare.discard(value)  # its weights are zeros now, for what reads the product
            self._bare.add(made)
            self._products.add(made)
            self._same[made] = value
            self._new[place] = None
            self._users[value] = [user for user in readers if user != place]
        else:
            self._becomes_constant(place)

    def graph(self) -> Graph:
        """Return what is left."""
        return rewritten(self._graph, self._new, self._same)

    def _resolved(self, value: int) -> int:
        """Return what a sum that lost its other term is; a multiplication that went into weights stays itself."""
        while value in self._same and value not in self._products:
            value = self._same[value]
        return value

    def _becomes_constant(self, place: int) -> None:
        node, made = self._graph.nodes[place], self._writes[place]
        self._constant.add(made)
        self._new[place] = Node(Op("constant", (), node.op.outputs[:1]), ())
        for value in map(self._resolved, node.reads):
            self._users[value] = [user for user in self._users[value] if user != place]
        for user in list(self._users[made]):
            if user != _OUTPUT and self._new.get(user, ...) is not None:
                self._reads_constant(user)

    def _reads_constant(self, place: int) -> None:
        """Take out a sum with a constant zero, or a view of one."""
        node = self._graph.nodes[place]
        left = [value for value in map(self._resolved, node.reads) if value not in self._constant]
        if node.op.kind not in ("view", "zero") and not plain_sum(node.op):
            return
        if not left:
            self._becomes_constant(place)
        elif node.op.kind == "add" and len(left) == 1 and self._graph.values[left[0]] == node.op.outputs[0]:
            self._same[self._writes[place]] = left[0]
            self._new[place] = None
            users = [user for user in self._users[left[0]] if user != place]
            self._users[left[0]] = users + self._users[self._writes[place]]


_INT8_WEIGHTED = frozenset({"conv", "matmul"})
"""Run in int8 where all that they read and write is."""
_UNWEIGHTED = frozenset({"avg_pool", "max_pool", "global_pool", "add", "mul", "concat"})
"""Run in int8 where all that they read and write is alike: int8 or not."""
_PART_OF_QUANTIZATION = frozenset({"relu", "relu6"})
"""A range of numbers is all that these do, and a quantization has a range."""


def quantized(graph: Graph) -> Graph:
    """Quantize to int8, statically, and run what a runtime has int8 kernels for.

    ``quantize`` and ``dequantize`` stand where values change their format. Between operators every value is int8, but
    an operator may run in float32 between conversions of its own. ONNX Runtime 1.32 on x86 keeps a value in int8 only
    where exactly one operator reads it. Then:

    - a convolution or a matrix product runs in int8 where what it reads and what it writes is kept;
    - a pool, a sum, a product or a concatenation does where all of that is kept, or none of it;
    - a multiplication by zero does where none of it is kept, since its constant never is;
    - every other operator runs in float32.

    A ReLU is part of the quantization of the value before it where nothing else reads that; else it is a pair of
    conversions of its own. Equal operators are merged before, batch norms and multiplications by zero folded into
    weights.
    """
    return _Quantizing(zeros_in_weights(batch_norms_folded(merged(graph)))).graph()


class _Quantizing:
    """Writes the quantized graph node by node."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes: list[Node] = []
        self._weights: list[TensorSpec] = []
        self._weight_number: dict[tuple[int, str], int] = {}
        self._values: list[TensorSpec] = list(graph.inputs)
        self._new: dict[int, int] = {}
        self._quantized: set[int] = set()

    def graph(self) -> Graph:
        for value, spec in enumerate(self._graph.inputs):
            self._new[value] = self._convert("quantize", value) if spec.dtype == "float32" else value
        for node, writes in self._graph.with_writes():
            self._add(node, writes)
        outputs = [self._in_float(self._new[value]) for value in self._graph.outputs]
        return Graph(self._graph.inputs, self._nodes, outputs, self._weights)

    def _add(self, node: Node, writes: range) -> None:
        kind, made = node.op.kind, writes[0]
        if node.op.dtype != "float32" or any(self._graph.values[value].dtype != "float32" for value in node.reads):
            self._copy(node, writes)
        elif kind in _PART_OF_QUANTIZATION and len(node.reads) == 1:
            (read,) = node.reads
            self._new[made] = self._new[read] if times_read(self._graph)[read] == 1 else self._again(node, read)
        elif kind in FREE or self._runs_in_int8(node, made):
            self._copy(node, writes, "int8")
        else:
            self._copy(node, writes)

    def _again(self, node: Node, read: int) -> int:
        """Convert a value to float32 and back, in the range of a ReLU."""
        return self._convert("quantize", self._convert("dequantize", self._new[read]), fused=(node.op.kind,))

    def _runs_in_int8(self, node: Node, made: int) -> bool:
        kept = [times_read(self._graph)[value] == 1 for value in node.reads] + [self._is_kept(made)]
        if node.op.kind == "zero":
            return not any(kept)
        if node.op.kind in _UNWEIGHTED:
            return all(kept) or not any(kept)
        return node.op.kind in _INT8_WEIGHTED and all(kept)

    def _is_kept(self, value: int) -> bool:
        """Return whether one operator reads a value that is made: of a ReLU that is part of it, what that makes."""
        if times_read(self._graph)[value] != 1 or not self._graph.readers[value]:
            return times_read(self._graph)[value] == 1
        place = self._graph.readers[value][0]
        if self._graph.nodes[place].op.kind not in _PART_OF_QUANTIZATION:
            return True
        return times_read(self._graph)[self._graph.writes[place][0]] == 1

    def _copy(self, node: Node, writes: range, dtype: str | None = None) -> None:
        """Add an operator in int8, or in its own format between conversions."""
        reads = [self._new[value] for value in node.reads]
        if dtype is None:
            wanted = [self._graph.values[value].dtype for value in node.reads]
            reads = [self._in_float(new) if of == "float32" else new for new, of in zip(reads, wanted, strict=True)]
        stored = [self._weight(weight, dtype) for weight in node.weights]
        n = len(node.op.weights)
        op = replace(
            node.op,
            inputs=tuple(self._values[value] for value in reads),
            outputs=tuple(spec if dtype is None else replace(spec, dtype=dtype) for spec in node.op.outputs),
            factors=node.op.multiplied(),
            weights=tuple(self._weights[number] for number in stored[:n]),
            buffers=tuple(self._weights[number] for number in stored[n:]),
        )
        first = self._append(op, reads, stored)
        if dtype is not None:
            self._quantized.update(range(first, first + len(writes)))
        for place, value in enumerate(writes):
            new = first + place
            back = dtype is None and op.outputs[place].dtype == "float32"
            self._new[value] = self._convert("quantize", new) if back else new

    def _weight(self, weight: int, dtype: str | None) -> int:
        spec = self._graph.weights[weight]
        # Biases stay as they are: runtimes add them before they scale.
        wanted = dtype if dtype and spec.dtype == "float32" and len(spec.shape) > 1 else spec.dtype
        if (weight, wanted) not in self._weight_number:
            self._weight_number[weight, wanted] = len(self._weights)
            self._weights.append(replace(spec, dtype=wanted))
        return self._weight_number[weight, wanted]

    def _in_float(self, value: int) -> int:
        return self._convert("dequantize", value) if value in self._quantized else value

    def _convert(self, kind: str, value: int, fused: tuple[str, ...] = ()) -> int:
        spec = self._values[value]
        made = replace(spec, dtype="int8" if kind == "quantize" else "float32")
        new = self._append(Op(kind, (spec,), (made,), fused=fused), [value], [])
        if kind == "quantize":
            self._quantized.add(new)
        return new

    def _append(self, op: Op, reads: list[int], weights: list[int]) -> int:
        self._nodes.append(Node(op, tuple(reads), tuple(weights)))
        self._values += op.outputs
        return len(self._values) - len(op.outputs)


VIEWS = {
    "all": batch_norms_folded,
    "live": lambda graph: batch_norms_folded(live(graph)),
    "folded": lambda graph: batch_norms_folded(folded(graph)),
    "fused": lambda graph: fused(merged(graph)),
    "quantized": quantized,
}
