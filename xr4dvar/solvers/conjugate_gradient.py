"""Conjugate gradients: linear systems known by products only, sample by sample."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["conjugate_gradient", "dot", "scale"]


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Scalar product of each sample, shape (B,)."""
    return (a * b).flatten(1).sum(1)


def scale(factor: Tensor, x: Tensor) -> Tensor:
    """Multiply each sample by a factor of its own, shape (B,)."""
    return factor.view(-1, *[1] * (x.ndim - 1)) * x


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], right: Tensor, accuracy: float, iterations: int
) -> Tensor:
    """Solve ``A x = right`` for symmetric positive definite A, from zero.

    Parameters
    ----------
    product : callable
        From x to A x, both of shape (B, ...); every sample has an A of its own.
    right : Tensor, shape (B, ...)
    accuracy : float
        A sample is solved when what is left of its right side is this share of it.
    iterations : int
        At most.

    Returns
    -------
    Tensor, shape (B, ...)

    References
    ----------
    Hestenes and Stiefel 1952, https://doi.org/10.6028/jres.049.044

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.solvers.conjugate_gradient import conjugate_gradient
    >>> a = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    >>> conjugate_gradient(lambda x: x @ a, torch.tensor([[3.0, 3.0]]), 1e-6, 2).tolist()
    [[1.0, 1.0]]
    """
    found = torch.zeros_like(right)
    left, direction = right, right
    size = dot(left, left)
    goal = accuracy**2 * size
    for _ in range(iterations):
        going = size > goal
        if not bool(going.any()):
            break
        image = product(direction)
        share = torch.where(going, size / dot(direction, image), 0.0)
        found = found + scale(share, direction)
        left = left - scale(share, image)
        before, size = size, dot(left, left)
        direction = left + scale(torch.where(going, size / before, 0.0), direction)
    return found
