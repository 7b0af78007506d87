"""The ImageNet ResNet, with average-pooled shortcuts and grouped bottlenecks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidConfigError
from hwnas_surrogate.networks.arguments import MOST_LAYERS, count, counts, flag
from hwnas_surrogate.networks.residual.base import Classifier
from hwnas_surrogate.networks.residual.initialization import initialize_resnet
from hwnas_surrogate.networks.residual.plan import BASIC, BlockKind, block_kind

__all__ = ["ImageNetResNet"]


class _Block(nn.Module):
    """A basic block or a bottleneck, under the names of torchvision's state; a strided shortcut is pooled first."""

    def __init__(self, kind: BlockKind, c_in: int, planes: int, stride: int, groups: int, group_width: int) -> None:
        super().__init__()
        c_out, bottleneck = planes * kind.expansion, kind is not BASIC
        width = planes * group_width // 64 * groups if bottleneck else planes
        channels = (c_in, *[width] * (len(kind.convs) - 1), c_out)
        for number, (_, kernel) in enumerate(kind.convs):
            conv = nn.Conv2d(
                channels[number], channels[number + 1], kernel, stride if number == kind.strided else 1,
                padding=kernel // 2, groups=groups if bottleneck and number == kind.strided else 1, bias=False,
            )  # fmt: skip
            self.add_module(f"conv{number + 1}", conv)
            self.add_module(f"bn{number + 1}", nn.BatchNorm2d(channels[number + 1]))
        self.n_convs = len(kind.convs)
        self.relu = nn.ReLU()
        pool = [nn.AvgPool2d(2)] if stride == 2 else []
        changes = stride == 2 or c_in != c_out
        self.downsample = (
            nn.Sequential(*pool, nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out)) if changes else None
        )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        for number in range(1, self.n_convs + 1):
            x = self.get_submodule(f"bn{number}")(self.get_submodule(f"conv{number}")(x))
            if number < self.n_convs:
                x = self.relu(x)
        out: Tensor = self.relu(shortcut + x)
        return out

    def last_norm(self) -> nn.Module:
        return self.get_submodule(f"bn{self.n_convs}")


def _stem(deep: bool) -> nn.Sequential:
    parts: list[nn.Module] = []
    for c_in, c_out, kernel, stride in ((3, 32, 3, 2), (32, 32, 3, 1), (32, 64, 3, 1)) if deep else ((3, 64, 7, 2),):
        conv = nn.Conv2d(c_in, c_out, kernel, stride, padding=kernel // 2, bias=False)
        parts += [conv, nn.BatchNorm2d(c_out), nn.ReLU()]
    return nn.Sequential(*parts)


class ImageNetResNet(Classifier):
    """A residual network for ImageNet [1]_ whose strided shortcuts average 2x2 pixels before their convolution [2]_.

    So its weights and costs are not those of torchvision's ResNets, although the numbers of parameters agree.

    Parameters
    ----------
    block_name : {"BasicBlock", "Bottleneck"}
    layers : sequence of 4 int
        Blocks of each stage.
    deep_stem : bool
        Whether the stem is three 3x3 convolutions [2]_ instead of one of 7x7.
    class_num : int
        Classes.
    zero_init_residual : bool
        Whether the last batch norm of every block begins at 0.
    groups, width_per_group : int
        Groups of the 3x3 convolutions of bottlenecks, and their width in the first stage [3]_; 1 and 64 for basic
        blocks.

    Raises
    ------
    InvalidConfigError
        If an argument is not allowed.

    References
    ----------
    .. [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1.
    .. [2] He et al., "Bag of Tricks for Image Classification with Convolutional Neural Networks", CVPR 2019, figure 2.
    .. [3] Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017.

    Examples
    --------
    >>> ImageNetResNet("BasicBlock", [1, 1, 1, 1], False, 10, False, 1, 64).fc
    Linear(in_features=512, out_features=10, bias=True)
    """

    def __init__(
        self,
        block_name: str,
        layers: Sequence[int],
        deep_stem: bool,
        class_num: int,
        zero_init_residual: bool,
        groups: int,
        width_per_group: int,
    ) -> None:
        super().__init__()
        kind = block_kind(block_name, "imagenet")
        stages = counts("layers", layers, 4, " (the blocks of each stage)", MOST_LAYERS // 4)
        groups, width = count("groups", groups), count("width_per_group", width_per_group)
        if kind is BASIC and (groups, width) != (1, 64):
            raise InvalidConfigError(
                f"BasicBlock has groups=1 and width_per_group=64 only, got {groups} and {width}. Use Bottleneck."
            )
        self.conv = _stem(flag("deep_stem", deep_stem))
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        blocks: list[_Block] = []
        c_in = 64
        for stage, n_blocks in enumerate(stages):
            planes, first = 64 << stage, len(blocks)
            for place in range(n_blocks):
                blocks.append(_Block(kind, c_in, planes, 2 if stage and not place else 1, groups, width))
                c_in = planes * kind.expansion
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks[first:]))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(c_in, count("class_num", class_num, 1_000_000))
        self.message = f"ImageNet ResNet: {block_name}, blocks of each stage {list(stages)}, {class_num} classes"
        zero = flag("zero_init_residual", zero_init_residual)
        self.apply(initialize_resnet)
        if zero:
            for block in blocks:
                nn.init.zeros_(block.last_norm().get_parameter("weight"))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and logits.

        Parameters
        ----------
        x : Tensor, shape (batch, 3, height, width)
            Height and width are multiples of 32.

        Returns
        -------
        features : Tensor, shape (batch, 512 or 2048)
        logits : Tensor, shape (batch, class_num)
        """
        x = self.maxpool(self.conv(x))
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        features: Tensor = self.avgpool(x).flatten(1)
        logits: Tensor = self.fc(features)
        return features, logits
