"""Optimal interpolation of scattered observations, such as those along satellite tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xr4dvar.covariance import analyse_points, merge_points
from xr4dvar.methods.base import Parameters, Points, PointsSolver
from xr4dvar.methods.oi_solve import covariance_of
from xr4dvar.types import ROLES, FloatArray, Role

__all__ = ["make_points_solver"]

#: Observations used for a cell; fewer than these are all used.
NEIGHBOURS = 300
#: Observations in a box of this share of the shortest lengths are merged, if there are more.
MERGED = 0.15
#: Cells in a box of this share of the shortest lengths use the same observations.
BLOCK = 0.5
#: Cells mapped at once.
CELLS = 200_000


def make_points_solver(parameters: Parameters) -> PointsSolver:
    """Give the function from points to maps and their errors.

    Each cell is analysed with the nearest observations, exactly, about the variable's mean.
    """
    variables = parameters.settings["variables"]

    def solve(
        points: Sequence[Points], coordinates: Mapping[Role, FloatArray]
    ) -> tuple[FloatArray, FloatArray]:
        axes = [coordinates.get(role, np.zeros(1)) for role in ROLES]
        shape = tuple(len(axis) for axis in axes)
        targets = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], -1)
        maps, deviations = (np.empty((len(variables), len(targets))) for _ in range(2))
        for v, (variable, own) in enumerate(zip(variables, points, strict=True)):
            maps[v], deviations[v] = _analysed(own, targets, variable, parameters.arrays)
        return maps.reshape(-1, *shape), deviations.reshape(-1, *shape)

    return solve


def _analysed(
    points: Points,
    targets: FloatArray,
    variable: Mapping[str, Any],
    arrays: Mapping[str, FloatArray],
) -> tuple[FloatArray, FloatArray]:
    """Map and standard deviation of the error at targets (n, 3)."""
    covariance = covariance_of(variable)
    own_mean = float(points.values.mean()) if len(points.values) else 0.0
    mean, innovation = (
        _mean_at(places, own_mean, variable, arrays) for places in (targets, points.positions)
    )
    innovation = points.values - innovation
    error = np.broadcast_to(variable["error_variance"], innovation.shape)
    if points.error_variance is not None:
        error = points.error_variance
    given: tuple[Tensor, Tensor, Tensor] = (
        torch.tensor(points.positions),
        torch.tensor(innovation, dtype=torch.float64),
        torch.tensor(error, dtype=torch.float64),
    )
    if len(innovation) > NEIGHBOURS:
        given = merge_points(*given, covariance, MERGED)
    parts = [
        analyse_points(*given, part, covariance, neighbours=NEIGHBOURS, block=BLOCK)
        for part in torch.tensor(targets).split(CELLS)
    ]
    increment = torch.cat([part.increment for part in parts]).numpy()
    variance = torch.cat([part.error_variance for part in parts]).numpy()
    return mean + increment, np.sqrt(variance)


def _mean_at(
    places: FloatArray,
    own_mean: float,
    variable: Mapping[str, Any],
    arrays: Mapping[str, FloatArray],
) -> FloatArray:
    """The prior mean at places (n, 3): that of the points, or the model's, linear between cells."""
    name = variable["name"]
    if variable["mean"] is None:
        return np.full(len(places), own_mean)
    if f"{name}/mean" not in arrays:
        return np.full(len(places), float(variable["mean"]))
    from scipy.interpolate import RegularGridInterpolator

    mean = arrays[f"{name}/mean"]
    known = [arrays.get(f"{name}/mean_{role}", np.zeros(1)) for role in ("y", "x")]
    # one row or column more where there is a single one, and the edge's value beyond the edge
    for axis, values in enumerate(known):
        if len(values) == 1:
            known[axis], mean = np.append(values, values + 1.0), np.repeat(mean, 2, axis)
    inside = np.stack(
        [np.clip(p, a[0], a[-1]) for p, a in zip(places[:, 1:].T, known, strict=True)], -1
    )
    result: FloatArray = RegularGridInterpolator(tuple(known), mean)(inside)
    return result
