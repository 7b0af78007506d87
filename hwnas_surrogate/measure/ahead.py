"""Convert many networks ahead of measuring them, in several processes."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from pathlib import Path
from queue import SimpleQueue

from hwnas_surrogate.errors import DataFileError, HWNASError, InvalidInputError, unknown
from hwnas_surrogate.files import file_stem, replacing_in
from hwnas_surrogate.measure.converting.program import exported
from hwnas_surrogate.measure.converting.tflite import FORMATS, TIMEOUT, TfliteConverter
from hwnas_surrogate.measure.export import check_empty
from hwnas_surrogate.measure.subjects import Subject

__all__ = ["convert_ahead"]


def convert_ahead(
    subjects: Mapping[str, Subject],
    form: str,
    *,
    jobs: int = 1,
    timeout: float = TIMEOUT,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """Convert networks into the cache; call again to resume.

    Parameters
    ----------
    subjects : mapping of str to Subject
        The networks by name.
    form : {"tflite", "tflite-int8"}
        The format.
    jobs : int, default=1
        Converting processes. One more exports the networks: five of them keep it busy.
    timeout : float, default=600
        Maximum seconds of one conversion.
    folder : Path, optional
        An empty folder, or one to make: the files are written there too, all together at the end.
    progress : callable, optional
        Called with (networks done, all).

    Returns
    -------
    dict of str to str
        Why networks could not be converted, by their names.

    Raises
    ------
    InvalidInputError
        If the format is unknown, or the folder is not empty.
    MissingExtraError
        If the environment of litert-torch has not been made.
    DataFileError
        If a file can't be written.
    """
    if form not in FORMATS:
        raise unknown(InvalidInputError, "format", form, FORMATS)
    if folder is not None:
        check_empty(folder)
    failures: dict[str, str] = {}
    with (
        tempfile.TemporaryDirectory(prefix="hwnas-") as temporary,
        nullcontext() if folder is None else replacing_in(folder) as kept,
        _converting(min(jobs, len(subjects)), timeout, form) as start,
    ):
        running = {
            start(subject, Path(temporary, f"{number}.tflite")): (name, number)
            for number, (name, subject) in enumerate(subjects.items())
        }
        left = set(running)
        while left:
            done, left = wait(left, return_when=FIRST_COMPLETED)
            for future in done:
                name, number = running[future]
                path = Path(temporary, f"{number}.tflite")
                reason = _reason(future)
                if reason is not None:
                    failures[name] = reason
                elif kept is not None:
                    shutil.copyfile(path, kept / f"{file_stem(name)}.tflite")
                path.unlink(missing_ok=True)
            if progress is not None:
                progress(len(running) - len(left), len(running))
    return failures


Start = Callable[[Subject, Path], "Future[None]"]


@contextmanager
def _converting(jobs: int, timeout: float, form: str) -> Iterator[Start]:
    """Give a function that starts converting a subject into a file."""
    converters = [TfliteConverter(timeout) for _ in range(max(1, jobs))]
    free: SimpleQueue[TfliteConverter] = SimpleQueue()
    for converter in converters:
        free.put(converter)
    exporting = threading.Lock()  # torch exports one network at a time
    stopped = threading.Event()

    def convert(subject: Subject, path: Path) -> None:
        with exporting:
            program, feed = exported(subject.build())
        converter = free.get()
        try:
            if not stopped.is_set():  # a process would be started again
                converter.convert_program(program, feed, form, path)
        finally:
            free.put(converter)

    pool = ThreadPoolExecutor(len(converters))
    try:
        yield lambda subject, path: pool.submit(convert, subject, path)
    finally:
        stopped.set()
        pool.shutdown(wait=False, cancel_futures=True)
        for converter in converters:
            converter.close()
        pool.shutdown()


def _reason(future: Future[None]) -> str | None:
    """Return why a conversion failed, None if it did not; raise what concerns all of them."""
    error = future.exception()
    if error is None:
        return None
    if isinstance(error, DataFileError) or not isinstance(error, HWNASError):
        raise error
    return str(error)
