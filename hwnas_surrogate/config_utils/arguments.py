"""The command lines of the benchmark's training scripts: every script's options are a row of a table."""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from hwnas_surrogate.errors import InvalidInputError

__all__ = [
    "obtain_RandomSearch_args",
    "obtain_attention_args",
    "obtain_basic_args",
    "obtain_cls_init_args",
    "obtain_cls_kd_args",
    "obtain_pruning_args",
    "obtain_search_args",
    "obtain_search_single_args",
]


class _Option(NamedTuple):
    kind: type
    help: str
    default: int | str | None = None
    choices: tuple[str, ...] | None = None


_OPTIONS = {
    "resume": _Option(str, "checkpoint to continue from"),
    "init_model": _Option(str, "checkpoint of the initial model"),
    "init_checkpoint": _Option(str, "checkpoint of the initial weights"),
    "KD_checkpoint": _Option(str, "checkpoint of the teacher"),
    "model_config": _Option(str, "config file of the model"),
    "optim_config": _Option(str, "config file of the optimizer"),
    "split_path": _Option(str, "file of the split into training and validation"),
    "procedure": _Option(str, "name of the training procedure"),
    "model_source": _Option(str, "where the model comes from", "normal"),
    "model_version": _Option(str, "version of the network"),
    "extra_model_path": _Option(str, "checkpoint of the searched architecture"),
    "search_shape": _Option(str, "part of the shape that is searched"),
    "att_channel": _Option(int, "channels of the attention"),
    "att_spatial": _Option(str, "spatial sizes of the attention"),
    "att_active": _Option(str, "activation of the attention"),
    "expect_flop": _Option(float, "expected cost of a network, in MFLOPs"),
    "arch_nums": _Option(int, "number of architectures to draw"),
    "random_mode": _Option(str, "whether architectures are drawn or fixed", None, ("random", "fix")),
    "KD_alpha": _Option(float, "weight of the teacher's loss"),
    "KD_temperature": _Option(float, "temperature of the teacher's logits"),
    "gumbel_tau_max": _Option(float, "first temperature of the Gumbel softmax"),
    "gumbel_tau_min": _Option(float, "last temperature of the Gumbel softmax"),
    "FLOP_ratio": _Option(float, "expected cost as a fraction of the largest network's"),
    "FLOP_weight": _Option(float, "weight of the cost in the loss"),
    "FLOP_tolerant": _Option(float, "accepted deviation from the expected cost, as a fraction"),
    "ablation_num_select": _Option(int, "number of channels that are drawn"),
    "keep_ratio": _Option(float, "fraction of the channels that are kept"),
    "dataset": _Option(str, "name of the dataset"),
    "data_path": _Option(str, "folder of the dataset"),
    "cutout_length": _Option(int, "length of the cutout in pixels; negative for none"),
    "print_freq": _Option(int, "batches between two lines of the log in training", 100),
    "print_freq_eval": _Option(int, "batches between two lines of the log in evaluation", 100),
    "eval_frequency": _Option(int, "epochs between two evaluations", 1),
    "save_dir": _Option(str, "folder of checkpoints and logs (required)"),
    "workers": _Option(int, "number of processes that load data", 8),
    "rand_seed": _Option(int, "seed; a negative one is replaced by a random one", -1),
    "batch_size": _Option(int, "batch size in training", 2),
}
_FILES = ("resume", "model_config", "optim_config", "procedure")
_SHARED = (
    *("dataset", "data_path", "cutout_length", "print_freq", "print_freq_eval"),
    *("eval_frequency", "save_dir", "workers", "rand_seed", "batch_size"),
)
_COST = ("split_path", "gumbel_tau_max", "gumbel_tau_min", "FLOP_ratio", "FLOP_weight", "FLOP_tolerant")


