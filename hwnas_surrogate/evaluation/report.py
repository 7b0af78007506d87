"""A page for a hardware team: devices, how they relate, predictions, errors, learning curves, Pareto fronts.

The page is one file that needs no network: costs as typed arrays, plotly.js, and a little JavaScript of our own
(``report_page``). It needs the extra ``report``.
"""

from __future__ import annotations

import html
import json
import os
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hwnas_surrogate.data import CostTable, Target
from hwnas_surrogate.errors import InvalidInputError, missing_extra
from hwnas_surrogate.evaluation.holdout import evaluate
from hwnas_surrogate.evaluation.protocols import learning_curve
from hwnas_surrogate.evaluation.report_data import payload
from hwnas_surrogate.evaluation.results import Evaluation
from hwnas_surrogate.files import replacing
from hwnas_surrogate.spaces import arch_from_text
from hwnas_surrogate.spaces.base import ArchArray
from hwnas_surrogate.trainers import Surrogate

__all__ = ["read_quality", "write_report"]

_TRAINED, _TESTED = 200, 200
_STEPS = (10, 20, 50, 100, 200)
_ROWS = _TRAINED + _TESTED
_SMALL = 60
"""The default surrogate is fitted for up to so many targets times positions; more would take minutes."""
_FEW_SPLITS = 10
"""With more targets, each learning curve is over one split."""
_SCRIPTS = ("core.js", "charts.js", "pareto.js")


def write_report(
    table: CostTable,
    path: str | os.PathLike[str],
    *,
    evaluation: Evaluation | None = None,
    curve: Evaluation | None = None,
    quality: npt.ArrayLike | pd.Series[float] | None = None,
    title: str | None = None,
    random_state: int = 0,
) -> Path:
    """Write one HTML page that shows what a table says and how well it is predicted.

    The same input gives the same file, byte for byte. What can't be shown (one device has no heatmap, a constant cost
    no rank correlation, ...) is said on the page.

    Parameters
    ----------
    table : CostTable
        The measured costs; for FBNet's block table, ``table.tabulate(archs)``.
    path : path-like
        The file to write, ``report.html`` say. What stood there before is replaced at once.
    evaluation : Evaluation, optional
        Held-out predictions, as :func:`evaluate` returns them; of several models or splits the first is shown, at its
        largest number of training architectures. If None, at most 200 architectures of each target are trained on and
        200 held out: by the default surrogate for few targets, by a ridge on layer sums for many; the page says which.
    curve : Evaluation, optional
        As :func:`learning_curve` returns it. If None, up to 200 training architectures, by a ridge on layer sums.
    quality : array-like of float, one per row of the table, optional
        What is wanted of an architecture, larger being better (accuracy), for the Pareto explorer; NaN where unknown.
        A Series' name is what it is called there.
    title : str, optional
        The page's heading.
    random_state : int, default=0
        Seed of what is held out.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InvalidInputError
        If the table is no cost table, has no rows or no targets, or another argument is not as described.
    MissingExtraError
        If plotly is not installed.
    DataFileError
        If the file can't be written.

    Examples
    --------
    >>> import tempfile
    >>> from hwnas_surrogate.data import load_table
    >>> table = load_table().select("epyc-torch-2t/latency")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_report(table, folder + "/report.html")
    ...     written.read_text(encoding="utf-8")[:15]
    '<!DOCTYPE html>'
    """
    script = _plotly()
    _check(table, evaluation, curve)
    wanted, name = _checked_quality(quality, len(table))
    heading = f"Costs of {table.space.title} architectures" if title is None else str(title)
    evaluated: tuple[Evaluation | None, dict[Target, str], str]
    learned: tuple[Evaluation | None, dict[Target, str], str]
    evaluated = _evaluated(table, random_state) if evaluation is None else (evaluation, {}, "")
    learned = _learned(table, random_state) if curve is None else (curve, {}, "")
    data = payload(table, evaluated, learned, wanted, name)
    page = _page(heading, script, json.dumps(data, allow_nan=False, separators=(",", ":")))
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    return Path(path)


