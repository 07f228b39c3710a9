"""The model of Lorenz (1996) of a quantity along a circle of latitude."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Lorenz96Tendency"]


class Lorenz96Tendency(nn.Module):
    """``x_i' = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + F`` on a ring.

    Parameters
    ----------
    forcing : float
        F, without units.
    learned : bool
        Whether training may change it.

    References
    ----------
    Lorenz 1996, Predictability: a problem partly solved, ECMWF Seminar on Predictability.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.dynamics import Lorenz96Tendency
    >>> Lorenz96Tendency()(torch.full((40,), 8.0)).abs().max().item()
    0.0
    """

    def __init__(self, forcing: float = 8.0, *, learned: bool = False):
        super().__init__()
        self.forcing = nn.Parameter(
            torch.tensor(forcing, dtype=torch.float64), requires_grad=learned
        )

    def forward(self, x: Tensor) -> Tensor:
        """Give the tendency of states (..., n), n at least 4."""
        advection = (x.roll(-1, -1) - x.roll(2, -1)) * x.roll(1, -1)
        return advection - x + self.forcing

    def linearise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Derivative at states (..., n), shape (..., n, n), and the tendency."""
        n = x.shape[-1]
        i = torch.arange(n, device=x.device)
        matrix = torch.zeros(*x.shape, n, dtype=x.dtype, device=x.device)
        matrix[..., i, i] = -1.0
        matrix[..., i, (i + 1) % n] = x.roll(1, -1)
        matrix[..., i, (i - 2) % n] = -x.roll(1, -1)
        matrix[..., i, (i - 1) % n] = x.roll(-1, -1) - x.roll(2, -1)
        return matrix, self(x)
