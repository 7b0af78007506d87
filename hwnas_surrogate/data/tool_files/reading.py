"""Read the result files of tools into a cost table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from hwnas_surrogate.data.table import CostTable
from hwnas_surrogate.data.target import Target
from hwnas_surrogate.data.tool_files.models import GraphModel, Model, Models
from hwnas_surrogate.data.tool_files.recognising import TOOL_FILES, results_of
from hwnas_surrogate.data.tool_files.result import ToolResult
from hwnas_surrogate.data.tool_files.tabulating import Measured, Placed, tabulated
from hwnas_surrogate.errors import DataFileError, InvalidInputError
from hwnas_surrogate.graphs import GraphBatch
from hwnas_surrogate.inputs import as_path, input_path
from hwnas_surrogate.spaces import Networks, SearchSpace, as_batch, get_space

__all__ = ["read_tool_files"]

_MOST_FILES = 100_000
_TEXTS = (".csv", ".json", ".log", ".txt")


def read_tool_files(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    device: str,
    *,
    manifest: str | os.PathLike[str] | None = None,
    space: str | SearchSpace | None = None,
    networks: Networks | None = None,
) -> CostTable:
    """Read the result files of the tools that people measure with into a cost table.

    Which tool wrote a file is recognised by its content: TensorRT's trtexec (log, ``--exportTimes``,
    ``--exportProfile``), OpenVINO's benchmark_app (log; reports and counters as CSV or JSON), LiteRT's benchmark_model
    (log; CSV of operators) and litert-benchmark (JSON), onnxruntime_perf_test (what it prints; result file), profiles
    of ONNX Runtime, traces of PyTorch's profiler (also gzipped). A log may hold several runs of a tool.

    A result belongs to the model that the file states, or else to the one that the file, or its folder, is called like;
    endings such as ``-fp16`` or ``_profile`` don't matter. Results of one network become their median; the table keeps
    the quartiles of the runs. Times measured while operators were timed count only where there are no others. A network
    that the tool could not run is a failure, with the tool's message as the reason.

    Several requests at once, as benchmark_app runs them unless told otherwise, have no latency: their throughput is
    read.

    Parameters
    ----------
    paths : path-like, or several
        Files, and folders that are searched for such files, folders inside them too.
    device : str
        The device's name. All results must be of one runtime, under the same conditions: others are other devices.
    manifest : path-like, optional
        Which networks the models are: ``manifest.json`` of ``hwnas export``, or a CSV file with the columns ``file``
        and ``architecture`` (and ``config``), or ``file`` and ``model``. If None: ``manifest.json`` in the folder of
        each file, or in the one above.
    space : str or SearchSpace, optional
        The space of the architectures; that of the manifest if None.
    networks : graphs, optional
        Networks of any kind: a batch, or a mapping of names to graphs.

    Returns
    -------
    CostTable
        Latencies in ms, or throughputs in images/s. ``meta["imported"]`` says how they were estimated: by the lower
        quartile of the runs where the file has them, as this package measures, otherwise by the tool's median,
        otherwise by its mean. ``meta["operators"]`` maps networks to lists of ``[name, kind, ms]``, the ms being those
        of one execution.

    Raises
    ------
    DataFileError
        If a file is not of a known tool, cut off or damaged, its network is not known, times of operators don't add up
        to about the latency (a hundredth of it to a hundred times as much), or results contradict one another; nothing
        is imported.
    InvalidInputError
        If an argument is not allowed.
    """
    chosen = None if space is None else get_space(space)
    graphs = None if networks is None else as_batch(None, networks)
    if graphs is not None and not isinstance(graphs, GraphBatch):
        raise InvalidInputError("networks names graphs; got architectures, which a manifest names.")
    Target(device, "latency")  # raises if the name is not allowed
    models = Models(None if manifest is None else input_path(manifest), chosen, graphs)
    placed = [Placed(result, path) for path, results in _read(paths) for result in results]
    rows: dict[Any, tuple[Model, list[Placed]]] = {}
    for one in placed:
        model = models.find(one.result, one.path)
        key = model.graph.digest if isinstance(model, GraphModel) else model[1:]
        rows.setdefault(key, (model, []))[1].append(one)
    return tabulated([Measured.of(model, some) for model, some in rows.values()], placed, device)


def _read(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[tuple[Path, list[ToolResult]]]:
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    found: dict[Path, tuple[Path, list[ToolResult]]] = {}  # a file may be named, and lie in a folder that is
    for path in map(as_path, given):
        some = 0
        for file in _files_in(path) if input_path(path).is_dir() else [path]:
            results = results_of(file)
            if results is not None:
                found[file.resolve()] = (file, results)
                some += 1
        if not some:
            what = f"the folder {path} has no result file" if path.is_dir() else f"{path} is no result file"
            raise DataFileError(
                f"{what} of a known tool; allowed: {', '.join(TOOL_FILES)}. A table of measurements (CSV) is imported "
                "alone, and names its devices itself."
            )
    if not found:
        raise InvalidInputError("there is nothing to read: name result files, or a folder of them.")
    return list(found.values())


def _files_in(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder that may be results."""
    try:
        paths = sorted(islice(folder.rglob("*"), _MOST_FILES + 1))
        if len(paths) > _MOST_FILES:
            raise DataFileError(f"{folder} has more than {_MOST_FILES:,} files: name those with results.")
        for path in paths:
            if path.is_file() and (path.suffix.lower() in _TEXTS or path.stat().st_size):
                yield path
    except OSError as error:
        raise DataFileError(f"can't read {folder}: {error.strerror or error}.") from error
