"""NAS-Bench-201: index order, canonical forms, liveness and what a converter leaves, against slow definitions."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas_surrogate.errors import InvalidArchitectureError, InvalidInputError
from hwnas_surrogate.spaces import NASBench201

SPACE = NASBench201()
OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
Arch = tuple[int, ...]
relaxed = settings(deadline=None)
indices = st.integers(0, 15624)


def as_text(arch: Arch) -> str:
    names = [OPS[op] for op in arch]
    return "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*names)


@pytest.fixture(scope="module")
def published() -> list[Arch]:
    """Return the published order by its slow definition."""
    archs = list(itertools.product(range(5), repeat=6))
    random.Random(88).shuffle(archs)
    return archs


# -- strings, arrays, indices -----------------------------------------------------------------------------


def test_enumerate_is_the_published_index_order(published: list[Arch]) -> None:
    everything = SPACE.enumerate()
    assert everything.dtype == np.int8
    assert list(map(tuple, everything.tolist())) == published
    assert len(SPACE) == len(everything) == 15_625


def test_index_and_at_know_the_published_order(published: list[Arch]) -> None:
    assert SPACE.index(np.array(published)).tolist() == list(range(15_625))
    assert list(map(tuple, SPACE.at(range(15_625)).tolist())) == published


def test_strings_of_the_whole_space(published: list[Arch]) -> None:
    texts = list(map(as_text, published))
    assert SPACE.format_all(SPACE.enumerate()) == texts
    assert list(map(tuple, SPACE.as_array(texts).tolist())) == published
    assert SPACE.index(texts).tolist() == list(range(15_625))


def test_parse_of_every_string_with_spaces_in_it(published: list[Arch]) -> None:
    """A space at an end keeps a string off the table of known ones: this is the parser itself."""
    parsed = [tuple(SPACE.parse(f" {as_text(arch).replace('+', ' + ')}").tolist()) for arch in published]
    assert parsed == published


def test_positions_are_named_by_target_and_source() -> None:
    assert SPACE.position_names == ("edge10", "edge20", "edge21", "edge30", "edge31", "edge32")
    assert SPACE.ops == OPS


def test_index_0_is_the_published_one() -> None:
    text = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    assert SPACE.format(0) == text
    assert SPACE.index(text).tolist() == [0]


@pytest.mark.real_data
def test_indices_of_the_oracle(shared_data: Path) -> None:
    oracle = json.loads((shared_data / "network_oracle.json").read_text())["nasbench201"]["archs"]
    assert len(oracle) == 13
    texts = [entry["arch_str"] for entry in oracle]
    expected = [entry["hwnasbench_index"] for entry in oracle]
    assert SPACE.index(texts).tolist() == expected
    assert SPACE.format_all(expected) == texts


@pytest.mark.real_data
def test_strings_of_the_official_file(official: dict[str, Any]) -> None:
    configs = official["nasbench201"]["cifar10"]["config"]
    assert SPACE.format_all(SPACE.enumerate()) == [config["arch_str"] for config in configs]


@relaxed
@given(indices)
def test_index_string_array_round_trip(index: int) -> None:
    text, (row,) = SPACE.format(index), SPACE.at(index)
    assert SPACE.parse(text).tolist() == row.tolist()
    assert SPACE.format(row) == text
    assert SPACE.index(text).tolist() == SPACE.index(row).tolist() == SPACE.index([index]).tolist() == [index]


def test_codes_are_lexicographic_ranks() -> None:
    lexicographic = np.array(list(itertools.product(range(5), repeat=6)), np.int8)
    assert SPACE.codes(lexicographic).tolist() == list(range(15_625))


# -- what a flat batch means ------------------------------------------------------------------------------


CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "iterator": iter,
    "numpy integers": lambda numbers: [np.int16(number) for number in numbers],
    **{
        f"{dtype} array": lambda numbers, dtype=dtype: np.array(numbers, dtype)
        for dtype in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "object")
    },
    "series": pd.Series,
    "nullable series": lambda numbers: pd.Series(numbers, dtype="Int64"),
    "row": lambda numbers: pd.DataFrame([numbers]).iloc[0],
    "tensor": torch.tensor,
    "list of tensors": lambda numbers: list(torch.tensor(numbers)),
}


@pytest.mark.parametrize("container", CONTAINERS)
@relaxed
@given(ops=st.lists(st.integers(0, 4), min_size=6, max_size=6))
def test_six_numbers_below_five_are_one_op_list(container: str, ops: list[int]) -> None:
    assert SPACE.as_array(CONTAINERS[container](ops)).tolist() == [ops]


@pytest.mark.parametrize("container", CONTAINERS)
@relaxed
@given(items=st.lists(st.integers(0, 127), min_size=1, max_size=20).filter(lambda ns: len(ns) != 6 or max(ns) > 4))
def test_any_other_flat_sequence_of_integers_holds_indices(container: str, items: list[int]) -> None:
    expected = [SPACE.at(item)[0].tolist() for item in items]
    assert SPACE.as_array(CONTAINERS[container](items)).tolist() == expected


@relaxed
@given(st.lists(indices, max_size=20).filter(lambda items: len(items) != 6 or max(items) > 4))
def test_indices_may_be_any(items: list[int]) -> None:
    expected = SPACE.at(items).tolist()
    for form in (items, tuple(items), iter(items), np.array(items, np.int64), pd.Series(items, dtype="Int32")):
        assert SPACE.as_array(form).tolist() == expected


def test_six_numbers_of_which_one_is_five_are_indices() -> None:
    for container in CONTAINERS.values():
        assert SPACE.as_array(container([0, 1, 2, 3, 4, 5])).tolist() == SPACE.at(range(6)).tolist()


def test_rows_of_integers_are_ops_never_indices() -> None:
    for rows in ([[7], [8]], [[7], "none"], np.array([[7], [8]]), [np.array([7])], [torch.tensor([7]), [8]]):
        with pytest.raises(InvalidArchitectureError, match="6 ops"):
            SPACE.as_array(rows)


def test_scalars_of_any_integer_type_are_indices() -> None:
    for index in (7, np.int64(7), np.int8(7), np.uint16(7), np.array(7), np.array(7, object), torch.tensor(7)):
        assert SPACE.as_array(index).tolist() == SPACE.at(index).tolist() == SPACE.at(7).tolist()


@pytest.mark.parametrize("container", CONTAINERS)
def test_in_a_stack_and_to_at_every_integer_is_an_index(container: str) -> None:
    numbers = [0, 1, 2, 3, 4, 0]
    expected = [SPACE.at(number)[0].tolist() for number in numbers]
    assert SPACE.at(CONTAINERS[container](numbers)).tolist() == expected
    assert SPACE.stack(CONTAINERS[container](numbers)).tolist() == expected


def test_a_stack_takes_several_architectures() -> None:
    with pytest.raises(InvalidArchitectureError):
        SPACE.stack(SPACE.format(3))
    with pytest.raises(InvalidArchitectureError, match=r"architecture number 1: .*6 ops"):
        SPACE.stack([3, [4, 5]])
    assert SPACE.stack([]).shape == (0, 6)


@pytest.mark.parametrize("bad", [-1, 15_625, 10**30, [0, 15_625], [-1], np.array([3, -1]), [2**63, -1]])
def test_an_index_out_of_range_is_refused(bad: object) -> None:
    with pytest.raises(InvalidArchitectureError, match=r"0\.\.15624"):
        SPACE.as_array(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad",
    [
        *(1.0, [0.5], True, None, "0", [[1, 2], [3, 4]], 15_625, [-1], [True, 2], [[0, 1, 2, 3, 4, 0]], ["0"], b"01"),
        *(np.array([[0, 1, 2, 3, 4, 0]], np.int8), np.array([1.0]), np.array([True]), np.ma.array([1], mask=[True])),
        *(pd.Series([1, None], dtype="Int64"), {1: 2}, torch.tensor([1.0])),
    ],
)
def test_at_takes_indices_only(bad: object) -> None:
    with pytest.raises(InvalidArchitectureError, match=r"0\.\.15624"):
        SPACE.at(bad)  # type: ignore[arg-type]


def test_a_refusal_offers_an_index_too() -> None:
    with pytest.raises(InvalidArchitectureError, match=r"allowed: an index 0\.\.15624, a string or 6 ops"):
        SPACE.as_array(None)  # type: ignore[arg-type]


def test_at_of_nothing_is_an_empty_batch() -> None:
    assert SPACE.at([]).shape == (0, 6)


def test_several_indices_out_of_range_are_counted() -> None:
    with pytest.raises(InvalidArchitectureError, match=r"got 20000\.$"):
        SPACE.at([1, 20_000])
    with pytest.raises(InvalidArchitectureError, match=r"got 20000 and 1 more outside\.$"):
        SPACE.at([1, 20_000, -5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a NAS-Bench-201 string reads"),
        ("none", "a NAS-Bench-201 string reads"),
        ("|none~0|+|none~0|none~1|", "a NAS-Bench-201 string reads"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|+|none~0|", "a NAS-Bench-201 string reads"),
        ("none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "a NAS-Bench-201 string reads"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2", "a NAS-Bench-201 string reads"),
        ("|+|none~0|none~1|+|none~0|none~1|none~2|", "a NAS-Bench-201 string reads"),
        ("|none~0|+|none~0|+|none~0|none~1|none~2|", "node 2 .* 2 edges .* got 1"),
        ("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|none~3|", "node 3 .* 3 edges .* got 4"),
        ("||+|none~0|none~1|+|none~0|none~1|none~2|", "reads 'op~0', got ''"),
        ("|none~1|+|none~0|none~1|+|none~0|none~1|none~2|", "edge 0 of node 1 reads 'op~0', got 'none~1'"),
        ("|none~0|+|none~1|none~0|+|none~0|none~1|none~2|", "edge 0 of node 2 reads 'op~0', got 'none~1'"),
        ("|none|+|none~0|none~1|+|none~0|none~1|none~2|", "reads 'op~0', got 'none'"),
        ("|~0|+|none~0|none~1|+|none~0|none~1|none~2|", "unknown NAS-Bench-201 op ''"),
        ("|None~0|+|none~0|none~1|+|none~0|none~1|none~2|", "unknown .* 'None'.* Did you mean 'none'"),
        ("|none~0|+|none~0|conv_3x3~1|+|none~0|none~1|none~2|", "Did you mean 'nor_conv_3x3'"),
    ],
)
def test_a_malformed_string_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=message):
        SPACE.parse(text)


# -- canonical forms --------------------------------------------------------------------------------------


def slow_canonical(arch: Arch, zeros: str, node: int = 3) -> str:
    """Return the canonical form by reference.md, by recursion from the output; "drop" leaves out the # terms."""
    if node == 0:
        return "0"
    terms = []
    for (target, source), op in zip(EDGES, arch, strict=True):
        if target == node:
            text = slow_canonical(arch, zeros, source)
            if zeros != "ignore" and (OPS[op] == "none" or text == "#"):
                terms.append("#")
            else:
                terms.append(text if OPS[op] == "skip_connect" else f"({text})@{OPS[op]}")
    if zeros == "drop":
        terms = [term for term in terms if term != "#"] or ["#"]
    return "+".join(sorted(terms))


