"""Which network a result belongs to: an exported architecture, or a graph."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple, TypeAlias

from hwnas_surrogate.data.csv_lines import CsvFile, WrongLines
from hwnas_surrogate.data.model_column import MODEL, NamedGraphs
from hwnas_surrogate.data.tool_files.result import ToolResult
from hwnas_surrogate.data.wide import ARCHITECTURE, CONFIGS, space_of
from hwnas_surrogate.errors import DataFileError, HWNASError, InvalidInputError, closest
from hwnas_surrogate.graphs import Graph, GraphBatch
from hwnas_surrogate.inputs import read_bytes, read_json
from hwnas_surrogate.spaces import NetworkConfig, SearchSpace, arch_from_text, get_space

__all__ = ["ArchModel", "GraphModel", "Model", "Models"]

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
"""What ``hwnas export`` writes beside the networks."""
_LARGEST = 2**28
_LISTED = 8
_LONGEST_NAME = 255
"""Characters of a file's name in common file systems."""
_FILE = "file"
_OF_ENTRY = (_FILE, ARCHITECTURE, "config")
_CONVERTED = (
    r"fp32|fp16|bf16|fp8|int8|int4|uint8|f32|f16|tf32|float32|float16|best|sim|opt|quant|quantized|dynamic|static|"
    r"b[0-9]+|bs[0-9]+|batch[0-9]+"
)
_OUTPUT = (
    r"times|timing|profile|profiling|log|out|stdout|stderr|trace|pt|report|results?|latency|benchmark|bench|trtexec|trt|"
    r"tensorrt|openvino|ov|tflite|litert|onnxruntime|ort|onnx|torch|run[0-9]*|rep[0-9]*|pass[0-9]*|[0-9]{10,}|"
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}_[0-9]{2}-[0-9]{2}-[0-9]{2}(_[0-9]+)?"
)
_GENERAL = r"app|average|counters|detailed|sorted|test|perf|session|profiler|model|engine|network|net|inference"
_SAYS_NOTHING = re.compile(
    rf"({_CONVERTED}|{_OUTPUT}|{_GENERAL})([-_.]+({_CONVERTED}|{_OUTPUT}|{_GENERAL}))*", re.IGNORECASE
)
"""Names that every model, or every result, may have: the folder is called like the model."""
_ENDING = re.compile(rf"([-_.]+({_CONVERTED}|{_OUTPUT}))*", re.IGNORECASE)
"""What the names of converted models, and of files with their results, have after the model's name."""


class ArchModel(NamedTuple):
    """An architecture under a config."""

    space: SearchSpace
    text: str
    config: NetworkConfig


class GraphModel(NamedTuple):
    """A graph and its name."""

    name: str
    graph: Graph


Model: TypeAlias = ArchModel | GraphModel


