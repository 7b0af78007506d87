"""The engine that executes LiteRT's files (``.tflite``)."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.runner.engine import Engine, Session
from hwnas_surrogate.runner.prepared import Prepared

__all__ = ["LiteRTEngine"]


class LiteRTEngine(Engine):
    """LiteRT on the CPU, with its XNNPACK delegate, which takes the operators that it has.

    On a board without ai-edge-litert, tflite_runtime is used, which is the same under its former name.
    """

    name = "litert"
    library = "ai_edge_litert"
    suffix = ".tflite"

    def describe(self) -> str:
        """Return the version."""
        name, version, _ = _litert()
        return f"{name} {version} CPU XNNPACK"

    def open(self, prepared: Prepared) -> Session:
        """Load the network and set its inputs."""
        return _LiteRTSession(self.threads, prepared)


class _LiteRTSession(Session):
    """It reports no times of operators: LiteRT's Python interpreter has no profiler (its ``benchmark_model`` has)."""

    def __init__(self, threads: int, prepared: Prepared) -> None:
        _, _, interpreter = _litert()
        try:
            self._interpreter = interpreter(model_path=prepared.files[0], num_threads=threads)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().replace("\n", " ")[:300]
            raise MeasurementError(f"LiteRT can't load the network: {reason}") from error
        inputs, self._outputs = _tflite_tensors(self._interpreter)
        for place, (name, array) in enumerate(prepared.inputs.items()):
            found = inputs.get(name, None if inputs else list(self._interpreter.get_input_details())[place])
            if found is not None:  # the converter drops inputs that nothing depends on
                self._interpreter.set_tensor(found["index"], _as_stored(array, found))
        self._outputs = self._outputs or self._interpreter.get_output_details()
        self._invoke = self._interpreter.invoke

    def run(self) -> None:
        self._invoke()

    def outputs(self) -> list[npt.NDArray[Any]]:
        self._invoke()
        return [_as_computed(self._interpreter.get_tensor(found["index"]), found) for found in self._outputs]


def _litert() -> tuple[str, str, Any]:
    """Return the runtime's name, its version and its interpreter."""
    from importlib.metadata import version

    try:
        return "LiteRT", version("ai-edge-litert"), importlib.import_module("ai_edge_litert.interpreter").Interpreter
    except ImportError:
        module = importlib.import_module("tflite_runtime.interpreter")
        return "tflite-runtime", version("tflite-runtime"), module.Interpreter


def _tflite_tensors(interpreter: Any) -> tuple[dict[str, Any], list[Any]]:
    """Return the inputs by their names, and the outputs in order, of the model's signature; nothing if it has none.

    The object that knows them must be gone before the network runs: LiteRT refuses to run while it is held.
    """
    if not interpreter.get_signature_list():
        return {}, []
    signature = interpreter.get_signature_runner()
    found = signature.get_output_details()
    names = sorted(found, key=lambda name: (len(name), name))  # output_2 before output_10
    return signature.get_input_details(), [found[name] for name in names]


def _as_stored(array: npt.NDArray[Any], tensor: Any) -> npt.NDArray[Any]:
    """Return an input in the number format of the model."""
    scale, zero = tensor["quantization"]
    if scale and np.issubdtype(array.dtype, np.floating):
        limits = np.iinfo(tensor["dtype"])
        array = np.clip(np.round(array / scale) + zero, limits.min, limits.max)
    return np.ascontiguousarray(array.astype(tensor["dtype"]))


def _as_computed(array: npt.NDArray[Any], tensor: Any) -> npt.NDArray[Any]:
    """Return an output as the number that it stands for."""
    scale, zero = tensor["quantization"]
    return (array.astype(np.float32) - zero) * np.float32(scale) if scale else array
