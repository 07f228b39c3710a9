"""Fitting an optimal interpolation to what an operator observes of a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xr4dvar.contract.observing import observed_patches
from xr4dvar.contract.patches import Patches
from xr4dvar.contract.training_data import BlockBox, TrainingData
from xr4dvar.methods.oi.trials import Trial
from xr4dvar.types import FloatArray, Role

__all__ = ["error_of_observations", "innovation_scale", "observed_trials"]

#: Trials, and cells of one: of y and x all, of time as many as that allows.
TRIALS, CELLS, LEAST_TIMES = 2, 300_000, 8


def error_of_observations(
    data: TrainingData, y: FloatArray, target: FloatArray, box: BlockBox, v: int
) -> float | None:
    """Variance of ``y - H(target)`` (T, Y, X); None where no observation is of a known field."""
    whole = np.broadcast_to(target, (len(data.names), *target.shape))
    misfit = y - data.observed(np.array(whole), box)[v]
    known = np.isfinite(misfit)
    return float(np.square(misfit[known]).mean()) if known.any() else None


def observed_trials(
    data: TrainingData,
    innovation: FloatArray,
    target: FloatArray,
    coordinates: Mapping[Role, FloatArray],
    generator: np.random.Generator,
) -> list[Trial]:
    """Parts of the training data, whole maps, with the operator that they are observed by.

    Parameters
    ----------
    data : TrainingData
    innovation : numpy.ndarray, shape (T, Y, X)
        Observations minus what is observed of the mean, NaN where there is none.
    target : numpy.ndarray, shape (T, Y, X)
        The truth minus the mean.
    coordinates : mapping of role to numpy.ndarray
        Positions along the axes that are there.
    generator : numpy.random.Generator
    """
    times, *plane = innovation.shape
    length = min(times, max(LEAST_TIMES, CELLS // int(np.prod(plane))))
    trials = []
    for first in sorted(set(generator.integers(times - length + 1, size=TRIALS).tolist())):
        part = slice(first, first + length)
        own = {r: v[part] if r == "time" else v for r, v in coordinates.items()}
        patches = Patches(
            innovation[np.newaxis, np.newaxis, part], {r: v[np.newaxis] for r, v in own.items()}
        )
        seen = observed_patches(patches, data.binder)
        shown = seen.y[0, 0]
        if np.isfinite(shown).any() and np.isfinite(target[part]).any():
            trials.append(Trial(shown, target[part], np.ones_like(shown), own, seen.operator))
    return trials


def innovation_scale(trials: Sequence[Trial], settings: Mapping[str, Any]) -> float:
    """Mean of ``d^T (H B H^T + R)^-1 d`` of an observation: 1 where the variances are right.

    With the analysis x, ``(H B H^T + R)^-1 d = R^-1 (d - H x)``.
    """
    sums = [trial.innovation_squares(settings) for trial in trials]
    return float(sum(total for total, _ in sums) / sum(count for _, count in sums))
