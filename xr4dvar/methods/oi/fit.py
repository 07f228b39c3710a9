"""Finding the mean, the lengths and the variances of an optimal interpolation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xr4dvar.contract.method import FitOptions, Parameters
from xr4dvar.contract.patches import Patches
from xr4dvar.contract.training_data import Block, BlockBox, TrainingData
from xr4dvar.errors import InputError
from xr4dvar.labels import Grid, parse_length
from xr4dvar.methods.oi.blocks import box_with_data
from xr4dvar.methods.oi.engine import mean_at, periods_of
from xr4dvar.types import ROLES, FloatArray, Role

if TYPE_CHECKING:
    from xr4dvar.methods.oi.config import OptimalInterpolation

__all__ = [
    "Fit",
    "block_with_data",
    "completed_covariance",
    "error_of",
    "fit_optimal_interpolation",
    "fit_variable",
    "open_covariance",
    "values_of",
]

#: Most cells of the block that all is estimated from, and of one that a first guess is made from.
MEAN_CELLS, GUESS_CELLS = 20_000_000, 450_000
#: Times that a first guess is made from, about: longer lags than that are of other seasons.
GUESS_TIMES = 60
#: Blocks that are read before there is one with data.
BLOCKS = 20
#: Error variance over prior variance where lengths are given and the error is not.
USUAL_RATIO = 0.05
#: Prior variance of data that are all the same: any will do, but none is no variance.
LEAST_VARIANCE = 1e-200


def fit_optimal_interpolation(
    method: OptimalInterpolation, data: TrainingData, options: FitOptions
) -> Parameters:
    """Estimate all that `method` leaves open, each variable by itself."""
    generator = np.random.default_rng(options.seed)
    block, box = block_with_data(data, generator)
    arrays: dict[str, FloatArray] = {}
    variables = [
        fit_variable(method, data, block, box, v, generator, arrays)
        for v in range(len(data.state_names))
    ]
    return Parameters({"variables": variables}, arrays)


def fit_variable(
    method: OptimalInterpolation,
    data: TrainingData,
    block: Block,
    box: BlockBox,
    v: int,
    generator: np.random.Generator,
    arrays: dict[str, FloatArray],
    covariance: Callable[[FloatArray, Mapping[str, Any]], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Estimate the settings of one variable; its mean map goes into `arrays`.

    `covariance` finds terms and error variance from the mean and the settings, in place of the
    likelihood and the maps of parts of the data.
    """
    name = data.state_names[v]
    variable = {
        "name": name,
        "family": method.family,
        "mean": _mean(method, values_of(block, data)[v], name),
        "periods": {
            role: period
            for role in data.grid.roles
            if (period := data.grid[role].period) is not None
        },
    }
    one = Fit(method, data, block, box, v, variable, generator)
    mean = one.mean(arrays)
    return variable | (one.covariance(mean) if covariance is None else covariance(mean, variable))


def values_of(block: Block, data: TrainingData) -> FloatArray:
    """The target (V, T, Y, X) where there is one, else all that was observed of the state.

    Raises
    ------
    InputError
        Nothing was observed of a variable itself.
    """
    if data.supervised or not data.states:
        return block.target if data.supervised else _observations(block)
    if missing := [name for name in data.states if name not in data.names]:
        what = f"{missing[0]!r} is not observed itself, and there is no target"
        raise InputError([(what, "give a target, or mean= and variance=")])
    return _observations(block)[[list(data.names).index(name) for name in data.states]]


def block_with_data(data: TrainingData, generator: np.random.Generator) -> tuple[Block, BlockBox]:
    """The first block of the training data with a value of each variable."""
    sizes = _within(data, MEAN_CELLS)
    box = data.train_box(sizes)
    block = data.block(box, generator)
    for _ in range(BLOCKS):
        known = np.isfinite(_observations(block)) if not data.supervised else np.isfinite(block.y)
        if known.any((1, 2, 3)).all():
            break
        box = data.train_box(sizes, generator)
        block = data.block(box, generator)
    return block, box


