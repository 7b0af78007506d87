"""Checks of scikit-learn's estimators that hold training rows: native code trusts the shapes of their arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwnas_surrogate.errors import SavedFormatError

__all__ = ["check_rows"]

_METRICS = frozenset(["euclidean", "manhattan", "chebyshev", "minkowski", "sqeuclidean", "cosine", "l1", "l2"])
_KERNELS = ("linear", "poly", "rbf", "sigmoid")


def check_rows(name: str, thing: Any) -> None:
    """Check the arrays of support vectors and neighbours, or random generators; nothing of other objects.

    Raises
    ------
    SavedFormatError
        If an array has another type, shape or order than the fit gives it, or the method is not one that is checked.
    """
    module, kind = type(thing).__module__, type(thing).__name__
    if module == "sklearn.svm._classes" and kind in ("SVR", "NuSVR"):
        _check_machine(name, vars(thing))
    elif module.startswith("sklearn.neighbors."):
        _check_neighbours(name, vars(thing))
    elif isinstance(thing, np.random.RandomState):
        _require(name, "random_state", 0 <= thing.get_state(legacy=False)["state"]["pos"] <= 624, "a generator's state")
    elif isinstance(thing, np.random.Generator):
        _require(name, "random_state", isinstance(thing.bit_generator, np.random.PCG64), "a generator by PCG64")
    elif module == "sklearn.kernel_approximation" and kind == "PolynomialCountSketch":
        width = np.size(vars(thing).get("indexHash_", ())) * thing.n_components
        _require(name, "n_components", 0 <= width <= _WIDEST, f"at most {_WIDEST:,} in all")
    elif isinstance(width := getattr(thing, "n_output_features_", 0), int):  # it is reserved before it is filled
        _require(name, "n_output_features_", width <= _WIDEST, f"at most {_WIDEST:,}")


_WIDEST = 100_000


def _check_machine(name: str, held: dict[str, Any]) -> None:
    if "support_" not in held:
        return  # not fitted
    n = np.size(held["support_"])
    _require(name, "kernel", held.get("kernel") in _KERNELS, f"one of {', '.join(_KERNELS)}")
    _require(name, "_sparse", held.get("_sparse") is False, "False")
    _check_array(name, held, "support_", np.int32, (n,))
    _check_array(name, held, "support_vectors_", np.float64, (n, held.get("n_features_in_")))
    _check_array(name, held, "_n_support", np.int32, (2,))
    _check_array(name, held, "_dual_coef_", np.float64, (1, n))
    _check_array(name, held, "_intercept_", np.float64, (1,))
    for empty in ("_probA", "_probB"):
        _check_array(name, held, empty, np.float64, (0,))


def _check_neighbours(name: str, held: dict[str, Any]) -> None:
    if "_fit_X" not in held:
        return
    n = np.shape(held["_fit_X"])[0] if np.ndim(held["_fit_X"]) else 0
    _require(name, "_fit_method", held.get("_fit_method") == "brute", "brute (algorithm='brute')")
    _require(name, "metric", held.get("effective_metric_") in _METRICS, f"one of {', '.join(sorted(_METRICS))}")
    _check_array(name, held, "_fit_X", np.float64, (n, held.get("n_features_in_")))
    _check_array(name, held, "_y", np.float64, (n,))
    _require(name, "n_samples_fit_", held.get("n_samples_fit_") == n >= 1, f"the number of rows, {n}")


def _check_array(name: str, held: dict[str, Any], key: str, dtype: type, shape: tuple[Any, ...]) -> None:
    array = held.get(key)
    fits = isinstance(array, np.ndarray) and array.dtype == dtype and array.shape == shape and array.flags.c_contiguous
    _require(name, key, fits, f"{np.dtype(dtype)} of shape {shape}")


def _require(name: str, key: str, fits: bool, allowed: str) -> None:
    if not fits:
        where = f"{name}.{key}" if name else key
        raise SavedFormatError(f"{where} must be {allowed}. Copy the saved folder again, or train again.")
