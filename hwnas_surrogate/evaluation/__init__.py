"""How good a surrogate is, and how devices relate."""

from __future__ import annotations

from hwnas_surrogate.evaluation.correlation import correlation
from hwnas_surrogate.evaluation.holdout import evaluate, readable, summary
from hwnas_surrogate.evaluation.protocols import laube2022
from hwnas_surrogate.evaluation.scores import Scores, score, tied_ranks
from hwnas_surrogate.evaluation.splits import split_rows

__all__ = ["Scores", "correlation", "evaluate", "laube2022", "readable", "score", "split_rows", "summary", "tied_ranks"]
