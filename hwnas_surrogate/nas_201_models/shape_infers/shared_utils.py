"""Channels of a text, under the original's names."""

from __future__ import annotations

from hwnas_surrogate.networks.residual import parse_channel_info

__all__ = ["parse_channel_info"]
