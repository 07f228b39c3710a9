"""The climate of a model: the states that it visits, and the trajectories from there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from xr4dvar.batch import Batch
from xr4dvar.chain import to_states
from xr4dvar.covariance.matrix import CovarianceMatrix
from xr4dvar.dynamics.integrators import Step, trajectory
from xr4dvar.errors import InputError
from xr4dvar.types import FloatArray

if TYPE_CHECKING:
    from xr4dvar.methods.fourdvar import FourDVar

__all__ = ["Climate", "background", "closest", "free_run"]


#: Steps that a free run is given to come to its climate, and between states that are kept of it.
SPIN_UP, APART = 1000, 50
#: States that are kept of each member of a free run: its members alone would be much alike.
SNAPSHOTS = 40


class Climate:
    """States that the model visits, and the trajectories that start there.

    Parameters
    ----------
    states : Tensor, shape (N, n)
        float64.
    step : callable
        The model, from one time of the data to the next.
    """

    def __init__(self, states: Tensor, step: Step):
        self.states = states
        self.step = step
        self._runs: Tensor | None = None

    @property
    def mean(self) -> Tensor:
        """Mean state, shape (n,)."""
        return self.states.mean(0)

    @property
    def covariance(self) -> FloatArray:
        """Covariance of the states, shape (n, n)."""
        matrix: FloatArray = np.atleast_2d(np.cov(self.states.cpu().numpy().T))
        return matrix

    @property
    def change_variance(self) -> Tensor:
        """Variance of what one step changes, component by component, shape (n,)."""
        with torch.no_grad():
            return (self.step(self.states) - self.states).var(0)

    def runs(self, length: int) -> Tensor:
        """Trajectories from all states, shape (N, length, n); made once."""
        if self._runs is None or self._runs.shape[1] != length:
            with torch.no_grad():
                self._runs = trajectory(self.step, self.states, length)
        return self._runs


def free_run(step: Step, components: int, count: int, seed: int) -> FloatArray:
    """Let a model run from random states; give `count` states that it comes to, (count, n).

    Raises
    ------
    InputError
        The run left all bounds.
    """
    generator = torch.Generator().manual_seed(seed)
    members = -(-count // SNAPSHOTS)
    x = torch.randn(members, components, generator=generator, dtype=torch.float64)
    found = []
    with torch.no_grad():
        for n in range(SPIN_UP + SNAPSHOTS * APART):
            x = step(x)
            if n >= SPIN_UP and (n - SPIN_UP) % APART == 0:
                found.append(x)
    states: FloatArray = torch.cat(found)[:count].numpy()
    if not np.isfinite(states).all():
        what = "the model runs out of bounds from random states"
        fix = "fit with target=, states that it does visit, or take a smaller dt"
        raise InputError([(what, fix)])
    return states


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
    y, weight = to_states(batch.y) - climate.mean, to_states(batch.weight)
    runs = climate.runs(y.shape[1])
    count = min(count, len(runs))
    seen = (weight > 0).flatten(1).any(0)  # of windows that are seen alike, few columns are needed
    flat = (runs - climate.mean).flatten(1)[:, seen]
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
