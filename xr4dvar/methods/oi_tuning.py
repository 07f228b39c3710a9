"""Tuning the lengths and variances of an optimal interpolation on a block of data."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from xr4dvar.covariance import Separable, analyse_points, draw_samples, most_likely, tune
from xr4dvar.methods.base import Parameters, Patches
from xr4dvar.methods.oi_solve import covariance_of, make_solver, mean_at
from xr4dvar.methods.training_data import Block
from xr4dvar.types import ROLES, FloatArray, Role

__all__ = ["likely_covariance", "settings_of", "tuned_covariance"]

log = logging.getLogger("xr4dvar")

#: Solver tolerance during the search, which needs the order of the scores, not their digits.
TOLERANCE = 3e-4
#: Maps that the search makes.
EVALUATIONS = 30
#: Cells at which the error said is compared with the error found.
CHECKS = 300


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
        Settings of the variable: its family and period.
    scales : int
        Number of covariances.
    generator : numpy.random.Generator
    """
    spread = float(np.nanmean(anomaly.astype(np.float64) ** 2))
    time, y, x = (torch.as_tensor(coordinates.get(role, np.zeros(1))) for role in ROLES)
    lengths = guess["time"], guess["y"], guess["x"]
    samples = draw_samples(torch.as_tensor(anomaly), (time, y, x), lengths, generator)
    shares = 0.25 ** np.arange(scales)
    factors = [1.0] if scales == 1 else 1.3 * (0.7 / 1.3) ** np.arange(scales)
    start = [
        Separable(
            (factor * lengths[0], factor * lengths[1], factor * lengths[2]),
            variable["family"],
            float(share * spread / shares.sum()),
            variable["period"],
        )
        for factor, share in zip(factors, shares, strict=True)
    ]
    terms, error = most_likely(samples, start, guess["noise"] * spread)
    return settings_of(terms, error)


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
    block: Block,
    variable: Mapping[str, Any],
    arrays: Mapping[str, FloatArray],
    *,
    noisy: bool,
) -> dict[str, Any]:
    """Change lengths, noise and the weight of the short scales till maps come near a target.

    Parameters
    ----------
    block : Block
        Of one variable: what is shown, and the truth or what was hidden.
    variable : mapping
        Settings of the variable, with the covariance to start from.
    arrays : mapping
        Its mean map, if any.
    noisy : bool
        Whether the target has the error of the observations.
    """
    shown = Patches(block.y[np.newaxis], {r: c[np.newaxis] for r, c in block.coordinates.items()})

    def mapped(settings: dict[str, Any]) -> FloatArray:
        parameters = Parameters({"variables": [{**variable, **settings}]}, arrays)
        solve = make_solver(parameters, "cpu", tolerance=TOLERANCE)
        maps: FloatArray = solve(shown)[0]
        return maps

    def rmse(factors: dict[str, float]) -> float:
        error = mapped(_changed(variable, factors)) - block.target
        return float(np.sqrt(np.nanmean(error**2, dtype=np.float64)))

    names = ["noise"]
    names += ["time"] if len(block.coordinates.get("time", ())) > 1 else []
    names += ["space"] if any(len(block.coordinates.get(r, ())) > 1 for r in ("y", "x")) else []
    names += ["short"] if len(variable["terms"]) > 1 else []
    best = tune(rmse, dict.fromkeys(names, 1.0), max_evaluations=EVALUATIONS)
    settings = _changed(variable, best.parameters)
    error = mapped(settings) - block.target
    mean = mean_at(arrays, variable, shown)[0]
    settings = _calibrated({**variable, **settings}, block, mean, error, noisy=noisy)
    log.info("%s: rmse %.4g with %s", variable["name"], best.score, settings)
    return settings


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


def _calibrated(
    variable: Mapping[str, Any], block: Block, mean: FloatArray, error: FloatArray, *, noisy: bool
) -> dict[str, Any]:
    """Scale all variances so that the error said is the error found; the maps stay as they are."""
    places = np.argwhere(np.isfinite(error[0]) & np.isfinite(block.target[0]))
    seen = np.argwhere(np.isfinite(block.y[0]))
    if not len(places) or not len(seen):
        return {name: variable[name] for name in ("terms", "error_variance")}
    places = places[:: max(1, len(places) // CHECKS)]
    said = analyse_points(
        _points(seen, block.coordinates),
        torch.as_tensor(block.y[0][tuple(seen.T)] - mean[tuple(seen.T)]),
        variable["error_variance"],
        _points(places, block.coordinates),
        covariance_of(variable),
    ).error_variance
    expected = float(said.mean()) + (variable["error_variance"] if noisy else 0.0)
    scale = float(np.square(error[0][tuple(places.T)], dtype=np.float64).mean()) / expected
    terms = [{**term, "variance": scale * term["variance"]} for term in variable["terms"]]
    return {"terms": terms, "error_variance": scale * variable["error_variance"]}


def _points(index: np.ndarray, coordinates: Mapping[Role, FloatArray]) -> torch.Tensor:
    """Positions (n, 3) of cells (n, 3)."""
    axes = (coordinates.get(role, np.zeros(1)) for role in ROLES)
    return torch.as_tensor(np.stack([a[i] for a, i in zip(axes, index.T, strict=True)], -1))
