"""Gauss-Newton without a matrix, for any cost that is a sum of squares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from xr4dvar.arguments import check_count, check_number, check_share
from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import Cost, LeastSquares
from xr4dvar.errors import Problems
from xr4dvar.registry import register, shorthand
from xr4dvar.solvers.conjugate_gradient import conjugate_gradient, dot, scale
from xr4dvar.solvers.levenberg_marquardt import Damping, foretold
from xr4dvar.solvers.loop import State, refuse_graph

__all__ = ["GaussNewtonCG", "derivatives", "residuals"]

Function: TypeAlias = Callable[[Tensor], Tensor]


@register
@dataclass(frozen=True)
class GaussNewtonCG:
    r"""Solve ``(J' J + \lambda c) d = -g`` by conjugate gradients; keep what lowers the cost.

    J is the derivative of all residuals of the cost and is never formed: only its products with
    states and, transposed, with residuals. c is the curvature along the gradient, which gives the
    damping of Levenberg and Marquardt its units. Every sample has a damping, a curvature and a
    solution of its own.

    Parameters
    ----------
    tolerance : float
        A sample has converged when a step lowers its cost by less than this share.
    damping : float
        The first damping.
    iterations : int
        Of conjugate gradients, at most, in a step.
    accuracy : float
        The linear system is solved when this share of the gradient is left.

    Raises
    ------
    InputError
        A parameter is out of bounds; later, a term of the cost has no residuals.

    See Also
    --------
    GaussNewton : Faster where the state is a chain of small states in time.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.cost import BackgroundTerm, Batch, Cost, ObservationTerm, Variance
    >>> from xr4dvar.solvers import GaussNewtonCG, minimise
    >>> batch = Batch.from_gappy(torch.tensor([2.0, 4.0, float("nan")]).view(1, 1, 1, 1, 3))
    >>> cost = Cost([ObservationTerm(Variance(1.0)), BackgroundTerm(Variance(1.0))])
    >>> x = minimise(cost, GaussNewtonCG(), batch, steps=10).x
    >>> [round(value, 3) for value in x.flatten().tolist()]
    [1.0, 2.0, 0.0]
    """

    tolerance: float = 1e-6
    damping: float = 1e-3
    iterations: int = 100
    accuracy: float = 1e-2

    differentiable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        problems = Problems()
        check_number("tolerance", self.tolerance, problems, zero=True)
        check_number("damping", self.damping, problems)
        check_count("iterations", self.iterations, problems)
        check_share("accuracy", self.accuracy, problems)
        problems.raise_if_any()

    def init(self, cost: Cost, batch: Batch, x: Tensor | None = None) -> State:
        """Start from an estimate; from zero where there is none."""
        x = batch.zeros() if x is None else x
        with torch.no_grad():
            start = Damping.start(cost(x, batch), self.damping)
        return State(x, memory=start)

    def step(
        self, cost: Cost, batch: Batch, state: State, *, differentiable: bool = False
    ) -> State:
        """Take one step, in the samples where it helps."""
        refuse_graph(self, differentiable)
        damping: Damping = state.memory
        with torch.no_grad():
            change, gain = self._change(residuals(cost, batch), state.x, damping.value)
            trial = state.x - change
            better, damping = damping.judge(cost(trial, batch), gain, self.tolerance)
            x = torch.where(better.view(-1, 1, 1, 1, 1), trial, state.x)
        return State(x, state.step + 1, damping, damping.converged)

    def _change(self, f: Function, x: Tensor, damping: Tensor) -> tuple[Tensor, Tensor]:
        """Solve for what to take off `x`, and foretell how much that lowers the cost."""
        here, forward, adjoint = derivatives(f, x)
        gradient = adjoint(here)

        def curve(v: Tensor) -> Tensor:
            return adjoint(forward(v))

        along = dot(gradient, curve(gradient)) / dot(gradient, gradient)
        held = damping * torch.where(along > 0, along, 1.0)

        def product(v: Tensor) -> Tensor:
            return curve(v) + scale(held, v)

        change = conjugate_gradient(product, gradient, self.accuracy, self.iterations)
        return change, foretold(gradient, change, scale(held, torch.ones_like(change)))


shorthand("solver", "gauss_newton", GaussNewtonCG())


def derivatives(f: Function, x: Tensor) -> tuple[Tensor, Function, Function]:
    """Value of a function at `x`, and its derivative there and the adjoint of that.

    Returns
    -------
    value : Tensor
    forward : callable
        From v, of the shape of `x`, to J v, of the shape of the value.
    adjoint : callable
        From u, of the shape of the value, to J' u.
    """
    value, back = torch.func.vjp(f, x)[:2]

    def adjoint(u: Tensor) -> Tensor:
        found: Tensor = back(u)[0]
        return found

    # J' u is linear in u, so that the adjoint of its derivative is J itself. Forward mode would
    # say so at once, but goes through all of f again each time, and not every layer has it.
    again = torch.func.vjp(adjoint, torch.zeros_like(value))[1]

    def forward(v: Tensor) -> Tensor:
        found: Tensor = again(v)[0]
        return found

    return value, forward, adjoint


def residuals(cost: Cost, batch: Batch) -> Function:
    """Give the function from states to all residuals of a cost, shape (B, number of them).

    Raises
    ------
    InputError
        A term of the cost does not say its residuals.
    """
    terms: list[LeastSquares] = []
    problems = Problems()
    for term in cost.terms:
        if isinstance(term, LeastSquares):
            terms.append(term)
        else:
            what = f"{type(term).__name__} has no residuals"
            problems.add(what, "use another solver, such as LBFGS")
    problems.raise_if_any()
    return lambda x: torch.cat([term.residuals(x, batch).flatten(1) for term in terms], 1)
