"""Validation of architecture probabilities, and of the parameters of a super-net that they are the softmax of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.spaces import SearchSpace

__all__ = ["checked_probabilities", "softmax_of"]

_OFF = 1e-4
"""Largest difference of a sum from 1: rounding errors of float32 are a hundred times smaller."""
_OFF_IN_HALF = 2e-2
_NEGATIVE = 1e-6
"""Smaller negative numbers are rounding errors (of ``hard - soft.detach() + soft``, for example)."""


def checked_probabilities(probabilities: Any, space: SearchSpace) -> Tensor:
    """Return probabilities in float32 or float64, (..., positions, ops), or raise.

    Raises
    ------
    InvalidInputError
        If they are no tensor of floats of this shape, hold NaN, are negative or above 1, do not sum to 1 at each
        position, or an op that a position lacks has some.
    """
    n_ops = space.n_ops_at
    shape = len(n_ops), int(n_ops.max())
    must = f"probabilities of {space.title} must be a float tensor of shape (n, {shape[0]}, {shape[1]})"
    if not isinstance(probabilities, Tensor) or not probabilities.is_floating_point():
        got = (
            f"a tensor of {probabilities.dtype}" if isinstance(probabilities, Tensor) else type(probabilities).__name__
        )
        raise InvalidInputError(f"{must}, got {got}. torch.softmax(alphas, -1) makes them; one_hot(archs) of ops.")
    if probabilities.ndim < 2 or tuple(probabilities.shape[-2:]) != shape:
        raise InvalidInputError(f"{must}: positions, then ops; got {tuple(probabilities.shape)}.")
    in_half = probabilities.dtype not in (torch.float32, torch.float64)
    given = probabilities.float() if in_half else probabilities
    if given.numel():
        _check(given.detach(), _OFF_IN_HALF if in_half else _OFF, n_ops, space)
    return given


def _check(given: Tensor, most: float, n_ops: npt.NDArray[np.intp], space: SearchSpace) -> None:
    off = given.sum(-1) - 1
    if not (given.amin() >= -_NEGATIVE and off.abs().amax() <= most):  # NaN is neither
        raise _refusal(given, off, most, space)
    if n_ops.min() < n_ops.max():
        lacking = (
            torch.arange(given.shape[-1], device=given.device) >= torch.as_tensor(n_ops, device=given.device)[:, None]
        )
        excess = (given * lacking).sum(-1)
        if excess.amax() > most:
            place = tuple(torch.nonzero(excess > most)[0].tolist())
            name, count = space.position_names[place[-1]], n_ops[place[-1]]
            raise InvalidInputError(
                f"position {name!r} of {space.title} has {count} ops: the probabilities after the {count}th must be 0, "
                f"got {excess[place]:.4g} for them{_row(place)}."
            )


def _refusal(given: Tensor, off: Tensor, most: float, space: SearchSpace) -> InvalidInputError:
    """Return the error that names the first wrong position."""
    finite = torch.isfinite(given)
    if not finite.all():
        place = tuple(torch.nonzero(~finite)[0].tolist())
        return InvalidInputError(
            f"probabilities must be finite numbers, got {given[place].item()} at position "
            f"{space.position_names[place[-2]]!r}{_row(place[:-1])}: has the search diverged?"
        )
    if given.amin() < -_NEGATIVE:
        place = tuple(torch.nonzero(given < -_NEGATIVE)[0].tolist())
        return InvalidInputError(
            f"probabilities must not be negative, got {given[place].item():.4g} at position "
            f"{space.position_names[place[-2]]!r}{_row(place[:-1])}. Of a super-net's own parameters, "
            "which may be, use of_alphas."
        )
    place = tuple(torch.nonzero(off.abs() > most)[0].tolist())
    return InvalidInputError(
        f"the probabilities of a position must sum to 1, got {1 + off[place].item():.4g} at position "
        f"{space.position_names[place[-1]]!r}{_row(place)}. torch.softmax(alphas, -1) makes such; of a super-net's own "
        "parameters, use of_alphas."
    )


def _row(place: tuple[int, ...]) -> str:
    return f" of row {place[0]}" if len(place) > 1 else ""


def softmax_of(alphas: Any, temperature: float, space: SearchSpace) -> Tensor:
    """Return the probabilities that a super-net's parameters stand for, (..., positions, ops).

    Parameters
    ----------
    alphas : Tensor, sequence of Tensor or ParameterList
        Of shape (..., positions, ops), or one of shape (ops,) for each position. A sequence of one tensor is that
        tensor.
    temperature : float
    space : SearchSpace

    Raises
    ------
    InvalidInputError
        If they are of another shape or not finite, or the temperature is not above 0.
    """
    n_ops = space.n_ops_at
    shape = len(n_ops), int(n_ops.max())
    _check_temperature(temperature)
    given = _stacked(alphas, n_ops)
    must = f"alphas of {space.title} must be a float tensor of shape ({shape[0]}, {shape[1]})"
    if not isinstance(given, Tensor) or not given.is_floating_point():
        raise InvalidInputError(f"{must}, or one of (ops,) for each position, got {type(alphas).__name__}.")
    if given.ndim < 2 or tuple(given.shape[-2:]) != shape:
        raise InvalidInputError(f"{must}, got {tuple(given.shape)}.")
    held = torch.arange(shape[1], device=given.device) < torch.as_tensor(n_ops, device=given.device)[:, None]
    if not torch.isfinite(given.detach()[..., held]).all():
        raise InvalidInputError(f"{must} of finite numbers, got NaN or an infinity: has the search diverged?")
    # Below the largest, a small temperature makes no infinity of it.
    below = given.masked_fill(~held, 0.0) - given.detach().masked_fill(~held, -torch.inf).amax(-1, keepdim=True)
    return torch.softmax((below / temperature).masked_fill(~held, -torch.inf), dim=-1)


def _check_temperature(temperature: Any) -> None:
    is_number = isinstance(temperature, (int, float, np.number, Tensor)) and not isinstance(temperature, bool)
    if not is_number or (isinstance(temperature, Tensor) and temperature.numel() != 1):
        raise InvalidInputError(f"the temperature must be a number above 0, got {type(temperature).__name__}.")
    if not 0 < float(temperature) < float("inf"):
        raise InvalidInputError(f"the temperature must be a number above 0, got {float(temperature)!r}.")


def _stacked(alphas: Any, n_ops: npt.NDArray[np.intp]) -> Any:
    if isinstance(alphas, nn.ParameterList):
        alphas = list(alphas)
    if isinstance(alphas, Tensor) or not isinstance(alphas, Sequence) or not all(isinstance(x, Tensor) for x in alphas):
        return alphas
    if len(alphas) == 1 and alphas[0].ndim > 1:
        return alphas[0]
    if [tuple(x.shape) for x in alphas] != [(int(n),) for n in n_ops]:
        return alphas
    most = int(n_ops.max())
    return torch.stack([torch.nn.functional.pad(x, (0, most - len(x))) for x in alphas])
