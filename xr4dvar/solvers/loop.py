"""The loop that drives any solver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from xr4dvar.batch import Batch
from xr4dvar.cost import Cost

__all__ = ["Solver", "State", "minimise"]


@dataclass(frozen=True)
class State:
    """The current estimate `x` (B, V, T, Y, X), the steps done, and the solver's own memory."""

    x: Tensor
    step: int = 0
    memory: Any = None


class Solver(Protocol):
    """What the loop needs of a solver."""

    def init(self, cost: Cost, batch: Batch) -> State:
        """Give the first state."""

    def step(self, cost: Cost, batch: Batch, state: State, *, differentiable: bool) -> State:
        """Give the next state."""


def minimise(
    cost: Cost, solver: Solver, batch: Batch, steps: int, *, differentiable: bool = False
) -> State:
    """Run `steps` steps of `solver` on `cost`.

    Parameters
    ----------
    cost : Cost
    solver : Solver
    batch : Batch
    steps : int
    differentiable : bool
        Keep the graph of all steps, so that training can differentiate through them. Else
        every step forgets the one before, and memory does not grow with the steps.

    Returns
    -------
    State

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.cost import ObservationTerm, Variance
    >>> from xr4dvar.solvers import GradientDescent
    >>> batch = Batch.from_gappy(torch.full((1, 1, 1, 1, 1), 2.0))
    >>> cost = Cost([ObservationTerm(Variance(1.0))])
    >>> minimise(cost, GradientDescent(0.5), batch, steps=2).x.item()
    1.5
    """
    state = solver.init(cost, batch)
    for _ in range(steps):
        state = solver.step(cost, batch, state, differentiable=differentiable)
        if not differentiable:
            state = State(state.x.detach(), state.step, _detach(state.memory))
    return state


def _detach(memory: Any) -> Any:
    if isinstance(memory, torch.Tensor):
        return memory.detach()
    if isinstance(memory, tuple):
        return tuple(_detach(part) for part in memory)
    return memory
