"""What a user may pass as architectures, in every search space: any accepted form, and one error for the rest."""

from __future__ import annotations

import array
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas_surrogate.errors import InvalidArchitectureError
from hwnas_surrogate.spaces import SearchSpace, get_space
from tests.spaces.own import BUILT_IN, EVERY

every_space = pytest.mark.parametrize("space", EVERY, ids=lambda space: space.name)
relaxed = settings(deadline=None)


def arch_lists(space: SearchSpace, min_size: int = 0, max_size: int = 5) -> st.SearchStrategy[list[list[int]]]:
    arch = st.tuples(*(st.integers(0, n - 1) for n in space.n_ops_at.tolist())).map(list)
    return st.lists(arch, min_size=min_size, max_size=max_size)


def ones(space: SearchSpace) -> list[int]:
    return [1] * space.n_positions


# -- architectures in any form ----------------------------------------------------------------------------


@every_space
@relaxed
@given(data=st.data())
def test_a_string_is_read_back(space: SearchSpace, data: st.DataObject) -> None:
    (arch,) = data.draw(arch_lists(space, 1, 1))
    parsed = space.parse(space.format(arch))
    assert parsed.dtype == np.int8
    assert parsed.tolist() == arch
    assert space.format(parsed) == space.format(arch)


def names(space: SearchSpace, arch: list[int]) -> list[str]:
    return [ops[op] for ops, op in zip(space.ops_at, arch, strict=True)]


FORMS: dict[str, Callable[[SearchSpace, list[int]], Any]] = {
    "string": lambda space, arch: space.format(arch),
    "numpy string": lambda space, arch: np.str_(space.format(arch)),
    "list of numbers": lambda space, arch: arch,
    "tuple of numbers": lambda space, arch: tuple(arch),
    "list of numpy numbers": lambda space, arch: [np.int64(op) for op in arch],
    "list of names": lambda space, arch: names(space, arch),
    "array of names": lambda space, arch: np.array(names(space, arch)),
    **{
        f"{dtype} vector": lambda space, arch, dtype=dtype: np.array(arch, dtype)
        for dtype in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "object", ">i4")
    },
    "array that is not contiguous": lambda space, arch: np.repeat(arch, 2)[::2],
    "masked array without a mask": lambda space, arch: np.ma.array(arch),
    "array module's array": lambda space, arch: array.array("q", arch),
    "list of numbers of several types": lambda space, arch: [
        (int, np.uint64, np.int8, np.array)[place % 4](op) for place, op in enumerate(arch)
    ],
    "iterator of numbers": lambda space, arch: iter(arch),
    "series": lambda space, arch: pd.Series(arch),
    "int8 series": lambda space, arch: pd.Series(arch, dtype="int8"),
    "nullable series": lambda space, arch: pd.Series(arch, dtype="Int64"),
    "object series": lambda space, arch: pd.Series(arch, dtype=object),
    "index": lambda space, arch: pd.Index(arch),
    "row of a data frame": lambda space, arch: pd.DataFrame([arch, arch]).iloc[1],
    "row of a mixed data frame": lambda space, arch: pd.DataFrame([[*arch, "a"]]).iloc[0, :-1],
    "tensor": lambda space, arch: torch.tensor(arch),
    "int8 tensor": lambda space, arch: torch.tensor(arch, dtype=torch.int8),
    "list of tensors": lambda space, arch: list(torch.tensor(arch)),
    "one row": lambda space, arch: [arch],
    "tensor of one row": lambda space, arch: torch.tensor([arch]),
}
MANY_FORMS: dict[str, Callable[[SearchSpace, list[list[int]]], Any]] = {
    "nested lists": lambda space, archs: archs,
    "tuple of tuples": lambda space, archs: tuple(map(tuple, archs)),
    "int8 batch": lambda space, archs: np.array(archs, np.int8),
    "int64 batch": lambda space, archs: np.array(archs, np.int64),
    "unsigned batch": lambda space, archs: np.array(archs, np.uint8),
    "Fortran batch": lambda space, archs: np.asfortranarray(archs),
    "object batch": lambda space, archs: np.array(archs, object),
    "tensor": lambda space, archs: torch.tensor(archs),
    "list of tensors": lambda space, archs: [torch.tensor(arch) for arch in archs],
    "list of series": lambda space, archs: [pd.Series(arch) for arch in archs],
    "nullable data frame": lambda space, archs: pd.DataFrame(archs).astype("Int8"),
    "list of int8 vectors": lambda space, archs: [np.array(arch, np.int8) for arch in archs],
    "data frame": lambda space, archs: pd.DataFrame(archs),
    "list of strings": lambda space, archs: space.format_all(archs),
    "array of strings": lambda space, archs: np.array(space.format_all(archs)),
    "object array of strings": lambda space, archs: np.array(space.format_all(archs), object),
    "series of strings": lambda space, archs: pd.Series(space.format_all(archs)),
    "categorical series": lambda space, archs: pd.Series(space.format_all(archs), dtype="category"),
    "index of strings": lambda space, archs: pd.Index(space.format_all(archs)),
    "generator of strings": lambda space, archs: (text for text in space.format_all(archs)),
    "generator of lists": lambda space, archs: (arch for arch in archs),
    "lists of names": lambda space, archs: [names(space, arch) for arch in archs],
    "dict keys": lambda space, archs: dict.fromkeys(space.format_all(archs)).keys(),
    "mixed forms": lambda space, archs: [
        list(FORMS.values())[number % len(FORMS)](space, arch) for number, arch in enumerate(archs)
    ],
}


