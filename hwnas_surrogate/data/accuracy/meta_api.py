"""The drop-in for NAS-Bench-201's accuracy API: what both search spaces have; same names, keys, order and values."""

from __future__ import annotations

import copy
import os
import random
from bisect import insort
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from hwnas_surrogate.data.accuracy.answers import DATASETS, named_figures, remap_dataset_set_names, reported_sets
from hwnas_surrogate.data.accuracy.containers import architecture_file, read_whole
from hwnas_surrogate.data.accuracy.opened import HOME, OpenedBenchmark, WrongIndex, say
from hwnas_surrogate.data.accuracy.results import ArchResults
from hwnas_surrogate.data.accuracy.stores import results_by_hp
from hwnas_surrogate.data.accuracy.texts import describe_results
from hwnas_surrogate.data.accuracy.trial import ResultsCount
from hwnas_surrogate.data.accuracy.view import TableResults
from hwnas_surrogate.errors import DataFileError, InvalidInputError, NotInTableError, unknown

__all__ = ["NASBenchMetaAPI"]


class NASBenchMetaAPI(OpenedBenchmark):
    """What both search spaces' APIs have.

    Parameters
    ----------
    file_path_or_dict : path-like, mapping or AccuracyTable, optional
        A table that `convert_accuracy` wrote (opens in milliseconds), a published file or folder (converted into a
        temporary file first, which takes minutes), or a benchmark's content as a dict. If None, the published file
        in the folder that the environment variable TORCH_HOME names.
    verbose : bool, default=True
        Print that a published file is being converted.

    Raises
    ------
    InvalidInputError
        If it is none of these, or TORCH_HOME is not set.
    DataFileError
        If the file can't be read.

    Attributes
    ----------
    meta_archs : list of str
        Every architecture, by index.
    evaluated_indexes : list of int
        The architectures with results, sorted.
    arch2infos_dict : mapping of int to dict of str to ArchResults
        The results, by hyper-parameter; objects of a table's results are made when they are asked for.
    archstr2index : dict of str to int
    """

    @property
    def used_time(self) -> float:
        """The simulated seconds of training and evaluation since the last :meth:`reset_time`."""
        return self._used_time

    def reset_time(self) -> None:
        """Set the simulated seconds to 0."""
        self._used_time = 0

    def simulate_train_eval(
        self, arch: Any, dataset: str, hp: str = "12", account_time: bool = True
    ) -> tuple[float, float | None, float, float]:
        """Return what training an architecture and validating it once would give, and add the time that it would take.

        Parameters
        ----------
        arch : int, str or object with ``tostr``
        dataset : {"cifar10", "cifar100", "ImageNet16-120"}
        hp : str, default="12"
        account_time : bool, default=True
            Whether the seconds are added to ``used_time``.

        Returns
        -------
        valid_acc : float
            In %, of a seed at random (of the module `random`).
        latency : float
            In seconds.
        time_cost, used_time : float
            Seconds of this training and validation, and of all since the last reset.
        """
        index = self._index_of(arch)
        if dataset not in DATASETS:
            raise unknown(NotInTableError, "dataset", dataset, DATASETS)
        of_valid = "cifar10-valid" if dataset == "cifar10" else dataset
        info = self.get_more_info(index, of_valid, None, hp, True)
        if info.get("valid-per-time") is None or info["train-all-time"] is None:
            raise NotInTableError(f"architecture {index} has no accuracy and times of validation on {dataset}.")
        time_cost = info["train-all-time"] + info["valid-per-time"]
        latency = self.get_latency(index, dataset)
        if account_time:
            self._used_time += time_cost
        return info["valid-accuracy"], latency, time_cost, self._used_time

    def query_by_arch(self, arch: Any, hp: str) -> str | None:
        """Return the text of :meth:`query_info_str_by_arch`."""
        return self.query_info_str_by_arch(arch, hp)

    def query_info_str_by_arch(self, arch: Any, hp: str = "12") -> str | None:
        """Return an architecture's costs and results as text; None, with a line printed, if it was not evaluated."""
        index = self.query_index_by_arch(arch)
        if index not in self.arch2infos_dict:
            say(f"Find this arch-index : {index}, but this arch is not evaluated.")
            return None
        return "\n".join(self._describe(index, hp, f"arch-index={index}"))

    def _describe(self, index: int, hp: str, extra_info: str | None) -> list[str]:
        return describe_results(self.meta_archs[index], self._results(index, hp), extra_info, is_size=self._is_size)

    def query_meta_info_by_index(self, arch_index: int, hp: str = "12") -> ArchResults:
        """Return a copy of an architecture's results; the API's own are in ``arch2infos_dict``."""
        self._check_range(arch_index)
        return self.arch2infos_dict.copied(arch_index, str(hp))

    def query_by_index(
        self, arch_index: int, dataname: str | None = None, hp: str = "12"
    ) -> ArchResults | ResultsCount | dict[int, ResultsCount]:
        """Return a copy of an architecture's results, or of those on a dataset by seed."""
        results = self.query_meta_info_by_index(arch_index, hp)
        return results if dataname is None else results.query(dataname)

    def find_best(
        self,
        dataset: str,
        metric_on_set: str,
        FLOP_max: float | None = None,
        Param_max: float | None = None,
        hp: str = "12",
    ) -> tuple[int, float | None]:
        """Return the index and accuracy (%) of the most accurate architecture.

        Parameters
        ----------
        dataset : str
        metric_on_set : {"train", "valid", "test"}
            Or the name of a set.
        FLOP_max, Param_max : float, optional
            Upper limits of the multiply-adds and parameters, in millions.
        hp : str, default="12"

        Returns
        -------
        index : int
            -1 if none is within the limits.
        accuracy : float or None
            Averaged over seeds; of equal ones, the first counts.
        """
        for limit_name, limit in (("FLOP_max", FLOP_max), ("Param_max", Param_max)):
            if limit is not None and (not isinstance(limit, Real) or isinstance(limit, bool) or np.isnan(limit)):
                raise InvalidInputError(f"{limit_name} must be a number in millions, or None, got {limit!r:.60}.")
        dataset, name = remap_dataset_set_names(dataset, metric_on_set)
        best, highest = -1, None
        for index in sorted(self.evaluated_indexes):
            results = self._results(index, hp)
            if FLOP_max is not None or Param_max is not None:
                costs = results.get_compute_costs(dataset)
                if FLOP_max is not None and costs["flops"] > FLOP_max:  # type: ignore[operator]
                    continue
                if Param_max is not None and costs["params"] > Param_max:  # type: ignore[operator]
                    continue
            accuracy = results.get_metrics(dataset, name)["accuracy"]
            if highest is None or accuracy > highest:
                best, highest = index, accuracy
        return best, highest

    def get_net_param(self, index: int, dataset: str, seed: int | None, hp: str = "12") -> Any:
        """Return the weights of a seed, or of all by seed if None; None where they are not kept, see :meth:`reload`."""
        return copy.deepcopy(self._objects(index, hp).get_net_param(dataset, seed))

    def get_net_config(self, index: int, dataset: str) -> dict[str, Any]:
        """Return the config that builds an architecture's network; ``build_network`` takes it."""
        hp = next((hp for hp in self.avaliable_hps if self._has(index, hp)), self.avaliable_hps[0])
        results = self._results(index, hp)
        if isinstance(results, TableResults):
            return results.get_config(dataset)
        trained = self._objects(index, hp).query(dataset)
        assert isinstance(trained, dict)
        return next(iter(trained.values())).get_config(None)

    def _has(self, index: int, hp: str) -> bool:
        try:
            return bool(self._results(index, hp).get_dataset_names())
        except NotInTableError:
            return False

    def get_cost_info(self, index: int, dataset: str, hp: str = "12") -> dict[str, float | None]:
        """Return the multiply-adds and parameters (millions), latency (s) and seconds of training and evaluation."""
        return self._results(index, hp).get_compute_costs(dataset)

    def get_latency(self, index: int, dataset: str, hp: str = "12") -> float | None:
        """Return the latency in seconds, averaged over seeds; None if it was not measured."""
        return self.get_cost_info(index, dataset, hp)["latency"]

    def get_more_info(
        self,
        index: Any,
        dataset: str,
        iepoch: int | None = None,
        hp: str | int = "12",
        is_random: bool | int = True,
    ) -> dict[str, Any]:
        """Return losses, accuracies (%) and seconds on the training, validation and test sets.

        Parameters
        ----------
        index : int, str or object with ``tostr``
            The architecture.
        dataset : {"cifar10-valid", "cifar10", "cifar100", "ImageNet16-120"}
            ``cifar10-valid`` was trained on a half of CIFAR-10's training set and validated on the other.
        iepoch : int, optional
            The epoch, from 0; the last if None.
        hp : str, default="12"
            The schedule: ``12`` or ``200`` epochs; of the size space ``01``, ``12`` or ``90``.
        is_random : bool or int, default=True
            One seed at random (of the module `random`), the mean over seeds, or that of a seed.

        Returns
        -------
        dict of str to float
            ``train-loss``, ``train-accuracy``, ``train-per-time``, ``train-all-time``; the same of ``valid``, ``test``
            and ``valtest`` (both halves together) where they were evaluated.

        Raises
        ------
        InvalidArchitectureError
            If the benchmark does not hold such an architecture.
        NotInTableError
            If its results, or the schedule, dataset, epoch or seed are not there.
        """
        if not isinstance(index, (int, np.integer)):
            index = self._index_of(index)
        results = self._results(index, hp)
        if iepoch is None and isinstance(results, TableResults):
            info = results.last_info(dataset, is_random)
            if info is not None:
                return info
        if is_random is True:
            is_random = random.choice(results.get_dataset_seeds(dataset))
        trained = results.get_metrics(dataset, "train", iepoch, is_random)
        n_epochs = trained["iepoch"] + 1
        info = named_figures("train", trained, n_epochs)
        sets = results.evaluated_sets(dataset)
        for label, name in reported_sets(dataset):
            if name in sets:
                try:
                    figures = results.get_metrics(dataset, name, iepoch, is_random)
                except NotInTableError:  # evaluated after other epochs only
                    continue
                info |= named_figures(label, figures, n_epochs)
        return info

    def reload(self, archive_root: str | os.PathLike[str] | None = None, index: int | None = None) -> None:
        """Read results with weights from an archive's files, of one architecture or of all (None).

        Parameters
        ----------
        archive_root : path-like, optional
            The folder with ``000000-FULL.pth`` (or ``000000.pickle.pbz2``), ... If None, the archive in TORCH_HOME.
        index : int, optional

        Raises
        ------
        DataFileError
            If the folder or a file is missing or not readable.
        """
        if archive_root is None:
            home = os.environ.get(HOME)
            if not home:
                raise InvalidInputError(f"name the archive's folder, or set {HOME} to the folder that it is in.")
            archive_root = Path(home, f"{Path(self._default).stem.rpartition('-')[0]}-archive")
        if not Path(archive_root).is_dir():
            raise DataFileError(f"there is no folder {archive_root} with the results of each architecture.")
        for number in range(len(self)) if index is None else [self._index(index)]:
            file = architecture_file(archive_root, number)
            states = read_whole(file)
            try:
                self.arch2infos_dict[number] = results_by_hp(states)
            except (AttributeError, InvalidInputError, KeyError, TypeError) as error:
                raise DataFileError(f"{file} does not hold an architecture's results: {error}") from error
            if number not in self.evaluated_indexes:
                insort(self.evaluated_indexes, number)

    def clear_params(self, index: int, hp: str | None = None) -> None:
        """Forget the weights of an architecture, under all schedules or one."""
        self._check_range(index)
        for at in list(self.arch2infos_dict[index]) if hp is None else [hp]:
            self._objects(index, at).clear_params()

    def show(self, index: int = -1) -> None:
        """Print an architecture's costs and results under each schedule; of all if the index is negative."""
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
            raise WrongIndex(f"an index is an integer 0 to {len(self) - 1}, or -1 for all, got {index!r:.60}.")
        if index < 0:
            say(repr(self))
            for number in sorted(self.evaluated_indexes):
                self.show(number)
        elif index >= len(self):
            say(f"This index ({index}) is out of range (0~{len(self)}).")
        elif index not in self.evaluated_indexes:
            say(f"The {index}-th architecture has not been evaluated or not saved.")
        else:
            for hp, results in self.arch2infos_dict[index].items():
                say(f"{'>' * 40} {results.get_total_epoch():03d} epochs {'>' * 40}")
                say("\n".join(self._describe(index, hp, None)))
            say(f"{'<' * 40}------------{'<' * 40}")

    def statistics(self, dataset: str, hp: str | int) -> dict[int, int]:
        """Return how many architectures were trained with how many seeds on a dataset.

        Raises
        ------
        NotInTableError
            If an architecture was not evaluated, or the benchmark has no such dataset.
        """
        numbers: dict[int, int] = {}
        names: dict[str, None] = {}
        for index in range(len(self)):
            results = self._results(index, hp)
            datasets = results.get_dataset_names()
            names.update(dict.fromkeys(datasets))
            count = len(results.get_dataset_seeds(dataset)) if dataset in datasets else 0
            numbers[count] = numbers.get(count, 0) + 1
        if dataset not in names and dataset not in ("cifar10-valid", *DATASETS):
            raise unknown(NotInTableError, "dataset", dataset, names)
        return numbers
