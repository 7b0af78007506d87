"""NAS-Bench-201's strings, taken apart."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas_surrogate.data.accuracy import NASBench201API, remap_dataset_set_names
from hwnas_surrogate.errors import InvalidArchitectureError
from hwnas_surrogate.spaces import NASBench201

ARCH = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|none~1|nor_conv_3x3~2|"


def test_a_matrix_has_the_operators_numbers() -> None:
    matrix = NASBench201API.str2matrix(ARCH)
    assert matrix.dtype == np.float64
    assert matrix.tolist() == [[0, 0, 0, 0], [4, 0, 0, 0], [2, 1, 0, 0], [2, 0, 3, 0]]
    assert NASBench201API.str2matrix("|a~0|b~0|", ["a", "b"]).tolist() == [[0, 0], [1, 0]]  # the last edge counts


def test_lists_have_the_inputs_of_each_node() -> None:
    space = NASBench201()
    for arch in space.format_all([0, 7777, 15_624]):
        lists = NASBench201API.str2lists(arch)
        texts = ["|" + "|".join(f"{op}~{source}" for op, source in inputs) + "|" for inputs in lists]
        assert "+".join(texts) == arch


@pytest.mark.parametrize("text", ["", "abc", "|none|", "|none~x|", "|none~1|", "|~0|", "|none~0|+|none~2|", 5, None])
def test_other_strings_are_refused(text: str) -> None:
    with pytest.raises(InvalidArchitectureError, match="got"):
        NASBench201API.str2lists(text)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("cifar10", "valid"), ("cifar10-valid", "x-valid")),
        (("cifar10", "test"), ("cifar10", "ori-test")),
        (("cifar10", "train"), ("cifar10", "train")),
        (("cifar100", "valid"), ("cifar100", "x-valid")),
        (("ImageNet16-120", "test"), ("ImageNet16-120", "x-test")),
        (("cifar100", "ori-test"), ("cifar100", "ori-test")),
        (("cifar10-valid", "x-valid"), ("cifar10-valid", "x-valid")),
    ],
)
def test_users_names_are_those_of_the_benchmark(
    given: tuple[str, str], expected: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert remap_dataset_set_names(*given) == expected
    remap_dataset_set_names(*given, verbose=True)
    assert expected[1] in capsys.readouterr().out
