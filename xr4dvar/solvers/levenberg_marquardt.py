"""The damping rule of Levenberg and Marquardt, sample by sample."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Damping"]

#: Factors of the damping after a good step, and after one that was refused.
EASE, TIGHTEN = 0.2, 5.0
#: Damping from which no step is small enough: the cost cannot fall any more.
MOST = 1e10


@dataclass(frozen=True)
class Damping:
    """How much each sample's step is held back, and whether it still gets anywhere.

    Parameters
    ----------
    value : Tensor, shape (B,)
        Share of the Hessian's diagonal that is added to it.
    cost : Tensor, shape (B,)
        The cost at the current estimate.
    converged : Tensor of bool, shape (B,)
    """

    value: Tensor
    cost: Tensor
    converged: Tensor

    @classmethod
    def start(cls, cost: Tensor, value: float) -> Damping:
        """Begin at an estimate of this cost."""
        return cls(torch.full_like(cost, value), cost, torch.zeros_like(cost, dtype=torch.bool))

    def take(self, index: Tensor) -> Damping:
        """Only some of the samples."""
        return Damping(self.value[index], self.cost[index], self.converged[index])

    def put(self, index: Tensor, part: Damping) -> Damping:
        """All samples, with those of `take` as they are now."""
        return Damping(
            self.value.index_copy(0, index, part.value),
            self.cost.index_copy(0, index, part.cost),
            self.converged.index_copy(0, index, part.converged),
        )

    def judge(self, trial: Tensor, tolerance: float) -> tuple[Tensor, Damping]:
        """Say which samples take a trial step of these costs, and how to go on.

        A sample has converged when an accepted step lowers its cost by less than the
        `tolerance`, as a share of it. Costs that are not finite are refused.

        Returns
        -------
        better : Tensor of bool, shape (B,)
        Damping
        """
        better = torch.isfinite(trial) & (trial < self.cost) & ~self.converged
        gain = torch.where(better, self.cost - trial, 0.0)
        settled = better & (gain <= tolerance * self.cost)
        value = self.value * torch.where(better, EASE, TIGHTEN)
        stuck = value > MOST
        return better, Damping(
            value.clamp(min=1e-12),
            torch.where(better, trial, self.cost),
            self.converged | settled | stuck,
        )
