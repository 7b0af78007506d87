"""Engines that execute ONNX files: ONNX Runtime and OpenVINO."""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.runner.engine import Engine, Operator, Session
from hwnas_surrogate.runner.prepared import Prepared

__all__ = ["OnnxRuntimeEngine", "OpenVINOEngine", "import_onnxruntime"]

CPU = "CPUExecutionProvider"
KERNEL = "_kernel_time"
XNNPACK = "XnnpackExecutionProvider"
WEIGHTS = {"Conv": 1, "FusedConv": 1, "ConvTranspose": 1, "Gemm": 1, "QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3}
"""The input of operators that holds their weights; quantized ones have a scale and a zero point before."""


def import_onnxruntime() -> Any:
    """Import ONNX Runtime without its telemetry, which writes to the home folder and uses the network while it runs."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def _import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which writes to the home folder and uses the network when imported."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # OpenVINO then has a stub for it
    import openvino

    return openvino


class OnnxRuntimeEngine(Engine):
    """ONNX Runtime with every graph optimisation.

    An execution provider may leave operators to the CPU, as most do with those that they lack. If it leaves all of
    them, the network does not run on it, which is an error.

    Parameters
    ----------
    threads : int, default=1
        Threads that one execution may use.
    provider : str, default="CPUExecutionProvider"
        The execution provider.
    """

    name = "onnxruntime"
    library = "onnxruntime"
    suffix = ".onnx"
    reports_operators = True

    def __init__(self, threads: int = 1, provider: str = CPU) -> None:
        super().__init__(threads)
        self.provider = provider

    @property
    def is_serial(self) -> bool:
        """Whether each run is the work of one thread of the CPU."""
        return self.threads == 1 and self.provider == CPU

    def describe(self) -> str:
        """Return the version and the provider.

        Raises
        ------
        MeasurementError
            If ONNX Runtime does not have the provider.
        """
        onnxruntime = import_onnxruntime()
        available = onnxruntime.get_available_providers()
        if self.provider not in available:
            raise MeasurementError(f"this onnxruntime has no {self.provider}; it has {', '.join(available)}.")
        return f"onnxruntime {onnxruntime.__version__} {self.provider[: -len('ExecutionProvider')]}"

    def open(self, prepared: Prepared) -> Session:
        """Open a session; the asked provider has to run the network.

        Raises
        ------
        MeasurementError
            If the provider runs no operator of the network.
        """
        return _OnnxRuntimeSession(self, prepared)


class _OnnxRuntimeSession(Session):
    def __init__(self, engine: OnnxRuntimeEngine, prepared: Prepared) -> None:
        self._engine, self._prepared = engine, prepared
        self._feed = prepared.inputs
        self._session = self._opened() if engine.provider == CPU else self._opened_on_provider()
        self._execute = self._session.run

    def _opened_on_provider(self) -> Any:
        """Open a session that runs nothing on the CPU; where that is refused, one that runs a part there."""
        try:
            return self._opened(may_fall_back=False)
        except Exception as error:  # its errors have no class in common
            session, provider = self._opened(), self._engine.provider
            if not any(event["args"].get("provider") == provider for event in self._profiled(1)):
                why = " ".join(str(error).split())[:200]
                raise MeasurementError(
                    f"{provider} runs no operator of this network, all would run on the CPU: {why}"
                ) from error
            return session

    def _opened(self, profile: Optional[str] = None, may_fall_back: bool = True, is_packed: bool = True) -> Any:
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._engine.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = profile
        provider = self._engine.provider
        if not may_fall_back:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        if not is_packed:
            options.add_session_config_entry("session.disable_prepacking", "1")
        # XNNPACK has threads of its own.
        own = {"intra_op_num_threads": str(self._engine.threads)} if provider == XNNPACK else {}
        session = onnxruntime.InferenceSession(self._prepared.files[0], options, providers=[(provider, own)])
        if session.get_providers()[0] != provider:
            raise MeasurementError(
                f"ONNX Runtime did not take {provider}, it would run the network with {session.get_providers()[0]}."
            )
        return session

    def run(self) -> None:
        self._execute(None, self._feed)

    def outputs(self) -> list[npt.NDArray[Any]]:
        return list(self._execute(None, self._feed))

    def operators(self, runs: int) -> Optional[list[Operator]]:
        """Read the times of its profile; it makes each operator slower by some microseconds."""
        times: dict[tuple[str, str], list[float]] = {}
        told: dict[tuple[str, str], dict[str, Any]] = {}
        for event in self._profiled(runs + 1):
            times.setdefault(_node(event), []).append(event["dur"] / 1e3)
            told[_node(event)] = event["args"]
        if self._engine.provider == CPU:  # weights that it packed for its kernels are not in its events
            told.update((_node(event), event["args"]) for event in self._profiled(1, is_packed=False))
        # The first run of each is that of warming up.
        return [
            Operator(node[0], told[node]["op_name"], float(np.median(ms[1:])), *_sizes(told[node]))
            for node, ms in times.items()
        ]

    def _profiled(self, runs: int, is_packed: bool = True) -> list[dict[str, Any]]:
        """Return the events of a profile in which operators were executed."""
        with tempfile.TemporaryDirectory() as folder:
            session = self._opened(os.path.join(folder, "profile"), is_packed=is_packed)
            for _ in range(runs):
                session.run(None, self._feed)
            with open(session.end_profiling(), encoding="utf-8") as file:
                events = json.load(file)
        return [event for event in events if event.get("cat") == "Node" and event.get("name", "").endswith(KERNEL)]


def _node(event: dict[str, Any]) -> tuple[str, str]:
    """Return what identifies an operator. Names may occur twice: fused ones have none, or that of a part."""
    return event["name"][: -len(KERNEL)], event["args"].get("node_index", "")


def _sizes(told: dict[str, Any]) -> tuple[int, int]:
    """Return how many numbers an operator writes, and how many it stores, from its event in a profile.

    Of those in :data:`WEIGHTS`, the weights count: quantized ones store scales and more in other formats as well, and
    weights that are dequantized before each run are no parameters.
    """
    written = sum(math.prod(shape) for output in told.get("output_type_shape", []) for shape in output.values())
    inputs = [shape for given in told.get("input_type_shape", []) for shape in given.values()]
    place = WEIGHTS.get(told["op_name"])
    if place is not None and len(inputs) > place:
        return written, math.prod(inputs[place])
    return written, int(told.get("parameter_size", 0)) // 4


class OpenVINOEngine(Engine):
    """OpenVINO on the CPU, float32, tuned for latency."""

    name = "openvino"
    library = "openvino"
    suffix = ".onnx"
    reports_operators = True

    def describe(self) -> str:
        """Return the version."""
        return f"openvino {_import_openvino().__version__.split('-')[0]} CPU"

    def open(self, prepared: Prepared) -> Session:
        """Compile the network."""
        return _OpenVINOSession(self.threads, prepared)


class _OpenVINOSession(Session):
    def __init__(self, threads: int, prepared: Prepared) -> None:
        self._core = _import_openvino().Core()
        self._prepared = prepared
        self._settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        self._compiled, self._request = self._opened(self._settings)
        if self._compiled.get_property("INFERENCE_NUM_THREADS") != threads:
            raise MeasurementError(
                f"OpenVINO runs with {self._compiled.get_property('INFERENCE_NUM_THREADS')} threads, not {threads}."
            )

    def _opened(self, settings: dict[str, Any]) -> tuple[Any, Any]:
        compiled = self._core.compile_model(self._core.read_model(self._prepared.files[0]), "CPU", settings)
        request = compiled.create_infer_request()
        for name, array in self._prepared.inputs.items():
            request.set_tensor(name, _import_openvino().Tensor(array))
        return compiled, request

    def run(self) -> None:
        self._request.infer()

    def outputs(self) -> list[npt.NDArray[Any]]:
        self._request.infer()
        return [self._request.get_output_tensor(place).data.copy() for place in range(len(self._compiled.outputs))]

    def operators(self, runs: int) -> Optional[list[Operator]]:
        """Read its performance counters."""
        compiled, request = self._opened({**self._settings, "PERF_COUNT": True})
        request.infer()
        executed = {node.get_friendly_name(): node for node in compiled.get_runtime_model().get_ops()}
        times: dict[str, list[float]] = {}
        kinds: dict[str, str] = {}
        for _ in range(runs):
            request.infer()
            for counter in request.profiling_info:
                if counter.real_time.total_seconds() > 0:
                    times.setdefault(counter.node_name, []).append(counter.real_time.total_seconds() * 1e3)
                    kinds[counter.node_name] = counter.node_type
        return [
            Operator(node, kinds[node], float(np.median(ms)) * len(ms) / runs, *_shapes(executed.get(node)))
            for node, ms in times.items()
        ]


def _shapes(node: Any) -> tuple[int, int]:
    """Return how many numbers a node of OpenVINO's executed model writes, and how many it stores; 0 if not known."""
    if node is None:
        return 0, 0
    sources = [value.get_source_output() for value in node.inputs()]
    stored = sum(
        math.prod(source.get_shape())
        for source in sources
        if str(source.get_node().get_rt_info()["layerType"].astype(str)) == "Const"
    )
    return sum(math.prod(output.get_shape()) for output in node.outputs()), stored
