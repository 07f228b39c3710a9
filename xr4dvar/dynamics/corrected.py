"""A known tendency and what is learned of its error."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xr4dvar.dynamics.integrators import Tendency
from xr4dvar.dynamics.linear import linearise

__all__ = ["CorrectedTendency", "Perceptron"]


class CorrectedTendency(nn.Module):
    """``f(x) = f_known(x) + g(x)``.

    Parameters
    ----------
    known, correction : callable
        Tendencies of states (..., n); the parameters of a module are those of the sum.

    References
    ----------
    Levine and Stuart 2022, https://doi.org/10.1090/cams/10

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.dynamics import CorrectedTendency, Lorenz63Tendency
    >>> corrected = CorrectedTendency(Lorenz63Tendency(), torch.ones_like)
    >>> corrected(torch.tensor([1.0, 2.0, 3.0])).tolist()
    [11.0, 24.0, -5.0]
    """

    def __init__(self, known: Tendency, correction: Tendency):
        super().__init__()
        self.known = known
        self.correction = correction

    def forward(self, x: Tensor) -> Tensor:
        """Give the tendency of states (..., n)."""
        return self.known(x) + self.correction(x)

    def linearise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Derivative at states (..., n), shape (..., n, n), and the tendency."""
        derivative, value = linearise(self.known, x)
        more, rest = linearise(self.correction, x)
        return derivative + more, value + rest


class Perceptron(nn.Module):
    """``g(x) = V tanh(W x + b)``, zero at first: V is.

    Parameters
    ----------
    n : int
        Components of a state.
    hidden : int
        Functions ``tanh``.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.dynamics import Perceptron
    >>> Perceptron(3, hidden=8)(torch.ones(5, 3)).abs().max().item()
    0.0
    """

    def __init__(self, n: int, hidden: int):
        super().__init__()
        # of its own: the same each time, and the global random numbers are not touched
        generator = torch.Generator().manual_seed(0)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, dtype=torch.float64, generator=generator)

        self.weight = nn.Parameter(normal(hidden, n) / n**0.5)
        self.bias = nn.Parameter(normal(hidden))
        self.out = nn.Parameter(torch.zeros(n, hidden, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Give g of states (..., n), in their precision."""
        return self._hidden(x) @ self.out.to(x.dtype).T

    def linearise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Derivative at states (..., n), shape (..., n, n), and g."""
        with torch.no_grad():
            hidden, out = self._hidden(x), self.out.to(x.dtype)
            slopes = (1 - hidden**2)[..., None] * self.weight.to(x.dtype)
            return out @ slopes, hidden @ out.T

    def _hidden(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.weight.to(x.dtype).T + self.bias.to(x.dtype))
