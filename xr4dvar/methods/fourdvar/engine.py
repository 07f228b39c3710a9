"""Fitting 4DVar (its climate) and solving with it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from xr4dvar.contract.method import Parameters
from xr4dvar.contract.patches import Curves, Patches
from xr4dvar.contract.states import spacing_of
from xr4dvar.contract.training_data import TrainingData
from xr4dvar.cost.chain import from_states
from xr4dvar.covariance.matrix import CovarianceMatrix
from xr4dvar.dynamics.climate import free_run
from xr4dvar.dynamics.model import flow_of
from xr4dvar.errors import InputError
from xr4dvar.methods.fourdvar.assimilation import Assimilation, check_found
from xr4dvar.training.device import choose_device
from xr4dvar.types import FloatArray

if TYPE_CHECKING:
    from xr4dvar.methods.fourdvar.config import FourDVar

__all__ = [
    "FourDVarEngine",
    "states_beforehand",
    "states_of",
]


#: Terms of the cost, in their order; the last one is that of the weak constraint.
TERMS = ("observations", "background", "model")


def states_beforehand(method: FourDVar, spacing: float, size: int, seed: int) -> Parameters:
    """Take the climate from a free run of the model, or draw it from the background."""
    if method.background_state is None:
        step = flow_of(method.dynamics, spacing, size)
        return _parameters(spacing, free_run(step, size, method.climate, seed))
    variance = method.background_error_variance
    covariance = CovarianceMatrix(1.0 if variance is None else variance, size)
    drawn = np.random.default_rng(seed).standard_normal((method.climate, size))
    anomalies = covariance.colour(torch.from_numpy(drawn)).numpy()
    return _parameters(spacing, np.asarray(method.background_state, dtype=np.float64) + anomalies)


def states_of(method: FourDVar, data: TrainingData, seed: int) -> Parameters:
    """Take the climate from the target's states of the training period."""
    generator = np.random.default_rng(seed)
    whole = data.sizes(data.train)
    found: list[FloatArray] = []
    entries = math.prod(data.shape[: len(data.shape) - len(whole)])
    for _ in range(min(entries, method.climate)):
        target = data.block(data.train_box(whole, generator), generator).target
        found.append(np.moveaxis(target, 1, 0).reshape(target.shape[1], -1))
    states = np.concatenate(found)
    states = states[np.isfinite(states).all(1)]
    if len(states) < 2:
        what = "the target has hardly a time at which all components are known"
        raise InputError([(what, "leave target out: the model's own climate is then taken")])
    chosen = generator.permutation(len(states))[: method.climate]
    return _parameters(spacing_of(data.grid, method.dynamics), states[chosen])


def _parameters(spacing: float, states: FloatArray) -> Parameters:
    return Parameters({"spacing": spacing}, {"climate": np.asarray(states, dtype=np.float64)})


class FourDVarEngine:
    """4DVar with a fitted climate, over whole windows."""

    def __init__(self, method: FourDVar, parameters: Parameters, device: str):
        self.assimilation = Assimilation(method, parameters, choose_device(device))

    def maps(self, patches: Patches) -> FloatArray:
        """Complete windows."""
        assimilation = self.assimilation
        return assimilation.within(assimilation.analysis(assimilation.batch(patches)))

    def errors(self, patches: Patches) -> tuple[FloatArray, FloatArray]:
        """Maps and the standard deviations of their errors.

        The curvature of the cost at its minimum (Laplace): too small where there are other minima.
        """
        assimilation = self.assimilation
        batch = assimilation.batch(patches)
        x = assimilation.analysis(batch)
        last = assimilation.stages[-1]
        found = last.solver.covariances(last.cost, batch, x).diagonal(dim1=-2, dim2=-1)
        return assimilation.within(x), assimilation.within(from_states(found.sqrt(), x))

    def curves(self, patches: Patches) -> Curves:
        """Costs of windows.

        Those of the last descent, with the model error as given, from the first guess whose
        minimum is kept.
        """
        assimilation = self.assimilation
        batch = assimilation.batch(patches)
        found = [assimilation.curve(batch.take(part)) for part in assimilation.parts(batch)]
        terms, norms, evidence = (torch.cat(parts) for parts in zip(*found, strict=True))
        check_found(evidence)
        each = terms.movedim(-1, 0).cpu().numpy()
        return Curves(dict(zip(TERMS, each, strict=False)), norms.cpu().numpy())

    def members(self, patches: Patches, count: int, seed: int) -> FloatArray:
        """Draw from the posterior."""
        from xr4dvar.methods.fourdvar.ensemble import draw_members

        return draw_members(self.assimilation, patches, count, seed)
