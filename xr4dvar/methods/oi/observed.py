"""Fitting an optimal interpolation to what an operator observes of a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xr4dvar.contract.observing import observed_patches
from xr4dvar.contract.patches import Patches
from xr4dvar.contract.training_data import BlockBox, TrainingData
from xr4dvar.methods.oi.trials import Trial
from xr4dvar.operators.layers import of_variable
from xr4dvar.types import FloatArray, Role

__all__ = ["error_of_observations", "innovation_scale", "observed_trials"]

#: Trials, and cells of one: of y and x all, of time as many as that allows.
TRIALS, CELLS, LEAST_TIMES = 2, 300_000, 8


def error_of_observations(
    data: TrainingData, y: FloatArray, target: FloatArray, box: BlockBox, fields: Sequence[int]
) -> list[float | None]:
    """Variance of ``y - H(target)`` of some fields; None where there is none of a known state.

    Parameters
    ----------
    data : TrainingData
    y : numpy.ndarray, shape (K, T, Y, X)
    target : numpy.ndarray, shape (T, Y, X)
        Of the variable that the fields are of.
    box : BlockBox
    fields : sequence of int
    """
    whole = np.broadcast_to(target, (len(data.state_names), *target.shape))
    misfits = y - data.observed(np.array(whole), box)
    found: list[float | None] = []
    for k in fields:
        known = np.isfinite(misfits[k])
        found.append(float(np.square(misfits[k][known]).mean()) if known.any() else None)
    return found


def observed_trials(
    data: TrainingData,
    innovation: FloatArray,
    target: FloatArray,
    coordinates: Mapping[Role, FloatArray],
    generator: np.random.Generator,
    v: int = 0,
    precisions: Sequence[float] = (1.0,),
) -> list[Trial]:
    """Parts of the training data, whole maps, with the operator that they are observed by.

    Parameters
    ----------
    data : TrainingData
    innovation : numpy.ndarray, shape (K, T, Y, X)
        Observations of the variable minus what is observed of the mean, NaN where there is none.
    target : numpy.ndarray, shape (T, Y, X)
        The truth minus the mean.
    coordinates : mapping of role to numpy.ndarray
        Positions along the axes that are there.
    generator : numpy.random.Generator
    v : int
        The variable.
    precisions : sequence of float
        How precise its fields are beside each other.
    """
    _, times, *plane = innovation.shape
    length = min(times, max(LEAST_TIMES, CELLS // int(np.prod(plane))))
    trials = []
    for first in sorted(set(generator.integers(times - length + 1, size=TRIALS).tolist())):
        part = slice(first, first + length)
        own = {r: v[part] if r == "time" else v for r, v in coordinates.items()}
        operator, shown = _seen(data, innovation[:, part], own, v)
        if np.isfinite(shown).any() and np.isfinite(target[part]).any():
            counts = np.ones_like(shown) * np.reshape(precisions, (-1, 1, 1, 1))
            trials.append(Trial(shown, target[part], counts, own, operator))
    return trials


def _seen(
    data: TrainingData, innovation: FloatArray, coordinates: Mapping[Role, FloatArray], v: int
) -> tuple[Any, FloatArray]:
    """The operator of a variable, and its innovations that lie in the box."""
    whole = np.full((1, len(data.names), *innovation.shape[1:]), np.nan)
    each = {role: values[np.newaxis] for role, values in coordinates.items()}
    bound = observed_patches(Patches(whole, each), data.binder).operator
    operator, fields = of_variable(bound, v)
    whole[0, fields] = innovation
    return operator, observed_patches(Patches(whole, each), data.binder).y[0, fields]


def innovation_scale(trials: Sequence[Trial], settings: Mapping[str, Any]) -> float:
    """Mean of ``d^T (H B H^T + R)^-1 d`` of an observation: 1 where the variances are right.

    With the analysis x, ``(H B H^T + R)^-1 d = R^-1 (d - H x)``.
    """
    sums = [trial.innovation_squares(settings) for trial in trials]
    return float(sum(total for total, _ in sums) / sum(count for _, count in sums))
