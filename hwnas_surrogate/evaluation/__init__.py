"""How good a surrogate is, and how devices relate.

Names resolve when they are first used: how devices correlate needs no scikit-learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

# These two are called as their modules are, so they can't wait.
from hwnas_surrogate.evaluation.correlation import correlation
from hwnas_surrogate.evaluation.disagreement import Disagreement, disagreement
from hwnas_surrogate.lazy import lazy_names

if TYPE_CHECKING:
    from hwnas_surrogate.evaluation.analysis import (
        PrincipalDirections,
        additivity,
        noise_against_error,
        principal_directions,
        proxies,
    )
    from hwnas_surrogate.evaluation.clusters import Clusters, cluster_devices
    from hwnas_surrogate.evaluation.decisions import pick_under_budget, regret, top_k_recall
    from hwnas_surrogate.evaluation.device_figures import (
        plot_correlation,
        plot_disagreement,
        plot_pareto,
        plot_principal_directions,
        plot_proxies,
    )
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
    from hwnas_surrogate.evaluation.intervals import correlation_interval
    from hwnas_surrogate.evaluation.pareto import pareto_front, read_quality
    from hwnas_surrogate.evaluation.protocols import beside_published, laube2022, learning_curve
    from hwnas_surrogate.evaluation.report import write_report
    from hwnas_surrogate.evaluation.results import Evaluation
    from hwnas_surrogate.evaluation.scores import Scores, score, tied_ranks
    from hwnas_surrogate.evaluation.splits import held_out, split_rows

__all__ = [
    "Clusters",
    "Disagreement",
    "Evaluation",
    "PrincipalDirections",
    "Scores",
    "adaptation_curve",
    "additivity",
    "beside_published",
    "cluster_devices",
    "correlation",
    "correlation_interval",
    "disagreement",
    "evaluate",
    "few_shot_table",
    "held_out",
    "help2021",
    "laube2022",
    "learning_curve",
    "leave_one_device_out",
    "nasflat2024",
    "noise_against_error",
    "pareto_front",
    "pick_under_budget",
    "plot_adaptation_curve",
    "plot_correlation",
    "plot_disagreement",
    "plot_error_by_distance",
    "plot_learning_curve",
    "plot_pareto",
    "plot_predicted",
    "plot_principal_directions",
    "plot_proxies",
    "principal_directions",
    "proxies",
    "read_quality",
    "readable",
    "regret",
    "score",
    "split_rows",
    "summary",
    "tied_ranks",
    "top_k_recall",
    "write_report",
]

_MODULES = {
    "analysis": ["PrincipalDirections", "additivity", "noise_against_error", "principal_directions", "proxies"],
    "clusters": ["Clusters", "cluster_devices"],
    "decisions": ["pick_under_budget", "regret", "top_k_recall"],
    "device_figures": [
        "plot_correlation",
        "plot_disagreement",
        "plot_pareto",
        "plot_principal_directions",
        "plot_proxies",
    ],
    "few_shot": ["adaptation_curve", "few_shot_table", "help2021", "leave_one_device_out", "nasflat2024"],
    "figures": ["plot_adaptation_curve", "plot_error_by_distance", "plot_learning_curve", "plot_predicted"],
    "holdout": ["evaluate", "readable", "summary"],
    "intervals": ["correlation_interval"],
    "pareto": ["pareto_front", "read_quality"],
    "protocols": ["beside_published", "laube2022", "learning_curve"],
    "report": ["write_report"],
    "results": ["Evaluation"],
    "scores": ["Scores", "score", "tied_ranks"],
    "splits": ["held_out", "split_rows"],
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
