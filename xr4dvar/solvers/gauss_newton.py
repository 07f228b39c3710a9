"""Gauss-Newton for chains of states, damped: exact linear algebra along time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from xr4dvar.arguments import check_number
from xr4dvar.cost.batch import Batch
from xr4dvar.cost.chain import ChainTerm, NormalEquations, from_states, to_states
from xr4dvar.cost.cost import Cost
from xr4dvar.errors import InputError, Problems
from xr4dvar.registry import register
from xr4dvar.solvers.block_tridiagonal import log_determinant, marginals, solve
from xr4dvar.solvers.levenberg_marquardt import Damping, foretold
from xr4dvar.solvers.loop import State, refuse_graph

__all__ = ["GaussNewton", "normal_equations"]


@register
@dataclass(frozen=True)
class GaussNewton:
    r"""Solve ``(H + \lambda diag H) d = -g`` for all times at once; keep what lowers the cost.

    H is the Gauss-Newton Hessian of a weak-constraint cost, block tridiagonal in time, solved
    exactly. The damping of Levenberg and Marquardt is each sample's own.

    Parameters
    ----------
    tolerance : float
        A sample has converged when a step lowers its cost by less than this share.
    damping : float
        The first damping.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.cost import Batch
    >>> from xr4dvar.cost.chain import ModelErrorTerm, StateObservationTerm
    >>> from xr4dvar.cost import Cost
    >>> from xr4dvar.covariance.matrix import CovarianceMatrix
    >>> from xr4dvar.solvers import GaussNewton, minimise
    >>> one = CovarianceMatrix(1.0, 1)
    >>> cost = Cost([StateObservationTerm(one), ModelErrorTerm(lambda x: x, one)])
    >>> batch = Batch.from_gappy(torch.tensor([0.0, float("nan"), 4.0]).view(1, 1, 3, 1, 1))
    >>> found = minimise(cost, GaussNewton(), batch, steps=20).x.flatten()
    >>> [round(value, 2) for value in found.tolist()]
    [1.0, 2.0, 3.0]
    """

    tolerance: float = 1e-6
    damping: float = 1e-3

    differentiable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        problems = Problems()
        check_number("tolerance", self.tolerance, problems, zero=True)
        check_number("damping", self.damping, problems)
        problems.raise_if_any()

    def init(self, cost: Cost, batch: Batch, x: Tensor | None = None) -> State:
        """Start from an estimate of all states; from zero where there is none."""
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
            equations = normal_equations(cost, to_states(state.x), batch)
            diagonal = equations.diagonal.diagonal(dim1=-2, dim2=-1)
            held = damping.value[:, None, None] * diagonal
            diagonal += held
            change = solve(equations.diagonal, equations.below, equations.gradient)
            trial = state.x - from_states(change, state.x)
            gain = foretold(equations.gradient, change, held)
            better, damping = damping.judge(cost(trial, batch), gain, self.tolerance)
            x = torch.where(better.view(-1, 1, 1, 1, 1), trial, state.x)
        return State(x, state.step + 1, damping, damping.converged)

    def covariances(self, cost: Cost, batch: Batch, x: Tensor) -> Tensor:
        """Covariances of the analysis error at each time, shape (B, T, n, n).

        Those of the Gaussian that has the curvature of the cost at its minimum (Laplace).
        """
        return self.quadratic(cost, batch, x)[1]

    def quadratic(self, cost: Cost, batch: Batch, x: Tensor) -> tuple[Tensor, Tensor]:
        """The Gaussian whose logarithm has the gradient and the curvature of the cost at `x`.

        Returns
        -------
        mean : Tensor, shape (B, T, n)
        covariances : Tensor, shape (B, T, n, n)
        """
        with torch.no_grad():
            states = to_states(x)
            equations = normal_equations(cost, states, batch)
            change = solve(equations.diagonal, equations.below, equations.gradient)
            return states - change, marginals(equations.diagonal, equations.below)

    def log_determinant(self, cost: Cost, batch: Batch, x: Tensor) -> Tensor:
        """Of the curvature of the cost, shape (B,): the larger, the narrower its minimum."""
        with torch.no_grad():
            equations = normal_equations(cost, to_states(x), batch)
            return log_determinant(equations.diagonal, equations.below)


def normal_equations(cost: Cost, states: Tensor, batch: Batch) -> NormalEquations:
    """Curvature and gradient of a cost at a chain of states (B, T, n).

    Raises
    ------
    InputError
        A term of the cost is no term of a chain of states.
    """
    equations = NormalEquations.zeros(states)
    for term in cost.terms:
        if not isinstance(term, ChainTerm):
            what = f"{type(term).__name__} has no normal equations along time"
            raise InputError([(what, "use another solver, such as GradientDescent")])
        term.add_to(equations, states, batch)
    return equations
