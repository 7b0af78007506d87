"""MobileNetV2: inverted residuals, in the published form and with channels that a search chose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidConfigError
from hwnas_surrogate.networks.arguments import count, counts, fraction
from hwnas_surrogate.networks.residual.base import Classifier
from hwnas_surrogate.networks.residual.channels import parse_channel_info
from hwnas_surrogate.networks.residual.initialization import initialize_resnet

__all__ = ["InferredMobileNetV2", "MobileNetV2"]

_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of each stage."""


class _Unit(nn.Module):
    """Convolution without bias, batch norm, and ReLU6 if asked for."""

    def __init__(
        self, c_in: int, c_out: int, kernel: int = 1, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(c_out)
        self.relu = nn.ReLU6() if relu else None

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(self.conv(x))
        return out if self.relu is None else self.relu(out)


def _expansion(c_in: int, middle: int, stride: int) -> list[nn.Module]:
    """Return the 1x1 convolution, if it widens, and the depthwise one."""
    first = [_Unit(c_in, middle)] if middle != c_in else []
    return [*first, _Unit(middle, middle, 3, stride, groups=middle)]


class _InvertedResidual(nn.Module):
    """The published block: its input is added if the shape does not change."""

    def __init__(self, c_in: int, c_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = c_in * expansion
        last = [nn.Conv2d(middle, c_out, 1, bias=False), nn.BatchNorm2d(c_out)]
        self.conv = nn.Sequential(*_expansion(c_in, middle, stride), *last)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out + x if self.residual else out


class _InferredResidual(nn.Module):
    """A block with given channels: its input is added, through a 1x1 convolution, only where the channels change."""

    def __init__(self, channels: Sequence[int], stride: int, follows: bool) -> None:
        super().__init__()
        c_in, c_out = channels[0], channels[-1]
        widening = [_Unit(c_in, channels[1])] if len(channels) == 3 else []
        middle = channels[-2]
        depthwise = _Unit(middle, middle, 3, stride, groups=middle)
        self.conv = nn.Sequential(*widening, depthwise, _Unit(middle, c_out, relu=False))
        self.shortcut = _Unit(c_in, c_out, relu=False) if follows and c_in != c_out else None

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out if self.shortcut is None else out + self.shortcut(x)


class _MobileNet(Classifier):
    """The part that both forms share."""

    features: nn.Sequential
    classifier: nn.Sequential

    def _finish(self, layers: list[nn.Module], channels: int, class_num: object, dropout: object) -> None:
        classes = count("class_num", class_num, 1_000_000)
        drops = nn.Dropout(fraction("dropout", dropout, zero=True))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(drops, nn.Linear(channels, classes))
        self.apply(initialize_resnet)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and logits.

        Parameters
        ----------
        x : Tensor, shape (batch, channels, height, width)

        Returns
        -------
        features : Tensor, shape (batch, last channels, height / 32, width / 32)
            The last map, before it is averaged.
        logits : Tensor, shape (batch, class_num)
        """
        features: Tensor = self.features(x)
        logits: Tensor = self.classifier(features.mean([2, 3]))
        return features, logits


class MobileNetV2(_MobileNet):
    """MobileNetV2 [1]_.

    Parameters
    ----------
    class_num : int
        Classes.
    width_multi : float
        The factor of the channels; those after it are rounded down.
    input_channel, last_channel : int
        Channels after the first convolution and of the last one, before the factor. The factor changes the last one
        only if it is above 1.
    dropout : float
        Part of the features that is dropped while training, from 0 to 1.

    Raises
    ------
    InvalidConfigError
        If an argument is not allowed.

    References
    ----------
    .. [1] Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2.

    Examples
    --------
    >>> MobileNetV2(10, 0.25, 32, 64, 0.2).classifier[1]
    Linear(in_features=64, out_features=10, bias=True)
    """

    def __init__(
        self, class_num: int, width_multi: float, input_channel: int, last_channel: int, dropout: float
    ) -> None:
        super().__init__()
        wide = fraction("width_multi", width_multi, 100)
        c_in = count("input_channel x width_multi", int(count("input_channel", input_channel) * wide))
        last = int(count("last_channel", last_channel) * max(1.0, wide))
        layers: list[nn.Module] = [_Unit(3, c_in, 3, 2)]
        for expansion, channels, n_blocks, first_stride in _STAGES:
            c_out = count("channels x width_multi", int(channels * wide))
            for place in range(n_blocks):
                layers.append(_InvertedResidual(c_in, c_out, 1 if place else first_stride, expansion))
                c_in = c_out
        layers.append(_Unit(c_in, last))
        self.message = f"MobileNetV2: width x{wide:g}, last channels {last}, {class_num} classes"
        self._finish(layers, last, class_num, dropout)


class InferredMobileNetV2(_MobileNet):
    """MobileNetV2 with channels and depths that a search chose.

    A block has a shortcut only if it is not its stage's first and its channels change: a 1x1 convolution. Blocks with
    as many channels after as before have none, as in the benchmark's networks.

    Parameters
    ----------
    class_num : int
        Classes.
    xchannels : str
        Channels like ``3-32 32-16 16-96-24 ... 320-1280 1280-1000``: the first convolution, 17 blocks (input, middle if
        it has a 1x1 convolution before, output), the last convolution, the classifier. The classifier's are not used.
    xblocks : sequence of 7 int
        Blocks to keep in each stage, at most 1, 2, 3, 4, 3, 3 and 1.
    dropout : float
        Part of the features that is dropped while training.

    Raises
    ------
    InvalidConfigError
        If an argument is not allowed, or the channels of consecutive layers do not match.
    """

    def __init__(self, class_num: int, xchannels: str, xblocks: Sequence[int], dropout: float) -> None:
        super().__init__()
        first, *blocks, last = _checked_channels(xchannels)
        kept = _checked_blocks(xblocks)
        layers: list[nn.Module] = [_Unit(first[0], first[1], 3, 2)]
        c_in = first[1]
        for channels, stride, place in _kept(blocks, kept):
            if channels[0] != c_in and (place or len(layers) == 1):
                raise InvalidConfigError(f"a block of xchannels reads {channels[0]} channels, and gets {c_in}.")
            layers.append(_InferredResidual((c_in, *channels[1:]), stride, place > 0))
            c_in = channels[-1]
        layers.append(_Unit(c_in, last[1]))
        self.message = f"MobileNetV2, inferred: blocks of each stage {list(kept)}, {class_num} classes"
        self._finish(layers, last[1], class_num, dropout)


def _checked_channels(xchannels: str) -> list[list[int]]:
    """Return the channels of all layers but the classifier."""
    groups, needed = parse_channel_info(xchannels), 3 + sum(stage[2] for stage in _STAGES)
    if len(groups) != needed:
        raise InvalidConfigError(
            f"xchannels must have {needed} groups (the first convolution, {needed - 3} blocks, the last convolution, "
            f"the classifier), got {len(groups)}. The last group, for the classifier, is needed though it is not used."
        )
    for place, group in enumerate(groups[:-1]):
        lengths = (2, 3) if 0 < place < needed - 2 else (2,)
        if len(group) not in lengths:
            raise InvalidConfigError(
                f"group {place} of xchannels must have {' or '.join(map(str, lengths))} numbers, got {group}."
            )
    return groups[:-1]


def _checked_blocks(xblocks: Sequence[int]) -> tuple[int, ...]:
    most = [stage[2] for stage in _STAGES]
    kept = counts("xblocks", xblocks, len(most), " (the blocks to keep in each stage)")
    if any(n > limit for n, limit in zip(kept, most, strict=True)):
        raise InvalidConfigError(f"xblocks keeps at most {most} blocks of the stages, got {list(kept)}.")
    return kept


def _kept(blocks: list[list[int]], kept: tuple[int, ...]) -> Iterator[tuple[list[int], int, int]]:
    """Return channels, stride and place of each kept block."""
    at = 0
    for (_, _, n_blocks, stride), n_kept in zip(_STAGES, kept, strict=True):
        for place in range(n_kept):
            yield blocks[at + place], 1 if place else stride, place
        at += n_blocks
