"""Dynamics as configuration: which model, which scheme, which step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from xr4dvar.arguments import check_choice, check_number
from xr4dvar.errors import InputError, Problems
from xr4dvar.labels import Grid

if TYPE_CHECKING:
    from torch import Tensor

    from xr4dvar.dynamics.integrators import Step

__all__ = [
    "ODE",
    "Dynamics",
    "Lorenz63",
    "Lorenz96",
    "check_chain",
    "check_even",
    "check_scheme",
    "components",
    "flow_of",
]


@runtime_checkable
class Dynamics(Protocol):
    """What moves a state on in time."""

    @property
    def dt(self) -> float:
        """Longest step, in the units of the time axis."""

    @property
    def components(self) -> int | None:
        """Numbers of a state; None for any."""

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""

    def flow(self, interval: float, substeps: int) -> Step:
        """Give the map from states (..., n) to those an interval later."""


@dataclass(frozen=True)
class Lorenz63:
    """The convection model of Lorenz (1963), three components.

    Parameters
    ----------
    dt : float
        Longest step of the integration, in the units of the time axis.
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

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""
        check_scheme(self.dt, self.scheme, problems)
        _check_learned(self.learned, problems)

    def flow(self, interval: float, substeps: int) -> Step:
        """Give the map from states (..., 3) to those an interval later."""
        from xr4dvar.dynamics import Flow, Lorenz63Tendency

        tendency = Lorenz63Tendency(self.sigma, self.rho, self.beta, learned=self.learned)
        return Flow(tendency, interval, self.scheme, substeps)


@dataclass(frozen=True)
class Lorenz96:
    """The model of Lorenz (1996), on a ring of any number of sites.

    Parameters
    ----------
    dt : float
        Longest step of the integration, in the units of the time axis.
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
        _check_learned(self.learned, problems)

    def flow(self, interval: float, substeps: int) -> Step:
        """Give the map from states (..., n) to those an interval later."""
        from xr4dvar.dynamics import Flow, Lorenz96Tendency

        tendency = Lorenz96Tendency(self.forcing, learned=self.learned)
        return Flow(tendency, interval, self.scheme, substeps)


@dataclass(frozen=True)
class ODE:
    """Any ordinary differential equation, ``dx/dt = f(x)``.

    Parameters
    ----------
    tendency : callable
        f, a function or module of torch: states (..., n) to their rates of change (..., n). The
        components are those of the data, variables first, then y, then x.
    dt : float
        Longest step of the integration, in the units of the time axis.
    scheme : {"rk4", "euler"}

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

    components: ClassVar[None] = None

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""
        check_scheme(self.dt, self.scheme, problems)
        tendency: object = self.tendency
        if not callable(tendency):
            what = f"tendency is {tendency!r}, not a function"
            problems.add(what, "give f of dx/dt = f(x), such as lambda x: -x")

    def flow(self, interval: float, substeps: int) -> Step:
        """Give the map from states (..., n) to those an interval later."""
        from xr4dvar.dynamics import Flow

        def rates(x: Tensor) -> Tensor:
            found = self.tendency(x)
            if found.shape != x.shape:  # would be broadcast, and pass for a model
                what = f"tendency gives states of shape {tuple(found.shape)} of {tuple(x.shape)}"
                raise InputError([(what, "give a rate of change for each component")])
            return found

        return Flow(rates, interval, self.scheme, substeps)


def components(grid: Grid, names: Sequence[str]) -> int:
    """Numbers of a state: variables times cells."""
    return len(names) * math.prod(grid[role].size for role in grid.roles if role != "time")


def check_chain(dynamics: Dynamics, grid: Grid, names: Sequence[str], problems: Problems) -> bool:
    """Note what keeps the data from being states that the model leads from one to the next.

    Returns
    -------
    bool
        Whether they have the model's components.
    """
    check_even(grid, "a model", problems)
    size, wanted = components(grid, names), dynamics.components
    if wanted is None or wanted == size:
        return True
    problems.add(
        f"{type(dynamics).__name__} has {wanted} components, the data's state {size}",
        'name the dimension that holds them, dims={"x": "component"}, '
        "or give a Dataset of one variable a component",
    )
    return False


def check_even(grid: Grid, who: str, problems: Problems) -> None:
    """Note times that are not there, or not evenly spaced."""
    if "time" not in grid.roles:
        problems.add("the data have no time axis", "name it, dims={'time': ...}")
    elif not grid["time"].uniform:
        name = grid["time"].name
        problems.add(
            f"{name!r} is not evenly spaced, and {who} goes on in even steps",
            f"put the observations on a finer, even axis: obs.reindex({name}=...) "
            "leaves the times between without observations",
        )


def flow_of(dynamics: Dynamics, spacing: float, size: int | None = None) -> Step:
    """The model from one time of the data to the next, in steps of at most dt.

    A model that is made for the components of the data is made for `size` of them.
    """
    settings: Any = dynamics
    made_for = {field.name for field in fields(settings)} if is_dataclass(settings) else set()
    if "components" in made_for and size is not None:
        dynamics = replace(settings, components=size)
    return dynamics.flow(spacing, max(1, math.ceil(spacing / dynamics.dt - 1e-6)))


def check_scheme(dt: object, scheme: object, problems: Problems) -> None:
    """Note a step or a scheme that cannot be used."""
    check_number("dt", dt, problems)
    check_choice("scheme", scheme, ("rk4", "euler"), problems)


def _check_learned(value: object, problems: Problems) -> None:
    if not isinstance(value, bool):
        problems.add(f"learned is {value!r}", "use True or False")
