"""Solvers of the variational problem, and the loop that drives them.

A solver is a module with two methods. ``init(cost, batch)`` gives the first state,
``step(cost, batch, state, differentiable=...)`` the next one; ``state.x`` is the current
estimate. The state is passed in and returned, never kept on the solver.
"""

from xr4dvar.solvers.adam import Adam as Adam
from xr4dvar.solvers.gauss_newton import GaussNewton as GaussNewton
from xr4dvar.solvers.gradient import GradientDescent as GradientDescent
from xr4dvar.solvers.lbfgs import LBFGS as LBFGS
from xr4dvar.solvers.learned import LearnedSolver as LearnedSolver
from xr4dvar.solvers.loop import State as State
from xr4dvar.solvers.loop import minimise as minimise
from xr4dvar.solvers.shooting import Shooting as Shooting

__all__ = [
    "LBFGS",
    "Adam",
    "GaussNewton",
    "GradientDescent",
    "LearnedSolver",
    "Shooting",
    "State",
    "minimise",
]
