"""Solving a long series window by window."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from xr4dvar.contract.method import Parameters
from xr4dvar.contract.patches import Patches
from xr4dvar.cost.batch import Batch
from xr4dvar.cost.chain import from_states, to_states
from xr4dvar.dynamics import trajectory
from xr4dvar.errors import LostPatches
from xr4dvar.methods.fourdvar.assimilation import Assimilation, best
from xr4dvar.training.device import choose_device
from xr4dvar.types import FloatArray

if TYPE_CHECKING:
    from xr4dvar.methods.fourdvar.cycled import CycledFourDVar

__all__ = ["CycledEngine"]


#: Least variance of any direction of a background, as a share of that of a component.
LEAST = 1e-8
#: An analysis whose observations are less probable than this is looked for again.
DOUBTFUL = 0.01


class CycledEngine:
    """A fitted 4DVar that goes through series window by window."""

    def __init__(self, method: CycledFourDVar, parameters: Parameters, device: str):
        self.method = method
        self.assimilation = Assimilation(method.method, parameters, choose_device(device))
        self.last = self.assimilation.stages[-1]

    def maps(self, patches: Patches) -> FloatArray:
        """Complete series."""
        return self.errors(patches)[0]

    def errors(self, patches: Patches) -> tuple[FloatArray, FloatArray]:
        """Analyses of whole series and the standard deviations of their errors."""
        window, times = self.method.window, patches.y.shape[2]
        filtered = self.method.estimate == "filtered"
        whole = self.assimilation.batch(patches)
        spin_up = self.assimilation.method.spin_up_times  # of the first window alone
        batch = _times(whole, 0, spin_up + window)
        x = self.assimilation.analysis(batch)
        found = [self._with_errors(batch, x, spin_up)] if filtered else []
        begin = 0
        while begin + window < times:
            before = x.shape[2] - window
            moved = min(self.method.shift, times - window - begin)
            if not filtered:
                found.append(self._with_errors(batch, x, before, before + moved))
            begin += moved
            later = _times(whole, spin_up + begin, spin_up + begin + window)
            batch, x = self._next(later, batch, x, before + moved)
            if filtered:
                found.append(self._with_errors(batch, x, window - moved))
        if not filtered:
            found.append(self._with_errors(batch, x, x.shape[2] - window))
        states, errors = (torch.cat(parts, 2) for parts in zip(*found, strict=True))
        return states.cpu().numpy(), errors.cpu().numpy()

    def _with_errors(
        self, batch: Batch, x: Tensor, begin: int, end: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """States of some times of an analysis, and the standard deviations of their errors."""
        covariances = self.last.solver.covariances(self.last.cost, batch, x)
        error = from_states(covariances.diagonal(dim1=-2, dim2=-1).sqrt(), x)
        return x[:, :, begin:end], error[:, :, begin:end]

    def _next(self, later: Batch, batch: Batch, x: Tensor, moved: int) -> tuple[Batch, Tensor]:
        """The window that begins `moved` times after another one, and its analysis."""
        # what is seen from its begin on, it sees itself
        past = _times(batch, 0, moved + 1)
        weight = past.weight.clone()
        weight[:, :, moved:] = 0
        past = replace(past, weight=weight)
        mean, covariance = self.last.solver.quadratic(self.last.cost, past, x[:, :, : moved + 1])
        later = replace(
            later,
            initial=mean[:, moved],
            initial_covariance=_definite(float(self.method.inflation) * covariance[:, moved]),
        )
        with torch.no_grad():
            states = to_states(x)[:, moved:]
            new = later.y.shape[2] - states.shape[1]
            ahead = trajectory(self.assimilation.climate.step, states[:, -1], new + 1)[:, 1:]
        guess = from_states(torch.cat([states, ahead], 1), later.y)
        found = self.last.minimise(later, guess, self.assimilation.method.steps)
        found = self._explained(later, found)
        with torch.no_grad():
            finite = torch.isfinite(self.last.cost(found, later))
        lost = (~finite).nonzero().flatten().tolist()
        if lost:
            fix = "take a smaller dt, or shorter windows"
            raise LostPatches("the model runs out of bounds", fix, lost, len(x))
        return later, found

    def _explained(self, batch: Batch, x: Tensor) -> Tensor:
        """Look again, with a loose model first, where an analysis is too far off to be true.

        At the right minimum twice the cost is distributed as chi square with as many degrees of
        freedom as there are observations.
        """
        with torch.no_grad():
            cost = self.last.cost(x, batch)
        number = (batch.weight > 0).flatten(1).sum(1)
        chance = torch.special.gammaincc(number.clamp(min=1) / 2, cost)
        doubtful = torch.nonzero(chance < DOUBTFUL)[:, 0]
        if not len(doubtful):
            return x
        part = batch.take(doubtful)
        tries = torch.stack([x[doubtful], self.assimilation.anneal(part, x[doubtful])], 1)
        return x.index_copy(0, doubtful, best(tries, self.assimilation.evidence(part, tries)))


def _definite(covariance: Tensor) -> Tensor:
    """Keep what the model contracts, window after window, from being known exactly (B, n, n)."""
    variance = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)
    eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    return 0.5 * (covariance + covariance.mT) + LEAST * variance[:, None, None] * eye


def _times(batch: Batch, begin: int, end: int) -> Batch:
    """Some of the times."""
    return replace(batch, y=batch.y[:, :, begin:end], weight=batch.weight[:, :, begin:end])
