"""An architecture's results in a converted table: answers without making objects of all trainings."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from hwnas_surrogate.data.accuracy.last import FIGURES, LastFigures
from hwnas_surrogate.data.accuracy.results import ArchResults, averaged, is_seed
from hwnas_surrogate.data.accuracy.table import AccuracyTable
from hwnas_surrogate.data.accuracy.trial import ResultsCount, check_epoch, config_of, mean
from hwnas_surrogate.errors import InvalidInputError, NotInTableError, unknown

__all__ = ["TableResults"]

_KEYS = ("iepoch", "loss", "accuracy", "cur_time", "all_time")
_COLUMNS = ("loss", "accuracy", "seconds")


class TableResults:
    """The results of one architecture under one schedule.

    Parameters
    ----------
    table : AccuracyTable
    index : int
    hp : str
    """

    __slots__ = ("hp", "index", "table")

    def __init__(self, table: AccuracyTable, index: int, hp: str) -> None:
        self.table = table
        self.index = index
        self.hp = hp

    def get_dataset_names(self) -> list[str]:
        """Return the datasets on which it was trained."""
        names = self.table.datasets(self.hp)
        return [name for name in names if self.index in self.table.last(self.hp, name, "train").bounds]

    def get_dataset_seeds(self, dataset: str) -> list[int]:
        """Return the seeds on a dataset."""
        last, (start, end) = self._rows(dataset, "train")
        return last.values("seed", start, end)

    def evaluated_sets(self, dataset: str) -> list[str]:
        """Return the sets, ``train`` among them, with figures of all seeds."""
        hp, index, last = self.hp, self.index, self.table.last
        return [name for name in self.table.sets(hp, dataset) if index in last(hp, dataset, name).bounds]

    def get_metrics(
        self, dataset: str, setname: str, iepoch: int | None = None, is_random: bool | int = False
    ) -> dict[str, Any]:
        """Return what :meth:`ArchResults.get_metrics` returns."""
        name = "x-valid" if setname == "valid" else setname
        if iepoch is None and is_random is False:
            row = self.table.last(self.hp, dataset, name).averages.get(self.index)
            if row is not None and row[2] is not None:
                return dict(zip(_KEYS, row, strict=True))
        last, (start, end) = self._rows(dataset, name)
        if is_random is True:
            at = start + random.randint(0, end - start - 1)
            return self._of_row(last, at, dataset, name, iepoch)
        if is_random is False:
            found = [self._of_row(last, at, dataset, name, iepoch) for at in range(start, end)]
            return {key: averaged([figures[key] for figures in found]) for key in _KEYS}
        if not is_seed(is_random):
            raise InvalidInputError(f"is_random must be True, False or a seed, got {is_random!r:.60}.")
        seeds = last.values("seed", start, end)
        if is_random not in seeds:
            raise unknown(NotInTableError, f"seed of {dataset}", is_random, map(str, seeds))
        return self._of_row(last, start + seeds.index(is_random), dataset, name, iepoch)

    def last_info(self, dataset: str, is_random: bool | int) -> dict[str, float] | None:
        """Return what the API answers about the last epoch; None where only :meth:`get_metrics` can tell."""
        infos = self.table.infos(self.hp, dataset)
        if is_random is False:
            return infos.average(self.index)
        trainings = infos.seeds(self.index)
        if not trainings or not (is_random is True or is_seed(is_random)):
            return None
        if is_random is True:
            return infos.of(random.choice(trainings))
        at = next((at for at in trainings if infos.seed_of(at) == is_random), None)
        return None if at is None else infos.of(at)

    def get_compute_costs(self, dataset: str) -> dict[str, float | None]:
        """Return what :meth:`ArchResults.get_compute_costs` returns."""
        prepared = self.table.infos(self.hp, dataset).costs(self.index)
        if prepared is not None:
            return prepared
        trained, (start, end) = self._rows(dataset, "train")
        latencies = [latency for latency in trained.values("mean_latency", start, end) if latency > 0]
        costs = {
            "flops": mean(trained.values("flops", start, end)),
            "params": mean(trained.values("params", start, end)),
            "latency": averaged(latencies),
        }
        orders = [self._order_of_sets(dataset, trained, at) for at in range(start, end)]
        for name in dict.fromkeys(["train", *(name for order in orders for name in order)]):
            last = self.table.last(self.hp, dataset, name)
            costs[f"T-{name}@epoch"] = averaged(last.values("mean_seconds", *last.rows[self.index]))
            costs[f"T-{name}@total"] = averaged(last.values("total_seconds", *last.rows[self.index]))
        return costs

    def get_config(self, dataset: str) -> dict[str, Any]:
        """Return the config that builds the network."""
        trained, (start, _) = self._rows(dataset, "train")
        return config_of(self._config(trained, start))

    def whole(self) -> ArchResults:
        """Return all trainings as objects, without weights."""
        results = ArchResults(self.index, self.table.archs[self.index])
        for dataset in self.get_dataset_names():
            trained, (start, end) = self._rows(dataset, "train")
            for at, seed in enumerate(trained.values("seed", start, end), start):
                results.update(dataset, seed, self._training(dataset, trained, at, seed))
        results.clear_net_done = True
        return results

    def _training(self, dataset: str, trained: LastFigures, at: int, seed: int) -> ResultsCount:
        (params,), (flops,) = trained.values("params", at, at + 1), trained.values("flops", at, at + 1)
        (epochs,) = trained.values("epochs", at, at + 1)
        config, latency = self._config(trained, at), self._curve(trained, at, "latency")
        training = ResultsCount(dataset, None, None, None, params, flops, config, seed, epochs, latency)
        figures = [
            _by(range(epochs), self._curve(trained, at, name)) for name in ("accuracy", "top5_accuracy", *_COLUMNS)
        ]
        accuracy, top5, loss, _, seconds = figures
        training.update_train_info(accuracy, top5, loss, seconds)
        for name in self._order_of_sets(dataset, trained, at):
            last = self.table.last(self.hp, dataset, name)
            start, end = last.rows[self.index]
            row = start + last.values("seed", start, end).index(seed)
            keys = [f"{name}@{epoch}" for epoch in range(epochs)]
            training.eval_names.append(name)
            training.eval_acc1es |= _by(keys, self._curve(last, row, "accuracy")) or {}
            training.eval_losses |= _by(keys, self._curve(last, row, "loss")) or {}
            training.eval_times |= _by(keys, self._curve(last, row, "seconds")) or {}
        return training

    def _rows(self, dataset: str, name: str) -> tuple[LastFigures, tuple[int, int]]:
        last = self.table.last(self.hp, dataset, name)
        try:
            return last, last.bounds[self.index]
        except KeyError:
            datasets = self.get_dataset_names()
            if dataset not in datasets:
                what = f"dataset of architecture {self.index} with hp {self.hp}"
                raise unknown(NotInTableError, what, dataset, datasets) from None
            sets = self.evaluated_sets(dataset)
            raise unknown(NotInTableError, f"set of architecture {self.index} on {dataset}", name, sets) from None

    def _of_row(self, last: LastFigures, at: int, dataset: str, name: str, iepoch: int | None) -> dict[str, Any]:
        (epochs,) = last.values("epochs", at, at + 1)
        epoch = check_epoch(iepoch, epochs)
        if iepoch is None:
            row = [epoch, *(last.values(column, at, at + 1)[0] for column in FIGURES)]
        else:
            group, place = int(last.groups[at]), int(last.places[at])
            loss, accuracy, seconds = (self.table.curves(group, column) for column in _COLUMNS)
            row = [epoch, loss.at(place, epoch), accuracy.at(place, epoch), seconds.at(place, epoch)]
            row.append(seconds.total(place, epoch))
        if row[2] is None:
            curve = self._curve(last, at, "accuracy") or []
            there = [str(number) for number, value in enumerate(curve) if value is not None]
            raise unknown(NotInTableError, f"epoch of {dataset} on {name}", str(epoch), there)
        return dict(zip(_KEYS, row, strict=True))

    def _order_of_sets(self, dataset: str, trained: LastFigures, at: int) -> list[str]:
        (number,) = trained.values("eval_sets", at, at + 1)
        return self.table.order_of_sets(self.hp, dataset, number)

    def _curve(self, last: LastFigures, at: int, column: str) -> list[Any] | None:
        return self.table.curves(int(last.groups[at]), column).of(int(last.places[at]))

    def _config(self, trained: LastFigures, at: int) -> dict[str, Any]:
        return self.table.config(int(trained.groups[at]), int(trained.places[at]))


def _by(keys: Iterable[Any], figures: list[Any] | None) -> dict[Any, float] | None:
    """Return figures by their keys, without those that are missing."""
    if figures is None:
        return None
    return {key: value for key, value in zip(keys, figures, strict=True) if value is not None}
