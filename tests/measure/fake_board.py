"""A runtime for the tests that starts quickly on a board, and does what the model files say."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from hwnas_surrogate.measure import Runnable
from hwnas_surrogate.measure.runtimes import Converted, FileRuntime
from hwnas_surrogate.runner.onnx_engines import OnnxRuntimeEngine
from hwnas_surrogate.runner.prepared import Prepared
from tests.measure.fake_runtimes import ops_of

SIZES = {"big": 1, "huge": 30}
"""Megabytes of files."""

LIBRARY = """
import json, os, signal, time
import numpy as np

__version__ = "0.fake"

def get_available_providers():
    return ["CPUExecutionProvider"]

def disable_telemetry_events():
    pass

class GraphOptimizationLevel:
    ORT_ENABLE_ALL = 99

class SessionOptions:
    enable_profiling = False

    def add_session_config_entry(self, name, value):
        pass

class InferenceSession:
    def __init__(self, path, options, providers):
        with open(path) as file:
            self.deed, self.name = file.read().split()[:2]
        self.runs, self.options = 0, options
        self.act("profile" if options.enable_profiling else "load")

    def get_providers(self):
        return ["CPUExecutionProvider"]

    def run(self, names, feed):
        self.runs += 1
        self.act("run" if self.runs > 3 else "warm")
        self.spin({"slow": 2e-2}.get(self.deed, 1e-4))
        return [np.zeros(1)]

    def end_profiling(self):
        sizes = {"output_type_shape": [{"float": [1, 4]}], "parameter_size": "16"}
        event = {"cat": "Node", "name": "a_kernel_time", "dur": 1500, "args": {"op_name": "Conv", **sizes}}
        with open(self.options.profile_file_prefix, "w") as file:
            json.dump([event] * self.runs, file)
        return self.options.profile_file_prefix

    def act(self, when):
        with open(os.path.join(os.path.dirname(__file__), "log"), "a") as log:
            log.write(when + " " + self.name + chr(10))
        what, _, then = self.deed.partition("-")
        if then == when:
            {"crash": self.crash, "hang": self.hang, "refuse": self.refuse}[what]()

    def spin(self, seconds):
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    def crash(self):
        os.kill(os.getpid(), signal.SIGSEGV)

    def hang(self):
        time.sleep(1000)

    def refuse(self):
        raise ValueError("no kernel for " + self.name)
"""


class FakeBoard:
    """What is on a board: a Python that imports the fake runtime as ONNX Runtime.

    Parameters
    ----------
    folder : Path
        An empty folder for its files.
    before : str
        Python that each process there runs first.
    """

    def __init__(self, folder: Path, before: str = "") -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "onnxruntime.py").write_text(LIBRARY)
        (folder / "sitecustomize.py").write_text(before)
        self.python = folder / "python"
        self.python.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" "$@"\n')
        self.python.chmod(0o755)

    def log(self, what: str) -> list[str]:
        """Return the networks that were loaded (``"load"``), profiled or run (``"run"``: after the first three)."""
        path = self.folder / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split()[1] for line in lines if line.split()[0] == what]


@dataclass(frozen=True)
class Scripted(FileRuntime):
    """Writes files for the fake runtime.

    ``deeds`` are pairs of a network's ops, such as ``"012340"``, and what it does: ``"crash-load"``, ``"hang-run"``,
    ``"refuse-load"``, ``"refuse-profile"``, ``"slow"``, ``"big"`` (its file has a megabyte), ``"huge"`` (thirty), or
    ``"unconvertible"``.
    """

    deeds: tuple[tuple[str, str], ...] = ()
    name: ClassVar[str] = "scripted"
    extra: ClassVar[str] = "onnxruntime"
    format: ClassVar[str] = "onnx"
    engine: ClassVar = OnnxRuntimeEngine

    def convert(self, network: Runnable, folder: Path) -> Converted:
        text = "".join(map(str, ops_of(network.module()[0])))
        deed = dict(self.deeds).get(text, dict(self.deeds).get("*", "fine"))
        if deed == "unconvertible":
            raise ValueError(f"no converter for {text}")
        path = folder / "model.onnx"
        path.write_text(f"{deed} {text} " + "x" * (1 << 20) * SIZES.get(deed, 0))
        return Converted([path], {"image": np.zeros((1, 1), np.float32)})

    def prepare(self, network: Runnable, folder: Path) -> Prepared:
        files, inputs = self.convert(network, folder)
        return Prepared(list(map(str, files)), inputs, None, None)
