"""Solving patches by optimal interpolation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xr4dvar.covariance import Covariance, Root, Separable, Spherical, Sum, analyse
from xr4dvar.errors import InputError
from xr4dvar.methods.base import Parameters, Patches, Solver
from xr4dvar.methods.device import choose_device, one_at_a_time
from xr4dvar.types import ROLES, FloatArray, Role

__all__ = ["covariance_of", "make_solver", "mean_at", "positions_of"]


def make_solver(parameters: Parameters, device: str, tolerance: float = 1e-5) -> Solver:
    """Give the function that maps patches with the fitted covariances."""
    place = choose_device(device)
    variables = parameters.settings["variables"]
    roots: dict[Any, Root] = {}

    def root_of(variable: Mapping[str, Any], positions: tuple[Tensor, Tensor, Tensor]) -> Root:
        key = (variable["name"], *(p.numpy().tobytes() for p in positions))
        if key not in roots:
            if len(roots) > 64:
                roots.clear()
            covariance = covariance_of(variable)
            roots[key] = covariance.root(positions, tolerance=1e-6, device=place)
        return roots[key]

    def solve(patches: Patches) -> FloatArray:
        result = np.empty(patches.y.shape, np.float32)
        for v, variable in enumerate(variables):
            y = patches.y[:, v]
            error = variable["error_variance"]
            errors = None if patches.error_variance is None else patches.error_variance[:, v]
            mean = mean_at(parameters.arrays, variable, patches, v)
            metric = any(term["metric"] for term in variable["terms"])
            for members, positions in _alike(patches, metric):
                innovation = torch.as_tensor(y[members] - mean[members], device=place)
                variance = error if errors is None else torch.as_tensor(errors[members])
                with one_at_a_time(place):
                    analysis = analyse(
                        innovation,
                        torch.isfinite(innovation),
                        root_of(variable, positions),
                        variance,
                        tolerance=tolerance,
                    )
                result[members, v] = mean[members] + analysis.increment.float().cpu().numpy()
        return result

    return solve


def covariance_of(variable: Mapping[str, Any]) -> Covariance:
    """The covariance model that settings describe."""
    terms: list[Separable | Spherical] = []
    for term in variable["terms"]:
        variance, family = term["variance"], variable["family"]
        if term["metric"]:
            terms.append(Spherical((term["time"], term["y"]), family, variance))
        else:
            lengths = term["time"], term["y"], term["x"]
            terms.append(Separable(lengths, family, variance, variable["period"]))
    return terms[0] if len(terms) == 1 else Sum(terms)


def mean_at(
    arrays: Mapping[str, FloatArray], variable: Mapping[str, Any], patches: Patches, v: int = 0
) -> FloatArray:
    """The prior mean at every cell of the patches, shape (n, T, Y, X)."""
    name = variable["name"]
    shape = patches.y[:, v].shape
    if variable["mean"] is None:
        return np.stack([np.full(shape[1:], _own_mean(y), np.float32) for y in patches.y[:, v]])
    if f"{name}/mean" not in arrays:
        return np.full(shape, variable["mean"], np.float32)
    rows, columns = (
        _nearest(arrays[f"{name}/mean_{role}"], patches.coordinates, role, shape)
        for role in ("y", "x")
    )
    maps = arrays[f"{name}/mean"][rows[:, :, np.newaxis], columns[:, np.newaxis, :]]
    return np.broadcast_to(maps[:, np.newaxis], shape).astype(np.float32)


def _own_mean(y: FloatArray) -> float:
    """Mean of what a patch observed; 0 where that is nothing."""
    return float(np.nanmean(y)) if np.isfinite(y).any() else 0.0


def _nearest(
    known: FloatArray, coordinates: Mapping[Role, FloatArray], role: Role, shape: tuple[int, ...]
) -> np.ndarray:
    """Index of each position (n, size) of an axis among those that the mean is known at."""
    if role not in coordinates:
        return np.zeros((shape[0], 1), np.intp)
    wanted = coordinates[role]
    index = np.clip(np.searchsorted(known, wanted), 1, max(1, len(known) - 1))
    left = known[index - 1]
    right = known[np.minimum(index, len(known) - 1)]
    index = np.where(wanted - left <= right - wanted, index - 1, np.minimum(index, len(known) - 1))
    reach = np.median(np.diff(known)) if len(known) > 1 else np.inf
    if np.abs(known[index] - wanted).max() > 0.51 * reach:
        what = (
            f"the model's mean map covers {role} from {known[0]:g} to {known[-1]:g}, "
            f"the data reach from {wanted.min():g} to {wanted.max():g}"
        )
        raise InputError(
            [(what, "fit on this domain, or use OptimalInterpolation(mean='constant')")]
        )
    return index


def positions_of(patches: Patches, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Coordinates of one patch along time, y and x; 0 for an axis that is not there."""
    time, y, x = (
        torch.as_tensor(patches.coordinates[role][n], dtype=torch.float64)
        if role in patches.coordinates
        else torch.zeros(size, dtype=torch.float64)
        for role, size in zip(ROLES, patches.y.shape[2:], strict=True)
    )
    return time, y, x


def _alike(patches: Patches, metric: bool) -> list[tuple[list[int], tuple[Tensor, Tensor, Tensor]]]:
    """Group patches whose cells lie the same way to each other, and so share a root.

    Only the latitude's own value matters on the sphere; all else is distances.
    """
    groups: dict[bytes, tuple[list[int], tuple[Tensor, Tensor, Tensor]]] = {}
    for n in range(len(patches.y)):
        time, y, x = positions_of(patches, n)
        time, y, x = time - time[0], y if metric else y - y[0], x - x[0]
        positions = (time.round(decimals=7), y.round(decimals=7), x.round(decimals=7))
        key = b"".join(p.numpy().tobytes() for p in positions)
        groups.setdefault(key, ([], positions))[0].append(n)
    return list(groups.values())
