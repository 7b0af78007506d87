"""Fit surrogates to measured costs, save and load them."""

from __future__ import annotations

from hwnas_surrogate.trainers.suite import SurrogateSuite
from hwnas_surrogate.trainers.surrogate import Surrogate

__all__ = ["Surrogate", "SurrogateSuite"]
