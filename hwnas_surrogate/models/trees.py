"""Regression trees as arrays: checked when they are built, evaluated by XGBoost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.models.forked import limit_threads_if_forked

__all__ = ["OBJECTIVES", "Trees"]

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]
Indices = npt.NDArray[np.intp]

MAX_TREES, MAX_NODES, MAX_DEPTH = 100_000, 10_000_000, 1000
"""Fits to costs stay below these limits; a file with more is damaged, or made to exhaust the memory."""
LARGEST = float(np.sqrt(np.finfo(np.float32).max))
"""Largest threshold and leaf: sums of larger ones could overflow."""
_LEAF = -1
_NO_PARENT = 2**31 - 1
_REGRESSION = {"reg_loss_param": {"scale_pos_weight": "1"}}
OBJECTIVES: dict[str, tuple[str, dict[str, dict[str, str]]]] = {
    "reg:squarederror": ("identity", _REGRESSION),
    "reg:squaredlogerror": ("identity", _REGRESSION),
    "reg:pseudohubererror": ("identity", {"pseudo_huber_param": {"huber_slope": "1"}}),
    "reg:absoluteerror": ("identity", {}),
    "reg:quantileerror": ("identity", {"quantile_loss_param": {"quantile_alpha": "[0.5]"}}),
    "reg:logistic": ("logistic", _REGRESSION),
    "binary:logistic": ("logistic", _REGRESSION),
    "reg:gamma": ("log", _REGRESSION),
    "reg:tweedie": ("log", {"tweedie_regression_param": {"tweedie_variance_power": "1.5"}}),
    "count:poisson": ("log", {"poisson_regression_param": {"max_delta_step": "0.7"}}),
}
"""XGBoost's objectives whose models are sums of trees: link function, and settings that don't affect predictions."""


@dataclass(frozen=True, eq=False)
class Trees:
    """A sum of regression trees; immutable, and validated when it is built.

    The N nodes of all T trees are stored one tree after another, each tree level by level from its root. The children
    of the k-th split of a tree (from 0) are its nodes 2 k + 1 and 2 k + 2. No array holds the numbers of children, so
    that cycles and nodes with two parents are impossible. A tree with a root split and two leaves has the nodes
    (split, left leaf, right leaf).

    A row goes left where its value, as float32, is below the threshold. Leaves are added in float32, in the order of
    the trees, starting at ``base``. The sums equal XGBoost's to the bit.

    Parameters
    ----------
    feature : ndarray of int32, shape (N,)
        The column that a split compares; -1 at leaves.
    value : ndarray of float32, shape (N,)
        The threshold of a split, or the value of a leaf.
    missing_left : ndarray of bool, shape (N,)
        Whether rows with a missing value (NaN) go left at a split.
    sizes : ndarray of int32, shape (T,)
        How many nodes each tree has.
    base : float
        Start of the sums; a float32.
    n_features : int
        How many columns rows have.
    gain, cover : ndarray of float32, shape (N,), optional
        Data of XGBoost's importances and SHAP values: the decrease of the loss by each split, and the weight of the
        training rows of each node.

    Raises
    ------
    InvalidInputError
        If these are no such trees: an array has another type, length or shape, a column is out of range, a tree ends
        too early or too late, a number is not finite or absurdly large, or there are too many.
    """

    feature: Integers
    value: Floats
    missing_left: npt.NDArray[np.bool_]
    sizes: Integers
    base: float
    n_features: int
    gain: Floats | None = None
    cover: Floats | None = None

    def __post_init__(self) -> None:
        for name, kind in _ARRAYS.items():
            if (array := getattr(self, name)) is None:
                continue
            if not isinstance(array, np.ndarray) or array.dtype != kind or array.ndim != 1:
                got = f"{array.dtype} of {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
                raise InvalidInputError(f"{name} of trees must be a row of {np.dtype(kind)}, got {got}.")
            if name != "sizes" and array.shape != self.feature.shape:
                raise InvalidInputError(
                    f"{name} of trees must hold one entry per node, {len(self.feature)}, got {len(array)}."
                )
            array = array.copy()
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        self._check_sizes()
        self._check_nodes()
        _ = self._depth  # walks down from the roots

    def _check_sizes(self) -> None:
        if not 0 < len(self.sizes) <= MAX_TREES or not len(self.feature) <= MAX_NODES:
            raise InvalidInputError(
                f"there must be 1 to {MAX_TREES:,} trees of {MAX_NODES:,} nodes at most, got {len(self.sizes):,} trees "
                f"of {len(self.feature):,} nodes."
            )
        if self.sizes.min() < 1 or self.sizes.sum(dtype=np.int64) != len(self.feature):
            raise InvalidInputError(
                f"sizes of trees must be at least 1 and add up to the {len(self.feature)} nodes, got a smallest of "
                f"{self.sizes.min()} and a sum of {self.sizes.sum(dtype=np.int64)}."
            )

    def _check_nodes(self) -> None:
        if self.feature.min() < _LEAF or self.feature.max() >= self.n_features:
            raise InvalidInputError(
                f"trees must split columns 0 to {self.n_features - 1}, and have {_LEAF} at leaves, got "
                f"{self.feature.min()} to {self.feature.max()}."
            )
        known = self._known
        place = np.arange(len(self.feature)) - np.repeat(self._roots, self.sizes)
        last = self._roots + self.sizes - 1
        ends = known[last] + 2 * (self.feature[last] != _LEAF)
        if (place >= known).any() or (ends != self.sizes).any():
            raise InvalidInputError("each tree must have two nodes for each of its splits, after it, beside its root.")
        if not np.isfinite(np.float32(self.base)) or abs(self.base) > LARGEST or np.float32(self.base) != self.base:
            raise InvalidInputError(f"base of trees must be a float32 of up to {LARGEST:.0e}, got {self.base!r}.")
        for name, largest in (("value", LARGEST), ("gain", np.inf), ("cover", np.inf)):
            if (numbers := getattr(self, name)) is None:
                continue
            wrong = ~np.isfinite(numbers) | (np.abs(numbers) > largest)
            if wrong.any():
                raise InvalidInputError(
                    f"{name} of trees must hold finite numbers of up to {LARGEST:.0e}, got {numbers[wrong][0]:g} "
                    f"({int(wrong.sum())} such in all)."
                )

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...]]:
        """Copy and pickle the arrays only. XGBoost's model is built again when it is needed."""
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    @classmethod
    def from_booster(cls, booster: Any, statistics: bool = False) -> Self:
        """Convert a fitted XGBoost booster.

        Parameters
        ----------
        booster : xgboost.Booster
        statistics : bool, default=False
            Whether to keep ``gain`` and ``cover`` as well.

        Raises
        ------
        InvalidInputError
            If it is no sum of regression trees: another booster than ``gbtree``, several outputs, categorical splits
            or an objective that is none of :data:`OBJECTIVES`.
        """
        learner = json.loads(bytes(booster.save_raw("json")))["learner"]
        booster_is, objective = learner["gradient_booster"]["name"], learner["objective"]["name"]
        if booster_is != "gbtree":
            raise InvalidInputError(f"XGBoost's booster must be gbtree, got {booster_is}.")
        if objective not in OBJECTIVES:
            raise InvalidInputError(f"XGBoost's objective must be one of {', '.join(OBJECTIVES)}, got {objective}.")
        params, model = learner["learner_model_param"], learner["gradient_booster"]["model"]
        if int(params["num_class"]) > 1 or int(params.get("num_target", 1)) > 1 or any(model["tree_info"]):
            raise InvalidInputError("XGBoost's trees must have one output, got several.")
        if any(any(tree.get("split_type", ())) for tree in model["trees"]):
            raise InvalidInputError("XGBoost's trees must split numbers, got categorical splits.")
        n_features = int(params["num_feature"])
        base = _margin(OBJECTIVES[objective][0], float(params["base_score"].strip("[]")))
        trees = cls(**_by_level(model["trees"], statistics), base=base, n_features=n_features)
        if objective == "reg:squarederror":  # keep the booster: it need not be built again
            object.__setattr__(trees, "_booster", booster)
        return trees

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], n_features: int) -> Self:
        """Restore from the arrays of :meth:`to_arrays`, for rows of so many columns.

        Raises
        ------
        InvalidInputError
            If an array is missing, or the arrays are no valid trees.
        """
        missing = [name for name in ("feature", "value", "missing_left", "sizes", "base") if name not in arrays]
        if missing:
            raise InvalidInputError(f"arrays of trees are missing: {', '.join(missing)}.")
        base = arrays["base"]
        if base.shape != (1,) or base.dtype != np.float32:
            raise InvalidInputError(f"base of trees must be one float32, got {base.dtype} of {base.shape}.")
        parts = {name: arrays[name] for name in _ARRAYS if name in arrays}
        return cls(**parts, base=float(base[0]), n_features=n_features)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the trees as arrays."""
        arrays: dict[str, npt.NDArray[Any]] = {
            name: getattr(self, name) for name in _ARRAYS if getattr(self, name) is not None
        }
        return arrays | {"base": np.array([self.base], np.float32)}

    def predict(self, X: npt.NDArray[np.floating[Any]]) -> Floats:
        """Return the sum of each row's leaves, (n, k) -> (n,), also in a forked child."""
        limit_threads_if_forked()
        predicted: Floats = self._booster.inplace_predict(self._checked(X))
        return predicted

    def to_model(
        self,
        objective: str = "reg:squarederror",
        base_score: float | None = None,
        feature_names: Sequence[str] = (),
        trees_per_round: int = 1,
    ) -> bytes:
        """Return a model file for XGBoost, in JSON, from these checked arrays alone.

        Parameters
        ----------
        objective : str, default="reg:squarederror"
            One of :data:`OBJECTIVES`.
        base_score : float, optional
            ``base`` after the link function; ``base`` itself if left out.
        feature_names : sequence of str, default=()
        trees_per_round : int, default=1
            More than one for a random forest.
        """
        trees = [self._as_json(number, *ends) for number, ends in enumerate(zip(self._roots, self.sizes, strict=True))]
        count = len(trees)
        learner = {
            "attributes": {},
            "feature_names": list(feature_names),
            "feature_types": [],
            "gradient_booster": {
                "name": "gbtree",
                "model": {
                    "gbtree_model_param": {"num_parallel_tree": str(trees_per_round), "num_trees": str(count)},
                    "iteration_indptr": list(range(0, count + 1, trees_per_round)),
                    "tree_info": [0] * count,
                    "trees": trees,
                },
            },
            "learner_model_param": {
                "base_score": _as_text(self.base if base_score is None else base_score),
                "boost_from_average": "1",
                "num_class": "0",
                "num_feature": str(self.n_features),
                "num_target": "1",
            },
            "objective": {"name": objective, **OBJECTIVES[objective][1]},
        }
        # The oldest version that the package supports: later ones read it too.
        return json.dumps({"learner": learner, "version": [2, 1, 0]}).encode()

    def _as_json(self, number: int, start: int, size: int) -> dict[str, Any]:
        part = slice(start, start + size)
        is_leaf = self.feature[part] == _LEAF
        left = np.where(is_leaf, -1, self._known[part])
        parents = np.full(size, _NO_PARENT)
        splits = np.flatnonzero(~is_leaf)
        parents[left[splits]] = parents[left[splits] + 1] = splits
        nothing = [0.0] * size
        return {
            "base_weights": nothing,
            "categories": [],
            "categories_nodes": [],
            "categories_segments": [],
            "categories_sizes": [],
            "default_left": self.missing_left[part].astype(int).tolist(),
            "id": number,
            "left_children": left.tolist(),
            "loss_changes": nothing if self.gain is None else self.gain[part].tolist(),
            "parents": parents.tolist(),
            "right_children": np.where(is_leaf, -1, left + 1).tolist(),
            "split_conditions": self.value[part].tolist(),
            "split_indices": np.where(is_leaf, 0, self.feature[part]).tolist(),
            "split_type": [0] * size,
            "sum_hessian": nothing if self.cover is None else self.cover[part].tolist(),
            "tree_param": {
                "num_deleted": "0",
                "num_feature": str(self.n_features),
                "num_nodes": str(size),
                "size_leaf_vector": "1",
            },
        }

    def _checked(self, X: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
        if X.ndim != 2 or X.shape[1] != self.n_features:
            raise InvalidInputError(f"trees take rows of {self.n_features} columns, got shape {X.shape}.")
        return X

    @cached_property
    def _booster(self) -> Any:
        return _booster(self.to_model())

    @cached_property
    def _roots(self) -> Indices:
        return np.cumsum(self.sizes, dtype=np.intp) - self.sizes

    @cached_property
    def _known(self) -> Indices:
        """The place of each split's left child in its tree, (N,): 1 plus twice the number of splits before it."""
        splits = np.cumsum(self.feature != _LEAF, dtype=np.intp) - (self.feature != _LEAF)
        known: Indices = 1 + 2 * (splits - np.repeat(splits[self._roots], self.sizes))
        return known

    @cached_property
    def _depth(self) -> int:
        roots, level = np.repeat(self._roots, self.sizes), self._roots
        for depth in range(MAX_DEPTH + 1):
            level = level[self.feature[level] != _LEAF]
            if not len(level):
                return depth
            left = roots[level] + self._known[level]
            level = np.concatenate([left, left + 1])
        raise InvalidInputError(f"trees must be at most {MAX_DEPTH} splits deep.")


_ARRAYS: dict[str, type[np.generic]] = {
    "feature": np.int32,
    "value": np.float32,
    "missing_left": np.bool_,
    "sizes": np.int32,
    "gain": np.float32,
    "cover": np.float32,
}


def _as_text(number: float) -> str:
    """Return a float32 as XGBoost writes it: version 2 misreads texts with more digits than needed as 0.5."""
    mantissa, _, exponent = np.format_float_scientific(np.float32(number), trim="-").partition("e")
    return f"{mantissa}E{int(exponent)}"


def _booster(model: bytes) -> Any:
    from xgboost import Booster

    booster = Booster({"nthread": 1})
    booster.load_model(bytearray(model))
    return booster


def _margin(link: str, base_score: float) -> float:
    """Return the start of XGBoost's sums in float32: the inverse link function of the base score."""
    score, one = np.float32(base_score), np.float32(1)
    if link == "log":
        return float(np.float32(np.log(np.float64(score))))
    if link == "logistic":
        return float(-np.float32(np.log(np.float64(one / score - one))))
    return float(score)


def _by_level(trees: Sequence[Mapping[str, Any]], statistics: bool) -> dict[str, npt.NDArray[Any]]:
    """Return the reachable nodes of XGBoost's trees, each tree level by level.

    XGBoost numbers nodes as it grows a tree, and keeps nodes that it prunes later.
    """

    def nodes(name: str) -> npt.NDArray[np.float64]:
        return np.concatenate([np.asarray(tree[name], np.float64) for tree in trees])

    lengths = np.array([len(tree["left_children"]) for tree in trees])
    first = np.cumsum(lengths) - lengths
    left, right = (nodes(f"{side}_children").astype(np.intp) for side in ("left", "right"))
    tree_of = np.repeat(np.arange(len(trees)), lengths)
    levels = [first]
    while len(splits := levels[-1][left[levels[-1]] >= 0]):
        start = first[tree_of[splits]]
        levels.append(np.column_stack([start + left[splits], start + right[splits]]).ravel())
    order = np.concatenate(levels)
    order = order[np.argsort(tree_of[order], kind="stable")]
    is_leaf = left[order] < 0
    arrays: dict[str, npt.NDArray[Any]] = {
        "feature": np.where(is_leaf, _LEAF, nodes("split_indices")[order]).astype(np.int32),
        "value": nodes("split_conditions")[order].astype(np.float32),
        "missing_left": (nodes("default_left")[order] > 0) & ~is_leaf,
        "sizes": np.bincount(tree_of[order], minlength=len(trees)).astype(np.int32),
    }
    if statistics:
        arrays |= {
            "gain": nodes("loss_changes")[order].astype(np.float32),
            "cover": nodes("sum_hessian")[order].astype(np.float32),
        }
    return arrays