@pytest.mark.parametrize(("zeros", "classes"), [("keep", 6_466), ("ignore", 12_751), ("drop", 5_390)])
def test_canonical_forms_of_the_whole_space(published: list[Arch], zeros: str, classes: int) -> None:
    ours = SPACE.canonical(SPACE.enumerate(), zeros)  # type: ignore[arg-type]
    assert ours == [slow_canonical(arch, zeros) for arch in published]
    assert len(set(ours)) == classes


def test_canonical_keeps_zeros_unless_told() -> None:
    archs = SPACE.sample(500, 0)
    assert SPACE.canonical(archs) == SPACE.canonical(archs, "keep")


def test_a_copied_node_equals_the_node_itself() -> None:
    # 1<-0 conv, 3<-1 skip: the output is the convolution; so it is with 3<-0 conv alone, if zeros are dropped.
    through_node_1 = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
    directly = "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"
    first, second = SPACE.canonical([through_node_1, directly], "drop")
    assert first == second == "(0)@nor_conv_3x3"


def test_an_unknown_treatment_of_zeros_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"unknown zeros 'dropp'.*Did you mean 'drop'"):
        SPACE.canonical(0, "dropp")  # type: ignore[arg-type]


# -- liveness ---------------------------------------------------------------------------------------------


def paths(node: int = 3) -> Iterator[tuple[int, ...]]:
    """Yield every path from the input to a node, as positions."""
    if node == 0:
        yield ()
    for position, (target, source) in enumerate(EDGES):
        if target == node:
            for path in paths(source):
                yield (*path, position)


