"""The error of maps made by optimal interpolation."""

from __future__ import annotations

import numpy as np
import torch

from xr4dvar.covariance import analysis_error
from xr4dvar.methods.base import ErrorSolver, Parameters, Patches
from xr4dvar.methods.oi_solve import errors_of, is_metric, make_solver, places_of, priors_of
from xr4dvar.types import FloatArray

__all__ = ["make_error_solver"]


def make_error_solver(parameters: Parameters, device: str) -> ErrorSolver:
    """Give the function from patches to maps and the standard deviations of their errors.

    The error depends on where the observations are and on how precise they are, not on their
    values, and is as good as the covariance. The error of the mean is not part of it.
    """
    variables = parameters.settings["variables"]
    maps = make_solver(parameters, device)
    prior_of = priors_of("cpu")

    def solve(patches: Patches) -> tuple[FloatArray, FloatArray]:
        result = np.empty_like(patches.y)
        for v, variable in enumerate(variables):
            errors = errors_of(patches, variable, v)
            for n, y in enumerate(patches.y[:, v]):
                prior = prior_of(variable, places_of(patches, n, is_metric(variable)))
                variance = analysis_error(torch.as_tensor(np.isfinite(y)), errors[n], prior)
                result[n, v] = variance.sqrt().numpy()
        return maps(patches), result

    return solve
