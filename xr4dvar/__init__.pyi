# lazy_loader reads this file too: it is the one list of the public names.
from . import covariates, datasets, labels, operators, plotting, solvers, testing
from .errors import InputError, ModelFileError
from .labels import mask, observed
from .methods import (
    ODE,
    AutoEncoder,
    Corrected,
    CycledFourDVar,
    DataAssimilationNetwork,
    Denoiser,
    DiscreteModel,
    Dynamics,
    EOFs,
    FourDVar,
    FourDVarNet,
    GibbsField,
    LinearInterpolation,
    Lorenz63,
    Lorenz96,
    OptimalInterpolation,
    QuadraticODE,
    Training,
    Variational,
)
from .model import Model
from .observations import Observations
from .options import set_options
from .persistence import load
from .training import losses
from .verbs.cost_curve import cost_curve
from .verbs.fit import fit
from .verbs.forecast import forecast
from .verbs.hold_out import hold_out
from .verbs.map_points import map_points
from .verbs.plan import plan
from .verbs.reconstruct import reconstruct
from .verbs.score import score
from .version import __version__

__all__ = [
    "ODE",
    "AutoEncoder",
    "Corrected",
    "CycledFourDVar",
    "DataAssimilationNetwork",
    "Denoiser",
    "DiscreteModel",
    "Dynamics",
    "EOFs",
    "FourDVar",
    "FourDVarNet",
    "GibbsField",
    "InputError",
    "LinearInterpolation",
    "Lorenz63",
    "Lorenz96",
    "Model",
    "ModelFileError",
    "Observations",
    "OptimalInterpolation",
    "QuadraticODE",
    "Training",
    "Variational",
    "__version__",
    "cost_curve",
    "covariates",
    "datasets",
    "fit",
    "forecast",
    "hold_out",
    "labels",
    "load",
    "losses",
    "map_points",
    "mask",
    "observed",
    "operators",
    "plan",
    "plotting",
    "reconstruct",
    "score",
    "set_options",
    "solvers",
    "testing",
]
