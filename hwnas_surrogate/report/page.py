"""A page for a hardware team: devices, how they relate, predictions, errors, learning curves, Pareto fronts.

The page is one file that needs no network: costs as typed arrays, plotly.js, and a little JavaScript (``static``). It
needs the extra ``report``.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import os
import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from hwnas_surrogate.data import CostTable, Target
from hwnas_surrogate.errors import InvalidInputError, missing_extra
from hwnas_surrogate.evaluation import Evaluation, evaluate, learning_curve
from hwnas_surrogate.files import replacing
from hwnas_surrogate.jobs import in_parallel
from hwnas_surrogate.random_states import RandomState, as_seed
from hwnas_surrogate.report.candidates import candidates
from hwnas_surrogate.report.page_data import payload
from hwnas_surrogate.report.relations import relations
from hwnas_surrogate.report.searched import SearchFile, read_searched, section
from hwnas_surrogate.search.quality import Accuracy
from hwnas_surrogate.trainers import Surrogate, SurrogateSuite

__all__ = ["write_report"]

_TRAINED, _TESTED = 200, 200
_STEPS = (10, 20, 50, 100, 200)
_ROWS = _TRAINED + _TESTED
_SMALL = 60
"""The default surrogate is fitted for up to this many targets times positions; more would take long."""
_POSITIONS = 6
"""The positions that graphs count as."""
_FEW_SPLITS = 10
"""With more targets, each learning curve is over one split."""
_SCRIPTS = (
    "core.js",
    "heatmaps.js",
    "devices.js",
    "predicted.js",
    "residuals.js",
    "curves.js",
    "networks.js",
    "chart.js",
    "network.js",
    "search.js",
    "explorer.js",
    "start.js",
)


def write_report(
    table: CostTable,
    path: str | os.PathLike[str],
    *,
    evaluation: Evaluation | None = None,
    curve: Evaluation | None = None,
    quality: Accuracy | None = None,
    surrogates: SurrogateSuite | None = None,
    search: SearchFile | None = None,
    title: str | None = None,
    random_state: RandomState = 0,
) -> Path:
    """Write one HTML page that shows a table's costs, how well they are predicted, and which networks to take.

    Its explorer shows the measured networks and, by their predictions, the others: the whole space if it has at most
    40,000 architectures, a sample of a larger one. Of tables of graphs or of several network configs, it shows the
    table's networks.

    The same input gives the same file, byte for byte. The page states what can't be shown (one device has no heatmap, a
    constant cost no rank correlation, ...).

    Parameters
    ----------
    table : CostTable
        The measured costs; for FBNet's block table, ``table.tabulate(archs)``.
    path : path-like
        The file to write, such as ``report.html``. An existing file is replaced atomically.
    evaluation : Evaluation, optional
        Held-out predictions, as :func:`evaluate` returns them; of several models or splits, the first is shown, with
        its largest number of training architectures. If None, at most 200 architectures of each target are trained on
        and 200 held out: by the default surrogate, or, for many targets or several network configs, by a ridge; the
        page states which. Of more than 30 targets, 30 are evaluated, evenly spaced in the order of similarity; the
        page shows them at first.
    curve : Evaluation, optional
        As :func:`learning_curve` returns it. If None, up to 200 training architectures of the same targets, by a
        ridge.
    quality : Series, CostTable or path-like, optional
        The quality of architectures, larger is better (for example accuracy), for the Pareto explorer: a Series by
        architecture, a CSV file, or a benchmark's accuracies, as in :func:`pareto_front`. Its label is the Series'
        name, or that of the file's column. Architectures need not be in the table.
    surrogates : SurrogateSuite, optional
        Predict the costs that the table lacks, for the Pareto explorer. Targets without one, or all if None, are
        predicted by surrogates fitted to at most 4,000 of the table's costs.
    search : SearchResult or path-like, optional
        What a search found, or the file that ``hwnas search --save`` wrote: its picks, each beside the most
        different network about as good, are shown and marked in the explorer, which begins with its budgets. Without
        ``quality``, the explorer shows the qualities that the search knew.
    title : str, optional
        The page's heading.
    random_state : int, numpy generator or None, default=0
        Seed of the held-out architectures.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InvalidInputError
        If the table is no cost table, has no rows or no targets, the search is of other networks, or another argument
        is not as described.
    MissingExtraError
        If plotly is not installed.
    DataFileError
        If the file can't be written, or that of ``quality`` or ``search`` is not readable.

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
    _check(table, evaluation, curve)
    seed = as_seed(random_state) or 0
    script = _plotly()
    heading = f"Costs of {table.title}" if title is None else str(title)
    evaluated: tuple[Evaluation | None, dict[Target, str], str]
    learned: tuple[Evaluation | None, dict[Target, str], str]
    found = None if search is None else read_searched(search, table)
    wanted = None if found is None or table.space is None else found.archs(table.space)
    rated = found.qualities(table) if quality is None and found is not None else quality
    related = relations(table, seed)
    chosen = [table.targets[at] for at in related.shown]
    model = "ridge" if _slow(table, len(chosen)) else None
    shown = candidates(table, chosen, rated, surrogates, model, seed, wanted)
    evaluated = _evaluated(table, chosen, seed) if evaluation is None else (evaluation, {}, "")
    learned = _learned(table, chosen, seed) if curve is None else (curve, {}, "")
    data = payload(table, related, evaluated, learned, shown)
    data["search"] = None if found is None else section(found, shown.table)
    page = _page(heading, script, json.dumps(data, allow_nan=False, separators=(",", ":")))
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    return Path(path)


