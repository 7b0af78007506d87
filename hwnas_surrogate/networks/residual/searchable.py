"""The searchable networks of the benchmark: CIFAR ResNets, SimResNet, ImageNet ResNets."""

from __future__ import annotations

from collections.abc import Sequence

from hwnas_surrogate.errors import InvalidConfigError
from hwnas_surrogate.networks.arguments import check_name, flag
from hwnas_surrogate.networks.residual.plan import SIMPLE, Plan, ShortcutNorms, block_kind
from hwnas_surrogate.networks.residual.search_resnet import SearchResNet
from hwnas_surrogate.networks.residual.soft_selection import get_depth_choices

__all__ = ["search_cifar_resnet", "search_imagenet_resnet", "search_simple_resnet"]

_MODES = ("width", "depth", "shape")


def search_cifar_resnet(search_mode: str, module: str, depth: int, class_num: int) -> SearchResNet:
    """Build a CIFAR ResNet to search.

    Parameters
    ----------
    search_mode : {"width", "depth", "shape"}
        What is searched; ``"shape"`` means both.
    module : {"ResNetBasicblock", "ResNetBottleneck"}
    depth : int
        2 plus a multiple of 6 (basic blocks) or of 9 (bottlenecks). To search depths takes two blocks a stage or more.
    class_num : int
        Classes.

    Returns
    -------
    SearchResNet

    Raises
    ------
    InvalidConfigError
        If an argument is not allowed.

    Examples
    --------
    >>> network = search_cifar_resnet("shape", "ResNetBasicblock", 14, 10)
    >>> [values.shape for values in network.arch_parameters()]
    [torch.Size([13, 8]), torch.Size([3, 2])]
    """
    check_name("search_mode of a CIFAR ResNet", search_mode, _MODES)
    plan = Plan.cifar(block_kind(module, "cifar"), depth, ShortcutNorms(pooled=False, plain=True))
    if search_mode == "width":
        return SearchResNet(plan, class_num, width=True)
    if plan.layers[0] < 2:
        raise InvalidConfigError(
            f"a CIFAR ResNet of depth {depth} has one block a stage: no depths to search. Take a deeper one."
        )
    depths = [get_depth_choices(n_blocks) for n_blocks in plan.layers]
    return SearchResNet(plan, class_num, width=search_mode == "shape", depths=depths)


def search_simple_resnet(depth: int, class_num: int) -> SearchResNet:
    """Build a SimResNet to search its widths: every block is one convolution beside its shortcut.

    Parameters
    ----------
    depth : int
        2 plus a multiple of 3.
    class_num : int
        Classes.

    Returns
    -------
    SearchResNet

    Raises
    ------
    InvalidConfigError
        If an argument is not allowed.

    Examples
    --------
    >>> search_simple_resnet(8, 10).width_attentions.shape
    torch.Size([7, 8])
    """
    return SearchResNet(Plan.cifar(SIMPLE, depth, ShortcutNorms(pooled=False, plain=True)), class_num, width=True)


def search_imagenet_resnet(block_name: str, layers: Sequence[int], deep_stem: bool, class_num: int) -> SearchResNet:
    """Build an ImageNet ResNet to search widths and depths.

    The smallest stage has as many depths as blocks; the others have as many depths, evenly spaced.

    Parameters
    ----------
    block_name : {"BasicBlock", "Bottleneck"}
    layers : sequence of 4 int
        Blocks of each stage.
    deep_stem : bool
        Whether the stem is two 3x3 convolutions instead of one of 7x7.
    class_num : int
        Classes.

    Returns
    -------
    SearchResNet

    Raises
    ------
    InvalidConfigError
        If an argument is not allowed.

    Examples
    --------
    >>> search_imagenet_resnet("BasicBlock", [1, 2, 2, 1], False, 10).depths
    [(1,), (2,), (2,), (1,)]
    """
    plan = Plan.imagenet(block_kind(block_name, "imagenet"), layers, flag("deep_stem", deep_stem))
    smallest = min(plan.layers)
    depths = [tuple(count * number // smallest for number in range(1, smallest + 1)) for count in plan.layers]
    return SearchResNet(plan, class_num, width=True, depths=depths)
