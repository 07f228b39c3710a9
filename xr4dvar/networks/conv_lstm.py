"""A convolutional LSTM cell (Shi et al. 2015)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xr4dvar.networks.convolution import Convolution
from xr4dvar.networks.layout import MAPS, Layout

__all__ = ["ConvLSTM"]


class ConvLSTM(nn.Module):
    """One step of a convolutional LSTM; its memory is passed in and returned.

    Parameters
    ----------
    inputs, width : int
        Channels of the input and of the memory.
    layout : Layout, optional
        Gives the kernel.

    Examples
    --------
    >>> import torch
    >>> cell = ConvLSTM(2, 4)
    >>> out, memory = cell(torch.ones(1, 2, 5, 6), None)
    >>> out.shape, len(memory)
    (torch.Size([1, 4, 5, 6]), 2)
    """

    def __init__(self, inputs: int, width: int, layout: Layout = MAPS):
        super().__init__()
        self.width = width
        kernel = layout.kernel(3)
        self.gates = Convolution(inputs + width, 4 * width, kernel, wraps=layout.wraps)

    def forward(
        self, x: Tensor, memory: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Give the output (B, width, Y, X) and the new memory (output and cell)."""
        if memory is None:
            zeros = x.new_zeros(x.shape[0], self.width, *x.shape[-2:])
            memory = zeros, zeros
        output, cell = memory
        enter, remember, show, candidate = self.gates(torch.cat([x, output], 1)).chunk(4, 1)
        cell = remember.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
        output = show.sigmoid() * cell.tanh()
        return output, (output, cell)