class Models:
    """The networks that results may belong to, by the names of their files.

    Parameters
    ----------
    manifest : path-like, optional
        ``manifest.json`` of ``hwnas export``, or a CSV file with the columns ``file`` and ``architecture`` (and
        ``config``), or ``file`` and ``model``. If None: the ``manifest.json`` in the folder of a result, or in the one
        above.
    space : SearchSpace, optional
        The space of the architectures; that of the manifest if None.
    graphs : GraphBatch, optional
        Networks of any kind, by their names.

    Raises
    ------
    DataFileError
        If the manifest can't be read, or is of another version.
    """

    def __init__(self, manifest: Path | None, space: SearchSpace | None, graphs: GraphBatch | None) -> None:
        self._space, self._graphs = space, graphs
        self._named = {} if graphs is None else dict(map(GraphModel, graphs.names, graphs.graphs))
        self._given = None if manifest is None else self._read(manifest)
        self._found: dict[Path, Mapping[str, Model]] = {}

    def find(self, result: ToolResult, path: Path) -> Model:
        """Return the network of a result in a file.

        Raises
        ------
        DataFileError
            If it is not known; the message lists what is.
        """
        known = self._known(path.parent)
        names = list(_names(result, path))
        for stem in (stem for name in names for stem in _stems(name)):
            if stem in known:
                return known[stem]
        stated = path.parent / result.network
        if not known and result.network.lower().endswith(".onnx") and stated.is_file():
            return GraphModel(*NamedGraphs(path, self._graphs).find(result.network))
        listed = ", ".join([*map(repr, islice(known, _LISTED)), *(["..."] if len(known) > _LISTED else [])])
        of = f"of the model {result.network[:200]!r}" if result.network else f"called {names[0][:200]!r}"
        raise DataFileError(
            f"{path}: the result is {of}, which nobody exported or named; known: {listed or 'none'}."
            f"{closest(names[0], known)} A manifest (--manifest: manifest.json of hwnas export, or a CSV with the "
            "columns file and model) or networks (--networks) say which network it is."
        )

    def _known(self, folder: Path) -> Mapping[str, Model]:
        if self._given is not None:
            return self._given
        if self._named:
            return {name: GraphModel(name, graph) for name, graph in self._named.items()}
        if folder not in self._found:
            beside = next((place / MANIFEST for place in (folder, folder.parent) if (place / MANIFEST).is_file()), None)
            self._found[folder] = {} if beside is None else self._read(beside)
        return self._found[folder]

    def _read(self, path: Path) -> Mapping[str, Model]:
        try:
            if path.suffix.lower() == ".json":
                return self._exported(path, read_json(read_bytes(path, _LARGEST)))
            return self._of_csv(CsvFile(path))
        except OSError as error:
            raise DataFileError(f"can't read {path}: {error.strerror or error}.") from error
        except HWNASError:
            raise
        except ValueError as error:  # no JSON
            raise DataFileError(f"{path} is no manifest that hwnas export wrote: {error}.") from error

    def _exported(self, path: Path, manifest: Any) -> Mapping[str, Model]:
        entries = manifest.get("networks") if isinstance(manifest, dict) else None
        if not isinstance(entries, list) or not isinstance(manifest.get("space"), str):
            raise DataFileError(f"{path} is no manifest that hwnas export wrote: it has no space and networks.")
        if manifest.get("version") != MANIFEST_VERSION:
            raise DataFileError(
                f"{path} is a manifest of version {manifest.get('version')!r:.40}, this package reads version "
                f"{MANIFEST_VERSION}: export the networks again, or import with the package that exported them."
            )
        space = get_space(manifest["space"])
        if self._space is not None and self._space.name != space.name:
            raise InvalidInputError(f"{path} names architectures of {space.name}, not of {self._space.name}.")
        found: dict[str, Model] = {}
        for number, entry in enumerate(entries):
            texts: list[Any] = [entry.get(name) if isinstance(entry, dict) else None for name in _OF_ENTRY]
            if not all(isinstance(text, str) and text for text in texts):
                raise DataFileError(f"{path}: network number {number} must have a file, an architecture and a config.")
            where = f"network number {number}"
            self._add(found, path, where, texts[0], _arch_model(space, texts[1], texts[2], f"{path}: {where}"))
        return found

    def _of_csv(self, file: CsvFile) -> Mapping[str, Model]:
        names = ["config" if name.casefold() in CONFIGS else name.casefold() for name in file.header]
        column = next((name for name in (ARCHITECTURE, MODEL) if name in names), None)
        if column is None or names.count(_FILE) != 1 or names.count(column) != 1 or names.count("config") > 1:
            raise DataFileError(
                f"{file.path} must have the columns file and architecture (and config), or file and model, each once; "
                f"it has {', '.join(file.header)[:200] or 'none'}."
            )
        graphs = NamedGraphs(file.path, self._graphs)
        found: dict[str, Model] = {}
        wrong, space = WrongLines(file.path), self._space
        for lines, texts in file.columns(wrong, names):
            configs = texts.get("config", ("",) * len(lines))
            for line, model_file, text, config in zip(
                lines.tolist(), texts[_FILE], texts[column], configs, strict=True
            ):
                where = f"line {line}"
                if column == MODEL:
                    model: Model = _graph_model(graphs, text.strip(), f"{file.path}: {where}")
                else:
                    space = space or space_of([text.strip()])
                    model = _arch_model(space, text.strip(), config.strip(), f"{file.path}: {where}")
                self._add(found, file.path, where, model_file, model)
        wrong.check()
        return found

    @staticmethod
    def _add(found: dict[str, Model], path: Path, where: str, file: str, model: Model) -> None:
        stem = _stem(file.strip())
        if not stem:
            raise DataFileError(f"{path}: {where} names no file.")
        if found.setdefault(stem, model) != model:
            raise DataFileError(f"{path}: {where} gives {stem!r:.200} another network than an earlier one: rename one.")


def _arch_model(space: SearchSpace, text: str, config: str, where: str) -> ArchModel:
    try:
        arch = space.stack([arch_from_text(text)], None)[0]
        return ArchModel(space, space.format(arch), space.config(config or None))
    except (HWNASError, ValueError) as error:  # int() has ValueErrors of its own
        raise DataFileError(f"{where}: {error}") from error


def _graph_model(graphs: NamedGraphs, text: str, where: str) -> GraphModel:
    try:
        return GraphModel(*graphs.find(text))
    except HWNASError as error:
        raise DataFileError(f"{where}: {error}") from error


def _names(result: ToolResult, path: Path) -> Iterable[str]:
    """Yield what the network of a result may be called: the model's file, or, if none is stated, the result's own."""
    if result.network:
        stated = PureWindowsPath(result.network)
        names = [stated.name, stated.stem]  # a network's name may have points in it
        folders = [stated.parent.name]
    else:
        names = [_stem(path.name.removesuffix(".gz"))]
        folders = [result.folder, path.absolute().parent.name]
    yield from names
    if len(names[-1]) <= _LONGEST_NAME and _SAYS_NOTHING.fullmatch(names[-1]):
        yield from folders


def _stems(name: str) -> Iterable[str]:
    """Yield a name, and the name without endings that say how the model was converted, or what the file holds."""
    marks = [found.start() for found in re.finditer(r"[-_.]", name)] if len(name) <= _LONGEST_NAME else []
    cuts = [len(name), *reversed(marks)]
    return (name[:cut] for cut in cuts if _ENDING.fullmatch(name, cut))


def _stem(file: str) -> str:
    return PureWindowsPath(file).stem
