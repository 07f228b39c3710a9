"""The loop that drives any solver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import Cost
from xr4dvar.errors import InputError
from xr4dvar.solvers.recomputed import recomputed

__all__ = ["Backpropagation", "Solver", "State", "minimise", "refuse_graph", "refuse_operator"]

#: What training differentiates through: all steps, the same with less memory, or the last ones.
Backpropagation: TypeAlias = Literal["full", "checkpointed"] | int


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
    backpropagation: Backpropagation = "full",
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
    backpropagation : {"full", "checkpointed"} or int
        Of what is differentiable: through all steps; the same with the state alone kept of each
        step, which is computed once more for its gradient; or through the last so many steps.

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
        cut = isinstance(backpropagation, int) and steps - done >= backpropagation
        if differentiable and backpropagation == "checkpointed":
            state = _recomputed_step(cost, solver, batch, state)
        elif differentiable and not cut:
            state = solver.step(cost, batch, state, differentiable=True)
        else:
            state = _detach(solver.step(cost, batch, state, differentiable=False))
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


def refuse_operator(solver: Solver, batch: Batch) -> None:
    """Raise `InputError` where a solver that puts observations into the state meets others."""
    if batch.operator is not None:
        what = f"{type(solver).__name__} puts observations into the state, and takes no operator"
        raise InputError([(what, "use another solver, such as LBFGS")])


def _detach(state: State) -> State:
    leaves = [part.detach() for part in _leaves(state.memory)]
    return replace(state, x=state.x.detach(), memory=_fill(state.memory, iter(leaves)))


def _recomputed_step(cost: Cost, solver: Solver, batch: Batch, state: State) -> State:
    """Take a step that is taken again for its gradient."""
    memory: list[Any] = []

    def run(x: Tensor, *leaves: Tensor, differentiable: bool) -> list[Tensor]:
        before = replace(state, x=x, memory=_fill(state.memory, iter(leaves)))
        after = solver.step(cost, batch, before, differentiable=differentiable)
        memory[:] = [after.memory]
        return [after.x, *_leaves(after.memory)]

    modules = (part for part in (cost, solver) if isinstance(part, nn.Module))
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    x, *leaves = recomputed(run, [state.x, *_leaves(state.memory)], parameters)
    return State(x, state.step + 1, _fill(memory[0], iter(leaves)))


def _leaves(memory: Any) -> list[Tensor]:
    """The tensors that a solver takes along, in tuples or alone."""
    if isinstance(memory, tuple):
        return [leaf for part in memory for leaf in _leaves(part)]
    return [memory] if isinstance(memory, Tensor) else []


def _fill(memory: Any, leaves: Iterator[Tensor]) -> Any:
    """The same with other tensors, in the order of `_leaves`."""
    if isinstance(memory, tuple):
        return tuple(_fill(part, leaves) for part in memory)
    return next(leaves) if isinstance(memory, Tensor) else memory
