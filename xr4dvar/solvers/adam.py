"""Adam: gradient descent with a step of its own for every cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from xr4dvar.arguments import check_number
from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import Cost
from xr4dvar.errors import Problems
from xr4dvar.registry import register, shorthand
from xr4dvar.solvers.loop import State, refuse_graph

__all__ = ["Adam"]


@dataclass(frozen=True)
class Moments:
    """Running means of a gradient and of its square, cell by cell."""

    mean: Tensor
    square: Tensor


@register
@dataclass(frozen=True)
class Adam:
    """Steps along the mean of the gradients, over the root of the mean of their squares.

    Cells do not see each other: what else is in the batch never changes a result.

    Parameters
    ----------
    step_size : float
        About how far a cell moves in a step, in the units of the state.
    decay : (float, float)
        Share of the two running means that a step keeps.
    epsilon : float
        Root mean square of a cell's gradients below which it moves less.

    Raises
    ------
    InputError
        A parameter is out of bounds.

    References
    ----------
    Kingma and Ba 2015, https://doi.org/10.48550/arXiv.1412.6980

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.cost import Batch, Cost, ObservationTerm, Variance
    >>> from xr4dvar.solvers import Adam, minimise
    >>> batch = Batch.from_gappy(torch.full((1, 1, 1, 1, 1), 2.0))
    >>> cost = Cost([ObservationTerm(Variance(1.0))])
    >>> round(minimise(cost, Adam(0.1), batch, steps=3).x.item(), 2)
    0.3
    """

    step_size: float
    decay: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8

    differentiable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        problems = Problems()
        check_number("step_size", self.step_size, problems)
        if not all(0 <= share < 1 for share in self.decay):
            problems.add(f"decay is {self.decay}", "give shares from 0 to less than 1")
        check_number("epsilon", self.epsilon, problems)
        problems.raise_if_any()

    def init(self, cost: Cost, batch: Batch, x: Tensor | None = None) -> State:
        """Start from an estimate; from zero where there is none."""
        x = batch.zeros() if x is None else x
        return State(x, memory=Moments(torch.zeros_like(x), torch.zeros_like(x)))

    def step(
        self, cost: Cost, batch: Batch, state: State, *, differentiable: bool = False
    ) -> State:
        """Take one step."""
        refuse_graph(self, differentiable)
        moments: Moments = state.memory
        first, second = self.decay
        with torch.no_grad():
            _, gradient = cost.value_and_gradient(state.x, batch)
            mean = first * moments.mean + (1 - first) * gradient
            square = second * moments.square + (1 - second) * gradient**2
            # both began at zero: the shares of it that are left are divided out
            done = state.step + 1
            unbiased = (square / (1 - second**done)).sqrt()
            change = mean / (1 - first**done) / (unbiased + self.epsilon)
        return State(state.x - self.step_size * change, done, Moments(mean, square))


shorthand("solver", "adam", Adam(0.05))  # of the spread of the data
