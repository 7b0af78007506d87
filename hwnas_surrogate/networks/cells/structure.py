"""A cell as nodes and their incoming edges, and its string ``|op~0|+|op~0|op~1|``."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from hwnas_surrogate.errors import InvalidArchitectureError, InvalidInputError
from hwnas_surrogate.networks.arguments import count, integer, names
from hwnas_surrogate.spaces.reading import is_integer

__all__ = ["CELL_ARCHITECTURES", "CellStructure", "Edge", "as_structure"]

Edge: TypeAlias = tuple[str, int]
"""An operation and the node that it reads."""

_FORM = "'|op~0|+|op~0|op~1|': nodes joined by '+', in each the edges 'op~source'"


@dataclass(frozen=True, slots=True)
class CellStructure:
    """The nodes of a cell: which operations on which earlier nodes are summed in each.

    Node 0 is the cell's input. Any number of nodes is allowed, and sparse or repeated edges too. Names of operations
    are checked when a network is built, not here, so that other spaces' strings can be read.

    Parameters
    ----------
    nodes : sequence of sequences of (str, int)
        For each node from 1 on, its edges: an operation and the number of the node that it reads.

    Raises
    ------
    InvalidArchitectureError
        If there is no node, a node has no edge, or an edge reads its own or a later node.

    Examples
    --------
    >>> cell = CellStructure.str2structure("|nor_conv_3x3~0|+|skip_connect~0|nor_conv_3x3~1|")
    >>> len(cell), cell[1]
    (3, (('skip_connect', 0), ('nor_conv_3x3', 1)))
    >>> cell.to_unique_str()
    '((0)@nor_conv_3x3)@nor_conv_3x3+0'
    """

    nodes: tuple[tuple[Edge, ...], ...]

    def __post_init__(self) -> None:
        if isinstance(self.nodes, str) or not isinstance(self.nodes, Sequence):
            raise InvalidArchitectureError(
                f"a cell is a list of nodes, each a list of (operation, source), got {self.nodes!r:.80}. "
                "Read strings by CellStructure.str2structure."
            )
        nodes = tuple(_checked_node(number, edges) for number, edges in enumerate(self.nodes, start=1))
        if not nodes:
            raise InvalidArchitectureError("a cell needs at least one node besides its input, got none.")
        object.__setattr__(self, "nodes", nodes)

    @classmethod
    def trusted(cls, nodes: tuple[tuple[Edge, ...], ...]) -> CellStructure:
        """Return a structure of nodes that are known to be right: enumerations make many."""
        made = object.__new__(cls)
        object.__setattr__(made, "nodes", nodes)
        return made

    @staticmethod
    def str2structure(xstr: str | CellStructure) -> CellStructure:
        """Read a string; a structure is returned as it is.

        Parameters
        ----------
        xstr : str or CellStructure
            ``|op~0|+|op~0|op~1|``.

        Returns
        -------
        CellStructure

        Raises
        ------
        InvalidArchitectureError
            If the string is malformed.

        Examples
        --------
        >>> CellStructure.str2structure("|none~0|+|avg_pool_3x3~1|").tostr()
        '|none~0|+|avg_pool_3x3~1|'
        """
        return xstr if isinstance(xstr, CellStructure) else CellStructure(tuple(_nodes_of(xstr)))

    @staticmethod
    def str2fullstructure(xstr: str | CellStructure, default_name: str = "none") -> CellStructure:
        """Read a string, and add an edge from every earlier node that a node doesn't read.

        Parameters
        ----------
        xstr : str or CellStructure
        default_name : str, default="none"
            The operation of the added edges.

        Returns
        -------
        CellStructure
            Its edges are sorted by source.

        Examples
        --------
        >>> CellStructure.str2fullstructure("|nor_conv_3x3~0|+|skip_connect~1|").tostr()
        '|nor_conv_3x3~0|+|none~0|skip_connect~1|'
        """
        full = []
        for number, edges in enumerate(CellStructure.str2structure(xstr).nodes, start=1):
            read = {source for _, source in edges}
            added = [(default_name, source) for source in range(number) if source not in read]
            full.append(tuple(sorted((*edges, *added), key=_by_source)))
        return CellStructure(tuple(full))

    @staticmethod
    def gen_all(search_space: Iterable[str], num: int, return_ori: bool = False) -> list[Any]:
        """Return every cell of some operations, each node reading all earlier ones.

        Parameters
        ----------
        search_space : iterable of str
            The operations.
        num : int
            The number of nodes, with the input; at least 2.
        return_ori : bool, default=False
            Return nested tuples instead of structures.

        Returns
        -------
        list of CellStructure
            In lexicographic order: the last edge varies fastest. There are ``n_ops ** (num * (num - 1) / 2)``.

        Raises
        ------
        InvalidConfigError
            If ``num`` is no integer above 1, or there is no operation.

        Examples
        --------
        >>> [cell.tostr() for cell in CellStructure.gen_all(["none", "skip_connect"], 2)]
        ['|none~0|', '|skip_connect~0|']
        """
        ops = names("search_space", search_space)
        nodes = count("num", num, least=2)
        per_node = [
            [tuple((op, source) for source, op in enumerate(chosen)) for chosen in itertools.product(ops, repeat=node)]
            for node in range(1, nodes)
        ]
        cells = itertools.product(*per_node)
        return list(cells) if return_ori else list(map(CellStructure.trusted, cells))

    @property
    def node_num(self) -> int:
        """The number of nodes, with the input."""
        return len(self)

    def node(self, index: int) -> tuple[Edge, ...]:
        """Return the edges of node ``index``; the first after the input is node 1.

        Raises
        ------
        InvalidInputError
            If there is no such node, or it is the input, which has no edges.
        """
        if not is_integer(index) or not 1 <= index < len(self):
            raise InvalidInputError(f"nodes with edges are 1..{len(self) - 1}, got {index!r:.80}.")
        return self.nodes[index - 1]

    def tostr(self) -> str:
        """Write the cell as its string."""
        return "+".join("|" + "|".join(f"{op}~{source}" for op, source in edges) + "|" for edges in self.nodes)

    def tolist(self, remove_str: str | None) -> tuple[list[tuple[Edge, ...]] | None, bool]:
        """Return the nodes as a list, without the edges of one operation.

        Parameters
        ----------
        remove_str : str or None
            The operation to leave out, such as ``"none"``.

        Returns
        -------
        nodes : list of tuple of (str, int), or None
            Edges are sorted by source. None if a node is left without an edge.
        complete : bool
            Whether every node keeps an edge.
        """
        left = [
            tuple(sorted((edge for edge in edges if edge[0] != remove_str), key=_by_source)) for edges in self.nodes
        ]
        return (left, True) if all(left) else (None, False)

    def check_valid(self) -> bool:
        """Return whether a path without ``none`` leads from the input to the last node."""
        reached = [True]
        for edges in self.nodes:
            reached.append(any(op != "none" and reached[source] for op, source in edges))
        return reached[-1]

    def check_valid_op(self, op_names: Iterable[str]) -> bool:
        """Return whether all operations are among the given names."""
        allowed = set(names("op_names", op_names))
        return all(op in allowed for edges in self.nodes for op, _ in edges)

    def to_unique_str(self, consider_zero: bool | None = False) -> str:
        """Return a form in which equal functions look alike.

        Parameters
        ----------
        consider_zero : bool or None, default=False
            False removes ``skip_connect``. True also replaces what ``none`` sets to zero by ``#``. None removes
            nothing, and only sorts the edges of each node.

        Examples
        --------
        >>> cell = CellStructure.str2structure("|none~0|+|skip_connect~0|nor_conv_1x1~1|")
        >>> [cell.to_unique_str(zero) for zero in (None, False, True)]
        ['((0)@none)@nor_conv_1x1+(0)@skip_connect', '((0)@none)@nor_conv_1x1+0', '#+0']
        """
        texts = ["0"]
        for edges in self.nodes:
            texts.append("+".join(sorted(_term(op, texts[source], consider_zero) for op, source in edges)))
        return texts[-1]

    def __len__(self) -> int:
        """Return the number of nodes, with the input."""
        return len(self.nodes) + 1

    def __getitem__(self, index: int) -> tuple[Edge, ...]:
        """Return the edges of one node; number 0 is the first after the input."""
        return self.nodes[index]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} nodes with {self.tostr()})"


def as_structure(value: object) -> CellStructure:
    """Return a structure for a structure, a string or nested lists.

    Raises
    ------
    InvalidArchitectureError
        If it is none of these.
    """
    if isinstance(value, Mapping):
        raise InvalidArchitectureError(
            f"a dict is the genotype of a NASNet-style network; this one takes a CellStructure or {_FORM}; "
            f"got {dict(value)!r:.80}."
        )
    if isinstance(value, (CellStructure, str)):
        return CellStructure.str2structure(value)
    if isinstance(value, Sequence):
        return CellStructure(tuple(value))
    raise InvalidArchitectureError(f"a cell is a CellStructure or a string {_FORM}; got {value!r:.80}.")


def _by_source(edge: Edge) -> tuple[int, str]:
    return edge[1], edge[0]


def _term(op: str, source: str, consider_zero: bool | None) -> str:
    if consider_zero and (op == "none" or source == "#"):
        return "#"
    if op == "skip_connect" and consider_zero is not None:
        return source
    return f"({source})@{op}"


def _checked_node(number: int, edges: Any) -> tuple[Edge, ...]:
    if isinstance(edges, str) or not isinstance(edges, Sequence) or not edges:
        raise InvalidArchitectureError(f"node {number} needs a list of (operation, source), got {edges!r:.80}.")
    return tuple(_checked_edge(number, edge) for edge in edges)


def _checked_edge(number: int, edge: Any) -> Edge:
    if isinstance(edge, str) or not isinstance(edge, Sequence) or len(edge) != 2:
        raise InvalidArchitectureError(f"an edge of node {number} reads (operation, source), got {edge!r:.80}.")
    op, source = edge
    source = integer(source)
    if not isinstance(op, str) or source is None:
        raise InvalidArchitectureError(f"an edge of node {number} reads (operation, source), got {edge!r:.80}.")
    if not 0 <= source < number:
        raise InvalidArchitectureError(
            f"node {number} reads earlier nodes, 0..{number - 1}, got {op!r:.60} on {source}."
        )
    return op, source


def _nodes_of(text: Any) -> Iterable[tuple[Edge, ...]]:
    if not isinstance(text, str):
        raise InvalidArchitectureError(f"a cell's string reads {_FORM}; got {text!r:.80}.")
    for number, node in enumerate(text.split("+"), start=1):
        edges = [part.strip() for part in node.split("|") if part.strip()]
        if not edges:
            raise InvalidArchitectureError(
                f"node {number} has no edge in {text!r:.200}; a cell's string reads {_FORM}."
            )
        yield tuple(_edge_of(edge, text) for edge in edges)


def _edge_of(edge: str, text: str) -> Edge:
    op, separator, source = edge.partition("~")
    if not (op and separator and source.isascii() and source.isdecimal() and len(source) < 5):
        raise InvalidArchitectureError(f"an edge reads 'op~source', got {edge!r:.60} in {text!r:.200}.")
    return op, int(source)


def _every_edge(*ops: str) -> CellStructure:
    return CellStructure(tuple(tuple((op, source) for source in range(node) for op in ops) for node in (1, 2, 3)))


CELL_ARCHITECTURES: Mapping[str, CellStructure] = MappingProxyType(
    {
        "resnet": CellStructure.str2structure("|nor_conv_3x3~0|+|nor_conv_3x3~1|+|skip_connect~0|skip_connect~2|"),
        "all_c3x3": _every_edge("nor_conv_3x3"),
        "all_c1x1": _every_edge("nor_conv_1x1"),
        "all_idnt": _every_edge("skip_connect"),
        "all_full": _every_edge("skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"),
    }
)
"""Cells of four nodes with a name."""