def read_quality(path: str | os.PathLike[str], table: CostTable) -> pd.Series[float]:
    """Read what is wanted of architectures (their accuracy, say) from a CSV file.

    Parameters
    ----------
    path : path-like
        Two columns: ``architecture`` (a string, an index, or ops joined by commas) and one of numbers, whose name is
        kept. An architecture counts under all its network configs.
    table : CostTable
        Whose rows are asked for.

    Returns
    -------
    Series
        One value per row of the table, NaN where the file has none.

    Raises
    ------
    InvalidInputError
        If the file can't be read, has other columns, an architecture twice, no number, or nothing for the table.
    """
    try:
        frame = pd.read_csv(path, dtype=str)
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path} can't be read as CSV: {error}.") from error
    others = [name for name in frame if name != "architecture"]
    if "architecture" not in frame or len(others) != 1:
        raise InvalidInputError(
            f"{path} must have two columns, architecture and one of numbers (accuracy, say), got {list(frame)}."
        )
    name = str(others[0])
    values = pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    if not np.isfinite(values).all():
        line = int(np.argmin(np.isfinite(values))) + 2
        raise InvalidInputError(f"{path}, line {line}: {name} must be a finite number, got {frame[name][line - 2]!r}.")
    codes = table.space.codes(_archs(table, frame["architecture"].fillna("").tolist()))
    found = dict(zip(codes.tolist(), values.tolist(), strict=True))
    if len(found) < len(values):
        raise InvalidInputError(f"{path} names {len(values) - len(found)} architecture(s) more than once.")
    wanted = [found.get(code, np.nan) for code in table.space.codes(table.archs).tolist()]
    if np.isnan(wanted).all():
        raise InvalidInputError(f"{path} names none of the table's architectures.")
    return pd.Series(wanted, name=name, dtype=float)


def _archs(table: CostTable, texts: list[str]) -> ArchArray:
    batches = [table.space.as_array(arch_from_text(text)) for text in texts]
    return np.concatenate([np.empty((0, table.space.n_positions), np.int8), *batches])


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise missing_extra("the report", "report") from error
    return str(get_plotlyjs())


def _check(table: CostTable, evaluation: Evaluation | None, curve: Evaluation | None) -> None:
    if not isinstance(table, CostTable):
        raise InvalidInputError(
            f"a report needs a cost table, got {type(table).__name__}. "
            "For FBNet's block table: table.tabulate(table.space.sample(2000, random_state=0))."
        )
    if not len(table) or not table.targets:
        raise InvalidInputError(
            f"a report needs an architecture and a target, the table has {len(table)} and {len(table.targets)}."
        )
    for what, given in (("evaluation", evaluation), ("curve", curve)):
        if given is None:
            continue
        if not isinstance(given, Evaluation):
            raise InvalidInputError(f"{what} must be an Evaluation, got {type(given).__name__}.")
        told = set(zip(given.scores["device"], given.scores["metric"], strict=True))
        if told.isdisjoint((target.device, target.metric) for target in table.targets):
            raise InvalidInputError(f"{what} is of none of the table's targets: {', '.join(map(str, table.targets))}.")


def _checked_quality(
    quality: npt.ArrayLike | pd.Series[float] | None, n: int
) -> tuple[npt.NDArray[np.float64] | None, str]:
    if quality is None:
        return None, ""
    try:
        values = np.asarray(quality, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"quality must be numbers, got {type(quality).__name__}: {error}.") from error
    if values.shape != (n,) or np.isinf(values).any() or np.isnan(values).all():
        raise InvalidInputError(
            f"quality must hold a number for each of the table's {n} rows (NaN where unknown), "
            f"got shape {values.shape} with {int(np.isfinite(values).sum())} finite ones."
        )
    name = quality.name if isinstance(quality, pd.Series) else None
    return values, "quality" if name is None else str(name)


