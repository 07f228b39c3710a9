"""What a model of the dynamics is: its step, its components, and the flow that they give."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass, replace
from typing import Any, Protocol, TypeGuard, runtime_checkable

from xr4dvar.arguments import check_choice, check_count, check_number
from xr4dvar.dynamics.integrators import Step
from xr4dvar.errors import InputError, Problems

__all__ = [
    "Dynamics",
    "TriesStates",
    "check_components",
    "check_scheme",
    "flow_of",
    "is_dynamics",
    "known_components",
]


@runtime_checkable
class Dynamics(Protocol):
    """What moves a state on in time: what a model of your own has to be.

    A frozen dataclass with these four members can be given wherever `Lorenz63` can. For a plain
    function there are `ODE` and `DiscreteModel`.

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


@runtime_checkable
class TriesStates(Protocol):
    """A model that is tried on states like those of the data before it is used."""

    def check_states(self, size: int, spacing: float, problems: Problems) -> None:
        """Note what goes wrong with states of `size` numbers, `spacing` apart."""


def is_dynamics(value: object) -> TypeGuard[Dynamics]:
    """Whether a value is a model: one of its classes is none yet."""
    return not isinstance(value, type) and isinstance(value, Dynamics)


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


def check_components(value: object, problems: Problems) -> None:
    """Note components that are given and no count."""
    if value is not None:
        check_count("components", value, problems)


def known_components(dynamics: Dynamics) -> int:
    """Numbers of a state of a model that is made for so many.

    Raises
    ------
    InputError
        They are not given.
    """
    if dynamics.components is None:
        what = f"{type(dynamics).__name__} does not know the components of a state"
        raise InputError([(what, "give components=")])
    return dynamics.components
