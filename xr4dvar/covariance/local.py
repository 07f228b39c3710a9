"""Optimal interpolation from the nearest observations: scattered points, grids that do not fit.

Each target is analysed with its `neighbours` nearest observations, exactly, by one small Cholesky
factorisation in float64; with all observations as neighbours it is the exact analysis.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from xr4dvar.covariance.interfaces import Covariance
from xr4dvar.errors import Problems

#: Added to the diagonal relative to the prior variance, so that observations of the same place
#: without error still have a factor.
JITTER = 1e-12

#: Bytes of one batch of covariance matrices: few enough that they stay in the cache.
BUDGET = 4 * 2**20


@dataclass(frozen=True)
class PointAnalysis:
    """Result of an analysis at points.

    Parameters
    ----------
    increment : Tensor (n_targets,), float64
        Analysis minus background.
    error_variance : Tensor (n_targets,), float64
        Variance of the analysis error, between 0 and the prior variance.
    """

    increment: Tensor
    error_variance: Tensor


def analyse_points(
    points: Tensor,
    innovation: Tensor,
    error_variance: float | Tensor,
    targets: Tensor,
    covariance: Covariance,
    *,
    neighbours: int = 200,
    block: float = 0.0,
) -> PointAnalysis:
    """Analyse scattered observations at scattered targets.

    Parameters
    ----------
    points : Tensor (n, 3)
        Time, y and x (or latitude and longitude) of the observations.
    innovation : Tensor (n,)
        Observation minus background there.
    error_variance : float or Tensor (n,)
        Observation error variance; 0 reproduces the observations.
    targets : Tensor (n_targets, 3)
        Where to analyse.
    covariance : covariance model
        Prior covariance, e.g. `Separable` or `Spherical`.
    neighbours : int
        Observations used per target: the nearest in distance scaled by the correlation lengths.
    block : float
        Targets in a box of this share of the shortest lengths use the same observations, those
        nearest to their middle: faster where targets are dense. 0: each target has its own.

    Returns
    -------
    PointAnalysis
        Without any observation: increment 0, error variance the prior variance.

    Raises
    ------
    InputError
        If shapes, values or `neighbours` cannot be used.

    Examples
    --------
    >>> import torch
    >>> from xr4dvar.covariance import Separable, analyse_points
    >>> points = torch.tensor([[0.0, 0.0, 0.0]])
    >>> result = analyse_points(points, torch.ones(1), 0.25, points, Separable((7.0, 1.0, 1.0)))
    >>> [round(float(value), 3) for value in (result.increment, result.error_variance)]
    [0.8, 0.2]
    """
    points, innovation, targets = (a.to(torch.float64) for a in (points, innovation, targets))
    error = torch.as_tensor(error_variance, dtype=torch.float64, device=points.device)
    error = error.expand(innovation.shape)
    _check(points, innovation, error, targets, neighbours)
    increment = torch.zeros(len(targets), dtype=torch.float64, device=points.device)
    variance = torch.full_like(increment, covariance.variance)
    if len(points):
        for group, nearest in _groups(points, targets, covariance, neighbours, block):
            increment[group], variance[group] = solve_exactly(
                covariance, points[nearest], innovation[nearest], error[nearest], targets[group]
            )
    return PointAnalysis(increment, variance)


def merge_points(
    points: Tensor, innovation: Tensor, error: Tensor, covariance: Covariance, share: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Merge observations that lie in a box of a share of the shortest lengths: their mean.

    Parameters
    ----------
    points : Tensor (n, 3)
    innovation, error : Tensor (n,)
        Innovation and positive error variance.
    covariance : covariance model
        Gives the lengths.
    share : float
        Size of the boxes. What varies within one is lost: 0.15 is safe, see `error.STEP`.

    Returns
    -------
    points, innovation, error : Tensor (m, 3), (m,), (m,)
        Means weighted by precision, and what the error variance of those is.
    """
    # the two sides of a seam are next to each other in space, but their longitudes have no mean
    side = (points[:, 2:] > points[:, 2].median()).double()
    box = _boxes(torch.cat((_scaled(points, covariance) / share, side), -1))
    precision = 1.0 / error
    total = precision.new_zeros(int(box.max()) + 1).index_add_(0, box, precision)
    place = points.new_zeros(len(total), 3).index_add_(0, box, points * precision[:, None])
    value = innovation.new_zeros(len(total)).index_add_(0, box, innovation * precision)
    return place / total[:, None], value / total, 1.0 / total