def _sampled(table: CostTable, target: Target, random_state: int) -> CostTable:
    """Return rows of one target that have a cost: as many as are trained and tested on, drawn at random."""
    part = table.select(target)
    known = np.flatnonzero(~np.isnan(part.costs[:, 0]))
    if len(known) > _ROWS:
        known = np.sort(np.random.default_rng(random_state).choice(known, _ROWS, replace=False))
    return part.rows(known)


def _held_out(n: int) -> int:
    """Return how many of n architectures are held out: a third of few."""
    return _TESTED if n >= _ROWS else max(1, n // 3)


def _evaluated(table: CostTable, random_state: int) -> tuple[Evaluation | None, dict[Target, str], str]:
    """Evaluate each target by itself: one that can't be evaluated is told why, the others are shown."""
    space = table.space.name
    if quick := len(table.targets) * table.space.n_positions > _SMALL or len(table.configs) > 1:
        surrogate, name = Surrogate(space, encoder="layers", model="ridge"), "ridge on layer sums"
    else:
        surrogate, name = Surrogate(space), "default surrogate"
    parts, why = [], {}
    for target in table.targets:
        part = _sampled(table, target, random_state)
        tested = _held_out(len(part))
        n_train = min(_TRAINED, len(part) - tested)
        try:
            found = evaluate(part, surrogate, n_train=n_train, n_test=tested, seeds=[random_state])
        except InvalidInputError as error:
            why[target] = str(error)
        else:
            frames = (found.scores.assign(model=name), found.predictions.assign(model=name))
            parts.append(Evaluation(*frames, found.about))
    said = f"Made for this page: up to {_TRAINED} architectures of each target trained on, up to {_TESTED} held out, "
    said += (
        "by a ridge regression on layer sums. With so many targets the default surrogate, often a little better, would "
        "take minutes: hwnas evaluate scores it."
        if quick
        else "by the default surrogate. More training architectures can do better: hwnas evaluate scores them."
    )
    return Evaluation.joined(parts) if parts else None, why, said


def _learned(table: CostTable, random_state: int) -> tuple[Evaluation | None, dict[Target, str], str]:
    surrogate = Surrogate(table.space.name, encoder="layers", model="ridge", calibrate=False)
    n_seeds = 3 if len(table.targets) <= _FEW_SPLITS else 1
    parts, why = [], {}
    for target in table.targets:
        part = _sampled(table, target, random_state)
        tested = _held_out(len(part))
        room = len(part) - tested
        sizes = [step for step in _STEPS if step <= room]
        if len(sizes) < 2:
            sizes = sorted({room // 2, room})
        if room < 4:
            why[target] = f"it has {len(part)} cost{'s' * (len(part) != 1)}, a curve needs 6."
            continue
        try:
            seeds = range(random_state, random_state + n_seeds)
            parts.append(learning_curve(part, surrogate, sizes=sizes, n_test=tested, seeds=seeds))
        except InvalidInputError as error:
            why[target] = str(error)
    said = (
        f"Made for this page by a ridge regression on layer sums, the quickest model, over {n_seeds} random "
        f"split{'s' * (n_seeds > 1)} of each target's costs, up to {_TESTED} architectures held out. "
        "hwnas evaluate --protocol learning-curve draws that of any model."
    )
    return Evaluation.joined(parts) if parts else None, why, said


def _page(title: str, plotly: str, data: str) -> str:
    """Fill the template; data and scripts can't end their element early."""
    folder = resources.files(__package__) / "report_page"

    def text(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    own = "\n".join(text(name) for name in _SCRIPTS)
    parts = {
        "title": html.escape(title),
        "css": text("page.css"),
        "plotly": plotly.replace("</script", r"<\/script"),
        "data": re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", data),
        "js": f'(() => {{\n"use strict";\n{own}\n}})();',
    }
    template: list[Any] = re.split(r"\{\{(\w+)\}\}", text("page.html"))
    template[1::2] = [parts[name] for name in template[1::2]]
    return "".join(template)
