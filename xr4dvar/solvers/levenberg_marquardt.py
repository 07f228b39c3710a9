"""The damping rule of Levenberg and Marquardt, sample by sample.

How much a step is held back follows from how well the quadratic model foretold the step before
(Nielsen 1999, Damping parameter in Marquardt's method, IMM-REP-1999-05, Technical University of
Denmark): damping that just fits stays as it is, so that few steps are refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Damping", "foretold"]

#: Least factor of the damping after a good step, and the first after one that was refused.
EASE, TIGHTEN = 0.2, 2.0
#: Damping that is none, and that from which no step is small enough: the cost cannot fall.
LEAST, MOST = 1e-12, 1e10


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
    tighten : Tensor, shape (B,)
        What the value is multiplied by if the next step is refused: it doubles each time.
    """

    value: Tensor
    cost: Tensor
    converged: Tensor
    tighten: Tensor

    @classmethod
    def start(cls, cost: Tensor, value: float) -> Damping:
        """Begin at an estimate of this cost."""
        converged = torch.zeros_like(cost, dtype=torch.bool)
        return cls(torch.full_like(cost, value), cost, converged, torch.full_like(cost, TIGHTEN))

    def take(self, index: Tensor) -> Damping:
        """Only some of the samples."""
        return Damping(*(part[index] for part in self._parts()))

    def put(self, index: Tensor, part: Damping) -> Damping:
        """All samples, with those of `take` as they are now."""
        pairs = zip(self._parts(), part._parts(), strict=True)
        return Damping(*(whole.index_copy(0, index, new) for whole, new in pairs))

    def judge(self, trial: Tensor, foretold: Tensor, tolerance: float) -> tuple[Tensor, Damping]:
        """Say which samples take a trial step, and how to go on.

        A sample has converged when a step lowers its cost, or is foretold to lower it, by less
        than the `tolerance`, as a share of it. Costs that are not finite are refused.

        Parameters
        ----------
        trial : Tensor, shape (B,)
            Costs after the step.
        foretold : Tensor, shape (B,)
            How much the quadratic model of the cost falls, see `foretold`.
        tolerance : float

        Returns
        -------
        better : Tensor of bool, shape (B,)
        Damping
        """
        better = torch.isfinite(trial) & (trial < self.cost) & ~self.converged
        gain = torch.where(better, self.cost - trial, 0.0)
        little = tolerance * self.cost
        settled = (better & (gain <= little)) | (foretold <= little)
        ease = (1 - (2 * gain / foretold - 1) ** 3).clamp(min=EASE)
        value = self.value * torch.where(better, ease, self.tighten)
        return better, Damping(
            value.clamp(LEAST, MOST),
            torch.where(better, trial, self.cost),
            self.converged | settled | (value >= MOST),
            torch.where(better, TIGHTEN, (2 * self.tighten).clamp(max=MOST)),
        )

    def _parts(self) -> tuple[Tensor, ...]:
        return self.value, self.cost, self.converged, self.tighten


def foretold(gradient: Tensor, change: Tensor, held: Tensor) -> Tensor:
    """How much the quadratic model of a cost falls by a damped step, shape (B,).

    Parameters
    ----------
    gradient : Tensor, shape (B, ...)
    change : Tensor, shape (B, ...)
        d of ``(H + D) d = gradient``, which is taken off the state.
    held : Tensor, broadcastable to (B, ...)
        The diagonal of D.

    Returns
    -------
    Tensor, shape (B,)
        ``g'd - d'Hd / 2 = (g'd + d'Dd) / 2``.
    """
    return 0.5 * (change * (gradient + held * change)).flatten(1).sum(1)
