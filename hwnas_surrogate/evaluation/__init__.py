"""How good a surrogate is, and how devices relate."""

from __future__ import annotations

from hwnas_surrogate.evaluation.correlation import correlation
from hwnas_surrogate.evaluation.decisions import pick_under_budget, regret, top_k_recall
from hwnas_surrogate.evaluation.few_shot import (
    adaptation_curve,
    few_shot_table,
    help2021,
    leave_one_device_out,
    nasflat2024,
)
from hwnas_surrogate.evaluation.figures import (
    plot_adaptation_curve,
    plot_error_by_distance,
    plot_learning_curve,
    plot_predicted,
)
from hwnas_surrogate.evaluation.holdout import evaluate, readable, summary
from hwnas_surrogate.evaluation.protocols import beside_published, laube2022, learning_curve
from hwnas_surrogate.evaluation.results import Evaluation
from hwnas_surrogate.evaluation.scores import Scores, score, tied_ranks
from hwnas_surrogate.evaluation.splits import held_out, split_rows

__all__ = [
    "Evaluation",
    "Scores",
    "adaptation_curve",
    "beside_published",
    "correlation",
    "evaluate",
    "few_shot_table",
    "held_out",
    "help2021",
    "laube2022",
    "learning_curve",
    "leave_one_device_out",
    "nasflat2024",
    "pick_under_budget",
    "plot_adaptation_curve",
    "plot_error_by_distance",
    "plot_learning_curve",
    "plot_predicted",
    "readable",
    "regret",
    "score",
    "split_rows",
    "summary",
    "tied_ranks",
    "top_k_recall",
]
