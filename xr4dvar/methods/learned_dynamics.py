"""Dynamics that `fit` finds, in whole or in part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from xr4dvar.arguments import check_count, shown
from xr4dvar.errors import InputError, Problems
from xr4dvar.methods.base import Parameters
from xr4dvar.methods.dynamics import Dynamics, check_scheme, flow_of, is_dynamics
from xr4dvar.methods.own_dynamics import TriesStates

if TYPE_CHECKING:
    from xr4dvar.dynamics.integrators import Flow, Step

__all__ = ["PREFIX", "Corrected", "QuadraticODE", "fitted_flow", "learns", "to_arrays", "without"]

#: Components from which the coefficients of all products are too many.
MOST_COMPONENTS = 60
#: What the weights of a model are called among the arrays of a fit.
PREFIX = "dynamics."


@dataclass(frozen=True)
class QuadraticODE:
    """An equation that is learned, ``dx/dt = c + A x + B(x, x)``: the bilinear model.

    `fit` finds all coefficients, from a target or from the observations; `Model.coefficients`
    gives them.

    Parameters
    ----------
    dt : float
        Longest step of the integration, in the units of the time axis (days, of dates).
    scheme : {"rk4", "euler"}
    components : int, optional
        Numbers of a state; default: those of the data.

    References
    ----------
    Fablet, Ouala and Herzet 2018, https://arxiv.org/abs/1712.07003

    Examples
    --------
    >>> ds = xv.datasets.lorenz63(windows=3, steps=100)
    >>> method = xv.FourDVar(xv.QuadraticODE(dt=0.01), error_variance=2.0)
    >>> model = ds.obs.fourdvar.fit(method, target=ds.truth)
    >>> found = model.coefficients
    >>> round(float(found.linear.sel(component="y", of="x")), 1)
    28.0
    >>> round(float(found.quadratic.sel({"component": "z", "of": "x", "with": "y"})), 2)
    1.0
    """

    dt: float
    scheme: str = "rk4"
    components: int | None = None

    learned: ClassVar[bool] = True

    def check(self, problems: Problems) -> None:
        """Note every setting that cannot be used."""
        check_scheme(self.dt, self.scheme, problems)
        _check_components(self.components, problems)

    def flow(self, interval: float, substeps: int) -> Step:
        """Give the map from states (..., n) to those an interval later: at first, to themselves."""
        from xr4dvar.dynamics import Flow, QuadraticTendency, Scaled

        n = _known_components(self)
        if n > MOST_COMPONENTS:
            what = (
                f"QuadraticODE has {n * (n + 1) * (n + 2) // 2:,} coefficients for {n} components"
            )
            fix = f"give at most {MOST_COMPONENTS}, such as amplitudes of the leading patterns"
            raise InputError([(what, fix)])
        tendency = Scaled(QuadraticTendency(n), n, 1 / interval)
        return Flow(tendency, interval, self.scheme, substeps)


@dataclass(frozen=True)
class Corrected:
    """A known model and what is learned of its error: ``dx/dt = f(x) + g(x)``.

    g is a network of one hidden layer, ``V tanh(W x + b)``. Where the known model has parameters
    that are learned, they are found together with it.

    Parameters
    ----------
    known : Dynamics
        Gives f, and the scheme and its step.
    hidden : int
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
    hidden: int = 16
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
        check_count("hidden", self.hidden, problems)
        _check_components(self.components, problems)
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
        from xr4dvar.dynamics import CorrectedTendency, Flow, Perceptron, Scaled

        n = _known_components(self)
        known = flow_of(self.known, interval, n)
        if not isinstance(known, Flow):
            what = f"{type(self.known).__name__} has no rates of change that could be corrected"
            raise InputError([(what, "give a model such as Lorenz63 or ODE")])
        correction = Scaled(Perceptron(n, self.hidden), n, 1 / interval)
        tendency = CorrectedTendency(known.tendency, correction)
        return Flow(tendency, interval, known.scheme, substeps)


def _check_components(value: object, problems: Problems) -> None:
    if value is not None:
        check_count("components", value, problems)


def _known_components(dynamics: QuadraticODE | Corrected) -> int:
    if dynamics.components is None:
        what = f"{type(dynamics).__name__} does not know the components of a state"
        raise InputError([(what, "give components=")])
    return dynamics.components


def learns(dynamics: object) -> bool:
    """Whether `fit` has something to find.

    Examples
    --------
    >>> from xr4dvar.methods.learned_dynamics import learns
    >>> learns(xv.Lorenz63()), learns(xv.Lorenz63(learned=True)), learns(xv.QuadraticODE(0.01))
    (False, True, True)
    """
    return bool(getattr(dynamics, "learned", False))


def to_arrays(flow: Flow) -> dict[str, np.ndarray]:
    """What a fit has found, as arrays of `Parameters`."""
    return {PREFIX + name: value.cpu().numpy() for name, value in flow.state_dict().items()}


def fitted_flow(dynamics: Dynamics, parameters: Parameters) -> Step:
    """The model from one time of the data to the next, with what `fit` has found."""
    import torch

    size = parameters.arrays["climate"].shape[1]
    step = flow_of(dynamics, parameters.settings["spacing"], size)
    weights = without(PREFIX, parameters.arrays)
    if isinstance(step, torch.nn.Module) and weights:
        step.load_state_dict({name: torch.as_tensor(value) for name, value in weights.items()})
        step.requires_grad_(False)
    return step


def without(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What is called so, without the prefix."""
    return {
        name.removeprefix(prefix): value
        for name, value in arrays.items()
        if name.startswith(prefix)
    }
