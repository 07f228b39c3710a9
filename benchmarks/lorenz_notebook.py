"""4DVar as the course notebooks do it: weights by hand, gradient descent by autograd.

Weak constraint with 0.99 for the model and 0.01 for the observations, sums of squares, from linear
interpolation, by 20,000 gradient steps of a fixed size; and to convergence, by Gauss-Newton.
"""

from __future__ import annotations

import torch
import xarray as xr

import xr4dvar as xv
from xr4dvar.cost.batch import Batch
from xr4dvar.cost.chain import ModelErrorTerm, StateObservationTerm
from xr4dvar.cost.cost import Cost
from xr4dvar.covariance.matrix import CovarianceMatrix
from xr4dvar.dynamics import Flow, Lorenz63Tendency
from xr4dvar.solvers import GaussNewton, GradientDescent, State, minimise

#: Weights of the squares as variances, ``w d^2 = d^2 / (2 variance)``.
R, Q = 1 / (2 * 0.01), 1 / (2 * 0.99)
STEP_SIZE, STEPS = 0.2, 20_000


def notebook_cost(scheme: str) -> Cost:
    """Half the sum of squares over these variances is the notebooks' cost."""
    step = Flow(Lorenz63Tendency(), 0.01, scheme)
    return Cost(
        [
            StateObservationTerm(CovarianceMatrix(R, 3)),
            ModelErrorTerm(step, CovarianceMatrix(Q, 3)),
        ]
    )


def climate_mean(obs: xr.DataArray) -> xr.DataArray:
    """Mean state of other windows."""
    if "site" in obs.dims:
        return xv.datasets.lorenz96(50, seed=1).truth.mean()
    return xv.datasets.lorenz63(200, seed=1).truth.mean(("window", "time"))


def linear(obs: xr.DataArray) -> xr.DataArray:
    """Interpolate anomalies to the climate in time; what is never seen has its mean."""
    mean = climate_mean(obs)
    anomalies = (obs - mean).fourdvar.reconstruct(xv.LinearInterpolation())
    return anomalies.where(obs.notnull().any("time"), 0.0) + mean


def notebook_start(obs: xr.DataArray) -> tuple[Batch, torch.Tensor]:
    """Observations, and their linear interpolation in time."""
    order = ("window", "time", "component")
    y, x = (a.transpose(*order).values[:, None, :, None] for a in (obs, linear(obs)))
    return Batch.from_gappy(torch.from_numpy(y)), torch.from_numpy(x)


def notebook_4dvar(obs: xr.DataArray, scheme: str, solver: str = "descent") -> xr.DataArray:
    """Minimise from linear interpolation, and give the states back with their labels."""
    batch, x = notebook_start(obs)
    cost = notebook_cost(scheme)
    if solver == "descent":
        found = minimise(cost, GradientDescent(STEP_SIZE), batch, STEPS, start=State(x)).x
    else:
        method = GaussNewton(tolerance=1e-8)
        found = minimise(cost, method, batch, 500, start=method.init(cost, batch, x)).x
    values = obs.transpose("window", "time", "component").copy(data=found[:, 0, :, 0].numpy())
    return values.transpose(*obs.dims)
