"""The readers of command lines: the options of the benchmark's scripts, and errors that say what is missing."""

from __future__ import annotations

import random
from argparse import Namespace
from collections.abc import Callable

import pytest

import hwnas_surrogate.config_utils as config_utils
from hwnas_surrogate.errors import InvalidInputError

READERS: dict[str, Callable[..., Namespace]] = {
    name: getattr(config_utils, name) for name in config_utils.__all__ if name.startswith("obtain_")
}
SEARCH = ["--gumbel_tau_max", "5", "--gumbel_tau_min", "0.1", "--FLOP_tolerant", "0.05"]
NEEDS = {
    "obtain_search_args": SEARCH,
    "obtain_search_single_args": SEARCH,
    "obtain_pruning_args": ["--keep_ratio", "0.5"],
}
SHARED = {
    "dataset": None,
    "data_path": None,
    "cutout_length": None,
    "print_freq": 100,
    "print_freq_eval": 100,
    "eval_frequency": 1,
    "save_dir": "out",
    "workers": 8,
    "rand_seed": 3,
    "batch_size": 2,
}
OWN = {
    "obtain_basic_args": {"init_model", "model_source", "extra_model_path"},
    "obtain_attention_args": {"init_model", "att_channel", "att_spatial", "att_active"},
    "obtain_RandomSearch_args": {"init_model", "expect_flop", "arch_nums", "random_mode"},
    "obtain_cls_kd_args": {"init_model", "KD_checkpoint", "KD_alpha", "KD_temperature"},
    "obtain_cls_init_args": {"init_model", "init_checkpoint"},
    "obtain_search_args": {"ablation_num_select"},
    "obtain_search_single_args": {"search_shape"},
    "obtain_pruning_args": {"init_model", "keep_ratio", "model_version", "KD_alpha", "KD_temperature"},
}
COST = {"split_path", "gumbel_tau_max", "gumbel_tau_min", "FLOP_ratio", "FLOP_weight", "FLOP_tolerant"}


def line(reader: str, *options: str) -> list[str]:
    return ["--save_dir", "out", "--rand_seed", "3", *NEEDS.get(reader, []), *options]


def test_there_are_eight_readers() -> None:
    assert READERS.keys() == OWN.keys()


@pytest.mark.parametrize("reader", READERS)
def test_options_and_defaults(reader: str) -> None:
    found = vars(READERS[reader](line(reader)))
    own = OWN[reader] | (COST if "search_" in reader and "Random" not in reader else set())
    assert found.keys() == SHARED.keys() | own | {"resume", "model_config", "optim_config", "procedure"}
    assert {name: found[name] for name in SHARED} == SHARED
    assert found.get("model_source", "normal") == "normal"


@pytest.mark.parametrize("reader", READERS)
def test_the_options_of_the_program_are_the_default(reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["train.py", *line(reader, "--cutout_length", "-1", "--workers", "4")])
    found = READERS[reader]()
    assert (found.cutout_length, found.workers, found.save_dir) == (-1, 4, "out")


@pytest.mark.parametrize("reader", READERS)
def test_a_negative_seed_is_drawn(reader: str) -> None:
    without = ["--save_dir", "out", *NEEDS.get(reader, [])]
    seeds = {READERS[reader](without).rand_seed for _ in range(20)}
    assert len(seeds) > 10
    assert all(1 <= seed <= 100_000 for seed in seeds)
    random.seed(0)
    first = READERS[reader](without).rand_seed
    random.seed(0)
    assert READERS[reader]([*without, "--rand_seed", "-7"]).rand_seed == first
    assert READERS[reader]([*without, "--rand_seed", "0"]).rand_seed == 0


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--save_dir is missing"),
        (["--save_dir"], "expected one argument"),
        (["--workers", "many"], "invalid int value: 'many'"),
        (["--no_such_option", "1"], "unrecognized arguments: --no_such_option"),
    ],
    ids=["no folder", "no value", "no number", "unknown"],
)
def test_wrong_options(reader: str, options: list[str], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        READERS[reader](options)


@pytest.mark.parametrize("reader", READERS)
def test_options_are_a_list(reader: str) -> None:
    with pytest.raises(InvalidInputError, match="must be a list of options"):
        READERS[reader]("--save_dir out")


@pytest.mark.parametrize("reader", ["obtain_search_args", "obtain_search_single_args"])
@pytest.mark.parametrize("missing", ["--gumbel_tau_max", "--gumbel_tau_min", "--FLOP_tolerant"])
def test_what_a_search_needs(reader: str, missing: str) -> None:
    options = line(reader)
    at = options.index(missing)
    with pytest.raises(InvalidInputError, match=missing):
        READERS[reader](options[:at] + options[at + 2 :])


@pytest.mark.parametrize("value", ["0", "-0.1", "nan"])
def test_the_tolerance_is_positive(value: str) -> None:
    with pytest.raises(InvalidInputError, match="--FLOP_tolerant must be above 0"):
        config_utils.obtain_search_args(line("obtain_search_args", f"--FLOP_tolerant={value}"))


@pytest.mark.parametrize(
    ("value", "good"), [("1", True), ("1e-9", True), ("0", False), ("1.01", False), ("nan", False)]
)
def test_the_ratio_to_keep(value: str, good: bool) -> None:
    options = line("obtain_pruning_args", f"--keep_ratio={value}")
    if good:
        assert config_utils.obtain_pruning_args(options).keep_ratio == float(value)
        return
    with pytest.raises(InvalidInputError, match="--keep_ratio must be above 0 and at most 1"):
        config_utils.obtain_pruning_args(options)
    with pytest.raises(InvalidInputError, match="got None"):
        config_utils.obtain_pruning_args(["--save_dir", "out"])


def test_random_search_knows_two_modes() -> None:
    assert config_utils.obtain_RandomSearch_args(line("", "--random_mode", "fix")).random_mode == "fix"
    with pytest.raises(InvalidInputError, match="invalid choice: 'other'"):
        config_utils.obtain_RandomSearch_args(line("", "--random_mode", "other"))
