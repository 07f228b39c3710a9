"""Variance of the analysis error of a gridded optimal interpolation.

``diag(B - B H^T (H B H^T + R)^-1 H B)`` depends on where the observations are, not on their values.
Few observations are factorised. For more, the leading modes of a smooth separable covariance give
it at all cells at once (`modes`); for a rough one, or on the sphere, the observations nearest to a
few cells tell nearly all (`local`): the rougher a field, the less its distant values say.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from xr4dvar.covariance.between import chosen_cells, interpolated
from xr4dvar.covariance.exact import factorise
from xr4dvar.covariance.interfaces import Coordinates
from xr4dvar.covariance.local import EXACT, nearest_groups
from xr4dvar.covariance.merging import merge_points
from xr4dvar.covariance.models import Separable
from xr4dvar.covariance.modes import error_of_modes, leading_modes
from xr4dvar.covariance.on_grid import Prior
from xr4dvar.errors import InputError

__all__ = ["analysis_error"]

#: Multiplications of a factorisation for all cells, up to which it is done.
FACTORISED = 2e10

#: Standard deviation, over the prior's, by which truncated modes may be wrong, on even axes and on
#: others, where modes are resolved by few of the cells.
ACCURACY, ACCURACY_UNEVEN = 0.03, 0.02

#: Modes of a window that are solved at once: a matrix of so many rows.
MOST_MODES = 5000

#: Correlation lengths that a part of a window reaches beyond the cells that it is for.
HALO, HALO_UNEVEN = 1.0, 1.5

#: Correlation lengths of a window that can be cut.
CUT = 4.0

#: The longest step of an axis over the shortest, from which it is uneven.
UNEVEN = 1.5

#: Error variance, over the prior variance, of observations that are precise: they need modes in
#: double precision, and tell of places farther away.
PRECISE = 1e-2

#: Observations that a box of cells is analysed with, and that where they are dense or precise or
#: the field is rough, so that those near by do not hide the others.
NEAREST, NEAREST_MORE = 300, 900


#: Where the nearest of so many places with observations lie within so few correlation lengths,
#: they do not tell enough, and modes are worth the work.
SAMPLE, WIDE = 300, 0.95

#: Covariances of fields that are differentiable twice, and the step between their cells at which
#: the error is computed, over the shortest lengths.
SMOOTH, STEP = ("gaussian", "matern52"), 0.3


def analysis_error(
    observed: Tensor,
    error_variance: float | Tensor,
    prior: Prior,
) -> Tensor:
    """Variance of the analysis error everywhere on the grid.

    Parameters
    ----------
    observed : Tensor (time, y, x), bool
        Where there is an observation.
    error_variance : float or Tensor (time, y, x)
        Observation error variance.
    prior : Prior
        Prior covariance on the grid.

    Returns
    -------
    Tensor (time, y, x), float64
        Between 0 and the prior variance, and where observed at most ``R B / (R + B)``, the
        error of that observation alone with the prior. The standard deviation is right to 2 % of
        that of the prior.

    Raises
    ------
    InputError
        If an error variance is not positive where observed.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.covariance import Prior, Separable, analysis_error
    >>> day, line = torch.zeros(1), torch.arange(30.0)
    >>> observed = torch.zeros(1, 1, 30, dtype=torch.bool)
    >>> observed[0, 0, 0] = True
    >>> prior = Prior(Separable((1.0, 1.0, 5.0)), (day, day, line))
    >>> variance = analysis_error(observed, 0.25, prior)
    >>> [round(float(value), 2) for value in (variance[0, 0, 0], variance[0, 0, -1])]
    [0.2, 1.0]
    """
    observed = torch.as_tensor(observed).cpu()
    error = torch.as_tensor(error_variance, dtype=torch.float64).cpu().expand(observed.shape)
    used = error[observed]
    if not bool((used.isfinite() & (used > 0)).all()):
        what = "an observation error variance is zero, negative or not finite"
        raise InputError([(what, "give a positive error variance for every observation")])
    scale = prior.covariance.variance
    relative = torch.where(observed, error / scale, torch.inf)
    with torch.no_grad():
        variance = _relative(relative, prior)
    alone = torch.where(observed, relative / (1.0 + relative), 1.0)
    return scale * torch.minimum(variance, alone).clamp(min=0.0)


def _relative(error: Tensor, prior: Prior) -> Tensor:
    """Error variance over the prior's, by the cheapest way that is right."""
    count = int(error.isfinite().sum())
    if not count:
        return torch.ones_like(error)
    if count <= EXACT and count**2 * error.numel() <= FACTORISED:
        return _factorised(error, prior)
    terms = prior.correlation.terms
    precise = float(error.min()) < PRECISE  # what lies beyond a part tells of it too
    dense = _reach(error, prior) < WIDE
    if all(isinstance(term, Separable) and term.family != "matern12" for term in terms):
        uneven = _uneven(prior)
        left = _left(error, prior, ACCURACY_UNEVEN if uneven else ACCURACY)
        halo = HALO_UNEVEN if uneven else HALO
        found = _by_modes(error, prior, left, halo if dense and not precise else None)
        if found is not None:
            return found
    return _by_nearest(error, prior, dense=dense)


