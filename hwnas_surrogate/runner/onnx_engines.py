"""Engines that execute ONNX files: ONNX Runtime and OpenVINO."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.runner.engine import Engine, Operator, Session
from hwnas_surrogate.runner.prepared import Prepared

__all__ = ["OnnxRuntimeEngine", "OpenVINOEngine"]

CPU = "CPUExecutionProvider"


class OnnxRuntimeEngine(Engine):
    """ONNX Runtime with every graph optimisation.

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

    def __init__(self, threads: int = 1, provider: str = CPU) -> None:
        super().__init__(threads)
        self.provider = provider

    def describe(self) -> str:
        """Return the version and the provider."""
        import onnxruntime

        return f"onnxruntime {onnxruntime.__version__} {self.provider[: -len('ExecutionProvider')]}"

    def open(self, prepared: Prepared) -> Session:
        """Open a session; the asked provider has to run the network."""
        return _OnnxRuntimeSession(self, prepared)


class _OnnxRuntimeSession(Session):
    def __init__(self, engine: OnnxRuntimeEngine, prepared: Prepared) -> None:
        self._engine, self._prepared = engine, prepared
        self._session = self._opened()
        self._execute, self._feed = self._session.run, prepared.inputs

    def _opened(self, profile: Optional[str] = None) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._engine.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = profile
        provider = self._engine.provider
        session = onnxruntime.InferenceSession(self._prepared.files[0], options, providers=[provider])
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
        with tempfile.TemporaryDirectory() as folder:
            session = self._opened(os.path.join(folder, "profile"))
            for _ in range(runs + 1):
                session.run(None, self._feed)
            with open(session.end_profiling(), encoding="utf-8") as file:
                events = json.load(file)
        times: dict[str, list[float]] = {}
        kinds: dict[str, str] = {}
        for event in events:
            name = event.get("name", "")
            if event.get("cat") == "Node" and name.endswith("_kernel_time"):
                node = name[: -len("_kernel_time")]
                times.setdefault(node, []).append(event["dur"] / 1e3)
                kinds[node] = event["args"]["op_name"]
        # The first run of each is that of warming up.
        return [Operator(node, kinds[node], float(np.mean(ms[1:]))) for node, ms in times.items()]


class OpenVINOEngine(Engine):
    """OpenVINO on the CPU, float32, tuned for latency."""

    name = "openvino"
    library = "openvino"
    suffix = ".onnx"

    def describe(self) -> str:
        """Return the version."""
        import openvino

        return f"openvino {openvino.__version__.split('-')[0]} CPU"

    def open(self, prepared: Prepared) -> Session:
        """Compile the network."""
        return _OpenVINOSession(self.threads, prepared)


class _OpenVINOSession(Session):
    def __init__(self, threads: int, prepared: Prepared) -> None:
        import openvino

        self._core = openvino.Core()
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
        import openvino

        compiled = self._core.compile_model(self._core.read_model(self._prepared.files[0]), "CPU", settings)
        request = compiled.create_infer_request()
        for name, array in self._prepared.inputs.items():
            request.set_tensor(name, openvino.Tensor(array))
        return compiled, request

    def run(self) -> None:
        self._request.infer()

    def outputs(self) -> list[npt.NDArray[Any]]:
        self._request.infer()
        return [self._request.get_output_tensor(place).data.copy() for place in range(len(self._compiled.outputs))]

    def operators(self, runs: int) -> Optional[list[Operator]]:
        """Read its performance counters."""
        _, request = self._opened({**self._settings, "PERF_COUNT": True})
        request.infer()
        times: dict[str, list[float]] = {}
        kinds: dict[str, str] = {}
        for _ in range(runs):
            request.infer()
            for counter in request.profiling_info:
                if counter.real_time.total_seconds() > 0:
                    times.setdefault(counter.node_name, []).append(counter.real_time.total_seconds() * 1e3)
                    kinds[counter.node_name] = counter.node_type
        return [Operator(node, kinds[node], sum(ms) / runs) for node, ms in times.items()]
