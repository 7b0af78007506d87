"""A cell of which every edge holds every operation, and the ways to run it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import reduce
from operator import add

from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidArchitectureError, InvalidInputError
from hwnas_surrogate.networks.arguments import check_name, flat_integers
from hwnas_surrogate.networks.cells.choosing import chosen
from hwnas_surrogate.networks.cells.operations import build_operation
from hwnas_surrogate.networks.cells.structure import CellStructure, Edge

__all__ = ["EdgeTable", "SearchCell", "random_structure", "useful_structure"]


class EdgeTable:
    """The edges of a cell in which every node reads all earlier ones, and the rows of their parameters.

    Rows are in the order of the edges' names as strings, ``"1<-0"``, ``"2<-0"``, ``"2<-1"``: for fewer than ten
    nodes this is the order of nodes.

    Parameters
    ----------
    max_nodes : int
        Nodes with the input; at least 2.
    op_names : sequence of str
        The operations that each edge holds.

    Examples
    --------
    >>> EdgeTable(3, ["none", "skip_connect"]).rows
    {'1<-0': 0, '2<-0': 1, '2<-1': 2}
    """

    def __init__(self, max_nodes: int, op_names: Sequence[str]) -> None:
        self.max_nodes, self.op_names = max_nodes, list(op_names)
        self.pairs = [(node, source) for node in range(1, max_nodes) for source in range(node)]
        """(target, source), node by node."""
        names = sorted(f"{node}<-{source}" for node, source in self.pairs)
        self.rows = {name: row for row, name in enumerate(names)}

    def __len__(self) -> int:
        """Return the number of edges."""
        return len(self.pairs)

    def row(self, node: int, source: int) -> int:
        """Return the row of an edge's parameters."""
        return self.rows[f"{node}<-{source}"]

    def structure(self, choices: Sequence[int]) -> CellStructure:
        """Return the cell of one operation for each row.

        Raises
        ------
        InvalidArchitectureError
            If there is not one for each row, or it is no number of an operation.
        """
        numbers = flat_integers(choices)
        if numbers is None or len(numbers) != len(self) or not all(0 <= op < len(self.op_names) for op in numbers):
            raise InvalidArchitectureError(
                f"a cell of {self.max_nodes} nodes has {len(self)} operations, each a number "
                f"0..{len(self.op_names) - 1}; got {choices!r:.80}."
            )
        return CellStructure.trusted(
            tuple(
                tuple((self.op_names[numbers[self.row(node, source)]], source) for source in range(node))
                for node in range(1, self.max_nodes)
            )
        )

    def entries(self, structure: CellStructure) -> list[tuple[int, int]]:
        """Return the row and the operation's number of every edge of a structure.

        Raises
        ------
        InvalidArchitectureError
            If it has another number of nodes, or an operation that the edges don't hold.
        """
        self.check(structure)
        return [
            (self.row(node, source), self.op_names.index(op))
            for node, edges in enumerate(structure.nodes, start=1)
            for op, source in edges
        ]

    def check(self, structure: CellStructure) -> None:
        """Raise if a structure is not one of these cells; see :meth:`entries`."""
        if not isinstance(structure, CellStructure):
            raise InvalidArchitectureError(f"a cell is a CellStructure, got {structure!r:.80}.")
        if len(structure) != self.max_nodes:
            raise InvalidArchitectureError(
                f"this super-net's cells have {self.max_nodes} nodes, got {len(structure)} in {structure.tostr()}."
            )
        for op in (op for edges in structure.nodes for op, _ in edges):
            check_name("operation of this super-net", op, self.op_names, error=InvalidArchitectureError)


def random_structure(table: EdgeTable) -> CellStructure:
    """Draw an operation for each edge, from Python's global generator (``random.seed``)."""
    return CellStructure.trusted(
        tuple(
            tuple((random.choice(table.op_names), source) for source in range(node))
            for node in range(1, table.max_nodes)
        )
    )


def useful_structure(table: EdgeTable) -> CellStructure:
    """Draw an operation for each edge, again for a node whose edges are all ``none``.

    Raises
    ------
    InvalidInputError
        If there is no other operation.
    """
    if all(op == "none" for op in table.op_names):
        raise InvalidInputError("a uniformly random cell needs an operation other than 'none'.")
    nodes = []
    for node in range(1, table.max_nodes):
        edges: list[Edge] = []
        while all(op == "none" for op, _ in edges):
            edges = [(random.choice(table.op_names), source) for source in range(node)]
        nodes.append(tuple(edges))
    return CellStructure.trusted(tuple(nodes))


