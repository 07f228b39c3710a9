"""Optimal interpolation of scattered observations.

Up to 5,000 observations are solved exactly by one factorisation. More are merged where that loses
nothing worth mentioning; if there are still more, targets in small boxes are analysed exactly with
the observations nearest to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from xr4dvar.covariance.exact import factorise
from xr4dvar.covariance.interfaces import Covariance
from xr4dvar.covariance.merging import merge_points
from xr4dvar.errors import Problems

__all__ = ["EXACT", "PointAnalysis", "analyse_points", "nearest_groups"]

#: Observations that are solved at once.
EXACT = 5000

#: Of more, those that a box of targets is analysed with.
NEAREST = 600

#: Half the diagonal of a box of targets, in correlation lengths, and the reach that its
#: observations have beyond it where a box may be larger.
HALF_DIAGONAL, REACH = 0.6, 2.0


@dataclass(frozen=True)
class PointAnalysis:
    """Result of an analysis at points.

    Parameters
    ----------
    increment : Tensor (n_targets,), float64
        Analysis minus background.
    error_variance : Tensor (n_targets,), float64, optional
        Variance of the analysis error, between 0 and the prior variance.
    """

    increment: Tensor
    error_variance: Tensor | None = None


def analyse_points(
    points: Tensor,
    innovation: Tensor,
    error_variance: float | Tensor,
    targets: Tensor,
    covariance: Covariance,
    *,
    error: bool = True,
    exact: int = EXACT,
    nearest: int = NEAREST,
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
    error : bool
        Whether to give the variance of the analysis error too.
    exact : int
        So many observations are solved exactly. Of more, each small box of targets is analysed
        with the `nearest`, in distance scaled by the correlation lengths.
    nearest : int

    Returns
    -------
    PointAnalysis
        Without any observation: increment 0, error variance the prior variance.

    Raises
    ------
    InputError
        If shapes or values cannot be used.

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
    own = torch.as_tensor(error_variance, dtype=torch.float64).expand(innovation.shape)
    _check(points, innovation, own, targets)
    if not len(points):
        prior = torch.full((len(targets),), covariance.variance, dtype=torch.float64)
        return PointAnalysis(torch.zeros_like(prior), prior if error else None)
    if len(points) > exact and bool((own > 0).all()):
        points, innovation, own = merge_points(points, innovation, own, covariance)
    if len(points) <= exact:
        factor = factorise(covariance, points, own)
        increment = factor.increment(targets, factor.solve(innovation))
        return PointAnalysis(increment, factor.variance(targets) if error else None)
    return _by_boxes(points, innovation, own, targets, covariance, error, nearest)


def _by_boxes(
    points: Tensor, innovation: Tensor, own: Tensor, targets: Tensor, covariance: Covariance,
    error: bool, nearest: int,
) -> PointAnalysis:  # fmt: skip
    increment = torch.zeros(len(targets), dtype=torch.float64)
    variance = torch.zeros_like(increment) if error else None
    for some, near in nearest_groups(points, targets, covariance, nearest):
        factor = factorise(covariance, points[near], own[near])
        increment[some] = factor.increment(targets[some], factor.solve(innovation[near]))
        if variance is not None:
            variance[some] = factor.variance(targets[some])
    return PointAnalysis(increment, variance)


def nearest_groups(
    points: Tensor, targets: Tensor, covariance: Covariance, nearest: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Boxes of targets, and the observations nearest to the middle of each, as indices.

    A box is halved until the observations reach 2 correlation lengths beyond it on all sides, or
    until half its diagonal is 0.6 lengths.

    Parameters
    ----------
    points, targets : Tensor (n, 3), (m, 3)
    covariance : covariance model
    nearest : int
        Observations of a box.
    """
    tree = cKDTree(covariance.embed(points).numpy())
    places = covariance.embed(targets).numpy()
    waiting = [np.arange(len(targets))]
    while waiting:
        some = waiting.pop()
        low, high = places[some].min(0), places[some].max(0)
        half = float(np.linalg.norm(high - low)) / 2
        distance, near = tree.query((low + high) / 2, k=[*range(1, 1 + min(nearest, len(points)))])
        if half <= max(HALF_DIAGONAL, distance[-1] - REACH) or len(near) == len(points):
            yield torch.from_numpy(some), torch.from_numpy(np.sort(near).astype(np.int64))
            continue
        longest = int((high - low).argmax())
        first = places[some, longest] <= (low[longest] + high[longest]) / 2
        waiting += [some[first], some[~first]]


def _check(points: Tensor, innovation: Tensor, error: Tensor, targets: Tensor) -> None:
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
    problems.raise_if_any()
