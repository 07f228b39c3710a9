"""A solver whose steps a network has learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xr4dvar.batch import Batch
from xr4dvar.cost import Cost
from xr4dvar.networks import ConvLSTM, UNet
from xr4dvar.solvers.loop import State

__all__ = ["LearnedSolver"]


class LearnedSolver(nn.Module):
    r"""Steps given by a network that sees the gradients of the cost.

    Parameters
    ----------
    cell : module
        Recurrent network ``(input, memory) -> (update, memory)`` on (B, channels, Y, X): see
        `lstm_cell` and `unet_cell`.

    Notes
    -----
    With g_i the gradient of each term of the cost, c the context and h the memory,

    .. math:: (d, h) \leftarrow \text{cell}([g_1, g_2, \dots, x, w, c], h), \quad
              x \leftarrow x - d

    The terms' gradients stay apart, for their sum hides whether a cell was observed; the
    weight w of the observations is an input for the same reason
    (Fablet et al. 2021, https://doi.org/10.1029/2021MS002572, feed their sum).
    """

    def __init__(self, cell: nn.Module):
        super().__init__()
        self.cell = cell

    @classmethod
    def lstm(cls, inputs: int, outputs: int, hidden: int) -> LearnedSolver:
        """Make one with a convolutional LSTM, as in 4DVarNet."""
        return cls(_LSTMCell(inputs, outputs, hidden))

    @classmethod
    def unet(cls, inputs: int, outputs: int, widths: tuple[int, ...]) -> LearnedSolver:
        """Make one with a U-Net, which sees far at little cost, and no memory."""
        return cls(_UNetCell(inputs, outputs, widths))

    def init(self, cost: Cost, batch: Batch) -> State:
        """Start from zero, the background of an increment."""
        return State(torch.zeros_like(batch.y))

    def step(
        self, cost: Cost, batch: Batch, state: State, *, differentiable: bool = False
    ) -> State:
        """Take one learned step."""
        gradients = cost.gradients(state.x, batch, differentiable=differentiable)
        fields = [*gradients, state.x, batch.weight]
        if batch.context is not None:
            fields.append(batch.context)
        flat = torch.cat([field.flatten(1, 2) for field in fields], 1)
        update, memory = self.cell(flat, state.memory)
        return State(state.x - update.view_as(state.x), state.step + 1, memory)


class _LSTMCell(nn.Module):
    def __init__(self, inputs: int, outputs: int, hidden: int):
        super().__init__()
        self.lstm = ConvLSTM(inputs, hidden)
        self.leave = nn.Conv2d(hidden, outputs, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(
        self, x: Tensor, memory: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        output, memory = self.lstm(x, memory)
        return self.leave(output), memory


class _UNetCell(nn.Module):
    def __init__(self, inputs: int, outputs: int, widths: tuple[int, ...]):
        super().__init__()
        self.unet = UNet(inputs, outputs, widths)

    def forward(self, x: Tensor, memory: None) -> tuple[Tensor, None]:
        return self.unet(x), None
