"""ONNX Runtime's execution providers, with a stand-in for the library."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hwnas_surrogate.errors import MeasurementError, MissingExtraError
from hwnas_surrogate.measure.runtimes.onnx_providers import PROVIDER_RUNTIMES, OnnxRuntimeCuda, OnnxRuntimeXnnpack
from hwnas_surrogate.runner.prepared import Prepared

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


class Options:
    enable_profiling = False
    profile_file_prefix = ""

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.entries[key] = value


class Library:
    """Acts as onnxruntime with some providers; ``nodes`` are those that the nodes of a network run on."""

    __version__ = "1.0"
    SessionOptions = Options

    def __init__(self, *available: str, nodes: tuple[str, ...] = (), takes: bool = True) -> None:
        self.available, self.nodes, self.takes = list(available), nodes, takes
        self.opened: list[Any] = []

    def get_available_providers(self) -> list[str]:
        return self.available

    def InferenceSession(self, path: str, options: Options, providers: list[Any]) -> Any:
        [(provider, own)] = providers
        self.opened.append((provider, own, options))
        if "session.disable_cpu_ep_fallback" in options.entries and CPU in self.nodes:
            raise RuntimeError("nodes are assigned to the default CPU EP")

        def end_profiling() -> str:
            events = [
                {"cat": "Node", "name": f"n{n}_kernel_time", "dur": 5, "args": {"provider": node, "op_name": "Conv"}}
                for n, node in enumerate(self.nodes)
            ]
            Path(options.profile_file_prefix).write_text(json.dumps(events))
            return options.profile_file_prefix

        return SimpleNamespace(
            get_providers=lambda: [provider, CPU] if self.takes else [CPU],
            run=lambda _, feed: list(feed.values()),
            end_profiling=end_profiling,
        )


def opened(library: Library, monkeypatch: pytest.MonkeyPatch, runtime: Any = OnnxRuntimeCuda) -> Any:
    monkeypatch.setitem(sys.modules, "onnxruntime", library)
    return runtime(3).make_engine().open(Prepared(["model.onnx"], {"x": np.ones(2, np.float32)}))


def test_a_network_on_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(CUDA, CPU, nodes=(CUDA, CUDA))
    assert np.array_equal(opened(library, monkeypatch).outputs()[0], np.ones(2))
    assert [provider for provider, *_ in library.opened] == [CUDA]


def test_a_part_on_the_cpu_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(CUDA, CPU, nodes=(CUDA, CPU))
    opened(library, monkeypatch).run()
    assert len(library.opened) == 3  # refused, timed, profiled


def test_a_network_wholly_on_the_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MeasurementError, match=r"CUDAExecutionProvider runs no operator of this network.*assigned"):
        opened(Library(CUDA, CPU, nodes=(CPU, CPU)), monkeypatch)


def test_a_session_that_falls_back_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MeasurementError, match="did not take CUDAExecutionProvider, it would run the network with CPU"):
        opened(Library(CUDA, CPU, takes=False), monkeypatch)


def test_xnnpack_gets_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library("XnnpackExecutionProvider", CPU)
    opened(library, monkeypatch, OnnxRuntimeXnnpack)
    assert library.opened[0][1] == {"intra_op_num_threads": "3"}


@pytest.mark.parametrize("name", PROVIDER_RUNTIMES)
def test_a_provider_that_the_wheel_lacks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", Library(CPU))
    runtime = PROVIDER_RUNTIMES[name]()
    text = f"the installed onnxruntime 1.0 lacks {runtime.provider}, it has {CPU}: "
    with pytest.raises(MeasurementError, match=text):
        runtime.describe()
    with pytest.raises(MeasurementError, match=f"this onnxruntime has no {runtime.provider}; it has {CPU}"):
        runtime.make_engine().describe()  # as on a board


def test_it_says_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", Library(CUDA, CPU))
    assert OnnxRuntimeCuda().describe() == "onnxruntime 1.0 CUDA float32"
    assert OnnxRuntimeCuda().hardware.endswith(f", {CUDA}")
    assert not OnnxRuntimeCuda().is_serial


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match="the extra 'onnxruntime', for runtime onnxruntime-cuda"):
        OnnxRuntimeCuda().describe()
