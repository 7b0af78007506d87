"""Expectations of costs over independent choices: polynomials of the probabilities, as torch modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

__all__ = ["Curve", "Floor", "Form", "Halves", "Sum", "Train", "joint"]

Vector = npt.NDArray[np.float64]

_REACH = 3.0
"""Standard deviations from a floor within which it matters."""


class _Precise(nn.Module):
    """A module whose numbers stay in float64 if it, or a super-net that holds it, is converted to another type."""

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        kept = dict(self.named_buffers(recurse=False))
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, values in kept.items():
            moved = self.get_buffer(name)
            if moved.dtype != values.dtype:
                self.register_buffer(name, values.to(moved.device))
        return self


class Form(_Precise):
    """Base of the forms: probabilities, (positions, ops, n) -> expected costs, (n,).

    The costs of architectures are the values at probabilities of 0 and 1. Numbers are kept in float64, and used in the
    type of the probabilities. The n architectures come last, so that torch adds up contiguous rows.
    """

    def forward(self, probabilities: Tensor) -> Tensor:
        """Return the expectations."""
        raise NotImplementedError

    def _keep(self, name: str, values: npt.ArrayLike) -> None:
        self.register_buffer(name, torch.from_numpy(np.array(values, np.float64)))

    def _kept(self, name: str, like: Tensor) -> Tensor:
        return self.get_buffer(name).to(like.dtype)


class Sum(Form):
    """A sum over positions.

    Parameters
    ----------
    effects : ndarray of float64, shape (positions, ops)
        What each op adds at each position.
    """

    def __init__(self, effects: Vector) -> None:
        super().__init__()
        self._keep("effects", effects)

    def forward(self, probabilities: Tensor) -> Tensor:
        """Return the expectations, (positions, ops, n) -> (n,)."""
        return self._kept("effects", probabilities).flatten() @ probabilities.flatten(0, 1)


class Curve(Form):
    """A sum over positions, and a curve of another one: ``sum + a z^2 + b z^3``, with z a sum over positions.

    The moments of z follow from its first three cumulants, which are sums over positions.

    Parameters
    ----------
    effects : ndarray of float64, shape (positions, ops)
        What each op adds at each position.
    parts : ndarray of float64, shape (positions, ops)
        What each op adds to z.
    bends : tuple of float
        a and b.
    """

    def __init__(self, effects: Vector, parts: Vector, bends: tuple[float, float]) -> None:
        super().__init__()
        self.bends = bends
        self._keep("effects", effects)
        self._keep("powers", np.stack([parts, parts**2, parts**3], axis=1))

    def forward(self, probabilities: Tensor) -> Tensor:
        """Return the expectations, (positions, ops, n) -> (n,)."""
        total = self._kept("effects", probabilities).flatten() @ probabilities.flatten(0, 1)
        first, second, third = (self._kept("powers", probabilities) @ probabilities).unbind(1)
        mean, square = first.sum(0), first * first
        variance = (second - square).sum(0)
        skew = (third - first * (3 * second - 2 * square)).sum(0)
        a, b = self.bends
        return total + a * (mean * mean + variance) + b * (mean * (mean * mean + 3 * variance) + skew)


class Halves(Form):
    """Any cost of a small space: a table over the choices at the first positions, and those at the others.

    Parameters
    ----------
    left : ndarray of float64, shape (a, r)
    right : ndarray of float64, shape (b, r)
        The cost of an architecture is the product of a row of each.
    cut : int
        The number of first positions; all of a single one.
    n_ops : sequence of int
        The number of ops at each position.
    """

    def __init__(self, left: Vector, right: Vector, cut: int, n_ops: Sequence[int]) -> None:
        super().__init__()
        self.cut, self.n_ops = cut, tuple(map(int, n_ops))
        self._keep("left", left.T)
        self._keep("right", right.T)
        self.all_left = left.shape[0] == left.shape[1] and bool((left == np.eye(len(left))).all())

    def forward(self, probabilities: Tensor) -> Tensor:
        """Return the expectations, (positions, ops, n) -> (n,)."""
        each = probabilities.unbind(0)
        first = joint(each[: self.cut], self.n_ops[: self.cut])
        second = self._kept("right", probabilities)
        if self.cut < len(each):
            second = second @ joint(each[self.cut :], self.n_ops[self.cut :])
        return ((first if self.all_left else self._kept("left", probabilities) @ first) * second).sum(0)


class Train(Form):
    """A product of one small matrix for each position, chosen by its op.

    Parameters
    ----------
    cores : sequence of ndarray
        One array of shape (r, ops, s) for each position; r of the first and s of the last are 1.
    """

    def __init__(self, cores: Sequence[Vector]) -> None:
        super().__init__()
        self.rank = max(max(core.shape[0], core.shape[2]) for core in cores)
        most = max(core.shape[1] for core in cores)
        padded = np.zeros((len(cores), self.rank, self.rank, most))
        for place, core in enumerate(cores):
            padded[place, : core.shape[0], : core.shape[2], : core.shape[1]] = core.transpose(0, 2, 1)
        self._keep("cores", padded.reshape(len(cores), -1, most))

    def forward(self, probabilities: Tensor) -> Tensor:
        """Return the expectations, (positions, ops, n) -> (n,)."""
        # Products of many float32 numbers would be off by more than 1e-6.
        matrices = self.get_buffer("cores").double() @ probabilities.double()
        first, *others = matrices.view(len(matrices), self.rank, self.rank, -1).unbind(0)
        state: Tensor = first[0]
        for matrix in others:
            state = (state[:, None] * matrix).sum(0)
        return state[0].to(probabilities.dtype)


class Floor(_Precise):
    """The expectation of a cost that is at least a floor: of ``max(cost, floor)``.

    Where the mean is within three standard deviations of the floor, the cost is taken to have a bell-shaped density of
    its mean and variance, proportional to ``(1 - (x / 3)^2)^3`` in standard deviations. Elsewhere the result is the
    mean or the floor itself. The variance is that of a sum over positions.

    Parameters
    ----------
    floor : float
    effects : ndarray of float64, shape (positions, ops)
        What each op adds at each position.
    """

    def __init__(self, floor: float, effects: Vector) -> None:
        super().__init__()
        self.floor = floor
        centred = effects - effects.mean(axis=1, keepdims=True)
        self.register_buffer("powers", torch.from_numpy(np.stack([centred, centred**2], axis=1)))

    def forward(self, means: Tensor, probabilities: Tensor) -> Tensor:
        """Return the expectations, (n,) means and (positions, ops, n) probabilities -> (n,)."""
        above = means - self.floor
        with torch.no_grad():
            near = above * above < _REACH**2 * self._variance(probabilities)
            if not near.any() and (above >= 0).all():
                return means
        variance = self._variance(probabilities)
        reach = _REACH * torch.where(near, variance, torch.ones_like(variance)).sqrt()
        place = torch.where(near, -above / reach, torch.zeros_like(above))
        square = place * place
        even = square * (1 / 2 - square * (1 / 4 - square * (1 / 10 - square / 56)))
        excess = reach * (35 / 256 - place / 2 + 35 / 32 * even)
        return self.floor + torch.where(near, excess, above.clamp(min=0.0))

    def _variance(self, probabilities: Tensor) -> Tensor:
        first, second = (self.get_buffer("powers").to(probabilities.dtype) @ probabilities).unbind(1)
        return (second - first * first).sum(0)


def joint(probabilities: Sequence[Tensor], n_ops: Sequence[int]) -> Tensor:
    """Return the probability of every combination of ops: one (ops, n) for each position -> (product of ops, n).

    Combinations are in lexicographic order: the last position varies fastest.

    Examples
    --------
    >>> joint([torch.tensor([[0.5], [0.5]]), torch.tensor([[0.25], [0.75]])], [2, 2]).flatten().tolist()
    [0.125, 0.375, 0.125, 0.375]
    """
    together = None
    for chosen, count in zip(probabilities, n_ops, strict=True):
        each = chosen[:count]
        together = each if together is None else (together[:, None] * each).flatten(0, 1)
    assert together is not None
    return together
