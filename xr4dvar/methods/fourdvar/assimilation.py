"""4DVar of windows: the stages of their costs, and the minima from several first guesses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from xr4dvar.contract.method import Parameters
from xr4dvar.contract.patches import Patches
from xr4dvar.cost.batch import Batch
from xr4dvar.cost.chain import (
    InitialStateTerm,
    ModelErrorTerm,
    StateObservationTerm,
    from_states,
    to_states,
)
from xr4dvar.cost.cost import Cost
from xr4dvar.covariance.matrix import CovarianceMatrix
from xr4dvar.dynamics.climate import Climate
from xr4dvar.dynamics.learned import fitted_flow
from xr4dvar.errors import InputError, LostPatches
from xr4dvar.methods.fourdvar.climate import background, closest
from xr4dvar.solvers import CostCurve, GaussNewton, Shooting, cost_curve, minimise
from xr4dvar.types import FloatArray

if TYPE_CHECKING:
    from xr4dvar.methods.fourdvar.config import FourDVar

__all__ = ["Assimilation", "Stage", "best", "check_found"]

#: Model errors of the first stages, as shares of the variance of a step's change of the state.
RELAXATION = (1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4)
#: How much of a window is assimilated, as it gets longer.
LENGTHS = (0.3, 0.45, 0.6, 0.8)
#: When a stage that is not the last one has come near enough: relative gain of a step.
ROUGHLY = 1e-2
#: Numbers of the states that are solved for at once: some hundreds of megabytes.
NUMBERS_AT_ONCE = 2_000_000
#: Standard deviations from the climate at which half of the observations cannot be of it.
FAR = 5.0


@dataclass(frozen=True)
class Stage:
    """A cost, and what minimises it."""

    cost: Cost
    solver: GaussNewton | Shooting

    def to(self, place: torch.device) -> Stage:
        """Move the cost to a device."""
        return Stage(self.cost.to(place), self.solver)

    def minimise(self, batch: Batch, x: Tensor, steps: int) -> Tensor:
        """Go down from an estimate."""
        start = self.solver.init(self.cost, batch, x)
        return minimise(self.cost, self.solver, batch, steps, start=start).x

    def curve(self, batch: Batch, x: Tensor, steps: int) -> CostCurve:
        """Go down from an estimate, and note the cost after each step."""
        start = self.solver.init(self.cost, batch, x)
        return cost_curve(self.cost, self.solver, batch, steps, start=start)


class Assimilation:
    """A fitted 4DVar, ready to solve windows."""

    def __init__(self, method: FourDVar, parameters: Parameters, place: torch.device):
        self.method = method
        self.place = place
        step = fitted_flow(method.dynamics, parameters.settings["spacing"], parameters.arrays)
        if isinstance(step, torch.nn.Module):
            step = step.to(place)
        self.climate = Climate(torch.from_numpy(parameters.arrays["climate"]).to(place), step)
        size = self.climate.states.shape[1]
        # what the given variances are multiplied by, where they were estimated
        factors = parameters.settings.get("variance_factors", {})
        factor = factors.get("error_variance", 1.0)
        variance = factor * np.asarray(method.error_variance, dtype=np.float64)
        self.error = CovarianceMatrix(variance, size, "error_variance")
        self.background_state, self.background = background(method, self.climate)
        self.model_error = None
        if method.model_error_variance is not None:
            factor = factors.get("model_error_variance", 1.0)
            variance = factor * np.asarray(method.model_error_variance, dtype=np.float64)
            self.model_error = CovarianceMatrix(variance, size, "model_error_variance")
        terms = [
            StateObservationTerm(self.error),
            InitialStateTerm(self.background_state, self.background),
        ]
        self.rough = Stage(Cost(terms), Shooting(step, ROUGHLY)).to(place)
        self.strong = Stage(Cost(terms), Shooting(step)).to(place)
        loose = _loose(terms, self.climate, self.model_error)
        last = self.strong
        if self.model_error is not None:
            last = Stage(Cost([*terms, ModelErrorTerm(step, self.model_error)]), GaussNewton())
        self.stages = [stage.to(place) for stage in (*loose, last)]

    def batch(self, patches: Patches) -> Batch:
        """Observations of windows, from the start of the spin-up on."""
        batch = _batch(patches, self.error, self.place)
        if self.method.background_state is None and batch.operator is None:
            self._check_climate(batch)
        before = (*[0] * 4, self.method.spin_up_times, 0)
        return replace(batch, y=pad(batch.y, before), weight=pad(batch.weight, before))

    def _check_climate(self, batch: Batch) -> None:
        """Raise where the observations are none of states that the model visits."""
        seen = to_states(batch.weight) > 0
        spread = (self.background.matrix() + self.error.matrix()).diagonal().sqrt()
        away = ((to_states(batch.y) - self.background_state).abs() / spread)[seen]
        if len(away) and float(away.median()) > FAR:
            what = (
                f"the observations are {float(away.median()):.0f} standard deviations from the "
                "climate of the model, which comes from a free run or from the target"
            )
            fix = "fit with a target, or give background_state= and background_error_variance="
            raise InputError([(what, fix)])

    def within(self, x: Tensor) -> FloatArray:
        """Leave the spin-up out."""
        return x[:, :, self.method.spin_up_times :].cpu().numpy()

    def analysis(self, batch: Batch) -> Tensor:
        """Give the likeliest states (B, V, T, Y, X)."""
        found, evidence = [], []
        for part in self.parts(batch):
            minima, each = self.minima(batch.take(part))
            found.append(best(minima, each))
            evidence.append(each)
        check_found(torch.cat(evidence))
        return torch.cat(found)

    def parts(self, batch: Batch) -> Sequence[Tensor]:
        """Numbers of the windows that are solved for at once."""
        size = max(1, NUMBERS_AT_ONCE // (batch.y[0].numel() * self.method.starts))
        numbers: Sequence[Tensor] = torch.arange(len(batch.y), device=self.place).split(size)
        return numbers

    def minima(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Go down from every first guess.

        Returns
        -------
        x : Tensor, shape (B, S, V, T, Y, X)
        evidence : Tensor, shape (B, S)
            See `evidence`.
        """
        guesses = self.guesses(batch)
        many = _repeat(batch, guesses.shape[1])
        x = self.stages[-1].minimise(many, guesses.flatten(0, 1), self.method.steps)
        x = x.view(guesses.shape)
        return x, self.evidence(batch, x)

    def curve(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Terms (B, steps + 1, K) of the cost on the way to the minimum that is kept.

        Second are the norms of its gradients (B, steps + 1), third the evidence of the minima, as
        of `minima`.
        """
        guesses = self.guesses(batch)
        many = _repeat(batch, guesses.shape[1])
        curve = self.stages[-1].curve(many, guesses.flatten(0, 1), self.method.steps)
        evidence = self.evidence(batch, curve.x.view(guesses.shape))
        terms, norms = (
            best(values.movedim(0, 1).unflatten(0, guesses.shape[:2]), evidence)
            for values in (curve.terms, curve.gradient_norms)
        )
        return terms, norms, evidence

    def guesses(self, batch: Batch) -> Tensor:
        """Where the last descents start, (B, S, V, T, Y, X): annealed first, then lengthened."""
        found = [self._anneal(batch)]
        if self.method.starts > 1:
            found.append(self._lengthen(batch, self.method.starts - 1))
        return torch.cat(found, 1)

    def evidence(self, batch: Batch, x: Tensor) -> Tensor:
        """How much of the posterior is about each of several minima (B, S, V, T, Y, X).

        Returns
        -------
        Tensor, shape (B, S)
            Logarithm of the probability about it, as far as it is Gaussian there (Laplace), up
            to a constant; minus infinity where the model ran out of bounds.
        """
        last, each = self.stages[-1], x.flatten(0, 1)
        many = _repeat(batch, x.shape[1])
        with torch.no_grad():
            cost = last.cost(each, many)
        found = -cost - 0.5 * last.solver.log_determinant(last.cost, many, each)
        return torch.where(torch.isfinite(found), found, -torch.inf).view(x.shape[:2])

    def _anneal(self, batch: Batch) -> Tensor:
        """Through all stages but the last, from the mean of the climate; (B, 1, V, T, Y, X)."""
        times = self.background_state.expand(len(batch.y), batch.y.shape[2], -1)
        return self._tightened(batch, from_states(times, batch.y))[:, None]

    def anneal(self, batch: Batch, x: Tensor) -> Tensor:
        """Go down from an estimate while the model gets less and less loose."""
        x = self._tightened(batch, x)
        return self.stages[-1].minimise(batch, x, self.method.steps)

    def _tightened(self, batch: Batch, x: Tensor) -> Tensor:
        """The same without the last stage."""
        for stage in self.stages[:-1]:
            x = stage.minimise(batch, x, self.method.steps)
        return x

    def _lengthen(self, batch: Batch, count: int) -> Tensor:
        """Quasi-statically, from trajectories that fit the beginning; (B, S, V, T, Y, X).

        A short window has few minima, and its minimum is a first guess that a longer one can
        follow (Pires et al. 1996, https://doi.org/10.3402/tellusa.v48i1.11634). The model is
        taken to be exact until the window has its length.
        """
        guesses = closest(self.climate, _beginning(batch, LENGTHS[0]), count)
        many = _repeat(batch, guesses.shape[1])
        x = from_states(guesses.flatten(0, 1), many.y)
        for share in LENGTHS:
            x = self.rough.minimise(_beginning(many, share), x, self.method.steps)
        if self.model_error is not None:
            x = self.strong.minimise(many, x, self.method.steps)
        found: Tensor = x.unflatten(0, guesses.shape[:2])
        return found


def _repeat(batch: Batch, times: int) -> Batch:
    """Each window so many times in a row."""
    numbers = torch.arange(len(batch.y), device=batch.y.device)
    return batch.take(numbers.repeat_interleave(times))


def _beginning(batch: Batch, share: float) -> Batch:
    """Only the observations of a first share of the times."""
    weight = batch.weight.clone()
    weight[:, :, round(share * weight.shape[2]) :] = 0
    return replace(batch, weight=weight)


def _loose(
    terms: Sequence[torch.nn.Module], climate: Climate, last: CovarianceMatrix | None
) -> list[Stage]:
    """Easier problems that lead to the last one: the model's error is taken to be large at first.

    A loose model leaves few minima; each stage starts where the one before has ended, with a
    third of its model error (annealing of the precision: Ye et al. 2015,
    https://doi.org/10.5194/npg-22-205-2015).
    """
    found = []
    change = climate.change_variance
    for share in RELAXATION:
        variance = share * change
        least = 0 * variance if last is None else last.matrix().diagonal()
        if bool((variance > least).all()):
            covariance = CovarianceMatrix(variance.tolist(), len(variance))
            loose = ModelErrorTerm(climate.step, covariance)
            found.append(Stage(Cost([*terms, loose]), GaussNewton(ROUGHLY)))
    return found


def _batch(patches: Patches, error: CovarianceMatrix, place: torch.device) -> Batch:
    """Observations; where their variances are given one by one, those set the weights."""
    batch = Batch.from_gappy(torch.as_tensor(patches.y, dtype=torch.float64, device=place))
    batch = replace(batch, operator=patches.operator)
    if patches.error_variance is None:
        return batch
    own = torch.as_tensor(patches.error_variance, dtype=torch.float64, device=place)
    general = from_states(error.matrix().diagonal().expand(1, own.shape[2], -1), own[:1])
    return replace(batch, weight=torch.where(batch.weight > 0, general / own, 0.0))


def best(x: Tensor, evidence: Tensor) -> Tensor:
    """What the start of largest evidence has, such as states (B, V, T, Y, X), of that of all."""
    found: Tensor = x[torch.arange(len(x)), evidence.argmax(1)]
    return found


def check_found(evidence: Tensor) -> None:
    """Raise where none of the minima of a window (B, S) is finite."""
    lost = torch.isinf(evidence).all(1).nonzero().flatten().tolist()
    if lost:
        fix = "take a smaller dt, a shorter spin_up or window, or look at their observations"
        raise LostPatches("the model runs out of bounds", fix, lost, len(evidence))
