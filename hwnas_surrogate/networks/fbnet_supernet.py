"""FBNet's super-net: all nine blocks at each of 22 layers, weighted by learned probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.networks.arguments import temperature
from hwnas_surrogate.networks.cells.choosing import chosen
from hwnas_surrogate.networks.fbnet import FBNetNetwork
from hwnas_surrogate.spaces import Archs, ConfigLike, FBNet, FBNetConfig

__all__ = ["BlockCosts", "FBNetSuperNet"]

_SPACE = FBNet()
_LAYERS, _OPS = _SPACE.n_positions, len(_SPACE.ops)

BlockCosts: TypeAlias = npt.ArrayLike | Callable[[npt.NDArray[np.int8]], npt.ArrayLike]
"""Costs of the nine blocks at the 22 layers, or a function of n architectures, (n, 22), that returns their n costs."""


class FBNetSuperNet(nn.Module):
    """A super-net over FBNet's search space [1]_.

    While training, a layer's weights are a Gumbel softmax of its logits, drawn at each forward pass. Either all blocks
    run, and their outputs are added by these weights; or only the block with the largest weight runs (``hard``), and
    gradients reach its weight as if it were soft. In eval mode nothing is drawn.

    Parameters
    ----------
    config : config, optional
        As for :func:`~hwnas_surrogate.networks.build_network`; CIFAR-100's if None. Its stage and stem channels are
        even.
    temperature : float, default=5.0
        Temperature of the softmax; lower it during the search.
    hard : bool, default=False
        Whether one block a layer runs instead of all.

    Attributes
    ----------
    alphas : Parameter, shape (22, 9)
        Logits of the blocks.
    temperature : float
    hard : bool

    Raises
    ------
    InvalidConfigError
        If a block's groups do not divide its channels, or the temperature is not positive and finite.

    References
    ----------
    .. [1] Wu et al., "FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable Neural Architecture
       Search", CVPR 2019, section 3.

    Examples
    --------
    >>> config = FBNetConfig(stem_channels=2, stage_channels=(2,) * 7, header_channels=4, num_classes=5)
    >>> network = FBNetSuperNet(config, hard=True)
    >>> network(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 5])
    >>> type(network.derive()).__name__
    'FBNetNetwork'
    """

    def __init__(self, config: ConfigLike = None, temperature: float = 5.0, hard: bool = False) -> None:
        super().__init__()
        of = _SPACE.config(config)
        assert isinstance(of, FBNetConfig)
        self.config, self.hard = of, hard
        self.temperature = temperature
        self._check_temperature()
        self.alphas = nn.Parameter(1e-3 * torch.randn(_LAYERS, _OPS))
        # A super-net is nine inference networks, each of one block throughout, with a common stem and head.
        networks = {name: FBNetNetwork([op] * _LAYERS, of) for op, name in enumerate(_SPACE.ops)}
        common = next(iter(networks.values()))
        self.stem = common.stem
        self.cells = nn.ModuleList(
            nn.ModuleDict({name: network.cells[layer] for name, network in networks.items()})
            for layer in range(_LAYERS)
        )
        self.header, self.pool, self.fc = common.header, common.pool, common.fc

    def forward(self, x: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return logits.

        Parameters
        ----------
        x : Tensor, shape (batch, in_channels, height, width)
        weights : Tensor, shape (22, 9), optional
            The blocks' weights; those of :meth:`draw` if None.

        Returns
        -------
        logits : Tensor, shape (batch, num_classes)

        Raises
        ------
        InvalidConfigError
            If the temperature is not positive and finite.
        InvalidInputError
            If the weights are of another shape.
        """
        shares = self.draw() if weights is None else self._checked(weights)
        x = self.stem(x)
        best = chosen(shares, self.alphas) if self.hard else [0] * _LAYERS
        for blocks, layer, op in zip(self.cells, shares, best, strict=True):
            assert isinstance(blocks, nn.ModuleDict)
            if self.hard:
                x = blocks[_SPACE.ops[op]](x) * layer[op]
            else:
                x = torch.tensordot(layer, torch.stack([block(x) for block in blocks.values()]), dims=1)
        logits: Tensor = self.fc(self.pool(self.header(x)).flatten(1))
        return logits

    def draw(self) -> Tensor:
        """Draw the blocks' weights; those without noise in eval mode.

        Returns
        -------
        Tensor, shape (22, 9)
            Each row adds up to 1; with ``hard``, one of each row is 1 and the others are 0.
        """
        self._check_temperature()
        logits = self.alphas.log_softmax(1)
        if self.training:
            logits = logits - torch.empty_like(logits).exponential_().log()
        soft = (logits / self.temperature).softmax(1)
        if not self.hard:
            return soft
        ones = nn.functional.one_hot(soft.argmax(1), _OPS).to(soft.dtype)
        return ones + soft - soft.detach()

    def probabilities(self) -> Tensor:
        """Return each block's probability, shape (22, 9): the softmax of the logits."""
        return self.alphas.softmax(1)

    def expected_cost(self, costs: BlockCosts, weights: Tensor | None = None) -> Tensor:
        """Return the cost to expect of the blocks' weights, for the loss of a search.

        Parameters
        ----------
        costs : array-like of shape (22, 9), or callable
            The cost of each block at each layer. Or a function of n architectures, an int8 array of shape (n, 22), that
            returns n costs, for example a surrogate's ``predict`` or the ``lookup`` of a table of one target. It is
            called for the most probable architecture and all that differ from it in one block: the result is exact
            where costs are sums over blocks, and the first order of others.
        weights : Tensor, shape (22, 9), optional
            Those of :meth:`draw`; :meth:`probabilities` if None.

        Returns
        -------
        Tensor, a scalar
            In the costs' unit. Gradients reach the logits.

        Raises
        ------
        InvalidInputError
            If the costs are not finite numbers, or of another shape.

        Examples
        --------
        >>> config = FBNetConfig(stem_channels=2, stage_channels=(2,) * 7, header_channels=4, num_classes=5)
        >>> round(FBNetSuperNet(config).expected_cost(np.full((22, 9), 2.0)).item(), 3)
        44.0
        """
        shares = self.probabilities() if weights is None else self._checked(weights)
        ops = self._most_probable()
        base, table = _linearised(costs, ops) if callable(costs) else (0.0, _finite(costs, (_LAYERS, _OPS)))
        return base + (shares * torch.as_tensor(table, dtype=shares.dtype, device=shares.device)).sum()

    def genotype(self) -> str:
        """Return the most probable architecture as FBNet's string."""
        return _SPACE.format(self._most_probable())

    def derive(self, arch: Archs | None = None) -> FBNetNetwork:
        """Return the inference network of one architecture, with a copy of this network's weights.

        Parameters
        ----------
        arch : str or sequence of 22 int, optional
            The most probable architecture if None.

        Returns
        -------
        FBNetNetwork
            In this network's mode and on its device.

        Raises
        ------
        InvalidArchitectureError
            If it is not one architecture.
        """
        ops = self._most_probable() if arch is None else _SPACE.parse(_SPACE.format(arch))
        network = FBNetNetwork(ops.tolist(), self.config).to(self.alphas.device)
        for name in ("stem", "header", "fc"):
            network.get_submodule(name).load_state_dict(self.get_submodule(name).state_dict())
        for layer, op in enumerate(ops.tolist()):
            source = self.get_submodule(f"cells.{layer}.{_SPACE.ops[op]}")
            network.cells[layer].load_state_dict(source.state_dict())
        return network.train(self.training)

    def arch_parameters(self) -> list[nn.Parameter]:
        """Return the logits."""
        return [self.alphas]

    def base_parameters(self) -> list[nn.Parameter]:
        """Return all weights but the logits."""
        return [values for name, values in self.named_parameters() if name != "alphas"]

    def _most_probable(self) -> npt.NDArray[np.int8]:
        return self.alphas.detach().argmax(1).cpu().numpy().astype(np.int8)

    def _check_temperature(self) -> None:
        temperature("temperature", self.temperature)

    def _checked(self, weights: Tensor) -> Tensor:
        if not isinstance(weights, Tensor) or tuple(weights.shape) != (_LAYERS, _OPS):
            found = f"shape {tuple(weights.shape)}" if isinstance(weights, Tensor) else f"{type(weights).__name__}"
            raise InvalidInputError(f"weights must be a tensor of shape ({_LAYERS}, {_OPS}), got {found}.")
        return weights


def _linearised(
    cost: Callable[[npt.NDArray[np.int8]], npt.ArrayLike], ops: npt.NDArray[np.int8]
) -> tuple[float, npt.NDArray[np.float64]]:
    """Return an architecture's cost, and what each block in place of its own adds to it, (22, 9)."""
    archs = np.tile(ops, (1 + _LAYERS * _OPS, 1))
    for layer in range(_LAYERS):
        archs[1 + layer * _OPS : 1 + (layer + 1) * _OPS, layer] = np.arange(_OPS)
    values = _finite(np.asarray(cost(archs)).reshape(-1), (len(archs),))
    return float(values[0]), (values[1:] - values[0]).reshape(_LAYERS, _OPS)


def _finite(costs: Any, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    try:
        values = np.asarray(costs, dtype=float)
    except (TypeError, ValueError, RuntimeError):  # a tensor with gradients, or on another device
        raise InvalidInputError(f"costs must be numbers, got {costs!r:.100}.") from None
    if values.shape != shape or not np.isfinite(values).all():
        wrong = np.count_nonzero(~np.isfinite(values))
        raise InvalidInputError(
            f"costs must be finite and of shape {shape}, got shape {values.shape}, with {wrong} that are not finite."
        )
    return values
