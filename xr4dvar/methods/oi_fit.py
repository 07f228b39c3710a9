"""Finding the mean, the lengths and the variances of an optimal interpolation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xr4dvar.errors import InputError
from xr4dvar.labels import Grid, parse_length
from xr4dvar.methods.base import FitOptions, Parameters, Patches
from xr4dvar.methods.oi_solve import mean_at
from xr4dvar.methods.training_data import Block, TrainingData
from xr4dvar.types import FloatArray, Role

if TYPE_CHECKING:
    from xr4dvar.methods.optimal_interpolation import OptimalInterpolation

__all__ = ["fit_optimal_interpolation", "given_covariance"]

#: Most cells of the block that the mean is taken over, and of one that lengths are tuned on.
MEAN_CELLS, TUNING_CELLS = 20_000_000, 450_000
#: Error variance over prior variance where lengths are given and the error is not.
USUAL_RATIO = 0.05


def fit_optimal_interpolation(
    method: OptimalInterpolation, data: TrainingData, options: FitOptions
) -> Parameters:
    """Estimate all that `method` leaves open, each variable by itself."""
    generator = np.random.default_rng(options.seed)
    block = data.block(data.box(data.train, _within(data, MEAN_CELLS)), generator)
    arrays: dict[str, FloatArray] = {}
    variables = []
    for v, name in enumerate(data.names):
        field = block.target[v] if data.supervised else block.y[v]
        mean = _mean(method, field, name)
        if method.mean == "map":
            arrays |= _mean_map(field, mean, name, block)
        variable = {
            "name": name,
            "family": method.family,
            "mean": mean,
            "period": data.grid["x"].period if "x" in data.grid.roles else None,
        }
        variables.append(_covariance(method, data, variable, arrays, v, generator))
    return Parameters({"variables": variables}, arrays)


def _within(data: TrainingData, cells: int) -> dict[Role, int]:
    """Sizes of a block of at most so many cells, cut in time first."""
    sizes = data.sizes(data.train)
    plane = int(np.prod([size for role, size in sizes.items() if role != "time"]))
    if "time" in sizes:
        sizes["time"] = max(1, min(sizes["time"], cells // plane))
    if plane > cells:
        shrink = (cells / plane) ** 0.5
        for role in ("y", "x"):
            if role in sizes:
                sizes[role] = max(1, int(sizes[role] * shrink))
    return sizes


def _mean(method: OptimalInterpolation, field: FloatArray, name: str) -> float:
    if not isinstance(method.mean, str):
        return float(method.mean)
    if not np.isfinite(field).any():
        raise InputError(
            [(f"{name!r} has no value in the training period", "fit on a period with data")]
        )
    return float(np.nanmean(field, dtype=np.float64))


def _mean_map(field: FloatArray, mean: float, name: str, block: Block) -> dict[str, FloatArray]:
    """Map of the time mean, drawn from the neighbours to where few data are.

    Values and counts are smoothed alike and divided, wider and wider until there are data.
    """
    from scipy import ndimage

    anomaly = np.where(np.isfinite(field), field - mean, 0.0).sum(0)
    count = np.isfinite(field).sum(0).astype(np.float64)
    enough = 0.5 * max(1.0, float(count.max()))
    result, weight = anomaly.astype(np.float64), count.copy()
    for width in (1.0, 2.0, 4.0, 8.0, 16.0):
        smooth, seen = (ndimage.gaussian_filter(a, width, mode="nearest") for a in (anomaly, count))
        thin = weight < enough
        result[thin], weight[thin] = smooth[thin], seen[thin]
    arrays = {f"{name}/mean": mean + result / np.maximum(weight, 1e-6)}
    for role in ("y", "x"):
        if role in block.coordinates:
            arrays[f"{name}/mean_{role}"] = block.coordinates[role]
    return arrays


def _covariance(
    method: OptimalInterpolation,
    data: TrainingData,
    variable: dict[str, Any],
    arrays: dict[str, FloatArray],
    v: int,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """Add the covariance terms and the error variance to the settings of one variable."""
    box = data.box(data.train, _within(data, TUNING_CELLS), generator)
    block = data.block(box, generator)
    one = Block(block.y[v : v + 1], block.target[v : v + 1], block.coordinates)
    coordinates = {role: values[np.newaxis] for role, values in block.coordinates.items()}
    shown = Patches(one.y[np.newaxis], coordinates)
    anomaly = (one.target if data.supervised else one.y) - mean_at(arrays, variable, shown)
    spread = float(np.nanmean(anomaly.astype(np.float64) ** 2))
    if method.lengths:
        return variable | given_covariance(method, data.grid, spread)
    from xr4dvar.methods.oi_tuning import tuned_covariance

    return variable | tuned_covariance(method.scales, one, variable, arrays, spread)


def given_covariance(method: OptimalInterpolation, grid: Grid, spread: float) -> dict[str, Any]:
    """Settings from the lengths in the configuration."""
    count = len(method.lengths)
    error = method.error_variance
    if method.variances:
        variances = [float(value) for value in method.variances]
    else:
        signal = spread / (1 + USUAL_RATIO) if error is None else max(spread - error, 0.1 * spread)
        variances = [signal / count] * count
    error = USUAL_RATIO * sum(variances) if error is None else error
    terms = []
    for length, variance in zip(method.lengths, variances, strict=True):
        parsed = parse_length(length, grid)
        lengths = {role: parsed.values.get(role, 1.0) for role in ("time", "y", "x")}
        terms.append({**lengths, "metric": parsed.metric and grid.geographic, "variance": variance})
    return {"terms": terms, "error_variance": float(error)}
