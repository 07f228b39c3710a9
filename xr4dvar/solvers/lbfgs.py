"""The quasi-Newton method of limited memory, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from xr4dvar.arguments import check_count, check_number
from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import Cost
from xr4dvar.errors import Problems
from xr4dvar.registry import register, shorthand
from xr4dvar.solvers.conjugate_gradient import dot, scale
from xr4dvar.solvers.line_search import Point, search
from xr4dvar.solvers.loop import State, refuse_graph

__all__ = ["LBFGS"]


@dataclass(frozen=True)
class Pair:
    """A step and how it changed the gradient: what is known of the curvature along it.

    Parameters
    ----------
    step, change : Tensor, shape (B, V, T, Y, X)
    weight : Tensor, shape (B,)
        One over their scalar product; 0 in samples that learned nothing from the step.
    """

    step: Tensor
    change: Tensor
    weight: Tensor

    @classmethod
    def between(cls, before: Point, after: Point) -> Pair:
        """Compare two points."""
        step, change = after.x - before.x, after.gradient - before.gradient
        product = dot(step, change)
        learned = product > torch.finfo(product.dtype).eps * dot(change, change)
        return cls(step, change, torch.where(learned, 1 / product, 0.0))

    def take(self, index: Tensor) -> Pair:
        """Only some of the samples."""
        return Pair(self.step[index], self.change[index], self.weight[index])

    def spread(self, index: Tensor, size: int) -> Pair:
        """Among so many samples; the others know nothing of it."""

        def among(part: Tensor) -> Tensor:
            return part.new_zeros(size, *part.shape[1:]).index_copy(0, index, part)

        return Pair(among(self.step), among(self.change), among(self.weight))


@dataclass(frozen=True)
class Memory:
    """Where each sample stands, its last pairs, and the size of its first gradient."""

    here: Point
    pairs: tuple[Pair, ...]
    first: Tensor

    def take(self, index: Tensor) -> Memory:
        """Only some of the samples."""
        pairs = tuple(pair.take(index) for pair in self.pairs)
        return Memory(self.here.take(index), pairs, self.first[index])

    def put(self, index: Tensor, part: Memory) -> Memory:
        """All samples, with those of `take` as they are now; the others need no pairs any more."""
        pairs = tuple(pair.spread(index, len(self.first)) for pair in part.pairs)
        return Memory(self.here.put(index, part.here), pairs, self.first)


@register
@dataclass(frozen=True)
class LBFGS:
    """Steps along an estimate of the inverse Hessian from the last steps (L-BFGS).

    Every scalar product and every line search is a sample's own: windows never see each other.

    Parameters
    ----------
    history : int
        Number of steps that are remembered.
    tolerance : float
        A sample has converged when a step lowers its cost by less than this share, when its
        gradient is this share of the first one, or when no step lowers its cost.

    Raises
    ------
    InputError
        A parameter is out of bounds.

    References
    ----------
    Liu and Nocedal 1989, https://doi.org/10.1007/BF01589116

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.cost import BackgroundTerm, Batch, Cost, ObservationTerm, Variance
    >>> from xr4dvar.solvers import LBFGS, minimise
    >>> batch = Batch.from_gappy(torch.tensor([2.0, 4.0, float("nan")]).view(1, 1, 1, 1, 3))
    >>> cost = Cost([ObservationTerm(Variance(1.0)), BackgroundTerm(Variance(1.0))])
    >>> minimise(cost, LBFGS(), batch, steps=20).x.flatten().tolist()
    [1.0, 2.0, 0.0]
    """

    history: int = 10
    tolerance: float = 1e-8

    differentiable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        problems = Problems()
        check_count("history", self.history, problems)
        check_number("tolerance", self.tolerance, problems, zero=True)
        problems.raise_if_any()

    def init(self, cost: Cost, batch: Batch, x: Tensor | None = None) -> State:
        """Start from an estimate; from zero where there is none."""
        here = Point.at(batch.zeros() if x is None else x, cost, batch)
        size = dot(here.gradient, here.gradient).sqrt()
        return State(here.x, memory=Memory(here, (), size), converged=size == 0)

    def step(
        self, cost: Cost, batch: Batch, state: State, *, differentiable: bool = False
    ) -> State:
        """Take one step, in the samples that have not converged."""
        refuse_graph(self, differentiable)
        memory: Memory = state.memory
        here, done = memory.here, state.converged
        if done is None:
            done = torch.zeros_like(here.cost, dtype=torch.bool)
        with torch.no_grad():
            direction = -_inverse_hessian_times(here.gradient, here.cost, memory.pairs)
            there = search(cost, batch, here, direction, ~done)
            pairs = (*memory.pairs, Pair.between(here, there))[-self.history :]
            # a sample that no step lowers has gained nothing: it has converged too
            settled = here.cost - there.cost <= self.tolerance * here.cost
            flat = dot(there.gradient, there.gradient).sqrt() <= self.tolerance * memory.first
        after = Memory(there, pairs, memory.first)
        return State(there.x, state.step + 1, after, done | settled | flat)


shorthand("solver", "lbfgs", LBFGS())


def _inverse_hessian_times(gradient: Tensor, cost: Tensor, pairs: Sequence[Pair]) -> Tensor:
    """Two recursions over the pairs, from the newest back and from the oldest on."""
    found, shares = gradient, []
    # of a sample without pairs: the step to the minimum if that were zero, the cost a parabola
    first = 2 * cost / dot(gradient, gradient)
    for pair in reversed(pairs):
        share = pair.weight * dot(pair.step, found)
        found = found - scale(share, pair.change)
        shares.append(share)
    for pair in pairs:
        known = 1 / (pair.weight * dot(pair.change, pair.change))
        first = torch.where(pair.weight > 0, known, first)
    found = scale(first, found)
    for pair, share in zip(pairs, reversed(shares), strict=True):
        found = found + scale(share - pair.weight * dot(pair.change, found), pair.step)
    return found
