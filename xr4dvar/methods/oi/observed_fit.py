"""The covariance of a field of which an operator observes something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xr4dvar.errors import InputError
from xr4dvar.methods.oi.fit import error_of, values_of
from xr4dvar.methods.oi.observed import error_of_observations, innovation_scale, observed_trials
from xr4dvar.methods.oi.tuning import likely_covariance, resolved, tuned_covariance
from xr4dvar.types import FloatArray

if TYPE_CHECKING:
    from xr4dvar.methods.oi.fit import Fit

__all__ = ["covariance_through"]


def covariance_through(fit: Fit, mean: FloatArray) -> dict[str, Any]:
    """The covariance of the target, tuned on maps of what is observed of it.

    Parameters
    ----------
    fit : Fit
        Of one variable.
    mean : numpy.ndarray, shape (T, Y, X)

    Raises
    ------
    InputError
        There is no target, or the error of a field is not known.
    """
    if fit.method.lengths:
        return _given(fit, mean)
    data, block = fit.data, fit.block
    if not data.supervised:
        what = "the covariance of a field is not found from what an operator observes of it"
        raise InputError([(what, "give a target, or length=, variance= and error_variance=")])
    target, coordinates = block.target[fit.v], block.coordinates
    anomaly = target - mean
    start = fit.variable | likely_covariance(
        anomaly, coordinates, fit.guess(anomaly), fit.variable, fit.method.scales, fit.generator
    )
    errors = error_of_observations(data, block.y, target, fit.box, fit.fields)
    precisions = [1.0]
    if data.states:  # fields of other units: one error in those of the state stands for all
        precisions = [start["error_variance"] / error for error in _known(fit, errors)]
    else:
        start["error_variance"] = errors[0] or start["error_variance"]
    whole = np.array(np.broadcast_to(mean, (len(data.state_names), *mean.shape)))
    innovation = (block.y - data.observed(whole, fit.box))[fit.fields]
    trials = observed_trials(
        data, innovation, anomaly, coordinates, fit.generator, fit.v, precisions
    )
    spread = float(np.nanmean(anomaly**2))
    found = tuned_covariance(
        trials, start, resolved(coordinates), spread, noisy=False, scale=innovation_scale
    )
    if data.states:
        found["error_variance"] = {
            data.names[k]: found["error_variance"] / precision
            for k, precision in zip(fit.fields, precisions, strict=True)
        }
    return found


def _given(fit: Fit, mean: FloatArray) -> dict[str, Any]:
    """The covariance of the settings, with the error of each field."""
    data = fit.data
    spread = 1.0
    if not fit.method.variances:
        spread = float(np.nanmean((values_of(fit.block, data)[fit.v] - mean) ** 2))
    found = fit.given(spread)
    if not data.states:
        return found
    errors: list[float | None] = [error_of(fit.method, data.names[k]) for k in fit.fields]
    if None in errors and data.supervised:
        target = fit.block.target[fit.v]
        seen = error_of_observations(data, fit.block.y, target, fit.box, fit.fields)
        errors = [a if a is not None else b for a, b in zip(errors, seen, strict=True)]
    names = [data.names[k] for k in fit.fields]
    return found | {"error_variance": dict(zip(names, _known(fit, errors), strict=True))}


def _known(fit: Fit, errors: Sequence[float | None]) -> list[float]:
    """Error variances of the fields of a variable, none of which may be missing."""
    names = [fit.data.names[k] for k in fit.fields]
    missing = [name for name, error in zip(names, errors, strict=True) if not error]
    if missing:
        what = f"the error variance of {', '.join(map(repr, missing))} is not known"
        raise InputError([(what, "give it, error_variance={...: ...}, or a target")])
    return [error for error in errors if error]
