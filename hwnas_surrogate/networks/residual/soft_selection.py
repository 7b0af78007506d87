"""Soft selection: pick widths and depths by learned probabilities, so that gradients reach those probabilities."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.networks.arguments import check_name, count, finite, probability
from hwnas_surrogate.networks.cells.choosing import has_numbers, numbers

__all__ = [
    "ChannelWiseInter",
    "draw_choices",
    "drop_path",
    "get_depth_choices",
    "get_width_choices",
    "linear_forward",
    "select2withP",
]

_RATIOS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_ATTEMPTS = 100


@overload
def select2withP(
    logits: Tensor, tau: float, just_prob: Literal[False] = ..., num: int = ..., eps: float = ...
) -> tuple[Tensor, Tensor]: ...
@overload
def select2withP(logits: Tensor, tau: float, just_prob: Literal[True], num: int = ..., eps: float = ...) -> Tensor: ...
def select2withP(
    logits: Tensor, tau: float, just_prob: bool = False, num: int = 2, eps: float = 1e-7
) -> tuple[Tensor, Tensor] | Tensor:
    """Draw choices of each row by their probabilities, and return differentiable weights of those drawn [1]_.

    While a network is captured as a graph, the most probable choices are taken.

    Parameters
    ----------
    logits : Tensor, shape (n, choices)
    tau : float
        Temperature of the Gumbel softmax; without noise and temperature if it is not positive.
    just_prob : bool, default=False
        Whether to return the probabilities of all choices only.
    num : int, default=2
        How many different choices to draw.
    eps : float, default=1e-7
        Added to the probabilities of the draw, so that there are ``num`` choices with one.

    Returns
    -------
    picks : Tensor of int64, shape (n, num)
        The drawn choices; left out if ``just_prob``.
    weights : Tensor, shape (n, num), or (n, choices) if ``just_prob``
        Probabilities that add up to 1 in each row.

    Raises
    ------
    InvalidInputError
        If there are fewer choices than ``num``, or the probabilities are not finite.
    InvalidConfigError
        If the temperature is not finite.

    References
    ----------
    .. [1] Dong and Yang, "Network Pruning via Transformable Architecture Search", NeurIPS 2019, section 3.2.

    Examples
    --------
    >>> picks, weights = select2withP(torch.zeros(5, 8), tau=1.0)
    >>> picks.shape, weights.shape
    (torch.Size([5, 2]), torch.Size([5, 2]))
    """
    if just_prob:
        return _noisy(logits, tau, 1).softmax(1)
    picks, weights = draw_choices(logits, tau, num, eps)
    return torch.tensor(picks, dtype=torch.int64, device=logits.device).reshape(-1, num), weights


def draw_choices(logits: Tensor, tau: float, num: int = 2, eps: float = 1e-7) -> tuple[list[list[int]], Tensor]:
    """Draw choices as :func:`select2withP` does, and return the drawn ones as numbers of Python.

    Parameters
    ----------
    logits : Tensor, shape (n, choices)
    tau, num, eps
        As of :func:`select2withP`.

    Returns
    -------
    picks : list of n lists of ``num`` int
    weights : Tensor, shape (n, num)
    """
    noisy = _noisy(logits, tau, num)
    probabilities = noisy.softmax(1)
    if has_numbers(probabilities):
        picks: list[list[int]] = torch.multinomial(probabilities.detach().cpu() + eps, num, False).tolist()
    else:
        picks = [sorted(range(len(row)), key=row.__getitem__, reverse=True)[:num] for row in numbers(logits)]
    chosen = torch.tensor(picks, dtype=torch.int64, device=logits.device).reshape(-1, num)
    return picks, noisy.gather(1, chosen).softmax(1)


def _noisy(logits: Tensor, tau: float, num: int) -> Tensor:
    """Return logits with noise at a positive temperature; raise if ``num`` choices can't be drawn."""
    tau = finite("tau", tau)
    is_number = isinstance(num, int) and not isinstance(num, bool)
    if logits.ndim != 2 or not (is_number and 1 <= num <= logits.shape[1]):
        raise InvalidInputError(f"can't draw {num!r:.80} choices from logits of shape {tuple(logits.shape)}.")
    return logits if tau <= 0 else _with_noise(logits, tau)


def _with_noise(logits: Tensor, tau: float) -> Tensor:
    """Return log-probabilities with Gumbel noise, over the temperature; again where a draw is not finite."""
    for _ in range(_ATTEMPTS):
        gumbels = -torch.empty_like(logits).exponential_().log()
        noisy = (logits.log_softmax(1) + gumbels) / tau
        if not has_numbers(gumbels):  # while a network is captured
            return noisy
        if gumbels.isfinite().all() and noisy.softmax(1).isfinite().all():
            return noisy
    raise InvalidInputError(f"the Gumbel softmax of these logits is not finite at temperature {tau:g}.")


