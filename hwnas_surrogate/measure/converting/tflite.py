"""Networks in LiteRT's format: from the cache, or converted by litert-torch in a process of its own environment."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from hwnas_surrogate.capture.graph_store import cache_dir
from hwnas_surrogate.errors import DataFileError, InvalidInputError, unknown
from hwnas_surrogate.measure.converting.cache import ConversionCache, conversion_key
from hwnas_surrogate.measure.converting.converter import Converter
from hwnas_surrogate.measure.converting.environment import find_python, versions
from hwnas_surrogate.measure.converting.program import exported
from hwnas_surrogate.measure.runnable import Feed, Runnable

__all__ = ["FORMATS", "TfliteConverter", "conversion_cache"]

FORMATS = ("tflite", "tflite-int8")
"""The formats: float32, and static int8 (weights, activations, inputs and outputs)."""

TIMEOUT = 600.0
"""Maximum seconds of one conversion."""


def conversion_cache() -> ConversionCache:
    """Return the cache of converted networks, in ``$HWNAS_CACHE`` or the user's cache folder."""
    return ConversionCache(cache_dir() / "tflite")


class TfliteConverter:
    """Converts networks to LiteRT's format, and keeps them in the cache.

    Parameters
    ----------
    timeout : float, default=600
        Maximum seconds of one conversion.

    Raises
    ------
    MissingExtraError
        If the environment of litert-torch has not been made.
    MeasurementError
        If it can't be used.
    """

    def __init__(self, timeout: float = TIMEOUT) -> None:
        python = find_python()
        self._versions = versions(python)
        self._cache = conversion_cache()
        self._converter = Converter(python, timeout)

    def __enter__(self) -> TfliteConverter:
        """Return it; the converting process starts when it is needed."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the converting process."""
        self.close()

    def close(self) -> None:
        """End the converting process, whatever it is doing."""
        self._converter.close()

    def convert(self, network: Runnable, form: str, path: Path) -> Feed:
        """Write a network to a file.

        Inputs and outputs keep PyTorch's order of dimensions. Whole numbers of 64 bits become 32 bits.

        Parameters
        ----------
        network : Runnable
            A PyTorch module.
        form : {"tflite", "tflite-int8"}
            The format. For int8, it is calibrated on the network's inputs and on noise of their mean and spread. Where
            activations are tiny beside a bias, as in deep networks whose weights are random, int8 can't represent the
            bias, and the outputs are wrong; the costs are those of any weights.
        path : Path
            The file to write.

        Returns
        -------
        dict of str to ndarray
            The network's input tensors, by their names in the file.

        Raises
        ------
        MeasurementError
            If the network can't be converted, with the reason.
        DataFileError
            If the cache can't be written.
        """
        program, feed = exported(network)
        self.convert_program(program, feed, form, path)
        return feed

    def convert_program(self, program: bytes, feed: Feed, form: str, path: Path) -> None:
        """Write an exported program and its inputs, from :func:`~.program.exported`, to a file."""
        if form not in FORMATS:
            raise unknown(InvalidInputError, "format", form, FORMATS)
        key = conversion_key(program, form, self._versions)
        if self._cache.fetch(key, path):
            return
        try:
            path.unlink(missing_ok=True)
            with tempfile.TemporaryDirectory(prefix="hwnas-", ignore_cleanup_errors=True) as folder:
                self._write(program, feed, form, path, Path(folder))
        except OSError as error:
            raise DataFileError(f"can't write what is to be converted: {error.strerror or error}.") from error
        self._cache.keep(key, path)

    def _write(self, program: bytes, feed: Feed, form: str, path: Path, folder: Path) -> None:
        if form == "tflite-int8":
            model, inputs = folder / "float32.tflite", folder / "inputs.npz"
            self.convert_program(program, feed, "tflite", model)
            np.savez(inputs, **feed)  # type: ignore[arg-type]
            self._converter.quantize(model, inputs, path)
        else:
            source = folder / "program.pt2"
            source.write_bytes(program)
            self._converter.convert(source, path)
