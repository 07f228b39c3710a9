"""The bilinear auto-encoder prior of 4DVarNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xr4dvar.networks import Convolution
from xr4dvar.networks.layout import MAPS, Layout

__all__ = ["BilinearAutoEncoder"]


class BilinearAutoEncoder(nn.Module):
    """Convolutions with a product of two of them; of maps, the days are channels.

    Parameters
    ----------
    state, context : int
        Channels of the state and of the context, as they are laid out.
    width : int
        Channels inside.
    layout : Layout, optional

    Notes
    -----
    The product lets the prior express quadratic terms such as advection
    (Fablet et al. 2021, https://doi.org/10.1029/2021MS002572).

    Examples
    --------
    >>> import torch
    >>> prior = BilinearAutoEncoder(state=3, context=0, width=4)
    >>> prior(torch.zeros(2, 1, 3, 8, 8), None).shape
    torch.Size([2, 1, 3, 8, 8])
    """

    def __init__(self, state: int, context: int, width: int = 32, layout: Layout = MAPS):
        super().__init__()
        self.layout = layout

        def convolution(inputs: int, outputs: int) -> Convolution:
            return Convolution(inputs, outputs, layout.kernel(3), wraps=layout.wraps)

        self.encode = nn.Sequential(
            convolution(state + context, width), nn.ReLU(), convolution(width, width)
        )
        self.linear = convolution(width, width)
        self.left = convolution(width, width)
        self.right = convolution(width, width)
        self.decode = convolution(2 * width, state)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Give Phi(x)."""
        z = self.encode(self.layout.join(x, context))
        z = torch.cat([self.linear(z), self.left(z) * self.right(z)], 1)
        return self.layout.back(self.decode(z), x)
