"""Export networks as files, to measure them on any board."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import hwnas_surrogate
from hwnas_surrogate.data.rows import Configs
from hwnas_surrogate.errors import DataFileError, InvalidInputError, unknown
from hwnas_surrogate.files import check_folder, replacing_in, settle
from hwnas_surrogate.measure.form import RESULTS, write_form
from hwnas_surrogate.measure.runnable import TorchRunnable
from hwnas_surrogate.measure.runner_file import RUNNER, runner_source
from hwnas_surrogate.measure.runtimes import (
    Converted,
    ExecuTorch,
    FileRuntime,
    LiteRT,
    LiteRTInt8,
    Ncnn,
    OnnxRuntime,
    OnnxRuntimeInt8,
)
from hwnas_surrogate.networks import build_network, example_inputs
from hwnas_surrogate.runner.prepared import noise
from hwnas_surrogate.runner.timing import Progress
from hwnas_surrogate.spaces import Archs, NetworkConfig, SearchSpace, get_space

__all__ = ["FORMATS", "check_empty", "export_networks"]

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1


MOST_VALUES = 10_000
"""Values of a network's outputs that the manifest holds; larger ones are not checked on the board."""

FORMATS: Mapping[str, type[FileRuntime] | None] = MappingProxyType(
    {kind.format: kind for kind in (OnnxRuntime, OnnxRuntimeInt8, LiteRT, LiteRTInt8, Ncnn, ExecuTorch)}
    | {"torch": None}
)
"""The formats, each with a runtime that converts networks to it; ``torch`` is that of torch.export."""


