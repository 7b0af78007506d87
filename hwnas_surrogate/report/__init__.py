"""Reports: an HTML page about a table and its surrogates, and figures for papers.

Names are imported on first use: figures of devices need no surrogate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas_surrogate.lazy import lazy_names

if TYPE_CHECKING:
    from hwnas_surrogate.report.device_figures import (
        plot_correlation,
        plot_disagreement,
        plot_pareto,
        plot_principal_directions,
        plot_proxies,
    )
    from hwnas_surrogate.report.operator_figures import plot_operators
    from hwnas_surrogate.report.page import write_report
    from hwnas_surrogate.report.surrogate_figures import (
        plot_adaptation_curve,
        plot_error_by_distance,
        plot_learning_curve,
        plot_predicted,
    )

__all__ = [
    "plot_adaptation_curve",
    "plot_correlation",
    "plot_disagreement",
    "plot_error_by_distance",
    "plot_learning_curve",
    "plot_operators",
    "plot_pareto",
    "plot_predicted",
    "plot_principal_directions",
    "plot_proxies",
    "write_report",
]

_MODULES = {
    "device_figures": [
        "plot_correlation",
        "plot_disagreement",
        "plot_pareto",
        "plot_principal_directions",
        "plot_proxies",
    ],
    "operator_figures": ["plot_operators"],
    "page": ["write_report"],
    "surrogate_figures": ["plot_adaptation_curve", "plot_error_by_distance", "plot_learning_curve", "plot_predicted"],
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
