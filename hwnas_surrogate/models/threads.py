"""One thread for small fits: more would only wait for one another, and longest where other programs run."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

import scipy.linalg  # noqa: F401 -- it loads a BLAS of its own
from threadpoolctl import ThreadpoolController

__all__ = ["one_blas_thread", "one_xgboost_thread"]


def one_blas_thread() -> AbstractContextManager[object]:
    """Return a context in which linear algebra runs on one thread."""
    context: AbstractContextManager[object] = _with_linear_algebra().limit(limits=1, user_api="blas")
    return context


def one_xgboost_thread() -> AbstractContextManager[object]:
    """Return a context in which XGBoost, which it loads, and all libraries loaded before run on one thread."""
    context: AbstractContextManager[object] = _with_xgboost().limit(limits=1)
    return context


# Finding the loaded libraries takes longer than many a fit: it is done once.
@cache
def _with_linear_algebra() -> ThreadpoolController:
    return ThreadpoolController()


@cache
def _with_xgboost() -> ThreadpoolController:
    import xgboost  # noqa: F401

    return ThreadpoolController()
