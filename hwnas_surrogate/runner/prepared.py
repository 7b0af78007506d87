"""A network as files that a runtime can run, with inputs and the outputs that are expected."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.errors import MeasurementError

__all__ = ["Prepared", "check_outputs"]

DESCRIPTION = "prepared.json"
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

    def write(self, folder: Path) -> list[Path]:
        """Write the description and the arrays into the folder that holds the files; return all paths."""
        arrays = {f"input_{number}": array for number, array in enumerate(self.inputs.values())}
        arrays.update({f"output_{number}": array for number, array in enumerate(self.expected or [])})
        np.savez_compressed(folder / ARRAYS, **arrays)  # type: ignore[arg-type]
        description = {
            "files": [os.path.basename(path) for path in self.files],
            "inputs": list(self.inputs),
            "outputs": None if self.expected is None else len(self.expected),
            "tolerance": self.tolerance,
        }
        (folder / DESCRIPTION).write_text(json.dumps(description), encoding="utf-8")
        return [*map(Path, self.files), folder / ARRAYS, folder / DESCRIPTION]

    @classmethod
    def read(cls, folder: Path) -> Prepared:
        """Read what :meth:`write` wrote."""
        try:
            described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
                inputs = {name: arrays[f"input_{number}"] for number, name in enumerate(described["inputs"])}
                count = described["outputs"]
                expected = None if count is None else [arrays[f"output_{number}"] for number in range(count)]
            files = [str(folder / name) for name in described["files"]]
            return cls(files, inputs, expected, described["tolerance"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MeasurementError(f"{folder} holds no network that was prepared for a runtime: {error}.") from error


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
