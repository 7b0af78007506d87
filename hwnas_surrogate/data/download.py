"""Download the official file: only on request, within limits, resumable, verified before it gets its final name."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
import urllib.error
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

import platformdirs

from hwnas_surrogate.data.request import request
from hwnas_surrogate.errors import DownloadError
from hwnas_surrogate.files import locked

__all__ = ["OFFICIAL_BLOB_ID", "OFFICIAL_NAME", "OFFICIAL_URL", "data_dir", "download", "git_blob_id"]

OFFICIAL_NAME = "HW-NAS-Bench-v1_0.pickle"
"""The name of HW-NAS-Bench's official file."""
OFFICIAL_BLOB_ID = "b0634cb7f6e7be07192c77833df9eafa4baf705e"
"""The git blob id of the official file: see :func:`git_blob_id`."""
OFFICIAL_URL = f"https://raw.githubusercontent.com/GATECH-EIC/HW-NAS-Bench/main/{OFFICIAL_NAME}"
"""The official file's address."""

_CHUNK = 1 << 16
_NUMBER = r"\d{1,18}"
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
    with open(path, "rb") as file:
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
    time_limit: float = 3600.0,
    max_bytes: int = 1 << 28,
) -> Path:
    """Fetch a file whose git blob id is known.

    The bytes go into a part file beside the destination, named after the destination and the blob id. A part file of an
    earlier call is resumed. If the server sends the whole file instead of the missing bytes, or the completed part is
    not the right file, the whole file is fetched into another part file. So a wrong response, such as a login page,
    never replaces what had arrived. Only a complete file with the right id gets the final name. If the right file
    exists already, no request is made. A second process that downloads into the same folder waits for the first one.

    Redirects are followed to http and https only, and from https to https only.

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
        Seconds to wait for a response, or for more of it, before giving up.
    time_limit : float, default=3600.0
        Seconds after which the transfer is stopped, however steadily bytes arrive.
    max_bytes : int, default=2**28
        Maximum size of the file. The default is more than twice what GitHub accepts (100 MiB), where the official file
        is.

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
        deadline = time.monotonic() + time_limit
        with locked(path.parent):
            if not _is_there(path, blob_id):  # unless another process has just fetched it
                transfer = _Transfer(url, part, blob_id, progress or _ignore, timeout, deadline, max_bytes)
                transfer.finish(path)
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
    found = git_blob_id(path) if path.is_file() else f"none: it is {'a folder' if path.is_dir() else 'no file'}"
    if found == blob_id:
        return True
    raise DownloadError(
        f"{path} exists and is not the expected file: git blob id {found}, expected {blob_id}. It was left as it "
        "is and nothing was fetched; move it away, or choose another destination."
    )


@dataclass(frozen=True, slots=True)
class _Transfer:
    """The transfer of one file; ``deadline`` is on the clock of ``time.monotonic``."""

    url: str
    part: Path
    blob_id: str
    progress: Callable[[int, int | None], None]
    timeout: float
    deadline: float
    max_bytes: int

    def finish(self, path: Path) -> None:
        """Get the missing bytes, and give the file its final name."""
        anew = self.part.with_suffix(".new")
        # A part file may be complete, if the previous call was stopped just before renaming it.
        is_complete = self.part.exists() and git_blob_id(self.part) == self.blob_id
        right = self.part if is_complete else self._fetch(anew)
        with open(right, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(right, path)
        for left in (self.part, anew):
            left.unlink(missing_ok=True)

    def _fetch(self, anew: Path) -> Path:
        """Complete the part file, or get the whole file; return the right one."""
        size = _size(self.part)
        response, start, total = self._open(size)
        if start:
            if self._receive(response, self.part, start, total):
                return self.part
            os.truncate(self.part, start)  # these bytes or the new ones are wrong: the whole file decides
            response, _, total = self._open(0)
        whole = anew if size else self.part
        try:
            is_right = self._receive(response, whole, 0, total)
        except BaseException:
            if size:
                whole.unlink(missing_ok=True)
            raise
        if is_right:
            return whole
        found, sent = git_blob_id(whole), whole.stat().st_size
        whole.unlink()
        raise DownloadError(
            f"{self.url} gave another file: git blob id {found} ({'more than ' if sent > self.max_bytes else ''}"
            f"{min(sent, self.max_bytes):,} bytes), expected {self.blob_id}. It was deleted{self._kept(size)}. "
            "Likely causes: a proxy or login page answered instead, the file was replaced by a newer version, or "
            f"it was damaged on the way. Try again, {_BY_HAND}."
        )

    def _kept(self, size: int) -> str:
        return f"; the {size:,} bytes that had arrived before are kept in {self.part}" if size else ""

    def _receive(self, response: HTTPResponse, path: Path, start: int, total: int | None) -> bool:
        """Write the response after the first bytes of a file; return whether the file is right then."""
        done = start
        failure: Exception | None = None
        with response, open(path, "ab" if start else "wb") as file:
            self.progress(done, total)
            while done <= self.max_bytes:
                try:
                    chunk = response.read1(_CHUNK)
                except (OSError, http.client.HTTPException) as error:
                    failure = error
                    break
                if not chunk:
                    break
                file.write(chunk)
                done += len(chunk)
                self.progress(done, total)
        if failure is None and (total is None or done >= total or done > self.max_bytes):
            return git_blob_id(path) == self.blob_id
        whole = "an unknown number of" if total is None else f"{total:,}"
        kept = f"They are kept in {path}" if path == self.part else f"They were deleted{self._kept(_size(self.part))}"
        raise DownloadError(
            f"the transfer of {self.url} was cut: {done:,} of {whole} bytes have arrived"
            f"{f' ({_reason(failure)})' if failure else ''}. {kept}; call again to resume."
        ) from failure

    def _open(self, start: int) -> tuple[HTTPResponse, int, int | None]:
        """Request the file from byte `start`; return the response, its first byte and the whole file's size."""
        if not self.url.lower().startswith(("https://", "http://")):
            raise DownloadError(f"cannot fetch {self.url!r}: expected an address that begins with https:// or http://.")
        # Without If-Range: if the file there has changed, the id of the result tells.
        try:
            response = request(self.url, {"Range": f"bytes={start}-"} if start else {}, self.timeout, self.deadline)
        except urllib.error.HTTPError as error:
            with closing(error):  # the error holds the connection
                if start and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return self._open(0)
                raise DownloadError(
                    f"{self.url} answered {error.code} {' '.join(str(error.reason).split())}: nothing was fetched. "
                    f"Check the address, try later, {_BY_HAND}."
                ) from error
        except DownloadError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DownloadError(
                f"no answer from {self.url}: {_reason(error)}. Check the network (and the proxy settings), {_BY_HAND}."
            ) from error
        try:
            self._check(response)
        except DownloadError:
            response.close()
            raise
        size = _number(response.headers.get("Content-Length", ""))
        if not start or response.status != http.client.PARTIAL_CONTENT:
            return response, 0, size
        match = re.fullmatch(rf"bytes {start}-{_NUMBER}/({_NUMBER}|\*)", response.headers.get("Content-Range", ""))
        if match:
            return response, start, _number(match[1]) or (None if size is None else start + size)
        response.close()
        return self._open(0)

    def _check(self, response: HTTPResponse) -> None:
        """Raise if a response can't be the file, before anything is written."""
        kind, coding = response.headers.get_content_type(), response.headers.get("Content-Encoding", "identity")
        size = _number(response.headers.get("Content-Length", ""))
        if kind == "text/html":
            wrong = "a web page instead of the file; a proxy or a login page may have answered"
        elif coding.lower() != "identity":
            wrong = f"the file in the encoding {coding!r}, which was not requested"
        elif size is not None and size > self.max_bytes:
            wrong = f"{size:,} bytes, and the expected file has {self.max_bytes:,} at most"
        else:
            return
        raise DownloadError(
            f"{self.url} sent {wrong}. Nothing was fetched, and what had arrived before is kept. Try again, {_BY_HAND}."
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _number(text: str) -> int | None:
    """Return the number in a header; None if it is none, or absurd."""
    return int(text) if re.fullmatch(_NUMBER, text, re.ASCII) else None


def _reason(error: Exception) -> str:
    """Return what went wrong in words: urllib wraps the cause, and some causes have no text."""
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return "it took too long"
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
