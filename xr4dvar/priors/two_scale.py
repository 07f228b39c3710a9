"""A two-scale prior that predicts each cell from its neighbours only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from xr4dvar.arguments import check_count
from xr4dvar.errors import Problems
from xr4dvar.networks import Convolution
from xr4dvar.networks.layout import MAPS, Layout
from xr4dvar.registry import register
from xr4dvar.training_options import Training, check_training, prior_training

__all__ = ["GibbsField", "TwoScalePrior"]


@register
@dataclass(frozen=True)
class GibbsField:
    """A Gibbs field: a likely state has values that those around them tell, on two scales.

    A network predicts each place from its neighbours, near and far, and never sees the place
    itself; Q is the variance of what it gets wrong. It is the network of
    ``FourDVarNet(prior="two_scale")``, learned by itself from complete windows.

    Parameters
    ----------
    width : int
        Channels inside.
    training : Training
        How long and how fast to learn.

    References
    ----------
    Fablet et al. 2021, https://doi.org/10.1029/2021MS002572

    Examples
    --------
    >>> xv.GibbsField(width=16).width
    16
    """

    width: int = 32
    training: Training = field(default_factory=prior_training)

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""
        check_count("width", self.width, problems)
        check_training(self.training, problems)

    def module(self, shape: Sequence[int], context: int, layout: Layout) -> nn.Module:
        """Give Phi of states (V, T, Y, X)."""
        return TwoScalePrior(layout.channels(shape), context, self.width, layout)


class TwoScalePrior(nn.Module):
    """Sum of a fine and a coarse branch, blind to the cell that they predict (a Gibbs field).

    Parameters
    ----------
    state, context : int
        Channels of the state and of the context, as they are laid out.
    width : int
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
    >>> prior = TwoScalePrior(state=3, context=0, width=4)
    >>> prior(torch.zeros(2, 1, 3, 9, 8), None).shape
    torch.Size([2, 1, 3, 9, 8])
    """

    def __init__(
        self,
        state: int,
        context: int,
        width: int = 32,
        layout: Layout = MAPS,
        factor: int = 4,
        reach: int = 2,
    ):
        super().__init__()
        self.layout = layout
        self.factor = factor
        self.fine = _Blind(state, context, width, layout, reach)
        self.coarse = _Blind(state, context, width, layout, reach)

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

    def __init__(self, state: int, context: int, width: int, layout: Layout, reach: int):
        super().__init__()
        kernel = layout.kernel(2 * reach + 1)
        self.neighbours = Convolution(state, width, kernel, wraps=layout.wraps)
        self.context = nn.Conv2d(context, width, 1) if context else None
        self.state = state
        hole = torch.ones(kernel)
        hole[kernel[0] // 2, kernel[1] // 2] = 0
        self.register_buffer("hole", hole, persistent=False)
        self.mix = nn.Conv2d(width, width, 1)
        self.linear = nn.Conv2d(width, width, 1)
        self.left = nn.Conv2d(width, width, 1)
        self.right = nn.Conv2d(width, width, 1)
        self.decode = nn.Conv2d(2 * width, state, 1)

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
