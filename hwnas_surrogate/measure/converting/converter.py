"""The client of the converting process: it starts, watches and ends the process, and explains why it died."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import IO, Any

from hwnas_surrogate.errors import MeasurementError
from hwnas_surrogate.measure.converting import tflite_program
from hwnas_surrogate.runner.watching import pass_lines

__all__ = ["Converter"]

START = 600.0
"""Maximum seconds in which the process imports litert-torch: a cold disk is slow, but not endless."""
END = 10.0
"""Maximum seconds to wait for the end of the process after it was killed, or has closed its output."""
MOST = 100
"""Maximum conversions of one process: each leaves 8 MB that are not freed."""
TAIL = 1 << 14
"""Bytes of the process's messages to read: the last line explains a crash."""


class Converter:
    """A process that converts exported programs to LiteRT's format, one after the other.

    It starts with the first conversion, since importing litert-torch takes seconds, and again after a crash or a
    timeout, each of which costs one network, and after :data:`MOST` conversions. It ends with this process.

    Parameters
    ----------
    python : Path
        The interpreter of litert-torch's environment (:func:`~.environment.find_python`).
    timeout : float
        Maximum seconds of one conversion.
    """

    def __init__(self, python: Path, timeout: float) -> None:
        self._command = [str(python), "-I", tflite_program.__file__]
        self._timeout = timeout
        self._count = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._messages: IO[bytes] | None = None
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def __enter__(self) -> Converter:
        """Return it; the process starts when it is needed."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self.close()

    def convert(self, program: Path, output: Path) -> None:
        """Convert a program to float32.

        Parameters
        ----------
        program : Path
            A file of ``torch.export.save``, with its example inputs: tensors only.
        output : Path
            The file to write, which must not exist.

        Raises
        ------
        MeasurementError
            If it can't be converted, with the reason; the next one can.
        """
        self._ask({"program": str(program), "output": str(output)})

    def quantize(self, model: Path, inputs: Path, output: Path) -> None:
        """Quantize a converted model to int8.

        Parameters
        ----------
        model : Path
            What :meth:`convert` wrote.
        inputs : Path
            Arrays of ``numpy.savez``, by the names of the model's inputs, to calibrate on.
        output : Path
            The file to write, which must not exist.

        Raises
        ------
        MeasurementError
            If it can't be quantized, with the reason; the next one can.
        """
        self._ask({"model": str(model), "inputs": str(inputs), "output": str(output)})

    def close(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END)
            if process.stdin is not None:
                with contextlib.suppress(OSError):  # what was not written yet can't be any more
                    process.stdin.close()
        messages, self._messages = self._messages, None
        if messages is not None:
            messages.close()

    def _ask(self, request: dict[str, str]) -> None:
        if self._count >= MOST:
            self.close()
        if self._process is None:
            self._start()
        self._count += 1
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise MeasurementError(self._death()) from error
        answer = self._answer(self._timeout)
        if answer is None:
            self.close()
            raise MeasurementError(f"converting it took longer than {self._timeout:g} s")
        if answer["event"] == "failed":
            raise MeasurementError(f"litert-torch can't convert it: {answer['why']}")

    def _start(self) -> None:
        self._count = 0
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._messages,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        except OSError as error:
            self.close()
            raise MeasurementError(f"can't start {self._command[0]}: {error.strerror or error}.") from error
        self._lines = queue.SimpleQueue()
        threading.Thread(target=pass_lines, args=(self._process.stdout, self._lines), daemon=True).start()
        if self._answer(START) is None:
            self.close()
            raise MeasurementError(f"importing litert-torch took longer than {START:g} s.")

    def _answer(self, timeout: float) -> dict[str, Any] | None:
        """Return the next answer, None if there is none in time; raise if the process has ended."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            return None
        if not line.endswith(b"\n"):
            raise MeasurementError(self._death())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _death(self) -> str:
        """Return why the process ended."""
        process, messages = self._process, self._messages
        if process is None or messages is None:
            return "the conversion was stopped"
        try:
            code = process.wait(END)
        except subprocess.TimeoutExpired:
            self.close()
            return "the converting process closed its output without ending"
        messages.seek(max(0, messages.seek(0, os.SEEK_END) - TAIL))
        lines = messages.read().decode(errors="replace").strip().splitlines()
        self.close()
        names = {number.value: number.name for number in signal.Signals}
        how = f"signal {names.get(-code, -code)}" if code < 0 else f"exit status {code}"
        return f"the converting process ended with {how}{': ' + lines[-1][:200] if lines else ''}"
