"""Forked children: processes in which the threads of OpenMP libraries no longer exist."""

from __future__ import annotations

import os

from threadpoolctl import threadpool_limits

__all__ = ["limit_threads_if_forked"]

_is_forked = _is_limited = False


def _note_fork() -> None:
    global _is_forked, _is_limited
    _is_forked, _is_limited = True, False


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_note_fork)


def limit_threads_if_forked() -> None:
    """Limit the OpenMP libraries of a forked child to one thread, for good; do nothing in other processes.

    A library that waits for threads that did not survive the fork hangs for ever; one thread waits for no other. Call
    this before a fit or a prediction that may use OpenMP: XGBoost, torch, scikit-learn's histograms and neighbours. A
    library that is loaded later makes threads of its own.
    """
    global _is_limited
    if _is_forked and not _is_limited:
        threadpool_limits(1, user_api="openmp")
        _is_limited = True
