"""Optimal interpolation of scattered observations, such as those along satellite tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from xr4dvar.contract.method import Parameters
from xr4dvar.contract.patches import Points
from xr4dvar.covariance import analyse_points
from xr4dvar.methods.oi.engine import check_precision, covariance_of
from xr4dvar.types import ROLES, FloatArray, Role

__all__ = ["map_points"]


def map_points(
    parameters: Parameters,
    points: Sequence[Points],
    coordinates: Mapping[Role, FloatArray],
    error: bool,
) -> tuple[FloatArray, FloatArray | None]:
    """Maps (V, T, Y, X) of points and, if wanted, the standard deviations of their errors."""
    variables = parameters.settings["variables"]
    axes = [coordinates.get(role, np.zeros(1)) for role in ROLES]
    shape = tuple(len(axis) for axis in axes)
    targets = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], -1)
    maps = np.empty((len(variables), len(targets)))
    deviations = np.empty_like(maps) if error else None
    for v, (variable, own) in enumerate(zip(variables, points, strict=True)):
        maps[v], variance = _analysed(own, targets, variable, parameters.arrays, error)
        if deviations is not None and variance is not None:
            deviations[v] = np.sqrt(variance)
    whole = None if deviations is None else deviations.reshape(-1, *shape)
    return maps.reshape(-1, *shape), whole


def _analysed(
    points: Points, targets: FloatArray, variable: Mapping[str, Any],
    arrays: Mapping[str, FloatArray], error: bool,
) -> tuple[FloatArray, FloatArray | None]:  # fmt: skip
    """Map and variance of the error at targets (n, 3)."""
    mean, own = (_mean_at(places, variable, arrays) for places in (targets, points.positions))
    innovation = points.values - own
    errors = np.broadcast_to(float(variable["error_variance"]), innovation.shape)
    if points.error_variance is not None:
        errors = points.error_variance
    covariance = covariance_of(variable)
    scale = covariance.variance
    check_precision(torch.tensor(errors), variable)
    result = analyse_points(
        torch.tensor(points.positions), torch.tensor(innovation) / scale**0.5,
        torch.tensor(errors) / scale, torch.tensor(targets), covariance.scaled(1.0 / scale),
        error=error,
    )  # fmt: skip
    map_ = mean + scale**0.5 * result.increment.numpy()
    return map_, None if result.error_variance is None else scale * result.error_variance.numpy()


def _mean_at(
    places: FloatArray,
    variable: Mapping[str, Any],
    arrays: Mapping[str, FloatArray],
) -> FloatArray:
    """The prior mean at places (n, 3), a mean map linear between its cells."""
    name = variable["name"]
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
