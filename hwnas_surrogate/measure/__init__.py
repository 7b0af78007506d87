"""Measure networks on this host, into cost tables like any other."""

from __future__ import annotations

from hwnas_surrogate.measure.energy import EnergyMeter, Nvml, Rapl
from hwnas_surrogate.measure.environment import environment
from hwnas_surrogate.measure.export import export_networks
from hwnas_surrogate.measure.protocol import Protocol
from hwnas_surrogate.measure.runtime import (
    RUNTIMES,
    Cuda,
    OnnxRuntime,
    OnnxRuntimeInt8,
    OpenVINO,
    Runtime,
    Torch,
    make_runtime,
)
from hwnas_surrogate.measure.session import measure, measure_blocks
from hwnas_surrogate.measure.simulator import simulate

__all__ = [
    "RUNTIMES",
    "Cuda",
    "EnergyMeter",
    "Nvml",
    "OnnxRuntime",
    "OnnxRuntimeInt8",
    "OpenVINO",
    "Protocol",
    "Rapl",
    "Runtime",
    "Torch",
    "environment",
    "export_networks",
    "make_runtime",
    "measure",
    "measure_blocks",
    "simulate",
]
