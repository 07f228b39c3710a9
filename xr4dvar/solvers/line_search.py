"""A line search, sample by sample."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xr4dvar.cost.batch import Batch
from xr4dvar.cost.cost import Cost
from xr4dvar.solvers.conjugate_gradient import dot, scale

__all__ = ["Point", "search"]

#: Share of the fall that the slope promises which is enough, and share of the slope that may be
#: left: the usual ones of quasi-Newton methods.
FALL, SLOPE = 1e-4, 0.9
#: Trials after which a sample is given up.
TRIALS = 30


@dataclass(frozen=True)
class Point:
    """States of samples, with the costs (B,) and their gradients there."""

    x: Tensor
    cost: Tensor
    gradient: Tensor

    @classmethod
    def at(cls, x: Tensor, cost: Cost, batch: Batch) -> Point:
        """Look at the cost of some states."""
        return cls(x, *cost.value_and_gradient(x, batch))

    def take(self, index: Tensor) -> Point:
        """Only some of the samples."""
        return Point(self.x[index], self.cost[index], self.gradient[index])

    def put(self, index: Tensor, part: Point) -> Point:
        """All samples, with those of `take` as they are now."""
        return Point(
            self.x.index_copy(0, index, part.x),
            self.cost.index_copy(0, index, part.cost),
            self.gradient.index_copy(0, index, part.gradient),
        )


def search(cost: Cost, batch: Batch, here: Point, direction: Tensor, searched: Tensor) -> Point:
    """Go along a direction until the cost has fallen enough and its slope has flattened enough.

    These are the weak conditions of Wolfe, found by doubling and bisection from the whole
    direction: each trial narrows an interval that holds such a step.

    Parameters
    ----------
    cost : Cost
    batch : Batch
    here : Point
    direction : Tensor, shape (B, V, T, Y, X)
        In which the cost falls.
    searched : Tensor of bool, shape (B,)
        Samples that are searched; the others stay where they are.

    Returns
    -------
    Point
        What was found, or the lowest trial of a sample that found none: never higher than `here`.

    References
    ----------
    Lewis and Overton 2013, https://doi.org/10.1007/s10107-012-0514-2
    """
    slope = dot(here.gradient, direction)
    size, short = torch.ones_like(slope), torch.zeros_like(slope)
    long = torch.full_like(slope, torch.inf)
    found = here
    for _ in range(TRIALS):
        going = torch.nonzero(searched)[:, 0]
        if not len(going):
            break
        way, share = direction[going], size[going]
        trial = Point.at(here.x[going] + scale(share, way), cost, batch.take(going))
        left = dot(trial.gradient, way)
        enough = here.cost[going] + FALL * share * slope[going]
        # costs and slopes that are no numbers are no fall
        falls = (trial.cost <= enough) & torch.isfinite(left)
        ends = falls & (left >= SLOPE * slope[going])
        kept = torch.nonzero(ends | (falls & (trial.cost < found.cost[going])))[:, 0]
        found = found.put(going[kept], trial.take(kept))
        short[going] = torch.where(falls, share, short[going])
        long[going] = torch.where(falls, long[going], share)
        size = torch.where(torch.isinf(long), 2 * short, 0.5 * (short + long))
        searched = searched.index_copy(0, going, ~ends)
    return found
