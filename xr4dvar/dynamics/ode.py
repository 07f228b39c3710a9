"""Any ordinary differential equation, given by its rates of change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from xr4dvar.dynamics.integrators import Flow, Step
from xr4dvar.dynamics.model import check_scheme
from xr4dvar.dynamics.own import OwnFunction, check_function, try_function
from xr4dvar.errors import Problems
from xr4dvar.registry import register

__all__ = ["ODE"]


@register
@dataclass(frozen=True)
class ODE:
    """Any ordinary differential equation, ``dx/dt = f(x)``.

    Parameters
    ----------
    tendency : callable
        f, a function or module of torch: states (..., n) to their rates of change (..., n), each
        by itself, which torch can differentiate. The components are those of the data, variables
        first, then y, then x. States are float64; a module is copied and made so.
    dt : float
        Longest step of the integration, in the units of the time axis (days, of dates).
    scheme : {"rk4", "euler"}
    learned : bool
        Whether `fit` finds the parameters of f, which is a module then, from their values on.

    Notes
    -----
    A model with a function of your own cannot be saved in a file: save its settings and make it
    again.

    Examples
    --------
    >>> xv.ODE(lambda x: -x, dt=0.1).scheme
    'rk4'
    """

    tendency: Callable[[Tensor], Tensor]
    dt: float
    scheme: str = "rk4"
    learned: bool = False

    components: ClassVar[None] = None

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""
        check_scheme(self.dt, self.scheme, problems)
        fix = "give f of dx/dt = f(x), such as lambda x: -x"
        check_function("tendency", self.tendency, self.learned, fix, problems)

    def check_states(self, size: int, spacing: float, problems: Problems) -> None:
        """Note a function that does not work on states of `size` numbers."""
        try_function(self.tendency, "tendency", "a rate of change", size, problems)

    def flow(self, interval: float, substeps: int) -> Step:
        """Give the map from states (..., n) to those an interval later."""
        return Flow(OwnFunction(self.tendency, self.learned), interval, self.scheme, substeps)