class SearchCell(nn.Module):
    """A cell of a super-net: every edge holds every operation; a node is the sum of its edges.

    Parameters
    ----------
    C_in, C_out, stride : int
        Edges from the input change channels and size, the others keep them.
    max_nodes : int
        Nodes with the input.
    op_names : sequence of str
    affine : bool, default=False
    track_running_stats : bool, default=True
        The batch norms'.
    """

    def __init__(
        self,
        C_in: int,
        C_out: int,
        stride: int,
        max_nodes: int,
        op_names: Sequence[str],
        affine: bool = False,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        self.table = EdgeTable(max_nodes, op_names)
        self.max_nodes, self.op_names = max_nodes, list(op_names)
        self.in_dim, self.out_dim = C_in, C_out
        norm = affine, track_running_stats
        self.edges = nn.ModuleDict(
            {
                f"{node}<-{source}": nn.ModuleList(
                    build_operation(op, C_out, C_out, 1, *norm)
                    if source
                    else build_operation(op, C_in, C_out, stride, *norm)
                    for op in op_names
                )
                for node, source in self.table.pairs
            }
        )

    def forward(self, x: Tensor, weightss: Tensor) -> Tensor:
        """Sum all operations of every edge, weighted.

        Parameters
        ----------
        x : Tensor, shape (batch, C_in, height, width)
        weightss : Tensor, shape (edges, operations)
        """
        nodes = [x]
        for node in range(1, self.max_nodes):
            terms = []
            for source in range(node):
                weights = weightss[self.table.row(node, source)]
                terms += [op(nodes[source]) * weights[k : k + 1] for k, op in enumerate(self._ops(node, source))]
            nodes.append(reduce(add, terms))
        return nodes[-1]

    forward_joint = forward

    def forward_gdas(self, x: Tensor, hardwts: Tensor, index: Sequence[int] | Tensor) -> Tensor:
        """Run one operation of each edge; the others' weights are added, so that their gradients flow [1]_.

        Parameters
        ----------
        x : Tensor
        hardwts : Tensor, shape (edges, operations)
            Of each row one is 1, the others are 0.
        index : sequence of int, or Tensor of shape (edges,) or (edges, 1)
            Where each row is 1.

        References
        ----------
        .. [1] Dong and Yang, "Searching for a Robust Neural Architecture in Four GPU Hours", CVPR 2019, section 3.1.
        """
        choices: list[int] = index.flatten().tolist() if isinstance(index, Tensor) else list(index)
        nodes = [x]
        for node in range(1, self.max_nodes):
            terms = []
            for source in range(node):
                row = self.table.row(node, source)
                weight = hardwts[row, choices[row] : choices[row] + 1]
                out = self._ops(node, source)[choices[row]](nodes[source])
                terms.append(out * weight + (hardwts[row].sum() - weight))
            nodes.append(reduce(add, terms))
        return nodes[-1]

    def forward_select(self, x: Tensor, weightss: Tensor) -> Tensor:
        """Run the operation of each edge that has the largest weight.

        Parameters
        ----------
        x : Tensor
        weightss : Tensor, shape (edges, operations)
        """
        return self.forward_dynamic(x, self.table.structure(chosen(weightss, weightss)))

    def forward_urs(self, x: Tensor) -> Tensor:
        """Run one operation of each edge, drawn uniformly; of no node all are ``none``.

        Numbers come from Python's global generator (``random.seed``).
        """
        return self.forward_dynamic(x, useful_structure(self.table))

    def forward_dynamic(self, x: Tensor, structure: CellStructure) -> Tensor:
        """Run the operations of a structure.

        Parameters
        ----------
        x : Tensor
        structure : CellStructure
            With the nodes and among the operations of this cell.
        """
        self.table.check(structure)
        nodes = [x]
        for node, edges in enumerate(structure.nodes, start=1):
            nodes.append(reduce(add, [self._op(node, edge)(nodes[edge[1]]) for edge in edges]))
        return nodes[-1]

    def extra_repr(self) -> str:
        """Return the channels and the nodes."""
        return f"{self.max_nodes} nodes, inC={self.in_dim}, outC={self.out_dim}"

    def _ops(self, node: int, source: int) -> nn.ModuleList:
        ops = self.edges[f"{node}<-{source}"]
        assert isinstance(ops, nn.ModuleList)
        return ops

    def _op(self, node: int, edge: Edge) -> nn.Module:
        return self._ops(node, edge[1])[self.op_names.index(edge[0])]
