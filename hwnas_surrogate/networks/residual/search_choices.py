"""What a search has chosen: widths and depths by learned probabilities, full ones, fixed ones or random ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hwnas_surrogate.networks.arguments import check_name, fraction

__all__ = ["MODES", "choose_depths", "choose_widths", "described"]

MODES = ("genotype", "max", "fix", "random")
"""The most probable choices; everything; a fixed part of the multiply-adds; a random one around it."""


@torch.no_grad()
def choose_widths(
    ranges: Sequence[Sequence[int]], attentions: Tensor, mode: str, extra_info: float | None
) -> list[int]:
    """Choose the channels of each convolution.

    Parameters
    ----------
    ranges : sequence of n sequences of int
        The widths to choose from.
    attentions : Tensor, shape (n, choices)
    mode : {"genotype", "max", "fix", "random"}
        The most probable width; the full one; the full one times the square root of ``extra_info``; one that is drawn
        around the latter, by PyTorch's global generator.
    extra_info : float or None
        The part of the full network's multiply-adds, for ``"fix"`` and ``"random"``.

    Raises
    ------
    InvalidConfigError
        If there is no such mode, or it needs ``extra_info``, and that is not above 0 and at most 1.
    """
    if _checked(mode) == "genotype":
        return [widths[choice] for widths, choice in zip(ranges, attentions.argmax(1).tolist(), strict=True)]
    if mode == "max":
        return [widths[-1] for widths in ranges]
    scale = math.sqrt(fraction("extra_info", extra_info))
    wanted = [int(scale * widths[-1]) for widths in ranges]
    if mode == "fix":
        return [max(1, width) for width in wanted]
    return [_drawn(widths, width) for widths, width in zip(ranges, wanted, strict=True)]


def _drawn(widths: Sequence[int], wanted: int) -> int:
    """Draw one of the widths, most often the one that is as much below the wanted width as its own number."""
    odds = [1 / (abs(number - (wanted - width)) + 0.2) for number, width in enumerate(widths)]
    return widths[int(torch.multinomial(torch.tensor(odds), 1).item())]


@torch.no_grad()
def choose_depths(
    counts: Sequence[Sequence[int]], attentions: Tensor, mode: str, extra_info: float | None
) -> list[int]:
    """Choose how many blocks each stage keeps; return the numbers of the choices.

    Parameters
    ----------
    counts : sequence of n sequences of int
        The numbers of blocks to choose from.
    attentions : Tensor, shape (n, choices)
    mode : {"genotype", "max", "fix", "random"}
        The most probable depth; all blocks; the depth closest to the part ``extra_info`` of them; one that is drawn by
        the probabilities.
    extra_info : float or None
        The part of the blocks, for ``"fix"``.

    Raises
    ------
    InvalidConfigError
        If there is no such mode, or it needs ``extra_info``, and that is not above 0 and at most 1.
    """
    if _checked(mode) == "genotype":
        choices: list[int] = attentions.argmax(1).tolist()
        return choices
    if mode == "random":
        return [int(choice) for choice in torch.multinomial(attentions.softmax(1), 1).flatten().tolist()]
    part = 1.0 if mode == "max" else fraction("extra_info", extra_info)
    return [min(range(len(row)), key=lambda choice: abs(row[choice] - part * row[-1])) for row in counts]


@torch.no_grad()
def described(attentions: Tensor, what: str) -> tuple[list[str], list[float]]:
    """Describe probabilities, one line a row, and return how far the best choice is ahead of the second.

    Probabilities and leads are rounded to three decimals, as they are shown.

    Parameters
    ----------
    attentions : Tensor, shape (n, choices)
    what : str
        What is chosen.
    """
    lines, leads = [f"{len(attentions)} {what} to choose:"], []
    for number, row in enumerate(attentions.softmax(1).tolist()):
        shown = [round(odds, 3) for odds in row]
        first, second, *_ = [*sorted(shown, reverse=True), 0.0]
        leads.append(first - second)
        odds = " ".join(f"{value:.3f}" for value in shown)
        lines.append(f"{number:03d}: {odds} | lead {first - second:.3f} | choice {row.index(max(row))}")
    return lines, leads


def _checked(mode: str) -> str:
    check_name("mode of get_flop", mode, MODES)
    return mode
