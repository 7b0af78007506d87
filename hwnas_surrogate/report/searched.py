"""What a search found, for its section of the page: a result, or the file that ``hwnas search --save`` wrote."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.data import CostTable
from hwnas_surrogate.errors import DataFileError, InvalidInputError
from hwnas_surrogate.inputs import input_path, read_bytes, read_json
from hwnas_surrogate.search.quantities import QUALITY
from hwnas_surrogate.search.result import SearchResult
from hwnas_surrogate.spaces import SearchSpace

__all__ = ["FoundNetwork", "SearchFile", "Searched", "read_searched", "section"]

SearchFile = SearchResult | str | os.PathLike[str]
"""A result, or the file that holds one as JSON."""

_LARGEST = 1 << 28
"""Bytes of a file."""
_NUMBER = (int, float, type(None))


@dataclass(frozen=True, slots=True)
class FoundNetwork:
    """A network, and what the search knows of it.

    Parameters
    ----------
    name : str
        Its architecture, or the name of a graph.
    facts : tuple of tuple
        Of each quantity its title, its value, the bounds of its interval (None where there is none) and the
        probability that its budget is kept (None without a budget of a target).
    """

    name: str
    facts: tuple[tuple[str, float | None, float | None, float | None, float | None], ...]


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search found.

    Parameters
    ----------
    space : str or None
        The space of its architectures; None of graphs.
    config : str or None
        Their config.
    picks : tuple of (FoundNetwork, FoundNetwork or None)
        Each pick, and the most different network that is about as good.
    front : tuple of FoundNetwork
        The networks that no other dominates.
    limits : dict of str to float
        The budgets, by the names of quantities.
    certainty : float or None
        The least probability that a budget is kept.
    about : str
        A sentence about what was sought.
    notes : tuple of str
        Remarks.
    """

    space: str | None
    config: str | None
    picks: tuple[tuple[FoundNetwork, FoundNetwork | None], ...]
    front: tuple[FoundNetwork, ...]
    limits: dict[str, float]
    certainty: float | None
    about: str
    notes: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Every network, each once: picks, alternatives, then the front."""
        beside = [other.name for _, other in self.picks if other is not None]
        return list(dict.fromkeys([*(own.name for own, _ in self.picks), *beside, *(one.name for one in self.front)]))

    def qualities(self, table: CostTable) -> pd.Series[float] | None:
        """Return the qualities that the search knew, by network; None if it had none for a network to show."""
        both = [one for pair in self.picks for one in pair if one is not None]
        known = {
            one.name: value
            for one in (*self.front, *both)
            for title, value, *_ in one.facts
            if title == QUALITY and value is not None
        }
        if table.space is None:
            known = {name: value for name, value in known.items() if name in set(table.names)}
        return pd.Series(known, name=QUALITY, dtype=float) if known else None

    def archs(self, space: SearchSpace) -> npt.NDArray[np.int8]:
        """Return every architecture, shape (n, positions)."""
        return space.stack(self.names)


def read_searched(search: SearchFile, table: CostTable) -> Searched:
    """Read what a search found.

    Parameters
    ----------
    search : SearchResult or path-like
        The result, or the JSON file.
    table : CostTable
        The table of the page, whose space and config the search must have.

    Raises
    ------
    DataFileError
        If the file can't be read, or holds something else.
    InvalidInputError
        If the search is of other networks than the table, or ``search`` is neither a result nor a path.
    """
    if isinstance(search, SearchResult):
        what, content = "the search", search.to_dict()
    elif isinstance(search, (str, os.PathLike)):
        what, content = str(search), _content(search)
    else:
        raise InvalidInputError(
            "search must be a SearchResult, or the path of what `hwnas search --save` wrote, got "
            f"{type(search).__name__}."
        )
    try:
        found = _searched(content)
    except (KeyError, TypeError, ValueError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise DataFileError(
            f"{what} holds no result of a search: {why:.200}. `hwnas search --save FILE` writes one."
        ) from error
    _check(what, found, table)
    return found


def _content(path: str | os.PathLike[str]) -> Any:
    file = input_path(path)
    try:
        return read_json(read_bytes(file, _LARGEST))
    except FileNotFoundError as error:
        raise DataFileError(f"there is no file {file}.") from error
    except OSError as error:
        raise DataFileError(f"can't read {file}: {error.strerror or error}.") from error
    except ValueError as error:
        raise DataFileError(
            f"{file} holds no result of a search: {error!s:.200}. `hwnas search --save FILE` writes one."
        ) from error


def _searched(content: Any) -> Searched:
    if not isinstance(content, dict):
        raise TypeError(f"it is no object, but of type {type(content).__name__}")
    titles = [(_text(one["name"]), _text(one["title"])) for one in content["quantities"]]
    budgets = [(_text(one["name"]), _number(one["limit"]), _text(one["text"])) for one in content["budgets"]]
    said = {name: text for name, _, text in budgets}
    columns = [(title, f"P({said[name]})" if name in said else "") for name, title in titles]
    picks = [_network(row, columns) for row in content["picks"]]
    others = [_network(row, columns) for row in content["alternatives"]]
    if not picks or None in picks or len(others) != len(picks):
        raise ValueError("each pick must have a name, and an alternative or none")
    n, exact, certainty = int(content["evaluations"]), bool(content["exact"]), _number(content["certainty"])
    under = f" under {' and '.join(said.values())}" if said else ""
    surely = f", each with a probability of at least {certainty:g}" if certainty is not None else ""
    front = [one for row in content["front"] if (one := _network(row, columns)) is not None]
    how = f"All {n:,} candidates were evaluated" if exact else f"{n:,} networks were evaluated"
    about = f"Sought: the best by {' and '.join(map(_text, content['objectives']))}{under}{surely}. {how}; "
    about += f"{len(front):,} {'is' if len(front) == 1 else 'are'} on the front."
    space, config = (None if content[key] is None else _text(content[key]) for key in ("space", "config"))
    return Searched(
        space,
        config,
        tuple((own, other) for own, other in zip(picks, others, strict=True) if own is not None),
        tuple(front),
        {name: limit for name, limit, _ in budgets if limit is not None},
        certainty,
        about,
        tuple(map(_text, content["notes"])),
    )


def _network(row: Any, columns: list[tuple[str, str]]) -> FoundNetwork | None:
    """Read a row; None if it names no network."""
    name = row["model"] if "model" in row else row["architecture"]
    if name is None:
        return None
    facts = [
        (
            title,
            _number(row[title]),
            _number(row.get(f"{title} low")),
            _number(row.get(f"{title} high")),
            _number(row.get(probability)),
        )
        for title, probability in columns
    ]
    return FoundNetwork(_text(name), tuple(facts))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.60} must be a text")
    return value


def _number(value: Any) -> float | None:
    if not isinstance(value, _NUMBER) or isinstance(value, bool):
        raise TypeError(f"{value!r:.60} must be a number")
    return None if value is None or not np.isfinite(value) else float(value)


def _check(what: str, found: Searched, table: CostTable) -> None:
    """Raise if the search is of other networks than the table."""
    own = None if table.space is None else table.space.name
    if found.space != own:
        of = "graphs" if found.space is None else found.space
        raise InvalidInputError(f"{what} is a search among {of}, the table holds networks of {table.space_name}.")
    configs = list(map(str, table.configs))
    if own is not None and found.config is not None and found.config not in configs:
        raise InvalidInputError(
            f"{what} is a search among networks under {found.config}, the table holds costs under "
            f"{', '.join(configs)[:200]}: choose a table of that config (--dataset)."
        )


def section(found: Searched, table: CostTable) -> dict[str, Any]:
    """Return what the page's section shows, as plain values for JSON.

    Parameters
    ----------
    found : Searched
    table : CostTable
        The networks of the explorer. Those of the search that are not among them (graphs that the report's table lacks)
        are shown without a drawing.
    """
    names, rows = set(found.names), dict[str, int]()
    for row, (name, config) in enumerate(zip(table.names, table.row_configs, strict=True)):
        if name in names and (found.space is None or found.config is None or str(config) == found.config):
            rows.setdefault(name, row)

    def shown(one: FoundNetwork | None) -> dict[str, Any] | None:
        return None if one is None else {"name": one.name, "row": rows.get(one.name), "facts": one.facts}

    targets = list(map(str, table.targets))
    return {
        "about": found.about,
        "certainty": found.certainty,
        "notes": found.notes,
        "budgets": [[targets.index(name), limit] for name, limit in found.limits.items() if name in targets],
        "picks": [{**(shown(own) or {}), "other": shown(other)} for own, other in found.picks],
    }
