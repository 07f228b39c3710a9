r"""Costs of states that follow each other in time.

.. math:: U(x) = \tfrac12\sum_{t\,\text{observed}} |y_t - H(x_t)|^2_R
          + \tfrac12\sum_t |x_{t+1} - M(x_t)|^2_Q + \tfrac12 |x_0 - b|^2_B

A state is all that a patch holds at one time: (B, V, T, Y, X) is read as (B, T, n). Each term is
a term of a `Cost`, so that any solver minimises it, and adds itself to the normal equations of
the Gauss-Newton method, whose matrix is block tridiagonal in time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import half_squares
from xr4dvar.covariance.matrix import CovarianceMatrix
from xr4dvar.dynamics.integrators import Step
from xr4dvar.dynamics.linear import linearise

__all__ = [
    "ChainTerm",
    "InitialStateTerm",
    "ModelErrorTerm",
    "NormalEquations",
    "StateObservationTerm",
    "from_states",
    "to_states",
]


def to_states(x: Tensor) -> Tensor:
    """Read (B, V, T, Y, X) as a chain of states (B, T, n), variables first."""
    return x.movedim(2, 1).flatten(2)


def from_states(states: Tensor, like: Tensor) -> Tensor:
    """Put a chain of states (B, T, n) back into the shape of ``like``, (B, V, T, Y, X)."""
    _, variables, times, y, x = like.shape
    return states.reshape(len(states), times, variables, y, x).movedim(1, 2)


@dataclass
class NormalEquations:
    """The quadratic model of a cost about a chain of states.

    Parameters
    ----------
    diagonal : Tensor, shape (B, T, n, n)
    below : Tensor, shape (B, T - 1, n, n)
        Blocks below the diagonal: rows of t + 1, columns of t.
    gradient : Tensor, shape (B, T, n)
    """

    diagonal: Tensor
    below: Tensor
    gradient: Tensor

    @classmethod
    def zeros(cls, states: Tensor) -> NormalEquations:
        """Make the equations of no term at all."""
        batch, times, n = states.shape
        diagonal = states.new_zeros(batch, times, n, n)
        return cls(diagonal, diagonal.new_zeros(batch, times - 1, n, n), torch.zeros_like(states))


@runtime_checkable
class ChainTerm(Protocol):
    """A term of a cost that knows its normal equations along time."""

    def add_to(self, equations: NormalEquations, states: Tensor, batch: Batch) -> None:
        """Add the curvature and the gradient at a chain of states (B, T, n)."""


class StateObservationTerm(nn.Module):
    """Half the sum of ``|y - H(x)|^2_R`` over what was observed, with the batch's H.

    H takes the state of each time by itself; components that are missing are left out.

    Parameters
    ----------
    covariance : CovarianceMatrix
        R, of the errors of all components at one time.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.cost import Batch
    >>> from xr4dvar.cost.chain import StateObservationTerm
    >>> from xr4dvar.covariance.matrix import CovarianceMatrix
    >>> batch = Batch.from_gappy(torch.tensor([2.0, float("nan")]).view(1, 1, 2, 1, 1))
    >>> StateObservationTerm(CovarianceMatrix(4.0, 1))(torch.zeros(1, 1, 2, 1, 1), batch)
    tensor([0.5000])
    """

    def __init__(self, covariance: CovarianceMatrix):
        super().__init__()
        self.covariance = covariance

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        """Cost of each sample, shape (B,)."""
        return half_squares(self.residuals(x, batch))

    def residuals(self, x: Tensor, batch: Batch) -> Tensor:
        """Misfits in units of their standard errors (B, T, n), 0 where nothing was observed."""
        misfit, weight = to_states(batch.misfit(x)), to_states(batch.weight)
        if self.covariance.diagonal:
            return weight.sqrt() * self.covariance.whiten(misfit)
        seen, part = self._observed(weight)
        root, misfit = torch.linalg.cholesky(part), (seen * misfit)[..., None]
        whitened: Tensor = torch.linalg.solve_triangular(root, misfit, upper=False)
        return whitened[..., 0]

    def add_to(self, equations: NormalEquations, states: Tensor, batch: Batch) -> None:
        """Add the curvature and the gradient at a chain of states."""
        misfit, tangent = _observed_states(states, batch)
        gradient = self._weighted(misfit, batch)
        if tangent is not None:
            equations.diagonal += tangent.mT @ self._precisions(batch) @ tangent
            equations.gradient += (tangent.mT @ gradient[..., None])[..., 0]
            return
        equations.gradient += gradient
        if self.covariance.diagonal:
            precision = to_states(batch.weight) * self.covariance.root**-2
            equations.diagonal.diagonal(dim1=-2, dim2=-1).add_(precision)
        else:
            equations.diagonal += self._precision(to_states(batch.weight))

    def log_determinant(self, batch: Batch) -> Tensor:
        """Of the covariance of all that was observed in each sample, shape (B,)."""
        weight = to_states(batch.weight)
        if self.covariance.diagonal:
            logs = 2 * self.covariance.root.to(weight.dtype).log()
            return ((weight > 0) * logs).flatten(1).sum(1)
        _, part = self._observed(weight)
        found: Tensor = torch.linalg.slogdet(part).logabsdet.sum(1)
        return found

    def _weighted(self, misfit: Tensor, batch: Batch) -> Tensor:
        """``R^-1`` of the observed components times the misfit (B, T, n)."""
        weight = to_states(batch.weight)
        if self.covariance.diagonal:
            return weight * misfit / self.covariance.root.to(misfit.dtype) ** 2
        return (self._precision(weight) @ misfit[..., None])[..., 0]

    def _precisions(self, batch: Batch) -> Tensor:
        """Inverse of R where something was observed, (B, T, n, n)."""
        weight = to_states(batch.weight)
        if self.covariance.diagonal:
            return torch.diag_embed(weight / self.covariance.root.to(weight.dtype) ** 2)
        return self._precision(weight)

    def _precision(self, weight: Tensor) -> Tensor:
        """Inverse of the observed part of R, zero elsewhere, shape (B, T, n, n)."""
        seen, part = self._observed(weight)
        inverse: Tensor = torch.linalg.inv(part)
        return seen[..., None] * inverse * seen[..., None, :]

    def _observed(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """What was seen (B, T, n), and the part of R that belongs to it, else the identity."""
        seen = (weight > 0).to(weight.dtype)
        part = seen[..., None] * self.covariance.matrix().to(weight.dtype) * seen[..., None, :]
        return seen, part + torch.diag_embed(1 - seen)


class ModelErrorTerm(nn.Module):
    """Half the sum of ``|x_{t+1} - M(x_t)|^2_Q``: the weak constraint.

    Parameters
    ----------
    step : callable
        M, from states (..., n) to those one time later.
    covariance : CovarianceMatrix
        Q, of what the model gets wrong in one step.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.cost import Batch
    >>> from xr4dvar.cost.chain import ModelErrorTerm
    >>> from xr4dvar.covariance.matrix import CovarianceMatrix
    >>> x = torch.tensor([1.0, 2.0, 5.0]).view(1, 1, 3, 1, 1)  # the last is one too large
    >>> ModelErrorTerm(lambda x: 2 * x, CovarianceMatrix(0.5, 1))(x, Batch.from_gappy(x))
    tensor([1.0000])
    """

    def __init__(self, step: Step, covariance: CovarianceMatrix):
        super().__init__()
        self.step = step
        self.covariance = covariance

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        """Cost of each sample, shape (B,)."""
        return half_squares(self.residuals(x, batch))

    def residuals(self, x: Tensor, batch: Batch) -> Tensor:
        """Model errors in units of their standard errors, shape (B, T - 1, n)."""
        states = to_states(x)
        after = self.step(states[:, :-1])
        return self.covariance.whiten(states[:, 1:] - _forced(after, batch))

    def add_to(self, equations: NormalEquations, states: Tensor, batch: Batch) -> None:
        """Add the curvature (first derivatives of M only) and the gradient."""
        before = states[:, :-1]
        tangent, after = linearise(self.step, before)
        precision = self.covariance.precision().to(states.dtype)
        error = self.covariance.solve((states[:, 1:] - _forced(after, batch))[..., None])
        weighted = self.covariance.solve(tangent)
        equations.diagonal[:, 1:] += precision
        equations.diagonal[:, :-1] += tangent.mT @ weighted
        equations.below -= weighted
        equations.gradient[:, 1:] += error[..., 0]
        equations.gradient[:, :-1] -= (tangent.mT @ error)[..., 0]


class InitialStateTerm(nn.Module):
    """Half of ``|x_0 - b|^2_B``: what was known of the first state.

    Parameters
    ----------
    mean : Tensor, shape (n,)
        b, such as the mean of the climate; a batch may bring one of its own for each window,
        such as an earlier analysis, and its covariance.
    covariance : CovarianceMatrix
        B, of its errors.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.cost import Batch
    >>> from xr4dvar.cost.chain import InitialStateTerm
    >>> from xr4dvar.covariance.matrix import CovarianceMatrix
    >>> x = torch.tensor([3.0, 9.0]).view(1, 1, 2, 1, 1)
    >>> term = InitialStateTerm(torch.tensor([1.0]), CovarianceMatrix(2.0, 1))
    >>> round(term(x, Batch.from_gappy(x)).item(), 6)
    1.0
    """

    mean: Tensor

    def __init__(self, mean: Tensor, covariance: CovarianceMatrix):
        super().__init__()
        self.register_buffer("mean", mean)
        self.covariance = covariance

    def forward(self, x: Tensor, batch: Batch) -> Tensor:
        """Cost of each sample, shape (B,)."""
        return half_squares(self.residuals(x, batch))

    def residuals(self, x: Tensor, batch: Batch) -> Tensor:
        """Anomalies in units of their standard errors, shape (B, n)."""
        anomaly = to_states(x)[:, 0] - self._background(batch).to(x.dtype)
        if batch.initial_covariance is None:
            return self.covariance.whiten(anomaly)
        root = torch.linalg.cholesky(batch.initial_covariance.to(x.dtype))
        white: Tensor = torch.linalg.solve_triangular(root, anomaly[..., None], upper=False)
        return white[..., 0]

    def add_to(self, equations: NormalEquations, states: Tensor, batch: Batch) -> None:
        """Add the curvature and the gradient."""
        if batch.initial_covariance is None:
            precision = self.covariance.precision().to(states.dtype)
        else:
            precision = torch.linalg.inv(batch.initial_covariance.to(states.dtype))
        equations.diagonal[:, 0] += precision
        anomaly = states[:, 0] - self._background(batch).to(states.dtype)
        equations.gradient[:, 0] += (precision @ anomaly[..., None])[..., 0]

    def _background(self, batch: Batch) -> Tensor:
        return self.mean if batch.initial is None else batch.initial


def _observed_states(states: Tensor, batch: Batch) -> tuple[Tensor, Tensor | None]:
    """Misfits (B, T, n) of a chain of states, and the derivative (B, T, n, n) of an operator."""
    misfit = to_states(batch.misfit(from_states(states, batch.y)))
    operator = batch.operator
    if operator is None:
        return misfit, None

    def observed(one: Tensor) -> Tensor:
        return to_states(operator(from_states(one, batch.y)))

    tangent, _ = linearise(observed, states)
    return misfit, tangent


def _forced(after: Tensor, batch: Batch) -> Tensor:
    return after if batch.forcing is None else after + batch.forcing
