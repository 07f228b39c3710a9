"""Members of the posterior of 4DVar, by randomised maximum likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from xr4dvar.contract.patches import Patches
from xr4dvar.cost.batch import Batch
from xr4dvar.cost.chain import from_states
from xr4dvar.covariance.matrix import CovarianceMatrix
from xr4dvar.methods.fourdvar.assimilation import Assimilation, best, check_found
from xr4dvar.types import FloatArray

__all__ = ["draw_members", "nearest_minimum"]


def draw_members(assimilation: Assimilation, patches: Patches, count: int, seed: int) -> FloatArray:
    """Draw members of the posterior of windows, shape (count, B, V, T, Y, X).

    Each member is the minimum of the cost with noise of R added to the observations, of B to the
    background and of Q to the model (randomised maximum likelihood). Where the model is linear
    they are a sample of the posterior. A member is looked for from that minimum of the cost
    without noise which costs it least.

    References
    ----------
    Oliver, He and Reynolds 1996, https://doi.org/10.3997/2214-4609.201406884;
    Bardsley et al. 2014, https://doi.org/10.1137/140964023
    """
    whole = assimilation.batch(patches)
    found = [assimilation.minima(whole.take(part)) for part in assimilation.parts(whole)]
    minima, evidence = (torch.cat(parts) for parts in zip(*found, strict=True))
    check_found(evidence)
    perturbed = _join(
        [
            _perturbed(assimilation, whole, _generators(patches, seed, member))
            for member in range(count)
        ]
    )
    solved = [
        assimilation.within(
            nearest_minimum(assimilation, perturbed.take(part), minima[part % len(minima)])
        )
        for part in assimilation.parts(perturbed)
    ]
    fields: FloatArray = np.concatenate(solved)
    return fields.reshape(count, len(minima), *fields.shape[1:])


def _generators(patches: Patches, seed: int, member: int) -> list[np.random.Generator]:
    """One for each window, which follows from its place, not from what it is solved with."""
    places = np.arange(len(patches.y))[:, None] if patches.origins is None else patches.origins
    return [np.random.default_rng([seed, member, *place]) for place in places.tolist()]


def _perturbed(
    assimilation: Assimilation, batch: Batch, generators: list[np.random.Generator]
) -> Batch:
    """The windows with noise on all that their cost is made of."""
    size = assimilation.climate.states.shape[1]
    length = batch.y.shape[2]

    def noise(covariance: CovarianceMatrix, times: int) -> Tensor:
        z = np.stack([generator.standard_normal((times, size)) for generator in generators])
        return covariance.colour(torch.from_numpy(z).to(batch.y.device))

    batch = batch.perturbed(from_states(noise(assimilation.error, length), batch.y))
    initial = assimilation.background_state + noise(assimilation.background, 1)[:, 0]
    model_error = assimilation.model_error
    forcing = None if model_error is None else noise(model_error, length - 1)
    return replace(batch, initial=initial, forcing=forcing)


def _join(batches: Sequence[Batch]) -> Batch:
    """All windows of the first member, then of the second, ..."""

    def joined(parts: list[Tensor | None]) -> Tensor | None:
        known = [part for part in parts if part is not None]
        return torch.cat(known) if known else None

    return replace(
        batches[0],
        y=torch.cat([batch.y for batch in batches]),
        weight=torch.cat([batch.weight for batch in batches]),
        initial=joined([batch.initial for batch in batches]),
        forcing=joined([batch.forcing for batch in batches]),
    )


def nearest_minimum(assimilation: Assimilation, batch: Batch, minima: Tensor) -> Tensor:
    """The minimum of a perturbed cost (B, V, T, Y, X) that is nearest to those of the other."""
    last = assimilation.stages[-1]
    with torch.no_grad():
        costs = torch.stack([last.cost(x, batch) for x in minima.unbind(1)], 1)
    return last.minimise(batch, best(minima, -costs), assimilation.method.steps)
