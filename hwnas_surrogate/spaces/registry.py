"""The search spaces by name: those of this package, of other installed packages, and registered ones."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast, overload

from hwnas_surrogate.errors import InvalidInputError, unknown

if TYPE_CHECKING:
    from hwnas_surrogate.spaces.base import SearchSpace

__all__ = ["NamedSpace", "check_name", "get_space", "know", "register_space", "space_names"]

ENTRY_POINTS = "hwnas_surrogate.spaces"
"""The entry point group through which an installed package provides a space: ``name = "module:Class"``."""
_HINT = "One of your own is known once its object was made; commands import it by --space FILE.py:CLASS."
S = TypeVar("S", bound="type[NamedSpace]")

_spaces: dict[str, SearchSpace] = {}


class NamedSpace:
    """The base of :class:`SearchSpace`: the parts of the interface that registration needs."""

    name: ClassVar[str]
    title: ClassVar[str]


def register_space(cls: S) -> S:
    """Register a search space by its name, for this process.

    Installed packages can provide a space without a call, by an entry point of the group ``hwnas_surrogate.spaces``.

    Parameters
    ----------
    cls : type
        A subclass of :class:`SearchSpace` that is made without arguments.

    Returns
    -------
    type
        The class itself, so that this is a decorator as well.

    Raises
    ------
    InvalidInputError
        If it is not such a class, or another space has its name. The same class may be registered again, also after it
        was defined again (in a notebook's cell).

    Examples
    --------
    >>> from hwnas_surrogate.spaces import NASBench201
    >>> register_space(NASBench201) is NASBench201
    True
    """
    if not (isinstance(cls, type) and issubclass(cls, NamedSpace)):
        raise InvalidInputError(f"register_space takes a subclass of SearchSpace, got {cls!r:.80}.")
    name = getattr(cls, "name", None)
    if not isinstance(name, str) or not name:
        raise InvalidInputError(f"a search space has a name; {cls.__name__} has {name!r:.40}.")
    if type(_spaces.get(name)) is not cls:
        check_name(cls)
        try:
            space = cls()
        except TypeError as error:
            raise InvalidInputError(f"{cls.__name__} can't be made without arguments: {error}") from error
        _spaces[name] = cast("SearchSpace", space)
    return cls


def check_name(cls: type[NamedSpace]) -> None:
    """Raise :class:`InvalidInputError` if another class has a space's name, and is not an earlier definition of it."""
    known = type(_spaces[cls.name]) if cls.name in _spaces else cls
    if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise InvalidInputError(
            f"there is a search space {cls.name!r} already ({known.__module__}.{known.__name__}): give "
            f"{cls.__module__}.{cls.__name__} another name."
        )


def know(space: SearchSpace) -> None:
    """Register a space's one object, in place of that of an earlier definition of its class."""
    check_name(type(space))
    _spaces[space.name] = space


def space_names() -> tuple[str, ...]:
    """Return the names of the search spaces, including those of installed packages."""
    return tuple(dict.fromkeys([*_spaces, *_brought()]))


@overload
def get_space(space: str | SearchSpace) -> SearchSpace: ...


@overload
def get_space(space: str | SearchSpace | None) -> SearchSpace | None: ...


def get_space(space: str | SearchSpace | None) -> SearchSpace | None:
    """Return a search space by name; a space is returned as it is, and None, which means networks of any kind.

    Parameters
    ----------
    space : str, SearchSpace or None
        ``"nasbench201"``, ``"fbnet"``, or one that was registered. Making the object of a :class:`ChoiceSpace`
        registers it.

    Returns
    -------
    SearchSpace or None

    Raises
    ------
    InvalidInputError
        If there is no such space.

    Examples
    --------
    >>> get_space("fbnet").n_positions
    22
    """
    if space is None:
        return None
    if isinstance(space, NamedSpace):
        known = _spaces.get(space.name, space)
        return known if type(known) is type(space) else space
    if isinstance(space, str) and space not in _spaces and space in _brought():
        _load(space)
    if not isinstance(space, str) or space not in _spaces:
        raise unknown(InvalidInputError, "search space", space, space_names(), _HINT)
    return _spaces[space]


@cache
def _brought() -> tuple[str, ...]:
    """Return the names of the spaces that installed packages provide."""
    return tuple(point.name for point in entry_points(group=ENTRY_POINTS))


def _load(name: str) -> None:
    """Import the space that an installed package provides under a name."""
    (point,) = entry_points(group=ENTRY_POINTS, name=name)
    try:
        register_space(point.load())
    except (ImportError, AttributeError) as error:
        raise InvalidInputError(f"the search space {name!r} of {point.value} can't be imported: {error}") from error
    if name not in _spaces:
        raise InvalidInputError(f"the entry point {name!r} brings a space of another name ({point.value}).")