def test_live_edges_are_those_on_a_path_that_no_none_cuts(published: list[Arch]) -> None:
    all_paths = list(paths())
    assert len(all_paths) == 4
    live = SPACE.executed(published, "live")
    for arch, row in zip(published, live.tolist(), strict=True):
        whole = [path for path in all_paths if all(OPS[arch[position]] != "none" for position in path)]
        assert row == [any(position in path for path in whole) for position in range(6)]


def test_connected_is_a_live_path(published: list[Arch]) -> None:
    connected = SPACE.connected(published)
    assert connected.sum() == 15_284
    assert (connected == SPACE.executed(published, "live").any(axis=1)).all()


# -- what a converter leaves -------------------------------------------------------------------------------


def cell(edges: str) -> Arch:
    """Return the cell with these ops, for example ``"10=conv3 32=skip"``, and ``none`` everywhere else."""
    number = {"skip": 1, "conv1": 2, "conv3": 3, "pool": 4}
    chosen = dict(item.split("=") for item in edges.split())
    return tuple(number.get(chosen.get(f"{target}{source}", ""), 0) for target, source in EDGES)


@pytest.mark.parametrize(
    ("edges", "runs"),
    [
        # Every edge carries an op: nothing can be removed.
        ("10=conv3 20=pool 21=skip 30=conv1 31=pool 32=skip", "10 20 21 30 31 32"),
        # Nothing but `none`: the output is the constant 0, and with it the whole network.
        ("", ""),
        # Node 1 is one bare convolution that only `none` uses: x*0 melts into its weights, so it still runs
        # and is node 2's only term. Nothing is connected, yet raspi4 takes 18.5 ms, a convolution's time.
        ("10=conv3", "10"),
        # A pooling has no weights for the zero to melt into: it is unused and removed (raspi4: 0.01 ms).
        ("10=pool", ""),
        # Node 2's only term is a bare convolution: the same (raspi4: 17.6 ms) ...
        ("20=conv3", "20"),
        # ... but with the convolution into node 1 it has two terms. A sum that only `none` uses is folded away,
        # and then node 1 has no user either (raspi4: 0.01 ms).
        ("10=conv3 20=conv3", ""),
        ("10=conv3 20=conv3 30=skip", "30"),
        ("10=conv3 20=conv3 21=conv3 30=skip", "30"),
        # Unused pooling and unused copies are removed.
        ("20=pool 30=conv3", "30"),
        ("20=skip 30=conv3", "30"),
        ("10=pool 21=conv1 20=skip 30=skip", "30"),
        # A skip of a bare convolution is that convolution: node 2 runs, though only `none` uses it, and with it
        # node 1 (raspi4: 22.8 ms, a convolution and a pooling).
        ("10=conv3 21=skip 30=pool", "10 21 30"),
        # The same skip where node 1 has a user of its own: the copy is unused and removed.
        ("10=conv3 21=skip 31=conv1", "10 31"),
        # Node 1 is the constant 0; a skip of it is no term, so node 2 has none and a skip of node 2 is none.
        ("21=skip 32=skip 30=conv1", "30"),
        ("31=skip 30=conv1", "30"),
        # Other ops fed by zeros are still paid: of node 2, ...
        ("21=skip 30=skip 32=conv3", "30 32"),
        ("30=skip 32=conv3", "30 32"),
        # ... of node 1, ...
        ("30=skip 31=conv3", "30 31"),
        # ... and as a bare convolution that is node 2's only term (raspi4: 32.5 ms, two convolutions).
        ("21=conv3 30=conv3", "21 30"),
        # The melted convolution is a term of node 2, which 3<-2 uses (raspi4: 30.3 ms, two convolutions).
        ("10=conv3 32=conv3", "10 32"),
        # But if nothing that runs depends on the input, nothing is left (raspi4: 0.4 ms).
        ("31=conv3", ""),
        ("32=conv3", ""),
        ("21=conv3 32=conv1", ""),
    ],
)
def test_folded_edges_worked_by_hand(edges: str, runs: str) -> None:
    executed = SPACE.executed(np.array([cell(edges)], np.int8), "folded")
    names = [f"{target}{source}" for target, source in EDGES]
    assert [name for name, runs_here in zip(names, executed[0], strict=True) if runs_here] == runs.split()


