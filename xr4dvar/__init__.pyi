# lazy_loader reads this file too: it is the one list of the public names.
from . import datasets, labels, plotting, testing
from .diagnosing import cost_curve
from .errors import InputError, ModelFileError
from .fitting import fit
from .forecasting import forecast
from .holding_out import hold_out
from .labels import mask, observed
from .methods import (
    ODE,
    AutoEncoder,
    Corrected,
    Cycled,
    DataAssimilationNetwork,
    Denoiser,
    Dynamics,
    EOFs,
    FourDVar,
    FourDVarNet,
    LinearInterpolation,
    Lorenz63,
    Lorenz96,
    OptimalInterpolation,
    QuadraticODE,
    StepMap,
    Training,
    TwoScale,
    Variational,
)
from .model import Model
from .options import set_options
from .persistence import load
from .planning import plan
from .points import map_points
from .reconstruction import reconstruct
from .scoring import score
from .version import __version__

__all__ = [
    "ODE",
    "AutoEncoder",
    "Corrected",
    "Cycled",
    "DataAssimilationNetwork",
    "Denoiser",
    "Dynamics",
    "EOFs",
    "FourDVar",
    "FourDVarNet",
    "InputError",
    "LinearInterpolation",
    "Lorenz63",
    "Lorenz96",
    "Model",
    "ModelFileError",
    "OptimalInterpolation",
    "QuadraticODE",
    "StepMap",
    "Training",
    "TwoScale",
    "Variational",
    "__version__",
    "cost_curve",
    "datasets",
    "fit",
    "forecast",
    "hold_out",
    "labels",
    "load",
    "map_points",
    "mask",
    "observed",
    "plan",
    "plotting",
    "reconstruct",
    "score",
    "set_options",
    "testing",
]
