"""The benchmark's networks that are not cell networks: ResNets, DenseNet, WideResNet, MobileNetV2, and their searches.

:func:`build_cifar_network`, :func:`build_imagenet_network` and :func:`build_search_network` build them from configs.
"""

from hwnas_surrogate.networks.residual.builders import (
    build_cifar_network,
    build_imagenet_network,
    build_search_network,
)
from hwnas_surrogate.networks.residual.channels import additive_func, change_key, parse_channel_info
from hwnas_surrogate.networks.residual.cloning import (
    copy_base,
    copy_basic,
    copy_bn,
    copy_conv,
    copy_fc,
    init_from_model,
)
from hwnas_surrogate.networks.residual.densenet import DenseNet
from hwnas_surrogate.networks.residual.imagenet_resnet import ImageNetResNet
from hwnas_surrogate.networks.residual.initialization import initialize_resnet
from hwnas_surrogate.networks.residual.mobilenet_v2 import InferredMobileNetV2, MobileNetV2
from hwnas_surrogate.networks.residual.resnet import (
    PlannedResNet,
    cifar_resnet,
    inferred_cifar_resnet,
    inferred_imagenet_resnet,
)
from hwnas_surrogate.networks.residual.search_resnet import SearchResNet
from hwnas_surrogate.networks.residual.searchable import (
    search_cifar_resnet,
    search_imagenet_resnet,
    search_simple_resnet,
)
from hwnas_surrogate.networks.residual.soft_selection import (
    ChannelWiseInter,
    drop_path,
    get_depth_choices,
    get_width_choices,
    linear_forward,
    select2withP,
)
from hwnas_surrogate.networks.residual.wide_resnet import WideResNet

__all__ = [
    "ChannelWiseInter",
    "DenseNet",
    "ImageNetResNet",
    "InferredMobileNetV2",
    "MobileNetV2",
    "PlannedResNet",
    "SearchResNet",
    "WideResNet",
    "additive_func",
    "build_cifar_network",
    "build_imagenet_network",
    "build_search_network",
    "change_key",
    "cifar_resnet",
    "copy_base",
    "copy_basic",
    "copy_bn",
    "copy_conv",
    "copy_fc",
    "drop_path",
    "get_depth_choices",
    "get_width_choices",
    "inferred_cifar_resnet",
    "inferred_imagenet_resnet",
    "init_from_model",
    "initialize_resnet",
    "linear_forward",
    "parse_channel_info",
    "search_cifar_resnet",
    "search_imagenet_resnet",
    "search_simple_resnet",
    "select2withP",
]
