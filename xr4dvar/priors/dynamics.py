"""A known model as a prior: what a state should be, from the one before."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xr4dvar.cost.chain import from_states, to_states
from xr4dvar.dynamics.integrators import Step

__all__ = ["DynamicsPrior"]


class DynamicsPrior(nn.Module):
    """``Phi(x)_{t+1} = M(x_t)``, and ``Phi(x)_0 = x_0``: weak-constraint 4DVar in this form.

    Parameters
    ----------
    step : callable
        M, from states (..., n) in the model's units to those one time later.
    mean, spread : Tensor, shape (V, 1, Y, X)
        The state is an anomaly to this mean, in units of this spread. The model runs in their
        precision: in the data's own units float32 may hold nothing but the mean.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.priors import DynamicsPrior
    >>> zero, one = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)
    >>> prior = DynamicsPrior(lambda x: 2 * x, zero, one)
    >>> prior(torch.tensor([1.0, 2.0, 5.0]).view(1, 1, 3, 1, 1)).flatten().tolist()
    [1.0, 2.0, 4.0]
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, step: Step, mean: Tensor, spread: Tensor):
        super().__init__()
        self.step = step
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Give Phi(x); the context is of no use."""
        before = self.mean + self.spread * x[:, :, :-1].to(self.mean.dtype)
        after = from_states(self.step(to_states(before)), before)
        scaled = (after - self.mean) / self.spread
        return torch.cat([x[:, :, :1], scaled.to(x.dtype)], 2)
