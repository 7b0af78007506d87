"""Networks that a user names: ONNX files, folders of them, and modules of a Python file."""

from __future__ import annotations

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas_surrogate.capture.onnx_inputs import inputs_of
from hwnas_surrogate.capture.user_file import Entry, beside_user_file, line_in, run_user_file, split_source
from hwnas_surrogate.errors import DataFileError, HWNASError, InvalidInputError, missing_extra, unknown
from hwnas_surrogate.graphs import Graph
from hwnas_surrogate.inputs import input_path, open_regular, read_bytes

if TYPE_CHECKING:
    from hwnas_surrogate.capture.onnx_model import InputShapes

__all__ = ["GivenNetwork", "OnnxFile", "UserModule", "given_networks", "is_model", "parse_input_shape"]

_LARGEST = 2**31 - 1
"""Bytes of an ONNX file, and the largest size of a dimension."""
_SIZES = re.compile(r"[0-9]{1,10}(x[0-9]{1,10})*")


@dataclass(frozen=True, slots=True)
class GivenNetwork(ABC):
    """A network that a user names.

    Parameters
    ----------
    name : str
        What the network is called: the file's name without ``.onnx``, or the mapping's key.
    source : str
        The text that finds it again: the file's path, or ``FILE.py:NAME``.
    """

    name: str
    source: str

    @abstractmethod
    def graph(self) -> Graph:
        """Capture it.

        Raises
        ------
        HWNASError
            If it can't be captured; the message names the network.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash that changes with the network: a changed file is another network."""


@dataclass(frozen=True, slots=True)
class OnnxFile(GivenNetwork):
    """An ONNX file, which is only read.

    Parameters
    ----------
    input_shape : str, optional
        The shapes of its inputs, as :func:`parse_input_shape` reads them, if the file has symbolic ones.
    """

    input_shape: str | None = None

    @property
    def input_shapes(self) -> InputShapes | None:
        """The shapes by the names of the inputs, or of the only input."""
        return None if self.input_shape is None else parse_input_shape(self.input_shape)

    def graph(self) -> Graph:
        """Read the file as a graph."""
        return Graph.from_onnx(self.source, self.input_shapes)

    def fingerprint(self) -> str:
        """Return the file's sha256, and the shapes that it was given."""
        digest = hashlib.sha256(self.content()).hexdigest()
        return digest if self.input_shape is None else f"{digest} {self.input_shape}"

    def content(self) -> bytes:
        """Return the file's bytes.

        Raises
        ------
        DataFileError
            If it can't be read.
        """
        try:
            return read_bytes(self.source, _LARGEST)
        except OSError as error:
            raise _unreadable(self.source, error) from error


@dataclass(frozen=True)  # no slots: its graph is kept
class UserModule(GivenNetwork):
    """A PyTorch module of a user's Python file, which was run.

    Parameters
    ----------
    entry : (torch.nn.Module, tuple)
        The module, and examples of what its ``forward`` takes.
    """

    entry: Entry = field(repr=False, compare=False)

    @property
    def is_without_numbers(self) -> bool:
        """Whether a weight or an example input is on the ``meta`` device, where tensors have shapes only."""
        from torch.utils._pytree import tree_leaves

        module, inputs = self.entry
        tensors = (*module.parameters(), *module.buffers(), *tree_leaves(inputs))
        return any(getattr(tensor, "is_meta", False) for tensor in tensors)

    def graph(self) -> Graph:
        """Record the module's operators on its example inputs, once."""
        return self._graph

    @cached_property
    def _graph(self) -> Graph:
        module, inputs = self.entry
        path, _ = split_source(self.source) or (self.source, "")
        try:
            with beside_user_file(path):
                return Graph.from_torch(module, *inputs)
        except HWNASError as error:
            raise type(error)(f"{self.source}[{self.name!r}]{line_in(path, error)}: {error}") from error

    def fingerprint(self) -> str:
        """Return the digest of the graph."""
        return self.graph().digest


