"""A known model and what is learned of its error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from xr4dvar.arguments import check_count, shown
from xr4dvar.dynamics.integrators import Flow, Step, Tendency
from xr4dvar.dynamics.linear import linearise
from xr4dvar.dynamics.model import (
    Dynamics,
    TriesStates,
    check_components,
    flow_of,
    is_dynamics,
    known_components,
)
from xr4dvar.dynamics.scaled import Scaled
from xr4dvar.errors import InputError, Problems
from xr4dvar.registry import register
from xr4dvar.renaming import renamed

__all__ = ["Corrected", "CorrectedTendency", "Perceptron"]


@register
@renamed(hidden="width")
@dataclass(frozen=True)
class Corrected:
    """A known model and what is learned of its error: ``dx/dt = f(x) + g(x)``.

    g is a network of one hidden layer, ``V tanh(W x + b)``. Where the known model has parameters
    that are learned, they are found together with it.

    Parameters
    ----------
    known : Dynamics
        Gives f, and the scheme and its step.
    width : int
        Functions ``tanh`` of the network.
    components : int, optional
        Numbers of a state; default: those of the known model, or of the data.

    References
    ----------
    Levine and Stuart 2022, https://doi.org/10.1090/cams/10

    Examples
    --------
    >>> xv.Corrected(xv.Lorenz63(dt=0.01, rho=26.0)).dt
    0.01
    """

    known: Dynamics
    width: int = 16
    components: int | None = None

    learned: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.components is None and is_dynamics(self.known):
            object.__setattr__(self, "components", self.known.components)

    @property
    def dt(self) -> float:
        """Longest step, in the units of the time axis: that of the known model."""
        return self.known.dt

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""
        check_count("width", self.width, problems)
        check_components(self.components, problems)
        if is_dynamics(self.known):
            self.known.check(problems)
        else:
            fix = "give a model, such as xr4dvar.Lorenz63()"
            problems.add(f"known is {shown(self.known)}", fix)

    def check_states(self, size: int, spacing: float, problems: Problems) -> None:
        """Note what goes wrong with the known model."""
        if isinstance(self.known, TriesStates):
            self.known.check_states(size, spacing, problems)

    def flow(self, interval: float, substeps: int) -> Step:
        """Give the map from states (..., n) to those an interval later: at first, as known."""
        n = known_components(self)
        known = flow_of(self.known, interval, n)
        if not isinstance(known, Flow):
            what = f"{type(self.known).__name__} has no rates of change that could be corrected"
            raise InputError([(what, "give a model such as Lorenz63 or ODE")])
        correction = Scaled(Perceptron(n, self.width), n, 1 / interval)
        tendency = CorrectedTendency(known.tendency, correction)
        return Flow(tendency, interval, known.scheme, substeps)


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
    width : int
        Functions ``tanh``.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.dynamics import Perceptron
    >>> Perceptron(3, width=8)(torch.ones(5, 3)).abs().max().item()
    0.0
    """

    def __init__(self, n: int, width: int):
        super().__init__()
        # of its own: the same each time, and the global random numbers are not touched
        generator = torch.Generator().manual_seed(0)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, dtype=torch.float64, generator=generator)

        self.weight = nn.Parameter(normal(width, n) / n**0.5)
        self.bias = nn.Parameter(normal(width))
        self.out = nn.Parameter(torch.zeros(n, width, dtype=torch.float64))

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
