"""A two-scale prior that predicts each cell from its neighbours only."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from xr4dvar.priors.bilinear import channels

__all__ = ["TwoScale"]


class TwoScale(nn.Module):
    """Sum of a fine and a coarse branch, blind to the cell that they predict (a Gibbs field).

    Parameters
    ----------
    state, context : int
        Channels (variables x times) of the state and of the context.
    hidden : int
        Channels inside.
    factor : int
        Cells of the fine grid, along y and x, to one of the coarse grid.
    reach : int
        Cells on each side that a branch looks at.

    Notes
    -----
    The centre of the first kernel is multiplied by zero in the forward pass, for every pair of
    channels; all further convolutions are 1 x 1. The coarse branch leaves out the whole coarse
    cell. So the derivative of ``Phi_i`` by ``x_i`` is zero, at all times of the cell
    (the "two-scale" prior of Fablet et al. 2021, https://doi.org/10.1029/2021MS002572).

    Examples
    --------
    >>> import torch
    >>> prior = TwoScale(state=3, context=0, hidden=4)
    >>> prior(torch.zeros(2, 1, 3, 9, 8), None).shape
    torch.Size([2, 1, 3, 9, 8])
    """

    def __init__(self, state: int, context: int, hidden: int = 32, factor: int = 4, reach: int = 2):
        super().__init__()
        self.state = state
        self.factor = factor
        self.fine = _Blind(state, context, hidden, reach)
        self.coarse = _Blind(state, context, hidden, reach)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Give Phi(x)."""
        flat = channels(x, context)
        size = flat.shape[-2:]
        pooled = functional.avg_pool2d(flat, self.factor, ceil_mode=True, count_include_pad=False)
        # Nearest, not linear: a linear interpolation would mix coarse cells that did see x_i.
        coarse = self.coarse(pooled).repeat_interleave(self.factor, -1)
        coarse = coarse.repeat_interleave(self.factor, -2)[..., : size[0], : size[1]]
        total: Tensor = self.fine(flat) + coarse
        return total.view_as(x)


class _Blind(nn.Module):
    """A bilinear unit whose first convolution does not see its central cell."""

    hole: Tensor

    def __init__(self, state: int, context: int, hidden: int, reach: int):
        super().__init__()
        width = 2 * reach + 1
        self.neighbours = nn.Conv2d(state, hidden, width, padding=reach)
        self.context = nn.Conv2d(context, hidden, 1) if context else None
        self.state = state
        hole = torch.ones(width, width)
        hole[reach, reach] = 0
        self.register_buffer("hole", hole, persistent=False)
        self.mix = nn.Conv2d(hidden, hidden, 1)
        self.linear = nn.Conv2d(hidden, hidden, 1)
        self.left = nn.Conv2d(hidden, hidden, 1)
        self.right = nn.Conv2d(hidden, hidden, 1)
        self.decode = nn.Conv2d(2 * hidden, state, 1)

    def forward(self, flat: Tensor) -> Tensor:
        seen = self.neighbours
        z = functional.conv2d(
            flat[:, : self.state], seen.weight * self.hole, seen.bias, padding=seen.padding
        )
        if self.context is not None:
            z = z + self.context(flat[:, self.state :])
        z = self.mix(functional.relu(z))
        decoded: Tensor = self.decode(torch.cat([self.linear(z), self.left(z) * self.right(z)], 1))
        return decoded
