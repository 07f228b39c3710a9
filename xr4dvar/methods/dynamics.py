"""Dynamics as configuration: which model, which scheme, which step."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeGuard, runtime_checkable

from xr4dvar.arguments import check_choice, check_finite, check_flag, check_number
from xr4dvar.errors import Problems

if TYPE_CHECKING:
    from xr4dvar.dynamics.integrators import Step

__all__ = [
    "Dynamics",
    "Lorenz63",
    "Lorenz96",
    "check_scheme",
    "flow_of",
    "is_dynamics",
]


@runtime_checkable
class Dynamics(Protocol):
    """What moves a state on in time: what a model of your own has to be.

    A frozen dataclass with these four members can be given wherever `Lorenz63` can. For a plain
    function there are `ODE` and `StepMap`.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Decay:
    ...     rate: float
    ...     dt: float = 0.1
    ...     components = None
    ...
    ...     def check(self, problems):
    ...         if self.rate <= 0:
    ...             problems.add(f"rate is {self.rate}", "use a number above 0")
    ...
    ...     def flow(self, interval, substeps):
    ...         return lambda x: x * (1 - self.rate * interval / substeps) ** substeps
    >>> isinstance(Decay(0.5), xv.Dynamics)
    True
    """

    @property
    def dt(self) -> float:
        """Longest step, in the units of the time axis."""

    @property
    def components(self) -> int | None:
        """Numbers of a state; None for any."""

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""

    def flow(self, interval: float, substeps: int) -> Step:
        """Give the map from states (..., n) to those an interval later, of torch."""


def is_dynamics(value: object) -> TypeGuard[Dynamics]:
    """Whether a value is a model: one of its classes is none yet."""
    return not isinstance(value, type) and isinstance(value, Dynamics)


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
        from xr4dvar.dynamics import Flow, Lorenz63Tendency

        tendency = Lorenz63Tendency(self.sigma, self.rho, self.beta, learned=self.learned)
        return Flow(tendency, interval, self.scheme, substeps)


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
        from xr4dvar.dynamics import Flow, Lorenz96Tendency

        tendency = Lorenz96Tendency(self.forcing, learned=self.learned)
        return Flow(tendency, interval, self.scheme, substeps)


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
