"""A surrogate as a torch module: the expected cost of architecture probabilities, and its gradient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from hwnas_surrogate.data.target import METRICS, Target
from hwnas_surrogate.graphs import Op, View
from hwnas_surrogate.spaces import Archs, ConfigLike, NetworkConfig, SearchSpace
from hwnas_surrogate.trainers.differentiable.fitting import fit
from hwnas_surrogate.trainers.differentiable.layers import ExpectedLayers
from hwnas_surrogate.trainers.differentiable.predicted import Predicted
from hwnas_surrogate.trainers.differentiable.probabilities import checked_probabilities, softmax_of
from hwnas_surrogate.trainers.fitted import FittedSurrogate

__all__ = ["DifferentiableCost"]


class DifferentiableCost(nn.Module):
    """The expected cost of architectures that are drawn op by op, as a differentiable function of the probabilities.

    :meth:`Surrogate.to_torch` makes it. Each position draws its op independently of the others. The module gives the
    mean of the predictions of the drawn architectures, not the prediction for a mean architecture: features of a
    network that runs half of each op may be unlike those of all networks. At one-hot inputs it equals ``predict``. It
    has no parameters.

    How the mean is computed depends on the space and the surrogate:

    - A small space (NAS-Bench-201, the size space, own spaces of up to 65,536 architectures, or 1,024 if each network
      is a graph, or peak memory is predicted, which builds graphs): all architectures are predicted once. The mean is
      exact for every surrogate.
    - A cost that is a sum over positions, as of the additive model and of most surrogates of FBNet: the sum of the
      positions' means. Exact.
    - A cost that is a product over positions (logarithms that are sums), or in which neighbouring positions interact
      (a quantized network): a product of one small matrix for each position. Exact.
    - Any other, such as trees and perceptrons on FBNet: a relaxation. It is the exact mean of an approximation, a
      cubic of a sum over positions (or a product, if that is nearer), fitted to predictions of 6,144 architectures.
      Near one-hot inputs, the difference between the prediction for the most probable architecture and the
      approximation is added; its weight falls smoothly from 1 at a one-hot input to 0 where an op's probability is a
      half or less. The gradient is that of this function, where the weight's part is small: 0 at one-hot inputs.

    Predictions have a floor that keeps them positive: half of the smallest training cost. If ``floor`` is not None,
    some architectures of a large space are predicted there. Where the mean is within three standard deviations of the
    floor, the mean of the floored predictions is then approximated by a bell-shaped density. Far below the floor the
    gradient is 0.

    Parameters
    ----------
    surrogate : FittedSurrogate
    config : config, optional
        The network config to predict for; None as in :meth:`Surrogate.predict`.
    space : str or SearchSpace, optional
        The space, of a surrogate that was trained on graphs.
    extrapolate : bool, default=False
        As in :meth:`Surrogate.predict`.

    Attributes
    ----------
    exact : bool
        Whether the output is the mean of the predictions, for all probabilities (but see ``floor``).
    relaxation : str
        What it is instead; empty if it is exact.
    floor : float or None
        The smallest cost, if it binds for some architecture of a large space, or there is a relaxation. Of a throughput
        it is a time.
    error : float
        Of a relaxation: the mean error of the approximation for architectures that it was not fitted to, relative to
        their costs. 0.0 if it is exact.
    space : SearchSpace
    config : NetworkConfig
    target : Target or None
        What is predicted, if known.

    Notes
    -----
    The output has the type of the probabilities. In float64 it equals ``predict`` to nine digits, in float32 to six.
    ``docs/how-to/differentiable.md`` has the errors of relaxations on FBNet, measured against means of 4,000 draws.

    Examples
    --------
    >>> from hwnas_surrogate import Surrogate, load_table
    >>> table = load_table(space="nasbench201").select("epyc-torch-1t/latency")
    >>> surrogate = Surrogate().fit(table.archs[:100], table.costs[:100, 0])
    >>> cost = surrogate.to_torch()
    >>> alphas = torch.zeros(6, 5, requires_grad=True)
    >>> cost.of_alphas(alphas).backward()  # the mean latency of all architectures
    >>> alphas.grad.argmax(dim=1).tolist()  # the op that raises it most
    [3, 3, 3, 3, 3, 3]
    >>> bool(abs(cost(cost.one_hot(8000)) - surrogate.predict(8000)[0]).item() < 1e-5)
    True
    """

    def __init__(
        self,
        surrogate: FittedSurrogate,
        config: ConfigLike = None,
        space: str | SearchSpace | None = None,
        extrapolate: bool = False,
    ) -> None:
        super().__init__()
        self._predicted = Predicted.of(surrogate, config, space, extrapolate)
        fitted = fit(self._predicted)
        self.form, self._of_values, self._is_same = fitted.form, fitted.of_values, fitted.is_same
        self.exact, self.relaxation = fitted.exact, fitted.relaxation
        self.floored, self.error = fitted.floor, fitted.error
        self._layers: dict[View, ExpectedLayers] = {}

    @property
    def space(self) -> SearchSpace:
        """The search space."""
        return self._predicted.space

    @property
    def config(self) -> NetworkConfig:
        """The config that is predicted for."""
        return self._predicted.config

    @property
    def floor(self) -> float | None:
        """The smallest cost, if it binds for some architecture of a large space, or there is a relaxation."""
        return None if self.floored is None else self.floored.floor

    @property
    def target(self) -> Target | None:
        """What is predicted, if known."""
        return self._predicted.surrogate.target_

    def extra_repr(self) -> str:
        """Return the target, the space and whether the expectation is exact."""
        what = str(self.target or self._predicted.surrogate.metric_)
        return f"{what} of {self.space.name} under {self.config}, {'exact' if self.exact else self.relaxation}"

    def forward(self, probabilities: Tensor) -> Tensor:
        """Return the expected cost.

        Parameters
        ----------
        probabilities : Tensor of float, shape (n, positions, ops)
            The probability of each op at each position, in the space's order of positions and ops; one architecture of
            shape (positions, ops), or more leading dimensions. Ops that a position lacks have 0.

        Returns
        -------
        Tensor, shape (n,)
            In the unit of the training costs; a number for one architecture.

        Raises
        ------
        InvalidInputError
            If they hold NaN, are negative, do not sum to 1 at each position, or have another shape.
        """
        given = checked_probabilities(probabilities, self.space)
        flat = given.reshape(-1, *given.shape[-2:])
        if not len(flat):
            return given.sum((-2, -1))
        with torch.autocast(flat.device.type, enabled=False):  # a cost in half precision has three digits
            columns = flat.permute(1, 2, 0).contiguous()
            found = self.form(columns)
            if not self._is_same:
                found = found + self._difference(flat)
            if self.floored is not None:
                found = self.floored(found, columns)
            if not self._of_values:
                found = self._value_of(found)
        result: Tensor = found.reshape(given.shape[:-2])
        return result

    def of_alphas(self, alphas: Tensor | Sequence[Tensor] | nn.ParameterList, temperature: float = 1.0) -> Tensor:
        """Return the expected cost under a super-net's own parameters, whose softmax is the probabilities.

        Parameters
        ----------
        alphas : Tensor, sequence of Tensor or ParameterList
            Of shape (positions, ops), or (n, positions, ops); or one tensor of shape (ops,) for each position. A list
            of one tensor is that tensor.
        temperature : float, default=1.0
            The parameters are divided by it.

        Returns
        -------
        Tensor
            A number, or of shape (n,).

        Raises
        ------
        InvalidInputError
            If they have another shape or hold NaN, or the temperature is not above 0.
        """
        cost: Tensor = self(softmax_of(alphas, temperature, self.space))
        return cost

    def one_hot(self, archs: Archs, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return architectures as probabilities of 0 and 1, shape (n, positions, ops).

        Parameters
        ----------
        archs : architectures
            One or many, in any form that the space accepts.
        dtype : torch.dtype, default=torch.float32
        """
        ops = torch.from_numpy(self.space.as_array(archs).astype(np.int64))
        return nn.functional.one_hot(ops, int(self._predicted.n_ops.max())).to(dtype)

    def expected_layers(self, probabilities: Tensor, view: View = "all") -> Tensor:
        """Return how often each operator runs on average.

        Layer physics are sums over operators: ``expected_layers(p, view) @ values`` is the expectation of any sum, with
        one row of ``values`` for each of :meth:`operators` (its multiply-adds, its parameters, or
        :func:`~hwnas_surrogate.features.physics.operator_values`). It is exact, and differentiable.

        Parameters
        ----------
        probabilities : Tensor of float, shape (n, positions, ops)
            As in :meth:`forward`.
        view : {"all", "live", "folded", "fused", "quantized"}, default="all"
            Which operators run.

        Returns
        -------
        Tensor, shape (n, L)
            Numbers of calls, of the L operators of :meth:`operators`.

        Raises
        ------
        InvalidInputError
            As in :meth:`forward`; and if the space is large and has no table of what each choice runs: FBNet's
            quantized networks, large spaces of graphs.

        Examples
        --------
        >>> from hwnas_surrogate import Surrogate, load_table
        >>> table = load_table(space="fbnet").select("epyc-torch-1t/latency")
        >>> cost = Surrogate("fbnet", model="ridge").fit(table.archs[:100], table.costs[:100, 0]).to_torch()
        >>> macs = torch.tensor([float(op.macs) for op in cost.operators()])
        >>> mean = cost.expected_layers(torch.full((22, 9), 1 / 9)) @ macs
        >>> round(mean.item() / 1e6)
        65
        """
        given = checked_probabilities(probabilities, self.space)
        flat = given.reshape(-1, *given.shape[-2:]).permute(1, 2, 0)
        counted = self._layers_in(view)
        with torch.autocast(flat.device.type, enabled=False):
            return counted(flat).reshape(*given.shape[:-2], len(counted.operators))

    def operators(self, view: View = "all") -> tuple[Op, ...]:
        """Return the L operators that :meth:`expected_layers` counts, in its order."""
        return self._layers_in(view).operators

    def _layers_in(self, view: View) -> ExpectedLayers:
        if view not in self._layers:
            self._layers[view] = ExpectedLayers(self._predicted, view)
        return self._layers[view]

    def _value_of(self, costs: Tensor) -> Tensor:
        """Return the metric's values of costs, (n,) -> (n,)."""
        metric = METRICS[self._predicted.surrogate.metric_]
        if metric.cost == "reciprocal":
            return 1.0 / costs.clamp(min=self._predicted.surrogate.floor_)
        return (metric.limit - costs).clamp(0.0, metric.limit) if metric.cost == "shortfall" else costs

    def _difference(self, probabilities: Tensor) -> Tensor:
        """Return what the approximation lacks near one-hot inputs, (n, positions, ops) -> (n,).

        The weight is a smooth step of the largest probability at each position, from 0 at a half to 1. The most
        probable architecture changes only where it is 0, so that the result is continuous.
        """
        largest, ops = probabilities.max(-1)
        step = (2 * largest - 1).clamp(min=0)
        weight = (step * step * (3 - 2 * step)).prod(-1)
        rows = torch.nonzero(weight.detach() > 0)[:, 0]
        if not len(rows):
            return torch.zeros_like(weight)
        archs = ops[rows].cpu().numpy().astype(np.int8)
        nearest = nn.functional.one_hot(ops[rows], probabilities.shape[-1]).double()
        with torch.no_grad():
            approximate = self.form(nearest.permute(1, 2, 0))
        costs = torch.as_tensor(self._predicted.kept_costs(archs), dtype=torch.float64, device=approximate.device)
        missing = torch.zeros_like(weight).index_put((rows,), (costs - approximate).to(weight.dtype))
        return weight * missing
