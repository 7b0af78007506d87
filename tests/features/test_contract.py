"""Laws that every encoder keeps in every search space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from hwnas_surrogate.errors import InvalidArchitectureError, InvalidConfigError, InvalidInputError
from hwnas_surrogate.features import ENCODERS, Combined, Encoder, LayerSums, OneHot, OpCounts, make_encoder
from hwnas_surrogate.spaces import SearchSpace, get_space, space_names

N = 24
CONFIGS = {
    "nasbench201": ["cifar10", "ImageNet16-120", "C8-N1-k7-3x16x16"],
    "fbnet": ["cifar100", "ImageNet"],
}

every_encoder = pytest.mark.parametrize(
    "encoder", [make_encoder(name, space) for space in space_names() for name in ENCODERS], ids=str
)


def space_of(encoder: Encoder) -> SearchSpace:
    return get_space(encoder.space)


def batch(encoder: Encoder, n: int = N, seed: int = 0) -> np.ndarray[Any, np.dtype[np.int8]]:
    return space_of(encoder).sample(n, seed)


# -- columns ----------------------------------------------------------------------------------------------


@every_encoder
def test_there_is_one_finite_float64_column_per_name(encoder: Encoder) -> None:
    encoded = encoder.transform(batch(encoder))
    assert encoded.shape == (N, len(encoder.get_feature_names_out()))
    assert encoded.dtype == np.float64
    assert np.isfinite(encoded).all()
    assert np.ptp(encoded, axis=0).any()


@every_encoder
def test_names_are_unique_and_read_group_colon_feature(encoder: Encoder) -> None:
    names = encoder.get_feature_names_out().tolist()
    assert len(set(names)) == len(names) > 0
    assert all(all(name.partition(":")) for name in names)


@every_encoder
def test_xgboost_accepts_the_names(encoder: Encoder) -> None:
    assert not set("[]<") & set("".join(encoder.get_feature_names_out()))


@every_encoder
def test_the_frame_is_the_array_with_names(encoder: Encoder) -> None:
    frame = encoder.frame(batch(encoder))
    assert frame.columns.tolist() == encoder.get_feature_names_out().tolist()
    assert np.array_equal(frame.to_numpy(), encoder.transform(batch(encoder)))


# -- what the encoding depends on -------------------------------------------------------------------------


@every_encoder
def test_a_batch_equals_its_architectures_one_by_one(encoder: Encoder) -> None:
    archs = batch(encoder)
    assert np.array_equal(encoder.transform(archs), np.vstack([encoder.transform(arch) for arch in archs]))


@every_encoder
def test_the_encoding_depends_on_the_space_and_not_on_the_sample(encoder: Encoder) -> None:
    archs = batch(encoder)
    fitted = clone(encoder).fit(archs[:1])
    assert np.array_equal(fitted.transform(archs), encoder.transform(archs))
    assert np.array_equal(encoder.transform(archs[::-1])[::-1], encoder.transform(archs))


@every_encoder
def test_every_accepted_form_of_an_architecture_gives_the_same_numbers(encoder: Encoder) -> None:
    space, archs = space_of(encoder), batch(encoder)
    expected = encoder.transform(archs)
    forms: list[Any] = [
        space.format_all(archs),
        archs.tolist(),
        archs.astype(np.int64),
        [[space.ops[op] for op in arch] for arch in archs],
        list(archs),
        pd.Series(space.format_all(archs)),
        tuple(space.format_all(archs)),
    ]
    if space.name == "nasbench201":
        forms.append(get_space("nasbench201").index(archs).tolist())  # type: ignore[attr-defined]
    for form in forms:
        assert np.array_equal(encoder.transform(form), expected)


@every_encoder
def test_inputs_are_not_mutated(encoder: Encoder) -> None:
    archs = batch(encoder)
    archs.flags.writeable = False
    kept = archs.copy()
    configs = np.array(["cifar100"] * N, object)
    encoder.fit(archs).transform(archs, configs)
    assert np.array_equal(archs, kept)
    assert configs.tolist() == ["cifar100"] * N


@every_encoder
def test_an_empty_batch_has_all_the_columns(encoder: Encoder) -> None:
    columns = len(encoder.get_feature_names_out())
    assert encoder.transform([]).shape == (0, columns)
    assert encoder.transform(np.empty((0, space_of(encoder).n_positions), np.int8), []).shape == (0, columns)
    assert encoder.frame([]).shape == (0, columns)


@every_encoder
def test_one_config_per_row_equals_one_config_at_a_time(encoder: Encoder) -> None:
    archs, configs = batch(encoder), CONFIGS[space_of(encoder).name]
    per_config = {config: encoder.transform(archs, config) for config in configs}
    mixed = [configs[row % len(configs)] for row in range(N)]
    expected = np.stack([per_config[config][row] for row, config in enumerate(mixed)])
    assert np.array_equal(encoder.transform(archs, mixed), expected)
    resolved = np.array([space_of(encoder).config(config) for config in mixed], object)
    assert np.array_equal(encoder.transform(archs, resolved), expected)


# -- scikit-learn's estimator contract --------------------------------------------------------------------


@every_encoder
def test_a_clone_gives_the_same_numbers(encoder: Encoder) -> None:
    copy = clone(encoder)
    assert copy is not encoder
    assert repr(copy) == repr(encoder)
    assert np.array_equal(copy.transform(batch(encoder)), encoder.transform(batch(encoder)))


@every_encoder
def test_parameters_are_kept_as_given_and_can_be_set(encoder: Encoder) -> None:
    params = encoder.get_params(deep=False)
    rebuilt = type(encoder)(**params)
    assert all(getattr(rebuilt, name) is value for name, value in params.items())
    other = clone(encoder).set_params(space="fbnet")
    assert len(other.get_feature_names_out()) == len(make_encoder(_name_of(encoder), "fbnet").get_feature_names_out())


def _name_of(encoder: Encoder) -> str:
    return next(name for name, kind in ENCODERS.items() if type(encoder) is kind)


@every_encoder
def test_fit_returns_the_encoder_and_fit_transform_encodes(encoder: Encoder) -> None:
    assert encoder.fit(batch(encoder)) is encoder
    assert np.array_equal(encoder.fit_transform(batch(encoder)), encoder.transform(batch(encoder)))


# -- what is refused --------------------------------------------------------------------------------------


@every_encoder
def test_architectures_of_another_space_are_refused(encoder: Encoder) -> None:
    other = get_space(next(name for name in space_names() if name != space_of(encoder).name))
    with pytest.raises(InvalidArchitectureError, match=space_of(encoder).title):
        encoder.transform(other.sample(2, 0))


@every_encoder
def test_the_number_of_configs_is_checked(encoder: Encoder) -> None:
    with pytest.raises(InvalidConfigError, match=r"got 2 for 3"):
        encoder.transform(batch(encoder, 3), ["cifar100"] * 2)


@pytest.mark.parametrize("name", ENCODERS)
def test_an_unknown_space_is_refused_by_fit_and_transform(name: str) -> None:
    for use in (lambda e: e.fit(), lambda e: e.transform([0]), lambda e: e.get_feature_names_out()):
        with pytest.raises(InvalidInputError, match=r"unknown search space 'nasbench'.*'nasbench201', 'fbnet'"):
            use(ENCODERS[name]("nasbench"))


@pytest.mark.parametrize("kind", [OpCounts, LayerSums])
def test_an_unknown_view_is_refused_by_fit_and_transform(kind: type[OpCounts | LayerSums]) -> None:
    for use in (lambda e: e.fit(), lambda e: e.transform([0]), lambda e: e.transform([])):
        with pytest.raises(InvalidInputError, match=r"unknown view 'compile'.*'compiled'"):
            use(kind(views=["all", "compile"]))  # type: ignore[list-item]


def test_an_unknown_encoder_is_refused_with_the_allowed_names() -> None:
    with pytest.raises(InvalidInputError, match=r"unknown encoder 'one_hot'.*'onehot'"):
        make_encoder("one_hot")


def test_combined_refuses_an_encoder_over_another_space() -> None:
    mixed = Combined("nasbench201", [OneHot("nasbench201"), OpCounts("fbnet")])
    for use in (mixed.fit, mixed.get_feature_names_out, lambda: mixed.transform([0])):
        with pytest.raises(InvalidInputError, match=r"'nasbench201' got an encoder over 'fbnet'.*OpCounts"):
            use()


# -- spaces as objects ------------------------------------------------------------------------------------


@every_encoder
def test_a_space_may_be_an_object_of_its_own(encoder: Encoder) -> None:
    # `clone` copies it, so it is never the very object that `get_space` returns.
    own = clone(encoder).set_params(space=type(space_of(encoder))())
    assert np.array_equal(clone(own).transform(batch(encoder)), encoder.transform(batch(encoder)))


def test_combined_takes_parts_over_an_equal_space() -> None:
    space = get_space("fbnet")
    parts = Combined(space, [OneHot("fbnet"), OpCounts(type(space)(), views=["all"])])
    archs = space.sample(5, 0)
    expected = np.hstack([OneHot("fbnet").transform(archs), OpCounts("fbnet", ["all"]).transform(archs)])
    assert np.array_equal(clone(parts).transform(archs), expected)
