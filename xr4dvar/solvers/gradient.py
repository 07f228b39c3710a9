"""Gradient descent with a fixed step, plain or with momentum."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from xr4dvar.batch import Batch
from xr4dvar.cost import Cost
from xr4dvar.errors import Problems
from xr4dvar.solvers.loop import State

__all__ = ["GradientDescent"]


class GradientDescent(nn.Module):
    r"""``x <- x - s dU/dx`` from zero, the background of an increment.

    Parameters
    ----------
    step_size : float
        The step s, in the units of the state squared over those of the cost.
    momentum : float
        Share m of a step that the next one repeats: the heavy ball of Polyak (1964,
        https://doi.org/10.1016/0041-5553(64)90137-5).
    learned : bool
        Whether training may change the step; its logarithm is then a parameter.

    Raises
    ------
    InputError
        The step is not positive and finite, or the momentum is not in [0, 1).

    Notes
    -----
    With momentum,

    .. math:: v \leftarrow m v - s\,\partial U/\partial x, \quad x \leftarrow x + v

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.batch import Batch
    >>> from xr4dvar.cost import Cost, ObservationTerm, Variance
    >>> from xr4dvar.solvers import GradientDescent, minimise
    >>> batch = Batch.from_gappy(torch.full((1, 1, 1, 1, 1), 2.0))
    >>> cost = Cost([ObservationTerm(Variance(1.0))])
    >>> minimise(cost, GradientDescent(0.5, momentum=0.5), batch, steps=2).x.item()
    2.0
    """

    def __init__(self, step_size: float, *, momentum: float = 0.0, learned: bool = False):
        super().__init__()
        problems = Problems()
        if not 0 < step_size < math.inf:
            problems.add(f"step_size is {step_size}", "give a positive step")
        if not 0 <= momentum < 1:
            problems.add(f"momentum is {momentum}", "give a share from 0 to less than 1")
        problems.raise_if_any()
        self.momentum = momentum
        self.log_step = nn.Parameter(torch.tensor(step_size).log(), requires_grad=learned)

    def init(self, cost: Cost, batch: Batch, x: Tensor | None = None) -> State:
        """Start from an estimate; from zero where there is none."""
        return State(torch.zeros_like(batch.y) if x is None else x)

    def step(
        self, cost: Cost, batch: Batch, state: State, *, differentiable: bool = False
    ) -> State:
        """Take one step down the gradient."""
        _, gradient = cost.value_and_gradient(state.x, batch, differentiable=differentiable)
        change = -self.log_step.exp() * gradient
        if not self.momentum:
            return State(state.x + change, state.step + 1)
        if state.memory is not None:
            change = change + self.momentum * state.memory
        return State(state.x + change, state.step + 1, change)
