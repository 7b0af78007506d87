"""The accuracy API beyond the recorded calls: files and objects agree, and changes to objects count."""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas_surrogate.data.accuracy import AccuracyTable, NASBench201API, NASBench301API, ResultsCount
from hwnas_surrogate.errors import (
    DataFileError,
    HWNASError,
    InvalidArchitectureError,
    InvalidInputError,
    NotInTableError,
)
from tests.data.accuracy.databases import SETS, database, recorded_301, state, write


@pytest.fixture
def memory(content: dict[str, Any]) -> NASBench201API:
    return NASBench201API(content, verbose=False)


@pytest.fixture
def api(converted: Path) -> NASBench201API:
    return NASBench201API(converted, verbose=False)


def answer(api: NASBench201API, name: str, *arguments: Any) -> Any:
    random.seed(0)
    try:
        return getattr(api, name)(*arguments)
    except HWNASError as error:
        return type(error)


def questions() -> Iterator[tuple[Any, ...]]:
    yield from itertools.product(
        range(6), [*SETS, "mnist"], [None, 0, 3, 4], ["12", 200, "90"], [False, True, 777, 888, 5]
    )


def test_a_table_answers_what_objects_answer(memory: NASBench201API, api: NASBench201API) -> None:
    answers = 0
    for question in questions():
        found, expected = (answer(one, "get_more_info", *question) for one in (api, memory))
        assert found == expected, question
        answers += isinstance(found, dict)
    assert answers > 300


def test_costs_texts_and_objects_of_a_table(memory: NASBench201API, api: NASBench201API) -> None:
    for index, hp, dataset in itertools.product(range(6), ("12", "200"), SETS):
        for name, arguments in (
            ("get_cost_info", (index, dataset, hp)),
            ("get_latency", (index, dataset, hp)),
            ("get_net_config", (index, dataset)),
            ("find_best", (dataset, "train", 60.0, 0.7, hp)),
            ("get_net_param", (index, dataset, None, hp)),
            ("query_by_arch", (index, hp)),
        ):
            found, expected = (answer(one, name, *arguments) for one in (api, memory))
            assert found == expected, (name, arguments)
        if index != 4:
            both = [one.query_by_index(index, dataset, hp) for one in (api, memory)]
            states = [{seed: trained.state_dict() for seed, trained in found.items()} for found in both]  # type: ignore[union-attr]
            assert states[0] == states[1]


@pytest.mark.parametrize("count", [1, 7, 9])
def test_means_over_any_number_of_seeds_are_those_of_objects(count: int, archs: list[str], tmp_path: Path) -> None:
    content = database(archs[:2], epochs=9, seeds=tuple(range(count)))
    memory = NASBench201API(content)
    api = NASBench201API(write(content, tmp_path / "benchmark.pth", "old"), verbose=False)
    for index, dataset, epoch, seed in itertools.product((0, 1), SETS, (None, 8, 4), (False, True, 0)):
        arguments = (index, dataset, epoch, "200", seed)
        assert answer(api, "get_more_info", *arguments) == answer(memory, "get_more_info", *arguments)
        assert api.get_cost_info(index, dataset, "200") == memory.get_cost_info(index, dataset, "200")


def test_an_architecture_that_was_not_evaluated_is_an_error(memory: NASBench201API, api: NASBench201API) -> None:
    for one in (memory, api):
        with pytest.raises(NotInTableError, match="architecture 4 was not evaluated; 5 were: 0, 1, 2, 3, 5"):
            one.get_more_info(4, "cifar10")
        with pytest.raises(NotInTableError, match="architecture 4 was not evaluated"):
            one.get_net_config(4, "cifar10")
        with pytest.raises(NotInTableError, match=r"architecture 0\.0 was not evaluated"):
            one.get_cost_info(0.0, "cifar10")  # type: ignore[arg-type]
        assert 4 not in one.arch2infos_dict
        assert list(one.arch2infos_dict) == [0, 1, 2, 3, 5]


def test_what_is_not_there_is_named(api: NASBench201API) -> None:
    with pytest.raises(NotInTableError, match=r"hp of architecture 0 '90'; allowed: '12', '200'"):
        api.get_more_info(0, "cifar10", hp="90")
    with pytest.raises(NotInTableError, match=r"dataset 'cifar-10'; allowed: .* Did you mean 'cifar10'"):
        api.get_more_info(0, "cifar-10")
    with pytest.raises(NotInTableError, match="no epoch 4; it was trained for 4: 0 to 3"):
        api.get_more_info(0, "cifar10", 4, "200")
    with pytest.raises(NotInTableError, match="seed of cifar10 999; allowed: '777', '888'"):
        api.get_more_info(0, "cifar10", None, "200", 999)
    with pytest.raises(InvalidInputError, match="iepoch must be an integer from 0"):
        api.get_more_info(0, "cifar10", 1.5, "200")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="is_random must be True, False or a seed, got 'yes'"):
        api.get_more_info(0, "cifar10", None, "200", "yes")  # type: ignore[arg-type]
    with pytest.raises(NotInTableError, match="dataset 'mnist'"):
        api.find_best("mnist", "test")


