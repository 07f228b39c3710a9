"""Close observations as one, where their mean says as much as they do apart."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from xr4dvar.covariance.interfaces import Covariance

__all__ = ["merge_points", "scaled"]

#: Sides of the boxes that are tried, as shares of the shortest lengths.
SIDES = (0.3, 0.2, 0.14, 0.1, 0.07, 0.05)

#: The mean of a field over a box may differ from its middle by this share of the error variance
#: of the merged observation.
SHARE = 5e-5


def merge_points(
    points: Tensor, innovation: Tensor, error: Tensor, covariance: Covariance
) -> tuple[Tensor, Tensor, Tensor]:
    """Merge observations in boxes as large as their precision and the covariance allow.

    A merged observation stands for the field in the middle of its box, while it is a mean over the
    box. The boxes are the largest of `SIDES` for which the variance of that difference is at most
    0.005 % of the median error variance of the merged observations; none is small enough for
    precise observations of a rough field, which stay as they are.

    Parameters
    ----------
    points : Tensor (n, 3)
        Time, y and x.
    innovation, error : Tensor (n,)
        Innovation and positive error variance.
    covariance : covariance model

    Returns
    -------
    points, innovation, error : Tensor (m, 3), (m,), (m,)
        Means weighted by precision, and the error variance of these.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.covariance import Separable, merge_points
    >>> line = torch.zeros(100, 3, dtype=torch.float64)
    >>> line[:, 2] = torch.linspace(0.0, 1.0, 100)
    >>> model, error = Separable((1.0, 1.0, 1.0)), torch.full((100,), 10.0).double()
    >>> len(merge_points(line, line[:, 2], error, model)[0])
    11
    >>> len(merge_points(line, line[:, 2], 1e-6 * error, model)[0])
    100
    """
    for side in SIDES:
        box, count = _boxes(scaled(points, covariance) / side)
        precision = 1.0 / error
        total = precision.new_zeros(count).index_add_(0, box, precision)
        if _difference(covariance, side) <= SHARE * float((1.0 / total).median()):
            break
    else:
        return points, innovation, error
    value = innovation.new_zeros(count).index_add_(0, box, innovation * precision)
    return (
        _middles(points, precision / total[box], box, count, covariance),
        value / total,
        1 / total,
    )


def scaled(points: Tensor, covariance: Covariance) -> Tensor:
    """Positions (n, d), each axis in units of the shortest length along it."""
    places = [term.embed(points) for term in covariance.terms]
    if len({each.shape for each in places}) > 1:  # degrees and kilometres: all axes of both
        return torch.cat(places, -1)
    terms = torch.stack(places)
    finest = terms.abs().amax(1).argmax(0)
    return terms[finest, :, torch.arange(terms.shape[-1])].T


def _boxes(positions: Tensor) -> tuple[Tensor, int]:
    """Number of the unit box that each position lies in, and how many boxes there are."""
    numbers, box = torch.unique(positions.floor(), dim=0, return_inverse=True)
    return box, len(numbers)


def _difference(covariance: Covariance, side: float) -> float:
    """Variance of the mean over a box minus the value in its middle (Gauss-Legendre, 2 nodes)."""
    node = side / (2.0 * math.sqrt(3.0))
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)), dtype=torch.float64)
    steps = torch.tensor(covariance.steps, dtype=torch.float64)
    nodes, middle = node * signs * steps, torch.zeros(1, 3, dtype=torch.float64)
    mean = covariance.between(nodes, nodes).mean() - 2 * covariance.between(nodes, middle).mean()
    return float(mean) + covariance.variance


def _middles(
    points: Tensor, weights: Tensor, box: Tensor, count: int, covariance: Covariance
) -> Tensor:
    """Weighted mean place of each box, as an offset from one of its members: seams have no mean."""
    first = torch.zeros(count, dtype=torch.int64, device=box.device)
    first[box] = torch.arange(len(box), device=box.device)
    origin = points[first]
    offset = points - origin[box]
    for axis, period in enumerate(covariance.closing):
        if period is not None:
            offset[:, axis] -= period * torch.round(offset[:, axis] / period)
    return origin.index_add(0, box, offset * weights[:, None])
