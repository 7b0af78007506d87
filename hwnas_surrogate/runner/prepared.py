"""A network as files that a runtime can run, with inputs and the outputs that are expected."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import MeasurementError

__all__ = ["Prepared", "check_outputs", "noise"]

ARRAYS = "arrays.npz"


@dataclass
class Prepared:
    """A network as files, ready for one runtime.

    Parameters
    ----------
    files : list of str
        Paths; the first is the model, the others belong to it.
    inputs : dict of str to ndarray
        An array for each input of the model file, in the order of the network's inputs.
    expected : list of ndarray or None
        What PyTorch returns for these inputs, in order; None if the network is no PyTorch module.
    tolerance : float or None
        The largest allowed difference from the expected outputs, relative to each output's largest value; None to
        check their number and sizes only, as for quantized networks.
    """

    files: list[str]
    inputs: dict[str, npt.NDArray[Any]]
    expected: Optional[list[npt.NDArray[Any]]] = None
    tolerance: Optional[float] = 1e-3

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the arrays into the folder that holds the files, and return a description for :meth:`read`."""
        arrays = {f"input_{number}": array for number, array in enumerate(self.inputs.values())}
        arrays.update({f"output_{number}": array for number, array in enumerate(self.expected or [])})
        np.savez(folder / ARRAYS, **arrays)  # type: ignore[arg-type] # noise can't be compressed
        return {
            "files": [os.path.basename(path) for path in self.files],
            "arrays": ARRAYS,
            "inputs": [[name, str(array.dtype), list(array.shape)] for name, array in self.inputs.items()],
            "outputs": None if self.expected is None else len(self.expected),
            "tolerance": self.tolerance,
        }

    @classmethod
    def read(cls, folder: Path, described: dict[str, Any]) -> Prepared:
        """Return the network that is described, whose files are in a folder.

        Without ``"arrays"``, the inputs are noise (:func:`noise`), and ``"outputs"`` holds the values of each expected
        output.
        """
        try:
            files = [str(folder / name) for name in described["files"]]
            inputs, outputs, tolerance = described["inputs"], described["outputs"], described["tolerance"]
            if "arrays" not in described:
                expected = None if outputs is None else [np.array(values, np.float64) for values in outputs]
                return cls(files, noise(inputs), expected, tolerance)
            with np.load(folder / described["arrays"], allow_pickle=False) as arrays:
                given = {name: arrays[f"input_{number}"] for number, (name, *_) in enumerate(inputs)}
                expected = None if outputs is None else [arrays[f"output_{number}"] for number in range(outputs)]
            return cls(files, given, expected, tolerance)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MeasurementError(f"{folder} holds no network that was prepared for a runtime: {error}.") from error


def noise(inputs: Sequence[Sequence[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Return an array for each input, always the same: normal noise, or 0 and 1 for whole numbers.

    Parameters
    ----------
    inputs : sequence of (name, dtype, shape)
    """
    rng = np.random.default_rng(0)
    return {
        name: rng.standard_normal(shape).astype(dtype)
        if np.issubdtype(np.dtype(dtype), np.floating)
        else rng.integers(0, 2, shape).astype(dtype)
        for name, dtype, shape in inputs
    }


def check_outputs(got: Sequence[npt.NDArray[Any]], prepared: Prepared) -> None:
    """Raise unless a runtime computes what PyTorch computes.

    Raises
    ------
    MeasurementError
        If an output is not finite, or differs from the expected ones in number, size or values.
    """
    if any(np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all() for array in got):
        raise MeasurementError("the runtime computes outputs that are not finite.")
    if prepared.expected is None:
        return
    sizes, wanted = [array.size for array in got], [array.size for array in prepared.expected]
    if sizes != wanted:
        raise MeasurementError(f"the runtime's outputs have {sizes} values, those of PyTorch {wanted}.")
    if prepared.tolerance is None:
        return
    for number, (array, reference) in enumerate(zip(got, prepared.expected)):
        off = np.abs(array.astype(np.float64).ravel() - reference.astype(np.float64).ravel()).max(initial=0.0)
        largest = np.abs(reference.astype(np.float64)).max(initial=0.0)
        if off > prepared.tolerance * largest:
            raise MeasurementError(
                f"output {number} differs from PyTorch's by {off / largest if largest else off:.2g} of its largest "
                f"value, more than {prepared.tolerance:g}: the runtime does not compute this network."
            )
