"""The super-net of the size space: one cell, and for each layer a choice of how many channels are used."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwnas_surrogate.errors import InvalidConfigError, InvalidInputError
from hwnas_surrogate.networks.arguments import check_name, count, flat_integers, integer, temperature
from hwnas_surrogate.networks.cells import probabilities
from hwnas_surrogate.networks.cells.choosing import gumbel_scores, has_numbers, numbers
from hwnas_surrogate.networks.cells.inference import InferenceCell, cell_lines
from hwnas_surrogate.networks.cells.reductions import ResidualBlock
from hwnas_surrogate.networks.cells.structure import as_structure

__all__ = ["SizeSearchNetwork"]

_ALGORITHMS = ("fbv2", "tunas", "tas")
_EPSILON = 1e-7
"""Added to probabilities, so that a choice without replacement is possible when one is 1."""


class SizeSearchNetwork(nn.Module):
    """The super-net of NATS-Bench's size space [1]_ (``search-shape``): every layer has the largest width.

    The algorithm decides how many channels of each layer are used:

    - ``"fbv2"``: masks of the widths, weighted by a Gumbel softmax (FBNetV2 [2]_)
    - ``"tunas"``: the mask of one drawn width; the logarithms of its probability are returned (TuNAS [3]_)
    - ``"tas"``: two drawn widths, brought to the wider one and weighted (TAS [4]_)

    The stem and the first layer share one choice.

    Parameters
    ----------
    candidate_Cs : sequence of int
        The widths to choose from.
    max_num_Cs : int
        The number of layers, 3 k + 2. Layers k and 2 k + 1 halve the size.
    genotype : CellStructure, str or nested lists
        The cell of the other layers.
    num_classes : int
    affine, track_running_stats : bool
        The batch norms'.

    Raises
    ------
    InvalidConfigError
        If the number of layers is not 3 k + 2, or the candidates are not different positive integers.

    References
    ----------
    .. [1] Dong et al., "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size", TPAMI 2021.
    .. [2] Wan et al., "FBNetV2: Differentiable Neural Architecture Search for Spatial and Channel Dimensions",
       CVPR 2020, section 3.2.
    .. [3] Bender et al., "Can Weight Sharing Outperform Random Architecture Search?", CVPR 2020.
    .. [4] Dong and Yang, "Network Pruning via Transformable Architecture Search", NeurIPS 2019, section 3.1.

    Examples
    --------
    >>> import torch
    >>> network = SizeSearchNetwork([4, 8], 5, "|nor_conv_1x1~0|+|skip_connect~1|", 10, True, True)
    >>> network.set_algo("tunas")
    >>> features, logits, log_probs = network(torch.zeros(2, 3, 8, 8))
    >>> features.shape, logits.shape, len(log_probs)
    (torch.Size([2, 8]), torch.Size([2, 10]), 6)
    """

    def __init__(
        self,
        candidate_Cs: Sequence[int],
        max_num_Cs: int,
        genotype: Any,
        num_classes: int,
        affine: bool = False,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        self._candidate_Cs = _checked_candidates(candidate_Cs)
        layers = integer(max_num_Cs)
        if layers is None or not 2 <= layers <= 1000 or layers % 3 != 2:
            raise InvalidConfigError(f"max_num_Cs is 3 k + 2 layers (2, 5, 8, ...), got {max_num_Cs!r:.80}.")
        self._max_num_Cs, k = layers, layers // 3
        structure, width, norm = as_structure(genotype), max(self._candidate_Cs), (affine, track_running_stats)
        self._cells = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Conv2d(3, width, 3, padding=1, bias=not affine),
                    nn.BatchNorm2d(width, affine=affine, track_running_stats=track_running_stats),
                )
            ]
        )
        for layer in range(layers):
            reduces = layer in (k, 2 * k + 1)
            self._cells.append(
                ResidualBlock(width, width, 2) if reduces else InferenceCell(structure, width, width, 1, *norm)
            )
        self.lastact = nn.Sequential(
            nn.BatchNorm2d(width, affine=affine, track_running_stats=track_running_stats), nn.ReLU()
        )
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, count("num_classes", num_classes, most=10**6))
        self._arch_parameters = nn.Parameter(1e-3 * torch.randn(layers, len(self._candidate_Cs)))
        self._algo: str | None = None
        self._tau: Tensor
        self.register_buffer("_tau", torch.zeros(1))

    def set_algo(self, algo: str) -> None:
        """Set the search algorithm, once.

        Parameters
        ----------
        algo : {"fbv2", "tunas", "tas"}

        Raises
        ------
        InvalidConfigError
            If there is no such algorithm.
        InvalidInputError
            If one is set already.
        """
        check_name("search algorithm of sizes", algo, _ALGORITHMS)
        if self._algo is not None:
            raise InvalidInputError(f"the algorithm is set once, and is {self._algo!r} already; got {algo!r}.")
        self._algo = algo
        if algo != "tas":
            self._masks: Tensor
            channels = torch.arange(max(self._candidate_Cs), device=self._tau.device)
            masks = [channels < candidate for candidate in self._candidate_Cs]
            self.register_buffer("_masks", torch.stack(masks).to(self._tau.dtype))

    def set_tau(self, tau: float) -> None:
        """Set the temperature of the Gumbel softmax (``"fbv2"`` and ``"tas"``).

        Raises
        ------
        InvalidConfigError
            If it is not positive.
        """
        self._tau.fill_(temperature("tau", tau))

    @property
    def tau(self) -> Tensor:
        """The temperature, shape (1,); 0 until it is set."""
        return self._tau

    @property
    def weights(self) -> list[nn.Parameter]:
        """The parameters of the layers."""
        parts = (self._cells, self.lastact, self.classifier)
        return [parameter for part in parts for parameter in part.parameters()]

    @property
    def alphas(self) -> list[nn.Parameter]:
        """The parameters of the choices."""
        return [self._arch_parameters]

    @property
    def random(self) -> str:
        """Random channels, ``"8:16:24:32:40"``, from Python's global generator (``random.seed``)."""
        return ":".join(str(random.choice(self._candidate_Cs)) for _ in range(self._max_num_Cs))

    @property
    def genotype(self) -> str:
        """The most probable channels, ``"8:16:24:32:40"``."""
        best = self._arch_parameters.argmax(dim=-1).tolist()
        return ":".join(str(self._candidate_Cs[choice]) for choice in best)

    def show_alphas(self) -> str:
        """Return a text of the probabilities of each layer's channels."""
        return probabilities.shown("arch-parameters", self._arch_parameters)

    def get_message(self) -> str:
        """Return a text of the network and its layers."""
        return self.extra_repr() + cell_lines(self._cells)

    def extra_repr(self) -> str:
        """Return the class and its settings."""
        settings = f"candidates={self._candidate_Cs}, num={self._max_num_Cs}, N={self._max_num_Cs // 3}"
        return f"{type(self).__name__}({settings}, L={len(self._cells)})"

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return features, logits, and the logarithms of the drawn choices' probabilities.

        Parameters
        ----------
        x : Tensor, shape (batch, 3, height, width)

        Returns
        -------
        features : Tensor, shape (batch, largest width)
        logits : Tensor, shape (batch, num_classes)
        log_probs : list of Tensor of shape (1,)
            With ``"tunas"`` one for the stem and each layer, otherwise empty.

        Raises
        ------
        InvalidInputError
            If no algorithm is set, or it lacks a temperature.
        """
        self._check_ready()
        log_probs: list[Tensor] = []
        for number, cell in enumerate(self._cells):
            x = cell(x)
            alphas = self._arch_parameters[max(0, number - 1)].unsqueeze(0)
            if self._algo == "fbv2":
                soft = gumbel_scores(alphas, self._tau).softmax(dim=-1)
                x = x * (soft @ self._masks).view(1, -1, 1, 1)
            elif self._algo == "tunas":
                choice, log_prob = self._drawn(alphas, number)
                log_probs.append(log_prob)
                x = x * self._masks[choice].view(1, -1, 1, 1)
            else:
                x = self._two_widths(x, alphas, number)
        features: Tensor = self.global_pooling(self.lastact(x)).flatten(1)
        logits: Tensor = self.classifier(features)
        return features, logits, log_probs

    def _check_ready(self) -> None:
        if self._algo is None:
            allowed = ", ".join(map(repr, _ALGORITHMS))
            raise InvalidInputError(f"this super-net has no algorithm yet. Call set_algo first: {allowed}.")
        if self._algo != "tunas" and has_numbers(self._tau) and self._tau.tolist() == [0.0]:
            raise InvalidInputError(f"the algorithm {self._algo!r} needs a temperature: call set_tau first.")

    def _drawn(self, alphas: Tensor, number: int) -> tuple[int, Tensor]:
        """Draw one choice; while the network is captured, take the most probable one."""
        logs = alphas.log_softmax(dim=-1)
        shares = logs.exp()
        if has_numbers(shares):
            choice = int(torch.multinomial(shares.detach(), 1).item())
        else:
            [choice] = self._most_probable(number, 1)
        return choice, logs[:, choice]

    def _two_widths(self, x: Tensor, alphas: Tensor, number: int) -> Tensor:
        """Return two widths' channels, each brought to the wider one, weighted and filled up with zeros."""
        scores = gumbel_scores(alphas, self._tau)
        soft = scores.softmax(dim=-1)
        if has_numbers(soft):
            pair: list[int] = torch.multinomial(soft.detach() + _EPSILON, min(2, soft.shape[1])).flatten().tolist()
        else:
            pair = self._most_probable(number, 2)
        weights = scores[0, pair].softmax(dim=-1)
        widths = [self._candidate_Cs[choice] for choice in pair]
        size = max(widths), *x.shape[2:]
        resized = [functional.adaptive_avg_pool3d(x[:, :width], size) for width in widths]
        mixed = torch.stack([part * weights[k : k + 1] for k, part in enumerate(resized)]).sum(dim=0)
        return functional.pad(mixed, (0, 0, 0, 0, 0, x.shape[1] - mixed.shape[1]))

    def _most_probable(self, number: int, n: int) -> list[int]:
        row = numbers(self._arch_parameters)[max(0, number - 1)]
        return sorted(range(len(row)), key=row.__getitem__, reverse=True)[:n]


def _checked_candidates(candidates: object) -> list[int]:
    found = flat_integers(candidates)
    if found is None or min(found) < 1 or max(found) > 20_000 or len(set(found)) != len(found):
        raise InvalidConfigError(f"candidate_Cs are different positive numbers of channels, got {candidates!r:.80}.")
    return found
