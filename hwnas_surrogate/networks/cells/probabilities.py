"""Architecture parameters as probabilities of cells: the best one, draws, the most probable ones."""

from __future__ import annotations

import random
import sys

import torch
from torch import Tensor

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.networks.cells.choosing import chosen
from hwnas_surrogate.networks.cells.search_cell import EdgeTable
from hwnas_surrogate.networks.cells.structure import CellStructure
from hwnas_surrogate.spaces.reading import is_integer

__all__ = ["best_structure", "drawn_structure", "log_probability", "shown", "top_structures"]

_FINE = 2.0**40
"""Log-probabilities are rounded to this fraction."""


def best_structure(table: EdgeTable, parameters: Tensor) -> CellStructure:
    """Return the cell of the most probable operation of each edge."""
    return table.structure(chosen(parameters, parameters))


def drawn_structure(table: EdgeTable, parameters: Tensor) -> CellStructure:
    """Draw a cell: the operation of each edge by its probability, from PyTorch's global generator."""
    with torch.no_grad():
        probabilities = parameters.softmax(dim=-1).cpu()
        # One draw for each edge, node by node: torch.manual_seed(s) then gives the cell that it gave in the benchmark.
        drawn = {
            table.row(*pair): int(torch.multinomial(probabilities[table.row(*pair)], 1).item()) for pair in table.pairs
        }
    return table.structure([drawn[row] for row in range(len(table))])


def log_probability(table: EdgeTable, parameters: Tensor, structure: CellStructure) -> float:
    """Return the logarithm of the probability that a cell is drawn."""
    with torch.no_grad():
        logs = parameters.log_softmax(dim=-1)
        return float(torch.stack([logs[row, op] for row, op in table.entries(structure)]).sum())


def top_structures(table: EdgeTable, parameters: Tensor, k: int, use_random: bool = False) -> list[CellStructure]:
    """Return the most probable cells, best first.

    Parameters
    ----------
    table : EdgeTable
    parameters : Tensor, shape (edges, operations)
    k : int
        How many; all if it is negative or more than there are.
    use_random : bool, default=False
        Draw different cells uniformly instead, from Python's global generator.

    Returns
    -------
    list of CellStructure
        Equally probable ones in lexicographic order.
    """
    if not is_integer(k):
        raise InvalidInputError(f"K is a number of cells, got {k!r:.80}.")
    n_ops, n_edges = len(table.op_names), len(table)
    total = n_ops**n_edges
    k = total if k < 0 else min(k, total)
    if use_random:
        return [_structure_of(table, rank) for rank in _different(total, k)]
    with torch.no_grad():
        # In multiples of 2^-40, sums are exact: equally probable cells have equal scores on every processor.
        logs = torch.round(parameters.detach().double().cpu().log_softmax(dim=-1) * _FINE) / _FINE
    # Log-probabilities add up over the edges, so that the best k cells start with the best k of what comes before.
    # Ranks tell the lexicographic order of these, for ties.
    scores, ranks = torch.zeros(1, dtype=torch.float64), torch.zeros(1, dtype=torch.int64)
    ops = torch.empty(1, 0, dtype=torch.int64)
    for pair in table.pairs:
        n = len(ops)
        scores = (scores[:, None] + logs[table.row(*pair)]).flatten()
        ranks = (ranks[:, None] * n_ops + torch.arange(n_ops)).flatten()
        ops = torch.cat([ops.repeat_interleave(n_ops, dim=0), torch.arange(n_ops).repeat(n)[:, None]], dim=1)
        in_order = ranks.argsort()
        best = in_order[scores[in_order].argsort(descending=True, stable=True)[:k]]
        scores, ranks, ops = scores[best], ranks[best].argsort().argsort(), ops[best]
    return [_structure(table, row) for row in ops.tolist()]


def shown(name: str, parameters: Tensor) -> str:
    """Return a text of the probabilities of a table of parameters."""
    return f"{name} :\n{parameters.detach().softmax(dim=-1).cpu()}"


def _different(total: int, k: int) -> list[int]:
    """Draw k different ranks below a total, from Python's global generator."""
    if total <= sys.maxsize:
        return random.sample(range(total), k)
    drawn: dict[int, None] = {}
    while len(drawn) < k:
        drawn[random.randrange(total)] = None
    return list(drawn)


def _structure_of(table: EdgeTable, rank: int) -> CellStructure:
    """Return the cell of a rank in lexicographic order."""
    ops = []
    for _ in table.pairs:
        rank, op = divmod(rank, len(table.op_names))
        ops.append(op)
    return _structure(table, ops[::-1])


def _structure(table: EdgeTable, ops: list[int]) -> CellStructure:
    """Return the cell of an operation for each edge, node by node."""
    named = iter(table.op_names[op] for op in ops)
    return CellStructure.trusted(
        tuple(tuple((next(named), source) for source in range(node)) for node in range(1, table.max_nodes))
    )
