"""ENAS's controller, under the original's name."""

from __future__ import annotations

from hwnas_surrogate.networks.cells import Controller

__all__ = ["Controller"]