def test_objects_that_are_changed_count(api: NASBench201API) -> None:
    before = api.get_cost_info(1, "cifar10", "200")
    api.arch2infos_dict[1]["200"].reset_latency("cifar10", None, 0.25)
    assert api.get_cost_info(1, "cifar10", "200") == {**before, "latency": 0.25}
    assert api.get_latency(1, "cifar10", "200") == 0.25
    with pytest.raises(InvalidInputError, match="not deleted"):
        del api.arch2infos_dict[1]


def test_architectures_are_found_by_index_string_and_object(api: NASBench201API, archs: list[str]) -> None:
    class Cell:
        def tostr(self) -> str:
            return archs[3]

    assert [api.query_index_by_arch(arch) for arch in (3, archs[3], Cell(), "none", None)] == [3, 3, 3, -1, -1]
    assert (list(api), len(api), api[5], api.arch(0)) == (archs, 6, archs[5], archs[0])
    for wrong in (6, -1):
        with pytest.raises(InvalidArchitectureError, match="0 to 5"):
            api.query_index_by_arch(wrong)
    random.seed(3)
    assert {api.random() for _ in range(60)} == set(range(6))


def test_simulated_time_adds_up(api: NASBench201API) -> None:
    random.seed(1)
    accuracy, latency, cost, used = api.simulate_train_eval(0, "cifar10", "200")
    random.seed(1)
    info = api.get_more_info(0, "cifar10-valid", None, "200", True)
    assert (accuracy, latency) == (info["valid-accuracy"], api.get_latency(0, "cifar10", "12"))
    assert cost == used == info["train-all-time"] + info["valid-per-time"]
    assert api.simulate_train_eval(1, "cifar100", account_time=False)[3] == used
    api.reset_time()
    assert api.used_time == 0


def test_show_prints_all_architectures(api: NASBench201API, capsys: pytest.CaptureFixture[str]) -> None:
    api.show()
    printed = capsys.readouterr().out
    assert printed.startswith("NASBench201API(5/6 architectures, file=accuracy.parquet)\n")
    assert printed.count(" 004 epochs ") == 5
    api.show(4)
    assert capsys.readouterr().out == "The 4-th architecture has not been evaluated or not saved.\n"


