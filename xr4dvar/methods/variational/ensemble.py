"""Members of the posterior of `Variational`, by randomised maximum likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from xr4dvar.cell_noise import cell_noise
from xr4dvar.contract.patches import Patches
from xr4dvar.cost.batch import Batch
from xr4dvar.methods.variational.engine import Analysis
from xr4dvar.types import ROLES, FloatArray

__all__ = ["draw_members", "places_of"]

#: Cells of the members that are looked for at once.
CELLS = 600_000
#: What noise is added to.
OBSERVATIONS, PRIOR, CODE = range(3)


def draw_members(analysis: Analysis, patches: Patches, count: int, seed: int) -> FloatArray:
    """Draw members of the posterior of windows, shape (count, B, V, T, Y, X).

    Each member is the minimum of the cost with noise of R added to the observations and of Q to
    what the prior says, or, of codes, of their covariance to their mean; looked for from the
    minimum of the cost without noise. Where the prior is linear they are a sample of the
    posterior. A fixed point or a denoiser has no such cost: there, noise on the observations is
    all.

    To a decoded state is added what no code holds, drawn from Q and, where something was observed,
    from what the observation says of it.

    The noise of a cell is that of its place, the same in all windows that overlap there. Codes
    are those of windows: where these overlap, members are means over codes drawn apart.

    References
    ----------
    Oliver, He and Reynolds 1996, https://doi.org/10.3997/2214-4609.201406884;
    Bardsley et al. 2014, https://doi.org/10.1137/140964023
    """
    at_once = max(1, CELLS // patches.y.size)
    groups = [range(count)[n : n + at_once] for n in range(0, count, at_once)]
    batch, start = analysis.start(patches)
    best = analysis.minimum(batch, start)
    cells = places_of(patches), places_of(patches, len(analysis.spread))
    found = []
    for group in groups:
        keys = [(seed, m) for m in group]
        drawn, rest = _perturbed(analysis, batch, best, cells, keys)
        again = best.repeat(len(group), 1, 1, 1, 1)
        begin = analysis.solver(drawn).init(analysis.cost, drawn, again)
        control = analysis.minimum(drawn, begin)
        lacking = None
        if analysis.code is not None:
            decoded = analysis.code.decode(control)
            lacking = _lacking(analysis, drawn, decoded, rest)
        found.append(analysis.maps(control, lacking))
    members = np.concatenate(found)
    return members.reshape(count, len(patches.y), *members.shape[1:])


def places_of(patches: Patches, variables: int | None = None) -> list[np.ndarray]:
    """Places of all cells (B, V, T, Y, X) in the whole array, along each of its dimensions.

    Of so many variables, or of the observed fields.
    """
    n, *shape = patches.y.shape
    shape[0] = variables or shape[0]
    origins = np.arange(n)[:, None] if patches.origins is None else patches.origins
    roles = list(patches.coordinates) if patches.origins is not None else []
    first = origins.shape[1] - len(roles)
    starts = dict(zip(roles, origins.T[first:], strict=True))
    places = [_along(0, origins[:, dim]) for dim in range(first)]
    places.append(_along(1, np.arange(shape[0])))
    for axis, role in enumerate(ROLES, start=2):
        inside = _along(axis, np.arange(shape[axis - 1]))
        place = inside + _along(0, starts[role]) if role in starts else inside
        places.append(place % patches.closed[role] if role in patches.closed else place)
    return places


def _along(axis: int, values: np.ndarray) -> np.ndarray:
    return values.reshape([-1 if n == axis else 1 for n in range(5)])


def _perturbed(
    analysis: Analysis,
    batch: Batch,
    best: Tensor,
    places: tuple[Sequence[np.ndarray], Sequence[np.ndarray]],
    keys: Sequence[tuple[int, int]],
) -> tuple[Batch, Tensor]:
    """The windows of each member, with noise on all that their cost is made of.

    Places are those of the observed fields, and of the states.

    Second is the noise of Q: of what no code holds, or of what the prior says.
    """

    def noise(kind: int, places: Sequence[np.ndarray]) -> Tensor:
        drawn = [cell_noise((*key, kind), places) for key in keys]
        return torch.from_numpy(np.concatenate(drawn)).to(batch.y.device)

    fields, cells = places
    batch = batch.take(torch.arange(len(best)).repeat(len(keys)).to(best.device))
    extra, weight = analysis.column(analysis.extra), batch.weight.clamp(min=1e-300)
    own = (analysis.column(analysis.error) + extra) / weight - extra  # variance of each
    rest = analysis.column(analysis.q).sqrt() * noise(PRIOR, cells)
    error = own.clamp(min=0).sqrt() * noise(OBSERVATIONS, fields)
    if analysis.code is not None:  # which observations hold and a decoded state does not
        error = error + rest
    batch = batch.perturbed(error * weight.sqrt())
    if analysis.code is not None:  # one draw a window, from where its first cell is
        starts = [place[:, :1, :1, :1, :1] for place in cells]
        numbers = _along(1, np.arange(best.shape[1]))
        return replace(batch, mean=noise(CODE, [*starts, numbers])), rest
    if not getattr(analysis.method.solver_part, "minimises", True):
        return batch, rest
    return replace(batch, forcing=rest), rest


def _lacking(analysis: Analysis, drawn: Batch, decoded: Tensor, rest: Tensor) -> Tensor:
    """What the decoded states lack: as it was drawn, corrected by what was seen of it."""
    extra = analysis.column(analysis.extra)
    gain = extra * drawn.weight / (analysis.column(analysis.error) + extra)
    return gain * (drawn.y - decoded) - rest
