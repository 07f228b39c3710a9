"""A two-scale prior that predicts each cell from its neighbours only."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from xr4dvar.layout import MAPS, Layout
from xr4dvar.networks import Convolution

__all__ = ["TwoScalePrior"]


class TwoScalePrior(nn.Module):
    """Sum of a fine and a coarse branch, blind to the cell that they predict (a Gibbs field).

    Parameters
    ----------
    state, context : int
        Channels of the state and of the context, as they are laid out.
    hidden : int
        Channels inside.
    layout : Layout, optional
    factor : int
        Cells of the fine grid, along each axis, to one of the coarse grid.
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
    >>> prior = TwoScalePrior(state=3, context=0, hidden=4)
    >>> prior(torch.zeros(2, 1, 3, 9, 8), None).shape
    torch.Size([2, 1, 3, 9, 8])
    """

    def __init__(
        self,
        state: int,
        context: int,
        hidden: int = 32,
        layout: Layout = MAPS,
        factor: int = 4,
        reach: int = 2,
    ):
        super().__init__()
        self.layout = layout
        self.factor = factor
        self.fine = _Blind(state, context, hidden, layout, reach)
        self.coarse = _Blind(state, context, hidden, layout, reach)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Give Phi(x)."""
        image = self.layout.join(x, context)
        height, width = image.shape[-2:]
        rows, columns = self.layout.kernel(self.factor)
        pooled = functional.avg_pool2d(
            image, (rows, columns), ceil_mode=True, count_include_pad=False
        )
        # Nearest, not linear: a linear interpolation would mix coarse cells that did see x_i.
        coarse = self.coarse(pooled).repeat_interleave(columns, -1)
        coarse = coarse.repeat_interleave(rows, -2)[..., :height, :width]
        return self.layout.back(self.fine(image) + coarse, x)


class _Blind(nn.Module):
    """A bilinear unit whose first convolution does not see its central cell."""

    hole: Tensor

    def __init__(self, state: int, context: int, hidden: int, layout: Layout, reach: int):
        super().__init__()
        kernel = layout.kernel(2 * reach + 1)
        self.neighbours = Convolution(state, hidden, kernel, wraps=layout.wraps)
        self.context = nn.Conv2d(context, hidden, 1) if context else None
        self.state = state
        hole = torch.ones(kernel)
        hole[kernel[0] // 2, kernel[1] // 2] = 0
        self.register_buffer("hole", hole, persistent=False)
        self.mix = nn.Conv2d(hidden, hidden, 1)
        self.linear = nn.Conv2d(hidden, hidden, 1)
        self.left = nn.Conv2d(hidden, hidden, 1)
        self.right = nn.Conv2d(hidden, hidden, 1)
        self.decode = nn.Conv2d(2 * hidden, state, 1)

    def forward(self, image: Tensor) -> Tensor:
        seen = self.neighbours
        z = functional.conv2d(
            seen.wrap(image[:, : self.state]),
            seen.weight * self.hole,
            seen.bias,
            padding=seen.padding,
        )
        if self.context is not None:
            z = z + self.context(image[:, self.state :])
        z = self.mix(functional.relu(z))
        decoded: Tensor = self.decode(torch.cat([self.linear(z), self.left(z) * self.right(z)], 1))
        return decoded