def obtain_basic_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options of training one network.

    Parameters
    ----------
    argv : sequence of str or None, default=None
        The options; None means those of the running program, ``sys.argv[1:]``.

    Returns
    -------
    argparse.Namespace
        Every option; None where it has neither a value nor a default. ``rand_seed`` is never negative: one that is not
        given is drawn from 1 to 100,000, by the generator of the module :mod:`random`.

    Raises
    ------
    InvalidInputError
        If an option is unknown, has a value of a wrong type, or if ``--save_dir`` is missing.

    Examples
    --------
    >>> args = obtain_basic_args(["--save_dir", "out", "--rand_seed", "7"])
    >>> args.save_dir, args.rand_seed, args.batch_size, args.model_source
    ('out', 7, 2, 'normal')
    """
    return _parse("Train a classifier.", ("init_model", "model_source", "extra_model_path"), argv)


def obtain_attention_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options of training a network with attention; as :func:`obtain_basic_args`."""
    return _parse(
        "Train a classifier with attention.", ("init_model", "att_channel", "att_spatial", "att_active"), argv
    )


def obtain_RandomSearch_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options of a random search under a cost; as :func:`obtain_basic_args`."""
    names = ("init_model", "expect_flop", "arch_nums", "random_mode")
    return _parse("Search at random for a network of an expected cost.", names, argv)


def obtain_cls_kd_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options of training with a teacher (knowledge distillation); as :func:`obtain_basic_args`."""
    names = ("init_model", "KD_checkpoint", "KD_alpha", "KD_temperature")
    return _parse("Train a classifier by knowledge distillation.", names, argv)


def obtain_cls_init_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options of training from given weights; as :func:`obtain_basic_args`."""
    return _parse("Train a classifier from given weights.", ("init_model", "init_checkpoint"), argv)


def obtain_search_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options of a differentiable search under a cost.

    As :func:`obtain_basic_args`. Also raises `InvalidInputError` without ``--gumbel_tau_max`` and
    ``--gumbel_tau_min``, or if ``--FLOP_tolerant`` is not above 0.
    """
    args = _parse("Search for a network of an expected cost.", (*_COST, "ablation_num_select"), argv)
    return _checked_search(args)


def obtain_search_single_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options of a search for width, depth or both; as :func:`obtain_search_args`."""
    args = _parse("Search for the shape of a network of an expected cost.", (*_COST, "search_shape"), argv)
    return _checked_search(args)


def obtain_pruning_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the options of pruning.

    As :func:`obtain_basic_args`. Also raises `InvalidInputError` if ``--keep_ratio`` is not above 0 and at most 1.
    """
    names = ("init_model", "keep_ratio", "model_version", "KD_alpha", "KD_temperature")
    args = _parse("Prune a network.", names, argv)
    if args.keep_ratio is None or not 0 < args.keep_ratio <= 1:
        raise InvalidInputError(f"--keep_ratio must be above 0 and at most 1, got {args.keep_ratio}.")
    return args


class _Parser(argparse.ArgumentParser):
    """A parser that raises an error of this package, with the usage, where argparse ends the program."""

    def error(self, message: str) -> NoReturn:
        """Raise `InvalidInputError`."""
        raise InvalidInputError(f"{message}. {self.format_usage().strip()}")


def _parse(description: str, names: Sequence[str], argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the options of one script, check the folder, draw the seed."""
    parser = _Parser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for name in (*_FILES, *names, *_SHARED):
        option = _OPTIONS[name]
        parser.add_argument(
            f"--{name}", type=option.kind, help=option.help, default=option.default, choices=option.choices
        )
    if isinstance(argv, str):
        raise InvalidInputError(f"argv must be a list of options, got the text {argv!r:.100}; use argv.split().")
    args = parser.parse_args(argv)
    if args.save_dir is None:
        raise InvalidInputError("--save_dir is missing: it is the folder that checkpoints and logs are written to.")
    if args.rand_seed < 0:
        args.rand_seed = random.randint(1, 100000)
    return args


def _checked_search(args: argparse.Namespace) -> argparse.Namespace:
    missing = [f"--{name}" for name in ("gumbel_tau_max", "gumbel_tau_min") if getattr(args, name) is None]
    if missing:
        raise InvalidInputError(f"a search needs {' and '.join(missing)}: the temperatures of the Gumbel softmax.")
    if args.FLOP_tolerant is None or not args.FLOP_tolerant > 0:
        raise InvalidInputError(f"--FLOP_tolerant must be above 0, got {args.FLOP_tolerant}.")
    return args
