"""Any model that is given as a map over one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from xr4dvar.arguments import check_number
from xr4dvar.dynamics.integrators import Step
from xr4dvar.dynamics.own import OwnFunction, Repeated, check_function, try_function
from xr4dvar.errors import Problems
from xr4dvar.registry import register

__all__ = ["DiscreteModel"]

#: A step may differ from what it should be by this share: a spacing of 0.1 is no exact number.
ROUNDING = 1e-6


@register
@dataclass(frozen=True)
class DiscreteModel:
    """Any model that is given as a map over one step, ``x(t + dt) = M(x(t))``.

    Such as a code that integrates by itself, or an emulator that was trained elsewhere.

    Parameters
    ----------
    step : callable
        M, a function or module of torch: states (..., n) to those one step later, each by itself.
        Components and precision are those of `ODE`.
    dt : float
        The step, in the units of the time axis (days, of dates): the spacing of the data's times
        is a whole number of them.
    learned : bool
        Whether `FourDVarNet` learns the parameters of M, which is a module then, from their
        values on.

    Notes
    -----
    A model with a function of your own cannot be saved in a file: save its settings and make it
    again.

    Examples
    --------
    >>> xv.DiscreteModel(lambda x: 0.9 * x, dt=1.0).dt
    1.0
    """

    step: Callable[[Tensor], Tensor]
    dt: float
    learned: bool = False

    components: ClassVar[None] = None

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""
        check_number("dt", self.dt, problems)
        fix = "give M of x(t + dt) = M(x(t)), such as lambda x: 0.9 * x"
        check_function("step", self.step, self.learned, fix, problems)

    def check_states(self, size: int, spacing: float, problems: Problems) -> None:
        """Note a spacing that steps do not come to, and a function that does not work on states."""
        steps = spacing / self.dt
        if abs(steps - max(1, round(steps))) > ROUNDING * steps:
            problems.add(
                f"the times are {spacing:g} apart, no whole number of steps of {self.dt:g}",
                "put the observations on a finer axis with obs.reindex(...), give a map over this "
                "spacing, or, of an equation, xr4dvar.ODE",
            )
        try_function(self.step, "step", "a state", size, problems)

    def flow(self, interval: float, substeps: int) -> Step:
        """Give the map from states (..., n) to those an interval later."""
        return Repeated(OwnFunction(self.step, self.learned), round(interval / self.dt))
