"""The way down: costs and gradients after every step."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import Cost
from xr4dvar.solvers.loop import Solver, State, minimise

__all__ = ["CostCurve", "cost_curve"]


class CostCurve(NamedTuple):
    """What a solver found, and how it came there.

    Parameters
    ----------
    x : Tensor, shape (B, V, T, Y, X)
        The last estimate.
    costs : Tensor of float64, shape (steps + 1, B)
        Cost of each sample at the start and after every step; infinite where it is no number.
        A sample that has converged keeps its last cost.
    gradient_norms : Tensor of float64, shape (steps + 1, B)
        Euclidean norms of its gradients there, with respect to what the solver looks for.
    terms : Tensor of float64, shape (steps + 1, B, K)
        What each of the K terms of the cost adds to it.
    """

    x: Tensor
    costs: Tensor
    gradient_norms: Tensor
    terms: Tensor


@runtime_checkable
class KnowsGradient(Protocol):
    """A solver that looks for less than the whole state."""

    def gradient(self, cost: Cost, batch: Batch, x: Tensor) -> Tensor:
        """Gradient of each sample's cost with respect to what is looked for, shape (B, ...)."""


def cost_curve(
    cost: Cost, solver: Solver, batch: Batch, steps: int, *, start: State | None = None
) -> CostCurve:
    """Run a solver as `minimise` does, and note where it is after each step.

    Parameters
    ----------
    cost : Cost
    solver : Solver
    batch : Batch
    steps : int
    start : State, optional
        Where to go on from. Default: the solver's own first state.

    Returns
    -------
    CostCurve

    Notes
    -----
    Each note is one more evaluation of the cost and its gradient.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.cost import ObservationTerm, Variance
    >>> from xr4dvar.solvers import GradientDescent, cost_curve
    >>> batch = Batch.from_gappy(torch.full((1, 1, 1, 1, 1), 2.0))
    >>> cost = Cost([ObservationTerm(Variance(1.0))])
    >>> curve = cost_curve(cost, GradientDescent(0.5), batch, steps=2)
    >>> curve.costs.flatten().tolist(), curve.gradient_norms.flatten().tolist()
    ([2.0, 0.5, 0.125], [2.0, 1.0, 0.5])
    """
    state = solver.init(cost, batch) if start is None else start
    notes = [_note(cost, solver, batch, state.x)]
    for _ in range(steps):
        if state.converged is not None and bool(state.converged.all()):
            notes.append(notes[-1])
            continue
        state = minimise(cost, solver, batch, 1, start=state)
        notes.append(_note(cost, solver, batch, state.x))
    costs, norms, terms = zip(*notes, strict=True)
    return CostCurve(state.x, torch.stack(costs), torch.stack(norms), torch.stack(terms))


def _note(cost: Cost, solver: Solver, batch: Batch, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    value, gradient = cost.value_and_gradient(x, batch)
    if isinstance(solver, KnowsGradient):
        gradient = solver.gradient(cost, batch, x)
    with torch.no_grad():
        terms = torch.stack([term(x, batch) for term in cost.terms], 1)
    norm = gradient.flatten(1).double().norm(dim=1)
    return _number(value.double()), _number(norm), _number(terms.double())


def _number(values: Tensor) -> Tensor:
    return torch.where(values.isnan(), torch.inf, values)