@every_space
@pytest.mark.parametrize("form", FORMS)
def test_one_architecture_in_any_form(space: SearchSpace, form: str) -> None:
    for arch in space.sample(20, 0).tolist():
        batch = space.as_array(FORMS[form](space, arch))
        assert batch.dtype == np.int8
        assert batch.tolist() == [arch]


@every_space
@pytest.mark.parametrize("form", MANY_FORMS)
def test_many_architectures_in_any_form(space: SearchSpace, form: str) -> None:
    archs = space.sample(25, 0).tolist()
    # Also as many as an architecture has positions: not to be taken for one op list.
    for n in (1, 2, space.n_positions, 25):
        batch = space.as_array(MANY_FORMS[form](space, archs[:n]))
        assert batch.dtype == np.int8
        assert batch.tolist() == archs[:n]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n", [2, 6, 7, 22])
def test_a_row_of_a_stack_is_one_architecture(form: str, n: int) -> None:
    for space in EVERY:
        archs = space.sample(n, 1).tolist()
        assert space.stack(FORMS[form](space, arch) for arch in archs).tolist() == archs


def test_rows_of_a_data_frame_are_read_as_the_frame() -> None:
    for space in EVERY:
        frame = pd.DataFrame(space.sample(20, 0).astype(np.int64))
        rows = frame.apply(lambda row, space=space: space.format(row), axis=1)
        assert rows.tolist() == space.format_all(frame)


