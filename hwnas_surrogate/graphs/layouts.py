"""How a view shows the numbers of a value: sizes, and steps through its memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod

from hwnas_surrogate.graphs.op import Op, Shape

__all__ = ["Layout"]

_TEXT = re.compile(r"\(([-\d, ]*)\) from (\d+)")


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of a view, and where its numbers are in a value that is stored row by row.

    Parameters
    ----------
    shape : tuple of int
    strides : tuple of int
        The step between neighbours in each dimension, in numbers.
    offset : int, default=0
        The position of the first number.

    Examples
    --------
    A transposed matrix, and its rows again one after the other, which no steps can express:

    >>> turned = Layout.contiguous((2, 3)).permuted((1, 0))
    >>> turned, str(turned)
    (Layout(shape=(3, 2), strides=(1, 3), offset=0), '(1, 3) from 0')
    >>> turned.reshaped((6,)) is None
    True
    """

    shape: Shape
    strides: Shape
    offset: int = 0

    @classmethod
    def contiguous(cls, shape: Shape) -> Layout:
        """Return the layout of a whole value."""
        steps = tuple(accumulate(shape[:0:-1], lambda step, size: step * max(size, 1), initial=1))[::-1]
        return cls(shape, steps[: len(shape)])  # a scalar has no dimension

    @classmethod
    def of_view(cls, op: Op) -> Layout | None:
        """Return the layout of an operator ``view``; None if it is described in another way."""
        shape = op.outputs[0].shape
        if not op.detail:
            return cls.contiguous(shape)
        found = _TEXT.fullmatch(op.detail)
        if found is None:
            return None
        strides = tuple(int(step) for step in found[1].split(",") if step.strip())
        return cls(shape, strides, int(found[2])) if len(strides) == len(shape) else None

    def __str__(self) -> str:
        """Return the strides and the offset as text; empty for numbers in order from the first."""
        if self.in_order:
            return ""
        # The step along a dimension of one place is arbitrary: written as for numbers in order.
        usual = Layout.contiguous(self.shape).strides
        strides = tuple(
            normal if size == 1 else step for size, step, normal in zip(self.shape, self.strides, usual, strict=True)
        )
        return f"{strides} from {self.offset}"

    @property
    def in_order(self) -> bool:
        """Whether it shows numbers row by row, from the first."""
        usual = Layout.contiguous(self.shape).strides
        alike = all(
            size == 1 or step == normal for size, step, normal in zip(self.shape, self.strides, usual, strict=True)
        )
        return self.offset == 0 and (alike or not prod(self.shape))

    def permuted(self, order: Sequence[int]) -> Layout:
        """Return it with its dimensions in another order."""
        return Layout(tuple(self.shape[dim] for dim in order), tuple(self.strides[dim] for dim in order), self.offset)

    def sliced(self, dim: int, start: int, step: int, size: int) -> Layout:
        """Return a part of one dimension: a number of places, every so many."""
        shape, strides = list(self.shape), list(self.strides)
        shape[dim], strides[dim] = size, strides[dim] * step
        return Layout(tuple(shape), tuple(strides), self.offset + start * self.strides[dim])

    def without(self, dims: Iterable[int]) -> Layout:
        """Return it without some dimensions, at their first place."""
        left = [dim for dim in range(len(self.shape)) if dim not in set(dims)]
        return self.permuted(left)

    def expanded(self, shape: Shape) -> Layout:
        """Return it with dimensions of one place repeated, and more dimensions in front."""
        front = len(shape) - len(self.shape)
        strides = [
            step if size == wide else 0
            for size, step, wide in zip(self.shape, self.strides, shape[front:], strict=True)
        ]
        return Layout(shape, (*([0] * front), *strides), self.offset)

    def reshaped(self, shape: Shape) -> Layout | None:
        """Return the same numbers, in order, with other sizes; None if no steps can express that."""
        if not prod(self.shape):
            return Layout.contiguous(shape)
        strides: list[int] = []
        sizes = list(shape)
        # Runs of dimensions that are adjacent in memory are split into the new ones, from the last.
        run, step = 1, self.strides[-1] if self.strides else 1
        for dim in range(len(self.shape) - 1, -1, -1):
            run *= self.shape[dim]
            ends = dim == 0 or (self.shape[dim - 1] != 1 and self.strides[dim - 1] != run * step)
            if not ends:
                continue
            part = 1
            while sizes and (part < run or sizes[-1] == 1):
                size = sizes.pop()
                strides.append(part * step)
                part *= size
            if part != run:
                return None
            run, step = 1, self.strides[dim - 1] if dim else 1
        strides += [strides[-1] if strides else 1] * len(sizes)
        return Layout(shape, tuple(reversed(strides)), self.offset)
