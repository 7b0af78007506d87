"""FBNet: strings, slots, sampling, and which configs can be built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas_surrogate.errors import InvalidArchitectureError, InvalidConfigError, InvalidInputError
from hwnas_surrogate.spaces import FBNet, FBNetConfig

SPACE = FBNet()
BLOCKS = ("k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6", "skip")
SKIP = 8
relaxed = settings(deadline=None)
archs = st.lists(st.integers(0, 8), min_size=22, max_size=22)


def test_positions_are_named_by_layer() -> None:
    assert SPACE.position_names[0] == "layer00"
    assert SPACE.position_names[-1] == "layer21"
    assert len(set(SPACE.position_names)) == SPACE.n_positions == 22
    assert SPACE.ops == BLOCKS


@relaxed
@given(archs)
def test_string_array_round_trip(arch: list[int]) -> None:
    text = "|".join(BLOCKS[op] for op in arch)
    assert SPACE.format(arch) == text
    assert SPACE.parse(text).tolist() == arch
    assert SPACE.as_array(text).tolist() == SPACE.as_array(text.split("|")).tolist() == [arch]


@relaxed
@given(archs)
def test_spaces_around_names_do_not_matter(arch: list[int]) -> None:
    assert SPACE.parse(" | ".join(BLOCKS[op] for op in arch) + "\n").tolist() == arch


@relaxed
@given(archs)
def test_an_integer_vector_of_any_width_is_one_arch(arch: list[int]) -> None:
    for dtype in (np.int8, np.uint8, np.int64):
        assert SPACE.as_array(np.array(arch, dtype)).tolist() == [arch]
        assert SPACE.codes(np.array([arch], dtype)).tolist() == SPACE.codes(SPACE.as_array(arch)).tolist()


@relaxed
@given(st.lists(archs, min_size=2, max_size=20, unique_by=tuple))
def test_codes_differ_where_archs_differ(batch: list[list[int]]) -> None:
    codes = SPACE.codes(SPACE.as_array(batch))
    assert len(np.unique(codes)) == len(batch)
    assert np.argsort(codes).tolist() == sorted(range(len(batch)), key=batch.__getitem__)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "22 block names joined by '|', got 1 in ''"),
        ("skip", "got 1 in 'skip'"),
        ("|".join(["skip"] * 21), "got 21"),
        ("|".join(["skip"] * 23), "got 23"),
        ("|".join(["skip"] * 22) + "|", "got 23"),
        ("+".join(["skip"] * 22), "got 1 in"),
        ("|".join(["skip"] * 21 + [""]), "block at layer 21 ''"),
        ("|".join(["k3_e4"] + ["skip"] * 21), "block at layer 0 'k3_e4'.*Did you mean 'k3_e"),
        ("|".join(["skip"] * 3 + ["Skip"] + ["skip"] * 18), "block at layer 3 'Skip'.*Did you mean 'skip'"),
        ("|".join(map(str, range(8))) + "|0" * 14, "block at layer 0 '0'; allowed: 'k3_e1', 'k3_e1_g2'"),
    ],
)
def test_a_malformed_string_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=message):
        SPACE.parse(text)


@pytest.mark.parametrize("index", [0, 5, np.int64(3), np.array(3), [1, 2], np.array([1, 2], np.int8), [0] * 23])
def test_there_is_no_index(index: int) -> None:
    with pytest.raises(InvalidArchitectureError, match="FBNet has no index"):
        SPACE.as_array(index)


@pytest.mark.parametrize("arch", [[0] * 21, [0] * 23, [[0] * 21], np.zeros(21, np.int8), np.zeros((2, 23), int)])
def test_an_op_list_of_another_length_is_refused(arch: object) -> None:
    with pytest.raises(InvalidArchitectureError, match="22 ops"):
        SPACE.as_array(arch)  # type: ignore[arg-type]


def test_an_op_that_does_not_exist_is_named_in_any_container() -> None:
    arch = [0] * 21 + [9]
    for form in (arch, tuple(arch), np.array(arch), np.array(arch, np.int8)):
        with pytest.raises(InvalidArchitectureError, match="op 9 at layer21 does not exist in FBNet"):
            SPACE.as_array(form)


def test_the_space_cannot_be_listed() -> None:
    with pytest.raises(InvalidInputError, match=r"9\^22.*use sample"):
        SPACE.enumerate()


def test_a_sample_that_would_not_fit_in_memory_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="from 0 to 100000000 "):
        SPACE.sample(10**8 + 1)


class Repeating(np.random.Generator):
    """Generator that deals nothing but zeros at first, then goes on as usual."""

    calls = 0

    def integers(self, *args: object, **kwargs: object) -> np.ndarray:  # type: ignore[override]
        self.calls += 1
        drawn = super().integers(*args, **kwargs)  # type: ignore[call-overload]
        return np.zeros_like(drawn) if self.calls == 1 else drawn


def test_repeats_are_drawn_again() -> None:
    rng = Repeating(np.random.PCG64(0))
    drawn = SPACE.sample(50, rng)
    assert rng.calls == 2
    assert drawn.shape == (50, 22)
    assert len({tuple(row) for row in drawn.tolist()}) == 50
    assert not drawn[0].any()


def test_sampling_is_uniform_over_blocks_at_every_layer() -> None:
    n = 20_000
    drawn = SPACE.sample(n, 0)
    share = np.stack([(drawn == op).mean(axis=0) for op in range(9)])
    standard_error = np.sqrt(1 / 9 * 8 / 9 / n)
    assert np.abs(share - 1 / 9).max() < 5 * standard_error


# -- slots and configs ------------------------------------------------------------------------------------


def test_slots_of_the_published_configs() -> None:
    # (first layer of the stage, channels in, channels out, input size, stride), by reference.md
    stages = {
        "cifar100": [(0, 16, 16, 32, 1), (1, 16, 24, 32, 1), (5, 24, 32, 32, 2), (9, 32, 64, 16, 2),
                     (13, 64, 112, 8, 1), (17, 112, 184, 8, 2), (21, 184, 352, 4, 1)],
        "ImageNet": [(0, 16, 16, 112, 1), (1, 16, 24, 112, 2), (5, 24, 32, 56, 2), (9, 32, 64, 28, 2),
                     (13, 64, 112, 14, 1), (17, 112, 184, 14, 2), (21, 184, 352, 7, 1)],
    }  # fmt: skip
    for dataset, expected in stages.items():
        slots = SPACE.slots(dataset)
        assert len(slots) == 22
        for layer, c_in, c_out, size, stride in expected:
            slot = slots[layer]
            assert (slot.c_in, slot.c_out, slot.height, slot.width, slot.stride) == (
                c_in,
                c_out,
                size,
                size,
                stride,
            )
        opening = [layer for layer, *_ in expected]
        for layer in set(range(22)) - set(opening):
            assert slots[layer].keeps_shape
            assert slots[layer].c_in == slots[layer - 1].c_out


@pytest.mark.real_data
def test_slots_spell_the_keys_of_the_official_table(official: dict[str, Any]) -> None:
    expansion_kernel_groups = [
        (1, 3, 1),
        (1, 3, 2),
        (3, 3, 1),
        (6, 3, 1),
        (1, 5, 1),
        (1, 5, 2),
        (3, 5, 1),
        (6, 5, 1),
    ]
    keys = set()
    for slot in SPACE.slots("cifar100"):
        where = f"H{slot.height}_W{slot.width}_Cin{slot.c_in}_Cout{slot.c_out}"
        keys.add(f"Skip_{where}_stride{slot.stride}")
        for expansion, kernel, groups in expansion_kernel_groups:
            keys.add(f"ConvBlock_{where}_exp{expansion}_kernel{kernel}_stride{slot.stride}_group{groups}")
    table = official["fbnet"]["raspi4_latency"]
    assert keys == {key for key in table if key.startswith(("ConvBlock", "Skip"))}


def test_an_odd_input_rounds_up_at_every_stride() -> None:
    # 37 -> 19 (stem) -> 19 -> 10 -> 5 -> 3 -> 3 -> 2: PyTorch's floor((size + 2 * pad - kernel) / stride) + 1
    config = FBNetConfig(stem_stride=2, stage_strides=(1, 2, 2, 2, 1, 2, 1), height=37, width=41)
    slots = SPACE.slots(config)
    assert [slots[layer].height for layer in (0, 1, 5, 9, 13, 17, 21)] == [19, 19, 10, 5, 3, 3, 2]
    assert [slots[layer].width for layer in (0, 1, 5, 9, 13, 17, 21)] == [21, 21, 11, 6, 3, 3, 2]


def test_a_folded_skip_remains_only_where_the_shape_changes() -> None:
    all_skip, no_skip = [SKIP] * 22, [0] * 22
    executed = SPACE.executed([all_skip, no_skip], "folded", "cifar100")
    assert np.flatnonzero(executed[0]).tolist() == [1, 5, 9, 13, 17, 21]
    assert executed[1].all()
    # A stem of 24 channels makes the first block change its shape, and the second one keep it.
    wider = SPACE.executed(all_skip, "folded", FBNetConfig(stem_channels=24, stage_channels=(16, 16, *[64] * 5)))
    assert np.flatnonzero(wider[0]).tolist() == [0, 5, 9, 17]


def test_groups_that_do_not_divide_the_channels_are_refused() -> None:
    odd = FBNetConfig(stem_channels=15)
    grouped_at_0 = [1] + [0] * 21
    with pytest.raises(InvalidConfigError, match=r"block 'k3_e1_g2' at layer 0 .* divisible by 2, got 15 -> 16"):
        SPACE.batch(grouped_at_0, odd)
    with pytest.raises(InvalidConfigError, match=r"'k5_e1_g2' at layer 5 .* got 24 -> 33"):
        SPACE.batch([0] * 5 + [5] + [0] * 16, FBNetConfig(stage_channels=(16, 24, 33, 64, 112, 184, 352)))


@pytest.mark.parametrize("ask", [SPACE.batch, SPACE.graph], ids=["batch", "graph"])
def test_no_network_is_made_of_what_cannot_be_built(ask: Callable[..., object]) -> None:
    with pytest.raises(InvalidConfigError, match=r"Choose even channels or another block\.$"):
        ask([0] * 21 + [1], FBNetConfig(stage_channels=(16, 24, 32, 64, 112, 184, 351)))


def test_each_architecture_is_checked_under_its_own_config() -> None:
    plain, grouped = [0] * 22, [1] + [0] * 21
    even, odd = SPACE.default_config, FBNetConfig(stem_channels=15)
    assert SPACE.batch([grouped, plain], [even, odd]).configs == (even, odd)
    with pytest.raises(InvalidConfigError, match="'k3_e1_g2' at layer 0"):
        SPACE.batch([plain, grouped], [even, odd])
    with pytest.raises(InvalidConfigError, match="'k3_e1_g2' at layer 0"):
        SPACE.batch([plain, grouped]).under([odd])


def test_a_grouped_block_elsewhere_leaves_an_odd_config_buildable() -> None:
    assert SPACE.batch([0] + [1] * 21, FBNetConfig(stem_channels=15)).macs[0] > 0


def test_different_architectures_stay_different_in_canonical_form() -> None:
    batch = SPACE.sample(100, 0)
    assert SPACE.canonical(batch) == SPACE.format_all(batch)
