"""A small multi-layer perceptron in torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits

from hwnas_surrogate.models.cost_model import Arrays, CostModel, Vector, checked_array
from hwnas_surrogate.models.forked import limit_threads_if_forked
from hwnas_surrogate.random_states import RandomState, as_generator

__all__ = ["MLP"]


class MLP(CostModel):
    """Multi-layer perceptron on standardised columns, trained by AdamW with a one-cycle learning rate.

    Parameters
    ----------
    hidden : sequence of int, default=(128, 128)
        Units of the hidden layers.
    steps : int, default=2000
        Optimiser steps.
    batch_size : int, default=128
        Rows per step.
    learning_rate : float, default=3e-3
        The cycle's peak.
    weight_decay : float, default=1e-2
        AdamW's.
    random_state : int, numpy generator or None, default=None
        Seed of the weights and the batches; torch's and numpy's global generators stay untouched.
    """

    weights_: list[Vector]
    biases_: list[Vector]

    def __init__(
        self,
        hidden: Sequence[int] = (128, 128),
        steps: int = 2000,
        batch_size: int = 128,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-2,
        random_state: RandomState = None,
    ) -> None:
        self.hidden = hidden
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.random_state = random_state

    def fit(self, X: pd.DataFrame | Vector, y: npt.ArrayLike) -> Self:
        """Fit on (n, k) columns and n costs."""
        import torch
        from torch import nn

        limit_threads_if_forked()
        values, costs, _ = self._checked(X, y)
        self.mean_, self.scale_ = values.mean(axis=0), values.std(axis=0)
        self.scale_[self.scale_ <= 1e-12 * np.abs(values).max(axis=0, initial=0.0)] = 1.0
        self.y_mean_, self.y_scale_ = float(costs.mean()), float(costs.std()) or 1.0
        inputs = torch.from_numpy((values - self.mean_) / self.scale_).float()
        outputs = torch.from_numpy((costs - self.y_mean_) / self.y_scale_).float()[:, None]
        # Batches are small: more threads only wait for one another.
        with threadpool_limits(1), torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(as_generator(self.random_state).integers(2**31)))
            sizes = [values.shape[1], *self.hidden, 1]
            linears = [nn.Linear(a, b) for a, b in pairwise(sizes)]
            network = nn.Sequential(*[layer for linear in linears for layer in (linear, nn.SiLU())][:-1])
            self._train(network, inputs, outputs)
        self.weights_ = [linear.weight.detach().double().numpy().copy() for linear in linears]
        self.biases_ = [linear.bias.detach().double().numpy().copy() for linear in linears]
        return self

    def _train(self, network: Any, inputs: Any, outputs: Any) -> None:
        import torch

        optimiser = torch.optim.AdamW(network.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, self.learning_rate, total_steps=self.steps)
        for _ in range(self.steps):
            rows = torch.randint(len(inputs), (min(self.batch_size, len(inputs)),))
            loss = torch.nn.functional.smooth_l1_loss(network(inputs[rows]), outputs[rows], beta=0.5)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            cycle.step()

    def predict(self, X: pd.DataFrame | Vector) -> Vector:
        """Predict costs, (n, k) -> (n,), in float64 and without torch."""
        check_is_fitted(self, "weights_")
        values = (self._values(X) - self.mean_) / self.scale_
        for number, (weight, bias) in enumerate(zip(self.weights_, self.biases_, strict=True)):
            values = values @ weight.T + bias
            if number < len(self.weights_) - 1:
                values = values * (0.5 * (1.0 + np.tanh(0.5 * values)))  # SiLU, by a sigmoid that can't overflow
        predicted: Vector = values[:, 0] * self.y_scale_ + self.y_mean_
        return predicted

    def to_arrays(self) -> Arrays:
        """Return the fitted parameters as arrays."""
        check_is_fitted(self, "weights_")
        arrays: Arrays = {
            "mean": self.mean_,
            "scale": self.scale_,
            "y": np.array([self.y_mean_, self.y_scale_]),
        }
        for number, (weight, bias) in enumerate(zip(self.weights_, self.biases_, strict=True)):
            arrays |= {f"weight_{number}": weight, f"bias_{number}": bias}
        return arrays

    def from_arrays(self, arrays: Arrays, feature_names: npt.NDArray[np.object_]) -> Self:
        """Restore from the arrays of :meth:`to_arrays`, for columns of these names, shape (k,)."""
        self._columns_are(feature_names)
        self.mean_ = checked_array(arrays, "mean", (len(feature_names),))
        self.scale_ = checked_array(arrays, "scale", (len(feature_names),), np.finfo(np.float64).tiny)
        self.y_mean_, self.y_scale_ = map(float, checked_array(arrays, "y", (2,)))
        sizes = [len(feature_names), *self.hidden, 1]
        shapes = [(after, before) for before, after in pairwise(sizes)]
        self.weights_ = [checked_array(arrays, f"weight_{n}", shape) for n, shape in enumerate(shapes)]
        self.biases_ = [checked_array(arrays, f"bias_{n}", shape[:1]) for n, shape in enumerate(shapes)]
        return self
