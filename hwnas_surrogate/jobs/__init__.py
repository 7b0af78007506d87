"""Independent work in several processes or on a cluster, and finished pieces of it kept in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas_surrogate.lazy import lazy_names

if TYPE_CHECKING:
    from hwnas_surrogate.jobs.apart import Apart
    from hwnas_surrogate.jobs.cluster import on_cluster
    from hwnas_surrogate.jobs.feedback import with_feedback
    from hwnas_surrogate.jobs.parallel import as_finished, in_parallel
    from hwnas_surrogate.jobs.pieces import Pieces

__all__ = ["Apart", "Pieces", "as_finished", "in_parallel", "on_cluster", "with_feedback"]

_MODULES = {
    "apart": ["Apart"],
    "cluster": ["on_cluster"],
    "feedback": ["with_feedback"],
    "parallel": ["as_finished", "in_parallel"],
    "pieces": ["Pieces"],
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
