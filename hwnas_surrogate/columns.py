"""Columns: the named features that encoders produce and models read, and the role of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidInputError

__all__ = ["Column", "Columns", "Role"]

Role: TypeAlias = Literal["feature", "physics", "correction", "source", "learned"]

_SOURCE = "source"
_LEARNED = "learned"
_PHYSICS, _CORRECTION = "physics_", "correction_"
_ARRAY = "x"
"""The group of columns without names."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column, fully described by its name ``group:feature``, which is also its name in a DataFrame.

    Parameters
    ----------
    group : str
        Columns that belong together: a model uses all columns of a group or none.
    feature : str
        The feature within the group.

    Examples
    --------
    >>> Column.physics("fused", "macs")
    Column(group='physics_fused', feature='macs')
    >>> Column.of("physics_fused:macs").role
    'physics'
    """

    group: str
    feature: str

    @classmethod
    def physics(cls, view: str, quantity: str) -> Column:
        """Return the column of a quantity that has a cost on every device, summed over a view of the network."""
        return cls(_PHYSICS + view, quantity)

    @classmethod
    def correction(cls, view: str, term: str) -> Column:
        """Return the column of a correction to a device's physics, in a view of the network."""
        return cls(_CORRECTION + view, term)

    @classmethod
    def source(cls, device: str) -> Column:
        """Return the column of what another device's surrogate predicts."""
        return cls(_SOURCE, device)

    @classmethod
    def learned(cls, what: str) -> Column:
        """Return the column of a sum that was learned from the same costs; of training rows, predicted without them."""
        return cls(_LEARNED, what)

    @classmethod
    def of(cls, name: str) -> Column:
        """Return the column of a name; a name without a colon is a group of its own."""
        group, _, feature = name.partition(":")
        return cls(group, feature)

    @property
    def name(self) -> str:
        """``group:feature``."""
        return f"{self.group}:{self.feature}" if self.feature else self.group

    @property
    def role(self) -> Role:
        """The column's role in a model.

        ``physics``: its coefficient is a cost per unit, which is not negative. ``correction``: its coefficient is small
        and has either sign. ``source``: the predicted cost on another device. ``learned``: a prediction of the cost
        itself. ``feature``: anything else.
        """
        if self.group == _SOURCE:
            return "source"
        if self.group == _LEARNED:
            return "learned"
        if self.group.startswith(_PHYSICS):
            return "physics"
        return "correction" if self.group.startswith(_CORRECTION) else "feature"

    @property
    def view(self) -> str | None:
        """The view of the network that physics or a correction is summed over; None for other columns."""
        if self.role in ("physics", "correction"):
            return self.group.partition("_")[2]
        return None


class Columns(Sequence[Column]):
    """k columns in order, with look-up by role, view or group.

    Parameters
    ----------
    columns : iterable of Column

    Raises
    ------
    InvalidInputError
        If two have the same name.

    Examples
    --------
    >>> columns = Columns.of(["onehot:a", "physics_all:macs", "onehot:b"])
    >>> columns.where("feature").tolist()
    [0, 2]
    >>> columns.groups
    ('onehot', 'physics_all')
    """

    def __init__(self, columns: Iterable[Column]) -> None:
        self._columns = tuple(columns)
        seen: set[str] = set()
        for name in self.names:
            if name in seen:
                raise InvalidInputError(f"two columns have the name {name!r}: names must differ.")
            seen.add(name)

    @staticmethod
    def of(table: Any) -> Columns:
        """Return the columns of a DataFrame, of names, or of an array of shape (n, k), whose columns are one group."""
        names = getattr(table, "columns", table)
        if isinstance(names, np.ndarray) and names.ndim == 2:
            names = [f"{_ARRAY}:{number}" for number in range(names.shape[1])]
        return _of_names(tuple(map(str, names)))

    def __len__(self) -> int:
        """Return the number of columns."""
        return len(self._columns)

    @overload
    def __getitem__(self, place: int) -> Column: ...
    @overload
    def __getitem__(self, place: slice) -> Columns: ...
    def __getitem__(self, place: int | slice) -> Column | Columns:
        """Return one column, or some."""
        return Columns(self._columns[place]) if isinstance(place, slice) else self._columns[place]

    def __iter__(self) -> Iterator[Column]:
        """Yield the columns."""
        return iter(self._columns)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(column.name for column in self._columns)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Their groups, each once, in order."""
        return tuple(dict.fromkeys(column.group for column in self._columns))

    @cached_property
    def views(self) -> tuple[str, ...]:
        """The views with physics columns, each once, in order."""
        return tuple(dict.fromkeys(str(column.view) for column in self._columns if column.role == "physics"))

    def where(self, *roles: Role, view: str | None = None) -> npt.NDArray[np.intp]:
        """Return the indices of the columns with some roles, and of one view if it is given."""
        parts = [places for (role, of), places in self._places.items() if role in roles and view in (None, of)]
        return np.sort(np.concatenate([np.empty(0, np.intp), *parts]))

    @cached_property
    def _places(self) -> dict[tuple[Role, str | None], npt.NDArray[np.intp]]:
        """The indices of each role and view: models ask for them at every prediction."""
        found: dict[tuple[Role, str | None], list[int]] = {}
        for number, column in enumerate(self._columns):
            found.setdefault((column.role, column.view), []).append(number)
        return {meaning: np.array(numbers, np.intp) for meaning, numbers in found.items()}

    def of_groups(self, groups: Iterable[str]) -> npt.NDArray[np.intp]:
        """Return the indices of the columns of some groups."""
        wanted = set(groups)
        return np.array([number for number, column in enumerate(self._columns) if column.group in wanted], np.intp)


@lru_cache(maxsize=256)
def _of_names(names: tuple[str, ...]) -> Columns:
    return Columns(map(Column.of, names))
