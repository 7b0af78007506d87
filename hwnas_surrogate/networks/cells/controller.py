"""ENAS's controller: an LSTM that writes a cell, one operation after the other."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from hwnas_surrogate.errors import InvalidGraphError
from hwnas_surrogate.networks.cells.choosing import has_numbers
from hwnas_surrogate.networks.cells.search_cell import EdgeTable
from hwnas_surrogate.networks.cells.structure import CellStructure

__all__ = ["Controller", "StructureController"]


class Controller(nn.Module):
    """An LSTM that draws an operation for each edge, given those drawn before [1]_.

    Parameters
    ----------
    num_edge, num_ops : int
        Edges of a cell, and operations to choose from.
    lstm_size, lstm_num_layers : int, default=32, 2
    tanh_constant : float, default=2.5
        Logits lie in (-tanh_constant, tanh_constant).
    temperature : float, default=5.0
        Divides the logits before the tanh.

    References
    ----------
    .. [1] Pham et al., "Efficient Neural Architecture Search via Parameter Sharing", ICML 2018, section 2.2.

    Examples
    --------
    >>> log_prob, entropy, ops = Controller(6, 5)()
    >>> len(ops), log_prob.shape
    (6, torch.Size([]))
    """

    def __init__(
        self,
        num_edge: int,
        num_ops: int,
        lstm_size: int = 32,
        lstm_num_layers: int = 2,
        tanh_constant: float = 2.5,
        temperature: float = 5.0,
    ) -> None:
        super().__init__()
        self.num_edge, self.num_ops = num_edge, num_ops
        self.tanh_constant, self.temperature = tanh_constant, temperature
        self.input_vars = nn.Parameter(torch.empty(1, 1, lstm_size))
        self.w_lstm = nn.LSTM(lstm_size, lstm_size, lstm_num_layers)
        self.w_embd = nn.Embedding(num_ops, lstm_size)
        self.w_pred = nn.Linear(lstm_size, num_ops)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights uniformly from (-0.1, 0.1); biases are zero."""
        for name, parameter in self.named_parameters():
            if "bias" in name:
                nn.init.zeros_(parameter)
            else:
                nn.init.uniform_(parameter, -0.1, 0.1)

    def draw(self) -> tuple[Tensor, Tensor, list[int]]:
        """Draw an operation for each edge.

        Returns
        -------
        log_prob, entropy : Tensor, shape ()
            Sums over the edges, with gradients.
        ops : list of int
            For each edge.

        Raises
        ------
        InvalidGraphError
            While a network is captured as a graph: a draw needs the numbers of those before it.
        """
        inputs: Tensor = self.input_vars
        state = None
        log_probs, entropies, ops = [], [], []
        for _ in range(self.num_edge):
            outputs, state = self.w_lstm(inputs, state)
            logits = self.tanh_constant * torch.tanh(self.w_pred(outputs) / self.temperature)
            if not has_numbers(logits):
                raise InvalidGraphError(
                    "a controller can't draw while a network is captured as a graph. Draw before, and let the network "
                    "run that cell: set_cal_mode('dynamic', cell)."
                )
            distribution = Categorical(logits=logits)
            op = distribution.sample()  # type: ignore[no-untyped-call]
            ops.append(int(op.item()))
            log_probs.append(distribution.log_prob(op).flatten())  # type: ignore[no-untyped-call]
            entropies.append(distribution.entropy().flatten())  # type: ignore[no-untyped-call]
            inputs = self.w_embd(op)
        return torch.cat(log_probs).sum(), torch.cat(entropies).sum(), ops

    def forward(self) -> tuple[Tensor, Tensor, list[int]]:
        """Draw an operation for each edge; see :meth:`draw`."""
        return self.draw()

    def extra_repr(self) -> str:
        """Return the number of edges and of operations."""
        return f"num_edge={self.num_edge}, num_ops={self.num_ops}"


class StructureController(Controller):
    """A controller that returns its draw as a cell; parameters as of :class:`Controller`, with a table of edges."""

    def __init__(self, table: EdgeTable) -> None:
        super().__init__(len(table), len(table.op_names))
        self.table = table

    def forward(self) -> tuple[Tensor, Tensor, CellStructure]:  # type: ignore[override]
        """Return log-probability, entropy and cell of a draw."""
        log_prob, entropy, ops = self.draw()
        return log_prob, entropy, self.table.structure(ops)
