"""Contract checks for custom search spaces, encoders and models: call them in your package's tests.

Each check returns None if the object passes and raises :class:`~hwnas_surrogate.errors.ContractError` if it does not.
The message states the violated rule, the value received and the value expected.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone

from hwnas_surrogate.errors import ContractError, HWNASError, InvalidArchitectureError
from hwnas_surrogate.features import Encoder, LayerPhysics, LayerSums
from hwnas_surrogate.graphs import VIEWS, Graph, GraphBatch
from hwnas_surrogate.models import CostModel
from hwnas_surrogate.spaces import NetworkConfig, SearchSpace, get_space

__all__ = ["check_encoder", "check_model", "check_space"]

_ROWS = 24
_UNSEEN = 12
_VIEWS = ("all", "live", "folded")
"""The views for which spaces report which positions run."""


def _holds(condition: bool | np.bool_, what: str, rule: str) -> None:
    if not condition:
        raise ContractError(f"{what}: {rule}.")


def check_space(space: SearchSpace, n: int = 12) -> None:
    """Check a search space.

    Strings and arrays must survive a round trip. Samples must have the requested size and no repeats, and depend on the
    seed only. In every view, ``op_table`` must count the same operators as the passes count in ``graph``. If the space
    defines ``build``, the network must run the operators of ``graph``.

    Parameters
    ----------
    space : SearchSpace
    n : int, default=12
        Number of random architectures to check under each published config.

    Raises
    ------
    ContractError
        For the first law that does not hold.

    Examples
    --------
    >>> check_space(get_space("nasbench201"), 2)
    """
    what = f"space {space.name!r}"
    _holds(bool(space.configs), what, "configs must hold one published config at least")
    archs = space.sample(n, 0)
    _holds(
        archs.shape == (n, space.n_positions) and archs.dtype == np.int8,
        what, f"sample({n}, 0) must be int8 of shape ({n}, {space.n_positions}), got {archs.dtype} of {archs.shape}",
    )  # fmt: skip
    _holds(len(np.unique(archs, axis=0)) == n, what, f"sample({n}, 0) must have no repeats")
    _holds(np.array_equal(archs, space.sample(n, 0)), what, "the same seed must give the same sample")
    _holds(len(set(space.codes(archs).tolist())) == n, what, "codes must differ where architectures do")
    texts = space.format_all(archs)
    for arch, text in zip(archs, texts, strict=True):
        try:
            read = space.parse(text)
        except HWNASError as error:
            raise ContractError(f"{what}: parse must read what format_all gives of {arch.tolist()}: {error}") from error
        _holds(np.array_equal(read, arch), what, f"parse({text!r}) must give back {arch.tolist()}, got {read.tolist()}")
        _holds(space.format(arch) == text, what, f"format must give what format_all gives, {text!r}")
    _refuses_what_is_no_architecture(space, what)
    for name, config in space.configs.items():
        again = space.config(str(config))
        _holds(again == config, what, f"config({str(config)!r}) must give back {config!r} ({name}), got {again!r}")
        _check_networks(space, archs, config, what)


def _refuses_what_is_no_architecture(space: SearchSpace, what: str) -> None:
    for text in ("", "no architecture"):
        try:
            read = space.parse(text)
        except InvalidArchitectureError:
            continue
        raise ContractError(f"{what}: parse({text!r}) must raise InvalidArchitectureError, got {read!r}.")


def _check_networks(space: SearchSpace, archs: npt.NDArray[np.int8], config: NetworkConfig, what: str) -> None:
    """Compare the counts of the space's tables, graphs and networks under one config."""
    under = f"{what} under {config}"
    graphs = [space.graph(arch, config) for arch in archs]
    _holds(all(isinstance(graph, Graph) for graph in graphs), under, "graph must return a Graph")
    same = [first for first in range(1, len(graphs)) if graphs[first] == graphs[0]]
    _holds(len(same) < len(graphs) - 1 or len(graphs) < 3, under, "graphs must differ where architectures do")
    for view in _VIEWS:
        runs = space.executed(archs, view, config)
        _holds(
            runs.shape == archs.shape and runs.dtype == bool,
            under, f"executed in view {view!r} must be bool of shape {archs.shape}, got {runs.dtype} of {runs.shape}",
        )  # fmt: skip
    batch, counted = space.batch(archs, config), GraphBatch(graphs)
    for view in VIEWS:
        mine, theirs = _counts(batch, view), _counts(counted, view)
        for row, (tabled, passed) in enumerate(zip(mine, theirs, strict=True)):
            if tabled != passed:
                op = next(op for op in {**tabled, **passed} if tabled.get(op) != passed.get(op))
                raise ContractError(
                    f"{under}, view {view!r}: op_table counts {tabled.get(op, 0):g} times {op} in "
                    f"{space.format(archs[row])}, the passes over its graph count {passed.get(op, 0):g}."
                )
    _check_built(space, archs[0], config, under)


