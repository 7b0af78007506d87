"""Measure networks on this host and return ordinary cost tables.

Names are imported on first use: writing a form for measurements needs no PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas_surrogate.lazy import lazy_names

# Imported eagerly, because the function has the name of its module.
from hwnas_surrogate.measure.environment import FewCoresWarning, environment

if TYPE_CHECKING:
    from hwnas_surrogate.measure.boards import Fleet
    from hwnas_surrogate.measure.energy import EnergyMeter, Nvml, Rapl
    from hwnas_surrogate.measure.export import export_networks
    from hwnas_surrogate.measure.runnable import Runnable
    from hwnas_surrogate.measure.runtimes import (
        RUNTIMES,
        Cuda,
        CudaCompile,
        ExecuTorch,
        FileRuntime,
        LiteRT,
        LiteRTInt8,
        Ncnn,
        OnnxRuntime,
        OnnxRuntimeInt8,
        OpenVINO,
        Runtime,
        Torch,
        TorchCompile,
        make_runtime,
    )
    from hwnas_surrogate.measure.session import measure, measure_blocks, measure_networks
    from hwnas_surrogate.measure.several import Setting, measure_several
    from hwnas_surrogate.measure.simulator import simulate
    from hwnas_surrogate.measure.tabulating import with_throughput
    from hwnas_surrogate.runner.protocol import Protocol

__all__ = [
    "RUNTIMES",
    "Cuda",
    "CudaCompile",
    "EnergyMeter",
    "ExecuTorch",
    "FewCoresWarning",
    "FileRuntime",
    "Fleet",
    "LiteRT",
    "LiteRTInt8",
    "Ncnn",
    "Nvml",
    "OnnxRuntime",
    "OnnxRuntimeInt8",
    "OpenVINO",
    "Protocol",
    "Rapl",
    "Runnable",
    "Runtime",
    "Setting",
    "Torch",
    "TorchCompile",
    "environment",
    "export_networks",
    "make_runtime",
    "measure",
    "measure_blocks",
    "measure_networks",
    "measure_several",
    "simulate",
    "with_throughput",
]

_MODULES = {
    "boards": ["Fleet"],
    "energy": ["EnergyMeter", "Nvml", "Rapl"],
    "export": ["export_networks"],
    ".runner.protocol": ["Protocol"],
    "runnable": ["Runnable"],
    "runtimes": [
        "RUNTIMES",
        "Cuda",
        "CudaCompile",
        "ExecuTorch",
        "FileRuntime",
        "LiteRT",
        "LiteRTInt8",
        "Ncnn",
        "OnnxRuntime",
        "OnnxRuntimeInt8",
        "OpenVINO",
        "Runtime",
        "Torch",
        "TorchCompile",
        "make_runtime",
    ],
    "session": ["measure", "measure_blocks", "measure_networks"],
    "several": ["Setting", "measure_several"],
    "tabulating": ["with_throughput"],
    "simulator": ["simulate"],
}

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