def test_verbose_only_says_that_a_published_file_is_read(
    content: dict[str, Any], converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    NASBench201API(converted)
    assert capsys.readouterr().out == ""
    NASBench201API(str(write(content, tmp_path / "file.pth", "old")))
    assert "hwnas data convert-accuracy" in capsys.readouterr().out


def test_the_default_file_is_in_torch_home(
    content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(DataFileError, match=r"no file .*NAS-Bench-201-v1_1-096897\.pth"):
        NASBench201API()
    write(content, tmp_path / "NAS-Bench-201-v1_1-096897.pth", "zip")
    write(recorded_301(), tmp_path / "NAS-Bench-301-v1_0-363be7.pth", "old")
    assert NASBench201API(verbose=False).filename == "NAS-Bench-201-v1_1-096897.pth"
    assert NASBench301API(verbose=False).avaliable_hps == ["01", "12", "90"]


def test_content_and_spaces_are_checked(content: dict[str, Any], converted: Path) -> None:
    with pytest.raises(InvalidInputError, match="arch2infos, evaluated_indexes is missing, there is meta_archs"):
        NASBench201API({"meta_archs": []})
    wrong = {**content, "arch2infos": {0: {"less": {"all_results": {}}}}}
    with pytest.raises(DataFileError, match="results of architecture 0 have another layout"):
        NASBench201API(wrong)
    with pytest.raises(DataFileError, match="holds an architecture twice"):
        NASBench201API({**content, "meta_archs": ["|a~0|", "|a~0|"]})
    with pytest.raises(InvalidInputError, match=r"takes results of the size space, .* Use NASBench201API"):
        NASBench301API(AccuracyTable(converted))
    with pytest.raises(InvalidInputError, match=r"takes results of the topology space, .* Use NASBench301API"):
        NASBench201API(recorded_301())


def test_the_content_is_copied(content: dict[str, Any]) -> None:
    api = NASBench201API(content)
    api.arch2infos_dict[0]["12"].reset_latency("cifar10", None, 9.0)
    assert content["arch2infos"][0]["less"]["all_results"]["cifar10", 777]["latency"] != [9.0]


def test_a_loss_that_is_missing_is_printed_as_none(content: dict[str, Any], tmp_path: Path) -> None:
    lacking = {**content, "arch2infos": copy.deepcopy(content["arch2infos"])}
    lacking["arch2infos"][0]["less"]["all_results"]["cifar10", 777]["eval_losses"] = {}
    api = NASBench201API(write(lacking, tmp_path / "benchmark.pth", "old"), verbose=False)
    assert "test  : [loss = None, top1 = " in str(api.query_by_arch(0, "12"))


@pytest.mark.parametrize("value", [5, "text", None, torch.ones(2)])
def test_a_file_of_something_else_is_not_reloaded(value: Any, api: NASBench201API, tmp_path: Path) -> None:
    torch.save(value, tmp_path / "000000-FULL.pth")
    with pytest.raises(DataFileError, match="does not hold an architecture's results"):
        api.reload(tmp_path, 0)


@pytest.mark.parametrize("kind", ["old", "zip"])
def test_reload_reads_the_weights_of_an_archive(kind: str, api: NASBench201API, tmp_path: Path) -> None:
    results = state(np.random.default_rng(5), 4, "arch", 2, [777])
    for training in results["all_results"].values():
        training["net_state_dict"] = {"w": torch.ones(2, 3)}
    write({"full": results, "less": results}, tmp_path / "000004-FULL.pth", kind)
    api.reload(tmp_path, 4)
    assert torch.equal(api.get_net_param(4, "cifar10", 777)["w"], torch.ones(2, 3))
    assert 4 in api.evaluated_indexes
    assert api.get_more_info(4, "cifar10", None, "200", False)["train-accuracy"] > 0
    api.clear_params(4, "12")
    assert api.get_net_param(4, "cifar10", 777) is None
    api.clear_params(4)
    assert api.get_net_param(4, "cifar10", None, "200") == {777: None}
    with pytest.raises(DataFileError, match="no results of architecture 0"):
        api.reload(tmp_path)
    write([1], tmp_path / "000000-FULL.pth", kind)
    with pytest.raises(DataFileError, match="does not hold an architecture's results"):
        api.reload(tmp_path, 0)


def test_reload_needs_a_folder(api: NASBench201API, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataFileError, match="there is no folder"):
        api.reload(tmp_path / "none", 0)
    monkeypatch.delenv("TORCH_HOME", raising=False)
    with pytest.raises(InvalidInputError, match="set TORCH_HOME"):
        api.reload(index=0)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(DataFileError, match="NAS-Bench-201-v1_1-archive"):
        api.reload(index=0)


def test_statistics_count_seeds(content: dict[str, Any], archs: list[str]) -> None:
    whole = {**content, "meta_archs": archs[:4]}
    api = NASBench201API(whole)
    assert api.statistics("cifar100", 200) == {2: 3, 1: 1}
    with pytest.raises(NotInTableError, match="dataset 'mnist'; allowed: 'cifar10-valid'"):
        api.statistics("mnist", "200")
    size = recorded_301()  # holds nothing of ImageNet16-120, a dataset of the benchmark
    assert NASBench301API(size, verbose=False).statistics("ImageNet16-120", "12") == {0: 2}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("get_more_info", ("cifar10",)),
        ("get_cost_info", ("cifar10",)),
        ("get_net_config", ("cifar10",)),
        ("get_net_param", ("cifar10", None)),
        ("query_by_index", ()),
        ("query_meta_info_by_index", ()),
        ("clear_params", ()),
    ],
)
@pytest.mark.parametrize("index", [-1, 6])
def test_an_index_out_of_range_is_not_an_architecture_without_results(
    name: str, arguments: tuple[Any, ...], index: int, memory: NASBench201API, api: NASBench201API
) -> None:
    for one in (memory, api):
        with pytest.raises(InvalidArchitectureError, match=f"an index is an integer 0 to 5, got {index}"):
            getattr(one, name)(index, *arguments)


@pytest.mark.parametrize("limit", ["60", float("nan"), True, [60.0]])
def test_limits_that_are_no_numbers_are_refused(limit: Any, api: NASBench201API) -> None:
    for name in ("FLOP_max", "Param_max"):
        with pytest.raises(InvalidInputError, match=f"{name} must be a number in millions, or None, got"):
            api.find_best("cifar10", "test", **{name: limit})
    assert api.find_best("cifar10", "test", np.float32(60), np.int64(1)) == api.find_best("cifar10", "test", 60.0, 1.0)


