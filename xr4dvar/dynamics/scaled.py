"""A tendency of states in units of their spread."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xr4dvar.dynamics.linear import linearise

__all__ = ["Scaled"]


class Scaled(nn.Module):
    """``f(x) = rate spread g((x - mean) / spread)``: what is learned, g, has numbers near one.

    Parameters
    ----------
    tendency : torch.nn.Module
        g, of states (..., n).
    n : int
        Components.
    rate : float
        One over a time in which states change.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.dynamics import Scaled
    >>> decay = Scaled(torch.nn.Tanh(), 1, rate=2.0)
    >>> decay.scale(mean=torch.tensor([1.0]), spread=torch.tensor([100.0]))
    >>> round(decay(torch.tensor([2.0])).item(), 3)
    2.0
    """

    mean: Tensor
    spread: Tensor
    rate: Tensor

    def __init__(self, tendency: nn.Module, n: int, rate: float):
        super().__init__()
        self.tendency = tendency
        self.register_buffer("mean", torch.zeros(n, dtype=torch.float64))
        self.register_buffer("spread", torch.ones(n, dtype=torch.float64))
        self.register_buffer("rate", torch.tensor(rate, dtype=torch.float64))

    def scale(self, mean: Tensor, spread: Tensor) -> None:
        """Set the units, each of shape (n,)."""
        self.mean.copy_(mean)
        self.spread.copy_(spread)

    def inner(self, x: Tensor) -> Tensor:
        """States (..., n) in the units of g."""
        return (x - self.mean.to(x.dtype)) / self.spread.to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Give the tendency of states (..., n)."""
        rates: Tensor = self.rate * self.spread.to(x.dtype) * self.tendency(self.inner(x))
        return rates

    def linearise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Derivative at states (..., n), shape (..., n, n), and the tendency."""
        spread = self.spread.to(x.dtype)
        derivative, value = linearise(self.tendency, self.inner(x))
        return self.rate * spread[:, None] * derivative / spread, self.rate * spread * value
