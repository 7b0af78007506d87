"""ResNets from a plan: CIFAR's basic ones, and all width-, depth- and shape-inferred ones."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from hwnas_surrogate.networks.arguments import count, flag
from hwnas_surrogate.networks.residual.base import Classifier, ConvUnit, ResidualBlock
from hwnas_surrogate.networks.residual.initialization import initialize_resnet
from hwnas_surrogate.networks.residual.plan import BASIC, Plan, ShortcutNorms, block_kind

__all__ = ["PlannedResNet", "cifar_resnet", "inferred_cifar_resnet", "inferred_imagenet_resnet"]


class PlannedResNet(Classifier):
    """A residual network [1]_ with the convolutions of a plan.

    Stem, residual blocks, global average pool, classifier. Make one with :func:`cifar_resnet`,
    :func:`inferred_cifar_resnet` or :func:`inferred_imagenet_resnet`.

    Parameters
    ----------
    plan : Plan
    num_classes : int
    zero_init_residual : bool, default=False
        Whether the last batch norm of every block begins at 0, so that a block begins as its shortcut.

    References
    ----------
    .. [1] He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
    """

    def __init__(self, plan: Plan, num_classes: int, zero_init_residual: bool = False) -> None:
        super().__init__()
        self.num_classes = count("class_num", num_classes, 1_000_000)
        zero = flag("zero_init_residual", zero_init_residual)
        self.layers = nn.ModuleList(ConvUnit(conv) for conv in plan.stem)
        if plan.max_pool:
            self.layers.append(nn.MaxPool2d(3, stride=2, padding=1))
        blocks = [ResidualBlock(block) for block in plan.blocks]
        self.layers.extend(blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(plan.features, self.num_classes)
        self.message = f"ResNet: depth {plan.depth}, blocks of each stage {_kept(plan)}, {self.num_classes} classes"
        self.apply(initialize_resnet)
        if zero:
            for block in blocks:
                nn.init.zeros_(block.last_norm().weight)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features and logits.

        Parameters
        ----------
        x : Tensor, shape (batch, input channels, height, width)
            Height and width are multiples of what the strides divide them by: 4 (CIFAR) or 32 (ImageNet).

        Returns
        -------
        features : Tensor, shape (batch, channels of the last block)
            After pooling.
        logits : Tensor, shape (batch, num_classes)
        """
        for layer in self.layers:
            x = layer(x)
        features: Tensor = self.avgpool(x).flatten(1)
        logits: Tensor = self.classifier(features)
        return features, logits


def cifar_resnet(module: str, depth: int, class_num: int, zero_init_residual: bool) -> PlannedResNet:
    """Build a CIFAR ResNet with full widths and all blocks.

    Parameters
    ----------
    module : {"ResNetBasicblock", "ResNetBottleneck"}
    depth : int
        2 plus a multiple of 6 (basic blocks) or of 9 (bottlenecks).
    class_num : int
        Classes.
    zero_init_residual : bool
        Whether blocks begin as their shortcuts.

    Returns
    -------
    PlannedResNet

    Raises
    ------
    InvalidConfigError
        If an argument is not allowed.

    Examples
    --------
    >>> cifar_resnet("ResNetBasicblock", 20, 10, False).classifier
    Linear(in_features=64, out_features=10, bias=True)
    """
    plan = Plan.cifar(block_kind(module, "cifar"), depth, ShortcutNorms(pooled=False, plain=True))
    return PlannedResNet(plan, class_num, zero_init_residual)


def inferred_cifar_resnet(
    module: str,
    depth: int,
    class_num: int,
    zero_init_residual: bool,
    xblocks: Sequence[int] | None = None,
    xchannels: Sequence[int] | None = None,
) -> PlannedResNet:
    """Build a CIFAR ResNet of which a search chose the widths, the depths, or both.

    A stage's first block after dropped ones reads the channels of the last kept block. Unlike in
    :func:`cifar_resnet`, the shortcuts of bottlenecks have no batch norm.

    Parameters
    ----------
    module : {"ResNetBasicblock", "ResNetBottleneck"}
    depth : int
        The depth of the network that was searched.
    class_num : int
        Classes.
    zero_init_residual : bool
        Whether blocks begin as their shortcuts.
    xblocks : sequence of 3 int, optional
        Blocks to keep in each stage; all if None.
    xchannels : sequence of int, optional
        Channels of the input, of the stem and of every convolution, those of dropped blocks too; full widths if None.

    Returns
    -------
    PlannedResNet

    Raises
    ------
    InvalidConfigError
        If an argument is not allowed.

    Examples
    --------
    >>> inferred_cifar_resnet("ResNetBasicblock", 8, 10, False, xchannels=[3, 8, 7, 6, 10, 12, 20, 24]).classifier
    Linear(in_features=24, out_features=10, bias=True)
    """
    kind = block_kind(module, "cifar")
    plan = Plan.cifar(kind, depth, ShortcutNorms(pooled=False, plain=kind is BASIC), xblocks, xchannels)
    return PlannedResNet(plan, class_num, zero_init_residual)


def inferred_imagenet_resnet(
    block_name: str,
    layers: Sequence[int],
    xblocks: Sequence[int],
    xchannels: Sequence[int],
    deep_stem: bool,
    class_num: int,
    zero_init_residual: bool,
) -> PlannedResNet:
    """Build an ImageNet ResNet of which a search chose the widths and depths.

    Parameters
    ----------
    block_name : {"BasicBlock", "Bottleneck"}
    layers : sequence of 4 int
        Blocks of each stage of the network that was searched.
    xblocks : sequence of 4 int
        Blocks to keep in each stage.
    xchannels : sequence of int
        As in :func:`inferred_cifar_resnet`.
    deep_stem : bool
        Whether the stem is two 3x3 convolutions instead of one of 7x7.
    class_num : int
        Classes.
    zero_init_residual : bool
        Whether blocks begin as their shortcuts.

    Returns
    -------
    PlannedResNet

    Raises
    ------
    InvalidConfigError
        If an argument is not allowed.
    """
    kind = block_kind(block_name, "imagenet")
    plan = Plan.imagenet(kind, layers, flag("deep_stem", deep_stem), xblocks, xchannels)
    return PlannedResNet(plan, class_num, zero_init_residual)


def _kept(plan: Plan) -> list[int]:
    return [sum(block.stage == stage for block in plan.blocks) for stage in range(len(plan.layers))]
