"""The systems: one file a named method, and what turns them into plain configuration."""

from __future__ import annotations

from xr4dvar.methods.base import (
    Curves,
    CurveSolver,
    Describes,
    EnsembleSolver,
    ErrorSolver,
    FitOptions,
    GivesEnsembles,
    KnowsError,
    KnowsStates,
    MapsPoints,
    Method,
    Parameters,
    Patches,
    Points,
    PointsSolver,
    RecordsCost,
    Solver,
    TakesMoments,
    Window,
    check_method,
    knows_error,
    knows_states,
)
from xr4dvar.methods.closed_axes import ClosesAxes, check_periods, closing
from xr4dvar.methods.configuration import from_config, to_config
from xr4dvar.methods.cycled import Cycled
from xr4dvar.methods.dan import DataAssimilationNetwork
from xr4dvar.methods.dynamics import Dynamics, Lorenz63, Lorenz96
from xr4dvar.methods.fourdvar import FourDVar
from xr4dvar.methods.fourdvarnet import FourDVarNet
from xr4dvar.methods.learned_dynamics import Corrected, QuadraticODE
from xr4dvar.methods.linear_interpolation import LinearInterpolation
from xr4dvar.methods.optimal_interpolation import OptimalInterpolation
from xr4dvar.methods.own_dynamics import ODE, StepMap
from xr4dvar.methods.static_priors import AutoEncoder, Denoiser, EOFs, TwoScale
from xr4dvar.methods.training_options import Training
from xr4dvar.methods.variational import Variational

__all__ = [
    "ODE",
    "AutoEncoder",
    "ClosesAxes",
    "Corrected",
    "CurveSolver",
    "Curves",
    "Cycled",
    "DataAssimilationNetwork",
    "Denoiser",
    "Describes",
    "Dynamics",
    "EOFs",
    "EnsembleSolver",
    "ErrorSolver",
    "FitOptions",
    "FourDVar",
    "FourDVarNet",
    "GivesEnsembles",
    "KnowsError",
    "KnowsStates",
    "LinearInterpolation",
    "Lorenz63",
    "Lorenz96",
    "MapsPoints",
    "Method",
    "OptimalInterpolation",
    "Parameters",
    "Patches",
    "Points",
    "PointsSolver",
    "QuadraticODE",
    "RecordsCost",
    "Solver",
    "StepMap",
    "TakesMoments",
    "Training",
    "TwoScale",
    "Variational",
    "Window",
    "check_method",
    "check_periods",
    "closing",
    "from_config",
    "knows_error",
    "knows_states",
    "to_config",
]
