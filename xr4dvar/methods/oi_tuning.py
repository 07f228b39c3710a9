"""Tuning the lengths and variances of an optimal interpolation on a block of data."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from xr4dvar.covariance.tuning import add_scale, first_guess, tune
from xr4dvar.methods.base import Parameters, Patches
from xr4dvar.methods.oi_solve import make_solver, mean_at
from xr4dvar.methods.training_data import Block
from xr4dvar.types import ROLES, FloatArray, Role

__all__ = ["tuned_covariance"]

log = logging.getLogger("xr4dvar")

#: Solver tolerance during the search, which needs the order of the scores, not their digits.
TOLERANCE = 3e-4


def tuned_covariance(
    scales: int,
    block: Block,
    variable: Mapping[str, Any],
    arrays: Mapping[str, FloatArray],
    spread: float,
) -> dict[str, Any]:
    """Find lengths, weights and noise whose maps of a block come nearest to its target.

    First one covariance, then, from its optimum, one more at a time. The ratio of the lengths
    along y and x is that of the first.

    Parameters
    ----------
    scales : int
        Number of covariances.
    block : Block
        Of one variable: what is shown, and the truth or what was hidden.
    variable : mapping
        Settings of the variable so far.
    arrays : mapping
        Its mean map, if any.
    spread : float
        Variance of the data about the mean: prior variance and noise together.
    """
    roles: list[Role] = [r for r in ROLES if len(block.coordinates.get(r, ())) > 1]
    shown = Patches(block.y[np.newaxis], _batched(block.coordinates))

    def rmse(settings: dict[str, Any]) -> float:
        parameters = Parameters({"variables": [{**variable, **settings}]}, arrays)
        maps = make_solver(parameters, "cpu", tolerance=TOLERANCE)(shown)[0]
        return float(np.sqrt(np.nanmean((maps - block.target) ** 2, dtype=np.float64)))

    start = _first_guess(block, mean_at(arrays, variable, shown)[0], roles)
    best = tune(lambda p: rmse(_settings([p], p["noise"], spread)), start, max_evaluations=40)
    terms = [best.parameters]
    for _ in range(scales - 1):
        terms, best = _add_term(terms, best.parameters["noise"], roles, rmse, spread)
    found = _settings(terms, best.parameters["noise"], spread)
    log.info("optimal interpolation of %s: rmse %.4g with %s", variable["name"], best.score, found)
    return found


def _first_guess(block: Block, mean: FloatArray, roles: list[Role]) -> dict[str, float]:
    innovation = torch.as_tensor(block.y[0] - mean)
    time, y, x = (torch.as_tensor(block.coordinates.get(role, np.zeros(1))) for role in ROLES)
    guess = first_guess(innovation, torch.isfinite(innovation), (time, y, x))
    return {name: guess[name] for name in [*roles, "noise"]}


def _add_term(
    terms: list[dict[str, float]], noise: float, roles: list[Role], rmse: Any, spread: float
) -> tuple[list[dict[str, float]], Any]:
    """Search for one covariance more, and again for the size of the last one and the noise."""
    last = terms[-1]
    pair = {"space": 1.0, "noise": noise} | ({"time": last["time"]} if "time" in roles else {})

    def both(p: dict[str, float]) -> list[dict[str, float]]:
        plane: list[str] = [role for role in roles if role != "time"]
        first = {role: last[role] * p["space"] for role in plane}
        second = {role: last[role] * p["second_space"] for role in plane}
        if "time" in roles:
            first["time"], second["time"] = p["time"], p["second_time"]
        second["weight"] = p["second_weight"] * last.get("weight", 1.0)
        return [*terms[:-1], {**first, "weight": last.get("weight", 1.0)}, second]

    best = tune(
        lambda p: rmse(_settings(both(p), p["noise"], spread)), add_scale(pair), max_evaluations=60
    )
    return both(best.parameters), best


def _settings(terms: list[dict[str, float]], noise: float, spread: float) -> dict[str, Any]:
    """Terms whose variances and the noise add up to the spread of the data.

    `noise` is the error variance over the prior variance of the first term.
    """
    weights = [term.get("weight", 1.0) for term in terms]
    unit = spread / (sum(weights) + noise * weights[0])
    return {
        "terms": [
            {
                **{role: term.get(role, 1.0) for role in ("time", "y", "x")},
                "metric": False,
                "variance": weight * unit,
            }
            for term, weight in zip(terms, weights, strict=True)
        ],
        "error_variance": noise * weights[0] * unit,
    }


def _batched(coordinates: Mapping[Role, FloatArray]) -> dict[Role, FloatArray]:
    return {role: values[np.newaxis] for role, values in coordinates.items()}
