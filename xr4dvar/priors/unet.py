"""A U-Net as prior: strong enough for a fixed point to reach far in few steps."""

from __future__ import annotations

from torch import Tensor, nn

from xr4dvar.networks import UNet
from xr4dvar.networks.layout import MAPS, Layout

__all__ = ["UNetPrior"]

#: Levels, each half as fine as the one before, and residual blocks in a row.
LEVELS, DEPTH = 3, 2


class UNetPrior(nn.Module):
    """``Phi(x)`` is what a U-Net makes of x and the context.

    Parameters
    ----------
    state, context : int
        Channels of the state and of the context, as they are laid out.
    width : int
        Channels inside, on all levels.
    layout : Layout, optional

    Notes
    -----
    Untrained, ``Phi(x) = 0``: the background of an increment. It may copy the cell that it
    predicts, unlike `TwoScalePrior`: where nothing else asks for more, as
    without a target, it will.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.priors import UNetPrior
    >>> UNetPrior(state=3, context=0, width=4)(torch.ones(2, 1, 3, 9, 8), None).shape
    torch.Size([2, 1, 3, 9, 8])
    """

    def __init__(self, state: int, context: int, width: int = 32, layout: Layout = MAPS):
        super().__init__()
        self.layout = layout
        self.unet = UNet(state + context, state, (width,) * LEVELS, DEPTH, layout)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Give Phi(x)."""
        return self.layout.back(self.unet(self.layout.join(x, context)), x)