@dataclass(frozen=True)
class Fit:
    """The fit of one variable."""

    method: OptimalInterpolation
    data: TrainingData
    block: Block
    box: BlockBox
    v: int
    variable: dict[str, Any]
    generator: np.random.Generator

    @property
    def seen(self) -> FloatArray:
        """Observations (T, Y, X) of the variable: all, shown or hidden."""
        every = self.block.y if self.data.supervised else _observations(self.block)
        own: FloatArray = every[self.v]
        return own

    @property
    def fields(self) -> list[int]:
        """Numbers of the observed fields that the variable gives."""
        names, operator = list(self.data.names), self.method.operator
        own = operator.fields_of(self.data.state_names[self.v], names)
        return [names.index(name) for name in own]

    def mean(self, arrays: dict[str, FloatArray]) -> FloatArray:
        """Give the mean (T, Y, X); put its map, if it is one, into `arrays`."""
        if self.method.mean == "map":
            arrays |= self._mean_map(values_of(self.block, self.data)[self.v])
        shown = Patches(self.block.y[np.newaxis, :1], _batched(self.block.coordinates))
        mean: FloatArray = mean_at(arrays, self.variable, shown)[0]
        return mean

    def covariance(self, mean: FloatArray) -> dict[str, Any]:
        """Give the covariance and the error variance."""
        coordinates = self.block.coordinates
        if self.data.binder is not None:
            from xr4dvar.methods.oi.observed_fit import covariance_through

            return covariance_through(self, mean)
        anomaly = self.seen - mean
        spread = float(np.nanmean(anomaly**2))
        if self.method.lengths:
            return self.given(spread)
        from xr4dvar.methods.oi.trials import draw_trials
        from xr4dvar.methods.oi.tuning import likely_covariance, resolved, tuned_covariance

        start = self.variable | likely_covariance(
            anomaly, coordinates, self.guess(anomaly), self.variable,
            self.method.scales, self.generator,
        )  # fmt: skip
        target = self.block.target[self.v] - mean if self.data.supervised else None
        lengths = [[term[role] for term in start["terms"]] for role in ROLES]
        extremes = [(min(values), max(values)) for values in lengths]
        trials = draw_trials(anomaly, target, coordinates, extremes, self.generator)
        return tuned_covariance(
            trials, start, resolved(coordinates), spread, noisy=not self.data.supervised
        )

    def given(self, spread: float) -> dict[str, Any]:
        """The covariance of the settings, for data of a variance."""
        error = error_of(self.method, self.variable["name"])
        terms = open_covariance(self.method, self.data.grid, error)["terms"]
        return completed_covariance(terms, error, spread)

    def guess(self, anomaly: FloatArray) -> dict[str, float]:
        """First guess of lengths and noise, from a part of the block with many observations."""
        from xr4dvar.covariance import first_guess

        observed, coordinates = np.isfinite(anomaly), self.block.coordinates
        axes = [coordinates.get(role, np.zeros(1)) for role in ROLES]
        widths = [float(axis[-1] - axis[0]) for axis in axes]
        widths[0] *= min(1.0, GUESS_TIMES / len(axes[0]))
        box = box_with_data(observed, coordinates, widths, GUESS_CELLS, self.generator)
        values = torch.as_tensor(anomaly[box])
        time, y, x = (torch.as_tensor(axis[part]) for axis, part in zip(axes, box, strict=True))
        return first_guess(values, torch.isfinite(values), (time, y, x))

    def _mean_map(self, field: FloatArray) -> dict[str, FloatArray]:
        from xr4dvar.methods.oi.mean import mean_map

        name, total = self.variable["name"], self.variable["mean"]
        mapped = mean_map(
            field - total, self.block.coordinates, self.guess, periods_of(self.variable)
        )
        arrays = {f"{name}/mean": total + mapped}
        for role in ("y", "x"):
            if role in self.block.coordinates:
                arrays[f"{name}/mean_{role}"] = self.block.coordinates[role]
        return arrays


def error_of(method: OptimalInterpolation, name: str) -> float | None:
    """The error variance of an observed field, in its units squared, where it is given."""
    given = method.error_variance
    error = given.get(name) if isinstance(given, Mapping) else given
    return None if error is None else float(error)


def _observations(block: Block) -> FloatArray:
    """All that was observed, shown or hidden, of a block without a target."""
    return np.where(np.isfinite(block.y), block.y, block.target)


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


def open_covariance(
    method: OptimalInterpolation, grid: Grid, error: float | None
) -> dict[str, Any]:
    """Settings from the lengths in the configuration; variances that are not given are None."""
    variances: list[float | None] = [None] * len(method.lengths)
    if method.variances:
        variances = [float(value) for value in method.variances]
    terms = []
    for length, variance in zip(method.lengths, variances, strict=True):
        parsed = parse_length(length, grid)
        lengths = {role: parsed.values.get(role, 1.0) for role in ("time", "y", "x")}
        terms.append({**lengths, "metric": parsed.metric and grid.geographic, "variance": variance})
    if error is None and method.variances:
        error = USUAL_RATIO * sum(method.variances)
    return {"terms": terms, "error_variance": error}


def completed_covariance(
    terms: list[dict[str, Any]], error: float | None, spread: float
) -> dict[str, Any]:
    """Set variances that are not given from the variance of the data about the mean."""
    given = [term["variance"] for term in terms]
    if None in given:
        spread = max(spread, LEAST_VARIANCE)
        signal = spread / (1 + USUAL_RATIO) if error is None else max(spread - error, 0.1 * spread)
        given = [signal / len(terms)] * len(terms)
    completed = [{**term, "variance": v} for term, v in zip(terms, given, strict=True)]
    error = USUAL_RATIO * sum(given) if error is None else error
    return {"terms": completed, "error_variance": float(error)}
