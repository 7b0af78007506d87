"""What the accuracy API answers about the last epoch, prepared for all architectures of a dataset at once."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from hwnas_surrogate.data.accuracy.last import LastFigures
    from hwnas_surrogate.data.accuracy.table import AccuracyTable

__all__ = ["DATASETS", "LastInfos", "named_figures", "remap_dataset_set_names", "reported_sets"]

DATASETS = ("cifar10", "cifar100", "ImageNet16-120")
"""The datasets that users name; ``cifar10-valid`` is the half of CIFAR-10 that the benchmark adds."""

_ON_CIFAR10 = (("valid", "x-valid"), ("test", "ori-test"))
_ON_OTHERS = (("valid", "x-valid"), ("test", "x-test"), ("valtest", "ori-test"))


def reported_sets(dataset: str) -> tuple[tuple[str, str], ...]:
    """Return the names that the API gives to the evaluated sets of a dataset, and the sets' own names."""
    return _ON_CIFAR10 if dataset in ("cifar10", "cifar10-valid") else _ON_OTHERS


def named_figures(label: str, figures: Mapping[str, Any], n_epochs: float) -> dict[str, Any]:
    """Return a set's figures by the names that the API gives them."""
    seconds = figures["all_time"]
    each = None if seconds is None else seconds / n_epochs
    return dict(zip(_names(label), (figures["loss"], figures["accuracy"], each, seconds), strict=True))


def _names(label: str) -> tuple[str, str, str, str]:
    return f"{label}-loss", f"{label}-accuracy", f"{label}-per-time", f"{label}-all-time"


def remap_dataset_set_names(dataset: str, metric_on_set: str, verbose: bool = False) -> tuple[str, str]:
    """Return the dataset and the set that hold a user's train, valid or test figures; other names as they are.

    Parameters
    ----------
    dataset : str
        ``cifar10``, ``cifar100`` or ``ImageNet16-120``, or a name of the benchmark itself.
    metric_on_set : {"train", "valid", "test"}
        Or the name of a set itself.
    verbose : bool, default=False
        Print what was found.

    Examples
    --------
    >>> remap_dataset_set_names("cifar10", "valid")
    ('cifar10-valid', 'x-valid')
    """
    sets = {"cifar10": {"valid": "x-valid", "test": "ori-test"}}
    found = dataset, metric_on_set
    if dataset in DATASETS:
        names = sets.get(dataset, {"valid": "x-valid", "test": "x-test"})
        new = "cifar10-valid" if found == ("cifar10", "valid") else dataset
        found = new, names.get(metric_on_set, metric_on_set)
    if verbose:
        sys.stdout.write(f"{dataset} on {metric_on_set} is {found[0]} on {found[1]}\n")
    return found


class LastInfos:
    """The last epoch's figures of all architectures under one schedule, on one dataset.

    Parameters
    ----------
    table : AccuracyTable
    hp, dataset : str

    Attributes
    ----------
    frame : dict of str to ndarray
        Figures averaged over seeds; NaN where there is none. Costs, too.
    archs : ndarray of int
        The architectures.
    """

    def __init__(self, table: AccuracyTable, hp: str, dataset: str) -> None:
        self._trained = table.last(hp, dataset, "train")
        self._timed = self._all_timed(table, hp, dataset)
        self.archs = self._trained.archs
        there = table.sets(hp, dataset)
        sets = [("train", "train"), *(pair for pair in reported_sets(dataset) if pair[1] in there)]
        parts = [(label, table.last(hp, dataset, name)) for label, name in sets]
        n_epochs = self._trained.means("epochs")
        self.frame: dict[str, npt.NDArray[Any]] = {}
        for label, last in parts:
            loss, accuracy, seconds = (last.means(name) for name in ("last_loss", "last_accuracy", "all_seconds"))
            whole = [self._aligned(last, column) for column in (loss, accuracy, seconds)]
            columns = (*whole[:2], whole[2] / n_epochs, whole[2])
            self.frame |= dict(zip(_names(label), columns, strict=True))
        self._keys = tuple(self.frame)
        self._parts = [last for _, last in parts] if all(last.is_complete for _, last in parts) else []
        self.frame |= {
            "flops": self._trained.means("flops"),
            "params": self._trained.means("params"),
            "latency": self._trained.means("mean_latency", positive=True),
        }

    def _aligned(self, last: LastFigures, column: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return a column of a set's architectures as one of all; NaN where a set lacks figures."""
        if last.is_complete:
            return column
        found = np.full(len(self.archs), np.nan)
        found[np.searchsorted(self.archs, last.archs[last.whole])] = column[last.whole]
        return found

    def _all_timed(self, table: AccuracyTable, hp: str, dataset: str) -> dict[str, LastFigures]:
        """Return training and the evaluated sets, in their order; none if this or figures differ between trainings."""
        numbers = self._trained.column("eval_sets")
        if (numbers != numbers[0]).any():
            return {}
        names = ["train", *table.order_of_sets(hp, dataset, int(numbers[0]))]
        found = {name: table.last(hp, dataset, name) for name in names}
        return found if all(last.is_complete for last in found.values()) else {}

    @cached_property
    def _costs(self) -> tuple[tuple[str, ...], dict[int, tuple[float, ...]]]:
        """The names of costs, and each architecture's; none if sets or figures differ between trainings."""
        columns = {name: self.frame[name] for name in ("flops", "params", "latency")}
        for name, last in self._timed.items():
            columns[f"T-{name}@epoch"] = last.means("mean_seconds")
            columns[f"T-{name}@total"] = last.means("total_seconds")
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        known = bool(self._timed) and not np.isnan(columns["latency"]).any()
        return tuple(columns), dict(zip(self.archs.tolist(), rows, strict=True)) if known else {}

    def costs(self, arch: int) -> dict[str, float | None] | None:
        """Return an architecture's costs, averaged over seeds; None where sets or figures differ between trainings."""
        names, rows = self._costs
        row = rows.get(arch)
        return None if row is None else dict(zip(names, row, strict=True))

    @cached_property
    def _averages(self) -> dict[int, tuple[Any, ...]]:
        """Each architecture's figures; none if sets or figures differ between architectures."""
        rows = zip(*(self.frame[key].tolist() for key in self._keys), strict=True)
        return dict(zip(self.archs.tolist(), rows, strict=True)) if self._parts else {}

    @cached_property
    def _rows(self) -> list[tuple[Any, ...]]:
        """Each training's figures; none if sets or figures differ between architectures."""
        columns: list[list[Any]] = []
        n_epochs = self._trained.column("epochs")
        for last in self._parts:
            seconds = last.column("all_seconds")
            for column in (last.column("last_loss"), last.column("last_accuracy"), seconds / n_epochs, seconds):
                columns.append(column.tolist())
        return list(zip(*columns, strict=True))

    def average(self, arch: int) -> dict[str, float] | None:
        """Return an architecture's figures, averaged over seeds; None where the sets or figures differ between them."""
        row = self._averages.get(arch)
        return None if row is None else dict(zip(self._keys, row, strict=True))

    def seeds(self, arch: int) -> range:
        """Return the numbers of an architecture's trainings; none where the sets or figures differ between them."""
        return range(*self._trained.bounds.get(arch, (0, 0))) if self._parts else range(0)

    def seed_of(self, training: int) -> int:
        """Return a training's seed."""
        return int(self._trained.column("seed")[training])

    def of(self, training: int) -> dict[str, float]:
        """Return a training's figures."""
        return dict(zip(self._keys, self._rows[training], strict=True))
