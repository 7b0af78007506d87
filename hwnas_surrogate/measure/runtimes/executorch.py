"""ExecuTorch, whose programs are lowered to XNNPACK."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from hwnas_surrogate.capture.graph_store import cache_dir
from hwnas_surrogate.errors import MeasurementError, missing_extra
from hwnas_surrogate.measure.converting.cache import ConversionCache, conversion_key
from hwnas_surrogate.measure.converting.program import exported
from hwnas_surrogate.measure.converting.tflite_program import fold_batch_norms
from hwnas_surrogate.measure.runnable import Feed, Runnable, TorchRunnable
from hwnas_surrogate.measure.runtimes.base import Converted, FileRuntime
from hwnas_surrogate.runner.executorch_engine import ExecuTorchEngine

__all__ = ["ExecuTorch"]


@dataclass(frozen=True)
class ExecuTorch(FileRuntime):
    """ExecuTorch on the CPU, float32: XNNPACK, and ExecuTorch's portable kernels for what XNNPACK does not run.

    Lowering a network takes some seconds, in proportion to its operators; lowered networks are kept in the user's cache
    folder. ExecuTorch and PyTorch are needed on a board too.
    """

    name: ClassVar[str] = "executorch"
    runs_onnx: ClassVar[bool] = False
    extra: ClassVar[str] = "executorch"
    patience: ClassVar[float] = 600.0
    format: ClassVar[str] = "executorch"
    engine: ClassVar = ExecuTorchEngine

    def convert(self, network: Runnable, folder: Path) -> Converted:
        """Export and lower the network, or take it from the cache.

        Raises
        ------
        MeasurementError
            If ``torch.export`` or ExecuTorch can't convert it.
        """
        program, feed = _program(network)
        path = folder / "model.pte"
        cache = ConversionCache(cache_dir() / "executorch")
        key = conversion_key(program, "executorch", {name: version(name) for name in ("executorch", "torch")})
        if not cache.fetch(key, path):
            lowered = _lowered(program)
            with _quiet():
                path.write_bytes(lowered.to_executorch().buffer)
            cache.keep(key, path)
        return Converted([path], feed)

    def portable_operators(self, network: Runnable) -> dict[str, int]:
        """Return how often each operator of a network occurs that XNNPACK does not run.

        ExecuTorch runs these with its portable kernels, which are slow; around them, tensors change their layout.
        """
        lowered = _lowered(_program(network)[0])
        with _quiet():
            from executorch.devtools.backend_debug import get_delegation_info

            counts = get_delegation_info(lowered.exported_program().graph_module).delegation_by_operator
        return {
            name: count.non_delegated
            for name, count in sorted(counts.items())
            if count.non_delegated and name != "getitem"
        }


def _program(network: Runnable) -> tuple[bytes, Feed]:
    """Export a network. XNNPACK folds batch norms; where they are folded before, lowering takes half the time."""
    module, inputs = network.module()
    try:
        with _quiet():
            folded = _folded(torch.export.export(module, inputs))
    except Exception:  # noqa: BLE001 - torch raises errors of many kinds; what can't be exported raises again below
        return exported(network)
    return exported(TorchRunnable(folded, inputs))


def _folded(program: torch.export.ExportedProgram) -> nn.Module:
    """Return a program as a module whose convolutions include the batch norms that follow them."""
    given: Any = program.module()
    module = torch.fx.GraphModule(given, given.graph)  # the given one refuses eval()
    fold_batch_norms(module)
    return torch.fx.GraphModule(module, module.graph)  # without the parameters that are folded


def _lowered(program: bytes) -> Any:
    """Lower an exported program to XNNPACK."""
    with _quiet():
        try:
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower
        except ImportError as error:
            raise missing_extra("runtime executorch", "executorch") from error
        try:
            with torch.no_grad():
                loaded = torch.export.load(io.BytesIO(program))
                return to_edge_transform_and_lower(loaded, partitioner=[XnnpackPartitioner()])
        except Exception as error:  # it raises errors of many kinds
            reason = str(error).strip().partition("\n")[0][:300] or type(error).__name__
            raise MeasurementError(f"ExecuTorch can't lower the network: {reason}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop what the libraries tell about themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