@pytest.mark.parametrize("index", ["0", 0.5, None, True])
def test_only_indices_are_shown(index: Any, api: NASBench201API) -> None:
    with pytest.raises(InvalidArchitectureError, match="an index is an integer 0 to 5, or -1 for all, got"):
        api.show(index)


def test_results_that_are_asked_for_are_copies(memory: NASBench201API, api: NASBench201API) -> None:
    for one in (memory, api):
        before = one.get_cost_info(1, "cifar10", "200")
        results = one.query_meta_info_by_index(1, "200")
        results.reset_latency("cifar10", None, 0.25)
        assert results.get_latency("cifar10") == 0.25
        (trained,) = one.query_by_index(1, "cifar100").values()  # type: ignore[union-attr]
        trained.reset_eval()
        assert one.get_cost_info(1, "cifar10", "200") == before
        assert one.get_more_info(1, "cifar100", None, "12", False)["test-accuracy"] > 0
        with pytest.raises(NotInTableError, match="'90'; allowed: '12', '200'"):
            one.query_by_index(1, hp="90")
        with pytest.raises(NotInTableError, match="architecture 4 was not evaluated"):
            one.query_by_index(4)


def test_weights_that_are_asked_for_are_copies(content: dict[str, Any]) -> None:
    api = NASBench201API(content, verbose=False)
    api.arch2infos_dict[0]["12"].all_results["cifar10", 777].net_state_dict = {"w": [1, 2]}
    api.get_net_param(0, "cifar10", 777)["w"].append(3)
    assert api.get_net_param(0, "cifar10", 777) == {"w": [1, 2]}


def test_figures_are_asked_by_string_and_object(memory: NASBench201API, api: NASBench201API, archs: list[str]) -> None:
    class Cell:
        def tostr(self) -> str:
            return archs[3]

    for one in (memory, api):
        expected = one.get_more_info(3, "cifar10", None, "200", False)
        for arch in (archs[3], Cell(), np.int64(3)):
            assert one.get_more_info(arch, "cifar10", None, "200", False) == expected
        for call in (one.get_more_info, one.simulate_train_eval):
            with pytest.raises(InvalidArchitectureError, match=r"index from 0 to 5, .* does not hold '\|none~0\|'"):
                call("|none~0|", "cifar10")


def test_a_seed_may_be_numpys(memory: NASBench201API, api: NASBench201API) -> None:
    for one in (memory, api):
        expected = one.get_more_info(0, "cifar10", None, "200", 888)
        assert one.get_more_info(0, "cifar10", None, "200", np.int64(888)) == expected
        for wrong in (888.0, np.True_, None):
            with pytest.raises(InvalidInputError, match="is_random must be True, False or a seed"):
                one.get_more_info(0, "cifar10", None, "200", wrong)  # type: ignore[arg-type]


def test_evaluated_architectures_are_a_sorted_list(memory: NASBench201API, api: NASBench201API) -> None:
    for one in (memory, api):
        assert one.evaluated_indexes == [0, 1, 2, 3, 5]
        assert (one[-1], one[-6]) == (one[5], one[0])  # as of a list
        with pytest.raises(IndexError, match="0 to 5, got -7"):
            one[-7]


@pytest.mark.parametrize(
    ("key", "value"), [("meta_archs", "|a~0|"), ("arch2infos", [1]), ("evaluated_indexes", 3), ("arch2infos", None)]
)
def test_content_of_other_kinds_is_refused(content: dict[str, Any], key: str, value: Any) -> None:
    with pytest.raises(DataFileError, match=f"{key} must be a (list|dict|set), got {type(value).__name__}"):
        NASBench201API({**content, key: value})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("meta_archs", [5], "strings"),
        ("arch2infos", {"a": {}}, "by index"),
        ("evaluated_indexes", {0, "a"}, "by index"),
    ],
)
def test_content_of_other_entries_is_refused(content: dict[str, Any], key: str, value: Any, message: str) -> None:
    with pytest.raises(DataFileError, match=f"{key}.* must be {message}"):
        NASBench201API({**content, key: value})


def test_query_of_a_dataset_gives_trainings(api: NASBench201API) -> None:
    found = api.query_by_index(0, "cifar10", "200")
    assert isinstance(found, dict)
    assert list(found) == [777, 888]
    assert all(isinstance(trained, ResultsCount) for trained in found.values())
