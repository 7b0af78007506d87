"""The best networks under budgets, Pareto fronts, and the most informative architectures to measure on a new device.

Names are imported when they are first used: a Pareto front needs no scikit-learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas_surrogate.lazy import lazy_names

if TYPE_CHECKING:
    from hwnas_surrogate.search.calling import QualityWarning
    from hwnas_surrogate.search.closed_loop import ClosedLoop
    from hwnas_surrogate.search.pareto import pareto_front
    from hwnas_surrogate.search.problem import AskTell, cost_problem
    from hwnas_surrogate.search.quality import read_quality
    from hwnas_surrogate.search.result import SearchResult
    from hwnas_surrogate.search.searching import search
    from hwnas_surrogate.search.suggestions import Suggestion, suggest

__all__ = [
    "AskTell",
    "ClosedLoop",
    "QualityWarning",
    "SearchResult",
    "Suggestion",
    "cost_problem",
    "pareto_front",
    "read_quality",
    "search",
    "suggest",
]

_MODULES = {
    "calling": ["QualityWarning"],
    "closed_loop": ["ClosedLoop"],
    "pareto": ["pareto_front"],
    "problem": ["AskTell", "cost_problem"],
    "quality": ["read_quality"],
    "result": ["SearchResult"],
    "searching": ["search"],
    "suggestions": ["Suggestion", "suggest"],
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
