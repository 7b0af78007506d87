"""An interpreter whose litert-torch is a stub: what it does depends on the batch size of the program's input.

The converting process itself is the real one, so it imports torch, which takes a second or two.
"""

from __future__ import annotations

import sys
from pathlib import Path

_LITERT_TORCH = """
import os, signal, time
import torch.export  # as the real one: before it says that it is ready

class Converted:
    def __init__(self, text):
        self.text = text
    def export(self, path):
        with open(path, "w") as file:
            file.write(self.text)

def convert(module, inputs):
    print("progress that must not be taken for an answer")
    batch = inputs[0].shape[0]
    if batch == 2:
        os.kill(os.getpid(), signal.SIGSEGV)
    if batch == 3:
        time.sleep(600)
    if batch == 4:
        raise ValueError("no such operator")
    if batch == 5:
        print("out of luck", file=__import__("sys").stderr)
        os._exit(7)
    return Converted(" ".join(str(tuple(tensor.shape)) for tensor in inputs))
"""
_RUN = "import runpy, sys; sys.path.insert(0, {folder!r}); runpy.run_path(sys.argv[1], run_name='__main__')"


def stub_python(folder: Path) -> Path:
    """Write the interpreter, and return its path."""
    (folder / "litert_torch.py").write_text(_LITERT_TORCH)
    for package in ("litert-torch", "litert-converter", "ai-edge-quantizer", "ai-edge-litert"):
        info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    python = folder / "python"
    run = _RUN.format(folder=str(folder))
    find = f"import sys; sys.path.insert(0, {str(folder)!r}); "
    python.write_text(
        '#!/bin/sh\nif [ "$2" = -c ]; then shift 2; code="$1"; shift; '
        f'exec {sys.executable} -c "{find}$code" "$@"; fi\n'
        f'exec {sys.executable} -c "{run}" "$2"\n'
    )
    python.chmod(0o755)
    return python
