"""Network configs: their strings, what they refuse, and every form in which a space accepts one."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas_surrogate.errors import InvalidArchitectureError, InvalidConfigError
from hwnas_surrogate.spaces import FBNet, FBNetConfig, NASBench201, NASBench201Config, NetworkConfig, SearchSpace

NASBENCH201, FBNET = NASBench201(), FBNet()
relaxed = settings(deadline=None)
positive = st.integers(1, 5000)
multiples_of_4 = st.integers(1, 200).map(lambda quarter: 4 * quarter)
stride = st.integers(1, 2)

nasbench201_configs = st.builds(
    NASBench201Config, positive, positive, positive, positive, height=multiples_of_4, width=multiples_of_4
)
fbnet_configs = st.builds(
    FBNetConfig,
    positive,
    st.tuples(*[positive] * 7),
    positive,
    positive,
    stride,
    st.tuples(*[stride] * 7),
    positive,
    positive,
    positive,
)
any_config = nasbench201_configs | fbnet_configs


# -- values -----------------------------------------------------------------------------------------------


@relaxed
@given(any_config)
def test_a_config_is_read_back_from_its_string(config: NetworkConfig) -> None:
    assert type(config).parse(str(config)) == config
    assert type(config).parse(f"  {config}\n") == config


@relaxed
@given(any_config)
def test_equal_configs_are_one_key(config: NetworkConfig) -> None:
    for twin in (copy.deepcopy(config), dataclasses.replace(config), pickle.loads(pickle.dumps(config))):
        assert twin == config
        assert {config: 1}[twin] == 1


@pytest.mark.parametrize("config", [NASBench201Config(), FBNetConfig()])
def test_a_change_of_any_field_shows_in_the_string(config: NetworkConfig) -> None:
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        new = (*value[:-1], 2) if isinstance(value, tuple) else 2 if field.name == "stem_stride" else value + 4
        changed = dataclasses.replace(config, **{field.name: new})  # type: ignore[type-var]
        assert changed != config
        assert str(changed) != str(config)


@pytest.mark.parametrize("config", [NASBench201Config(), FBNetConfig()])
def test_configs_are_frozen(config: NetworkConfig) -> None:
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(config, field.name, 4)


def test_strings_of_the_published_configs() -> None:
    assert {name: str(config) for name, config in NASBENCH201.configs.items()} == {
        "cifar10": "C16-N5-k10-3x32x32",
        "cifar100": "C16-N5-k100-3x32x32",
        "ImageNet16-120": "C16-N5-k120-3x16x16",
    }
    assert {name: str(config) for name, config in FBNET.configs.items()} == {
        "cifar100": "S16-16.24.32.64.112.184.352-H1504-k100-s1.1.1.2.2.1.2.1-3x32x32",
        "ImageNet": "S16-16.24.32.64.112.184.352-H1984-k1000-s2.1.2.2.2.1.2.1-3x224x224",
    }


def test_input_shape_is_channels_height_width() -> None:
    assert NASBench201Config(in_channels=1, height=8, width=12).input_shape == (1, 8, 12)
    assert FBNetConfig(in_channels=4, height=31, width=33).input_shape == (4, 31, 33)


def test_fbnet_stages_may_be_lists() -> None:
    config = FBNetConfig(stage_channels=[8] * 7, stage_strides=[1] * 7)  # type: ignore[arg-type]
    assert config.stage_channels == (8,) * 7
    assert hash(config) == hash(FBNetConfig(stage_channels=(8,) * 7, stage_strides=(1,) * 7))


NOT_POSITIVE = [0, -4, 4.0, "16", None, True, [4]]


@pytest.mark.parametrize("value", NOT_POSITIVE, ids=repr)
@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(NASBench201Config)])
def test_nasbench201_values_must_be_positive_integers(name: str, value: Any) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        NASBench201Config(**{name: value})
    assert f"{name} must be an integer of at least 1, got {value!r}" in str(caught.value)


@pytest.mark.parametrize("value", NOT_POSITIVE, ids=repr)
@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(FBNetConfig)])
def test_fbnet_values_must_be_positive_integers(name: str, value: Any) -> None:
    given_value = (1, 1, 1, value, 1, 1, 1) if name.startswith("stage_") else value
    with pytest.raises(InvalidConfigError) as caught:
        FBNetConfig(**{name: given_value})
    assert f"{name} must be an integer of at least 1, got {value!r}" in str(caught.value)


@pytest.mark.parametrize("name", ["stage_channels", "stage_strides"])
@pytest.mark.parametrize("value", [(), (1,) * 6, (1,) * 8, 16, None], ids=repr)
def test_fbnet_has_seven_stages(name: str, value: Any) -> None:
    with pytest.raises(InvalidConfigError, match=f"{name} needs 7 integers") as caught:
        FBNetConfig(**{name: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("kwargs", [{"stem_stride": 3}, {"stage_strides": (1, 1, 1, 1, 1, 1, 4)}])
def test_fbnet_strides_are_1_or_2(kwargs: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfigError, match=r"strides must be 1 or 2, got [34]"):
        FBNetConfig(**kwargs)


@relaxed
@given(st.integers(1, 300), st.integers(1, 300))
def test_nasbench201_sizes_are_multiples_of_4(height: int, width: int) -> None:
    if height % 4 == 0 == width % 4:
        assert NASBench201Config(height=height, width=width).input_shape == (3, height, width)
    else:
        with pytest.raises(InvalidConfigError, match=f"multiples of 4, got {height}x{width}"):
            NASBench201Config(height=height, width=width)


@st.composite
def mutated_config_strings(draw: st.DrawFn) -> tuple[type[NetworkConfig], str]:
    config = draw(any_config)
    text = str(config)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        new = draw(st.sampled_from([*"CNSHksx.-+ 01248", "¹", "२", "", "3x", "-k10"]))
        text = text[:at] + new + text[at + draw(st.integers(0, 3)) :]
    return type(config), text


@relaxed
@given(mutated_config_strings())
def test_a_mutated_config_string_parses_stably_or_is_refused(case: tuple[type[NetworkConfig], str]) -> None:
    cls, text = case
    try:
        config = cls.parse(text)
    except InvalidConfigError:
        return
    assert cls.parse(str(config)) == config
    # What was accepted holds the config's numbers in order (leading zeros and other scripts' digits aside).
    assert [int(part) for part in numbers_in(text)] == [int(part) for part in numbers_in(str(config))]


def numbers_in(text: str) -> list[str]:
    return "".join(char if char.isdecimal() else " " for char in text).split()


@pytest.mark.parametrize("text", ["", "C16", "c16-N5-k10-3x32x32", "C16-N5-k10-3x32", "C-1-N5-k10-3x32x32"])
def test_a_malformed_nasbench201_config_shows_a_right_one(text: str) -> None:
    with pytest.raises(InvalidConfigError, match="reads like 'C16-N5-k10-3x32x32'") as caught:
        NASBench201Config.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "S16-16.24-H1504",
        "S16-16.24.32.64.112.184.352-H1504-k100-s1.1.1.2.2.1.2.-3x32x32",
        "S16-16..24.32.64.112.184.352-H1504-k100-s1.1.1.2.2.1.2.1-3x32x32",
        "S16-.-H1504-k100-s1.1.1.2.2.1.2.1-3x32x32",
    ],
)
def test_a_malformed_fbnet_config_shows_a_right_one(text: str) -> None:
    with pytest.raises(InvalidConfigError, match="reads like 'S16-") as caught:
        FBNetConfig.parse(text)
    assert repr(text) in str(caught.value)


def test_a_config_string_with_six_stages_is_refused() -> None:
    with pytest.raises(InvalidConfigError, match="stage_channels needs 7 integers"):
        FBNetConfig.parse("S16-24.32.64.112.184.352-H1504-k100-s1.1.1.2.2.1.2.1-3x32x32")


# -- the benchmark's config dicts -------------------------------------------------------------------------

TEXT_0 = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
DICT_0 = {"name": "infer.tiny", "C": 16, "N": 5, "arch_str": TEXT_0, "num_classes": 10}


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100", "ImageNet16-120"])
def test_the_nasbench201_dict_is_its_dataset(dataset: str) -> None:
    published = NASBENCH201.configs[dataset]
    assert NASBENCH201.config(DICT_0 | {"num_classes": published.num_classes}) == published


def test_the_nasbench201_dict_may_be_modified() -> None:
    assert NASBENCH201.config({"C": 8, "N": 1, "num_classes": 7}) == NASBench201Config(8, 1, 7)
    assert NASBENCH201.config(DICT_0 | {"C": 7, "input_hw": 16}) == NASBench201Config(7, 5, 10, 3, 16, 16)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"C": 16, "N": 5},
        DICT_0 | {"name": "infer.shape.tiny"},
        DICT_0 | {"channels": 16},
        {"dataset": "cifar100", "num_classes": 100},
    ],
)
def test_another_nasbench201_dict_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfigError, match=r"config dict reads {'name': 'infer.tiny'"):
        NASBENCH201.config(wrong)


@pytest.mark.parametrize("values", [{"C": "16"}, {"N": 0}, {"num_classes": None}, {"input_hw": 30}])
def test_a_bad_value_in_a_nasbench201_dict_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfigError, match="must be"):
        NASBENCH201.config(DICT_0 | values)


def test_a_nasbench201_dict_holds_its_architecture() -> None:
    assert NASBENCH201.arch_from_dict(DICT_0).tolist() == [4, 2, 1, 2, 1, 1]
    with pytest.raises(InvalidArchitectureError, match="no 'arch_str'; it has 'C', 'N'"):
        NASBENCH201.arch_from_dict({"C": 16, "N": 5})
    with pytest.raises(InvalidArchitectureError, match=r"got 'none'|reads"):
        NASBENCH201.arch_from_dict({"arch_str": "none"})


def fbnet_dict(dataset: str, num_classes: int) -> dict[str, Any]:
    arch = [0] * 22
    return {
        "dataset": dataset, "num_classes": num_classes, "op_idx_list": arch, "arch_str": ["k3_e1"] * 22,
    }  # fmt: skip


@pytest.mark.parametrize(("dataset", "classes"), [("cifar100", 100), ("ImageNet", 1000)])
def test_the_fbnet_dict_is_its_dataset(dataset: str, classes: int) -> None:
    assert FBNET.config(fbnet_dict(dataset, classes)) == FBNET.configs[dataset]
    assert FBNET.arch_from_dict(fbnet_dict(dataset, classes)).tolist() == [0] * 22


@pytest.mark.parametrize("wrong", [{}, {"dataset": "cifar10"}, {"dataset": ["cifar100"]}, DICT_0])
def test_another_fbnet_dict_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfigError, match=r"config dict reads {'dataset': 'cifar100'"):
        FBNET.config(wrong)


def test_other_classes_in_an_fbnet_dict_are_refused() -> None:
    with pytest.raises(InvalidConfigError, match=r"cifar100 has 100 classes, got 10.*FBNetConfig"):
        FBNET.config(fbnet_dict("cifar100", 10))


def test_an_fbnet_dict_without_an_architecture_says_so() -> None:
    with pytest.raises(InvalidArchitectureError, match="no 'op_idx_list'; it has 'dataset'"):
        FBNET.arch_from_dict({"dataset": "cifar100"})
    with pytest.raises(InvalidArchitectureError, match="no 'op_idx_list'; it has nothing"):
        FBNET.arch_from_dict({})


# -- names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "got", "meant"),
    [
        (NASBENCH201, "cifar1O", "cifar10"),
        (NASBENCH201, "Cifar100", "cifar100"),
        (NASBENCH201, "imagenet16-120", "ImageNet16-120"),
        (FBNET, "imagenet", "ImageNet"),
        (FBNET, "cifar10", "cifar100"),
    ],
)
def test_a_misspelt_dataset_gets_a_suggestion(space: SearchSpace, got: str, meant: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        space.config(got)
    message = str(caught.value)
    assert f"{got!r}; allowed: {', '.join(map(repr, space.configs))}. Did you mean {meant!r}?" in message
    assert str(space.default_config) in message


@pytest.mark.parametrize("digits", ["20001", "277777777777777777777", "9" * 5000])
def test_sizes_that_no_network_has_are_refused(digits: str) -> None:
    texts = {
        NASBench201Config: f"C16-N{digits}-k10-3x32x32",
        FBNetConfig: f"S16-16.24.32.64.112.184.{digits}-H1504-k100-s1.1.1.2.2.1.2.1-3x32x32",
    }
    for kind, text in texts.items():
        with pytest.raises(InvalidConfigError, match=r"must be at most 20,000, got 20,001|reads like"):
            kind.parse(text)
