"""Initial weights of the residual networks."""

from __future__ import annotations

from torch import nn

__all__ = ["initialize_resnet"]


def initialize_resnet(module: nn.Module) -> None:
    """Initialise one module as ResNets are: pass it to ``network.apply``.

    Convolutions get He's normal weights by their outputs [1]_, batch norms 1 and 0, fully connected layers normal
    weights of standard deviation 0.01. Biases become 0. Other modules, and parts that a module lacks, stay as they are.

    Parameters
    ----------
    module : torch.nn.Module

    References
    ----------
    .. [1] He et al., "Delving Deep into Rectifiers", ICCV 2015, section 2.2.

    Examples
    --------
    >>> layer = nn.Linear(3, 2).apply(initialize_resnet)
    >>> layer.bias.tolist()
    [0.0, 0.0]
    """
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.BatchNorm2d) and module.affine:
        nn.init.ones_(module.weight)
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
