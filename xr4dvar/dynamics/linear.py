"""The derivative of a tendency or a step at many states at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

__all__ = ["Linearised", "linearise"]


@runtime_checkable
class Linearised(Protocol):
    """A function of states that knows its own derivative."""

    def linearise(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give what `linearise` gives."""


def linearise(f: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Derivative of a function at each of many states, and its values.

    Parameters
    ----------
    f : callable
        From states (..., n) to (..., n), each by itself. What it knows of its own derivative is
        used (`Linearised`); else reverse mode, once a component.
    x : Tensor, shape (..., n)

    Returns
    -------
    derivative : Tensor, shape (..., n, n)
        Rows: components of the value; columns: components of the state.
    value : Tensor, shape (..., n)

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.dynamics import linearise
    >>> matrix, value = linearise(lambda x: x**2, torch.tensor([3.0, 4.0]))
    >>> matrix.tolist(), value.tolist()
    ([[6.0, 0.0], [0.0, 8.0]], [9.0, 16.0])
    """
    known: object = f
    if isinstance(known, Linearised):
        return known.linearise(x)
    n = x.shape[-1]
    basis = torch.eye(n, dtype=x.dtype, device=x.device)
    basis = basis.view(n, *[1] * (x.ndim - 1), n).expand(n, *x.shape)
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        value = f(x)
        if not value.requires_grad:  # the same whatever the state
            return x.new_zeros(*x.shape, n), value
        # no state sees another one: the gradient of a component of all of them is a row of each
        (rows,) = torch.autograd.grad(value, x, basis, is_grads_batched=True)
    return rows.movedim(0, -2), value.detach()
