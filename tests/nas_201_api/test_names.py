"""The original's import, with its names and arguments."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from hwnas_surrogate import nas_201_api
from hwnas_surrogate.nas_201_api import ArchResults, NASBench201API, NASBench301API, ResultsCount


def test_the_names_are_the_originals() -> None:
    names = ["ArchResults", "NASBench201API", "NASBench301API", "NAS_BENCH_201_API_VERSION", "ResultsCount"]
    assert sorted(nas_201_api.__all__) == sorted(names)
    assert nas_201_api.NAS_BENCH_201_API_VERSION == "v2.0"


ARGUMENTS = {
    NASBench201API: "file_path_or_dict=None verbose=True",
    NASBench301API: "file_path_or_dict=None verbose=True",
    NASBench201API.simulate_train_eval: "arch dataset hp='12' account_time=True",
    NASBench201API.query_by_index: "arch_index dataname=None hp='12'",
    NASBench201API.query_by_arch: "arch hp",
    NASBench201API.reload: "archive_root=None index=None",
    NASBench201API.clear_params: "index hp=None",
    NASBench201API.find_best: "dataset metric_on_set FLOP_max=None Param_max=None hp='12'",
    NASBench201API.get_net_param: "index dataset seed hp='12'",
    NASBench201API.get_net_config: "index dataset",
    NASBench201API.get_more_info: "index dataset iepoch=None hp='12' is_random=True",
    NASBench201API.show: "index=-1",
    NASBench201API.statistics: "dataset hp",
    ArchResults: "arch_index arch_str",
    ArchResults.get_metrics: "dataset setname iepoch=None is_random=False",
    ArchResults.query: "dataset seed=None",
    ArchResults.get_total_epoch: "dataset=None",
    ArchResults.reset_latency: "dataset seed latency",
    ArchResults.reset_pseudo_train_times: "dataset seed estimated_per_epoch_time",
    ArchResults.reset_pseudo_eval_times: "dataset seed eval_name estimated_per_epoch_time",
    ResultsCount.reset_pseudo_train_times: "estimated_per_epoch_time",
    ResultsCount.reset_pseudo_eval_times: "eval_name estimated_per_epoch_time",
    ResultsCount.get_net_param: "clone=False",
    ResultsCount.get_config: "str2structure",
    ResultsCount.get_eval: "name iepoch=None",
}


@pytest.mark.parametrize(
    ("function", "expected"), ARGUMENTS.items(), ids=lambda item: getattr(item, "__qualname__", "")
)
def test_arguments_are_the_originals(function: Any, expected: str) -> None:
    parameters = [
        parameter for parameter in inspect.signature(function).parameters.values() if parameter.name != "self"
    ]
    found = [
        parameter.name + ("" if parameter.default is parameter.empty else f"={parameter.default!r}")
        for parameter in parameters
    ]
    assert " ".join(found) == expected
