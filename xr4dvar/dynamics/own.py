"""A function that the user brings along: checks, and a module that applies it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from xr4dvar.arguments import check_flag, shown
from xr4dvar.dynamics.integrators import Step
from xr4dvar.errors import Problems

__all__ = ["OwnFunction", "Repeated", "check_function", "try_function", "try_on"]


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


def check_function(
    name: str, function: object, learned: object, fix: str, problems: Problems
) -> None:
    """Note what is no function, and nothing to learn where it is to be learned."""
    check_flag("learned", learned, problems)
    if not callable(function) or isinstance(function, type):
        problems.add(f"{name} is {shown(function)}, not a function", fix)
    elif learned is True:
        known = function.parameters() if isinstance(function, nn.Module) else ()
        if not any(p.requires_grad for p in known):
            what = f"learned is True, and {name} is no module of torch with parameters to learn"
            problems.add(what, "give a torch.nn.Module, or learned=False")


def try_function(
    function: Callable[[Tensor], Tensor], name: str, gives: str, size: int, problems: Problems
) -> None:
    """Note what goes wrong with a function of states of `size` numbers."""
    fix = f"give {gives} for each component; components are the last dimension, x[..., i]"
    try_on(OwnFunction(function), name, fix, size, problems)


def try_on(
    function: Callable[[Tensor], Tensor], name: str, fix: str, size: int, problems: Problems
) -> None:
    """Note what fails on states, mixes them, has no derivative, or gives not one for each."""
    states = torch.linspace(0.1, 0.9, 6 * size, dtype=torch.float64).reshape(2, 3, size)
    where = f"states of shape {tuple(states.shape)}, torch.float64"
    try:
        with torch.enable_grad():
            found = function(states.clone().requires_grad_())
        with torch.no_grad():
            again, alone, other = (function(x) for x in (states, states[1:, 2:], 1.01 * states))
    except Exception as error:  # whatever the user's code may raise
        problems.add(f"{name} fails on {where} ({type(error).__name__}: {error})", fix)
        return
    given: object = found
    if not isinstance(given, torch.Tensor):
        problems.add(f"{name} gives {type(given).__name__} of {where}", fix)
    elif found.shape != states.shape:  # would be broadcast, and pass for a model
        problems.add(f"{name} gives states of shape {tuple(found.shape)} of {where}", fix)
    elif not torch.allclose(found, again, rtol=1e-4, equal_nan=True):
        problems.add(f"{name} is random", "let it give the same each time, as module.eval() does")
    elif not torch.allclose(again[1:, 2:], alone, rtol=1e-4, equal_nan=True):
        what = f"{name} gives something else of a state when there are others beside it"
        problems.add(what, "let it treat each state by itself")
    elif not found.requires_grad and not torch.equal(again, other):
        what = f"torch cannot differentiate {name}"
        problems.add(what, "write it in torch all through, without detach() or numpy")
