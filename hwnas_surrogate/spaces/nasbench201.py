"""NAS-Bench-201: a cell of 4 nodes whose 6 edges carry one of 5 ops; 15,625 architectures."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidArchitectureError, InvalidConfigError, InvalidInputError, unknown
from hwnas_surrogate.graphs import Graph, GraphBuilder, View
from hwnas_surrogate.random_states import RandomState, as_generator
from hwnas_surrogate.spaces.base import ArchArray, ConfigLike, SearchSpace
from hwnas_surrogate.spaces.cells import cell_counts, cell_peaks, cell_table
from hwnas_surrogate.spaces.config import NASBench201Config, NetworkConfig
from hwnas_surrogate.spaces.conventions import NASBENCH201, Convention
from hwnas_surrogate.spaces.reading import Archs, contents
from hwnas_surrogate.spaces.tables import OpTable

__all__ = ["EDGES", "NASBench201", "head", "reduction", "relu_conv_norm"]

NONE, SKIP, CONV_1X1, CONV_3X3, AVG_POOL = range(5)
EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
"""(target node, source node) of each position."""
SIZE = 5**6
_SHUFFLE_SEED = 88

Zeros = Literal["ignore", "keep", "drop"]


@cache
def _lexicographic() -> ArchArray:
    archs = np.stack(np.unravel_index(np.arange(SIZE), (5,) * 6), axis=1).astype(np.int8)
    archs.flags.writeable = False
    return archs


@cache
def _code_at_index() -> npt.NDArray[np.int64]:
    """Return the lexicographic rank of the architecture at each published index."""
    order = list(range(SIZE))
    random.Random(_SHUFFLE_SEED).shuffle(order)
    return np.array(order, np.int64)


@cache
def _index_at_code() -> npt.NDArray[np.int64]:
    inverse = np.empty(SIZE, np.int64)
    inverse[_code_at_index()] = np.arange(SIZE)
    return inverse


@cache
def _strings() -> tuple[str, ...]:
    """Return all architecture strings in lexicographic order."""
    ops = NASBench201.ops
    nodes = [
        ["|" + "|".join(f"{op}~{source}" for source, op in enumerate(chosen)) + "|"
         for chosen in itertools.product(ops, repeat=node)]
        for node in (1, 2, 3)
    ]  # fmt: skip
    return tuple("+".join(parts) for parts in itertools.product(*nodes))


@cache
def _code_of_string() -> dict[str, int]:
    return {text: code for code, text in enumerate(_strings())}


@cache
def _canonical_strings(zeros: Zeros) -> tuple[str, ...]:
    """Return the canonical form of every architecture in lexicographic order, node by node."""

    def term(op: int, source: str) -> str:
        if zeros != "ignore" and (op == NONE or source == "#"):
            return "#"
        return source if op == SKIP else f"({source})@{NASBench201.ops[op]}"

    def node(terms: list[str]) -> str:
        if zeros == "drop":
            terms = [text for text in terms if text != "#"] or ["#"]
        return "+".join(sorted(terms))

    result = []
    for a in range(5):
        first = node([term(a, "0")])
        for b, c in itertools.product(range(5), repeat=2):
            second = node([term(b, "0"), term(c, first)])
            from_input = [term(op, "0") for op in range(5)]
            from_first = [term(op, first) for op in range(5)]
            from_second = [term(op, second) for op in range(5)]
            result += [node([x, y, z]) for x in from_input for y in from_first for z in from_second]
    return tuple(result)


def _live(archs: ArchArray) -> npt.NDArray[np.bool_]:
    """Return which edges lie on a path from the input to the output, shape (n, 6)."""
    carries = archs.T != NONE
    reached_1 = carries[0]
    reached_2 = carries[1] | (carries[2] & reached_1)
    leads_2 = carries[5]
    leads_1 = carries[4] | (carries[2] & leads_2)
    return np.stack(
        [
            carries[0] & leads_1,
            carries[1] & leads_2,
            carries[2] & reached_1 & leads_2,
            carries[3],
            carries[4] & reached_1,
            carries[5] & reached_2,
        ],
        axis=1,
    )


def _folded(archs: ArchArray) -> npt.NDArray[np.bool_]:
    """Return which edges a converter keeps, shape (n, 6).

    ``none`` is a multiplication by zero. A converter folds it into the weights of a convolution that nothing else uses,
    and that convolution still runs. An unused sum, pooling or copy is removed. Ops that read a constant zero still run
    unless the converter folds them. The rule has no parameters; it was found on a Raspberry Pi 4's latencies and
    confirmed on a Pixel 3's.
    """
    edge = archs.T
    present, is_skip = edge != NONE, edge == SKIP
    is_conv = (edge == CONV_1X1) | (edge == CONV_3X3)
    copies_zero_1 = is_skip & ~present[0]
    # If only `none` uses the convolution 1<-0, the zero is folded into its weights and it stays a term of node 2.
    melted = is_conv[0] & ~present[2] & ~present[4]
    term_0 = present[1]
    term_1 = present[2] & ~copies_zero_1[2]
    n_terms = term_0.astype(np.int8) + term_1 + melted
    conv_through_skip = is_skip[2] & is_conv[0] & ~present[4]
    bare = (n_terms == 1) & ((term_0 & is_conv[1]) | (term_1 & (is_conv[2] | conv_through_skip)) | melted)
    node_2 = np.where(present[5], n_terms > 0, bare)
    node_1 = present[4] | (node_2 & (term_1 | melted))
    runs = np.stack(
        [
            node_1 & present[0],
            node_2 & term_0,
            node_2 & term_1,
            present[3],
            present[4] & ~copies_zero_1[4],
            present[5] & ~(is_skip[5] & (n_terms == 0)),
        ],
        axis=1,
    )
    sees_input = runs[:, 0] | runs[:, 1] | runs[:, 3]
    return np.asarray(runs & sees_input[:, None])


def _cell(build: GraphBuilder, ops: list[int], x: int) -> int:
    """Add a cell: every node is the sum of its incoming edges."""
    nodes = [x]
    for op, (target, source) in zip(ops, EDGES, strict=True):
        value = nodes[source]
        if op in (CONV_1X1, CONV_3X3):
            value = relu_conv_norm(build, value, build.spec(x).shape[1], 1 if op == CONV_1X1 else 3)
        elif op == AVG_POOL:
            value = build.pool("avg_pool", value, 3, stride=1, padding=1)
        elif op == NONE:
            value = build.elementwise("zero", value)
        nodes[target:] = [value if target == len(nodes) else build.add(nodes[target], value)]
    return nodes[-1]


def relu_conv_norm(build: GraphBuilder, x: int, channels: int, kernel: int, stride: int = 1) -> int:
    """Add a ReLU, a convolution and a batch norm."""
    return build.batch_norm(build.conv(build.relu(x), channels, kernel, stride))


def reduction(build: GraphBuilder, x: int, channels: int) -> int:
    """Add a residual block that halves the size: two convolutions, and a pooled shortcut without batch norm."""
    shortcut = build.conv(build.pool("avg_pool", x, 2), channels, 1)
    return build.add(shortcut, relu_conv_norm(build, relu_conv_norm(build, x, channels, 3, stride=2), channels, 3))


def head(build: GraphBuilder, x: int, num_classes: int) -> tuple[int, int]:
    """Add batch norm, ReLU, pooling and classifier; return features and logits."""
    features = build.flatten(build.global_pool(build.relu(build.batch_norm(x))))
    return features, build.linear(features, num_classes)


class NASBench201(SearchSpace):
    """NAS-Bench-201 [1]_: 4 nodes, 6 edges (1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2), 5 ops.

    References
    ----------
    .. [1] Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search",
       ICLR 2020, section 2.1.

    Examples
    --------
    >>> space = NASBench201()
    >>> space.format(0)
    '|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|'
    >>> space.as_array(0)
    array([[4, 2, 1, 2, 1, 1]], dtype=int8)
    """

    name: ClassVar[str] = "nasbench201"
    title: ClassVar[str] = "NAS-Bench-201"
    ops: ClassVar[tuple[str, ...]] = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    position_names: ClassVar[tuple[str, ...]] = tuple(f"edge{target}{source}" for target, source in EDGES)
    configs: ClassVar[Mapping[str, NetworkConfig]] = MappingProxyType(
        {
            "cifar10": NASBench201Config(num_classes=10),
            "cifar100": NASBench201Config(num_classes=100),
            "ImageNet16-120": NASBench201Config(num_classes=120, height=16, width=16),
        }
    )
    config_class: ClassVar[type[NetworkConfig]] = NASBench201Config
    form: ClassVar[str] = "'|op~0|+|op~0|op~1|+|op~0|op~1|op~2|'"
    conventions: ClassVar[Mapping[str, Convention]] = NASBENCH201

    def __len__(self) -> int:
        """Return the number of architectures, 15,625."""
        return SIZE

    def parse(self, text: str) -> ArchArray:
        """Read ``|op~0|+|op~0|op~1|+|op~0|op~1|op~2|``.

        Returns
        -------
        ndarray of int8, shape (6,)

        Raises
        ------
        InvalidArchitectureError
            If the string has a wrong number of nodes or edges, a wrong source node, or an unknown op.
        """
        code = _code_of_string().get(text) if isinstance(text, str) else None
        if code is not None:
            return np.array(_lexicographic()[code])
        if not isinstance(text, str) or self._is_of_others(text):
            raise self._not_an_arch(text)
        return self._parse_slowly(text)

    def _parse_slowly(self, text: str) -> ArchArray:
        nodes = [node.strip() for node in text.strip().split("+")]
        if len(nodes) != 3 or not all(len(node) > 1 and node[0] == node[-1] == "|" for node in nodes):
            raise InvalidArchitectureError(f"a NAS-Bench-201 string reads {self.form}, got {text!r:.200}.")
        ops = []
        for number, node in enumerate(nodes, start=1):
            edges = node[1:-1].split("|")
            if len(edges) != number:
                raise InvalidArchitectureError(
                    f"node {number} of a NAS-Bench-201 string has {number} edges ({self.form}), "
                    f"got {len(edges)} in {text!r:.200}."
                )
            for source, edge in enumerate(edges):
                op, separator, node_name = edge.strip().rpartition("~")
                if not separator or node_name != str(source):
                    raise InvalidArchitectureError(
                        f"edge {source} of node {number} reads 'op~{source}', got {edge!r:.60} in {text!r:.200}."
                    )
                if op not in self.ops:
                    raise unknown(InvalidArchitectureError, "NAS-Bench-201 op", op, self.ops)
                ops.append(self.ops.index(op))
        return np.array(ops, np.int8)

    def format(self, arch: Archs) -> str:
        """Write one architecture as its string."""
        return _strings()[int(self.codes(self._exactly_one(arch))[0])]

    def format_all(self, archs: Archs) -> list[str]:
        """Write a batch of architectures as strings."""
        strings = _strings()
        return [strings[code] for code in self.codes(self.as_array(archs)).tolist()]

    def codes(self, archs: ArchArray) -> npt.NDArray[np.int64]:
        """Return the lexicographic rank of each architecture, shape (n,)."""
        rank = archs[:, 0].astype(np.int64)
        for position in range(1, len(EDGES)):
            rank *= 5
            rank += archs[:, position]
        return rank

    def cell_counts(self, archs: ArchArray) -> npt.NDArray[np.int8]:
        """Count the operators of a cell after merging, and after quantization (:mod:`.cells`), shape (n, 15)."""
        return cell_counts()[self.codes(archs)]

    def index(self, archs: Archs) -> npt.NDArray[np.int64]:
        """Return the benchmark's index of each architecture, shape (n,)."""
        return _index_at_code()[self.codes(self.as_array(archs))]

    def at(self, indices: int | Iterable[int] | npt.NDArray[Any]) -> ArchArray:
        """Return the architectures at the benchmark's indices, shape (n, 6).

        Every integer is an index here, also six small ones; op lists are refused (:meth:`as_array` accepts them).

        The published order: all architectures lexicographically, shuffled by Python's Mersenne Twister with
        seed 88. It is computed, so no file is needed.

        Parameters
        ----------
        indices : int, or flat sequence or array of n int

        Raises
        ------
        InvalidArchitectureError
            If they are not integers, out of range, or in rows.
        """
        held = contents(indices)
        if isinstance(held, np.ndarray) and held.ndim < 2:
            return self._from_indices(np.atleast_1d(held))
        if isinstance(held, list) and not held:
            return np.empty((0, len(EDGES)), np.int8)
        got = f"an array of shape {held.shape}" if isinstance(held, np.ndarray) else f"{indices!r:.80}"
        raise InvalidArchitectureError(
            f"NAS-Bench-201 indices are integers 0..{SIZE - 1}, one or a flat sequence, got {got}."
        )

    def enumerate(self) -> ArchArray:
        """Return all 15,625 architectures in the benchmark's index order, int8 of shape (15625, 6)."""
        return _lexicographic()[_code_at_index()]

    def sample(self, n: int, random_state: RandomState = None) -> ArchArray:
        """Draw n different architectures uniformly, shape (n, 6)."""
        self._check_sample_size(n, SIZE)
        return _lexicographic()[as_generator(random_state).permutation(SIZE)[:n]]

    def canonical(self, archs: Archs, zeros: Zeros = "keep") -> list[str]:
        """Return the canonical form of each architecture: equal strings, equal functions.

        Parameters
        ----------
        archs : architectures
            One or many.
        zeros : {"keep", "ignore", "drop"}, default="keep"
            ``"keep"`` is NAS-Bench-201's own form, which replaces terms zeroed by ``none`` by ``#`` and gives 6,466
            classes; ``"ignore"`` treats ``none`` as any other op (12,751); ``"drop"`` removes the zero terms from sums,
            so that no two classes compute the same function by that rule (5,390).
        """
        if zeros not in ("keep", "ignore", "drop"):
            raise unknown(InvalidInputError, "zeros", zeros, ("keep", "ignore", "drop"))
        strings = _canonical_strings(zeros)
        return [strings[code] for code in self.codes(self.as_array(archs)).tolist()]

    def executed(self, archs: Archs, view: str, config: ConfigLike = None) -> npt.NDArray[np.bool_]:
        """Return which edges run in a view, shape (n, 6).

        The others change no output at initialisation. With trained batch norms, a convolution that is fed zeros adds a
        constant; the benchmark's own ``#`` rule ignores that too.
        """
        self._check_view(view)
        batch = self.as_array(archs)
        if view == "all":
            return np.ones(batch.shape, bool)
        return _live(batch) if view == "live" else _folded(batch)

    def connected(self, archs: Archs) -> npt.NDArray[np.bool_]:
        """Return whether a path leads from the input to the output, shape (n,): True for 15,284 architectures."""
        return np.asarray(_live(self.as_array(archs)).any(axis=1))

    def graph(self, arch: Archs, config: ConfigLike = None) -> Graph:
        """Return the network of one architecture as a graph; see :meth:`SearchSpace.graph`."""
        (ops,), of = self._exactly_one(arch).tolist(), self.config(config)
        assert isinstance(of, NASBench201Config)
        build = GraphBuilder()
        x = build.batch_norm(build.conv(build.input((1, of.in_channels, of.height, of.width)), of.C, 3))
        for stage in range(3):
            if stage:
                x = reduction(build, x, of.C << stage)
            for _ in range(of.N):
                x = _cell(build, ops, x)
        return build.graph(*head(build, x, of.num_classes))

    def op_table(self, config: NetworkConfig, view: View) -> OpTable:
        """Return the operators of each of the 15,625 networks; see :meth:`SearchSpace.op_table`."""
        assert isinstance(config, NASBench201Config)
        return cell_table(config, view)

    def peak_memory(self, archs: ArchArray, config: NetworkConfig, view: View) -> npt.NDArray[np.float64]:
        """Return the peak memory of activations in bytes, int8 (n, 6) -> (n,)."""
        assert isinstance(config, NASBench201Config)
        return cell_peaks(config, view)[self.codes(archs)]

    def table_choices(self, archs: ArchArray, config: NetworkConfig, view: View) -> npt.NDArray[np.integer[Any]]:
        """Return the lexicographic rank of each architecture, shape (n, 1)."""
        return self.codes(archs)[:, None]

    def _from_indices(self, indices: npt.NDArray[Any]) -> ArchArray:
        bad = (indices < 0) | (indices >= SIZE)
        if bad.any():
            raise InvalidArchitectureError(
                f"NAS-Bench-201 indices are 0..{SIZE - 1}, got {indices[bad][0]}"
                f"{f' and {int(bad.sum()) - 1} more outside' if bad.sum() > 1 else ''}."
            )
        return _lexicographic()[_code_at_index()[indices.astype(np.int64)]]

    def _from_texts(self, texts: list[str]) -> ArchArray:
        codes = list(map(_code_of_string().get, texts))
        return super()._from_texts(texts) if None in codes else _lexicographic()[np.array(codes, np.int64)]

    def _accepted(self) -> str:
        return f"an index 0..{SIZE - 1}, {super()._accepted()}"

    def _config_from_dict(self, config: Mapping[str, Any]) -> NetworkConfig:
        fields = {"C": "C", "N": "N", "num_classes": "num_classes"}
        missing = [key for key in fields if key not in config]
        extra = [key for key in config if key not in {*fields, "name", "arch_str", "input_hw"}]
        if missing or extra or config.get("name", "infer.tiny") != "infer.tiny":
            raise InvalidConfigError(
                "a NAS-Bench-201 config dict reads {'name': 'infer.tiny', 'C': 16, 'N': 5, 'arch_str': ..., "
                f"'num_classes': 10}}, got {dict(config)!r:.200}."
            )
        # The published dict has no input size: ImageNet16-120 (120 classes) has 16x16 images, CIFAR has 32x32.
        size = config.get("input_hw", 16 if config["num_classes"] == 120 else 32)
        return NASBench201Config(config["C"], config["N"], config["num_classes"], height=size, width=size)

    def arch_from_dict(self, config: Mapping[str, Any]) -> ArchArray:
        """Return the architecture of the benchmark's config dict (its ``arch_str``), shape (6,)."""
        if "arch_str" not in config:
            raise InvalidArchitectureError(
                f"the config dict has no 'arch_str'; it has {', '.join(map(repr, config)) or 'nothing'}."
            )
        return self.parse(config["arch_str"])
