"""Interpret integers and names in one space: op lists, indices, or an error."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidArchitectureError, unknown
from hwnas_surrogate.spaces.conventions import Convention
from hwnas_surrogate.spaces.reading import contents, foreign, parts_of
from hwnas_surrogate.spaces.registry import NamedSpace, get_space, space_names

__all__ = ["ArchArray", "OpLists", "numbered"]

ArchArray: TypeAlias = npt.NDArray[np.int8]


class OpLists(NamedSpace):
    """The ops and positions of a space, and how integers are checked against them."""

    ops: ClassVar[tuple[str, ...]]
    """The names of the ops, the same ones at every position; empty if positions differ (:attr:`ops_at`)."""
    position_names: ClassVar[tuple[str, ...]]
    form: ClassVar[str]

    @property
    def ops_at(self) -> tuple[tuple[str, ...], ...]:
        """The names of the ops at each position: in most spaces ``ops`` at all of them."""
        return (self.ops,) * len(self.position_names)

    @property
    def n_ops_at(self) -> npt.NDArray[np.intp]:
        """The number of ops at each position, shape (positions,)."""
        return np.array(list(map(len, self.ops_at)), np.intp)

    def _own(self) -> Convention:
        """Return the space's own convention of op numbers."""
        return Convention(self.ops, self.position_names)

    def _no_index_in(self, convention: str) -> InvalidArchitectureError:
        return InvalidArchitectureError(
            f"an index is no op list: in the convention {convention!r} an architecture is {len(self.position_names)} "
            f"op numbers. Give those, or leave the convention out: indices are {self.title}'s own."
        )

    def _names_ops(self, items: list[Any]) -> bool:
        """Return whether a list is one op list of names; raise if it is nearly one."""
        if len(items) != len(self.position_names) or not all(isinstance(item, str) for item in items):
            return False
        if set(items).isdisjoint(self.ops):
            return False
        for op in items:
            if op not in self.ops:
                raise unknown(InvalidArchitectureError, f"{self.title} op", op, self.ops)
        return True

    def _from_integers(self, numbers: npt.NDArray[Any]) -> ArchArray:
        """Read one integer, or a flat sequence, as described in :meth:`as_array`."""
        n_ops = self._n_ops()
        fits = numbers.shape == (len(self.position_names),) and bool(((numbers >= 0) & (numbers < n_ops)).all())
        return self._checked(numbers[None]) if fits else self._from_indices(np.atleast_1d(numbers))

    def _at(self, indices: Any, size: int) -> ArchArray:
        """Read indices 0..size - 1 in any container: every integer is an index here."""
        held = contents(indices)
        if isinstance(held, np.ndarray) and held.ndim < 2:
            return self._from_indices(np.atleast_1d(held))
        if isinstance(held, list) and not held:
            return np.empty((0, len(self.position_names)), np.int8)
        raise InvalidArchitectureError(f"{self.title} indices are integers 0..{size - 1}, got {indices!r:.80}.")

    def _from_indices(self, indices: npt.NDArray[Any]) -> ArchArray:
        """Read a flat array of indices: raise, since only some spaces have indices."""
        if len(indices) == len(self.position_names):
            self._checked(indices[None])  # raises, naming the op that does not exist
        raise InvalidArchitectureError(
            f"{self.title} has no index: give an architecture as {self._accepted()}, got {indices.tolist()!r:.80}."
        )

    def _checked(self, archs: npt.NDArray[Any], order: Convention | None = None) -> ArchArray:
        """Check shape and range of an integer batch in a convention, and translate it; int8 input is not copied."""
        if archs.ndim != 2 or archs.shape[1] != len(self.position_names):
            raise InvalidArchitectureError(
                f"a {self.title} architecture has {len(self.position_names)} ops, got an array of shape {archs.shape}."
            )
        bad = (archs < 0) | (archs >= self._n_ops())
        if bad.any():
            row, position = map(int, np.argwhere(bad)[0])
            numbering = order or self._own()
            raise InvalidArchitectureError(
                f"architecture number {row}: op {archs[row, position]} at {numbering.positions[position]} does "
                f"not exist in {self.title}; allowed: {numbered(numbering.ops or self.ops_at[position])}."
            )
        batch = archs.astype(np.int8, copy=False)
        return batch if order is None else order.translate(batch, self._own())

    def _n_ops(self) -> int | npt.NDArray[np.intp]:
        """Return the number of ops, of each position if positions differ."""
        return len(self.ops) or self.n_ops_at

    def _accepted(self) -> str:
        return f"a string or {len(self.position_names)} ops (numbers 0..{len(self.ops) - 1} or names)"

    def _is_of_others(self, text: str) -> bool:
        """Return whether a text is an architecture of another space, or the name of another network."""
        return self._other_space(text) is not None or foreign(text, self.ops) is not None

    def _other_space(self, text: str) -> OpLists | None:
        """Return the other space whose ops a text joins, if any."""
        if set(self._joined_ops(text)) <= set(self.ops):
            return None
        return next((other for other in map(get_space, space_names()) if other._joins(text)), None)

    def _joins(self, text: str) -> bool:
        """Return whether a text joins ops of this space."""
        parts = self._joined_ops(text)
        return len(parts) > 1 and set(parts) <= set(self.ops)

    def _joined_ops(self, text: str) -> list[str]:
        """Return the ops that a string of this space joins."""
        return parts_of(text)

    def _not_an_arch(self, got: object) -> InvalidArchitectureError:
        other = self._other_space(got) if isinstance(got, str) else None
        if other is not None:
            return InvalidArchitectureError(
                f"{got!r:.80} is no {self.title} architecture, but one of {other.title}: give space={other.name!r} "
                f"(--space {other.name}). Here, give {self._accepted()}; a string reads {self.form}."
            )
        network = foreign(got, self.ops)
        if network:
            return InvalidArchitectureError(
                f"{network} is no {self.title} architecture. Give {self._accepted()}; a string reads {self.form}. "
                "Other networks are given as graphs, to surrogates that were trained on graphs: "
                "Graph.from_torch(module, example_input) and Graph.from_onnx(path) make one. hwnas predict, measure, "
                "suggest and query read .onnx files, and modules of --networks FILE.py:NAME."
            )
        if hasattr(got, "__array__") and not isinstance(got, np.generic):
            try:
                array = np.asarray(got)
                what = f" of shape {array.shape} and dtype {array.dtype}{', masked' if np.ma.is_masked(got) else ''}"
            except (TypeError, RuntimeError) as error:  # a tensor on another device
                what = f" that numpy can't read ({error})"
        else:
            what = f" {got!r:.80}"
        return InvalidArchitectureError(
            f"no {self.title} architecture: {type(got).__name__}{what}; allowed: {self._accepted()}, one or many."
            f"{' Convert floats first: astype(int).' if 'float' in what else ''}"
        )


def numbered(names: Iterable[str]) -> str:
    """Return names with their numbers, ``0 none, 1 skip_connect``."""
    return ", ".join(f"{number} {name}" for number, name in enumerate(names))
