"""A function that the user brings along, as a module; and one that is repeated."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from xr4dvar.dynamics.integrators import Step

__all__ = ["OwnFunction", "Repeated"]


class OwnFunction(nn.Module):
    """A function of states (..., n) that works in float64, for states in any precision.

    Parameters
    ----------
    function : callable
        A module is copied: what is learned leaves the user's as it is.
    learned : bool
        Whether training may change its parameters, those that are not frozen.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.dynamics import OwnFunction
    >>> double = OwnFunction(torch.nn.Linear(3, 3))
    >>> double(torch.ones(5, 3, dtype=torch.float64)).dtype
    torch.float64
    """

    def __init__(self, function: Callable[[Tensor], Tensor], learned: bool = False):
        super().__init__()
        if isinstance(function, nn.Module):
            function = copy.deepcopy(function).double()
            for parameter in function.parameters():
                parameter.requires_grad = learned and parameter.requires_grad
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to states (..., n)."""
        if x.dtype == torch.float64:
            return self.function(x)
        return self.function(x.double()).to(x.dtype)


class Repeated(nn.Module):
    """A map over one step, over several.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.dynamics import Repeated
    >>> Repeated(lambda x: 2 * x, 3)(torch.ones(1)).item()
    8.0
    """

    def __init__(self, step: Step, times: int):
        super().__init__()
        self.step = step
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        """Map states (..., n) to those so many steps later."""
        for _ in range(self.times):
            x = self.step(x)
        return x
