"""Gradient descent with a fixed step."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from xr4dvar.batch import Batch
from xr4dvar.cost import Cost
from xr4dvar.errors import InputError
from xr4dvar.solvers.loop import State

__all__ = ["GradientDescent"]


class GradientDescent(nn.Module):
    """``x <- x - s dU/dx`` from zero, the background of an increment.

    Parameters
    ----------
    step_size : float
        The step s, in the units of the state squared over those of the cost.
    learned : bool
        Whether training may change it; its logarithm is then a parameter.

    Raises
    ------
    InputError
        The step is not positive and finite.
    """

    def __init__(self, step_size: float, *, learned: bool = False):
        super().__init__()
        if not 0 < step_size < math.inf:
            raise InputError([(f"step_size is {step_size}", "give a positive step")])
        self.log_step = nn.Parameter(torch.tensor(step_size).log(), requires_grad=learned)

    def init(self, cost: Cost, batch: Batch) -> State:
        """Start from zero."""
        return State(torch.zeros_like(batch.y))

    def step(
        self, cost: Cost, batch: Batch, state: State, *, differentiable: bool = False
    ) -> State:
        """Take one step down the gradient."""
        gradients = cost.gradients(state.x, batch, differentiable=differentiable)
        total: Tensor = torch.stack(gradients).sum(0)
        return State(state.x - self.log_step.exp() * total, state.step + 1)
