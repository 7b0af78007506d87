"""What NASNet-style networks share: the stack of normal and reduction cells, and what a genotype is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from hwnas_surrogate.errors import InvalidArchitectureError
from hwnas_surrogate.networks.arguments import check_name, flat_integers, integer
from hwnas_surrogate.networks.cells.operations import check_operation

__all__ = ["CellPlace", "NASNetNode", "checked_genotype", "nasnet_places"]

NASNetNode: TypeAlias = tuple[tuple[str, int], ...]
"""The operations of a node, each with what it reads: 0 and 1 are the cell's inputs, the nodes follow."""


@dataclass(frozen=True, slots=True)
class CellPlace:
    """Where a cell stands in a stack.

    Parameters
    ----------
    C_prev_prev, C_prev : int
        Channels of its two inputs.
    C : int
        Channels of each of its nodes.
    reduction, reduction_prev : bool
        Whether it halves the size, and whether the cell before does.
    """

    C_prev_prev: int
    C_prev: int
    C: int
    reduction: bool
    reduction_prev: bool


def nasnet_places(C: int, N: int, stem_channels: int, multipliers: Mapping[bool, int]) -> Iterator[CellPlace]:
    """Return the 3 N places of a stack: N cells, then twice a reduction cell and N - 1 others.

    Parameters
    ----------
    C : int
        Channels of a node in the first stage; each reduction cell doubles them.
    N : int
    stem_channels : int
        What the stem returns.
    multipliers : mapping of bool to int
        How many nodes a normal (False) and a reduction cell (True) joins in its output.
    """
    before_last = last = stem_channels
    reduction_prev = False
    for index in range(3 * N):
        reduction = index in (N, 2 * N)
        channels = C << index // N
        yield CellPlace(before_last, last, channels, reduction, reduction_prev)
        before_last, last, reduction_prev = last, multipliers[reduction] * channels, reduction


def checked_genotype(genotype: object) -> dict[str, tuple[list[NASNetNode], list[int]] | None]:
    """Return the nodes, and which of them are joined, of the normal and the reduction cell.

    Parameters
    ----------
    genotype : mapping
        ``normal`` and ``reduce``: for each node its operations, as (operation, input) or (operation, input, weight).
        ``normal_concat`` and ``reduce_concat``: the numbers of the states that are joined. Without ``reduce`` the
        reduction cells are those that GDAS does not search.

    Returns
    -------
    dict
        ``normal`` and ``reduce``; None for a ``reduce`` that is not given.

    Raises
    ------
    InvalidArchitectureError
        If it is not such a genotype.
    """
    if not isinstance(genotype, Mapping):
        raise InvalidArchitectureError(
            "a NASNet-style genotype is a dict with 'normal', 'normal_concat', 'reduce' and 'reduce_concat', got "
            f"{genotype!r:.80}."
        )
    allowed = ("normal", "normal_concat", "reduce", "reduce_concat")
    for key in genotype:
        check_name("key of a NASNet-style genotype", key, allowed, error=InvalidArchitectureError)
    cells: dict[str, tuple[list[NASNetNode], list[int]] | None] = {"reduce": None}
    for kind in ("normal", "reduce"):
        if kind == "reduce" and genotype.get("reduce") is None:
            continue
        missing = [key for key in (kind, f"{kind}_concat") if key not in genotype]
        if missing:
            raise InvalidArchitectureError(f"the genotype lacks {missing[0]!r}; it has {list(genotype)}.")
        nodes = _checked_nodes(kind, genotype[kind])
        cells[kind] = nodes, _checked_concat(kind, genotype[f"{kind}_concat"], len(nodes))
    return cells


def _checked_nodes(kind: str, nodes: Any) -> list[NASNetNode]:
    if isinstance(nodes, str) or not isinstance(nodes, Sequence) or not nodes:
        raise InvalidArchitectureError(f"{kind!r} of a genotype is a list of nodes, got {nodes!r:.80}.")
    return [_checked_node(kind, number, edges) for number, edges in enumerate(nodes, start=2)]


def _checked_node(kind: str, number: int, edges: Any) -> NASNetNode:
    if isinstance(edges, str) or not isinstance(edges, Sequence) or not edges:
        raise InvalidArchitectureError(f"node {number} of {kind!r} is a list of (operation, input), got {edges!r:.80}.")
    checked = []
    for edge in edges:
        if isinstance(edge, str) or not isinstance(edge, Sequence) or len(edge) not in (2, 3):
            raise InvalidArchitectureError(f"node {number} of {kind!r} has (operation, input), got {edge!r:.80}.")
        op, source = edge[0], edge[1]
        check_operation(op, InvalidArchitectureError)
        state = integer(source)
        if state is None or not 0 <= state < number:
            raise InvalidArchitectureError(
                f"node {number} of {kind!r} reads 0..{number - 1}, got {op!r} on {source!r}."
            )
        checked.append((op, state))
    return tuple(checked)


def _checked_concat(kind: str, concat: Any, n_nodes: int) -> list[int]:
    states = flat_integers(concat)
    if states is None or not all(2 <= state < n_nodes + 2 for state in states):
        raise InvalidArchitectureError(
            f"'{kind}_concat' is a list of states, 2..{n_nodes + 1} of {n_nodes} nodes; got {concat!r:.80}."
        )
    return states