def test_what_is_live_is_left() -> None:
    everything = SPACE.enumerate()
    live, folded = SPACE.executed(everything, "live"), SPACE.executed(everything, "folded")
    assert (live <= folded).all()
    assert live.sum() < folded.sum() < folded.size


def test_folded_none_never_counts_as_a_costly_op() -> None:
    everything = SPACE.enumerate()
    runs = SPACE.executed(everything, "folded")
    assert not runs[everything == 0].any()


@pytest.fixture(scope="module")
def r2_of_counts(official: dict[str, Any]) -> Callable[[str, str], float]:
    """Return (device, view) -> R^2 of least squares on the counts of the four costly ops in that view."""
    tables = official["nasbench201"]["cifar10"]
    archs = SPACE.enumerate()

    def r2(device: str, view: str) -> float:
        runs = SPACE.executed(archs, view)  # type: ignore[arg-type]
        counts = [((archs == op) & runs).sum(axis=1) for op in range(1, 5)]
        design = np.stack([*counts, np.ones(len(archs))], axis=1).astype(float)
        latency = np.asarray(tables[f"{device}_latency"], float)
        residual = latency - design @ np.linalg.lstsq(design, latency, rcond=None)[0]
        return float(1 - residual.var() / latency.var())

    return r2


@pytest.mark.real_data
@pytest.mark.parametrize(("device", "at_least"), [("raspi4", 0.98), ("pixel3", 0.965)])
def test_folded_counts_explain_measured_latency(
    r2_of_counts: Callable[[str, str], float], device: str, at_least: float
) -> None:
    assert r2_of_counts(device, "folded") >= at_least
    assert r2_of_counts(device, "live") <= 0.90
    assert r2_of_counts(device, "all") <= 0.90
