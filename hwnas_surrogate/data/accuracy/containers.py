"""The files that accuracies were published in: PyTorch's old stream and its zip, pickles, bz2, NATS-Bench's folders."""

from __future__ import annotations

import bz2
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from hwnas_surrogate.data.accuracy.memo import Forgotten
from hwnas_surrogate.data.accuracy.stand_ins import ITEM_SIZES, Refused, Storage
from hwnas_surrogate.data.accuracy.stream import WATCHED, PickleMachine
from hwnas_surrogate.data.accuracy.window import Window
from hwnas_surrogate.errors import DataFileError
from hwnas_surrogate.inputs import input_path, open_regular

__all__ = ["Heading", "OnArch", "architecture_file", "read_benchmark", "read_whole"]

OnArch = Callable[[int, Mapping[str, Any]], None]
"""Takes an architecture's index, and the states of its results by hyper-parameter."""

_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""PyTorch's old files begin with this integer, pickled."""
_WHAT = (
    "Expected NAS-Bench-201's or NATS-Bench's published results: a .pth file, .pickle.pbz2, or the folder of an archive"
)
_NATS = re.compile(r"(\d{1,6})\.pickle\.pbz2")
_META = "meta.pickle.pbz2"
_MOST_WHOLE = 2**28
"""Bytes of the tensors of one architecture's file."""


@dataclass(frozen=True, slots=True)
class Heading:
    """What a benchmark holds besides its results.

    Parameters
    ----------
    meta_archs : list of str
        Every architecture of the space.
    evaluated : frozenset of int
        The indices with results.
    """

    meta_archs: list[str]
    evaluated: frozenset[int]


def read_benchmark(path: str | os.PathLike[str], begin: Callable[[], OnArch]) -> Heading:
    """Read a published file or folder, one architecture at a time.

    Parameters
    ----------
    path : path-like
    begin : callable
        Returns what takes the architectures. If a file turns out to share values between architectures, it is called
        once more, and all architectures come again.

    Returns
    -------
    Heading

    Raises
    ------
    DataFileError
        If it can't be read, is damaged, cut off or hostile, or of another layout.
    """
    source = input_path(path)
    with _explained(source):
        if source.is_dir():
            return _read_folder(source, begin())
        try:
            return _read_file(source, begin())
        except Forgotten:
            staying = _references(source)
            return _read_file(source, begin(), staying)


def read_whole(path: str | os.PathLike[str]) -> Any:
    """Read a file of one architecture with its weights, as tensors; no code from it is run.

    Raises
    ------
    DataFileError
        If it can't be read, is damaged, cut off or hostile, or has more than 256 MiB of weights.
    """
    from hwnas_surrogate.data.accuracy.weights import with_weights

    source = input_path(path)
    with _explained(source), _opened(source) as stream:
        machine = stream.machine()
        value = machine.load()
        return with_weights(value, lambda storages: stream.storages(machine, storages))


def architecture_file(folder: str | os.PathLike[str], index: int) -> Path:
    """Return the file of an architecture in an archive; raise `DataFileError` if there is none."""
    root = input_path(folder)
    names = [f"{number}{end}" for end in ("-FULL.pth", ".pickle.pbz2") for number in (f"{index:06d}", str(index))]
    for name in names:
        if (root / name).is_file():
            return root / name
    raise DataFileError(f"{root} holds no results of architecture {index}: none of {', '.join(names)}.")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what reading a damaged file raises into `DataFileError`."""
    try:
        yield
    except Refused as error:
        reason = str(error)
    except FileNotFoundError as error:
        raise DataFileError(f"there is no file {error.filename or path}. {_WHAT}.") from error
    except (zipfile.BadZipFile, UnicodeDecodeError) as error:  # the latter: of a member's name
        reason = f"it is cut off or damaged ({error})"
    except (OSError, NotImplementedError, RuntimeError) as error:
        reason = f"can't be read ({getattr(error, 'strerror', None) or error})"
    else:
        return
    raise DataFileError(f"{path}: {reason}. Nothing in it was executed. {_WHAT}.")


class _Stream:
    """A pickle in a file, and PyTorch's storages behind it."""

    def __init__(self, read: Callable[[int], bytes], archive: zipfile.ZipFile | None = None, root: str = "") -> None:
        self._archive = archive
        self._root = root
        self._window = Window(read)
        self._window.advance(0)
        self._is_old = self._window.data.startswith(_MAGIC)

    def machine(self, **options: Any) -> PickleMachine:
        """Return a machine in front of the pickle of the results."""
        machine = PickleMachine(self._window, **options)
        if self._is_old:
            for _ in range(3):  # the magic number, the version, and the sizes of C's types
                machine.load()
        return machine

    def check_end(self, machine: PickleMachine) -> None:
        """Raise if what follows the pickle is cut off; a checksum is compared when the last byte is read."""
        if self._is_old:
            machine.load()  # the names of the storages
        elif not self._window.ended:
            self._window.advance(len(self._window.data))

    def storages(self, machine: PickleMachine, wanted: Mapping[str, Storage]) -> dict[str, bytes]:
        """Return the bytes of storages."""
        sizes = {key: storage.size * ITEM_SIZES[storage.kind] for key, storage in wanted.items()}
        if sum(sizes.values()) > _MOST_WHOLE:
            raise Refused(f"it claims {sum(sizes.values()):,} bytes of weights; {_MOST_WHOLE:,} are the most read")
        if self._archive is not None:
            found = {}
            for key, size in sizes.items():
                member = self._archive.getinfo(f"{self._root}data/{key}") if key.isalnum() else None
                if member is None or member.file_size != size:
                    raise Refused("its weights have another size than its pickle says")
                found[key] = self._archive.read(member)
            return found
        return self._behind(machine, sizes) if wanted else {}

    @staticmethod
    def _behind(machine: PickleMachine, sizes: Mapping[str, int]) -> dict[str, bytes]:
        found = {}
        for key in machine.load():
            if key not in sizes:
                raise Refused("it holds weights that its pickle does not name")
            machine.take(8)
            size, parts = sizes[key], []
            while size and (part := machine.take(size)):
                parts.append(part)
                size -= len(part)
            if size:
                raise Refused("it is cut off: it ends within the weights")
            found[key] = b"".join(parts)
        if found.keys() != sizes.keys():
            raise Refused("its weights are not those that its pickle names")
        return found


