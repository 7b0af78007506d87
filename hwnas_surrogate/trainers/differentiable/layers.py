"""The layers that architectures run on average."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.graphs import Op, View
from hwnas_surrogate.graphs.views import checked_view
from hwnas_surrogate.spaces import OpTable
from hwnas_surrogate.trainers.differentiable.forms import joint
from hwnas_surrogate.trainers.differentiable.predicted import Predicted
from hwnas_surrogate.trainers.differentiable.probes import probes

__all__ = ["ExpectedLayers"]

_COMPARED = 1000


class ExpectedLayers:
    """How often each operator of a space runs in a view, on average over architectures.

    Parameters
    ----------
    predicted : Predicted
        The space and the config.
    view : {"all", "live", "folded", "fused", "quantized"}

    Attributes
    ----------
    operators : tuple of Op
        The L distinct operators that networks of the space may run.

    Raises
    ------
    InvalidInputError
        If the space is too large to count all its networks, and has no table of the operators of each choice.
    """

    operators: tuple[Op, ...]

    def __init__(self, predicted: Predicted, view: View) -> None:
        checked_view(view)
        space, self._n_ops = predicted.space, predicted.n_ops.tolist()
        of = space.same_views.get(view, view)
        table = space.op_table(predicted.config, of)
        self._choices: npt.NDArray[np.intp] | None = None
        if predicted.is_countable:
            archs = predicted.everything()
            if table is None:
                batch = space.batch(archs, predicted.config)
                self.operators = batch.distinct(of)
                calls = batch.sums(np.eye(len(self.operators)), of)
                self._choices = np.arange(len(archs))[:, None]
                self._of_choice, self._always = calls[None], np.zeros(len(self.operators))
                return
            self._choices = space.table_choices(archs, predicted.config, of).astype(np.intp)
        elif table is None or not _are_ops(predicted, of):
            reason = (
                "the space is large, and its networks are counted one by one"
                if table is None
                else "which operators a choice runs also depends on other positions; the view 'fused' may do"
            )
            raise InvalidInputError(f"there are no expected layers of {space.title} in the view {view!r}: {reason}.")
        self._take(table)

    def _take(self, table: OpTable) -> None:
        self.operators = table.distinct
        self._of_choice, self._always = table.per_choice[..., table.group], table.fixed[table.group]

    def __call__(self, probabilities: Tensor) -> Tensor:
        """Return the expected number of calls, (positions, ops, n) -> (n, L)."""
        calls = torch.from_numpy(self._always).to(probabilities)[:, None]
        of_choice = torch.from_numpy(self._of_choice).to(probabilities)
        if self._choices is None:
            chosen = list(probabilities.unbind(0))
        else:
            together = joint(probabilities.unbind(0), self._n_ops)
            nothing = probabilities.new_zeros(of_choice.shape[1], probabilities.shape[-1])
            which = torch.from_numpy(self._choices).to(probabilities.device)
            chosen = [nothing.index_add(0, column, together) for column in which.unbind(1)]
        for each, at in zip(chosen, of_choice.unbind(0), strict=True):
            calls = calls + at.T @ each
        return calls.T


def _are_ops(predicted: Predicted, view: View) -> bool:
    """Return whether the choices of a view's table are the ops."""
    archs = probes(predicted.n_ops, _COMPARED)
    return np.array_equal(predicted.space.table_choices(archs, predicted.config, view), archs)
