"""An engine that executes ncnn's files."""

from __future__ import annotations

import time
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.runner.engine import Engine, Operator, Session
from hwnas_surrogate.runner.prepared import Prepared

__all__ = ["NcnnEngine"]

INEXACT = ("fp16", "bf16", "int8", "vulkan")
"""Parts of the names of ncnn's options that make it compute with another number format or on a GPU."""
STORED = {"Convolution": "6", "ConvolutionDepthWise": "6", "Deconvolution": "6", "InnerProduct": "2"}
"""The parameter of layers that is the number of their weights."""


class NcnnEngine(Engine):
    """ncnn on the CPU, float32: the options for half precision and int8 are off, all others as ncnn sets them.

    ncnn knows no batch dimension. The model's inputs and outputs are called ``in0``, ``in1``, ..., ``out0``, ..., as
    pnnx names them; their order is the network's. ncnn can't report how many threads it uses: the option is set, and
    read again when the network is loaded.
    """

    name = "ncnn"
    library = "ncnn"
    suffix = ".param"
    reports_operators = True

    def describe(self) -> str:
        """Return the version."""
        import ncnn

        return f"ncnn {ncnn.__version__} CPU"

    def open(self, prepared: Prepared) -> Session:
        """Load the ``.param`` and the ``.bin`` file."""
        return _NcnnSession(self.threads, prepared)


class _NcnnSession(Session):
    def __init__(self, threads: int, prepared: Prepared) -> None:
        import ncnn

        self._net, self._empty = ncnn.Net(), ncnn.Mat
        option = self._net.opt
        for name in dir(option):
            if name.startswith("use_") and any(part in name for part in INEXACT):
                setattr(option, name, False)
        option.num_threads = threads
        structure, weights = prepared.files
        if self._net.load_param(structure) or self._net.load_model(weights):
            raise MeasurementError("ncnn can't load the network; it prints why on standard error.")
        self._stored = _stored(structure)  # now: the file may be gone later
        if self._net.opt.num_threads != threads:
            raise MeasurementError(f"ncnn runs with {self._net.opt.num_threads} threads, not {threads}.")
        numbers = dict(zip(self._net.input_names(), self._net.input_indexes()))
        missing = sorted(set(prepared.inputs) - set(numbers))
        if missing:
            raise MeasurementError(f"the ncnn model has no input {missing[0]!r}; it has {', '.join(numbers)}.")
        # A copy has memory of its own, aligned as ncnn aligns it.
        self._feed = [(numbers[name], ncnn.Mat(_ncnn_input(array)).clone()) for name, array in prepared.inputs.items()]
        self._results = [(number, ncnn.Mat()) for number in self._output_numbers()]

    def _output_numbers(self) -> list[int]:
        """Return the outputs in the network's order; what else has no reader, such as a state, is none."""
        found = zip(self._net.output_names(), self._net.output_indexes())
        numbered = [(int(name[3:]), number) for name, number in found if name[:3] == "out" and name[3:].isdigit()]
        return [number for _, number in sorted(numbered)]

    def _begun(self) -> Any:
        extractor = self._net.create_extractor()
        for number, mat in self._feed:
            extractor.input(number, mat)
        return extractor

    def run(self) -> None:
        extractor = self._begun()
        for number, mat in self._results:  # each computes only what those before it did not need
            extractor.extract(number, mat)

    def outputs(self) -> list[npt.NDArray[Any]]:
        extractor = self._begun()
        failed = [number for number, mat in self._results if extractor.extract(number, mat)]
        if failed:
            raise MeasurementError("ncnn can't run the network; it prints why on standard error.")
        return [np.array(mat)[None] for _, mat in self._results]  # with the batch dimension, which ncnn lacks

    def operators(self, runs: int) -> Optional[list[Operator]]:
        """Request the layers' outputs one after another, each of which computes that layer only.

        The wheel has no timers of its own. The time of a second request, which computes nothing, is subtracted. An
        output is released before the next layer, since layers work in place on memory that nobody else holds. Each
        layer's time is the median over the executions; their sum differs from that of the whole network by some
        percent.
        """
        layers = [layer for layer in self._net.layers() if layer.tops and layer.type != "Input"]
        clock = time.perf_counter_ns
        times, written = np.empty((runs + 1, len(layers))), [0] * len(layers)
        for row in times:
            extractor, mat = self._begun(), self._empty()
            for place, layer in enumerate(layers):
                number = layer.tops[-1]
                begin = clock()
                extractor.extract(number, mat, 1)  # 1: in the layout that the next layer reads
                computed = clock()
                written[place] = mat.w * mat.h * mat.d * mat.c * mat.elempack
                mat.release()
                again = clock()
                extractor.extract(number, mat, 1)
                row[place] = computed - begin - (clock() - again)
                mat.release()
        typical, stored = np.median(times[1:], axis=0).clip(0) / 1e6, self._stored
        return [
            Operator(layer.name, layer.type, float(ms), numbers, stored.get(layer.name, 0))
            for layer, ms, numbers in zip(layers, typical, written)
        ]


def _stored(structure: str) -> dict[str, int]:
    """Return how many weights layers store, by their names, from a ``.param`` file: ncnn itself does not report it."""
    found = {}
    with open(structure, encoding="utf-8") as file:
        for kind, name, *rest in (line.split() for line in file if len(line.split()) > 2):
            sizes = dict(part.split("=", 1) for part in rest if "=" in part)
            if kind in STORED and sizes.get(STORED[kind], "").isdigit():
                found[name] = int(sizes[STORED[kind]])
    return found


def _ncnn_input(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an input without its batch dimension, and with whole numbers as ncnn stores them."""
    if array.ndim and array.shape[0] != 1:
        raise MeasurementError(f"ncnn runs batch 1 only, and an input has the shape {array.shape}.")
    is_integer = np.issubdtype(array.dtype, np.integer) or array.dtype == np.bool_
    return np.ascontiguousarray(array.reshape(array.shape[1:] or (1,)), dtype=np.int32 if is_integer else np.float32)
