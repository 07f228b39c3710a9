"""Means of what a field holds at places between cells, bound to the cells of a patch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from xr4dvar.types import FloatArray, IntArray

__all__ = ["AtPoints"]


class AtPoints:
    """For each cell with observations the mean of the field at their places.

    Parameters
    ----------
    corners : numpy.ndarray of int, shape (P, n)
        Cells around each place, numbered through the patch.
    weights : numpy.ndarray, shape (P, n)
        Of the corners, times that of the observation in the mean of its cell.
    at : numpy.ndarray of int, shape (P,)
        Cell that holds the mean.
    shape : sequence of int
        Shape (T, Y, X) of the patch.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.operators.at_points import AtPoints
    >>> half_way = AtPoints(np.array([[0, 1]]), np.array([[0.5, 0.5]]), np.array([0]), (1, 1, 2))
    >>> half_way(torch.tensor([[[[[1.0, 3.0]]]]])).flatten().tolist()
    [2.0, 0.0]
    """

    linear = True

    def __init__(self, corners: IntArray, weights: FloatArray, at: IntArray, shape: Sequence[int]):
        self.corners, self.at = (
            torch.as_tensor(np.asarray(own, np.int64)) for own in (corners, at)
        )
        self.weights = torch.as_tensor(np.asarray(weights, np.float64))
        self.shape = tuple(shape)

    def __call__(self, x: Tensor) -> Tensor:
        """Interpolate, then average."""
        corners, weights, at = self._like(x)
        values = (x.flatten(2)[..., corners] * weights).sum(-1)
        empty = x.new_zeros(*x.shape[:2], int(np.prod(self.shape)))
        found: Tensor = empty.index_add(-1, at, values).unflatten(-1, self.shape)
        return found

    def adjoint(self, y: Tensor) -> Tensor:
        """The transposed operator."""
        corners, weights, at = self._like(y)
        parts = y.flatten(2)[..., at].unsqueeze(-1) * weights
        empty = y.new_zeros(*y.shape[:2], int(np.prod(self.shape)))
        found = empty.index_add(-1, corners.flatten(), parts.flatten(-2))
        state: Tensor = found.unflatten(-1, self.shape)
        return state

    def take(self, index: Tensor) -> AtPoints:
        """The same: all samples share it."""
        return self

    def _like(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.corners.to(x.device), self.weights.to(x), self.at.to(x.device)
