"""Download the official file: only on request, resumable, verified before it gets its final name."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from hwnas_surrogate.errors import DownloadError
from hwnas_surrogate.inputs import open_regular

if TYPE_CHECKING:
    from http.client import HTTPResponse

__all__ = ["OFFICIAL_BLOB_ID", "OFFICIAL_NAME", "OFFICIAL_URL", "data_dir", "download", "git_blob_id"]

OFFICIAL_NAME = "HW-NAS-Bench-v1_0.pickle"
"""The name of HW-NAS-Bench's official file."""
OFFICIAL_BLOB_ID = "b0634cb7f6e7be07192c77833df9eafa4baf705e"
"""The git blob id of the official file: see :func:`git_blob_id`."""
OFFICIAL_URL = f"https://raw.githubusercontent.com/GATECH-EIC/HW-NAS-Bench/main/{OFFICIAL_NAME}"
"""The official file's address."""

_CHUNK = 1 << 16
_BY_HAND = "or fetch the file by hand and pass its path"


def data_dir() -> Path:
    """Return the folder for downloaded data: ``$HWNAS_DATA``, or the user's data folder of this system.

    Returns
    -------
    pathlib.Path
        The folder; it need not exist.
    """
    named = os.environ.get("HWNAS_DATA")
    return Path(named).expanduser() if named else platformdirs.user_data_path("hwnas-surrogate")


def git_blob_id(path: str | os.PathLike[str]) -> str:
    r"""Return the id under which git stores a file: the SHA-1 of ``b"blob <size>\0"`` and the file's bytes.

    Parameters
    ----------
    path : str or path-like
        The file; it is read in pieces.

    Returns
    -------
    str
        40 hexadecimal digits.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def download(
    url: str,
    destination: str | os.PathLike[str],
    blob_id: str,
    *,
    progress: Callable[[int, int | None], None] | None = None,
    timeout: float = 30.0,
) -> Path:
    """Fetch a file whose git blob id is known.

    The bytes go into a part file beside the destination, named after the destination and the blob id. A part file of an
    earlier call is resumed. Only a complete file with the right id gets the final name. If the right file exists
    already, no request is made.

    Parameters
    ----------
    url : str
        The file's address (http or https).
    destination : str or path-like
        The file to write; its folder is created.
    blob_id : str
        The right file's :func:`git_blob_id`.
    progress : callable, optional
        Called with the number of bytes received and of the whole file (None while unknown).
    timeout : float, default=30.0
        Seconds to wait for a response before giving up.

    Returns
    -------
    pathlib.Path
        The destination.

    Raises
    ------
    DownloadError
        If another file has the destination's name (it is left unchanged), if the file cannot be fetched or written (the
        bytes received are kept, and calling again resumes), or if the server sent another file (it is deleted).
    """
    path = Path(destination)
    part = path.with_name(f"{path.name}.{blob_id[:12]}.part")
    try:
        if _is_there(path, blob_id):
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        # A part file may be complete, if the previous call was stopped just before renaming it.
        if not part.exists() or git_blob_id(part) != blob_id:
            _fetch(url, part, progress or _ignore, timeout)
            _verify(part, blob_id, url)
        os.replace(part, path)
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(
            f"cannot write {part} or {path}: {error.strerror or error}. What has arrived is kept; make room or "
            "permit writing there, then call again: it resumes."
        ) from error
    return path


def _ignore(done: int, total: int | None) -> None:
    """Stand in for a missing progress callback."""


def _is_there(path: Path, blob_id: str) -> bool:
    """Return whether the file exists; raise if something else has its name."""
    if not path.exists():
        return False
    found = git_blob_id(path) if path.is_file() else "none: it is a folder"
    if found == blob_id:
        return True
    raise DownloadError(
        f"{path} exists and is not the expected file: git blob id {found}, expected {blob_id}. It was left as it "
        "is and nothing was fetched; move it away, or choose another destination."
    )


def _verify(part: Path, blob_id: str, url: str) -> None:
    """Delete a complete part file that is not the expected file, and raise."""
    found = git_blob_id(part)
    if found != blob_id:
        size = part.stat().st_size
        part.unlink()
        raise DownloadError(
            f"{url} gave another file: git blob id {found} ({size:,} bytes), expected {blob_id}. It was deleted. "
            "Likely causes: a proxy or login page answered instead, the file was replaced by a newer version, or "
            f"it was damaged on the way. Try again, {_BY_HAND}."
        )


def _fetch(url: str, part: Path, progress: Callable[[int, int | None], None], timeout: float) -> None:
    """Append the missing bytes to the part file, or rewrite it if the server can't resume."""
    response, done, total = _open(url, part.stat().st_size if part.exists() else 0, timeout)
    failure: Exception | None = None
    with response, open(part, "ab" if done else "wb") as file:
        progress(done, total)
        while True:
            try:
                chunk = response.read1(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                failure = error
                break
            if not chunk:
                break
            file.write(chunk)
            done += len(chunk)
            progress(done, total)
        file.flush()
        os.fsync(file.fileno())
    if failure is not None or (total is not None and done < total):
        whole = "an unknown number of" if total is None else f"{total:,}"
        raise DownloadError(
            f"the transfer of {url} was cut: {done:,} of {whole} bytes have arrived"
            f"{f' ({_reason(failure)})' if failure else ''}. They are kept in {part}; call again to resume."
        ) from failure


def _open(url: str, start: int, timeout: float) -> tuple[HTTPResponse, int, int | None]:
    """Request the file from byte `start`; return the response, its first byte and the whole file's size."""
    if not url.lower().startswith(("https://", "http://")):
        raise DownloadError(f"cannot fetch {url!r}: expected an address that begins with https:// or http://.")
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:  # the error holds the connection
            if start and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                return _open(url, 0, timeout)
            raise DownloadError(
                f"{url} answered {error.code} {error.reason}: nothing was fetched. Check the address, try later, "
                f"{_BY_HAND}."
            ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DownloadError(
            f"no answer from {url}: {_reason(error)}. Check the network (and the proxy settings), {_BY_HAND}."
        ) from error
    length = response.headers.get("Content-Length", "")
    size = int(length) if length.isdecimal() else None
    if not start or response.status != http.client.PARTIAL_CONTENT:
        return response, 0, size
    if re.match(rf"bytes {start}-", response.headers.get("Content-Range", "")):
        return response, start, None if size is None else start + size
    response.close()
    return _open(url, 0, timeout)


def _reason(error: Exception) -> str:
    """Return what went wrong in words: urllib wraps the cause, and some causes have no text."""
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return "it took too long"
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
