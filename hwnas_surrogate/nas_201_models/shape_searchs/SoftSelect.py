"""Soft choices of widths and depths, under the original's names."""

from __future__ import annotations

from hwnas_surrogate.networks.residual import (
    ChannelWiseInter,
    drop_path,
    get_depth_choices,
    get_width_choices,
    linear_forward,
    select2withP,
)

__all__ = [
    "ChannelWiseInter",
    "drop_path",
    "get_depth_choices",
    "get_width_choices",
    "linear_forward",
    "select2withP",
]