def export_networks(
    space: str | SearchSpace,
    archs: Archs,
    folder: str | os.PathLike[str],
    configs: Configs = None,
    *,
    formats: Sequence[str] = ("onnx",),
    random_state: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Write networks as files, with a manifest, a form for the results, and a program that fills it in on a board.

    The files appear together, when all are written: an export that fails or is killed leaves the folder empty.

    Parameters
    ----------
    space : str or SearchSpace
        The search space.
    archs : architectures
        n of them.
    folder : path-like
        An empty folder, or one that does not exist yet.
    configs : config or sequence of n configs, optional
        The network configs; the space's first published one if None.
    formats : sequence of str, default=("onnx",)
        The formats to write each network in, of :data:`FORMATS`: ``"onnx"``, ``"onnx-int8"``, ``"tflite"``,
        ``"tflite-int8"``, ``"ncnn"``, ``"executorch"``, ``"torch"`` (torch.export).
    random_state : int, default=0
        Seed of the weights.
    progress : callable, optional
        Called with (networks written, n).

    Returns
    -------
    Path
        The manifest: ``manifest.json`` names each file with its architecture, config, input shape and sha256.
        ``results.csv`` has a line per network (its file in the first format). ``python run.py`` fills it in on a board
        that has Python, numpy and the runtime; otherwise fill in the device's name and the measured value. Then read it
        with :func:`~hwnas_surrogate.data.read_measurements` or ``hwnas import``.

    Raises
    ------
    InvalidInputError
        If the folder is not empty, a format is unknown, ``random_state`` is no seed, or there are no architectures.
    MissingExtraError
        If what converts to a format is not installed.
    MeasurementError
        If a network can't be converted to a format.
    DataFileError
        If the folder can't be read or a file can't be written.
    """
    chosen = get_space(space)
    batch = chosen.as_array(archs)
    names = [formats] if isinstance(formats, str) else list(dict.fromkeys(formats))
    target = Path(folder)
    _check(names, random_state, batch, target)
    distinct, numbers = chosen.group_configs(configs, len(batch))
    chosen.batch(batch, [distinct[number] for number in numbers])  # raises where a network can't be built
    entries: list[dict[str, Any]] = []
    with replacing_in(target) as temporary:
        for row, (arch, number) in enumerate(zip(batch, numbers.tolist(), strict=True)):
            config = distinct[number]
            network = build_network(arch, config, chosen, random_state)
            runnable = TorchRunnable(network, _inputs(chosen, arch, config))
            for name in names:
                written = _write(name, runnable, temporary, f"network-{row:05d}")
                known = {"format": name, "architecture": chosen.format(arch), "config": str(config)}
                entries.append({"file": written["run"]["files"][0], **known, **written})
            if progress is not None:
                progress(row + 1, len(batch))
        write_form(temporary / RESULTS, [entry for entry in entries if entry["format"] == names[0]])
        first = FORMATS[names[0]]
        if first is not None:
            (temporary / RUNNER).write_text(runner_source(first.engine.suffix), encoding="utf-8")
        manifest = {
            "version": MANIFEST_VERSION,
            "package": hwnas_surrogate.__version__,
            "space": chosen.name,
            "random_state": int(random_state),
            "networks": entries,
        }
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return target / MANIFEST


def _inputs(space: SearchSpace, arch: npt.NDArray[np.int8], config: NetworkConfig) -> tuple[torch.Tensor, ...]:
    """Return the inputs that a board makes up as well, or those that a space of one's own gives."""
    given = example_inputs(space, arch, config)
    if space.inputs(arch, config) is not None:
        return given
    [image] = noise([("image", "float32", tuple(given[0].shape))]).values()
    return (torch.from_numpy(image),)


def _write(name: str, network: TorchRunnable, folder: Path, stem: str) -> dict[str, Any]:
    """Write a network in one format; return what the manifest says of its files, and how a board runs them."""
    kind = FORMATS[name]
    with tempfile.TemporaryDirectory(prefix="hwnas-") as scratch:
        files, feed = _save_torch(network, Path(scratch)) if kind is None else kind().convert(network, Path(scratch))
        moved = [Path(shutil.move(file, folder / f"{stem}{file.suffix}")) for file in files]
    described = [[name, str(array.dtype), list(array.shape)] for name, array in feed.items()]
    outputs = network.expected()
    same = all(np.array_equal(feed[name], array) for name, array in noise(described).items())
    is_small = sum(array.size for array in outputs) <= MOST_VALUES
    return {
        "input": described[0] if len(described) == 1 else described,
        "sha256": hashlib.sha256(moved[0].read_bytes()).hexdigest(),
        "run": {
            "files": [path.name for path in moved],
            "sha256": [hashlib.sha256(path.read_bytes()).hexdigest() for path in moved],
            "inputs": described,
            "outputs": [array.ravel().tolist() for array in outputs] if same and is_small else None,
            "tolerance": None if kind is None else kind.tolerance,
        },
    }


def _save_torch(network: TorchRunnable, folder: Path) -> Converted:
    module, inputs = network.module()
    program = torch.export.export(module, inputs)
    # Not directly into the file: if the disk is full, torch's archive writer ends the whole process.
    archive = io.BytesIO()
    torch.export.save(program, archive)
    path = folder / "model.pt2"
    path.write_bytes(archive.getvalue())
    names = ["image"] if len(inputs) == 1 else [f"input_{number}" for number in range(len(inputs))]
    return Converted([path], {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)})


def _check(names: Sequence[str], random_state: int, batch: npt.NDArray[np.int8], target: Path) -> None:
    """Raise if something can't be exported, before anything is written."""
    wrong = next((name for name in names if name not in FORMATS), None)
    if wrong is not None or not names:
        raise unknown(InvalidInputError, "format", wrong, FORMATS)
    if not isinstance(random_state, (int, np.integer)) or random_state < 0:
        raise InvalidInputError(
            f"random_state must be a non-negative integer, a seed that the manifest names, got {random_state!r}."
        )
    if not len(batch):
        raise InvalidInputError("there is nothing to export: no architectures were given.")
    check_empty(target)


def check_empty(folder: Path) -> None:
    """Refuse, before any work, a folder that networks can't be exported to."""
    check_folder(folder)
    settle(folder)
    try:
        taken = folder.exists() and any(folder.iterdir())
    except OSError as error:
        raise DataFileError(f"can't read {folder}: {error.strerror or error}.") from error
    if taken:
        raise InvalidInputError(f"{folder} is not an empty folder; choose another, so that nothing there is lost.")
