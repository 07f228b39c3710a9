"""Variance of the analysis error from the leading modes of separable covariances.

With ``B = L L' + D``, L the leading products of the eigenvectors of each axis and D the little that
they leave, ``diag(L (I + L' W L)^-1 L') + diag(D)`` is the variance of the analysis error for the
precision ``W = (R + D)^-1`` of the observations. Sums over cells are products of sums over axes, so
that no matrix of cells by modes is ever made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xr4dvar.covariance.interfaces import Coordinates
from xr4dvar.covariance.models import Separable

__all__ = ["Modes", "error_of_modes", "held_variance", "leading_modes"]

#: Lengths by which modes reach beyond an edge. The modes of the grid alone leave ten times as much
#: variance at its corners as in its middle.
MARGIN = 0.35


@dataclass(frozen=True)
class Modes:
    """Leading modes of one separable covariance on a grid.

    Parameters
    ----------
    time, y, x : Tensor (n, modes)
        Eigenvectors of the axes times the square roots of their eigenvalues.
    kept : Tensor (time modes, y modes, x modes), bool
        Which products are modes.
    left : Tensor (time, y, x)
        Variance that they leave at each cell.
    """

    time: Tensor
    y: Tensor
    x: Tensor
    kept: Tensor
    left: Tensor

    @property
    def count(self) -> int:
        """Number of modes."""
        return int(self.kept.sum())


def leading_modes(covariance: Separable, coordinates: Coordinates, left: float) -> Modes:
    """Choose the modes of largest variance.

    Parameters
    ----------
    covariance : Separable
    coordinates : tuple of Tensor
        Time, y and x of the grid.
    left : float
        Variance that the modes may leave, on average over the cells.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.covariance import Separable
    >>> from xr4dvar.covariance.modes import leading_modes
    >>> line = torch.arange(100.0)
    >>> modes = leading_modes(Separable((1.0, 1.0, 10.0)), (line[:1], line[:1], line), 1e-3)
    >>> modes.count, bool(modes.left.max() < 2e-3)
    (18, True)
    """
    wider = [
        _with_margin(axis.to(torch.float64), MARGIN * length, period)
        for axis, length, period in zip(
            coordinates, covariance.lengths, covariance.periods, strict=True
        )
    ]
    time, y, x = (axis for axis, _ in wider)
    pairs = [torch.linalg.eigh(matrix) for matrix in covariance.along_axes((time, y, x))]
    values = [value.flip(0).clamp(min=0.0) for value, _ in pairs]
    kept = _largest(covariance.variance * torch.einsum("a,b,c->abc", *values), left)
    factors = [
        (vectors.flip(1) * value.sqrt())[first : first + len(axis), :size]
        for (_, vectors), value, (_, first), axis, size in zip(
            pairs, values, wider, coordinates, kept.shape, strict=True
        )
    ]
    factors[0] = covariance.variance**0.5 * factors[0]
    left_out = (covariance.variance - held_variance(factors, kept)).clamp(min=0.0)
    return Modes(factors[0], factors[1], factors[2], kept, left_out)


def held_variance(factors: Sequence[Tensor], kept: Tensor) -> Tensor:
    """Variance (time, y, x) of the products of the columns of factors that are kept."""
    time, y, x = (factor**2 for factor in factors)
    held = (time @ kept.to(torch.float64).flatten(1)).reshape(-1, *kept.shape[1:])
    return y @ held @ x.T


def _with_margin(axis: Tensor, width: float, period: float | None) -> tuple[Tensor, int]:
    """The axis with some more points at both ends, and how many came before it."""
    if len(axis) == 1 or period is not None:
        return axis, 0
    before, after = float(axis[1] - axis[0]), float(axis[-1] - axis[-2])
    first, last = (min(round(width / step), 50) for step in (before, after))
    steps = torch.arange(1, max(first, last) + 1, dtype=axis.dtype)
    return torch.cat(
        (axis[0] - before * steps[:first].flip(0), axis, axis[-1] + after * steps[:last])
    ), first


def _largest(spectrum: Tensor, left: float) -> Tensor:
    """Mark the largest values of (a, b, c); what is left out adds up to `left` a cell."""
    ordered, order = spectrum.flatten().sort(descending=True)
    beyond = ordered.flip(0).cumsum(0).flip(0)  # what would be lost from each on
    count = max(1, int((beyond > left * spectrum.numel()).sum()))
    kept = torch.zeros(spectrum.numel(), dtype=torch.bool)
    kept[order[:count]] = True
    kept = kept.reshape(spectrum.shape)
    sizes = [int(kept.sum(axes).count_nonzero()) for axes in ((1, 2), (0, 2), (0, 1))]
    return kept[: sizes[0], : sizes[1], : sizes[2]]


def error_of_modes(
    terms: Sequence[Modes],
    error: Tensor,
    dtype: torch.dtype,
    observed: Sequence[Sequence[Modes]] | None = None,
) -> Tensor:
    """Variance of the analysis error at every cell.

    Parameters
    ----------
    terms : sequence of Modes
        Of the covariances that add up.
    error : Tensor (time, y, x) or, of K observed fields, (K time, y, x)
        Observation error variance, infinite where nothing is observed.
    dtype : torch.dtype
        Of the linear algebra.
    observed : sequence of sequence of Modes, optional
        The same modes as each field of an operator observes them. Default: as they are.

    Returns
    -------
    Tensor (time, y, x), float64
    """
    left = torch.stack([term.left for term in terms]).sum(0)
    planes, matrix = _planes(terms, dtype), torch.zeros((), dtype=dtype)
    fields = [terms] if observed is None else observed
    for seen, own in zip(fields, error.chunk(len(fields)), strict=True):
        unseen = torch.stack([term.left for term in seen]).sum(0)
        precision = 1.0 / (own + unseen)
        matrix = matrix + _information(_planes(seen, dtype), precision.to(dtype))
    scale = (1.0 + matrix.diagonal()).rsqrt()  # a unit diagonal: less is lost to rounding
    matrix *= scale[:, None] * scale
    matrix.diagonal().copy_(torch.ones_like(scale))
    posterior = torch.cholesky_inverse(torch.linalg.cholesky(matrix))
    posterior *= scale[:, None] * scale
    shape = left.shape
    return _diagonal(planes, posterior).reshape(shape).to(torch.float64).clamp(min=0.0) + left


@dataclass(frozen=True)
class _Plane:
    """The modes of one time mode: some products of the columns of `y` and `x`."""

    time: Tensor
    y: Tensor
    x: Tensor
    products: Tensor  # their numbers among all products
    rows: slice  # of the matrix


def _planes(terms: Sequence[Modes], dtype: torch.dtype) -> list[_Plane]:
    """The time modes of all terms, one after the other."""
    planes: list[_Plane] = []
    start = 0
    for term in terms:
        time, y, x = (factor.to(dtype) for factor in (term.time, term.y, term.x))
        for column, kept in zip(time.T, term.kept, strict=True):
            rows, columns = int(kept.any(1).sum()), int(kept.any(0).sum())
            products = kept[:rows, :columns].flatten().nonzero()[:, 0]
            end = start + len(products)
            part = y[:, :rows].contiguous(), x[:, :columns].contiguous()
            planes.append(_Plane(column, *part, products, slice(start, end)))
            start = end
    return planes


def _information(planes: Sequence[_Plane], precision: Tensor) -> Tensor:
    """Give ``L' W L`` for the precision W of the cells."""
    size = planes[-1].rows.stop
    matrix = precision.new_zeros(size, size)
    shape = precision.shape
    flat = precision.reshape(shape[0], -1)
    for n, first in enumerate(planes):
        others = planes[: n + 1]
        times = torch.stack([first.time * other.time for other in others])
        for other, field in zip(others, (times @ flat).reshape(-1, *shape[1:]), strict=True):
            sums = _outer(first.y, other.y).T @ field @ _outer(first.x, other.x)
            sums = sums.reshape(first.y.shape[1], other.y.shape[1], first.x.shape[1], -1)
            block = sums.transpose(1, 2).reshape(first.y.shape[1] * first.x.shape[1], -1)
            block = block.index_select(0, first.products).index_select(1, other.products)
            matrix[first.rows, other.rows] = block
            matrix[other.rows, first.rows] = block.T
    return matrix


