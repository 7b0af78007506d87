"""One training of one architecture, as the benchmark's own API has it: accuracies, losses and times by epoch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from hwnas_surrogate.errors import DataFileError, InvalidInputError, NotInTableError, unknown

__all__ = ["ResultsCount", "check_epoch", "config_of", "mean", "total"]


def mean(values: Sequence[float]) -> float:
    """Return numpy's mean, bit for bit; of a few values without numpy's overhead."""
    if len(values) < 8:  # from 8 values on, numpy adds in another order
        return total(values) / len(values)
    return float(np.mean(values))


def total(values: Iterable[float]) -> float:
    """Add values one after the other: the builtin sum of newer Pythons rounds otherwise."""
    return reduce(add, map(float, values), 0.0)


def check_epoch(iepoch: int | None, epochs: int) -> int:
    """Return an epoch, the last if None; raise `NotInTableError` if there is none such."""
    if iepoch is None:
        return epochs - 1
    if isinstance(iepoch, bool) or not isinstance(iepoch, (int, np.integer)):
        raise InvalidInputError(f"iepoch must be an integer from 0, or None for the last, got {iepoch!r:.60}.")
    if not 0 <= iepoch < epochs:
        raise NotInTableError(f"there is no epoch {iepoch}; it was trained for {epochs}: 0 to {epochs - 1}.")
    return int(iepoch)


def config_of(arch_config: Mapping[str, Any], str2structure: Callable[[str], Any] | None = None) -> dict[str, Any]:
    """Return the config that builds a network, of the one that is stored.

    Raises
    ------
    DataFileError
        If the stored config lacks an entry.
    """
    try:
        return _config_of(arch_config, str2structure)
    except KeyError as error:
        there = ", ".join(map(repr, arch_config)) or "nothing"
        raise DataFileError(f"the stored config of the network has no {error}; it holds {there}.") from error


def _config_of(arch_config: Mapping[str, Any], str2structure: Callable[[str], Any] | None) -> dict[str, Any]:
    size = arch_config.get("name") == "infer.shape.tiny"
    head: dict[str, Any]
    if size:
        head = {"name": "infer.shape.tiny", "channels": arch_config["channels"]}
        text = "genotype"
    else:
        head = {"name": "infer.tiny", "C": arch_config["channel"], "N": arch_config["num_cells"]}
        text = "arch_str"
    if str2structure is None:
        head[text] = arch_config[text]
    else:
        head["genotype"] = str2structure(arch_config[text])
    return head | {"num_classes": arch_config["class_num"]}


class ResultsCount:
    """The results of one training: one architecture, dataset and seed.

    Parameters
    ----------
    name : str
        The dataset.
    state_dict : object
        The weights; None if they are not kept.
    train_accs, train_losses : dict of int to float
        Accuracy in % and loss on the training set, by epoch.
    params, flop : float
        Millions of parameters and of multiply-adds.
    arch_config : dict
        The network's config.
    seed, epochs : int
    latency : list of float, optional
        Measured latencies in seconds.
    """

    def __init__(
        self,
        name: Any,
        state_dict: Any,
        train_accs: Any,
        train_losses: Any,
        params: Any,
        flop: Any,
        arch_config: Any,
        seed: Any,
        epochs: Any,
        latency: Any,
    ) -> None:
        self.name = name
        self.net_state_dict = state_dict
        self.train_acc1es = copy.deepcopy(train_accs)
        self.train_acc5es: Any = None
        self.train_losses = copy.deepcopy(train_losses)
        self.train_times: Any = None
        self.arch_config = copy.deepcopy(arch_config)
        self.params = params
        self.flop = flop
        self.seed = seed
        self.epochs = epochs
        self.latency = latency
        self.reset_eval()

    def __repr__(self) -> str:
        sets = ", ".join(self.eval_names)
        arch = (self.arch_config or {}).get("arch_str")
        return (
            f"{type(self).__name__}({self.name}, arch={arch}, FLOP={self.flop:.2f}M, "
            f"Param={self.params:.3f}MB, seed={self.seed}, {len(self.eval_names)} eval-sets: [{sets}])"
        )

    def update_train_info(self, train_acc1es: Any, train_acc5es: Any, train_losses: Any, train_times: Any) -> None:
        """Replace the figures on the training set: dicts by epoch."""
        self.train_acc1es = train_acc1es
        self.train_acc5es = train_acc5es
        self.train_losses = train_losses
        self.train_times = train_times

    def reset_eval(self) -> None:
        """Forget what was evaluated."""
        self.eval_names: list[str] = []
        self.eval_acc1es: dict[str, float] = {}
        self.eval_times: dict[str, float] = {}
        self.eval_losses: dict[str, float] = {}

    def update_eval(self, accs: dict[str, float], losses: dict[str, float], times: dict[str, float]) -> None:
        """Add evaluations of all epochs, by ``set@epoch``."""
        for name in dict.fromkeys(key.split("@")[0] for key in accs):
            self._add_name(name)
            for epoch in range(self.epochs):
                key = f"{name}@{epoch}"
                self.eval_acc1es[key] = accs[key]
                self.eval_losses[key] = losses[key]
                self.eval_times[key] = times[key]

    def update_OLD_eval(self, name: str, accs: dict[int, float], losses: dict[int, float]) -> None:
        """Add a set's evaluations of some epochs, without times."""
        self._add_name(name)
        for epoch in range(self.epochs):
            if epoch in accs:
                self.eval_acc1es[f"{name}@{epoch}"] = accs[epoch]
                self.eval_losses[f"{name}@{epoch}"] = losses[epoch]

    def _add_name(self, name: str) -> None:
        if name in self.eval_names:
            raise InvalidInputError(f"the set {name!r} was evaluated already; there are {', '.join(self.eval_names)}.")
        self.eval_names.append(name)

    def reset_pseudo_train_times(self, estimated_per_epoch_time: float) -> None:
        """Replace the seconds of training by the same for each epoch."""
        self.train_times = dict.fromkeys(range(self.epochs), estimated_per_epoch_time)

    def reset_pseudo_eval_times(self, eval_name: str, estimated_per_epoch_time: float) -> None:
        """Replace the seconds of evaluation on a set by the same for each epoch.

        Raises
        ------
        NotInTableError
            If the set was not evaluated.
        """
        if eval_name not in self.eval_names:
            raise unknown(NotInTableError, f"set of {self.name}", eval_name, self.eval_names)
        self.eval_times |= {f"{eval_name}@{epoch}": estimated_per_epoch_time for epoch in range(self.epochs)}

    def update_latency(self, latency: Sequence[float] | None) -> None:
        """Replace the measured latencies, in seconds."""
        self.latency = copy.deepcopy(latency)

    def get_latency(self) -> float:
        """Return the mean latency in seconds, -1.0 if it was not measured."""
        return -1.0 if not self.latency else total(self.latency) / len(self.latency)

    def get_total_epoch(self) -> int:
        """Return the number of epochs."""
        return int(self.epochs)

    def get_times(self) -> dict[str, float | None]:
        """Return the mean and the total seconds, of training and of each evaluated set; None if unknown."""
        times: dict[str, float | None] = {}
        trained = list(self.train_times.values()) if isinstance(self.train_times, dict) else []
        keys = {name: [f"{name}@{epoch}" for epoch in range(self.epochs)] for name in self.eval_names}
        taken = {
            name: [self.eval_times[key] for key in of_set] if self.eval_times.keys() >= set(of_set) else []
            for name, of_set in keys.items()
        }
        for name, seconds in {"train": trained, **taken}.items():
            times[f"T-{name}@epoch"] = mean(seconds) if seconds else None
            times[f"T-{name}@total"] = float(np.sum(seconds)) if seconds else None
        return times

    def get_eval_set(self) -> list[str]:
        """Return the evaluated sets."""
        return self.eval_names

    def get_train(self, iepoch: int | None = None) -> dict[str, Any]:
        """Return loss, accuracy (%) and seconds of training after an epoch, from 0; the last if None."""
        epoch = check_epoch(iepoch, self.epochs)
        times = self.train_times
        return {
            "iepoch": epoch,
            "loss": self._figure(self.train_losses, epoch, "train"),
            "accuracy": self._figure(self.train_acc1es, epoch, "train"),
            "cur_time": None if times is None else times[epoch],
            "all_time": None if times is None else total(times[at] for at in range(epoch + 1)),
        }

    def get_eval(self, name: str, iepoch: int | None = None) -> dict[str, Any]:
        """Return loss, accuracy (%) and seconds on a set after an epoch; ``valid`` is ``x-valid``.

        Raises
        ------
        NotInTableError
            If the set, or the epoch, was not evaluated.
        """
        epoch, name = check_epoch(iepoch, self.epochs), "x-valid" if name == "valid" else name
        key, times = f"{name}@{epoch}", self.eval_times
        if name not in self.eval_names and key not in self.eval_acc1es:
            raise unknown(NotInTableError, f"set of {self.name}", name, self.eval_names)
        before = [times.get(f"{name}@{at}") for at in range(epoch + 1)] if times else [None]
        return {
            "iepoch": epoch,
            "loss": self._figure(self.eval_losses, key, name),
            "accuracy": self._figure(self.eval_acc1es, key, name),
            "cur_time": before[-1],
            "all_time": None if None in before else total(before),  # type: ignore[arg-type]
        }

    def _figure(self, figures: Mapping[Any, float], key: int | str, name: str) -> float:
        try:
            return figures[key]
        except (KeyError, TypeError):
            there = [str(at).rpartition("@")[2] for at in figures or () if str(at).rpartition("@")[0] in ("", name)]
            what = f"epoch of {self.name} on {name}"
            raise unknown(NotInTableError, what, str(key).rpartition("@")[2], there) from None

    def get_net_param(self, clone: bool = False) -> Any:
        """Return the weights, or a copy; None if they are not kept."""
        return copy.deepcopy(self.net_state_dict) if clone else self.net_state_dict

    def get_config(self, str2structure: Callable[[str], Any] | None) -> dict[str, Any]:
        """Return the config that builds the network, its cell as a string, or as what a function makes of it."""
        return config_of(self.arch_config, str2structure)

    def state_dict(self) -> dict[str, Any]:
        """Return the attributes."""
        return dict(vars(self))

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Set the attributes."""
        vars(self).update(state_dict)

    @staticmethod
    def create_from_state_dict(state_dict: Mapping[str, Any]) -> ResultsCount:
        """Return the results whose attributes these are."""
        missing = {"params", "flop", "arch_config", "seed", "epochs"} - set(state_dict)
        if missing:
            raise InvalidInputError(f"the state of a training must hold {', '.join(sorted(missing))}.")
        results = ResultsCount(None, None, None, None, None, None, None, None, None, None)
        results.load_state_dict(state_dict)
        return results
