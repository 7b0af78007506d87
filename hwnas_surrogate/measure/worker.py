"""The measuring process of this host: it finds the networks again and loads them with a runtime of the package."""

from __future__ import annotations

import contextlib
import importlib
import json
from typing import Any

from hwnas_surrogate.measure.runtimes.base import Runtime
from hwnas_surrogate.measure.subjects import from_message
from hwnas_surrogate.runner.blocks import BlockServer, measuring_pipes, reason_of
from hwnas_surrogate.runner.rounds import Run
from hwnas_surrogate.spaces import register_space

__all__ = ["loader"]


def loader(runtime: Runtime) -> Any:
    """Return the function that loads the network of a message."""

    def load(message: dict[str, Any]) -> Run:
        return runtime.load(from_message(message).build(runtime.batch))

    return load


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
            runtime = _greeted(json.loads(source.readline()))
        except Exception as error:  # noqa: BLE001 - sent to the parent, which raises it
            server.say("refused", why=reason_of(error))
            return
        server.say("end", seconds={})
        with runtime.active():
            server.serve(source, loader(runtime), runtime.meter, runtime.is_serial)


if __name__ == "__main__":
    _main()
