"""Solving with `Variational`: the cost of a window, in units of the data's spread."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from xr4dvar.contract.method import Parameters
from xr4dvar.contract.patches import Curves, Patches
from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import BackgroundTerm, Cost, ObservationTerm, PriorTerm, Variance
from xr4dvar.covariance.observed import norm_squared
from xr4dvar.errors import LostPatches
from xr4dvar.methods.variational.prior import make_prior
from xr4dvar.operators.operator import other_fields
from xr4dvar.operators.scaled import InUnits
from xr4dvar.priors import DecodedTerm, GaussianCode
from xr4dvar.priors.denoiser import Denoiser
from xr4dvar.solvers import (
    cost_curve,
    minimise,
)
from xr4dvar.solvers.loop import Solver as CoreSolver
from xr4dvar.solvers.loop import State
from xr4dvar.training.device import choose_device, one_at_a_time
from xr4dvar.types import FloatArray

if TYPE_CHECKING:
    from xr4dvar.methods.variational.config import Variational

__all__ = [
    "Analysis",
    "CodeEngine",
    "CostEngine",
    "StateEngine",
    "errors_of_fields",
    "noise_levels",
]

#: Noise levels of plug and play: the lowest that is worth learning, in units of the spread.
LOWEST = 1e-3


class StateEngine:
    """A fitted prior with its solver, over whole windows."""

    def __init__(self, method: Variational, parameters: Parameters, device: str):
        self.place = choose_device(device)
        self.analysis = Analysis(method, parameters, self.place)

    def maps(self, patches: Patches) -> FloatArray:
        """Complete windows."""
        with one_at_a_time(self.place):
            return self.analysis(patches)

    def members(self, patches: Patches, count: int, seed: int) -> FloatArray:
        """Draw from the posterior."""
        from xr4dvar.methods.variational.ensemble import draw_members

        with one_at_a_time(self.place):
            return draw_members(self.analysis, patches, count, seed)


class CostEngine(StateEngine):
    """The same of a prior that is a term of the cost."""

    def curves(self, patches: Patches) -> Curves:
        """Costs of windows."""
        with one_at_a_time(self.place):
            return self.analysis.curve(patches)


class CodeEngine(CostEngine):
    """The same where a code is what is looked for."""

    def errors(self, patches: Patches) -> tuple[FloatArray, FloatArray]:
        """Maps and the standard deviations of their errors."""
        from xr4dvar.methods.variational.error import maps_and_errors

        with one_at_a_time(self.place):
            return maps_and_errors(self.analysis, patches)


def noise_levels(method: Variational, mean: FloatArray, spread: FloatArray) -> list[float]:
    """Levels of a denoiser from the spread of the data down to below the observations' error."""
    error = float(np.min(_each(method.error_variance, mean, spread)))
    return np.geomspace(1.0, np.clip((error / 2) ** 0.5, LOWEST, 0.5), method.step_count).tolist()  # type: ignore[no-any-return]


