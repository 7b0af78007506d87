"""Functions on channels and modules that users of the benchmark's networks call."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidConfigError, InvalidInputError
from hwnas_surrogate.networks.arguments import count

__all__ = ["additive_func", "change_key", "parse_channel_info"]


def additive_func(a: Tensor, b: Tensor) -> Tensor:
    """Add two maps over their common leading channels; the other channels of the wider one stay.

    Parameters
    ----------
    a : Tensor, shape (batch, channels of a, ...)
    b : Tensor, shape (batch, channels of b, ...)

    Returns
    -------
    Tensor, shape (batch, the larger number of channels, ...)

    Raises
    ------
    InvalidInputError
        If they differ in more than the channels.

    Examples
    --------
    >>> additive_func(torch.ones(1, 3), torch.ones(1, 2))
    tensor([[2., 2., 1.]])
    """
    if a.ndim < 2 or a.ndim != b.ndim or a.shape[0] != b.shape[0] or a.shape[2:] != b.shape[2:]:
        raise InvalidInputError(
            f"maps are added if they differ in the channels only, got shapes {tuple(a.shape)} and {tuple(b.shape)}."
        )
    narrow, wide = sorted((a, b), key=lambda x: x.shape[1])
    common = narrow.shape[1]
    if common == wide.shape[1]:
        return a + b
    return torch.cat([wide[:, :common] + narrow, wide[:, common:]], dim=1)


def change_key(key: str, value: object) -> Callable[[nn.Module], None]:
    """Return a function for ``network.apply`` that sets an attribute on every module that has it.

    Parameters
    ----------
    key : str
        The attribute's name, for example ``"search_mode"``.
    value : object
        Its new value.

    Returns
    -------
    callable

    Raises
    ------
    InvalidInputError
        If ``key`` is no text.

    Examples
    --------
    >>> network = nn.Sequential(nn.Dropout(0.5), nn.ReLU()).apply(change_key("p", 0.1))
    >>> network[0]
    Dropout(p=0.1, inplace=False)
    """
    if not isinstance(key, str):
        raise InvalidInputError(f"key is an attribute's name, a text; got {key!r:.80}.")

    def change(module: nn.Module) -> None:
        if hasattr(module, key):
            setattr(module, key, value)

    return change


def parse_channel_info(text: str) -> list[list[int]]:
    """Read groups of channels: groups are separated by spaces, channels by ``-``.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of list of int

    Raises
    ------
    InvalidConfigError
        If it is not such a text.

    Examples
    --------
    >>> parse_channel_info("3-32 32-192-64")
    [[3, 32], [32, 192, 64]]
    """
    if not isinstance(text, str) or not text.strip():
        raise InvalidConfigError(f"channels read like '3-32 32-16 16-96-24', got {text!r:.100}.")
    try:
        groups = [[int(number) for number in group.split("-")] for group in text.split()]
    except ValueError:
        raise InvalidConfigError(f"channels read like '3-32 32-16 16-96-24', got {text!r:.100}.") from None
    return [[count(f"a number of channels in {text!r:.60}", number) for number in group] for group in groups]
