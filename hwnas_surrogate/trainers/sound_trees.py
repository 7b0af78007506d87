"""Checks of scikit-learn's trees from a file: nodes out of bounds, or in cycles, crash or hang the process."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import SavedFormatError
from hwnas_surrogate.spaces.reading import is_integer

__all__ = ["checked_columns", "checked_tree"]

_HOLDERS = (
    "sklearn.tree._classes",
    "sklearn.ensemble._forest",
    "sklearn.ensemble._gb",
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting",
)
"""Modules of the classes that pass all their columns to their trees unchanged."""
_LEAF = -1

Integers = npt.NDArray[np.int64]


def checked_columns(name: str, thing: Any, around: int | None) -> int | None:
    """Return the number of columns that the trees in an object may read; None if it transforms the columns.

    Parameters
    ----------
    name : str
        The object's name.
    thing : object
    around : int or None
        The number of columns of the forest around it.

    Raises
    ------
    SavedFormatError
        If it is a fitted forest or tree without a valid ``n_features_in_``.
    """
    if type(thing).__module__ not in _HOLDERS:
        return None
    held = vars(thing)
    if not held.keys() & {"tree_", "estimators_", "_predictors"}:
        return around
    n_columns = held.get("n_features_in_")
    if not is_integer(n_columns) or n_columns < 1:
        raise _refusal(name, f"n_features_in_ must be an integer of at least 1, got {n_columns!r}")
    _check_boosted(name, held)
    return int(n_columns) if around is None else min(around, int(n_columns))


def checked_tree(name: str, thing: Any, n_columns: int | None) -> dict[str, npt.NDArray[Any]] | None:
    """Check the nodes of a scikit-learn tree, and return its arrays of numbers; None if it is no tree.

    Parameters
    ----------
    name : str
        The object's name.
    thing : object
    n_columns : int or None
        The number of columns that it may read; if None, its own ``n_features``.

    Raises
    ------
    SavedFormatError
        If a split has children outside the tree or before it, a node has two parents or none, a split reads a column
        that does not exist, or an array is too short.
    """
    kind = type(thing).__name__, type(thing).__module__
    if kind == ("Tree", "sklearn.tree._tree"):
        return _checked_tree(name, thing, n_columns)
    if kind == ("TreePredictor", "sklearn.ensemble._hist_gradient_boosting.predictor"):
        return _checked_predictor(name, thing, n_columns)
    return None


def _checked_tree(name: str, tree: Any, n_columns: int | None) -> dict[str, npt.NDArray[Any]]:
    # Check this first: the arrays are views of node_count entries, even if fewer are allocated.
    if not 1 <= tree.node_count <= tree.capacity:
        raise _refusal(name, f"node_count must be 1 to {tree.capacity}, got {tree.node_count}")
    if tree.value.shape[1:] != (1, 1):
        raise _refusal(name, f"it must have one output, got values of shape {tree.value.shape[1:]}")
    is_split = tree.children_left != _LEAF
    children = tree.children_left, tree.children_right
    n_columns = int(tree.n_features) if n_columns is None else min(n_columns, int(tree.n_features))
    depth = _check_nodes(name, is_split, children, tree.feature, n_columns)
    if tree.max_depth != depth:
        raise _refusal(name, f"max_depth must be that of its nodes, {depth}, got {tree.max_depth}")
    return {"value": tree.value, "threshold": tree.threshold}


def _checked_predictor(name: str, predictor: Any, n_columns: int | None) -> dict[str, npt.NDArray[Any]]:
    nodes = predictor.nodes
    wanted = {"value", "left", "right", "feature_idx", "is_leaf", "is_categorical", "num_threshold"}
    if not isinstance(nodes, np.ndarray) or nodes.ndim != 1 or not wanted <= set(nodes.dtype.names or ()):
        raise _refusal(name, "nodes must be a row of records")
    if nodes["is_categorical"].any():
        raise _refusal(name, "its splits must compare numbers, got categories")
    if n_columns is None:
        raise _refusal(name, "it must be part of a fitted regressor")
    children = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
    _check_nodes(name, nodes["is_leaf"] == 0, children, nodes["feature_idx"].astype(np.int64), n_columns)
    return {"value": nodes["value"]}


def _check_nodes(
    name: str,
    is_split: npt.NDArray[np.bool_],
    children: tuple[Integers, Integers],
    feature: Integers,
    n_columns: int,
) -> int:
    """Check that the nodes form one tree with children after their parents; return its depth."""
    if not len(is_split):
        raise _refusal(name, "it must have a node, got none")
    splits = np.flatnonzero(is_split)
    below = np.stack([side[splits] for side in children])
    if (below <= splits).any() or not np.array_equal(np.sort(below.ravel()), np.arange(1, len(is_split))):
        raise _refusal(name, f"each of its {len(is_split)} nodes but the root must be the child of one node before it")
    read = feature[splits]
    if len(read) and not 0 <= read.min() <= read.max() < n_columns:
        raise _refusal(name, f"splits must read columns 0 to {n_columns - 1}, got {read.min()} to {read.max()}")
    depth, level = 0, np.zeros(1, np.intp)
    while len(level := level[is_split[level]]):
        level = np.concatenate([side[level] for side in children])
        depth += 1
    return depth


def _check_boosted(name: str, held: dict[str, Any]) -> None:
    """Check the trees of a boosted regressor: native code does not check that they are fitted trees."""
    trees = held.get("estimators_")
    if "n_trees_per_iteration_" not in held:
        return
    if held["n_trees_per_iteration_"] != 1:  # a row of so many numbers is reserved for each prediction
        raise _refusal(name, "it must hold one tree per iteration")
    if trees is None:
        return
    if getattr(trees, "ndim", 0) != 2 or trees.shape[1] != 1:
        raise _refusal(name, "it must hold one tree per iteration")
    for tree in trees.ravel():
        if type(tree).__module__ not in _HOLDERS or type(getattr(tree, "tree_", None)).__name__ != "Tree":
            raise _refusal(name, f"it must hold fitted trees, got {tree!r:.60}")


def _refusal(name: str, wrong: str) -> SavedFormatError:
    return SavedFormatError(f"{name or 'the regressor'} is no sound tree: {wrong}. Copy the saved folder again.")
