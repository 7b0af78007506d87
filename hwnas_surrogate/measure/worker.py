"""The measuring process of this host: it finds the networks again and loads them with a runtime of the package."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import shutil
from pathlib import Path
from typing import Any

from hwnas_surrogate.measure.runtimes.base import FileRuntime, Runtime
from hwnas_surrogate.measure.subjects import from_message
from hwnas_surrogate.runner.blocks import BlockServer, measuring_pipes, reason_of
from hwnas_surrogate.runner.engine import Operator
from hwnas_surrogate.runner.prepared import Prepared
from hwnas_surrogate.runner.rounds import Run
from hwnas_surrogate.spaces import register_space

__all__ = ["Networks"]

MOST_KEPT = 2**31
"""Bytes of converted networks that are kept for later passes; the disk must have as much again."""


class Networks:
    """Loads networks with a runtime.

    Converting a network takes longer than its runs. What was converted is kept in a folder, for later passes.

    Parameters
    ----------
    runtime : Runtime
    folder : Path, optional
        Where to keep converted networks; nothing is kept if None.
    """

    def __init__(self, runtime: Runtime, folder: Path | None = None) -> None:
        self._runtime, self._folder = runtime, folder
        self._kept = sum(path.stat().st_size for path in folder.rglob("*")) if folder is not None else 0

    def load(self, message: dict[str, Any]) -> Run:
        """Make the network of a message ready to run."""
        runtime = self._runtime
        if isinstance(runtime, FileRuntime):
            prepared = self._prepared(runtime, message)
            if prepared is not None:
                return runtime.make_engine().load(prepared, runtime.cold)
        return runtime.load(from_message(message).build(runtime.batch))

    def operators(self, message: dict[str, Any], runs: int) -> list[Operator]:
        """Time the operators of the network of a message."""
        runtime = self._runtime
        if isinstance(runtime, FileRuntime):
            prepared = self._prepared(runtime, message)
            if prepared is not None:
                return runtime.make_engine().operators(prepared, runs)
        return runtime.operators(from_message(message).build(runtime.batch), runs)

    def _prepared(self, runtime: FileRuntime, message: dict[str, Any]) -> Prepared | None:
        """Return a network that is kept, or convert and keep it; None if it can't be kept."""
        if self._folder is None:
            return None
        folder = self._folder / hashlib.sha256(json.dumps(message).encode()).hexdigest()
        description = folder / "described.json"
        if description.exists():
            return Prepared.read(folder, json.loads(description.read_text(encoding="utf-8")))
        shutil.rmtree(folder, ignore_errors=True)  # of a process that died while it wrote
        try:
            if self._kept > MOST_KEPT or shutil.disk_usage(self._folder).free < MOST_KEPT:
                return None
            folder.mkdir()
            prepared = runtime.prepare(from_message(message).build(runtime.batch), folder)
            if all(Path(path).parent == folder for path in prepared.files):  # not an ONNX file of the user's
                described = json.dumps(prepared.save(folder))
                description.with_suffix(".part").write_text(described, encoding="utf-8")
                description.with_suffix(".part").replace(description)
                self._kept += sum(path.stat().st_size for path in folder.rglob("*"))
        except OSError:  # others filled the disk, or removed the folder; if it's the network's, it's raised without it
            shutil.rmtree(folder, ignore_errors=True)
            return None
        return prepared


def _greeted(hello: dict[str, Any]) -> Runtime:
    """Return the runtime of the first request, and register the search spaces that it names."""
    for module, name in hello["spaces"]:
        # A space that can't be imported here, such as one of a script, raises later when it is measured.
        with contextlib.suppress(ImportError, AttributeError):
            register_space(_imported(module, name))
    runtime: Runtime = _imported(hello["module"], hello["runtime"])(**hello["options"])
    runtime.describe()
    return runtime


def _imported(module: str, qualified: str) -> Any:
    """Return a class by its module and its name in there."""
    found: Any = importlib.import_module(module)
    for name in qualified.split("."):
        found = getattr(found, name)
    return found


def _main() -> None:
    with measuring_pipes() as (source, sink, shared):
        server = BlockServer(sink, shared)
        try:
            hello = json.loads(source.readline())
            runtime = _greeted(hello)
        except Exception as error:  # noqa: BLE001 - sent to the parent, which raises it
            server.say("refused", why=reason_of(error))
            return
        server.say("end", seconds={})
        networks = Networks(runtime, Path(hello["folder"]))
        with runtime.active():
            server.serve(source, networks.load, runtime.meter, runtime.is_serial, networks.operators)


if __name__ == "__main__":
    _main()