def given_networks(
    sources: Iterable[str | os.PathLike[str]], input_shape: str | None = None
) -> tuple[GivenNetwork, ...]:
    """Find the networks that a user names.

    Parameters
    ----------
    sources : iterable of path-like
        Each is an ``.onnx`` file, a folder of such files (in the order of their names; folders inside it are not
        searched), or ``FILE.py:NAME``, where NAME is a mapping of names to (module, example inputs), or a function that
        returns one. **The Python file is run.** ONNX files are only read.
    input_shape : str, optional
        Shapes for the inputs of the ONNX files, as :func:`parse_input_shape` reads them, for files with symbolic
        dimensions. A shape without a name is for the one input of every file; one with a name for every file that has
        such an input. Modules have the shapes of their example inputs.

    Returns
    -------
    tuple of GivenNetwork
        In the order of the sources. A network that two sources name is there once.

    Raises
    ------
    DataFileError
        If a file can't be read.
    InvalidInputError
        If a source is nothing of the above, a folder has no ONNX files, the Python file fails or has no such networks,
        two networks have one name, or a shape is malformed or for no input of a file.

    Examples
    --------
    >>> given_networks(["missing.onnx"])
    Traceback (most recent call last):
        ...
    hwnas_surrogate.errors.DataFileError: can't read missing.onnx: No such file or directory.
    """
    if isinstance(sources, (str, os.PathLike)):
        raise InvalidInputError(f"sources are a list of texts, got {os.fspath(sources)!r:.200}: put it into a list.")
    shape = None if input_shape is None else parse_input_shape(input_shape)
    found: dict[str, GivenNetwork] = {}
    for source in sources:
        for network in _networks_of(os.fspath(source)):
            other = found.setdefault(network.name, network)
            if other is not network and not _is_same(other, network):
                raise InvalidInputError(
                    f"two networks are called {network.name!r:.200}: {other.source} and {network.source}. Rename one."
                )
    if shape is not None:
        found |= _with_shapes([network for network in found.values() if isinstance(network, OnnxFile)], shape)
    return tuple(found.values())


def is_model(text: str) -> bool:
    """Return whether a text names an ONNX file (by its ending) or a folder that holds some.

    A number is none, even if there is a folder of that name: it is an architecture's index (``./7`` is the folder).

    Examples
    --------
    >>> is_model("resnet18.onnx"), is_model("|nor_conv_3x3~0|"), is_model("7")
    (True, False, False)
    """
    if text.lower().endswith(".onnx"):
        return True
    return not text.isdigit() and os.path.isdir(text) and any(_files_of(text))


