"""Costs that can be differentiated: surrogates as torch modules. Importing this imports torch."""

from __future__ import annotations

from hwnas_surrogate.trainers.differentiable.cost import DifferentiableCost

__all__ = ["DifferentiableCost"]
