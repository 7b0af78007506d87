"""Decisions of super-nets: which operation runs, from architecture parameters and noise."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from hwnas_surrogate.errors import InvalidGraphError

__all__ = ["chosen", "gumbel_one_hot", "gumbel_scores", "has_numbers", "numbers"]


def gumbel_scores(parameters: Tensor, tau: float | Tensor) -> Tensor:
    """Add Gumbel noise to the log-probabilities of each row, and divide by a temperature.

    Parameters
    ----------
    parameters : Tensor, shape (rows, choices)
    tau : float or Tensor
        The temperature.

    Returns
    -------
    Tensor, shape (rows, choices)
        The row's largest is at choice k with probability ``softmax(row)[k]``.
    """
    noise = -torch.empty_like(parameters, memory_format=torch.legacy_contiguous_format).exponential_().log()
    return (parameters.log_softmax(dim=-1) + noise) / tau


def gumbel_one_hot(parameters: Tensor, tau: float | Tensor) -> tuple[Tensor, list[int]]:
    """Draw one choice for each row, with the gradient of the softmax (straight-through [1]_).

    Parameters
    ----------
    parameters : Tensor, shape (rows, choices)
    tau : float or Tensor
        The temperature.

    Returns
    -------
    weights : Tensor, shape (rows, choices)
        One in each row is 1, the others are 0.
    choices : list of int

    References
    ----------
    .. [1] Jang et al., "Categorical Reparameterization with Gumbel-Softmax", ICLR 2017, section 2.2.
    """
    soft = gumbel_scores(parameters, tau).softmax(dim=-1)
    choices = chosen(soft, parameters)
    hard = torch.zeros_like(soft).scatter_(-1, torch.tensor(choices, device=soft.device).unsqueeze(-1), 1.0)
    return hard - soft.detach() + soft, choices


def chosen(scores: Tensor, parameters: Tensor) -> list[int]:
    """Return the choice with the largest score of each row.

    While a network is captured as a graph, scores have no numbers. Then the parameters decide: the graph is that of
    the most probable path.

    Parameters
    ----------
    scores : Tensor, shape (rows, choices)
    parameters : Tensor, shape (rows, choices)
        What the scores were computed from.

    Returns
    -------
    list of int

    Raises
    ------
    InvalidGraphError
        If neither has numbers, as in an export.
    """
    best = scores.argmax(dim=-1)
    if has_numbers(best):
        choices: list[int] = best.tolist()
        return choices
    return [max(range(len(row)), key=row.__getitem__) for row in numbers(parameters)]


def numbers(parameters: Tensor) -> list[list[float]]:
    """Return the numbers of architecture parameters, also while a network is captured.

    Raises
    ------
    InvalidGraphError
        If there are none.
    """
    if not has_numbers(parameters):
        raise InvalidGraphError(
            "the path through this super-net depends on numbers, and its architecture parameters have none here "
            "(a fake or a meta tensor). Build the inference network of its genotype, or choose a cell where there is "
            "set_cal_mode: set_cal_mode('dynamic', cell)."
        )
    rows: list[list[float]] = parameters.tolist()
    return rows


def has_numbers(tensor: Tensor) -> bool:
    """Return whether a tensor has numbers: fake ones, while a network is captured, and ``meta`` ones have none."""
    return not isinstance(tensor, FakeTensor) and tensor.device.type != "meta"
