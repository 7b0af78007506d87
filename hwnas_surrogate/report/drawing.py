"""Helpers for all figures: colours and markers, Axes, names that matplotlib can show, columns of frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.errors import InvalidInputError, missing_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "LEGEND_ABOVE", "MARKERS", "axes_or_new", "checked_frame", "numbers_of", "plain"]

Vector = npt.NDArray[np.float64]

# Okabe and Ito's colours, which the colour-blind can distinguish; their yellow is too pale for lines on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "os^DvP"  # one fewer than colours, so that more lines than colours still differ
LEGEND_ABOVE: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 3, "frameon": False}
LEGEND_ABOVE |= {"fontsize": "small", "columnspacing": 1.0, "handletextpad": 0.5, "markerscale": 1.5}
_LONGEST = 40
"""Maximum characters of a name: longer ones are cut in the middle, where similar names differ least."""


def axes_or_new(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return the given Axes, or those of a new figure that is not registered in pyplot."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("pictures", "plots") from error
    return Figure(figsize=size, layout="constrained").add_subplot() if ax is None else ax


def plain(name: object) -> str:
    """Return a name as matplotlib can show it.

    Control characters and characters missing from its fonts would be drawn as boxes, with a warning for each, so they
    are escaped. A pair of $ would be a formula. A very long name would leave no room for the Axes.
    """
    fonts = _fonts()
    shown = [
        character
        if character.isprintable() and any(font.get_char_index(ord(character)) for font in fonts)
        else character.encode("unicode_escape").decode()
        for character in str(name)
    ]
    if sum(map(len, shown)) > _LONGEST:
        shown = [*_first(shown, _LONGEST // 2), "…", *reversed(_first(reversed(shown), _LONGEST // 2 - 1))]
    return "".join(shown).replace("$", r"\$")


def _first(parts: Iterable[str], room: int) -> list[str]:
    """Return the first parts that fit into a number of characters together."""
    kept: list[str] = []
    for part in parts:
        room -= len(part)
        if room < 0:
            break
        kept.append(part)
    return kept


def _fonts() -> list[Any]:
    """Return the fonts of matplotlib's current settings."""
    try:
        from matplotlib import rcParams
        from matplotlib.font_manager import FontProperties, findfont, get_font
    except ImportError as error:
        raise missing_extra("pictures", "plots") from error

    found = []
    for family in rcParams["font.family"]:
        try:
            found.append(get_font(findfont(FontProperties(family=family), fallback_to_default=False)))
        except ValueError:  # not installed
            continue
    return found or [get_font(findfont(FontProperties()))]


def checked_frame(what: str, frame: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Return a copy with a fresh index, if it is a table with these columns and a row."""
    if not isinstance(frame, pd.DataFrame):
        raise InvalidInputError(f"{what} must be a DataFrame with {', '.join(columns)}, got {type(frame).__name__}.")
    if missing := [name for name in columns if name not in frame]:
        raise InvalidInputError(f"{what} must have {', '.join(columns)}; missing: {missing}, got {list(frame)}.")
    if frame.empty:
        raise InvalidInputError(f"{what} must have at least one row, got none.")
    return frame.reset_index(drop=True)


def numbers_of(frame: pd.DataFrame, column: str, missing: bool = False, infinite: bool = False) -> Vector:
    """Return a column as floats, where NaN or infinite entries are allowed only if asked for."""
    values: Vector = pd.to_numeric(frame[column], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    wrong = (np.isnan(values) & (not missing)) | (np.isinf(values) & (not infinite))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InvalidInputError(f"{column} must be finite numbers, got {frame[column].iloc[at]} in row {at}.")
    return values
