"""An engine that executes ExecuTorch's files."""

from __future__ import annotations

import os
import tempfile
import warnings
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.runner.engine import Engine, Operator, Session
from hwnas_surrogate.runner.prepared import Prepared

__all__ = ["ExecuTorchEngine"]


class ExecuTorchEngine(Engine):
    """ExecuTorch's Python runtime on the CPU: XNNPACK, and portable kernels for what XNNPACK does not run.

    A board needs PyTorch too, whose tensors the runtime takes and returns. All networks of a process share its threads:
    an engine with another number of threads ends those of the networks that are open.
    """

    name = "executorch"
    library = "executorch"
    suffix = ".pte"
    reports_operators = True

    def describe(self) -> str:
        """Return the version."""
        from executorch.version import __version__

        return f"executorch {__version__.partition('+')[0]} XNNPACK"

    def open(self, prepared: Prepared) -> Session:
        """Set the number of threads, and load the ``.pte`` file."""
        library = _executorch_library()
        if not library._is_available("XnnpackBackend"):
            raise MeasurementError("this ExecuTorch is built without XNNPACK, which the network was converted for.")
        # The only way to set them, and the only one to read them; the name warns of networks that run meanwhile.
        if library._threadpool_get_thread_count() != self.threads:
            library._unsafe_reset_threadpool(self.threads)
        threads = library._threadpool_get_thread_count()
        if threads != self.threads:
            raise MeasurementError(f"ExecuTorch runs with {threads} threads, not {self.threads}.")
        return _ExecuTorchSession(prepared)


class _ExecuTorchSession(Session):
    def __init__(self, prepared: Prepared) -> None:
        import torch

        with open(prepared.files[0], "rb") as file:
            self._data = file.read()
        self._inputs = [torch.from_numpy(array) for array in prepared.inputs.values()]
        _, self._execute = self._opened(is_traced=False)

    def _opened(self, is_traced: bool) -> tuple[Any, Any]:
        """Return the program and what executes its method."""
        from executorch.runtime import Runtime

        try:
            program = Runtime.get().load_program(self._data, enable_etdump=is_traced)
            return program, program.load_method("forward").execute
        except (RuntimeError, KeyError) as error:
            raise MeasurementError(f"ExecuTorch can't load the network: {error}") from error

    def run(self) -> None:
        self._execute(self._inputs)

    def outputs(self) -> list[npt.NDArray[Any]]:
        return [tensor.numpy().copy() for tensor in self._execute(self._inputs)]

    def operators(self, runs: int) -> Optional[list[Operator]]:
        """Read its trace (ETDump) with its inspector: XNNPACK's operators to 1 us, portable kernels to 1 ns.

        Each time is the median over the executions. Their sum is smaller than the time of the network, which includes
        copying its inputs and outputs and calling XNNPACK. The inspector is a part of ExecuTorch's package, and takes
        seconds to import. None if the package is built without event tracing.
        """
        program, execute = self._opened(is_traced=True)
        for _ in range(runs + 1):
            execute(self._inputs)
        with tempfile.TemporaryDirectory() as folder:
            trace = os.path.join(folder, "trace.etdp")
            try:
                program.write_etdump_result_to_file(trace, os.path.join(folder, "debug.bin"))
            except RuntimeError:  # it holds no trace
                return None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of its libraries, about themselves
                from executorch.devtools import Inspector

                blocks = Inspector(etdump_path=trace).event_blocks
        found = []
        for event in (event for block in blocks if block.name == "Execute" for event in block.events):
            is_portable = event.name.startswith(_PORTABLE)
            if event.is_delegated_op or is_portable:  # other events enclose these
                name = event.name[len(_PORTABLE) :] if is_portable else event.name
                kind = name.partition(" #")[0]
                found.append(Operator(name, kind, float(np.median(event.perf_data.raw[1:]))))
        return found


_PORTABLE = "native_call_"


def _executorch_library() -> Any:
    """Import the module that ``executorch.runtime`` is made of; it warns that it is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import executorch.extension.pybindings.portable_lib as library
    return library
