"""Finding the dynamics of 4DVar: from a target, or by assimilating the observations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from xr4dvar.contract.method import FitOptions, Parameters
from xr4dvar.contract.patches import Patches
from xr4dvar.contract.states import spacing_of
from xr4dvar.contract.training_data import TrainingData
from xr4dvar.cost.chain import to_states
from xr4dvar.covariance.matrix import CovarianceMatrix
from xr4dvar.dynamics import Flow
from xr4dvar.dynamics.climate import free_run
from xr4dvar.dynamics.identification import horizon, learned_parameters
from xr4dvar.dynamics.learned import to_arrays
from xr4dvar.methods.fourdvar.assimilation import Assimilation
from xr4dvar.methods.fourdvar.engine import states_of
from xr4dvar.training.identification import (
    SHORT,
    component_names,
    first_flow,
    flow_from_target,
    match,
    polynomial_of,
    training_windows,
)

if TYPE_CHECKING:
    from xr4dvar.methods.fourdvar.config import FourDVar

__all__ = ["identify_dynamics"]

#: Rounds of assimilation and identification, and the change of a parameter that ends them.
ROUNDS, SETTLED = 5, 1e-3
#: Model error of the assimilation by a model that is not known yet: a share of what a step changes.
LOOSE = 1e-2


def identify_dynamics(method: FourDVar, data: TrainingData, options: FitOptions) -> Parameters:
    """Find what the method's dynamics learn, and their climate."""
    if data.supervised:
        flow = flow_from_target(method.dynamics, data, options.seed)
        climate = states_of(method, data, options.seed).arrays["climate"]
    else:
        flow, states = _from_observations(method, data, options)
        climate = _climate(method, flow, states, options.seed).numpy()
    settings = {
        "spacing": spacing_of(data.grid, method.dynamics),
        "components": component_names(data),
    }
    return Parameters(settings, {"climate": climate, **to_arrays(flow)})


def _from_observations(
    method: FourDVar, data: TrainingData, options: FitOptions
) -> tuple[Flow, Tensor]:
    """Assimilate, find the parameters, and assimilate again with those, until they settle.

    The hard form of expectation and maximisation, with weak-constraint 4DVar as in Bocquet et al.
    2020, https://doi.org/10.3934/fods.2020004; the second part fits trajectories of the exact
    model to the observations, so that nothing of the parameters before is left in it.
    """
    y = training_windows(data, options.seed)
    flow, states = first_flow(method.dynamics, data, y)
    error = CovarianceMatrix(method.error_variance, y.shape[-1], "error_variance")
    weight = torch.isfinite(y) / error.matrix().diagonal()
    for _ in range(ROUNDS):
        before = [p.detach().clone() for p in learned_parameters(flow).values()]
        climate = _climate(method, flow, states, options.seed)
        states = _assimilated(method, data, flow, y, climate)
        known = climate.mean(0), torch.linalg.inv(torch.cov(climate.T).reshape(y.shape[-1], -1))
        states = match(flow, states, y, weight, known, max(SHORT, horizon(flow, states) // 4))
        now = learned_parameters(flow).values()
        pairs = zip(now, before, strict=True)
        if all(bool(((p - q).abs() <= SETTLED * q.abs()).all()) for p, q in pairs):
            break
    return flow, states


def _climate(method: FourDVar, flow: Flow, states: Tensor, seed: int) -> Tensor:
    """States that the model visits (N, n): those of a free run.

    Of a model that is all learned, those of the windows: it need not be good enough to run yet.
    """
    if polynomial_of(flow) is None:
        return torch.from_numpy(free_run(flow, states.shape[-1], method.climate, seed))
    every = states.flatten(0, 1)
    chosen = np.random.default_rng(seed).permutation(len(every))[: method.climate]
    return every[torch.from_numpy(chosen)]


def _assimilated(
    method: FourDVar, data: TrainingData, flow: Flow, y: Tensor, climate: Tensor
) -> Tensor:
    """States of the windows (W, T, n) by the model as it is now."""
    with torch.no_grad():
        change = (flow(climate) - climate).var(0)
    # a model that is not right yet is not to be held to; from one start, by relaxation
    loose = replace(method, model_error_variance=(LOOSE * change).tolist(), starts=1, spin_up=0)
    arrays = {"climate": climate.numpy(), **to_arrays(flow)}
    parameters = Parameters({"spacing": data.grid["time"].spacing}, arrays)
    assimilation = Assimilation(loose, parameters, torch.device("cpu"))
    chains = y.movedim(-1, 1)[..., None, None]  # components as variables
    batch = assimilation.batch(Patches(chains.numpy(), {}))
    return to_states(assimilation.analysis(batch))
