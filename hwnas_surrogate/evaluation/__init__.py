"""Evaluation of surrogates: scores, splits, protocols, and the cost of wrong decisions.

Names are imported when they are first used: scores need no surrogate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas_surrogate.lazy import lazy_names

if TYPE_CHECKING:
    from hwnas_surrogate.evaluation.adaptation import adaptation_curve
    from hwnas_surrogate.evaluation.decisions import pick_under_budget, regret, top_k_recall
    from hwnas_surrogate.evaluation.holdout import evaluate, readable, summary
    from hwnas_surrogate.evaluation.noise import noise_against_error
    from hwnas_surrogate.evaluation.protocols import beside_published, laube2022, learning_curve
    from hwnas_surrogate.evaluation.results import Evaluation
    from hwnas_surrogate.evaluation.scores import Scores, score
    from hwnas_surrogate.evaluation.splits import held_out, split_rows
    from hwnas_surrogate.evaluation.transfer_protocols import (
        few_shot_table,
        help2021,
        leave_one_device_out,
        nasflat2024,
    )

__all__ = [
    "Evaluation",
    "Scores",
    "adaptation_curve",
    "beside_published",
    "evaluate",
    "few_shot_table",
    "held_out",
    "help2021",
    "laube2022",
    "learning_curve",
    "leave_one_device_out",
    "nasflat2024",
    "noise_against_error",
    "pick_under_budget",
    "readable",
    "regret",
    "score",
    "split_rows",
    "summary",
    "top_k_recall",
]

_MODULES = {
    "adaptation": ["adaptation_curve"],
    "decisions": ["pick_under_budget", "regret", "top_k_recall"],
    "holdout": ["evaluate", "readable", "summary"],
    "noise": ["noise_against_error"],
    "protocols": ["beside_published", "laube2022", "learning_curve"],
    "results": ["Evaluation"],
    "scores": ["Scores", "score"],
    "splits": ["held_out", "split_rows"],
    "transfer_protocols": ["few_shot_table", "help2021", "leave_one_device_out", "nasflat2024"],
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
