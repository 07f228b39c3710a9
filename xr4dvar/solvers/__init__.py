"""Solvers of the variational problem, and the loop that drives them.

A solver is a module with two methods. ``init(cost, batch, x)`` gives the first state, at an
estimate or else at zero; ``step(cost, batch, state, differentiable=...)`` gives the next one.
``state.x`` is the current estimate. The state is passed in and returned, never kept on the solver.
"""

from xr4dvar.solvers.adam import Adam as Adam
from xr4dvar.solvers.curve import CostCurve as CostCurve
from xr4dvar.solvers.curve import cost_curve as cost_curve
from xr4dvar.solvers.each_step import EachStep as EachStep
from xr4dvar.solvers.fixed_point import FixedPoint as FixedPoint
from xr4dvar.solvers.gauss_newton import GaussNewton as GaussNewton
from xr4dvar.solvers.gradient import GradientDescent as GradientDescent
from xr4dvar.solvers.gradient import LearnedDescent as LearnedDescent
from xr4dvar.solvers.lbfgs import LBFGS as LBFGS
from xr4dvar.solvers.learned import LearnedSolver as LearnedSolver
from xr4dvar.solvers.loop import State as State
from xr4dvar.solvers.loop import minimise as minimise
from xr4dvar.solvers.newton_cg import GaussNewtonCG as GaussNewtonCG
from xr4dvar.solvers.plug_and_play import PlugAndPlay as PlugAndPlay
from xr4dvar.solvers.shooting import Shooting as Shooting
from xr4dvar.solvers.words import find_solver as find_solver
from xr4dvar.solvers.words import solver_words as solver_words

__all__ = [
    "LBFGS",
    "Adam",
    "CostCurve",
    "EachStep",
    "FixedPoint",
    "GaussNewton",
    "GaussNewtonCG",
    "GradientDescent",
    "LearnedDescent",
    "LearnedSolver",
    "PlugAndPlay",
    "Shooting",
    "State",
    "cost_curve",
    "find_solver",
    "minimise",
    "solver_words",
]
