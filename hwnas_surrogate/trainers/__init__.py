"""Fit surrogates to measured costs, predict with them, save and load them."""

from __future__ import annotations

from hwnas_surrogate.trainers.explanation import Explanation
from hwnas_surrogate.trainers.extrapolation import ExtrapolationWarning
from hwnas_surrogate.trainers.operators import Operators, operators_of
from hwnas_surrogate.trainers.sources import fit_sources
from hwnas_surrogate.trainers.suite import SurrogateSuite
from hwnas_surrogate.trainers.surrogate import Surrogate
from hwnas_surrogate.trainers.transfer import AdaptWarning, TransferSurrogate, adapt
from hwnas_surrogate.trainers.tuning import Tuned, tune

__all__ = [
    "AdaptWarning",
    "Explanation",
    "ExtrapolationWarning",
    "Operators",
    "Surrogate",
    "SurrogateSuite",
    "TransferSurrogate",
    "Tuned",
    "adapt",
    "fit_sources",
    "operators_of",
    "tune",
]
