"""Maps of a part of the data that are held against what was held back from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from xr4dvar.contract.observing import through
from xr4dvar.contract.patches import Patches
from xr4dvar.covariance import analyse_points
from xr4dvar.methods.oi.blocks import box_with_data, gaps_elsewhere
from xr4dvar.methods.oi.engine import analysed, covariance_of, priors_of
from xr4dvar.types import ROLES, FloatArray, Role

__all__ = ["Trial", "calibration", "draw_trials", "rmse"]

#: Trials that are drawn, at most; observations that are enough, and the share of all that is.
TRIALS, ENOUGH, GOOD_PART = 2, 13_000, 0.3

#: Of a trial at most: correlation lengths along each axis, cells, and about so many observations.
LENGTHS, CELLS, OBSERVATIONS = 16.0, 450_000, 25_000

#: Cells of y and x are averaged while so many of them are no longer than the shortest length.
RESOLUTION = 3.5

#: Accuracy of the maps: this share of their error, over all cells, iterations, and the share of the
#: error variance that their prior may lack.
SHARE, ITERATIONS, TRUNCATION = 1.0, 400, 0.1

#: Cells that are analysed with their error, and the observations of each.
CHECKS, NEAREST = 300, 200


@dataclass(frozen=True)
class Trial:
    """What a map is made from, and what it is held against.

    Parameters
    ----------
    innovation : numpy.ndarray, shape (T, Y, X) or, of K fields of an operator, (K, T, Y, X)
        Data minus their mean, NaN where there are none.
    target : numpy.ndarray, shape (T, Y, X)
        The truth minus the mean.
    counts : numpy.ndarray, of the shape of the innovation
        Observations of each cell: what their error variance is divided by.
    coordinates : mapping of role to numpy.ndarray
    operator : Bound, optional
        What observes the field, where that is not itself observed.
    """

    innovation: FloatArray
    target: FloatArray
    counts: FloatArray
    coordinates: Mapping[Role, FloatArray]
    operator: Any = None

    def errors(self, settings: Mapping[str, Any]) -> FloatArray:
        """Map minus target, where there is one."""
        known = np.isfinite(self.target)
        error: FloatArray = self._map(settings)[known] - self.target[known]
        return error

    def innovation_squares(self, settings: Mapping[str, Any]) -> tuple[float, int]:
        """Sum of ``d R^-1 (d - H x)`` over the observations, with the map x, and their number."""
        seen = np.isfinite(self.innovation)
        predicted = through(self.operator, self._map(settings)[np.newaxis, np.newaxis])[0]
        predicted = predicted.reshape(self.innovation.shape)
        d, variance = self.innovation[seen], settings["error_variance"] / self.counts[seen]
        return float((d * (d - predicted[seen]) / variance).sum()), int(seen.sum())

    def _map(self, settings: Mapping[str, Any]) -> FloatArray:
        """The map of the innovations, (T, Y, X)."""
        shape = 1, -1, *self.innovation.shape[-3:]
        patches = Patches(
            self.innovation.reshape(shape),
            {role: values[np.newaxis] for role, values in self.coordinates.items()},
            error_variance=(settings["error_variance"] / self.counts).reshape(shape),
            operator=self.operator,
        )
        seen = int(np.isfinite(self.innovation).sum())
        maps, _ = analysed(
            patches, settings, np.zeros((1, *self.target.shape)), priors_of("cpu"),
            tolerance=SHARE * max(1.0, seen**0.5), max_iterations=ITERATIONS, truncation=TRUNCATION,
        )  # fmt: skip
        found: FloatArray = maps[0]
        return found

    def analysis(self, settings: Mapping[str, Any]) -> tuple[FloatArray, FloatArray]:
        """Squared errors of the analysis at some cells, and their predicted variances."""
        known, seen = (np.argwhere(np.isfinite(f)) for f in (self.target, self.innovation))
        some = known[:: max(1, len(known) // CHECKS)]
        at = tuple(seen.T)
        analysis = analyse_points(
            self._points(seen), torch.as_tensor(self.innovation[at]),
            torch.as_tensor(settings["error_variance"] / self.counts[at]),
            self._points(some), covariance_of(settings), exact=NEAREST, nearest=NEAREST,
        )  # fmt: skip
        found = analysis.increment.numpy() - self.target[tuple(some.T)]
        return found**2, np.asarray(analysis.error_variance)

    def _points(self, cells: np.ndarray) -> torch.Tensor:
        axes = (self.coordinates.get(role, np.zeros(1)) for role in ROLES)
        return torch.as_tensor(np.stack([a[i] for a, i in zip(axes, cells.T, strict=True)], -1))


def rmse(trials: Sequence[Trial], settings: Mapping[str, Any]) -> float:
    """Root mean square error of the maps of all trials."""
    errors = np.concatenate([trial.errors(settings) for trial in trials])
    return float(np.sqrt(np.mean(errors**2)))


def calibration(trials: Sequence[Trial], settings: Mapping[str, Any], *, noisy: bool) -> float:
    """Mean square error found over the one predicted, with that of the targets if `noisy`."""
    pairs = [trial.analysis(settings) for trial in trials]
    found, predicted = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    noise = settings["error_variance"] if noisy else 0.0
    return float(found.mean() / (predicted.mean() + noise))


def draw_trials(
    observed: FloatArray,
    target: FloatArray | None,
    coordinates: Mapping[Role, FloatArray],
    lengths: Sequence[tuple[float, float]],
    generator: np.random.Generator,
) -> list[Trial]:
    """Draw trials till they have enough observations, or a good part of all there are.

    Each is a part of the data with many observations, some of which are hidden if there is no
    target: where the data's own gaps would be at another time and place. Cells that are hidden one
    by one lie beside others of the same satellite pass, and would be predicted best by lengths that
    are much too short.

    Parameters
    ----------
    observed : numpy.ndarray, shape (T, Y, X)
        Observations minus their mean, NaN where there is none.
    target : numpy.ndarray, shape (T, Y, X), optional
        The truth minus the mean.
    coordinates : mapping of role to numpy.ndarray
        Positions along the axes that are there.
    lengths : sequence of (float, float)
        The shortest and the longest correlation length along time, y and x.
    generator : numpy.random.Generator

    Returns
    -------
    list of Trial
        Empty where there are too few observations.
    """
    trials: list[Trial] = []
    for _ in range(TRIALS):
        trial = _draw_trial(observed, target, coordinates, lengths, generator)
        if trial is None:
            break
        trials.append(trial)
        used = sum(np.isfinite(one.innovation).sum() for one in trials)
        drawn = sum(one.counts[np.isfinite(one.innovation)].sum() for one in trials)
        if used > ENOUGH or drawn > GOOD_PART * np.isfinite(observed).sum():
            break
    return trials


def _draw_trial(
    observed: FloatArray,
    target: FloatArray | None,
    coordinates: Mapping[Role, FloatArray],
    lengths: Sequence[tuple[float, float]],
    generator: np.random.Generator,
) -> Trial | None:
    widths = [LENGTHS * longest for _, longest in lengths]
    seen = np.isfinite(observed)
    cells = min(CELLS, int(OBSERVATIONS / max(seen.mean(), 1 / CELLS)))
    box = box_with_data(seen, coordinates, widths, cells, generator)
    shown, wanted = observed[box], None if target is None else target[box]
    if wanted is None:
        hidden = gaps_elsewhere(np.isfinite(shown), generator)
        shown, wanted = np.where(hidden, np.nan, shown), np.where(hidden, shown, np.nan)
    if not (np.isfinite(shown).any() and np.isfinite(wanted).any()):
        return None
    parts = dict(zip(ROLES, box, strict=True))
    own = {role: values[parts[role]] for role, values in coordinates.items()}
    return _coarser(shown, wanted, own, dict(zip(ROLES, lengths, strict=True)))


def _coarser(
    shown: FloatArray,
    wanted: FloatArray,
    coordinates: Mapping[Role, FloatArray],
    lengths: Mapping[Role, tuple[float, float]],
) -> Trial:
    """Average cells of y and x that are much smaller than the shortest lengths."""
    own = dict(coordinates)
    counts: FloatArray
    known: FloatArray
    counts, known = (np.isfinite(field).astype(np.float64) for field in (shown, wanted))
    spatial: tuple[tuple[int, Role], ...] = ((1, "y"), (2, "x"))
    for axis, role in spatial:
        if role in own:
            factor = _factor(own[role], lengths[role][0])
            own[role], _ = _averaged(own[role], np.ones(len(own[role])), 0, factor)
            shown, counts = _averaged(shown, counts, axis, factor)
            wanted, known = _averaged(wanted, known, axis, factor)
    return Trial(shown, wanted, np.maximum(counts, 1.0), own)


def _factor(axis: FloatArray, shortest: float) -> int:
    """How many cells of an axis are averaged."""
    if len(axis) < 2:
        return 1
    return max(1, int(shortest / (RESOLUTION * float(np.median(np.diff(axis))))))


def _averaged(
    field: FloatArray, count: FloatArray, axis: int, factor: int
) -> tuple[FloatArray, FloatArray]:
    """Means over so many cells along an axis, weighted by counts, and the sums of these."""
    size = field.shape[axis] - field.shape[axis] % factor
    shape = (*field.shape[:axis], size // factor, factor, *field.shape[axis + 1 :])
    whole = (slice(None),) * axis + (slice(size),)
    weights = count[whole].reshape(shape)
    total = weights.sum(axis + 1)
    sums = (np.nan_to_num(field[whole]).reshape(shape) * weights).sum(axis + 1)
    return sums / np.where(total > 0, total, np.nan), total