def _scaled(points: Tensor, covariance: Covariance) -> Tensor:
    """Positions (n, d), each axis in units of the shortest length along it."""
    scaled = [term.embed(points) for term in covariance.terms]
    if len({places.shape for places in scaled}) > 1:  # degrees and kilometres: all axes of both
        return torch.cat(scaled, -1)
    terms = torch.stack(scaled)
    finest = terms.abs().amax(1).argmax(0)
    return terms[finest, :, torch.arange(terms.shape[-1])].T


def _boxes(scaled: Tensor) -> Tensor:
    """Number of the unit box that each position lies in."""
    number: Tensor = torch.unique(scaled.floor(), dim=0, return_inverse=True)[1]
    return number


def _groups(
    points: Tensor, targets: Tensor, covariance: Covariance, neighbours: int, block: float
) -> Iterator[tuple[Tensor, Tensor]]:
    """Targets (groups, members) that share the neighbours (groups, k), a batch at a time."""
    device = points.device
    if neighbours >= len(points):
        every = torch.arange(len(points), device=device)[None]
        share = max(1, BUDGET // (8 * len(points)))
        for members in torch.arange(len(targets), device=device).split(share):
            yield members[None], every
        return
    tree = cKDTree(covariance.embed(points).cpu().numpy())
    places = covariance.embed(targets).cpu()
    members = _members(_scaled(targets, covariance).cpu() / block) if block else None
    if members is None:
        members = torch.arange(len(targets))[:, None]
    for some in members.split(max(1, BUDGET // (8 * neighbours**2))):
        _, nearest = tree.query(places[some].mean(1).numpy(), k=neighbours)
        chosen = torch.from_numpy(np.asarray(nearest, dtype=np.int64).reshape(len(some), -1))
        yield some.to(device), chosen.to(device)


def _members(scaled: Tensor) -> Tensor:
    """Members (groups, most) of each unit box; the last member fills up where there are fewer."""
    box, order = _boxes(scaled).sort()
    sizes = box.bincount()
    first = sizes.cumsum(0) - sizes
    place = torch.arange(int(sizes.max())).minimum(sizes[:, None] - 1)
    return order[first[:, None] + place]


def solve_exactly(
    covariance: Covariance, points: Tensor, innovation: Tensor, error: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Exact analysis and its variance of targets (g, m, 3) from observations (g, k, 3)."""
    matrix = covariance.between(points, points)
    matrix.diagonal(dim1=-2, dim2=-1).add_(error + JITTER * covariance.variance)
    factor = torch.linalg.cholesky(matrix)
    # with S = C C': the analysis is (C^-1 B)' (C^-1 d), the variance lost |C^-1 B|^2
    gain = torch.linalg.solve_triangular(factor, covariance.between(points, targets), upper=False)
    white = torch.linalg.solve_triangular(factor, innovation[..., None], upper=False)
    variance = covariance.variance - gain.square().sum(-2)
    return (gain.mT @ white)[..., 0], variance.clamp(min=0.0)


def _check(
    points: Tensor, innovation: Tensor, error: Tensor, targets: Tensor, neighbours: int
) -> None:
    problems = Problems()
    for name, array in {"observations": points, "targets": targets}.items():
        if array.ndim != 2 or array.shape[-1] != 3:
            problems.add(f"{name} have the shape {tuple(array.shape)}", "give (n, 3): time, y, x")
        elif not bool(array.isfinite().all()):
            problems.add(f"coordinates of {name} are not finite", "leave those points out")
    if innovation.shape != points.shape[:1]:
        problems.add(
            f"{len(points)} observations but innovations of shape {tuple(innovation.shape)}",
            "give one number an observation",
        )
    if not bool(innovation.isfinite().all()):
        problems.add("an innovation is not finite", "leave missing observations out")
    if not bool((error.isfinite() & (error >= 0)).all()):
        problems.add(
            "an observation error variance is negative or not finite", "give variances >= 0"
        )
    if neighbours < 1:
        problems.add(f"neighbours is {neighbours}", "use at least one observation a target")
    problems.raise_if_any()
