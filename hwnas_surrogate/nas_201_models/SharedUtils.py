"""Functions on channels and modules, under the original's names."""

from __future__ import annotations

from hwnas_surrogate.networks.residual import additive_func, change_key, parse_channel_info

__all__ = ["additive_func", "change_key", "parse_channel_info"]
