"""Strong constraint: the model is exact, and the first state is all there is to find."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.chain import from_states, to_states
from xr4dvar.cost.cost import Cost
from xr4dvar.dynamics.integrators import Step, trajectory
from xr4dvar.dynamics.linear import linearise
from xr4dvar.solvers.block_tridiagonal import inverse
from xr4dvar.solvers.gauss_newton import normal_equations
from xr4dvar.solvers.levenberg_marquardt import Damping, foretold
from xr4dvar.solvers.loop import State, refuse_graph

__all__ = ["Shooting", "sensitivities"]


class Shooting(nn.Module):
    """Gauss-Newton in the first state; the others follow from the model.

    Parameters
    ----------
    step : callable
        The model, from states (..., n) to those one time later.
    tolerance : float
        A sample has converged when a step lowers its cost by less than this share.
    damping : float
        The first damping.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.cost import Batch
    >>> from xr4dvar.cost.chain import StateObservationTerm
    >>> from xr4dvar.cost import Cost
    >>> from xr4dvar.covariance.matrix import CovarianceMatrix
    >>> from xr4dvar.solvers import Shooting, minimise
    >>> cost = Cost([StateObservationTerm(CovarianceMatrix(1.0, 1))])
    >>> batch = Batch.from_gappy(torch.tensor([float("nan"), 2.0, 4.0]).view(1, 1, 3, 1, 1))
    >>> found = minimise(cost, Shooting(lambda x: 2 * x), batch, steps=20).x.flatten()
    >>> [round(value, 3) for value in found.tolist()]
    [1.0, 2.0, 4.0]
    """

    def __init__(self, step: Step, tolerance: float = 1e-8, damping: float = 1e-3):
        super().__init__()
        self.model = step
        self.tolerance = tolerance
        self.damping = damping

    def init(self, cost: Cost, batch: Batch, x: Tensor | None = None) -> State:
        """Start from the trajectory of the first state of an estimate, zero if there is none."""
        x = batch.zeros() if x is None else x
        with torch.no_grad():
            x = self._run(to_states(x)[:, 0], x)
            return State(x, memory=Damping.start(cost(x, batch), self.damping))

    def step(
        self, cost: Cost, batch: Batch, state: State, *, differentiable: bool = False
    ) -> State:
        """Move the first state, in the samples where it helps."""
        refuse_graph(self, differentiable)
        damping: Damping = state.memory
        with torch.no_grad():
            states = to_states(state.x)
            matrix, gradient, _ = self._normal(cost, states, batch)
            diagonal = matrix.diagonal(dim1=-2, dim2=-1)
            held = damping.value[:, None] * diagonal
            diagonal += held
            change = (inverse(matrix) @ gradient[..., None])[..., 0]
            trial = self._run(states[:, 0] - change, state.x)
            gain = foretold(gradient, change, held)
            better, damping = damping.judge(cost(trial, batch), gain, self.tolerance)
            x = torch.where(better.view(-1, 1, 1, 1, 1), trial, state.x)
        return State(x, state.step + 1, damping, damping.converged)

    def _run(self, first: Tensor, like: Tensor) -> Tensor:
        return from_states(trajectory(self.model, first, like.shape[2]), like)

    def gradient(self, cost: Cost, batch: Batch, x: Tensor) -> Tensor:
        """Gradient of the cost with respect to the first state of a trajectory, shape (B, n)."""
        with torch.no_grad():
            return self._normal(cost, to_states(x), batch)[1]

    def covariances(self, cost: Cost, batch: Batch, x: Tensor) -> Tensor:
        """Covariances of the analysis error at each time, shape (B, T, n, n).

        Those of the Gaussian that has the curvature of the cost at its minimum (Laplace), carried
        from the first state to the others by the model's derivative.
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
            matrix, gradient, by_first = self._normal(cost, states, batch)
            of_first = inverse(matrix)
            change = by_first @ (of_first @ gradient[..., None])[:, None]
            return states - change[..., 0], by_first @ of_first[:, None] @ by_first.mT

    def log_determinant(self, cost: Cost, batch: Batch, x: Tensor) -> Tensor:
        """Of the curvature of the cost, shape (B,): the larger, the narrower its minimum."""
        with torch.no_grad():
            matrix, _, _ = self._normal(cost, to_states(x), batch)
            logs: Tensor = torch.linalg.slogdet(matrix).logabsdet
            return logs

    def _normal(self, cost: Cost, states: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Curvature (B, n, n) and gradient (B, n) by the first state, and `sensitivities`."""
        equations = normal_equations(cost, states, batch)
        by_first = sensitivities(self.model, states)
        matrix = (by_first.mT @ equations.diagonal @ by_first).sum(1)
        gradient = (by_first.mT @ equations.gradient[..., None]).sum(1)[..., 0]
        return matrix, gradient, by_first


def sensitivities(step: Step, states: Tensor) -> Tensor:
    """Derivative of each state of a trajectory (B, T, n) by its first one, (B, T, n, n)."""
    tangent, _ = linearise(step, states[:, :-1])
    n = states.shape[-1]
    eye = torch.eye(n, dtype=states.dtype, device=states.device)
    found = [eye.expand(len(states), n, n)]
    for t in range(states.shape[1] - 1):
        found.append(tangent[:, t] @ found[-1])
    return torch.stack(found, 1)
