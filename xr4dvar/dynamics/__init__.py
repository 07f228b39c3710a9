"""Dynamics: tendencies ``f(x) = dx/dt``, steps ``x(t) -> x(t + dt)``, trajectories.

A tendency and a step map states of shape (..., n) to states of the same shape. All are
differentiable; none knows a grid, a label or a cost.
"""

from xr4dvar.dynamics.corrected import Corrected as Corrected
from xr4dvar.dynamics.corrected import CorrectedTendency as CorrectedTendency
from xr4dvar.dynamics.corrected import Perceptron as Perceptron
from xr4dvar.dynamics.discrete import DiscreteModel as DiscreteModel
from xr4dvar.dynamics.integrators import SCHEMES as SCHEMES
from xr4dvar.dynamics.integrators import Flow as Flow
from xr4dvar.dynamics.integrators import euler as euler
from xr4dvar.dynamics.integrators import rk4 as rk4
from xr4dvar.dynamics.integrators import trajectory as trajectory
from xr4dvar.dynamics.linear import linearise as linearise
from xr4dvar.dynamics.lorenz63 import Lorenz63 as Lorenz63
from xr4dvar.dynamics.lorenz63 import Lorenz63Tendency as Lorenz63Tendency
from xr4dvar.dynamics.lorenz96 import Lorenz96 as Lorenz96
from xr4dvar.dynamics.lorenz96 import Lorenz96Tendency as Lorenz96Tendency
from xr4dvar.dynamics.model import Dynamics as Dynamics
from xr4dvar.dynamics.ode import ODE as ODE
from xr4dvar.dynamics.own import OwnFunction as OwnFunction
from xr4dvar.dynamics.own import Repeated as Repeated
from xr4dvar.dynamics.quadratic import QuadraticODE as QuadraticODE
from xr4dvar.dynamics.quadratic import QuadraticTendency as QuadraticTendency
from xr4dvar.dynamics.scaled import Scaled as Scaled

__all__ = [
    "ODE",
    "SCHEMES",
    "Corrected",
    "CorrectedTendency",
    "DiscreteModel",
    "Dynamics",
    "Flow",
    "Lorenz63",
    "Lorenz63Tendency",
    "Lorenz96",
    "Lorenz96Tendency",
    "OwnFunction",
    "Perceptron",
    "QuadraticODE",
    "QuadraticTendency",
    "Repeated",
    "Scaled",
    "euler",
    "linearise",
    "rk4",
    "trajectory",
]
