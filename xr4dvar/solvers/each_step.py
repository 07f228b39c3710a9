"""A solver that is another one at each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import Cost
from xr4dvar.solvers.loop import State

__all__ = ["EachStep"]


class EachStep(nn.Module):
    """One solver for each step, so that learned steps need not be alike; the last one goes on.

    Parameters
    ----------
    solvers : sequence of Module
        Of one kind: each hands its memory to the next.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.cost import ObservationTerm, Variance
    >>> from xr4dvar.solvers import LearnedDescent, minimise
    >>> batch = Batch.from_gappy(torch.full((1, 1, 1, 1, 1), 2.0))
    >>> cost = Cost([ObservationTerm(Variance(1.0))])
    >>> steps = EachStep([LearnedDescent(0.5), LearnedDescent(1.0)])
    >>> [minimise(cost, steps, batch, n).x.item() for n in (1, 2)]
    [1.0, 2.0]
    """

    def __init__(self, solvers: Sequence[Any]):
        super().__init__()
        self.solvers: Any = nn.ModuleList(solvers)

    def init(self, cost: Cost, batch: Batch, x: Tensor | None = None) -> State:
        """Start as the first one does."""
        state: State = self.solvers[0].init(cost, batch, x)
        return state

    def step(
        self, cost: Cost, batch: Batch, state: State, *, differentiable: bool = False
    ) -> State:
        """Take the step of the solver whose turn it is."""
        solver = self.solvers[min(state.step, len(self.solvers) - 1)]
        after: State = solver.step(cost, batch, state, differentiable=differentiable)
        return after