def _counts(batch: Any, view: str) -> list[dict[Any, float]]:
    ops = batch.distinct(view)
    return [{ops[place]: row[place] for place in np.flatnonzero(row)} for row in batch.counts(view)]


def _check_built(space: SearchSpace, arch: npt.NDArray[np.int8], config: NetworkConfig, under: str) -> None:
    """Compare the built network with the graph, if the space builds networks and torch is installed."""
    if type(space).build is SearchSpace.build:
        return
    import torch

    graph = space.graph(arch, config)
    built = space.construct([int(op) for op in arch], config)
    inputs = [torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype), device="meta") for spec in graph.inputs]
    captured = Graph.from_torch(built.to("meta").eval(), *inputs)
    for figure in ("macs", "params"):
        counted, got = getattr(graph, figure), getattr(captured, figure)
        _holds(
            counted == got,
            under, f"the network of {space.format(arch)} must have the {figure} of its graph, {counted:,}, got {got:,}",
        )  # fmt: skip


def check_encoder(encoder: Encoder) -> None:
    """Check an encoder.

    Every value must be finite. A network's columns must depend on the network and its config only, not on the rest of
    the batch. A clone must return the same values.

    Parameters
    ----------
    encoder : Encoder
        For one space, or for networks of any kind; the latter is checked with graphs of the built-in spaces.

    Raises
    ------
    ContractError
        For the first law that does not hold.

    Examples
    --------
    >>> check_encoder(LayerSums("fbnet"))
    """
    what = f"encoder {type(encoder).__name__}"
    space = get_space("nasbench201" if encoder.space is None else encoder.space)
    archs = space.sample(_UNSEEN, 0)
    networks: Any = archs if encoder.space is not None else GraphBatch([space.graph(arch) for arch in archs])
    names = encoder.get_feature_names_out()
    _holds(all(":" in name for name in names), what, f"columns must read group:feature, got {names[:3].tolist()}")
    values = encoder.transform(networks)
    _holds(
        values.shape == (len(archs), len(names)) and values.dtype == np.float64,
        what, f"transform must give float64 of shape {(len(archs), len(names))}, got {values.dtype} of {values.shape}",
    )  # fmt: skip
    wrong = [names[column] for column in np.flatnonzero(~np.isfinite(values).all(axis=0))]
    _holds(not wrong, what, f"columns must be finite, {', '.join(wrong[:3])} are not")
    alone = np.concatenate([encoder.transform(one) for one in _one_by_one(networks)])
    differing = [names[column] for column in np.flatnonzero((alone != values).any(axis=0))]
    _holds(not differing, what, f"a network alone must have its columns in a batch, {', '.join(differing[:3])} differ")
    again = clone(encoder).transform(networks)
    _holds(np.array_equal(again, values), what, "a clone must give the same numbers")
    if encoder.space is not None:
        config = list(space.configs.values())[-1]
        mixed = encoder.transform(archs, [space.default_config, config] * (len(archs) // 2))
        under = encoder.transform(archs, config)
        _holds(np.array_equal(mixed[1::2], under[1::2]), what, "configs must be those of each architecture's own")


def _one_by_one(networks: Any) -> list[Any]:
    return [networks.take([row]) if isinstance(networks, GraphBatch) else networks[[row]] for row in range(_UNSEEN)]


def check_model(model: CostModel) -> None:
    """Check a model.

    The model must predict one finite number per row, the same alone and in a batch. Fitting on the same rows must give
    the same model and must not modify the rows. Errors and standard deviations, if the model reports them, must be
    valid. If the model can be saved, ``to_arrays`` and ``from_arrays`` must preserve its predictions.

    Parameters
    ----------
    model : CostModel
        An unfitted model; it is not modified.

    Raises
    ------
    ContractError
        For the first law that does not hold.

    Examples
    --------
    >>> from hwnas_surrogate.models import LeaveOneOutRidge
    >>> check_model(LeaveOneOutRidge())
    """
    what = f"model {type(model).__name__}"
    _holds(isinstance(model, CostModel), what, "a model must be a CostModel; any scikit-learn regressor does as well")
    space = get_space("nasbench201")
    archs = space.sample(_ROWS + _UNSEEN, 0)
    columns = pd.concat([LayerSums(space).frame(archs), LayerPhysics(space).frame(archs)], axis=1)
    costs = space.batch(archs).macs / 1e7 + np.random.default_rng(0).uniform(1, 1.1, len(archs))
    X, y, unseen = columns[:_ROWS], costs[:_ROWS], columns[_ROWS:]
    before = X.copy(), y.copy()
    if model.get_params(deep=False).get("random_state", 0) is None:
        model = clone(model).set_params(random_state=0)
    fitted = clone(model)
    _holds(fitted.fit(X, y) is fitted, what, "fit must return the model itself")
    _holds(X.equals(before[0]) and np.array_equal(y, before[1]), what, "fit must leave columns and costs as they are")
    predicted = fitted.predict(unseen)
    _holds(
        predicted.shape == (_UNSEEN,) and bool(np.isfinite(predicted).all()),
        what, f"predict must give {_UNSEEN} finite numbers, got {predicted!r:.120}",
    )  # fmt: skip
    alone = np.concatenate([fitted.predict(unseen.iloc[[row]]) for row in range(_UNSEEN)])
    _holds(np.allclose(alone, predicted, rtol=1e-9), what, "a row alone must be predicted as it is in a batch")
    _holds(
        np.array_equal(clone(model).fit(X, y).predict(unseen), predicted),
        what, "the same rows and the same random_state must give the same model",
    )  # fmt: skip
    _check_errors(fitted, unseen, predicted, what)
    _check_arrays(model, fitted, unseen, predicted, what)


def _check_errors(fitted: CostModel, unseen: pd.DataFrame, predicted: npt.NDArray[np.float64], what: str) -> None:
    """Check the errors and standard deviations that a fitted model reports."""
    for name in ("residuals_", "sds_", "precisions_"):
        reported = getattr(fitted, name)
        _holds(reported is None or reported.shape == (_ROWS,), what, f"{name} must hold a number for each training row")
    if fitted.heteroscedastic:
        _holds(fitted.sds_ is not None, what, "sds_ must be there where standard deviations differ (heteroscedastic)")
    try:
        posterior = fitted.posterior(unseen)
    except HWNASError:
        _holds(not fitted.heteroscedastic, what, "posterior must be there where standard deviations differ")
        return
    _holds(np.array_equal(posterior.mean, predicted), what, "the mean of the posterior must be what predict gives")
    _holds(bool((posterior.sd >= 0).all()), what, f"standard deviations must be at least 0, got {posterior.sd.min()}")
    low, high = posterior.interval(0.8).T
    _holds(bool((low <= high).all()), what, "intervals must not end before they begin")


def _check_arrays(
    model: CostModel, fitted: CostModel, unseen: pd.DataFrame, predicted: npt.NDArray[np.float64], what: str
) -> None:
    """Check that a model can be restored from its arrays, if it can be saved."""
    if type(model).to_arrays is CostModel.to_arrays:
        return
    arrays = fitted.to_arrays()
    _holds(all(isinstance(array, np.ndarray) for array in arrays.values()), what, "to_arrays must give arrays")
    again = clone(model).from_arrays(arrays, np.array(fitted.feature_names_in_, object))
    _holds(
        np.array_equal(again.predict(unseen), predicted), what, "from_arrays must give back what to_arrays was given"
    )
