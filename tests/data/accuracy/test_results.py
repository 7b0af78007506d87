"""Results as objects: what is put in comes out; what is not there is an error that says what there is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.data.accuracy import ArchResults, ResultsCount
from hwnas_surrogate.data.accuracy.trial import mean, total
from hwnas_surrogate.errors import DataFileError, InvalidInputError, NotInTableError
from tests.data.accuracy.databases import state, write


@pytest.fixture
def results() -> ArchResults:
    return ArchResults.create_from_state_dict(state(np.random.default_rng(0), 7, "|a~0|", 3, [777, 888]))


@pytest.fixture
def empty() -> ResultsCount:
    config = {"channel": 16, "num_cells": 5, "arch_str": "|a~0|", "class_num": 10}
    return ResultsCount("cifar10", {"w": [1]}, {0: 50.0, 1: 60.0}, {0: 2.0, 1: 1.0}, 0.5, 20.0, config, 777, 2, None)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 20])
def test_means_are_numpys(count: int) -> None:
    for values in np.random.default_rng(count).random((50, count)).tolist():
        assert mean(values) == np.mean(values)
    assert total([0.1] * 10) == np.cumsum([0.1] * 10)[-1]


def test_a_training_is_built_step_by_step(empty: ResultsCount) -> None:
    assert empty.get_train() == {"iepoch": 1, "loss": 1.0, "accuracy": 60.0, "cur_time": None, "all_time": None}
    assert (empty.get_latency(), empty.get_total_epoch(), empty.get_eval_set()) == (-1.0, 2, [])
    assert empty.get_times() == {"T-train@epoch": None, "T-train@total": None}
    empty.update_train_info({0: 1.0, 1: 2.0}, {0: 3.0, 1: 4.0}, {0: 5.0, 1: 6.0}, {0: 7.0, 1: 8.0})
    assert empty.get_train(0) == {"iepoch": 0, "loss": 5.0, "accuracy": 1.0, "cur_time": 7.0, "all_time": 7.0}
    empty.update_eval(*({f"x-valid@{epoch}": value + epoch for epoch in range(2)} for value in (10.0, 20.0, 30.0)))
    empty.update_OLD_eval("ori-test", {1: 70.0}, {1: 0.5})
    assert empty.get_eval("valid") == {"iepoch": 1, "loss": 21.0, "accuracy": 11.0, "cur_time": 31.0, "all_time": 61.0}
    assert empty.get_eval("ori-test")["accuracy"] == 70.0
    assert empty.get_eval("ori-test")["all_time"] is None
    assert empty.get_times()["T-ori-test@epoch"] is None
    with pytest.raises(NotInTableError, match="epoch of cifar10 on ori-test '0'; allowed: '1'"):
        empty.get_eval("ori-test", 0)
    with pytest.raises(InvalidInputError, match="'ori-test' was evaluated already; there are x-valid, ori-test"):
        empty.update_OLD_eval("ori-test", {}, {})
    empty.reset_pseudo_train_times(4.0)
    empty.reset_pseudo_eval_times("x-valid", 2.0)
    with pytest.raises(NotInTableError, match="set of cifar10 'x-test'; allowed: 'x-valid', 'ori-test'"):
        empty.reset_pseudo_eval_times("x-test", 2.0)
    assert empty.get_times()["T-train@total"] == 8.0
    assert empty.get_times()["T-x-valid@total"] == 4.0
    empty.update_latency([0.2, 0.4])
    assert empty.get_latency() == pytest.approx(0.3)
    empty.reset_eval()
    assert empty.get_eval_set() == []
    assert repr(empty).endswith("FLOP=20.00M, Param=0.500MB, seed=777, 0 eval-sets: [])")


def test_a_training_gives_weights_and_configs(empty: ResultsCount) -> None:
    assert empty.get_net_param() is empty.net_state_dict
    assert empty.get_net_param(clone=True) == {"w": [1]}
    assert empty.get_net_param(clone=True) is not empty.net_state_dict
    config = {"name": "infer.tiny", "C": 16, "N": 5, "arch_str": "|a~0|", "num_classes": 10}
    assert empty.get_config(None) == config
    with_cell = empty.get_config(str.upper)
    assert with_cell == {"name": "infer.tiny", "C": 16, "N": 5, "genotype": "|A~0|", "num_classes": 10}
    copy = ResultsCount.create_from_state_dict(empty.state_dict())
    assert copy.state_dict() == empty.state_dict()
    copy.load_state_dict({"seed": 3})
    assert (copy.seed, empty.seed) == (3, 777)
    with pytest.raises(InvalidInputError, match="must hold arch_config, epochs, flop, params, seed"):
        ResultsCount.create_from_state_dict({})


def test_a_config_that_lacks_an_entry_is_an_error(empty: ResultsCount) -> None:
    empty.arch_config = {"channel": 16, "arch_str": "|a~0|"}
    with pytest.raises(DataFileError, match="stored config of the network has no 'num_cells'; it holds 'channel', 'a"):
        empty.get_config(None)
    empty.arch_config = None
    assert repr(empty).startswith("ResultsCount(cifar10, arch=None, FLOP=20.00M")


def test_results_are_asked_by_dataset_and_seed(results: ArchResults) -> None:
    assert results.get_dataset_seeds("cifar10") == [777, 888]
    one = results.query("cifar10", 888)
    assert isinstance(one, ResultsCount)
    assert results.get_metrics("cifar10", "train", None, 888) == one.get_train()
    assert results.get_metrics("cifar10", "train", 1)["loss"] == np.mean(
        [results.all_results["cifar10", seed].train_losses[1] for seed in (777, 888)]
    )
    assert results.evaluated_sets("cifar100") == ["train", "x-valid", "x-test", "ori-test"]
    assert results.get_total_epoch() == results.get_total_epoch("cifar10") == 3
    assert results.get_latency("cifar10") > 0
    for name, message in (("mnist", "dataset 'mnist'; allowed: 'cifar10-valid'"), (["x"], "dataset")):
        with pytest.raises(NotInTableError, match=message):
            results.get_metrics(name, "train")  # type: ignore[arg-type]
    with pytest.raises(NotInTableError, match=r"\('cifar10', 5\)"):
        results.query("cifar10", 5)
    results.reset_latency("cifar10", 777, 0.0)
    with pytest.raises(NotInTableError, match="latency of architecture 7 on cifar10 was not measured"):
        results.get_latency("cifar10")


def test_results_are_put_together(results: ArchResults, empty: ResultsCount) -> None:
    results.update("cifar10", 111, empty)
    assert results.get_dataset_seeds("cifar10") == [111, 777, 888]
    with pytest.raises(InvalidInputError, match="seed 111 on cifar10 already"):
        results.update("cifar10", 111, empty)
    with pytest.raises(InvalidInputError, match=r"different numbers of epochs: \[.*2.*\]; name the dataset"):
        results.get_total_epoch()
    before = results.get_compute_costs("cifar100")
    results.reset_pseudo_eval_times("cifar100", None, "x-test", 2.0)
    changed = {"T-x-test@epoch": 2.0, "T-x-test@total": 6.0}
    assert results.get_compute_costs("cifar100") == before | changed  # other sets keep their times
    results.clear_params()
    assert results.get_net_param("cifar10") == {111: None, 777: None, 888: None}
    assert repr(results) == "ArchResults(arch-index=7, arch=|a~0|, 9 runs, clear=True)"


def test_states_come_from_dicts_and_files(results: ArchResults, tmp_path: Path) -> None:
    content: dict[str, Any] = results.state_dict()
    file = write(content, tmp_path / "arch.pth", "zip")
    for given in (content, str(file)):
        assert ArchResults.create_from_state_dict(given).state_dict() == content
    with pytest.raises(InvalidInputError, match="must be a dict or the name of a file, got int"):
        ArchResults.create_from_state_dict(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="must hold all_results and dataset_seed, got a"):
        ArchResults.create_from_state_dict({"a": 1})


def test_debug_test_prints_all_datasets(results: ArchResults, capsys: pytest.CaptureFixture[str]) -> None:
    results.debug_test()
    printed = capsys.readouterr().out
    assert printed.count("---->>>> ") == 4
    assert printed.count("==>> result = ResultsCount(") == 8
