"""The systems: one folder a named method; here all that model files and users name."""

from __future__ import annotations

from xr4dvar.contract.closed_axes import ClosesAxes, check_periods, closing
from xr4dvar.contract.engine import Engine, can
from xr4dvar.contract.method import (
    Describes,
    FitOptions,
    KnowsStates,
    Method,
    Parameters,
    TakesMoments,
    Window,
    check_method,
    knows_states,
)
from xr4dvar.contract.patches import Curves, Patches, Points
from xr4dvar.dynamics import (
    ODE,
    Corrected,
    DiscreteModel,
    Dynamics,
    Lorenz63,
    Lorenz96,
    QuadraticODE,
)
from xr4dvar.methods.dan.config import DataAssimilationNetwork
from xr4dvar.methods.fourdvar.config import FourDVar
from xr4dvar.methods.fourdvar.cycled import CycledFourDVar
from xr4dvar.methods.fourdvarnet.config import FourDVarNet
from xr4dvar.methods.linear_interpolation import LinearInterpolation
from xr4dvar.methods.oi.config import OptimalInterpolation
from xr4dvar.methods.variational.config import Variational
from xr4dvar.priors import AutoEncoder, Denoiser, EOFs, GibbsField
from xr4dvar.registry import from_config, to_config
from xr4dvar.training_options import Training

__all__ = [
    "ODE",
    "AutoEncoder",
    "ClosesAxes",
    "Corrected",
    "Curves",
    "CycledFourDVar",
    "DataAssimilationNetwork",
    "Denoiser",
    "Describes",
    "DiscreteModel",
    "Dynamics",
    "EOFs",
    "Engine",
    "FitOptions",
    "FourDVar",
    "FourDVarNet",
    "GibbsField",
    "KnowsStates",
    "LinearInterpolation",
    "Lorenz63",
    "Lorenz96",
    "Method",
    "OptimalInterpolation",
    "Parameters",
    "Patches",
    "Points",
    "QuadraticODE",
    "TakesMoments",
    "Training",
    "Variational",
    "Window",
    "can",
    "check_method",
    "check_periods",
    "closing",
    "from_config",
    "knows_states",
    "to_config",
]
