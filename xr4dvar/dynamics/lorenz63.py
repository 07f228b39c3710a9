"""The convection model of Lorenz (1963)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from xr4dvar.arguments import check_finite, check_flag
from xr4dvar.dynamics.integrators import Flow, Step
from xr4dvar.dynamics.model import check_scheme
from xr4dvar.errors import Problems
from xr4dvar.registry import register

__all__ = ["Lorenz63", "Lorenz63Tendency"]


@register
@dataclass(frozen=True)
class Lorenz63:
    """The convection model of Lorenz (1963), of the three components x, y and z, in this order.

    Parameters
    ----------
    dt : float
        Longest step of the integration, in the units of the time axis (days, of dates).
    scheme : {"rk4", "euler"}
    sigma, rho, beta : float
        Without units.
    learned : bool
        Whether `fit` finds sigma, rho and beta, from these values on.

    References
    ----------
    Lorenz 1963, https://doi.org/10.1175/1520-0469(1963)020%3C0130:DNF%3E2.0.CO;2

    Examples
    --------
    >>> xv.Lorenz63(dt=0.01, rho=30.0).components
    3
    """

    dt: float = 0.01
    scheme: str = "rk4"
    sigma: float = 10.0
    rho: float = 28.0
    beta: float = 8 / 3
    learned: bool = False

    components: ClassVar[int] = 3
    names: ClassVar[tuple[str, ...]] = ("x", "y", "z")

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""
        check_scheme(self.dt, self.scheme, problems)
        for name in ("sigma", "rho", "beta"):
            check_finite(name, getattr(self, name), problems)
        check_flag("learned", self.learned, problems)

    def flow(self, interval: float, substeps: int) -> Step:
        """Give the map from states (..., 3) to those an interval later."""
        tendency = Lorenz63Tendency(self.sigma, self.rho, self.beta, learned=self.learned)
        return Flow(tendency, interval, self.scheme, substeps)


class Lorenz63Tendency(nn.Module):
    """``x' = sigma (y - x)``, ``y' = x (rho - z) - y``, ``z' = x y - beta z``.

    Parameters
    ----------
    sigma, rho, beta : float
        Without units; time is that of Lorenz.
    learned : bool
        Whether training may change them.

    References
    ----------
    Lorenz 1963, https://doi.org/10.1175/1520-0469(1963)020%3C0130:DNF%3E2.0.CO;2

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.dynamics import Lorenz63Tendency
    >>> Lorenz63Tendency()(torch.tensor([1.0, 2.0, 3.0])).tolist()
    [10.0, 23.0, -6.0]
    """

    def __init__(
        self,
        sigma: float = 10.0,
        rho: float = 28.0,
        beta: float = 8 / 3,
        *,
        learned: bool = False,
    ):
        super().__init__()
        # float64 numbers of no dimension: products keep the precision of the state
        self.sigma, self.rho, self.beta = (
            nn.Parameter(torch.tensor(value, dtype=torch.float64), requires_grad=learned)
            for value in (sigma, rho, beta)
        )

    def forward(self, state: Tensor) -> Tensor:
        """Give the tendency of states (..., 3)."""
        x, y, z = state.split(1, -1)
        rates = self.sigma * (y - x), x * (self.rho - z) - y, x * y - self.beta * z
        return torch.cat(rates, -1)

    def linearise(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Derivative at states (..., 3), shape (..., 3, 3), and the tendency."""
        x, y, z = state.unbind(-1)
        one, zero = torch.ones_like(x), torch.zeros_like(x)
        rows = [
            torch.stack([-self.sigma * one, self.sigma * one, zero], -1),
            torch.stack([self.rho - z, -one, -x], -1),
            torch.stack([y, x, -self.beta * one], -1),
        ]
        return torch.stack(rows, -2), self(state)
