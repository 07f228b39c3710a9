"""Some cells of a grid, and a smooth field between them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.interpolate import make_interp_spline
from torch import Tensor

from xr4dvar.covariance.interfaces import Coordinates

__all__ = ["chosen_cells", "interpolated"]


def chosen_cells(coordinates: Coordinates, steps: Sequence[float], share: float) -> list[Tensor]:
    """Cells of each axis that are nowhere farther apart than a share of a length, ends included.

    Parameters
    ----------
    coordinates : tuple of Tensor
        Time, y and x.
    steps : sequence of float
        Lengths along them.
    share : float
        0 chooses all cells.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.covariance.between import chosen_cells
    >>> line = torch.arange(8.0)
    >>> chosen_cells((line[:1], line[:1], line), (1.0, 1.0, 6.0), 0.5)[2]
    tensor([0, 2, 5, 7])
    """
    chosen = []
    for axis, length in zip(coordinates, steps, strict=True):
        size = len(axis)
        widest = float(axis.diff().max()) if size > 1 else math.inf
        stride = max(1, int(share * length / widest))
        count = math.ceil((size - 1) / stride) + 1
        chosen.append(torch.linspace(0, size - 1, count).round().to(torch.int64))
    return chosen


def interpolated(values: Tensor, positions: Tensor, cells: Tensor, axis: int) -> Tensor:
    """Cubic spline from some cells of an axis to all (a lower order where these are few).

    Parameters
    ----------
    values : Tensor
        At the cells, along one of its dimensions.
    positions : Tensor (n,)
        Of all cells.
    cells : Tensor (k,), int
    axis : int
    """
    if len(cells) == len(positions):
        return values
    known, order = positions[cells].numpy(), min(3, len(cells) - 1)
    spline = make_interp_spline(known, np.eye(len(cells)), k=order)
    weights = torch.from_numpy(spline(positions.numpy()))
    return (values.movedim(axis, -1) @ weights.T).movedim(-1, axis)
