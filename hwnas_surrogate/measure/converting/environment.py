"""The Python environment of litert-torch, which converts networks to LiteRT's format.

It takes over 2 GB and pins many packages, so it is never installed beside this package: it is a virtual environment in
the user's cache folder, which only :func:`make_environment` makes. Its packages depend on the running torch, because
exported programs are passed on to it: of another version it may not read them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from hwnas_surrogate.capture.graph_store import cache_dir
from hwnas_surrogate.errors import DownloadError, MeasurementError, MissingExtraError
from hwnas_surrogate.files import locked, make_folder

__all__ = [
    "REQUIREMENTS",
    "VARIABLE",
    "environment_folder",
    "find_python",
    "make_environment",
    "needed_bytes",
    "remove_environments",
    "requirements",
    "versions",
]

Say = Callable[[str], None]
"""Receives a line that tells how far the installation is."""

REQUIREMENTS = ("litert-torch==0.10.0", "litert-converter==0.5.0", "ai-edge-quantizer==0.10.0", "ai-edge-litert==2.3.0")
"""The packages of the environment, besides torch; the versions that this package was tested with."""

VARIABLE = "HWNAS_LITERT_TORCH"
"""An environment variable: the path of a Python interpreter that has litert-torch already. Nothing is made then."""

COMMAND = "hwnas convert --to tflite"
"""The command that makes the environment."""

_TORCH = ((2, 4), (2, 15))
"""The versions of torch that litert-torch accepts: from the first, below the second."""
_PART = ".part"
_LARGE = re.compile(r"(?:Downloading|Using cached) .*\((?:\d{2,}(?:\.\d+)? MB|.* GB)\)")
"""What pip says of packages of 10 MB or more."""
_NO_NETWORK = re.compile(
    r"NewConnectionError|Failed to establish a new connection|NameResolutionError|Name or service not known"
    r"|name resolution|ConnectTimeoutError|ReadTimeoutError|ProxyError|Network is unreachable"
)
_VERSIONS = (
    "import json, sys; from importlib.metadata import version; "
    "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
)


def requirements() -> tuple[str, ...]:
    """Return what is installed in the environment: :data:`REQUIREMENTS`, and the running torch where it is accepted."""
    torch = version("torch").partition("+")[0]
    release = tuple(int(part) for part in re.findall(r"\d+", torch)[:2])
    return (*REQUIREMENTS, f"torch=={torch}" if _TORCH[0] <= release < _TORCH[1] else "torch")


def needed_bytes() -> int:
    """Return the free space that making the environment takes: with a torch for CUDA it is far larger."""
    return (4 if "+cpu" in version("torch") or sys.platform != "linux" else 12) * 10**9


def environment_folder() -> Path:
    """Return the folder of the environment for this Python and this torch; it need not exist.

    It is in ``$HWNAS_CACHE``, or the user's cache folder of this system, and may be deleted at any time.
    """
    python = "{}.{}".format(*sys.version_info)
    content = " ".join([python, *requirements()])
    return _environments() / f"litert-torch-py{python}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"


def find_python() -> Path:
    """Return the Python interpreter of an environment that has litert-torch.

    Raises
    ------
    MissingExtraError
        If there is none; the message gives the command that makes it.
    """
    named = os.environ.get(VARIABLE)
    if named:
        python = Path(named).expanduser()
        if not os.access(python, os.X_OK) or python.is_dir():
            raise MissingExtraError(
                f"${VARIABLE} must be the path of a Python interpreter that has litert-torch, got {named!r}, which "
                "can't be run."
            )
        return python
    python = _python_of(environment_folder())
    if not python.exists():
        raise MissingExtraError(
            "the environment of litert-torch, which converts networks to LiteRT's format, has not been made for this "
            f"Python and this torch. To make it, run: {COMMAND}."
        )
    return python


@lru_cache(maxsize=8)
def versions(python: Path) -> dict[str, str]:
    """Return the versions of the packages that a conversion depends on.

    Raises
    ------
    MeasurementError
        If one of them is not installed there.
    """
    names = [name.partition("==")[0] for name in requirements()]
    result = subprocess.run([python, "-I", "-c", _VERSIONS, *names], capture_output=True, text=True, check=False)
    if result.returncode:
        raise MeasurementError(f"{python} has no litert-torch that can be used: {_last(result.stderr.splitlines())}")
    found: dict[str, str] = json.loads(result.stdout)
    return found


def make_environment(say: Say | None = None) -> Path:
    """Make the environment, if it is not there yet, and return its Python interpreter.

    It is installed beside its final name with pip, which follows the user's configuration (index, proxy, certificates),
    and renamed when it is complete: a killed process leaves nothing that counts. A second process waits for the first.

    Parameters
    ----------
    say : callable, optional
        Receives lines that tell how far the installation is.

    Raises
    ------
    MeasurementError
        If there is too little free space, or the environment does not work.
    DownloadError
        If pip can't install the packages.
    """
    if os.environ.get(VARIABLE):
        return find_python()
    target = environment_folder()
    make_folder(target.parent)
    with locked(target.parent):
        if _python_of(target).exists():
            return _python_of(target)
        for stale in (*target.parent.glob(f"*{_PART}"), target):  # of a killed process; one whose Python was removed
            shutil.rmtree(stale, ignore_errors=True)
        _check_space(target.parent)
        # Each has another name: what a killed process started may still write to the former one.
        part = Path(tempfile.mkdtemp(_PART, f"{target.name}.", target.parent))
        try:
            _install(part, say or (lambda line: None))
            part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return _python_of(target)


def remove_environments() -> int:
    """Remove the environments of every Python and every torch, and return their number."""
    folder = _environments()
    if not folder.is_dir():
        return 0
    with locked(folder):
        found = list(folder.glob("litert-torch-*"))
        for environment in found:
            shutil.rmtree(environment, ignore_errors=True)
    return len(found)


def _environments() -> Path:
    return cache_dir() / "environments"


def _python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _check_space(folder: Path) -> None:
    free, needed = shutil.disk_usage(folder).free, needed_bytes()
    if free < needed:
        raise MeasurementError(
            f"the environment of litert-torch takes up to {needed / 1e9:.0f} GB while it is made, and {folder} has "
            f"{free / 1e9:.1f} GB left. Free some space, or set $HWNAS_CACHE to a folder on another disk."
        )


def _install(folder: Path, say: Say) -> None:
    """Make a virtual environment, install the packages, and import them once."""
    python = _python_of(folder)
    code, lines = _run([sys.executable, "-I", "-m", "venv", str(folder)], folder, say)
    if code:
        raise MeasurementError(
            f"Python can't make a virtual environment: {_last(lines)} (Debian and Ubuntu have a package of their own "
            "for that: python3-venv)"
        )
    pip = ["-m", "pip", "install", "--no-user", "--progress-bar", "off", "--no-input", *requirements()]
    code, lines = _run([str(python), "-I", *pip], folder, say)
    if code:
        raise DownloadError(f"pip can't install litert-torch: {_why(lines)}. Nothing was kept; run {COMMAND} again.")
    say("checking that it can be imported")
    code, lines = _run([str(python), "-I", "-c", "import litert_torch, ai_edge_quantizer"], folder, say)
    if code:
        raise MeasurementError(f"litert-torch was installed, but can't be imported: {_last(lines)}")


def _run(command: Sequence[str], folder: Path, say: Say) -> tuple[int, list[str]]:
    """Run a command, say its steps, and return its exit status and its last lines."""
    temporary = folder / "tmp"  # on the disk whose free space was checked
    temporary.mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(temporary)}
    lines: deque[str] = deque(maxlen=200)
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", env=environment,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            for line in map(str.strip, process.stdout):
                lines.append(line)
                if _LARGE.fullmatch(line):
                    say(line)
                elif line.startswith("Installing collected packages:"):
                    say(f"installing {line.count(',') + 1} packages")
        except BaseException:
            process.kill()
            raise
    shutil.rmtree(temporary, ignore_errors=True)
    return process.returncode, list(lines)


def _why(lines: Sequence[str]) -> str:
    """Return why pip failed."""
    text = "\n".join(lines)
    if "No space left on device" in text:
        return "the disk is full"
    if _NO_NETWORK.search(text):
        return f"the package index can't be reached ({_last(lines)})"
    return _last(lines)


def _last(lines: Sequence[str]) -> str:
    """Return the last error in a program's output."""
    said = [line for line in lines if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
    return (errors or said or ["it gave no reason"])[-1][:300].rstrip(".")
