"""What the climate of the model says of a window: its background, and first guesses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.chain import from_states, to_states
from xr4dvar.covariance.matrix import CovarianceMatrix
from xr4dvar.dynamics.climate import Climate
from xr4dvar.errors import InputError

if TYPE_CHECKING:
    from xr4dvar.methods.fourdvar.config import FourDVar

__all__ = ["background", "closest"]


def closest(climate: Climate, batch: Batch, count: int) -> Tensor:
    """The `count` trajectories of the climate that fit each window's observations best.

    Parameters
    ----------
    climate : Climate
    batch : Batch
        B windows of T times; the weights say how much an observation counts.
    count : int

    Returns
    -------
    Tensor, shape (B, count, T, n)
    """
    # less a constant first: the squares of large numbers have no digits left for the misfit
    runs = climate.runs(batch.y.shape[2])
    observed, mean = runs, climate.mean
    if batch.operator is not None:  # the same one of all windows
        one = batch.operator.take(torch.zeros(len(runs), dtype=torch.long))
        observed = to_states(one(from_states(runs, batch.y)))
        mean = observed.mean((0, 1))
    y, weight = to_states(batch.y) - mean, to_states(batch.weight)
    count = min(count, len(runs))
    seen = (weight > 0).flatten(1).any(0)  # of windows that are seen alike, few columns are needed
    flat = (observed - mean).flatten(1)[:, seen]
    y, weight = y.flatten(1)[:, seen], weight.flatten(1)[:, seen]
    # |y - r|^2 = |y|^2 - 2 y r + |r|^2, and the first part is the same for all
    misfit = weight @ (flat**2).T - 2 * (weight * y) @ flat.T
    return runs[misfit.topk(count, largest=False).indices]


def background(method: FourDVar, climate: Climate) -> tuple[Tensor, CovarianceMatrix]:
    """What is known of a first state, (n,), and the covariance of its errors."""
    states = climate.states
    count, size = states.shape
    if method.background_state is not None and method.background_error_variance is not None:
        given = torch.as_tensor(np.asarray(method.background_state, dtype=np.float64)).to(states)
        return given, CovarianceMatrix(method.background_error_variance, size)
    rank = int(torch.linalg.matrix_rank(states - climate.mean))
    try:
        covariance = CovarianceMatrix(climate.covariance, size) if rank == size else None
    except InputError:  # all but singular, or all but nothing
        covariance = None
    if covariance is None:
        what = (
            f"the climate's {count} states differ in {rank} directions, and a state has {size} "
            "components: they have no covariance"
        )
        if count <= size:
            fix = "use a larger climate=, or fit with a target"
        else:
            fix = "fit with a target in which no component follows from the others"
        fix += ", or give background_state= and background_error_variance="
        raise InputError([(what, fix)])
    return climate.mean, covariance
