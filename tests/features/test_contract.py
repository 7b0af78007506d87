"""Laws that every encoder keeps in every search space, and for networks of any kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from hwnas_surrogate.errors import InvalidArchitectureError, InvalidConfigError, InvalidInputError
from hwnas_surrogate.features import (
    ENCODERS,
    Combined,
    Encoder,
    LayerPhysics,
    LayerSums,
    MergedOperators,
    OneHot,
    OpCounts,
    OperatorCounts,
    make_encoder,
)
from hwnas_surrogate.graphs import VIEWS, Graph, GraphBatch, GraphBuilder, Op, TensorSpec
from hwnas_surrogate.spaces import SearchSpace, get_space, space_names

N = 24
CONFIGS = {name: list(get_space(name).configs) for name in space_names()}
CONFIGS["nasbench201"][1] = "C8-N1-k7-3x16x16"

PHYSICS_VIEWS = (*VIEWS, "computed")

every_encoder = pytest.mark.parametrize(
    "encoder", [make_encoder(name, space) for space in space_names() for name in ENCODERS], ids=str
)
every_space = pytest.mark.parametrize("space", [get_space(name) for name in space_names()], ids=space_names())
of_any_network = pytest.mark.parametrize(
    "encoder",
    [
        Combined(None),
        LayerSums(None, list(VIEWS)),
        LayerPhysics(None, PHYSICS_VIEWS),
        OperatorCounts(None),
        Combined(None, [LayerPhysics(None), LayerSums(None)]),
    ],
    ids=["combined", "layers", "physics", "operators", "both"],
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
    forms.append(space.batch(archs))
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
    assert np.array_equal(encoder.transform(space_of(encoder).batch(archs, mixed)), expected)


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
    for use in (lambda e: e.fit(), lambda e: e.transform([0])):
        with pytest.raises(InvalidInputError, match=r"unknown search space 'nasbench'.*'nasbench201', 'fbnet'"):
            use(ENCODERS[name]("nasbench"))


@pytest.mark.parametrize("kind", [OneHot, OpCounts, MergedOperators, Combined])
def test_columns_of_an_unknown_space_have_no_names(kind: type[Encoder]) -> None:
    with pytest.raises(InvalidInputError, match="unknown search space 'nasbench'"):
        kind("nasbench").get_feature_names_out()


@pytest.mark.parametrize("kind", [OpCounts, LayerSums, LayerPhysics])
def test_an_unknown_view_is_refused_by_fit_and_transform(kind: type[OpCounts | LayerSums | LayerPhysics]) -> None:
    for use in (lambda e: e.fit(), lambda e: e.transform([0]), lambda e: e.transform([])):
        with pytest.raises(InvalidInputError, match=r"unknown view 'folds'; allowed: .*Did you mean 'folded'"):
            use(kind(views=["all", "folds"]))  # type: ignore[list-item]


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


# -- networks of any kind ---------------------------------------------------------------------------------


def test_the_encoders_that_are_combined_are_those_that_fit_the_networks() -> None:
    assert [type(part) for part in Combined("fbnet").parts()] == [OneHot, OpCounts, MergedOperators, LayerSums]
    assert [type(part) for part in Combined(None).parts()] == [OperatorCounts, LayerSums]


@every_space
@of_any_network
def test_columns_of_graphs_are_those_of_architectures(encoder: Encoder, space: SearchSpace) -> None:
    networks = space.batch(space.sample(N, 0))
    expected, graphs = encoder.transform(networks), networks.graphs()
    for form in (graphs, list(graphs.graphs), graphs.graphs):
        assert np.array_equal(encoder.transform(form), expected)
    assert encoder.frame(graphs).equals(encoder.frame(networks))
    if not isinstance(encoder, Combined):  # over a space it has columns of architectures, too
        own = clone(encoder).set_params(space=space)
        assert np.array_equal(own.transform(networks), expected)
        assert np.array_equal(own.transform(graphs), expected)


@every_space
@of_any_network
def test_columns_of_graphs_under_many_configs_are_those_of_architectures(encoder: Encoder, space: SearchSpace) -> None:
    configs = CONFIGS[space.name]
    networks = space.batch(space.sample(N, 0), [configs[row % len(configs)] for row in range(N)])
    assert np.array_equal(encoder.transform(networks.graphs()), encoder.transform(networks))


@every_space
@of_any_network
def test_a_graph_has_the_same_columns_alone_and_among_others(encoder: Encoder, space: SearchSpace) -> None:
    networks = space.batch(space.sample(N, 0))
    graphs = networks.graphs().graphs
    alone = np.vstack([encoder.transform(graph) for graph in graphs])
    assert np.array_equal(alone, encoder.transform(graphs))
    assert np.array_equal(alone, encoder.transform(networks))


@of_any_network
def test_graphs_of_different_spaces_may_be_encoded_together(encoder: Encoder) -> None:
    batches = [get_space(name).batch(get_space(name).sample(3, 0)).graphs() for name in space_names()]
    mixed = encoder.transform([graph for batch in batches for graph in batch.graphs])
    apart = np.vstack([encoder.transform(batch) for batch in batches])
    assert (np.abs(mixed - apart) <= 1e-9 * np.abs(apart).max(axis=0)).all()


@of_any_network
def test_no_network_has_all_the_columns(encoder: Encoder) -> None:
    columns = len(encoder.get_feature_names_out())
    assert encoder.fit().transform(GraphBatch([])).shape == (0, columns)
    assert encoder.transform(get_space("fbnet").batch([])).shape == (0, columns)


@of_any_network
def test_a_clone_of_an_encoder_of_any_network_gives_the_same_numbers(encoder: Encoder) -> None:
    graphs = get_space("fbnet").batch(get_space("fbnet").sample(3, 0)).graphs()
    assert np.array_equal(clone(encoder).fit(graphs).transform(graphs), encoder.transform(graphs))
    again = Encoder.from_state(encoder.to_state(), None)
    assert np.array_equal(again.transform(graphs), encoder.transform(graphs))


@of_any_network
def test_architectures_without_their_space_are_refused(encoder: Encoder) -> None:
    for archs in ([0], [[8] * 22], "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"):
        with pytest.raises(InvalidInputError, match=r"expected graphs or a batch of networks, got .*batch\(archs\)"):
            encoder.transform(archs)


@pytest.mark.parametrize("kind", [OneHot, OpCounts, MergedOperators, Combined])
@every_space
def test_encoders_of_architectures_refuse_graphs(kind: type[Encoder], space: SearchSpace) -> None:
    graphs = space.batch(space.sample(2, 0)).graphs()
    for networks in (graphs, list(graphs.graphs), graphs.graphs[0], GraphBatch([])):
        with pytest.raises(InvalidInputError, match=f"encodes architectures of {space.title}, got graphs"):
            kind(space).transform(networks)


@pytest.mark.parametrize("kind", [OneHot, OpCounts, MergedOperators])
def test_encoders_of_architectures_need_a_space(kind: type[Encoder]) -> None:
    batch = get_space("fbnet").batch([[0] * 22])
    for use in (lambda e: e.transform(batch), lambda e: e.get_feature_names_out()):
        with pytest.raises(InvalidInputError, match=f"{kind.__name__} encodes architectures of a space: name it"):
            use(kind(None))


@every_encoder
def test_a_batch_of_another_space_is_refused(encoder: Encoder) -> None:
    other = get_space(next(name for name in space_names() if name != space_of(encoder).name))
    with pytest.raises(InvalidInputError, match=f"networks of '{encoder.space}', got a batch of '{other.name}'"):
        encoder.transform(other.batch(other.sample(2, 0)))


@of_any_network
def test_batches_and_graphs_take_no_configs(encoder: Encoder) -> None:
    batch = get_space("fbnet").batch([[0] * 22])
    with pytest.raises(InvalidInputError, match="a batch has its configs already"):
        encoder.transform(batch, "cifar100")
    with pytest.raises(InvalidInputError, match="graphs have no config"):
        encoder.transform(batch.graphs(), "cifar100")


@of_any_network
def test_graphs_and_architectures_are_not_mixed(encoder: Encoder) -> None:
    graph = get_space("fbnet").graph([0] * 22)
    with pytest.raises(InvalidInputError, match="can't be mixed: entry 1 is list"):
        encoder.transform([graph, [0] * 22])


TOKENS, WIDTH, HEADS = 16, 32, 4


def transformer() -> Graph:
    """Return a block of a vision transformer, with one product of two activations at the end."""
    build = GraphBuilder()
    patches = build.conv(build.input((1, 3, 64, 64)), WIDTH, 16, 16, padding=0, bias=True)
    x = build.elementwise("copy", build.view(patches, (1, TOKENS, WIDTH), (WIDTH * TOKENS, 1, TOKENS)))
    qkv = build.linear(layer_norm(build, x), 3 * WIDTH)
    heads = build.view(qkv, (3, 1, HEADS, TOKENS, WIDTH // HEADS))
    each = [build.view(heads, (1, HEADS, TOKENS, WIDTH // HEADS)) for _ in range(3)]
    specs = tuple(map(build.spec, each))
    mixed = build.add_op(Op("attention", specs, specs[:1]), each)
    mixed = build.elementwise("copy", build.view(mixed, (1, TOKENS, WIDTH)))
    x = build.add(build.linear(mixed, WIDTH), x)
    wide = build.elementwise("gelu", build.linear(layer_norm(build, x), 4 * WIDTH))
    x = build.elementwise("softmax", build.add(build.linear(wide, WIDTH), x))
    return build.graph(build.matmul(x, build.elementwise("copy", build.view(x, (1, WIDTH, TOKENS)))))


def layer_norm(build: GraphBuilder, x: int) -> int:
    spec = build.spec(x)
    weights = [build.weight((WIDTH,)), build.weight((WIDTH,))]
    return build.add_op(Op("layer_norm", (spec,), (spec,), (TensorSpec((WIDTH,)),) * 2), [x], weights)


def multiply_adds() -> dict[str, int]:
    """Return the multiply-adds of the transformer by hand."""
    return {
        "patches": TOKENS * WIDTH * 3 * 16 * 16,
        "linear": TOKENS * (3 + 1 + 4 + 4) * WIDTH * WIDTH,
        "attention": 2 * TOKENS * TOKENS * WIDTH,
        "product": TOKENS * TOKENS * WIDTH,
    }


@of_any_network
def test_a_transformer_has_finite_columns(encoder: Encoder) -> None:
    columns = encoder.transform(transformer())
    assert columns.shape == (1, len(encoder.get_feature_names_out()))
    assert np.isfinite(columns).all()
    assert columns.any()


def test_the_columns_of_a_transformer_hold_its_multiply_adds() -> None:
    graph, parts = transformer(), multiply_adds()
    assert graph.macs == sum(parts.values())
    physics = LayerPhysics(None, PHYSICS_VIEWS).frame(graph).iloc[0]
    for view in ("all", "computed", "live", "folded", "fused"):
        assert physics[f"physics_{view}:macs"] == graph.macs
        assert physics[f"physics_{view}:params"] == graph.params
    assert physics["physics_quantized:macs"] + physics["physics_quantized:macs_int8"] == graph.macs
    assert physics["physics_quantized:macs_int8"] > 0
    assert physics["physics_all:macs_depthwise"] == 0
    sums = LayerSums(None).frame(graph).iloc[0]
    assert sums["layers_all:macs_linear"] == graph.macs - parts["patches"]
    assert sums["layers_all:macs_dense"] == parts["patches"]


def test_sorts_and_layers_of_a_transformer_are_counted() -> None:
    physics = LayerPhysics(None).frame(transformer()).iloc[0]
    # A convolution, two layer norms, four linear layers, an attention, a product, three copies, a softmax.
    assert physics["physics_all:layers"] == 13
    # Two additions and the GELU run by themselves, and a view in another order is a copy.
    assert physics["physics_fused:layers"] == 17
    counts = physics[physics.index.str.startswith("correction_fused:")]
    counts = counts[counts != 0].rename(lambda name: name.partition(":")[2]).to_dict()
    assert counts == {"conv": 1, "matmul": 6, "add": 2, "activation": 1, "other": 2 + 4 + 1}
