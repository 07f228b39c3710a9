"""Dynamics that the user brings along, as a function: rates of change, or a map over one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from xr4dvar.arguments import check_flag, check_number, shown
from xr4dvar.errors import Problems
from xr4dvar.methods.dynamics import check_scheme

if TYPE_CHECKING:
    from torch import Tensor

    from xr4dvar.dynamics.integrators import Step

__all__ = ["ODE", "StepMap", "TriesStates", "try_on"]

#: A step may differ from what it should be by this share: a spacing of 0.1 is no exact number.
ROUNDING = 1e-6


@runtime_checkable
class TriesStates(Protocol):
    """A model that is tried on states like those of the data before it is used."""

    def check_states(self, size: int, spacing: float, problems: Problems) -> None:
        """Note what goes wrong with states of `size` numbers, `spacing` apart."""


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
        _check_function("tendency", self.tendency, self.learned, fix, problems)

    def check_states(self, size: int, spacing: float, problems: Problems) -> None:
        """Note a function that does not work on states of `size` numbers."""
        _try_on(self.tendency, "tendency", "a rate of change", size, problems)

    def flow(self, interval: float, substeps: int) -> Step:
        """Give the map from states (..., n) to those an interval later."""
        from xr4dvar.dynamics import Flow, OwnFunction

        return Flow(OwnFunction(self.tendency, self.learned), interval, self.scheme, substeps)


@dataclass(frozen=True)
class StepMap:
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
    >>> xv.StepMap(lambda x: 0.9 * x, dt=1.0).dt
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
        _check_function("step", self.step, self.learned, fix, problems)

    def check_states(self, size: int, spacing: float, problems: Problems) -> None:
        """Note a spacing that steps do not come to, and a function that does not work on states."""
        steps = spacing / self.dt
        if abs(steps - max(1, round(steps))) > ROUNDING * steps:
            problems.add(
                f"the times are {spacing:g} apart, no whole number of steps of {self.dt:g}",
                "put the observations on a finer axis with obs.reindex(...), give a map over this "
                "spacing, or, of an equation, xr4dvar.ODE",
            )
        _try_on(self.step, "step", "a state", size, problems)

    def flow(self, interval: float, substeps: int) -> Step:
        """Give the map from states (..., n) to those an interval later."""
        from xr4dvar.dynamics import OwnFunction, Repeated

        return Repeated(OwnFunction(self.step, self.learned), round(interval / self.dt))


def _check_function(
    name: str, function: object, learned: object, fix: str, problems: Problems
) -> None:
    check_flag("learned", learned, problems)
    if not callable(function) or isinstance(function, type):
        problems.add(f"{name} is {shown(function)}, not a function", fix)
    elif learned is True:
        from torch.nn import Module

        known = function.parameters() if isinstance(function, Module) else ()
        if not any(p.requires_grad for p in known):
            what = f"learned is True, and {name} is no module of torch with parameters to learn"
            problems.add(what, "give a torch.nn.Module, or learned=False")


def _try_on(
    function: Callable[[Tensor], Tensor], name: str, gives: str, size: int, problems: Problems
) -> None:
    from xr4dvar.dynamics import OwnFunction

    fix = f"give {gives} for each component; components are the last dimension, x[..., i]"
    try_on(OwnFunction(function), name, fix, size, problems)


def try_on(
    function: Callable[[Tensor], Tensor], name: str, fix: str, size: int, problems: Problems
) -> None:
    """Note what fails on states, mixes them, has no derivative, or gives not one for each."""
    import torch

    states = torch.linspace(0.1, 0.9, 6 * size, dtype=torch.float64).reshape(2, 3, size)
    where = f"states of shape {tuple(states.shape)}, torch.float64"
    try:
        with torch.enable_grad():
            found = function(states.clone().requires_grad_())
        with torch.no_grad():
            again, alone, other = (function(x) for x in (states, states[1:, 2:], 1.01 * states))
    except Exception as error:  # whatever the user's code may raise
        problems.add(f"{name} fails on {where} ({type(error).__name__}: {error})", fix)
        return
    given: object = found
    if not isinstance(given, torch.Tensor):
        problems.add(f"{name} gives {type(given).__name__} of {where}", fix)
    elif found.shape != states.shape:  # would be broadcast, and pass for a model
        problems.add(f"{name} gives states of shape {tuple(found.shape)} of {where}", fix)
    elif not torch.allclose(found, again, rtol=1e-4, equal_nan=True):
        problems.add(f"{name} is random", "let it give the same each time, as module.eval() does")
    elif not torch.allclose(again[1:, 2:], alone, rtol=1e-4, equal_nan=True):
        what = f"{name} gives something else of a state when there are others beside it"
        problems.add(what, "let it treat each state by itself")
    elif not found.requires_grad and not torch.equal(again, other):
        what = f"torch cannot differentiate {name}"
        problems.add(what, "write it in torch all through, without detach() or numpy")
