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
"""Maximum bytes of a stem: with a hash, a part, a suffix and a temporary ending, a name has 255 at most."""


def file_stem(name: str) -> str:
    """Return a file name for a text that is valid on every system.

    Parameters
    ----------
    name : str
        Any text, such as a device and its metric.

    Returns
    -------
    str
        The text itself, if it is short and has only letters, digits, ``.``, ``_`` and ``-``. Otherwise its valid
        characters and a hash of the whole text, so that different texts give different files.

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
    """Yield a temporary path beside ``path``; if the block succeeds, the temporary file replaces ``path``.

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
        If the file can't be written; an existing file at ``path`` is unchanged.
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
        # mkstemp lets only the owner read the file; give a result the usual permissions.
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