def _reach(error: Tensor, prior: Prior) -> float:
    """Correlation lengths to the farthest of the nearest observations, where they are dense."""
    places = prior.correlation.embed(prior.points(error.isfinite().nonzero())).numpy()
    if len(places) <= NEAREST:
        return math.inf
    some = places[:: max(1, len(places) // SAMPLE)]
    distance, _ = cKDTree(places).query(some, k=[NEAREST])
    return float(np.quantile(distance, 0.1))


def _factorised(error: Tensor, prior: Prior) -> Tensor:
    cells = error.isfinite().nonzero()
    factor = factorise(prior.correlation, prior.points(cells), error[error.isfinite()])
    return factor.variance(_places(prior)).reshape(error.shape)


def _by_nearest(error: Tensor, prior: Prior, *, dense: bool) -> Tensor:
    """Analyse boxes of cells with the observations nearest to them.

    For noisy observations of a smooth field some of the cells are enough: the error is as smooth.
    """
    correlation, own = prior.correlation, error[error.isfinite()]
    precise = float(own.min()) < PRECISE
    points, _, own = merge_points(
        prior.points(error.isfinite().nonzero()), torch.zeros_like(own), own, correlation
    )
    smooth = all(term.family in SMOOTH for term in correlation.terms)
    step = 0.0 if precise or not smooth else STEP
    chosen = chosen_cells(prior.coordinates, correlation.steps, step)
    axes = [torch.as_tensor(a, dtype=torch.float64) for a in prior.coordinates]
    places = torch.cartesian_prod(*(a[c] for a, c in zip(axes, chosen, strict=True)))
    variance = torch.ones(len(places), dtype=torch.float64)
    # of swaths the nearest lie all on one side: a field that is not smooth tells of the others too
    nearest = NEAREST_MORE if precise or dense or not smooth else NEAREST
    for some, near in nearest_groups(points, places, correlation, nearest):
        variance[some] = factorise(correlation, points[near], own[near]).variance(places[some])
    variance = variance.reshape([len(c) for c in chosen])
    for axis, cells in enumerate(chosen):
        variance = interpolated(variance, axes[axis], cells, axis)
    return variance


def _places(prior: Prior) -> Tensor:
    axes = [torch.as_tensor(axis, dtype=torch.float64) for axis in prior.coordinates]
    return torch.cartesian_prod(*axes)


def _uneven(prior: Prior) -> bool:
    """Whether an axis has steps of much different lengths."""
    steps = [torch.as_tensor(axis).diff() for axis in prior.coordinates if len(axis) > 1]
    return any(float(step.max()) > UNEVEN * float(step.min()) for step in steps)


def _left(error: Tensor, prior: Prior, accuracy: float) -> float:
    """Variance that modes may leave: half of what makes the smallest error wrong by `accuracy`.

    No error is smaller than that of all observations nearby taken at one place. What is left adds
    to the error of the observations, and must not hide how far precise ones reach.
    """
    information = torch.zeros_like(error)
    for term in prior.correlation.terms:
        time, y, x = (matrix**2 for matrix in term.along_axes(prior.coordinates))  # type: ignore[attr-defined]
        near = torch.einsum("ts,syx->tyx", time, 1.0 / error)
        information = torch.maximum(information, y @ near @ x.T)
    smallest = math.sqrt(1.0 / (1.0 + float(information.max())))
    return min(0.5 * (accuracy**2 + 2.0 * accuracy * smallest), 0.25 * float(error.min()))


def _by_modes(error: Tensor, prior: Prior, left: float, halo: float | None) -> Tensor | None:
    """Give the variance from modes, part by part if those have a halo; None if that is too much."""
    terms = prior.correlation.terms
    modes = [leading_modes(term, prior.coordinates, left / len(terms)) for term in terms]  # type: ignore[arg-type]
    if sum(each.count for each in modes) <= MOST_MODES:
        precise = float(error.min()) < PRECISE
        return error_of_modes(modes, error, torch.float64 if precise else torch.float32)
    cut = None if halo is None else _cut(prior, halo)
    if cut is None:
        return None
    axis, pieces = cut
    found = []
    for outer, inner in pieces:
        index = tuple(outer if n == axis else slice(None) for n in range(3))
        coordinates = _part(prior.coordinates, axis, outer)
        part = _by_modes(error[index], Prior(prior.correlation, coordinates), left, halo)
        if part is None:
            return None
        found.append(part.narrow(axis, inner.start - outer.start, inner.stop - inner.start))
    return torch.cat(found, axis)


def _part(coordinates: Coordinates, axis: int, part: slice) -> Coordinates:
    time, y, x = (values[part] if n == axis else values for n, values in enumerate(coordinates))
    return time, y, x


def _cut(prior: Prior, halo: float) -> tuple[int, list[tuple[slice, slice]]] | None:
    """Halve the axis with most lengths: cells with their halo, and cells. None if it has few."""
    terms = prior.correlation.terms
    longest = [max(values) for values in zip(*(term.steps for term in terms), strict=True)]
    extents = [
        0.0 if period is not None else float(axis[-1] - axis[0]) / length
        for axis, length, period in zip(
            prior.coordinates, longest, prior.correlation.closing, strict=True
        )
    ]
    axis = max(range(3), key=lambda n: extents[n])
    if extents[axis] < max(CUT, 3 * halo):  # the parts would be nearly as large as the whole
        return None
    values = torch.as_tensor(prior.coordinates[axis], dtype=torch.float64)
    middle = int(torch.searchsorted(values, (values[0] + values[-1]) / 2))
    reach = halo * longest[axis]
    last = int(torch.searchsorted(values, values[middle - 1] + reach))
    first = int(torch.searchsorted(values, values[middle] - reach))
    size = len(values)
    return axis, [
        (slice(0, max(middle, last)), slice(0, middle)),
        (slice(min(first, middle), size), slice(middle, size)),
    ]
