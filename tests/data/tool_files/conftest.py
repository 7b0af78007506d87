"""A folder of exported networks, without the networks, for results of the sample files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwnas_surrogate.spaces import get_space

SAMPLES = Path(__file__).parent / "samples"
CONFIG = "C8-N1-k10-3x32x32"
MANIFEST: dict[str, Any] = {
    "version": 1,
    "space": "nasbench201",
    "networks": [
        {"file": f"network-{row:05d}.{suffix}", "architecture": text, "config": CONFIG}
        for row, text in enumerate(get_space("nasbench201").format_all(get_space("nasbench201").at([5, 77, 901])))
        for suffix in ("onnx", "pt2")
    ],
}

Put = Callable[..., Path]


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    """Return a folder with a manifest of three networks."""
    folder = tmp_path / "nets"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    return folder


@pytest.fixture
def put(nets: Path) -> Put:
    """Copy a sample beside the manifest, or into a folder there, under a name, with some texts replaced."""

    def copy(sample: str, name: str = "", **replaced: str) -> Path:
        path = nets / (name or sample)
        path.parent.mkdir(exist_ok=True)
        shutil.copy(SAMPLES / sample, path)
        text = path.read_text()
        for old, new in replaced.items():
            text = text.replace(old.replace("_", " "), new)
        path.write_text(text)
        return path

    return copy