def ChannelWiseInter(inputs: Tensor, oC: int, mode: str = "v2") -> Tensor:
    """Interpolate a map to another number of channels: each is the mean of those input channels that it overlaps.

    Parameters
    ----------
    inputs : Tensor, shape (batch, channels, height, width)
    oC : int
        The number of output channels.
    mode : {"v1", "v2"}, default="v2"
        Both return the same. ``"v1"`` averages channel by channel, ``"v2"`` pools all of them at once.

    Returns
    -------
    Tensor, shape (batch, oC, height, width)

    Raises
    ------
    InvalidInputError
        If the map is not of that shape.
    InvalidConfigError
        If ``oC`` is no number of channels, or there is no such mode.

    Examples
    --------
    >>> ChannelWiseInter(torch.arange(4.0).reshape(1, 4, 1, 1), 2).flatten()
    tensor([0.5000, 2.5000])
    """
    if inputs.ndim != 4:
        raise InvalidInputError(f"a map has shape (batch, channels, height, width), got {tuple(inputs.shape)}.")
    check_name("mode of interpolation", mode, ("v1", "v2"))
    c_in, c_out = inputs.shape[1], count("oC", oC)
    if c_in == c_out:
        return inputs
    if mode == "v2":
        return nn.functional.adaptive_avg_pool3d(inputs, (c_out, *inputs.shape[2:]))
    spans = ((place * c_in // c_out, -(-(place + 1) * c_in // c_out)) for place in range(c_out))
    return torch.stack([inputs[:, start:end].mean(1) for start, end in spans], dim=1)


def linear_forward(inputs: Tensor, linear: nn.Linear | None) -> Tensor:
    """Apply a linear layer to its leading features only.

    Parameters
    ----------
    inputs : Tensor, shape (batch, at most ``linear.in_features``)
    linear : torch.nn.Linear or None
        None returns the input.

    Returns
    -------
    Tensor, shape (batch, ``linear.out_features``)

    Raises
    ------
    InvalidInputError
        If there are more features than the layer takes.
    """
    if linear is None:
        return inputs
    if inputs.shape[1] > linear.in_features:
        raise InvalidInputError(f"the layer takes at most {linear.in_features} features, got {inputs.shape[1]}.")
    return nn.functional.linear(inputs, linear.weight[:, : inputs.shape[1]], linear.bias)


@overload
def get_width_choices(n_channels: int) -> tuple[int, ...]: ...
@overload
def get_width_choices(n_channels: None) -> int: ...
def get_width_choices(n_channels: int | None) -> tuple[int, ...] | int:
    """Return the numbers of channels to choose from: 30%, 40%, ..., 100% of the full number, each once.

    Parameters
    ----------
    n_channels : int or None
        The full number. None returns the number of choices, 8.

    Examples
    --------
    >>> get_width_choices(16), get_width_choices(None)
    ((4, 6, 8, 9, 11, 12, 14, 16), 8)
    """
    if n_channels is None:
        return len(_RATIOS)
    full = count("the number of channels", n_channels)
    return tuple(sorted({int(full * ratio) for ratio in _RATIOS}))


@overload
def get_depth_choices(n_blocks: int, return_num: Literal[False] = ...) -> tuple[int, ...]: ...
@overload
def get_depth_choices(n_blocks: int, return_num: Literal[True]) -> int: ...
def get_depth_choices(n_blocks: int, return_num: bool = False) -> tuple[int, ...] | int:
    """Return the numbers of blocks to choose from in a CIFAR stage: 1, 3, 5, ... and all; 1 and 2 of two.

    Parameters
    ----------
    n_blocks : int
        All blocks of the stage, at least 2.
    return_num : bool, default=False
        Whether to return the number of choices only.

    Raises
    ------
    InvalidConfigError
        If it is not an integer.
    InvalidInputError
        If there is nothing to choose.

    Examples
    --------
    >>> get_depth_choices(6), get_depth_choices(3)
    ((1, 3, 5, 6), (1, 2, 3))
    """
    full = count("the number of blocks", n_blocks)
    if full < 2:
        raise InvalidInputError("a stage of one block has no depths to choose from: take 2 blocks or more.")
    choices = range(1, full + 1) if full <= 3 else sorted({*range(1, full, 2), full})
    return len(choices) if return_num else tuple(choices)


def drop_path(x: Tensor, drop_prob: float) -> Tensor:
    """Drop whole images of a batch with a probability, and scale the others up, so that the mean stays.

    Parameters
    ----------
    x : Tensor, shape (batch, ...)
    drop_prob : float
        From 0 to below 1; 0 returns the input.

    Returns
    -------
    Tensor, shape (batch, ...)

    Raises
    ------
    InvalidConfigError
        If the probability is not allowed.
    """
    keep = 1 - probability("drop_prob", drop_prob)
    if keep == 1:
        return x
    keeps = torch.full((x.shape[0], *[1] * (x.ndim - 1)), keep, dtype=x.dtype, device=x.device)
    return x / keep * torch.bernoulli(keeps)