class Analysis:
    """A fitted method, ready to solve windows."""

    def __init__(self, method: Variational, parameters: Parameters, place: torch.device):
        arrays = parameters.arrays
        self.method, self.place = method, place
        self.mean, self.spread = arrays["mean"], arrays["spread"]
        prior = make_prior(method.prior, parameters.settings, arrays).double().eval()
        q: object = method.model_error_variance
        q = arrays.get("prior_error_variance") if q is None else q
        self.q = _each(1.0 if q is None else q, self.mean, self.spread)  # a denoiser has none
        self.unit, error = self.spread, method.error_variance
        if fields := other_fields(method.operator):  # each is in units of its error
            self.unit, error = np.sqrt(errors_of_fields(error, fields)), 1.0
            self.error = np.ones_like(self.unit)
        else:
            self.error = _each(error, self.mean, self.spread)
        # a decoded state lacks what the code does not hold: so do observations of it
        self.extra = self.q if method.control == "latent" else np.zeros((1, 1, 1, 1))
        observation = ObservationTerm(self._variance(self.error + self.extra))
        self.part = method.solver_part
        if isinstance(self.part, nn.Module):  # the user's own stays as it is
            self.part = copy.deepcopy(self.part).double().to(place)
        self.code = None
        self.plugged: CoreSolver | None = None
        if isinstance(method.prior, Denoiser):
            self.cost = Cost([observation])
            levels = noise_levels(method, self.mean, self.spread)
            self.plugged = replace(method.solver_part, denoiser=prior.to(place), levels=levels)
        else:
            self.cost = Cost([observation, PriorTerm(prior, self._variance(self.q))])
        if method.control == "latent":
            statistics = (torch.as_tensor(arrays[f"code/{name}"]) for name in ("mean", "root"))
            self.code = GaussianCode(prior, *statistics).double().to(place)
            known = DecodedTerm(observation, self.code.decode)
            self.cost = Cost([known, BackgroundTerm(Variance(1.0))])
        self.cost = self.cost.double().to(place).requires_grad_(False)

    def __call__(self, patches: Patches) -> FloatArray:
        """Complete windows."""
        return self.maps(self.minimum(*self.start(patches)))

    def minimum(self, batch: Batch, start: State) -> Tensor:
        """What is looked for, the state or its code, where its cost is least."""
        steps = self.method.step_count
        return minimise(self.cost, self.solver(batch), batch, steps, start=start).x

    def solver(self, batch: Batch) -> CoreSolver:
        """Make the solver, with a step that is safe for the most precise of the observations."""
        if self.plugged is not None:
            return self.plugged
        if not hasattr(self.part, "for_curvature"):
            return self.part  # type: ignore[no-any-return]
        observed = batch.weight.amax() / self.column(self.error + self.extra).amin()
        if batch.operator is not None:
            observed = observed * norm_squared(batch.operator, batch.zeros())
        solver: CoreSolver = self.part.for_curvature(
            float(observed + 1 / self.column(self.q).amin())
        )
        return solver

    def maps(self, x: Tensor, lacking: Tensor | None = None) -> FloatArray:
        """States in the data's units, of what is looked for and what no code holds of them."""
        if self.code is not None:
            x = self.code.decode(x)
        if lacking is not None:
            x = x + lacking
        lost = (~torch.isfinite(x).flatten(1).all(1)).nonzero().flatten().tolist()
        if lost:
            what = f"the solver {self.method.solver_name!r} runs out of bounds with this prior"
            raise LostPatches(what, "use solver='lbfgs', which only goes down", lost, len(x))
        maps: FloatArray = x.detach().cpu().numpy() * self.spread + self.mean
        return maps

    def curve(self, patches: Patches) -> Curves:
        """Costs of windows as they are completed."""
        batch, start = self.start(patches)
        steps = self.method.step_count
        found = cost_curve(self.cost, self.solver(batch), batch, steps, start=start)
        names = "observations", "prior" if self.code is None else "code"
        terms = found.terms.permute(2, 1, 0).cpu().numpy()
        norms = found.gradient_norms.T.cpu().numpy()
        return Curves(dict(zip(names, terms, strict=True)), norms)

    def start(self, patches: Patches) -> tuple[Batch, State]:
        """What was observed, and the solver at the first guess."""
        batch, x = self._batch(patches), None
        if patches.background is not None:  # which may not reach everywhere
            guess = torch.nan_to_num(self._scaled(patches.background))
            x = guess if self.code is None else self.code.encode(guess)
        elif self.code is not None:
            x = batch.y.new_zeros(len(batch.y), len(self.code.mean), 1, 1, 1)
        return batch, self.solver(batch).init(self.cost, batch, x)

    def _batch(self, patches: Patches) -> Batch:
        """Scaled observations; variances given one by one set their weights."""
        operator = patches.operator
        if operator is None:
            y = self._scaled(patches.y)
        else:
            shape = len(patches.y), len(self.spread), *patches.y.shape[2:]
            offset = self._tensor(np.broadcast_to(self.mean, shape).copy())
            operator = InUnits(operator, offset, self._tensor(self.spread), self._tensor(self.unit))
            y = operator.scaled(self._tensor(patches.y))
        batch = replace(Batch.from_gappy(y), operator=operator)
        if operator is not None:
            batch = replace(batch, shape=tuple(shape[1:]))
        if patches.error_variance is None:
            return batch
        own = self._tensor(patches.error_variance / self.unit**2)
        general, extra = self.column(self.error), self.column(self.extra)
        weight = torch.where(batch.weight > 0, (general + extra) / (own + extra), 0.0)
        return replace(batch, weight=weight)

    def column(self, each: FloatArray) -> Tensor:
        """A number of each variable, or of each component of series, as a tensor."""
        return self._tensor(each)

    @staticmethod
    def _variance(each: FloatArray) -> Variance:
        return Variance(each.tolist(), dtype=torch.float64)

    def _scaled(self, values: FloatArray) -> Tensor:
        return self._tensor((values - self.mean) / self.spread)

    def _tensor(self, values: FloatArray) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float64, device=self.place)


def errors_of_fields(variance: object, fields: Sequence[str]) -> FloatArray:
    """Variances (K, 1, 1, 1) of observed fields, of one number or of one each, by name or not."""
    if isinstance(variance, Mapping):
        variance = [variance[name] for name in fields]
    values = np.broadcast_to(np.asarray(variance, dtype=np.float64), len(fields))
    return values.reshape(-1, 1, 1, 1)


def _each(variance: object, mean: FloatArray, spread: FloatArray) -> FloatArray:
    """Variances of all, of each variable or of each component, in units of the spread squared.

    Of the shape of `spread`, (V, 1, 1, 1), or of components that of `mean`, (V, 1, Y, X).
    """
    values = np.asarray(variance, dtype=np.float64)
    shape = spread.shape if values.size in (1, spread.size) else mean.shape
    if values.size > 1:
        values = values.reshape(shape)
    each: FloatArray = np.broadcast_to(values, shape) / spread**2
    return each
