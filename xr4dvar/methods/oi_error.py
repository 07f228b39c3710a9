"""The error of maps made by optimal interpolation."""

from __future__ import annotations

import numpy as np
import torch

from xr4dvar.covariance import analysis_error
from xr4dvar.methods.base import ErrorSolver, Parameters, Patches
from xr4dvar.methods.oi_solve import covariance_of, make_solver, positions_of
from xr4dvar.types import FloatArray

__all__ = ["make_error_solver"]


def make_error_solver(parameters: Parameters, device: str) -> ErrorSolver:
    """Give the function from patches to maps and the standard deviations of their errors.

    The error depends on where the observations are and on how precise they are, not on their
    values, and is as good as the covariance. The error of the mean is not part of it.
    """
    variables = parameters.settings["variables"]
    covariances = [covariance_of(variable) for variable in variables]
    maps = make_solver(parameters, device)

    def solve(patches: Patches) -> tuple[FloatArray, FloatArray]:
        result = np.empty(patches.y.shape, np.float32)
        for v, (variable, covariance) in enumerate(zip(variables, covariances, strict=True)):
            for n, y in enumerate(patches.y[:, v]):
                errors: float | torch.Tensor = variable["error_variance"]
                if patches.error_variance is not None:
                    errors = torch.as_tensor(patches.error_variance[n, v])
                observed = torch.as_tensor(np.isfinite(y))
                variance = analysis_error(observed, errors, positions_of(patches, n), covariance)
                result[n, v] = variance.sqrt().numpy()
        return maps(patches), result

    return solve
