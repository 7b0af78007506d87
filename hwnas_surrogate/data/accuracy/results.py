"""All trainings of one architecture under one schedule, as the benchmark's own API has them."""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hwnas_surrogate.data.accuracy.trial import ResultsCount, mean
from hwnas_surrogate.errors import InvalidInputError, NotInTableError, unknown

__all__ = ["ArchResults", "averaged", "is_seed"]


def is_seed(is_random: object) -> bool:
    """Return whether ``is_random`` names a seed, Python's integer or numpy's."""
    return isinstance(is_random, (int, np.integer)) and not isinstance(is_random, bool)


def averaged(values: Sequence[Any]) -> float | None:
    """Return the mean over seeds; None if there is no value."""
    return None if not values or values[0] is None or None in values else mean(values)


class ArchResults:
    """The trainings of one architecture: one per dataset and seed.

    Parameters
    ----------
    arch_index : int
    arch_str : str
    """

    def __init__(self, arch_index: Any, arch_str: Any) -> None:
        self.arch_index = arch_index
        self.arch_str = copy.deepcopy(arch_str)
        self.all_results: dict[tuple[str, int], ResultsCount] = {}
        self.dataset_seed: dict[str, list[int]] = {}
        self.clear_net_done = False

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(arch-index={self.arch_index}, arch={self.arch_str}, {len(self.all_results)} runs, "
            f"clear={self.clear_net_done})"
        )

    def _of(self, dataset: str, seed: int | None = None) -> list[ResultsCount]:
        """Return the trainings on a dataset, or the one with a seed."""
        seeds = self._seeds(dataset) if seed is None else [seed]
        if (dataset, seeds[0]) not in self.all_results:
            there = [str(key) for key in self.all_results]
            raise unknown(NotInTableError, "dataset and seed", str((dataset, seeds[0])), there)
        return [self.all_results[dataset, seed] for seed in seeds]

    def _seeds(self, dataset: str) -> list[int]:
        try:
            return self.dataset_seed[dataset]
        except (KeyError, TypeError):
            raise unknown(NotInTableError, "dataset", dataset, self.dataset_seed) from None

    def get_compute_costs(self, dataset: str) -> dict[str, float | None]:
        """Return millions of multiply-adds and parameters, latency (s) and seconds of training, averaged over seeds."""
        results = self._of(dataset)
        latencies = [latency for latency in (result.get_latency() for result in results) if latency > 0]
        costs = {
            "flops": mean([result.flop for result in results]),
            "params": mean([result.params for result in results]),
            "latency": averaged(latencies),
        }
        times: dict[str, list[float | None]] = {}
        for result in results:
            for name, seconds in result.get_times().items():
                times.setdefault(name, []).append(seconds)
        return costs | {name: averaged(seconds) for name, seconds in times.items()}

    def get_metrics(
        self, dataset: str, setname: str, iepoch: int | None = None, is_random: bool | int = False
    ) -> dict[str, Any]:
        """Return loss, accuracy (%) and seconds on a set after an epoch.

        Parameters
        ----------
        dataset, setname : str
            Set: ``train``, or an evaluated one.
        iepoch : int, optional
            From 0; the last if None.
        is_random : bool or int, default=False
            The mean over seeds, one at random (of the module `random`), or that of a seed.

        Raises
        ------
        NotInTableError
            If the dataset, set, epoch or seed is not there.
        """
        results, seeds = self._of(dataset), self._seeds(dataset)
        found = [
            result.get_train(iepoch) if setname == "train" else result.get_eval(setname, iepoch) for result in results
        ]
        if is_random is True:
            return found[random.randint(0, len(results) - 1)]
        if is_random is False:
            return {key: averaged([figures[key] for figures in found]) for key in found[0]}
        if not is_seed(is_random):
            raise InvalidInputError(f"is_random must be True, False or a seed, got {is_random!r:.60}.")
        if is_random not in seeds:
            raise unknown(NotInTableError, f"seed of {dataset}", is_random, map(str, seeds))
        return found[seeds.index(is_random)]

    def show(self, is_print: bool = False) -> None:
        """Raise an error: how an architecture is printed depends on its space, which the results don't know.

        This method always failed in the original.
        """
        raise InvalidInputError(
            "results don't know their search space, and can't be shown: use query_info_str_by_arch of the API, which "
            f"returns the text of architecture {self.arch_index}, or its show, which prints it."
        )

    def get_dataset_names(self) -> list[str]:
        """Return the datasets."""
        return list(self.dataset_seed)

    def get_dataset_seeds(self, dataset: str) -> list[int]:
        """Return the seeds on a dataset."""
        return list(self._seeds(dataset))

    def evaluated_sets(self, dataset: str) -> list[str]:
        """Return the sets, ``train`` among them, with figures of all seeds."""
        first, *others = (result.get_eval_set() for result in self._of(dataset))
        return ["train", *(name for name in first if all(name in names for names in others))]

    def get_net_param(self, dataset: str, seed: int | None = None) -> Any:
        """Return the weights of a seed, or of all by seed; None if they are not kept."""
        if seed is None:
            return {seed: self.all_results[dataset, seed].get_net_param() for seed in self._seeds(dataset)}
        return self._of(dataset, seed)[0].get_net_param()

    def reset_latency(self, dataset: str, seed: int | None, latency: float) -> None:
        """Replace the latency (s) of a seed, or of all if None."""
        for result in self._of(dataset, seed):
            result.update_latency([latency])

    def reset_pseudo_train_times(self, dataset: str, seed: int | None, estimated_per_epoch_time: float) -> None:
        """Replace the seconds of training by the same for each epoch; of a seed, or of all if None."""
        for result in self._of(dataset, seed):
            result.reset_pseudo_train_times(estimated_per_epoch_time)

    def reset_pseudo_eval_times(
        self, dataset: str, seed: int | None, eval_name: str, estimated_per_epoch_time: float
    ) -> None:
        """Replace the seconds of evaluation on a set by the same for each epoch; of a seed, or of all if None."""
        for result in self._of(dataset, seed):
            result.reset_pseudo_eval_times(eval_name, estimated_per_epoch_time)

    def get_latency(self, dataset: str) -> float:
        """Return the latency in seconds, averaged over seeds; raise if it is unknown for one."""
        latencies = [result.get_latency() for result in self._of(dataset)]
        if min(latencies) <= 0:
            raise NotInTableError(f"the latency of architecture {self.arch_index} on {dataset} was not measured.")
        return mean(latencies)

    def get_total_epoch(self, dataset: str | None = None) -> int:
        """Return the number of epochs on a dataset, or on all."""
        names = self.dataset_seed if dataset is None else [dataset]
        epochs = [result.get_total_epoch() for name in names for result in self._of(name)]
        if len(set(epochs)) > 1:
            raise InvalidInputError(f"the trainings have different numbers of epochs: {epochs}; name the dataset.")
        return epochs[-1]

    def query(self, dataset: str, seed: int | None = None) -> ResultsCount | dict[int, ResultsCount]:
        """Return the results of a seed, or of all by seed."""
        if seed is None:
            return dict(zip(self._seeds(dataset), self._of(dataset), strict=True))
        return self._of(dataset, seed)[0]

    def arch_idx_str(self) -> str:
        """Return the index with six digits."""
        return f"{self.arch_index:06d}"

    def update(self, dataset_name: str, seed: int, result: ResultsCount) -> None:
        """Add a training."""
        seeds = self.dataset_seed.setdefault(dataset_name, [])
        if seed in seeds:
            raise InvalidInputError(f"architecture {self.arch_index} has seed {seed} on {dataset_name} already.")
        self.dataset_seed[dataset_name] = sorted([*seeds, seed])
        self.all_results[dataset_name, seed] = result
        self.clear_net_done = False

    def state_dict(self) -> dict[str, Any]:
        """Return the attributes, those of the trainings within."""
        return vars(self) | {"all_results": {key: result.state_dict() for key, result in self.all_results.items()}}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Set the attributes."""
        if not isinstance(state_dict.get("all_results"), Mapping) or "dataset_seed" not in state_dict:
            raise InvalidInputError(
                f"the state of an architecture must hold all_results and dataset_seed, got {', '.join(state_dict)}."
            )
        results = {key: ResultsCount.create_from_state_dict(state) for key, state in state_dict["all_results"].items()}
        vars(self).update({**state_dict, "all_results": results})

    @staticmethod
    def create_from_state_dict(state_dict_or_file: Mapping[str, Any] | str) -> ArchResults:
        """Return the results whose attributes are in a dict, or in a file (read without running code from it)."""
        if isinstance(state_dict_or_file, str):
            from hwnas_surrogate.data.accuracy.containers import read_whole

            state_dict_or_file = read_whole(state_dict_or_file)
        if not isinstance(state_dict_or_file, Mapping):
            raise InvalidInputError(
                f"the state must be a dict or the name of a file, got {type(state_dict_or_file).__name__}."
            )
        results = ArchResults(-1, -1)
        results.load_state_dict(state_dict_or_file)
        return results

    def clear_params(self) -> None:
        """Forget the weights."""
        for result in self.all_results.values():
            result.net_state_dict = None
        self.clear_net_done = True

    def debug_test(self) -> None:
        """Print the latency, trainings and costs on each dataset."""
        lines = []
        for dataset, seeds in self.dataset_seed.items():
            lines += [f"---->>>> {dataset}", f"The latency on {dataset} is {self.get_latency(dataset)} s"]
            for seed in seeds:
                result = self.all_results[dataset, seed]
                lines += [f"  ==>> result = {result}", f"  ==>> cost = {result.get_times()}"]
        sys.stdout.write("\n".join([*lines, ""]))
