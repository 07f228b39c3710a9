"""Gradient descent: with a fixed step, plain or with momentum, or with one that is learned."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from xr4dvar.arguments import check_number, is_number, shown
from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import Cost
from xr4dvar.errors import InputError, Problems
from xr4dvar.registry import register, shorthand
from xr4dvar.solvers.loop import State

__all__ = ["SAFE", "GradientDescent", "LearnedDescent"]

#: A step, as a share of one over a bound of the curvature.
SAFE = 0.4


@register
@dataclass(frozen=True)
class GradientDescent:
    r"""``x <- x - s dU/dx`` from zero, the background of an increment.

    Parameters
    ----------
    step_size : float, optional
        The step s, in the units of the state squared over those of the cost. Not given: 0.4 over
        a bound of the curvature, where the method knows one.
    momentum : float
        Share m of a step that the next one repeats: the heavy ball of Polyak (1964,
        https://doi.org/10.1016/0041-5553(64)90137-5).

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
    >>> from xr4dvar.cost import Batch, Cost, ObservationTerm, Variance
    >>> from xr4dvar.solvers import GradientDescent, minimise
    >>> batch = Batch.from_gappy(torch.full((1, 1, 1, 1, 1), 2.0))
    >>> cost = Cost([ObservationTerm(Variance(1.0))])
    >>> minimise(cost, GradientDescent(0.5, momentum=0.5), batch, steps=2).x.item()
    2.0
    """

    step_size: float | None = None
    momentum: float = 0.0

    def __post_init__(self) -> None:
        problems = Problems()
        if self.step_size is not None:
            check_number("step_size", self.step_size, problems)
        momentum: object = self.momentum
        if not (is_number(momentum) and 0 <= momentum < 1):  # type: ignore[operator]
            what = f"momentum is {shown(momentum)}"
            problems.add(what, "give a share from 0 to less than 1")
        problems.raise_if_any()

    @property
    def of_states(self) -> bool:
        """Whether it goes by the curvature of the cost of a state."""
        return self.step_size is None

    def for_curvature(self, bound: float) -> GradientDescent:
        """The same with a step that is safe for a cost of at most this curvature."""
        return self if self.step_size is not None else replace(self, step_size=SAFE / bound)

    def init(self, cost: Cost, batch: Batch, x: Tensor | None = None) -> State:
        """Start from an estimate; from zero where there is none."""
        return State(batch.zeros() if x is None else x)

    def step(
        self, cost: Cost, batch: Batch, state: State, *, differentiable: bool = False
    ) -> State:
        """Take one step down the gradient."""
        if self.step_size is None:
            what = "GradientDescent has no step_size, and no bound of the curvature is known"
            raise InputError([(what, "give a step, GradientDescent(0.1)")])
        _, gradient = cost.value_and_gradient(state.x, batch, differentiable=differentiable)
        change = -self.step_size * gradient
        if not self.momentum:
            return State(state.x + change, state.step + 1)
        if state.memory is not None:
            change = change + self.momentum * state.memory
        return State(state.x + change, state.step + 1, change)


shorthand("solver", "gradient", GradientDescent())
shorthand("solver", "momentum", GradientDescent(momentum=0.9))


class LearnedDescent(nn.Module):
    """Steps down the gradient whose size training changes.

    Parameters
    ----------
    step_size : float
        Where it starts; its logarithm is the parameter.

    Examples
    --------
    >>> from xr4dvar.solvers import LearnedDescent
    >>> LearnedDescent(0.1).log_step.requires_grad
    True
    """

    def __init__(self, step_size: float):
        super().__init__()
        self.log_step = nn.Parameter(torch.tensor(step_size).log())

    def init(self, cost: Cost, batch: Batch, x: Tensor | None = None) -> State:
        """Start from an estimate; from zero where there is none."""
        return State(batch.zeros() if x is None else x)

    def step(
        self, cost: Cost, batch: Batch, state: State, *, differentiable: bool = False
    ) -> State:
        """Take one step down the gradient."""
        _, gradient = cost.value_and_gradient(state.x, batch, differentiable=differentiable)
        return State(state.x - self.log_step.exp() * gradient, state.step + 1)
