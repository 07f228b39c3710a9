"""The model of Lorenz (1996)."""

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

__all__ = ["Lorenz96", "Lorenz96Tendency"]


@register
@dataclass(frozen=True)
class Lorenz96:
    """The model of Lorenz (1996), on a ring of any number of sites.

    Parameters
    ----------
    dt : float
        Longest step of the integration, in the units of the time axis (days, of dates).
    scheme : {"rk4", "euler"}
    forcing : float
        F, without units.
    learned : bool
        Whether `fit` finds F, from this value on.

    References
    ----------
    Lorenz 1996, Predictability: a problem partly solved, ECMWF Seminar on Predictability.

    Examples
    --------
    >>> xv.Lorenz96(dt=0.05).forcing
    8.0
    """

    dt: float = 0.05
    scheme: str = "rk4"
    forcing: float = 8.0
    learned: bool = False

    components: ClassVar[None] = None

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""
        check_scheme(self.dt, self.scheme, problems)
        check_finite("forcing", self.forcing, problems)
        check_flag("learned", self.learned, problems)

    def flow(self, interval: float, substeps: int) -> Step:
        """Give the map from states (..., n) to those an interval later."""
        tendency = Lorenz96Tendency(self.forcing, learned=self.learned)
        return Flow(tendency, interval, self.scheme, substeps)


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
