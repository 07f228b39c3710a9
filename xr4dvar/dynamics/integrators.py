"""Integration in time, as residual networks that share their weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from xr4dvar.dynamics.linear import linearise

__all__ = ["SCHEMES", "Flow", "Step", "Tendency", "euler", "rk4", "trajectory"]

#: ``dx/dt`` of states (..., n).
Tendency: TypeAlias = Callable[[Tensor], Tensor]
#: States (..., n) one step later.
Step: TypeAlias = Callable[[Tensor], Tensor]


def euler(f: Tendency, dt: float) -> Step:
    """Give the first-order step ``x + dt f(x)``."""
    return lambda x: x + dt * f(x)


def rk4(f: Tendency, dt: float) -> Step:
    """Give the classical fourth-order step of Runge and Kutta.

    Examples
    --------
    >>> import torch
    >>> decay = rk4(lambda x: -x, 0.1)
    >>> round(float(decay(torch.ones(1))), 6)
    0.904837
    """

    def step(x: Tensor) -> Tensor:
        k1 = f(x)
        k2 = f(x + 0.5 * dt * k1)
        k3 = f(x + 0.5 * dt * k2)
        k4 = f(x + dt * k3)
        return x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    return step


#: Schemes by name: ``(tendency, dt) -> step``.
SCHEMES: dict[str, Callable[[Tendency, float], Step]] = {"euler": euler, "rk4": rk4}


class Flow(nn.Module):
    """The map from a state to the state an interval later.

    A residual network: every substep adds an increment, and all of them share the tendency and
    its parameters.

    Parameters
    ----------
    tendency : callable
        ``f(x) = dx/dt`` of states (..., n); a module's parameters are those of the flow.
    interval : float
        Time between the states, in the tendency's units.
    scheme : {"rk4", "euler"}
        How a substep is made.
    substeps : int
        Substeps of an interval.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.dynamics import Flow
    >>> flow = Flow(lambda x: -x, interval=1.0, substeps=10)
    >>> round(float(flow(torch.ones(1))), 5)
    0.36788
    """

    def __init__(self, tendency: Tendency, interval: float, scheme: str = "rk4", substeps: int = 1):
        super().__init__()
        self.tendency = tendency
        self.scheme = scheme
        self.interval = interval
        self.substeps = substeps

    def forward(self, x: Tensor) -> Tensor:
        """Map states (..., n) to those an interval later."""
        step = SCHEMES[self.scheme](self.tendency, self.interval / self.substeps)
        for _ in range(self.substeps):
            x = step(x)
        return x

    def linearise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Derivative at states (..., n), shape (..., n, n), and the states after the interval."""
        dt = self.interval / self.substeps
        with torch.no_grad():
            tangent, x = _LINEAR[self.scheme](self.tendency, dt, x)
            for _ in range(self.substeps - 1):
                own, x = _LINEAR[self.scheme](self.tendency, dt, x)
                tangent = own @ tangent
        return tangent, x


def _linear_euler(f: Tendency, dt: float, x: Tensor) -> tuple[Tensor, Tensor]:
    a, k = linearise(f, x)
    return torch.eye(x.shape[-1], dtype=x.dtype, device=x.device) + dt * a, x + dt * k


def _linear_rk4(f: Tendency, dt: float, x: Tensor) -> tuple[Tensor, Tensor]:
    """The chain rule over the four stages, in place: most of the time is that of memory."""
    stage, tendency = linearise(f, x)
    derivative, change = stage.clone(), tendency
    for share, weight in ((0.5, 2.0), (0.5, 2.0), (1.0, 1.0)):
        own, tendency = linearise(f, x + share * dt * tendency)
        stage = _plus_product(own, stage, share * dt)
        derivative.add_(stage, alpha=weight)
        change = change + weight * tendency
    derivative.mul_(dt / 6).diagonal(dim1=-2, dim2=-1).add_(1)
    return derivative, x + dt / 6 * change


def _plus_product(a: Tensor, b: Tensor, factor: float) -> Tensor:
    """``a + factor a b`` of square matrices (..., n, n), in one go."""
    many, other = a.flatten(0, -3), b.flatten(0, -3)
    return torch.baddbmm(many, many, other, alpha=factor).view(a.shape)


_LINEAR = {"euler": _linear_euler, "rk4": _linear_rk4}


def trajectory(step: Step, x0: Tensor, length: int) -> Tensor:
    """States from `x0` (..., n) on, shape (..., length, n); the first one is `x0` itself.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.dynamics import trajectory
    >>> trajectory(lambda x: 2 * x, torch.ones(1), 4)[:, 0].tolist()
    [1.0, 2.0, 4.0, 8.0]
    """
    states = [x0]
    for _ in range(length - 1):
        states.append(step(states[-1]))
    return torch.stack(states, -2)
