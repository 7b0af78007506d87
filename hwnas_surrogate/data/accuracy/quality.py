"""Accuracy as a column of a cost table."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data.accuracy.answers import remap_dataset_set_names
from hwnas_surrogate.data.accuracy.table import AccuracyTable, open_accuracy
from hwnas_surrogate.data.table import CostTable
from hwnas_surrogate.data.target import Device, Target
from hwnas_surrogate.errors import DataFileError, HWNASError, NotInTableError, unknown
from hwnas_surrogate.spaces import SearchSpace, get_space

__all__ = ["load_quality"]

_SETS = ("valid", "test")


def load_quality(path: str | os.PathLike[str], hp: str | None = None) -> CostTable:
    """Load accuracies as a cost table, in which accuracy is a column like any other.

    Parameters
    ----------
    path : path-like
        A file that :func:`convert_accuracy` wrote, or a published file or folder, which takes minutes to read.
    hp : str, optional
        The schedule: ``12`` or ``200`` epochs (size space: ``01``, ``12`` or ``90``); if None, the longest.

    Returns
    -------
    CostTable
        Targets ``valid/accuracy`` and ``test/accuracy`` (in %, after the last epoch, averaged over seeds) of the
        evaluated architectures under the config of each dataset; NaN where a figure is missing. CIFAR-10's validation
        accuracy is that of networks trained on a half of its training set. :func:`merge` puts the columns beside costs.

    Raises
    ------
    DataFileError
        If the file is missing, damaged, or of another layout.
    NotInTableError
        If it has no such schedule.
    """
    table = open_accuracy(path)
    schedule = table.hps[-1] if hp is None else str(hp)
    if schedule not in table.hps:
        raise unknown(NotInTableError, f"hp in {path}", hp, table.hps)
    space = get_space("natsbench-size" if ":" in table.archs[0] else "nasbench201")
    assert space is not None
    archs, rows, configs = _architectures(table, space), [], []
    costs = []
    for dataset, config in space.configs.items():
        columns = np.column_stack([_accuracies(table, schedule, dataset, name) for name in _SETS])
        there = np.flatnonzero(~np.isnan(columns).all(axis=1))
        rows.append(there)
        costs.append(columns[there])
        configs += [config] * len(there)
    whole = np.concatenate(costs)
    kept = [number for number in range(len(_SETS)) if not np.isnan(whole[:, number]).all()]
    if not kept:
        raise NotInTableError(f"{path} holds no accuracies on {', '.join(space.configs)} under hp {schedule}.")
    names = [_SETS[number] for number in kept]
    what = f"after the last epoch of hp {schedule}, averaged over seeds"
    return CostTable(
        space,
        archs[np.concatenate(rows)],
        whole[:, kept],
        [Target(name, "accuracy") for name in names],
        configs=np.array(configs, object),
        devices=[Device(name, f"no device: the {name} set, {what}") for name in names],
        meta={"source": table.source, "hp": schedule},
    )


def _architectures(table: AccuracyTable, space: SearchSpace) -> npt.NDArray[np.int8]:
    everything = space.enumerate()
    if table.archs == space.format_all(everything):
        return everything
    try:
        return space.stack(table.archs)
    except HWNASError as error:
        raise DataFileError(f"{table.path} holds other architectures than {space.title}'s: {error}") from error


def _accuracies(table: AccuracyTable, hp: str, dataset: str, name: str) -> npt.NDArray[np.float64]:
    """Return the accuracy of every architecture on a dataset's validation or test set, NaN where it is missing."""
    found = np.full(len(table), np.nan)
    of, of_set = remap_dataset_set_names(dataset, name)
    if of_set in table.sets(hp, of):
        last = table.last(hp, of, of_set)
        found[last.archs[last.whole]] = last.means("last_accuracy")[last.whole]
    return found
