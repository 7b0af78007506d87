"""Every recorded call of the original API is answered alike; its errors are clear ones."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwnas_surrogate.errors import HWNASError, InvalidArchitectureError, InvalidInputError, NotInTableError
from hwnas_surrogate.nas_201_api import NASBench201API, NASBench301API, ResultsCount
from tests.data.accuracy.databases import RECORDED, decoded, recorded_201, recorded_301, with_numpy, write

ARCH = recorded_201()["meta_archs"][0]


def pseudo_times(api: NASBench201API) -> Any:
    results = api.query_meta_info_by_index(0, "200")
    results.reset_pseudo_train_times("cifar10", None, 2.0)
    results.reset_latency("cifar10", None, 0.5)
    return results.get_compute_costs("cifar10")


def used_time(api: NASBench201API) -> float:
    api.reset_time()
    return api.used_time


def simulated(api: NASBench201API) -> Any:
    random.seed(0)
    api.simulate_train_eval(0, "cifar10")  # recorded before, in the other half
    random.seed(0)
    return api.simulate_train_eval(0, "cifar100")


def three(call: str) -> Callable[[NASBench201API], Any]:
    def run(api: NASBench201API) -> Any:
        content = recorded_201()
        content["meta_archs"] = content["meta_archs"][:3]
        return eval(f"api.{call}", {"api": NASBench201API(content, verbose=False)})

    return run


RESULTS = "api.query_meta_info_by_index(0, '200')"
TRAINING = f"{RESULTS}.query('cifar100', 777)"
SPECIAL: dict[str, Callable[[NASBench201API], Any] | str] = {
    "api.avaliable_hps sorted": "sorted(api.avaliable_hps)",
    "get_more_info(0,'cifar10',hp=12 int)": "api.get_more_info(0, 'cifar10', hp=12)",
    "simulate_train_eval(0,'cifar100') seed0": simulated,
    "reset_time; used_time": used_time,
    "statistics('cifar10','12') with an unevaluated arch": "api.statistics('cifar10', '12')",
    "[3 archs] statistics('cifar10-valid',200)": three("statistics('cifar10-valid', 200)"),
    "[3 archs] statistics('cifar100',200)": three("statistics('cifar100', 200)"),
    "ArchResults.reset_pseudo_train_times": pseudo_times,
    "str2lists": f"api.str2lists({ARCH!r})",
    "str2matrix bogus": "api.str2matrix('|bogus~0|+|none~0|none~1|+|none~0|none~1|none~2|')",
    "NASBench201API(5)": "API(5)",
    "NASBench201API(None) without TORCH_HOME": "API(None)",
}
NOW_READ = "NASBench201API(path) [with numpy floats]"


def call(name: str, api: NASBench201API, size: NASBench301API) -> Any:
    special = SPECIAL.get(name)
    if callable(special):
        return special(api)
    if special is None:
        text = re.sub(r" (?:seed0|random\.seed\(0\))$", "", name)
        if text.startswith("301 "):
            text = "repr(size)" if text == "301 repr" else f"size.{text[4:]}"
        elif text.startswith("ArchResults."):
            text = text.replace("ArchResults", RESULTS, 1)
        elif text.startswith("ResultsCount."):
            text = text.replace("ResultsCount", TRAINING, 1)
        elif not text.startswith(("api", "len")):
            text = f"api.{text}"
        special = text
    random.seed(0)
    return eval(special, {"api": api, "size": size, "API": NASBench201API})


def comparable(value: Any) -> Any:
    if isinstance(value, ResultsCount):
        return {"__obj__": "ResultsCount", "repr": repr(value)}
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    return value


@pytest.fixture(params=["dict", "old", "zip", "pbz2", "folder"])
def apis(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[NASBench201API, NASBench301API]:
    found: list[Any] = []
    for api, content in ((NASBench201API, recorded_201()), (NASBench301API, recorded_301())):
        given = content if request.param == "dict" else write(content, tmp_path / api.__name__, request.param)
        found.append(api(given, verbose=False))
        found[-1].filename = None
    return found[0], found[1]


def test_recorded_calls_are_answered_alike(
    apis: tuple[NASBench201API, NASBench301API],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.delenv("TORCH_HOME", raising=False)
    from_file = "dict" not in request.node.name
    n_compared = 0
    for case in RECORDED["cases"]:
        name = case["call"]
        if name == NOW_READ:
            continue
        if "error" in case:
            with pytest.raises(HWNASError) as raised:
                call(name, *apis)
            assert len(str(raised.value)) > 20, name
            n_compared += 1
            continue
        answer = comparable(call(name, *apis))
        printed = capsys.readouterr().out
        expected = decoded(case["result"])
        if from_file and name == "get_net_param(0,'cifar10',777)":
            expected = None  # weights are left out
        assert answer == expected, name
        if isinstance(expected, dict):
            assert list(answer) == list(expected), name
        assert printed.startswith(case.get("stdout", "")), name
        n_compared += 1
    assert n_compared == len(RECORDED["cases"]) - 1


def test_a_file_with_numpys_numbers_is_read(tmp_path: Path) -> None:
    content = with_numpy(recorded_201())
    api = NASBench201API(str(write(content, tmp_path / "file.pth", "zip")), verbose=False)
    assert repr(api) == "NASBench201API(3/4 architectures, file=file.pth)"
    expected = NASBench201API(recorded_201(), verbose=False).get_more_info(0, "cifar10", None, "200", False)
    assert api.get_more_info(0, "cifar10", None, "200", False) == expected


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("api.arch(9)", InvalidArchitectureError, "0 to 3, got 9"),
        ("get_more_info(0,'cifar10',7,'12',False)", NotInTableError, "no epoch 7; it was trained for 2: 0 to 1"),
        ("query_by_index(3)", NotInTableError, "3 was not evaluated; 3 were: 0, 1, 2"),
        ("query_info_str_by_arch(0,'90')", NotInTableError, "hp of architecture 0 '90'; allowed: '12', '200'"),
        ("get_net_param(0,'cifar10',5)", NotInTableError, r"seed.*\('cifar10', 5\).*\('cifar10', 777\)"),
        ("ResultsCount.get_eval('bogus')", NotInTableError, "set of cifar100 'bogus'; allowed: 'ori-test', 'x-test'"),
        ("ArchResults.show()", InvalidInputError, "query_info_str_by_arch"),
        ("str2matrix bogus", InvalidArchitectureError, "operator 'bogus'; allowed: 'none', 'skip_connect'"),
        ("clear_params(0,'90')", NotInTableError, "'90'; allowed: '12', '200'"),
        ("NASBench201API(None) without TORCH_HOME", InvalidInputError, "set TORCH_HOME"),
        ("NASBench201API(5)", InvalidInputError, "got int"),
        ("simulate_train_eval(0,'cifar10-valid') seed0", NotInTableError, "'cifar10-valid'; allowed: 'cifar10'"),
        ("statistics('cifar10','12') with an unevaluated arch", NotInTableError, "3 was not evaluated"),
    ],
)
def test_errors_say_what_there_is(
    name: str, kind: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCH_HOME", raising=False)
    with pytest.raises(kind, match=message):
        call(name, NASBench201API(recorded_201()), NASBench301API(recorded_301()))
