"""Copying weights from wider networks, under the original's names."""

from __future__ import annotations

from hwnas_surrogate.networks.residual import copy_base, copy_basic, copy_bn, copy_conv, copy_fc, init_from_model

__all__ = ["copy_base", "copy_basic", "copy_bn", "copy_conv", "copy_fc", "init_from_model"]