@contextmanager
def _opened(path: Path) -> Iterator[_Stream]:
    with ExitStack() as stack:
        file = stack.enter_context(open_regular(path))
        magic = file.read(4)
        file.seek(0)
        if magic == b"PK\x03\x04":
            archive = stack.enter_context(zipfile.ZipFile(file))
            member = _pickle_of(archive)
            opened = stack.enter_context(archive.open(member))
            yield _Stream(opened.read, archive, member.filename.removesuffix("data.pkl"))
        elif magic[:3] == b"BZh":
            yield _Stream(_bz2_reader(file))
        elif magic[:1] == b"\x80":
            yield _Stream(file.read)
        else:
            raise Refused(f"it is empty or of another kind: it begins with {magic!r}")


def _bz2_reader(file: BinaryIO) -> Callable[[int], bytes]:
    return bz2.BZ2File(file).read


def _pickle_of(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    found = [member for member in archive.infolist() if re.fullmatch(r"(?:[^/]+/)?data\.pkl", member.filename)]
    if len(found) != 1 or found[0].compress_type != zipfile.ZIP_STORED:
        raise Refused("it is a zip file, but not one that PyTorch's save wrote: it has no stored data.pkl")
    return found[0]


def _read_file(path: Path, on_arch: OnArch, staying: frozenset[int] = frozenset()) -> Heading:
    with _opened(path) as stream:
        indices: set[int] = set()

        def take(index: Any, states: Any) -> None:
            _hand_on(on_arch, index, states, indices)

        machine = stream.machine(on_item=take, staying=staying)
        root = machine.load()
        if type(root) is not dict or not {"meta_archs", WATCHED} <= root.keys():
            got = ", ".join(map(str, list(root)[:6])) if type(root) is dict else type(root).__name__
            raise Refused(f"it must hold meta_archs, {WATCHED} and evaluated_indexes, it holds {got[:200]}")
        if type(root[WATCHED]) is not dict:
            raise Refused(f"its {WATCHED} are no dict")
        for index, states in root[WATCHED].items():
            take(index, states)
        stream.check_end(machine)
    evaluated = root.get("evaluated_indexes", indices)
    if type(evaluated) not in (set, list) or not set(map(type, evaluated)) <= {int}:
        raise Refused("its evaluated_indexes are no indices")
    return Heading(_meta_archs(root, indices), frozenset(evaluated) & indices)


def _references(path: Path) -> frozenset[int]:
    """Return the numbers of the values that are shared between architectures."""
    with _opened(path) as stream:
        machine = stream.machine(on_item=lambda index, states: None, collect=True)
        machine.load()
        return frozenset(machine.wanted)


def _hand_on(on_arch: OnArch, index: Any, states: Any, indices: set[int]) -> None:
    if type(index) is not int or not 0 <= index < 10_000_000 or index in indices:
        raise Refused(f"it holds results of the architecture {index!r:.60}, which is no index, or twice the same")
    if type(states) is not dict or not states or not set(map(type, states)) <= {str}:
        raise Refused(f"its results of architecture {index} are not by hyper-parameter")
    indices.add(index)
    on_arch(index, states)


def _meta_archs(root: Mapping[str, Any], indices: set[int]) -> list[str]:
    archs = root.get("meta_archs")
    if type(archs) is not list or not set(map(type, archs)) <= {str} or len(set(archs)) < len(archs) or not archs:
        raise Refused("its meta_archs are not a list of different architectures")
    if indices and max(indices) >= len(archs):
        raise Refused(f"it has results of architecture {max(indices)}, and {len(archs)} architectures")
    return archs


def _read_folder(folder: Path, on_arch: OnArch) -> Heading:
    meta = folder / _META
    files = sorted((int(found[1]), file) for file in folder.iterdir() if (found := _NATS.fullmatch(file.name)))
    if not meta.is_file() or not files:
        raise DataFileError(f"{folder} holds no {_META}, or no results beside it (000000.pickle.pbz2, ...). {_WHAT}.")
    with _explained(meta), _opened(meta) as stream:
        root = stream.machine().load()
        archs = _meta_archs(root if type(root) is dict else {}, {files[-1][0]})
    indices: set[int] = set()
    for index, file in files:
        with _explained(file), _opened(file) as stream:
            _hand_on(on_arch, index, stream.machine().load(), indices)
    return Heading(archs, frozenset(indices))
