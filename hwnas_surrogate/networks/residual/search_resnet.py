"""Residual networks whose widths, depths or both are searched."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hwnas_surrogate.networks.arguments import check_name, count, finite, fraction, required
from hwnas_surrogate.networks.residual.base import Classifier
from hwnas_surrogate.networks.residual.initialization import initialize_resnet
from hwnas_surrogate.networks.residual.plan import Plan
from hwnas_surrogate.networks.residual.search_choices import choose_depths, choose_widths, described
from hwnas_surrogate.networks.residual.search_units import Picks, SearchBlock, SearchConv, Searched
from hwnas_surrogate.networks.residual.soft_selection import (
    ChannelWiseInter,
    draw_choices,
    get_width_choices,
    linear_forward,
    select2withP,
)

__all__ = ["SearchResNet"]


class SearchResNet(Classifier):
    """A residual network whose widths, depths or both are learned with its weights [1]_.

    In basic mode it is the full network. In search mode every convolution runs at two drawn widths, every stage returns
    the weighted sum of its depths, and the expected multiply-adds are returned too. Switch with
    ``network.search_mode = "search"``, or ``network.apply(change_key("search_mode", "search"))``. Both are captured as
    graphs; that of the search mode has the most probable widths.

    Parameters
    ----------
    plan : Plan
        The full network.
    num_classes : int
    width : bool
        Whether widths are searched.
    depths : sequence of sequences of int, optional
        The numbers of blocks that each stage may keep, if depths are searched: as many for every stage, increasing, the
        last all blocks.

    Attributes
    ----------
    width_attentions : Parameter, shape (convolutions, 8), or None
        Logits of the widths.
    depth_attentions : Parameter, shape (stages, choices), or None
        Logits of the depths.
    search_mode : {"basic", "search"}
    tau : float
        Temperature of the draws; without noise if it is not positive.

    References
    ----------
    .. [1] Dong and Yang, "Network Pruning via Transformable Architecture Search", NeurIPS 2019.
    """

    width_attentions: nn.Parameter | None
    depth_attentions: nn.Parameter | None

    def __init__(
        self, plan: Plan, num_classes: int, width: bool, depths: Sequence[Sequence[int]] | None = None
    ) -> None:
        super().__init__()
        self.num_classes = count("class_num", num_classes, 1_000_000)
        self.depths = [] if depths is None else [tuple(counts) for counts in depths]
        blocks = [SearchBlock(block, width) for block in plan.blocks]
        self.layers = nn.ModuleList([*(SearchConv(conv, width) for conv in plan.stem), *blocks])
        self.n_stem, self.stage_blocks = len(plan.stem), plan.layers
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if plan.max_pool else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(plan.features, self.num_classes)
        self.search_mode = "basic"
        self.tau = -1.0
        self.ranges = [widths for layer in self._layers() for widths in layer.get_range()]
        self._add_attentions("width_attentions", len(self.ranges) if width else 0, get_width_choices(None))
        self._add_attentions("depth_attentions", len(self.depths), len(self.depths[0]) if self.depths else 0)
        kind = "shapes" if width and self.depths else "widths" if width else "depths"
        self.message = f"ResNet to search {kind}: depth {plan.depth}, blocks of each stage {list(plan.layers)}"
        self.apply(initialize_resnet)

    def _add_attentions(self, name: str, rows: int, choices: int) -> None:
        values = nn.Parameter(nn.init.normal_(torch.empty(rows, choices), 0, 0.01)) if rows else None
        self.register_parameter(name, values)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Run in the network's mode.

        Parameters
        ----------
        x : Tensor, shape (batch, 3, height, width)

        Returns
        -------
        features or logits : Tensor
            In basic mode features, of shape (batch, channels); in search mode logits, of shape (batch, num_classes).
        logits or mflops : Tensor
            In basic mode logits; in search mode the expected multiply-adds of one image in millions, of shape (1,).

        Raises
        ------
        InvalidConfigError
            If there is no such mode.
        """
        check_name("search_mode", self.search_mode, ("basic", "search"))
        return self._basic(x) if self.search_mode == "basic" else self._search(x)

    def arch_parameters(self) -> list[nn.Parameter]:
        """Return the logits of widths and depths."""
        return [values for values in (self.width_attentions, self.depth_attentions) if values is not None]

    def base_parameters(self) -> list[nn.Parameter]:
        """Return all weights but those logits."""
        return [*self.layers.parameters(), *self.classifier.parameters()]

    def set_tau(self, tau_max: float, tau_min: float, epoch_ratio: float) -> None:
        """Set the temperature on half a cosine: ``tau_max`` at the beginning, ``tau_min`` at the end.

        Parameters
        ----------
        tau_max, tau_min : float
        epoch_ratio : float
            The part of the search that is done, from 0 to 1.

        Raises
        ------
        InvalidConfigError
            If ``epoch_ratio`` is outside 0 to 1, or a temperature is not finite.
        """
        done = fraction("epoch_ratio", epoch_ratio, zero=True)
        least, most = finite("tau_min", tau_min), finite("tau_max", tau_max)
        self.tau = least + (most - least) * (1 + math.cos(math.pi * done)) / 2

    def get_flop(
        self, mode: str, config_dict: Mapping[str, Any] | None = None, extra_info: float | None = None
    ) -> float | tuple[float, dict[str, Any]]:
        """Return the multiply-adds of a choice of widths and depths.

        A convolution counts with the channels that were chosen for the convolution before it, even if that one's block
        is dropped. Run the network once before, so that it knows the sizes of its maps.

        Parameters
        ----------
        mode : {"genotype", "max", "fix", "random"}
            The most probable choices; everything; the part ``extra_info`` of the multiply-adds; random widths around
            that part, and random depths by their probabilities. ``"fix"`` keeps all blocks if widths are searched, too.
        config_dict : mapping, optional
            A network's config; it is not changed.
        extra_info : float, optional
            Above 0 and at most 1.

        Returns
        -------
        mflops : float
            In millions.
        config : dict
            If ``config_dict`` is given: its entries, ``super_type``, ``xchannels``, ``xblocks`` and
            ``estimated_FLOP``.

        Raises
        ------
        InvalidConfigError
            If there is no such mode, it needs ``extra_info``, and that is not allowed, or the config is no mapping.
        InvalidInputError
            If the network has not run yet.
        """
        if config_dict is not None:
            required(config_dict, "the network that is derived")
        channels, kept = self._chosen(mode, extra_info)
        total, at = 0.0, 0
        for layer in self._layers():
            end = at + len(layer.get_range())
            stage, place = layer.position if isinstance(layer, SearchBlock) else (0, 0)
            if isinstance(layer, SearchConv):
                total += float(layer.flops(*channels[at : end + 1]))
            elif place < kept[stage]:
                total += layer.flops(tuple(channels[at : end + 1]))
            at = end
        mflops = (total + channels[-1] * self.num_classes) / 1e6
        if config_dict is None:
            return mflops
        shape: dict[str, Any] = {"xchannels": channels} if self.width_attentions is not None else {}
        if self.depths:
            shape["xblocks"] = kept
        kind = "shape" if len(shape) == 2 else "width" if "xchannels" in shape else "depth"
        return mflops, {**config_dict, **shape, "super_type": f"infer-{kind}", "estimated_FLOP": mflops}

    def get_arch_info(self) -> tuple[str, list[float]]:
        """Return the probabilities of all choices as text, and how far each best choice is ahead of the second.

        Depths come first.
        """
        lines: list[str] = []
        leads: list[float] = []
        for attentions, what in ((self.depth_attentions, "depths"), (self.width_attentions, "widths")):
            if attentions is not None:
                more, of = described(attentions, what)
                lines += more
                leads += of
        return "\n".join(lines), leads

    def _layers(self) -> Iterator[SearchConv | SearchBlock]:
        for layer in self.layers:
            assert isinstance(layer, (SearchConv, SearchBlock))
            yield layer

    def _chosen(self, mode: str, extra_info: float | None) -> tuple[list[int], list[int]]:
        """Return all channels, the input's first, and the blocks that each stage keeps."""
        channels, kept = [widths[-1] for widths in self.ranges], list(self.stage_blocks)
        if self.width_attentions is not None:
            channels = choose_widths(self.ranges, self.width_attentions, mode, extra_info)
        if self.depth_attentions is not None:
            depth_mode = "max" if mode == "fix" and self.width_attentions is not None else mode
            choices = choose_depths(self.depths, self.depth_attentions, depth_mode, extra_info)
            kept = [counts[choice] for counts, choice in zip(self.depths, choices, strict=True)]
        return [3, *channels], kept

    def _basic(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for number, layer in enumerate(self.layers, start=1):
            x = layer(x)
            if number == self.n_stem and self.maxpool is not None:
                x = self.maxpool(x)
        features: Tensor = self.avgpool(x).flatten(1)
        logits: Tensor = self.classifier(features)
        return features, logits

    def _search(self, x: Tensor) -> tuple[Tensor, Tensor]:
        picks = self._draw_widths()
        shares = None if self.depth_attentions is None else select2withP(self.depth_attentions, self.tau, True)
        now, at, maps = Searched(x, 3.0, 0.0), 0, list[Tensor]()
        spent: Tensor | float = 0.0
        for number, layer in enumerate(self._layers(), start=1):
            end = at + len(layer.get_range())
            now, at = layer.search(now, picks and picks.part(at, end)), end
            out = now.x
            if number == self.n_stem and self.maxpool is not None:
                out = self.maxpool(out)
            if isinstance(layer, SearchBlock) and shares is not None:
                stage, place = layer.position
                maps = [out] if place == 0 else [*maps, out]
                if len(maps) == self.stage_blocks[stage]:
                    out = _mixed([maps[count - 1] for count in self.depths[stage]], shares[stage])
            spent = spent + now.mflops * self._odds_of(layer)
            now = Searched(out, now.channels, now.mflops)
        logits = linear_forward(self.avgpool(now.x).flatten(1), self.classifier)
        total = spent + now.channels * (self.num_classes / 1e6)
        return logits, torch.as_tensor(total, dtype=logits.dtype, device=logits.device).reshape(1)

    def _draw_widths(self) -> Picks | None:
        if self.width_attentions is None:
            return None
        widths, weights = draw_choices(self.width_attentions, self.tau)
        return Picks(self.width_attentions.softmax(1), widths, weights)

    def _odds_of(self, layer: SearchConv | SearchBlock) -> Tensor | float:
        """Return the probability that a layer is kept: that of all depths that include it."""
        if self.depth_attentions is None or isinstance(layer, SearchConv):
            return 1.0
        stage, place = layer.position
        first = sum(count <= place for count in self.depths[stage])
        return self.depth_attentions[stage].softmax(0)[first:].sum()


def _mixed(maps: Sequence[Tensor], shares: Tensor) -> Tensor:
    """Return the weighted sum of a stage's maps, all interpolated to the largest number of channels."""
    widest = max(part.shape[1] for part in maps)
    mixed = [ChannelWiseInter(part, widest) * share for part, share in zip(maps, shares, strict=True)]
    return torch.stack(mixed).sum(0)
