"""Configs of the benchmark's training scripts, under the original's names: its files, its objects and its options."""

from __future__ import annotations

from hwnas_surrogate.config_utils.arguments import (
    obtain_attention_args,
    obtain_basic_args,
    obtain_cls_init_args,
    obtain_cls_kd_args,
    obtain_pruning_args,
    obtain_RandomSearch_args,
    obtain_search_args,
    obtain_search_single_args,
)
from hwnas_surrogate.config_utils.attributes import as_config_dict
from hwnas_surrogate.config_utils.configure import configure2str, dict2config, load_config

__all__ = [
    "as_config_dict",
    "configure2str",
    "dict2config",
    "load_config",
    "obtain_RandomSearch_args",
    "obtain_attention_args",
    "obtain_basic_args",
    "obtain_cls_init_args",
    "obtain_cls_kd_args",
    "obtain_pruning_args",
    "obtain_search_args",
    "obtain_search_single_args",
]