def _diagonal(planes: Sequence[_Plane], posterior: Tensor) -> Tensor:
    """Diagonal (time, y x) of ``L P L'`` for the symmetric matrix P of the modes."""
    total = posterior.new_zeros(len(planes[0].time), len(planes[0].y) * len(planes[0].x))
    for n, first in enumerate(planes):
        times, fields = [], []
        for other in planes[: n + 1]:
            sizes = [part.shape[1] for part in (first.y, first.x, other.y, other.x)]
            wide = posterior.new_zeros(len(first.products), sizes[2] * sizes[3])
            wide.index_copy_(1, other.products, posterior[first.rows, other.rows])
            block = posterior.new_zeros(sizes[0] * sizes[1], sizes[2] * sizes[3])
            block.index_copy_(0, first.products, wide)
            sums = block.reshape(sizes).transpose(1, 2).reshape(sizes[0] * sizes[2], -1)
            fields.append(_outer(first.y, other.y) @ sums @ _outer(first.x, other.x).T)
            times.append((1.0 if other is first else 2.0) * first.time * other.time)
        total.addmm_(torch.stack(times, 1), torch.stack(fields).flatten(1))
    return total


def _outer(first: Tensor, second: Tensor) -> Tensor:
    """Products (n, a b) of the columns of (n, a) and (n, b)."""
    return (first[:, :, None] * second[:, None, :]).flatten(1)
