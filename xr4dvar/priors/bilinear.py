"""The bilinear auto-encoder prior of 4DVarNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["BilinearAutoEncoder"]


class BilinearAutoEncoder(nn.Module):
    """Convolutions with a product of two of them, days as channels.

    Parameters
    ----------
    state, context : int
        Channels (variables x times) of the state and of the context.
    hidden : int
        Channels inside.

    Notes
    -----
    The product lets the prior express quadratic terms such as advection
    (Fablet et al. 2021, https://doi.org/10.1029/2021MS002572).

    Examples
    --------
    >>> import torch
    >>> prior = BilinearAutoEncoder(state=3, context=0, hidden=4)
    >>> prior(torch.zeros(2, 1, 3, 8, 8), None).shape
    torch.Size([2, 1, 3, 8, 8])
    """

    def __init__(self, state: int, context: int, hidden: int = 32):
        super().__init__()
        self.encode = nn.Sequential(
            nn.Conv2d(state + context, hidden, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, padding=1),
        )
        self.linear = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.left = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.right = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.decode = nn.Conv2d(2 * hidden, state, 3, padding=1)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Give Phi(x)."""
        z = self.encode(channels(x, context))
        z = torch.cat([self.linear(z), self.left(z) * self.right(z)], 1)
        decoded: Tensor = self.decode(z)
        return decoded.view_as(x)


def channels(x: Tensor, context: Tensor | None) -> Tensor:
    """Put variables and times in channels: (B, V, T, Y, X) -> (B, V*T [+ C*T], Y, X)."""
    flat = x.flatten(1, 2)
    return flat if context is None else torch.cat([flat, context.flatten(1, 2)], 1)
