"""Search for covariance parameters that give the best maps of a validation period.

The score is the caller's: usually the RMSE of a gridded analysis against the truth or against
observations that were held out. All parameters are positive, so the search is in their logarithms.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from torch import Tensor

from xr4dvar.covariance.interfaces import Coordinates
from xr4dvar.errors import Problems

log = logging.getLogger("xr4dvar")

#: Steps of the search in logarithms, first and last: changes by 65 % and by 2 %. The best lengths
#: and noise lie along a narrow bent valley, in which a simplex search gets stuck.
FIRST_STEP, LAST_STEP = 0.5, 0.02

#: Limits where none are given: this factor either side of the start.
REACH = 30.0


@dataclass(frozen=True)
class Tuning:
    """Result of a search.

    Parameters
    ----------
    parameters : dict of str to float
        The best that was met.
    score : float
        Its score.
    trace : tuple of (dict, float)
        Every evaluation, in order.
    """

    parameters: dict[str, float]
    score: float
    trace: tuple[tuple[dict[str, float], float], ...]


def tune(
    objective: Callable[[dict[str, float]], float],
    start: Mapping[str, float],
    *,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    max_evaluations: int = 60,
) -> Tuning:
    """Minimise a score over positive parameters, without its derivatives.

    COBYQA (Ragonneau and Zhang 2023), a trust-region search with quadratic models, in logarithms.

    Parameters
    ----------
    objective : callable
        Parameters in, score out, smaller is better. A loose tolerance of `analyse` is enough: the
        search needs the order of the scores, not their digits.
    start : mapping of str to float
        First guess, e.g. from `first_guess`.
    bounds : mapping of str to (low, high), optional
        Limits by name; a factor 30 either side of the start where not given.
    max_evaluations : int
        Calls of the objective at most. About 15 a parameter come close to the best.

    Returns
    -------
    Tuning
        The same for the same input: nothing is drawn at random.

    Raises
    ------
    InputError
        If a start is not positive or outside its bounds.

    Examples
    --------
    >>> best = tune(lambda p: (p["length"] - 2.0) ** 2 + 1.0, {"length": 1.0})
    >>> round(best.parameters["length"], 1)
    2.0
    """
    limits = {name: (value / REACH, value * REACH) for name, value in start.items()}
    limits |= {name: pair for name, pair in (bounds or {}).items() if name in start}
    _check(start, limits)
    names = list(start)
    trace: list[tuple[dict[str, float], float]] = []

    def score(logarithms: npt.NDArray[np.float64]) -> float:
        parameters = {n: float(v) for n, v in zip(names, np.exp(logarithms), strict=True)}
        value = float(objective(parameters))
        if not np.isfinite(value):  # worse than all, but not so that it spoils the quadratic model
            value = 1.1 * max((entry[1] for entry in trace), default=1.0)
        trace.append((parameters, value))
        log.debug("tuning: %s -> %g", parameters, value)
        return value

    minimize(
        score,
        np.log([start[name] for name in names]),
        method="COBYQA",
        bounds=np.log([limits[name] for name in names]),
        options={
            "maxfev": max_evaluations,
            "initial_tr_radius": FIRST_STEP,
            "final_tr_radius": LAST_STEP,
        },
    )
    parameters, best = min(trace, key=lambda entry: entry[1])
    return Tuning(parameters, best, tuple(trace))


def first_guess(innovation: Tensor, observed: Tensor, coordinates: Coordinates) -> dict[str, float]:
    """First guess of lengths and noise from the autocorrelation of gappy data.

    Parameters
    ----------
    innovation : Tensor (..., time, y, x)
        Observation minus background.
    observed : Tensor (..., time, y, x), bool
        Where observed.
    coordinates : tuple of Tensor
        Time, y and x.

    Returns
    -------
    dict
        ``time``, ``y``, ``x``: lag at which the correlation has fallen to 1/e (a Gaussian length;
        a tenth of the extent where the data do not say); ``noise``: error variance over prior
        variance, from what the correlation lacks at the shortest lag.

    Examples
    --------
    >>> import torch
    >>> x = torch.arange(200.0)
    >>> wave = torch.sin(x / 5).reshape(1, 1, -1)
    >>> one = torch.zeros(1)
    >>> round(first_guess(wave, wave.isfinite(), (one, one, x))["x"])  # cos(6 / 5) is still 0.36
    7
    """
    guess: dict[str, float] = {}
    near = []
    for axis, name in enumerate(("time", "y", "x")):
        values = torch.as_tensor(coordinates[axis], dtype=torch.float64)
        extent = float(values[-1] - values[0]) if len(values) > 1 else 1.0
        correlation = autocorrelation(innovation, observed, axis - 3)
        fallen = (correlation[1:] < np.exp(-1.0)).nonzero()
        lag = int(fallen[0]) + 1 if len(fallen) else 0
        guess[name] = float((values[lag:] - values[:-lag]).mean()) if lag else extent / 10
        near += correlation[1:2].tolist()
    near = [value for value in near if np.isfinite(value)]
    shared = float(np.clip(max(near, default=0.9), 0.5, 0.95))
    return {**guess, "noise": (1.0 - shared) / shared}


def autocorrelation(innovation: Tensor, observed: Tensor, axis: int) -> Tensor:
    """Correlation of pairs that are both observed, by lag in cells along one axis.

    Parameters
    ----------
    innovation, observed : Tensor
        Data, and where they count.
    axis : int
        Dimension of the lag.

    Returns
    -------
    Tensor (n // 2 + 1,), float64
        NaN where fewer than 30 pairs are that far apart.
    """
    values = torch.where(observed, innovation, 0.0).to(torch.float64).movedim(axis, -1)
    seen = observed.movedim(axis, -1)
    lags = []
    for lag in range(values.shape[-1] // 2 + 1):
        first, second = values[..., : values.shape[-1] - lag], values[..., lag:]
        both = seen[..., : values.shape[-1] - lag] & seen[..., lag:]
        product = (first * second).sum()
        scale = ((first * both).square().sum() * (second * both).square().sum()).sqrt()
        lags.append(float(product / scale) if int(both.sum()) >= 30 else float("nan"))
    return torch.tensor(lags, dtype=torch.float64)


def _check(start: Mapping[str, float], limits: Mapping[str, tuple[float, float]]) -> None:
    problems = Problems()
    for name, value in start.items():
        low, high = limits[name]
        if not (np.isfinite(value) and value > 0):
            problems.add(f"the start of {name} is {value}", "give a positive number")
        elif not 0 < low <= value <= high:
            problems.add(
                f"the start of {name}, {value:g}, is not within {low:g} to {high:g}",
                "give bounds around the start, both positive",
            )
    problems.raise_if_any()
