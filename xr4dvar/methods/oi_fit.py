"""Finding the mean, the lengths and the variances of an optimal interpolation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xr4dvar.errors import InputError
from xr4dvar.labels import Grid, parse_length
from xr4dvar.methods.base import FitOptions, Parameters, Patches
from xr4dvar.methods.oi_solve import mean_at
from xr4dvar.methods.training_data import Block, TrainingData
from xr4dvar.types import ROLES, BoolArray, FloatArray, Role

if TYPE_CHECKING:
    from xr4dvar.methods.optimal_interpolation import OptimalInterpolation

__all__ = ["fit_optimal_interpolation", "given_covariance"]

#: Most cells of the block that the mean is taken over, of one that a first guess is made from,
#: and of one that lengths are tuned on.
MEAN_CELLS, GUESS_CELLS, TUNING_CELLS = 20_000_000, 450_000, 450_000
#: Most times of the block for the first guess, and correlation lengths along each axis of the
#: block that lengths are tuned on, at most.
GUESS_TIMES, TUNING_LENGTHS = 60, 12.0
#: Share of the times that the tuning hides where there is no target.
HIDDEN_TIMES = 0.2
#: Error variance over prior variance where lengths are given and the error is not.
USUAL_RATIO = 0.05


def fit_optimal_interpolation(
    method: OptimalInterpolation, data: TrainingData, options: FitOptions
) -> Parameters:
    """Estimate all that `method` leaves open, each variable by itself."""
    generator = np.random.default_rng(options.seed)
    block = data.block(data.train_box(_within(data, MEAN_CELLS)), generator)
    arrays: dict[str, FloatArray] = {}
    variables = []
    for v, name in enumerate(data.names):
        mean = _mean(method, block.target[v] if data.supervised else _observations(block)[v], name)
        variable = {
            "name": name,
            "family": method.family,
            "mean": mean,
            "period": data.grid["x"].period if "x" in data.grid.roles else None,
        }
        one = _Fit(method, data, block, v, variable, generator)
        variables.append(variable | one.covariance(arrays))
    return Parameters({"variables": variables}, arrays)


@dataclass(frozen=True)
class _Fit:
    """The fit of one variable."""

    method: OptimalInterpolation
    data: TrainingData
    block: Block
    v: int
    variable: dict[str, Any]
    generator: np.random.Generator

    def covariance(self, arrays: dict[str, FloatArray]) -> dict[str, Any]:
        """Give the covariance and the error variance; put the mean map into `arrays`."""
        coordinates = self.block.coordinates
        seen = _observations(self.block) if not self.data.supervised else self.block.y
        if self.method.mean == "map":
            field = self.block.target if self.data.supervised else seen
            arrays |= self._mean_map(field[self.v])
        shown = Patches(seen[np.newaxis, self.v : self.v + 1], _batched(coordinates))
        anomaly = shown.y[0, 0] - mean_at(arrays, self.variable, shown)[0]
        if self.method.lengths:
            spread = float(np.nanmean(anomaly.astype(np.float64) ** 2))
            return given_covariance(self.method, self.data.grid, spread)
        from xr4dvar.methods.oi_tuning import likely_covariance, tuned_covariance

        start = self.variable | likely_covariance(
            anomaly, coordinates, self._guess(anomaly), self.variable,
            self.method.scales, self.generator,
        )  # fmt: skip
        block = self._tuning_block(start["terms"])
        return tuned_covariance(block, start, arrays, noisy=not self.data.supervised)

    def _guess(self, anomaly: FloatArray) -> dict[str, float]:
        """First guess of lengths and noise, from the first times of the block."""
        from xr4dvar.covariance import first_guess

        cut = anomaly[:GUESS_TIMES]
        side = max(1, int((GUESS_CELLS / len(cut)) ** 0.5))
        cut = cut[:, :side, :side] if cut.size > GUESS_CELLS else cut
        values = torch.as_tensor(cut)
        time, y, x = (
            torch.as_tensor(self.block.coordinates.get(role, np.zeros(1))[:size])
            for role, size in zip(ROLES, cut.shape, strict=True)
        )
        return first_guess(values, torch.isfinite(values), (time, y, x))

    def _mean_map(self, field: FloatArray) -> dict[str, FloatArray]:
        from xr4dvar.methods.oi_mean import mean_map

        name, total = self.variable["name"], self.variable["mean"]
        anomaly = field - np.float32(total)
        mapped = mean_map(
            anomaly, self.block.coordinates, self._guess(anomaly), self.variable["period"]
        )
        arrays = {f"{name}/mean": total + mapped}
        for role in ("y", "x"):
            if role in self.block.coordinates:
                arrays[f"{name}/mean_{role}"] = self.block.coordinates[role]
        return arrays

    def _tuning_block(self, terms: list[dict[str, Any]]) -> Block:
        """A block of some correlation lengths, with whole times hidden if there is no target.

        Cells hidden one by one lie beside others of the same satellite pass, and would be
        predicted best by lengths that are much too short for the gaps between passes.
        """
        data = self.data
        whole = data.sizes(data.train)
        lengths = {r: max(term[r] for term in terms) / data.grid[r].spacing for r in whole}
        width = TUNING_LENGTHS
        sizes = whole
        while width > 1.0:
            sizes = {r: min(n, max(8, round(width * lengths[r]))) for r, n in whole.items()}
            if math.prod(sizes.values()) <= TUNING_CELLS:
                break
            width *= 0.9
        block = data.block(data.train_box(sizes, self.generator), self.generator)
        one = slice(self.v, self.v + 1)
        if data.supervised:
            return Block(block.y[one], block.target[one], block.coordinates)
        y = _observations(block)[one]
        hidden = _hidden(np.isfinite(y), data, self.generator)
        return Block(np.where(hidden, np.nan, y), np.where(hidden, y, np.nan), block.coordinates)


def _observations(block: Block) -> FloatArray:
    """All that was observed, shown or hidden, of a block without a target."""
    return np.where(np.isfinite(block.y), block.y, block.target)


def _hidden(observed: BoolArray, data: TrainingData, generator: np.random.Generator) -> BoolArray:
    """Hide a share of the times that have observations; of few times, a share of the cells."""
    times = np.flatnonzero(observed.any((0, 2, 3)))
    if len(times) < 1 / HIDDEN_TIMES:
        return data.hide(observed, generator)
    chosen = generator.permutation(times)[: round(HIDDEN_TIMES * len(times))]
    hidden = np.zeros_like(observed)
    hidden[:, chosen] = observed[:, chosen]
    return hidden


def _batched(coordinates: Mapping[Role, FloatArray]) -> dict[Role, FloatArray]:
    return {role: values[np.newaxis] for role, values in coordinates.items()}


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
