"""Tuning the lengths and variances of an optimal interpolation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from xr4dvar.covariance import Separable, draw_samples, most_likely, tune
from xr4dvar.methods.oi.engine import periods_of
from xr4dvar.methods.oi.trials import Trial, calibration, rmse
from xr4dvar.types import ROLES, FloatArray, Role

__all__ = ["likely_covariance", "resolved", "settings_of", "tuned_covariance"]

log = logging.getLogger("xr4dvar")

#: Samples of the first likelihood; of the second, as wide as its long and its short scale.
FIRST, LONG, SHORT = 4, 7, 7
#: Settings that the search tries.
EVALUATIONS = 18
#: Where it starts: the likelihood takes what no covariance of the family describes for more of the
#: short scale, and for less noise, than make the best maps.
START = {"noise": 2.5, "short": 0.5}
#: Variance of prior and error over that of the data, at most.
MOST = 2.0
#: The shortest length over the spacing of the cells: shorter ones cannot be told apart.
RESOLVED = 0.7


def likely_covariance(
    anomaly: FloatArray,
    coordinates: Mapping[Role, FloatArray],
    guess: Mapping[str, float],
    variable: Mapping[str, Any],
    scales: int,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """Covariances, from long to short, that make observations most likely.

    Parameters
    ----------
    anomaly : numpy.ndarray, shape (T, Y, X)
        Observations minus their mean.
    coordinates : mapping
        Positions along the axes that are there.
    guess : mapping
        First guess of lengths and noise.
    variable : mapping
        Settings of the variable: its family and periods.
    scales : int
        Number of covariances.
    generator : numpy.random.Generator
    """
    time, y, x = (torch.as_tensor(coordinates.get(role, np.zeros(1))) for role in ROLES)
    values, axes, least = torch.as_tensor(anomaly), (time, y, x), resolved(coordinates)
    lengths = guess["time"], guess["y"], guess["x"]
    spread = float(np.nanmean(anomaly**2))
    start = _start(lengths, spread, variable, scales)
    samples = draw_samples(values, axes, lengths, FIRST, generator)
    terms, error = most_likely(samples, start, guess["noise"] * spread, least)
    # The guess can be several times off, and samples of its extent favour lengths like it.
    wide = draw_samples(values, axes, terms[0].lengths, LONG, generator)
    close = draw_samples(values, axes, terms[-1].lengths, SHORT, generator)
    return settings_of(*most_likely([*wide, *close], terms, error, least))


def _start(
    lengths: tuple[float, float, float], spread: float, variable: Mapping[str, Any], scales: int
) -> list[Separable]:
    """Covariances about these lengths, from long to short, whose variances add up to `spread`."""
    periods = periods_of(variable)
    shares = 0.25 ** np.arange(scales)
    factors = [1.0] if scales == 1 else 1.3 * (0.7 / 1.3) ** np.arange(scales)
    return [
        Separable(
            (factor * lengths[0], factor * lengths[1], factor * lengths[2]),
            variable["family"],
            float(share * spread / shares.sum()),
            (periods.get("time"), periods.get("y"), periods.get("x")),
        )
        for factor, share in zip(factors, shares, strict=True)
    ]


def resolved(coordinates: Mapping[Role, FloatArray]) -> tuple[float, float, float]:
    """The shortest lengths along time, y and x that data on these cells can tell; 0 along none."""
    axes = (coordinates.get(role, np.zeros(1)) for role in ROLES)
    time, y, x = (RESOLVED * float(np.diff(a).min()) if len(a) > 1 else 0.0 for a in axes)
    return time, y, x


def settings_of(terms: Sequence[Separable], error_variance: float) -> dict[str, Any]:
    """Covariances as settings of a variable."""
    return {
        "terms": [
            {
                **dict(zip(("time", "y", "x"), term.lengths, strict=True)),
                "metric": False,
                "variance": term.variance,
            }
            for term in terms
        ],
        "error_variance": error_variance,
    }


def tuned_covariance(
    trials: Sequence[Trial],
    variable: Mapping[str, Any],
    shortest: Sequence[float],
    spread: float,
    *,
    noisy: bool,
    scale: Callable[[Sequence[Trial], Mapping[str, Any]], float] | None = None,
) -> dict[str, Any]:
    """Change lengths, noise and the weight of the short scales till maps come near a target.

    Then scale all variances so that the predicted error is the one found: maps stay as they are.

    Parameters
    ----------
    trials : sequence of Trial
        What maps are made from and held against; none where there is too little of it.
    variable : mapping
        Settings of the variable, with the covariance to start from.
    shortest : sequence of float
        The shortest lengths along time, y and x; 0 along an axis that is not there.
    spread : float
        Variance of the data about their mean.
    noisy : bool
        Whether the target has the error of the observations.
    scale : callable, optional
        What all variances are to be multiplied by in the end. Default: see `calibration`.
    """
    if not trials:
        log.warning(
            "%s: too few observations to hide some of them: lengths and variances are those that "
            "make the observations most likely, not tuned on maps", variable["name"],
        )  # fmt: skip
        return _near(spread, variable)

    def score(factors: dict[str, float]) -> float:
        return rmse(trials, {**variable, **_changed(variable, factors)})

    names = ["noise"]
    names += ["time"] if shortest[0] else []
    names += ["space"] if shortest[1] or shortest[2] else []
    names += ["short"] if len(variable["terms"]) > 1 else []
    usual = START if scale is None else {}
    start, bounds = {name: usual.get(name, 1.0) for name in names}, _bounds(variable, shortest)
    best = tune(score, start, bounds=bounds, max_evaluations=EVALUATIONS)
    settings = {**variable, **_changed(variable, best.parameters)}
    own = scale(trials, settings) if scale else calibration(trials, settings, noisy=noisy)
    settings |= _scaled(settings, own)
    log.info("%s: rmse %.4g with %s", variable["name"], best.score, settings)
    return _near(spread, settings)


def _bounds(
    variable: Mapping[str, Any], shortest: Sequence[float]
) -> dict[str, tuple[float, float]]:
    """Limits of the factors: no length shorter than the cells resolve, noise as low as it gets."""
    own = [min(term[role] for term in variable["terms"]) for role in ROLES]
    time, y, x = (least / length for least, length in zip(shortest, own, strict=True))
    lows = {"time": time, "space": max(y, x)}
    bounds = {name: (min(1.0, max(1 / 30, low)), 30.0) for name, low in lows.items()}
    return {**bounds, "noise": (1e-4, 30.0)}


def _changed(variable: Mapping[str, Any], factors: Mapping[str, float]) -> dict[str, Any]:
    """The covariance with lengths, the variances of all terms but the first and noise scaled."""
    time, space = factors.get("time", 1.0), factors.get("space", 1.0)
    terms = [
        {
            **term,
            "time": time * term["time"],
            "y": space * term["y"],
            "x": space * term["x"],
            "variance": (factors.get("short", 1.0) if n else 1.0) * term["variance"],
        }
        for n, term in enumerate(variable["terms"])
    ]
    return {"terms": terms, "error_variance": factors["noise"] * variable["error_variance"]}


def _near(spread: float, variable: Mapping[str, Any]) -> dict[str, Any]:
    """Scale all variances so that those of prior and error add up to 1 to 2 times the data's.

    Hidden cells mostly lie near observations, and may all be easy ones, or few hard ones: they say
    little of the error far from all observations, which is that of the prior.
    """
    total = sum(term["variance"] for term in variable["terms"]) + variable["error_variance"]
    return _scaled(variable, float(np.clip(1.0, spread / total, MOST * spread / total)))


def _scaled(variable: Mapping[str, Any], factor: float) -> dict[str, Any]:
    terms = [{**term, "variance": factor * term["variance"]} for term in variable["terms"]]
    return {"terms": terms, "error_variance": factor * variable["error_variance"]}
