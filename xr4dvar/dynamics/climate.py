"""The climate of a model: the states that it visits, and the trajectories from there."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from xr4dvar.dynamics.integrators import Step, trajectory
from xr4dvar.errors import InputError
from xr4dvar.types import FloatArray

__all__ = ["Climate", "free_run"]

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