def _plotly() -> str:
    """Return plotly.js, compressed: it is less than half the file, and the page loads it after its tables."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise missing_extra("the report", "report") from error
    return base64.b64encode(gzip.compress(get_plotlyjs().encode("utf-8"), 6, mtime=0)).decode("ascii")


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


def _sampled(table: CostTable, target: Target, seed: int) -> CostTable:
    """Return a random sample of one target's rows with a cost, for training and testing."""
    part = table.select(target)
    known = np.flatnonzero(~np.isnan(part.costs[:, 0]))
    if len(known) > _ROWS:
        known = np.sort(np.random.default_rng(seed).choice(known, _ROWS, replace=False))
    return part.rows(known)


def _held_out(n: int) -> int:
    """Return how many of n architectures are held out: a third if n is small."""
    return _TESTED if n >= _ROWS else max(1, n // 3)


def _evaluated(table: CostTable, chosen: list[Target], seed: int) -> tuple[Evaluation | None, dict[Target, str], str]:
    """Evaluate each chosen target by itself; return the reason for each target without an evaluation."""
    space, slow = table.space, _slow(table, len(chosen))
    if slow:
        surrogate, name = Surrogate(space, model="ridge"), "ridge"
    else:
        surrogate, name = Surrogate(space), "default surrogate"
    parts, why = [], _left_out(table, chosen)
    tasks = []
    for target in chosen:
        n = len(_sampled(table, target, seed))
        n_train = min(_TRAINED, n - _held_out(n))
        if n_train < 2:
            why[target] = _too_few(n, 3)
        else:
            tasks.append((target, n_train))
    results = in_parallel(_scored, tasks, shared=(table, surrogate, seed))
    for (target, _), found in zip(tasks, results, strict=True):
        if isinstance(found, str):
            why[target] = found
        else:
            frames = (found.scores.assign(model=name), found.predictions.assign(model=name))
            parts.append(Evaluation(*frames, found.about))
    said = (
        f"Made for this page: up to {_TRAINED} architectures of each target trained on, up to {_TESTED} held out, by "
    )
    said += (
        f"a ridge regression. The default surrogate, often a little better, takes much longer {slow}: "
        "`hwnas evaluate` scores it."
        if slow
        else "the default surrogate. More training architectures can do better: `hwnas evaluate` scores them."
    )
    return Evaluation.joined(parts) if parts else None, why, said


def _scored(table: CostTable, surrogate: Surrogate, seed: int, target: Target, n_train: int) -> Evaluation | str:
    """Evaluate one target; return why it can't be, if it can't."""
    part = _sampled(table, target, seed)
    try:
        return evaluate(part, surrogate, n_train=n_train, n_test=_held_out(len(part)), seeds=[seed])
    except InvalidInputError as error:
        return str(error)


def _curve(table: CostTable, surrogate: Surrogate, seeds: range, target: Target, sizes: list[int]) -> Evaluation | str:
    """Return the learning curve of one target, or why there is none."""
    part = _sampled(table, target, seeds.start)
    try:
        return learning_curve(part, surrogate, sizes=sizes, n_test=_held_out(len(part)), seeds=seeds)
    except InvalidInputError as error:
        return str(error)


def _too_few(n: int, needed: int) -> str:
    return f"{n} cost{'s' * (n != 1)}, {needed} are needed."


def _left_out(table: CostTable, chosen: list[Target]) -> dict[Target, str]:
    """Return the reason for each target that was not chosen."""
    why = f"of {len(table.targets)} targets, {len(chosen)} are evaluated, evenly spaced in the order of similarity."
    return dict.fromkeys(set(table.targets).difference(chosen), why)


def _slow(table: CostTable, n: int) -> str:
    """Return for which tables the default surrogate takes too long to fit; an empty string if it does not."""
    if len(table.configs) > 1:
        return f"for networks of {len(table.configs)} configs"
    positions = _POSITIONS if table.space is None else table.space.n_positions
    return f"for {n} targets of {table.title}" if n * positions > _SMALL else ""


def _learned(table: CostTable, chosen: list[Target], seed: int) -> tuple[Evaluation | None, dict[Target, str], str]:
    surrogate = Surrogate(table.space, model="ridge", calibrate=False)
    n_seeds = 3 if len(chosen) <= _FEW_SPLITS else 1
    parts, why = [], _left_out(table, chosen)
    tasks = []
    for target in chosen:
        n = len(_sampled(table, target, seed))
        room = n - _held_out(n)
        sizes = [step for step in _STEPS if step <= room]
        if len(sizes) < 2:
            sizes = sorted({room // 2, room})
        if room < 4:
            why[target] = _too_few(n, 6)
        else:
            tasks.append((target, sizes))
    shared = table, surrogate, range(seed, seed + n_seeds)
    for (target, _), found in zip(tasks, in_parallel(_curve, tasks, shared=shared), strict=True):
        if isinstance(found, str):
            why[target] = found
        else:
            parts.append(found)
    note = "Made for this page by a ridge regression, the quickest model: "
    note += f"the mean over {n_seeds} random splits, bars are a standard deviation. " if n_seeds > 1 else "one split. "
    note += "`hwnas evaluate --protocol learning-curve` draws that of any model."
    return Evaluation.joined(parts) if parts else None, why, note


def _page(title: str, plotly: str, data: str) -> str:
    """Fill the template, escaped so that data and scripts can't end their element early."""
    folder = resources.files(__package__) / "static"

    def text(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    own = "\n".join(text(name) for name in _SCRIPTS)
    parts = {
        "title": html.escape(title),
        "css": text("page.css"),
        "plotly": plotly,
        "data": re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", data),
        "js": f'(() => {{\n"use strict";\n{own}\n}})();',
    }
    template: list[Any] = re.split(r"\{\{(\w+)\}\}", text("page.html"))
    template[1::2] = [parts[name] for name in template[1::2]]
    return "".join(template)
