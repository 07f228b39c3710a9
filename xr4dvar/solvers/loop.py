"""The loop that drives any solver."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from xr4dvar.batch import Batch
from xr4dvar.cost import Cost
from xr4dvar.errors import InputError

__all__ = ["Solver", "State", "minimise", "refuse_graph"]


@dataclass(frozen=True)
class State:
    """Where a solver stands.

    Parameters
    ----------
    x : Tensor, shape (B, V, T, Y, X)
        The current estimate.
    step : int
        Steps done.
    memory : object
        What the solver takes along.
    converged : Tensor of bool, shape (B,), optional
        Samples that further steps would not change, from solvers that know.
    """

    x: Tensor
    step: int = 0
    memory: Any = None
    converged: Tensor | None = None

    def take(self, index: Tensor) -> State:
        """Only some of the samples; the solver's memory must know how."""
        converged = None if self.converged is None else self.converged[index]
        return State(self.x[index], self.step, self.memory.take(index), converged)

    def put(self, index: Tensor, part: State) -> State:
        """All samples, with those of `take` as they are now."""
        converged = self.converged
        if converged is not None and part.converged is not None:
            converged = converged.index_copy(0, index, part.converged)
        x, memory = self.x.index_copy(0, index, part.x), self.memory.put(index, part.memory)
        return State(x, part.step, memory, converged)


class Solver(Protocol):
    """What the loop needs of a solver."""

    def init(self, cost: Cost, batch: Batch, x: Tensor | None = None) -> State:
        """Give the first state, at an estimate or else at zero."""

    def step(self, cost: Cost, batch: Batch, state: State, *, differentiable: bool) -> State:
        """Give the next state."""


def minimise(
    cost: Cost,
    solver: Solver,
    batch: Batch,
    steps: int,
    *,
    start: State | None = None,
    differentiable: bool = False,
) -> State:
    """Run `steps` steps of `solver` on `cost`, fewer where it says that all have converged.

    Parameters
    ----------
    cost : Cost
    solver : Solver
    batch : Batch
    steps : int
    start : State, optional
        Where to go on from. Default: the solver's own first state.
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
    state = solver.init(cost, batch) if start is None else start
    for done in range(1, steps + 1):
        state = solver.step(cost, batch, state, differentiable=differentiable)
        if not differentiable:
            state = replace(state, x=state.x.detach(), memory=_detach(state.memory))
        if state.converged is None:
            continue
        going = torch.nonzero(~state.converged)[:, 0]
        if 2 * len(going) < len(state.x):  # the others need not be looked at any more
            if len(going):
                part = minimise(
                    cost, solver, batch.take(going), steps - done, start=state.take(going)
                )
                state = state.put(going, part)
            break
    return state


def refuse_graph(solver: Solver, differentiable: bool) -> None:
    """Raise `InputError` where a solver that keeps no graph is asked for one."""
    if differentiable:
        what = f"{type(solver).__name__} cannot be differentiated through"
        raise InputError([(what, "use a gradient solver")])


def _detach(memory: Any) -> Any:
    if isinstance(memory, torch.Tensor):
        return memory.detach()
    if isinstance(memory, tuple):
        return tuple(_detach(part) for part in memory)
    return memory
