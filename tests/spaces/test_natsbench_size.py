"""NATS-Bench's size space: strings, channels, indices, and what is refused."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.errors import InvalidArchitectureError, InvalidConfigError
from hwnas_surrogate.spaces import NATSBenchSizeConfig, get_space

SPACE = get_space("natsbench-size")
CHANNELS = range(8, 65, 8)


def test_the_index_is_lexicographic_with_the_last_cell_fastest() -> None:
    texts = [":".join(map(str, channels)) for channels in itertools.product(CHANNELS, repeat=5)]
    assert SPACE.format_all(SPACE.enumerate()) == texts
    assert SPACE.index(texts).tolist() == list(range(32_768))  # type: ignore[attr-defined]
    assert len(SPACE) == 32_768  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "form",
    [
        "8:16:24:32:64",
        " 8 : 16:24:32:64",
        [8, 16, 24, 32, 64],
        (8, 16, 24, 32, 64),
        np.array([8, 16, 24, 32, 64], np.uint8),
        [[8, 16, 24, 32, 64]],
        [0, 1, 2, 3, 7],
        ["8", "16", "24", "32", "64"],
        ["8:16:24:32:64"],
        668 - 1 + 28,
    ],
    ids=str,
)
def test_one_architecture_in_many_forms(form: Any) -> None:
    if isinstance(form, int):
        form = int(SPACE.index("8:16:24:32:64")[0])  # type: ignore[attr-defined]
    assert SPACE.as_array(form).tolist() == [[0, 1, 2, 3, 7]]


def test_five_integers_are_one_architecture_and_never_indices() -> None:
    assert SPACE.as_array([1, 2, 3, 4, 5]).shape == (1, 5)
    assert SPACE.as_array([1, 2, 3, 4]).shape == (4, 5)
    assert SPACE.at([1, 2, 3, 4, 5]).shape == (5, 5)  # type: ignore[attr-defined]
    with pytest.raises(InvalidArchitectureError, match="cell 4 of NATS-Bench-Size can't have 100 channels"):
        SPACE.as_array([8, 16, 24, 32, 100])


def test_rows_of_channels_and_of_numbers_mean_the_same() -> None:
    mixed = SPACE.as_array(np.array([[8, 8, 8, 8, 64], [0, 0, 0, 0, 7]]))
    assert (mixed[0] == mixed[1]).all()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("8:16:24:32", "five channels out of 8, 16"),
        ("8:16:24:32:40:48", "five channels out of 8, 16"),
        ("8:16:24:32:41", "unknown number of channels in NATS-Bench-Size '41'; allowed: '8', '16'"),
        ("8|16|24|32|40", "five channels out of 8, 16"),
        (32_768, r"indices 0\.\.32767, got 32768"),
        ([[8, 16, 24, 32]], "has 5 ops, got an array of shape"),
        ("skip|skip", "one of FBNet"),
    ],
)
def test_what_is_no_architecture_gets_one_clear_error(wrong: Any, why: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=why):
        SPACE.as_array(wrong)


def test_other_spaces_know_whose_a_string_is() -> None:
    with pytest.raises(InvalidArchitectureError, match="one of NATS-Bench-Size: give space='natsbench-size'"):
        get_space("nasbench201").as_array("8:16:24:32:40")


def test_the_benchmarks_config_dict() -> None:
    config = {"name": "infer.shape.tiny", "channels": "8:16:24:32:40", "genotype": "...", "num_classes": 120}
    assert SPACE.config(config) == SPACE.config("ImageNet16-120")
    assert SPACE.arch_from_dict(config).tolist() == [0, 1, 2, 3, 4]
    assert SPACE.arch_from_dict({**config, "channels": [8, 16, 24, 32, 40]}).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(InvalidConfigError, match="NATS-Bench-Size config dict reads"):
        SPACE.config({"C": 16})
    with pytest.raises(InvalidArchitectureError, match="has no 'channels'"):
        SPACE.arch_from_dict({"num_classes": 10})


def test_configs_have_a_string() -> None:
    config = NATSBenchSizeConfig(7, 1, 16, 24)
    assert str(config) == "k7-1x16x24"
    assert SPACE.config("k7-1x16x24") == config
    with pytest.raises(InvalidConfigError, match="multiples of 4"):
        NATSBenchSizeConfig(height=30)
