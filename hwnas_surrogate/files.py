"""Writing files so that a killed process or a full disk leaves either the old file or the new one."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hwnas_surrogate.errors import DataFileError

__all__ = ["file_stem", "replacing"]

_LONGEST = 120
"""Bytes of a stem: names end in a hash, a part and a suffix, temporary ones in more, and have 255 at most."""


def file_stem(name: str) -> str:
    """Return what a file of this name may be called on any system.

    Parameters
    ----------
    name : str
        Any text: a device and its metric, say.

    Returns
    -------
    str
        The name, if it is short and holds letters, digits, ``.``, ``_`` and ``-`` only. Else what is left of it and a
        hash of the whole, so that different names have different files.

    Examples
    --------
    >>> file_stem("raspi4-latency"), file_stem("my board-latency")
    ('raspi4-latency', 'my_board-latency-1d954a9013341307')
    """
    plain = re.sub(r"[^\w.-]", "_", name)
    data = plain.encode()
    if plain == name and len(data) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{data[: _LONGEST - 17].decode(errors='ignore')}-{digest}"


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path``; when the block ends well, it takes the place of ``path``.

    Parameters
    ----------
    path : path-like
        The final name; its folder is made if needed.

    Yields
    ------
    Path
        The temporary file to write.

    Raises
    ------
    DataFileError
        If the file can't be written; whatever stood under ``path`` is untouched.
    """
    final = Path(path)
    temporary: Path | None = None
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=final.parent, prefix=f".{final.name}.", suffix=".part")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        # mkstemp makes files that only their owner reads; a result is an ordinary file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(final)
    except OSError as error:
        raise DataFileError(
            f"can't write {final}: {error.strerror or error}. What was there before is untouched; "
            "check the disk's free space and the folder's permissions."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