@every_space
@pytest.mark.parametrize(
    "empty",
    [
        [],
        (),
        iter([]),
        {}.keys(),
        np.array([]),
        np.array([], int),
        np.array([], object),
        pd.Series([], dtype=object),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nothing_is_an_empty_batch(space: SearchSpace, empty: Any) -> None:
    batch = space.as_array(empty)
    assert batch.shape == (0, space.n_positions)
    assert batch.dtype == np.int8


# -- everything else is refused ---------------------------------------------------------------------------


def bad_inputs(space: SearchSpace) -> dict[str, Any]:
    n, good = space.n_positions, ones(space)
    wide = np.zeros((2, n), np.int64)
    return {
        "None": None,
        "float": 1.5,
        "numpy float": np.float64(1.0),
        "bool": True,
        "numpy bool": np.True_,
        "bytes": space.format(good).encode(),
        "zero bytes": bytes(n),
        "bytearray": bytearray(n),
        "object": object(),
        "dict": {0: good},
        "config dict": {"arch_str": space.format(good)},
        "list of None": [None],
        "list of bools": [True] * n,
        "list with a bool": [[True, *good[1:]], good],
        "list with a bool in every row": [[True, *good[1:]], [False, *good[1:]]],
        "list with a numpy bool": [[np.True_, *good[1:]], good],
        "float vector": np.ones(n),
        "float batch": np.ones((2, n)),
        "list of floats": [1.0] * n,
        "NaN in strings": [space.format(good), float("nan")],
        "bool batch": np.ones((2, n), bool),
        "op -1": np.array([[*good[1:], -1]]),
        "masked batch": np.ma.array(wide, mask=wide == 0),
        "bools among rows": [np.ones(n, np.int64), np.ones(n, bool)],
        "one op in a row": [space.format(good), [1]],
        "op -1 in int8": np.array([*good[1:], -1], np.int8),
        "op 9": [[*good[1:], 9], good],
        "op 10**30": [[*good[1:], 10**30], good],
        "too few ops": [good[1:], good[1:]],
        "too many ops": [[*good, 1]],
        "narrow batch": wide[:, 1:],
        "batch of nothing": wide[:, :0],
        "empty batch of other width": np.empty((0, n + 1), np.int8),
        "3-d batch": wide[None],
        "ragged": [good, good[1:]],
        "empty in a list": [[]],
        "batch in a list": [space.format(good), space.sample(2, 0)],
        "empty string": "",
        "list of empty strings": [""] * n,
        "string of another space": "|".join(["skip_connect"] * 22),
        "array of bytes": np.array([space.format(good).encode()]),
        "dates": np.array(["2020-01-01"], "datetime64[D]"),
    }


@every_space
@pytest.mark.parametrize("name", bad_inputs(get_space("nasbench201")))
def test_what_is_no_architecture_is_refused(space: SearchSpace, name: str) -> None:
    with pytest.raises(InvalidArchitectureError):
        space.as_array(bad_inputs(space)[name])


@every_space
@pytest.mark.parametrize("bad", [None, 1.5, [1], b"x"], ids=repr)
def test_only_strings_are_parsed(space: SearchSpace, bad: Any) -> None:
    with pytest.raises(InvalidArchitectureError, match=f"no {space.title} architecture: {type(bad).__name__}"):
        space.parse(bad)


@every_space
def test_a_refusal_says_what_came_and_what_is_allowed(space: SearchSpace) -> None:
    with pytest.raises(InvalidArchitectureError) as caught:
        space.as_array(3.25)  # type: ignore[arg-type]
    message = str(caught.value)
    things = {"natsbench-size": "channels", "own": "choices"}.get(space.name, "ops")
    last = f"0..{len(space.ops or range(5400)) - 1}"
    for part in (space.title, "float", "3.25", "a string", str(space.n_positions), things, last):
        assert part in message


@every_space
def test_a_bad_op_is_named_with_its_place(space: SearchSpace) -> None:
    batch = space.sample(9, 0).astype(int)
    batch[7, 3] = 99
    with pytest.raises(InvalidArchitectureError) as caught:
        space.as_array(batch)
    message = str(caught.value)
    assert f"architecture number 7: op 99 at {space.position_names[3]} does not exist" in message
    assert all(op in message for op in space.ops_at[3])


@every_space
def test_the_first_bad_entry_is_numbered(space: SearchSpace) -> None:
    with pytest.raises(InvalidArchitectureError, match=r"architecture number 2: no .* NoneType None"):
        space.as_array([space.format(ones(space)), ones(space), None, "also bad"])


@pytest.mark.parametrize("space", BUILT_IN, ids=lambda space: space.name)
def test_a_misspelt_op_gets_a_suggestion(space: SearchSpace) -> None:
    for op in space.ops:
        typo = op + "_"
        names = [space.ops[0]] * (space.n_positions - 1)
        for form in ([*names, typo], [typo, *names], space.format(ones(space)).replace(space.ops[1], typo)):
            with pytest.raises(InvalidArchitectureError, match=f"'{typo}'.*Did you mean '{op}'"):
                space.as_array(form)


@every_space
def test_an_error_inside_a_generator_is_not_hidden(space: SearchSpace) -> None:
    def broken() -> Any:
        yield space.format(ones(space))
        raise TypeError("the caller's own")

    with pytest.raises(TypeError, match="the caller's own"):
        space.as_array(broken())


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
junk = st.recursive(
    scalars | st.sampled_from(["none", "skip", "|", "none~0"]) | st.integers(-2, 9),
    lambda inner: st.lists(inner, max_size=7) | st.tuples(inner, inner) | st.dictionaries(scalars, inner, max_size=2),
    max_leaves=20,
)


@every_space
@relaxed
@given(anything=junk)
def test_anything_is_a_valid_batch_or_one_error(space: SearchSpace, anything: Any) -> None:
    try:
        batch = space.as_array(anything)
    except InvalidArchitectureError:
        return
    assert batch.dtype == np.int8
    assert batch.ndim == 2
    assert batch.shape[1] == space.n_positions
    assert ((batch >= 0) & (batch < space.n_ops_at)).all()


@st.composite
def mutated_strings(draw: st.DrawFn, space: SearchSpace) -> str:
    text = space.format(draw(arch_lists(space, 1, 1))[0])
    pieces = st.sampled_from([*"|~+_0123g ", "", "\n", "|+|", "=", *space.ops_at[0], "١", "²"]) | st.characters()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(pieces) + text[at + draw(st.integers(0, 4)) :]
    return text


@every_space
@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_a_mutated_string_is_read_exactly_or_refused(space: SearchSpace, data: st.DataObject) -> None:
    text = data.draw(mutated_strings(space))
    try:
        parsed = space.parse(text)
    except InvalidArchitectureError:
        with pytest.raises(InvalidArchitectureError):
            space.as_array([text])
        return
    # What was read is what is written there: only white space may differ.
    assert space.format(parsed) == "".join(text.split())
    assert space.as_array([text]).tolist() == [parsed.tolist()]