def parse_input_shape(text: str) -> InputShapes:
    """Read the shapes of a model's inputs.

    Parameters
    ----------
    text : str
        ``1x3x224x224`` for a model with one input, or ``image=1x3x224x224,mask=1x16``.

    Returns
    -------
    tuple of int, or dict of str to tuple of int

    Raises
    ------
    InvalidInputError
        If it has another form, a size is not between 1 and 2,147,483,647, or an input is named twice.

    Examples
    --------
    >>> parse_input_shape("1x3x224x224")
    (1, 3, 224, 224)
    >>> parse_input_shape("image=1x3x224x224,mask=1x16")
    {'image': (1, 3, 224, 224), 'mask': (1, 16)}
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for item in text.split(","):
        name, equals, sizes = (part.strip() for part in item.rpartition("="))
        shape = tuple(map(int, sizes.split("x"))) if _SIZES.fullmatch(sizes) else ()
        if not shape or not all(1 <= size <= _LARGEST for size in shape) or bool(equals) != bool(name):
            raise InvalidInputError(
                "an input shape reads 1x3x224x224, or image=1x3x224x224,mask=1x16 for a model with several inputs, "
                f"with sizes of 1 to {_LARGEST:,}; got {text!r:.200}."
            )
        if name in shapes:
            raise InvalidInputError(
                f"an input has one shape, got two {f'for {name!r:.80}' if name else 'without a name'}: {text!r:.200}."
            )
        shapes[name] = shape
    if "" not in shapes:
        return shapes
    if len(shapes) > 1:
        raise InvalidInputError(f"of several input shapes each needs its input's name, got {text!r:.200}.")
    return shapes[""]


def _with_shapes(files: list[OnnxFile], shapes: InputShapes) -> dict[str, OnnxFile]:
    """Return files by their names, each with the shapes of its inputs."""
    if not files:
        raise InvalidInputError(
            f"an input shape is for .onnx files, of which there are none; got {_text_of(shapes)}. Modules of a Python "
            "file have the shapes of their example inputs."
        )
    if not isinstance(shapes, Mapping) or len(files) == 1:  # of one file, its capture explains what does not fit
        return {file.name: replace(file, input_shape=_text_of(shapes)) for file in files}
    inputs = {file.name: _inputs(file) for file in files}
    for name in shapes:
        if not any(name in names for names in inputs.values()):
            every = dict.fromkeys(name for names in inputs.values() for name in names)
            raise unknown(InvalidInputError, "input of the .onnx files", name, every)
    known = {file.name: {name: shapes[name] for name in shapes if name in inputs[file.name]} for file in files}
    return {file.name: replace(file, input_shape=_text_of(known[file.name]) or None) for file in files}


def _inputs(file: OnnxFile) -> list[str]:
    """Return the names of a file's inputs; none if it is no ONNX model, which its capture explains."""
    try:
        import onnx
    except ImportError as error:
        raise missing_extra("reading ONNX", "onnx") from error
    from google.protobuf.message import DecodeError

    try:
        return [value.name for value in inputs_of(onnx.load_model_from_string(file.content()).graph)]
    except DecodeError:
        return []


def _text_of(shapes: InputShapes) -> str:
    """Return shapes as one text for all its spellings, since the text is part of what identifies a network."""
    if isinstance(shapes, Mapping):
        return ",".join(f"{name}={'x'.join(map(str, sizes))}" for name, sizes in sorted(shapes.items()))
    return "x".join(map(str, shapes))


def _networks_of(source: str) -> Iterator[GivenNetwork]:
    python = split_source(source)
    if python is not None:
        for name, entry in run_user_file(*python).items():
            yield UserModule(name, source, entry)
    elif source.lower().endswith(".onnx") and not os.path.isdir(source):
        yield _onnx_file(source)
    elif os.path.isdir(source):
        files = sorted(_files_of(source))
        if not files:
            raise InvalidInputError(f"the folder {source} has no .onnx files; folders inside it are not searched.")
        for file in files:
            yield _onnx_file(os.path.join(source, file))
    elif source.endswith(".py"):
        raise InvalidInputError(
            f"{source} is a Python file: name what in it holds the networks, such as {source}:networks."
        )
    else:
        input_path(source)  # raises if no file can have such a name
        raise InvalidInputError(
            f"networks are an .onnx file, a folder of such files, or FILE.py:NAME; got {source!r:.200}"
            f"{'' if os.path.exists(source) else ', which does not exist'}."
        )


def _files_of(folder: str) -> list[str]:
    """Return the names of the ONNX files in a folder."""
    try:
        return [entry.name for entry in os.scandir(folder) if entry.name.lower().endswith(".onnx") and entry.is_file()]
    except OSError as error:
        raise _unreadable(folder, error) from error


def _onnx_file(path: str) -> OnnxFile:
    try:
        open_regular(input_path(path)).close()
    except OSError as error:
        raise _unreadable(path, error) from error
    name = Path(path).stem
    if not name.isprintable():
        raise InvalidInputError(f"a model's file has a printable name, which becomes the network's; got {path!r:.200}.")
    return OnnxFile(name, path)


def _is_same(one: GivenNetwork, other: GivenNetwork) -> bool:
    """Return whether two networks of one name are one: the same file, or files with the same content."""
    if isinstance(one, OnnxFile) and isinstance(other, OnnxFile):
        return os.path.samefile(one.source, other.source) or one.content() == other.content()
    return one.source == other.source


def _unreadable(path: str, error: OSError) -> DataFileError:
    return DataFileError(f"can't read {path}: {error.strerror or error}.")
