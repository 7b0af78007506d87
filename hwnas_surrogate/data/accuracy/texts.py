"""Architectures as text: NAS-Bench-201's strings taken apart, and what the benchmark's API prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidArchitectureError, unknown

__all__ = ["OPS", "Results", "describe_results", "str2lists", "str2matrix"]

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""NAS-Bench-201's operators, in the order of their numbers in a matrix."""


class Results(Protocol):
    """What the API needs of an architecture's results."""

    def get_dataset_names(self) -> list[str]:
        """Return the datasets."""

    def get_dataset_seeds(self, dataset: str) -> list[int]:
        """Return the seeds on a dataset."""

    def evaluated_sets(self, dataset: str) -> list[str]:
        """Return the sets with figures of all seeds."""

    def get_metrics(
        self, dataset: str, setname: str, iepoch: int | None = None, is_random: bool | int = False
    ) -> dict[str, Any]:
        """Return loss, accuracy and seconds."""

    def get_compute_costs(self, dataset: str) -> dict[str, float | None]:
        """Return multiply-adds, parameters, latency and seconds."""


def str2lists(arch_str: str) -> list[tuple[tuple[str, int], ...]]:
    """Return the inputs of each node: operators and the nodes that they read.

    Parameters
    ----------
    arch_str : str
        As ``|none~0|+|none~0|none~1|+|none~0|none~1|none~2|``.

    Raises
    ------
    InvalidArchitectureError
        If it is no such string.

    Examples
    --------
    >>> str2lists("|skip_connect~0|+|none~0|avg_pool_3x3~1|")
    [(('skip_connect', 0),), (('none', 0), ('avg_pool_3x3', 1))]
    """
    nodes = []
    for number, node in enumerate(_nodes(arch_str)):
        inputs = []
        for text in filter(None, node.split("|")):
            op, _, source = text.partition("~")
            if not op or not source.isdecimal() or int(source) > number:
                raise InvalidArchitectureError(
                    f"inputs are an operator and an earlier node, as none~0, got {text!r:.60} in {arch_str!r:.200}."
                )
            inputs.append((op, int(source)))
        nodes.append(tuple(inputs))
    return nodes


def str2matrix(arch_str: str, search_space: Sequence[str] = OPS) -> npt.NDArray[np.float64]:
    """Return the number of the operator from node to node; of repeated edges, the last counts.

    Parameters
    ----------
    arch_str : str
    search_space : sequence of str, default=OPS
        The operators in the order of their numbers.

    Returns
    -------
    ndarray of float, shape (nodes, nodes)
        Row: the node that reads; column: the one that is read. 0 where there is no edge.

    Raises
    ------
    InvalidArchitectureError
        If it is no such string, or holds another operator.

    Examples
    --------
    >>> str2matrix("|skip_connect~0|+|none~0|avg_pool_3x3~1|").tolist()
    [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 4.0, 0.0]]
    """
    nodes = str2lists(arch_str)
    numbers = {op: number for number, op in enumerate(search_space)}
    matrix = np.zeros((len(nodes) + 1, len(nodes) + 1))
    for row, inputs in enumerate(nodes, start=1):
        for op, source in inputs:
            if op not in numbers:
                raise unknown(InvalidArchitectureError, "operator", op, search_space)
            matrix[row, source] = numbers[op]
    return matrix


def _nodes(arch_str: object) -> list[str]:
    if not isinstance(arch_str, str) or "|" not in arch_str:
        raise InvalidArchitectureError(
            f"an architecture is a string as |none~0|+|none~0|none~1|+|none~0|none~1|none~2|, got {arch_str!r:.100}."
        )
    return arch_str.split("+")


def describe_results(arch: str, results: Results, extra_info: str | None, *, is_size: bool) -> list[str]:
    """Return the lines that the benchmark's API prints of an architecture."""
    datasets = results.get_dataset_names()
    lines = [arch, f"datasets : {datasets}, extra-info : {extra_info}"]
    for dataset in datasets:
        costs = results.get_compute_costs(dataset)
        latency = costs["latency"]
        measured = f"{latency * 1000:.2f}" if latency is not None and latency > 0 else "None"
        lines.append(
            f"{dataset:14s} FLOP={costs['flops']:6.2f} M, Params={costs['params']:.3f} MB, latency={measured} ms."
        )
        parts = [f"{label} : [{_figures(results, dataset, name, is_size)}]" for label, name in _shown(dataset, is_size)]
        lines.append(f"{dataset:14s} {', '.join(parts)}")
    return lines


def _shown(dataset: str, is_size: bool) -> list[tuple[str, str]]:
    if dataset == "cifar10-valid":
        test = [("test", "ori-test")] if is_size else []
        return [("train", "train"), ("valid", "x-valid"), *test]
    if dataset == "cifar10":
        return [("train", "train"), ("test ", "ori-test")]
    return [("train", "train"), ("valid", "x-valid"), ("test", "x-test")]


def _figures(results: Results, dataset: str, name: str, is_size: bool) -> str:
    figures = results.get_metrics(dataset, name)
    join = " &" if is_size else ","
    loss, accuracy = figures["loss"], figures["accuracy"]
    return f"loss = {_rounded(loss, 3)}{join} top1 = {_rounded(accuracy, 2)}%"


def _rounded(figure: float | None, digits: int) -> str:
    return "None" if figure is None else f"{figure:.{digits}f}"
