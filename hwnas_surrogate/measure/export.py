"""Export networks as files, to measure them on any board."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import hwnas_surrogate
from hwnas_surrogate.data.rows import Configs
from hwnas_surrogate.errors import DataFileError, InvalidInputError, unknown
from hwnas_surrogate.files import check_folder, replacing_in, settle
from hwnas_surrogate.measure.form import RESULTS, write_form
from hwnas_surrogate.measure.runnable import TorchRunnable
from hwnas_surrogate.networks import build_network, example_inputs
from hwnas_surrogate.runner.timing import Progress
from hwnas_surrogate.spaces import Archs, SearchSpace, get_space

__all__ = ["FORMATS", "check_empty", "export_networks"]

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1


Described = list[list[Any]]
"""The name, number format and shape of each input."""


def _save_onnx(network: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path) -> Described:
    model, feed = TorchRunnable(network, inputs).onnx()
    path.write_bytes(model)
    return [[name, str(array.dtype), list(array.shape)] for name, array in feed.items()]


def _save_torch(network: nn.Module, inputs: tuple[torch.Tensor, ...], path: Path) -> Described:
    program = torch.export.export(network, inputs)
    # Not directly into the file: if the disk is full, torch's archive writer ends the whole process.
    archive = io.BytesIO()
    torch.export.save(program, archive)
    path.write_bytes(archive.getvalue())
    names = ["image"] if len(inputs) == 1 else [f"input_{number}" for number in range(len(inputs))]
    formats = [str(tensor.dtype).removeprefix("torch.") for tensor in inputs]
    return [[name, dtype, list(tensor.shape)] for name, dtype, tensor in zip(names, formats, inputs, strict=True)]


FORMATS: Mapping[str, tuple[str, Callable[[nn.Module, tuple[torch.Tensor, ...], Path], Described]]] = MappingProxyType(
    {"onnx": ("onnx", _save_onnx), "torch": ("pt2", _save_torch)}
)
"""The formats, with their suffix and writer. ``torch`` uses torch.export, which takes about a second per network."""


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
    """Write networks as ONNX (or torch.export) files, with a manifest and a form for the results.

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
    formats : sequence of {"onnx", "torch"}, default=("onnx",)
        The formats to write each network in.
    random_state : int, default=0
        Seed of the weights.
    progress : callable, optional
        Called with (networks written, n).

    Returns
    -------
    Path
        The manifest: ``manifest.json`` names each file with its architecture, config, input shape and sha256.
        ``results.csv`` has a line per network (its file in the first format): fill in the device's name and the
        measured value, then read it with :func:`~hwnas_surrogate.data.read_measurements` or ``hwnas import``.

    Raises
    ------
    InvalidInputError
        If the folder is not empty, a format is unknown, ``random_state`` is no seed, or there are no architectures.
    MissingExtraError
        If the package onnx is not installed.
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
            inputs = example_inputs(chosen, arch, config)
            for name in names:
                suffix, save = FORMATS[name]
                path = temporary / f"network-{row:05d}.{suffix}"
                described = save(network, inputs, path)
                entries.append(
                    {
                        "file": path.name,
                        "format": name,
                        "architecture": chosen.format(arch),
                        "config": str(config),
                        "input": described[0] if len(described) == 1 else described,
                        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                    }
                )
            if progress is not None:
                progress(row + 1, len(batch))
        write_form(temporary / RESULTS, [entry for entry in entries if entry["format"] == names[0]])
        manifest = {
            "version": MANIFEST_VERSION,
            "package": hwnas_surrogate.__version__,
            "space": chosen.name,
            "random_state": int(random_state),
            "networks": entries,
        }
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return target / MANIFEST


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
